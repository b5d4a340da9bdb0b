//! The project-local `.libtorch`: a symbolic link into the cache, or a folder that the user put there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::cache::{Entry, Manifest};
use super::platform::{Platform, cache_root};
use super::{Variant, fetch, user};
use crate::disk;

/// What stands under the name `.libtorch`.
enum State {
    Absent,
    /// A link to a layout of ours, with its folder.
    Ours(PathBuf, Manifest),
    /// Something else.
    Foreign,
}

/// Makes `link` lead to libtorch and says what it leads to.
pub(crate) fn provide(link: &Path, version: &str, variant: Option<Variant>) -> Result<String> {
    let variant = match state(link) {
        State::Foreign => return keep_foreign(link, version, variant),
        State::Absent => variant.unwrap_or(Variant::Cpu),
        State::Ours(folder, manifest) => {
            let chosen = variant.unwrap_or(manifest.variant);
            let fits = manifest.version == version && manifest.variant == chosen;
            if fits && manifest.damage(&folder).is_none() {
                return Ok(described(chosen, &folder));
            }
            chosen
        }
    };
    let entry = Entry::new(cache_root()?, version, variant);
    ensure_filled(&entry, version, variant)?;
    point(link, &entry.folder().join("torch"))?;
    Ok(described(variant, &entry.folder()))
}

fn described(variant: Variant, folder: &Path) -> String {
    format!("{} parts in {}", variant.name(), folder.display())
}

fn state(link: &Path) -> State {
    if !link.exists() {
        return State::Absent; // also a link that leads nowhere
    }
    let target = link.is_symlink().then(|| link.canonicalize().ok()).flatten();
    let folder = target.as_deref().and_then(Path::parent);
    match folder.and_then(|folder| Manifest::read(folder).map(|manifest| (folder, manifest))) {
        Some((folder, manifest)) => State::Ours(folder.to_path_buf(), manifest),
        None => State::Foreign,
    }
}

/// A folder that set-up did not make is used as it is, or refused; it is never removed.
fn keep_foreign(link: &Path, version: &str, variant: Option<Variant>) -> Result<String> {
    let advice =
        || format!("{} was not made by set-up; remove it and run set-up again", link.display());
    user::check_folder(&user::Folders::one(link), version).with_context(advice)?;
    if variant == Some(Variant::Cuda) {
        let cuda = link.join("lib").join(Platform::CUDA_LIBRARY);
        ensure!(cuda.exists(), "{} is not there; {}", cuda.display(), advice());
    }
    Ok(format!("a folder of your own at {}", link.display()))
}

fn ensure_filled(entry: &Entry, version: &str, variant: Variant) -> Result<()> {
    let _lock = entry.lock()?;
    if let Some(manifest) = Manifest::read(&entry.folder()) {
        match manifest.damage(&entry.folder()) {
            None => {
                println!("found in the cache: {}", disk::megabytes(manifest.size()));
                return Ok(());
            }
            Some(file) => println!("{} is damaged; fetching libtorch again", file.display()),
        }
    }
    fetch::fill(entry, version, variant)
}

/// Points the link at `target` in one step: a build that runs meanwhile sees the old or the new one.
#[cfg(unix)]
fn point(link: &Path, target: &Path) -> Result<()> {
    let fresh = link.with_extension(format!("new-{}", std::process::id()));
    let outcome =
        std::os::unix::fs::symlink(target, &fresh).and_then(|()| std::fs::rename(&fresh, link));
    if outcome.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    outcome.with_context(|| format!("could not create {}", link.display()))?;
    ensure!(link.exists(), "{} leads nowhere", link.display());
    Ok(())
}

#[cfg(not(unix))]
fn point(link: &Path, target: &Path) -> Result<()> {
    anyhow::bail!(
        "set-up needs symbolic links to make {} lead to {}",
        link.display(),
        target.display()
    )
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    fn layout(folder: &Path, version: &str) {
        let entry = Entry::new(folder.to_path_buf(), version, Variant::Cpu);
        let partial = entry.start().unwrap();
        std::fs::create_dir_all(partial.path().join("torch/lib")).unwrap();
        std::fs::write(partial.path().join("torch/lib/a"), "abc").unwrap();
        let files = vec![(PathBuf::from("torch/lib/a"), 3)];
        partial
            .finish(&Manifest { version: version.to_owned(), variant: Variant::Cpu, files })
            .unwrap();
    }

    #[test]
    fn a_link_of_ours_is_recognised_and_replaced_in_place() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join(".libtorch");
        assert!(matches!(state(&link), State::Absent));
        layout(root.path(), "1.0.0");
        point(&link, &root.path().join("libtorch-1.0.0-cpu/torch")).unwrap();
        assert!(matches!(state(&link), State::Ours(_, manifest) if manifest.version == "1.0.0"));
        let found = provide(&link, "1.0.0", None).unwrap();
        assert!(found.starts_with("cpu parts in"), "{found}");
        layout(root.path(), "2.0.0");
        point(&link, &root.path().join("libtorch-2.0.0-cpu/torch")).unwrap();
        assert!(matches!(state(&link), State::Ours(_, manifest) if manifest.version == "2.0.0"));
    }

    #[test]
    fn a_dangling_link_counts_as_absent() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join(".libtorch");
        std::os::unix::fs::symlink(root.path().join("gone"), &link).unwrap();
        assert!(matches!(state(&link), State::Absent));
    }

    #[test]
    fn a_foreign_folder_is_checked_and_never_removed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join(".libtorch");
        std::fs::create_dir_all(folder.join("lib")).unwrap();
        let error = format!("{:#}", provide(&folder, "2.13.0", None).unwrap_err());
        assert!(error.contains("was not made by set-up"), "{error}");
        assert!(folder.is_dir());
    }
}
