//! Words, numbers and regions as a Comprehensive 3D SR (PS3.3 section A.35.13): a Measurement Report (PS3.16 TID 1500), which
//! the profile AI Results of IHE radiology builds on.

mod concepts;
mod group;
mod item;

use dicom_dictionary_std::{tags, uids};

use self::{
    concepts as concept,
    group::Measured,
    item::{Content, code, container, image, text, uid_reference},
};
use super::{
    Error,
    common::{Batch, CAUTION, Kind, MAKER, distinct, instance_reference, instances_of},
    elements::{Object, Put},
    groups::Group,
    segmentation::Placed,
};

/// What the report is made of.
pub(super) struct Report<'a> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) groups: &'a [Group],
    /// Areas of segmentations that are written with it.
    pub(super) placed: &'a [Placed],
    /// The series of those.
    pub(super) segmentations: String,
}

impl Report<'_> {
    /// The object.
    pub(super) fn object(&self) -> Result<Object, Error> {
        let class = uids::COMPREHENSIVE3_DSR_STORAGE;
        let kind = Kind { class, modality: "SR", series: (3, "Relevancy report"), number: 1 };
        let mut object = self.batch.object(&kind)?;
        object.items(tags::REFERENCED_PERFORMED_PROCEDURE_STEP_SEQUENCE, Vec::new());
        self.put_document(&mut object);
        self.root().put_root("1500", &mut object);
        Ok(object)
    }

    /// SR Document General (C.17.2).
    fn put_document(&self, object: &mut Object) {
        object.text(tags::COMPLETION_FLAG, "COMPLETE");
        object.text(tags::VERIFICATION_FLAG, "UNVERIFIED");
        object.text(tags::PRELIMINARY_FLAG, "PRELIMINARY");
        object.items(tags::PERFORMED_PROCEDURE_CODE_SEQUENCE, Vec::new());
        let study = &self.batch.sources[0].study;
        let (own, others): (Vec<_>, Vec<_>) =
            self.evidence().into_iter().partition(|(found, _)| found == study);
        let items =
            |found: Vec<(String, Object)>| found.into_iter().map(|(_, item)| item).collect();
        object.items(tags::CURRENT_REQUESTED_PROCEDURE_EVIDENCE_SEQUENCE, items(own));
        if !others.is_empty() {
            object.items(tags::PERTINENT_OTHER_EVIDENCE_SEQUENCE, items(others));
        }
    }

    /// Everything that the tree refers to, by study and series (table 10-4b).
    fn evidence(&self) -> Vec<(String, Object)> {
        let sources: Vec<_> = self.batch.sources.iter().collect();
        let studies = distinct(&sources, |source| &source.study);
        let study = |(study, sources): (&str, Vec<_>)| {
            let mut series: Vec<_> = distinct(&sources, |source| &source.series)
                .into_iter()
                .map(|(uid, members)| series_item(uid, instances_of(&members)))
                .collect();
            if study == self.batch.sources[0].study && !self.placed.is_empty() {
                series.push(series_item(&self.segmentations, self.segmentation_items()));
            }
            let mut item = Object::new_empty();
            item.text(tags::STUDY_INSTANCE_UID, study);
            item.items(tags::REFERENCED_SERIES_SEQUENCE, series);
            (study.to_owned(), item)
        };
        studies.into_iter().map(study).collect()
    }

    fn segmentation_items(&self) -> Vec<Object> {
        let mut instances: Vec<_> = self.placed.iter().map(|placed| &placed.instance).collect();
        instances.dedup();
        let class = uids::SEGMENTATION_STORAGE;
        instances.into_iter().map(|instance| instance_reference(class, instance)).collect()
    }

    /// TID 1500, Measurement Report.
    fn root(&self) -> Content {
        let mut content = vec![code("HAS CONCEPT MOD", concept::LANGUAGE, concept::ENGLISH)];
        content.extend(self.observer());
        content.push(code("HAS CONCEPT MOD", concept::PROCEDURE_REPORTED, concept::IMAGING));
        content.push(self.image_library());
        content.push(container("CONTAINS", concept::MEASUREMENTS, self.measured()));
        content.push(container("CONTAINS", concept::EVALUATIONS, self.evaluations()));
        container("", concept::REPORT, content)
    }

    /// TID 1002 and 1004: a program looked, not a person.
    fn observer(&self) -> Vec<Content> {
        let algorithm = &self.batch.findings.algorithm;
        let context = |name, value: &str| text("HAS OBS CONTEXT", name, value);
        let device = self.batch.uids.named("device");
        vec![
            code("HAS OBS CONTEXT", concept::OBSERVER_TYPE, concept::DEVICE),
            uid_reference("HAS OBS CONTEXT", concept::DEVICE_UID, &device),
            context(concept::DEVICE_NAME, &algorithm.name),
            context(concept::DEVICE_MANUFACTURER, MAKER),
            context(concept::DEVICE_MODEL, &self.batch.findings.model),
        ]
    }

    /// TID 1600: the pictures that the model saw.
    fn image_library(&self) -> Content {
        let images = self.batch.sources.iter().map(|source| image("CONTAINS", None, source));
        let group = container("CONTAINS", concept::LIBRARY_GROUP, images.collect());
        container("CONTAINS", concept::LIBRARY, vec![group])
    }

    /// The answer as a whole.
    fn evaluations(&self) -> Vec<Content> {
        let findings = self.batch.findings;
        let contains = |name, value: &str| text("CONTAINS", name, value);
        let question = findings.question.as_deref().filter(|question| !question.trim().is_empty());
        let question = question.map(|question| contains(concept::QUESTION, question));
        let answer = Some(findings.answer.as_str()).filter(|answer| !answer.trim().is_empty());
        let answer = answer.map(|answer| contains(concept::ANSWER, answer));
        let caution = contains(concept::CAUTION, CAUTION);
        [Some(caution), question, answer].into_iter().flatten().collect()
    }

    /// A group for each target and place: in volumes the area of the segmentation, elsewhere a rectangle in a picture.
    fn measured(&self) -> Vec<Content> {
        let targets = self.batch.findings.targets.iter().enumerate();
        targets
            .flat_map(|(index, target)| Measured { report: self, index, target }.groups())
            .collect()
    }
}

fn series_item(series: &str, instances: Vec<Object>) -> Object {
    let mut item = Object::new_empty();
    item.text(tags::SERIES_INSTANCE_UID, series);
    item.items(tags::REFERENCED_SOP_SEQUENCE, instances);
    item
}
