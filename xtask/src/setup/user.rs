//! A libtorch that the user chose by environment variables: respected, and checked.
//!
//! torch-sys looks at `LIBTORCH_USE_PYTORCH` first, whatever its value, and then never at `LIBTORCH`; so the entry in
//! `.cargo/config.toml` does not stand in its way.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::platform::Platform;
use crate::process;

/// Where libtorch is to come from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// `LIBTORCH_USE_PYTORCH`: the PyTorch of the user's Python.
    Python,
    /// The user's `LIBTORCH`.
    Folder(Folders),
    /// Neither: our own `.libtorch`.
    Project,
}

/// torch-sys takes `include` and `lib` from different folders if told so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Folders {
    include: PathBuf,
    lib: PathBuf,
}

impl Folders {
    pub(crate) fn one(folder: &Path) -> Self {
        Self { include: folder.to_path_buf(), lib: folder.to_path_buf() }
    }
}

/// Reads the environment. Cargo sets `LIBTORCH` to `ours` for this program too, which is not a choice of the user's.
pub(crate) fn choice(ours: &Path) -> Result<Choice> {
    choose(ours, |name| std::env::var_os(name).map(PathBuf::from))
}

fn choose(ours: &Path, variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Choice> {
    if variable("LIBTORCH_USE_PYTORCH").is_some() {
        return Ok(Choice::Python);
    }
    let folder = variable("LIBTORCH").unwrap_or_else(|| ours.to_path_buf());
    ensure!(
        !folder.as_os_str().is_empty(),
        "LIBTORCH is set to nothing; unset it, or name a libtorch folder"
    );
    let include = variable("LIBTORCH_INCLUDE").unwrap_or_else(|| folder.clone());
    let lib = variable("LIBTORCH_LIB").unwrap_or_else(|| folder.clone());
    if include == ours || lib == ours {
        ensure!(
            include == lib,
            "LIBTORCH_INCLUDE and LIBTORCH_LIB go together; set both, or LIBTORCH alone"
        );
        return Ok(Choice::Project);
    }
    Ok(Choice::Folder(Folders { include, lib }))
}

/// An error unless the folders hold libtorch of this version.
pub(crate) fn check_folder(folders: &Folders, version: &str) -> Result<String> {
    let Folders { include, lib } = folders;
    let library =
        lib.join("lib").join(Platform::here().unwrap_or(Platform::LinuxX86_64).main_library());
    ensure!(library.exists(), "{} is not there, so this is no libtorch folder", library.display());
    let found = version_in(include).with_context(|| {
        format!("{}/include states no version, so it is no libtorch {version}", include.display())
    })?;
    check_version(&found, version)?;
    Ok(format!("yours, as LIBTORCH says: {}", include.display()))
}

/// An error unless the user's Python has PyTorch of this version, and what torch-sys asks of it.
pub(crate) fn check_python(version: &str) -> Result<String> {
    // The same interpreter that the build script of torch-sys takes.
    let python = if std::env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    // `torch.utils.cpp_extension` imports setuptools, and torch-sys's own message would not say so.
    let script = "import torch, setuptools; print(torch.__version__)";
    let text = process::output(Command::new(python).args(["-c", script])).with_context(|| {
        format!("LIBTORCH_USE_PYTORCH is set, but `{python}` cannot import torch and setuptools; install them or unset it")
    })?;
    let found = text.trim();
    check_version(found.split('+').next().unwrap_or(found), version)?;
    Ok(format!("the PyTorch {found} of `{python}`, as LIBTORCH_USE_PYTORCH says"))
}

fn check_version(found: &str, wanted: &str) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    // torch-sys's own escape hatch.
    if std::env::var_os("LIBTORCH_BYPASS_VERSION_CHECK").is_some() {
        println!(
            "libtorch is {found}, wanted {wanted}; LIBTORCH_BYPASS_VERSION_CHECK says to go on"
        );
        return Ok(());
    }
    bail!("libtorch is {found}, but the locked torch-sys wants {wanted}")
}

