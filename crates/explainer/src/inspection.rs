//! What a checkpoint is made of and what memory it will take.

use std::collections::BTreeMap;
use std::fmt;

use gemma3_tch::{LayerType, Placement};

use crate::AppliedAdapter;

/// A checkpoint seen from outside, and where and in which type it is or would be loaded: from configuration and headers alone.
pub struct Inspection {
    checkpoint: gemma3_tch::Inspection,
    placement: Placement,
    adapters: Vec<AppliedAdapter>,
}

/// A number of bytes; its text is for people: `8.6 GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

/// Numbers of parameters in the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Parameters {
    /// All of them.
    pub total: u64,
    /// The word embedding, and the head where it is another tensor.
    pub embeddings: u64,
    /// The layers and last norm of the language model.
    pub language_model: u64,
    /// The image encoder.
    pub vision_tower: u64,
    /// Between the two.
    pub projector: u64,
    /// Whatever else the files hold.
    pub other: u64,
}

/// Sizes of a language model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LanguageModel {
    /// How many layers it has.
    pub layers: usize,
    /// Those with global attention, which see every token before, counted from 0, in order. The others see a window.
    pub global_layers: Vec<usize>,
    /// Tokens that the other layers see.
    pub window: usize,
    /// Numbers of a hidden state.
    pub width: usize,
    /// Heads of queries of a layer.
    pub query_heads: usize,
    /// Heads of keys and values of a layer.
    pub key_value_heads: usize,
    /// Numbers of a query or a key.
    pub head_width: usize,
    /// Tokens that it knows.
    pub vocabulary: usize,
    /// The most tokens of prompt and answer together.
    pub context: usize,
}

/// Sizes of an image encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VisionTower {
    /// How many layers it has.
    pub layers: usize,
    /// Numbers of a hidden state.
    pub width: usize,
    /// Heads of a layer.
    pub heads: usize,
    /// Pixels along each side of the picture as the encoder gets it.
    pub picture_side: usize,
    /// Patches of a picture.
    pub patches: usize,
    /// Tokens that a picture becomes.
    pub tokens: usize,
}

/// A tensor of another shape than the configuration implies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misshapen<'a> {
    /// Its name.
    pub name: &'a str,
    /// By the configuration.
    pub expected: &'a [usize],
    /// In the file.
    pub found: &'a [usize],
}

const DEFINITE: &str = "the placement that a checkpoint makes of what was asked has a type";

impl Bytes {
    pub(crate) fn of_model(self) -> gemma3_tch::Bytes {
        gemma3_tch::Bytes(self.0)
    }
}

impl LanguageModel {
    /// The last layer with global attention; the last of all where all have a window.
    pub fn last_global_layer(&self) -> usize {
        self.global_layers.last().copied().unwrap_or(self.layers.saturating_sub(1))
    }
}

impl Inspection {
    /// `placement` is that of [`gemma3_tch::Checkpoint::placement`].
    pub(crate) fn new(
        checkpoint: gemma3_tch::Inspection,
        placement: Placement,
        adapters: Vec<AppliedAdapter>,
    ) -> Self {
        Self { checkpoint, placement, adapters }
    }

    /// The adapters that its weights are changed by, in order.
    pub fn adapters(&self) -> &[AppliedAdapter] {
        &self.adapters
    }

