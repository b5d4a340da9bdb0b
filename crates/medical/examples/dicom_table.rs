//! `dicom_table REFERENCES [MARKDOWN JSON]`: our stored values beside pydicom's, from what `tests/reference.py` wrote.

#![allow(clippy::print_stdout, clippy::expect_used, missing_docs)]

#[path = "../tests/support/compare.rs"]
mod compare;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rows = compare::rows(Path::new(&arguments[0]));
    for row in &rows {
        println!("{row:?}");
    }
}
