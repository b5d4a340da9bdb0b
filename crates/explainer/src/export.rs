//! Writing results to a folder: all of them or nothing.

use crate::arrays::Arrays;
use crate::control::control_overlay;
use crate::difference;
use crate::figure::{Fine, overlay};
use crate::figures::{common_scale, figures, region_chart};
use crate::record::{Files, Record, picture_name};
use crate::report::{self, REPORT};
use crate::results::Results;
use crate::{Answer, Error, Explainer, Explanations, Presentation};
use gemma3_processor::Picture;
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::{Figure, Localization, OverlayOptions, RegionScore, save_png};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(crate) const RECORD: &str = "explanation.json";
/// The name of the file with the arrays.
pub(crate) const ARRAYS: &str = "explanation.npz";

/// A folder that results will be put in.
///
/// It is made, and tried, before the work begins. [`OutputFolder::write`] makes everything in a hidden folder inside it and then
/// puts it in place. Folders that were made for nothing go when this value is dropped.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    /// Folders that were not there, innermost first.
    made: Vec<PathBuf>,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Exported {
    /// `explanation.json`.
    pub record: PathBuf,
    /// Its content.
    pub json: String,
    /// `explanation.npz`.
    pub arrays: PathBuf,
    /// Heat over the pictures, target by target, images in order.
    pub overlays: Vec<PathBuf>,
    /// Heat by patch and by pixel, where it was asked for.
    pub finer: Vec<PathBuf>,
    /// Differences to the mean picture, charts of regions and the figures that were asked for.
    pub figures: Vec<PathBuf>,
    /// The pictures as the processor got them.
    pub pictures: Vec<PathBuf>,
    /// `report.html`, if it was asked for.
    pub report: Option<PathBuf>,
    /// The relevancy by region, target by target, images in order; empty where no regions were asked for.
    pub regions: Vec<RegionTable>,
    /// Each target against each box that the model wrote.
    pub boxes: Vec<BoxAgreement>,
    /// What a reader should be told, for people.
    pub notes: Vec<String>,
}

/// The relevancy of a target by region of an image.
#[derive(Debug, Clone)]
pub struct RegionTable {
    /// Index of the target.
    pub target: usize,
    /// Index of the image.
    pub image: usize,
    /// One for each region that reaches into the image.
    pub scores: Vec<RegionScore>,
}

/// How a target agrees with a box that the model wrote.
#[derive(Debug, Clone)]
pub struct BoxAgreement {
    /// Index of the target.
    pub target: usize,
    /// What the model calls the box.
    pub label: String,
    /// How much of the map lies in it, and how well the hottest cells cover it.
    pub localization: Localization,
}

