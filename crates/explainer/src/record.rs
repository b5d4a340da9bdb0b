//! The exported record: what was asked, answered and explained, and with what. The only place where output is serialised.

use serde::{Deserialize, Serialize};

pub(crate) use build::{hexadecimal, picture_name, sha256};
pub(crate) use reliance::RelianceRecord;
use reliance::{ControlRecord, RelianceSettings};
pub(crate) use versus::{PhraseRecord, VersusRecord};

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
    pub(crate) schema: String,
    pub(crate) version: u32,
    pub(crate) prompt: String,
    pub(crate) system: Option<String>,
    pub(crate) rendered_prompt: String,
    /// The answer, without the thinking trace.
    pub(crate) answer: String,
    /// The thinking trace, empty where there is none.
    pub(crate) trace: String,
    pub(crate) stop: String,
    pub(crate) tokens: Vec<TokenRecord>,
    pub(crate) pictures: Vec<PictureRecord>,
    pub(crate) images: Vec<ImageRecord>,
    pub(crate) targets: Vec<TargetRecord>,
    /// What was asked and is not in the answer; records of earlier versions do not say.
    #[serde(default)]
    pub(crate) missing: Vec<MissingRecord>,
    /// The words of the answer that were explained for the report, in reading order; those among the targets are not repeated.
    pub(crate) words: Vec<TargetRecord>,
    /// Phrases of the answer against others in their place; a record of before there were any has none.
    #[serde(default)]
    pub(crate) versus: Vec<VersusRecord>,
    /// The parts of the pictures that relevancy was counted in; null where none were asked for.
    pub(crate) regions: Option<RegionsRecord>,
    /// The boxes that the model wrote in its answer.
    pub(crate) boxes: Vec<BoxRecord>,
    /// With what the pictures were compared; null where nobody asked.
    #[serde(default)]
    pub(crate) reliance: Option<RelianceSettings>,
    /// Null for an answer that was given and not generated.
    pub(crate) generation: Option<GenerationRecord>,
    pub(crate) settings: Settings,
    pub(crate) model: ModelRecord,
    pub(crate) timings: Timings,
    pub(crate) peak_rss_bytes: Option<u64>,
    pub(crate) notes: Vec<String>,
    pub(crate) files: Files,
    /// The program and its version.
    pub(crate) program: String,
    /// As the caller gave it; null where none was given.
    pub(crate) date: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TokenRecord {
    pub(crate) position: usize,
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) kind: String,
    /// First character in `answer` and the one behind the last; null outside the answer.
    pub(crate) characters: Option<[usize; 2]>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PictureRecord {
    pub(crate) name: String,
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The upright picture as the model's processor got it, in the folder of the record.
    pub(crate) file: String,
    /// Of its pixels: red, green and blue of every pixel, row by row.
    pub(crate) pixels_sha256: String,
    pub(crate) exif_orientation: u8,
    /// Grey values of a 16-bit picture that became black and white.
    pub(crate) window: Option<[u16; 2]>,
    pub(crate) warnings: Vec<String>,
    /// What is drawn in outline over it: boxes of the answer, regions of a file.
    #[serde(default)]
    pub(crate) outlines: Vec<OutlineRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OutlineRecord {
    pub(crate) label: String,
    /// Closed lines in pixels of the picture: x and y of each point in turn.
    pub(crate) rings: Vec<Vec<f64>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ImageRecord {
    pub(crate) picture: usize,
    /// First position of its tokens and the one behind the last.
    pub(crate) positions: [usize; 2],
    pub(crate) grid: [usize; 2],
    /// Rows and columns of its patches; null where their relevancy is not in the arrays.
    pub(crate) patches: Option<[usize; 2]>,
    /// Rows and columns of the pixels that the model saw; null where their gradient × input is not in the arrays.
    #[serde(default)]
    pub(crate) pixels: Option<[usize; 2]>,
    /// The part of the picture that the grid shows, in pixels: x, y, width, height.
    pub(crate) region: [f64; 4],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TargetRecord {
    pub(crate) text: String,
    /// Which occurrence of the text in the answer, from 1; null where it stands there once.
    #[serde(default)]
    pub(crate) occurrence: Option<usize>,
    /// First position and the one behind the last.
    pub(crate) positions: [usize; 2],
    pub(crate) token_ids: Vec<u32>,
    /// How the tokens make one explanation: mean of theirs, sum (that of the sum of their objectives), or reliance (their mean, by
    /// what the pictures add to each).
    pub(crate) rule: String,
    /// Sum over the tokens.
    pub(crate) logit: f32,
    /// Sum over the tokens.
    pub(crate) log_probability: f32,
    pub(crate) token_logits: Vec<f32>,
    pub(crate) token_log_probabilities: Vec<f32>,
    /// For each token the most likely other one: what the objective `contrast` sets it against.
    pub(crate) runner_up_ids: Vec<u32>,
    /// Whether nothing speaks for it: its row of relevancy holds nothing but the self terms.
    #[serde(default)]
    pub(crate) is_empty: bool,
    /// Share of all pictures in the relevancy without the self terms; null where there is no relevancy.
    pub(crate) image_share: Option<f32>,
    /// One for each of the methods in the settings.
    pub(crate) methods: Vec<MethodRecord>,
    /// By layer, row l being what layers l to the last brought together; null where that was not kept.
    pub(crate) by_layer: Option<ByLayerRecord>,
    /// By layer and head; null where that was not kept.
    pub(crate) by_head: Option<ByHeadRecord>,
    pub(crate) overlays: Vec<String>,
    /// Overlays of patches, then of pixels.
    pub(crate) finer: Vec<String>,
    /// How much of it lies in each region, image by image; empty where no regions were asked for.
    pub(crate) regions: Vec<RegionScoreRecord>,
    /// How it agrees with each of `boxes`, on the first image of the first picture; empty where there are none.
    pub(crate) boxes: Vec<LocalizationRecord>,
    /// How much each token counts in the mean, for the rule `reliance`; null where all count alike.
    #[serde(default)]
    pub(crate) token_weights: Option<Vec<f32>>,
    /// What the pictures add to its probability; null where nobody asked.
    #[serde(default)]
    pub(crate) reliance: Option<RelianceRecord>,
    /// The same on the mean picture; null for words and where nobody asked.
    #[serde(default)]
    pub(crate) control: Option<ControlRecord>,
}

/// Something that was asked and that the answer does not have.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MissingRecord {
    /// What was asked.
    pub(crate) asked: String,
    /// Why there is nothing to explain.
    pub(crate) reason: String,
}

/// What another method says of a target.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MethodRecord {
    pub(crate) name: String,
    /// Share of all pictures in the absolute values of its row without the predicting rows; null where there are none.
    pub(crate) image_share: Option<f32>,
    /// Why the method has nothing to say here, its row being zero; null where it has.
    pub(crate) unavailable: Option<String>,
}

/// `[L]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ByLayerRecord {
    /// Share of all pictures in the row without its self terms; null where nothing is left.
    pub(crate) image_share: Vec<Option<f32>>,
    /// Entropy of the relevancy of the image tokens over the logarithm of their number: 0 for one token, 1 for an even map; null
    /// where there is none.
    pub(crate) image_entropy: Vec<Option<f32>>,
}

