//! The options of `explain` about objects for archives and viewers, and writing them.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use medgemma_explainer::medical::out::{self, Findings, HeatVolume, Moment, Outcome, Wanted};
use medgemma_explainer::medical::{Format, SourceHandle};
use medgemma_explainer::ndarray::{Array3, Axis};
use medgemma_explainer::{Answer, Archive, Explainer, Explanations, Presentation};
use serde::{Deserialize, Serialize};

use crate::output;

#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ArchiveArgs {
    /// Write DICOM objects for the study of the pictures into this folder: a secondary capture of the overlay, a parametric map of the
    /// values, a segmentation of the hottest area, a structured report. They name the patient, as an archive needs it. What the picture
    /// adds to the explained words is found out as well (--reliance mean, unless --reliance says how)
    #[arg(long, value_name = "DIR", help_heading = "Archive")]
    dicom_out: Option<PathBuf>,
    /// The part of the pixels, in percent, that the segmentation leaves out: 90 keeps the hottest tenth [default: 90]
    #[arg(long, value_name = "PERCENT", requires = "dicom_out", help_heading = "Archive")]
    segment_above: Option<f64>,
    /// Number of the first new DICOM series; the others follow [default: 9001]
    #[arg(long, value_name = "N", requires = "dicom_out", value_parser = clap::value_parser!(u32).range(1..=99_999_996), help_heading = "Archive")]
    dicom_series: Option<u32>,
    /// Write the map as a volume in the geometry of the scan: .nii or .nii.gz. With several targets one file each, with the number of the
    /// target before the ending
    #[arg(long, value_name = "FILE", help_heading = "Archive")]
    nifti_out: Option<PathBuf>,
}

impl ArchiveArgs {
    /// Whether what the picture adds is to be known.
    pub(crate) fn wants_contribution(&self) -> bool {
        self.dicom_out.is_some()
    }

    /// Objects in a folder, where there are files of DICOM among the pictures.
    pub(crate) fn objects(folder: &Path, sources: &[Option<SourceHandle>]) -> Self {
        let is_dicom = |source: &SourceHandle| source.format() == Format::Dicom;
        let dicom_out = sources.iter().flatten().any(is_dicom).then(|| folder.to_owned());
        Self { dicom_out, ..Self::default() }
    }

    /// What is wrong with them is known before the model runs.
    pub(crate) fn check(&self, sources: &[Option<SourceHandle>]) -> anyhow::Result<()> {
        if let Some(percent) = self.segment_above {
            anyhow::ensure!(
                (0.0..100.0).contains(&percent),
                "--segment-above {percent}: give a percentage from 0 to below 100"
            );
        }
        let has = |format: Format| sources.iter().flatten().any(|source| source.format() == format);
        if self.dicom_out.is_some() && !has(Format::Dicom) {
            bail!(
                "--dicom-out: no picture is a DICOM file, so there is no study that objects could belong to; give the original files as \
                 --image"
            );
        }
        if let Some(file) = &self.nifti_out {
            anyhow::ensure!(
                ending(file).is_some(),
                "--nifti-out {}: the name ends with .nii or .nii.gz",
                file.display()
            );
            if sources.iter().flatten().next().is_none() {
                bail!(
                    "--nifti-out: no picture is a slice of a DICOM series or of a NIfTI volume; give the original files as --image"
                );
            }
        }
        Ok(())
    }

