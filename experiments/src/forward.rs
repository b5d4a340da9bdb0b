//! The losses of the two stages, through the model's own forward pass.
//!
//! Symbols: c cells of the grid, l landmarks, P tokens of the common beginning, n tokens of a turn, a of them the answer.

use std::ops::Range;

use gemma3_processor::Pixels;
use gemma3_tch::{Fast, Gemma3, SequenceLayout};
use tch::{Kind, Reduction, Tensor};

use crate::examples::{Asked, Seen, Turn};
use crate::prefix::Prefix;

/// A cell that shows something counts as so many that do not: few do.
const POSITIVE_WEIGHT: f32 = 6.0;

/// Sums over examples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    /// The loss.
    pub loss: f64,
    /// Terms that it is a sum of.
    pub terms: f64,
    /// What was decided rightly.
    pub right: f64,
    /// What was to be decided.
    pub decided: f64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.terms += other.terms;
        self.right += other.right;
        self.decided += other.decided;
    }
}

/// Image tokens `[c, D]` of a picture.
///
/// # Panics
/// Never: plain attention serves every tower.
pub fn image_tokens(model: &Gemma3, pixels: &Pixels) -> Tensor {
    let shape = [pixels.channels, pixels.height, pixels.width].map(|side| side as i64);
    let pixels = Tensor::from_slice(&pixels.values).view(shape);
    let vision = model.vision().expect("what is trained here sees pictures");
    let features = vision.tower.forward(&pixels, &mut Fast);
    vision.projector.forward(&features.expect("plain attention serves every tower"))
}

/// Binary cross-entropy of what each cell shows, summed; `head` is weight `[l, D]` and bias `[l]`.
///
/// Right is a cell and landmark that was found; to be decided is what was found, or there, or both.
pub fn sight(model: &Gemma3, head: [&Tensor; 2], seen: &Seen) -> (Tensor, Tally) {
    let [weight, bias] = head;
    let scores = image_tokens(model, &seen.pixels).linear(weight, Some(bias)); // [c, l]
    let labels = Tensor::from_slice(&seen.labels).view_as(&scores);
    let loss = scores.binary_cross_entropy_with_logits(
        &labels,
        None::<&Tensor>,
        Some(&Tensor::from(POSITIVE_WEIGHT)),
        Reduction::Sum,
    );
    let (found, there) = (scores.gt(0.0), labels.gt(0.5));
    let tally = Tally {
        loss: loss.double_value(&[]),
        terms: seen.labels.len() as f64,
        right: count(&found.logical_and(&there)),
        decided: count(&found.logical_or(&there)),
    };
    (loss, tally)
}

/// Cross-entropy of the tokens of all answers about a picture, summed. `beginning` are the ids that all prompts begin with, `image`
/// the positions of the image in them.
///
/// The picture and what stands before the question go through the model once; each turn continues from there.
///
/// # Panics
/// Where libtorch fails, or where `image` has not as many tokens as the model makes of a picture.
pub fn answers(
    model: &Gemma3,
    (beginning, image): (&[u32], Range<usize>),
    asked: &Asked,
) -> (Tensor, Tally) {
    let features = image_tokens(model, &asked.pixels);
    let sequence = model
        .sequence(beginning.to_vec(), vec![image.clone()], vec![features])
        .expect("the span of the image was found by the processor");
    let mut prefix = Prefix::default();
    let _ = model.forward(&sequence, &mut prefix);
    let mut tally = Tally::default();
    let losses: Vec<Tensor> = asked
        .turns
        .iter()
        .map(|turn| {
            let (loss, part) = continued(model, &mut prefix, beginning.len(), &image, turn);
            tally += part;
            loss
        })
        .collect();
    let loss = Tensor::stack(&losses, 0).sum(Kind::Float);
    tally.loss = loss.double_value(&[]);
    (loss, tally)
}

