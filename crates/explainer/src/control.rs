//! The control for the bias of positions: the same targets explained where there is nothing to see.

use std::time::{Duration, Instant};

use attention_relevancy::Foils;
use explanation_record::TargetControl;
use gemma3_tch::Sequence;

use crate::explain::Run;
use crate::finer::Images;
use crate::plan::Plan;
use crate::{Answer, Error, ExplainOptions, Explanations, Request, Resolution, TargetExplanation};

/// The targets of an answer explained with [`crate::Blank::Mean`] in the place of the pictures: what a map has because of where cells stand
/// in the sequence, and not because of what they show.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BlankControl {
    /// One for each of [`Explanations::targets`].
    pub targets: Vec<TargetControl>,
    /// How long it took.
    pub duration: Duration,
}

impl Request<'_> {
    /// Explains the targets once more, same prompt, same answer, same options, with the mean picture in the place of the pictures. A
    /// token that was set against its runner-up is set against the same token here, whichever the model would choose now.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] for a question without pictures, and what explaining may fail with.
    pub fn blank_control(
        &self,
        answer: &Answer,
        explanations: &Explanations,
    ) -> Result<BlankControl, Error> {
        let started = Instant::now();
        let blanks = self.explained_on(
            self.mean_picture(answer)?,
            answer,
            (&explanations.targets, &explanations.options),
        )?;
        let image_sum = |of: &TargetExplanation| of.relevancy().image_values().sum();
        let control = |(blank, target): (TargetExplanation, &TargetExplanation)| TargetControl {
            relevancy: blank.relevancy().relevancy().to_owned(),
            image_sum: image_sum(target),
            image_sum_blank: image_sum(&blank),
        };
        let targets = blanks.into_iter().zip(&explanations.targets).map(control).collect();
        Ok(BlankControl { targets, duration: started.elapsed() })
    }

    /// Targets explained by the same options on another sequence of the same tokens, or by another model: each token is set against
    /// what it was set against before. Rows of tokens alone.
    pub(crate) fn explained_on(
        &self,
        sequence: &Sequence,
        answer: &Answer,
        (targets, options): (&[TargetExplanation], &ExplainOptions),
    ) -> Result<Vec<TargetExplanation>, Error> {
        let plan = |target: &TargetExplanation| {
            let runners_up =
                || target.scores().iter().map(|score| score.runner_up.into()).collect();
            let foils = target.foils().map_or_else(runners_up, <[Foils]>::to_vec);
            Ok(Plan::new(answer, target.positions(), target.rule(), true)?.with_foils(foils))
        };
        let plans: Vec<Plan> = targets.iter().map(plan).collect::<Result<_, Error>>()?;
        let options = ExplainOptions {
            by_layer: false,
            by_head: None,
            resolution: Resolution::Tokens,
            methods: Vec::new(),
            ..options.clone()
        };
        // There are no finer maps, but what is kept of the pictures still takes memory.
        let (images, planned) = (Images { shown: &[], ..Images::of(answer) }, sequence.ids().len());
        let run = Run { sequence, states: None, images, planned };
        let (found, _) = self.found(run, &plans, &options, &mut Vec::new())?;
        let explained = |((plan, found), target): ((Plan, _), &TargetExplanation)| {
            plan.explanation(answer, found, target.token_weights().map(<[f32]>::to_vec))
        };
        plans.into_iter().zip(found).zip(targets).map(explained).collect()
    }
}
