//! GGUF files read with bounds, and the blocks of quantised weights turned into float32.
//!
#![doc = include_str!("../README.md")]

mod blocks;
mod error;
mod gguf;
mod nf4;

pub use blocks::BlockType;
pub use error::Error;
pub use gguf::{Gguf, TensorInfo, Value};
pub use nf4::{Nf4, Nf4Scales, RoundTo};
