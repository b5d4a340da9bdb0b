//! Concepts of the report. Those of DICOM are in PS3.16 annex D; ours are private, with the scheme's name in every object.

use super::super::{common::SCHEME, elements::Code};

const fn dcm(value: &'static str, meaning: &'static str) -> Code {
    Code(value, "DCM", meaning)
}

const fn own(value: &'static str, meaning: &'static str) -> Code {
    Code(value, SCHEME, meaning)
}

// TID 1500 and what it includes.
pub(super) const REPORT: Code = dcm("126000", "Imaging Measurement Report");
pub(super) const LANGUAGE: Code = dcm("121049", "Language of Content Item and Descendants");
pub(super) const ENGLISH: Code = Code("en", "RFC5646", "English");
pub(super) const PROCEDURE_REPORTED: Code = dcm("121058", "Procedure Reported");
pub(super) const IMAGING: Code = Code("363679005", "SCT", "Imaging");
pub(super) const LIBRARY: Code = dcm("111028", "Image Library");
pub(super) const LIBRARY_GROUP: Code = dcm("126200", "Image Library Group");
pub(super) const MEASUREMENTS: Code = dcm("126010", "Imaging Measurements");
pub(super) const EVALUATIONS: Code = Code("C0034375", "UMLS", "Qualitative Evaluations");

// TID 1002 and 1004.
pub(super) const OBSERVER_TYPE: Code = dcm("121005", "Observer Type");
pub(super) const DEVICE: Code = dcm("121007", "Device");
pub(super) const DEVICE_UID: Code = dcm("121012", "Device Observer UID");
pub(super) const DEVICE_NAME: Code = dcm("121013", "Device Observer Name");
pub(super) const DEVICE_MANUFACTURER: Code = dcm("121014", "Device Observer Manufacturer");
pub(super) const DEVICE_MODEL: Code = dcm("121015", "Device Observer Model Name");

// TID 1410 and 1411.
pub(super) const GROUP: Code = dcm("125007", "Measurement Group");
pub(super) const TRACKING_ID: Code = dcm("112039", "Tracking Identifier");
pub(super) const TRACKING_UID: Code = dcm("112040", "Tracking Unique Identifier");
pub(super) const FINDING: Code = dcm("121071", "Finding");
pub(super) const REGION: Code = dcm("111030", "Image Region");
pub(super) const SOURCE_OF_REGION: Code = dcm("121324", "Source Image");
pub(super) const SEGMENT: Code = dcm("121191", "Referenced Segment");
pub(super) const SOURCE_OF_SEGMENT: Code = dcm("121233", "Source image for segmentation");
pub(super) const SERIES_OF_SEGMENT: Code = dcm("121232", "Source series for segmentation");

// TID 4019.
pub(super) const ALGORITHM_NAME: Code = dcm("111001", "Algorithm Name");
pub(super) const ALGORITHM_VERSION: Code = dcm("111003", "Algorithm Version");
pub(super) const ALGORITHM_PARAMETERS: Code = dcm("111002", "Algorithm Parameters");

// Units of UCUM; what stands in braces is a number without unit that says what it is. UCUM has no unit for nats.
pub(super) const NO_UNITS: Code = Code("1", "UCUM", "no units");
pub(super) const RATIO: Code = Code("{ratio}", "UCUM", "ratio");
pub(super) const NATS: Code = Code("{nat}", "UCUM", "nat");

// Ours: what there are no concepts for.
pub(super) const CAUTION: Code = own("CAUTION", "Caution");
pub(super) const QUESTION: Code = own("QUESTION", "Question to the model");
pub(super) const ANSWER: Code = own("ANSWER", "Answer of the model");
pub(super) const WORDS: Code = own("WORDS", "Explained words");
pub(super) const SENTENCE: Code = own("SENTENCE", "Sentence of the answer");
pub(super) const MEANING: Code = own("MEANING", "What the region shows");
pub(super) const OPERATOR: Code = own("OPERATOR", "Certificate: how cells were taken away");
pub(super) const PROBABILITY: Code = own("PROBABILITY", "Probability of the words");
pub(super) const CONTRIBUTION: Code = own("CONTRIBUTION", "Contribution of the pictures");
pub(super) const SHARE: Code = own("SHARE", "Share of the relevancy in the region");
pub(super) const SRG: Code = own("SRG", "Certificate: symmetric relevance gain");
pub(super) const CERTIFICATE_P: Code = own("CERTIFICATE_P", "Certificate: p-value");
