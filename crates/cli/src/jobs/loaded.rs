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
    /// Memory for what the vision tower made of pictures, so that equal ones are looked at once; 0: none
    #[arg(long, value_name = "SIZE", default_value = "256MB", value_parser = size_or_nothing, help_heading = "Method")]
    picture_cache: u64,
}

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
        let cache = (0 < self.picture_cache).then(|| explainer.picture_cache(self.picture_cache));
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
