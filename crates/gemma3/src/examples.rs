//! What tests of layers share.

use std::path::PathBuf;

use tch::{Device, Kind, Tensor};

/// A small reference checkpoint in float32.
pub(crate) fn checkpoint() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/layout/model")
}

/// Standard normal numbers.
pub(crate) fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

/// Equal to 5·10⁻⁶ of the largest entry.
pub(crate) fn assert_same(what: &str, found: &Tensor, expected: &Tensor) {
    let distance = ((found - expected).abs().max() / expected.abs().max()).double_value(&[]);
    assert!(distance < 5e-6, "{what}: {distance}");
}
