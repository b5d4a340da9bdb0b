//! What is explained, and what comes out.

use crate::Error;
use crate::likelihood::{column, log_odds, log_probabilities};
use crate::seam::guard;
use attention_relevancy::ndarray::Array1;
use attention_relevancy::{Foil, Foils, Objective, Score, Target};
use tch::{Device, Kind, Tensor};

/// The foil of each token: the one that its goal names, or by its row of `logits` `[tokens, V]`.
pub(crate) fn foils(
    foil: Foil,
    tokens: &[u32],
    named: &[Option<Foils>],
    logits: &Tensor,
) -> Vec<Foils> {
    match foil {
        Foil::RunnerUp => {
            let runners_up = runners_up(tokens, logits);
            let own = |(named, up): (&Option<Foils>, u32)| named.clone().unwrap_or(up.into());
            named.iter().zip(runners_up).map(own).collect()
        }
        Foil::Alternatives => {
            let named = named.iter().map(|named| named.clone().expect("foils were checked"));
            named.collect()
        }
        Foil::Token(token) => vec![token.into(); tokens.len()],
    }
}

/// For each of some foils the weighted mean of the rows `of` that belong to its tokens, `[foils, …]` of `[tokens, …]`. `of` gets the tokens
/// of all of them with the place of each one's foils.
pub(crate) fn weighted(foils: &[Foils], of: impl Fn(&[u32], &[usize]) -> Tensor) -> Tensor {
    let place = |(at, foils): (usize, &Foils)| {
        foils.iter().map(move |(id, weight)| (at, id, weight)).collect::<Vec<_>>()
    };
    let all: Vec<(usize, u32, f32)> = foils.iter().enumerate().flat_map(place).collect();
    let places: Vec<usize> = all.iter().map(|(at, ..)| *at).collect();
    let ids: Vec<u32> = all.iter().map(|(_, id, _)| *id).collect();
    let rows = of(&ids, &places);
    let weights: Vec<f32> = all.iter().map(|(.., weight)| *weight).collect();
    let weights = Tensor::from_slice(&weights).to_device(rows.device());
    let mut shape = vec![1; rows.dim()];
    shape[0] = -1;
    let weighted = &rows * weights.view(shape.as_slice());
    let mut size = rows.size();
    size[0] = foils.len() as i64;
    let sums = Tensor::zeros(size.as_slice(), (rows.kind(), rows.device()));
    sums.index_add(0, &index(&places, rows.device()), &weighted)
}

/// The objective of each token by its row of float32 `logits` `[tokens, V]`, `[tokens]`, part of the graph where they are. A foil that is
/// named stands for a runner-up.
pub(crate) fn by_target(
    objective: Objective,
    logits: &Tensor,
    (tokens, named): (&[u32], &[Option<Foils>]),
) -> Tensor {
    let logit = |tokens: &[u32]| logits.gather(1, &column(tokens, logits), false).squeeze_dim(1);
    match objective {
        Objective::Logit => logit(tokens),
        Objective::LogProbability => log_probabilities(logits, tokens),
        Objective::LogOdds => log_odds(logits, tokens),
        Objective::Contrast(foil) => {
            let against = weighted(&foils(foil, tokens, named, logits), |ids, of| {
                let rows = logits.index_select(0, &index(of, logits.device()));
                rows.gather(1, &column(ids, logits), false).squeeze_dim(1)
            });
            logit(tokens) - against
        }
    }
}

/// One scalar to explain: the sum of an [`Objective`] over some tokens, perhaps less that over some others.
///
/// With one target it is the explanation of that token. With several, gradients add up before the positive part is taken, and the
/// row starts as the mean of the rows that predict the targets.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    targets: Vec<Target>,
    /// How many of the targets, from the first on, count for the scalar; the rest count against it.
    supported: usize,
    /// For each target what stands for its runner-up; empty: its own.
    foils: Vec<Foils>,
}

impl Goal {
    /// The explanation of one token.
    pub fn token(target: Target) -> Self {
        Self { targets: vec![target], supported: 1, foils: Vec::new() }
    }

