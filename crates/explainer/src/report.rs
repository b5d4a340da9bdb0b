//! The interactive page of an explanation, made from its record: by the program that explained, or later from a folder.

use std::path::Path;

use attention_relevancy::ndarray::{Array3, Axis, s};
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::report::{
    Attribution, Fact, Grid, Method, Picture, Region, Report, Target, Token, TokenKind,
};
use relevancy_visualization::{Colormap, Placement};

use crate::arrays::{Arrays, Rows};
use crate::record::{Files, ImageRecord, Record, TargetRecord, TokenRecord};
use crate::results::Results;
use crate::{Answer, Error, Explainer, Explanations, Presentation};

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
    let relevancy = Method {
        note: format!("{} update, {}", settings.update, settings.objective),
        layers: layer_names(&arrays.targets),
        ..Method::new("relevancy")
    };
    let bytes = Bytes::new(record);
    let above_zero = [&arrays.targets, &arrays.words].map(|rows| rows.methods.mapv(|x| x.max(0.0)));
    let nothing = versus::Nothing::new(&arrays.targets);
    let targets = shown(&record.targets, (&arrays.targets, &above_zero[0]), &bytes);
    let words = shown(&record.words, (&arrays.words, &above_zero[1]), &bytes);
    let methods: Vec<Method> = [Some(relevancy), patches(record, arrays)]
        .into_iter()
        .flatten()
        .chain(["raw attention, last layer", "attention rollout"].map(Method::new))
        .chain(record.settings.methods.iter().map(|name| compared(name)))
        .collect();
    let phrases = versus::targets(record, &arrays.versus, &nothing, &methods);
    let targets: Vec<Target<'_>> = targets.chain(phrases).chain(words).collect();
    let report = Report {
        question: record.prompt.clone(),
        answer: record.answer.clone(),
        tokens: record.tokens.iter().map(token).collect(),
        pictures: record
            .pictures
            .iter()
            .zip(pictures)
            .map(|(record, image)| Picture { name: file_name(&record.name), image })
            .collect(),
        grids: record.images.iter().map(grid).collect(),
        methods,
        targets,
        regions: regions(record, arrays),
        colormap: settings.colormap.parse().unwrap_or(Colormap::default()),
        settings: settings_facts(record),
        provenance: provenance(record),
        notes: notes(record),
        ..Report::default()
    };
    Ok(report.to_html()?)
}

/// The method with the relevancy of patches, where it is known.
fn patches(record: &Record, arrays: &Arrays) -> Option<Method> {
    let patches = arrays.targets.patches.as_ref()?;
    let columns = record.images.first()?.grid[1].max(1);
    Some(Method {
        note: "through the vision tower; shares and text are those of the tokens".to_owned(),
        parts: patches.len_of(Axis(3)) / columns,
        ..Method::new("relevancy of patches")
    })
}

/// Another method; the page shows what is above zero.
fn compared(name: &str) -> Method {
    let note = "the part above zero; the raw values are in explanation.npz".to_owned();
    Method { note, ..Method::new(name) }
}

/// Row l holds what layers l to the last brought together.
fn layer_names(rows: &Rows) -> Vec<String> {
    let count = rows.layers.as_ref().map_or(0, |layers| layers.len_of(Axis(1)));
    (0..count).map(|layer| format!("layers {layer} to {}", count - 1)).collect()
}

