//! How an explanation is made of goals, and put together from what an engine says of them.

use attention_capture::{Attribution, Goal};
use attention_relevancy::ndarray::{Array, Array1, Array2, Dimension};
use attention_relevancy::{
    Explanation, Foils, HeadShares, ImageGrid, MethodRow, PatchMap, Score, Target, TokenLayout,
};
use std::ops::Range;

use crate::compared::{WithRows, mean_row};
use crate::finer::mean_map;
use crate::heads::mean_shares;
use crate::{Answer, Error, SpanRule, TargetExplanation, Token};
use explanation_record::TargetParts;

/// How one explanation is made: by which goals, which then are averaged.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) positions: Range<usize>,
    targets: Vec<Target>,
    pub(crate) rule: SpanRule,
    pub(crate) goals: Vec<Goal>,
    /// What each token is set against, where that was found out before.
    foils: Option<Vec<Foils>>,
    /// Whether somebody asked for it; otherwise it is a word beside.
    pub(crate) asked: bool,
}

/// What an engine says of one goal.
pub(crate) struct Part {
    pub(crate) attribution: Attribution,
    /// Its row by depth, where that was asked for.
    pub(crate) layers: Option<Array2<f32>>,
    /// The rows of the methods that were asked for.
    methods: Vec<MethodRow>,
    /// What every head did, where that was asked for.
    pub(crate) heads: Option<HeadShares>,
}

impl Part {
    pub(crate) fn new((attribution, methods): WithRows) -> Self {
        Self { attribution, layers: None, methods, heads: None }
    }
}

/// What an engine found out for one plan.
pub(crate) struct Found {
    pub(crate) scores: Vec<Score>,
    parts: Vec<Part>,
    /// For each image one of each goal, where they were asked for.
    pub(crate) finer: Vec<Vec<PatchMap>>,
}

impl Found {
    /// Adds the relevancy rows of another run.
    pub(crate) fn add_relevancy(&mut self, other: &Self) {
        for (part, other) in self.parts.iter_mut().zip(&other.parts) {
            part.attribution.relevancy += &other.attribution.relevancy;
        }
    }

    /// Makes sums of so many relevancy rows their means.
    pub(crate) fn divide_relevancy(&mut self, rows: usize) {
        for part in &mut self.parts {
            part.attribution.relevancy /= rows as f32;
        }
    }
}

impl Plan {
    pub(crate) fn new(
        answer: &Answer,
        positions: Range<usize>,
        rule: SpanRule,
        asked: bool,
    ) -> Result<Self, Error> {
        let targets = targets(answer, &positions)?;
        let goals = match rule {
            SpanRule::Sum => Goal::sum(targets.clone()).into_iter().collect(),
            // A mean of tokens, whatever its weights.
            _ => targets.iter().map(|&target| Goal::token(target)).collect(),
        };
        Ok(Self { positions, targets, rule, goals, foils: None, asked })
    }

    /// The same plan with foils for each token, not with its own runners-up.
    pub(crate) fn with_foils(self, foils: Vec<Foils>) -> Self {
        let mut of_goals = foils.iter().cloned();
        let mut named = |goal: Goal| {
            let foils = of_goals.by_ref().take(goal.targets().len()).collect();
            goal.with_foils(foils)
        };
        let goals = self.goals.into_iter().map(&mut named).collect();
        Self { goals, foils: Some(foils), ..self }
    }

    /// The same plan, where every token without a foil of its own has the runner-up that was found for it.
    pub(crate) fn with_foils_of(&self, found: &Found) -> Self {
        let runners_up = || found.scores.iter().map(|score| score.runner_up.into()).collect();
        let foils = self.foils.clone().unwrap_or_else(runners_up);
        self.clone().with_foils(foils)
    }

    pub(crate) fn tokens(&self) -> usize {
        self.targets.len()
    }

