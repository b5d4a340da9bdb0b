//! What the options of the library are called here: its messages know no flags.

use medgemma_explainer::{Error, ErrorKind};

/// The flag that a message speaks of without naming it, to be put behind it; nothing for most errors.
pub(crate) fn of_kind(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFinite => " (--dtype float32)",
        ErrorKind::Device => {
            " (--device cpu or --device auto; cargo xtask setup --cuda sets up a libtorch with CUDA)"
        }
        ErrorKind::GgufFile => " (--file NAME, and --mmproj NAME for its vision tower)",
        _ => "",
    }
}

/// The same for what `main` is given.
pub(crate) fn of(error: &anyhow::Error) -> &'static str {
    let ours = error.chain().find_map(|error| error.downcast_ref::<Error>());
    ours.map_or("", |error| of_kind(error.kind()))
}
