//! How a model rates given tokens, from one forward pass that keeps nothing.

use crate::goal::{check_targets, index};
use crate::model::TraceOf;
use crate::seam::{
    Attend, AttentionLayer, Barred, Fast, Layer, MaskRule, Qkv, Sequence, Site, Watch, guard,
};
use crate::states::States;
use crate::{Error, LanguageModel, Score, goal};
use attention_relevancy::{Foils, Target};
use std::ops::Range;
use tch::{Kind, Tensor};

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
    let rows = Rows::run(model, sequence, targets, &mut Fast)?;
    goal::scores(targets, |targets| rows.logits(model, targets))
}

/// The same with every picture hidden: in no layer does a token behind a picture see its keys (attention knock-out, Geva et al.
/// 2023, of all heads and layers). Tokens and positions stay what they are.
///
/// What a picture would compute is seen by nobody then, so its rows are not run: a pass costs as many rows as there are tokens beside
/// pictures. A target that stands right behind an image token is predicted by the row of that; for such a one every row is run.
///
/// # Errors
/// As [`forced_scores`].
///
/// # Panics
/// Never: every row beside pictures is run.
pub fn forced_scores_without_images<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    targets: &[Target],
) -> Result<Vec<Score>, Error> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let rows = Rows::without_images(model, sequence, targets)?;
    goal::scores(targets, |targets| rows.logits(model, targets))
}

/// The same with some keys hidden from some queries alone, in every head and layer: ways from one part of a sequence to another are closed
/// (attention knock-out, Geva et al. 2023), and all others stay open.
///
/// # Errors
/// As [`forced_scores`].
pub fn forced_scores_barring<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    targets: &[Target],
    barred: &[Barred],
) -> Result<Vec<Score>, Error> {
    let rows = Rows::run(model, sequence, targets, &mut Barring { inner: Fast, barred })?;
    goal::scores(targets, |targets| rows.logits(model, targets))
}

/// What each target is set against by [`Foil::Alternatives`](crate::Foil::Alternatives): the eight other tokens that could most likely
/// stand there. A token counts by the product of two probabilities, that with the pictures and that with every picture hidden as by
/// [`forced_scores_without_images`]; the weights are the products divided by their sum. Without pictures both are the same.
///
/// Each of the two alone misleads. The likeliest other token with the pictures may name another finding that they show, and without them
/// it may be one that no answer about a picture has.
///
/// `states` are those of the sequence, where they are at hand; otherwise it is run once more.
///
/// # Errors
/// As [`forced_scores`].
pub fn alternatives<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    targets: &[Target],
    states: Option<&States<M>>,
) -> Result<Vec<Foils>, Error> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let computed = states.map_or(sequence.ids().len(), States::tokens);
    check_targets(targets, sequence.ids(), computed)?;
    if let Some(states) = states {
        return likely(model, sequence, targets, |targets| states.hidden(targets));
    }
    let run = Rows::run(model, sequence, targets, &mut Fast)?;
    likely(model, sequence, targets, |targets| run.of(targets))
}

/// The alternatives of targets that are predicted by these rows of the last layer's output with the pictures, `[targets, D]`.
fn likely<M: LanguageModel>(
    model: &M,
    sequence: &Sequence,
    targets: &[Target],
    seen: impl Fn(&[Target]) -> Tensor,
) -> Result<Vec<Foils>, Error> {
    if sequence.images().is_empty() {
        return goal::foils_of_rows(targets, |targets| {
            model.logits(&seen(targets)).to_kind(Kind::Float) * 2.0
        });
    }
    let hidden = Rows::without_images(model, sequence, targets)?;
    // Logits add up where probabilities multiply. Both in one product: a quantised vocabulary is unpacked once for it.
    goal::foils_of_rows(targets, |targets| {
        let rows = Tensor::cat(&[seen(targets), hidden.of(targets)], 0);
        let logits = model.logits(&rows).to_kind(Kind::Float).chunk(2, 0);
        &logits[0] + &logits[1]
    })
}

/// Outputs of the last layer.
struct Rows {
    /// Positions, ascending; `None`: all of them.
    positions: Option<Vec<usize>>,
    outputs: Tensor,
}

impl Rows {
    /// Of a run over the whole sequence.
    fn run<M: LanguageModel>(
        model: &M,
        sequence: &Sequence,
        targets: &[Target],
        watch: &mut dyn Watch<TraceOf<M>>,
    ) -> Result<Self, Error> {
        check_targets(targets, sequence.ids(), sequence.ids().len())?;
        let _no_grad = tch::no_grad_guard();
        let outputs = guard("running the language model", || {
            model.run(&model.embed(sequence), sequence.layout(), watch)
        })?;
        Ok(Self { positions: None, outputs })
    }

