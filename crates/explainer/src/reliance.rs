//! Whether an answer relies on the pictures: what the probability of its words gains by them.

use attention_capture::forced_scores;
use attention_relevancy::Target;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use explanation_record::{Gain, TargetReliance, ThroughTrace};

use crate::error::Cause;
use crate::{Answer, Blank, Error, Explanations, Request, TargetExplanation};

/// What the pictures do to the probability of explained tokens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Reliance {
    /// What replaced the pictures.
    pub blanks: Vec<Blank>,
    /// One for each of [`Explanations::targets`].
    pub targets: Vec<TargetReliance>,
    /// One for each of [`Explanations::words`].
    pub words: Vec<TargetReliance>,
    /// How long it took.
    pub duration: Duration,
}

/// The log-probability of tokens by their position.
type ByPosition = BTreeMap<usize, f32>;

impl Request<'_> {
    /// What the pictures add to the log-probability of every explained target and word: one forward pass for each blank, whatever the
    /// number of words. The answer is given whole (teacher forcing), so that only the pictures differ.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] for a question without pictures.
    pub fn reliance(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        blanks: &[Blank],
    ) -> Result<Reliance, Error> {
        let started = Instant::now();
        let all = || explanations.targets.iter().chain(&explanations.words);
        let tokens = all().flat_map(|target| target.relevancy().targets().iter().copied());
        let without = self.without(answer, tokens, blanks)?;
        let traces = self.through_trace(answer, &all().collect::<Vec<_>>())?;
        let reliance = |(target, trace): (&TargetExplanation, Option<ThroughTrace>)| {
            let (tokens, scores) = (target.relevancy().targets(), target.scores());
            let with = tokens.iter().zip(scores);
            let with: Vec<(usize, f32)> =
                with.map(|(token, score)| (token.position(), score.log_probability)).collect();
            TargetReliance {
                blanks: without.iter().map(|without| gain(&with, without)).collect(),
                map_entropy: target.relevancy().image_entropy(),
                trace,
            }
        };
        let mut found = all().zip(traces).map(reliance);
        Ok(Reliance {
            blanks: blanks.to_vec(),
            targets: found.by_ref().take(explanations.targets.len()).collect(),
            words: found.collect(),
            duration: started.elapsed(),
        })
    }

    /// The same for words that nobody explained: what the pictures add to the tokens at each of `spans`, positions of the answer such
    /// as [`Answer::words`] gives. For each span one gain for each blank.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] for a question without pictures, [`crate::ErrorKind::Target`] for a position outside the
    /// sequence.
    pub fn gains(
        &self,
        answer: &Answer,
        spans: &[Range<usize>],
        blanks: &[Blank],
    ) -> Result<Vec<Vec<Gain>>, Error> {
        let ids = answer.sequence.ids();
        let token = |position: usize| {
            let id = ids.get(position).copied().unwrap_or(u32::MAX);
            Target::new(position, id).map_err(attention_capture::Error::from)
        };
        let tokens: Vec<Target> =
            spans.iter().cloned().flatten().map(token).collect::<Result<_, _>>()?;
        let scores = forced_scores(self.model, &answer.sequence, &tokens)?;
        let with = tokens.iter().zip(scores);
        let with: ByPosition =
            with.map(|(token, score)| (token.position(), score.log_probability)).collect();
        let without = self.without(answer, tokens.into_iter(), blanks)?;
        let of_span = |span: &Range<usize>| {
            let with: Vec<(usize, f32)> = span.clone().map(|at| (at, with[&at])).collect();
            without.iter().map(|without| gain(&with, without)).collect()
        };
        Ok(spans.iter().map(of_span).collect())
    }

    /// The log-probability of the tokens with each blank instead of the pictures.
    fn without(
        &self,
        answer: &Answer,
        tokens: impl Iterator<Item = Target>,
        blanks: &[Blank],
    ) -> Result<Vec<ByPosition>, Error> {
        let tokens: BTreeMap<usize, Target> =
            tokens.map(|token| (token.position(), token)).collect();
        let tokens: Vec<Target> = tokens.into_values().collect();
        let with_blank = |blank: &Blank| {
            if self.cancelled() {
                return Err(Cause::Cancelled.into());
            }
            let scores = self.blank_scores(answer, blank, &tokens)?;
            let named = tokens.iter().zip(scores);
            Ok(named.map(|(token, score)| (token.position(), score.log_probability)).collect())
        };
        blanks.iter().map(with_blank).collect()
    }
}

/// Of tokens with their log-probability with the pictures.
fn gain(with: &[(usize, f32)], without: &ByPosition) -> Gain {
    let without_of = |&(position, _): &(usize, f32)| without[&position];
    Gain {
        log_probabilities: with.iter().map(without_of).collect(),
        token_pmi: with.iter().map(|token| token.1 - without_of(token)).collect(),
    }
}
