//! An explained answer as a document: the one value that record, arrays, figures and page are made of.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use attention_relevancy::{Foil, Foils, Objective};
use explanation_record::record::{
    AnswerRecord, BlankRecord, GenerationRecord, MissingRecord, RelianceSettings, SamplingRecord,
    Settings, SinksRecord, TemplateTokens, Timings, TokenRecord, sha256,
};
use explanation_record::{
    Explained, ExplainedImage, ExplainedPicture, ExplainedTarget, Exported, OutputFolder,
    Presentation, Record, TargetExplanation, TargetReliance, Token, peak_memory,
};
use gemma3_processor::{Picture, PreparedImage};

use crate::{
    Answer, AnswerOptions, AppliedAdapter, Blank, Certificate, Error, Explainer, Explanations,
    Missing, NATS_OF_A_CHANGE, Profile, Reliance, Request, StopReason, input_checks,
};

/// What a reader must know of an explanation by the rules of [`Profile::PythonProgram`].
const REPRODUCED: &str = "this reproduces the public Python program, with what it does against its own method: a second <bos>, image tokens \
    that see only what is before them, keywords within one token; do not use it for anything but comparisons with it";

impl Request<'_> {
    /// Writes arrays, record, pictures and page of an explained answer to a folder ([`OutputFolder::write`]), and none of its pictures
    /// is replaced.
    ///
    /// # Errors
    /// As [`Explainer::explained`] and [`OutputFolder::write`]; [`crate::ErrorKind::Cancelled`] while drawing.
    pub fn write(
        &self,
        mut folder: OutputFolder,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<Exported, Error> {
        // Weights are hashed when the first record is made, which may be cancelled like everything that takes a while.
        self.weight_files.records(self.context)?;
        folder.protect(answer.question.pictures.iter().map(|picture| picture.name().into()));
        let explained = self.explained(answer, explanations, presentation)?;
        Ok(folder.write(&explained, presentation, &|| self.cancelled())?)
    }
}

