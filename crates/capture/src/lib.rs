//! The hook layer: turns a run of a language model into relevancy layers.
//!
//! A run of the model is recorded or captured through its seam ([`gemma3_tch::Attend`], [`gemma3_tch::Watch`]), and an [`Engine`] explains
//! [`Goal`]s by [`Rules`]. The model is any [`LanguageModel`], of layers that are cut at their attention and can be pulled back
//! ([`gemma3_tch::Layer`]), and one that sees pictures is a [`PictureModel`] with a [`PictureTower`] of such layers. Gemma3 is one, and is
//! meant where a type names none.
//!
//! | engine | keeps | for |
//! |---|---|---|
//! | [`Retained`] | every attention `[H, S, S]` in float32, with the graph | the reference, by [`attention_relevancy::Propagation`] |
//! | [`Streaming`] | layer inputs `[S, D]`, or all that the pull-back needs; attention never | everything else; rows are folded on the device |
//!
//! Both give relevancy and every [`Method`] to compare it with. An [`Observer`] looks at every layer of a sweep: depths, heads, pictures
//! and methods are read off by one each. [`Patches`] goes on where the sweep ends at the tokens of a picture: through the vision tower
//! to its patches and pixels.
//!
//! ```no_run
//! use attention_capture::{Engine, Goal, Keep, Rules, States, Streaming, SweepOptions};
//! use attention_relevancy::Target;
//! # use gemma3_tch::{Gemma3, Sequence};
//! # fn explain(model: &Gemma3, sequence: &Sequence) -> Result<(), attention_capture::Error> {
//! // `sequence` is prompt and answer. A `Recorder` gives the states without this forward pass, while the answer is generated.
//! let states = States::of(model, sequence, Keep::Everything)?;
//! let engine = Streaming::new(model, sequence.ids(), &states, SweepOptions::default());
//! let last = sequence.ids().len() - 1;
//! let goal = Goal::token(Target::new(last, sequence.ids()[last])?);
//! let row = engine.explain_one(&goal, &Rules::default())?.relevancy; // [S], raw: the published rule
//! # let _ = row;
//! # Ok(())
//! # }
//! ```
//!
//! Two phrases are set against each other on a sequence that forks ([`gemma3_tch::Sequence::forked`]): [`branch_targets`] are its
//! targets, [`Goal::contrast`] is the goal.
//!
//! Symbols: S tokens, H query heads, K key/value heads, d head width, D hidden width, L layers.

// The models: what is asked of one, and where Gemma3 is joined.
mod gemma;
mod model;
mod seam;

// What is asked and answered.
mod engine;
mod error;
mod folding;
mod goal;
mod rules;

// What is recorded of a run.
mod forced;
mod occlusion;
mod sinks;
mod states;
mod witness;

// The engines: the reference, and the sweep with who looks at it.
mod depths;
mod heads;
mod images;
mod methods;
mod observer;
mod retained;
mod streaming;

// From tokens to patches.
mod patches;

// What a sweep is made of.
mod attention;
mod branches;
mod budget;
mod convert;
mod ledger;
mod likelihood;
mod readout;
mod start;
mod sweep;
mod variants;

pub use model::{LanguageModel, PictureModel, PictureTower};

pub use engine::Engine;
pub use error::Error;
pub use goal::{Attribution, Goal};
pub use rules::Rules;

pub use budget::key_bytes;
pub use forced::{
    alternatives, forced_scores, forced_scores_barring, forced_scores_without_images,
};
pub use occlusion::Occluder;
pub use sinks::find_sinks;
pub use states::{Keep, Prefix, Recorder, States, StatesSize};
pub use witness::{AttentionBlock, witness_attention};

pub use branches::branch_targets;
pub use retained::{ROW_SUM_TOLERANCE, Retained};
pub use streaming::{Streaming, SweepOptions};

pub use depths::DepthRecorder;
pub use heads::HeadRecorder;
pub use images::{ImagePart, ImageRecorder};
pub use methods::{MethodRecorder, check_method};
pub use observer::{EachLayer, LayerSwept, Observer};

pub use ledger::{Costs, Demand, FinerDemand, Held, Ledger, Room};
pub use patches::{PatchOptions, PatchStates, Patches, Spread, witness_patches};

pub use attention_relevancy::{
    Backward, Foil, Foils, Folding, HeadMaps, HeadShares, HeadWeights, Layers, Method, MethodRow,
    Objective, Occlusion, PatchMap, Pool, Score, SinkRule, Sinks, Unavailable,
};
