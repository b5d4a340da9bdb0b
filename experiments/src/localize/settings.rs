//! Which methods are compared, with which objectives, under which names.

use std::fmt;

use attention_capture::Spread;
use attention_relevancy::{Backward, Occlusion, Update};

/// What is read off the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The relevancy of the word's deciding token.
    Relevancy(Update),
    /// The same, additive, the mean of so many points on the way from the mean cell to the picture.
    Path(usize),
    /// The same, additive, through the layers with full attention alone.
    GlobalLayers,
    /// The same, additive, the largest over heads in place of their mean.
    LargestHead,
    /// The same, additive, through these of the layers alone, the upper ones.
    Upper(Quarters),
    /// The same, additive, without the columns of attention sinks.
    WithoutSinks,
    /// The same, additive, less the relevancy of the same word on an even grey; where it is above zero.
    LessBlank,
    /// The same, additive, of a cotangent by another rule than the gradient.
    Balanced(Backward),
    /// The same, additive, of several tokens.
    Span(Extent, Rule),
    /// The word against the foil in its place, both of one run, additive.
    Phrases,
    /// `E_h[(∇A⊙A)⁺]` of the last layer alone.
    LastGradient,
    /// The same of all layers, their mean.
    MeanGradient,
    /// Grad-CAM on the attention of the last layer with full attention.
    GradCamAttention,
    /// Grad-CAM on the hidden states before the middle layer.
    GradCamHidden,
    /// Gradient × input at the input embeddings, without its sign.
    InputGradient,
    /// The drop towards the mean cell, to first order; where it is above zero.
    MeanCell,
    /// Layer-wise relevance propagation to the input embeddings; where it is above zero.
    Lrp(Backward),
    /// The drop that a forward pass without each cell tells; where it is above zero.
    Occlusion(Occlusion),
    /// LeGrad of all layers, their mean.
    LeGrad,
    /// DEX-AR of all layers, their mean.
    DexAr,
    /// The token activation map.
    Tam,
    /// Head mean of the last layer's attention.
    RawLast,
    /// Mean of the attention of all heads and layers.
    RawMean,
    /// The same of the layers with full attention.
    RawGlobal,
    /// The mean of all layers, weighted by the norm of what attention carries.
    ValueNorm,
    /// Mean of the attention of all heads and layers where the word itself is read.
    OwnAttention,
    /// The same for all tokens of the word.
    WholeWordAttention,
    /// Attention rollout.
    Rollout,
    /// A number between 0 and 1 for each cell.
    Random,
    /// A mistake: the row of the word itself, which predicts the token behind it; additive.
    WrongRow,
    /// A mistake: image tokens see only those before them; additive.
    CausalImage,
    /// A mistake: a second `<bos>` in front; additive.
    DoubleBos,
    /// Both of them, as the public Python program has them; additive.
    Seed,
    /// The relevancy carried on to the patches.
    Patches(Finer, Spread),
    /// Gradient × input of the pixels, without its sign.
    Pixels(Finer),
}

/// How many quarters of the layers, from the last one down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quarters(pub usize);

impl Quarters {
    /// The first of the layers.
    pub(super) fn first(self, layers: usize) -> usize {
        layers - (layers * self.0).div_ceil(4)
    }
}

/// How long a setting takes beside others, and so on how many pictures it is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// It shares a sweep with others, or is what all are compared with.
    Least,
    /// A sweep or a run of its own.
    More,
    /// A sweep for each token of a sentence, or a forward pass for each cell.
    Most,
}

/// What a sweep depends on whose maps are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sweep {
    pub(crate) goals: Goals,
    pub(crate) backward: Backward,
}

/// Which tokens are explained together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Those of the word.
    Word,
    /// Those of its sentence, the full stop among them.
    Sentence,
}

/// How several tokens are explained together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The mean of their maps.
    Mean,
    /// One map of the sum of their scalars.
    Sum,
    /// The mean weighted by what each gains by the picture over an even grey.
    Reliance,
}

/// Where a map that is finer than tokens is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finer {
    /// On its own cells.
    Own,
    /// Before the layers of the vision tower, on its own cells.
    Unpooled,
    /// Summed over the cells of the tokens.
    Pooled,
}

