//! Volumes: orientation, scaling, and what a header may not say.

use std::io::Write as _;

use medical_pictures::{Error, Options, Recipe, Window, open};
use tempfile::TempDir;

/// A header of `NIfTI-1` for 16-bit voxels, and the voxels.
pub(crate) struct Volume {
    pub(crate) bytes: Vec<u8>,
}

impl Volume {
    pub(crate) fn new(dim: [i16; 3], voxels: &[i16]) -> Self {
        let mut bytes = vec![0; 352];
        bytes.extend(voxels.iter().flat_map(|voxel| voxel.to_le_bytes()));
        let mut volume = Self { bytes };
        volume.i32(0, 348);
        for (i, size) in [3, dim[0], dim[1], dim[2], 1, 1, 1, 1].into_iter().enumerate() {
            volume.i16(40 + 2 * i, size);
        }
        volume.i16(70, 4);
        volume.i16(72, 16);
        for i in 0..4 {
            volume.f32(76 + 4 * i, 1.0);
        }
        volume.f32(108, 352.0);
        volume.bytes[344..348].copy_from_slice(b"n+1\0");
        volume
    }

    /// Axes to the right, to the front and to the head, as most tools write them.
    pub(crate) fn standard(dim: [i16; 3], voxels: &[i16]) -> Self {
        let mut volume = Self::new(dim, voxels);
        volume.i16(254, 1);
        for (row, at) in [280, 296, 312].into_iter().enumerate() {
            volume.f32(at + 4 * row, 1.0);
        }
        volume
    }

    pub(crate) fn i16(&mut self, at: usize, value: i16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, at: usize, value: i32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, at: usize, value: f32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn open(&self, options: &Options) -> Result<Vec<medical_pictures::MedicalPicture>, Error> {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("a.nii");
        std::fs::write(&path, &self.bytes).unwrap();
        open(&path, options)
    }
}

#[test]
fn a_marked_phantom_lies_as_a_radiologist_sees_it() {
    // One bright voxel at the patient's right, front and foot: index 3 of 4 to the right, 2 of 3 to the front, 0 of 2 to the head.
    let mut voxels = [0; 24];
    voxels[3 + 2 * 4] = 100;
    let mut volume = Volume::standard([4, 3, 2], &voxels);
    let pictures = volume.open(&Options::default()).unwrap();
    assert_eq!((pictures.len(), pictures[0].rgb.dimensions()), (2, (4, 3)));
    assert_eq!(
        pictures[0].rgb.get_pixel(0, 0).0,
        [255; 3],
        "right is at the left, front is at the top"
    );
    let orientation = pictures[0].provenance.orientation.as_ref().unwrap();
    assert_eq!((orientation.left(), orientation.top()), ("R", "A"));
    assert_eq!(pictures[0].label.as_deref(), Some("SLICE 1"));

    // The same voxels with an axis that goes to the left: the bright one is at the patient's left now.
    volume.f32(280, -1.0);
    let mirrored = volume.open(&Options::default()).unwrap();
    assert_eq!(mirrored[0].rgb.get_pixel(3, 0).0, [255; 3]);
    assert_eq!(mirrored[0].provenance.orientation.as_ref().unwrap().left(), "R");

    volume.i16(254, 0);
    let unknown = &volume.open(&Options::default()).unwrap()[0];
    assert_eq!(unknown.provenance.orientation, None);
    assert!(unknown.provenance.notes[0].contains("left and right are unknown"));
    assert_eq!(unknown.rgb.get_pixel(3, 2).0, [255; 3], "as stored");
}

#[test]
fn values_are_scaled_and_windowed() {
    let mut volume = Volume::standard([4, 1, 1], &[0, 10, 20, 40]);
    volume.f32(112, 2.0);
    volume.f32(116, -40.0);
    // −40, −20, 0 and 40; from the patient's right, so backwards.
    let greys = |options: &Options| -> Vec<u8> {
        volume.open(options).unwrap()[0].rgb.pixels().map(|pixel| pixel.0[0]).collect()
    };
    assert_eq!(greys(&Options::default()), [255, 128, 64, 0]);
    let window = Options::default().with_window(Some(Window::Range { low: 0.0, high: 80.0 }));
    assert_eq!(greys(&window), [128, 0, 0, 0]);
    let ct = volume.open(&Options::default().with_recipe(Some(Recipe::CtNotebook))).unwrap();
    assert_eq!(ct[0].rgb.get_pixel(0, 0).0, [132, 128, 128]);
    assert!(ct[0].provenance.notes[0].contains("taken as HU"));
    let cxr = volume.open(&Options::default().with_recipe(Some(Recipe::Cxr)));
    assert!(matches!(cxr, Err(Error::Option { option: "recipe", .. })));
}

#[test]
fn compressed_volumes_and_several_are_read() {
    let mut volume = Volume::standard([2, 1, 1], &[0, 1, 2, 3]);
    volume.i16(40, 4);
    volume.i16(48, 2);
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a");
    let file = std::fs::File::create(&path).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&volume.bytes).unwrap();
    encoder.finish().unwrap();
    assert!(medical_pictures::is_medical(&path));
    let pictures = open(&path, &Options::default()).unwrap();
    assert!(pictures[0].provenance.notes[0].contains("the first of 2 volumes"));
}

#[test]
fn what_a_header_cannot_say_is_named() {
    let said = |change: &dyn Fn(&mut Volume)| {
        let mut volume = Volume::standard([2, 1, 1], &[0, 1]);
        change(&mut volume);
        volume.open(&Options::default()).unwrap_err().to_string()
    };
    for (change, expected) in [
        (&(|v: &mut Volume| v.i16(42, -2)) as &dyn Fn(&mut Volume), "dim[1]"),
        (&|v| (1..4).for_each(|i| v.i16(40 + 2 * i, 32_767)), "pixels"),
        (&|v| v.f32(108, 1e8), "beside its pixels"),
        (&|v| v.f32(108, f32::NAN), "vox_offset"),
        (&|v| v.f32(112, f32::INFINITY), "scl_slope"),
        (&|v| v.i16(70, 128), "voxel type 128"),
        (&|v| v.bytes.truncate(353), "dimensions need 4"),
        (&|v| v.bytes[344..348].copy_from_slice(b"ni1\0"), ".hdr and .img"),
        (&|v| v.bytes[344..348].fill(0), "Analyze"),
        (
            &|v| {
                v.i32(0, 540);
                v.bytes[4..8].copy_from_slice(b"n+2\0");
            },
            "NIfTI-2",
        ),
    ] {
        let text = said(change);
        assert!(text.contains(expected), "{expected}: {text}");
    }
}

#[test]
fn a_bomb_is_not_inflated() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("bomb.nii.gz");
    let mut volume = Volume::standard([1, 1, 1], &[0]);
    volume.f32(108, 60e6);
    let file = std::fs::File::create(&path).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    encoder.write_all(&volume.bytes).unwrap();
    for _ in 0..200 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap();
    // Only what the header speaks of is read: the rest is never inflated.
    assert_eq!(open(&path, &Options::default()).unwrap().len(), 1);
}