    /// One explanation of several tokens together; `None` when there is none.
    pub fn sum(targets: Vec<Target>) -> Option<Self> {
        let supported = targets.len();
        (!targets.is_empty()).then_some(Self { targets, supported, foils: Vec::new() })
    }

    /// The same goal with foils named for each target instead of its runner-up: the contrast stays that of one run when
    /// another run is explained. [`Foil::RunnerUp`] asks for them, where targets past the end of `foils` keep their own, and
    /// [`Foil::Alternatives`], which needs them for every target ([`alternatives`](crate::alternatives)).
    #[must_use]
    pub fn with_foils(self, foils: Vec<Foils>) -> Self {
        Self { foils, ..self }
    }

    /// The tokens of one phrase against those of another: the objective summed over `phrase` less that summed over `against`, as
    /// two branches of a sequence that forks ([`gemma3_tch::Sequence::forked`]); `None` when either is empty. Where both branches
    /// start from the same rows their gradients add up before the positive part is taken, so this is not the difference of two
    /// explanations.
    pub fn contrast(phrase: Vec<Target>, against: Vec<Target>) -> Option<Self> {
        let supported = phrase.len();
        let goal = Self { targets: [phrase, against].concat(), supported, foils: Vec::new() };
        (0 < supported && supported < goal.targets.len()).then_some(goal)
    }

    /// Whether the target of this index counts against the scalar.
    pub(crate) fn opposes(&self, index: usize) -> bool {
        self.supported <= index
    }

    /// The tokens, at least one: those that count for the scalar, then those that count against it.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// For each target the foil that was named.
    pub(crate) fn foils(&self) -> impl Iterator<Item = Option<&Foils>> {
        (0..self.targets.len()).map(|index| self.foils.get(index))
    }

    /// Which rows predict the targets, and what each counts.
    pub(crate) fn predicting(&self) -> Predicting {
        let mut rows: Vec<usize> = self.targets.iter().map(|target| target.logit_row()).collect();
        rows.sort_unstable();
        rows.dedup();
        let place = |target: &Target| {
            rows.binary_search(&target.logit_row()).expect("the row of a target is among them")
        };
        let of_target: Vec<usize> = self.targets.iter().map(place).collect();
        let sign = |index| if self.opposes(index) { -1.0 } else { 1.0 };
        let signs = (0..self.targets.len()).map(sign).collect();
        Predicting { rows, of_target, signs }
    }

    /// Which of these tokens are no predicting rows of the goal.
    pub(crate) fn removable(&self, tokens: &[usize]) -> Vec<usize> {
        let predicts = |token: usize| self.targets.iter().any(|target| target.logit_row() == token);
        tokens.iter().copied().filter(|&token| !predicts(token)).collect()
    }

    /// One behind the last predicting position: nothing from there on is needed.
    pub(crate) fn end(&self) -> usize {
        self.targets.iter().map(|target| target.logit_row() + 1).max().unwrap_or(0)
    }

    /// The row that the propagation starts from: the mean of the unit vectors at the predicting positions, `[S]`.
    pub(crate) fn start(&self, tokens: usize) -> Array1<f32> {
        let mut row = Array1::zeros(tokens);
        for target in &self.targets {
            row[target.logit_row()] += 1.0 / self.targets.len() as f32;
        }
        row
    }
}

/// The rows that predict the targets of a goal. Several targets may have one row: the first tokens of two branches.
pub(crate) struct Predicting {
    /// Each once, in order.
    pub(crate) rows: Vec<usize>,
    /// For each target the index of its row among them.
    pub(crate) of_target: Vec<usize>,
    /// For each target 1, or −1 where it counts against the scalar.
    pub(crate) signs: Vec<f32>,
}

/// What an engine finds out about one [`Goal`]. Rows are `[S]`, raw, zero past the last predicting position. The two baselines take
/// the mean over heads, whatever [`Folding`](crate::Folding) the relevancy has; [`Method`](crate::Method) has others.
#[derive(Clone, Debug)]
pub struct Attribution {
    /// The relevancy row, self term included.
    pub relevancy: Array1<f32>,
    /// Head mean of the last layer's attention at the predicting position (the mean of several).
    pub raw_attention: Array1<f32>,
    /// Attention rollout at the predicting position (the mean of several).
    pub rollout: Array1<f32>,
}

