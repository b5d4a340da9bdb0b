//! Sizes, and room on the disk.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process;

/// An error when the disk of `folder` has less than `needed` bytes to spare.
pub(crate) fn require(folder: &Path, needed: u64) -> Result<()> {
    // POSIX `df -Pk`: there is no such question in std, and a crate for one number is not worth it.
    let text = process::output(Command::new("df").arg("-Pk").arg(folder))?;
    let free = free_in_df(&text).context("`df -Pk` printed something unexpected")?;
    if free < needed {
        bail!("{} needs {} and has {} free", folder.display(), megabytes(needed), megabytes(free));
    }
    Ok(())
}

/// `1234.5 MB`, in millions of bytes, as the package index and pip count.
pub(crate) fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The fourth column of the second line, in KiB. The name of a device may hold spaces: counted from the right.
fn free_in_df(text: &str) -> Option<u64> {
    let line = text.lines().nth(1)?;
    let words: Vec<&str> = line.split_whitespace().collect();
    let percent = words.iter().rposition(|word| word.ends_with('%'))?;
    let kibibytes: u64 = words.get(percent.checked_sub(1)?)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_df() {
        let text = "Filesystem 1024-blocks Used Available Capacity Mounted on\nmap auto 100 60 40 60% /a b\n";
        assert_eq!(free_in_df(text), Some(40 * 1024));
        assert_eq!(free_in_df("nothing\n"), None);
    }

    #[test]
    fn refuses_more_than_there_is() {
        let folder = tempfile::tempdir().unwrap();
        require(folder.path(), 1).unwrap();
        let error = require(folder.path(), u64::MAX).unwrap_err().to_string();
        assert!(error.contains("free"), "{error}");
    }
}