/// The scalar that is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goals {
    /// The method needs none.
    None,
    /// The logit: the published rule.
    Logit,
    /// The logarithm of the probability.
    LogProbability,
    /// The logarithm of the odds.
    LogOdds,
    /// The logit minus that of the runner-up.
    RunnerUp,
    /// The logit minus that of a foil of the same kind: `clear`, `none`, the other side, another level.
    Named,
    /// The logit minus that of the token that the same row would most likely have chosen on an even grey, among the others.
    Blank,
    /// The same where every cell of the picture is the mean of its cells.
    MeanCells,
    /// The logit minus those of the tokens that could stand there, by their probabilities with the picture and with it hidden: what
    /// `explain` does by default.
    Alternatives,
    /// That of [`Goals::Alternatives`] less the map of its opposite, of the foils against the word; where it is above zero.
    TwoSided,
}

/// A method with its objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The method.
    pub method: Method,
    /// The objective.
    pub goals: Goals,
}

impl Goals {
    /// The objective of a method that needs none is the logit.
    pub(super) fn scalar(self) -> Self {
        if self == Self::None { Self::Logit } else { self }
    }
}

impl Setting {
    /// The sweep over the deciding tokens of words that gives its map among others, additive and with the options by default.
    pub(crate) fn sweep(self) -> Option<Sweep> {
        let backward = match self.method {
            Method::Relevancy(Update::Additive) if self.goals != Goals::TwoSided => {
                Backward::Gradient
            }
            Method::Upper(_)
            | Method::LastGradient
            | Method::MeanGradient
            | Method::GradCamAttention
            | Method::GradCamHidden
            | Method::InputGradient
            | Method::MeanCell
            | Method::LeGrad
            | Method::DexAr
            | Method::Tam
            | Method::RawLast
            | Method::RawMean
            | Method::RawGlobal
            | Method::ValueNorm
            | Method::OwnAttention
            | Method::Rollout => Backward::Gradient,
            Method::Balanced(backward) | Method::Lrp(backward) => backward,
            Method::Relevancy(_)
            | Method::Path(_)
            | Method::GlobalLayers
            | Method::LargestHead
            | Method::WithoutSinks
            | Method::LessBlank
            | Method::Span(..)
            | Method::Phrases
            | Method::Occlusion(_)
            | Method::WholeWordAttention
            | Method::Random
            | Method::WrongRow
            | Method::CausalImage
            | Method::DoubleBos
            | Method::Seed
            | Method::Patches(..)
            | Method::Pixels(_) => return None,
        };
        Some(Sweep { goals: self.goals.scalar(), backward })
    }

