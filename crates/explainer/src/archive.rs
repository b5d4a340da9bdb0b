//! An explained answer as plain data for the objects that archives keep ([`medical::out`](medical_pictures::out)): what DICOM says of it is
//! not known here.

use std::ops::Range;

use explanation_record::{TargetCertificate, TargetReliance};
use medical_pictures::SourceHandle;
use medical_pictures::out::{
    Algorithm, Area, Certificate, Findings, FrameMap, MapOverSources, Moment, Overlay, SourceFrame,
    Target,
};
use relevancy_visualization::{OverlayOptions, Scale};

use crate::{Answer, Error, Explainer, Explanations, Presentation, TargetExplanation};

/// Where an answer's objects belong, and when they were made.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    /// For each picture of the question the file that it is of; `None` for one that nothing can refer to.
    pub sources: &'a [Option<SourceHandle>],
    /// The picture whose study the objects go into; of a prior and a current study the current one.
    pub current: usize,
    /// When this was made.
    pub made: Moment,
    /// The number of the first new series.
    pub series_number: u32,
}

impl Explainer {
    /// What objects for an archive say of an explained answer: its targets, or the words that were explained where there is no target.
    /// Each has its map over every picture that came from a file of an archive, and the overlay as it is drawn.
    ///
    /// # Errors
    /// What drawing may fail with.
    pub fn findings(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
        archive: &Archive<'_>,
    ) -> Result<Findings, Error> {
        let are_words = explanations.targets.is_empty();
        let explained = if are_words { &explanations.words } else { &explanations.targets };
        let reliance = explanations.reliance.as_ref();
        let reliance = reliance.map(|it| if are_words { &it.words } else { &it.targets });
        let certificates = explanations.certificate.as_ref();
        let certificates = certificates.map(|it| if are_words { &it.words } else { &it.targets });
        let order = order(archive);
        let sentences = self.sentences(answer);
        let target = |(index, target): (usize, &TargetExplanation)| {
            let (frames, overlays) = maps(answer, target, presentation, &order)?;
            Ok(Target {
                words: target.text().to_owned(),
                sentence: sentence(answer, &sentences, target),
                probability: f64::from(target.probability()),
                contribution: reliance.and_then(|it| contribution(it.get(index)?)),
                certificate: certificates.and_then(|it| certificate(it.get(index)?)),
                map: MapOverSources { frames },
                overlays,
            })
        };
        let options = &explanations.options;
        Ok(Findings {
            sources: order.iter().map(|(_, source)| frame(source)).collect(),
            question: Some(answer.question().prompt()),
            answer: answer.text().to_owned(),
            targets: explained.iter().enumerate().map(target).collect::<Result<_, Error>>()?,
            algorithm: Algorithm {
                name: "gradient-weighted attention relevancy".to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                parameters: vec![
                    format!("update = {}", options.update),
                    format!("objective = {}", options.objective),
                    format!("heads = {}", options.folding.heads),
                    format!("layers = {}", options.folding.layers),
                ],
            },
            model: presentation.shown_path(self.source().to_string().as_ref()),
            made: archive.made.clone(),
            series_number: archive.series_number,
        })
    }

    /// The positions of the answer's sentences (UAX #29).
    fn sentences(&self, answer: &Answer) -> Vec<Range<usize>> {
        let (proper, first) = (answer.positions(), answer.prepared().ids.len());
        let ids = &answer.generated.tokens[proper.start - first..proper.end - first];
        let spelled = self.processor.tokenizer().spans(ids);
        let found = spelled.sentences();
        let tokens = found.iter().filter_map(|bytes| spelled.tokens_of(bytes));
        tokens.map(|tokens| proper.start + tokens.start..proper.start + tokens.end).collect()
    }
}

/// The pictures that have a source, with their index: those of the current study first.
fn order<'a>(archive: &Archive<'a>) -> Vec<(usize, &'a SourceHandle)> {
    let all = archive.sources.iter().enumerate();
    let all = all.filter_map(|(index, source)| Some((index, source.as_ref()?)));
    let (current, prior): (Vec<_>, Vec<_>) = all.partition(|(index, _)| archive.current <= *index);
    current.into_iter().chain(prior).collect()
}

fn frame(source: &SourceHandle) -> SourceFrame {
    SourceFrame { path: source.path().to_owned(), frame: source.frame() }
}

/// The sentence that a target begins in; the whole answer where it is none of one.
fn sentence(answer: &Answer, sentences: &[Range<usize>], target: &TargetExplanation) -> String {
    let positions = target.positions();
    let holds = |sentence: &&Range<usize>| {
        sentence.contains(&positions.start) && positions.end <= sentence.end
    };
    let found = sentences.iter().find(holds).map(|sentence| answer.text_of(sentence));
    found.unwrap_or_else(|| answer.text()).trim().to_owned()
}

/// What the pictures add by the first way that was tried, in nats.
fn contribution(reliance: &TargetReliance) -> Option<f64> {
    let gain = reliance.blanks.first()?;
    Some(gain.token_pmi.iter().map(|&nats| f64::from(nats)).sum())
}

/// By the first operator that has curves.
fn certificate(found: &TargetCertificate) -> Option<Certificate> {
    let mut operators = found.operators();
    operators.find_map(|(operator, found)| {
        Some(Certificate { srg: found.srg?, p: found.p?, operator: operator.name().to_owned() })
    })
}

/// The maps of a target over the pictures, and its overlays: all on one scale, so that slices can be compared.
fn maps(
    answer: &Answer,
    target: &TargetExplanation,
    presentation: &Presentation,
    order: &[(usize, &SourceHandle)],
) -> Result<(Vec<FrameMap>, Vec<Overlay>), Error> {
    let (mut frames, mut overlays) = (Vec::new(), Vec::new());
    let images = &answer.prepared().images;
    let grids: Vec<_> = order
        .iter()
        .enumerate()
        .filter_map(|(source, (picture, _))| {
            // The first image of a picture shows it whole; crops stand behind it.
            let image = images.iter().position(|image| image.picture == *picture)?;
            Some((source, image, target.image_relevancy(image)?))
        })
        .collect();
    let largest = grids.iter().flat_map(|(_, _, grid)| grid.iter().copied()).fold(0.0, f32::max);
    for (source, image, values) in grids {
        let geometry = images[image].geometry;
        let [width, height] = geometry.picture.map(f64::from);
        let region = geometry.region;
        let area = Area {
            left: region.x / width,
            top: region.y / height,
            right: (region.x + region.width) / width,
            bottom: (region.y + region.height) / height,
        };
        let picture = &answer.question().pictures[images[image].picture];
        if !target.is_empty() {
            let options = drawn(presentation, presentation.orientation_of(picture.provenance()))
                .with_scale(Scale::Shared { max: largest });
            let rgb = target.overlay(answer, image, None, &options)?;
            let (width, height) = rgb.dimensions();
            overlays.push(Overlay { source, width, height, rgb: rgb.into_raw() });
        }
        frames.push(FrameMap { source, values, area });
    }
    Ok((frames, overlays))
}

fn drawn(
    presentation: &Presentation,
    orientation: relevancy_visualization::Orientation,
) -> OverlayOptions {
    presentation.overlay.clone().with_orientation(orientation)
}
