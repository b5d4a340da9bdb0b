//! Gemma3 vision-language models on libtorch, loaded from Hugging Face checkpoints.

mod attention;
mod cached;
mod config;
mod device;
mod error;
mod files;
mod generate;
mod guard;
#[cfg(feature = "hub")]
pub mod hub;
mod inspect;
mod layers;
mod mask;
mod memory;
mod model;
mod sampling;
mod text;
mod vision;
mod weights;

pub use attention::{Attend, AttentionLayer, Qkv, Site, Tower};
pub use cached::{Cached, Fast};
pub use config::{Config, GenerationConfig, LayerType, Rope, TextConfig, VisionConfig};
pub use device::{DeviceSpec, DtypeSpec, set_threads, threads};
pub use error::Error;
pub use generate::{Generated, GenerationOptions, StopReason};
pub use guard::guard;
pub use inspect::{Inspection, Misshapen, Parameters};
pub use mask::MaskRule;
pub use memory::{Bytes, available_memory, check_memory};
pub use model::{Gemma3, Sequence};
pub use sampling::Sampling;
pub use text::{DecoderLayer, MergeGradient, QkvGradient, TextModel, Trace};
pub use vision::{EncoderLayer, Projector, VisionModel};
pub use weights::{Placement, WeightPath, Weights};
