//! A record of an explained answer.

use attention_capture::{Foil, HeadShares, MethodRow, Objective};
use attention_relevancy::Explanation;
use attention_relevancy::ndarray::{Array2, ArrayView1};
use gemma3_processor::Resize;
use gemma3_tch::StopReason;
use relevancy_visualization::{AnswerBox, Outline, Region, RegionSpec, Shape};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::ops::Range;
use std::time::Duration;

use super::reliance::{ControlRecord, RelianceRecord, RelianceSettings};
use super::versus::VersusRecord;
use super::{
    BoxRecord, ByHeadRecord, ByLayerRecord, Files, GenerationRecord, ImageRecord,
    LocalizationRecord, MethodRecord, MissingRecord, ModelRecord, OutlineRecord, PictureRecord,
    Record, RegionScoreRecord, RegionsRecord, SCHEMA, SCHEMA_VERSION, SamplingRecord, Settings,
    TargetRecord, Timings, TokenRecord,
};
use crate::results::Results;
use crate::{
    Answer, AnswerOptions, Compared, Error, Explainer, Explanations, Missing, ModelSource, Profile,
    TargetExplanation, Token, TokenKind, VersusExplanation,
};

impl Record {
    /// The record of results that were put into `files`.
    pub(crate) fn new(results: &Results<'_>, files: Files) -> Result<Self, Error> {
        let Results { explainer, answer, explanations, .. } = results;
        let named = |names: &[String], kinds: &[&str], target: usize| -> Vec<String> {
            let of = |name: &&String| {
                kinds.iter().any(|kind| name.starts_with(&format!("{kind}-{target}-")))
            };
            names.iter().filter(of).cloned().collect()
        };
        let reliance = explanations.reliance.as_ref();
        let of_target = |index: usize| {
            let reliance = reliance?;
            Some(RelianceRecord::new(reliance.targets.get(index)?, &reliance.blanks))
        };
        let of_word = |index: usize| {
            let reliance = reliance?;
            Some(RelianceRecord::new(reliance.words.get(index)?, &reliance.blanks))
        };
        let control = |index: usize| {
            let control = explanations.control.as_ref()?.targets.get(index)?;
            Some(ControlRecord::new(control, named(&files.figures, &["control"], index)))
        };
        let targets = explanations.targets.iter().enumerate().map(|(index, target)| {
            Ok(TargetRecord {
                methods: method_records(target, &explanations.options.methods),
                by_layer: target.layers().map(|rows| by_layer(target, rows)),
                by_head: target.heads().map(by_head),
                overlays: named(&files.overlays, &["overlay"], index),
                finer: named(&files.finer, &["patches", "pixels"], index),
                regions: regions_of(results, target)?,
                boxes: boxes_of(results, target)?,
                reliance: of_target(index),
                control: control(index),
                ..target_record(target)
            })
        });
        let targets = targets.collect::<Result<_, Error>>()?;
        let words = explanations.words.iter().enumerate().map(|(index, word)| TargetRecord {
            methods: method_records(word, &explanations.options.methods),
            by_layer: word.layers().map(|rows| by_layer(word, rows)),
            reliance: of_word(index),
            ..target_record(word)
        });
        Ok(Self {
            schema: SCHEMA.to_owned(),
            version: SCHEMA_VERSION,
            prompt: answer.question.prompt(),
            system: answer.question.system().map(str::to_owned),
            rendered_prompt: answer.prepared.prompt.clone(),
            answer: answer.text().to_owned(),
            trace: answer.trace().to_owned(),
            stop: stop_name(answer.generated.stop),
            tokens: answer.tokens.iter().map(|token| token_record(answer, token)).collect(),
            pictures: (0..answer.question.pictures.len())
                .map(|picture| picture_record(results, picture))
                .collect(),
            images: (0..results.images()).map(|image| image_record(results, image)).collect(),
            targets,
            missing: explanations.missing.iter().map(missing).collect(),
            words: words.collect(),
            versus: versus_records(explanations, &files),
            regions: regions_record(results),
            boxes: box_records(results),
            reliance: reliance.map(|found| RelianceSettings::new(found, results.presentation)),
            generation: answer.options().map(generation),
            settings: settings(results),
            model: model_record(results)?,
            timings: timings(explainer, answer, explanations),
            peak_rss_bytes: peak_rss(),
            notes: results.notes(),
            files,
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            date: results.presentation.date.clone(),
        })
    }
}

/// The name of picture `index` in the folder.
pub(crate) fn picture_name(index: usize) -> String {
    format!("picture-{index}.png")
}

impl Answer {
    /// As JSON: `prompt`, `system`, `rendered_prompt`, `answer`, `trace`, `stop` and `tokens`, as [`Record`] has them.
    pub fn to_json(&self) -> String {
        let tokens: Vec<_> = self.tokens.iter().map(|token| token_record(self, token)).collect();
        let answer = json!({
            "prompt": self.question.prompt(),
            "system": self.question.system(),
            "rendered_prompt": self.prepared.prompt,
            "answer": self.text(),
            "trace": self.trace(),
            "stop": stop_name(self.generated.stop),
            "tokens": tokens,
        });
        format!("{answer:#}")
    }
}

