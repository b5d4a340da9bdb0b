//! Volumes of `NIfTI` in the grid of their scan, held against nibabel.

use std::{fs, path::Path};

use medical_pictures::out::{
    Error, HeatGrid, HeatVolume, SourceFrame, VoxelAxis, VoxelOrder, write_heat,
};
use ndarray::{Array3, Axis};
use serde_json::json;

use crate::{
    samples::series,
    tools::{check, python},
};

/// A number for each cell.
fn values(maps: usize, rows: usize, columns: usize) -> Array3<f32> {
    Array3::from_shape_fn((maps, rows, columns), |(m, r, c)| 0.1 + (100 * m + 10 * r + c) as f32)
}

/// `[i, j, k]` nested lists, as numpy has them.
fn nested(volume: &Array3<f32>) -> Vec<Vec<Vec<f32>>> {
    let rows = |plane: ndarray::ArrayView2<'_, f32>| {
        plane.rows().into_iter().map(|row| row.to_vec()).collect()
    };
    volume.outer_iter().map(rows).collect()
}

fn expect(folder: &Path, expected: serde_json::Value) -> std::path::PathBuf {
    let path = folder.join("expected.json");
    fs::write(&path, expected.to_string()).unwrap();
    path
}

#[test]
fn a_volume_has_the_scans_grid_and_order() {
    if python().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (scan, out) in [("scan.nii.gz", "heat.nii"), ("big.nii", "heat.nii.gz")] {
        let (scan, out) = (folder.path().join(scan), folder.path().join(out));
        check(&[Path::new("scan"), &scan]);
        // Slices along the second axis from its end; rows along the third from its end; columns along the first.
        let order = VoxelOrder {
            slices: VoxelAxis { axis: 1, reversed: true },
            rows: VoxelAxis { axis: 2, reversed: true },
            columns: VoxelAxis { axis: 0, reversed: false },
        };
        let values = values(2, 7, 5);
        let grid = HeatGrid::Nifti { source: scan.clone(), order };
        write_heat(&out, &HeatVolume { values: values.view(), slices: vec![4, 0], grid }).unwrap();
        let mut wanted = Array3::<f32>::zeros((5, 6, 7));
        for (map, slice) in [(0, 4usize), (1, 0)] {
            for ((row, column), value) in values.index_axis(Axis(0), map).indexed_iter() {
                wanted[[column, 5 - slice, 6 - row]] = *value;
            }
        }
        let expected = expect(folder.path(), json!({"values": nested(&wanted), "like": scan}));
        eprintln!("{}", check(&[Path::new("nifti"), &out, &expected]).unwrap());
    }
}

#[test]
fn a_series_of_slices_has_an_affine_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = series(&folder.path().join("series"), 4);
    paths.swap(0, 2);
    let values = values(4, 16, 16);
    let out = folder.path().join("heat.nii.gz");
    let sources = paths.iter().map(SourceFrame::first).collect();
    let grid = HeatGrid::Series { sources };
    write_heat(&out, &HeatVolume { values: values.view(), slices: vec![0, 1, 2, 3], grid })
        .unwrap();
    let place = [2, 1, 0, 3];
    let mut wanted = Array3::<f32>::zeros((48, 64, 4));
    for ((i, j, k), value) in wanted.indexed_iter_mut() {
        let source = place.iter().position(|place| *place == k).unwrap();
        *value = values[[source, j / 4, i / 3]];
    }
    // 48 columns 0.5 mm apart, 64 rows 0.75 mm apart, around zero; left and posterior turned.
    let affine = [
        [-0.5, 0.0, 0.0, 11.75],
        [0.0, -0.75, 0.0, 23.625],
        [0.0, 0.0, 3.0, 0.0],
        [0.0, 0.0, 0.0, 1.0],
    ];
    let expected = expect(folder.path(), json!({"values": nested(&wanted), "affine": affine}));
    if let Some(printed) = check(&[Path::new("nifti"), &out, &expected]) {
        eprintln!("{printed}");
    }
}

#[test]
fn slices_with_a_gap_are_no_volume() {
    let folder = tempfile::tempdir().unwrap();
    let mut paths = series(&folder.path().join("series"), 4);
    paths.remove(2);
    let values = values(3, 2, 2);
    let grid = HeatGrid::Series { sources: paths.iter().map(SourceFrame::first).collect() };
    let volume = HeatVolume { values: values.view(), slices: vec![0, 1, 2], grid };
    let error = write_heat(&folder.path().join("heat.nii"), &volume).unwrap_err();
    assert!(error.to_string().contains("one may be missing"), "{error}");
}

/// A header of 4 × 3 × 2 voxels.
fn header() -> Vec<u8> {
    let mut bytes = vec![0; 352];
    bytes[..4].copy_from_slice(&348i32.to_le_bytes());
    for (index, side) in [3i16, 4, 3, 2, 1, 1, 1, 1].iter().enumerate() {
        bytes[40 + 2 * index..42 + 2 * index].copy_from_slice(&side.to_le_bytes());
    }
    bytes[344..348].copy_from_slice(b"n+1\0");
    bytes
}

fn write(folder: &Path, header: &[u8], slices: Vec<usize>) -> Result<(), Error> {
    let source = folder.join("scan.nii");
    fs::write(&source, header).unwrap();
    let values = values(slices.len().max(1), 3, 4);
    let grid = HeatGrid::Nifti { source, order: VoxelOrder::STORED };
    write_heat(&folder.join("heat.nii"), &HeatVolume { values: values.view(), slices, grid })
}

#[test]
fn what_is_no_scan_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let changed = |at: usize, bytes: &[u8]| {
        let mut header = header();
        header[at..at + bytes.len()].copy_from_slice(bytes);
        header
    };
    let cases = [
        (header()[..100].to_vec(), "348 bytes"),
        (changed(0, &540i32.to_le_bytes()), "NIfTI-2"),
        (changed(0, &7i32.to_le_bytes()), "does not begin"),
        (changed(344, b"abc\0"), "magic"),
        (changed(42, &(-3i16).to_le_bytes()), "dim"),
        (changed(40, &9i16.to_le_bytes()), "dim"),
        (changed(42, &[255, 127, 255, 127, 255, 127]), "pixels"),
    ];
    for (header, said) in cases {
        let error = write(folder.path(), &header, vec![0]).unwrap_err().to_string();
        assert!(error.contains(said), "{said}: {error}");
    }
    let error = write(folder.path(), &header(), vec![2]).unwrap_err().to_string();
    assert!(error.contains("slice 2 of 2"), "{error}");
    assert!(!folder.path().join("heat.nii").exists());
}

#[test]
fn a_volume_replaces_its_own_kind_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &header(), vec![0]).unwrap();
    write(folder.path(), &header(), vec![1]).unwrap();
    fs::write(folder.path().join("heat.nii"), header()).unwrap();
    let error = write(folder.path(), &header(), vec![1]).unwrap_err();
    assert!(matches!(error, Error::InTheWay { .. }), "{error}");
    assert_eq!(fs::read(folder.path().join("heat.nii")).unwrap(), header());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing half-written stays");
}
