//! The interactive page of an explained answer: by the program that explained, or later from a folder.

use attention_relevancy::{Backward, Foils};
use relevancy_visualization::Orientation;
use relevancy_visualization::report::{
    Fact, Grid, Picture, Region, Report, Target, Token, TokenKind,
};

use crate::record::{TemplateTokens, WeightFile, rounded};
use crate::text::{file_name, log_probability_text, minus};
use crate::volume::Series;
use crate::{
    BlankKind, Error, Explained, ExplainedImage, ExplainedPicture, ExplainedTarget, NOTHING_SPEAKS,
    SpanRule, TargetExplanation, template_tokens,
};
use methods::Methods;

pub(crate) mod certificate;
mod methods;
mod reliance;
mod source;
mod versus;

/// One HTML file that shows all explanations of an answer, targets and words: it works from disk and asks nothing of any network. The
/// first target is the one that it opens with.
///
/// # Errors
/// What [`Report::to_html`] refuses.
pub(crate) fn html(explained: &Explained<'_>) -> Result<String, Error> {
    let settings = &explained.settings;
    let (methods, blanks) = (Methods::new(explained), explained.blanks());
    let targets = methods.targets().zip(&explained.targets);
    let words = methods.words().zip(&explained.words);
    let phrases = versus::targets(explained, &methods);
    let shown =
        |(attributions, target)| Target { attributions, ..target_of(explained, target, &blanks) };
    let targets: Vec<Target<'_>> =
        targets.map(shown).chain(phrases).chain(words.map(shown)).collect();
    let report = Report {
        question: explained.prompt.clone(),
        answer: explained.answer.clone(),
        tokens: tokens(explained),
        pictures: (0..explained.pictures.len()).map(|index| picture(explained, index)).collect(),
        grids: explained.images.iter().map(grid).collect(),
        methods: methods.names(),
        targets,
        regions: regions(explained),
        colormap: settings.colormap,
        volumes: Series::all(explained).iter().map(|series| series.on_page(explained)).collect(),
        contours: settings.contours.clone(),
        shows_template: settings.template_tokens == TemplateTokens::Show,
        settings: settings_facts(explained),
        provenance: provenance(explained),
        notes: notes(explained),
        ..Report::default()
    };
    Ok(report.to_html()?)
}

/// All of a target but what the methods say of it.
fn target_of<'a>(
    explained: &Explained<'_>,
    target: &ExplainedTarget<'_>,
    blanks: &[BlankKind],
) -> Target<'a> {
    let explanation = &*target.explanation;
    Target {
        span: span(explained, explanation),
        self_positions: explanation.relevancy().self_positions(),
        probability: Some(explanation.probability().clamp(0.0, 1.0)),
        facts: target_facts(explained, target, blanks),
        flags: reliance::flags(target, blanks),
        evidence: certificate::evidence(target),
        ..Target::new(explanation.label(), explanation.positions())
    }
}

/// A picture with the outlines over it; crops of a picture have those of the whole.
fn picture<'a>(explained: &'a Explained<'_>, index: usize) -> Picture<'a> {
    let ExplainedPicture { name, rgb, orientation, .. } = &explained.pictures[index];
    let image = explained.images.iter().find(|image| image.picture == index);
    let outlines = image.map_or(&[][..], |image| &image.outlines);
    Picture {
        name: file_name(name),
        image: rgb,
        outlines: outlines.iter().map(rounded).collect(),
        orientation: *orientation,
    }
}

/// The bytes of the answer that a target spells, without white space around them; none for the whole answer and for what stands
/// outside.
fn span(explained: &Explained<'_>, target: &TargetExplanation) -> Option<std::ops::Range<usize>> {
    let (tokens, positions) = (&explained.tokens, target.positions());
    let first = tokens.iter().position(|token| token.span.is_some()).unwrap_or(0);
    let end = tokens.iter().rposition(|token| token.span.is_some()).map_or(0, |last| last + 1);
    let is_all = positions == (first..end) && positions.start + 1 < positions.end;
    let spelled = tokens.get(positions).filter(|_| !is_all)?;
    let from = spelled.first()?.span.as_ref()?.start;
    let to = spelled.last()?.span.as_ref()?.end;
    let text = explained.answer.get(from..to)?;
    let from = from + (text.len() - text.trim_start().len());
    let span = from..from + text.trim().len();
    (!span.is_empty()).then_some(span)
}

