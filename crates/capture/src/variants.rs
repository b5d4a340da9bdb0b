//! Log-probabilities in runs that differ from the undisturbed one in what they see of the pictures, several runs in one pass through the
//! layers.
//!
//! All runs go on from the same kept keys and values ([`Cached::abreast`]); their rows are stacked, so weights are read once for a batch.

use crate::goal::{LOGIT_ROWS, by_target, check_targets, index};
use crate::occlusion::{Leg, Occluder, part, runs};
use crate::seam::{Attend, AttentionLayer, Cached, Layer, guard};
use crate::{Error, LanguageModel, Objective, convert};
use attention_relevancy::ndarray::Array2;
use attention_relevancy::{Occlusion, Target};
use std::ops::Range;
use tch::{Kind, Tensor};

/// Rows that one pass takes: enough for products with weights to be bound by arithmetic, and no longer by reading them.
const ROWS: usize = 1024;

/// A run among others.
struct Variant {
    /// The embeddings of its rows `[m, D]`.
    x: Tensor,
    /// What is hidden from all that stands behind it.
    hidden: Vec<Range<usize>>,
}

/// So many runs, each made when its turn comes.
struct Variants<'v> {
    count: usize,
    make: &'v mut dyn FnMut(usize) -> Result<Variant, Error>,
}

