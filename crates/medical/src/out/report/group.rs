//! What is said of a target: tracking, region, numbers, texts.

use dicom_dictionary_std::uids;

use super::{
    Report, concepts as concept,
    item::{Content, code, container, image, number, rectangle, segment, text, uid_reference},
};
use crate::out::{
    FrameMap, Target,
    common::ATTENTION,
    grid::{Cells, share},
    segmentation::{Placed, threshold},
};

/// A target in the report.
pub(super) struct Measured<'a> {
    pub(super) report: &'a Report<'a>,
    pub(super) index: usize,
    pub(super) target: &'a Target,
}

/// Where a group of measurements lies.
struct Region {
    /// The template: planar (TID 1410) or volumetric (TID 1411).
    template: &'static str,
    group: usize,
    items: Vec<Content>,
    /// How much of the map's relevancy is inside.
    share: f64,
    /// What it is, in words.
    meaning: String,
}

impl Measured<'_> {
    /// The target's groups.
    pub(super) fn groups(&self) -> Vec<Content> {
        let volumes: Vec<_> = self.volumes().collect();
        let regions = if volumes.is_empty() { self.plane().into_iter().collect() } else { volumes };
        if regions.is_empty() {
            vec![self.unplaced()]
        } else {
            regions.into_iter().map(|region| self.group(region)).collect()
        }
    }

    /// Areas of segmentations that lie in volumes.
    fn volumes(&self) -> impl Iterator<Item = Region> + '_ {
        let own = self.report.placed.iter().filter(|placed| placed.target == self.index);
        let in_volume = |placed: &&Placed| self.report.groups[placed.group].flat.is_none();
        own.filter(in_volume).map(|placed| self.volume(placed))
    }

    fn volume(&self, placed: &Placed) -> Region {
        let threshold = self.threshold();
        let sources = &self.report.batch.sources;
        let class = uids::SEGMENTATION_STORAGE;
        let area = segment(concept::SEGMENT, class, &placed.instance, placed.segment);
        // All pictures of a group are of one series: naming that keeps the report of a large volume short.
        let source = match placed.sources.as_slice() {
            [one] => image("CONTAINS", Some(concept::SOURCE_OF_SEGMENT), &sources[*one]),
            several => {
                let series = &sources[several[0]].series;
                uid_reference("CONTAINS", concept::SERIES_OF_SEGMENT, series)
            }
        };
        let items = vec![area, source];
        let inside = |frame: &FrameMap, _, value| {
            value > threshold && placed.sources.contains(&frame.source)
        };
        Region {
            template: "1411",
            group: placed.group,
            items,
            share: share(self.target.map.frames.iter(), inside),
            meaning: format!(
                "Where the model looked: relevancy above the quantile {} of the map. No outline of a finding.",
                self.report.batch.wanted.quantile
            ),
        }
    }

    /// The rectangle around the top cells of the picture that holds the largest value.
    fn plane(&self) -> Option<Region> {
        let most = |map: &FrameMap| map.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let frames = &self.target.map.frames;
        let top = frames.iter().max_by(|a, b| most(a).total_cmp(&most(b)))?;
        let source = &self.report.batch.sources[top.source];
        let cells = Cells::around_top(&top.values, self.threshold());
        let edges = cells.edges(top, source);
        // A region beyond the picture has no outline in it.
        if edges[0] >= edges[2] || edges[1] >= edges[3] {
            return None;
        }
        let selected = image("SELECTED FROM", Some(concept::SOURCE_OF_REGION), source);
        let held = |group: &super::Group| group.members.contains(&top.source);
        Some(Region {
            template: "1410",
            group: self.report.groups.iter().position(held)?,
            items: vec![rectangle(concept::REGION, edges, selected)],
            share: share(frames.iter(), |frame, (row, column), _| {
                frame.source == top.source && cells.holds(row, column)
            }),
            meaning: format!(
                "Where the model looked most: a rectangle around the largest value of the map and what is joined to it above the quantile {}. No outline of a finding.",
                self.report.batch.wanted.quantile
            ),
        })
    }

    fn threshold(&self) -> f32 {
        threshold(self.target, self.report.batch.wanted.quantile).unwrap_or(0.0)
    }

    /// TID 1410 or 1411.
    fn group(&self, region: Region) -> Content {
        let tracking = self.report.batch.tracking(self.index, region.group);
        let mut items = self.head(&tracking);
        items.extend(region.items);
        items.extend(self.algorithm());
        items.extend(self.numbers());
        items.push(number(concept::SHARE, concept::RATIO, region.share));
        items.extend(self.texts());
        items.push(text("CONTAINS", concept::MEANING, &region.meaning));
        container("CONTAINS", concept::GROUP, items).templated(region.template)
    }

    /// TID 1501: what has no map, or none within a picture.
    fn unplaced(&self) -> Content {
        let name = format!("tracking {} nowhere", self.index);
        let mut items = self.head(&self.report.batch.uids.named(&name));
        items.extend(self.algorithm());
        items.extend(self.numbers());
        items.extend(self.texts());
        container("CONTAINS", concept::GROUP, items).templated("1501")
    }

    fn head(&self, tracking: &str) -> Vec<Content> {
        let context = "HAS OBS CONTEXT";
        vec![
            text(context, concept::TRACKING_ID, &self.target.words),
            uid_reference(context, concept::TRACKING_UID, tracking),
            code("CONTAINS", concept::FINDING, ATTENTION),
        ]
    }

    /// TID 4019.
    fn algorithm(&self) -> Vec<Content> {
        let findings = self.report.batch.findings;
        let says = |name, value: &str| text("HAS CONCEPT MOD", name, value);
        let algorithm = &findings.algorithm;
        let mut items = vec![
            says(concept::ALGORITHM_NAME, &algorithm.name),
            says(concept::ALGORITHM_VERSION, &algorithm.version),
            says(concept::ALGORITHM_PARAMETERS, &format!("model = {}", findings.model)),
        ];
        let parameters = algorithm.parameters.iter().filter(|one| !one.trim().is_empty());
        items.extend(parameters.map(|one| says(concept::ALGORITHM_PARAMETERS, one)));
        items
    }

    /// TID 300, one for each number that is known.
    fn numbers(&self) -> Vec<Content> {
        let Target { probability, contribution, certificate, .. } = self.target;
        let certificate = certificate.as_ref();
        let known = [
            Some((concept::PROBABILITY, concept::RATIO, *probability)),
            contribution.map(|value| (concept::CONTRIBUTION, concept::NATS, value)),
            certificate.map(|found| (concept::SRG, concept::NO_UNITS, found.srg)),
            certificate.map(|found| (concept::CERTIFICATE_P, concept::RATIO, found.p)),
        ];
        let known = known.into_iter().flatten();
        known.map(|(name, units, value)| number(name, units, value)).collect()
    }

    fn texts(&self) -> Vec<Content> {
        let contains = |name, value: &str| text("CONTAINS", name, value);
        let operator = self.target.certificate.as_ref().map(|found| found.operator.as_str());
        let operator = operator.filter(|operator| !operator.trim().is_empty());
        let mut items = vec![
            contains(concept::WORDS, &self.target.words),
            contains(concept::SENTENCE, &self.target.sentence),
        ];
        items.extend(operator.map(|operator| contains(concept::OPERATOR, operator)));
        items
    }
}
