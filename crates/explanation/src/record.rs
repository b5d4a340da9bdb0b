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
pub struct Record {
    pub schema: String,
    pub version: u32,
    pub prompt: String,
    pub system: Option<String>,
    pub rendered_prompt: String,
    /// The answer, without the thinking trace.
    pub answer: String,
    /// The thinking trace, empty where there is none.
    pub trace: String,
    pub stop: String,
    pub tokens: Vec<TokenRecord>,
    pub pictures: Vec<PictureRecord>,
    pub images: Vec<ImageRecord>,
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
    pub settings: Settings,
    pub model: ModelRecord,
    pub timings: Timings,
    pub peak_rss_bytes: Option<u64>,
    pub notes: Vec<String>,
    pub files: Files,
    /// The program and its version.
    pub program: String,
    /// As the caller gave it; null where none was given.
    pub date: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenRecord {
    pub position: usize,
    pub id: u32,
    pub text: String,
    pub kind: TokenKind,
    /// First character in `answer` and the one behind the last; null outside the answer.
    pub characters: Option<[usize; 2]>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PictureRecord {
    pub name: String,
    pub width: u32,
    pub height: u32,
    /// The upright picture as the model's processor got it, in the folder of the record.
    pub file: String,
    /// Of its pixels: red, green and blue of every pixel, row by row.
    pub pixels_sha256: String,
    pub exif_orientation: u8,
    /// Grey values of a 16-bit picture that became black and white.
    pub window: Option<[u16; 2]>,
    pub warnings: Vec<String>,
    /// What is drawn in outline over it: boxes of the answer, regions of a file.
    #[serde(default)]
    pub outlines: Vec<OutlineRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OutlineRecord {
    pub label: String,
    /// Closed lines in pixels of the picture: x and y of each point in turn.
    pub rings: Vec<Vec<f64>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImageRecord {
    pub picture: usize,
    /// First position of its tokens and the one behind the last.
    pub positions: [usize; 2],
    pub grid: [usize; 2],
    /// Rows and columns of its patches; null where their relevancy is not in the arrays.
    pub patches: Option<[usize; 2]>,
    /// Rows and columns of the pixels that the model saw; null where their gradient × input is not in the arrays.
    #[serde(default)]
    pub pixels: Option<[usize; 2]>,
    /// The part of the picture that the grid shows, in pixels: x, y, width, height.
    pub region: [f64; 4],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TargetRecord {
    pub text: String,
    /// Which occurrence of the text in the answer, from 1; null where it stands there once.
    #[serde(default)]
    pub occurrence: Option<usize>,
    /// First position and the one behind the last.
    pub positions: [usize; 2],
    pub token_ids: Vec<u32>,
    /// How the tokens make one explanation: mean of theirs, sum (that of the sum of their objectives), or reliance (their mean, by
    /// what the pictures add to each).
    pub rule: SpanRule,
    /// Sum over the tokens.
    pub logit: f32,
    /// Sum over the tokens.
    pub log_probability: f32,
    pub token_logits: Vec<f32>,
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
pub struct MethodRecord {
    /// Its stable id; null in a record of before ids were kept.
    #[serde(default)]
    pub id: Option<MethodId>,
    pub name: String,
    /// Share of all pictures in the absolute values of its row without the predicting rows; null where there are none.
    pub image_share: Option<f32>,
    /// Why the method has nothing to say here, its row being zero; null where it has.
    pub unavailable: Option<String>,
}

/// `[L]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ByLayerRecord {
    /// Share of all pictures in the row without its self terms; null where nothing is left.
    pub image_share: Vec<Option<f32>>,
    /// Entropy of the relevancy of the image tokens over the logarithm of their number: 0 for one token, 1 for an even map; null
    /// where there is none.
    pub image_entropy: Vec<Option<f32>>,
}

/// `[L][H]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionsRecord {
    /// As asked: a name, or the path of a file.
    pub spec: String,
    /// Whose sides left and right are.
    pub note: Option<String>,
    pub names: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegionScoreRecord {
    /// Index in `images`.
    pub image: usize,
    pub name: String,
    /// Mean value per cell.
    pub mean: f64,
    pub sum: f64,
    /// Of this image's relevancy; null where it has none.
    pub share: Option<f64>,
    /// The share over that of an even map.
    pub density: Option<f64>,
    /// The region's part of the area that the image shows, within 0 and 1; null in a record of before it was kept.
    #[serde(default)]
    pub area: Option<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BoxRecord {
    pub label: String,
    /// y0, x0, y1, x1 in thousandths of what the model saw, as it wrote them.
    pub box_2d: [f64; 4],
    /// The same in pixels of the picture: x0, y0, x1, y1.
    pub pixels: [f64; 4],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LocalizationRecord {
    /// Of this image's relevancy within the box; null where it has none.
    pub share: Option<f64>,
    /// Intersection over union of the box and the cells at or above the 0.9 quantile.
    pub iou: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GenerationRecord {
    pub max_new_tokens: usize,
    /// Whether stop tokens end the answer.
    pub stop: bool,
    /// Null: always the most likely token.
    pub sampling: Option<SamplingRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SamplingRecord {
    pub temperature: f64,
    pub top_k: usize,
    pub top_p: f64,
    pub seed: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Settings {
    /// The program whose rules were followed in place of our own; null for these.
    pub reproduce: Option<String>,
    pub engine: String,
    pub update: String,
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
    pub dtype: String,
    pub device: String,
    pub threads: usize,
    pub resize: String,
    pub pan_and_scan: bool,
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

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelRecord {
    pub source: String,
    pub revision: Option<String>,
    pub architecture: String,
    pub config_sha256: String,
}

/// Seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timings {
    pub load: f64,
    pub preprocess: f64,
    pub vision: f64,
    pub prefill: f64,
    pub decode: f64,
    pub explain: f64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Files {
    pub arrays: String,
    pub overlays: Vec<String>,
    /// Overlays of patches and of pixels.
    pub finer: Vec<String>,
    /// Charts of regions, differences to the mean picture and the figures that were asked for.
    pub figures: Vec<String>,
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
pub struct WrittenFile {
    /// In the folder of the record.
    pub name: String,
    pub bytes: u64,
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
    pub prompt: String,
    pub system: Option<String>,
    pub rendered_prompt: String,
    pub answer: String,
    pub trace: String,
    pub stop: String,
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