    /// The places of settings in groups: those that one sweep gives together, every other one alone.
    pub(crate) fn groups(settings: &[Self]) -> Vec<Vec<usize>> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (at, setting) in settings.iter().enumerate() {
            let sweep = setting.sweep();
            let same =
                |group: &&mut Vec<usize>| sweep.is_some() && settings[group[0]].sweep() == sweep;
            match groups.iter_mut().find(same) {
                Some(group) => group.push(at),
                None => groups.push(vec![at]),
            }
        }
        groups
    }

    /// How long it takes.
    pub fn effort(self) -> Effort {
        match (self.method, self.goals) {
            (
                Method::Occlusion(_) | Method::Span(Extent::Sentence, Rule::Mean | Rule::Reliance),
                _,
            ) => Effort::Most,
            (Method::Relevancy(Update::Additive), Goals::LogProbability | Goals::LogOdds) => {
                Effort::More
            }
            (Method::Relevancy(Update::Additive) | Method::Random, _) => Effort::Least,
            (Method::Balanced(_) | Method::Lrp(_), _) => Effort::More,
            _ if self.sweep().is_some() => Effort::Least,
            _ => Effort::More,
        }
    }

    /// All that are compared, mistakes last.
    pub fn all() -> Vec<Self> {
        let three = |method: Method| {
            [Goals::Logit, Goals::Alternatives, Goals::Named].map(|goals| Self { method, goals })
        };
        let without = |method: Method| Self { method, goals: Goals::None };
        let two = |method: Method| {
            [Goals::Logit, Goals::Alternatives].map(|goals| Self { method, goals })
        };
        let contrast = |method: Method| Self { method, goals: Goals::Alternatives };
        let mut all = Self::objectives();
        all.extend([Goals::Blank, Goals::MeanCells, Goals::TwoSided].map(Self::additive));
        all.extend([2, 4].map(|points| contrast(Method::Path(points))));
        for extent in [Extent::Word, Extent::Sentence] {
            let rules = [Rule::Mean, Rule::Sum, Rule::Reliance];
            let span =
                |rule| Self { method: Method::Span(extent, rule), goals: Goals::Alternatives };
            all.extend(rules.map(span));
        }
        all.push(without(Method::Phrases));
        all.extend(three(Method::Relevancy(Update::Stochastic)));
        all.extend(two(Method::GlobalLayers));
        all.extend(two(Method::LargestHead));
        all.extend([Method::WithoutSinks, Method::LessBlank].map(contrast));
        all.extend([1, 2, 3].map(|quarters| contrast(Method::Upper(Quarters(quarters)))));
        let balanced = [Backward::CpLrp, Backward::AttnLrp];
        all.extend(balanced.map(|rule| contrast(Method::Balanced(rule))));
        all.extend(balanced.map(|rule| contrast(Method::Lrp(rule))));
        all.extend(three(Method::LastGradient));
        all.extend(two(Method::MeanGradient));
        all.extend(two(Method::LeGrad));
        all.extend(two(Method::DexAr));
        all.extend(two(Method::GradCamAttention));
        all.extend(two(Method::GradCamHidden));
        all.extend(two(Method::InputGradient));
        all.extend(two(Method::MeanCell));
        all.extend(Occlusion::ALL.map(Self::occlusion));
        let forward = [
            Method::RawLast,
            Method::RawMean,
            Method::RawGlobal,
            Method::ValueNorm,
            Method::Rollout,
        ];
        let forward_of_word = [Method::OwnAttention, Method::WholeWordAttention, Method::Tam];
        all.extend(forward.map(without));
        all.extend(forward_of_word.map(without));
        all.push(without(Method::Random));
        let finer = |method: Method| {
            [Goals::Alternatives, Goals::Named].map(|goals| Self { method, goals })
        };
        for at in [Finer::Own, Finer::Unpooled, Finer::Pooled] {
            all.extend(finer(Method::Patches(at, Spread::GradientActivation)));
        }
        all.extend(finer(Method::Patches(Finer::Own, Spread::Even)));
        all.extend(finer(Method::Pixels(Finer::Own)));
        all.extend(finer(Method::Pixels(Finer::Pooled)));
        all.extend(two(Method::WrongRow));
        all.extend(two(Method::CausalImage));
        all.extend(two(Method::DoubleBos));
        all.extend(two(Method::Seed));
        all
    }

    /// Those that are compared on the hybrid, where a sweep takes about a second a word: no map finer than tokens, and of the objectives
    /// no blank but that of the command.
    pub fn of_a_deep_model() -> Vec<Self> {
        let is_taken = |setting: &Self| match (setting.method, setting.goals) {
            (Method::Patches(..) | Method::Pixels(_) | Method::Phrases, _)
            | (_, Goals::Blank | Goals::MeanCells) => false,
            (Method::Path(points), _) => points == 2,
            (Method::Relevancy(Update::Additive), _) => true,
            (Method::Span(Extent::Word, _), _)
            | (_, Goals::LogProbability | Goals::LogOdds | Goals::Named) => false,
            (_, Goals::Logit) => setting.sweep().is_some(),
            _ => true,
        };
        Self::all().into_iter().filter(is_taken).collect()
    }

    /// The relevancy by every objective that `explain` has, foils by name included.
    pub fn objectives() -> Vec<Self> {
        let all = [
            Goals::Logit,
            Goals::LogProbability,
            Goals::LogOdds,
            Goals::RunnerUp,
            Goals::Alternatives,
            Goals::Named,
        ];
        all.map(Self::additive).into()
    }

    const fn additive(goals: Goals) -> Self {
        Self { method: Method::Relevancy(Update::Additive), goals }
    }

    /// Whether it is one of [`Self::occlusion`].
    pub fn is_occlusion(self) -> bool {
        matches!(self.method, Method::Occlusion(_))
    }

    /// Passes without each cell, of the word against its alternatives: what other maps of it are estimates of.
    pub fn occlusion(operator: Occlusion) -> Self {
        Self { method: Method::Occlusion(operator), goals: Goals::Alternatives }
    }

    /// What `explain --path-points 2` does.
    pub const TWO_POINTS: Self = Self { method: Method::Path(2), goals: Goals::Alternatives };

    /// What `explain` does by default: the setting of the studies.
    pub const DEFAULT: Self = Self::additive(Goals::Alternatives);
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::Relevancy(update) => &format!("relevancy, {update}"),
            Method::Span(extent, rule) => &span_name(extent, rule),
            Method::Phrases => "relevancy, additive, the word against the foil as phrases",
            Method::Path(points) => &format!("relevancy, additive, mean of {points} points"),
            Method::GlobalLayers => "relevancy, additive, global layers",
            Method::LargestHead => "relevancy, additive, largest head",
            Method::Upper(Quarters(1)) => "relevancy, additive, the last quarter of the layers",
            Method::Upper(Quarters(quarters)) => {
                &format!("relevancy, additive, the last {quarters} quarters of the layers")
            }
            Method::WithoutSinks => "relevancy, additive, without attention sinks",
            Method::LessBlank => "relevancy, additive, less that on an even grey",
            Method::Balanced(rule) => &format!("relevancy, additive, {rule} cotangent"),
            Method::Lrp(rule) => &format!("{rule} to the embeddings, above zero"),
            Method::Occlusion(operator) => &format!("occlusion, {operator}, above zero"),
            Method::LeGrad => "LeGrad",
            Method::DexAr => "DEX-AR",
            Method::ValueNorm => "attention by the norm of its values, mean of all layers",
            Method::LastGradient => "gradient × attention, last layer",
            Method::MeanGradient => "gradient × attention, mean of all layers",
            Method::GradCamAttention => "Grad-CAM on attention, last global layer",
            Method::GradCamHidden => "Grad-CAM on hidden states, middle layer",
            Method::InputGradient => "gradient × input, absolute value",
            Method::MeanCell => "drop towards the mean cell, above zero",
            Method::Tam => "token activation map",
            Method::RawLast => "raw attention, last layer",
            Method::RawMean => "raw attention, mean of all layers",
            Method::RawGlobal => "raw attention, mean of global layers",
            Method::OwnAttention => "attention of the word itself",
            Method::WholeWordAttention => "attention of all tokens of the word",
            Method::Rollout => "attention rollout",
            Method::Random => "uniform random",
            Method::WrongRow => "mistake: a row too far",
            Method::CausalImage => "mistake: causal image tokens",
            Method::DoubleBos => "mistake: a second `<bos>`",
            Method::Seed => "both mistakes of the public Python program",
            Method::Patches(at, spread) => &patches_name(at, spread),
            Method::Pixels(Finer::Pooled) => {
                "pixels, gradient × input without sign, summed over the cells of tokens"
            }
            Method::Pixels(_) => "pixels, gradient × input without sign",
        };
        f.write_str(method)?;
        match self.goals {
            Goals::None => Ok(()),
            Goals::Logit => f.write_str(", logit"),
            Goals::LogProbability => f.write_str(", log-probability"),
            Goals::LogOdds => f.write_str(", log-odds"),
            Goals::RunnerUp => f.write_str(", contrast with the runner-up"),
            Goals::Named => f.write_str(", contrast with a named foil"),
            Goals::Blank => f.write_str(", contrast with what an even grey would have said"),
            Goals::MeanCells => {
                f.write_str(", contrast with what the mean of all cells would have said")
            }
            Goals::Alternatives => f.write_str(", contrast with the alternatives"),
            Goals::TwoSided => f.write_str(", contrast with the alternatives, less its opposite"),
        }
    }
}

