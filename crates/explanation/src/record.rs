//! `explanation.json`: what was asked, answered and explained, and with what. The only place where output is serialised.
//!
//! All types are plain data with public fields; new fields come with a default, so that records of before are still read.

use std::fmt::Display;
use std::str::FromStr;

use relevancy_visualization::{Colormap, Orientation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::text::label;
use crate::{MethodId, Resolution, SpanRule, TokenKind};

pub(crate) use build::rounded;
pub use reliance::{
    BlankRecord, ControlRecord, FlagRecord, GainRecord, RelianceRecord, RelianceSettings,
};
pub use versus::{PhraseRecord, VersusRecord};

mod build;
mod reliance;
mod versus;

/// The name of the record's schema.
pub const SCHEMA: &str = "medgemma-explainer/explanation";
/// Its version; it grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// `explanation.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// [`SCHEMA_VERSION`].
    pub version: u32,
    /// The texts of the last turn of the question, joined by spaces.
    pub prompt: String,
    /// The system prompt; null where there is none.
    pub system: Option<String>,
    /// The whole prompt as the chat template rendered it.
    pub rendered_prompt: String,
    /// The answer, without the thinking trace.
    pub answer: String,
    /// The thinking trace, empty where there is none.
    pub trace: String,
    /// Why the answer ended, for people.
    pub stop: String,
    /// The S tokens of prompt and answer, in order.
    pub tokens: Vec<TokenRecord>,
    /// The pictures of the question.
    pub pictures: Vec<PictureRecord>,
    /// What the model saw of them: pictures and their crops, in the order of the prompt.
    pub images: Vec<ImageRecord>,
    /// What was asked for and explained, in the order asked.
    pub targets: Vec<TargetRecord>,
    /// What was asked and is not in the answer; records of earlier versions do not say.
    #[serde(default)]
    pub missing: Vec<MissingRecord>,
    /// The words of the answer that were explained for the report, in reading order; those among the targets are not repeated.
    pub words: Vec<TargetRecord>,
    /// Phrases of the answer against others in their place; a record of before there were any has none.
    #[serde(default)]
    pub versus: Vec<VersusRecord>,
    /// The parts of the pictures that relevancy was counted in; null where none were asked for.
    pub regions: Option<RegionsRecord>,
    /// The boxes that the model wrote in its answer.
    pub boxes: Vec<BoxRecord>,
    /// With what the pictures were compared; null where nobody asked.
    #[serde(default)]
    pub reliance: Option<RelianceSettings>,
    /// Null for an answer that was given and not generated.
    pub generation: Option<GenerationRecord>,
    /// With what the answer was explained, and how that is shown.
    pub settings: Settings,
    /// The checkpoint.
    pub model: ModelRecord,
    /// How long each step took.
    pub timings: Timings,
    /// The most memory that the process had in use at a time, mapped weights included; null where that is not known.
    pub peak_rss_bytes: Option<u64>,
    /// What a reader must know, for people.
    pub notes: Vec<String>,
    /// The files beside the record.
    pub files: Files,
    /// The program and its version.
    pub program: String,
    /// As the caller gave it; null where none was given.
    pub date: Option<String>,
}

/// A token of prompt or answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenRecord {
    /// Its position in the sequence, from 0.
    pub position: usize,
    /// Its id in the vocabulary.
    pub id: u32,
    /// Its text for people.
    pub text: String,
    /// What it is.
    pub kind: TokenKind,
    /// First character in `answer` and the one behind the last; null outside the answer.
    pub characters: Option<[usize; 2]>,
}

/// A picture of the question.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PictureRecord {
    /// Its name; with its path only where that was asked for.
    pub name: String,
    /// Columns of pixels.
    pub width: u32,
    /// Rows of pixels.
    pub height: u32,
    /// The upright picture as the model's processor got it, in the folder of the record.
    pub file: String,
    /// Of its pixels: red, green and blue of every pixel, row by row.
    pub pixels_sha256: String,
    /// The EXIF orientation that was undone, 1 to 8; 1 is upright.
    pub exif_orientation: u8,
    /// Grey values of a 16-bit picture that became black and white.
    pub window: Option<[u16; 2]>,
    /// What happened to it that its user should know, for people.
    pub warnings: Vec<String>,
    /// What is drawn in outline over it: boxes of the answer, regions of a file.
    #[serde(default)]
    pub outlines: Vec<OutlineRecord>,
}

/// Something drawn in outline over a picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutlineRecord {
    /// What stands beside it; empty where nothing does.
    pub label: String,
    /// Closed lines in pixels of the picture: x and y of each point in turn.
    pub rings: Vec<Vec<f64>>,
}

