//! What a checkpoint is and what memory it will take, read from headers: no weight is loaded.

use std::collections::BTreeMap;
use std::path::Path;

use tch::{Device, Kind};

use crate::adapter::AdaptedWeights;
use crate::weights::{Stored, visit_layout};
use crate::{
    AppliedAdapter, Bytes, Checkpoint, Config, Error, GenerationConfig, LayerType, Placement,
    Weights,
};

/// A checkpoint directory seen from outside.
pub struct Inspection {
    /// The architecture by its name in transformers.
    pub architecture: &'static str,
    /// Sizes, layers, window, image tokens, declared type.
    pub config: Config,
    /// How its makers sample from it.
    pub generation: GenerationConfig,
    /// Numbers of parameters, part by part.
    pub parameters: Parameters,
    /// Tensors in the files.
    pub tensors: usize,
    /// Bytes of the weight files.
    pub bytes_on_disk: Bytes,
    /// Parameters by stored type, by the names of safetensors (`BF16`, `F32`, …).
    pub stored: BTreeMap<String, u64>,
    /// Canonical names that the configuration asks for and the files do not have.
    pub missing: Vec<String>,
    /// Tensors of another shape than the configuration implies.
    pub misshapen: Vec<Misshapen>,
    /// Canonical names that nothing here uses.
    pub unused: Vec<String>,
    /// Bytes of what is quantised, which is never converted.
    quantised: u64,
    /// Parameters that are not quantised.
    plain: u64,
    /// Bytes of all tensors as they are stored.
    stored_bytes: u64,
    /// Bytes of the largest tensor that is not quantised.
    largest: u64,
    /// Parameters that adapters change in the place where they are stored plainly: each is a copy where it would have been mapped.
    merged: u64,
    /// Parameters that adapters add: a head of their own, and low-rank parts beside quantised weights.
    added: u64,
    /// The type of every tensor, if they agree.
    only_kind: Option<Kind>,
}

/// Numbers of parameters in the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parameters {
    /// The word embedding, and the head where it is another tensor.
    pub embeddings: u64,
    /// The layers and last norm of the language model.
    pub text: u64,
    /// The image encoder.
    pub vision: u64,
    /// Between the two.
    pub projector: u64,
    /// Whatever else the files hold.
    pub other: u64,
}

impl Parameters {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.embeddings + self.text + self.vision + self.projector + self.other
    }

    fn part(&mut self, name: &str) -> &mut u64 {
        match name.split('.').next() {
            Some("lm_head") => &mut self.embeddings,
            Some("language_model") if name.starts_with("language_model.embed_tokens.") => {
                &mut self.embeddings
            }
            Some("language_model") => &mut self.text,
            Some("vision_tower") => &mut self.vision,
            Some("multi_modal_projector") => &mut self.projector,
            _ => &mut self.other,
        }
    }
}

/// A tensor of another shape than the configuration implies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshapen {
    /// Canonical name.
    pub name: String,
    /// By the configuration.
    pub expected: Vec<usize>,
    /// In the file.
    pub found: Vec<usize>,
}

