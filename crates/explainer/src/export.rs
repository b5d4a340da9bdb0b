//! Writing an explanation to a folder: all of it or nothing.

use crate::record::{ARRAYS, overlay_name};
use crate::{Answer, Error, Explainer, Explanations, Record, TargetExplanation};
use attention_relevancy::ndarray::{Array, Array1, Array2, Array4, Axis, Dimension};
use ndarray_npy::{NpzWriter, WritableElement};
use relevancy_visualization::{Caption, GridMap, OverlayOptions, Placement, overlay_figure, save_png};
use std::fs::File;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder that results will be put in.
///
/// It is made, and tried, before the work begins; until [`OutputFolder::write`] has everything ready, files are kept in a hidden
/// folder inside it, which goes when this value is dropped. A folder that was made for nothing goes too.
#[derive(Debug)]
pub struct OutputFolder {
    path: PathBuf,
    staging: Option<TempDir>,
    made: bool,
}

/// What was written.
#[derive(Debug, Clone)]
pub struct Exported {
    /// `explanation.json`.
    pub record: PathBuf,
    /// `explanation.npz`.
    pub arrays: PathBuf,
    /// The pictures, target by target, images in order.
    pub overlays: Vec<PathBuf>,
}

impl OutputFolder {
    /// Makes the folder where it is not there, and checks that files can be made in it.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let made = !path.exists();
        std::fs::create_dir_all(path).map_err(Error::write(path))?;
        let staging = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(path);
        Ok(Self { path: path.to_owned(), staging: Some(staging.map_err(Error::write(path))?), made })
    }

    /// Writes arrays, record and pictures, then puts them in place. Overlays of an earlier explanation in the folder are removed.
    pub fn write(
        mut self,
        explainer: &Explainer,
        answer: &Answer,
        explanations: &Explanations,
        options: &OverlayOptions,
    ) -> Result<Exported, Error> {
        let staging = self.staging.take().expect("taken only here");
        let overlays = write_overlays(staging.path(), answer, explanations, options)?;
        write_arrays(&staging.path().join(ARRAYS), answer, explanations)?;
        let record = Record::new(explainer, answer, explanations)?;
        let json = staging.path().join(RECORD);
        std::fs::write(&json, record.to_json() + "\n").map_err(Error::write(&json))?;

        remove_overlays(&self.path);
        let place = |name: &str| {
            let path = self.path.join(name);
            std::fs::rename(staging.path().join(name), &path).map_err(Error::write(&path))?;
            Ok::<_, Error>(path)
        };
        let overlays = overlays.iter().map(|name| place(name)).collect::<Result<_, _>>()?;
        let arrays = place(ARRAYS)?;
        let exported = Exported { record: place(RECORD)?, arrays, overlays }; // the record last: it names the others
        self.made = false;
        Ok(exported)
    }
}

impl Drop for OutputFolder {
    fn drop(&mut self) {
        drop(self.staging.take());
        if self.made {
            let _in_use = std::fs::remove_dir(&self.path); // fails, rightly, when something is in it
        }
    }
}

const RECORD: &str = "explanation.json";

fn write_overlays(
    folder: &Path,
    answer: &Answer,
    explanations: &Explanations,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for (index, target) in explanations.targets.iter().enumerate() {
        for image in 0..answer.prepared.images.len() {
            let name = overlay_name(index, image);
            let figure = figure(answer, target, image, options)?;
            save_png(&figure, folder.join(&name))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// The heat map of one target over one image, in the geometry of the original picture.
fn figure(
    answer: &Answer,
    target: &TargetExplanation,
    image: usize,
    options: &OverlayOptions,
) -> Result<image::RgbImage, Error> {
    let prepared = &answer.prepared.images[image];
    let region = prepared.geometry.region;
    let placement =
        Placement { x0: region.x, y0: region.y, x1: region.x + region.width, y1: region.y + region.height };
    let grid = target.image_relevancy(image).expect("the layout has a grid for every image");
    let share = target.relevancy().shares().map_or(0.0, |shares| shares.grids[image]);
    let subtitle = format!("probability {:.3} · {:.0} % of the relevancy", target.probability(), 100.0 * share);
    let caption = Caption { subtitle, ..Caption::new(target.text()) };
    let picture = answer.question.pictures[prepared.picture].rgb();
    Ok(overlay_figure(picture, &[GridMap { grid: grid.view(), placement }], &caption, options)?)
}

fn write_arrays(path: &Path, answer: &Answer, explanations: &Explanations) -> Result<(), Error> {
    let file = File::create(path).map_err(Error::write(path))?;
    let mut arrays = Arrays { path, npz: NpzWriter::new_compressed(file) };
    let ids: Array1<i64> = answer.sequence.ids().iter().map(|&id| i64::from(id)).collect();
    arrays.add("full_ids", &ids)?;
    let targets = &explanations.targets;
    let bounds = |(row, column): (usize, usize)| {
        let positions = targets[row].positions();
        if column == 0 { positions.start as i64 } else { positions.end as i64 }
    };
    arrays.add("targets", &Array2::from_shape_fn((targets.len(), 2), bounds))?;
    arrays.add("token_relevancy", &rows(targets, answer, |target| target.relevancy().relevancy().to_owned()))?;
    arrays.add("image_relevancy", &images(targets, answer))?;
    arrays.add("raw_attention", &rows(targets, answer, |target| target.raw_attention().clone()))?;
    arrays.add("token_relevancy_rollout", &rows(targets, answer, |target| target.rollout().clone()))?;
    arrays.npz.finish().map(drop).map_err(|source| Error::WriteArrays { path: path.to_owned(), source })
}

/// `[T, S]`.
fn rows(targets: &[TargetExplanation], answer: &Answer, row: impl Fn(&TargetExplanation) -> Array1<f32>) -> Array2<f32> {
    let mut rows = Array2::zeros((targets.len(), answer.tokens.len()));
    for (target, mut out) in targets.iter().zip(rows.axis_iter_mut(Axis(0))) {
        out.assign(&row(target));
    }
    rows
}

/// `[T, N, g, g]`.
fn images(targets: &[TargetExplanation], answer: &Answer) -> Array4<f32> {
    let images = &answer.prepared.images;
    let [height, width] = images.first().map_or([0, 0], |image| image.grid);
    Array4::from_shape_fn((targets.len(), images.len(), height, width), |(target, image, row, column)| {
        targets[target].relevancy().relevancy()[images[image].span.start + row * width + column]
    })
}

struct Arrays<'a> {
    path: &'a Path,
    npz: NpzWriter<File>,
}

impl Arrays<'_> {
    fn add<T: WritableElement, D: Dimension>(&mut self, name: &str, array: &Array<T, D>) -> Result<(), Error> {
        let added = self.npz.add_array(name, array);
        added.map_err(|source| Error::WriteArrays { path: self.path.to_owned(), source })
    }
}

/// Removes `overlay-<number>-<number>.png`: a later record would not name them.
fn remove_overlays(folder: &Path) {
    let is_overlay = |name: &str| {
        let numbers = name.strip_prefix("overlay-").and_then(|rest| rest.strip_suffix(".png"));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        numbers.and_then(|rest| rest.split_once('-')).is_some_and(|(target, image)| number(target) && number(image))
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_overlay) {
            let _stays = std::fs::remove_file(entry.path());
        }
    }
}