/// What the model saw as one image: a picture or a crop of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageRecord {
    /// Index in `pictures`.
    pub picture: usize,
    /// First position of its tokens and the one behind the last.
    pub positions: [usize; 2],
    /// Rows and columns of its cells; each is one token, row by row.
    pub grid: [usize; 2],
    /// Rows and columns of its patches; null where their relevancy is not in the arrays.
    pub patches: Option<[usize; 2]>,
    /// Rows and columns of the pixels that the model saw; null where their gradient × input is not in the arrays.
    #[serde(default)]
    pub pixels: Option<[usize; 2]>,
    /// The part of the picture that the grid shows, in pixels: x, y, width, height.
    pub region: [f64; 4],
}

/// A target or word with what is said of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TargetRecord {
    /// The explained text.
    pub text: String,
    /// Which occurrence of the text in the answer, from 1; null where it stands there once.
    #[serde(default)]
    pub occurrence: Option<usize>,
    /// First position and the one behind the last.
    pub positions: [usize; 2],
    /// Its tokens.
    pub token_ids: Vec<u32>,
    /// How the tokens make one explanation: mean of theirs, sum (that of the sum of their objectives), or reliance (their mean, by
    /// what the pictures add to each).
    pub rule: SpanRule,
    /// Sum over the tokens.
    pub logit: f32,
    /// Sum over the tokens.
    pub log_probability: f32,
    /// The logit of each token.
    pub token_logits: Vec<f32>,
    /// The logarithm of the probability of each token, in nats.
    pub token_log_probabilities: Vec<f32>,
    /// For each token the most likely other one: what the objective `contrast` sets it against.
    pub runner_up_ids: Vec<u32>,
    /// Whether nothing speaks for it: its row of relevancy holds nothing but the self terms.
    #[serde(default)]
    pub is_empty: bool,
    /// Share of all pictures in the relevancy without the self terms; null where there is no relevancy.
    pub image_share: Option<f32>,
    /// One for each of the methods in the settings.
    pub methods: Vec<MethodRecord>,
    /// By layer, row l being what layers l to the last brought together; null where that was not kept.
    pub by_layer: Option<ByLayerRecord>,
    /// By layer and head; null where that was not kept.
    pub by_head: Option<ByHeadRecord>,
    /// Its overlays, image by image.
    pub overlays: Vec<String>,
    /// Overlays of patches, then of pixels.
    pub finer: Vec<String>,
    /// How much of it lies in each region, image by image; empty where no regions were asked for.
    pub regions: Vec<RegionScoreRecord>,
    /// How it agrees with each of `boxes`, on the first image of the first picture; empty where there are none.
    pub boxes: Vec<LocalizationRecord>,
    /// How much each token counts in the mean, for the rule `reliance`; null where all count alike.
    #[serde(default)]
    pub token_weights: Option<Vec<f32>>,
    /// What the pictures add to its probability; null where nobody asked.
    #[serde(default)]
    pub reliance: Option<RelianceRecord>,
    /// The same on the mean picture; null for words and where nobody asked.
    #[serde(default)]
    pub control: Option<ControlRecord>,
}

/// Something that was asked and that the answer does not have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MissingRecord {
    /// What was asked.
    pub asked: String,
    /// Why there is nothing to explain.
    pub reason: String,
}

/// What another method says of a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MethodRecord {
    /// Its stable id; null in a record of before ids were kept.
    #[serde(default)]
    pub id: Option<MethodId>,
    /// Its display name, with the choices that are not the defaults.
    pub name: String,
    /// Share of all pictures in the absolute values of its row without the predicting rows; null where there are none.
    pub image_share: Option<f32>,
    /// Why the method has nothing to say here, its row being zero; null where it has.
    pub unavailable: Option<String>,
}

/// `[L]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ByLayerRecord {
    /// Share of all pictures in the row without its self terms; null where nothing is left.
    pub image_share: Vec<Option<f32>>,
    /// Entropy of the relevancy of the image tokens over the logarithm of their number: 0 for one token, 1 for an even map; null
    /// where there is none.
    pub image_entropy: Vec<Option<f32>>,
}

/// `[L][H]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ByHeadRecord {
    /// How much of the relevancy row passed through the head.
    pub carried: Vec<Vec<f32>>,
    /// Entropy of its attention in the predicting row, in nats.
    pub entropy: Vec<Vec<f32>>,
    /// Share of the image tokens in its attention.
    pub image_share: Vec<Vec<f32>>,
    /// The layer whose heads have maps in the arrays.
    pub map_layer: Option<usize>,
}

/// The parts of the pictures that relevancy was counted in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionsRecord {
    /// As asked: a name, or the path of a file.
    pub spec: String,
    /// Whose sides left and right are.
    pub note: Option<String>,
    /// Their names, in the order of the arrays.
    pub names: Vec<String>,
}