fn tokens(explained: &Explained<'_>) -> Vec<Token> {
    let by_template = template_tokens(&explained.tokens);
    let token = |(token, by_template): (&crate::Token, bool)| Token {
        text: token.text.clone(),
        kind: match token.kind {
            _ if by_template => TokenKind::Template,
            crate::TokenKind::Prompt => TokenKind::Prompt,
            crate::TokenKind::Image => TokenKind::Image,
            crate::TokenKind::Answer => TokenKind::Answer,
        },
    };
    explained.tokens.iter().zip(by_template).map(token).collect()
}

fn grid(image: &ExplainedImage) -> Grid {
    Grid {
        picture: image.picture,
        start: image.positions.start,
        rows: image.grid[0],
        columns: image.grid[1],
        placement: image.placement(),
    }
}

fn regions(explained: &Explained<'_>) -> Vec<Region> {
    let names = explained.regions.iter().flat_map(|regions| regions.names.iter().enumerate());
    let region = |(index, name): (usize, &String)| {
        let within = explained.images.iter().map(|image| {
            let cells = image.region_weights.get(index)?;
            let reaches = cells.iter().any(|&weight| weight > 0.0);
            reaches.then(|| cells.mapv(|weight| weight.clamp(0.0, 1.0)))
        });
        Region { name: name.clone(), weights: within.collect() }
    };
    names.map(region).collect()
}

/// Of so many tokens of a target is told what they are set against.
const TOKENS_TOLD: usize = 4;
/// So many foils of a token are told, if they have this weight at least.
const FOILS_TOLD: usize = 3;
const LEAST_WEIGHT: f32 = 0.01;

/// What each token is set against: `"clear" 99 %, "nodule" 1 %`, with the token before it where there are several.
fn against(explained: &Explained<'_>, explanation: &TargetExplanation) -> Option<String> {
    let foils = explanation.foils()?;
    let of_token = |(position, foils): (usize, &Foils)| {
        let mut all: Vec<(u32, f32)> = foils.iter().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        let told = all.iter().take(FOILS_TOLD).filter(|(_, weight)| LEAST_WEIGHT <= *weight);
        let one = |(id, weight): &(u32, f32)| {
            let text = explained.foil_texts.get(id).map_or("", |text| text.trim());
            format!("\"{text}\" {:.0} %", 100.0 * weight)
        };
        let told = told.map(one).collect::<Vec<_>>().join(", ");
        if explanation.token_ids().len() == 1 {
            return told;
        }
        let own = explained.tokens.get(position).map_or("", |token| token.text.trim());
        format!("\"{own}\" against {told}")
    };
    let told = explanation.positions().zip(foils).take(TOKENS_TOLD).map(of_token);
    let told = told.collect::<Vec<_>>().join("; ");
    Some(if foils.len() <= TOKENS_TOLD { told } else { format!("{told}; …") })
}

fn target_facts(
    explained: &Explained<'_>,
    target: &ExplainedTarget<'_>,
    blanks: &[BlankKind],
) -> Vec<Fact> {
    let explanation = &*target.explanation;
    let mut facts = vec![
        Fact::new("Logit", minus(format!("{:.3}", explanation.logit()))),
        Fact::new("Log-probability", log_probability_text(explanation.log_probability())),
    ];
    if explanation.is_empty() {
        facts.push(Fact::new("Relevancy", NOTHING_SPEAKS));
    }
    if let Some(against) = against(explained, explanation) {
        facts.push(Fact::new("Set against", against));
    }
    let tokens = explanation.token_ids().len();
    if tokens > 1 {
        let rule = match (explanation.rule(), explanation.token_weights()) {
            (SpanRule::Reliance, Some(_)) => {
                format!("mean of {tokens} tokens, weighted by what the picture adds to each")
            }
            (SpanRule::Reliance, None) => format!("mean of {tokens} tokens"),
            (rule, _) => format!("{rule} of {tokens} tokens"),
        };
        facts.push(Fact::new("Explanation", rule));
    }
    facts.extend(reliance::facts(target, blanks));
    facts.extend(certificate::facts(target));
    if let Some(counterpart) = &target.counterpart {
        let gain = minus(format!("{:+.3} nats", counterpart.gain(explanation)));
        let value = format!("{}, {gain} with this one", counterpart.probability_text());
        facts.push(Fact::new("Probability with the other model", value));
    }
    facts
}

