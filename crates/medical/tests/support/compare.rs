//! Our stored values beside pydicom's, file by file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medical_pictures::{Error, StoredFrame, read_stored};
use serde::{Deserialize, Serialize};

/// What `reference.py` wrote of a file.
#[derive(Debug, Deserialize)]
pub(crate) struct Reference {
    frames: Vec<ReferenceFrame>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ReferenceFrame {
    frame: u32,
    file: String,
    shape: Vec<usize>,
}

/// A line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Name without its folder.
    pub(crate) file: String,
    /// What we read of it, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stored: Option<Stored>,
    /// Frames that were compared.
    pub(crate) frames: usize,
    /// The greatest difference of a sample, where both decode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) difference: Option<i64>,
    /// Our error, without the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ours: Option<String>,
    /// Whether that is one of a damaged file, and not of a form that is not read.
    pub(crate) damaged: bool,
    /// pydicom's error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pydicom: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Stored {
    pub(crate) transfer_syntax: String,
    pub(crate) photometric: String,
    pub(crate) colours: String,
    pub(crate) bits: String,
    pub(crate) lossy: bool,
}

/// Reads `index.json` of a folder of references.
pub(crate) fn references(folder: &Path) -> BTreeMap<PathBuf, Reference> {
    let text = std::fs::read_to_string(folder.join("index.json")).expect("reference.py writes it");
    serde_json::from_str(&text).expect("as reference.py writes it")
}

/// Compares all files.
pub(crate) fn rows(folder: &Path) -> Vec<Row> {
    let mut rows: Vec<Row> =
        references(folder).iter().map(|(path, reference)| row(folder, path, reference)).collect();
    rows.sort_by(|a, b| a.file.cmp(&b.file));
    rows
}

fn row(folder: &Path, path: &Path, reference: &Reference) -> Row {
    let mut row = Row {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        stored: None,
        frames: 0,
        difference: None,
        ours: None,
        damaged: false,
        pydicom: reference.error.clone(),
    };
    let frames: Vec<u32> = if reference.frames.is_empty() {
        vec![0]
    } else {
        reference.frames.iter().map(|frame| frame.frame).collect()
    };
    for (i, frame) in frames.into_iter().enumerate() {
        match read_stored(path, frame) {
            Ok(stored) => {
                row.frames += 1;
                if let Some(reference) = reference.frames.get(i) {
                    let found = difference(&stored, reference, folder);
                    row.difference = Some(row.difference.unwrap_or(0).max(found));
                }
                row.stored = Some(described(&stored));
            }
            Err(error) => {
                row.damaged = matches!(error, Error::Damaged { .. } | Error::Pixels { .. });
                let text = error.to_string();
                row.ours = Some(text.replace(&path.display().to_string(), "…"));
                break;
            }
        }
    }
    row
}

fn described(stored: &StoredFrame) -> Stored {
    let syntax = &stored.transfer_syntax;
    let sign = if stored.bits.signed { " signed" } else { "" };
    Stored {
        transfer_syntax: syntax.name.clone(),
        photometric: stored.photometric.clone(),
        colours: stored.colours.clone(),
        bits: format!("{}/{}{sign}", stored.bits.stored, stored.bits.allocated),
        lossy: matches!(
            syntax.name.as_str(),
            "JPEG Baseline" | "JPEG Extended" | "JPEG 2000" | "JPEG-LS Near-Lossless"
        ),
    }
}

/// The greatest difference of a sample; `i64::MAX` where the shapes differ.
fn difference(stored: &StoredFrame, reference: &ReferenceFrame, folder: &Path) -> i64 {
    let bytes = std::fs::read(folder.join(&reference.file)).expect("reference.py writes it");
    let theirs = bytes.chunks_exact(4).map(|b| i32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let count: usize = reference.shape.iter().product();
    if count != stored.values.len() {
        return i64::MAX;
    }
    let pairs = stored.values.iter().zip(theirs);
    pairs.map(|(&ours, theirs)| (i64::from(ours) - i64::from(theirs)).abs()).max().unwrap_or(0)
}
