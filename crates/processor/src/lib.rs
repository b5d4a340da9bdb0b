//! Prompts and pictures to Gemma3 inputs, exact to transformers, without libtorch.
