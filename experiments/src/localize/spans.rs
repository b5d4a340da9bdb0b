//! Several tokens of an answer explained together.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result};
use attention_capture::{Engine, Goal, Keep, PatchStates, Rules, States, Streaming, SweepOptions};
use attention_relevancy::{Target, Update};
use tch::Kind;

use crate::localize::methods::{Maps, PerWord};
use crate::localize::settings::{Extent, Goals, Rule};
use crate::reader::Spoken;

/// Maps of spans, with what is made once for an answer.
#[derive(Default)]
pub(super) struct Spans {
    /// For [`Rule::Reliance`]: what the picture adds to the log-probability of each token of the sentences with a word, over an even
    /// grey, in nats.
    gains: OnceCell<BTreeMap<usize, f32>>,
}

impl Spans {
    /// A map for each word.
    pub(super) fn maps(
        &self,
        maps: &Maps<'_>,
        (extent, rule): (Extent, Rule),
        goals: Goals,
    ) -> Result<PerWord> {
        let span = |word: &Spoken| match extent {
            Extent::Word => word.positions.clone(),
            Extent::Sentence => word.sentence.clone(),
        };
        let of_word = |word: &Spoken| {
            let targets = targets(maps, span(word))?;
            let objective = maps.objective(word, goals)?;
            let explain = |goals: &[Goal]| -> Result<PerWord> {
                let found =
                    maps.engine().explain(goals, &Rules::new(objective, Update::Additive))?;
                Ok(found.iter().map(|found| maps.image_part(found.relevancy.as_slice())).collect())
            };
            let weights = match rule {
                Rule::Sum => {
                    let goal = Goal::sum(targets).context("a span has tokens")?;
                    return Ok(explain(&[goal])?.remove(0));
                }
                Rule::Mean => vec![1.0; targets.len()],
                Rule::Reliance => self.weights(maps, span(word))?,
            };
            let goals: Vec<Goal> = targets.into_iter().map(Goal::token).collect();
            Ok(mean(&weights, &explain(&goals)?))
        };
        maps.reading.words.iter().map(of_word).collect()
    }

    /// The positive parts of what tokens gain by the picture; all alike where none gains.
    fn weights(&self, maps: &Maps<'_>, span: Range<usize>) -> Result<Vec<f32>> {
        let gains = if let Some(gains) = self.gains.get() {
            gains
        } else {
            let gains = gains(maps)?;
            self.gains.get_or_init(|| gains)
        };
        let weights: Vec<f32> = span.clone().map(|at| gains[&at].max(0.0)).collect();
        Ok(if weights.iter().any(|&weight| 0.0 < weight) { weights } else { vec![1.0; span.len()] })
    }
}

fn gains(maps: &Maps<'_>) -> Result<BTreeMap<usize, f32>> {
    let (model, reading) = (&maps.reader.model, maps.reading);
    let picture = &reading.picture;
    let even = picture.mean_dim([1i64, 2].as_slice(), true, Kind::Float).expand_as(picture);
    let tokens = PatchStates::of(model, &even, Keep::Inputs)?.tokens(model)?;
    let ids = reading.sequence.ids();
    let grey = model.sequence(ids.to_vec(), vec![reading.image.clone()], vec![tokens])?;
    let states = States::of(model, &grey, Keep::Inputs)?;
    let without = Streaming::new(model, grey.ids(), &states, SweepOptions::default());
    let mut sentences: Vec<_> = reading.words.iter().map(|word| word.sentence.clone()).collect();
    sentences.dedup();
    let positions: Vec<usize> = sentences.into_iter().flatten().collect();
    let targets = targets(maps, positions.iter().copied())?;
    let scores = [maps.engine().scores(&targets)?, without.scores(&targets)?];
    let [with, without] =
        scores.map(|scores| scores.into_iter().map(|score| score.log_probability));
    let gains = with.zip(without).map(|(with, without)| with - without);
    Ok(positions.into_iter().zip(gains).collect())
}

fn targets(maps: &Maps<'_>, positions: impl IntoIterator<Item = usize>) -> Result<Vec<Target>> {
    let ids = maps.reading.sequence.ids();
    positions.into_iter().map(|at| Ok(Target::new(at, ids[at])?)).collect()
}

/// The weighted mean of maps.
fn mean(weights: &[f32], maps: &[Vec<f32>]) -> Vec<f32> {
    let total: f32 = weights.iter().sum();
    let cell = |cell: usize| {
        let weighted = weights.iter().zip(maps).map(|(weight, map)| weight * map[cell]);
        weighted.sum::<f32>() / total
    };
    (0..maps[0].len()).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::mean;

    #[test]
    fn a_mean_counts_maps_by_their_weights() {
        let maps = [vec![4.0, 0.0], vec![0.0, 8.0]];
        assert_eq!(mean(&[1.0, 1.0], &maps), [2.0, 4.0]);
        assert_eq!(mean(&[3.0, 1.0], &maps), [3.0, 2.0]);
    }
}