    /// Writes what was asked for, and says what could not be.
    pub(crate) fn write(
        &self,
        explainer: &Explainer,
        (answer, explanations): (&Answer, &Explanations),
        presentation: &Presentation,
        (sources, current): (&[Option<SourceHandle>], usize),
    ) -> anyhow::Result<Vec<PathBuf>> {
        if *self == Self::default() {
            return Ok(Vec::new());
        }
        let made = now();
        let series_number = self.dicom_series.unwrap_or(9001);
        let mut written = Vec::new();
        if let Some(folder) = &self.dicom_out {
            let of_dicom = |source: &Option<SourceHandle>| {
                source.clone().filter(|source| source.format() == Format::Dicom)
            };
            let sources: Vec<_> = sources.iter().map(of_dicom).collect();
            let archive = Archive { sources: &sources, current, made: made.clone(), series_number };
            let findings = explainer.findings(answer, explanations, presentation, &archive)?;
            let quantile = self.segment_above.map_or(0.9, |percent| percent / 100.0);
            let wanted = Wanted { quantile, ..Wanted::default() };
            for outcome in out::write_objects(folder, &findings, &wanted)? {
                match outcome {
                    Outcome::Written(object) => written.push(object.path),
                    Outcome::Skipped { kind, reason } => {
                        output::warning(format_args!("--dicom-out: no {kind}: {reason}"));
                    }
                }
            }
        }
        if let Some(file) = &self.nifti_out {
            let archive = Archive { sources, current, made, series_number };
            let findings = explainer.findings(answer, explanations, presentation, &archive)?;
            let handles: Vec<&SourceHandle> = sources[current..].iter().flatten().collect();
            for index in 0..findings.targets.len() {
                let file = numbered(file, (index, findings.targets.len()));
                write_volume(&file, &findings, index, &handles)
                    .with_context(|| format!("--nifti-out {}", file.display()))?;
                written.push(file);
            }
        }
        Ok(written)
    }
}

/// The volume of one target: its maps over the slices of the current study.
fn write_volume(
    file: &Path,
    findings: &Findings,
    target: usize,
    handles: &[&SourceHandle],
) -> anyhow::Result<()> {
    let frames = &findings.targets[target].map.frames;
    let frames = &frames[..frames.len().min(handles.len())];
    let first = frames.first().context("nothing was explained over a slice")?;
    let (rows, columns) = first.values.dim();
    anyhow::ensure!(
        frames
            .iter()
            .all(|frame| frame.values.dim() == (rows, columns) && frame.area == out::Area::WHOLE),
        "maps of padded or cut pictures are no volume; leave --pad-to-square and --pan-and-scan out"
    );
    let mut values = Array3::zeros((frames.len(), rows, columns));
    for (mut slice, frame) in values.axis_iter_mut(Axis(0)).zip(frames) {
        slice.assign(&frame.values);
    }
    let (volume, _) = handles[0].within().context(
        "the pictures are no slices of a series or volume; give the folder of a series, or a NIfTI file",
    )?;
    let slice = |handle: &&SourceHandle| {
        let (own, slice) = handle.within()?;
        (own == volume).then_some(slice)
    };
    let slices: Option<Vec<usize>> = handles.iter().map(slice).collect();
    let slices = slices.context("the slices are of several series; give one of them")?;
    Ok(out::write_heat(file, &HeatVolume { values: values.view(), slices, grid: volume.grid() })?)
}

/// `maps.nii.gz` becomes `maps-2.nii.gz` for target 2 of several.
fn numbered(file: &Path, (index, of): (usize, usize)) -> PathBuf {
    if of == 1 {
        return file.to_owned();
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (stem, ending) = name.split_at(name.len() - ending(file).map_or(0, str::len));
    file.with_file_name(format!("{stem}-{index}{ending}"))
}

/// The ending of a volume's file, if it has one.
fn ending(file: &Path) -> Option<&'static str> {
    let name = file.file_name()?.to_string_lossy().to_lowercase();
    [".nii.gz", ".nii"].into_iter().find(|ending| name.ends_with(ending))
}

/// Date and time of the machine: objects of DICOM must say when they were made.
fn now() -> Moment {
    let now = chrono::Local::now();
    Moment { date: now.format("%Y%m%d").to_string(), time: now.format("%H%M%S").to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_for_each_of_several_targets() {
        let name = |file: &str, of| numbered(Path::new(file), (2, of)).display().to_string();
        assert_eq!(name("a/maps.nii.gz", 1), "a/maps.nii.gz");
        assert_eq!(name("a/maps.nii.gz", 3), "a/maps-2.nii.gz");
        assert_eq!(name("maps.nii", 3), "maps-2.nii");
    }
}
