//! How a model rates given tokens, from one forward pass that keeps nothing.

use crate::goal::{check_targets, logit_rows};
use crate::model::TraceOf;
use crate::seam::{Attend, Fast, MaskRule, Qkv, Sequence, Site, Watch, guard};
use crate::{Error, LanguageModel, Score, goal};
use attention_relevancy::Target;
use std::ops::Range;
use tch::Tensor;

/// Logit and log-probability of each target of a sequence that is given whole (teacher forcing), from the row before it. Of the
/// pass only the last layer's output `[S, D]` is held.
///
/// # Errors
/// [`Error::Target`] for a target that does not stand in the sequence, [`Error::Logit`] for a number that is not finite.
pub fn forced_scores<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    targets: &[Target],
) -> Result<Vec<Score>, Error> {
    forced(model, sequence, targets, &mut Fast)
}

/// The same with every picture hidden: in no layer does a token behind a picture see its keys (attention knock-out, Geva et al.
/// 2023, of all heads and layers). Tokens and positions stay what they are.
///
/// # Errors
/// As [`forced_scores`].
pub fn forced_scores_without_images<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    targets: &[Target],
) -> Result<Vec<Score>, Error> {
    forced(model, sequence, targets, &mut Hiding { inner: Fast, spans: sequence.images() })
}

fn forced<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    targets: &[Target],
    watch: &mut dyn Watch<TraceOf<M>>,
) -> Result<Vec<Score>, Error> {
    check_targets(targets, sequence.ids(), sequence.ids().len())?;
    let _no_grad = tch::no_grad_guard();
    let hidden = guard("running the language model", || {
        model.run(&model.embed(sequence), sequence.layout(), watch)
    })?;
    let rows = |targets: &[Target]| hidden.index_select(0, &logit_rows(targets, hidden.device()));
    goal::scores(targets, |targets| model.logits(&rows(targets)))
}

/// An attention with some spans hidden from all that stands behind them.
pub(crate) struct Hiding<'a, A> {
    pub(crate) inner: A,
    pub(crate) spans: &'a [Range<usize>],
}

impl<A: Attend> Attend for Hiding<'_, A> {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        self.inner.attend(site, qkv, &mask.clone().hiding(self.spans.to_vec()))
    }
}

impl<A: Attend, Trace> Watch<Trace> for Hiding<'_, A> {}
