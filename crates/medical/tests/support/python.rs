//! The Python with pydicom that the numbers are compared with.

use std::path::{Path, PathBuf};
use std::process::Command;

/// `MEDICAL_PYTHON`, else `.validators/bin/python` in the workspace; `None`, said aloud, without.
pub(crate) fn interpreter() -> Option<PathBuf> {
    let given = std::env::var_os("MEDICAL_PYTHON").map(PathBuf::from);
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.validators/bin/python");
    let found = given.or_else(|| usual.exists().then_some(usual));
    if found.is_none() {
        let why = "no Python with pydicom; set MEDICAL_PYTHON or make .validators";
        assert!(std::env::var_os("REQUIRE_VALIDATORS").is_none(), "{why}");
        eprintln!("SKIPPED: {why}");
    }
    found
}

/// Runs `reference.py` over the files of pydicom and pydicom-data.
pub(crate) fn write_references(python: &Path, out: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference.py");
    let status = Command::new(python).arg(script).arg(out).status().expect("the interpreter runs");
    assert!(status.success(), "reference.py failed");
}
