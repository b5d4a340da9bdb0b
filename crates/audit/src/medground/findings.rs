//! Files of annotations: the findings of a data set, in the order of their numbers.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::{json, open};

/// A finding of a picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    /// Names that its picture may have, in the folder of pictures; or why it can have none.
    pub(super) pictures: Result<Vec<PathBuf>, String>,
    /// Whose it is.
    pub(super) patient: String,
    /// What it is called.
    pub(super) attribute: String,
    /// `[x0, y0, x1, y1]`; or which of them is none.
    pub(super) boxes: Result<Vec<[f64; 4]>, String>,
    /// What boxes are measured in.
    pub(super) unit: Unit,
}

/// What boxes are measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Pixels of the picture.
    Pixels,
    /// Shares of its width and height.
    Ratios,
}

/// Bytes of a file of annotations; they have some ten million.
const LARGEST_FILE: u64 = 256 << 20;
/// Studies of PadChest-GR that the benchmark draws from.
const STUDIES: usize = 2000;
/// Bytes of a file's name.
const LONGEST_NAME: usize = 255;
/// What pandas takes for a missing value (`pandas.read_csv`, `na_values`).
const MISSING: [&str; 19] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
    "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
];

/// Findings of Chest `ImaGenome`.
pub(super) fn imagenome(path: &Path) -> Result<Vec<Finding>, String> {
    let columns = [
        "patient_id",
        "study_id",
        "image_id",
        "label_name",
        "categoryID",
        "relation",
        "coord_original",
    ];
    let rows = table(path, b'\t', columns)?;
    let is_wanted = |row: &Row<7>| {
        let [.., category, relation, _] = &row.cells;
        // As pandas reads it: 1, and 1.0 where a value is missing in another row.
        let is_related = relation.trim().parse() == Ok(1.0_f64);
        is_related && ["anatomicalfinding", "disease"].contains(&category.as_str())
    };
    let finding = |rows: Vec<&Row<7>>| {
        let [patient, study, image, label, ..] = &rows[0].cells;
        let boxes = rows.iter().map(|row| {
            let sides = serde_json::from_str(&row.cells[6]).ok().filter(is_finite);
            sides.ok_or_else(|| row.no_box(&row.cells[6]))
        });
        let pictures = name(patient).and(name(study)).and(name(image)).map(|()| {
            // MIMIC-CXR-JPG sorts patients by the first two digits of their numbers.
            let start: String = patient.chars().take(2).collect();
            let folder = Path::new(&format!("p{start}")).join(format!("p{patient}"));
            vec![folder.join(format!("s{study}")).join(image.replace(".dcm", ".jpg"))]
        });
        Finding {
            pictures,
            patient: patient.clone(),
            attribute: label.clone(),
            boxes: boxes.collect(),
            unit: Unit::Pixels,
        }
    };
    Ok(grouped(&rows, 5, is_wanted).into_iter().map(finding).collect())
}

/// Findings of VinDr-CXR.
pub(super) fn vindr(path: &Path) -> Result<Vec<Finding>, String> {
    let columns = ["image_id", "class_name", "x_min", "y_min", "x_max", "y_max"];
    let rows = table(path, b',', columns)?;
    let finding = |rows: Vec<&Row<6>>| {
        let [image, class, ..] = &rows[0].cells;
        let boxes = rows.iter().map(|row| {
            let sides = &row.cells[2..];
            let mut found = [0.0_f64; 4];
            for (found, side) in found.iter_mut().zip(sides) {
                // Whole pixels, halves to the even one, as the benchmark rounds.
                let number: f64 = side.trim().parse().map_err(|_| row.no_box(&sides.join(", ")))?;
                *found = number.round_ties_even();
            }
            is_finite(&found).then_some(found).ok_or_else(|| row.no_box(&sides.join(", ")))
        });
        let file = |ending: &str| PathBuf::from(format!("{image}.{ending}"));
        Finding {
            pictures: name(image).map(|()| ["png", "jpg", "jpeg"].map(file).to_vec()),
            patient: image.clone(),
            attribute: class.clone(),
            boxes: boxes.collect(),
            unit: Unit::Pixels,
        }
    };
    let groups = grouped(&rows, 2, |row| row.cells[1] != "No finding");
    Ok(groups.into_iter().map(finding).collect())
}

/// A study of PadChest-GR, as far as it is needed.
#[derive(Deserialize)]
struct Study {
    #[serde(rename = "ImageID")]
    image: String,
    #[serde(rename = "PatientID", default)]
    patient: Value,
    #[serde(rename = "StudyID", default)]
    id: Value,
    findings: Vec<StudyFinding>,
}

/// A finding of a study: its boxes, those that were added to them, and what it is called.
#[derive(Deserialize)]
struct StudyFinding {
    abnormal: bool,
    #[serde(default)]
    boxes: Option<Vec<Vec<f64>>>,
    #[serde(default)]
    extra_boxes: Option<Vec<Vec<f64>>>,
    #[serde(default)]
    labels: Vec<String>,
}

