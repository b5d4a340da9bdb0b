//! A loaded checkpoint.

use crate::setters::setters;
use crate::source::{FetchObserver, Resolved};
use crate::weight_files::WeightFiles;
use crate::{
    AdapterSource, Context, DeviceSpec, DtypeSpec, Error, Inspection, ModelSource, Sampling,
};
use attention_capture::Ledger;
use gemma3_processor::{Processor, ProcessorOptions};
use gemma3_tch::{
    Checkpoint, CheckpointPlace, Gemma3, GenerationConfig, available_memory, check_memory,
};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Which program's conventions apply when questions are put to the model and answers are explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// This program's own: those of the model and the published method.
    #[default]
    Sound,
    /// Those of the public Python program `medgemma-explainer`, so that its figures can be compared: a second `<bos>` in front of the
    /// prompt; image tokens that see only what is before them while an answer is explained, though not while it is made; a keyword
    /// is the first token of the answer that holds it, be it in another word. [`crate::ExplainOptions::python_program`] has the rest of it.
    PythonProgram,
}

/// How a checkpoint is loaded.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct LoadOptions {
    /// Where to compute.
    pub device: DeviceSpec,
    /// In which type.
    pub dtype: DtypeSpec,
    /// How pictures are prepared.
    pub processor: ProcessorOptions,
    /// Which program's conventions apply: ours, or those of the public Python program.
    pub profile: Profile,
    /// The vision tower of a model in a GGUF file, in a second one; `None`: the one beside it in its folder, if there is one. With a file of
    /// the hub ([`ModelSource::Hub`]) what is no path of a file here is the name of one in the same repository, and `None` means none.
    pub mmproj: Option<PathBuf>,
    /// Adapters of fine-tuned models, applied in this order.
    pub adapters: Vec<AdapterSource>,
    /// Use only what the hub's cache holds for the base that an adapter names; [`ModelSource::Hub`] says it for itself.
    pub offline: bool,
    /// Called while a checkpoint is fetched from the hub.
    pub fetch_progress: Option<FetchObserver>,
    /// Whether what the vision tower computes is kept with every answer, so that maps finer than tokens need no second run of it. A
    /// quarter of the budget is for that; where it does not hold all pictures of a question nothing is kept. In Gemma3 4B and
    /// bfloat16 that is 0.26 to 0.52 GB a picture.
    pub keep_patches: bool,
    /// What every call has unless it is made [`within`](Explainer::within) a context of its own. Its `cancel` also ends fetching, with
    /// [`crate::ErrorKind::Cancelled`]; its `memory_budget` is by default a quarter of what is free when the model is loaded, on the
    /// device where it is.
    pub context: Context,
}

setters!(LoadOptions {
    with_device = device: DeviceSpec,
    with_dtype = dtype: DtypeSpec,
    with_processor = processor: ProcessorOptions,
    with_profile = profile: Profile,
    with_mmproj = mmproj: Option<PathBuf>,
    with_adapters = adapters: Vec<AdapterSource>,
    with_offline = offline: bool,
    with_fetch_progress = fetch_progress: Option<FetchObserver>,
    with_keep_patches = keep_patches: bool,
    with_context = context: Context,
});

impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            device,
            dtype,
            processor,
            profile,
            mmproj,
            adapters,
            offline,
            fetch_progress,
            keep_patches,
            context,
        } = self;
        let mut shown = f.debug_struct("LoadOptions");
        shown.field("device", device).field("dtype", dtype).field("processor", processor);
        shown
            .field("profile", profile)
            .field("mmproj", mmproj)
            .field("adapters", adapters)
            .field("offline", offline)
            .field("fetch_progress", &fetch_progress.is_some());
        shown.field("keep_patches", keep_patches).field("context", context).finish()
    }
}

