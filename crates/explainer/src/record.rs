//! The exported record: what was asked, answered and explained, and with what. The only place where output is serialised.

use crate::explain::ExplainOptions;
use crate::{
    Answer, AnswerOptions, Error, Explainer, Explanations, ModelSource, TargetExplanation, Token,
    TokenKind,
};
use gemma3_processor::Resize;
use gemma3_tch::StopReason;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// The name of the record's schema.
pub const SCHEMA: &str = "medgemma-explainer/explanation";
/// Its version; it grows when a field changes its meaning or goes.
pub const SCHEMA_VERSION: u32 = 1;

/// `explanation.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    schema: &'static str,
    version: u32,
    prompt: String,
    system: Option<String>,
    rendered_prompt: String,
    /// The answer, without the thinking trace.
    answer: String,
    /// The thinking trace, empty where there is none.
    trace: String,
    stop: String,
    tokens: Vec<TokenRecord>,
    pictures: Vec<PictureRecord>,
    images: Vec<ImageRecord>,
    targets: Vec<TargetRecord>,
    generation: GenerationRecord,
    settings: Settings,
    model: ModelRecord,
    timings: Timings,
    peak_rss_bytes: Option<u64>,
    notes: Vec<String>,
    files: Files,
}

#[derive(Debug, Clone, Serialize)]
struct TokenRecord {
    position: usize,
    id: u32,
    text: String,
    kind: &'static str,
    /// First character in `answer` and the one behind the last; null outside the answer.
    characters: Option<[usize; 2]>,
}

#[derive(Debug, Clone, Serialize)]
struct PictureRecord {
    name: String,
    width: u32,
    height: u32,
    exif_orientation: u8,
    /// Grey values of a 16-bit picture that became black and white.
    window: Option<[u16; 2]>,
    warnings: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct ImageRecord {
    picture: usize,
    /// First position of its tokens and the one behind the last.
    positions: [usize; 2],
    grid: [usize; 2],
    /// The part of the picture that the grid shows, in pixels: x, y, width, height.
    region: [f64; 4],
}

#[derive(Debug, Clone, Serialize)]
struct TargetRecord {
    text: String,
    /// First position and the one behind the last.
    positions: [usize; 2],
    token_ids: Vec<u32>,
    /// How the tokens make one explanation: mean of theirs, or that of the sum of their objectives.
    rule: String,
    /// Sum over the tokens.
    logit: f32,
    /// Sum over the tokens.
    log_probability: f32,
    token_logits: Vec<f32>,
    token_log_probabilities: Vec<f32>,
    /// For each token the most likely other one: what the objective `contrast` sets it against.
    runner_up_ids: Vec<u32>,
    /// Share of all pictures in the relevancy without the self terms; null where there is no relevancy.
    image_share: Option<f32>,
    overlays: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
struct GenerationRecord {
    max_new_tokens: usize,
    /// Whether stop tokens end the answer.
    stop: bool,
    /// Null: always the most likely token.
    sampling: Option<SamplingRecord>,
}

#[derive(Debug, Clone, Serialize)]
struct SamplingRecord {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    seed: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Settings {
    engine: String,
    update: String,
    objective: String,
    dtype: String,
    device: String,
    threads: usize,
    resize: &'static str,
    pan_and_scan: bool,
    pad_to_square: bool,
}

#[derive(Debug, Clone, Serialize)]
struct ModelRecord {
    source: String,
    revision: Option<String>,
    architecture: &'static str,
    config_sha256: String,
}

/// Seconds.
#[derive(Debug, Clone, Serialize)]
struct Timings {
    load: f64,
    preprocess: f64,
    vision: f64,
    prefill: f64,
    decode: f64,
    explain: f64,
}

#[derive(Debug, Clone, Serialize)]
struct Files {
    arrays: &'static str,
    overlays: Vec<String>,
}

/// The name of the file with the arrays.
pub(crate) const ARRAYS: &str = "explanation.npz";

/// The name of an overlay picture.
pub(crate) fn overlay_name(target: usize, image: usize) -> String {
    format!("overlay-{target}-{image}.png")
}

impl Record {
    /// The record of an explained answer.
    pub fn new(
        explainer: &Explainer,
        answer: &Answer,
        explanations: &Explanations,
    ) -> Result<Self, Error> {
        let n_images = answer.prepared.images.len();
        let names = |target| (0..n_images).map(move |image| overlay_name(target, image));
        Ok(Self {
            schema: SCHEMA,
            version: SCHEMA_VERSION,
            prompt: answer.question.prompt.clone(),
            system: answer.question.system.clone(),
            rendered_prompt: answer.prepared.prompt.clone(),
            answer: answer.text().to_owned(),
            trace: answer.trace().to_owned(),
            stop: stop_name(answer.generated.stop),
            tokens: answer.tokens.iter().map(|token| token_record(answer, token)).collect(),
            pictures: answer.question.pictures.iter().map(picture_record).collect(),
            images: answer.prepared.images.iter().map(image_record).collect(),
            targets: explanations
                .targets
                .iter()
                .enumerate()
                .map(|(index, target)| target_record(target, names(index).collect()))
                .collect(),
            generation: generation(answer.options()),
            settings: settings(explainer, explanations.options),
            model: model_record(explainer)?,
            timings: timings(explainer, answer, explanations),
            peak_rss_bytes: peak_rss(),
            notes: explanations.notes.clone(),
            files: Files {
                arrays: ARRAYS,
                overlays: (0..explanations.targets.len()).flat_map(names).collect(),
            },
        })
    }

