//! A model that is loaded once for many jobs.

use anyhow::Result;
use explanation_jobs::Outcome;
use medgemma_explainer::{Context, Explainer, LoadOptions};

use super::ahead::{Ready, panicked};
use super::{Desk, Ended, Wants};
use crate::args::{ModelArgs, PictureArgs, load_options};
use crate::size::{size, size_or_nothing};
use crate::task::{Follower, Step};
use crate::{answer, crash, interrupt};

/// What many jobs share beside the model.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct WorkArgs {
    /// Memory that a job may use in addition to the weights, such as 800MB or 2GiB; a quarter of the free memory by default
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Method")]
    memory_budget: Option<u64>,
    /// Memory, beside that of a job, for what the model made of pictures, so that equal ones are looked at and read once for all questions about them; 0: none. Half of a job's by default, and 256MB at the least
    #[arg(long, value_name = "SIZE", value_parser = size_or_nothing, help_heading = "Method")]
    picture_cache: Option<u64>,
}

/// The least that is for pictures where nothing is said: image tokens of many, or a few with keys, values and layer inputs.
const LEAST_CACHE: u64 = 256_000_000;

/// A model, with what it has seen.
#[derive(Debug)]
pub(crate) struct Loaded {
    explainer: Explainer,
    context: Context,
}

impl WorkArgs {
    pub(crate) fn load(&self, model: &ModelArgs, pictures: &PictureArgs) -> Result<Loaded> {
        let explainer = answer::load(model, self.options(model, pictures))?;
        let context = self.context(&explainer).with_cancel(Some(interrupt::flag()));
        Ok(Loaded { explainer, context })
    }

    /// How the checkpoint is loaded.
    pub(crate) fn options(&self, model: &ModelArgs, pictures: &PictureArgs) -> LoadOptions {
        let budget = Context::default().with_memory_budget(self.memory_budget);
        load_options(model, pictures).with_context(budget)
    }

    /// What calls of this explainer share.
    pub(crate) fn context(&self, explainer: &Explainer) -> Context {
        // States of an answer take no more than half of a budget, and the beginning is a part of them.
        let share = || (explainer.request().memory_budget() / 2).max(LEAST_CACHE);
        let bytes = self.picture_cache.unwrap_or_else(share);
        let cache = (0 < bytes).then(|| explainer.picture_cache(bytes));
        Context::default().with_memory_budget(self.memory_budget).with_pictures(cache)
    }
}

impl Loaded {
    pub(crate) fn explainer(&self) -> &Explainer {
        &self.explainer
    }

    /// Does a job. A mistake of the program is the job's problem and no other's.
    pub(crate) fn finish(&self, ready: Ready, wants: Wants<'_>) -> Ended {
        let Ready { id, posing } = ready;
        let request = self.explainer.within(&self.context);
        let desk = Desk { request: &request };
        crash::caught(|| desk.finish(&id, posing, wants, &Quiet)).unwrap_or_else(|| Ended {
            outcome: Outcome::failed(id, panicked()),
            page: None,
            thumbnails: Vec::new(),
        })
    }
}

/// Nobody looks at one job of many.
struct Quiet;

impl Follower for Quiet {
    fn begins(&self, _: Step) {}

    fn note(&self, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Folders, Posing};
    use clap::Parser as _;
    use serde_json::json;

    #[derive(clap::Parser, Debug)]
    struct Given {
        #[command(flatten)]
        model: ModelArgs,
        #[command(flatten)]
        pictures: PictureArgs,
        #[command(flatten)]
        work: WorkArgs,
    }

    /// Two questions about one picture, a given answer, for which nothing is kept, and a question about another picture.
    #[test]
    fn a_second_question_begins_behind_the_picture() {
        let args = ["test", "--model", "phantom", "--memory-budget", "1GB"];
        let Given { model, pictures, work } = Given::parse_from(args);
        let loaded = work.load(&model, &pictures).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ask = |picture: u8, prompt: &str, answer: Option<&str>| {
            let path = folder.path().join(format!("{picture}.png"));
            let side = |x: u32, y: u32| image::Luma([(x + y * u32::from(picture)) as u8]);
            image::GrayImage::from_fn(90, 90, side).save(&path).unwrap();
            let options = match answer {
                Some(text) => json!({ "words": "none", "answer": text }),
                None => json!({ "words": "none", "max_new_tokens": 4 }),
            };
            let job = json!({
                "id": prompt, "images": [path], "prompt": prompt, "targets": [{ "answer_span": true }],
                "options": options,
            });
            let job = serde_json::from_value(job).unwrap();
            let posing = Posing::new(&job, &pictures, &Folders(Vec::new()));
            let ready = Ready { id: prompt.to_owned(), posing };
            let ended = loaded.finish(ready, Wants::default());
            assert!(ended.outcome.problem.is_none(), "{:?}", ended.outcome);
        };
        ask(1, "Is there a nodule?", None);
        ask(1, "Is there an effusion?", None);
        ask(1, "What is there?", Some("A nodule."));
        ask(2, "Is there a nodule?", None);
        let cache = loaded.context.pictures.unwrap();
        assert_eq!((cache.beginnings(), cache.counts()), ((1, 2), (2, 2)));
    }
}
