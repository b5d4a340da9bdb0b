//! Phantoms as DICOM: the same radiograph as the PNG, or a series of slices of which some have a nodule.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use medgemma_explainer::medical::synthetic::{
    CtSeries, Photometric, Radiograph, Subject, Window, write_ct_series, write_radiograph,
};
use medgemma_explainer::ndarray::{Array2, Array3, Axis};
use phantom_radiograph::{Distribution, FindingKind, Scene};
use serde_json::json;
use tempfile::NamedTempFile;

/// What is written beside each picture.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DicomArg {
    /// NNN.dcm, the picture as a computed radiograph
    Cr,
    /// NNN-ct, a folder of slices like those of a CT, and NNN-ct.json, which of them have a nodule
    Ct,
}

/// Which end of the scale is white.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[value(rename_all = "lower")]
pub(crate) enum PhotometricArg {
    /// The least stored value is white
    Monochrome1,
    /// The least stored value is black
    #[default]
    Monochrome2,
}

/// How DICOM files are written.
#[derive(clap::Args, Debug)]
pub(crate) struct DicomArgs {
    /// Also write each picture as DICOM, of a patient who is nobody: as a radiograph, or a series of slices
    #[arg(long, value_enum, value_name = "KIND", num_args = 0..=1, default_missing_value = "cr")]
    dicom: Option<DicomArg>,
    /// Which end of the scale is white in the radiograph
    #[arg(long, value_enum, value_name = "HOW", requires = "dicom", default_value_t)]
    photometric: PhotometricArg,
    /// Bits of the radiograph's pixels, 12 to 16
    #[arg(long, value_name = "N", requires = "dicom", default_value_t = 12, value_parser = clap::value_parser!(u16).range(12..=16))]
    dicom_bits: u16,
    /// Slices of the series, 4 to 200; the checkpoint phantom takes 7 pictures at most
    #[arg(long, value_name = "N", requires = "dicom", default_value_t = 6, value_parser = clap::value_parser!(u16).range(4..=200))]
    dicom_slices: u16,
}

impl DicomArgs {
    /// Writes the picture of a seed; what was written.
    pub(crate) fn write(
        &self,
        folder: &Path,
        (name, seed, size): (&str, u64, u32),
    ) -> anyhow::Result<Option<PathBuf>> {
        let subject = Subject::number(seed);
        match self.dicom {
            None => Ok(None),
            Some(DicomArg::Cr) => {
                let pixels = pixels(&Scene::random(seed, &Distribution::default()), size);
                let mut radiograph = Radiograph::new(pixels, subject);
                radiograph.bits = self.dicom_bits;
                radiograph.spacing_mm = Some([spacing(size); 2]);
                // Black and white as in the PNG: what no window names is stretched from the darkest to the brightest pixel.
                let values = f64::from(1_u32 << self.dicom_bits);
                radiograph.window = Some(Window { center: values / 2.0, width: values });
                radiograph.photometric = match self.photometric {
                    PhotometricArg::Monochrome1 => Photometric::Monochrome1,
                    PhotometricArg::Monochrome2 => Photometric::Monochrome2,
                };
                let path = folder.join(format!("{name}.dcm"));
                write_radiograph(&path, &radiograph)?;
                Ok(Some(path))
            }
            Some(DicomArg::Ct) => self.write_series(folder, (name, seed, size), subject).map(Some),
        }
    }

    /// The chest of the seed in every slice, with a nodule in two of them.
    fn write_series(
        &self,
        folder: &Path,
        (name, seed, size): (&str, u64, u32),
        subject: Subject,
    ) -> anyhow::Result<PathBuf> {
        let mut nodule = Distribution::only(&[FindingKind::Nodule]);
        (nodule.counts, nodule.side_letter, nodule.portable) = (vec![0.0, 1.0], 0.0, 0.0);
        nodule.set_strength(FindingKind::Nodule, [0.9, 1.0]);
        let with = Scene::random(seed, &nodule);
        let slices = usize::from(self.dicom_slices);
        // In the middle, and not the same for every seed.
        let first = slices / 4 + (seed as usize) % (slices / 2);
        let side = size as usize;
        let (healthy, with_nodule) = (pixels(&with.without(0), size), pixels(&with, size));
        let mut volume = Array3::<i16>::zeros((slices, side, side));
        for (index, mut slice) in volume.axis_iter_mut(Axis(0)).enumerate() {
            let shown = if (first..first + 2).contains(&index) { &with_nodule } else { &healthy };
            // From air to bone: black is −1024 HU, white 1023.
            slice.assign(&shown.mapv(|grey| (grey * 2047.0).round() as i16 - 1024));
        }
        let place = folder.join(format!("{name}-ct"));
        write_ct_series(&place, &CtSeries::new(volume, [spacing(size); 2], 5.0, subject))?;
        let finding = &with.findings()[0];
        let truth = json!({
            "slices": slices,
            "nodule_in_slices": [first + 1, first + 2],
            "zone": finding.zone.to_string(),
            "seed": seed,
        });
        let path = folder.join(format!("{name}-ct.json"));
        let mut file = NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, &truth)?;
        file.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(place)
    }
}

fn pixels(scene: &Scene, size: u32) -> Array2<f32> {
    let side = size as usize;
    let values = scene.render(size).values().to_vec();
    Array2::from_shape_vec((side, side), values).expect("a value for each pixel")
}

/// A detector of 35 cm a side, in millimetres from pixel to pixel.
fn spacing(size: u32) -> f64 {
    350.0 / f64::from(size)
}
