//! Every file that ships with pydicom and pydicom-data: our stored values are pydicom's, or an error says why not.
//!
//! Needs a Python with pydicom 3: `MEDICAL_PYTHON`, else `.validators/bin/python` in the workspace. Skipped aloud without.

#[path = "../support/compare.rs"]
mod compare;

use std::path::Path;

use medical_pictures::{CheckKind, Options, PatientSide, check_picture, open};

use crate::python;

/// The greatest difference of a lossy file: decoders of JPEG differ by rounding, and in how they spread shared colours.
const LOSSY: i64 = 3;

/// Files that pydicom decodes and we name: what they are, in our message.
const NAMED: &[&str] = &[
    "32 bits allocated",
    "1 bits allocated",
    "64 bits allocated",
    "floating point",
    "JPEG Extended with 12 bits",
    #[cfg(not(feature = "jpeg-ls"))]
    "JPEG-LS",
];

#[test]
fn stored_values_are_those_of_pydicom() {
    let Some(python) = python::interpreter() else { return };
    let folder = tempfile::tempdir().unwrap();
    python::write_references(&python, folder.path());
    let rows = compare::rows(folder.path());
    assert!(100 < rows.len(), "{} files", rows.len());
    let mut wrong = vec![];
    for row in &rows {
        let lossy = row.stored.as_ref().is_some_and(|stored| stored.lossy);
        let fine = match (&row.ours, row.difference, &row.pydicom) {
            (None, Some(difference), _) => difference <= if lossy { LOSSY } else { 0 },
            (None, None, pydicom) => pydicom.is_some(),
            (Some(_), _, Some(_)) => true,
            (Some(error), _, None) => NAMED.iter().any(|named| error.contains(named)),
        };
        if !fine {
            wrong.push(format!("{row:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    the_radiograph_is_a_positive(folder.path());
}

/// RG1 is a chest, MONOCHROME1: upright and inverted once, and its negative is found, whether made by subtraction or by wrapping.
fn the_radiograph_is_a_positive(references: &Path) {
    let files = compare::references(references);
    let path = files.keys().find(|path| path.ends_with("RG1_UNCR.dcm")).unwrap();
    let picture = open(path, &Options::default()).unwrap().remove(0);
    let orientation = picture.provenance.orientation.as_ref().unwrap();
    assert_eq!(orientation.patient_side_on_the_left(), Some(PatientSide::Right));
    assert!(picture.provenance.inverted);
    let is_negative = |change: fn(u8) -> u8| {
        let mut changed = picture.rgb.clone();
        changed.iter_mut().for_each(|byte| *byte = change(*byte));
        check_picture(&changed).iter().any(|check| check.kind == CheckKind::Negative)
    };
    assert!(!is_negative(|byte| byte));
    assert!(is_negative(|byte| 255 - byte));
    assert!(is_negative(u8::wrapping_neg));
}