/// Findings of PadChest-GR. The benchmark's program numbers those alone whose pictures it could open; that it could open all is assumed.
pub(super) fn padchest(path: &Path) -> Result<Vec<Finding>, String> {
    let studies: Vec<Study> = json(path, LARGEST_FILE)?;
    let mut found = Vec::new();
    for study in studies.into_iter().take(STUDIES) {
        let patient = [&study.patient, &study.id].into_iter().find_map(text);
        let patient = patient.unwrap_or_else(|| study.image.clone());
        for finding in study.findings.into_iter().filter(|finding| finding.abnormal) {
            let boxes = [finding.boxes, finding.extra_boxes].into_iter().flatten().flatten();
            let boxes: Vec<Vec<f64>> = boxes.collect();
            if boxes.is_empty() {
                continue;
            }
            let boxes = boxes.into_iter().map(|sides| {
                let ratios = sides.as_slice().try_into().ok().filter(is_finite);
                ratios.ok_or_else(|| format!("{:?}: {sides:?} is no box", study.image))
            });
            found.push(Finding {
                pictures: name(&study.image).map(|()| vec![PathBuf::from(&study.image)]),
                patient: patient.clone(),
                attribute: finding.labels.join(" or "),
                boxes: boxes.collect(),
                unit: Unit::Ratios,
            });
        }
    }
    Ok(found)
}

/// A text or number that is an id.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Whether an id is the name of one file and leads to no other folder.
fn name(id: &str) -> Result<(), String> {
    let mut parts = Path::new(id).components();
    let is_one =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == id);
    // What separates folders and drives elsewhere does not here, and the other way round.
    let is_plain = !id.contains(['/', '\\', ':']) && !id.chars().any(char::is_control);
    if is_one && is_plain && id.len() <= LONGEST_NAME {
        return Ok(());
    }
    let start: String = id.chars().take(100).collect();
    Err(format!(
        "{start:?} cannot be the name of a picture, a patient or a study: it must be a plain name without a folder"
    ))
}

fn is_finite(sides: &[f64; 4]) -> bool {
    sides.iter().all(|side| side.is_finite())
}

/// Cells of a row, as far as they are needed.
struct Row<const N: usize> {
    line: u64,
    cells: [String; N],
}

impl<const N: usize> Row<N> {
    fn no_box(&self, text: &str) -> String {
        let text: String = text.chars().take(100).collect();
        format!("line {}: {text:?} is no box", self.line)
    }
}

/// The cells of these columns, row by row.
fn table<const N: usize>(
    path: &Path,
    delimiter: u8,
    columns: [&str; N],
) -> Result<Vec<Row<N>>, String> {
    let input = open(path, LARGEST_FILE)?;
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(input);
    let header = reader.headers().map_err(|error| error.to_string())?;
    let mut places = [0; N];
    for (place, column) in places.iter_mut().zip(columns) {
        let found = header.iter().position(|name| name == column);
        *place = found.ok_or_else(|| format!("it has no column `{column}`"))?;
    }
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(|error| error.to_string())?;
        let line = record.position().map_or(0, csv::Position::line);
        // Every record has as many cells as the header: the reader sees to it.
        let cells = places.map(|place| record.get(place).unwrap_or_default().to_owned());
        Ok(Row { line, cells })
    };
    reader.records().map(row).collect()
}

/// A cell by which groups are sorted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Number(i64),
    Text(String),
}

/// Rows that are wanted, grouped by their first cells and sorted by them as pandas does; in a group they are in the order of the file.
fn grouped<const N: usize>(
    rows: &[Row<N>],
    keys: usize,
    is_wanted: impl Fn(&Row<N>) -> bool,
) -> Vec<Vec<&Row<N>>> {
    let is_missing = |cell: &String| MISSING.contains(&cell.as_str());
    let number = |cell: &String| cell.trim().parse::<i64>().ok();
    // By all rows: pandas decides what a column is before any row is left out.
    let are_numbers: Vec<bool> = (0..keys)
        .map(|key| {
            let mut cells = rows.iter().map(|row| &row.cells[key]);
            cells.all(|cell| is_missing(cell) || number(cell).is_some())
        })
        .collect();
    let key = |(cell, &are_numbers): (&String, &bool)| match number(cell).filter(|_| are_numbers) {
        Some(number) => Key::Number(number),
        None => Key::Text(cell.clone()),
    };
    let mut groups: BTreeMap<Vec<Key>, Vec<&Row<N>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| is_wanted(row)) {
        let cells = &row.cells[..keys];
        if !cells.iter().any(is_missing) {
            let keys = cells.iter().zip(&are_numbers).map(key).collect();
            groups.entry(keys).or_default().push(row);
        }
    }
    groups.into_values().collect()
}
