//! The licences of others' crates that the wheel's programs are made of, as most of them ask to be passed on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// The packages whose programs are in the wheel.
const PROGRAMS: [&str; 2] = ["medgemma-explainer-cli", "medgemma-explainer-python"];
/// How names of files start that hold licences, in small letters.
const STARTS: [&str; 6] = ["license", "licence", "copying", "copyright", "notice", "unlicense"];
/// C libraries are kept inside the crate that binds them, with their own licence: `openjpeg-sys/vendor/LICENSE`.
const DEEPEST: usize = 2;

/// One crate of the registry.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    /// As SPDX.
    expression: String,
    authors: Vec<String>,
    folder: PathBuf,
}

/// All notices as one text: each licence once, under the names of the crates that it is of.
pub(crate) fn text(workspace: &Workspace) -> Result<String> {
    let ours = |name: &str| {
        let path = workspace.root().join(name);
        std::fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
    };
    let (apache, mit) = (ours("LICENSE-APACHE")?, ours("LICENSE-MIT")?);
    let crates = crates(workspace)?;
    ensure!(!crates.is_empty(), "cargo names no crates that the command is made of");
    // Equal but for white space is equal; the first form is kept.
    let mut texts: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    for one in &crates {
        for text in one.licences(&apache, &mit)? {
            let key = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let (_, names) = texts.entry(key).or_insert_with(|| (text, BTreeSet::new()));
            names.insert(format!("{} {}", one.name, one.version));
        }
    }
    let mut all = "The programs of this package are made with the crates below. Under each group of crates stands what they ask to be \
                   passed on.\n\n"
        .to_owned();
    for one in &crates {
        writeln!(all, "{} {}: {}", one.name, one.version, one.expression)?;
    }
    for (text, names) in texts.into_values() {
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        write!(all, "\n{}\n{names}\n\n{}\n", "=".repeat(100), text.trim_end())?;
    }
    Ok(all)
}

impl Crate {
    fn read(package: &Value) -> Result<Self> {
        let field = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
        let folder = PathBuf::from(field("manifest_path"));
        let folder = folder.parent().context("a crate without a folder")?.to_path_buf();
        let authors = package["authors"].as_array().into_iter().flatten();
        Ok(Self {
            name: field("name"),
            version: field("version"),
            // An old way of writing OR.
            expression: field("license").replace('/', " OR "),
            authors: authors.filter_map(Value::as_str).map(str::to_owned).collect(),
            folder,
        })
    }

    /// The texts that lie in the crate. A crate without any is passed on under the Apache licence where it may be, else under that of MIT
    /// in the name of its authors; CC0 asks for nothing.
    fn licences(&self, apache: &str, mit: &str) -> Result<Vec<String>> {
        let mut files = Vec::new();
        licence_files(&self.folder, DEEPEST, &mut files)?;
        files.sort();
        let mut texts = Vec::new();
        for file in &files {
            let bytes = std::fs::read(file)
                .with_context(|| format!("could not read {}", file.display()))?;
            texts.push(String::from_utf8_lossy(&bytes).into_owned());
        }
        let is = |name| self.expression.split([' ', '(', ')']).any(|word| word == name);
        if !texts.is_empty() || is("CC0-1.0") {
            return Ok(texts);
        }
        if is("Apache-2.0") {
            return Ok(vec![apache.to_owned()]);
        }
        ensure!(
            is("MIT"),
            "{} {} is under {:?} and holds no text of it: add it to xtask/src/wheel/notices.rs",
            self.name,
            self.version,
            self.expression
        );
        let body = mit.find("Permission is hereby granted").map(|start| &mit[start..]);
        let body = body.context("LICENSE-MIT is not that of MIT")?;
        let authors = if self.authors.is_empty() {
            format!("the authors of {}", self.name)
        } else {
            self.authors.join(", ")
        };
        Ok(vec![format!("MIT License\n\nCopyright (c) {authors}\n\n{body}")])
    }
}

