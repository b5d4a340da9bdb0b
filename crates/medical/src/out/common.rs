//! What every object says: whose it is, what made it, what it was made of.

use dicom_core::{PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;

use super::{
    Error, Findings, Wanted,
    copied::copy_identity,
    elements::{Code, Object, Put},
    source::Source,
    uid::Uids,
};

/// The designator of this program's own concepts. `99` marks a private scheme (PS3.16 section 8.2).
pub(super) const SCHEME: &str = "99MEDGEX";

/// Who made the objects.
pub(super) const MAKER: &str = "medgemma-explainer";

/// What must be read before any of this is used.
pub(super) const CAUTION: &str = "not for diagnostic use";

/// Model attention: what maps, areas and regions show.
pub(super) const ATTENTION: Code = Code("ATTENTION", SCHEME, "Model attention");

/// Findings with their sources read.
pub(super) struct Batch<'a> {
    pub(super) findings: &'a Findings,
    pub(super) wanted: Wanted,
    pub(super) sources: Vec<Source>,
    pub(super) uids: Uids,
}

/// What tells an object from its neighbours.
pub(super) struct Kind<'a> {
    /// The SOP class (PS3.4 annex B).
    pub(super) class: &'a str,
    /// The series' modality.
    pub(super) modality: &'a str,
    /// The series' place among the new ones, and its name.
    pub(super) series: (u32, &'a str),
    /// The object's number in its series, from one on.
    pub(super) number: usize,
}

impl Batch<'_> {
    /// An object with the modules that all share: Patient (PS3.3 C.7.1.1), General Study (C.7.2.1), General Series (C.7.3.1),
    /// Enhanced General Equipment (C.7.5.2), SOP Common (C.12.1).
    pub(super) fn object(&self, kind: &Kind<'_>) -> Result<Object, Error> {
        let mut object = Object::new_empty();
        object.text(tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192");
        copy_identity(&self.sources[0], &mut object)?;
        self.put_series(kind, &mut object);
        object.text(tags::MANUFACTURER, MAKER);
        object.text(tags::MANUFACTURER_MODEL_NAME, &self.findings.algorithm.name);
        object.text(tags::DEVICE_SERIAL_NUMBER, "none");
        object.text(tags::SOFTWARE_VERSIONS, &self.findings.algorithm.version);
        object.text(tags::SOP_CLASS_UID, kind.class);
        object.text(tags::SOP_INSTANCE_UID, &self.instance(kind));
        object.text(tags::INSTANCE_NUMBER, &kind.number.to_string());
        let made = &self.findings.made;
        for (date, time) in [
            (tags::INSTANCE_CREATION_DATE, tags::INSTANCE_CREATION_TIME),
            (tags::CONTENT_DATE, tags::CONTENT_TIME),
        ] {
            object.text(date, &made.date);
            object.text(time, &made.time);
        }
        object.items(tags::CODING_SCHEME_IDENTIFICATION_SEQUENCE, vec![scheme()]);
        Ok(object)
    }

    /// The identifier of an object.
    pub(super) fn instance(&self, kind: &Kind<'_>) -> String {
        self.uids.named(&format!("instance {} {}", kind.series.0, kind.number))
    }

    /// The identifier that a target's area has in all objects, for one group of pictures.
    pub(super) fn tracking(&self, target: usize, group: usize) -> String {
        self.uids.named(&format!("tracking {target} {group}"))
    }

    fn put_series(&self, kind: &Kind<'_>, object: &mut Object) {
        let (offset, name) = kind.series;
        object.text(tags::MODALITY, kind.modality);
        object.text(tags::SERIES_INSTANCE_UID, &self.uids.named(&format!("series {offset}")));
        let number = self.findings.series_number.saturating_add(offset);
        object.text(tags::SERIES_NUMBER, &number.to_string());
        object.text(tags::SERIES_DESCRIPTION, &format!("{name}: {CAUTION}"));
        object.text(tags::SERIES_DATE, &self.findings.made.date);
        object.text(tags::SERIES_TIME, &self.findings.made.time);
    }

    /// What made this, in a sentence.
    pub(super) fn derivation(&self, what: &str) -> String {
        let Findings { algorithm, model, .. } = self.findings;
        format!("{what} by {} {}, model {model}; {CAUTION}", algorithm.name, algorithm.version)
    }
}

