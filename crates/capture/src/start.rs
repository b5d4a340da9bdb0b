//! Where a sweep starts: the gradient of each goal's scalar at the output of the last layer.
//!
//! What a goal's scalar takes of one row, tokens for it and tokens against it, is put together before the head, in float32: the
//! gradients of tokens nearly cancel where the model is sure, or where two phrases begin alike, and whatever was rounded first would be
//! left over.

use crate::goal::{LOGIT_ROWS, foils, index, weighted};
use crate::likelihood::{log_odds_gradients, log_probability_gradients};
use crate::rules::pull_rule;
use crate::states::States;
use crate::{Backward, Goal, LanguageModel, Objective};
use attention_relevancy::Foils;
use std::ops::Range;
use tch::{Kind, Tensor};

const FLOAT: Kind = Kind::Float;

/// What the gradients are made of.
pub(crate) struct Start<'a, M: LanguageModel> {
    pub(crate) model: &'a M,
    pub(crate) states: &'a States<M>,
    pub(crate) goals: &'a [Goal],
    pub(crate) objective: Objective,
    /// By which rule the norm is pulled back. What the scalar takes of the logits is its gradient, whatever the rule.
    pub(crate) backward: Backward,
}

/// A row that predicts targets of a goal.
struct Row {
    goal: usize,
    /// Its position.
    at: usize,
    terms: Vec<Term>,
}

/// What a target adds to the scalar of its goal.
struct Term {
    token: u32,
    foil: Option<Foils>,
    /// 1, or −1 where it counts against the scalar.
    sign: f32,
}

impl<M: LanguageModel> Start<'_, M> {
    /// Positions of the predicting rows, the gaps between them included, and the gradients there, `[T, m, D]` float32.
    pub(crate) fn gradients(&self) -> (Range<usize>, Tensor) {
        let rows = self.rows();
        let first = rows.iter().map(|row| row.at).min().unwrap_or(0);
        let support = first..rows.iter().map(|row| row.at + 1).max().unwrap_or(0);
        let output = self.states.output();
        let shape = [self.goals.len() as i64, support.len() as i64, output.size()[1]];
        let dy = Tensor::zeros(shape, (FLOAT, output.device()));
        for rows in rows.chunks(LOGIT_ROWS) {
            let at: Vec<usize> = rows.iter().map(|row| row.at).collect();
            let hidden = output.index_select(0, &index(&at, output.device()));
            let (at_head, rule) = (self.at_head(rows, &hidden), pull_rule(self.backward));
            let gradients = self.model.pull_norm(&hidden, &at_head, rule);
            for (nth, row) in rows.iter().enumerate() {
                let at = dy.get(row.goal as i64).get((row.at - first) as i64); // a view
                at.shallow_clone().copy_(&gradients.get(nth as i64));
            }
        }
        (support, dy)
    }

    fn rows(&self) -> Vec<Row> {
        let of_goal = |(index, goal): (usize, &Goal)| {
            let predicting = goal.predicting();
            let empty = |&at: &usize| Row { goal: index, at, terms: Vec::new() };
            let mut rows: Vec<Row> = predicting.rows.iter().map(empty).collect();
            let targets = goal.targets().iter().zip(goal.foils());
            let places = predicting.of_target.iter().zip(&predicting.signs);
            for ((target, foil), (&row, &sign)) in targets.zip(places) {
                rows[row].terms.push(Term { token: target.token(), foil: foil.cloned(), sign });
            }
            rows
        };
        self.goals.iter().enumerate().flat_map(of_goal).collect()
    }

    /// The gradient of rows with the last layer's output `hidden` at what the head takes, `[rows, D]`.
    fn at_head(&self, rows: &[Row], hidden: &Tensor) -> Tensor {
        let model = self.model;
        let terms: Vec<&Term> = rows.iter().flat_map(|row| &row.terms).collect();
        let tokens: Vec<u32> = terms.iter().map(|term| term.token).collect();
        let signs: Vec<f32> = terms.iter().map(|term| term.sign).collect();
        let repeat = |(nth, row): (usize, &Row)| std::iter::repeat_n(nth, row.terms.len());
        let of_term: Vec<usize> = rows.iter().enumerate().flat_map(repeat).collect();
        let (of_term, signs) = (
            index(&of_term, hidden.device()),
            Tensor::from_slice(&signs).to_device(hidden.device()).unsqueeze(1),
        );
        let logits = || model.logits(hidden).index_select(0, &of_term); // [terms, V]
        let by_row = |of_terms: &Tensor| {
            let sum =
                Tensor::zeros([rows.len() as i64, of_terms.size()[1]], (FLOAT, hidden.device()));
            sum.index_add(0, &of_term, &(of_terms * &signs))
        };
        match self.objective {
            Objective::Logit => by_row(&model.head_gradients(&tokens)),
            Objective::LogProbability => {
                model.pull_head(&by_row(&log_probability_gradients(&logits(), &tokens)))
            }
            Objective::LogOdds => model.pull_head(&by_row(&log_odds_gradients(&logits(), &tokens))),
            Objective::Contrast(foil) => {
                let named: Vec<Option<Foils>> =
                    terms.iter().map(|term| term.foil.clone()).collect();
                let foils = foils(foil, &tokens, &named, &logits());
                let against = weighted(&foils, |ids, _| model.head_gradients(ids));
                by_row(&(model.head_gradients(&tokens) - against))
            }
        }
    }
}