/// What the programs are linked from, our own crates left out.
fn crates(workspace: &Workspace) -> Result<BTreeSet<Crate>> {
    let mut tree = workspace.cargo(&["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
    tree.args(["--format", "{p}"]);
    for program in PROGRAMS {
        tree.args(["--package", program]);
    }
    let tree = process::output(&mut tree)?;
    let linked: BTreeSet<(&str, &str)> = tree.lines().filter_map(name_and_version).collect();
    let metadata = workspace.metadata(&["--locked"])?;
    let packages = metadata["packages"].as_array().context("cargo metadata names no packages")?;
    let theirs = packages.iter().filter(|package| !package["source"].is_null());
    let mut found = BTreeSet::new();
    for package in theirs {
        let one = Crate::read(package)?;
        if linked.contains(&(one.name.as_str(), one.version.as_str())) {
            found.insert(one);
        }
    }
    Ok(found)
}

/// Of a line such as `adler2 v2.0.1 (*)`.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

fn licence_files(folder: &Path, deep: usize, found: &mut Vec<PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("could not read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let is_licence = STARTS.iter().any(|start| name.starts_with(start));
        let kind = entry.file_type()?;
        if kind.is_file() && is_licence && !is_program(&name) {
            found.push(entry.path());
        } else if kind.is_dir() && deep > 0 {
            licence_files(&entry.path(), deep - 1, found)?;
        }
    }
    Ok(())
}

/// `license.rs` is a source.
fn is_program(name: &str) -> bool {
    [".rs", ".py", ".c", ".h", ".js", ".sh"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &Path, expression: &str, authors: &[&str]) -> Crate {
        let path = folder.join("Cargo.toml");
        let package = serde_json::json!({
            "name": "x", "version": "1.0.0", "license": expression, "authors": authors, "manifest_path": path,
        });
        Crate::read(&package).unwrap()
    }

    #[test]
    fn texts_are_those_of_the_crate_or_made_by_its_expression() {
        let folder = tempfile::tempdir().unwrap();
        let of = |expression: &str, authors: &[&str]| {
            package(folder.path(), expression, authors)
                .licences("the apache text", "c\nPermission is hereby granted, free")
        };
        assert_eq!(of("MIT/Apache-2.0", &[]).unwrap(), ["the apache text"]);
        let by_author =
            "MIT License\n\nCopyright (c) A <a@b>\n\nPermission is hereby granted, free";
        assert_eq!(of("MIT", &["A <a@b>"]).unwrap(), [by_author]);
        assert!(of("CC0-1.0", &[]).unwrap().is_empty());
        let error = of("BSD-2-Clause", &[]).unwrap_err().to_string();
        assert!(error.contains("x 1.0.0 is under \"BSD-2-Clause\""), "{error}");

        std::fs::create_dir_all(folder.path().join("vendor")).unwrap();
        std::fs::write(folder.path().join("vendor/LICENSE"), "of C").unwrap();
        std::fs::write(folder.path().join("license.rs"), "fn main() {}").unwrap();
        std::fs::write(folder.path().join("COPYING.txt"), "its own").unwrap();
        assert_eq!(of("BSD-2-Clause", &[]).unwrap(), ["its own", "of C"]);
    }

    #[test]
    fn lines_of_the_tree_name_crates() {
        assert_eq!(name_and_version("adler2 v2.0.1 (*)"), Some(("adler2", "2.0.1")));
        assert_eq!(name_and_version(""), None);
    }

    /// Of this workspace, every crate that is linked has its text.
    #[test]
    fn every_crate_of_the_wheel_has_a_notice() {
        let text = text(&Workspace::find().unwrap()).unwrap();
        for name in ["tch ", "tokenizers ", "pyo3 ", "openjpeg-sys "] {
            let listed = text.lines().any(|line| line.starts_with(name) && line.contains(": "));
            assert!(listed, "{name}is not in the list");
        }
        assert!(text.contains("Permission is hereby granted"));
        assert!(!text.contains("\nattention-relevancy "), "our own crates are no third party's");
    }
}