    /// The mean of what was found, with `weights` that sum to one or evenly.
    pub(crate) fn explanation(
        self,
        answer: &Answer,
        found: Found,
        weights: Option<Vec<f32>>,
    ) -> Result<TargetExplanation, Error> {
        let even = || vec![1.0 / found.parts.len() as f64; found.parts.len()];
        let shares: Vec<f64> = weights
            .as_ref()
            .map_or_else(even, |weights| weights.iter().copied().map(f64::from).collect());
        let row = |row: fn(&Attribution) -> &Array1<f32>| {
            mean(&shares, found.parts.iter().map(move |part| row(&part.attribution)))
        };
        let layers: Option<Vec<&Array2<f32>>> =
            found.parts.iter().map(|part| part.layers.as_ref()).collect();
        let heads: Option<Vec<HeadShares>> =
            found.parts.iter().map(|part| part.heads.clone()).collect();
        let count = found.parts.first().map_or(0, |part| part.methods.len());
        let method =
            |index: usize| mean_row(&shares, found.parts.iter().map(|part| &part.methods[index]));
        Ok(TargetExplanation::new(TargetParts {
            text: text(answer, &self.positions),
            occurrence: None,
            rule: self.rule,
            token_ids: self.targets.iter().map(|target| target.token()).collect(),
            foils: self.foils,
            relevancy: Explanation::new(
                self.targets,
                row(|part| &part.relevancy),
                layout(answer, answer.tokens.len())?,
            )?,
            raw_attention: row(|part| &part.raw_attention),
            rollout: row(|part| &part.rollout),
            layers: layers.map(|layers| mean(&shares, layers.into_iter())),
            methods: (0..count).map(method).collect(),
            finer: found.finer.iter().map(|maps| mean_map(&shares, maps)).collect(),
            heads: heads.filter(|_| self.asked).map(|heads| mean_shares(&shares, &heads)),
            weights,
            scores: found.scores,
            positions: self.positions,
        }))
    }
}

/// The goals of all plans together, so that they share the work of an engine.
pub(crate) fn goals(plans: &[Plan]) -> Vec<Goal> {
    plans.iter().flat_map(|plan| plan.goals.clone()).collect()
}

pub(crate) fn every_target(plans: &[Plan]) -> Vec<Target> {
    plans.iter().flat_map(|plan| plan.targets.clone()).collect()
}

/// Splits the engine's output back among the plans, in order.
pub(crate) fn distribute(plans: &[Plan], scores: Vec<Score>, parts: Vec<Part>) -> Vec<Found> {
    let (mut scores, mut parts) = (scores.into_iter(), parts.into_iter());
    let found = |plan: &Plan| Found {
        scores: scores.by_ref().take(plan.targets.len()).collect(),
        parts: parts.by_ref().take(plan.goals.len()).collect(),
        finer: Vec::new(),
    };
    plans.iter().map(found).collect()
}

/// What the tokens spell; their names where they spell nothing.
pub(crate) fn text(answer: &Answer, positions: &Range<usize>) -> String {
    let spelled = answer.text_of(positions).trim();
    if spelled.is_empty() {
        answer.tokens[positions.clone()].iter().map(|token| token.text.as_str()).collect()
    } else {
        spelled.to_owned()
    }
}

/// `phrase` as it stands in the place of some tokens: with a space where they begin and end with one.
pub(crate) fn in_place_of(tokens: &[Token], phrase: &str) -> String {
    let space = |is_there: bool| if is_there { " " } else { "" };
    let before = tokens.first().is_some_and(|token| token.text.starts_with(' '));
    let after = tokens.last().is_some_and(|token| token.text.ends_with(' '));
    format!("{}{}{}", space(before), phrase.trim(), space(after))
}

/// Text and image grids of an answer's sequence, or of one of `tokens` tokens that begins as it does.
pub(crate) fn layout(answer: &Answer, tokens: usize) -> Result<TokenLayout, Error> {
    let grids = answer.prepared.images.iter().map(|image| {
        let [rows, columns] = image.grid;
        (image.span.clone(), ImageGrid { image: image.picture, rows, columns })
    });
    Ok(TokenLayout::from_images(tokens, grids)?)
}

/// The mean of arrays of one shape, at least one, with weights that sum to one, summed in double precision.
pub(crate) fn mean<'a, D: Dimension + 'a>(
    weights: &[f64],
    arrays: impl Iterator<Item = &'a Array<f32, D>>,
) -> Array<f32, D> {
    let weighted = weights.iter().zip(arrays);
    let weighted = weighted.map(|(weight, array)| array.mapv(|value| weight * f64::from(value)));
    let sum = weighted.reduce(|sum, array| sum + array).expect("at least one array");
    sum.mapv(|sum| sum as f32)
}

/// The tokens at `positions` as targets.
fn targets(answer: &Answer, positions: &Range<usize>) -> Result<Vec<Target>, Error> {
    let ids = &answer.sequence.ids()[positions.clone()];
    let targets = positions.clone().zip(ids).map(|(position, &id)| Target::new(position, id));
    Ok(targets.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_the_weights_that_it_is_given() {
        let arrays = [Array1::from_elem(2, 1.0), Array1::from_elem(2, 5.0)];
        assert_eq!(mean(&[0.75, 0.25], arrays.iter()), Array1::from_elem(2, 2.0));
    }
}
