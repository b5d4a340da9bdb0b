//! Which files of a repository are wanted: those of a checkpoint of transformers, or files that somebody named.

use super::cache::is_file_name;
use crate::{Error, adapter};

/// The files of an adapter of PEFT, its configuration first.
const ADAPTER: [&str; 2] = [adapter::CONFIG, adapter::WEIGHTS];
/// Folders above a file.
const MOST_FOLDERS: usize = 8;

/// What is fetched of a repository.
pub(super) enum Wanted {
    /// What a checkpoint of transformers has; its index says which weights.
    Checkpoint,
    /// These files and no others.
    Named(Vec<String>),
}

impl Wanted {
    pub(super) fn adapter() -> Self {
        Self::Named(ADAPTER.map(str::to_owned).into())
    }

    /// GGUF files by their names in the repository.
    ///
    /// # Errors
    /// [`Error::HubFileName`] for a text that cannot be one.
    pub(super) fn gguf(names: &[&str]) -> Result<Self, Error> {
        if let Some(name) = names.iter().find(|name| !is_gguf_name(name)) {
            return Err(Error::HubFileName { found: (*name).to_owned() });
        }
        Ok(Self::Named(names.iter().map(|&name| name.to_owned()).collect()))
    }
}

/// Whether a text is the path of a GGUF file in a repository, and one below a folder of the cache: plain segments, whatever the system,
/// of characters that mean nothing in an address.
pub(super) fn is_gguf_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+=()[] ".contains(&byte);
    let plain = |part: &str| {
        is_file_name(part)
            && part.bytes().all(legal)
            && !part.starts_with('.')
            && !part.ends_with(['.', ' '])
    };
    let parts: Vec<&str> = name.split('/').collect();
    let is_gguf =
        parts.last().and_then(|last| last.rsplit_once('.')).is_some_and(|(stem, extension)| {
            !stem.is_empty() && extension.eq_ignore_ascii_case("gguf")
        });
    is_gguf && parts.len() <= MOST_FOLDERS + 1 && parts.iter().all(|part| plain(part))
}

/// The folder of a file in a repository; empty at its top.
pub(super) fn folder(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside_the_cache_and_the_address() {
        for name in ["a.gguf", "BF16/medgemma-4b-it_Q4_K_M.gguf", "a b (1).GGUF", "a/b/c.gguf"] {
            assert!(is_gguf_name(name), "{name}");
        }
        for name in [
            "",
            ".gguf",
            "a.bin",
            "a.gguf/",
            "/a.gguf",
            "../a.gguf",
            "a/../b.gguf",
            "a/./b.gguf",
            "a//b.gguf",
            ".a/b.gguf",
            "a\\b.gguf",
            "c:a.gguf",
            "a?.gguf",
            "a#.gguf",
            "a%2e.gguf",
            "a./b.gguf",
            "a /b.gguf",
            "é.gguf",
            "a\n.gguf",
        ] {
            assert!(!is_gguf_name(name), "{name}");
        }
        assert!(!is_gguf_name(&format!("{}a.gguf", "a/".repeat(MOST_FOLDERS + 1))));
        assert_eq!(["a.gguf", "a/b/c.gguf"].map(folder), ["", "a/b"]);
    }
}
