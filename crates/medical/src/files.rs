//! Files are opened without waiting, must be regular files, and have a bounded size.

use std::fs::{File, FileType, OpenOptions};
use std::path::Path;

use crate::error::{At, Bound};
use crate::{Error, Limits};

/// A regular file and its size in bytes.
pub(crate) fn open(path: &Path, limits: &Limits) -> Result<(File, u64), Error> {
    let at = At(path);
    let file = without_waiting(path).map_err(|source| at.read(source))?;
    // Asked of the open file: nobody can put another in its place between the question and the reading.
    let metadata = file.metadata().map_err(|source| at.read(source))?;
    if !metadata.is_file() {
        return Err(Error::NotAFile { path: path.into(), found: name_of(metadata.file_type()) });
    }
    at.limit(&Bound::file_bytes(limits), metadata.len())?;
    Ok((file, metadata.len()))
}

/// Opens for reading without waiting for the other end of a pipe.
fn without_waiting(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed());
    }
    options.open(path)
}

fn name_of(kind: FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_char_device() || kind.is_block_device() {
            return "a device";
        }
    }
    if kind.is_dir() { "a folder" } else { "no regular file" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn pipes_devices_and_folders_are_errors_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let found = |path: &Path| match open(path, &Limits::default()) {
            Err(Error::NotAFile { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(found(&pipe), "a pipe");
        assert_eq!(found(Path::new("/dev/zero")), "a device");
        assert_eq!(found(folder.path()), "a folder");
    }
}