    /// Of a run with every picture hidden.
    fn without_images<M: LanguageModel>(
        model: &M,
        sequence: &Sequence,
        targets: &[Target],
    ) -> Result<Self, Error> {
        let of_image = |target: &Target| {
            sequence.images().iter().any(|image| image.contains(&target.logit_row()))
        };
        if targets.iter().any(of_image) {
            let mut hiding = Hiding { inner: Fast, spans: sequence.images() };
            return Self::run(model, sequence, targets, &mut hiding);
        }
        check_targets(targets, sequence.ids(), sequence.ids().len())?;
        let _no_grad = tch::no_grad_guard();
        let end = targets.iter().map(|target| target.logit_row() + 1).max().unwrap_or(0);
        let segments = beside(sequence.images(), end);
        let outputs = guard("running the language model", || {
            let embeddings = model.embed(sequence);
            let mut attend = Segments::default();
            let run = |segment: &Range<usize>| {
                let x = embeddings.narrow(0, segment.start as i64, segment.len() as i64);
                model.layers().iter().fold(x, |x, layer| {
                    layer.forward(&x, segment.start, &layer.mask(sequence.layout()), &mut attend)
                })
            };
            let outputs: Vec<Tensor> = segments.iter().map(run).collect();
            Tensor::cat(&outputs, 0)
        })?;
        Ok(Self { positions: Some(segments.into_iter().flatten().collect()), outputs })
    }

    /// The logits that predict some targets, `[targets, V]`.
    fn logits<M: LanguageModel>(&self, model: &M, targets: &[Target]) -> Tensor {
        model.logits(&self.of(targets))
    }

    /// The rows that predict some targets, `[targets, D]`.
    fn of(&self, targets: &[Target]) -> Tensor {
        let row = |target: &Target| match &self.positions {
            None => target.logit_row(),
            Some(positions) => positions
                .binary_search(&target.logit_row())
                .expect("every row beside pictures was run"),
        };
        let rows: Vec<usize> = targets.iter().map(row).collect();
        self.outputs.index_select(0, &index(&rows, self.outputs.device()))
    }
}

/// The tokens before `end` that are of no picture, as runs in order.
fn beside(images: &[Range<usize>], end: usize) -> Vec<Range<usize>> {
    let starts = std::iter::once(0).chain(images.iter().map(|image| image.end));
    let ends = images.iter().map(|image| image.start).chain([end]);
    let runs = starts.zip(ends).map(|(start, run_end)| start..run_end.min(end));
    runs.filter(|run| !run.is_empty()).collect()
}

/// Attention of runs of a sequence, in order, with gaps between them that nobody sees.
#[derive(Default)]
struct Segments {
    /// Keys and values of the runs so far, by layer.
    layers: Vec<Vec<Qkv>>,
}

/// Most query rows that attention is made for at once, to bound the mask.
const QUERY_BLOCK: usize = 512;

impl Attend for Segments {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        if self.layers.len() <= site.layer {
            self.layers.resize_with(site.layer + 1, Vec::new);
        }
        let parts = &mut self.layers[site.layer];
        let copy = |x: &Tensor| x.shallow_clone();
        let Qkv { q, k, v, scale, start } = qkv;
        parts.push(Qkv { q: copy(q), k: copy(k), v: copy(v), scale: *scale, start: *start });
        let joined = |of: fn(&Qkv) -> &Tensor| {
            let all = Tensor::cat(&parts.iter().map(of).collect::<Vec<_>>(), 1); // [K, n, d]
            match qkv.group() {
                1 => all,
                group => all.repeat_interleave_self_int(group, 0, None),
            }
        };
        let [k, v] = [joined(|part| &part.k), joined(|part| &part.v)].map(|x| x.unsqueeze(0));
        let end = start + qkv.tokens();
        let blocks = (*start..end).step_by(QUERY_BLOCK).map(|first| {
            let queries = first..end.min(first + QUERY_BLOCK);
            let visible = |part: &Qkv| {
                let keys = part.start..part.start + part.tokens();
                mask.block(&queries, &keys, q.device()).unwrap_or_else(|| {
                    let size = [queries.len() as i64, keys.len() as i64];
                    Tensor::ones(size, (Kind::Bool, q.device()))
                })
            };
            let visible = Tensor::cat(&parts.iter().map(visible).collect::<Vec<_>>(), 1);
            let q = q.narrow(1, (first - start) as i64, queries.len() as i64).unsqueeze(0);
            let seen = Tensor::scaled_dot_product_attention(
                &q,
                &k,
                &v,
                Some(visible),
                0.0,
                false,
                *scale,
                false,
            );
            seen.squeeze_dim(0)
        });
        Tensor::cat(&blocks.collect::<Vec<_>>(), 1)
    }
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

/// An attention with some keys hidden from some queries.
struct Barring<'a, A> {
    inner: A,
    barred: &'a [Barred],
}

impl<A: Attend> Attend for Barring<'_, A> {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        self.inner.attend(site, qkv, &mask.clone().barring(self.barred.to_vec()))
    }
}

impl<A: Attend, Trace> Watch<Trace> for Barring<'_, A> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_beside_pictures_end_where_they_are_told() {
        let images = [2..5, 7..9, 9..12];
        assert_eq!(beside(&images, 20), [0..2, 5..7, 12..20]);
        assert_eq!(beside(&images, 6), [0..2, 5..6]);
        assert_eq!(beside(&images[..0], 4), std::slice::from_ref(&(0..4)));
        assert!(beside(&[0..3], 2).is_empty());
    }
}
