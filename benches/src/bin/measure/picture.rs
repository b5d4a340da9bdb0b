//! The jobs about one picture: through the vision tower, and back.

use crate::{Args, Job, Work, object, place, repeat};
use anyhow::Context;
use attention_capture::{ImagePart, Keep, PatchOptions, PatchStates, Patches, SweepOptions};
use attention_relevancy::ndarray::Array1;
use gemma3_tch::{Fast, Gemma3, Placement};
use serde_json::{Map, Value, json};
use std::hint::black_box;
use tch::{Kind, Tensor};

/// A random picture; what goals leave at its tokens is random too.
pub(crate) fn of_picture(args: &Args) -> anyhow::Result<Map<String, Value>> {
    let folder = args.model.as_deref().context("--model is missing")?;
    let placement = Placement { device: args.device.resolve()?, kind: None };
    let model = Gemma3::load(folder, placement)?;
    let place = place(placement.device);
    let baseline = place.used();
    let (config, vision) = (model.config(), model.vision()?);
    let [side, tokens, width] =
        [vision.config.image_size, config.mm_tokens_per_image, config.text.hidden_size]
            .map(|n| n as i64);
    tch::manual_seed(1);
    let random = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, placement.device));
    let picture = random(&[vision.config.num_channels as i64, side, side]).clamp(-1.0, 1.0);
    let part = |_| ImagePart {
        relevancy: Array1::from_elem(tokens as usize, 1.0 / tokens as f32),
        gradient: random(&[tokens, width]) * 1e-3,
    };
    let parts: Vec<ImagePart> = (0..args.targets).map(part).collect();
    let keep = || PatchStates::of(&model, &picture, Keep::Everything);
    let kept = (args.job == Job::PatchesKept).then(keep).transpose()?;
    // What is kept is a part of the budget.
    let states_bytes = kept.as_ref().map_or(0, PatchStates::bytes);
    let sweep = SweepOptions {
        memory_budget: args.memory_budget.saturating_sub(states_bytes),
        cancel: None,
    };
    let options = PatchOptions { pixels: true, sweep, ..PatchOptions::default() };
    let mut work: Work<'_> = match args.job {
        Job::Picture => Box::new(|| {
            let _no_grad = tch::no_grad_guard();
            let patches = vision.tower.forward(&picture, &mut Fast)?;
            black_box(vision.projector.forward(&patches).double_value(&[0, 0]));
            Ok(Vec::new())
        }),
        Job::PictureKeeping => Box::new(|| {
            black_box(keep()?.tokens(&model)?.double_value(&[0, 0]));
            Ok(Vec::new())
        }),
        _ => Box::new(|| {
            let patches = Patches::new(&model, &picture, options.clone());
            let patches = kept.iter().fold(patches, Patches::over);
            black_box(patches.explain(&parts)?);
            Ok(Vec::new())
        }),
    };
    let mut line = repeat(args, (place, baseline), &mut work)?;
    line.extend(object(json!({
        "patches": vision.config.patches(),
        "targets": args.targets,
        "states_bytes": kept.as_ref().map(|_| states_bytes),
    })));
    Ok(line)
}
