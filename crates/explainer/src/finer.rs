//! Maps of pictures that are finer than their tokens.

use attention_capture::{
    Error, ImagePart, PatchMap, PatchOptions, PatchStates, Patches, Streaming, SweepOptions,
};
use gemma3_processor::PreparedImage;

use crate::plan::{Plan, mean};
use crate::{ExplainOptions, Explainer, Resolution};

/// Goals that go through the vision tower together: pixels of one take 3.2 MB in Gemma3 4B.
const GOALS: usize = 64;

impl Explainer {
    /// For each plan and every image the maps of its goals; no maps at the resolution of tokens. `budget` is in bytes.
    pub(crate) fn finer(
        &self,
        (images, patches): (&[PreparedImage], &[PatchStates]),
        engine: &Streaming<'_>,
        plans: &[Plan],
        (options, budget): (&ExplainOptions, u64),
    ) -> Result<Vec<Vec<Vec<PatchMap>>>, Error> {
        let mut maps: Vec<Vec<Vec<PatchMap>>> = plans.iter().map(|_| Vec::new()).collect();
        if options.resolution == Resolution::Tokens {
            return Ok(maps);
        }
        let numbers: Vec<usize> = (0..images.len()).collect();
        for part in parts(plans, GOALS) {
            let goals: Vec<_> =
                plans[part.clone()].iter().flat_map(|plan| plan.goals.clone()).collect();
            // What the goals leave at an image waits for it; half of the budget is for that, and a further sweep for the rest.
            let bytes = self.part_bytes().saturating_mul(goals.len() as u64).max(1);
            let at_once = (budget / 2 / bytes).clamp(1, numbers.len().max(1) as u64);
            for numbers in numbers.chunks(at_once as usize) {
                let how = (options.objective, options.update);
                let (_, left) = engine.explain_images(&goals, how, numbers)?;
                let budget = budget.saturating_sub(bytes * numbers.len() as u64);
                for (&number, left) in numbers.iter().zip(left) {
                    let plans = &plans[part.clone()];
                    let image = (&images[number], patches.get(number));
                    let found = self.of_image(image, (plans, &left), (options, budget))?;
                    maps[part.clone()].iter_mut().zip(found).for_each(|(maps, map)| maps.push(map));
                }
            }
        }
        Ok(maps)
    }

    /// For each plan the maps of its goals, from what they left at an image, of which something may have been kept.
    fn of_image(
        &self,
        (image, kept): (&PreparedImage, Option<&PatchStates>),
        (plans, left): (&[Plan], &[ImagePart]),
        (options, memory_budget): (&ExplainOptions, u64),
    ) -> Result<Vec<Vec<PatchMap>>, Error> {
        let picture = self.model.picture(&image.pixels)?;
        let sweep = SweepOptions { memory_budget, cancel: self.cancel.clone() };
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

    /// Bytes that one goal leaves at one image.
    fn part_bytes(&self) -> u64 {
        let config = self.model.config();
        4 * (config.mm_tokens_per_image * config.text.hidden_size) as u64
    }
}

/// Runs of plans with no more than `most` goals, or with one plan.
fn parts(plans: &[Plan], most: usize) -> Vec<std::ops::Range<usize>> {
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
    PatchMap {
        unpooled: mean(weights, maps.iter().map(|map| &map.unpooled)),
        patches: mean(weights, maps.iter().map(|map| &map.patches)),
        pixels: pixels.map(|pixels| mean(weights, pixels.into_iter())),
    }
}