/// The version that the headers of a libtorch folder state, in the wheel and in the zip archive alike.
pub(crate) fn version_in(folder: &Path) -> Option<String> {
    let headers = ["torch/headeronly/version.h", "torch/csrc/api/include/torch/version.h"];
    headers.iter().find_map(|header| {
        let text = std::fs::read_to_string(folder.join("include").join(header)).ok()?;
        version_in_header(&text)
    })
}

fn version_in_header(text: &str) -> Option<String> {
    let part = |name: &str| {
        let line = text.lines().find(|line| line.starts_with("#define") && line.contains(name))?;
        line.split_whitespace().nth(2)?.parse::<u32>().ok()
    };
    let [major, minor, patch] =
        ["TORCH_VERSION_MAJOR", "TORCH_VERSION_MINOR", "TORCH_VERSION_PATCH"].map(part);
    Some(format!("{}.{}.{}", major?, minor?, patch?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "#pragma once\n#define TORCH_VERSION_MAJOR 2\n\n#define TORCH_VERSION_MINOR 13\n\
                          #define TORCH_VERSION_PATCH 0\n#define TORCH_VERSION \\\n  \"2.13.0\"\n";

    fn choice_with(variables: &[(&str, &str)]) -> Result<Choice> {
        let find = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
        };
        choose(Path::new("/clone/.libtorch"), find)
    }

    fn folder(version: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let header = folder.path().join("include/torch/headeronly");
        std::fs::create_dir_all(&header).unwrap();
        std::fs::create_dir(folder.path().join("lib")).unwrap();
        std::fs::write(
            header.join("version.h"),
            HEADER.replace("MINOR 13", &format!("MINOR {version}")),
        )
        .unwrap();
        let library = Platform::here().unwrap_or(Platform::LinuxX86_64).main_library();
        std::fs::write(folder.path().join("lib").join(library), "").unwrap();
        folder
    }

    #[test]
    fn our_own_entry_is_no_choice_of_the_users() {
        assert_eq!(choice_with(&[]).unwrap(), Choice::Project);
        assert_eq!(choice_with(&[("LIBTORCH", "/clone/.libtorch")]).unwrap(), Choice::Project);
        let theirs = Choice::Folder(Folders::one(Path::new("/opt/libtorch")));
        assert_eq!(choice_with(&[("LIBTORCH", "/opt/libtorch")]).unwrap(), theirs);
    }

    #[test]
    fn python_goes_before_libtorch_as_in_torch_sys() {
        let both = [("LIBTORCH", "/clone/.libtorch"), ("LIBTORCH_USE_PYTORCH", "0")];
        assert_eq!(choice_with(&both).unwrap(), Choice::Python);
    }

    #[test]
    fn half_a_choice_is_an_error() {
        assert!(choice_with(&[("LIBTORCH", "")]).is_err());
        assert!(choice_with(&[("LIBTORCH_LIB", "/usr")]).is_err());
        let both = [("LIBTORCH_LIB", "/usr"), ("LIBTORCH_INCLUDE", "/opt")];
        let folders = Folders { include: "/opt".into(), lib: "/usr".into() };
        assert_eq!(choice_with(&both).unwrap(), Choice::Folder(folders));
    }

    #[test]
    fn a_folder_must_hold_the_library_and_the_version() {
        let good = folder("13");
        check_folder(&Folders::one(good.path()), "2.13.0").unwrap();
        let old = folder("12");
        let error = check_folder(&Folders::one(old.path()), "2.13.0").unwrap_err().to_string();
        assert_eq!(error, "libtorch is 2.12.0, but the locked torch-sys wants 2.13.0");
        std::fs::remove_dir_all(old.path().join("lib")).unwrap();
        let error = check_folder(&Folders::one(old.path()), "2.13.0").unwrap_err().to_string();
        assert!(error.contains("no libtorch folder"), "{error}");
    }

    #[test]
    fn reads_the_header() {
        assert_eq!(version_in_header(HEADER).as_deref(), Some("2.13.0"));
        assert_eq!(version_in_header("#define TORCH_VERSION_MAJOR 2\n"), None);
    }
}