/// How a relevancy of several points is told.
fn path(points: usize) -> String {
    format!("mean of {points} points on the way from the mean cell to the picture")
}

fn settings_facts(explained: &Explained<'_>) -> Vec<Fact> {
    let settings = &explained.settings;
    let sampling = match explained.generation.as_ref().map(|generation| &generation.sampling) {
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
        Fact::new("Answer ended by", &explained.stop),
    ];
    if settings.backward != Backward::Gradient.name() {
        facts.push(Fact::new("Backward rule", &settings.backward));
    }
    if 1 < settings.path_points {
        facts.push(Fact::new("Relevancy", path(settings.path_points)));
    }
    if let Some(sinks) = &explained.sinks {
        facts.push(Fact::new("Attention sinks", sinks.summary()));
    }
    if let Some(program) = &settings.reproduce {
        facts.push(Fact::new("Reproduces", program));
    }
    if let Some(system) = &explained.system {
        facts.push(Fact::new("System prompt", system));
    }
    if settings.orientation != Orientation::None {
        facts.push(Fact::new("Orientation", settings.orientation.to_string()));
    }
    facts
}

fn provenance(explained: &Explained<'_>) -> Vec<Fact> {
    let model = &explained.model;
    let mut facts = vec![Fact::new("Model", &model.source)];
    if let Some(revision) = &model.revision {
        facts.push(Fact::new("Revision", revision));
    }
    facts.push(Fact::new("Architecture", &model.architecture));
    facts.push(Fact::new("SHA-256 of its configuration", &model.config_sha256));
    if !model.storage.is_empty() {
        let types: Vec<&str> = model.storage.keys().map(String::as_str).collect();
        facts.push(Fact::new("Stored as", types.join(", ")));
    }
    let hashes = |files: &[WeightFile]| {
        let known = files.iter().filter_map(|file| Some((&file.name, file.sha256.as_ref()?)));
        let fact = |(name, hash): (&String, &String)| Fact::new(format!("SHA-256 of {name}"), hash);
        known.map(fact).collect::<Vec<_>>()
    };
    facts.extend(hashes(&model.files));
    for adapter in &model.adapters {
        let weight = match adapter.weight {
            1.0 => String::new(),
            weight => format!(", weight {weight}"),
        };
        facts.push(Fact::new("Adapter", format!("{} ({}{weight})", adapter.source, adapter.kind)));
        if let Some(base) = &adapter.base {
            facts.push(Fact::new("Adapter trained on", base));
        }
        facts.extend(hashes(&adapter.files));
    }
    if let Some(other) = &explained.other_model {
        facts.push(Fact::new("Compared with", format!("{} ({})", other.name(), other.dtype)));
        let hash = &other.model.config_sha256;
        facts.push(Fact::new("SHA-256 of that model's configuration", hash));
    }
    facts.extend(source::facts(explained));
    for picture in &explained.pictures {
        let name = format!("SHA-256 of the pixels of {}", file_name(&picture.name));
        facts.push(Fact::new(name, &picture.pixels_sha256));
    }
    facts.push(Fact::new("Program", &explained.program));
    if let Some(date) = &explained.date {
        facts.push(Fact::new("Date", date));
    }
    facts
}

fn notes(explained: &Explained<'_>) -> Vec<String> {
    let pictures = explained.pictures.iter().flat_map(|picture| {
        picture.warnings.iter().map(|warning| format!("{}: {warning}", file_name(&picture.name)))
    });
    let regions = explained.regions.iter().filter_map(|regions| regions.note.clone());
    let regions = regions.map(|note| format!("Regions: {note}."));
    let notes = explained
        .notes
        .iter()
        .cloned()
        .chain(pictures)
        .chain(source::notes(explained))
        .chain(regions);
    notes.chain(reliance::note(explained)).chain(certificate::note(explained)).collect()
}
