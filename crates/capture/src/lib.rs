//! The hook layer: turns a run of a Gemma3 model into relevancy layers.
//!
//! The model hands every attention to an observer ([`gemma3_tch::Attend`]); the engines here are such observers. What they capture
//! becomes, layer by layer and last to first, the input of [`attention_relevancy::Propagation`].
//!
//! | engine | keeps | for |
//! |---|---|---|
//! | [`Retained`] | every attention `[H, S, S]` in float32, with the graph | the reference |
//! | [`Streaming`] | layer inputs `[S, D]`, or all that the pull-back needs; attention never | everything else |
//!
//! Both give relevancy, fused as [`Folding`] says, and every [`Method`] to compare it with; [`Streaming::explain_by_head`] tells what each
//! head did. [`Patches`] goes on where the sweep ends at the tokens of a picture: through the vision tower to its patches and pixels.
//!
//! ```no_run
//! use attention_capture::{Engine, Goal, Keep, Objective, States, Streaming, SweepOptions};
//! use attention_relevancy::{Target, Update};
//! # use gemma3_tch::{Gemma3, Sequence};
//! # fn explain(model: &Gemma3, sequence: &Sequence) -> Result<(), attention_capture::Error> {
//! // `sequence` is prompt and answer. A `Recorder` gives the states without this forward pass, while the answer is generated.
//! let states = States::of(model, sequence, Keep::Everything)?;
//! let engine = Streaming::new(model, sequence.ids(), &states, SweepOptions::default());
//! let last = sequence.ids().len() - 1;
//! let goal = Goal::token(Target::new(last, sequence.ids()[last])?);
//! let row = engine.explain_one(&goal, Objective::Logit, Update::Additive)?.relevancy; // [S], raw
//! # let _ = row;
//! # Ok(())
//! # }
//! ```
//!
//! Two phrases are set against each other on a sequence that forks ([`gemma3_tch::Sequence::forked`]): [`branch_targets`] are its
//! targets, [`Goal::contrast`] is the goal.
//!
//! Symbols: S tokens, H query heads, K key/value heads, d head width, D hidden width, L layers.

mod attention;
mod branches;
mod budget;
mod convert;
mod engine;
mod error;
mod folding;
mod forced;
mod goal;
mod heads;
mod images;
mod likelihood;
mod methods;
mod patches;
mod readout;
mod retained;
mod start;
mod states;
mod streaming;
mod sweep;
mod witness;

pub use branches::branch_targets;
pub use budget::with_budget;
pub use engine::Engine;
pub use error::Error;
pub use folding::{Folding, Layers};
pub use forced::{forced_scores, forced_scores_without_images};
pub use goal::{Attribution, Foil, Goal, Objective, Score};
pub use heads::{HeadMaps, HeadRecorder, HeadShares};
pub use images::{ImagePart, ImageRecorder};
pub use methods::{HeadWeights, Method, MethodRow, Pool, Unavailable};
pub use patches::{PatchMap, PatchOptions, PatchStates, Patches, Spread, witness_patches};
pub use retained::{ROW_SUM_TOLERANCE, Retained};
pub use states::{Keep, Recorder, States};
pub use streaming::{Depths, LayerSwept, Streaming, SweepOptions};
pub use witness::{AttentionBlock, witness_attention};
