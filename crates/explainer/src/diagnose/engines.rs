//! Both engines on the same tokens: the surest and the least sure of the answer, for every objective.

use attention_capture::{Demand, Engine as _, Goal, Held, Retained, Rules, States};
use attention_relevancy::ndarray::ArrayView1;
use attention_relevancy::{Foil, Objective, Score, Target, Update};

use super::checks::{self, Tolerances};
use super::{Check, targets};
use crate::{Answer, Error, Request};

/// The checks, and the objective that each is about.
pub(super) const CHECKS: [(&str, Objective); 3] = [
    ("engines: logit", Objective::Logit),
    ("engines: log-probability", Objective::LogProbability),
    ("engines: contrast", Objective::Contrast(Foil::RunnerUp)),
];

pub(super) fn names() -> [&'static str; 3] {
    CHECKS.map(|(name, _)| name)
}

/// A token that both engines explain.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) target: Target,
    pub(super) score: Score,
}

/// What both engines found out about a token: rows `[S]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    pub(super) token: &'a Token,
    pub(super) streaming: ArrayView1<'a, f32>,
    pub(super) retained: ArrayView1<'a, f32>,
}

impl Request<'_> {
    pub(super) fn engines(
        &self,
        answer: &Answer,
        tolerances: &Tolerances,
    ) -> Result<Vec<Check>, Error> {
        let skipped = |why: String| Ok(names().map(|name| Check::skipped(name, &*why)).into());
        let tokens = answer.tokens.len();
        let needed = self.inspection.retained_bytes(tokens).of_model();
        if let Err(why) = checks::room(tokens, needed, self.model.placement().free_memory()) {
            return skipped(why);
        }
        let ledger = self.ledger();
        let made;
        let states = if let Some(states) = &answer.states {
            states
        } else {
            let keep = ledger.keep_states(tokens, answer.patch_bytes())?;
            made = States::of(self.model, &answer.sequence, keep)?;
            &made
        };
        let held = Held {
            images: answer.sequence.images().len(),
            pictures: answer.patch_bytes(),
            planned: tokens,
            states: states.size(),
        };
        let room = ledger.room(held, Demand::default())?;
        let scores =
            self.streaming_engine(answer, states, room.sweep(None)).scores(&targets(answer)?)?;
        let Some(tokens) = ends(answer, &scores)? else {
            return skipped("the answer has no token".to_owned());
        };
        // One foil for both engines: of two that are equally likely to bfloat16, each may take another.
        let goal = |token: &Token| {
            Goal::token(token.target).with_foils(vec![token.score.runner_up.into()])
        };
        let goals: Vec<Goal> = tokens.iter().map(goal).collect();
        let retained = Retained::run(self.model, &answer.sequence)?;
        let check = |(name, objective)| {
            let rules = Rules::new(objective, Update::Additive);
            let (found, _) = room.within(|room| {
                let sweep = room.sweep(self.context.cancel.clone());
                self.streaming_engine(answer, states, sweep).explain(&goals, &rules)
            })?;
            let expected = retained.explain(&goals, &rules)?;
            let rows = tokens.iter().zip(found.iter().zip(&expected));
            let rows = rows.map(|(token, (found, expected))| Rows {
                token,
                streaming: found.relevancy.view(),
                retained: expected.relevancy.view(),
            });
            Ok(checks::same_rows((name, objective), &rows.collect::<Vec<_>>(), tolerances))
        };
        CHECKS.into_iter().map(check).collect()
    }
}

/// The surest token of an answer and the least sure; one where it has only one, `None` where it has none.
///
/// Of several that float32 cannot tell from certain, with a log-probability of zero, none has a gradient to compare: others come first.
fn ends(answer: &Answer, scores: &[Score]) -> Result<Option<Vec<Token>>, Error> {
    let token = |(target, score): (Target, &Score)| Token {
        text: answer.tokens[target.position()].text.clone(),
        target,
        score: *score,
    };
    let mut tokens: Vec<Token> = targets(answer)?.into_iter().zip(scores).map(token).collect();
    tokens.sort_by(|one, other| other.score.log_probability.total_cmp(&one.score.log_probability));
    let uncertain = |token: &Token| token.score.log_probability < -f32::MIN_POSITIVE;
    if tokens.iter().any(uncertain) {
        tokens.retain(uncertain);
    }
    if 2 < tokens.len() {
        tokens.drain(1..tokens.len() - 1);
    }
    Ok((!tokens.is_empty()).then_some(tokens))
}