impl Explainer {
    /// An explained answer as one value, with the regions that `presentation` asks for and the boxes of the answer. It borrows
    /// pictures and rows.
    ///
    /// # Errors
    /// A configuration that cannot be read again, and regions that cannot be found.
    pub fn explained<'a>(
        &self,
        answer: &'a Answer,
        explanations: &'a Explanations,
        presentation: &Presentation,
    ) -> Result<Explained<'a>, Error> {
        let versus = explanations.versus.iter();
        let explained = Explained {
            prompt: answer.question.prompt(),
            system: answer.question.system().map(str::to_owned),
            rendered_prompt: answer.prepared.prompt.clone(),
            answer: answer.text().to_owned(),
            trace: answer.trace().to_owned(),
            stop: stop_name(answer.generated.stop),
            tokens: tokens(answer),
            pictures: pictures(answer, presentation, self.processor.options().pad_to_square),
            images: answer.prepared.images.iter().map(image).collect(),
            foil_texts: self.foil_texts(explanations),
            targets: targets(explanations),
            words: words(explanations),
            versus: versus.map(|versus| versus.document(answer.tokens.len())).collect(),
            missing: explanations.missing.iter().map(missing).collect(),
            regions: None,
            boxes: Vec::new(),
            reliance: explanations.reliance.as_ref().map(|found| reliance(found, presentation)),
            certificate: explanations.certificate.as_ref().map(Certificate::settings),
            other_model: explanations.counterparts.as_ref().map(|all| all.document(presentation)),
            sinks: sinks(answer, explanations),
            generation: answer.options().map(generation),
            settings: self.settings(explanations, presentation),
            model: self.identity()?.record(presentation),
            timings: self.timings(answer, explanations),
            peak_rss_bytes: peak_memory(),
            notes: self.notes(answer, explanations),
            program: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            date: presentation.date.clone(),
        };
        Ok(explained.with_findings(presentation)?)
    }

    /// The record of an explained answer: `explanation.json`, without files.
    ///
    /// # Errors
    /// As [`Explainer::explained`].
    pub fn record(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<Record, Error> {
        Ok(Record::new(&self.explained(answer, explanations, presentation)?, &[]))
    }

    /// The interactive page of an explained answer ([`Explained::report`]).
    ///
    /// # Errors
    /// As [`Explainer::explained`] and [`Explained::report`].
    pub fn report(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<String, Error> {
        Ok(self.explained(answer, explanations, presentation)?.report()?)
    }

    fn notes(&self, answer: &Answer, explanations: &Explanations) -> Vec<String> {
        let missing = explanations.missing.iter().map(|missing| missing.reason.clone());
        let reproduced = (self.profile == Profile::PythonProgram).then(|| REPRODUCED.to_owned());
        let versus = explanations.versus.iter().flat_map(|versus| versus.notes.clone());
        let explained = explanations.notes.iter().cloned();
        let adapters = self.inspection.adapters().iter().filter_map(AppliedAdapter::warning);
        cut_off(answer)
            .into_iter()
            .chain(missing)
            .chain(explained)
            .chain(reproduced)
            .chain(versus)
            .chain(adapters)
            .collect()
    }

    fn foil_texts(&self, explanations: &Explanations) -> BTreeMap<u32, String> {
        let all = explanations.targets.iter().chain(&explanations.words);
        let foils = all.filter_map(TargetExplanation::foils).flatten().flat_map(Foils::iter);
        foils.map(|(id, _)| (id, self.processor.tokenizer().label(id))).collect()
    }

    fn settings(&self, explanations: &Explanations, presentation: &Presentation) -> Settings {
        let (options, processor) = (&explanations.options, self.processor.options());
        let shows_template = presentation.shows_template;
        Settings {
            reproduce: (self.profile == Profile::PythonProgram).then(|| "seed".to_owned()),
            engine: options.engine.to_string(),
            update: options.update.to_string(),
            backward: options.backward.to_string(),
            path_points: options.path_points,
            objective: self.objective(explanations),
            heads: options.folding.heads.to_string(),
            folded_layers: options.folding.layers.to_string(),
            methods: options.methods.iter().map(ToString::to_string).collect(),
            method_ids: options.methods.iter().map(crate::Compared::id).collect(),
            dtype: self.inspection.dtype(),
            device: self.inspection.device(),
            threads: gemma3_tch::threads(),
            resize: processor.resize.to_string(),
            pan_and_scan: processor.pan_and_scan,
            pad_to_square: processor.pad_to_square,
            orientation: presentation.overlay.orientation,
            resolution: options.resolution,
            layers: options.by_layer,
            colormap: presentation.overlay.colormap,
            contours: presentation.overlay.contours.clone(),
            template_tokens: if shows_template {
                TemplateTokens::Show
            } else {
                TemplateTokens::Hide
            },
        }
    }

    /// A token that a target is set against has its text beside its number.
    fn objective(&self, explanations: &Explanations) -> String {
        match explanations.options.objective {
            Objective::Contrast(Foil::Token(id)) => {
                let text = self.processor.tokenizer().label(id);
                format!("contrast with {text:?} (token {id})")
            }
            objective => objective.to_string(),
        }
    }

    fn timings(&self, answer: &Answer, explanations: &Explanations) -> Timings {
        let versus: std::time::Duration =
            explanations.versus.iter().map(|versus| versus.duration).sum();
        Timings {
            load: self.load_time().as_secs_f64(),
            preprocess: answer.preprocess.as_secs_f64(),
            vision: answer.vision.as_secs_f64(),
            prefill: answer.generated.prefill.as_secs_f64(),
            decode: answer.generated.decode.as_secs_f64(),
            explain: (explanations.duration + versus).as_secs_f64(),
        }
    }
}

impl Answer {
    /// What was asked and answered, without any explanation.
    pub fn record(&self) -> AnswerRecord {
        AnswerRecord {
            prompt: self.question.prompt(),
            system: self.question.system().map(str::to_owned),
            rendered_prompt: self.prepared.prompt.clone(),
            answer: self.text().to_owned(),
            trace: self.trace().to_owned(),
            stop: stop_name(self.generated.stop),
            tokens: TokenRecord::of(&tokens(self), self.text()),
        }
    }

    /// The same as JSON: `prompt`, `system`, `rendered_prompt`, `answer`, `trace`, `stop` and `tokens`, as [`Record`] has them.
    pub fn to_json(&self) -> String {
        self.record().to_json()
    }
}

/// The tokens with spans counted from the start of the answer, not of all generated text.
fn tokens(answer: &Answer) -> Vec<Token> {
    let base = answer.text.len() - answer.text().len(); // the answer is the end of the generated text
    let within = |span: Range<usize>| span.start.max(base) - base..span.end.max(base) - base;
    let token = |token: &Token| Token {
        span: token.span.clone().filter(|_| answer.proper.contains(&token.position)).map(within),
        ..token.clone()
    };
    answer.tokens.iter().map(token).collect()
}

fn pictures<'a>(
    answer: &'a Answer,
    presentation: &Presentation,
    pads: bool,
) -> Vec<ExplainedPicture<'a>> {
    let prompt = answer.question.prompt();
    let source = |picture: &Picture| {
        let checks = input_checks(picture, &prompt, pads).cloned().collect();
        let mut source = picture.provenance().clone();
        source.checks = checks;
        source
    };
    let explained = |picture: &'a Picture| ExplainedPicture {
        name: presentation.shown_path(picture.name().as_ref()),
        rgb: Cow::Borrowed(picture.rgb()),
        pixels_sha256: sha256(picture.rgb().as_raw()),
        exif_orientation: picture.exif_orientation(),
        window: picture.window().map(|window| [window.low, window.high]),
        warnings: picture.warnings().iter().map(ToString::to_string).collect(),
        source: Some(source(picture)),
        orientation: presentation.orientation_of(picture.provenance()),
    };
    answer.question.pictures.iter().map(explained).collect()
}