fn span_name(extent: Extent, rule: Rule) -> String {
    let tokens = match extent {
        Extent::Word => "the word's tokens",
        Extent::Sentence => "the sentence's tokens",
    };
    match rule {
        Rule::Mean => format!("relevancy, additive, mean of {tokens}"),
        Rule::Sum => format!("relevancy, additive, sum over {tokens}"),
        Rule::Reliance => format!("relevancy, additive, {tokens} by reliance"),
    }
}

fn patches_name(at: Finer, spread: Spread) -> String {
    let at = match at {
        Finer::Own => "",
        Finer::Unpooled => " before the vision tower",
        Finer::Pooled => ", summed over the cells of tokens",
    };
    let spread = match spread {
        Spread::Even => ", spread evenly",
        Spread::GradientActivation => "",
    };
    format!("patches{at}{spread}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_sweep_gives_is_asked_for_together() {
        let of = |method, goals| Setting { method, goals };
        let settings = [
            of(Method::Relevancy(Update::Additive), Goals::Logit),
            of(Method::Random, Goals::None),
            of(Method::RawMean, Goals::None),
            of(Method::Lrp(Backward::CpLrp), Goals::Logit),
            of(Method::LeGrad, Goals::Logit),
            of(Method::Random, Goals::None),
        ];
        // Raw attention needs no objective and goes with the logit.
        assert_eq!(Setting::groups(&settings), [vec![0, 2, 4], vec![1], vec![3], vec![5]]);
    }
}
