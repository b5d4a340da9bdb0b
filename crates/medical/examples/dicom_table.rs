//! `dicom_table REFERENCES MARKDOWN JSON` writes the table of our stored values beside pydicom's, from what `tests/reference.py` wrote;
//! `dicom_table --time FOLDER` opens a series and prints how long it took and how much memory.

#![allow(clippy::print_stdout, missing_docs)]

#[path = "../tests/support/compare.rs"]
mod compare;

use std::path::Path;
use std::time::Instant;

use compare::Row;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--time", folder] => time(Path::new(folder)),
        [references, markdown, json] => {
            let rows = compare::rows(Path::new(references));
            std::fs::write(markdown, page(&rows))?;
            std::fs::write(json, serde_json::to_string_pretty(&rows)? + "\n")?;
            Ok(())
        }
        _ => Err("give REFERENCES MARKDOWN JSON, or --time FOLDER".into()),
    }
}

fn time(folder: &Path) -> Result<(), Failure> {
    let begun = Instant::now();
    let pictures = medical_pictures::open(folder, &medical_pictures::Options::default())?;
    let seconds = begun.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("peak unknown");
    println!("{} pictures in {seconds:.2} s, {peak}", pictures.len());
    Ok(())
}

fn page(rows: &[Row]) -> String {
    let mut text = String::from(HEAD);
    text.push_str(&summary(rows));
    text.push_str("\n| file | transfer syntax | bits | colours | here | pydicom 3 |\n|---|---|---|---|---|---|\n");
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

const HEAD: &str = "# DICOM files, beside pydicom

Every file with pixels that ships with pydicom 3.0.2 and pydicom-data 1.0.0: the stored values of its first three frames and its last one, sample by sample, \
before any LUT. A lossless file must be equal; decoders of JPEG differ by rounding, so a lossy one may differ by 3.
A file that is not decoded has an error that says what it is; in the table without what it advises.
Made with the feature `jpeg-ls`; without it the JPEG-LS files have an error that names it.
`cargo xtask dicom-table` writes this page: `crates/medical/tests/reference.py` asks pydicom, the example `dicom_table` asks our reader; a test asserts the same.

";

fn summary(rows: &[Row]) -> String {
    let count = |what: &dyn Fn(&Row) -> bool| rows.iter().filter(|row| what(row)).count();
    let equal = count(&|row| row.difference == Some(0));
    let lossy = count(&|row| row.difference.is_some_and(|difference| difference != 0));
    let greatest = rows.iter().filter_map(|row| row.difference).max().unwrap_or(0);
    let alone = count(&|row| row.ours.is_none() && row.pydicom.is_some());
    let named = count(&|row| row.ours.is_some() && row.pydicom.is_none());
    let neither = count(&|row| row.ours.is_some() && row.pydicom.is_some());
    format!(
        "{} files: {equal} equal in every sample, {lossy} lossy ones that differ by {greatest} at most, {alone} that only we decode, \
{named} that only pydicom decodes, {neither} that neither does.\n",
        rows.len()
    )
}

fn line(row: &Row) -> String {
    let (syntax, bits, colours) = row.stored.as_ref().map_or_else(Default::default, |stored| {
        let colours = if stored.photometric == stored.colours {
            stored.photometric.clone()
        } else {
            format!("{} → {}", stored.photometric, stored.colours)
        };
        (stored.transfer_syntax.clone(), stored.bits.clone(), colours)
    });
    let ours = match (&row.ours, row.difference) {
        (Some(error), _) => short(error),
        (None, Some(0)) => "equal".into(),
        (None, Some(difference)) => format!("differs by {difference}"),
        (None, None) => "decoded".into(),
    };
    let pydicom = row.pydicom.as_deref().map_or_else(|| "decoded".into(), short);
    format!("| {} | {syntax} | {bits} | {colours} | {ours} | {pydicom} |\n", row.file)
}

/// What is wrong, without the file and what to do.
fn short(error: &str) -> String {
    let text = error.trim_start_matches(['…', ':', ' ']);
    text.split(';').next().unwrap_or_default().replace('|', "/").replace('\n', " ")
}
