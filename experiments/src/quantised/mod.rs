//! What quantising does to maps: the checkpoint of the project in the formats that people hold, explained on the same words of the same
//! answers.

mod formats;
pub mod measure;
pub mod page;
pub mod real;

pub use formats::Format;