    /// As JSON for people and programs.
    #[expect(clippy::missing_panics_doc, reason = "it cannot fail: all keys are strings")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a record has string keys only")
    }
}

fn token_record(answer: &Answer, token: &Token) -> TokenRecord {
    let kind = match token.kind {
        TokenKind::Prompt => "prompt",
        TokenKind::Image => "image",
        TokenKind::Answer => "answer",
    };
    let span = token.span.clone().filter(|_| answer.proper.contains(&token.position));
    let characters = span.map(|span| characters(answer, &span));
    TokenRecord {
        position: token.position,
        id: token.id,
        text: token.text.clone(),
        kind,
        characters,
    }
}

/// Bytes of the generated text as characters of the answer.
fn characters(answer: &Answer, span: &Range<usize>) -> [usize; 2] {
    let base = answer.text.len() - answer.text().len(); // the answer is the end of the generated text
    [span.start, span.end].map(|byte| answer.text[base..byte.max(base)].chars().count())
}

fn picture_record(picture: &gemma3_processor::Picture) -> PictureRecord {
    PictureRecord {
        name: picture.name().to_owned(),
        width: picture.width(),
        height: picture.height(),
        exif_orientation: picture.exif_orientation(),
        window: picture.window().map(|window| [window.low, window.high]),
        warnings: picture.warnings().iter().map(ToString::to_string).collect(),
    }
}

fn image_record(image: &gemma3_processor::PreparedImage) -> ImageRecord {
    let region = image.geometry.region;
    ImageRecord {
        picture: image.picture,
        positions: [image.span.start, image.span.end],
        grid: image.grid,
        region: [region.x, region.y, region.width, region.height],
    }
}

fn target_record(target: &TargetExplanation, overlays: Vec<String>) -> TargetRecord {
    TargetRecord {
        text: target.text().to_owned(),
        positions: [target.positions().start, target.positions().end],
        token_ids: target.token_ids().to_vec(),
        rule: target.rule().to_string(),
        logit: target.logit(),
        log_probability: target.log_probability(),
        token_logits: target.scores().iter().map(|score| score.logit).collect(),
        token_log_probabilities: target
            .scores()
            .iter()
            .map(|score| score.log_probability)
            .collect(),
        runner_up_ids: target.scores().iter().map(|score| score.runner_up).collect(),
        image_share: target.relevancy().shares().map(|shares| shares.image()),
        overlays,
    }
}

fn generation(options: &AnswerOptions) -> GenerationRecord {
    let sampling = options.sampling.map(|sampling| SamplingRecord {
        temperature: sampling.temperature,
        top_k: sampling.top_k,
        top_p: sampling.top_p,
        seed: sampling.seed,
    });
    GenerationRecord { max_new_tokens: options.max_new_tokens, stop: options.stop, sampling }
}

fn settings(explainer: &Explainer, options: ExplainOptions) -> Settings {
    let processor = explainer.processor.options();
    Settings {
        engine: options.engine.to_string(),
        update: options.update.to_string(),
        objective: options.objective.to_string(),
        dtype: explainer.model.placement().dtype_name(),
        device: explainer.model.placement().device_name(),
        threads: gemma3_tch::threads(),
        resize: match processor.resize {
            Resize::TorchVision => "torchvision",
            Resize::Pillow => "pillow",
        },
        pan_and_scan: processor.pan_and_scan,
        pad_to_square: processor.pad_to_square,
    }
}

fn model_record(explainer: &Explainer) -> Result<ModelRecord, Error> {
    let config = explainer.dir().join("config.json");
    let bytes = std::fs::read(&config)
        .map_err(|source| gemma3_tch::Error::Read { path: config, source })?;
    let source = match explainer.source() {
        ModelSource::Directory(path) => path.display().to_string(),
        ModelSource::Hub { id, .. } => id.clone(),
        ModelSource::Shipped(shipped) => shipped.name().to_owned(),
    };
    Ok(ModelRecord {
        source,
        revision: explainer.revision().map(str::to_owned),
        architecture: explainer.inspection.architecture,
        config_sha256: hexadecimal(&Sha256::digest(&bytes)),
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn timings(explainer: &Explainer, answer: &Answer, explanations: &Explanations) -> Timings {
    Timings {
        load: explainer.load_time().as_secs_f64(),
        preprocess: answer.preprocess.as_secs_f64(),
        vision: answer.vision.as_secs_f64(),
        prefill: answer.generated.prefill.as_secs_f64(),
        decode: answer.generated.decode.as_secs_f64(),
        explain: explanations.duration.as_secs_f64(),
    }
}

fn stop_name(stop: StopReason) -> String {
    match stop {
        StopReason::Token(id) => format!("stop token {id}"),
        StopReason::Limit => "max_new_tokens".to_owned(),
        StopReason::Context => "context full".to_owned(),
        StopReason::Caller => "stopped by the caller".to_owned(),
    }
}

/// The most memory that the process had in use at a time, mapped weights included; Linux only.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
