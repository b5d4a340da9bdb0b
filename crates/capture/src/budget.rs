//! What a sweep costs, and how it is cut so that it fits into a memory budget.

use crate::model::patch_count;
use crate::seam::{Dims, Layer, Placement, PullCost};
use crate::sweep::{self, PassCost, PatchPass, Setting};
use crate::{Error, Keep, LanguageModel, PictureTower};
use tch::Kind;

/// What is to be swept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepSize {
    /// Tokens or patches.
    pub(crate) tokens: usize,
    pub(crate) goals: usize,
    /// Bytes that observers keep of it.
    pub(crate) kept: u64,
}

/// How many goals share a sweep, and how many query rows a block of attention has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) goals: usize,
    pub(crate) rows: usize,
}

/// Goals beyond this make a sweep no faster: their products are large already.
const MOST_GOALS: u64 = 16;
/// Rows of a block below which products get slow: goals give way to them.
const GOOD_ROWS: u64 = 64;

impl Cut {
    /// The largest that fits; [`Error::Budget`] where one goal and one row do not.
    pub(crate) fn new<M: LanguageModel>(
        model: &M,
        size: SweepSize,
        budget: u64,
    ) -> Result<Self, Error> {
        Self::fitting(&Cost::text(model, size.tokens), size, budget)
    }

    /// The least budget with which [`Cut::new`] succeeds.
    pub(crate) fn least<M: LanguageModel>(model: &M, tokens: usize) -> u64 {
        Cost::text(model, tokens).bytes(1, 1)
    }

    fn fitting(cost: &Cost, size: SweepSize, budget: u64) -> Result<Self, Error> {
        let SweepSize { tokens, goals, kept } = size;
        let smallest = cost.bytes(1, 1) + kept;
        if budget < smallest {
            return Err(Error::Budget { budget, smallest });
        }
        let budget = budget - kept;
        let most = MOST_GOALS.min(goals.max(1) as u64);
        let goals = (1..=most)
            .rev()
            .find(|&goals| cost.bytes(goals, GOOD_ROWS.min(tokens as u64)) <= budget)
            .unwrap_or(1);
        let rest = budget - cost.bytes(goals, 0);
        let rows = (rest / cost.of_row(goals)).clamp(1, cost.pass.most_rows);
        Ok(Self { goals: goals as usize, rows: alike(tokens.max(1), rows as usize) })
    }
}

/// Rows of a block, no more than `most`, when `tokens` are cut into as few blocks as may be and these are alike, up to what products
/// like.
fn alike(tokens: usize, most: usize) -> usize {
    tokens.div_ceil(tokens.div_ceil(most)).next_multiple_of(GOOD_ROWS as usize).min(most)
}

/// The same for the sweep over the patches of a picture, and how much of a run of the vision tower is kept for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PatchCut {
    pub(crate) goals: usize,
    pub(crate) rows: usize,
    pub(crate) keep: Keep,
}

impl PatchCut {
    /// The largest that fits; [`Error::Budget`] where one goal and one row do not. More is kept where that takes no goal and no row
    /// from the sweep. What is `kept` already is not counted again. The passes over all layers are like `pass`.
    pub(crate) fn new(
        tower: &impl PictureTower,
        pass: PatchPass,
        goals: usize,
        kept: Option<Keep>,
        budget: u64,
    ) -> Result<Self, Error> {
        let cut = |keep, anew| {
            let cost = Cost::vision(tower, pass, anew);
            let size = SweepSize { tokens: patch_count(tower), goals, kept: 0 };
            let Cut { goals, rows } = Cut::fitting(&cost, size, budget)?;
            Ok::<_, Error>(Self { goals, rows, keep })
        };
        if let Some(keep) = kept {
            return cut(keep, None);
        }
        let [least, more] = [Keep::Inputs, Keep::Everything].map(|keep| cut(keep, Some(keep)));
        let (least, more) = (least?, more.ok());
        Ok(more
            .filter(|more| (more.goals, more.rows) == (least.goals, least.rows))
            .unwrap_or(least))
    }

