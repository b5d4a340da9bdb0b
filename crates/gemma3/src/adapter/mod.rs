//! Adapters of fine-tuned models, as PEFT writes them: a folder with `adapter_config.json` and `adapter_model.safetensors`.
//!
//! An adapter changes the weights of another checkpoint, its base. For some of its matrices it holds a low-rank part (LoRA, rsLoRA, DoRA);
//! other tensors it replaces as a whole (`modules_to_save`). Everything that it holds is used, and everything that its configuration asks
//! for is there, or it is an error that names it: an adapter that is applied in part is another model than was trained.

mod applied;
mod config;
mod names;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use tch::{Device, Kind, Tensor};

use crate::shown::quoted;
use crate::weight::low_rank::Pair;
use crate::weights::{Shard, canonical, kind_of, visit_layout};
use crate::{Config, Error, Placement};
pub(crate) use applied::AdaptedWeights;
use config::{AdapterConfig, belongs};
use names::{Part, Spelling};

/// The configuration, without which a folder is no adapter.
pub(crate) const CONFIG: &str = "adapter_config.json";
/// Its weights.
pub(crate) const WEIGHTS: &str = "adapter_model.safetensors";
/// The chat template that trainers save beside it.
const CHAT_TEMPLATE: &str = "chat_template.jinja";
/// Its weights as pickle, which PEFT wrote before safetensors.
const PICKLE: &str = "adapter_model.bin";

const HEAD: &str = "lm_head";
const EMBEDDING: &str = "language_model.embed_tokens";

/// An adapter whose configuration and headers were read and checked. Nothing of its weights was.
pub struct Adapter {
    folder: PathBuf,
    config: AdapterConfig,
    shard: Shard,
    /// Low-rank parts by the canonical name of their module.
    pairs: BTreeMap<String, PairNames>,
    /// Stored names of tensors that replace others, by the canonical name of those.
    whole: BTreeMap<String, String>,
    spelling: Spelling,
}

/// An adapter, and how far its change is applied.
#[derive(Debug)]
pub struct AppliedAdapter {
    /// Which one.
    pub adapter: Adapter,
    /// 1: as it was trained; 0: not at all; between them a part of the way from the base, weight by weight.
    pub weight: f64,
}

/// Where the numbers of a low-rank part are, and what they mean.
#[derive(Debug)]
struct PairNames {
    /// The module in the spelling of the file.
    module: String,
    down: String,
    up: String,
    magnitude: Option<String>,
    /// Of an embedding: A and B stand for the transpose.
    is_embedding: bool,
    scale: f64,
}

/// Stored names of a pair that is being put together.
#[derive(Default)]
struct Found {
    module: String,
    down: Option<String>,
    up: Option<String>,
    magnitude: Option<String>,
    is_embedding: bool,
}

