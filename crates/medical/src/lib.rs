//! DICOM and `NIfTI` in, as the 8-bit pictures that a vision-language model sees; maps out, as objects of DICOM and `NIfTI`.

pub mod out;
#[cfg(feature = "dicom")]
pub mod synthetic;
