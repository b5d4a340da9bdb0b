//! Sets on disk.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use image::{ColorType, ImageReader};
use phantom_radiograph::{
    Bits, Distribution, Error, Scene, SetOptions, THRESHOLD, Truth, write_set,
};

fn options() -> SetOptions {
    let distribution = Distribution {
        counts: vec![0.0, 0.0, 1.0],
        portable: 1.0,
        side_letter: 1.0,
        ..Distribution::default()
    };
    SetOptions { seed: 3, count: 2, size: 96, bits: Bits::Eight, distribution }
}

fn write(folder: &Path, options: &SetOptions) -> Result<(), Error> {
    write_set(folder, options, |_| ControlFlow::Continue(()))
}

fn read(folder: &Path, name: &str) -> Truth {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_file_that_a_record_names_is_there_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("new").join("set");
    write(&folder, &options()).unwrap();
    let mut expected = BTreeSet::new();
    for index in 0..2 {
        let record = format!("{index:03}.json");
        let truth = read(&folder, &record);
        assert_eq!((truth.schema.as_str(), truth.version), ("phantom-radiograph/truth", 1));
        assert_eq!((truth.seed, truth.size), (3 + index, 96));
        assert_eq!((truth.findings.len(), truth.markers.len()), (2, 2));
        expected.insert(record);
        expected.extend(truth.picture.clone());
        expected
            .extend(truth.findings.iter().flat_map(|f| [f.mask.clone(), f.twin.clone()]).flatten());
        expected
            .extend(truth.markers.iter().flat_map(|m| [m.mask.clone(), m.twin.clone()]).flatten());
    }
    assert_eq!(names(&folder), expected);
    let first = read(&folder, "000.json");
    let kind = first.findings[1].kind.slug();
    assert!(expected.contains(&format!("000-mask-1-{kind}.png")), "{expected:?}");
    assert!(expected.contains("001-twin-0.png") && expected.contains("001-mask-portable.png"));
}

#[test]
fn pictures_masks_and_twins_are_those_of_the_scene() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &options()).unwrap();
    let grey = |name: &str| image::open(folder.path().join(name)).unwrap().into_luma8();
    let truth = read(folder.path(), "001.json");
    let scene = Scene::random(4, &options().distribution);
    assert_eq!(truth.scene, scene);
    assert_eq!(truth.report, scene.report());
    let phantom = scene.render(96);
    assert_eq!(grey("001.png"), phantom.grey8());
    for (k, finding) in truth.findings.iter().enumerate() {
        let mask = &phantom.masks()[k];
        let drawn = grey(finding.mask.as_ref().unwrap());
        assert!(drawn.enumerate_pixels().all(|(x, y, p)| (p[0] == 255) == mask.contains(x, y)));
        assert_eq!(grey(finding.twin.as_ref().unwrap()), scene.without(k).render(96).grey8());
        assert_eq!(
            (finding.extent.box_pixels, finding.extent.area),
            (mask.tight_box(), mask.area())
        );
    }
    let tag = truth.markers.iter().find(|marker| marker.text == "PORTABLE").unwrap();
    let twin = scene.with_portable(false).render(96);
    assert_eq!(grey(tag.twin.as_ref().unwrap()), twin.grey8());
    assert!((THRESHOLD - 1.0 / 255.0).abs() < 1e-9);
}

#[test]
fn sixteen_bits_are_sixteen_bits_and_masks_eight() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &SetOptions { bits: Bits::Sixteen, count: 1, ..options() }).unwrap();
    let open = |name: &str| ImageReader::open(folder.path().join(name)).unwrap().decode().unwrap();
    let picture = open("000.png");
    assert_eq!(picture.color(), ColorType::L16);
    let expected = Scene::random(3, &options().distribution).render(96).grey16();
    assert_eq!(picture.into_luma16(), expected);
    assert_eq!(open("000-mask-portable.png").color(), ColorType::L8);
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("set");
    let refused = |options: SetOptions| write(&target, &options).unwrap_err();
    for size in [0, 63, 4097] {
        assert!(matches!(
            refused(SetOptions { size, ..options() }),
            Error::Size { min: 64, max: 4096, .. }
        ));
    }
    for count in [0, 100_001] {
        assert!(matches!(refused(SetOptions { count, ..options() }), Error::Count { .. }));
    }
    assert!(matches!(refused(SetOptions { seed: u64::MAX, ..options() }), Error::Seed { .. }));
    assert!(!target.exists());

    fs::create_dir(&target).unwrap();
    fs::write(target.join("mine.txt"), "x").unwrap();
    let error = refused(options());
    assert!(matches!(error, Error::NotEmpty { .. }));
    assert!(error.to_string().contains("is not empty"), "{error}");
    assert_eq!(names(&target).len(), 1);

    let file = target.join("mine.txt");
    assert!(matches!(write(&file, &options()), Err(Error::Write { .. })));
}

#[test]
fn work_can_be_ended_between_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let options = SetOptions { count: 5, ..options() };
    let mut told = 0;
    let stopped = write_set(folder.path(), &options, |_| {
        told += 1;
        if told == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(Error::Stopped { written: 2, count: 5 })));
    let names = names(folder.path());
    assert!(names.contains("001.json") && !names.contains("002.png"), "{names:?}");
}

#[test]
#[should_panic(expected = "size 32 is not within 64..=4096")]
fn a_size_that_cannot_be_drawn_panics_when_drawn() {
    Scene::healthy(0).render(32);
}

/// A file that another process has begun, and one whose process was killed.
#[test]
fn what_a_killed_process_left_goes_and_a_running_ones_stays() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join(".phantom-a1B2c3.part");
    fs::write(&part, "half").unwrap();
    let other = fs::File::open(&part).unwrap();
    other.lock().unwrap();
    assert!(matches!(write(folder.path(), &options()), Err(Error::NotEmpty { .. })));
    assert!(part.exists());
    drop(other);
    write(folder.path(), &options()).unwrap();
    assert!(!part.exists());
}
