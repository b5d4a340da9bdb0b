//! The functions of the module.

use attention_relevancy::ndarray::Array1;
use attention_relevancy::{
    HeadFusion, Propagation, RetainedLayer, Update, check_attention, rollout_row,
};
use numpy::{IntoPyArray, PyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::arrays::{Layer, Views, layers};

/// The mathematics behind `medgemma_explainer.relevancy` and its companions, which say what the arguments are.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::{check, relevancy, rollout};
}

/// How a layer acts on the row: the name of the update, and the heads.
type Rules = (String, Heads);

/// `"mean"`, `"max"`, or the number of a head.
#[derive(FromPyObject)]
enum Heads {
    One(usize),
    Named(String),
}

#[pyfunction]
fn relevancy<'py>(
    py: Python<'py>,
    attentions: Vec<Bound<'py, PyAny>>,
    gradients: Vec<Bound<'py, PyAny>>,
    row: usize,
    rules: Rules,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let (update, heads) = rules;
    let (update, heads) = (update_named(&update)?, heads.fusion()?);
    let layers = layers(&attentions, Some(&gradients))?;
    away(py, &layers, |views| propagated(views, row, update, heads))
}

#[pyfunction]
fn rollout<'py>(
    py: Python<'py>,
    attentions: Vec<Bound<'py, PyAny>>,
    row: usize,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let layers = layers(&attentions, None)?;
    away(py, &layers, |views| {
        retained(views, HeadFusion::Mean)?;
        let attentions: Vec<_> = views.iter().map(|views| views.attention).collect();
        rollout_row(&attentions, row).map_err(|error| error.to_string())
    })
}

#[pyfunction]
fn check(py: Python<'_>, attentions: Vec<Bound<'_, PyAny>>, tolerance: f64) -> PyResult<()> {
    let layers = layers(&attentions, None)?;
    let views: Vec<_> = layers.iter().map(Layer::views).collect();
    let checked = py.detach(|| {
        views.iter().enumerate().try_for_each(|(index, views)| {
            check_attention(views.attention, tolerance)
                .map_err(|error| format!("layer {index}: {error}"))
        })
    });
    checked.map_err(PyValueError::new_err)
}

/// Does the work while other threads of Python run, and hands its row to numpy.
fn away<'py>(
    py: Python<'py>,
    layers: &[Layer<'py>],
    work: impl FnOnce(&[Views<'_>]) -> Result<Array1<f32>, String> + Send,
) -> PyResult<Bound<'py, PyArray1<f32>>> {
    let views: Vec<_> = layers.iter().map(Layer::views).collect();
    let row = py.detach(|| work(&views)).map_err(PyValueError::new_err)?;
    Ok(row.into_pyarray(py))
}

fn propagated(
    views: &[Views<'_>],
    row: usize,
    update: Update,
    heads: HeadFusion,
) -> Result<Array1<f32>, String> {
    let mut layers = retained(views, heads)?;
    let tokens = views.first().map_or(0, |views| views.attention.dim().1);
    let mut propagation = Propagation::unit(tokens, row).map_err(|error| error.to_string())?;
    for (index, layer) in layers.iter_mut().enumerate().rev() {
        propagation.step(update, layer).map_err(|error| format!("layer {index}: {error}"))?;
    }
    Ok(propagation.finish())
}

/// The layers, first to last, all checked before any of them is taken.
fn retained<'a>(views: &[Views<'a>], heads: HeadFusion) -> Result<Vec<RetainedLayer<'a>>, String> {
    let first = views.first().map(|views| views.attention.dim().1);
    let layer = |(index, views): (usize, &Views<'a>)| {
        let layer = match views.gradient {
            Some(gradient) => RetainedLayer::gradient_weighted(views.attention, gradient),
            None => RetainedLayer::attention(views.attention),
        };
        let layer = layer.and_then(|layer| layer.with_heads(heads));
        let tokens = views.attention.dim().1;
        match (layer, first) {
            (Err(error), _) => Err(format!("layer {index}: {error}")),
            (Ok(_), Some(first)) if first != tokens => Err(format!(
                "layer {index}: attention is over {tokens} tokens, that of layer 0 over {first}"
            )),
            (Ok(layer), _) => Ok(layer),
        }
    };
    views.iter().enumerate().map(layer).collect()
}

fn update_named(name: &str) -> PyResult<Update> {
    let all = [Update::Additive, Update::Stochastic];
    all.into_iter().find(|update| update.to_string() == name).ok_or_else(|| {
        PyValueError::new_err(format!("update is {name:?}; it is \"additive\" or \"stochastic\""))
    })
}

impl Heads {
    fn fusion(&self) -> PyResult<HeadFusion> {
        match self {
            Self::One(head) => Ok(HeadFusion::One(*head)),
            Self::Named(name) if name == "mean" => Ok(HeadFusion::Mean),
            Self::Named(name) if name == "max" => Ok(HeadFusion::Max),
            Self::Named(name) => Err(PyValueError::new_err(format!(
                "heads is {name:?}; it is \"mean\", \"max\" or the number of a head, from 0"
            ))),
        }
    }
}
