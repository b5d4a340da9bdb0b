//! `config.json` of any Gemma3 checkpoint, with or without vision, read in both spellings and validated.
//!
//! transformers up to 4 writes `rope_scaling`, `rope_theta`, `rope_local_base_freq`, `sliding_window_pattern`, `torch_dtype` and
//! `*_token_index`; transformers 5 writes `rope_parameters`, `layer_types`, `dtype` and `*_token_id`. Both are accepted, and
//! both at once if they agree. Defaults are those of transformers 5.23 (`configuration_gemma3.py`), except for the sizes that its
//! class defaults get wrong for every published model: hidden size, feed-forward size, layers and window must be in the file.

mod fields;
mod generation;
mod gguf;
mod text;
mod vision;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tch::Kind;

use crate::quantisation::check_config;
use crate::weights::visit_layout;
use crate::{Error, files};
use fields::Fields;

pub use generation::GenerationConfig;
pub(crate) use gguf::ARCHITECTURE as GGUF_ARCHITECTURE;
pub use text::{LayerType, Rope, TextConfig};
pub use vision::VisionConfig;

/// The architectures that are supported, by their names in transformers: with vision, and the language model alone.
pub(crate) const ARCHITECTURE: &str = "Gemma3ForConditionalGeneration";
pub(crate) const TEXT_ARCHITECTURE: &str = "Gemma3ForCausalLM";

/// A validated Gemma3 configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The language model.
    pub text: TextConfig,
    /// The image encoder; `None`: a language model alone.
    pub vision: Option<VisionConfig>,
    /// Id of the placeholder that image features replace (`<image_soft_token>`).
    pub image_token_id: u32,
    /// Id of the token before an image (`<start_of_image>`).
    pub boi_token_id: u32,
    /// Id of the token after an image (`<end_of_image>`).
    pub eoi_token_id: u32,
    /// Tokens per image: a square number.
    pub mm_tokens_per_image: usize,
    /// Ids that end an answer, as config.json has them; [`GenerationConfig`] may say more.
    pub eos_token_ids: Vec<u32>,
    /// The type of the weights as config.json declares it.
    pub dtype: Option<Kind>,
}

impl Config {
    /// Reads and validates `config.json` in a checkpoint directory.
    pub fn from_dir(dir: &Path) -> Result<Self, Error> {
        files::check_directory(dir)?;
        Self::from_value(&files::read_json(&dir.join("config.json"))?)
    }

    /// Reads and validates the text of a `config.json`.
    pub fn from_json(json: &str) -> Result<Self, Error> {
        let value = serde_json::from_str(json)
            .map_err(|source| Error::Json { path: "config.json".into(), source })?;
        Self::from_value(&value)
    }

    /// Image tokens along one side of the (square) image grid: `g` in `g·g` tokens.
    pub fn tokens_per_side(&self) -> usize {
        self.mm_tokens_per_image.isqrt()
    }

    /// Patches along one side of the square that the projector averages into one image token; `None` without an image encoder.
    pub fn pool(&self) -> Option<usize> {
        self.vision.as_ref().map(|vision| vision.patches_per_side() / self.tokens_per_side())
    }

