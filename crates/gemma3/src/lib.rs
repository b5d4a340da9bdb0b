//! Gemma3 vision-language models on libtorch, loaded from Hugging Face checkpoints.

mod config;
mod error;
mod files;
mod memory;
mod weights;

pub use config::{Config, GenerationConfig, LayerType, Rope, TextConfig, VisionConfig};
pub use error::Error;
pub use memory::Bytes;
pub use weights::{Placement, WeightPath, Weights};