fn scheme() -> Object {
    let mut item = Object::new_empty();
    item.text(tags::CODING_SCHEME_DESIGNATOR, SCHEME);
    item.text(tags::CODING_SCHEME_NAME, "Concepts of medgemma-explainer");
    item.text(tags::CODING_SCHEME_RESPONSIBLE_ORGANIZATION, MAKER);
    item
}

/// A reference to a source (PS3.3 table 10-11 and 10-3).
pub(super) fn reference(source: &Source) -> Object {
    let mut item = instance_reference(&source.class, &source.instance);
    if let Some(frame) = source.frame_number {
        item.text(tags::REFERENCED_FRAME_NUMBER, &frame.to_string());
    }
    item
}

/// A reference to an object (PS3.3 table 10-11).
pub(super) fn instance_reference(class: &str, instance: &str) -> Object {
    let mut item = Object::new_empty();
    item.text(tags::REFERENCED_SOP_CLASS_UID, class);
    item.text(tags::REFERENCED_SOP_INSTANCE_UID, instance);
    item
}

/// The Common Instance Reference module (PS3.3 C.12.2): the sources' series, those of the object's own study first.
pub(super) fn put_references(sources: &[&Source], study: &str, object: &mut Object) {
    let own: Vec<_> = sources.iter().copied().filter(|source| source.study == study).collect();
    if !own.is_empty() {
        object.items(tags::REFERENCED_SERIES_SEQUENCE, series_of(&own));
    }
    let others = distinct(sources, |source| &source.study);
    let others = others.into_iter().filter(|(found, _)| *found != study);
    let studies: Vec<_> = others
        .map(|(found, sources)| {
            let mut item = Object::new_empty();
            item.text(tags::STUDY_INSTANCE_UID, found);
            item.items(tags::REFERENCED_SERIES_SEQUENCE, series_of(&sources));
            item
        })
        .collect();
    if !studies.is_empty() {
        object.items(tags::STUDIES_CONTAINING_OTHER_REFERENCED_INSTANCES_SEQUENCE, studies);
    }
}

fn series_of(sources: &[&Source]) -> Vec<Object> {
    let item = |(series, sources): (&str, Vec<&Source>)| {
        let mut item = Object::new_empty();
        item.text(tags::SERIES_INSTANCE_UID, series);
        item.items(tags::REFERENCED_INSTANCE_SEQUENCE, instances_of(&sources));
        item
    };
    distinct(sources, |source| &source.series).into_iter().map(item).collect()
}

/// A reference to each file, whatever the number of its frames that are used.
pub(super) fn instances_of(sources: &[&Source]) -> Vec<Object> {
    let files = distinct(sources, |source| &source.instance);
    files
        .into_iter()
        .map(|(instance, sources)| instance_reference(&sources[0].class, instance))
        .collect()
}

/// Sources by what they share, in the order of the first of each.
pub(super) fn distinct<'a>(
    sources: &[&'a Source],
    key: impl Fn(&'a Source) -> &'a String,
) -> Vec<(&'a str, Vec<&'a Source>)> {
    let mut found: Vec<(&str, Vec<&Source>)> = Vec::new();
    for source in sources {
        let name = key(source).as_str();
        match found.iter_mut().find(|(other, _)| *other == name) {
            Some((_, members)) => members.push(source),
            None => found.push((name, vec![source])),
        }
    }
    found
}

/// Bytes as an element's value.
pub(crate) fn put_bytes(tag: Tag, bytes: Vec<u8>, object: &mut Object) {
    let mut bytes = bytes;
    if !bytes.len().is_multiple_of(2) {
        // Values have an even length (PS3.5 section 7.1.1).
        bytes.push(0);
    }
    object.value(tag, VR::OB, PrimitiveValue::U8(bytes.into()));
}
