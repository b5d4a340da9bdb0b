//! DICOM and `NIfTI` in, as the 8-bit pictures that a vision-language model sees; maps out, as objects of DICOM and `NIfTI`.

mod check;
mod orientation;
mod provenance;
mod recipe;

pub use check::{Check, CheckKind};
pub use orientation::{Orientation, OrientationSource, PatientSide, Sides};
pub use provenance::{
    Bits, Channel, ChannelWindow, Format, Identifiers, Provenance, Slice, TransferSyntax,
    WindowOrigin, WindowShape,
};
pub use recipe::{MOST_SLICES, Recipe, spread};
