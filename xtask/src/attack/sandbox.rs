//! The folder of a case: filled before, looked at before and after.
//!
//! ```text
//! ROOT/a/b/c/place   where the command runs, with the case's files
//! ROOT/a/b/c/home    HOME and HF_HOME of the command
//! ROOT/a/b/c/tmp     TMPDIR
//! ```
//!
//! The folders above catch what climbs out by a few `../`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use super::case::{Case, What};
use super::material::Material;
use crate::process;

pub(crate) struct Sandbox {
    root: PathBuf,
}

/// What lies below a folder: paths relative to it.
pub(crate) type Seen = BTreeMap<String, Trace>;

/// Enough of an entry to see whether it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trace {
    Folder,
    /// SHA-256 of its bytes.
    File(Vec<u8>),
    /// Larger than what is read here: only its size is compared.
    LargeFile(u64),
    Link(PathBuf),
    Special,
}

const LARGEST_READ: u64 = 64 << 20;

impl Sandbox {
    /// An empty one at this path, in the place of what was there.
    pub(crate) fn new(root: PathBuf) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(&root)
                .with_context(|| format!("could not remove {}", root.display()))?;
        }
        let sandbox = Self { root };
        for folder in [sandbox.place(), sandbox.home(), sandbox.temporary()] {
            fs::create_dir_all(&folder)
                .with_context(|| format!("could not make {}", folder.display()))?;
        }
        Ok(sandbox)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn place(&self) -> PathBuf {
        self.root.join("a/b/c/place")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.join("a/b/c/home")
    }

    pub(crate) fn temporary(&self) -> PathBuf {
        self.root.join("a/b/c/tmp")
    }

    /// Puts the entries of a case in place.
    pub(crate) fn fill(&self, case: &Case, material: &Material) -> Result<()> {
        for (path, what) in &case.entries {
            let path = self.place().join(path);
            put(&path, what, material)
                .with_context(|| format!("could not make {}", path.display()))?;
        }
        Ok(())
    }

    /// Everything below the root.
    pub(crate) fn look(&self) -> Result<Seen> {
        let mut seen = Seen::new();
        let mut open = vec![self.root.clone()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(&folder)? {
                let path = entry?.path();
                let name = path.strip_prefix(&self.root)?.to_string_lossy().into_owned();
                let trace = trace(&path)
                    .with_context(|| format!("could not look at {}", path.display()))?;
                if trace == Trace::Folder {
                    open.push(path);
                }
                seen.insert(name, trace);
            }
        }
        Ok(seen)
    }
}

fn put(path: &Path, what: &What, material: &Material) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir()) {
        fs::remove_file(path)?;
    }
    match what {
        What::File(bytes) => fs::write(path, bytes)?,
        What::Zeros(size) => fs::File::create(path)?.set_len(*size)?,
        What::Link(target) => std::os::unix::fs::symlink(target, path)?,
        What::Pipe => process::run(Command::new("mkfifo").arg(path))?,
        What::Folder => fs::create_dir_all(path)?,
        What::Checkpoint => copy_files(material.checkpoint(), path)?,
        What::Stored => copy_files(&material.stored()?, path)?,
    }
    Ok(())
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}

fn trace(path: &Path) -> Result<Trace> {
    let found = fs::symlink_metadata(path)?;
    let kind = found.file_type();
    Ok(if kind.is_dir() {
        Trace::Folder
    } else if kind.is_symlink() {
        Trace::Link(fs::read_link(path)?)
    } else if kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device()
    {
        Trace::Special
    } else if LARGEST_READ < found.len() {
        Trace::LargeFile(found.len())
    } else {
        let mut hasher = Sha256::new();
        let mut file = fs::File::open(path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let n = file.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
        }
        Trace::File(hasher.finalize().to_vec())
    })
}
