//! MedGround-Bench: its files beside your copies of the pictures, as cases; and maps in the form that its scorer reads.
//!
//! The benchmark (arXiv 2605.20158; <https://github.com/gzxiong/medfocus>, read at commit `4f11faf`) asks of chest radiographs whether a
//! finding is there, and holds the map of the answer against the boxes that radiologists drew. For each model it keeps the questions that the
//! model answers with "Yes", with another answer where the inside of the boxes was painted over, and with "Yes" again where all but the inside
//! was. It is released as a list of records that name a data set and a number in it; questions, boxes and pictures are in the data sets,
//! which their owners give to people who signed for them. So nothing is downloaded here: [`Sources`] says where your copies are, and
//! [`read`] puts the pieces together.
//!
//! # What a number in a data set means
//!
//! | name in records | file of annotations | what one number stands for |
//! |---|---|---|
//! | `imagenome` | `gold_object_attribute_with_coordinates.txt` of Chest `ImaGenome` | rows with `relation` 1 and the category `anatomicalfinding` or `disease`, grouped by `patient_id`, `study_id`, `image_id`, `label_name`, `categoryID` |
//! | `vindr_cxr` | `annotations_test.csv` of VinDr-CXR | rows whose class is not "No finding", grouped by `image_id`, `class_name` |
//! | `padchest_gr` | `filtered_studies.json`, of PadChest-GR | the abnormal findings with a box of the first 2 000 studies, in the order of the file |
//!
//! Groups are numbered from 0 in the order of their keys, as pandas sorts them: by the first key, where that is equal by the second, and so
//! on. Text goes by code points, so that capitals come before small letters; a column that has whole numbers alone goes by number. A row
//! without one of the keys is in no group. One row more or less moves the number of all behind it, and nothing in the benchmark would tell:
//! so a file with a row that cannot be read is refused as a whole, while a box that cannot be read spoils only its own finding.
//!
//! **`filtered_studies.json` was not released.** The file of grounded reports that comes with PadChest-GR may stand in where it has the same
//! fields (`ImageID`, `findings` with `abnormal`, `boxes`, `extra_boxes`, `labels`), but whether it has the same studies in the same order is
//! not known. Look at some of the pictures before you believe results of this data set.
//!
//! # What the released scorer does, and is not done here
//!
//! - It finds boxes in the square of 224 pixels that the model sees, and compares them with boxes in pixels of the original picture: where
//!   they should be converted, it gives the same size twice (`scripts/run_attribution.py`, `_run_baseline`). Here both are in the square
//!   ([`Square`]), and in rows as well, so that the released scorer, given these rows, compares like with like.
//! - A box ends at the index of its last pixel, so that it is a pixel too narrow and a pixel too short, and a line of pixels is nothing
//!   (`medfocus/attribution/eval.py`). Here it ends behind its last pixel.
//! - A map that is the same everywhere becomes one box around the whole picture. Here it has no box.
//! - Answers that were reasoned out are scored under the question that asks for yes or no alone. Here only the direct ones are read.
//! - What is explained is the sum over all tokens of the answer, with the mark of the end of the turn, which says nothing of the finding.
//!   Here a case asks for the word "Yes", against "No".
//! - There is no level of chance. [`Agreement`](crate::Agreement) has one for each measure, and the same map moved elsewhere.
//! - It cannot be mended here that a component of a map is taken as its box, although a thin arc has a large one, and that all right
//!   answers are "Yes".

mod findings; // files of annotations
mod score; // boxes of a map, and their overlap

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use relevancy_visualization::image::ImageReader;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::case::check;
use crate::{BadCase, Case, Error, Files};
use findings::{Finding, Unit};

pub use score::{BenchmarkRow, Overlap, SIDE, Score, Square, found_boxes, score};

/// Where the files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// The folder of the benchmark's `direct.json`.
    pub benchmark: PathBuf,
    /// Chest `ImaGenome`: `gold_object_attribute_with_coordinates.txt`, and the folder `files` of MIMIC-CXR-JPG, in which a picture is
    /// `p10/p10000032/s50414267/IMAGE.jpg`.
    pub imagenome: Option<Source>,
    /// VinDr-CXR: `annotations_test.csv`, and a folder of the test pictures as `IMAGE.png` or `IMAGE.jpg` in full size. They come as DICOM,
    /// which is not read here yet.
    pub vindr: Option<Source>,
    /// PadChest-GR: `filtered_studies.json`, or the grounded reports of the data set (read above what that means), and the folder of its
    /// pictures.
    pub padchest: Option<Source>,
}

/// The files of one data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file of annotations.
    pub annotations: PathBuf,
    /// The folder of pictures.
    pub pictures: PathBuf,
}

