//! Which libtorch the locked torch-sys wants: read from its own build script, so that no version stands here.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::Workspace;

/// `2.13.0`, say.
pub(crate) fn version(workspace: &Workspace) -> Result<String> {
    let metadata = workspace.metadata(&[])?;
    let manifest = Path::new(torch_sys_manifest(&metadata)?);
    let script = manifest.with_file_name("build.rs");
    let text = std::fs::read_to_string(&script)
        .with_context(|| format!("could not read {}", script.display()))?;
    torch_version(&text).with_context(|| format!("{} states no TORCH_VERSION", script.display()))
}

fn torch_sys_manifest(metadata: &Value) -> Result<&str> {
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut found = packages.iter().filter(|package| package["name"] == "torch-sys");
    match (found.next(), found.next()) {
        (Some(package), None) => {
            package["manifest_path"].as_str().context("torch-sys has no manifest_path")
        }
        (None, _) => bail!("Cargo.lock has no torch-sys"),
        (Some(_), Some(_)) => {
            bail!("Cargo.lock has torch-sys twice; one libtorch cannot serve both")
        }
    }
}

/// The value in `const TORCH_VERSION: &str = "2.13.0";`.
fn torch_version(script: &str) -> Option<String> {
    let line = script.lines().find(|line| line.trim_start().starts_with("const TORCH_VERSION"))?;
    let version = line.split('"').nth(1)?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (version.split('.').count() == 3 && version.split('.').all(is_number))
        .then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_the_constant() {
        let script = "use std::env;\nconst TORCH_VERSION: &str = \"2.13.0\";\nfn main() {}\n";
        assert_eq!(torch_version(script).as_deref(), Some("2.13.0"));
        assert_eq!(torch_version("const OTHER: &str = \"2.13.0\";"), None);
        assert_eq!(torch_version("const TORCH_VERSION: &str = \"--pre\";"), None);
    }

    #[test]
    fn wants_exactly_one_torch_sys() {
        let one = json!({ "name": "torch-sys", "manifest_path": "/r/torch-sys/Cargo.toml" });
        let metadata = json!({ "packages": [{ "name": "tch" }, one] });
        assert_eq!(torch_sys_manifest(&metadata).unwrap(), "/r/torch-sys/Cargo.toml");
        assert!(torch_sys_manifest(&json!({ "packages": [] })).is_err());
        assert!(torch_sys_manifest(&json!({ "packages": [one, one] })).is_err());
    }

    #[test]
    fn this_workspace_states_one() {
        let version = version(&Workspace::find().unwrap()).unwrap();
        assert_eq!(version.split('.').count(), 3, "{version}");
    }
}
