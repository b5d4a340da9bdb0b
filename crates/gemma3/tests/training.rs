//! Models on tensors in memory: the same numbers as from files, and gradients that reach every tensor.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gemma3_tch::{Config, Error, Fast, Gemma3, Placement, Weights};
use tch::{Device, Kind, Tensor};

fn checkpoint() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/layout/model")
}

/// Float32 copies of the checkpoint's tensors that want a gradient.
fn leaves(config: &Config) -> BTreeMap<String, Tensor> {
    let weights = Weights::open(&checkpoint()).unwrap();
    let root = weights.root(Placement::AS_STORED);
    let leaf = |(name, shape): (String, Vec<usize>)| {
        let tensor = root.tensor(&name, &shape).unwrap().to_kind(Kind::Float).copy();
        (name, tensor.set_requires_grad(true))
    };
    config.tensors().into_iter().map(leaf).collect()
}

/// Logits of a sequence with one picture, of every row.
fn logits(model: &Gemma3) -> Tensor {
    let vision = model.vision().unwrap();
    let side = vision.config.image_size as i64;
    let ramp = Tensor::arange(3 * side * side, (Kind::Float, Device::Cpu)).view([3, side, side]);
    let pixels = (ramp * 0.01).sin();
    let features = vision.projector.forward(&vision.tower.forward(&pixels, &mut Fast).unwrap());
    let n_image = model.config().mm_tokens_per_image;
    let image = model.config().image_token_id;
    let ids: Vec<u32> = [2, 3].into_iter().chain(vec![image; n_image]).chain([4, 9, 5]).collect();
    let sequence = model.sequence(ids, vec![2..2 + n_image], vec![features]).unwrap();
    model.text().logits(&model.forward(&sequence, &mut Fast))
}

#[test]
fn tensors_in_memory_give_the_numbers_of_the_files() {
    let placement = Placement { device: Device::Cpu, kind: Some(Kind::Float) };
    let from_files = Gemma3::load(&checkpoint(), placement).unwrap();
    let config = from_files.config().clone();
    let from_memory = Gemma3::from_tensors(config.clone(), &leaves(&config)).unwrap();
    assert_eq!(from_memory.placement(), placement);
    let _no_grad = tch::no_grad_guard();
    assert_eq!(logits(&from_files), logits(&from_memory));
}

#[test]
fn the_gradient_reaches_every_tensor() {
    let config = Config::from_dir(&checkpoint()).unwrap();
    let tensors = leaves(&config);
    let model = Gemma3::from_tensors(config, &tensors).unwrap();
    let loss = logits(&model).log_softmax(-1, Kind::Float).narrow(1, 7, 1).sum(Kind::Float);
    let parameters: Vec<&Tensor> = tensors.values().collect();
    let gradients = Tensor::run_backward(&[loss], &parameters, false, false);
    for ((name, tensor), gradient) in tensors.iter().zip(gradients) {
        assert_eq!(gradient.size(), tensor.size(), "{name}");
        let largest = gradient.abs().max().double_value(&[]);
        // A bias of the keys moves all scores of a query alike, which the softmax does not see: rounding is all that is left.
        let felt = largest > 0.0 || name.ends_with("k_proj.bias");
        assert!(felt && largest.is_finite(), "{name}: {largest}");
    }
}

#[test]
fn a_tensor_that_is_missing_or_misshapen_is_named() {
    let config = Config::from_dir(&checkpoint()).unwrap();
    let mut tensors = leaves(&config);
    let name = "language_model.norm.weight";
    let gain = tensors.remove(name).unwrap();
    let error = Gemma3::from_tensors(config.clone(), &tensors).unwrap_err();
    assert!(matches!(error, Error::MissingTensor { name: found, .. } if found == name));
    tensors.insert(name.to_owned(), gain.view([1, -1]));
    let error = Gemma3::from_tensors(config, &tensors).unwrap_err();
    assert!(matches!(error, Error::Shape { name: found, .. } if found == name));
}
