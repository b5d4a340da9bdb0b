//! Maps of pictures that are finer than their tokens.

use attention_capture::{
    Demand, Error, FinerDemand, ImagePart, ImageRecorder, PatchOptions, PatchStates, Patches, Room,
    Rules, Streaming,
};
use attention_relevancy::PatchMap;
use gemma3_processor::{Picture, Pixels, PreparedImage};
use std::ops::Range;

use crate::plan::{Plan, goals as all_goals, mean};
use crate::{Answer, ExplainOptions, Request, Resolution};

/// The images of an answer, for maps finer than their tokens.
#[derive(Clone, Copy)]
pub(crate) struct Images<'a> {
    /// In the order of their tokens: each picture, followed by its crops.
    pub(crate) shown: &'a [PreparedImage],
    pub(crate) pictures: &'a [Picture],
    /// What was kept of each while its tokens were made: of all of them or of none.
    pub(crate) kept: &'a [PatchStates],
}

impl<'a> Images<'a> {
    pub(crate) fn of(answer: &'a Answer) -> Self {
        Self {
            shown: &answer.prepared.images,
            pictures: &answer.question.pictures,
            kept: &answer.patches,
        }
    }

    /// Bytes that were kept of them.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.iter().map(PatchStates::bytes).sum()
    }
}

/// Goals that go through the vision tower together: pixels of one take 3.2 MB in Gemma3 4B.
const GOALS: usize = 64;

/// What the explanations of these plans need at the least.
pub(crate) fn demand(plans: &[Plan], images: Images<'_>, options: &ExplainOptions) -> Demand {
    let goals = |part: Range<usize>| plans[part].iter().map(|plan| plan.goals.len()).sum();
    let goals = parts(plans, GOALS).into_iter().map(goals).max().unwrap_or(0);
    let finer = options.resolution != Resolution::Tokens && !images.shown.is_empty();
    let finer =
        finer.then_some(FinerDemand { update: options.update, backward: options.backward, goals });
    Demand { finer, ..Demand::of(&all_goals(plans)) }
}

impl Request<'_> {
    /// For each plan and every image the maps of its goals; no maps at the resolution of tokens. `left` is what all goals left at the first
    /// images; for the others there are further sweeps. `room` is what is left beside that.
    pub(crate) fn finer(
        &self,
        images: Images<'_>,
        (engine, left): (&Streaming<'_>, &[Vec<ImagePart>]),
        plans: &[Plan],
        (options, rules, room): (&ExplainOptions, &Rules, Room<'_>),
    ) -> Result<Vec<Vec<Vec<PatchMap>>>, Error> {
        let mut maps: Vec<Vec<Vec<PatchMap>>> = plans.iter().map(|_| Vec::new()).collect();
        if options.resolution == Resolution::Tokens {
            return Ok(maps);
        }
        let engine = &engine.with_options(room.sweep(self.context.cancel.clone()));
        let rest: Vec<usize> = (left.len()..images.shown.len()).collect();
        let mut first = 0;
        for part in parts(plans, GOALS) {
            let (plans, maps) = (&plans[part.clone()], &mut maps[part]);
            let goals: Vec<_> = plans.iter().flat_map(|plan| plan.goals.clone()).collect();
            let of_part = first..first + goals.len();
            first = of_part.end;
            let mut add = |number: usize, left: &[ImagePart], room| {
                let pixels = self.pixels(images, number);
                let image = (&pixels, images.kept.get(number));
                let found = self.of_image(image, (plans, left), (options, room))?;
                maps.iter_mut().zip(found).for_each(|(maps, map)| maps.push(map));
                Ok::<_, Error>(())
            };
            for (number, left) in left.iter().enumerate() {
                add(number, &left[of_part.clone()], room)?;
            }
            for numbers in rest.chunks(room.images_at_once(goals.len(), rest.len())) {
                let mut pictures = ImageRecorder::new(engine, numbers)?;
                let found = engine.observe(&goals, rules, &mut [&mut pictures])?;
                let left = pictures.finish(found.iter());
                let room = room.beside(goals.len() * numbers.len());
                for (&number, left) in numbers.iter().zip(left) {
                    add(number, &left, room)?;
                }
            }
        }
        Ok(maps)
    }

    /// What the vision tower takes of an image. It is made again where it is needed: kept it would take 9.6 MB an image in Gemma3 4B.
    pub(crate) fn pixels(&self, images: Images<'_>, number: usize) -> Pixels {
        let picture = images.shown[number].picture;
        let before = images.shown[..number].iter();
        let view = before.filter(|image| image.picture == picture).count();
        let views = self.processor.pixels(&images.pictures[picture]);
        let mut views = views.expect("the prompt of the answer was made of the same picture");
        views.swap_remove(view)
    }

    /// For each plan the maps of its goals, from what they left at an image, of which something may have been kept.
    fn of_image(
        &self,
        (pixels, kept): (&Pixels, Option<&PatchStates>),
        (plans, left): (&[Plan], &[ImagePart]),
        (options, room): (&ExplainOptions, Room<'_>),
    ) -> Result<Vec<Vec<PatchMap>>, Error> {
        let picture = self.model.picture(pixels)?;
        let mut left = left;
        let mut maps = Vec::new();
        // Targets come first, and only their pixels are kept: so there are two runs at most.
        for plans in plans.chunk_by(|a, b| a.asked == b.asked) {
            let goals = plans.iter().map(|plan| plan.goals.len()).sum();
            let (here, rest) = left.split_at(goals);
            left = rest;
            let patch_options = PatchOptions {
                update: options.update,
                backward: options.backward,
                pixels: options.resolution == Resolution::Pixels && plans[0].asked,
                sweep: room.sweep(self.context.cancel.clone()),
                ..PatchOptions::default()
            };
            let mut engine = Patches::new(self.model, &picture, patch_options);
            if let Some(states) = kept {
                engine = engine.over(states);
            }
            let mut found = engine.explain(here)?.into_iter();
            maps.extend(plans.iter().map(|plan| found.by_ref().take(plan.goals.len()).collect()));
        }
        Ok(maps)
    }
}

/// Runs of plans with no more than `most` goals, or with one plan.
fn parts(plans: &[Plan], most: usize) -> Vec<Range<usize>> {
    let (mut parts, mut start, mut goals) = (Vec::new(), 0, 0);
    for (index, plan) in plans.iter().enumerate() {
        if start < index && most < goals + plan.goals.len() {
            parts.push(start..index);
            (start, goals) = (index, 0);
        }
        goals += plan.goals.len();
    }
    if start < plans.len() {
        parts.push(start..plans.len());
    }
    parts
}

/// The mean of maps of one image, at least one, with weights that sum to one.
pub(crate) fn mean_map(weights: &[f64], maps: &[PatchMap]) -> PatchMap {
    let pixels: Option<Vec<_>> = maps.iter().map(|map| map.pixels.as_ref()).collect();
    PatchMap::new(
        mean(weights, maps.iter().map(|map| &map.unpooled)),
        mean(weights, maps.iter().map(|map| &map.patches)),
    )
    .with_pixels(pixels.map(|pixels| mean(weights, pixels.into_iter())))
}