    /// The least budget with which [`PatchCut::new`] succeeds.
    pub(crate) fn least(tower: &impl PictureTower, pass: PatchPass, is_kept: bool) -> u64 {
        let anew = (!is_kept).then_some(Keep::Inputs);
        Cost::vision(tower, pass, anew).bytes(1, 1)
    }
}

/// Bytes that a run of the vision tower takes on a GPU and does not leave to the sweep: the activations of a layer and, of the same
/// size, what libraries load for it and pieces that the allocator keeps. (An H200 had 250 MB taken after it, where the activations of
/// Gemma3 4B are 146 MB.)
fn run_on_gpu(tower: &impl PictureTower) -> u64 {
    2 * patch_count(tower) as u64 * tower.run_bytes()
}

/// Bytes of a number in the dtype of the weights.
fn width(placement: Placement) -> u64 {
    placement.kind.unwrap_or(Kind::Float).elt_size_in_bytes() as u64
}

/// Bytes that a sweep over one layer holds at a time: those of the pass, which stand beside its code, and those of the pull-backs around
/// it ([`Layer::pull_cost`]). Tests compare the sum with what is really used (`tests/memory`).
struct Cost {
    /// Whatever the number of goals.
    shared: u64,
    per_goal: u64,
    pass: PassCost,
}

impl Cost {
    /// Over any layer of a language model and so many tokens.
    fn text<M: LanguageModel>(model: &M, tokens: usize) -> Self {
        Self::of_any(model.layers(), tokens, |layer| {
            Setting::text(layer.dims(), model.placement(), tokens)
        })
    }

    /// Over any layer of a vision tower, with the cost of running the tower `anew` and keeping that much of the run.
    fn vision<T: PictureTower>(tower: &T, pass: PatchPass, anew: Option<Keep>) -> Self {
        let setting = |layer: &T::Layer| Setting::vision(tower, layer, pass);
        let cost = Self::of_any(tower.layers(), patch_count(tower), setting);
        let run = anew.map_or(0, |keep| {
            let left = if cost.pass.is_tight { run_on_gpu(tower) } else { 0 };
            keep.patch_bytes(tower) + left
        });
        Self { shared: cost.shared + run, ..cost }
    }

    /// Over any of these layers, for so many tokens or patches.
    fn of_any<L: Layer>(layers: &[L], tokens: usize, setting: impl Fn(&L) -> Setting) -> Self {
        let of_layer = |layer: &L| {
            let PullCost { shared, per_gradient } = layer.pull_cost();
            Self {
                shared: tokens as u64 * shared,
                per_goal: tokens as u64 * per_gradient,
                pass: sweep::cost(&setting(layer)),
            }
        };
        layers.iter().map(of_layer).reduce(Self::or).expect("a model has layers")
    }

    /// What holds for either.
    fn or(self, other: Self) -> Self {
        Self {
            shared: self.shared.max(other.shared),
            per_goal: self.per_goal.max(other.per_goal),
            pass: self.pass.or(other.pass),
        }
    }

    fn of_row(&self, goals: u64) -> u64 {
        self.pass.row + goals * self.pass.row_per_goal
    }

    fn bytes(&self, goals: u64, rows: u64) -> u64 {
        let shared = self.shared + self.pass.shared;
        shared + goals * (self.per_goal + self.pass.per_goal) + rows * self.of_row(goals)
    }
}

/// Bytes of the keys and values that a token behind so many can see ([`gemma3_tch::Cached::branch`]).
pub fn key_bytes<M: LanguageModel>(model: &M, tokens: usize) -> u64 {
    let of_layer = |dims: Dims| {
        let seen = dims.window.map_or(tokens, |window| tokens.min(window - 1));
        2 * (seen * dims.key_heads * dims.width) as u64
    };
    width(model.placement()) * model.dims().into_iter().map(of_layer).sum::<u64>()
}

impl Keep {
    /// Bytes that recording a run of `model` over `tokens` tokens takes.
    pub fn bytes<M: LanguageModel>(self, model: &M, tokens: usize) -> u64 {
        width(model.placement()) * self.numbers(model.layers(), model.width(), tokens)
    }