impl Adapter {
    /// Whether a folder holds an adapter.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(CONFIG).exists()
    }

    /// Its files: configuration and weights.
    pub fn files(&self) -> [PathBuf; 2] {
        [CONFIG, WEIGHTS].map(|name| self.folder.join(name))
    }

    /// The chat template that it was trained with, where one was saved beside it.
    pub fn chat_template(&self) -> Option<PathBuf> {
        Some(self.folder.join(CHAT_TEMPLATE)).filter(|path| path.exists())
    }

    /// Opens a folder as PEFT writes it.
    ///
    /// # Errors
    /// [`Error::Adapter`] with the file and the field or tensor: whatever its configuration asks for and is not understood, or its
    /// weights lack or have too many of.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let config = AdapterConfig::read(&folder.join(CONFIG))?;
        let path = folder.join(WEIGHTS);
        if !path.exists() && folder.join(PICKLE).exists() {
            return Err(Error::Adapter {
                path: folder.join(PICKLE),
                reason: format!(
                    "is a pickle, which can run any program when it is read; save the adapter again as {WEIGHTS} (PEFT: save_pretrained with safe_serialization=True)"
                ),
            });
        }
        let shard = Shard::open(&path)?;
        let fail = |reason: String| Error::Adapter { path: path.clone(), reason };
        let (mut pairs, mut whole) = (BTreeMap::<String, Found>::new(), BTreeMap::new());
        let stored: BTreeSet<String> = shard.tensors().into_keys().collect();
        for stored in stored {
            let (module, part) = names::split(&stored);
            let twice = |slot: &mut Option<String>| match slot.replace(stored.clone()) {
                None => Ok(()),
                Some(first) => Err(fail(format!(
                    "tensors {} and {} mean the same",
                    quoted(&first),
                    quoted(&stored)
                ))),
            };
            if let Part::Whole(tensor) = part {
                let mut slot = whole.remove(&canonical(&tensor));
                twice(&mut slot)?;
                whole.insert(canonical(&tensor), stored.clone());
                continue;
            }
            let found = pairs.entry(module_name(&module)).or_default();
            found.module = module;
            found.is_embedding |= matches!(part, Part::EmbeddingDown | Part::EmbeddingUp);
            twice(match part {
                Part::Down | Part::EmbeddingDown => &mut found.down,
                Part::Up | Part::EmbeddingUp => &mut found.up,
                Part::Magnitude | Part::Whole(_) => &mut found.magnitude,
            })?;
        }
        let complete = |(name, found)| Ok((name, Self::complete(found, &config)?));
        let pairs: Result<_, String> = pairs.into_iter().map(complete).collect();
        let pairs: BTreeMap<String, PairNames> = pairs.map_err(fail)?;
        let all = pairs.values().map(|pair| pair.module.as_str());
        let spelling = Spelling::of(all.chain(whole.values().map(String::as_str)));
        let folder = folder.to_owned();
        Ok(Self { folder, config, shard, pairs, whole, spelling })
    }

    fn complete(found: Found, config: &AdapterConfig) -> Result<PairNames, String> {
        let module = quoted(&found.module);
        let part = |part: Option<String>, name: &str| {
            part.ok_or_else(|| format!("module {module} has no {name}"))
        };
        let (down, up) = (part(found.down, "lora_A")?, part(found.up, "lora_B")?);
        match (config.is_dora, &found.magnitude) {
            (true, None) => {
                return Err(format!(
                    "module {module} has no lora_magnitude_vector, though use_dora is true"
                ));
            }
            (false, Some(name)) => {
                return Err(format!(
                    "tensor {} belongs to DoRA, and use_dora is false",
                    quoted(name)
                ));
            }
            _ => {}
        }
        if found.is_embedding && config.is_dora {
            return Err(format!(
                "module {module} is an embedding with DoRA, which is not supported"
            ));
        }
        if !config.is_target(&found.module)? {
            return Err(format!(
                "module {module} has a low-rank part, and target_modules does not name it"
            ));
        }
        let rank = config.rank(&found.module)?;
        let (is_embedding, magnitude) = (found.is_embedding, found.magnitude);
        let scale = config.scale(&found.module, rank)?;
        Ok(PairNames { module: found.module, down, up, magnitude, is_embedding, scale })
    }

    /// Checks it against a model: everything that it holds has its place there, and everything that its configuration names is held.
    ///
    /// # Errors
    /// [`Error::Adapter`] with the tensor or the field.
    pub(crate) fn check(&self, config: &Config) -> Result<(), Error> {
        let weights = |reason: String| Error::Adapter { path: self.folder.join(WEIGHTS), reason };
        let settings = |reason: String| Error::Adapter { path: self.folder.join(CONFIG), reason };
        let mut layout = BTreeMap::new();
        visit_layout(config, &mut |name, shape| drop(layout.insert(name, shape)));
        let table = vec![config.text.vocab_size, config.text.hidden_size];
        layout.insert(format!("{HEAD}.weight"), table);
        for (name, pair) in &self.pairs {
            self.check_pair(name, pair, &layout, config).map_err(weights)?;
        }
        for (name, stored) in &self.whole {
            let Some(expected) = layout.get(name) else {
                return Err(weights(foreign(stored, config)));
            };
            let found = &self.shard.known(stored).shape;
            if found != expected {
                return Err(weights(format!(
                    "tensor {} has shape {found:?}, and the model has {expected:?} there",
                    quoted(stored)
                )));
            }
        }
        self.check_targets(&layout).map_err(settings)?;
        self.check_saved(&layout).map_err(settings)
    }

    fn check_pair(
        &self,
        name: &str,
        pair: &PairNames,
        layout: &BTreeMap<String, Vec<usize>>,
        config: &Config,
    ) -> Result<(), String> {
        let Some(shape) = layout.get(&format!("{name}.weight")) else {
            return Err(foreign(&pair.down, config));
        };
        let &[outputs, inputs] = &shape[..] else {
            let module = quoted(&pair.module);
            return Err(format!(
                "module {module} is no linear map; low-rank parts of others are not supported"
            ));
        };
        if pair.is_embedding != (name == EMBEDDING) {
            let stored = quoted(&pair.down);
            return Err(format!(
                "tensor {stored}: lora_embedding_A and lora_embedding_B belong to embeddings, lora_A and lora_B to linear maps"
            ));
        }
        let rank = self.config.rank(&pair.module)?;
        let (down, up) = if pair.is_embedding {
            ([rank, outputs], [inputs, rank])
        } else {
            ([rank, inputs], [outputs, rank])
        };
        let magnitude = [outputs];
        let magnitude = pair.magnitude.as_ref().map(|stored| (stored, &magnitude[..]));
        for (stored, expected) in
            [(&pair.down, &down[..]), (&pair.up, &up[..])].into_iter().chain(magnitude)
        {
            let found = &self.shard.known(stored).shape;
            if found != expected {
                let stored = quoted(stored);
                return Err(format!(
                    "tensor {stored} has shape {found:?}, expected {expected:?}: rank {rank} and the model's {outputs} outputs and {inputs} inputs"
                ));
            }
        }
        Ok(())
    }

    /// Every module that the configuration means has a part.
    fn check_targets(&self, layout: &BTreeMap<String, Vec<usize>>) -> Result<(), String> {
        let matrices = layout.iter().filter(|(_, shape)| shape.len() == 2);
        let modules = matrices.filter_map(|(name, _)| name.strip_suffix(".weight"));
        for name in modules.filter(|name| !self.pairs.contains_key(*name)) {
            // A place of the vision tower's embedding is no linear map, and no embedding that PEFT adapts by default.
            if name == "vision_tower.embeddings.position_embedding" {
                continue;
            }
            for spelled in self.spelling.spell(name) {
                if self.config.is_target(&spelled)? {
                    return Err(format!(
                        "target_modules names module {}, and {WEIGHTS} has no low-rank part of it",
                        quoted(&spelled)
                    ));
                }
            }
        }
        Ok(())
    }

    /// Every module that is to be replaced as a whole is there as a whole.
    fn check_saved(&self, layout: &BTreeMap<String, Vec<usize>>) -> Result<(), String> {
        for saved in &self.config.modules_to_save {
            let spelled = |name: &String| self.spelling.spell(name);
            let mut own =
                layout.keys().filter(|name| spelled(name).iter().any(|name| belongs(name, saved)));
            let Some(first) = own.next() else {
                let saved = quoted(saved);
                return Err(format!(
                    "modules_to_save names {saved}, which the model does not have"
                ));
            };
            for name in std::iter::once(first).chain(own) {
                if !self.whole.contains_key(name) && !self.follows_embedding(name) {
                    let (saved, name) = (quoted(saved), quoted(name));
                    return Err(format!(
                        "modules_to_save names {saved}, and {WEIGHTS} does not have its tensor {name}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether a tensor is the head, which stays tied to an embedding that is replaced.
    fn follows_embedding(&self, name: &str) -> bool {
        self.config.is_tied
            && name == format!("{HEAD}.weight")
            && self.whole.contains_key(&format!("{EMBEDDING}.weight"))
    }

    /// Whether a head that is tied to the embedding has weights of its own behind this adapter.
    fn parts_head(&self) -> bool {
        let is_changed = |module: &str| {
            self.pairs.contains_key(module) || self.whole.contains_key(&format!("{module}.weight"))
        };
        let follows = self.follows_embedding(&format!("{HEAD}.weight"));
        is_changed(HEAD) || (is_changed(EMBEDDING) && !follows)
    }

    /// The numbers of a low-rank part, in float32 on the CPU.
    fn pair(&self, names: &PairNames) -> Result<Pair, Error> {
        let numbers = |stored: &String| {
            let tensor =
                self.tensor(stored, Placement { device: Device::Cpu, kind: Some(Kind::Float) })?;
            let finite = tensor.isfinite().all().int64_value(&[]) != 0;
            finite.then_some(tensor).ok_or_else(|| Error::Adapter {
                path: self.folder.join(WEIGHTS),
                reason: format!("tensor {} has numbers that are not finite", quoted(stored)),
            })
        };
        let (down, up) = (numbers(&names.down)?, numbers(&names.up)?);
        let magnitude = names.magnitude.as_ref().map(numbers).transpose()?;
        let (down, up) = if names.is_embedding { (up.tr(), down.tr()) } else { (down, up) };
        Ok(Pair { down, up, scale: names.scale, magnitude })
    }

    fn tensor(&self, stored: &str, placement: Placement) -> Result<Tensor, Error> {
        let info = self.shard.known(stored);
        let Some(own) = kind_of(info.dtype) else {
            return Err(Error::Adapter {
                path: self.folder.join(WEIGHTS),
                reason: format!(
                    "tensor {} is stored as {}; BF16, F16, F32 and F64 can be read",
                    quoted(stored),
                    info.dtype
                ),
            });
        };
        match placement.kind.unwrap_or(own) {
            kind if kind == own && placement.device == Device::Cpu => self.shard.mapped(info, own),
            kind => self.shard.converted(info, own, placement.device, kind),
        }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The model that it was trained on, as whoever trained it named it: an id of the hub or a path of theirs.
    pub fn base_model(&self) -> Option<&str> {
        self.config.base.as_deref()
    }

    /// The revision of that model, where one was named.
    pub fn base_revision(&self) -> Option<&str> {
        self.config.base_revision.as_deref()
    }

    /// `LoRA`, `rsLoRA` or `DoRA`.
    pub fn kind(&self) -> &'static str {
        self.config.kind()
    }

    /// How many matrices have a low-rank part.
    pub fn low_rank_parts(&self) -> usize {
        self.pairs.len()
    }

    /// Canonical names of the tensors that it replaces as a whole, sorted.
    pub fn replaced(&self) -> impl Iterator<Item = &str> {
        self.whole.keys().map(String::as_str)
    }

    /// Whether it changes the vision tower or the projector.
    pub fn changes_vision(&self) -> bool {
        let of_vision =
            |name: &String| !name.starts_with("language_model.") && !name.starts_with(HEAD);
        self.pairs.keys().any(of_vision) || self.whole.keys().any(of_vision)
    }

    /// Numbers in its file.
    pub fn parameters(&self) -> u64 {
        let numel = |shape: &[usize]| shape.iter().map(|&side| side as u64).product::<u64>();
        self.shard.tensors().values().map(|info| numel(&info.shape)).sum()
    }
}

impl fmt::Debug for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapter").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The canonical name of a module.
fn module_name(module: &str) -> String {
    let name = canonical(&format!("{module}.weight"));
    name.strip_suffix(".weight").expect("it was put there").to_owned()
}

/// What is said of a tensor that the model has no place for.
fn foreign(stored: &str, config: &Config) -> String {
    let of_vision = stored.contains("vision_tower") || stored.contains("multi_modal_projector");
    let advice = match config.vision {
        None if of_vision => {
            ": the model was loaded without its vision tower, which the adapter changes; load it as well"
        }
        _ => "; is it an adapter of another model?",
    };
    format!("tensor {} has no place in the model{advice}", quoted(stored))
}
