//! Whose the pictures are: nobody's.

use dicom_dictionary_std::tags;

use crate::out::{
    elements::{Object, Put},
    uid::Uids,
};

/// The fictitious patient and study of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Tells one from another: the name is `Phantom^Number N`.
    pub number: u64,
    /// `YYYYMMDD` of the study.
    pub date: String,
    /// `HHMMSS` of the study.
    pub time: String,
}

impl Subject {
    /// The patient of this number, at the first moment of a year.
    pub fn number(number: u64) -> Self {
        Self { number, date: "20260101".to_owned(), time: "000000".to_owned() }
    }

    /// Identifiers of what belongs to this study.
    pub(super) fn uids(&self, kind: &str) -> Uids {
        let number = self.number.to_le_bytes();
        let pieces = [kind.as_bytes(), &number, self.date.as_bytes(), self.time.as_bytes()];
        Uids::new(pieces)
    }

    /// Patient (PS3.3 C.7.1.1), General Study (C.7.2.1), General Series (C.7.3.1), General Equipment (C.7.5.1), SOP Common
    /// (C.12.1).
    pub(super) fn put(&self, kind: &Kind<'_>, object: &mut Object) {
        let uids = self.uids(kind.modality);
        object.text(tags::SPECIFIC_CHARACTER_SET, "ISO_IR 192");
        object.text(tags::SOP_CLASS_UID, kind.class);
        object.text(tags::SOP_INSTANCE_UID, &uids.named(&format!("instance {}", kind.instance)));
        object.text(tags::STUDY_INSTANCE_UID, &uids.named("study"));
        object.text(tags::SERIES_INSTANCE_UID, &uids.named("series"));
        object.text(tags::PATIENT_NAME, &format!("Phantom^Number {}", self.number));
        object.text(tags::PATIENT_ID, &format!("PHANTOM-{}", self.number));
        object.text(tags::PATIENT_SEX, "O");
        object.text(tags::PATIENT_COMMENTS, "Computed, no picture of a person");
        object.text(tags::STUDY_DESCRIPTION, "Phantom");
        object.text(tags::STUDY_ID, &self.number.to_string());
        object.text(tags::MODALITY, kind.modality);
        object.text(tags::SERIES_NUMBER, "1");
        object.text(tags::INSTANCE_NUMBER, &kind.instance.to_string());
        object.text(tags::MANUFACTURER, "medgemma-explainer");
        object.text(tags::MANUFACTURER_MODEL_NAME, "phantom");
        for tag in [tags::STUDY_DATE, tags::SERIES_DATE, tags::ACQUISITION_DATE, tags::CONTENT_DATE]
        {
            object.text(tag, &self.date);
        }
        for tag in [tags::STUDY_TIME, tags::SERIES_TIME, tags::ACQUISITION_TIME, tags::CONTENT_TIME]
        {
            object.text(tag, &self.time);
        }
        let unknown =
            [tags::PATIENT_BIRTH_DATE, tags::REFERRING_PHYSICIAN_NAME, tags::ACCESSION_NUMBER];
        for tag in unknown {
            object.empty(tag);
        }
    }
}

/// What an image is.
pub(super) struct Kind<'a> {
    pub(super) class: &'a str,
    pub(super) modality: &'a str,
    /// Its number in the series, from one on.
    pub(super) instance: usize,
}
