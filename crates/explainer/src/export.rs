//! Writing an explanation to a folder: all of it or nothing.

use crate::figure::figure;
use crate::record::{ARRAYS, overlay_name};
use crate::{Answer, Error, Explainer, Explanations, Record, TargetExplanation};
use attention_relevancy::ndarray::{Array, Array1, Array2, Array4, Axis, Dimension};
use ndarray_npy::{NpzWriter, WritableElement};
use relevancy_visualization::{OverlayOptions, save_png};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

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
    /// The pictures, target by target, images in order.
    pub overlays: Vec<PathBuf>,
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

    /// Writes arrays, record and pictures, then puts them in place. What an earlier explanation left in the folder goes: its
    /// overlays would not be named by the new record.
    pub fn write(
        mut self,
        explainer: &Explainer,
        answer: &Answer,
        explanations: &Explanations,
        options: &OverlayOptions,
    ) -> Result<Exported, Error> {
        let staging = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(&self.path);
        let staging = staging.map_err(Error::write(&self.path))?;
        let overlays = write_overlays(staging.path(), answer, explanations, options)?;
        write_arrays(&staging.path().join(ARRAYS), answer, explanations)?;
        let json = Record::new(explainer, answer, explanations)?.to_json();
        let record = staging.path().join(RECORD);
        std::fs::write(&record, json.clone() + "\n").map_err(Error::write(&record))?;

        self.clear(&overlays)?;
        let place = |name: &str| {
            let path = self.path.join(name);
            std::fs::rename(staging.path().join(name), &path).map_err(Error::write(&path))?;
            Ok::<_, Error>(path)
        };
        let overlays = overlays.iter().map(|name| place(name)).collect::<Result<_, _>>()?;
        let arrays = place(ARRAYS)?;
        // The record last: where it is, all that it names is there.
        let exported = Exported { record: place(RECORD)?, json, arrays, overlays };
        self.made.clear();
        Ok(exported)
    }

    /// Removes an earlier explanation, its record first. Nothing is touched when a folder bars the way.
    fn clear(&self, overlays: &[String]) -> Result<(), Error> {
        let names = overlays.iter().map(String::as_str).chain([ARRAYS, RECORD]);
        if let Some(barred) = names.map(|name| self.path.join(name)).find(|path| path.is_dir()) {
            return Err(Error::write(barred)(ErrorKind::IsADirectory.into()));
        }
        let record = self.path.join(RECORD);
        match std::fs::remove_file(&record) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::write(record)(error)),
            _ => remove_overlays(&self.path),
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
            let figure = figure(answer, target, image, target.text(), options)?;
            save_png(&figure, folder.join(&name))?;
            names.push(name);
        }
    }
    Ok(names)
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
    arrays.add(
        "token_relevancy",
        &rows(targets, answer, |target| target.relevancy().relevancy().to_owned()),
    )?;
    arrays.add("image_relevancy", &images(targets, answer))?;
    arrays.add("raw_attention", &rows(targets, answer, |target| target.raw_attention().clone()))?;
    arrays.add(
        "token_relevancy_rollout",
        &rows(targets, answer, |target| target.rollout().clone()),
    )?;
    arrays
        .npz
        .finish()
        .map(drop)
        .map_err(|source| Error::WriteArrays { path: path.to_owned(), source })
}

/// `[T, S]`.
fn rows(
    targets: &[TargetExplanation],
    answer: &Answer,
    row: impl Fn(&TargetExplanation) -> Array1<f32>,
) -> Array2<f32> {
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
    Array4::from_shape_fn(
        (targets.len(), images.len(), height, width),
        |(target, image, row, column)| {
            targets[target].relevancy().relevancy()[images[image].span.start + row * width + column]
        },
    )
}

struct Arrays<'a> {
    path: &'a Path,
    npz: NpzWriter<File>,
}

impl Arrays<'_> {
    fn add<T: WritableElement, D: Dimension>(
        &mut self,
        name: &str,
        array: &Array<T, D>,
    ) -> Result<(), Error> {
        let added = self.npz.add_array(name, array);
        added.map_err(|source| Error::WriteArrays { path: self.path.to_owned(), source })
    }
}

/// Removes `overlay-<number>-<number>.png`.
fn remove_overlays(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder).map_err(Error::write(folder))? {
        let entry = entry.map_err(Error::write(folder))?;
        if entry.file_name().to_str().is_some_and(is_overlay) {
            std::fs::remove_file(entry.path()).map_err(Error::write(entry.path()))?;
        }
    }
    Ok(())
}

fn is_overlay(name: &str) -> bool {
    let numbers = name.strip_prefix("overlay-").and_then(|rest| rest.strip_suffix(".png"));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(target, image)| number(target) && number(image))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_overlays_of_this_program_are_overlays() {
        assert!(is_overlay("overlay-0-0.png") && is_overlay("overlay-12-3.png"));
        for name in [
            "overlay-0.png",
            "overlay-a-0.png",
            "overlay-0-.png",
            "my-overlay-0-0.png",
            "overlay-0-0.jpg",
        ] {
            assert!(!is_overlay(name), "{name}");
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
