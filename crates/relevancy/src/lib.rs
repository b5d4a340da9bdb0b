//! Gradient-weighted attention relevancy of transformers from plain arrays.
