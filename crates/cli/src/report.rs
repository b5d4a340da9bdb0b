//! `medgemma-explainer report`.

use std::io::Write;

use anyhow::anyhow;
use medgemma_explainer::Stored;

use crate::args::ReportArgs;
use crate::output;

/// Reads what `explain` wrote, makes the page and says where it is.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let html = Stored::open(&args.folder)?.report()?;
    let path = args.out.clone().unwrap_or_else(|| args.folder.join("report.html"));
    let failed = |error: std::io::Error| anyhow!("cannot write {}: {error}", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(std::path::Path::new("."));
    let mut file =
        tempfile::Builder::new().prefix(".report-").tempfile_in(folder).map_err(failed)?;
    file.write_all(html.as_bytes()).map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    output::line(path.display());
    Ok(())
}
