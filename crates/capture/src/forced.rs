//! How a model rates given tokens, from one forward pass that keeps nothing.

use crate::goal::{check_targets, logit_rows};
use crate::{Error, Score};
use attention_relevancy::Target;
use gemma3_tch::{Fast, Gemma3, Sequence, guard};

/// Logit and log-probability of each target of a sequence that is given whole (teacher forcing), from the row before it. Of the
/// pass only the last layer's output `[S, D]` is held.
///
/// # Errors
/// [`Error::Target`] for a target that does not stand in the sequence, [`Error::Logit`] for a number that is not finite.
pub fn forced_scores(
    model: &Gemma3,
    sequence: &Sequence,
    targets: &[Target],
) -> Result<Vec<Score>, Error> {
    check_targets(targets, sequence.ids(), sequence.ids().len())?;
    let _no_grad = tch::no_grad_guard();
    let hidden = guard("running the language model", || model.forward(sequence, &mut Fast))?;
    let rows = |targets: &[Target]| hidden.index_select(0, &logit_rows(targets, hidden.device()));
    Score::of(targets, |targets| model.text().logits(&rows(targets)))
}
