//! What the facade is asked for a setting, and what of its answer is the map.

use std::ops::Range;

use anyhow::{Context, Result};
use attention_capture::{Folding, HeadWeights, Layers, Method as Rowwise, Objective, Pool, Spread};
use attention_relevancy::{HeadFusion, SinkRule};
use medgemma_explainer::{
    Compared, ExplainOptions, LanguageModel, Resolution, SinkOptions, SpanRule, TargetExplanation,
};

use crate::localize::settings::{Extent, Method, Rule};
use crate::reader::Spoken;

/// A call of the facade for some words.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    /// Which tokens of each word are explained.
    pub(crate) tokens: Tokens,
    pub(crate) options: ExplainOptions,
    pub(crate) shown: Shown,
}

/// Tokens of a word or beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokens {
    /// The first one, which decides.
    Deciding,
    /// The one behind that.
    Next,
    Word,
    Sentence,
}

/// What is read off an explanation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    Relevancy,
    /// The row at the input of this layer. That of the last one began on a token of the text, so its image part is that of Ā of that layer.
    Layer(usize),
    RawAttention,
    Rollout,
    /// The row of the one method that the options name.
    Method(Signed),
}

/// What of a value with a sign is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// All of it.
    Kept,
    /// Its size.
    Absolute,
}

impl Signed {
    pub(crate) fn of(self, value: f32) -> f32 {
        match self {
            Self::Kept => value,
            Self::Absolute => value.abs(),
        }
    }
}

impl Shown {
    /// That row over all tokens; `method` is its place among the methods that were asked for.
    pub(crate) fn row(self, target: &TargetExplanation, method: usize) -> Result<Vec<f32>> {
        Ok(match self {
            Self::Relevancy => target.relevancy().relevancy().to_vec(),
            Self::Layer(layer) => {
                let layers = target.layers().context("the rows of the layers were asked for")?;
                layers.row(layer).to_vec()
            }
            Self::RawAttention => target.raw_attention().to_vec(),
            Self::Rollout => target.rollout().to_vec(),
            Self::Method(signed) => {
                target.methods()[method].clone()?.mapv(|value| signed.of(value)).to_vec()
            }
        })
    }
}

impl Tokens {
    pub(crate) fn of(self, word: &Spoken) -> Range<usize> {
        let first = word.positions.start;
        match self {
            Self::Deciding => first..first + 1,
            Self::Next => first + 1..first + 2,
            Self::Word => word.positions.clone(),
            Self::Sentence => word.sentence.clone(),
        }
    }
}

