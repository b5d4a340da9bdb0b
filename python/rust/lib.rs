//! The native module `medgemma_explainer._native`: attention relevancy for numpy arrays.
//!
//! Arguments are looked at here, the mathematics is that of the crate `attention-relevancy`. The interpreter is let go while it runs.

mod arrays;
mod module;
