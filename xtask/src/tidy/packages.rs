//! What a package must have before it can be published: `cargo package --list` says what would be in it.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// Files that every published package holds. Those that are links in the clone are files in the package.
const FILES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// Every breach, of all members that may be published.
pub(crate) fn breaches(workspace: &Workspace, metadata: &Value) -> Result<Vec<String>> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let is_ours = |package: &&Value| package["source"].is_null() && package["publish"].is_null();
    let mut found = Vec::new();
    for package in packages.iter().filter(is_ours) {
        let name = package["name"].as_str().context("a package has no name")?;
        found.extend(undescribed(name, package));
        let list = ["package", "--list", "--allow-dirty", "--offline", "--package", name];
        let files = process::output(workspace.cargo(&list).arg("--quiet"))
            .with_context(|| format!("{name} cannot be packaged"))?;
        found.extend(missing(name, &files));
    }
    Ok(found)
}

/// Fields of the manifest that a registry shows.
fn undescribed(name: &str, package: &Value) -> Vec<String> {
    let is_there = |field: &&str| match &package[*field] {
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    let fields = ["description", "keywords", "categories"];
    let missing = fields.iter().filter(|field| !is_there(field));
    missing.map(|field| format!("{name}: its manifest has no {field}")).collect()
}

fn missing(name: &str, files: &str) -> Vec<String> {
    let is_there = |file: &&&str| files.lines().any(|line| line == **file);
    let missing = FILES.iter().filter(|file| !is_there(file));
    missing.map(|file| format!("{name}: its package would hold no {file}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let whole = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\n";
        assert_eq!(missing("x", whole), [""; 0]);
        assert_eq!(
            missing("x", "LICENSE-MIT.txt\nLICENSE-APACHE\nREADME.md"),
            ["x: its package would hold no LICENSE-MIT"]
        );
        let package = json!({"description": "a", "keywords": [], "categories": ["science"]});
        assert_eq!(undescribed("x", &package), ["x: its manifest has no keywords"]);
    }
}