fn image(image: &PreparedImage) -> ExplainedImage {
    let region = image.geometry.region;
    ExplainedImage {
        picture: image.picture,
        positions: image.span.clone(),
        grid: image.grid,
        region: [region.x, region.y, region.width, region.height],
        outlines: Vec::new(),
        region_weights: Vec::new(),
    }
}

fn targets(explanations: &Explanations) -> Vec<ExplainedTarget<'_>> {
    let of = |found: &Reliance, index: usize| found.targets.get(index).cloned();
    let control = |index: usize| explanations.control.as_ref()?.targets.get(index);
    let counterpart = |index: usize| explanations.counterparts.as_ref()?.targets.get(index);
    let targets = with_reliance(explanations, &explanations.targets, of).enumerate();
    let certificate = |index: usize| explanations.certificate.as_ref()?.targets.get(index);
    let targets = targets.map(|(index, target)| ExplainedTarget {
        certificate: certificate(index).map(Cow::Borrowed),
        control: control(index).map(Cow::Borrowed),
        counterpart: counterpart(index).map(Cow::Borrowed),
        ..target
    });
    targets.collect()
}

fn words(explanations: &Explanations) -> Vec<ExplainedTarget<'_>> {
    let of = |found: &Reliance, index: usize| found.words.get(index).cloned();
    let certificate = |index: usize| explanations.certificate.as_ref()?.words.get(index);
    let words = with_reliance(explanations, &explanations.words, of).enumerate();
    let words = words.map(|(index, word)| ExplainedTarget {
        certificate: certificate(index).map(Cow::Borrowed),
        ..word
    });
    words.collect()
}

/// Targets or words with what the pictures add to them, where somebody asked.
fn with_reliance<'a>(
    explanations: &'a Explanations,
    all: &'a [TargetExplanation],
    of: impl Fn(&Reliance, usize) -> Option<TargetReliance>,
) -> impl Iterator<Item = ExplainedTarget<'a>> {
    all.iter().enumerate().map(move |(index, target)| ExplainedTarget {
        reliance: explanations.reliance.as_ref().and_then(|found| of(found, index)),
        ..ExplainedTarget::new(Cow::Borrowed(target))
    })
}

fn missing(missing: &Missing) -> MissingRecord {
    MissingRecord { asked: missing.ask.to_string(), reason: missing.reason.clone() }
}

fn reliance(found: &Reliance, presentation: &Presentation) -> RelianceSettings {
    let blank = |blank: &Blank| {
        let picture = match blank {
            Blank::Another(picture) => Some(picture),
            _ => None,
        };
        BlankRecord {
            name: blank.kind(),
            picture: picture.map(|picture| presentation.shown_path(picture.name().as_ref())),
            pixels_sha256: picture.map(|picture| sha256(picture.rgb().as_raw())),
        }
    };
    RelianceSettings {
        blanks: found.blanks.iter().map(blank).collect(),
        independent_nats: NATS_OF_A_CHANGE,
        seconds: found.duration.as_secs_f64(),
    }
}

fn sinks(answer: &Answer, explanations: &Explanations) -> Option<SinksRecord> {
    let rule = explanations.options.sinks?.rule;
    Some(SinksRecord::new(rule, explanations.sinks.as_ref()?, &answer.tokens))
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

/// What a reader must know of an answer that did not come to its end.
fn cut_off(answer: &Answer) -> Option<String> {
    let tokens = answer.generated.tokens.len();
    match answer.generated.stop {
        StopReason::Limit if answer.options().is_some_and(|options| options.stop) => Some(format!(
            "the answer was cut off after {tokens} tokens, the most that were allowed; it would have gone on"
        )),
        StopReason::Context => Some(format!(
            "the answer was cut off after {tokens} tokens, because the model's context is full"
        )),
        _ => None,
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
