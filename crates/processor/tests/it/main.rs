//! Tests of the processor against transformers' numbers and against broken input.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests report by panicking; the lint spares only the tests"
)]

mod checkpoint;
/// Broken checkpoints and prompts.
mod errors;
/// Pictures from a formula shared with the Python generators.
mod formula;
/// Where cells lie in the original picture.
mod geometry;
/// Files of every format, broken and hostile ones.
mod pictures;
/// A copy of the fixture checkpoint that a test may change.
mod real;
/// Token ids and pixels equal to transformers'.
mod reference;
/// Resizing equal to torchvision's and Pillow's.
mod resizing;
/// Text of tokens, streaming, keywords.
mod text;
/// Hostile and unusual `tokenizer.json` files.
mod tokenizers;
