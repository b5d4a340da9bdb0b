//! Methods to compare relevancy with ([`Method`]), each from the same run and the same sweep.

mod activation;
mod collect;
mod retained;
mod streaming;

use crate::folding::Fold;
use crate::seam::Dims;
use crate::{Error, LanguageModel};
use attention_relevancy::{HeadFusion, HeadWeights, Method};

pub(crate) use collect::{Collector, PredictingRow};
pub use streaming::MethodRecorder;

/// Fails where the model does not have the layers or heads of the method.
pub fn check_method<M: LanguageModel>(method: &Method, model: &M) -> Result<(), Error> {
    plan(method, &model.dims()).map(drop)
}

/// Checks layers and heads against the model; the fusion of the layers, where the method fuses.
fn plan(method: &Method, dims: &[Dims]) -> Result<Option<Fold>, Error> {
    let n = dims.len();
    let within = |layer: usize, end: usize| {
        if layer < end { Ok(None) } else { Err(Error::Layer { layer, layers: n }) }
    };
    match method {
        Method::Rollout { heads, layers }
        | Method::TokenAttention { heads, layers, .. }
        | Method::ObjectAttention { heads, layers, .. }
        | Method::ValueNorm { heads, layers }
        | Method::GradientAttention { heads, layers }
        | Method::LeGrad { heads, layers }
        | Method::RawAttention { heads: HeadWeights::Fused(heads), layers } => {
            Fold::new(*heads, layers, dims).map(Some)
        }
        Method::RawAttention { heads: HeadWeights::Gradient, layers }
        | Method::DexAr { layers } => Fold::new(HeadFusion::Mean, layers, dims).map(Some),
        Method::GradCamAttention { layer } => within(*layer, n),
        Method::GradCamHidden { layer } => within(*layer, n + 1),
        Method::InputGradient | Method::MeanCell | Method::Tam => Ok(None),
    }
}
