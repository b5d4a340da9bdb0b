//! Trains the small checkpoints of the project, a Gemma3 of a million and a half parameters that reads phantom radiographs, and
//! measures what maps of their words show ([`localize`]) and how often the verdict on reliance is wrong ([`reliance`]).
//!
//! ```text
//! seed ─ scenes ─► phantom ─ processor ─► pixels ┐
//!               └► questions ─ tokenizer ─► ids ─┤
//!                             parameters ────────┴─ forward ─► loss ─► gradients (lanes) ─► optimizer ─► parameters
//! ```
//!
//! Four stages ([`recipe`]): first the vision tower learns, cell by cell, which findings it sees; then the whole model learns to
//! answer, first mostly reports, then twice more short questions. The forward pass is that of `gemma3-tch`, on tensors in memory. Everything
//! follows from a seed, and a run that was interrupted goes on with the same numbers.
//!
//! [`hybrid`] trains a vision tower, a projector and an adapter in front of a real language model that stays as it is.

pub mod recipe;

pub mod companions;
pub mod questions;
pub mod vocabulary;

pub mod examples;
pub mod scenes;

pub mod forward;
pub mod lanes;
pub mod optimizer;
pub mod parameters;
pub mod prefix;

pub mod checkpoint;
pub mod document;
pub mod progress;
pub mod train;

pub mod evaluate;
pub mod reader;
pub mod score;
pub mod threads;

pub mod hybrid;

pub mod deciding;

pub mod audits;
pub mod certificates;

pub mod localize;
pub mod quantised;
pub mod reliance;

pub mod which_map;
