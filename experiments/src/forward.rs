//! The losses of the two stages, through the model's own forward pass.
//!
//! Symbols: c cells of the grid, l landmarks, P tokens of the common beginning, n tokens of a turn, a of them the answer.

use gemma3_processor::Pixels;
use gemma3_tch::{Fast, Gemma3, SequenceLayout};
use tch::{Kind, Reduction, Tensor};

use crate::examples::{Asked, Beginning, Seen, Turn};
use crate::prefix::{Packed, Prefix};

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

/// What the answer's next token is chosen from while a model learns.
#[derive(Debug, Clone, Copy)]
pub enum Choice<'a> {
    /// All tokens.
    All,
    /// These, in ascending order: those of every answer are among them. A large vocabulary costs more than the layers.
    Among(&'a [u32]),
}

/// Cross-entropy of the tokens of all answers about a picture, summed.
///
/// The picture and what stands before the question go through the model once; each turn continues from there.
///
/// # Panics
/// Where libtorch fails, where the spans of `beginning` have not as many tokens as the model makes of a picture, or where a token of an
/// answer cannot be chosen.
pub fn answers(
    model: &Gemma3,
    beginning: &Beginning,
    asked: &Asked,
    choice: Choice<'_>,
) -> (Tensor, Tally) {
    let (beginning, features) = begun(model, beginning, asked);
    let sequence = model
        .sequence(beginning.ids.clone(), beginning.images.clone(), features)
        .expect("the spans of the images were found by the processor");
    let mut prefix = Prefix::default();
    let _ = model.forward(&sequence, &mut prefix);
    let rows = asked.turns.iter().map(|turn| continued(model, &mut prefix, &beginning, turn));
    chosen(model, &Tensor::cat(&rows.collect::<Vec<_>>(), 0), asked, choice)
}

/// The same in one pass over all turns: each sees the picture and itself, as in [`answers`], but stands behind the turns before it, further
/// from the picture than alone. So the numbers are others: a model that learns with them learns to look from further away. A deep model
/// that is trained by small parts is several times as fast this way.
///
/// # Panics
/// As [`answers`].
pub fn packed_answers(
    model: &Gemma3,
    beginning: &Beginning,
    asked: &Asked,
    choice: Choice<'_>,
) -> (Tensor, Tally) {
    let (beginning, features) = begun(model, beginning, asked);
    // The last token of a turn is only predicted.
    let shown = |turn: &Turn| turn.ids.len() - 1;
    let mut ids = beginning.ids.clone();
    let (mut turns, mut rows) = (Vec::new(), Vec::new());
    for turn in &asked.turns {
        let start = ids.len();
        ids.extend(&turn.ids[..shown(turn)]);
        turns.push(start..ids.len());
        rows.extend((start + turn.prompt - 1..ids.len()).map(|row| row as i64));
    }
    let sequence = model
        .sequence(ids, beginning.images.clone(), features)
        .expect("the spans of the images were found by the processor");
    let last = model.forward(&sequence, &mut Packed::new(beginning.ids.len(), &turns));
    chosen(model, &last.index_select(0, &Tensor::from_slice(&rows)), asked, choice)
}

/// What is asked begins with, and the image tokens in it: those that are shown.
fn begun(model: &Gemma3, beginning: &Beginning, asked: &Asked) -> (Beginning, Vec<Tensor>) {
    let all = asked.pixels.iter().map(|pixels| image_tokens(model, pixels));
    let Some(cells) = &asked.cells else {
        return (beginning.clone(), all.collect());
    };
    let shown = |(all, cells): (Tensor, &Vec<i64>)| all.index_select(0, &Tensor::from_slice(cells));
    let counts: Vec<usize> = cells.iter().map(Vec::len).collect();
    (beginning.with_image_tokens(&counts), all.zip(cells).map(shown).collect())
}

/// The loss of the rows `[a of all turns, D]` of the last layer that choose the tokens of the answers.
fn chosen(model: &Gemma3, rows: &Tensor, asked: &Asked, choice: Choice<'_>) -> (Tensor, Tally) {
    let of_answers = asked.turns.iter().flat_map(|turn| &turn.ids[turn.prompt..]);
    let (logits, answers) = match choice {
        Choice::All => {
            let answers = of_answers.map(|&id| i64::from(id)).collect::<Vec<_>>();
            (model.text().logits(rows), answers)
        }
        Choice::Among(ids) => {
            let place = |id: &u32| ids.binary_search(id).expect("every answer can be chosen");
            let answers = of_answers.map(|id| place(id) as i64).collect();
            (model.text().logits_of(rows, ids), answers)
        }
    };
    let (logits, answers) = (logits.to_kind(Kind::Float), Tensor::from_slice(&answers));
    let loss = logits.cross_entropy_loss(&answers, None::<&Tensor>, Reduction::Sum, -100, 0.0);
    let decided: Vec<bool> = asked.turns.iter().flat_map(|turn| &turn.decided).copied().collect();
    let decided = Tensor::from_slice(&decided);
    let right = logits.argmax(-1, false).eq_tensor(&answers).logical_and(&decided);
    let tally = Tally {
        loss: loss.double_value(&[]),
        terms: decided.numel() as f64,
        right: count(&right),
        decided: count(&decided),
    };
    (loss, tally)
}