impl OutputFolder {
    /// Makes the folder where it is not there, and checks that files can be made in it.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let absent = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
        let made = path.ancestors().take_while(absent).map(Path::to_owned).collect();
        let folder = Self { path: path.to_owned(), made }; // from here on, a failure takes away what was made
        if path.exists() && !path.is_dir() {
            return Err(Error::write(path)(ErrorKind::NotADirectory.into()));
        }
        std::fs::create_dir_all(path).map_err(Error::write(path))?;
        tempfile::tempfile_in(path).map_err(Error::write(path))?;
        Ok(folder)
    }

    /// Writes arrays, record, pictures and page, then puts them in place. What an earlier explanation left in the folder goes: the
    /// new record would not name it.
    pub fn write(
        mut self,
        explainer: &Explainer,
        answer: &Answer,
        explanations: &Explanations,
        presentation: &Presentation,
    ) -> Result<Exported, Error> {
        let staging = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(&self.path);
        let staging = staging.map_err(Error::write(&self.path))?;
        let results = Results::new(explainer, answer, explanations, presentation)?;
        let files = draw(&results, staging.path())?;
        let arrays = Arrays::new(&results);
        arrays.write(&results, &staging.path().join(ARRAYS))?;
        let record = Record::new(&results, files)?;
        let json = record.to_json();
        let write = |name: &str, content: &str| {
            let path = staging.path().join(name);
            std::fs::write(&path, content).map_err(Error::write(path))
        };
        write(RECORD, &format!("{json}\n"))?;
        if record.files.report.is_some() {
            let pictures: Vec<&RgbImage> =
                answer.question.pictures.iter().map(Picture::rgb).collect();
            write(REPORT, &report::html(&record, &arrays, &pictures)?)?;
        }
        let exported = self.place(staging.path(), &record, json)?;
        self.made.clear();
        let (regions, boxes) = (region_tables(&results)?, box_agreements(&results)?);
        Ok(Exported { regions, boxes, ..exported })
    }

    /// Moves what was made into the folder, after what an earlier explanation left was removed.
    fn place(&self, staging: &Path, record: &Record, json: String) -> Result<Exported, Error> {
        let pictures = record.pictures.iter().map(|picture| picture.file.as_str());
        let Files { overlays, finer, figures, report, .. } = &record.files;
        let names = overlays.iter().chain(finer).chain(figures).chain(report).map(String::as_str);
        self.clear(&names.chain(pictures.clone()).collect::<Vec<_>>())?;
        let place = |name: &str| {
            let path = self.path.join(name);
            std::fs::rename(staging.join(name), &path).map_err(Error::write(&path))?;
            Ok::<_, Error>(path)
        };
        let all = |names: &[String]| -> Result<Vec<PathBuf>, Error> {
            names.iter().map(|name| place(name)).collect()
        };
        let pictures = pictures.map(place).collect::<Result<_, _>>()?;
        let (overlays, finer, figures) = (all(overlays)?, all(finer)?, all(figures)?);
        let report = report.as_deref().map(place).transpose()?;
        let arrays = place(ARRAYS)?;
        // The record last: where it is, all that it names is there.
        Ok(Exported {
            record: place(RECORD)?,
            json,
            arrays,
            overlays,
            finer,
            figures,
            pictures,
            report,
            regions: Vec::new(),
            boxes: Vec::new(),
            notes: record.notes.clone(),
        })
    }

    /// Removes an earlier explanation, its record first. Nothing is touched when a folder bars the way of `names`.
    fn clear(&self, names: &[&str]) -> Result<(), Error> {
        let names = names.iter().copied().chain([ARRAYS, RECORD]);
        if let Some(barred) = names.map(|name| self.path.join(name)).find(|path| path.is_dir()) {
            return Err(Error::write(barred)(ErrorKind::IsADirectory.into()));
        }
        let record = self.path.join(RECORD);
        match std::fs::remove_file(&record) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::write(record)(error)),
            _ => remove_made(&self.path),
        }
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        for folder in &self.made {
            let _in_use = std::fs::remove_dir(folder); // fails, rightly, when something is in it
        }
    }
}

fn region_tables(results: &Results<'_>) -> Result<Vec<RegionTable>, Error> {
    let mut tables = Vec::new();
    for (target, explanation) in results.explanations.targets.iter().enumerate() {
        for image in 0..results.images() {
            let scores = results.region_scores(explanation, image)?;
            if !scores.is_empty() {
                tables.push(RegionTable { target, image, scores });
            }
        }
    }
    Ok(tables)
}

fn box_agreements(results: &Results<'_>) -> Result<Vec<BoxAgreement>, Error> {
    let mut agreements = Vec::new();
    for (target, explanation) in results.explanations.targets.iter().enumerate() {
        let found = results.localizations(explanation)?;
        agreements.extend(results.boxes.iter().zip(found).map(|((found, _), localization)| {
            BoxAgreement { target, label: found.label.clone(), localization }
        }));
    }
    Ok(agreements)
}

/// Draws all pictures into a folder.
fn draw(results: &Results<'_>, folder: &Path) -> Result<Files, Error> {
    let presentation = results.presentation;
    let mut options = presentation.overlay.clone();
    if presentation.common_scale {
        options.scale = common_scale(results)?;
    }
    for (index, picture) in results.answer.question.pictures.iter().enumerate() {
        save_png(picture.rgb(), folder.join(picture_name(index)))?;
    }
    Ok(Files {
        arrays: ARRAYS.to_owned(),
        overlays: draw_overlays(results, folder, &options)?,
        finer: draw_finer(results, folder, &presentation.overlay)?,
        figures: [
            draw_controls(results, folder, &options)?,
            draw_figures(results, folder, &options)?,
        ]
        .concat(),
        report: presentation.report.then(|| REPORT.to_owned()),
    })
}

