//! Where a Chromium is looked for. `xtask` uses this file too: what it installs, the tests find.

use std::ffi::OsStr;
use std::path::PathBuf;

/// The program that `chosen` (the variable `CHROMIUM`) names, else the first of the usual names in the folders of `path`.
pub(crate) fn find(chosen: Option<&OsStr>, path: Option<&OsStr>) -> Option<PathBuf> {
    if let Some(program) = chosen.filter(|program| !program.is_empty()) {
        return Some(program.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    std::env::split_paths(path?)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file())
}
