//! Gradient-weighted attention relevancy of transformers from plain arrays.
//!
//! Symbols: S tokens, H heads, L layers, b rows in a block, p the position of the explained token.
//!
//! The rule is that of Chefer, Gur and Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
//! Encoder-Decoder Transformers" (ICCV 2021). Each layer has a fused attention `Ā = E_h[(∇A ⊙ A)⁺] ∈ ℝ^{S×S}`, the relevancy
//! starts as `R = I`, and the layers, first to last, update it by `R ← R + Ā·R`. What the token at position p owes to every
//! other token is row p−1 of R, because the logits at p−1 are what chose that token.
//!
//! Only that row is wanted, and a row can be had without the matrix: `e·(I+Ā_L)…(I+Ā_1)`, last layer first, in O(L·S²) instead
//! of O(L·S³). [`Propagation`] does that; [`relevancy_matrix`] computes all of R.
//!
//! # Overview
//! - [`FusedAttention`] is the seam: something that shows rows of Ā, block by block. [`RetainedLayer`] makes them from attention
//!   and gradient in memory, [`FusedMatrix`] holds a ready Ā; an engine that never stores either implements the trait itself.
//! - [`Update`] says how a layer acts on the row, [`Propagation`] carries the row.
//! - An engine that folds rows on a device of its own takes [`Update::rule`] and [`HeadFusion::rule`]: closed descriptions, so that it does
//!   not compile while there is one that it has no answer to. What it folds is to be held against [`Propagation`].
//! - [`Target`] says which token is explained, [`TokenLayout`] which tokens are text and which are cells of an image,
//!   [`Explanation`] is the raw row read with both, and [`Scale`] brings values to a common range without touching the raw ones.
//! - [`HeadFusion`] says how heads become one; [`gradient_attention_row`], [`gradient_weighted_row`], [`grad_cam_attention_row`],
//!   [`grad_cam_hidden`], [`input_gradient`] and [`tam`] are other methods, to compare with.
//! - [`Objective`], [`Backward`], [`Folding`] and [`Method`] say what is asked of an engine: the scalar that is differentiated, by which rule,
//!   which heads and layers are folded, what the relevancy is compared with.
//! - [`Score`], [`MethodRow`], [`HeadShares`] and [`PatchMap`] are what an engine finds out beside the row, as plain arrays.
//! - [`faithfulness`] holds a map against orders of cells that know nothing: curves, gains and how they stand among controls.
//! - [`unpool()`] spreads the relevancy of tokens over the finer cells that were averaged into them.
//! - [`raw_attention_row`] and [`rollout_row`] are the baselines; [`check_attention`] rejects arrays that cannot be attention.
//!
//! # Example
//! Three tokens and two layers, the fused attentions given:
//! ```
//! use attention_relevancy::ndarray::{Array2, array};
//! use attention_relevancy::{FusedMatrix, Propagation, Update, relevancy_matrix};
//!
//! let first = array![[0.1, 0.3, 0.2], [0.2, 0.1, 0.4], [0.3, 0.2, 0.1]];
//! let last = array![[0.2, 0.4, 0.1], [0.1, 0.2, 0.5], [0.4, 0.1, 0.2]];
//! let layers = || [&first, &last].map(|fused| FusedMatrix::new(fused.view()).unwrap());
//!
//! // R = (I + Ā₂)(I + Ā₁), worked by hand.
//! let expected = array![[1.43, 0.82, 0.51], [0.50, 1.45, 1.05], [0.82, 0.47, 1.44]];
//! let matrix: Array2<f32> = relevancy_matrix(3, layers(), Update::Additive)?;
//! assert!((&matrix - &expected).iter().all(|error| error.abs() < 1e-6));
//!
//! // Its last row, from the last layer to the first.
//! let mut propagation = Propagation::unit(3, 2)?;
//! for mut layer in layers().into_iter().rev() {
//!     propagation.step(Update::Additive, &mut layer)?;
//! }
//! let row = propagation.finish();
//! assert!((&row - &expected.row(2)).iter().all(|error| error.abs() < 1e-6));
//! # Ok::<(), attention_relevancy::Error>(())
//! ```
//!
//! From attention and gradient to an explanation. The prompt is a word, a picture of 1×2 cells and a word; the model answered
//! with the token 7 at position 4, so row 3 is the one that counts:
//! ```
//! use attention_relevancy::ndarray::{Array3, array};
//! use attention_relevancy::{
//!     Explanation, ImageGrid, Propagation, RetainedLayer, Target, TokenLayout, Update, check_attention,
//! };
//!
//! // [H, S, S], one head: causal softmax rows, and the gradient of the logit.
//! let rows = array![
//!     [1.0, 0.0, 0.0, 0.0, 0.0],
//!     [0.5, 0.5, 0.0, 0.0, 0.0],
//!     [0.2, 0.4, 0.4, 0.0, 0.0],
//!     [0.1, 0.2, 0.5, 0.2, 0.0],
//!     [0.2, 0.2, 0.2, 0.2, 0.2],
//! ];
//! let attention: Array3<f32> = rows.into_shape_with_order((1, 5, 5)).unwrap();
//! let mut gradient = Array3::zeros((1, 5, 5));
//! gradient[[0, 3, 0]] = -1.0; // against the answer: does not count
//! gradient[[0, 3, 1]] = 0.5;
//! gradient[[0, 3, 2]] = 0.8;
//! check_attention(attention.view(), 1e-5)?;
//!
//! let target = Target::new(4, 7)?;
//! let mut propagation = Propagation::explaining(5, &target)?;
//! let mut layer = RetainedLayer::gradient_weighted(attention.view(), gradient.view())?;
//! propagation.step(Update::Additive, &mut layer)?; // a deeper model: once per layer, last to first
//!
//! let layout = TokenLayout::from_images(5, [(1..3, ImageGrid { image: 0, rows: 1, columns: 2 })])?;
//! let explanation = Explanation::new(vec![target], propagation.finish(), layout)?;
//! assert_eq!(explanation.image_grid(0), Some(array![[0.1, 0.4]]));
//! assert_eq!(explanation.text().collect::<Vec<_>>(), [(0, 0.0), (3, 1.0)]); // 3 is the row itself
//! assert_eq!(explanation.shares().unwrap().image(), 1.0);
//! # Ok::<(), attention_relevancy::Error>(())
//! ```

