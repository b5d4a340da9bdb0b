//! The interactive page of an explanation, made from its record: by the program that explained, or later from a folder.

use std::path::Path;

use relevancy_visualization::image::RgbImage;
use relevancy_visualization::report::{
    Fact, Grid, Picture, Region, Report, Target, Token, TokenKind,
};
use relevancy_visualization::{Outline, Placement};

use crate::arrays::Arrays;
use crate::record::{Files, ImageRecord, OutlineRecord, PictureRecord, Record, TargetRecord};
use crate::results::Results;
use crate::template::template;
use crate::versus::log_probability_text;
use crate::{Answer, Error, Explainer, Explanations, NOTHING_SPEAKS, Presentation};
use methods::Methods;

mod methods;
mod reliance;
mod versus;

/// The file name of the page.
pub(crate) const REPORT: &str = "report.html";

impl Explainer {
    /// The record of an explained answer: `explanation.json`, without files.
    ///
    /// # Errors
    /// A configuration that cannot be read again, and regions that cannot be found.
    pub fn record(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<Record, Error> {
        let results = Results::new(self, answer, explanations, presentation)?;
        Record::new(&results, Files::default())
    }

    /// One HTML file that shows all explanations of an answer, targets and words: it works from disk and asks nothing of any
    /// network. The first target is the one that it opens with. [`crate::OutputFolder::write`] writes it as `report.html`.
    ///
    /// # Errors
    /// What [`Report::to_html`] refuses, and regions that cover nothing.
    pub fn report(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<String, Error> {
        let results = Results::new(self, answer, explanations, presentation)?;
        let record = Record::new(&results, Files::default())?;
        let pictures: Vec<&RgbImage> =
            answer.question.pictures.iter().map(gemma3_processor::Picture::rgb).collect();
        html(&record, &Arrays::new(&results), &pictures)
    }
}

/// The page; `record` fits `arrays` and `pictures`.
pub(crate) fn html(
    record: &Record,
    arrays: &Arrays,
    pictures: &[&RgbImage],
) -> Result<String, Error> {
    let settings = &record.settings;
    let bytes = Bytes::new(record);
    let methods = Methods::new(record, arrays);
    let targets = methods.targets().zip(&record.targets);
    let words = methods.words().zip(&record.words);
    let phrases = versus::targets(record, &arrays.versus, &methods);
    let shown = |(attributions, target)| Target { attributions, ..target_of(target, &bytes) };
    let targets: Vec<Target<'_>> =
        targets.map(shown).chain(phrases).chain(words.map(shown)).collect();
    let report = Report {
        question: record.prompt.clone(),
        answer: record.answer.clone(),
        tokens: tokens(record),
        pictures: record.pictures.iter().zip(pictures).map(picture).collect(),
        grids: record.images.iter().map(grid).collect(),
        methods: methods.names(),
        targets,
        regions: regions(record, arrays),
        colormap: settings.colormap.parse().unwrap_or_default(),
        orientation: settings.orientation.parse().unwrap_or_default(),
        contours: settings.contours.clone(),
        shows_template: settings.template_tokens == "show",
        settings: settings_facts(record),
        provenance: provenance(record),
        notes: notes(record),
        ..Report::default()
    };
    Ok(report.to_html()?)
}

/// All of a target but what the methods say of it.
fn target_of<'a>(record: &TargetRecord, bytes: &Bytes) -> Target<'a> {
    let positions = record.positions[0]..record.positions[1];
    Target {
        span: bytes.span(record),
        self_positions: positions.clone().filter_map(|at| at.checked_sub(1)).collect(),
        probability: Some(record.log_probability.exp().clamp(0.0, 1.0)),
        facts: target_facts(record),
        flags: reliance::flags(record),
        ..Target::new(record.label(), positions)
    }
}

fn picture<'a>((record, image): (&PictureRecord, &&'a RgbImage)) -> Picture<'a> {
    Picture {
        name: file_name(&record.name),
        image,
        outlines: record.outlines.iter().map(outline).collect(),
    }
}

fn outline(record: &OutlineRecord) -> Outline {
    let ring = |ring: &Vec<f64>| ring.chunks_exact(2).map(|point| [point[0], point[1]]).collect();
    Outline { rings: record.rings.iter().map(ring).collect(), label: record.label.clone() }
}

/// Where the tokens of the answer stand in it, in bytes.
struct Bytes {
    /// First position of the answer and the one behind its last token.
    answer: [usize; 2],
    /// For each position, the bytes of its characters; none outside the answer.
    spans: Vec<Option<[usize; 2]>>,
    text: String,
}

impl Bytes {
    fn new(record: &Record) -> Self {
        let starts: Vec<usize> = record.answer.char_indices().map(|(byte, _)| byte).collect();
        let byte = |character: usize| starts.get(character).copied().unwrap_or(record.answer.len());
        let spans: Vec<_> =
            record.tokens.iter().map(|token| token.characters.map(|ends| ends.map(byte))).collect();
        let first = spans.iter().position(Option::is_some).unwrap_or(0);
        let end = spans.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
        Self { answer: [first, end], spans, text: record.answer.clone() }
    }

    /// The bytes that a target spells, without white space around them; none for the whole answer and for what stands outside.
    fn span(&self, target: &TargetRecord) -> Option<std::ops::Range<usize>> {
        let [start, end] = target.positions;
        let is_all = target.positions == self.answer && start + 1 < end;
        let spans = self.spans.get(start..end).filter(|_| !is_all)?;
        let from = spans.first().copied().flatten()?[0];
        let to = spans.last().copied().flatten()?[1];
        let text = self.text.get(from..to)?;
        let from = from + (text.len() - text.trim_start().len());
        let span = from..from + text.trim().len();
        (!span.is_empty()).then_some(span)
    }
}

