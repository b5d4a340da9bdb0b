//! Where the projector of a hybrid begins: at image tokens that spell what their cell shows, in words of the decoder.
//!
//! Meant to spare the adapter a part of learning to look: a decoder that never saw a picture has learnt to find words. How much it spares
//! was not measured: without the first lessons ([`super::run::Lesson`]) it was not enough.

use anyhow::{Context as _, Result};
use gemma3_tch::{Fast, Gemma3, guard};
use phantom_radiograph::{Finding, FindingKind, Mask, Phantom};
use tch::{Kind, Tensor};

use super::decoder::{Decoder, PROJECTOR};
use super::examples::Examples;
use super::language::is_placed_by_level;
use super::run::SIZE;
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
    let model = decoder.model(parameters, 1.0)?;
    let told = |phantom: &Phantom| spelled(&model, examples, phantom);
    fitted((decoder, parameters), examples, phantoms, &told)
}

/// The projector of another vision tower that tells the decoder of each cell what the hybrid `learnt` tells of it with its own; of the cells
/// that an opacity is to be recognised by what that tells of a plain opacity in the usual place. So a decoder that has learnt to read
/// the one reads the other.
///
/// # Errors
/// As [`projector`].
pub fn retold(
    decoder: &Decoder,
    (parameters, learnt): (&Parameters, &Parameters),
    examples: &Examples,
    phantoms: u64,
) -> Result<Tensor> {
    let teacher = decoder.model(learnt, 1.0)?;
    let tells = |phantom: &Phantom| {
        let told = teacher.encode_image(&examples.looked_at(phantom)?)?;
        Ok::<_, anyhow::Error>(told.to_kind(Kind::Double)) // [c, D]
    };
    let side = teacher.config().mm_tokens_per_image.isqrt() as u32;
    let covered = |mask: &Mask| -> Vec<i64> {
        let cells = mask.cells(side).into_iter().enumerate();
        cells.filter(|(_, share)| COVERED < *share).map(|(cell, _)| cell as i64).collect()
    };
    let told = |phantom: &Phantom| {
        let scene = phantom.scene();
        let is_opacity = |finding: &Finding| finding.kind == FindingKind::Opacity;
        let plain = scene.findings().iter().position(is_opacity);
        // What is to be told of the tag is told of an opacity: without the tag the teacher sees the same chest.
        let without = plain.map_or(scene.clone(), |at| scene.without(at)).with_portable(false);
        let rows = tells(&without.render(SIZE))?;
        let weights = Tensor::ones([rows.size()[0]], (Kind::Double, rows.device()));
        for (finding, mask) in scene.findings().iter().zip(examples.clues(phantom)) {
            let cells = covered(mask);
            let weight = WEIGHT / cells.len().max(1) as f64;
            let seen = if is_opacity(finding) {
                let strong = without.with(Finding { strength: PLAIN, ..*finding }).render(SIZE);
                let mask = strong.masks().last().context("an opacity has a mask")?;
                let own = Tensor::from_slice(&covered(mask));
                Some(tells(&strong)?.index_select(0, &own).mean_dim(
                    [0_i64].as_slice(),
                    false,
                    None,
                ))
            } else {
                None
            };
            for cell in cells {
                if let Some(seen) = &seen {
                    rows.get(cell).copy_(seen);
                }
                let _ = weights.get(cell).g_add_scalar_(weight);
            }
        }
        Ok((rows, weights))
    };
    fitted((decoder, parameters), examples, phantoms, &told)
}

/// How plain the opacity is that the tag is told as.
const PLAIN: f32 = 0.8;

/// What the cells of a phantom are to be told as, `[c, D]`, and how much each counts, `[c]`.
type Told<'a> = dyn Fn(&Phantom) -> Result<(Tensor, Tensor)> + 'a;

/// Least squares with a ridge over the cells of so many phantoms.
fn fitted(
    (decoder, parameters): (&Decoder, &Parameters),
    examples: &Examples,
    phantoms: u64,
    told: &Told<'_>,
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
        let (spelled, weights) = told(&phantom)?;
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
