//! Where the projector of a hybrid begins: at image tokens that spell what their cell shows, in words of the decoder.
//!
//! Meant to spare the adapter a part of learning to look: a decoder that never saw a picture has learnt to find words. How much it spares
//! was not measured: without the first lessons ([`super::run::Lesson`]) it was not enough.

use anyhow::{Context as _, Result};
use gemma3_tch::{Fast, Gemma3, guard};
use phantom_radiograph::{Finding, Phantom};
use tch::{Kind, Tensor};

use super::decoder::{Decoder, PROJECTOR};
use super::examples::Examples;
use super::language::is_placed_by_level;
use crate::examples::COVERED;
use crate::parameters::Parameters;

/// The cells of a finding count together as so many that show nothing, whether it covers three or ten.
const WEIGHT: f64 = 400.0;
/// What is added to the diagonal, as a share of the cells.
const RIDGE: f64 = 1e-4;
/// What a cell without a finding spells.
const NOTHING: &str = "lung";

/// The projector `[W, D]` that takes the features of cells nearest to the words for what they show: least squares with a ridge, over the
/// cells of so many phantoms. `parameters` have the vision tower; W is its width, D that of the decoder.
///
/// # Errors
/// What libtorch fails with.
pub fn projector(
    decoder: &Decoder,
    parameters: &Parameters,
    examples: &Examples,
    phantoms: u64,
) -> Result<Tensor> {
    let _no_grad = tch::no_grad_guard();
    let random = parameters.get(PROJECTOR).context("a hybrid has a projector")?;
    let (width, hidden) = random.size2()?;
    let model = decoder.model(parameters, 1.0)?;
    let vision = model.vision()?;
    let options = (Kind::Double, random.device());
    let mut squares = Tensor::zeros([width, width], options);
    let mut products = Tensor::zeros([width, hidden], options);
    let mut cells = 0.0;
    for index in 0..phantoms {
        let phantom = examples.seen(index);
        let pixels = examples.looked_at(&phantom)?;
        let picture = model.picture(&pixels)?;
        let features = guard("looking at a phantom", || {
            let patches = vision.tower.forward(&picture, &mut Fast)?;
            Ok::<_, gemma3_tch::Error>(vision.projector.normed(&patches).to_kind(Kind::Double)) // [c, W]
        })??;
        let (spelled, weights) = spelled(&model, examples, &phantom)?;
        let weighted = (&features * weights.unsqueeze(1)).tr();
        squares += weighted.matmul(&features);
        products += weighted.matmul(&spelled);
        cells += features.size()[0] as f64;
    }
    squares += Tensor::eye(width, options) * (RIDGE * cells);
    Ok(Tensor::linalg_solve(&squares, &products, true).to_kind(Kind::Float))
}

/// What the cells of a phantom spell, `[c, D]`, the sum over what each shows, and how much each counts, `[c]`.
fn spelled(model: &Gemma3, examples: &Examples, phantom: &Phantom) -> Result<(Tensor, Tensor)> {
    let tokens = model.config().mm_tokens_per_image;
    let nothing = word(model, examples, NOTHING)?;
    let rows = nothing.unsqueeze(0).repeat([tokens as i64, 1]);
    let weights = Tensor::ones([tokens as i64], (Kind::Double, rows.device()));
    for (finding, mask) in phantom.scene().findings().iter().zip(examples.clues(phantom)) {
        let text = sentence(finding, model, examples)?;
        let covered = mask.cells(tokens.isqrt() as u32);
        let shows = |(_, share): &(usize, &f32)| COVERED < **share;
        let count = covered.iter().enumerate().filter(shows).count() as f64;
        for (cell, _) in covered.iter().enumerate().filter(shows) {
            let (mut row, mut weight) = (rows.get(cell as i64), weights.get(cell as i64));
            if weight.double_value(&[]) <= 1.0 {
                row.copy_(&text);
            } else {
                row += &text;
            }
            weight += WEIGHT / count;
        }
    }
    Ok((rows, weights))
}

/// The words for a finding: what it is, its side, and its level where that is told.
fn sentence(finding: &Finding, model: &Gemma3, examples: &Examples) -> Result<Tensor> {
    let of = |text: &str| word(model, examples, text);
    let sum = of(finding.kind.name())? + of(finding.zone.side.name())?;
    Ok(if is_placed_by_level(finding.kind) { sum + of(finding.zone.level.name())? } else { sum })
}

/// The first token of a word behind a space, as the decoder takes it in, `[D]`: what would be said of it next.
fn word(model: &Gemma3, examples: &Examples, text: &str) -> Result<Tensor> {
    let ids = examples.processor().tokenizer().encode(&format!(" {text}"))?;
    let rows = guard("looking up a word", || model.text().embed(&ids))?;
    Ok(rows.get(0).to_kind(Kind::Double))
}