/// `[L][H]` each.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ByHeadRecord {
    /// How much of the relevancy row passed through the head.
    pub(crate) carried: Vec<Vec<f32>>,
    /// Entropy of its attention in the predicting row, in nats.
    pub(crate) entropy: Vec<Vec<f32>>,
    /// Share of the image tokens in its attention.
    pub(crate) image_share: Vec<Vec<f32>>,
    /// The layer whose heads have maps in the arrays.
    pub(crate) map_layer: Option<usize>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RegionsRecord {
    /// As asked: a name, or the path of a file.
    pub(crate) spec: String,
    /// Whose sides left and right are.
    pub(crate) note: Option<String>,
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RegionScoreRecord {
    /// Index in `images`.
    pub(crate) image: usize,
    pub(crate) name: String,
    /// Mean value per cell.
    pub(crate) mean: f64,
    pub(crate) sum: f64,
    /// Of this image's relevancy; null where it has none.
    pub(crate) share: Option<f64>,
    /// The share over that of an even map.
    pub(crate) density: Option<f64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BoxRecord {
    pub(crate) label: String,
    /// y0, x0, y1, x1 in thousandths of what the model saw, as it wrote them.
    pub(crate) box_2d: [f64; 4],
    /// The same in pixels of the picture: x0, y0, x1, y1.
    pub(crate) pixels: [f64; 4],
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LocalizationRecord {
    /// Of this image's relevancy within the box; null where it has none.
    pub(crate) share: Option<f64>,
    /// Intersection over union of the box and the cells at or above the 0.9 quantile.
    pub(crate) iou: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GenerationRecord {
    pub(crate) max_new_tokens: usize,
    /// Whether stop tokens end the answer.
    pub(crate) stop: bool,
    /// Null: always the most likely token.
    pub(crate) sampling: Option<SamplingRecord>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SamplingRecord {
    pub(crate) temperature: f64,
    pub(crate) top_k: usize,
    pub(crate) top_p: f64,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// The program whose rules were followed in place of our own; null for these.
    pub(crate) reproduce: Option<String>,
    pub(crate) engine: String,
    pub(crate) update: String,
    pub(crate) objective: String,
    /// How heads become one in a layer of the relevancy.
    pub(crate) heads: String,
    /// The layers that the relevancy is taken through: all, global or a range.
    pub(crate) folded_layers: String,
    /// The methods beside relevancy, raw attention of the last layer and rollout, in the order of the arrays.
    pub(crate) methods: Vec<String>,
    pub(crate) dtype: String,
    pub(crate) device: String,
    pub(crate) threads: usize,
    pub(crate) resize: String,
    pub(crate) pan_and_scan: bool,
    pub(crate) pad_to_square: bool,
    /// Whose side the left of a picture is: pa, ap, flipped or none.
    pub(crate) orientation: String,
    /// How fine the maps of pictures are: tokens, patches or pixels.
    pub(crate) resolution: String,
    /// Whether the relevancy by layer is in the arrays.
    pub(crate) layers: bool,
    /// The colour map of the pictures.
    pub(crate) colormap: String,
    /// Quantiles of the cells that have contour lines.
    #[serde(default)]
    pub(crate) contours: Vec<f64>,
    /// Whether tokens of the chat template count among those of the text: show or hide.
    #[serde(default)]
    pub(crate) template_tokens: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ModelRecord {
    pub(crate) source: String,
    pub(crate) revision: Option<String>,
    pub(crate) architecture: String,
    pub(crate) config_sha256: String,
}

/// Seconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Timings {
    pub(crate) load: f64,
    pub(crate) preprocess: f64,
    pub(crate) vision: f64,
    pub(crate) prefill: f64,
    pub(crate) decode: f64,
    pub(crate) explain: f64,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Files {
    pub(crate) arrays: String,
    pub(crate) overlays: Vec<String>,
    /// Overlays of patches and of pixels.
    pub(crate) finer: Vec<String>,
    /// Charts of regions, differences to the mean picture and the figures that were asked for.
    pub(crate) figures: Vec<String>,
    pub(crate) report: Option<String>,
    /// Every file that was written beside the record. A later run replaces and removes these and no others, and only while they are
    /// what was written. Empty in a record of before this was kept.
    #[serde(default)]
    pub(crate) written: Vec<WrittenFile>,
    /// The SHA-256 of `explanation.json` with 64 zeros in the place of this.
    #[serde(default)]
    pub(crate) record_sha256: String,
}

/// A file as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WrittenFile {
    /// In the folder of the record.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
}

impl TargetRecord {
    /// Its text, and which occurrence it is where there are several.
    pub(crate) fn label(&self) -> String {
        crate::ask::label(&self.text, self.occurrence)
    }
}

impl Record {
    /// The names of the files that this program makes beside the record.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = &str> {
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