/// A model and its processor, ready to answer and to explain.
///
/// It can be sent to another thread and not shared between threads (`Send`, not `Sync`): what computes is one model on one device. For
/// many askers there is [`Service`](crate::Service).
pub struct Explainer {
    pub(crate) processor: Processor,
    pub(crate) model: Gemma3,
    pub(crate) generation: GenerationConfig,
    pub(crate) inspection: Inspection,
    pub(crate) profile: Profile,
    source: ModelSource,
    base: ModelSource,
    pub(crate) place: CheckpointPlace,
    pub(crate) weight_files: WeightFiles,
    /// Of each adapter.
    pub(crate) adapter_files: Vec<WeightFiles>,
    revision: Option<String>,
    /// Tells it apart from others of the process.
    pub(crate) number: u64,
    load: Duration,
    /// Of a call whose context names none.
    pub(crate) default_budget: u64,
    pub(crate) keep_patches: bool,
    /// Of calls that are not made within another.
    pub(crate) context: Context,
}

impl fmt::Debug for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Explainer");
        shown.field("source", &self.source).field("inspection", &self.inspection);
        shown.field("profile", &self.profile).field("context", &self.context);
        shown.finish_non_exhaustive()
    }
}

impl Explainer {
    /// Loads a checkpoint, after a check that the memory will do.
    pub fn load(source: &ModelSource, options: &LoadOptions) -> Result<Self, Error> {
        let Resolved { base, place, revision, adapters, applied } = source.resolve(options)?;
        let started = Instant::now();
        let checkpoint = Checkpoint::at(&place)?.adapted(adapters)?;
        let placement =
            checkpoint.placement(options.device.of_model(), options.dtype.of_model())?;
        let inspection = Inspection::new(checkpoint.inspection(), placement, applied);
        if placement.on_cpu() {
            check_memory("the model", inspection.load_bytes().of_model(), available_memory())?;
        }
        let mut prompts = options.processor.clone();
        // What it was trained with.
        let of_adapter = checkpoint.adapters().iter().rev().find_map(|a| a.adapter.chat_template());
        prompts.chat_template = prompts.chat_template.or(of_adapter);
        let processor = match checkpoint.gguf() {
            Some((model, mmproj)) => Processor::from_gguf(model, mmproj, prompts)?,
            None => Processor::from_dir(place.path(), prompts)?,
        };
        let generation = checkpoint.generation().clone();
        let weight_files = WeightFiles::of(checkpoint.files());
        let adapter_files = checkpoint.adapters().iter().map(|applied| {
            let files = applied.adapter.files();
            WeightFiles::of(files.iter().map(PathBuf::as_path))
        });
        let adapter_files = adapter_files.collect();
        let model = checkpoint.load(placement)?;
        let context = options.context.clone();
        let default_budget =
            context.memory_budget.unwrap_or_else(|| Ledger::default_budget(placement));
        let (source, load) = (source.clone(), started.elapsed());
        Ok(Self {
            processor,
            model,
            generation,
            inspection,
            profile: options.profile,
            source,
            base,
            place,
            weight_files,
            adapter_files,
            revision,
            number: crate::picture_cache::number(),
            load,
            default_budget,
            keep_patches: options.keep_patches,
            context,
        })
    }

    /// What prepares its inputs.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// What the checkpoint is made of, and where it is loaded.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// The makers' advice for sampling, with this seed of random numbers.
    pub fn advised_sampling(&self, seed: u64) -> Sampling {
        Sampling::advised(&self.generation, seed)
    }

    /// Where the checkpoint was asked for.
    pub fn source(&self) -> &ModelSource {
        &self.source
    }

    /// The checkpoint that its adapters were applied to: the source itself, or what a source that is an adapter names.
    pub fn base(&self) -> &ModelSource {
        &self.base
    }

    /// The directory that it was loaded from, or the GGUF file of its language model.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The commit, for a model of the hub.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// How long loading took, fetching not counted.
    pub fn load_time(&self) -> Duration {
        self.load
    }
}
