//! Gemma3 vision-language models on libtorch, loaded from Hugging Face checkpoints.
