//! Every kind of object, held against what was to be written.

use std::{collections::BTreeSet, fs, path::Path};

use medical_pictures::out::{Findings, ObjectKind, Outcome, Wanted, write_objects};

use crate::{
    samples::{file, findings, map, overlay, radiograph, series, target, write},
    tools::{assert_valid, check, run, said},
};

/// Names that dciodvfy gives to what it finds.
const KINDS: [(ObjectKind, &str); 4] = [
    (ObjectKind::Capture, "SCImage"),
    (ObjectKind::ParametricMap, "ParametricMap"),
    (ObjectKind::Segmentation, "Segmentation"),
    (ObjectKind::Report, "Comprehensive3DSR"),
];

/// Asserts that every object that was written is valid, and that Python reads what it should hold.
pub(crate) fn assert_objects(folder: &Path, outcomes: &[Outcome]) {
    for outcome in outcomes {
        if let Outcome::Written(written) = outcome {
            let name = KINDS.iter().find(|(kind, _)| *kind == written.kind).unwrap().1;
            let several = written.class.ends_with(".7.4");
            assert_valid(&written.path, if several { "MultiframeTrueColorSCImage" } else { name });
        }
    }
    if let Some(printed) = check(&[Path::new("objects"), folder]) {
        eprintln!("{printed}");
    }
}

#[test]
fn a_radiograph_has_a_capture_an_area_and_a_report() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.dcm");
    radiograph(&source);
    let targets = vec![target("effusion", vec![map(11, 3)]), target("nodule", vec![map(4, 12)])];
    let outcomes = write(folder.path(), &findings(vec![source], targets));
    let reason = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Skipped { kind: ObjectKind::ParametricMap, reason } => Some(reason.clone()),
        _ => None,
    });
    assert!(reason.unwrap().contains("FrameOfReferenceUID"));
    assert!(file(&outcomes, ObjectKind::Segmentation).is_some());
    assert_objects(folder.path(), &outcomes);
}

#[test]
fn a_volume_has_all_four() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = series(&folder.path().join("series"), 5);
    // The order of maps is the caller's, not that of the patient.
    sources.swap(0, 3);
    let maps = (0..5).map(|slice| map(slice + 2, 12 - slice) * (slice + 1) as f32).collect();
    let mut target = target("nodule", maps);
    target.overlays = vec![overlay(0, 96, 64)];
    let outcomes = write(folder.path(), &findings(sources, vec![target]));
    for (kind, _) in KINDS {
        assert!(file(&outcomes, kind).is_some(), "{kind:?}: {outcomes:?}");
    }
    assert_objects(folder.path(), &outcomes);
}

#[test]
fn a_map_over_some_slices_lies_over_those() {
    let folder = tempfile::tempdir().unwrap();
    let sources = series(&folder.path().join("series"), 4);
    let mut one = target("nodule", vec![map(3, 3), map(4, 4)]);
    one.map.frames[0].source = 3;
    one.overlays.clear();
    let outcomes = write(folder.path(), &findings(sources, vec![one]));
    assert_objects(folder.path(), &outcomes);
}

#[test]
fn frames_of_one_file_lie_where_their_functional_groups_say() {
    let folder = tempfile::tempdir().unwrap();
    let sources = series(&folder.path().join("series"), 3);
    let maps = || (0..3).map(|slice| map(slice + 2, 12 - slice)).collect();
    let mut first = target("nodule", maps());
    first.overlays.clear();
    // The map of a volume is itself an image of several frames.
    let outcomes = write(folder.path(), &findings(sources, vec![first.clone()]));
    let map = file(&outcomes, ObjectKind::ParametricMap).unwrap();
    let mut again = findings(vec![map; 3], vec![first]);
    for (index, source) in again.sources.iter_mut().enumerate() {
        source.frame = 2 - index as u32;
    }
    let out = folder.path().join("again");
    fs::create_dir(&out).unwrap();
    let outcomes = write_objects(&out, &again, &Wanted::default()).unwrap();
    for (kind, name) in &KINDS[1..] {
        assert_valid(&file(&outcomes, *kind).unwrap(), name);
    }
    let read = |path| dicom_object::open_file(path).unwrap();
    let made = read(file(&outcomes, ObjectKind::ParametricMap).unwrap());
    let frames = made.element_by_name("PerFrameFunctionalGroupsSequence").unwrap();
    for (index, frame) in frames.items().unwrap().iter().enumerate() {
        let place = &frame.element_by_name("PlanePositionSequence").unwrap().items().unwrap()[0];
        let place = place.element_by_name("ImagePositionPatient").unwrap().to_multi_float64();
        assert!((place.unwrap()[2] - 3.0 * index as f64).abs() < 1e-9);
        let derived =
            &frame.element_by_name("DerivationImageSequence").unwrap().items().unwrap()[0];
        let source = &derived.element_by_name("SourceImageSequence").unwrap().items().unwrap()[0];
        let number = source.element_by_name("ReferencedFrameNumber").unwrap().to_int::<usize>();
        assert_eq!(number.unwrap(), index + 1);
    }
}