    /// The architecture by its name in transformers.
    pub fn architecture(&self) -> &'static str {
        self.checkpoint.architecture
    }

    /// Numbers of parameters, part by part.
    pub fn parameters(&self) -> Parameters {
        let found = &self.checkpoint.parameters;
        Parameters {
            total: found.total(),
            embeddings: found.embeddings,
            language_model: found.text,
            vision_tower: found.vision,
            projector: found.projector,
            other: found.other,
        }
    }

    /// The language model.
    pub fn language_model(&self) -> LanguageModel {
        let text = &self.checkpoint.config.text;
        let global =
            |(layer, kind): (usize, &LayerType)| (*kind == LayerType::Full).then_some(layer);
        LanguageModel {
            layers: text.num_hidden_layers,
            global_layers: text.layers.iter().enumerate().filter_map(global).collect(),
            window: text.sliding_window,
            width: text.hidden_size,
            query_heads: text.num_attention_heads,
            key_value_heads: text.num_key_value_heads,
            head_width: text.head_dim,
            vocabulary: text.vocab_size,
            context: text.max_position_embeddings,
        }
    }

    /// The image encoder; `None` for a language model alone.
    pub fn vision_tower(&self) -> Option<VisionTower> {
        let vision = self.checkpoint.config.vision.as_ref()?;
        Some(VisionTower {
            layers: vision.num_hidden_layers,
            width: vision.hidden_size,
            heads: vision.num_attention_heads,
            picture_side: vision.image_size,
            patches: vision.patches(),
            tokens: self.checkpoint.config.mm_tokens_per_image,
        })
    }

    /// Tensors in the files.
    pub fn tensors(&self) -> usize {
        self.checkpoint.tensors
    }

    /// Bytes of the weight files.
    pub fn bytes_on_disk(&self) -> Bytes {
        Bytes(self.checkpoint.bytes_on_disk.0)
    }

    /// Parameters by stored type, by the names of safetensors (`BF16`, `F32`, …) or of ggml (`Q4_K`, …).
    pub fn stored(&self) -> &BTreeMap<String, u64> {
        &self.checkpoint.stored
    }

    /// Names of tensors that the configuration asks for and the files do not have.
    pub fn missing(&self) -> &[String] {
        &self.checkpoint.missing
    }

    /// Tensors of another shape than the configuration implies.
    pub fn misshapen(&self) -> impl ExactSizeIterator<Item = Misshapen<'_>> {
        self.checkpoint.misshapen.iter().map(|tensor| Misshapen {
            name: &tensor.name,
            expected: &tensor.expected,
            found: &tensor.found,
        })
    }

    /// Names of tensors that nothing here uses.
    pub fn unused(&self) -> &[String] {
        &self.checkpoint.unused
    }

    /// The device: `cpu` or `cuda:N`.
    pub fn device(&self) -> String {
        self.placement.device_name()
    }

    /// Whether main memory holds the weights.
    pub fn on_cpu(&self) -> bool {
        self.placement.on_cpu()
    }

    /// The type of weights and activations: `float32` or `bfloat16`.
    pub fn dtype(&self) -> String {
        self.placement.dtype_name()
    }

    /// Bytes of main memory that loading takes. As stored on the CPU: the files, which must be resident to compute although they
    /// are mapped and not copied. Converted on the CPU: every weight in its new type, and one mapped tensor at a time. On another
    /// device: one tensor at a time on its way there.
    pub fn load_bytes(&self) -> Bytes {
        Bytes(self.checkpoint.load_bytes(self.placement).0)
    }

    /// Bytes of all weights in their type: what the device must hold.
    pub fn weight_bytes(&self) -> Bytes {
        Bytes(self.checkpoint.weight_bytes(self.placement.kind).0)
    }

    /// Bytes of the key/value cache after so many tokens: global layers keep all of them, others their window.
    #[expect(clippy::missing_panics_doc, reason = "a checkpoint makes no placement without a type")]
    pub fn cache_bytes(&self, tokens: usize) -> Bytes {
        Bytes(self.checkpoint.cache_bytes(self.placement.kind.expect(DEFINITE), tokens).0)
    }

    /// Bytes that the retained engine needs beside the weights to explain so many tokens: attention and its gradient in float32
    /// for every layer, L·H·S²·8, the activations that autograd keeps, about L·S·(4F + 12D + 4Hd) values, and quantised weights, which
    /// its graph holds expanded.
    #[expect(clippy::missing_panics_doc, reason = "a checkpoint makes no placement without a type")]
    pub fn retained_bytes(&self, tokens: usize) -> Bytes {
        Bytes(self.checkpoint.retained_bytes(self.placement.kind.expect(DEFINITE), tokens).0)
    }
}

impl fmt::Debug for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Inspection");
        shown.field("architecture", &self.architecture()).field("parameters", &self.parameters());
        shown.field("device", &self.device()).field("dtype", &self.dtype());
        shown.finish_non_exhaustive()
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.of_model().fmt(f)
    }
}
