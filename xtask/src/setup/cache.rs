//! The per-user cache: one folder per libtorch, complete or absent.
//!
//! A layout is made in a sibling folder whose name ends in `.partial-…` and renamed when its manifest is written, so
//! a folder under the final name is a finished one. A lock file, which the system releases when a process dies, keeps
//! two set-ups of one user apart.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::Variant;
use super::wheel::Unpacked;

const MANIFEST: &str = "manifest.json";
const SCHEMA: &str = "medgemma-explainer/libtorch/1";

/// The place of one libtorch in the cache.
pub(crate) struct Entry {
    root: PathBuf,
    name: String,
}

impl Entry {
    pub(crate) fn new(root: PathBuf, version: &str, variant: Variant) -> Self {
        Self { root, name: format!("libtorch-{version}-{}", variant.name()) }
    }

    /// The finished layout, if it is there.
    pub(crate) fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// A fresh folder to make the layout in; it vanishes unless it is finished.
    ///
    /// Only the holder of the lock may call this: it removes what interrupted set-ups left.
    pub(crate) fn start(&self) -> Result<Partial<'_>> {
        self.remove_partials()?;
        let path = self.root.join(format!("{}{}", self.partial_prefix(), std::process::id()));
        std::fs::create_dir(&path)
            .with_context(|| format!("could not create {}", path.display()))?;
        Ok(Partial { entry: self, path })
    }

    /// Waits until no other set-up works on this entry.
    pub(crate) fn lock(&self) -> Result<File> {
        std::fs::create_dir_all(&self.root)
            .with_context(|| format!("could not create {}", self.root.display()))?;
        let path = self.root.join(format!("{}.lock", self.name));
        let file =
            File::create(&path).with_context(|| format!("could not create {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                println!("another set-up is at work on {}; waiting for it", self.name);
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("could not lock {}", path.display()));
            }
        }
        file.lock().with_context(|| format!("could not lock {}", path.display()))?;
        Ok(file)
    }

    fn partial_prefix(&self) -> String {
        format!("{}.partial-", self.name)
    }

    fn remove_partials(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.root)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&self.partial_prefix()) {
                println!("removing what an interrupted set-up left: {}", entry.path().display());
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// A layout in the making.
pub(crate) struct Partial<'a> {
    entry: &'a Entry,
    path: PathBuf,
}

impl Partial<'_> {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the manifest and gives the layout its final name.
    pub(crate) fn finish(self, manifest: &Manifest) -> Result<()> {
        std::fs::write(self.path.join(MANIFEST), manifest.to_json())?;
        let target = self.entry.folder();
        if target.exists() {
            std::fs::remove_dir_all(&target)
                .with_context(|| format!("could not replace {}", target.display()))?;
        }
        std::fs::rename(&self.path, &target)
            .with_context(|| format!("could not create {}", target.display()))
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name; after an error the next set-up would remove it too.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// What a finished layout consists of.
#[derive(Debug, PartialEq)]
pub(crate) struct Manifest {
    pub(crate) version: String,
    pub(crate) variant: Variant,
    pub(crate) files: Vec<Unpacked>,
}

impl Manifest {
    /// The manifest of a layout; `None` where there is none that this set-up wrote.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(folder.join(MANIFEST)).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        if value["schema"] != SCHEMA {
            return None;
        }
        let variant =
            [Variant::Cpu, Variant::Cuda].into_iter().find(|v| value["variant"] == v.name())?;
        let files = value["files"].as_object()?.iter();
        let files = files.map(|(path, size)| Some((PathBuf::from(path), size.as_u64()?)));
        Some(Self {
            version: value["torch"].as_str()?.to_owned(),
            variant,
            files: files.collect::<Option<_>>()?,
        })
    }

    /// The first file that is missing or has another size.
    pub(crate) fn damage(&self, folder: &Path) -> Option<PathBuf> {
        let intact = |path: &Path, size| {
            folder.join(path).metadata().is_ok_and(|m| m.is_file() && m.len() == size)
        };
        self.files
            .iter()
            .find(|(path, size)| !intact(path, *size))
            .map(|(path, _)| folder.join(path))
    }

    /// Sum of the sizes in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().map(|(_, size)| size).sum()
    }

    fn to_json(&self) -> String {
        let files = self
            .files
            .iter()
            .map(|(path, size)| (path.to_string_lossy().into_owned(), json!(size)));
        let files: Map<String, Value> = files.collect();
        let value = json!({ "schema": SCHEMA, "torch": self.version, "variant": self.variant.name(), "files": files });
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let files = vec![(PathBuf::from("torch/lib/a.so"), 3)];
        Manifest { version: "2.13.0".to_owned(), variant: Variant::Cpu, files }
    }

    fn entry(root: &Path) -> Entry {
        Entry::new(root.to_path_buf(), "2.13.0", Variant::Cpu)
    }

    fn fill(partial: &Partial<'_>) {
        std::fs::create_dir_all(partial.path().join("torch/lib")).unwrap();
        std::fs::write(partial.path().join("torch/lib/a.so"), "abc").unwrap();
    }

    #[test]
    fn a_finished_layout_reads_back_and_damage_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let entry = entry(root.path());
        let partial = entry.start().unwrap();
        fill(&partial);
        partial.finish(&manifest()).unwrap();
        let read = Manifest::read(&entry.folder()).unwrap();
        assert_eq!(read, manifest());
        assert_eq!(read.damage(&entry.folder()), None);
        std::fs::write(entry.folder().join("torch/lib/a.so"), "ab").unwrap();
        assert_eq!(read.damage(&entry.folder()), Some(entry.folder().join("torch/lib/a.so")));
    }

    #[test]
    fn an_unfinished_layout_has_no_final_name_and_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let entry = entry(root.path());
        let left = root.path().join("libtorch-2.13.0-cpu.partial-0");
        std::fs::create_dir_all(left.join("torch")).unwrap();
        let partial = entry.start().unwrap();
        assert!(!left.exists());
        fill(&partial);
        let path = partial.path().to_path_buf();
        drop(partial);
        assert!(!path.exists() && !entry.folder().exists());
    }

    #[test]
    fn a_folder_without_our_manifest_is_not_ours() {
        let root = tempfile::tempdir().unwrap();
        assert!(Manifest::read(root.path()).is_none());
        std::fs::write(root.path().join(MANIFEST), "{\"schema\": \"another\"}").unwrap();
        assert!(Manifest::read(root.path()).is_none());
    }

    #[test]
    fn the_second_lock_waits_for_the_first() {
        let root = tempfile::tempdir().unwrap();
        let first = entry(root.path()).lock().unwrap();
        let path = root.path().join("libtorch-2.13.0-cpu.lock");
        let second = File::open(path).unwrap();
        assert!(matches!(second.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        second.try_lock().unwrap();
    }
}