impl<M: LanguageModel> Occluder<'_, M> {
    /// The log-probability of each target in nats without each set of cells of the pictures, `[sets, targets]`: an empty set is the
    /// undisturbed run. All targets are read off the same runs, of which there is one for each set; what stands before the first cell
    /// (by [`Occlusion::MeanEmbedding`]) or before the end of the last picture (by [`Occlusion::Knockout`]) is run once, and several sets
    /// go through the layers together. `progress` hears how many sets are done, and of how many.
    ///
    /// # Errors
    /// As [`rows`](Self::rows); [`Error::Target`] also for a target before the end of a picture that has a cell in a set,
    /// [`Error::NoCell`] for a position of no picture.
    pub fn log_probabilities(
        &self,
        targets: &[Target],
        sets: &[Vec<usize>],
        occlusion: Occlusion,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Array2<f64>, Error> {
        let images = self.sequence.images();
        let image_of = |cell: usize| {
            let image = images.iter().find(|image| image.contains(&cell));
            image.cloned().ok_or(Error::NoCell { position: cell })
        };
        let touched = sets.iter().flatten().map(|&cell| image_of(cell));
        let touched = touched.collect::<Result<Vec<_>, _>>()?;
        let leg = self.leg_of(targets, &touched, occlusion)?;
        let _no_grad = tch::no_grad_guard();
        let embeddings = guard("embedding the sequence", || self.model.embed(self.sequence))?;
        let x = part(&embeddings, &(leg.from..leg.end));
        let mut variant = |index: usize| {
            let set = &sets[index];
            Ok(match occlusion {
                Occlusion::MeanEmbedding => {
                    Variant { x: self.with_means(&x, leg.from, set), hidden: Vec::new() }
                }
                Occlusion::Knockout => Variant { x: x.shallow_clone(), hidden: runs(set) },
            })
        };
        let variants = Variants { count: sets.len(), make: &mut variant };
        self.scores((targets, &leg), &embeddings, variants, progress)
    }

    /// The same with other features of the pictures: run `index` of `count` has what `features` makes for it, `[t, D]` for each picture, in
    /// their order.
    ///
    /// # Errors
    /// As [`log_probabilities`](Self::log_probabilities), those of `features`, and features that are not as large as those of the sequence.
    pub fn log_probabilities_with(
        &self,
        targets: &[Target],
        count: usize,
        features: &mut dyn FnMut(usize) -> Result<Vec<Tensor>, Error>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Array2<f64>, Error> {
        let leg = self.leg_of(targets, self.sequence.images(), Occlusion::MeanEmbedding)?;
        let _no_grad = tch::no_grad_guard();
        let embeddings = guard("embedding the sequence", || self.model.embed(self.sequence))?;
        let mut variant = |index: usize| {
            let changed = self.sequence.with_features(features(index)?)?;
            let x = guard("embedding the sequence", || self.model.embed(&changed))?;
            Ok(Variant { x: part(&x, &(leg.from..leg.end)), hidden: Vec::new() })
        };
        let variants = Variants { count, make: &mut variant };
        self.scores((targets, &leg), &embeddings, variants, progress)
    }

    /// The log-probabilities of targets in so many runs.
    fn scores(
        &self,
        (targets, leg): (&[Target], &Leg),
        embeddings: &Tensor,
        Variants { count, make }: Variants<'_>,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Array2<f64>, Error> {
        let mut found = Array2::zeros((count, targets.len()));
        if found.is_empty() {
            return Ok(found);
        }
        self.check_budget(std::slice::from_ref(leg))?;
        let together = self.together(leg);
        let mut prefix = Cached::default();
        let before = part(embeddings, &(0..leg.from));
        guard("running the language model", || drop(self.run(&before, 0, &mut prefix)))?;
        let mut done = 0;
        while done < count {
            if self.options.cancelled() {
                return Err(Error::Cancelled);
            }
            let batch: Vec<Variant> =
                (done..count.min(done + together)).map(&mut *make).collect::<Result<_, _>>()?;
            let values = self.batch((targets, leg), &batch, &prefix)?;
            for (mut row, values) in
                found.rows_mut().into_iter().skip(done).zip(values.chunks(targets.len()))
            {
                row.iter_mut().zip(values).for_each(|(entry, &value)| *entry = value);
            }
            done += batch.len();
            progress(done, count);
        }
        Ok(found)
    }

    /// The log-probabilities of each target in each of some runs, run by run.
    fn batch(
        &self,
        (targets, leg): (&[Target], &Leg),
        batch: &[Variant],
        prefix: &Cached,
    ) -> Result<Vec<f64>, Error> {
        let rows = leg.end - leg.from;
        let hidden: Vec<Vec<Range<usize>>> =
            batch.iter().map(|variant| variant.hidden.clone()).collect();
        let output = guard("running the language model", || {
            let x = Tensor::cat(&batch.iter().map(|variant| &variant.x).collect::<Vec<_>>(), 0);
            let mut attend = prefix.abreast(&hidden);
            self.model.layers().iter().fold(x, |x, layer| {
                let mask = layer.mask(self.sequence.layout());
                let place = mask.place(leg.from).in_runs_of(rows);
                let heads = attend.attend(layer.site(), &layer.project(&x, place), &mask);
                layer.merge(&x, &heads)
            })
        })?;
        let wanted: Vec<(usize, u32)> = (0..batch.len())
            .flat_map(|run| {
                let row = move |target: &Target| run * rows + target.logit_row() - leg.from;
                targets.iter().map(move |target| (row(target), target.token()))
            })
            .collect();
        let mut values = Vec::with_capacity(wanted.len());
        for wanted in wanted.chunks(LOGIT_ROWS) {
            let (rows, tokens): (Vec<usize>, Vec<u32>) = wanted.iter().copied().unzip();
            let found = guard("computing logits", || {
                let rows = output.index_select(0, &index(&rows, output.device()));
                let logits = self.model.logits(&rows).to_kind(Kind::Float);
                let none = vec![None; tokens.len()];
                convert::numbers(&by_target(Objective::LogProbability, &logits, (&tokens, &none)))
            })?;
            if let Some(at) = found.iter().position(|value| !value.is_finite()) {
                return Err(Error::Logit { row: rows[at] % (leg.end - leg.from) + leg.from });
            }
            values.extend(found.into_iter().map(f64::from));
        }
        Ok(values)
    }

    /// The rows of these targets from before all that changes in some pictures.
    fn leg_of(
        &self,
        targets: &[Target],
        touched: &[Range<usize>],
        occlusion: Occlusion,
    ) -> Result<Leg, Error> {
        let ids = self.sequence.ids();
        check_targets(targets, ids, ids.len())?;
        let end = targets.iter().map(|target| target.logit_row() + 1).max().unwrap_or(0);
        let behind = touched.iter().map(|image| image.end).max().unwrap_or(0);
        if let Some(early) = targets.iter().find(|target| target.logit_row() < behind) {
            let (position, token) = (early.position(), early.token());
            return Err(Error::Target { position, token, tokens: ids.len() });
        }
        let from = match occlusion {
            Occlusion::MeanEmbedding => touched.iter().map(|image| image.start).min().unwrap_or(0),
            Occlusion::Knockout => behind,
        };
        Ok(Leg { from, end, cells: Vec::new(), goals: Vec::new() })
    }

    /// How many runs go through the layers at once: as many as the budget holds beside what one needs, up to [`ROWS`] rows.
    fn together(&self, leg: &Leg) -> usize {
        let rows = (leg.end - leg.from).max(1);
        let number = self.model.placement().kind.unwrap_or(Kind::Float).elt_size_in_bytes();
        // Keys and values of one layer for each run, repeated for every head, and the scores of its heads.
        let attention = self.model.layers().iter().map(|layer| {
            let dims = layer.dims();
            let keys = dims.window.map_or(leg.end, |window| leg.end.min(window + rows));
            let held = 2 * keys * (dims.heads + dims.key_heads) * dims.width * number;
            (held + rows * keys * (dims.heads * size_of::<f32>() + 1)) as u64
        });
        let run = self.model.layers().iter().map(|layer| layer.pull_cost().shared).max();
        let each = attention.max().unwrap_or(0) + rows as u64 * run.unwrap_or(0);
        let left = self.options.memory_budget.saturating_sub(self.bytes(std::slice::from_ref(leg)));
        let fit = 1 + usize::try_from(left / each.max(1)).unwrap_or(usize::MAX - 1);
        fit.min((ROWS / rows).max(1))
    }
}
