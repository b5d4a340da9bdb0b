//! The verdict "does not depend on the picture" on words of which the truth is known: those that name a finding of a phantom, and
//! those of a checkpoint that sees nothing.

pub mod measure;
pub mod page;
pub mod spans;
pub mod text_only;
