//! With what an answer was generated and explained, and how that is shown. Whoever explains fills these in, so they are told of a new
//! field by the compiler: none of them is `non_exhaustive`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use attention_relevancy::Backward;
use relevancy_visualization::{Colormap, Orientation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{MethodId, Resolution};

/// How the answer was generated.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct GenerationRecord {
    /// The most tokens that were allowed.
    pub max_new_tokens: usize,
    /// Whether stop tokens end the answer.
    pub stop: bool,
    /// Null: always the most likely token.
    pub sampling: Option<SamplingRecord>,
}

/// How tokens were drawn.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct SamplingRecord {
    /// What logits were divided by.
    pub temperature: f64,
    /// Tokens that could be drawn; 0: all.
    pub top_k: usize,
    /// The probability that these had to reach together; 1: no limit.
    pub top_p: f64,
    /// The seed of the generator.
    pub seed: u64,
}

/// With what an answer was explained, and how that is shown.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct Settings {
    /// The program whose rules were followed in place of our own; null for these.
    pub reproduce: Option<String>,
    /// The engine: retained or streaming.
    pub engine: String,
    /// How a layer acts on the row.
    pub update: String,
    /// How the sweep went back through what is not linear: gradient, cp-lrp or attn-lrp; gradient in records of older programs.
    #[serde(default = "gradient")]
    pub backward: String,
    /// At how many points of the way from the mean cell to the picture the relevancy was made, of which it is the mean; 1 in records of
    /// older programs.
    #[serde(default = "one_point")]
    pub path_points: usize,
    /// The scalar that was differentiated.
    pub objective: String,
    /// How heads become one in a layer of the relevancy.
    pub heads: String,
    /// The layers that the relevancy is taken through: all, global or a range.
    pub folded_layers: String,
    /// The methods beside relevancy, raw attention of the last layer and rollout, in the order of the arrays.
    pub methods: Vec<String>,
    /// The stable id of each of them; empty in a record of before ids were kept.
    #[serde(default)]
    pub method_ids: Vec<MethodId>,
    /// The type of the weights.
    pub dtype: String,
    /// Where the model ran.
    pub device: String,
    /// Threads of libtorch.
    pub threads: usize,
    /// Whose resizing the pictures got: torchvision or pillow.
    pub resize: String,
    /// Whether crops of the pictures were shown too.
    pub pan_and_scan: bool,
    /// Whether pictures were padded to squares.
    pub pad_to_square: bool,
    /// Whose side the left of a picture is: pa, ap, flipped or none.
    #[serde(with = "as_text")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "String"))]
    pub orientation: Orientation,
    /// How fine the maps of pictures are: tokens, patches or pixels.
    pub resolution: Resolution,
    /// Whether the relevancy by layer is in the arrays.
    pub layers: bool,
    /// The colour map of the pictures.
    #[serde(with = "as_text")]
    #[cfg_attr(any(test, feature = "schema"), schemars(with = "String"))]
    pub colormap: Colormap,
    /// Quantiles of the cells that have contour lines.
    #[serde(default)]
    pub contours: Vec<f64>,
    /// Whether tokens of the chat template count among those of the text: show or hide.
    #[serde(default)]
    pub template_tokens: TemplateTokens,
}

/// Where every older program made the relevancy: at the picture.
fn one_point() -> usize {
    1
}

/// How every older program went back.
fn gradient() -> String {
    Backward::Gradient.to_string()
}

/// Whether tokens of the chat template count among those of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TemplateTokens {
    /// As other text.
    Show,
    /// Their sum stands apart.
    #[default]
    Hide,
}

/// The checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct ModelRecord {
    /// Its folder, its id on the hub or its name.
    pub source: String,
    /// The commit, for a model of the hub.
    pub revision: Option<String>,
    /// What its configuration says that it is.
    pub architecture: String,
    /// The SHA-256 of its `config.json`, or of the header of its GGUF file.
    pub config_sha256: String,
    /// Parameters by the type that they are stored in, by the names of safetensors (`BF16`) or ggml (`Q4_K`); empty in records of older
    /// programs.
    #[serde(default)]
    pub storage: BTreeMap<String, u64>,
    /// The files that its weights came from, in the order in which they were opened; empty in records of older programs.
    #[serde(default)]
    pub files: Vec<WeightFile>,
    /// Adapters that changed its weights, in the order that they were applied in.
    #[serde(default)]
    pub adapters: Vec<AdapterRecord>,
}

/// A file that weights came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct WeightFile {
    /// Its name, without its folder.
    pub name: String,
    /// Its size when it was opened.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal; null where it was another file, or none, when the record was made.
    pub sha256: Option<String>,
}

/// An adapter of PEFT that changed the weights of the checkpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct AdapterRecord {
    /// Its folder or its id on the hub.
    pub source: String,
    /// The commit, for one of the hub.
    pub revision: Option<String>,
    /// How far it was applied: 1 as it was trained, 0 not at all, between them a part of the way, weight by weight.
    pub weight: f64,
    /// LoRA, rsLoRA or DoRA.
    pub kind: String,
    /// The model that it was trained on, by its own account.
    pub base: Option<String>,
    /// Its files: configuration and weights.
    pub files: Vec<WeightFile>,
}

/// The model that the targets were explained with as well.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct OtherModelRecord {
    /// What it is.
    pub model: ModelRecord,
    /// The type of its weights.
    pub dtype: String,
    /// How long explaining took.
    pub seconds: f64,
}

/// Seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct Timings {
    /// Loading the checkpoint, fetching not counted.
    pub load: f64,
    /// Preparing prompt and pictures.
    pub preprocess: f64,
    /// The vision tower.
    pub vision: f64,
    /// Reading the prompt.
    pub prefill: f64,
    /// Making the answer.
    pub decode: f64,
    /// Explaining, phrases included.
    pub explain: f64,
}

/// Values that are spelled as on the command line. What this program cannot read becomes the default: a page can be shown without.
mod as_text {
    use super::{Deserialize, Deserializer, Display, FromStr, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T: FromStr + Default, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        Ok(String::deserialize(deserializer)?.parse().unwrap_or_default())
    }
}
