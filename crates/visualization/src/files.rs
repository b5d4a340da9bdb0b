//! Reading files that anybody may have written.

use std::fs::{self, File, FileType};
use std::io::{Error, Read, Result};
use std::path::Path;

/// The whole file. Anything but a regular file (reading a pipe would block, a device never ends) or larger than `limit` bytes is an
/// error.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // Before it is opened: opening a pipe waits for its writer.
    let kind = fs::metadata(path)?.file_type();
    if !kind.is_file() {
        return Err(Error::other(format!("it is {}, and a file is needed", name(kind))));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Error::other(format!("it has more than {limit} bytes")));
    }
    Ok(bytes)
}

fn name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
    }
    "a device or the like"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, [7; 10]).unwrap();
        assert_eq!(read(&file, 10).unwrap(), [7; 10]);
        assert_eq!(read(&file, 9).unwrap_err().to_string(), "it has more than 9 bytes");
        let error = read(folder.path(), 9).unwrap_err().to_string();
        assert_eq!(error, "it is a folder, and a file is needed");
        if Path::new("/dev/zero").exists() {
            assert!(read(Path::new("/dev/zero"), 9).unwrap_err().to_string().contains("a device"));
        }
    }
}