fn token_record(answer: &Answer, token: &Token) -> TokenRecord {
    let kind = match token.kind {
        TokenKind::Prompt => "prompt",
        TokenKind::Image => "image",
        TokenKind::Answer => "answer",
    };
    let kind = kind.to_owned();
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

fn picture_record(results: &Results<'_>, index: usize) -> PictureRecord {
    let picture = &results.answer.question.pictures[index];
    // Crops of a picture have the outlines of the whole.
    let image = results.answer.prepared.images.iter().position(|image| image.picture == index);
    let outlines = image.map_or_else(Vec::new, |image| results.outlines(image));
    PictureRecord {
        name: results.presentation.shown_path(picture.name().as_ref()),
        file: picture_name(index),
        pixels_sha256: sha256(picture.rgb().as_raw()),
        width: picture.width(),
        height: picture.height(),
        exif_orientation: picture.exif_orientation(),
        window: picture.window().map(|window| [window.low, window.high]),
        warnings: picture.warnings().iter().map(ToString::to_string).collect(),
        outlines: outlines.into_iter().map(outline_record).collect(),
    }
}

/// To a tenth of a pixel.
fn outline_record(outline: Outline) -> OutlineRecord {
    let rounded = |value: &f64| (10.0 * value).round() / 10.0;
    let rings = outline.rings.iter().map(|ring| ring.iter().flatten().map(rounded).collect());
    OutlineRecord { label: outline.label, rings: rings.collect() }
}

fn image_record(results: &Results<'_>, index: usize) -> ImageRecord {
    let image = &results.answer.prepared.images[index];
    let explanations = results.explanations;
    let mut explained = explanations.targets.iter().chain(&explanations.words);
    let finer = explained.next().and_then(|target| target.finer(index));
    let region = image.geometry.region;
    ImageRecord {
        picture: image.picture,
        positions: [image.span.start, image.span.end],
        grid: image.grid,
        patches: finer.map(|map| map.patches.dim().into()),
        pixels: finer.and_then(|map| Some(map.pixels.as_ref()?.dim().into())),
        region: [region.x, region.y, region.width, region.height],
    }
}

fn target_record(target: &TargetExplanation) -> TargetRecord {
    TargetRecord {
        text: target.text().to_owned(),
        occurrence: target.occurrence(),
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
        is_empty: target.is_empty(),
        image_share: target.relevancy().shares().map(|shares| shares.image()),
        methods: Vec::new(),
        by_layer: None,
        by_head: None,
        overlays: Vec::new(),
        finer: Vec::new(),
        regions: Vec::new(),
        boxes: Vec::new(),
        token_weights: target.token_weights().map(<[f32]>::to_vec),
        reliance: None,
        control: None,
    }
}

fn missing(missing: &Missing) -> MissingRecord {
    MissingRecord { asked: missing.ask.to_string(), reason: missing.reason.clone() }
}

fn method_records(target: &TargetExplanation, methods: &[Compared]) -> Vec<MethodRecord> {
    let record = |(method, row): (&Compared, &MethodRow)| {
        let (image_share, unavailable) = match row {
            Ok(row) => (target.image_share_of(row), None),
            Err(why) => (None, Some(why.to_string())),
        };
        MethodRecord { name: method.to_string(), image_share, unavailable }
    };
    methods.iter().zip(target.methods()).map(record).collect()
}

fn by_layer(target: &TargetExplanation, rows: &Array2<f32>) -> ByLayerRecord {
    let (targets, layout) = (target.relevancy().targets(), target.relevancy().layout());
    let of_layer = |row: ArrayView1<'_, f32>| {
        let row = Explanation::new(targets.to_vec(), row.to_owned(), layout.clone());
        let row = row.expect("a row of the same sequence");
        (row.shares().map(|shares| shares.image()), row.image_entropy())
    };
    let (image_share, image_entropy) = rows.outer_iter().map(of_layer).unzip();
    ByLayerRecord { image_share, image_entropy }
}

fn by_head(heads: &HeadShares) -> ByHeadRecord {
    let lists = |array: &Array2<f32>| array.outer_iter().map(|row| row.to_vec()).collect();
    ByHeadRecord {
        carried: lists(&heads.carried),
        entropy: lists(&heads.entropy),
        image_share: lists(&heads.image),
        map_layer: heads.maps.as_ref().map(|maps| maps.layer),
    }
}

fn versus_records(explanations: &Explanations, files: &Files) -> Vec<VersusRecord> {
    let record = |(index, versus): (usize, &VersusExplanation)| {
        let of = format!("versus-{index}-");
        let figures = files.figures.iter().filter(|name| name.starts_with(&of)).cloned();
        VersusRecord::new(versus, figures.collect())
    };
    explanations.versus.iter().enumerate().map(record).collect()
}

