//! The benchmark on which a map can be right or wrong: words of right answers, and the masks of what they tell of.

pub(crate) mod asked;
pub mod benchmark;
pub mod case;
pub mod foils;
pub mod measure;
pub mod methods;
pub mod page;
pub mod randomized;
pub mod settings;
pub mod sheet;
pub mod tag;