pub use ndarray;

pub use crate::{
    agreement::{by_value, rank_correlation, top_overlap},
    attention::FusedAttention,
    backward::{Backward, UnknownBackward},
    baseline::{raw_attention_row, rollout_row, value_norm_row},
    error::{Error, ErrorKind, StepError},
    explanation::{Explanation, Shares},
    folding::{Folding, Layers},
    gradient::{
        dex_ar_row, grad_cam_attention_row, grad_cam_hidden, gradient_attention_row,
        gradient_weighted_row, input_gradient, legrad_row, mean_cell_drop,
    },
    heads::{HeadFusion, HeadRule},
    layout::{ImageGrid, Segment, SegmentKind, TokenLayout},
    matrix::{FusedMatrix, relevancy_matrix},
    method::{HeadWeights, Method, Pool},
    objective::{Foil, Foils, Objective},
    occlusion::Occlusion,
    outcome::{HeadMaps, HeadShares, MethodRow, PatchMap, Score, Unavailable},
    propagation::Propagation,
    retained::RetainedLayer,
    scale::Scale,
    sinks::{Sink, SinkFinder, SinkRule, Sinks},
    soundness::check_attention,
    target::Target,
    unpool::unpool,
    update::{RowRule, RowWeights, Update},
};

mod update;

mod attention;
mod propagation;

mod folding;
mod heads;
mod matrix;
mod retained;

mod baseline;
mod gradient;
pub mod tam;

pub mod faithfulness;

mod backward;
mod method;
mod objective;
mod occlusion;

mod sinks;
mod soundness;

mod agreement;
mod explanation;
mod layout;
mod outcome;
mod scale;
mod target;
mod unpool;

mod error;
mod threads;

/// Runs the example of the README as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