fn regions_record(results: &Results<'_>) -> Option<RegionsRecord> {
    let spec = results.presentation.regions.as_ref()?;
    Some(RegionsRecord {
        spec: match spec {
            RegionSpec::File(path) => results.presentation.shown_path(path),
            other => other.to_string(),
        },
        note: results.region_note(),
        names: results.region_names(),
    })
}

fn regions_of(
    results: &Results<'_>,
    target: &TargetExplanation,
) -> Result<Vec<RegionScoreRecord>, Error> {
    let mut records = Vec::new();
    for image in 0..results.images() {
        let scores = results.region_scores(target, image)?;
        records.extend(scores.into_iter().map(|score| RegionScoreRecord {
            image,
            name: score.name,
            mean: score.mean,
            sum: score.sum,
            share: score.share,
            density: score.density,
        }));
    }
    Ok(records)
}

fn box_records(results: &Results<'_>) -> Vec<BoxRecord> {
    let record = |(found, region): &(AnswerBox, Region)| BoxRecord {
        label: found.label.clone(),
        box_2d: found.box_2d,
        pixels: match region.shape {
            Shape::Rectangle(sides) => sides,
            _ => unreachable!("a box is a rectangle"),
        },
    };
    results.boxes.iter().map(record).collect()
}

fn boxes_of(
    results: &Results<'_>,
    target: &TargetExplanation,
) -> Result<Vec<LocalizationRecord>, Error> {
    let found = results.localizations(target)?.into_iter();
    Ok(found.map(|found| LocalizationRecord { share: found.share, iou: found.iou }).collect())
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

fn settings(results: &Results<'_>) -> Settings {
    let (explainer, options) = (results.explainer, &results.explanations.options);
    let processor = explainer.processor.options();
    Settings {
        reproduce: (explainer.profile == Profile::Seed).then(|| "seed".to_owned()),
        engine: options.engine.to_string(),
        update: options.update.to_string(),
        objective: objective(results),
        heads: options.folding.heads.to_string(),
        folded_layers: options.folding.layers.to_string(),
        methods: options.methods.iter().map(ToString::to_string).collect(),
        dtype: explainer.model.placement().dtype_name(),
        device: explainer.model.placement().device_name(),
        threads: gemma3_tch::threads(),
        resize: match processor.resize {
            Resize::TorchVision => "torchvision".to_owned(),
            Resize::Pillow => "pillow".to_owned(),
        },
        pan_and_scan: processor.pan_and_scan,
        pad_to_square: processor.pad_to_square,
        orientation: results.presentation.overlay.orientation.to_string(),
        resolution: options.resolution.to_string(),
        layers: options.by_layer,
        colormap: results.presentation.overlay.colormap.to_string(),
        contours: results.presentation.overlay.contours.clone(),
        template_tokens: if results.presentation.shows_template { "show" } else { "hide" }
            .to_owned(),
    }
}

/// A token that a target is set against has its text beside its number.
fn objective(results: &Results<'_>) -> String {
    match results.explanations.options.objective {
        Objective::Contrast(Foil::Token(id)) => {
            let text = results.explainer.processor.tokenizer().label(id);
            format!("contrast with {text:?} (token {id})")
        }
        objective => objective.to_string(),
    }
}

fn model_record(results: &Results<'_>) -> Result<ModelRecord, Error> {
    let explainer = results.explainer;
    let config = explainer.dir().join("config.json");
    let bytes = std::fs::read(&config)
        .map_err(|source| gemma3_tch::Error::Read { path: config, source })?;
    let source = match explainer.source() {
        ModelSource::Directory(path) => results.presentation.shown_path(path),
        ModelSource::Hub { id, .. } => id.clone(),
        ModelSource::Shipped(shipped) => shipped.name().to_owned(),
    };
    Ok(ModelRecord {
        source,
        revision: explainer.revision().map(str::to_owned),
        architecture: explainer.inspection.architecture.to_owned(),
        config_sha256: sha256(&bytes),
    })
}

/// In hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn timings(explainer: &Explainer, answer: &Answer, explanations: &Explanations) -> Timings {
    let versus: Duration = explanations.versus.iter().map(|versus| versus.duration).sum();
    Timings {
        load: explainer.load_time().as_secs_f64(),
        preprocess: answer.preprocess.as_secs_f64(),
        vision: answer.vision.as_secs_f64(),
        prefill: answer.generated.prefill.as_secs_f64(),
        decode: answer.generated.decode.as_secs_f64(),
        explain: (explanations.duration + versus).as_secs_f64(),
    }
}

fn stop_name(stop: StopReason) -> String {
    match stop {
        StopReason::Token(id) => format!("stop token {id}"),
        StopReason::Limit => "max_new_tokens".to_owned(),
        StopReason::Context => "context full".to_owned(),
        StopReason::Caller => "stopped by the caller".to_owned(),
        StopReason::Given => "given by the caller".to_owned(),
    }
}

/// The most memory that the process had in use at a time, mapped weights included; Linux only.
fn peak_rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