    /// Bytes that a [`crate::Prefix`] of so many tokens takes.
    pub fn prefix_bytes<M: LanguageModel>(self, model: &M, tokens: usize) -> u64 {
        self.bytes(model, tokens) + key_bytes(model, tokens)
    }

    /// Bytes that [`crate::PatchStates`] of one picture take.
    pub fn patch_bytes(self, tower: &impl PictureTower) -> u64 {
        let numbers = self.numbers(tower.layers(), tower.width(), patch_count(tower));
        width(tower.placement()) * numbers
    }

    /// Numbers that are kept of so many tokens or patches between layers of that width.
    fn numbers(self, layers: &[impl Layer], width: usize, tokens: usize) -> u64 {
        let of_layer = |layer: &_| match self {
            Self::Inputs => width as u64,
            Self::Everything => Layer::trace_numbers(layer),
        };
        let layers: u64 = layers.iter().map(of_layer).sum();
        tokens as u64 * (layers + width as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gemma3_tch::Gemma3;
    use std::path::Path;

    fn model(placement: Placement) -> Gemma3 {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/layout/model");
        Gemma3::load(&dir, placement).unwrap()
    }

    fn cut(goals: usize, budget: u64) -> Result<Cut, Error> {
        let size = SweepSize { tokens: 300, goals, kept: 0 };
        Cut::new(&model(Placement::AS_STORED), size, budget)
    }

    #[test]
    fn a_budget_below_one_row_names_the_smallest_that_works() {
        let error = cut(4, 1000).unwrap_err();
        let Error::Budget { smallest, .. } = error else { panic!("{error}") };
        assert_eq!(cut(4, smallest).unwrap(), Cut { goals: 1, rows: 1 });
        assert!(cut(4, smallest - 1).is_err());
    }

    #[test]
    fn what_observers_keep_is_part_of_the_budget() {
        let size = |kept| SweepSize { tokens: 300, goals: 4, kept };
        let model = model(Placement::AS_STORED);
        let cut = |kept, budget| Cut::new(&model, size(kept), budget);
        assert_eq!(cut(3 << 20, 11 << 20).unwrap(), cut(0, 8 << 20).unwrap());
        assert_ne!(cut(3 << 20, 8 << 20).unwrap(), cut(0, 8 << 20).unwrap());
        let least = Cut::least(&model, 300);
        assert!(cut(1, least).is_err());
        assert_eq!(cut(1, least + 1).unwrap(), Cut { goals: 1, rows: 1 });
    }

    #[test]
    fn more_memory_means_more_at_a_time_and_never_more_than_is_there() {
        let mut former = Cut { goals: 0, rows: 0 };
        for megabytes in [4, 8, 16, 64, 256, 4096] {
            let budget = megabytes << 20;
            let cut = cut(4, budget).unwrap();
            assert!(former.goals <= cut.goals, "{megabytes} MB: {cut:?} after {former:?}");
            assert!(
                Cost::text(&model(Placement::AS_STORED), 300)
                    .bytes(cut.goals as u64, cut.rows as u64)
                    <= budget
            );
            former = cut;
        }
        assert_eq!(former, Cut { goals: 4, rows: 64 });
    }

    #[test]
    fn blocks_are_as_few_as_may_be_and_alike() {
        let found = [(4096, 580), (4096, 512), (300, 64), (300, 7), (1, 64)]
            .map(|(tokens, most)| alike(tokens, most));
        assert_eq!(found, [512, 512, 64, 7, 64]);
    }

    #[test]
    fn narrow_weights_leave_room_for_more_goals() {
        let narrow = Placement { kind: Some(Kind::BFloat16), ..Placement::AS_STORED };
        let size = SweepSize { tokens: 300, goals: 16, kept: 0 };
        let goals = |placement| Cut::new(&model(placement), size, 8 << 20).unwrap().goals;
        assert!(goals(Placement::AS_STORED) < goals(narrow));
    }
}
