//! Items of the content tree (PS3.3 section C.17.3).

use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::tags;

use super::super::{
    common::{instance_reference, reference},
    elements::{Code, Object, Put},
    source::Source,
};

/// A content item with those below it.
#[derive(Debug)]
pub(super) struct Content(Object);

impl Content {
    fn new(relationship: &str, kind: &str, name: Option<Code>) -> Self {
        let mut item = Object::new_empty();
        if !relationship.is_empty() {
            item.text(tags::RELATIONSHIP_TYPE, relationship);
        }
        item.text(tags::VALUE_TYPE, kind);
        if let Some(name) = name {
            item.code(tags::CONCEPT_NAME_CODE_SEQUENCE, name);
        }
        Self(item)
    }

    fn with(mut self, put: impl FnOnce(&mut Object)) -> Self {
        put(&mut self.0);
        self
    }

    /// The tree as the document's own: its root is the data set itself, and says which template it follows (C.18.8).
    pub(super) fn put_root(self, template: &str, object: &mut Object) {
        for element in self.0 {
            object.put(element);
        }
        put_template(template, object);
    }

    /// Says which template of DICOM's own a container follows.
    pub(super) fn templated(self, template: &str) -> Self {
        self.with(|object| put_template(template, object))
    }
}

fn put_template(template: &str, object: &mut Object) {
    let mut item = Object::new_empty();
    item.text(tags::MAPPING_RESOURCE, "DCMR");
    item.text(tags::TEMPLATE_IDENTIFIER, template);
    object.items(tags::CONTENT_TEMPLATE_SEQUENCE, vec![item]);
}

pub(super) fn container(relationship: &str, name: Code, below: Vec<Content>) -> Content {
    Content::new(relationship, "CONTAINER", Some(name)).with(|item| {
        item.text(tags::CONTINUITY_OF_CONTENT, "SEPARATE");
        item.items(tags::CONTENT_SEQUENCE, objects(below));
    })
}

pub(super) fn text(relationship: &str, name: Code, value: &str) -> Content {
    Content::new(relationship, "TEXT", Some(name)).with(|item| item.text(tags::TEXT_VALUE, value))
}

pub(super) fn code(relationship: &str, name: Code, value: Code) -> Content {
    Content::new(relationship, "CODE", Some(name))
        .with(|item| item.code(tags::CONCEPT_CODE_SEQUENCE, value))
}

pub(super) fn uid_reference(relationship: &str, name: Code, uid: &str) -> Content {
    Content::new(relationship, "UIDREF", Some(name)).with(|item| item.text(tags::UID, uid))
}

/// A number (C.18.1): as a person reads it, and beside that as it is where digits were left out.
pub(super) fn number(name: Code, units: Code, value: f64) -> Content {
    let mut measured = Object::new_empty();
    measured.code(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, units);
    let short = shortened(value);
    measured.decimals(tags::NUMERIC_VALUE, &[short]);
    if short.to_bits() != value.to_bits() {
        measured.double(tags::FLOATING_POINT_VALUE, value);
    }
    Content::new("CONTAINS", "NUM", Some(name))
        .with(|item| item.items(tags::MEASURED_VALUE_SEQUENCE, vec![measured]))
}

/// Five digits of a number.
fn shortened(value: f64) -> f64 {
    format!("{value:.4e}").parse().unwrap_or(value)
}

/// A picture (C.18.4).
pub(super) fn image(relationship: &str, name: Option<Code>, source: &Source) -> Content {
    Content::new(relationship, "IMAGE", name)
        .with(|item| item.items(tags::REFERENCED_SOP_SEQUENCE, vec![reference(source)]))
}

/// A segment of a segmentation.
pub(super) fn segment(name: Code, class: &str, instance: &str, number: u16) -> Content {
    let mut referred = instance_reference(class, instance);
    referred.short(tags::REFERENCED_SEGMENT_NUMBER, number);
    Content::new("CONTAINS", "IMAGE", Some(name))
        .with(|item| item.items(tags::REFERENCED_SOP_SEQUENCE, vec![referred]))
}

/// A closed line around a rectangle (C.18.6), selected from a picture: left, top, right, bottom in pixels.
pub(super) fn rectangle(name: Code, edges: [f64; 4], source: Content) -> Content {
    let [left, top, right, bottom] = edges.map(|edge| edge as f32);
    let line = vec![left, top, right, top, right, bottom, left, bottom, left, top];
    Content::new("CONTAINS", "SCOORD", Some(name)).with(|item| {
        item.text(tags::GRAPHIC_TYPE, "POLYLINE");
        item.value(tags::GRAPHIC_DATA, VR::FL, PrimitiveValue::F32(line.into()));
        item.items(tags::CONTENT_SEQUENCE, objects(vec![source]));
    })
}

fn objects(contents: Vec<Content>) -> Vec<Object> {
    contents.into_iter().map(|content| content.0).collect()
}