    /// Every tensor that a model of this configuration has, by canonical name, with its shape.
    pub fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        let mut tensors = BTreeMap::new();
        visit_layout(self, &mut |name, shape| _ = tensors.insert(name, shape));
        tensors
    }

    fn from_value(value: &Value) -> Result<Self, Error> {
        let root = Fields::root(value)?;
        let sees = check_architecture(root)?;
        check_config(value.as_object().expect("its root was read as one"))?;
        // A language model alone has its fields at the top level.
        let (text, vision) = if sees {
            let vision = section(root, "vision_config", "vision_config.", "siglip_vision_model")?;
            (section(root, "text_config", "text_config.", "gemma3_text")?, Some(vision))
        } else {
            (root, None)
        };
        let eos = root.token_ids("eos_token_id")?.or(text.token_ids("eos_token_id")?);
        let config = Self {
            text: TextConfig::read(text, root.flag("tie_word_embeddings")?)?,
            vision: vision.map(VisionConfig::read).transpose()?,
            image_token_id: root
                .token_id("image_token_id", "image_token_index")?
                .unwrap_or(262_144),
            boi_token_id: root.token_id("boi_token_id", "boi_token_index")?.unwrap_or(255_999),
            eoi_token_id: root.token_id("eoi_token_id", "eoi_token_index")?.unwrap_or(256_000),
            mm_tokens_per_image: root.size("mm_tokens_per_image", 1 << 20)?.unwrap_or(256),
            eos_token_ids: eos.unwrap_or_else(|| vec![1]),
            dtype: declared_dtype(root)?.or(declared_dtype(text)?),
        };
        config.check_image_tokens()?;
        Ok(config)
    }

    fn check_image_tokens(&self) -> Result<(), Error> {
        let (tokens, side) = (self.mm_tokens_per_image, self.tokens_per_side());
        if side * side != tokens {
            return Err(Error::field(
                "mm_tokens_per_image",
                format!("is {tokens}, which is not a square number"),
            ));
        }
        let patches = self.vision.as_ref().map(VisionConfig::patches_per_side);
        if let Some(patches) = patches.filter(|patches| !patches.is_multiple_of(side)) {
            let reason = format!(
                "asks for a grid of {side}, which does not divide the {patches} patches per side"
            );
            return Err(Error::field("mm_tokens_per_image", reason));
        }
        if [self.boi_token_id, self.eoi_token_id].contains(&self.image_token_id) {
            let reason =
                format!("is {}, the same as the token beside the image", self.image_token_id);
            return Err(Error::field("image_token_id", reason));
        }
        Ok(())
    }
}

/// Whether it is a Gemma3 with vision and not one without; refuses everything else.
fn check_architecture(root: Fields<'_>) -> Result<bool, Error> {
    let model_type = root.text("model_type")?.unwrap_or_default();
    let architectures = root.list("architectures")?;
    for (kind, architecture, sees) in
        [("gemma3", ARCHITECTURE, true), ("gemma3_text", TEXT_ARCHITECTURE, false)]
    {
        let named = |list: &[Value]| list.iter().any(|name| name == architecture);
        if model_type == kind && architectures.is_none_or(named) {
            return Ok(sees);
        }
    }
    let first = architectures.and_then(|list| list.first()).and_then(Value::as_str);
    // Of two names that do not belong together the one that is not known says more.
    let known = |name: &&str| [ARCHITECTURE, TEXT_ARCHITECTURE].contains(name);
    let found = first.filter(|name| !known(name) || model_type.is_empty());
    Err(Error::Architecture { found: found.unwrap_or(model_type).to_owned() })
}

/// A part of the configuration that must be there and, if it names its type, be of the right one.
fn section<'a>(
    root: Fields<'a>,
    name: &str,
    prefix: &'a str,
    model_type: &str,
) -> Result<Fields<'a>, Error> {
    let fields =
        root.object(name, prefix)?.ok_or_else(|| Error::MissingField { field: name.to_owned() })?;
    match fields.text("model_type")? {
        Some(found) if found != model_type => Err(Error::Architecture { found: found.to_owned() }),
        _ => Ok(fields),
    }
}

fn declared_dtype(fields: Fields<'_>) -> Result<Option<Kind>, Error> {
    let Some(name) = fields.either("dtype", "torch_dtype", |name| fields.text(name))? else {
        return Ok(None);
    };
    match name.trim_start_matches("torch.") {
        "bfloat16" => Ok(Some(Kind::BFloat16)),
        "float16" => Ok(Some(Kind::Half)),
        "float32" => Ok(Some(Kind::Float)),
        "float64" => Ok(Some(Kind::Double)),
        _ => Err(fields.unsupported(
            "dtype",
            &name,
            "weights are bfloat16, float16, float32 or float64",
        )),
    }
}

/// Refuses every activation but the tanh form of GELU.
fn check_activation(fields: Fields<'_>, name: &str) -> Result<(), Error> {
    match fields.text(name)? {
        None | Some("gelu_pytorch_tanh" | "gelu_tanh") => Ok(()),
        Some(found) => Err(fields.unsupported(name, &found, "only gelu_pytorch_tanh is")),
    }
}
