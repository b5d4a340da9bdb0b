//! A checkpoint directory, opened once: its configuration and the headers of its weights.

use std::fmt;
use std::path::Path;

use quantised_weights::Gguf;

use crate::weights::GgufShard;
use crate::{
    AppliedAdapter, CheckpointPlace, Config, DeviceSpec, DtypeSpec, Error, Gemma3,
    GenerationConfig, Inspection, Placement, Weights,
};

/// A checkpoint whose files are open. Nothing but headers was read of its weights.
///
/// What it is ([`inspection`](Self::inspection)), where it can be ([`placement`](Self::placement)) and the model itself
/// ([`load`](Self::load)) come from the same opened files.
pub struct Checkpoint {
    config: Config,
    generation: GenerationConfig,
    weights: Weights,
    adapters: Vec<AppliedAdapter>,
}

impl Checkpoint {
    /// Opens a directory as a hub snapshot has it: `config.json`, `generation_config.json` where there is one, and safetensors.
    ///
    /// # Errors
    /// What is missing or damaged, with the file's name.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let config = Config::from_dir(dir)?;
        let generation = GenerationConfig::from_dir(dir, &config)?;
        Ok(Self { config, generation, weights: Weights::open(dir)?, adapters: Vec::new() })
    }

    /// Opens what lies there.
    ///
    /// # Errors
    /// Those of [`open`](Self::open) and [`open_gguf`](Self::open_gguf).
    pub fn at(place: &CheckpointPlace) -> Result<Self, Error> {
        match place {
            CheckpointPlace::Folder(dir) => Self::open(dir),
            CheckpointPlace::Gguf { model, mmproj } => Self::open_gguf(model, mmproj.as_deref()),
        }
    }

    /// The headers of GGUF files: of the language model, and of the vision tower; `None` for a folder of transformers.
    pub fn gguf(&self) -> Option<(&Gguf, Option<&Gguf>)> {
        self.weights.gguf()
    }

    /// Opens a GGUF file of a language model and, in a second one, the vision tower that belongs to it.
    ///
    /// # Errors
    /// What is missing or damaged, with the file's name and the field or tensor.
    pub fn open_gguf(model: &Path, mmproj: Option<&Path>) -> Result<Self, Error> {
        let model = GgufShard::open(model)?;
        let mmproj = mmproj.map(GgufShard::open).transpose()?;
        let config = Config::from_gguf(model.header(), mmproj.as_ref().map(GgufShard::header))?;
        let generation = GenerationConfig::greedy(&config);
        let files = [model].into_iter().chain(mmproj).collect();
        Ok(Self { config, generation, weights: Weights::of_gguf(files)?, adapters: Vec::new() })
    }

    /// The same with adapters, applied in this order.
    ///
    /// # Errors
    /// An adapter that is of another model, or has not all that it asks for.
    pub fn adapted(self, adapters: Vec<AppliedAdapter>) -> Result<Self, Error> {
        adapters.iter().try_for_each(|applied| applied.adapter.check(&self.config))?;
        Ok(Self { adapters, ..self })
    }

    /// The adapters that change its weights, in order.
    pub fn adapters(&self) -> &[AppliedAdapter] {
        &self.adapters
    }

    /// How its makers sample from it.
    pub fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The files of its weights.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.weights.files()
    }

    /// What it is and what memory it will take.
    pub fn inspection(&self) -> Inspection {
        let found = Inspection::of(self.config.clone(), self.generation.clone(), &self.weights);
        found.adapted(&self.weights, &self.adapters)
    }

    /// What a user asked for, made definite for this checkpoint.
    ///
    /// # Errors
    /// A device that is not there.
    pub fn placement(&self, device: DeviceSpec, dtype: DtypeSpec) -> Result<Placement, Error> {
        let kind = Some(dtype.resolve(&self.config, &self.weights));
        Ok(Placement { device: device.resolve()?, kind })
    }

    /// The model. Weights that stay in the type of the file are views of it.
    ///
    /// # Errors
    /// A tensor that is missing or not as the configuration implies, and what libtorch fails with.
    pub fn load(self, placement: Placement) -> Result<Gemma3, Error> {
        Gemma3::of_weights(self.config, &self.weights, &self.adapters, placement)
    }
}

impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { config, generation, weights: _, adapters } = self;
        let mut shown = f.debug_struct("Checkpoint");
        shown.field("config", config).field("generation", generation);
        shown.field("adapters", adapters).finish_non_exhaustive()
    }
}
