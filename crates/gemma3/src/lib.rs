//! Gemma3 vision-language models on libtorch, loaded from Hugging Face checkpoints.
//!
//! A [`Gemma3`] holds weights and nothing else: no cache, no mode, no hook. A layer is cut at its attention
//! ([`AttentionLayer`]: `forward(x) = merge(x, attend(project(x)))`), and how attention is computed is an argument ([`Attend`]):
//! [`Fast`] for a sequence in one go, [`Cached`] for token by token, or one of your own, which may also see what each layer of the
//! language model computed ([`Watch`]). Which keys a query may see is a rule ([`MaskRule`]) that makes the block of a mask when one is
//! needed. All of it can also be pulled back without a graph: layers ([`Layer`], which names no architecture), projector
//! ([`Projector::pull_back`]) and patch embedding ([`VisionModel::pull_embed`]).
//!
//! ```no_run
//! use gemma3_processor::{Message, Picture, PictureOptions, Processor, ProcessorOptions};
//! use gemma3_tch::{Cached, GenerationOptions, Gemma3, Placement};
//! use std::ops::ControlFlow;
//! use std::path::Path;
//!
//! let checkpoint = Path::new("medgemma-1.5-4b-it");
//! let model = Gemma3::load(checkpoint, Placement::AS_STORED)?;
//! let processor = Processor::from_dir(checkpoint, ProcessorOptions::default())?;
//! let picture = Picture::open(Path::new("chest.png"), &PictureOptions::default())?;
//! let prompt = model.encode(&processor.prepare(&[Message::user(1, "Is there an effusion?")], &[picture])?)?;
//!
//! let options = GenerationOptions { max_new_tokens: 100, sampling: None, stop_ids: model.config().eos_token_ids.clone() };
//! let answer = model.generate(&prompt, &options, &mut Cached::default(), &mut |_| ControlFlow::Continue(()))?;
//! println!("{}", processor.tokenizer().decode(&answer.tokens, true));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod adapter;
mod attention;
mod cached;
mod checkpoint;
mod config;
mod decoder;
mod dense;
mod device;
mod encoder;
mod error;
#[cfg(test)]
mod examples;
mod features;
mod files;
mod fork;
mod generate;
mod guard;
#[cfg(feature = "hub")]
pub mod hub;
mod inspect;
mod layer;
mod layers;
mod layout;
mod mask;
mod memory;
mod model;
mod place;
mod projector;
mod quantisation;
mod row_product;
mod sampling;
mod shown;
mod text;
mod vision;
mod weight;
mod weights;
mod widened;

pub use adapter::{Adapter, AppliedAdapter};
pub use attention::{Attend, Qkv, Site, Tower, Watch};
pub use cached::{Abreast, Ahead, Cached, Fast};
pub use checkpoint::Checkpoint;
pub use config::{Config, GenerationConfig, LayerType, Rope, TextConfig, VisionConfig};
pub use decoder::{DecoderLayer, DecoderTrace};
pub use device::{DeviceSpec, DtypeSpec, set_threads, threads};
pub use encoder::{EncoderLayer, EncoderTrace};
pub use error::Error;
pub use features::Features;
pub use fork::{Fork, Place};
pub use generate::{Generated, GenerationOptions, StopReason};
pub use guard::guard;
pub use inspect::{Inspection, Misshapen, Parameters};
pub use layer::{
    AttentionLayer, Dims, Layer, MergeGradient, PullCost, PullRule, QkvGradient, Trace,
};
pub use layout::SequenceLayout;
pub use mask::{Barred, MaskRule};
pub use memory::{Bytes, available_memory, check_memory, free_device_memory};
pub use model::{Gemma3, Sequence, Vision};
pub use place::CheckpointPlace;
pub use projector::Projector;
pub use sampling::Sampling;
pub use text::TextModel;
pub use vision::VisionModel;
pub use weights::{LowRankPair, Placement, WeightPath, Weights};