/// One question of the benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The data set as records name it.
    pub dataset: String,
    /// The number in the data set, counted from 0.
    pub index: usize,
    /// Width and height of the picture in pixels; none where there is no case.
    pub size: Option<[u32; 2]>,
    /// The case, or what is missing for it. Its boxes are in pixels of the picture; its picture is in the folder as that was given, so give
    /// an absolute one where cases are written into a file elsewhere. Cases of one patient share a patient: in VinDr-CXR, which names none,
    /// those of one picture, and in PadChest-GR those of one study where the file names no patient.
    pub case: Result<Case, BadCase>,
}

/// What follows the question, as the benchmark's `configs/datasets.yaml` has it (MIT licence, the authors of medfocus). An earlier version of
/// its programs gave PadChest-GR another request before this one, and which version made the records is not said: check it where answers
/// should be the recorded ones.
pub const REQUEST: &str = " Answer directly with yes or no without any explanation.";

/// The right answer to all questions.
const ANSWER: &str = "Yes";
/// Bytes of `direct.json`, which has half a million.
const LARGEST_RECORDS: u64 = 64 << 20;
/// A box may reach beyond its picture by this share of the longer side: annotations were scaled and rounded. One that reaches farther
/// belongs to a picture of another size.
const BEYOND: f64 = 0.02;

/// One record, as far as it is needed.
#[derive(Deserialize)]
struct Record {
    model: String,
    dataset: String,
    index: usize,
    answer: String,
}

/// The data sets that the benchmark draws from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dataset {
    ImaGenome,
    VinDr,
    PadChest,
}

impl Dataset {
    /// By the name in records.
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "imagenome" => Some(Self::ImaGenome),
            "vindr_cxr" => Some(Self::VinDr),
            "padchest_gr" => Some(Self::PadChest),
            _ => None,
        }
    }

    /// Before the number in an id.
    fn short(self) -> &'static str {
        match self {
            Self::ImaGenome => "imagenome",
            Self::VinDr => "vindr",
            Self::PadChest => "padchest",
        }
    }

    fn source(self, sources: &Sources) -> Option<&Source> {
        match self {
            Self::ImaGenome => sources.imagenome.as_ref(),
            Self::VinDr => sources.vindr.as_ref(),
            Self::PadChest => sources.padchest.as_ref(),
        }
    }

    /// What to do where a picture is missing.
    fn advice(self) -> &'static str {
        match self {
            Self::ImaGenome => {
                "give the folder `files` of MIMIC-CXR-JPG, and let the pictures in it lie as they come"
            }
            Self::VinDr => {
                "DICOM is not read here: save the picture as PNG or JPEG in full size, and keep its name"
            }
            Self::PadChest => {
                "give the folder in which the pictures of PadChest-GR lie side by side"
            }
        }
    }

    /// All findings, in the order of their numbers.
    fn findings(self, source: &Source) -> Result<Vec<Finding>, String> {
        let path = &source.annotations;
        match self {
            Self::ImaGenome => findings::imagenome(path),
            Self::VinDr => findings::vindr(path),
            Self::PadChest => findings::padchest(path),
        }
        .map_err(|reason| format!("{}: {reason}", path.display()))
    }
}

/// The questions of the benchmark, each once, by data set and number; those that it keeps for one model where that is named, such as
/// `medgemma1_5_4b`. What is missing for a question stands in its place, and the others are whole.
///
/// Only the sizes of pictures are read. A box beyond its picture's edges tells a picture that was made smaller; boxes near to the upper
/// left corner cannot tell that, so keep pictures as they come.
///
/// # Errors
/// [`Error::Benchmark`] for a `direct.json` that cannot be read, [`Error::UnknownModel`].
pub fn read(sources: &Sources, model: Option<&str>) -> Result<Vec<Item>, Error> {
    let path = sources.benchmark.join("direct.json");
    let records: Vec<Record> = json(&path, LARGEST_RECORDS)
        .map_err(|reason| Error::Benchmark { path: path.clone(), reason })?;
    // For each question whether all its records have the answer that there should be.
    let mut questions: BTreeMap<(&str, usize), bool> = BTreeMap::new();
    for record in records.iter().filter(|record| model.is_none_or(|model| model == record.model)) {
        let is_yes = questions.entry((&record.dataset, record.index)).or_insert(true);
        *is_yes &= record.answer == ANSWER;
    }
    if let Some(model) = model.filter(|_| questions.is_empty()) {
        let known: BTreeSet<&str> = records.iter().map(|record| record.model.as_str()).collect();
        let known = known.into_iter().map(ToOwned::to_owned).collect();
        return Err(Error::UnknownModel { path, model: model.to_owned(), known });
    }
    let mut annotations = Annotations { sources, known: BTreeMap::new() };
    let item = |((dataset, index), is_yes)| annotations.item(dataset, index, is_yes);
    Ok(questions.into_iter().map(item).collect())
}

/// Files of annotations, each read once and only where it is needed.
struct Annotations<'a> {
    sources: &'a Sources,
    known: BTreeMap<Dataset, Result<Vec<Finding>, String>>,
}