fn draw_overlays(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    for (index, target) in results.explanations.targets.iter().enumerate() {
        for image in 0..results.images() {
            let name = format!("overlay-{index}-{image}.{extension}");
            let (title, outlines) = (target.label(), results.outlines(image));
            let drawn = overlay(results.answer, target, image, &title, (&outlines, options))?;
            drawn.save(folder.join(&name))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// Target by target and image by image, patches and then pixels.
fn draw_finer(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    for (index, target) in results.explanations.targets.iter().enumerate() {
        for image in 0..results.images() {
            for fine in Fine::ALL {
                let outlines = results.outlines(image);
                let drawn = fine.overlay(results.answer, target, image, (&outlines, options))?;
                if let Some(drawn) = drawn {
                    let name = format!("{}-{index}-{image}.{extension}", fine.name());
                    drawn.save(folder.join(&name))?;
                    names.push(name);
                }
            }
        }
    }
    Ok(names)
}

/// What each target has more than on the mean picture, where that was asked for.
fn draw_controls(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    let explanations = results.explanations;
    let controls = explanations.control.iter().flat_map(|control| &control.targets);
    for (index, pair) in explanations.targets.iter().zip(controls).enumerate() {
        for image in 0..results.images() {
            let name = format!("control-{index}-{image}.{extension}");
            control_overlay(results, pair, image, options)?.save(folder.join(&name))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// Charts of regions, phrases against others, then the figures that were asked for.
fn draw_figures(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    let mut save = |name: String, figure: &Figure| -> Result<(), Error> {
        let name = format!("{name}.{extension}");
        figure.save(folder.join(&name))?;
        names.push(name);
        Ok(())
    };
    for (index, target) in results.explanations.targets.iter().enumerate() {
        for image in 0..results.images() {
            if let Some(chart) = region_chart(results, target, image)? {
                save(format!("regions-{index}-{image}"), &chart)?;
            }
        }
    }
    for (index, versus) in results.explanations.versus.iter().enumerate() {
        for image in 0..results.images() {
            let figure = difference::phrases(results, versus, image, options)?;
            save(format!("versus-{index}-{image}"), &figure)?;
        }
    }
    for &kind in &results.presentation.figures {
        for (name, figure) in figures(results, kind, options)? {
            save(name, &figure)?;
        }
    }
    Ok(names)
}

/// Removes what an earlier explanation left beside its record and arrays.
fn remove_made(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::write(folder))? {
        let entry = entry.map_err(Error::write(folder))?;
        if entry.file_name().to_str().is_some_and(is_made) {
            std::fs::remove_file(entry.path()).map_err(Error::write(entry.path()))?;
        }
    }
    Ok(())
}

/// `report.html`, `picture-<number>.png`, and the names of overlays, figures and charts.
fn is_made(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let mut parts = stem.split('-');
    let kind = parts.next().unwrap_or_default();
    let numbers: Vec<&str> = parts.collect();
    let number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (count, extensions): (usize, &[&str]) = match kind {
        "report" => (0, &["html"]),
        "picture" => (1, &["png"]),
        "words" | "images" | "difference" => (1, &["png", "svg"]),
        "overlay" | "control" | "patches" | "pixels" | "regions" | "versus" | "panels"
        | "comparison" | "layers" | "heads" | "resolutions" => (2, &["png", "svg"]),
        _ => return false,
    };
    numbers.len() == count && numbers.iter().all(number) && extensions.contains(&extension)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_what_this_program_makes_is_cleared() {
        for name in [
            "overlay-0-0.png",
            "overlay-12-3.png",
            "control-0-1.png",
            "picture-0.png",
            "report.html",
            "words-1.svg",
            "layers-0-1.png",
            "pixels-0-1.png",
            "versus-0-0.svg",
            "difference-2.png",
        ] {
            assert!(is_made(name), "{name}");
        }
        for name in [
            "overlay-0.png",
            "control-0-1.webp",
            "overlay-a-0.png",
            "overlay-0-.png",
            "my-overlay-0-0.png",
            "overlay-0-0.jpg",
            "picture.png",
            "report-1.html",
            "report",
        ] {
            assert!(!is_made(name), "{name}");
        }
        for kind in crate::FigureKind::ALL {
            assert!(["0", "0-0"].iter().any(|n| is_made(&format!("{kind}-{n}.png"))), "{kind}");
        }
    }

    #[test]
    fn folders_made_for_nothing_go_and_others_stay() {
        let root = tempfile::tempdir().unwrap();
        let kept = root.path().join("kept");
        fs::create_dir(&kept).unwrap();
        drop(OutputFolder::create(&kept.join("a/b")).unwrap());
        assert_eq!(fs::read_dir(&kept).unwrap().count(), 0);
        drop(OutputFolder::create(&kept).unwrap());
        assert!(kept.is_dir());

        let file = root.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = OutputFolder::create(&file).unwrap_err().to_string();
        assert_eq!(error, format!("cannot write {}: not a directory", file.display()));
        assert!(OutputFolder::create(&file.join("a")).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
    }
}
