//! Folders of a series, and DICOMDIR.

use medical_pictures::{Error, Limits, Options, is_medical, open};
use tempfile::TempDir;

use crate::made::{Made, Tag, item_of};

const SERIES: Tag = (0x0020, 0x000E);

/// A slice of a CT of that number at that height.
fn slice(number: u32, z: i32) -> Made {
    Made::sized(2, 1, &[number as i32, 0])
        .modality("CT")
        .text(SERIES, "UI", "1.2.3")
        .text((0x0020, 0x0013), "IS", &number.to_string())
        .text((0x0020, 0x0032), "DS", &format!("0\\0\\{z}"))
        .text((0x0020, 0x0037), "DS", "1\\0\\0\\0\\1\\0")
        .text((0x0018, 0x0050), "DS", "2.5")
}

#[test]
fn slices_are_sorted_by_instance_number_and_know_where_they_lie() {
    let folder = TempDir::new().unwrap();
    for (name, number) in [("c", 1), ("a", 10), ("b", 2)] {
        slice(number, -5 * number as i32).write(folder.path(), name);
    }
    std::fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    std::fs::create_dir(folder.path().join("other")).unwrap();
    assert!(is_medical(folder.path()));
    let pictures = open(folder.path(), &Options::default()).unwrap();
    let slices: Vec<_> = pictures.iter().map(|picture| picture.provenance.slice.unwrap()).collect();
    assert_eq!(
        slices.iter().map(|s| (s.number, s.index, s.of)).collect::<Vec<_>>(),
        [(1, 0, 3), (2, 1, 3), (3, 2, 3)]
    );
    assert_eq!(
        slices.iter().map(|s| s.position_mm.unwrap()).collect::<Vec<_>>(),
        [-5.0, -10.0, -50.0]
    );
    assert_eq!(
        (slices[0].thickness_mm, pictures[2].label.as_deref()),
        (Some(2.5), Some("SLICE 3"))
    );
    assert!(pictures[1].source().path().ends_with("b"));
    let notes = pictures[0].provenance.notes.join("; ");
    assert!(
        notes.contains("1 file in the folder are no DICOM")
            || notes.contains("1 file in the folder"),
        "{notes}"
    );
    assert!(notes.contains("1 folder"), "{notes}");
}

#[test]
fn a_disagreement_of_number_and_position_is_said() {
    let folder = TempDir::new().unwrap();
    for (number, z) in [(1, 0), (2, 30), (3, 10), (4, 40)] {
        slice(number, z).write(folder.path(), &number.to_string());
    }
    let pictures = open(folder.path(), &Options::default()).unwrap();
    let notes = pictures[0].provenance.notes.join("; ");
    assert!(notes.contains("disagree at 1 of 3 steps"), "{notes}");
}

#[test]
fn two_series_are_an_error_that_counts_them() {
    let folder = TempDir::new().unwrap();
    slice(1, 0).write(folder.path(), "a");
    slice(2, 1).write(folder.path(), "b");
    slice(3, 2).modality("MR").text(SERIES, "UI", "1.2.4").write(folder.path(), "c");
    let error = open(folder.path(), &Options::default()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::MixedSeries { count: 2, .. }));
    assert!(text.contains("series 1 has 2 files of CT, series 2 has 1 file of MR"), "{text}");
    assert!(!text.contains("1.2.4"), "no UID: {text}");
}

#[test]
fn an_empty_folder_and_one_with_too_much_are_errors() {
    let folder = TempDir::new().unwrap();
    assert!(matches!(open(folder.path(), &Options::default()), Err(Error::NoPicture { .. })));
    for i in 0..5 {
        std::fs::write(folder.path().join(i.to_string()), "").unwrap();
    }
    let options = Options::default().with_limits(Limits::default().with_folder_entries(3));
    assert!(open(folder.path(), &options).unwrap_err().to_string().contains("folder_entries"));
}

fn directory(id: &str) -> Made {
    let record =
        Made::item().text((0x0004, 0x1430), "CS", "IMAGE").text((0x0004, 0x1500), "CS", id);
    Made::item().text((0x0008, 0x0016), "UI", "1.2.840.10008.1.3.10").with(
        (0x0004, 0x1220),
        "SQ",
        item_of(&record.data_set()),
    )
}

#[test]
fn a_dicomdir_leads_to_its_files_and_not_out_of_its_folder() {
    let folder = TempDir::new().unwrap();
    let inner = folder.path().join("disc");
    std::fs::create_dir_all(inner.join("IMAGES")).unwrap();
    slice(1, 0).write(&inner.join("IMAGES"), "I1");
    slice(1, 0).write(folder.path(), "OUT");
    let path = directory("IMAGES\\I1").write(&inner, "DICOMDIR");
    assert!(is_medical(&path));
    assert_eq!(open(&path, &Options::default()).unwrap().len(), 1);
    assert_eq!(open(&inner, &Options::default()).unwrap().len(), 1, "the folder of a disc");
    for id in ["..\\OUT", "/etc/passwd", "IMAGES\\..\\..\\OUT"] {
        let text = open(&directory(id).write(&inner, "DICOMDIR"), &Options::default())
            .unwrap_err()
            .to_string();
        assert!(text.contains("outside of its folder"), "{id}: {text}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.path().join("OUT"), inner.join("LINK")).unwrap();
        let linked = directory("LINK").write(&inner, "DICOMDIR");
        assert!(open(&linked, &Options::default()).unwrap_err().to_string().contains("outside"));
    }
    let missing = directory("IMAGES\\I9").write(&inner, "DICOMDIR");
    assert!(matches!(open(&missing, &Options::default()), Err(Error::NoPicture { .. })));
}