impl Asked {
    /// For a method and an objective; `None` for what the facade does not offer.
    pub(crate) fn of(method: Method, objective: Objective, model: &LanguageModel) -> Option<Self> {
        let options = ExplainOptions::default().with_objective(objective);
        let plain = |options| Self { tokens: Tokens::Deciding, options, shown: Shown::Relevancy };
        Some(match method {
            Method::Relevancy(update) => plain(options.with_update(update)),
            Method::Span(extent, rule) => {
                let tokens = match extent {
                    Extent::Word => Tokens::Word,
                    Extent::Sentence => Tokens::Sentence,
                };
                let span = match rule {
                    Rule::Mean => SpanRule::Mean,
                    Rule::Sum => SpanRule::Sum,
                    Rule::Reliance => SpanRule::Reliance,
                };
                Self { tokens, ..plain(options.with_span(span)) }
            }
            Method::Path(points) => plain(options.with_path_points(points)),
            Method::GlobalLayers => {
                plain(options.with_folding(Folding::default().with_layers(Layers::Global)))
            }
            Method::LargestHead => {
                plain(options.with_folding(Folding::default().with_heads(HeadFusion::Max)))
            }
            Method::WrongRow => Self { tokens: Tokens::Next, ..plain(options) },
            Method::Seed => plain(ExplainOptions::python_program().with_objective(objective)),
            Method::WithoutSinks => {
                plain(options.with_sinks(Some(SinkOptions::new(SinkRule::Drop))))
            }
            Method::Balanced(rule) => plain(options.with_backward(rule)),
            Method::Upper(quarters) => {
                let shown = Shown::Layer(quarters.first(model.layers));
                Self { shown, ..plain(options.with_by_layer(true)) }
            }
            Method::LastGradient => {
                let shown = Shown::Layer(model.layers - 1);
                Self { shown, ..plain(options.with_by_layer(true)) }
            }
            Method::Occlusion(operator) => {
                let options = options.with_methods(vec![Compared::Occlusion(operator)]);
                Self { shown: Shown::Method(Signed::Kept), ..plain(options) }
            }
            Method::Lrp(rule) => {
                let methods = vec![Compared::Other(Rowwise::InputGradient)];
                let options = options.with_methods(methods).with_backward(rule);
                Self { shown: Shown::Method(Signed::Kept), ..plain(options) }
            }
            Method::RawLast => Self { shown: Shown::RawAttention, ..plain(options) },
            Method::Rollout => Self { shown: Shown::Rollout, ..plain(options) },
            Method::Patches(_, Spread::GradientActivation) | Method::Pixels(_) => {
                plain(options.with_resolution(Resolution::Pixels))
            }
            Method::Phrases
            | Method::LessBlank
            | Method::Random
            | Method::CausalImage
            | Method::DoubleBos
            | Method::Patches(_, Spread::Even) => return None,
            rowwise => {
                let methods = vec![Compared::Other(compared(rowwise, model)?)];
                let asked = plain(options.with_methods(methods));
                let whole = rowwise == Method::WholeWordAttention;
                let span = if whole { SpanRule::Sum } else { asked.options.span };
                let tokens = if whole { Tokens::Word } else { asked.tokens };
                let signed = match rowwise {
                    Method::InputGradient => Signed::Absolute,
                    _ => Signed::Kept,
                };
                let options = asked.options.with_span(span);
                Self { shown: Shown::Method(signed), tokens, options }
            }
        })
    }
}

/// A method beside the relevancy, from the same sweep.
fn compared(method: Method, model: &LanguageModel) -> Option<Rowwise> {
    let (heads, all, over) = (HeadFusion::Mean, Layers::All, Pool::Mean);
    let raw = |layers| Rowwise::RawAttention { heads: HeadWeights::from(heads), layers };
    Some(match method {
        Method::MeanGradient => Rowwise::GradientAttention { heads, layers: all },
        Method::GradCamAttention => Rowwise::GradCamAttention { layer: model.last_global_layer() },
        Method::GradCamHidden => Rowwise::GradCamHidden { layer: model.layers / 2 },
        Method::InputGradient => Rowwise::InputGradient,
        Method::MeanCell => Rowwise::MeanCell,
        Method::Tam => Rowwise::Tam,
        Method::LeGrad => Rowwise::LeGrad { heads, layers: all },
        Method::DexAr => Rowwise::DexAr { layers: all },
        Method::ValueNorm => Rowwise::ValueNorm { heads, layers: all },
        Method::RawMean => raw(all),
        Method::RawGlobal => raw(Layers::Global),
        Method::OwnAttention => Rowwise::TokenAttention { heads, layers: all, over },
        Method::WholeWordAttention => Rowwise::ObjectAttention { heads, layers: all, over },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::localize::settings::{Goals, Setting};
    use crate::reader::Reader;
    use attention_capture::Foil;
    use std::path::Path;

    #[test]
    fn the_setting_of_the_studies_is_the_default_of_the_facade() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/explainer/models");
        let reader = Reader::open(&models.join("phantom")).unwrap();
        let model = reader.explainer().inspection().language_model();
        let Setting { method, goals } = Setting::DEFAULT;
        assert_eq!(goals, Goals::Alternatives);
        let asked = Asked::of(method, Objective::Contrast(Foil::Alternatives), &model).unwrap();
        assert_eq!(asked.options, ExplainOptions::default());
        assert_eq!((asked.tokens, asked.shown), (Tokens::Deciding, Shown::Relevancy));
    }
}
