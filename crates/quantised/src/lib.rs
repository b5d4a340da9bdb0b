//! GGUF files read with bounds, and the blocks of quantised weights: turned into float32, and multiplied as they are.
//!
#![doc = include_str!("../README.md")]

mod blocks;
mod error;
mod gguf;
mod nf4;
mod products;

pub use blocks::BlockType;
pub use error::Error;
pub use gguf::{Gguf, TensorInfo, Value};
pub use nf4::{Nf4, Nf4Scales, RoundTo};
pub use products::{Activations, Instructions};