fn shown<'a>(
    records: &'a [TargetRecord],
    (rows, methods): (&'a Rows, &'a Array3<f32>),
    bytes: &'a Bytes,
) -> impl Iterator<Item = Target<'a>> {
    records.iter().enumerate().map(|(index, record)| {
        let positions = record.positions[0]..record.positions[1];
        let by_layer = rows.layers.as_ref().map(|layers| {
            (0..layers.len_of(Axis(1))).map(|layer| layers.slice(s![index, layer, ..])).collect()
        });
        let relevancy = Attribution {
            layers: by_layer.unwrap_or_default(),
            ..Attribution::new(rows.relevancy.row(index))
        };
        let patches = rows.patches.as_ref().map(|patches| Attribution {
            parts: patches.index_axis(Axis(0), index).into_outer_iter().collect(),
            ..Attribution::new(rows.relevancy.row(index))
        });
        let methods =
            methods.outer_iter().map(|rows| Attribution::new(rows.index_axis_move(Axis(0), index)));
        let baselines = [&rows.raw_attention, &rows.rollout]
            .map(|baseline| Attribution::new(baseline.row(index)));
        Target {
            span: bytes.span(record),
            self_positions: positions.clone().filter_map(|at| at.checked_sub(1)).collect(),
            probability: Some(record.log_probability.exp().clamp(0.0, 1.0)),
            facts: target_facts(record),
            attributions: [Some(relevancy), patches]
                .into_iter()
                .flatten()
                .chain(baselines)
                .chain(methods)
                .collect(),
            ..Target::new(record.text.as_str(), positions)
        }
    })
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

fn token(record: &TokenRecord) -> Token {
    let kind = match record.kind.as_str() {
        "image" => TokenKind::Image,
        "answer" => TokenKind::Answer,
        _ => TokenKind::Prompt,
    };
    Token { text: record.text.clone(), kind }
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
        Fact::new("logit", format!("{:.3}", record.logit)),
        Fact::new("log-probability", format!("{:.3}", record.log_probability)),
    ];
    if record.token_ids.len() > 1 {
        let tokens = record.token_ids.len();
        let rule = match (record.rule.as_str(), &record.token_weights) {
            ("reliance", Some(_)) => format!("mean of {tokens} tokens, by what the picture adds"),
            ("reliance", None) => format!("mean of {tokens} tokens"),
            (rule, _) => format!("{rule} of {tokens} tokens"),
        };
        facts.push(Fact::new("made of", rule));
    }
    facts.extend(reliance::facts(record));
    let unavailable = record.methods.iter().filter_map(|method| {
        method
            .unavailable
            .as_ref()
            .map(|why| Fact::new(&method.name, format!("not available: {why}")))
    });
    facts.extend(unavailable);
    facts
}

fn settings_facts(record: &Record) -> Vec<Fact> {
    let settings = &record.settings;
    let sampling = match record.generation.as_ref().map(|generation| &generation.sampling) {
        None => "given by the caller".to_owned(),
        Some(None) => "always the most likely token".to_owned(),
        Some(Some(drawn)) => format!(
            "drawn: temperature {}, top-k {}, top-p {}, seed {}",
            drawn.temperature, drawn.top_k, drawn.top_p, drawn.seed
        ),
    };
    let mut facts = vec![
        Fact::new("update", &settings.update),
        Fact::new("objective", &settings.objective),
        Fact::new("heads", &settings.heads),
        Fact::new("layers", &settings.folded_layers),
        Fact::new("engine", &settings.engine),
        Fact::new("computed in", format!("{} on {}", settings.dtype, settings.device)),
        Fact::new("answer", sampling),
        Fact::new("answer ended by", &record.stop),
    ];
    if let Some(program) = &settings.reproduce {
        facts.push(Fact::new("reproduces", program));
    }
    if let Some(system) = &record.system {
        facts.push(Fact::new("system prompt", system));
    }
    if settings.orientation != "none" {
        facts.push(Fact::new("orientation", &settings.orientation));
    }
    facts
}

fn provenance(record: &Record) -> Vec<Fact> {
    let model = &record.model;
    let mut facts = vec![Fact::new("model", &model.source)];
    if let Some(revision) = &model.revision {
        facts.push(Fact::new("revision", revision));
    }
    facts.push(Fact::new("architecture", &model.architecture));
    facts.push(Fact::new("SHA-256 of config.json", &model.config_sha256));
    for picture in &record.pictures {
        let name = format!("SHA-256 of the pixels of {}", file_name(&picture.name));
        facts.push(Fact::new(name, &picture.pixels_sha256));
    }
    facts.push(Fact::new("program", &record.program));
    if let Some(date) = &record.date {
        facts.push(Fact::new("date", date));
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