fn tokens(record: &Record) -> Vec<Token> {
    let kinds = record.tokens.iter().map(|token| match token.kind.as_str() {
        "image" => crate::TokenKind::Image,
        "answer" => crate::TokenKind::Answer,
        _ => crate::TokenKind::Prompt,
    });
    let texts = record.tokens.iter().map(|token| token.text.as_str());
    let tokens: Vec<_> = kinds.zip(texts).collect();
    let by_template = template(tokens.iter().copied());
    let token = |((kind, text), by_template): ((crate::TokenKind, &str), bool)| Token {
        text: text.to_owned(),
        kind: match kind {
            _ if by_template => TokenKind::Template,
            crate::TokenKind::Prompt => TokenKind::Prompt,
            crate::TokenKind::Image => TokenKind::Image,
            crate::TokenKind::Answer => TokenKind::Answer,
        },
    };
    tokens.into_iter().zip(by_template).map(token).collect()
}

fn grid(record: &ImageRecord) -> Grid {
    let [x, y, width, height] = record.region;
    Grid {
        picture: record.picture,
        start: record.positions[0],
        rows: record.grid[0],
        columns: record.grid[1],
        placement: Placement { x0: x, y0: y, x1: x + width, y1: y + height },
    }
}

fn regions(record: &Record, arrays: &Arrays) -> Vec<Region> {
    let (Some(regions), Some(weights)) = (&record.regions, &arrays.region_weights) else {
        return Vec::new();
    };
    let region =
        |(name, of_region): (&String, attention_relevancy::ndarray::ArrayView3<'_, f32>)| {
            let within = of_region.outer_iter().map(|cells| {
                let reaches = cells.iter().any(|&weight| weight > 0.0);
                reaches.then(|| cells.mapv(|weight| weight.clamp(0.0, 1.0)))
            });
            Region { name: name.clone(), weights: within.collect() }
        };
    regions.names.iter().zip(weights.outer_iter()).map(region).collect()
}

fn target_facts(record: &TargetRecord) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("Logit", minus(format!("{:.3}", record.logit))),
        Fact::new("Log-probability", log_probability_text(record.log_probability)),
    ];
    if record.is_empty {
        facts.push(Fact::new("Relevancy", NOTHING_SPEAKS));
    }
    if record.token_ids.len() > 1 {
        let tokens = record.token_ids.len();
        let rule = match (record.rule.as_str(), &record.token_weights) {
            ("reliance", Some(_)) => {
                format!("mean of {tokens} tokens, weighted by what the picture adds to each")
            }
            ("reliance", None) => format!("mean of {tokens} tokens"),
            (rule, _) => format!("{rule} of {tokens} tokens"),
        };
        facts.push(Fact::new("Explanation", rule));
    }
    facts.extend(reliance::facts(record));
    facts
}

/// A number with a minus sign in the place of a hyphen.
fn minus(number: String) -> String {
    number.replace('-', "−")
}

fn settings_facts(record: &Record) -> Vec<Fact> {
    let settings = &record.settings;
    let sampling = match record.generation.as_ref().map(|generation| &generation.sampling) {
        None => "given by the caller".to_owned(),
        Some(None) => "greedy: always the most likely token".to_owned(),
        Some(Some(drawn)) => format!(
            "sampled: temperature {}, top-k {}, top-p {}, seed {}",
            drawn.temperature, drawn.top_k, drawn.top_p, drawn.seed
        ),
    };
    let mut facts = vec![
        Fact::new("Update", &settings.update),
        Fact::new("Objective", &settings.objective),
        Fact::new("Heads", &settings.heads),
        Fact::new("Layers", &settings.folded_layers),
        Fact::new("Engine", &settings.engine),
        Fact::new("Computed in", format!("{} on {}", settings.dtype, settings.device)),
        Fact::new("Decoding", sampling),
        Fact::new("Answer ended by", &record.stop),
    ];
    if let Some(program) = &settings.reproduce {
        facts.push(Fact::new("Reproduces", program));
    }
    if let Some(system) = &record.system {
        facts.push(Fact::new("System prompt", system));
    }
    if settings.orientation != "none" {
        facts.push(Fact::new("Orientation", &settings.orientation));
    }
    facts
}

fn provenance(record: &Record) -> Vec<Fact> {
    let model = &record.model;
    let mut facts = vec![Fact::new("Model", &model.source)];
    if let Some(revision) = &model.revision {
        facts.push(Fact::new("Revision", revision));
    }
    facts.push(Fact::new("Architecture", &model.architecture));
    facts.push(Fact::new("SHA-256 of config.json", &model.config_sha256));
    for picture in &record.pictures {
        let name = format!("SHA-256 of the pixels of {}", file_name(&picture.name));
        facts.push(Fact::new(name, &picture.pixels_sha256));
    }
    facts.push(Fact::new("Program", &record.program));
    if let Some(date) = &record.date {
        facts.push(Fact::new("Date", date));
    }
    facts
}

fn notes(record: &Record) -> Vec<String> {
    let pictures = record.pictures.iter().flat_map(|picture| {
        picture.warnings.iter().map(|warning| format!("{}: {warning}", file_name(&picture.name)))
    });
    let regions = record.regions.iter().filter_map(|regions| regions.note.clone());
    let regions = regions.map(|note| format!("Regions: {note}."));
    let notes = record.notes.iter().cloned().chain(pictures).chain(regions);
    notes.chain(reliance::note(record)).collect()
}

/// A picture's name without its folder, which may say more than a reader of the page should know.
fn file_name(name: &str) -> String {
    let file = Path::new(name).file_name();
    file.map_or_else(|| name.to_owned(), |file| file.to_string_lossy().into_owned())
}