impl Inspection {
    /// Reads the configuration and all headers of a checkpoint directory.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        Ok(Checkpoint::open(dir)?.inspection())
    }

    /// Bytes of main memory that loading takes. As stored on the CPU: the files, which must be resident to compute although they
    /// are mapped and not copied. Converted on the CPU: every weight in its new type, and one mapped tensor at a time. On another
    /// device: one tensor at a time on its way there.
    pub fn load_bytes(&self, placement: Placement) -> Bytes {
        let as_stored = placement.kind.is_none_or(|kind| self.only_kind == Some(kind));
        Bytes(match placement.device {
            Device::Cpu if as_stored => {
                let wide = placement.kind.or(self.only_kind).map_or(4, width);
                self.bytes_on_disk.0 + (self.merged + self.added) * wide
            }
            Device::Cpu => self.weight_bytes(placement.kind).0 + self.largest,
            _ => 2 * self.largest,
        })
    }

    /// Bytes of all weights in a type, or as stored: what a device must hold. What is quantised stays so.
    pub fn weight_bytes(&self, kind: Option<Kind>) -> Bytes {
        let total: u64 = match kind {
            Some(kind) => (self.plain + self.added) * width(kind) + self.quantised,
            None => self.stored_bytes + self.added * self.only_kind.map_or(4, width),
        };
        Bytes(total)
    }

    /// Bytes of the key/value cache after so many tokens: full layers keep all of them, sliding layers their window.
    pub fn cache_bytes(&self, kind: Kind, tokens: usize) -> Bytes {
        let text = &self.config.text;
        let kept = |layer: &LayerType| match layer {
            LayerType::Full => tokens,
            LayerType::Sliding => tokens.min(text.sliding_window),
        };
        let rows: usize = text.layers.iter().map(kept).sum();
        Bytes((2 * text.num_key_value_heads * text.head_dim * rows) as u64 * width(kind))
    }

    /// Bytes that the retained engine needs beside the weights to explain so many tokens: attention and its gradient in float32
    /// for every layer, L·H·S²·8, the activations that autograd keeps, about L·S·(4F + 12D + 4Hd) values, and quantised weights, which
    /// its graph holds expanded.
    pub fn retained_bytes(&self, kind: Kind, tokens: usize) -> Bytes {
        let text = &self.config.text;
        let [layers, heads, s] =
            [text.num_hidden_layers, text.num_attention_heads, tokens].map(|n| n as u64);
        let per_token = 4 * text.intermediate_size
            + 12 * text.hidden_size
            + 4 * text.num_attention_heads * text.head_dim;
        let maps = layers * heads * s * s * 8;
        let activations = layers * s * per_token as u64 * width(kind);
        let expanded = (self.parameters.total() - self.plain) * width(kind);
        Bytes(maps + activations + expanded)
    }

    pub(crate) fn of(config: Config, generation: GenerationConfig, weights: &Weights) -> Self {
        let mut found = Self {
            architecture: match config.vision {
                Some(_) => crate::config::ARCHITECTURE,
                None => crate::config::TEXT_ARCHITECTURE,
            },
            config,
            generation,
            parameters: Parameters::default(),
            tensors: 0,
            bytes_on_disk: Bytes(weights.bytes()),
            stored: BTreeMap::new(),
            missing: Vec::new(),
            misshapen: Vec::new(),
            unused: Vec::new(),
            quantised: 0,
            plain: 0,
            stored_bytes: 0,
            largest: 0,
            merged: 0,
            added: 0,
            only_kind: weights.main_kind().filter(|&main| {
                weights.stored().all(|tensor| tensor.is_quantised || tensor.kind == Some(main))
            }),
        };
        weights.stored().for_each(|tensor| found.count(&tensor));
        found.compare(weights);
        found
    }

    /// The same with what adapters change and add.
    pub(crate) fn adapted(mut self, weights: &Weights, adapters: &[AppliedAdapter]) -> Self {
        if adapters.is_empty() {
            return self;
        }
        let is_tied = self.config.text.tie_word_embeddings;
        let changed = AdaptedWeights::new(weights, adapters, is_tied);
        for tensor in weights.stored().filter(|tensor| changed.is_changed(tensor.name)) {
            let parameters: u64 = tensor.shape.iter().map(|&n| n as u64).product();
            if tensor.is_quantised {
                self.added += changed.added(tensor.name);
            } else {
                self.merged += parameters;
            }
        }
        if changed.parts_head() {
            let text = &self.config.text;
            self.added += (text.vocab_size * text.hidden_size) as u64;
        }
        self
    }

    fn count(&mut self, tensor: &Stored<'_>) {
        let parameters: u64 = tensor.shape.iter().map(|&n| n as u64).product();
        self.tensors += 1;
        self.stored_bytes += tensor.bytes;
        if tensor.is_quantised {
            self.quantised += tensor.bytes;
        } else {
            self.plain += parameters;
            self.largest = self.largest.max(tensor.bytes);
        }
        *self.parameters.part(tensor.name) += parameters;
        *self.stored.entry(tensor.dtype.clone()).or_default() += parameters;
    }

    /// Sets what is missing, misshapen and unused.
    fn compare(&mut self, weights: &Weights) {
        let mut left: BTreeMap<&str, &[usize]> =
            weights.stored().map(|tensor| (tensor.name, tensor.shape)).collect();
        let (missing, misshapen) = (&mut self.missing, &mut self.misshapen);
        visit_layout(&self.config, &mut |name, expected| match left.remove(name.as_str()) {
            None => missing.push(name),
            Some(found) if found != expected => {
                misshapen.push(Misshapen { name, expected, found: found.to_owned() });
            }
            Some(_) => {}
        });
        self.unused = left.into_keys().map(str::to_owned).collect();
    }
}

/// Bytes of one number.
fn width(kind: Kind) -> u64 {
    kind.elt_size_in_bytes() as u64
}