#[test]
fn a_report_alone_of_a_volume_draws_a_rectangle() {
    let folder = tempfile::tempdir().unwrap();
    let sources = series(&folder.path().join("series"), 3);
    let maps = (0..3).map(|slice| map(slice + 2, 12 - slice)).collect();
    let findings = findings(sources, vec![target("nodule", maps)]);
    crate::samples::expect(folder.path(), &findings);
    let wanted =
        Wanted { capture: false, parametric: false, segmentation: false, ..Wanted::default() };
    let outcomes = write_objects(folder.path(), &findings, &wanted).unwrap();
    assert_eq!(outcomes.len(), 1);
    assert_objects(folder.path(), &outcomes);
}

#[test]
fn several_overlays_are_pages() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.dcm");
    radiograph(&source);
    let mut targets =
        vec![target("effusion", vec![map(11, 3)]), target("nodule", vec![map(4, 12)])];
    targets[1].overlays.push(overlay(0, 100, 70));
    let outcomes = write(folder.path(), &findings(vec![source], targets));
    let captures = outcomes.iter().filter(|outcome| match outcome {
        Outcome::Written(written) => written.kind == ObjectKind::Capture,
        Outcome::Skipped { .. } => false,
    });
    assert_eq!(captures.count(), 2, "one of two pages, one of another size");
    assert_objects(folder.path(), &outcomes);
}

#[test]
fn pictures_of_two_studies_are_one_report_in_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["now.dcm", "before.dcm"].map(|name| folder.path().join(name));
    radiograph(&paths[0]);
    let mut before = medical_pictures::synthetic::Radiograph::new(
        ndarray::Array2::from_elem((150, 160), 0.5),
        medical_pictures::synthetic::Subject::number(7),
    );
    before.subject.date = "20250101".to_owned();
    medical_pictures::synthetic::write_radiograph(&paths[1], &before).unwrap();
    let targets = vec![target("effusion", vec![map(11, 3), map(2, 2)])];
    let outcomes = write(folder.path(), &findings(paths.to_vec(), targets));
    assert_objects(folder.path(), &outcomes);
}

#[test]
fn dcmtk_draws_the_capture_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.dcm");
    radiograph(&source);
    let findings = findings(vec![source], vec![target("effusion", vec![map(11, 3)])]);
    let outcomes = write(folder.path(), &findings);
    let capture = file(&outcomes, ObjectKind::Capture).unwrap();
    let drawn = folder.path().join("drawn.ppm");
    let arguments = ["--write-raw-pnm", capture.to_str().unwrap(), drawn.to_str().unwrap()];
    let Some(output) = run("dcm2pnm", &arguments) else { return };
    assert!(output.status.success(), "{}", said(&output));
    let file = fs::read(drawn).unwrap();
    let rgb = &findings.targets[0].overlays[0].rgb;
    let header = file.windows(4).position(|window| window == b"255\n").unwrap() + 4;
    assert_eq!(&file[header..header + rgb.len()], rgb.as_slice());
    let strip = &file[header + rgb.len()..];
    assert!(strip.contains(&255) && strip.len().is_multiple_of(3 * 181));
}

#[test]
fn dcmtk_prints_the_report() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.dcm");
    radiograph(&source);
    let outcomes =
        write(folder.path(), &findings(vec![source], vec![target("effusion", vec![map(11, 3)])]));
    let report = file(&outcomes, ObjectKind::Report).unwrap();
    let page = folder.path().join("report.html");
    let Some(output) = run("dsr2html", &[report.to_str().unwrap(), page.to_str().unwrap()]) else {
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
    assert!(!said(&output).contains("E:"), "{}", said(&output));
    let page = fs::read_to_string(page).unwrap();
    for wanted in [
        "There is a effusion in the right lower zone.",
        "There is a small effusion.",
        "not for diagnostic use",
        "0.73123",
        "2.25",
        "0.003",
        "Probability of the words",
        "attention relevancy",
    ] {
        assert!(page.contains(wanted), "{wanted}:\n{page}");
    }
}

fn bytes(folder: &Path) -> BTreeSet<(String, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|kind| kind == "dcm"));
    files
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap())
        })
        .collect()
}

fn written(findings: &Findings, wanted: &Wanted) -> BTreeSet<(String, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    write_objects(folder.path(), findings, wanted).unwrap();
    bytes(folder.path())
}

#[test]
fn the_same_findings_make_the_same_files_and_others_share_no_identifier() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source.dcm");
    radiograph(&source);
    let findings = findings(vec![source], vec![target("effusion", vec![map(11, 3)])]);
    let wanted = Wanted::default();
    assert_eq!(written(&findings, &wanted), written(&findings, &wanted));
    let mut later = findings.clone();
    later.made.time = "050608".to_owned();
    let instances = |findings: &Findings| -> BTreeSet<String> {
        let folder = tempfile::tempdir().unwrap();
        let outcomes = write_objects(folder.path(), findings, &wanted).unwrap();
        let instance = |outcome| match outcome {
            Outcome::Written(written) => Some(written.instance),
            Outcome::Skipped { .. } => None,
        };
        outcomes.into_iter().filter_map(instance).collect()
    };
    assert!(instances(&findings).is_disjoint(&instances(&later)));
    assert_eq!(instances(&findings).len(), 3);
}
