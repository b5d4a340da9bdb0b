//! `medgemma-explainer report`.

use medgemma_explainer::Stored;

use crate::args::ReportArgs;
use crate::output;

/// Reads what `explain` wrote, makes the page and says where it is.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let stored = Stored::open(&args.folder)?;
    let path = match &args.out {
        None => stored.write_report()?,
        Some(path) => {
            stored.write_report_to(path)?;
            path.clone()
        }
    };
    output::line(path.display());
    Ok(())
}
