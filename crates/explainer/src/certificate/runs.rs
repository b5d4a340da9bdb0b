//! Runs of the model without some of the cells, by one operator.

use std::ops::Range;

use attention_capture::{Error as CaptureError, Occluder, SweepOptions};
use attention_relevancy::ndarray::{Array2, Axis};
use attention_relevancy::{Occlusion, Target};
use explanation_record::Operator;

use super::plan::Cells;
use crate::filled::{Filler, Seen};
use crate::{Answer, Error, Request, TargetExplanation};

/// Runs of an answer, in each of which other cells are gone.
pub(super) struct Runs<'a> {
    request: &'a Request<'a>,
    answer: &'a Answer,
    cells: &'a Cells,
    how: How,
    /// The tokens of all targets, each once.
    tokens: Vec<Target>,
    /// For each target its tokens, as indices.
    of_targets: Vec<Vec<usize>>,
    count: usize,
}

/// How cells are taken away.
enum How {
    /// In the language model.
    Occlusion(Occlusion),
    /// In the pixels of each image.
    Pixels(Vec<Seen>),
}

impl<'a> Runs<'a> {
    pub(super) fn new(
        request: &'a Request<'a>,
        answer: &'a Answer,
        (operator, cells): (Operator, &'a Cells),
        explained: &[TargetExplanation],
        seed: u64,
    ) -> Result<Self, Error> {
        let how = match operator {
            Operator::KnockOut => How::Occlusion(Occlusion::Knockout),
            Operator::MeanEmbedding => How::Occlusion(Occlusion::MeanEmbedding),
            Operator::Blur => How::Pixels(seen(request, answer, cells, Filler::Blur)?),
            _ => How::Pixels(seen(request, answer, cells, Filler::Road { seed })?),
        };
        let all = explained.iter().flat_map(|target| target.relevancy().targets().iter().copied());
        let mut tokens: Vec<Target> = all.collect();
        tokens.sort_by_key(|token| token.position());
        tokens.dedup_by_key(|token| token.position());
        let index = |token: &Target| tokens.partition_point(|it| it.position() < token.position());
        let of_target = |target: &TargetExplanation| {
            target.relevancy().targets().iter().map(index).collect::<Vec<_>>()
        };
        let of_targets = explained.iter().map(of_target).collect();
        Ok(Self { request, answer, cells, how, tokens, of_targets, count: 0 })
    }

    pub(super) fn cells(&self) -> &Cells {
        self.cells
    }

    /// How many there were so far.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Without the noise of ROAD.
    #[cfg(test)]
    pub(super) fn still(&mut self) {
        if let How::Pixels(images) = &mut self.how {
            images.iter_mut().for_each(Seen::still);
        }
    }

    /// The score of each target with all cells and without any.
    pub(super) fn worth(&mut self) -> Result<Vec<[f64; 2]>, Error> {
        let scores = self.scores(&[Vec::new(), (0..self.cells.count()).collect()])?;
        Ok(scores.axis_iter(Axis(1)).map(|of| [of[0], of[1]]).collect())
    }

    /// The score of each target without each set of cells, `[sets, targets]`.
    pub(super) fn scores(&mut self, sets: &[Vec<usize>]) -> Result<Array2<f64>, Error> {
        let by_token = self.by_token(sets)?;
        self.count += sets.len();
        Ok(Array2::from_shape_fn((sets.len(), self.of_targets.len()), |(set, target)| {
            self.of_targets[target].iter().map(|&token| by_token[[set, token]]).sum()
        }))
    }

    /// The log-probability of each token of the targets without each set of cells, `[sets, tokens]`.
    pub(super) fn by_token(&self, sets: &[Vec<usize>]) -> Result<Array2<f64>, Error> {
        let context = self.request.context;
        let passes = SweepOptions {
            memory_budget: self.request.memory_budget(),
            cancel: context.cancel.clone(),
        };
        let (model, sequence) = (self.request.model, &self.answer.sequence);
        let occluder = Occluder::new(model, sequence, passes);
        let mut progress = |done: usize, of: usize| {
            if let Some(observer) = &context.progress {
                observer(done as u64, of as u64);
            }
        };
        let found = match &self.how {
            How::Occlusion(occlusion) => {
                let sets: Vec<Vec<usize>> =
                    sets.iter().map(|set| self.cells.positions(set)).collect();
                occluder.log_probabilities(&self.tokens, &sets, *occlusion, &mut progress)
            }
            How::Pixels(images) => {
                let mut features = |index: usize| {
                    let gone = self.cells.tokens(&sets[index]);
                    let of_image = |(image, seen): (usize, &Seen)| {
                        let own = seen.own(&gone);
                        if own.is_empty() {
                            return Ok(sequence.features()[image].shallow_clone());
                        }
                        Ok(model.encode_image(&seen.without(&own))?)
                    };
                    images.iter().enumerate().map(of_image).collect::<Result<_, CaptureError>>()
                };
                let (tokens, count) = (&self.tokens, sets.len());
                occluder.log_probabilities_with(tokens, count, &mut features, &mut progress)
            }
        };
        Ok(found?)
    }
}

/// Every image as the vision tower takes it.
fn seen(
    request: &Request<'_>,
    answer: &Answer,
    cells: &Cells,
    filler: Filler,
) -> Result<Vec<Seen>, Error> {
    let mut all = Vec::new();
    for picture in &answer.question.pictures {
        all.extend(request.processor.pixels(picture)?);
    }
    let range = |start: usize, [rows, columns]: [usize; 2]| -> Range<usize> {
        start..start + rows * columns
    };
    let images = cells.grids().zip(all);
    let seen =
        images.map(|((start, grid), pixels)| Seen::new(pixels, (range(start, grid), grid), filler));
    Ok(seen.collect())
}
