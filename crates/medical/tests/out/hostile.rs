//! Sources and findings that are not what they should be: an error that names what, and nothing written.

use std::{fs, path::Path};

use dicom_core::{DataElement, PrimitiveValue, Tag, VR};
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, open_file};
use medical_pictures::out::{Error, Findings, Outcome, Wanted, write_objects};

use crate::{
    samples::{findings, map, radiograph, series, target},
    tools::{check, python},
};

/// Findings over a radiograph that was changed.
fn over(folder: &Path, change: impl FnOnce(&mut DefaultDicomObject)) -> Findings {
    let path = folder.join("source.dcm");
    radiograph(&path);
    let mut object = open_file(&path).unwrap();
    change(&mut object);
    fs::remove_file(&path).unwrap();
    object.write_to_file(&path).unwrap();
    findings(vec![path], vec![target("effusion", vec![map(11, 3)])])
}

fn refused(findings: &Findings) -> String {
    let folder = tempfile::tempdir().unwrap();
    let error = write_objects(folder.path(), findings, &Wanted::default()).unwrap_err();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing half-written stays");
    error.to_string()
}

#[test]
fn a_source_without_identity_is_refused() {
    for (tag, name) in [
        (tags::SOP_CLASS_UID, "SOPClassUID"),
        (tags::SOP_INSTANCE_UID, "SOPInstanceUID"),
        (tags::STUDY_INSTANCE_UID, "StudyInstanceUID"),
        (tags::SERIES_INSTANCE_UID, "SeriesInstanceUID"),
        (tags::ROWS, "Rows"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let said = refused(&over(folder.path(), |object| {
            object.remove_element(tag);
        }));
        assert!(said.contains(name) && said.contains("source.dcm"), "{said}");
    }
}

#[test]
fn a_value_that_is_none_is_refused() {
    let put = |tag: Tag, vr: VR, value: PrimitiveValue| {
        let folder = tempfile::tempdir().unwrap();
        let findings = over(folder.path(), |object| {
            object.put(DataElement::new(tag, vr, value));
        });
        refused(&findings)
    };
    let study = put(tags::STUDY_INSTANCE_UID, VR::UI, "1.2.x".into());
    assert!(study.contains("StudyInstanceUID"), "{study}");
    let rows = put(tags::ROWS, VR::US, PrimitiveValue::from(0u16));
    assert!(rows.contains("Rows"), "{rows}");
    let charset = put(tags::PATIENT_NAME, VR::PN, "a\u{1b}$B".into());
    assert!(charset.contains("SpecificCharacterSet"), "{charset}");
}

#[test]
fn the_most_pixels_that_a_header_can_claim_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let findings = over(folder.path(), |object| {
        for tag in [tags::ROWS, tags::COLUMNS] {
            object.put(DataElement::new(tag, VR::US, PrimitiveValue::from(u16::MAX)));
        }
    });
    assert!(refused(&findings).contains("pixels"));
}

#[test]
fn a_file_cut_off_or_of_another_kind_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.dcm");
    radiograph(&path);
    let whole = fs::read(&path).unwrap();
    let findings = findings(vec![path.clone()], vec![target("effusion", vec![map(11, 3)])]);
    for length in [0, 3, 131, 140, 300, 500, 700] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(refused(&findings).contains("source.dcm"), "{length}");
    }
    fs::write(&path, "just text, and enough of it to hold a preamble".repeat(10)).unwrap();
    assert!(refused(&findings).contains("DICOM"));
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(refused(&findings).contains("is not a file"));
}

#[test]
fn lengths_and_depths_that_no_header_has_are_refused_before_they_cost_anything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.dcm");
    radiograph(&path);
    let whole = fs::read(&path).unwrap();
    let findings = findings(vec![path.clone()], vec![target("effusion", vec![map(11, 3)])]);
    let pixels = whole.windows(6).position(|window| window == b"\xe0\x7f\x10\0OW").unwrap();
    let with = |element: &[u8]| {
        fs::write(&path, [&whole[..pixels], element, &whole[pixels..]].concat()).unwrap();
        refused(&findings)
    };
    let claimed = with(b"\xfe\x7d\x10\0UT\0\0\xf0\xff\xff\xff");
    assert!(claimed.contains("says that it has 4294967280 bytes"), "{claimed}");
    let nested = b"\x40\0\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff";
    let nested = with(&nested.repeat(100_000));
    assert!(nested.contains("sequences inside each other"), "{nested}");
}

#[test]
fn no_byte_of_a_header_makes_it_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.dcm");
    radiograph(&path);
    let whole = fs::read(&path).unwrap();
    let findings = findings(vec![path.clone()], vec![target("effusion", vec![map(11, 3)])]);
    let out = folder.path().join("out");
    // Areas say nothing more of a header than a report does, and take their time where it claims many pixels.
    let wanted = Wanted { segmentation: false, parametric: false, ..Wanted::default() };
    for at in (132..1400.min(whole.len())).step_by(3) {
        let mut changed = whole.clone();
        changed[at] = changed[at].wrapping_mul(37).wrapping_add(101);
        fs::write(&path, changed).unwrap();
        // Refused or written: both are answers.
        let _ = write_objects(&out, &findings, &wanted);
    }
}

