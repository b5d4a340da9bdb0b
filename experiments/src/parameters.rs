//! The first values of all parameters.

use std::collections::BTreeMap;

use checkpoint_files::random::{SplitMix, hash};
use gemma3_tch::{Config, VisionConfig};
use tch::{Device, Kind, Tensor};

/// Parameters by canonical name, float32.
pub type Parameters = BTreeMap<String, Tensor>;

/// Random values for every tensor of the model; each depends on the seed and its name alone.
///
/// A matrix has deviation `1/√inputs`, so that what comes out is as large as what goes in; a gain is one and a bias zero. The
/// positions of patches begin as waves along both axes: neighbours are alike from the start.
pub fn initial(config: &Config, seed: u64) -> Parameters {
    let side = config.vision.as_ref().map_or(0, VisionConfig::patches_per_side);
    let tensor = |(name, shape): (String, Vec<usize>)| {
        let tensor = match name.rsplit_once('.').map_or("", |(path, _)| path) {
            path if path.ends_with("position_embedding") => waves(side, shape[1]),
            _ => first(&name, &shape, seed),
        };
        (name, tensor)
    };
    config.tensors().into_iter().map(tensor).collect()
}

/// A linear map from features to landmarks, `[landmarks, features]`, and its bias: `head.weight`, `head.bias`.
pub fn head(landmarks: usize, features: usize, seed: u64) -> Parameters {
    let weight = first("head.weight", &[landmarks, features], seed);
    // Few cells show anything: begin with that guess.
    let bias = Tensor::full([landmarks as i64], -3.0, (Kind::Float, Device::Cpu));
    [("head.weight".to_owned(), weight), ("head.bias".to_owned(), bias)].into()
}

fn first(name: &str, shape: &[usize], seed: u64) -> Tensor {
    let dims: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
    let float = (Kind::Float, Device::Cpu);
    if shape.len() == 1 {
        // Stored gains of the language model are centred at zero, those of the vision tower are not.
        let is_gain =
            name.starts_with("vision_tower") && name.contains("norm") && name.ends_with("weight");
        return if is_gain { Tensor::ones(dims, float) } else { Tensor::zeros(dims, float) };
    }
    let inputs: usize = if name.contains("embed_tokens") {
        shape[1] // scaled by √width when looked up
    } else if name.ends_with("mm_input_projection_weight") {
        shape[0] // used as x·W
    } else {
        shape[1..].iter().product()
    };
    let count: usize = shape.iter().product();
    let values = normal(seed ^ hash(name), count);
    Tensor::from_slice(&values).view(dims.as_slice()) / (inputs as f64).sqrt()
}

/// Sines and cosines of row and column at rising frequencies, `[side², width]`.
fn waves(side: usize, width: usize) -> Tensor {
    let quarter = (width / 4).max(1);
    let value = |patch: usize, column: usize| {
        let (row, col) = (patch / side, patch % side);
        let along = if column / quarter < 2 { row } else { col };
        // From half a turn over the picture to a turn every four patches.
        let turns =
            (side as f32 / 8.0).powf((column % quarter) as f32 / quarter as f32) / side as f32;
        let angle = std::f32::consts::PI * turns * along as f32;
        0.5 * if (column / quarter).is_multiple_of(2) { angle.sin() } else { angle.cos() }
    };
    let values: Vec<f32> = (0..side * side)
        .flat_map(|patch| (0..width).map(move |column| value(patch, column)))
        .collect();
    Tensor::from_slice(&values).view([(side * side) as i64, width as i64])
}

/// Standard normal numbers.
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut random = SplitMix::new(seed);
    random.number(); // the trained checkpoints began without it
    std::iter::repeat_with(|| random.normal_pair()).flatten().take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::companions;
    use crate::recipe::{Recipe, Variant};

    #[test]
    fn a_model_can_be_built_and_is_small() {
        let config = companions::config(&Recipe::full(Variant::Sound).sizes).unwrap();
        let parameters = initial(&config, 1);
        let count: usize = parameters.values().map(Tensor::numel).sum();
        assert!(count < 3_000_000, "{count}");
        gemma3_tch::Gemma3::from_tensors(config, &parameters).unwrap();
    }

    #[test]
    fn values_follow_from_seed_and_name() {
        assert_eq!(first("a.weight", &[3, 4], 1), first("a.weight", &[3, 4], 1));
        assert_ne!(first("a.weight", &[3, 4], 1), first("b.weight", &[3, 4], 1));
        let values = first("a.weight", &[100, 400], 1) * 20.0;
        assert!((values.std(true).double_value(&[]) - 1.0).abs() < 0.02);
    }
}
