//! How words of an answer get to the picture where the model thinks aloud first: by themselves, or through its trace.

use std::ops::Range;

use attention_capture::forced_scores_barring;
use attention_relevancy::Target;
use explanation_record::{TargetExplanation, ThroughTrace};
use gemma3_tch::Barred;

use crate::error::Cause;
use crate::{Answer, Error, Request};

impl Request<'_> {
    /// For each explained target what its thinking trace does for it; none for an answer without pictures or without a trace, and for a target
    /// that is not behind the trace. Four forward passes, whatever the number of targets.
    ///
    /// The row of the last token of the trace predicts the first of the answer, so it is one of the answer's.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Cancelled`], and what the forward pass fails with.
    pub(crate) fn through_trace(
        &self,
        answer: &Answer,
        explained: &[&TargetExplanation],
    ) -> Result<Vec<Option<ThroughTrace>>, Error> {
        let (first, proper) = (answer.prepared.ids.len(), answer.proper.start);
        let images = answer.sequence.images();
        let is_behind = |target: &TargetExplanation| proper <= target.positions().start;
        if proper <= first + 1 || images.is_empty() || !explained.iter().any(|it| is_behind(it)) {
            return Ok(vec![None; explained.len()]);
        }
        let (trace, rest) = (first..proper - 1, proper - 1..answer.sequence.ids().len());
        let behind = images.iter().map(|image| image.end).max().unwrap_or(0)..rest.end;
        let from = |queries: &Range<usize>| -> Vec<Barred> {
            let of = |keys: &Range<usize>| Barred { keys: keys.clone(), queries: queries.clone() };
            images.iter().map(of).collect()
        };
        // A picture may stand before text that another comes after: each is hidden from all that stands behind it.
        let all =
            images.iter().map(|keys| Barred { keys: keys.clone(), queries: keys.end..behind.end });
        let of_trace = Barred { keys: first..proper - 1, queries: rest.clone() };
        let ways = [all.collect(), from(&trace), from(&rest), vec![of_trace]];
        let tokens = |target: &TargetExplanation| target.relevancy().targets().to_vec();
        let wanted: Vec<Target> =
            explained.iter().filter(|it| is_behind(it)).flat_map(|it| tokens(it)).collect();
        let mut losses: Vec<Vec<f64>> = Vec::new();
        for barred in &ways {
            if self.cancelled() {
                return Err(Cause::Cancelled.into());
            }
            let scores = forced_scores_barring(self.model, &answer.sequence, &wanted, barred)?;
            losses.push(scores.iter().map(|score| f64::from(score.log_probability)).collect());
        }
        let mut next = 0;
        let found = explained.iter().map(|target| {
            is_behind(target).then(|| {
                let own = next..next + target.scores().len();
                next = own.end;
                let whole = f64::from(target.log_probability());
                let loss = |way: usize| whole - losses[way][own.clone()].iter().sum::<f64>();
                with_relevancy(ThroughTrace::new([0, 1, 2, 3].map(loss)), target, (&trace, images))
            })
        });
        Ok(found.collect())
    }
}

/// With the shares of a target's relevancy in trace and pictures.
fn with_relevancy(
    found: ThroughTrace,
    target: &TargetExplanation,
    (trace, images): (&Range<usize>, &[Range<usize>]),
) -> ThroughTrace {
    let row = target.relevancy().without_self();
    let sum = |span: &Range<usize>| span.clone().map(|at| row[at]).sum::<f32>();
    let all: f32 = row.sum();
    if target.is_empty() || all <= 0.0 {
        return found;
    }
    found.with_relevancy([sum(trace) / all, images.iter().map(sum).sum::<f32>() / all])
}
