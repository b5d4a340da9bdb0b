//! The options of `explain` that choose what the explanation is made of, and what it is compared with.

use std::ops::Range;
use std::sync::LazyLock;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use medgemma_explainer::{
    Compared, Explainer, Explanations, Folding, HeadFusion, HeadWeights, Layers, Method, MethodId,
    Occlusion, Pool, Update,
};
use serde::{Deserialize, Serialize};

use crate::explain::shorten;
use crate::output;

#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct MethodArgs {
    /// Further methods to compare with the relevancy, in report.html, --figures comparison, explanation.json and explanation.npz
    #[arg(
        long,
        value_enum,
        value_name = "METHOD",
        value_delimiter = ',',
        hide_possible_values = false,
        help_heading = "Method"
    )]
    method: Vec<MethodArg>,
    /// Layers that contribute to the relevancy and to every method: all, global (those with global attention) or A..B (A to B−1,
    /// counted from 0)
    #[arg(long, value_name = "LAYERS", default_value = "all", value_parser = layers, help_heading = "Method")]
    #[serde(with = "crate::spelled")]
    layers: Layers,
    /// Head fusion: mean, max, the number of a single head, or gradient (raw-attention: heads weighted by their gradients; all
    /// else: mean)
    #[arg(long, value_name = "HEADS", default_value = "mean", value_parser = heads, help_heading = "Method")]
    #[serde(with = "crate::spelled")]
    heads: HeadWeights,
    /// How token-attention and object-attention combine layers and tokens
    #[arg(long, value_enum, default_value_t, help_heading = "Method")]
    pool: PoolArg,
    /// The layer for grad-cam and grad-cam-hidden, counted from 0; by default the last layer with global attention, and the
    /// middle one
    #[arg(long, value_name = "LAYER", help_heading = "Method")]
    cam_layer: Option<usize>,
}

/// A method to compare with; names are those of [`MethodId`].
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum MethodArg {
    /// The relevancy itself.
    Relevancy,
    #[serde(untagged)]
    Other(MethodId),
}

impl MethodArg {
    fn help(self) -> &'static str {
        let Self::Other(method) = self else {
            return "The relevancy itself, which is always computed";
        };
        match method {
            MethodId::RelevancyAdditive => "Relevancy with R ← R + Ā·R, regardless of --update",
            MethodId::RelevancyStochastic => {
                "Relevancy with normalised rows, regardless of --update"
            }
            MethodId::Rollout => "Attention rollout over --layers, heads fused by --heads",
            MethodId::RawAttention => "Attention of the row that predicts the token",
            MethodId::ValueNorm => "raw-attention × the norm of the values that it carries",
            MethodId::TokenAttention => "Attention of the token itself, when the model reads it",
            MethodId::ObjectAttention => "token-attention over all tokens of the target together",
            MethodId::GradientAttention => "Attention × its gradient, positive part",
            MethodId::Legrad => {
                "LeGrad: the gradient of each layer's own reading of the word at its attention, positive part"
            }
            MethodId::DexAr => {
                "DEX-AR: that gradient of the heads where it is larger in the pictures than in the text"
            }
            MethodId::GradCam => "Grad-CAM on the attention of one layer",
            MethodId::GradCamHidden => "Grad-CAM on the hidden states before one layer",
            MethodId::InputGradient => "Gradient × input at the embeddings",
            MethodId::MeanCell => {
                "What the word would lose if a cell became the mean cell of its picture, to first order"
            }
            MethodId::Tam => {
                "Token activation map: where the word can be read off the hidden states, not what caused it"
            }
            MethodId::OcclusionMeanEmbedding => {
                "The true drop when the embedding of a cell becomes the mean of its picture; a forward pass for each cell"
            }
            MethodId::OcclusionKnockout => {
                "The true drop when no token behind the pictures sees a cell; a short forward pass for each cell"
            }
            _ => "",
        }
    }
}

