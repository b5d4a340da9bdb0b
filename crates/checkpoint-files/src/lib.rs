//! The files beside the weights of a Gemma3 checkpoint, as a published one has them, for the checkpoints that this workspace makes:
//! random ones to measure with, and small trained ones. Also the random numbers of their first weights, and the
//! names of tensors in GGUF files.

pub mod companions;
pub mod gguf_names;
pub mod random;
pub mod tokenizer;
