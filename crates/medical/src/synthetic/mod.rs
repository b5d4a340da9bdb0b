//! Plain pictures as valid DICOM images, for tests and demonstrations: of nobody, with a patient who says so.
//!
//! [`write_radiograph`] makes a Computed Radiography image, [`write_ct_series`] the slices of a CT volume. What they hold is the
//! caller's; every attribute that their definitions ask for (PS3.3 sections A.2 and A.3) is there.

mod ct;
mod radiograph;
mod subject;

pub use crate::out::Error;
pub use ct::{CtSeries, write_ct_series};
pub use radiograph::{Photometric, Radiograph, View, Window, write_radiograph};
pub use subject::Subject;