impl ValueEnum for MethodArg {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<MethodArg>> = LazyLock::new(|| {
            let others = MethodId::ALL.into_iter().map(MethodArg::Other);
            std::iter::once(MethodArg::Relevancy).chain(others).collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let name = match self {
            Self::Relevancy => "relevancy",
            Self::Other(method) => method.name(),
        };
        Some(PossibleValue::new(name).help(self.help()))
    }
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum PoolArg {
    /// Their mean
    #[default]
    Mean,
    /// The largest
    Max,
    /// Their sum
    Sum,
}

impl Default for MethodArgs {
    fn default() -> Self {
        Self {
            method: Vec::new(),
            layers: Layers::All,
            heads: HeadFusion::Mean.into(),
            pool: PoolArg::default(),
            cam_layer: None,
        }
    }
}

impl MethodArgs {
    /// What the relevancy is made of.
    pub(crate) fn folding(&self) -> Folding {
        Folding::default().with_heads(self.fused()).with_layers(self.layers.clone())
    }

    /// What it is compared with, in the order asked.
    pub(crate) fn methods(&self, explainer: &Explainer) -> Vec<Compared> {
        let model = explainer.inspection().language_model();
        let last = model.last_global_layer();
        let mut methods: Vec<Compared> = Vec::new();
        for method in &self.method {
            let method = self.compared(*method, (last, model.layers / 2));
            methods.extend(method.filter(|method| !methods.contains(method)));
        }
        methods
    }

    fn compared(&self, method: MethodArg, (last_full, middle): (usize, usize)) -> Option<Compared> {
        let (heads, layers) = (self.fused(), self.layers.clone());
        let over = match self.pool {
            PoolArg::Mean => Pool::Mean,
            PoolArg::Max => Pool::Max,
            PoolArg::Sum => Pool::Sum,
        };
        let MethodArg::Other(method) = method else { return None };
        Some(Compared::Other(match method {
            MethodId::RelevancyAdditive => return Some(Compared::Relevancy(Update::Additive)),
            MethodId::RelevancyStochastic => {
                return Some(Compared::Relevancy(Update::Stochastic));
            }
            MethodId::Rollout => Method::Rollout { heads, layers },
            MethodId::RawAttention => Method::RawAttention { heads: self.heads, layers },
            MethodId::ValueNorm => Method::ValueNorm { heads, layers },
            MethodId::TokenAttention => Method::TokenAttention { heads, layers, over },
            MethodId::ObjectAttention => Method::ObjectAttention { heads, layers, over },
            MethodId::GradientAttention => Method::GradientAttention { heads, layers },
            MethodId::Legrad => Method::LeGrad { heads, layers },
            MethodId::DexAr => Method::DexAr { layers },
            MethodId::GradCam => {
                Method::GradCamAttention { layer: self.cam_layer.unwrap_or(last_full) }
            }
            MethodId::GradCamHidden => {
                Method::GradCamHidden { layer: self.cam_layer.unwrap_or(middle) }
            }
            MethodId::InputGradient => Method::InputGradient,
            MethodId::MeanCell => Method::MeanCell,
            MethodId::Tam => Method::Tam,
            MethodId::OcclusionMeanEmbedding => {
                return Some(Compared::Occlusion(Occlusion::MeanEmbedding));
            }
            MethodId::OcclusionKnockout => return Some(Compared::Occlusion(Occlusion::Knockout)),
            _ => return None,
        }))
    }

    fn fused(&self) -> HeadFusion {
        match self.heads {
            HeadWeights::Fused(heads) => heads,
            HeadWeights::Gradient => HeadFusion::Mean,
        }
    }
}

/// How much of each method lies in the pictures, target by target, and what could not be had.
pub(crate) fn print(explanations: &Explanations) {
    let methods = &explanations.options.methods;
    if methods.is_empty() {
        return;
    }
    let names: Vec<String> = methods.iter().map(ToString::to_string).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).max(24);
    for target in &explanations.targets {
        output::blank_line();
        let heading = shorten(&target.label(), width);
        output::line(format_args!("{heading:<width$}  in pictures"));
        let share = target.relevancy().shares().map(|shares| shares.image());
        output::line(format_args!("{:<width$}  {}", "relevancy", percent(share)));
        for (index, (name, row)) in names.iter().zip(target.methods()).enumerate() {
            match row {
                Ok(_) => {
                    let share = percent(target.method_image_share(index));
                    output::line(format_args!("{name:<width$}  {share}"));
                }
                Err(why) => output::line(format_args!("{name:<width$}  not available: {why}")),
            }
        }
    }
}

fn percent(share: Option<f32>) -> String {
    // Rounding may leave a sum a little below zero.
    share.map_or_else(
        || format!("{:>11}", "–"),
        |share| format!("{:>9.1} %", 100.0 * share.max(0.0)),
    )
}

pub(crate) fn layers(text: &str) -> Result<Layers, String> {
    match text {
        "all" => return Ok(Layers::All),
        "global" => return Ok(Layers::Global),
        _ => {}
    }
    let range = text.split_once("..").and_then(|(start, end)| {
        Some(Range { start: start.trim().parse().ok()?, end: end.trim().parse().ok()? })
    });
    let range = range.filter(|range| !range.is_empty());
    range.map(Layers::Range).ok_or_else(|| "give all, global, or A..B with A below B".to_owned())
}

pub(crate) fn heads(text: &str) -> Result<HeadWeights, String> {
    Ok(match text {
        "mean" => HeadFusion::Mean.into(),
        "max" => HeadFusion::Max.into(),
        "gradient" => HeadWeights::Gradient,
        _ => {
            let head =
                text.parse().map_err(|_| "give mean, max, gradient or a number".to_owned())?;
            HeadFusion::One(head).into()
        }
    })
}

/// What [`heads`] reads.
pub(crate) fn spell_heads(heads: HeadWeights) -> String {
    match heads {
        HeadWeights::Fused(HeadFusion::One(head)) => head.to_string(),
        HeadWeights::Gradient => "gradient".to_owned(),
        HeadWeights::Fused(heads) => heads.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_a_help_and_makes_what_its_name_says() {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            methods: MethodArgs,
        }
        let args = <Command as clap::Parser>::parse_from(["explain"]).methods;
        for id in MethodId::ALL {
            let arg = MethodArg::Other(id);
            assert!(MethodArg::value_variants().contains(&arg) && !arg.help().is_empty(), "{id}");
            assert_eq!(args.compared(arg, (1, 1)).map(|method| method.id()), Some(id));
        }
        assert_eq!(args.compared(MethodArg::Relevancy, (1, 1)), None);
    }

    #[test]
    fn layers_and_heads_are_read() {
        assert_eq!(layers("global").unwrap(), Layers::Global);
        assert_eq!(layers("2..5").unwrap(), Layers::Range(2..5));
        assert!(["5..2", "3", "..", "a..b"].iter().all(|text| layers(text).is_err()));
        assert_eq!(heads("3").unwrap(), HeadWeights::Fused(HeadFusion::One(3)));
        assert_eq!(heads("gradient").unwrap(), HeadWeights::Gradient);
        assert!(heads("median").is_err());
    }
}
