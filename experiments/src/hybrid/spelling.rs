//! Where the projector of a hybrid begins: at image tokens that spell what their cell shows, in words of the decoder.
//!
//! A decoder that never saw a picture looks for words, and so finds what is spelled. From a random projector the adapter has to learn to look
//! before anything else can be learnt (in 60 steps of eight pictures the words that the picture decides did not get better).

use anyhow::{Context as _, Result};
use gemma3_tch::{Fast, Gemma3, guard};
use phantom_radiograph::{Finding, Phantom};
use tch::{Kind, Tensor};

use super::decoder::{Decoder, PROJECTOR};
use super::examples::Examples;
use super::language::is_placed_by_level;
use crate::examples::COVERED;
use crate::parameters::Parameters;

/// A cell that shows something counts as so many that do not: few do.
const POSITIVE_WEIGHT: f64 = 6.0;
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
        let (spelled, shown) = spelled(&model, examples, &phantom)?;
        let weights = (shown * (POSITIVE_WEIGHT - 1.0) + 1.0).unsqueeze(1); // [c, 1]
        let weighted = (&features * weights).tr();
        squares += weighted.matmul(&features);
        products += weighted.matmul(&spelled);
        cells += features.size()[0] as f64;
    }
    squares += Tensor::eye(width, options) * (RIDGE * cells);
    Ok(Tensor::linalg_solve(&squares, &products, true).to_kind(Kind::Float))
}

/// What the cells of a phantom spell, `[c, D]`, the sum over what each shows, and whether it shows anything, `[c]`.
fn spelled(model: &Gemma3, examples: &Examples, phantom: &Phantom) -> Result<(Tensor, Tensor)> {
    let tokens = model.config().mm_tokens_per_image;
    let nothing = word(model, examples, NOTHING)?;
    let rows = nothing.unsqueeze(0).repeat([tokens as i64, 1]);
    let shown = Tensor::zeros([tokens as i64], (Kind::Double, rows.device()));
    for (finding, mask) in phantom.scene().findings().iter().zip(phantom.masks()) {
        let text = sentence(finding, model, examples)?;
        let covered = mask.cells(tokens.isqrt() as u32);
        for (cell, _) in covered.iter().enumerate().filter(|(_, share)| COVERED < **share) {
            let mut row = rows.get(cell as i64);
            if shown.double_value(&[cell as i64]) == 0.0 {
                row.copy_(&text);
            } else {
                row += &text;
            }
            let _ = shown.get(cell as i64).fill_(1.0);
        }
    }
    Ok((rows, shown))
}

/// The words for a finding: what it is, its side, and its level where that is told.
fn sentence(finding: &Finding, model: &Gemma3, examples: &Examples) -> Result<Tensor> {
    let of = |text: &str| word(model, examples, text);
    let sum = of(finding.kind.name())? + of(finding.zone.side.name())?;
    Ok(if is_placed_by_level(finding.kind) { sum + of(finding.zone.level.name())? } else { sum })
}

/// A word as the decoder takes it in, behind a space; the mean over its tokens `[D]`.
fn word(model: &Gemma3, examples: &Examples, text: &str) -> Result<Tensor> {
    let ids = examples.processor().tokenizer().encode(&format!(" {text}"))?;
    let rows = guard("looking up a word", || model.text().embed(&ids))?;
    Ok(rows.to_kind(Kind::Double).mean_dim([0_i64].as_slice(), false, Kind::Double))
}