fn continued(
    model: &Gemma3,
    prefix: &mut Prefix,
    start: usize,
    image: &Range<usize>,
    turn: &Turn,
) -> (Tensor, Tally) {
    let text = model.text();
    let last = turn.ids.len() - 1;
    // The last token is only predicted.
    let embeddings = text.embed(&turn.ids[..last]); // [n − 1, D]
    let hidden =
        text.forward(&embeddings, start, &SequenceLayout::unforked(vec![image.clone()]), prefix);
    let first = turn.prompt - 1;
    let logits = text.logits(&hidden.narrow(0, first as i64, (last - first) as i64)); // [a, V]
    let answer: Vec<i64> = turn.ids[turn.prompt..].iter().map(|&id| i64::from(id)).collect();
    let answer = Tensor::from_slice(&answer);
    let loss = logits.cross_entropy_loss(&answer, None::<&Tensor>, Reduction::Sum, -100, 0.0);
    let decided = Tensor::from_slice(&turn.decided);
    let right = logits.argmax(-1, false).eq_tensor(&answer).logical_and(&decided);
    let tally = Tally {
        loss: 0.0,
        terms: turn.decided.len() as f64,
        right: count(&right),
        decided: count(&decided),
    };
    (loss, tally)
}

fn count(set: &Tensor) -> f64 {
    set.sum(Kind::Int64).int64_value(&[]) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::Examples;
    use crate::lanes::Task;
    use crate::recipe::{Recipe, Variant};
    use crate::{companions, parameters};

    /// Each turn as a sequence of its own, in one go.
    fn apart(model: &Gemma3, examples: &Examples, asked: &Asked) -> Tensor {
        let (beginning, image) = examples.prefix();
        let loss = |turn: &Turn| {
            let ids = [beginning, &turn.ids].concat();
            let features = image_tokens(model, &asked.pixels);
            let sequence = model.sequence(ids, vec![image.clone()], vec![features]).unwrap();
            let logits = model.text().logits(&model.forward(&sequence, &mut Fast));
            let (first, count) = (beginning.len() + turn.prompt, turn.decided.len());
            let answer: Vec<i64> = turn.ids[turn.prompt..].iter().map(|&id| id.into()).collect();
            logits.narrow(0, first as i64 - 1, count as i64).cross_entropy_loss(
                &Tensor::from_slice(&answer),
                None::<&Tensor>,
                Reduction::Sum,
                -100,
                0.0,
            )
        };
        let losses: Vec<Tensor> = asked.turns.iter().map(loss).collect();
        Tensor::stack(&losses, 0).sum(Kind::Float)
    }

    /// Rounding: both ways add up the same numbers in another order.
    #[test]
    fn turns_that_share_a_beginning_equal_turns_apart() {
        let recipe = Recipe::tiny(Variant::Sound);
        let folder = tempfile::tempdir().unwrap();
        companions::write(folder.path(), &recipe.sizes).unwrap();
        let examples = Examples::new(&recipe, folder.path()).unwrap();
        let config = companions::config(&recipe.sizes).unwrap();
        let leaves: parameters::Parameters = parameters::initial(&config, 1)
            .into_iter()
            .map(|(name, tensor)| (name, tensor.set_requires_grad(true)))
            .collect();
        let model = Gemma3::from_tensors(config, &leaves).unwrap();
        let asked = examples.asked(Task::Answers, 5).unwrap();
        let (shared, tally) = answers(&model, examples.prefix(), &asked);
        let apart = apart(&model, &examples, &asked);
        assert!((tally.loss / apart.double_value(&[]) - 1.0).abs() < 1e-5);
        let names = leaves.values().collect::<Vec<_>>();
        let [shared, apart] =
            [shared, apart].map(|loss| Tensor::run_backward(&[loss], &names, false, false));
        for ((name, shared), apart) in leaves.keys().zip(shared).zip(apart) {
            let distance = (&shared - &apart).norm().double_value(&[]);
            let size = apart.norm().double_value(&[]);
            assert!(distance <= 1e-4 * size + 1e-6, "{name}: {distance} of {size}");
        }
    }
}
