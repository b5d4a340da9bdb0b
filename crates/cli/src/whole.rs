//! Files that are there whole or not at all.

use std::io::Write as _;
use std::path::Path;

use tempfile::Builder;

/// Writes a file under a temporary name, then gives it its own; its folder is made if needed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut builder = Builder::new();
    #[cfg(unix)]
    {
        // As any new file, not private as temporary files are; the umask still applies.
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
