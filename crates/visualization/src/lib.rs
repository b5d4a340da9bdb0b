//! Relevancy maps as pictures.
