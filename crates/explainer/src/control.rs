//! The control for the bias of positions: the same targets explained where there is nothing to see.

use attention_relevancy::ndarray::{Array1, Array2};
use relevancy_visualization::{
    Caption, Colormap, Figure, GridMap, OverlayOptions, Panel, Scale, single_figure,
};
use std::time::{Duration, Instant};

use crate::explain::Run;
use crate::figure::bare;
use crate::finer::Images;
use crate::plan::Plan;
use crate::results::Results;
use crate::{
    Answer, Error, ExplainOptions, Explainer, Explanations, Resolution, TargetExplanation,
};

/// The targets of an answer explained with [`crate::Blank::Mean`] in the place of the pictures: what a map has because of where cells stand
/// in the sequence, and not because of what they show.
#[derive(Clone, Debug)]
pub struct BlankControl {
    /// One for each of [`Explanations::targets`].
    pub targets: Vec<TargetControl>,
    /// How long it took.
    pub duration: Duration,
}

/// The control of one target.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetControl {
    /// The raw relevancy `[S]` of the same tokens of the same answer, with the blank in the place of the pictures.
    pub relevancy: Array1<f32>,
    /// Sum over all image cells of the explanation.
    pub image_sum: f32,
    /// The same on the blank.
    pub image_sum_blank: f32,
}

impl Explainer {
    /// Explains the targets once more, same prompt, same answer, same options, with the mean picture in the place of the pictures. A
    /// token that was set against its runner-up is set against the same token here, whichever the model would choose now.
    ///
    /// # Errors
    /// [`Error::NoPictures`] for a question without pictures, and what explaining may fail with.
    pub fn blank_control(
        &self,
        answer: &Answer,
        explanations: &Explanations,
    ) -> Result<BlankControl, Error> {
        let started = Instant::now();
        let targets = &explanations.targets;
        let plan = |target: &TargetExplanation| {
            let foils: Vec<u32> = target.scores().iter().map(|score| score.runner_up).collect();
            Ok(Plan::new(answer, target.positions(), target.rule(), true)?.with_foils(&foils))
        };
        let plans: Vec<Plan> = targets.iter().map(plan).collect::<Result<_, Error>>()?;
        let options = ExplainOptions {
            by_layer: false,
            by_head: None,
            resolution: Resolution::Tokens,
            methods: Vec::new(),
            ..explanations.options.clone()
        };
        let sequence = self.mean_picture(answer)?;
        // There are no finer maps, but what is kept of the pictures still takes memory.
        let (images, planned) = (Images { shown: &[], ..Images::of(answer) }, sequence.ids().len());
        let run = Run { sequence, states: None, images, planned };
        let found = self.found(run, &plans, &options, &mut Vec::new())?;
        let control = |((plan, found), target): ((Plan, _), &TargetExplanation)| {
            let weights = target.token_weights().map(<[f32]>::to_vec);
            let blank = plan.explanation(answer, found, weights)?;
            let image_sum = |of: &TargetExplanation| of.relevancy().image_values().sum();
            Ok(TargetControl {
                relevancy: blank.relevancy().relevancy().to_owned(),
                image_sum: image_sum(target),
                image_sum_blank: image_sum(&blank),
            })
        };
        let controls = plans.into_iter().zip(found).zip(targets).map(control);
        Ok(BlankControl {
            targets: controls.collect::<Result<_, Error>>()?,
            duration: started.elapsed(),
        })
    }
}

impl TargetControl {
    /// How many times as much relevancy the pictures have as the blank; `None` where that has none.
    pub fn ratio(&self) -> Option<f32> {
        let ratio = self.image_sum / self.image_sum_blank;
        (0.0 < self.image_sum_blank && ratio.is_finite()).then_some(ratio)
    }

    /// The relevancy of the explanation minus that on the blank, signed, `[S]`.
    pub fn difference(&self, target: &TargetExplanation) -> Array1<f32> {
        &target.relevancy().relevancy() - &self.relevancy
    }
}

/// The signed difference over image `image` in the diverging colours: red where the picture brought relevancy, blue where the blank
/// had more.
pub(crate) fn control_overlay(
    results: &Results<'_>,
    (target, control): (&TargetExplanation, &TargetControl),
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let grid: Array2<f32> = results.cells(image, control.difference(target).view());
    let maps = [GridMap { grid: grid.view(), placement: results.placement(image) }];
    let outlines = results.outlines(image);
    let panel = Panel::new(results.picture(image), &maps).outlined(&outlines);
    if grid.iter().all(|&value| value == 0.0) {
        let caption = Caption::new(target.label())
            .subtitled("the same relevancy on the mean picture, cell for cell");
        return bare(results.picture(image), &outlines, &caption, options);
    }
    let subtitle = match control.ratio() {
        Some(ratio) => {
            format!("relevancy in this picture: {ratio:.2} times that on the mean picture")
        }
        None => "no relevancy on the mean picture".to_owned(),
    };
    let caption = Caption {
        quantity: "relevancy − that on the mean picture".to_owned(),
        ..Caption::new(target.label())
            .subtitled(subtitle)
            .noted("red: more on this picture, blue: more on the mean picture")
    };
    let options = OverlayOptions {
        colormap: Colormap::Coolwarm,
        scale: Scale::Own,
        contours: Vec::new(),
        ..options.clone()
    };
    Ok(single_figure(&panel, &caption, &options)?)
}
