//! What is in a wheel.

use std::fmt::Write;
use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use zip::ZipArchive;

/// Ends of the names of members that a wheel must hold.
const NEEDED: [&str; 11] = [
    "medgemma_explainer/__init__.py",
    "medgemma_explainer/py.typed",
    "medgemma_explainer/_native.pyi",
    "medgemma_explainer/_native.abi3.so",
    "medgemma_explainer/_bin/build.json",
    PROGRAM,
    "medgemma_explainer/_bin/THIRD-PARTY-NOTICES.txt",
    ".dist-info/METADATA",
    ".dist-info/entry_points.txt",
    "/LICENSE-APACHE",
    "/LICENSE-MIT",
];
/// Beside the program: the licences of what it is made of.
pub(crate) const NOTICES: &str = "THIRD-PARTY-NOTICES.txt";
const PROGRAM: &str = "medgemma_explainer/_bin/medgemma-explainer";

/// The members with their sizes; an error where one is missing, is none of ours, or cannot be run.
pub(crate) fn check(wheel: &Path) -> Result<String> {
    let name = wheel.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = File::open(wheel).with_context(|| format!("could not open {}", wheel.display()))?;
    let mut archive = ZipArchive::new(file).with_context(|| format!("{name} is no zip archive"))?;
    let mut listing = String::new();
    let mut names = Vec::new();
    for index in 0..archive.len() {
        let member = archive.by_index(index)?;
        writeln!(listing, "{:>12}  {}", member.size(), member.name())?;
        let can_run = member.unix_mode().is_some_and(|mode| mode & 0o111 == 0o111);
        ensure!(member.name() != PROGRAM || can_run, "{name}: {PROGRAM} would not be executable");
        names.push(member.name().to_owned());
    }
    for needed in NEEDED {
        ensure!(names.iter().any(|name| name.ends_with(needed)), "{name} holds no {needed}");
    }
    let is_ours =
        |name: &&String| name.starts_with("medgemma_explainer/") || name.contains(".dist-info/");
    let odd = names.iter().find(|name| !is_ours(name) || name.contains("__pycache__"));
    ensure!(odd.is_none(), "{name} holds {}, which does not belong there", odd.map_or("", |it| it));
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn checked(members: &[&str], mode: u32) -> Result<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.whl");
        let mut writer = ZipWriter::new(File::create(&path).unwrap());
        for name in members {
            let options = SimpleFileOptions::default().unix_permissions(mode);
            writer.start_file(*name, options).unwrap();
            writer.write_all(b"abc").unwrap();
        }
        writer.finish().unwrap();
        check(&path)
    }

    #[test]
    fn what_is_missing_odd_or_not_executable_is_named() {
        let names = NEEDED.map(|name| match name.strip_prefix('/') {
            Some(licence) => format!("x-1.dist-info/licenses/{licence}"),
            None => name.replace(".dist-info", "x-1.dist-info"),
        });
        let whole: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(checked(&whole, 0o755).unwrap().lines().count(), NEEDED.len());
        let error = |members: &[&str], mode| checked(members, mode).unwrap_err().to_string();
        assert!(error(&whole, 0o644).contains("not be executable"));
        assert!(error(&whole[1..], 0o755).contains("holds no medgemma_explainer/__init__.py"));
        let odd = [&whole[..], &["tests/a.py"]].concat();
        assert!(error(&odd, 0o755).contains("tests/a.py"));
    }
}