#[test]
fn patients_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let mut findings = over(folder.path(), |object| {
        object.put(DataElement::new(tags::PATIENT_ID, VR::LO, "another"));
    });
    let other = folder.path().join("other.dcm");
    radiograph(&other);
    findings.sources.push(medical_pictures::out::SourceFrame::first(other));
    assert!(refused(&findings).contains("different patients"));
}

#[test]
fn names_are_decoded_and_written_as_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let findings = over(folder.path(), |object| {
        object.put(DataElement::new(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 144"));
        object.put(DataElement::new(tags::PATIENT_NAME, VR::PN, "Люкceмбypг"));
    });
    // The source holds one byte for each letter.
    let bytes = fs::read(&findings.sources[0].path).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains("Люк"));
    let out = folder.path().join("out");
    let outcomes = write_objects(&out, &findings, &Wanted::default()).unwrap();
    for outcome in outcomes {
        if let Outcome::Written(written) = outcome {
            let object = open_file(&written.path).unwrap();
            let name = object.element(tags::PATIENT_NAME).unwrap().to_str().unwrap().into_owned();
            assert_eq!(name, "Люкceмбypг");
        }
    }
}

#[test]
fn findings_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.dcm");
    radiograph(&path);
    let changed = |change: fn(&mut Findings), said: &str| {
        let mut findings = findings(vec![path.clone()], vec![target("effusion", vec![map(11, 3)])]);
        change(&mut findings);
        let found = refused(&findings);
        assert!(found.contains(said), "{said}: {found}");
    };
    changed(|f| f.targets.clear(), "0 targets");
    changed(|f| f.sources.clear(), "0 sources");
    changed(|f| f.made.date = "today".into(), "YYYYMMDD");
    changed(|f| f.targets[0].map.frames[0].source = 1, "source 1 of 1");
    changed(|f| f.targets[0].map.frames[0].values[[0, 0]] = f32::NAN, "NaN");
    changed(|f| f.targets[0].map.frames[0].area.right = 0.0, "no rectangle");
    changed(|f| f.targets[0].probability = f64::INFINITY, "finite");
    changed(|f| f.targets[0].overlays[0].rgb.truncate(5), "5 bytes");
    changed(|f| f.sources[0].frame = 1, "NumberOfFrames");
    changed(|f| f.algorithm.version.clear(), "version");
}

#[test]
fn an_even_map_has_no_area_and_the_caller_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source.dcm");
    radiograph(&path);
    let even = ndarray::Array2::from_elem((16, 16), 0.25);
    let findings = findings(vec![path], vec![target("effusion", vec![even])]);
    let outcomes = write_objects(folder.path(), &findings, &Wanted::default()).unwrap();
    let told = outcomes.iter().any(|outcome| match outcome {
        Outcome::Skipped { reason, .. } => reason.contains("quantile"),
        Outcome::Written(_) => false,
    });
    assert!(told, "{outcomes:?}");
}

#[test]
fn a_stranger_in_the_way_stays_and_nothing_else_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let sources = series(&folder.path().join("series"), 2);
    let maps = vec![map(3, 3), map(4, 4)];
    let findings = findings(sources, vec![target("nodule", maps)]);
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("report-1.dcm"), "mine").unwrap();
    let error = write_objects(&out, &findings, &Wanted::default()).unwrap_err();
    assert!(
        matches!(&error, Error::InTheWay { path } if path.ends_with("report-1.dcm")),
        "{error}"
    );
    assert_eq!(fs::read(out.join("report-1.dcm")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
    // What this program wrote is replaced.
    fs::remove_file(out.join("report-1.dcm")).unwrap();
    for _ in 0..2 {
        write_objects(&out, &findings, &Wanted::default()).unwrap();
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4);
}

#[test]
fn python_reads_nothing_of_the_source_but_patient_and_study() {
    if python().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let findings = over(folder.path(), |object| {
        for (tag, vr) in [
            (tags::INSTITUTION_NAME, VR::LO),
            (tags::OPERATORS_NAME, VR::PN),
            (tags::STATION_NAME, VR::SH),
            (tags::PATIENT_ADDRESS, VR::LO),
        ] {
            object.put(DataElement::new(tag, vr, "SECRET"));
        }
    });
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let outcomes = crate::samples::write(&out, &findings);
    for outcome in outcomes {
        if let Outcome::Written(written) = outcome {
            let bytes = fs::read(written.path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"SECRET"));
        }
    }
    check(&[Path::new("objects"), &out]);
}