impl Annotations<'_> {
    fn item(&mut self, name: &str, index: usize, is_yes: bool) -> Item {
        let dataset = Dataset::by_name(name);
        let short = match dataset {
            Some(dataset) => dataset.short().to_owned(),
            None => name.chars().take(100).collect(),
        };
        let id = format!("{short}-{index}");
        let found = match dataset {
            None => Err(format!("the data set {short:?} is unknown")),
            Some(_) if !is_yes => Err(format!("its answer is another than {ANSWER:?}")),
            Some(dataset) => self.case(dataset, index),
        };
        let found = found.and_then(|(case, size)| {
            let case = Case { id: id.clone(), group: Some(name.to_owned()), ..case };
            check(&case)?;
            Ok((case, size))
        });
        let size = found.as_ref().ok().map(|(_, size)| *size);
        let case = found.map(|(case, _)| case).map_err(|reason| BadCase { id, reason });
        Item { dataset: name.to_owned(), index, size, case }
    }

    /// A case without id and group, and the size of its picture.
    fn case(&mut self, dataset: Dataset, index: usize) -> Result<(Case, [u32; 2]), String> {
        let source = dataset.source(self.sources);
        let source = source.ok_or("no file of annotations and folder of pictures were given")?;
        let findings = self.known.entry(dataset).or_insert_with(|| dataset.findings(source));
        let findings = findings.as_ref().map_err(Clone::clone)?;
        let finding = findings.get(index).ok_or_else(|| {
            format!(
                "{} has {} findings, so none of number {index}: it is another file than the benchmark was made with",
                source.annotations.display(),
                findings.len()
            )
        })?;
        case(finding, dataset, &source.pictures)
    }
}

/// A case without id and group, and the size of its picture.
fn case(finding: &Finding, dataset: Dataset, folder: &Path) -> Result<(Case, [u32; 2]), String> {
    let names = finding.pictures.as_ref().map_err(Clone::clone)?;
    let boxes = finding.boxes.as_ref().map_err(Clone::clone)?;
    let mut paths = names.iter().map(|name| folder.join(name));
    let image = paths.find(|path| path.is_file()).ok_or_else(|| {
        let wanted = names.iter().map(|name| name.display().to_string());
        let wanted = wanted.collect::<Vec<_>>().join(" or ");
        format!("{} has no picture {wanted}: {}", folder.display(), dataset.advice())
    })?;
    let size = dimensions(&image)
        .map_err(|reason| format!("{} is no picture: {reason}", image.display()))?;
    let [width, height] = size.map(f64::from);
    let boxes: Vec<[f64; 4]> = match finding.unit {
        Unit::Pixels => boxes.clone(),
        // Whole pixels, halves to the even one, as the benchmark rounds.
        Unit::Ratios => boxes
            .iter()
            .map(|&[x0, y0, x1, y1]| {
                [x0 * width, y0 * height, x1 * width, y1 * height].map(f64::round_ties_even)
            })
            .collect(),
    };
    // The scorer passes over boxes without an area, too.
    let boxes: Vec<[f64; 4]> =
        boxes.into_iter().filter(|[x0, y0, x1, y1]| x0 < x1 && y0 < y1).collect();
    if boxes.is_empty() {
        return Err("no box has an area".to_owned());
    }
    let slack = 1.0 + BEYOND * width.max(height);
    let is_inside = |[x0, y0, x1, y1]: &[f64; 4]| {
        -slack <= *x0 && -slack <= *y0 && *x1 <= width + slack && *y1 <= height + slack
    };
    if let Some(outside) = boxes.iter().find(|sides| !is_inside(sides)) {
        let path = image.display();
        return Err(format!(
            "the box {outside:?} is not within {path}, which has {width} × {height} pixels: use the picture in its original size"
        ));
    }
    let attribute = &finding.attribute;
    let case = Case {
        image: Files::One(image),
        question: format!("Is there evidence of {attribute} in the image?{REQUEST}"),
        answer: Some(ANSWER.to_owned()),
        word: Some(ANSWER.to_owned()),
        against: Some("No".to_owned()),
        boxes,
        patient: Some(finding.patient.clone()),
        label: Some(attribute.clone()),
        ..Case::default()
    };
    Ok((case, size))
}

/// Width and height by the header.
fn dimensions(path: &Path) -> Result<[u32; 2], String> {
    let reader = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    let reader = ImageReader::new(reader).with_guessed_format();
    let reader = reader.map_err(|error| error.to_string())?;
    let (width, height) = reader.into_dimensions().map_err(|error| error.to_string())?;
    if width == 0 || height == 0 {
        return Err("it has no pixel".to_owned());
    }
    Ok([width, height])
}

/// The beginning of a regular file of at most so many bytes; whoever reads meets no more.
fn open(path: &Path, limit: u64) -> Result<impl Read, String> {
    // Before it is opened: opening a pipe waits for its writer.
    let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !about.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if limit < about.len() {
        return Err(format!("it has more than {limit} bytes"));
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    Ok(BufReader::new(file.take(limit)))
}

fn json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T, String> {
    serde_json::from_reader(open(path, limit)?).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
