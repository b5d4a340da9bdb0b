//! Other people's programs.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Runs a program that may be missing: then nothing, and a line that says so.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(output),
        Err(error) => {
            skipped(&format!("{program}: {error}"));
            None
        }
    }
}

/// What a program said, on both streams.
pub(crate) fn said(output: &Output) -> String {
    let streams = [&output.stdout, &output.stderr];
    streams.map(|stream| String::from_utf8_lossy(stream).into_owned()).concat()
}

/// Asserts that dciodvfy finds no error in this object, but for those that begin as allowed.
pub(crate) fn assert_valid(path: &Path, kind: &str) {
    let Some(output) = run("dciodvfy", &[path.to_str().unwrap()]) else { return };
    let said = said(&output);
    assert!(said.contains(kind), "{}: not {kind}:\n{said}", path.display());
    let errors: Vec<_> = said.lines().filter(|line| line.contains("Error")).collect();
    assert!(errors.is_empty(), "{}:\n{}", path.display(), errors.join("\n"));
}

/// Python with the readers.
pub(crate) fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let named = env::var_os("MEDICAL_PYTHON").map(PathBuf::from);
    let found = named.unwrap_or_else(|| root.join(".validators/bin/python"));
    if found.is_file() {
        return Some(found);
    }
    skipped(&format!("no Python at {}: set MEDICAL_PYTHON", found.display()));
    None
}

/// Said aloud, and a failure where the set-up provided what is missing.
fn skipped(why: &str) {
    assert!(env::var_os("REQUIRE_VALIDATORS").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
}

/// Runs a check of `check.py`, which must succeed. What it printed; nothing where there is no Python.
pub(crate) fn check(arguments: &[&Path]) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/out/check.py");
    let output = Command::new(python()?).arg(script).args(arguments).output().unwrap();
    let said = said(&output);
    assert!(output.status.success(), "{arguments:?}:\n{said}");
    Some(said)
}
