//! The one place where a tensor becomes an array.

use attention_relevancy::ndarray::{Array1, Array2, Array3};
use tch::{Kind, Tensor};

/// `[a]` of any dtype and device, as float32.
pub(crate) fn row(tensor: &Tensor) -> Array1<f32> {
    numbers(tensor).into()
}

/// `[a, b]` of any dtype and device, as float32.
pub(crate) fn matrix(tensor: &Tensor) -> Array2<f32> {
    let shape = <[i64; 2]>::try_from(tensor.size()).expect("two dimensions").map(|n| n as usize);
    Array2::from_shape_vec(shape, numbers(tensor)).expect("as many values as the shape says")
}

/// `[a, b, c]` of any dtype and device, as float32.
pub(crate) fn volume(tensor: &Tensor) -> Array3<f32> {
    let shape = <[i64; 3]>::try_from(tensor.size()).expect("three dimensions").map(|n| n as usize);
    Array3::from_shape_vec(shape, numbers(tensor)).expect("as many values as the shape says")
}

/// All numbers of a tensor of any dtype and device, in order, as float32.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.detach().to_kind(Kind::Float).reshape([-1]);
    Vec::try_from(&flat).expect("a vector of float32")
}
