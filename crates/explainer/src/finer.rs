//! Maps of pictures that are finer than their tokens.

use attention_capture::{
    Error, ImagePart, ImageRecorder, PatchOptions, PatchStates, Patches, Streaming, SweepOptions,
};
use attention_relevancy::PatchMap;
use gemma3_processor::{Picture, Pixels, PreparedImage};
use std::ops::Range;

use crate::compared::rules;
use crate::plan::{Plan, mean};
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
}

/// Goals that go through the vision tower together: pixels of one take 3.2 MB in Gemma3 4B.
const GOALS: usize = 64;

impl Request<'_> {
    /// Of how many of the images what so many goals leave there fits into `room`, in bytes.
    pub(crate) fn images_at_once(&self, goals: usize, images: usize, room: u64) -> usize {
        images_at_once(self.part_bytes().saturating_mul(goals as u64), images, room)
    }

    /// Bytes without which finer maps cannot be made; none at the resolution of tokens. What some goals leave at one image is held while
    /// that is swept.
    pub(crate) fn least_for_finer(
        &self,
        plans: &[Plan],
        (images, is_kept): (usize, bool),
        options: &ExplainOptions,
    ) -> u64 {
        if options.resolution == Resolution::Tokens || images == 0 {
            return 0;
        }
        let goals = |part: Range<usize>| plans[part].iter().map(|plan| plan.goals.len()).sum();
        let most: usize = parts(plans, GOALS).into_iter().map(goals).max().unwrap_or(0);
        let sweep = Patches::least_budget(&self.model, options.update, is_kept);
        sweep + self.part_bytes() * most as u64
    }

    /// Bytes that one goal leaves at one image.
    pub(crate) fn part_bytes(&self) -> u64 {
        let config = self.model.config();
        4 * (config.mm_tokens_per_image * config.text.hidden_size) as u64
    }

    /// For each plan and every image the maps of its goals; no maps at the resolution of tokens. `left` is what all goals left at the first
    /// images; for the others there are further sweeps. `budget` is in bytes.
    pub(crate) fn finer(
        &self,
        images: Images<'_>,
        (engine, left): (&Streaming<'_>, &[Vec<ImagePart>]),
        plans: &[Plan],
        (options, budget): (&ExplainOptions, u64),
    ) -> Result<Vec<Vec<Vec<PatchMap>>>, Error> {
        let mut maps: Vec<Vec<Vec<PatchMap>>> = plans.iter().map(|_| Vec::new()).collect();
        if options.resolution == Resolution::Tokens {
            return Ok(maps);
        }
        let rest: Vec<usize> = (left.len()..images.shown.len()).collect();
        let mut first = 0;
        for part in parts(plans, GOALS) {
            let (plans, maps) = (&plans[part.clone()], &mut maps[part]);
            let goals: Vec<_> = plans.iter().flat_map(|plan| plan.goals.clone()).collect();
            let of_part = first..first + goals.len();
            first = of_part.end;
            let mut add = |number: usize, left: &[ImagePart], budget| {
                let pixels = self.pixels(images, number);
                let image = (&pixels, images.kept.get(number));
                let found = self.of_image(image, (plans, left), (options, budget))?;
                maps.iter_mut().zip(found).for_each(|(maps, map)| maps.push(map));
                Ok::<_, Error>(())
            };
            for (number, left) in left.iter().enumerate() {
                add(number, &left[of_part.clone()], budget)?;
            }
            let at_once = self.images_at_once(goals.len(), rest.len(), budget / 2).max(1);
            for numbers in rest.chunks(at_once) {
                let mut pictures = ImageRecorder::new(engine, numbers)?;
                let found = engine.observe(&goals, &rules(options), &mut [&mut pictures])?;
                let left = pictures.finish(found.iter());
                let held = self.part_bytes() * (goals.len() * numbers.len()) as u64;
                for (&number, left) in numbers.iter().zip(left) {
                    add(number, &left, budget.saturating_sub(held))?;
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
        (options, memory_budget): (&ExplainOptions, u64),
    ) -> Result<Vec<Vec<PatchMap>>, Error> {
        let picture = self.model.picture(pixels)?;
        let sweep = SweepOptions { memory_budget, cancel: self.context.cancel.clone() };
        let mut left = left;
        let mut maps = Vec::new();
        // Targets come first, and only their pixels are kept: so there are two runs at most.
        for plans in plans.chunk_by(|a, b| a.asked == b.asked) {
            let goals = plans.iter().map(|plan| plan.goals.len()).sum();
            let (here, rest) = left.split_at(goals);
            left = rest;
            let patch_options = PatchOptions {
                update: options.update,
                pixels: options.resolution == Resolution::Pixels && plans[0].asked,
                sweep: sweep.clone(),
                ..PatchOptions::default()
            };
            let mut engine = Patches::new(&self.model, &picture, patch_options);
            if let Some(states) = kept {
                engine = engine.over(states);
            }
            let mut found = engine.explain(here)?.into_iter();
            maps.extend(plans.iter().map(|plan| found.by_ref().take(plan.goals.len()).collect()));
        }
        Ok(maps)
    }
}

/// Of so many images as many as fit into the room, when one takes so many bytes.
fn images_at_once(bytes: u64, images: usize, room: u64) -> usize {
    (room / bytes.max(1)).min(images as u64) as usize
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_images_as_fit() {
        let found = [0, 99, 100, 199, 200, 2000].map(|room| images_at_once(100, 3, room));
        assert_eq!(found, [0, 0, 1, 1, 2, 3]);
        assert_eq!(images_at_once(0, 3, 1000), 3); // no goal
    }
}
