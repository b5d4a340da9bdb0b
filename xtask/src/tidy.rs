//! `cargo xtask tidy`: the rules of `ARCHITECTURE.md` that the compiler does not know.

mod facade;
mod graph;
mod packages;
mod text;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;
use crate::{bench, process};
use graph::Graph;

/// Prints every breach; an error if there is one.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = tracked_files(workspace.root())?;
    let breaches = breaches(workspace, &files)?;
    for breach in &breaches {
        println!("tidy: {breach}");
    }
    if !breaches.is_empty() {
        bail!("{} rules are broken; ARCHITECTURE.md says why they are there", breaches.len());
    }
    println!("tidy: {} files and the dependency graph keep the rules", files.len());
    Ok(())
}

fn breaches(workspace: &Workspace, files: &[String]) -> Result<Vec<String>> {
    let metadata = workspace.metadata(&["--all-features"])?;
    let every_feature = Graph::parse(&metadata)?;
    let usual = Graph::parse(&workspace.metadata(&[])?)?;
    let mut found = every_feature.breaches();
    found.extend(packages::breaches(workspace, &metadata)?);
    found.extend(usual.missing_feature("gemma3-tch", "hub"));
    for stem in ["benchmarks", "benchmarks-cuda"] {
        if bench::page_is_stale(workspace, stem)? {
            found.push(format!(
                "docs/{stem}.md: not what docs/{stem}.json makes; cargo xtask bench --page"
            ));
        }
    }
    for file in files {
        let path = workspace.root().join(file);
        let bytes =
            std::fs::read(&path).with_context(|| format!("could not read {}", path.display()))?;
        // What is not UTF-8 is a picture or a tensor.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            found.extend(text::breaches(file, text));
        }
    }
    Ok(found)
}

/// The files that git knows or would add, relative to the root, deleted ones left out.
fn tracked_files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args([
        "-c",
        "core.quotepath=off",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]);
    let list = process::output(git.current_dir(root))
        .context("tidy asks git which files belong to the project")?;
    let mut files: Vec<_> =
        list.lines().filter(|file| root.join(file).is_file()).map(str::to_owned).collect();
    files.dedup();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_project_are_listed() {
        let files = tracked_files(Workspace::find().unwrap().root()).unwrap();
        assert!(files.iter().any(|file| file == "Cargo.toml"));
        assert!(files.iter().all(|file| !file.starts_with("target/")));
    }
}