/// The rows of the last layer that choose the tokens of an answer, `[a, D]`.
fn continued(model: &Gemma3, prefix: &mut Prefix, beginning: &Beginning, turn: &Turn) -> Tensor {
    let text = model.text();
    let last = turn.ids.len() - 1;
    // The last token is only predicted.
    let embeddings = text.embed(&turn.ids[..last]); // [n − 1, D]
    let layout = SequenceLayout::unforked(beginning.images.clone());
    let hidden = text.forward(&embeddings, beginning.ids.len(), &layout, prefix);
    let first = turn.prompt - 1;
    hidden.narrow(0, first as i64, (last - first) as i64)
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

    fn tiny() -> (Examples, gemma3_tch::Config) {
        let recipe = Recipe::tiny(Variant::Sound);
        let folder = tempfile::tempdir().unwrap();
        companions::write(folder.path(), &recipe.sizes).unwrap();
        let examples = Examples::new(&recipe, folder.path()).unwrap();
        (examples, companions::config(&recipe.sizes).unwrap())
    }

    /// Each turn as a sequence of its own, in one go.
    fn apart(model: &Gemma3, examples: &Examples, asked: &Asked) -> Tensor {
        let Beginning { ids: beginning, images } = examples.beginning();
        let loss = |turn: &Turn| {
            let ids = [&beginning[..], &turn.ids].concat();
            let features = asked.pixels.iter().map(|pixels| image_tokens(model, pixels)).collect();
            let sequence = model.sequence(ids, images.clone(), features).unwrap();
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

    /// A turn alone is where it would stand by itself: both ways are the same. Others change nothing but where it stands.
    #[test]
    fn packed_turns_do_not_see_each_other() {
        let (examples, config) = tiny();
        let model = Gemma3::from_tensors(config.clone(), &parameters::initial(&config, 1)).unwrap();
        let mut asked = examples.asked(Task::Answers, 5).unwrap();
        let all = asked.turns.len();
        let loss =
            |asked: &Asked| packed_answers(&model, examples.beginning(), asked, Choice::All).0;
        let together = loss(&asked).double_value(&[]);
        asked.turns.truncate(1);
        let (alone, _) = answers(&model, examples.beginning(), &asked, Choice::All);
        let first = loss(&asked).double_value(&[]);
        assert!((first / alone.double_value(&[]) - 1.0).abs() < 1e-5);
        // Another first turn as long as this one would change what the second sees, if it saw it.
        let mut asked = examples.asked(Task::Answers, 5).unwrap();
        let shortened = asked.turns[0].ids.len() - 2;
        let other = asked.turns[0].ids[shortened] + 1;
        asked.turns[0].ids[shortened] = other;
        let mut own = examples.asked(Task::Answers, 5).unwrap();
        own.turns.truncate(1);
        own.turns[0].ids[shortened] = other;
        let (changed, changed_first) =
            (loss(&asked).double_value(&[]), loss(&own).double_value(&[]));
        assert!(1 < all && ((together - first) - (changed - changed_first)).abs() < 1e-3);
    }

    /// The same tokens in another way: features that were chosen outside, in a prompt that was written for so few.
    #[test]
    fn cells_that_are_not_shown_are_not_in_the_prompt() {
        let (examples, config) = tiny();
        let model = Gemma3::from_tensors(config.clone(), &parameters::initial(&config, 1)).unwrap();
        let mut asked = examples.asked(Task::Answers, 5).unwrap();
        asked.turns.truncate(1);
        let Beginning { ids, images } = examples.beginning();
        let all = image_tokens(&model, &asked.pixels[0]);
        let (cells, turn) = ([1i64, 4, 9], &asked.turns[0]);
        let image = images[0].start..images[0].start + cells.len();
        let ids = [&ids[..image.end], &ids[images[0].end..], &turn.ids[..]].concat();
        let rows = (ids.len() - turn.decided.len() - 1) as i64;
        let shown = all.index_select(0, &Tensor::from_slice(&cells));
        let sequence = model.sequence(ids, vec![image], vec![shown]).unwrap();
        let logits = model.text().logits(&model.forward(&sequence, &mut Fast));
        let answer: Vec<i64> = turn.ids[turn.prompt..].iter().map(|&id| id.into()).collect();
        let expected = logits.narrow(0, rows, answer.len() as i64).cross_entropy_loss(
            &Tensor::from_slice(&answer),
            None::<&Tensor>,
            Reduction::Sum,
            -100,
            0.0,
        );
        let whole = packed_answers(&model, examples.beginning(), &asked, Choice::All).1.loss;
        asked.cells = Some(vec![cells.to_vec()]);
        for way in [packed_answers, answers] {
            let loss = way(&model, examples.beginning(), &asked, Choice::All).1.loss;
            assert!((loss / expected.double_value(&[]) - 1.0).abs() < 1e-5, "{loss} {expected}");
            assert!((loss / whole - 1.0).abs() > 1e-3, "the cells change nothing");
        }
    }

    /// Rounding: both ways add up the same numbers in another order.
    #[test]
    fn turns_that_share_a_beginning_equal_turns_apart() {
        let (examples, config) = tiny();
        let leaves: parameters::Parameters = parameters::initial(&config, 1)
            .into_iter()
            .map(|(name, tensor)| (name, tensor.set_requires_grad(true)))
            .collect();
        let model = Gemma3::from_tensors(config, &leaves).unwrap();
        let asked = examples.asked(Task::Answers, 5).unwrap();
        let (shared, tally) = answers(&model, examples.beginning(), &asked, Choice::All);
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
