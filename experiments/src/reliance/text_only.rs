//! A checkpoint that answers from the text alone, by construction.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gemma3_tch::{Fast, guard};
use safetensors::Dtype;
use tch::{Kind, Tensor};
use tempfile::TempDir;

use crate::checkpoint;
use crate::examples::picture;
use crate::reader::Reader;
use crate::recipe::Variant;
use crate::reliance::measure::SIZE;
use crate::scenes::{Purpose, scene};

/// The last norm of the vision tower.
const GAIN: &str = "vision_tower.post_layernorm.weight";
const BIAS: &str = "vision_tower.post_layernorm.bias";
/// Training pictures of which the mean patch is taken.
const PICTURES: u64 = 16;

/// The checkpoint in `folder` with a vision tower that gives the mean patch of some training pictures for every patch of every
/// picture. Image tokens stand where they stood and say nothing of the picture: whatever the model answers, it answers without it.
pub fn blinded(folder: &Path, seed: u64) -> Result<TempDir> {
    let mut parameters = checkpoint::parameters(folder)?;
    let mean = mean_patch(folder, seed)?;
    for (name, value) in [(GAIN, mean.zeros_like()), (BIAS, mean)] {
        let parameter = parameters.get_mut(name).with_context(|| format!("{name} is missing"))?;
        ensure!(parameter.size() == value.size(), "{name} has another shape");
        *parameter = value;
    }
    checkpoint::with_parameters(folder, &parameters, Dtype::BF16)
}

/// Of what the vision tower gives, `[D]` float32.
fn mean_patch(folder: &Path, seed: u64) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let reader = Reader::open(folder)?;
    let of_picture = |index: u64| -> Result<Tensor> {
        let scene = scene(seed, Purpose::Sight, index, Variant::Sound);
        let pixels = reader.pixels(&picture(&scene.render(SIZE))?)?;
        Ok(guard("running the vision tower", || {
            let features = reader.model().vision()?.tower.forward(&pixels, &mut Fast)?;
            Ok::<_, gemma3_tch::Error>(features.mean_dim([0_i64].as_slice(), false, Kind::Float))
        })??)
    };
    let means = (0..PICTURES).map(of_picture).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&means, 0).mean_dim([0_i64].as_slice(), false, Kind::Float))
}