/// How much of a target lies in a region of an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegionScoreRecord {
    /// Index in `images`.
    pub image: usize,
    /// The name of the region.
    pub name: String,
    /// Mean value per cell.
    pub mean: f64,
    /// Sum of the values within the region.
    pub sum: f64,
    /// Of this image's relevancy; null where it has none.
    pub share: Option<f64>,
    /// The share over that of an even map.
    pub density: Option<f64>,
    /// The region's part of the area that the image shows, within 0 and 1; null in a record of before it was kept.
    #[serde(default)]
    pub area: Option<f64>,
}

/// A box that the model wrote in its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BoxRecord {
    /// What the model calls it; empty where it gave no name.
    pub label: String,
    /// y0, x0, y1, x1 in thousandths of what the model saw, as it wrote them.
    pub box_2d: [f64; 4],
    /// The same in pixels of the picture: x0, y0, x1, y1.
    pub pixels: [f64; 4],
}

/// How a target agrees with a box.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LocalizationRecord {
    /// Of this image's relevancy within the box; null where it has none.
    pub share: Option<f64>,
    /// Intersection over union of the box and the cells at or above the 0.9 quantile.
    pub iou: f64,
}

/// How the answer was generated.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
pub struct Settings {
    /// The program whose rules were followed in place of our own; null for these.
    pub reproduce: Option<String>,
    /// The engine: retained or streaming.
    pub engine: String,
    /// How a layer acts on the row.
    pub update: String,
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
    pub orientation: Orientation,
    /// How fine the maps of pictures are: tokens, patches or pixels.
    pub resolution: Resolution,
    /// Whether the relevancy by layer is in the arrays.
    pub layers: bool,
    /// The colour map of the pictures.
    #[serde(with = "as_text")]
    pub colormap: Colormap,
    /// Quantiles of the cells that have contour lines.
    #[serde(default)]
    pub contours: Vec<f64>,
    /// Whether tokens of the chat template count among those of the text: show or hide.
    #[serde(default)]
    pub template_tokens: TemplateTokens,
}

/// Whether tokens of the chat template count among those of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
pub struct ModelRecord {
    /// Its folder, its id on the hub or its name.
    pub source: String,
    /// The commit, for a model of the hub.
    pub revision: Option<String>,
    /// What its configuration says that it is.
    pub architecture: String,
    /// The SHA-256 of its `config.json`.
    pub config_sha256: String,
}

/// Seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

/// The files beside a record, in its folder.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Files {
    /// The arrays; empty where none were written.
    pub arrays: String,
    /// Overlays, target by target and image by image.
    pub overlays: Vec<String>,
    /// Overlays of patches and of pixels.
    pub finer: Vec<String>,
    /// Charts of regions, differences to the mean picture and the figures that were asked for.
    pub figures: Vec<String>,
    /// The page; null where there is none.
    pub report: Option<String>,
    /// Every file that was written beside the record. A later run replaces and removes these and no others, and only while they are
    /// what was written. Empty in a record of before this was kept.
    #[serde(default)]
    pub written: Vec<WrittenFile>,
    /// The SHA-256 of `explanation.json` with 64 zeros in the place of this.
    #[serde(default)]
    pub record_sha256: String,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WrittenFile {
    /// In the folder of the record.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

impl TargetRecord {
    /// Its text, and which occurrence it is where there are several.
    pub fn label(&self) -> String {
        label(&self.text, self.occurrence)
    }
}

impl Record {
    /// The names of the files that lie beside the record.
    pub fn file_names(&self) -> impl Iterator<Item = &str> {
        let Files { arrays, overlays, finer, figures, report, .. } = &self.files;
        let pictures = self.pictures.iter().map(|picture| &picture.file);
        let drawn = overlays.iter().chain(finer).chain(figures).chain(report);
        drawn.chain(pictures).chain([arrays]).map(String::as_str)
    }

    /// As JSON for people and programs.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail: all keys are strings")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record has string keys only")
    }
}

/// An answer that was not explained, as JSON has it: fields as in [`Record`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AnswerRecord {
    /// The texts of the last turn of the question.
    pub prompt: String,
    /// The system prompt; null where there is none.
    pub system: Option<String>,
    /// The whole prompt as the chat template rendered it.
    pub rendered_prompt: String,
    /// The answer, without the thinking trace.
    pub answer: String,
    /// The thinking trace, empty where there is none.
    pub trace: String,
    /// Why the answer ended, for people.
    pub stop: String,
    /// The tokens of prompt and answer.
    pub tokens: Vec<TokenRecord>,
}

impl AnswerRecord {
    /// As JSON for people and programs.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail: all keys are strings")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record has string keys only")
    }
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

/// The SHA-256 of some bytes in hexadecimal, as records hold it.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
