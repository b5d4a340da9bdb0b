//! Attention of one head and its pull-back, in vector registers.
//!
#![doc = include_str!("../README.md")]

mod bfloat16; // how good a processor is at them
mod forward; // attention
mod lanes; // products in vector registers, the exponential
mod operands;
#[cfg(target_arch = "x86_64")]
mod pairs; // bfloat16 numbers, two to an instruction
mod processor;
mod pull; // attention and its gradient
#[cfg(test)]
mod scalar; // plain loops, what all of it is held against
mod stretch; // scores of some queries
#[cfg(test)]
mod tests;

pub use bfloat16::Bfloat16;
pub use operands::{Goal, Head, Matrix, Pulled};
pub use processor::Processor;
