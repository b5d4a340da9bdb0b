//! Python's arguments as views of arrays.

use attention_relevancy::ndarray::ArrayView3;
use numpy::{
    Element, PyArray3, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray3, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// A layer's attention `[H, S, S]`, and the gradient with respect to it where the method has one. As long as it lives, no other code that asks
/// numpy's borrow checker writes to them.
pub(crate) struct Layer<'py> {
    attention: PyReadonlyArray3<'py, f32>,
    gradient: Option<PyReadonlyArray3<'py, f32>>,
}

/// The views of a [`Layer`], which may be used without the interpreter.
#[derive(Clone, Copy)]
pub(crate) struct Views<'a> {
    pub(crate) attention: ArrayView3<'a, f32>,
    pub(crate) gradient: Option<ArrayView3<'a, f32>>,
}

impl Layer<'_> {
    pub(crate) fn views(&self) -> Views<'_> {
        Views {
            attention: self.attention.as_array(),
            gradient: self.gradient.as_ref().map(|gradient| gradient.as_array()),
        }
    }
}

/// The layers, first to last. What cannot be used is a `ValueError` that names its layer, counted from 0.
pub(crate) fn layers<'py>(
    attentions: &[Bound<'py, PyAny>],
    gradients: Option<&[Bound<'py, PyAny>]>,
) -> PyResult<Vec<Layer<'py>>> {
    if attentions.is_empty() {
        return Err(PyValueError::new_err("there is no layer: attentions is empty"));
    }
    if let Some(gradients) = gradients.filter(|gradients| gradients.len() != attentions.len()) {
        return Err(PyValueError::new_err(format!(
            "{} attentions but {} gradients: give one of each for every layer",
            attentions.len(),
            gradients.len()
        )));
    }
    let layer = |(index, attention)| {
        let gradient = gradients.map(|gradients| array(&gradients[index], index, "gradient"));
        Ok(Layer {
            attention: array(attention, index, "attention")?,
            gradient: gradient.transpose()?,
        })
    };
    attentions.iter().enumerate().map(layer).collect()
}

fn array<'py>(
    value: &Bound<'py, PyAny>,
    layer: usize,
    what: &str,
) -> PyResult<PyReadonlyArray3<'py, f32>> {
    let wrong = |message: String| PyValueError::new_err(format!("layer {layer}: {what} {message}"));
    let Ok(untyped) = value.cast::<PyUntypedArray>() else {
        let kind = value.get_type().name()?;
        return Err(wrong(format!("is a {kind}, not a numpy array")));
    };
    let dtype = untyped.dtype();
    if !dtype.is_equiv_to(&f32::get_dtype(value.py())) {
        return Err(wrong(format!(
            "has dtype {dtype}, not float32: convert it, as by .astype(numpy.float32)"
        )));
    }
    let shape = untyped.shape();
    if shape.len() != 3 {
        let advice = match shape {
            [1, ..] if shape.len() == 4 => ": take the only item of the batch, array[0]",
            _ => "",
        };
        return Err(wrong(format!("has shape {shape:?}, not [heads, tokens, tokens]{advice}")));
    }
    // Views are read as the processor reads numbers.
    if !value.getattr("flags")?.getattr("aligned")?.extract::<bool>()? {
        return Err(wrong("is not aligned in memory: copy it, as by array.copy()".to_owned()));
    }
    let array = value
        .cast::<PyArray3<f32>>()
        .map_err(|_| wrong(format!("of shape {shape:?} is not an array of float32")))?;
    array.try_readonly().map_err(|error| wrong(format!("cannot be read: {error}")))
}
