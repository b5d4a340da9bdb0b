//! The model that is trained: the tensors of a real language model, which stay as they are, and the parameters that learn.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use checkpoint_files::random::{SplitMix, hash};
use gemma3_tch::{Checkpoint, Config, Gemma3, LowRankPair, Placement, VisionConfig, Weights};
use tch::{Device, Kind, Tensor};

use super::run::Recipe;
use crate::checkpoint;
use crate::parameters::Parameters;

/// Names of parameters that belong to the adapter begin so; then the canonical name of the module, then `.down` or `.up`.
pub const ADAPTER: &str = "adapter.";

/// The matrix of the projector.
pub const PROJECTOR: &str = "multi_modal_projector.mm_input_projection_weight";

/// The modules of a layer that the adapter reaches, all that multiply.
pub const MODULES: [&str; 7] = [
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
];

/// A decoder whose weights are expanded and never change.
pub struct Decoder {
    /// Of the whole model, vision tower included.
    pub config: Config,
    frozen: Parameters,
}

impl Decoder {
    /// The language model in a GGUF file, behind a vision tower of this size with so many image tokens; its matrices are expanded to
    /// `kind`.
    ///
    /// # Errors
    /// What the file is not.
    pub fn open(
        file: &Path,
        vision: &VisionConfig,
        image_tokens: usize,
        kind: Kind,
    ) -> Result<Self> {
        let (text, frozen) = expanded(file, kind)?;
        let config =
            Config { vision: Some(vision.clone()), mm_tokens_per_image: image_tokens, ..text };
        Ok(Self { config, frozen })
    }

    /// The model with these parameters: part of the graph of those that are leaves of one.
    ///
    /// # Errors
    /// Parameters of another model.
    pub fn model(&self, parameters: &Parameters, scale: f64) -> Result<Gemma3> {
        self.lent().model(parameters, scale)
    }

    /// The tensors of the language model, which stay as they are.
    pub fn frozen(&self) -> &Parameters {
        &self.frozen
    }

    /// The same tensors for another thread.
    pub fn lent(&self) -> Lent {
        let share = |(name, tensor): (&String, &Tensor)| (name.clone(), tensor.shallow_clone());
        Lent { config: self.config.clone(), frozen: self.frozen.iter().map(share).collect() }
    }
}

/// The configuration of the language model in a GGUF file and its tensors, with matrices expanded to `kind`.
pub(super) fn expanded(file: &Path, kind: Kind) -> Result<(Config, Parameters)> {
    let checkpoint = Checkpoint::open_gguf(file, None)?;
    let config = checkpoint.inspection().config;
    let place = gemma3_tch::CheckpointPlace::Gguf { model: file.to_owned(), mmproj: None };
    let weights = Weights::at(&place)?;
    let load = |(name, shape): (String, Vec<usize>)| {
        let is_gain = shape.len() == 1;
        let kind = Some(if is_gain { Kind::Float } else { kind });
        let root = weights.root(Placement { device: Device::Cpu, kind });
        let tensor = root.tensor(&name, &shape)?;
        // The file holds 1 + w.
        Ok((name, if is_gain { tensor - 1.0 } else { tensor }))
    };
    let tensors = config.tensors().into_iter().map(load).collect::<Result<Parameters>>()?;
    Ok((config, tensors))
}

/// What a thread has of a [`Decoder`].
pub struct Lent {
    config: Config,
    frozen: Parameters,
}

impl Lent {
    /// As [`Decoder::model`].
    pub fn model(&self, parameters: &Parameters, scale: f64) -> Result<Gemma3> {
        let mut tensors: Parameters = self
            .frozen
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shallow_clone()))
            .collect();
        let mut pairs: BTreeMap<String, [Option<Tensor>; 2]> = BTreeMap::new();
        for (name, tensor) in parameters {
            let Some(part) = name.strip_prefix(ADAPTER) else {
                tensors.insert(name.clone(), tensor.shallow_clone());
                continue;
            };
            let (module, which) =
                part.rsplit_once('.').context("a part of an adapter has a name")?;
            let pair = pairs.entry(module.to_owned()).or_default();
            match which {
                "down" => pair[0] = Some(tensor.shallow_clone()),
                "up" => pair[1] = Some(tensor * scale),
                other => bail!("{name}: an adapter has no {other}"),
            }
        }
        let whole = |(module, pair): (String, [Option<Tensor>; 2])| match pair {
            [Some(down), Some(up)] => Ok((module, LowRankPair { down, up })),
            _ => bail!("{module}: the adapter has one half of a pair"),
        };
        let pairs = pairs.into_iter().map(whole).collect::<Result<_>>()?;
        Ok(Gemma3::from_adapted_tensors(self.config.clone(), &tensors, &pairs)?)
    }
}

/// The vision tower of a finished checkpoint, a projector that begins anew, and an adapter that changes nothing yet.
///
/// # Errors
/// A folder that is no checkpoint of the project's.
pub fn first_parameters(tower: &Path, config: &Config, recipe: &Recipe) -> Result<Parameters> {
    let kept = |name: &str| name.starts_with("vision_tower.") || name.contains("mm_soft_emb_norm");
    let mut all: Parameters = checkpoint::parameters(tower)?;
    all.retain(|name, _| kept(name));
    ensure!(!all.is_empty(), "{} has no vision tower", tower.display());
    let (width, hidden) =
        (config.vision.as_ref().map_or(0, |v| v.hidden_size), config.text.hidden_size);
    let name = PROJECTOR;
    // As large as the embedding of a word: about one.
    all.insert(
        name.to_owned(),
        normal(name, [width, hidden], (width as f64).powf(-0.5), recipe.seed),
    );
    for (module, [outputs, inputs]) in modules(config) {
        let (down, up) = (format!("{ADAPTER}{module}.down"), format!("{ADAPTER}{module}.up"));
        let deviation = (inputs as f64).powf(-0.5);
        let first = normal(&down, [recipe.rank, inputs], deviation, recipe.seed);
        all.insert(down, first);
        all.insert(
            up,
            Tensor::zeros([outputs as i64, recipe.rank as i64], (Kind::Float, Device::Cpu)),
        );
    }
    Ok(all)
}

/// The modules that the adapter reaches, with outputs and inputs.
pub fn modules(config: &Config) -> Vec<(String, [usize; 2])> {
    let shapes: BTreeMap<String, Vec<usize>> = config.tensors().into_iter().collect();
    let of_layer =
        |layer: usize| MODULES.map(|part| format!("language_model.layers.{layer}.{part}"));
    let all = (0..config.text.num_hidden_layers).flat_map(of_layer);
    let shaped = |module: String| match shapes.get(&format!("{module}.weight"))?.as_slice() {
        &[outputs, inputs] => Some((module, [outputs, inputs])),
        _ => None,
    };
    all.filter_map(shaped).collect()
}

fn normal(name: &str, shape: [usize; 2], deviation: f64, seed: u64) -> Tensor {
    let mut random = SplitMix::new(seed ^ hash(name));
    let values: Vec<f32> = std::iter::repeat_with(|| random.normal_pair())
        .flatten()
        .take(shape[0] * shape[1])
        .collect();
    Tensor::from_slice(&values).view(shape.map(|side| side as i64)) * deviation
}