/// Most rows of logits that are made at once: each has as many numbers as the vocabulary.
pub(crate) const LOGIT_ROWS: usize = 32;

/// Tokens that a target is set against by [`alternatives`](crate::alternatives), at most.
const ALTERNATIVES: i64 = 8;

/// For each target the most likely tokens beside it in its row, each by its probability among them; `logits` makes those of some targets.
pub(crate) fn foils_of_rows(
    targets: &[Target],
    logits: impl Fn(&[Target]) -> Tensor,
) -> Result<Vec<Foils>, Error> {
    let _no_grad = tch::no_grad_guard();
    let mut all = Vec::new();
    for targets in targets.chunks(LOGIT_ROWS) {
        let (probabilities, ids) = guard("computing logits", || {
            let logits = logits(targets).to_kind(Kind::Float);
            let tokens: Vec<u32> = targets.iter().map(|target| target.token()).collect();
            let _ = logits.shallow_clone().scatter_value_(
                1,
                &column(&tokens, &logits),
                f64::NEG_INFINITY,
            );
            let most = ALTERNATIVES.min(logits.size()[1] - 1).max(1);
            let (best, ids) = logits.topk(most, -1, true, true);
            let probabilities = best.softmax(-1, Kind::Float).to_device(Device::Cpu);
            let ids = ids.to_device(Device::Cpu);
            (Vec::<Vec<f32>>::try_from(probabilities), Vec::<Vec<i64>>::try_from(ids))
        })?;
        let (probabilities, ids) =
            (probabilities.expect("floats"), ids.expect("indices are int64"));
        for ((target, probabilities), ids) in targets.iter().zip(probabilities).zip(ids) {
            let tokens = ids.into_iter().map(|id| id as u32).zip(probabilities);
            let foils = Foils::weighted(tokens).ok_or(Error::Logit { row: target.logit_row() })?;
            all.push(foils);
        }
    }
    Ok(all)
}

/// The score of each target; `logits` makes those of some targets, `[targets, V]`.
pub(crate) fn scores(
    targets: &[Target],
    logits: impl Fn(&[Target]) -> Tensor,
) -> Result<Vec<Score>, Error> {
    let _no_grad = tch::no_grad_guard();
    let mut scores = Vec::new();
    for targets in targets.chunks(LOGIT_ROWS) {
        scores.extend(guard("computing logits", || scores_of_rows(targets, &logits(targets)))??);
    }
    Ok(scores)
}

fn scores_of_rows(targets: &[Target], logits: &Tensor) -> Result<Vec<Score>, Error> {
    let logits = logits.to_kind(Kind::Float);
    let tokens: Vec<u32> = targets.iter().map(|target| target.token()).collect();
    let log_probabilities = log_probabilities(&logits, &tokens);
    let runners_up = runners_up(&tokens, &logits);
    let score = |(index, target): (usize, &Target)| {
        let at = [index as i64, i64::from(target.token())];
        let logit = logits.double_value(&at) as f32;
        let log_probability = log_probabilities.double_value(&at[..1]) as f32;
        let finite = logit.is_finite() && log_probability.is_finite();
        if finite {
            Ok(Score::new(logit, log_probability, runners_up[index]))
        } else {
            Err(Error::Logit { row: target.logit_row() })
        }
    };
    targets.iter().enumerate().map(score).collect()
}

/// Whether every target stands in the sequence and the row that predicts it was computed.
pub(crate) fn check_targets(targets: &[Target], ids: &[u32], computed: usize) -> Result<(), Error> {
    let stands = |target: &&Target| {
        ids.get(target.position()) == Some(&target.token()) && target.logit_row() < computed
    };
    targets.iter().find(|target| !stands(target)).map_or(Ok(()), |target| {
        let (position, token) = (target.position(), target.token());
        Err(Error::Target { position, token, tokens: ids.len() })
    })
}

