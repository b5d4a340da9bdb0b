//! Sources that cameras made: files of pydicom and pydicom-data, where they are.

use std::path::PathBuf;

use medical_pictures::out::ObjectKind;

use crate::{
    objects::assert_objects,
    samples::{file, findings, map, target, write},
    tools::python,
};

/// Files of pydicom by name; those that are not there are skipped, and said.
fn find(name: &str) -> Option<PathBuf> {
    let python = python()?;
    let site = python.parent()?.parent()?.join("lib");
    let folders = ["pydicom/data/test_files", "data_store/data"];
    let versions = std::fs::read_dir(site).ok()?.flatten();
    let site = versions.map(|version| version.path().join("site-packages"));
    let mut places = site.flat_map(|site| folders.map(|folder| site.join(folder).join(name)));
    let found = places.find(|path| path.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: no {name}");
    }
    found
}

#[test]
fn a_radiograph_of_an_archive() {
    let Some(source) = find("RG1_UNCR.dcm") else { return };
    let folder = tempfile::tempdir().unwrap();
    let targets = vec![target("mass", vec![map(9, 4)])];
    let outcomes = write(folder.path(), &findings(vec![source], targets));
    assert!(file(&outcomes, ObjectKind::Segmentation).is_some());
    assert!(file(&outcomes, ObjectKind::ParametricMap).is_none());
    assert_objects(folder.path(), &outcomes);
}

#[test]
fn slices_of_archives() {
    for name in ["CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"]
    {
        let Some(source) = find(name) else { continue };
        let folder = tempfile::tempdir().unwrap();
        let targets = vec![target("mass", vec![map(9, 4)])];
        let outcomes = write(folder.path(), &findings(vec![source], targets));
        assert!(file(&outcomes, ObjectKind::ParametricMap).is_some(), "{name}: {outcomes:?}");
        assert_objects(folder.path(), &outcomes);
    }
}
