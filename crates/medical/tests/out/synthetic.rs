//! Radiographs and CT series that are written for tests and demonstrations.

use std::{fs, path::Path};

use medical_pictures::synthetic::{
    CtSeries, Photometric, Radiograph, Subject, View, Window, write_ct_series, write_radiograph,
};
use ndarray::{Array2, Array3};
use serde_json::json;

use crate::tools::{assert_valid, check};

/// A ramp of no even size.
fn ramp() -> Array2<f32> {
    Array2::from_shape_fn((37, 53), |(row, column)| {
        (row * 53 + column) as f32 / (37.0 * 53.0 - 1.0)
    })
}

#[test]
fn radiographs_are_valid_and_hold_their_values() {
    let folder = tempfile::tempdir().unwrap();
    let base = Radiograph::new(ramp(), Subject::number(7));
    for bits in [8, 10, 12, 14, 15, 16] {
        for (signed, photometric) in [
            (false, Photometric::Monochrome2),
            (true, Photometric::Monochrome2),
            (false, Photometric::Monochrome1),
        ] {
            let path = folder.path().join("radiograph.dcm");
            let mut radiograph = Radiograph { bits, signed, photometric, ..base.clone() };
            radiograph.spacing_mm = Some([0.143, 0.15]);
            radiograph.window = Some(Window { center: 100.0, width: 200.0 });
            write_radiograph(&path, &radiograph).unwrap();
            assert_valid(&path, "CRImage");
            let name =
                if photometric == Photometric::Monochrome1 { "MONOCHROME1" } else { "MONOCHROME2" };
            let attributes = json!({
                "PatientName": "Phantom^Number 7",
                "ViewPosition": "PA",
                "PatientOrientation": ["L", "F"],
                "BitsStored": bits.to_string(),
                "PhotometricInterpretation": name,
                "PixelRepresentation": u8::from(signed).to_string(),
                "ImagerPixelSpacing": ["0.143", "0.15"],
                "WindowCenter": "100",
            });
            let expected = folder.path().join("expected.json");
            let stored = radiograph.stored();
            fs::write(&expected, json!({"stored": stored, "attributes": attributes}).to_string())
                .unwrap();
            check(&[Path::new("picture"), &path, &expected]);
            let ends = [stored[0], stored[stored.len() - 1]];
            let top = (1 << bits) - 1;
            let least = if signed { -(1 << (bits - 1)) } else { 0 };
            let black_first = photometric == Photometric::Monochrome2;
            assert_eq!(ends, if black_first { [least, least + top] } else { [top, 0] });
        }
    }
}

#[test]
fn radiographs_of_every_view_are_valid() {
    let folder = tempfile::tempdir().unwrap();
    let views =
        [None, Some(View::Pa), Some(View::Ap), Some(View::LeftLateral), Some(View::RightLateral)];
    for (index, view) in views.into_iter().enumerate() {
        let path = folder.path().join(format!("{index}.dcm"));
        let mut radiograph = Radiograph::new(ramp(), Subject::number(7));
        radiograph.view = view;
        radiograph.orientation = view.map(|_| ["A".to_owned(), "F".to_owned()]);
        write_radiograph(&path, &radiograph).unwrap();
        assert_valid(&path, "CRImage");
    }
}

#[test]
fn a_series_is_valid_and_holds_its_values() {
    let folder = tempfile::tempdir().unwrap();
    let volume = Array3::from_shape_fn((3, 20, 30), |(slice, row, column)| {
        (slice * 600 + row * 30 + column) as i16 - 1024
    });
    let series = CtSeries::new(volume.clone(), [0.8, 0.7], 2.5, Subject::number(3));
    let paths = write_ct_series(folder.path(), &series).unwrap();
    for (index, path) in paths.iter().enumerate() {
        assert_valid(path, "CTImage");
        let slice = volume.index_axis(ndarray::Axis(0), index);
        let stored: Vec<i32> = slice.iter().map(|value| i32::from(*value) + 1024).collect();
        let head = ["0", "2.5", "5"][index];
        let attributes = json!({
            "PatientName": "Phantom^Number 3",
            "RescaleIntercept": "-1024",
            "RescaleSlope": "1",
            "PixelSpacing": ["0.8", "0.7"],
            "ImagePositionPatient": ["-10.15", "-7.6", head],
            "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
            "InstanceNumber": (index + 1).to_string(),
        });
        let expected = folder.path().join("expected.json");
        fs::write(&expected, json!({"stored": stored, "attributes": attributes}).to_string())
            .unwrap();
        check(&[Path::new("picture"), path, &expected]);
    }
}

#[test]
fn what_cannot_be_stored_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("radiograph.dcm");
    let refused = |change: fn(&mut Radiograph)| {
        let mut radiograph = Radiograph::new(ramp(), Subject::number(7));
        change(&mut radiograph);
        write_radiograph(&path, &radiograph).unwrap_err().to_string()
    };
    assert!(refused(|r| r.bits = 9).contains("9 bits"));
    assert!(refused(|r| r.bits = 17).contains("17 bits"));
    assert!(refused(|r| r.pixels[[0, 0]] = f32::NAN).contains("NaN"));
    assert!(refused(|r| r.pixels = Array2::zeros((0, 4))).contains("0 x 4"));
    let volume = Array3::from_elem((1, 2, 2), -2000);
    let series = CtSeries::new(volume, [1.0, 1.0], 1.0, Subject::number(7));
    assert!(write_ct_series(folder.path(), &series).unwrap_err().to_string().contains("-2000"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