/// For each token, the one with the highest logit beside it in its row of `logits` `[tokens, V]`.
fn runners_up(tokens: &[u32], logits: &Tensor) -> Vec<u32> {
    let vocabulary = logits.size()[1];
    let (_, best) = logits.topk(2.min(vocabulary), -1, true, true); // [tokens, 2]
    let best = Vec::<Vec<i64>>::try_from(best.to_device(Device::Cpu)).expect("indices are int64");
    let beside = |(best, &token): (&Vec<i64>, &u32)| {
        best.iter().copied().find(|&id| id != i64::from(token)).unwrap_or(i64::from(token)) as u32
    };
    best.iter().zip(tokens).map(beside).collect()
}

/// Whether the foils of an objective and of its goals are tokens of a vocabulary of that size.
pub(crate) fn check_foils(
    objective: Objective,
    goals: &[Goal],
    vocabulary: usize,
) -> Result<(), Error> {
    let of_objective = match objective {
        Objective::Contrast(Foil::Token(token)) => Some(token),
        Objective::Contrast(Foil::Alternatives) => {
            let is_named = |goal: &Goal| goal.foils().all(|foil| foil.is_some());
            if !goals.iter().all(is_named) {
                return Err(Error::UnnamedFoil);
            }
            None
        }
        Objective::Contrast(Foil::RunnerUp)
        | Objective::Logit
        | Objective::LogProbability
        | Objective::LogOdds => None,
    };
    let named = goals.iter().flat_map(Goal::foils).flatten().flat_map(Foils::iter);
    let mut foils = named.map(|(token, _)| token).chain(of_objective);
    match foils.find(|&token| vocabulary <= token as usize) {
        Some(token) => Err(Error::Foil { token, vocabulary }),
        None => Ok(()),
    }
}

/// Whether what is taken out of the propagation are tokens of the sequence.
pub(crate) fn check_removed(removed: &[usize], tokens: usize) -> Result<(), Error> {
    match removed.iter().find(|&&position| tokens <= position) {
        Some(&position) => Err(Error::Removed { position, tokens }),
        None => Ok(()),
    }
}

/// The rows before the targets, as an index for `device`.
pub(crate) fn logit_rows(targets: &[Target], device: Device) -> Tensor {
    let rows: Vec<usize> = targets.iter().map(|target| target.logit_row()).collect();
    index(&rows, device)
}

/// Some rows as an index for `device`.
pub(crate) fn index(rows: &[usize], device: Device) -> Tensor {
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    Tensor::from_slice(&rows).to_device(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contrast_is_with_the_weighted_mean_of_its_foils() {
        let logits = Tensor::from_slice2(&[[1.0_f32, 5.0, 2.0, 3.0], [8.0, 0.0, 4.0, -4.0]]);
        let foils = Foils::weighted([(1, 1.0), (2, 3.0)]).unwrap();
        let of = |foil, named: [Option<Foils>; 2]| {
            let values = by_target(Objective::Contrast(foil), &logits, (&[3, 0], &named));
            Vec::<f32>::try_from(values).unwrap()
        };
        // 3 − (5 + 3·2)/4, and against the runner-up where none are named.
        assert_eq!(of(Foil::RunnerUp, [Some(foils.clone()), None]), [0.25, 4.0]);
        assert_eq!(of(Foil::Alternatives, [Some(foils.clone()), Some(foils)]), [0.25, 5.0]);
        assert_eq!(of(Foil::Token(2), [None, None]), [1.0, 4.0]);
    }

    #[test]
    fn foils_of_a_row_are_the_likeliest_beside_the_target() {
        let logits = Tensor::from_slice2(&[[1.0_f32, 9.0, 1.0 + 3.0_f32.ln(), -50.0]]);
        let target = Target::new(1, 1).unwrap();
        let found = foils_of_rows(&[target], |_| logits.copy()).unwrap().remove(0);
        let found: Vec<(u32, f32)> = found.iter().collect();
        assert_eq!((found[0].0, found[1].0, found.len()), (2, 0, 3));
        assert!((found[0].1 - 0.75).abs() < 1e-6 && (found[1].1 - 0.25).abs() < 1e-6);
        // A row that is no number has none.
        let broken = foils_of_rows(&[target], |_| {
            Tensor::full([1, 4], f64::NAN, (Kind::Float, Device::Cpu))
        });
        assert!(matches!(broken, Err(Error::Logit { row: 0 })));
    }
}
