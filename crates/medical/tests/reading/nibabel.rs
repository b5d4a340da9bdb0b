//! Volumes in all 48 orientations, written by nibabel: slices are those of its closest canonical volume, turned to a radiologist's view.
//!
//! Needs a Python with nibabel, found as for the table of DICOM files. Skipped aloud without.

use std::process::Command;

use medical_pictures::{Options, Slices, Window, open};

use crate::python;

/// Writes N.nii and N.bin, slices one after the other, for each permutation and flip of the axes; every third as qform.
const SCRIPT: &str = r"
import itertools, sys, numpy as np, nibabel as nib
out = sys.argv[1]
number = 0
for axes in itertools.permutations(range(3)):
    for signs in itertools.product((1, -1), repeat=3):
        affine = np.eye(4)
        affine[:3, :3] = 0
        for i in range(3):
            affine[axes[i], i] = signs[i]
        affine[:3, 3] = (5, -7, 11)
        voxels = np.random.default_rng(number).integers(0, 256, (3, 4, 5)).astype(('u1', 'i2', 'f4', '>i2')[number % 4])
        image = nib.Nifti1Image(voxels, affine)
        if voxels.dtype.byteorder == '>':
            image = nib.Nifti1Image(voxels, affine, nib.Nifti1Header(endianness='>'))
        image.set_sform(affine, 0 if number % 3 == 0 else 1)
        image.set_qform(affine, 1 if number % 3 == 0 else 0)
        nib.save(image, f'{out}/{number}.nii')
        canonical = np.asarray(nib.as_closest_canonical(nib.load(f'{out}/{number}.nii')).dataobj)
        slices = [canonical[::-1, ::-1, k].T for k in range(canonical.shape[2])]
        np.concatenate([s.astype('u1').ravel() for s in slices]).tofile(f'{out}/{number}.bin')
        number += 1
";

#[test]
fn slices_are_those_of_nibabel() {
    let Some(python) = python::interpreter() else { return };
    let folder = tempfile::tempdir().unwrap();
    let status = Command::new(python).args(["-c", SCRIPT]).arg(folder.path()).status().unwrap();
    assert!(status.success());
    let window = Window::Range { low: 0.0, high: 255.0 };
    let options = Options::default().with_window(Some(window)).with_slices(Slices::All);
    for number in 0..48 {
        let pictures = open(&folder.path().join(format!("{number}.nii")), &options).unwrap();
        let expected = std::fs::read(folder.path().join(format!("{number}.bin"))).unwrap();
        let greys: Vec<u8> = pictures
            .iter()
            .flat_map(|picture| picture.rgb.pixels().map(|pixel| pixel.0[0]))
            .collect();
        assert_eq!(greys, expected, "volume {number}");
        let orientation = pictures[0].provenance.orientation.clone().unwrap();
        assert_eq!((orientation.left(), orientation.top()), ("R", "A"));
    }
}
