//! Memory from the first picture to the last map, planned in one place.
//!
//! A budget is shared out in the order in which things are held:
//!
//! | held | its share | decided by |
//! |---|---|---|
//! | states of the vision tower, of every picture or of none | a quarter | [`Ledger::keep_pictures`] |
//! | states of the language model | half of the rest for everything, else the layers' inputs | [`Ledger::keep_states`] |
//! | a sweep, with what its observers keep | the rest | [`Ledger::room`] |
//! | of that, what goals leave at pictures | half | [`Room::images_waiting`], [`Room::images_at_once`] |
//!
//! What a thing costs stands beside the code that holds it, and nothing holds memory without saying so: a pull-back
//! ([`gemma3_tch::PullCost`]), the pass of a backend (`sweep/backend.rs`), an observer ([`Observer::bytes`](crate::Observer::bytes)),
//! recorded states ([`Keep::bytes`]), what waits at pictures ([`ImagePart::bytes`](crate::ImagePart::bytes)).

use crate::budget::Cut;
use crate::seam::{Bytes, Placement, available_memory, check_memory};
use crate::states::StatesSize;
use crate::{
    Error, Goal, ImagePart, Keep, LanguageModel, Patches, PictureModel, PictureTower, SweepOptions,
};
use attention_relevancy::{Backward, Update};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Shares out the memory of an answer and of what is explained about it.
#[derive(Clone, Copy, Debug)]
pub struct Ledger<'a> {
    model: &'a dyn Costs,
    budget: u64,
    keeps_pictures: bool,
}

/// What holding and sweeping the states of a model costs, in bytes: all that a [`Ledger`] asks. Every [`PictureModel`] tells it.
pub trait Costs: fmt::Debug {
    /// Where the model is.
    fn placement(&self) -> Placement;

    /// Recording so much of a run over so many tokens.
    fn states(&self, keep: Keep, tokens: usize) -> u64;

    /// The least for a sweep over so many tokens.
    fn sweep(&self, tokens: usize) -> u64;

    /// Keeping so much of one picture; `None`: the model sees none.
    fn picture(&self, keep: Keep) -> Option<u64>;

    /// The least for a sweep over the patches of one picture, kept or not.
    ///
    /// # Errors
    /// For a model that sees no pictures.
    fn patches(&self, update: Update, backward: Backward, is_kept: bool) -> Result<u64, Error>;

    /// What one goal leaves at one picture.
    fn part(&self) -> u64;
}

impl<M: PictureModel> Costs for M {
    fn placement(&self) -> Placement {
        LanguageModel::placement(self)
    }

    fn states(&self, keep: Keep, tokens: usize) -> u64 {
        keep.bytes(self, tokens)
    }

    fn sweep(&self, tokens: usize) -> u64 {
        Cut::least(self, tokens)
    }

    fn picture(&self, keep: Keep) -> Option<u64> {
        Some(keep.patch_bytes(self.tower().ok()?))
    }

    fn patches(&self, update: Update, backward: Backward, is_kept: bool) -> Result<u64, Error> {
        Patches::least_budget(self, update, backward, is_kept)
    }

    fn part(&self) -> u64 {
        let tokens = self.tower().map_or(0, |tower| tower.tokens().into_iter().product());
        ImagePart::bytes(tokens, self.width())
    }
}

/// What is held of a run while it is explained.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// Images of the sequence.
    pub images: usize,
    /// Bytes that were kept of them ([`PatchStates::bytes`](crate::PatchStates::bytes)): of all, or 0.
    pub pictures: u64,
    /// Tokens for which [`Ledger::keep_states`] was asked.
    pub planned: usize,
    /// What was kept of the language model.
    pub states: StatesSize,
}

/// What explanations need at the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// Tokens that the goals reach; 0 where that is not known before the sweep.
    pub tokens: usize,
    /// Maps of pictures finer than their tokens.
    pub finer: Option<FinerDemand>,
}

/// What maps finer than tokens need at the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinerDemand {
    /// How rows are folded in the vision tower.
    pub update: Update,
    /// How the sweep goes back through it.
    pub backward: Backward,
    /// Goals that go through the vision tower together: what they leave at a picture is held all the while.
    pub goals: usize,
}

impl<'a> Ledger<'a> {
    /// Shares out `budget` bytes beside the weights. `keeps_pictures`: whether states of the vision tower are wanted at all.
    pub fn new(model: &'a dyn Costs, budget: u64, keeps_pictures: bool) -> Self {
        Self { model, budget, keeps_pictures }
    }

    /// A budget for models at that place: a quarter of what is free there, 4 GiB where that is not known.
    pub fn default_budget(placement: Placement) -> u64 {
        const UNKNOWN: u64 = 4 << 30;
        placement.free_memory().map_or(UNKNOWN, |free| free.0 / 4)
    }

    /// How much is kept of each of so many pictures; `None`: nothing.
    ///
    /// Fails where the machine has less memory free than the budget allows to be kept.
    pub fn keep_pictures(&self, images: usize) -> Result<Option<Keep>, Error> {
        let keep = self.pictures_within(images, self.budget);
        if let Some((_, bytes)) = keep {
            self.check("keeping what the pictures became", bytes)?;
        }
        Ok(keep.map(|(keep, _)| keep))
    }

    /// How much of a run over `tokens` tokens is kept beside the `pictures` bytes that were kept of its pictures.
    ///
    /// Fails where the machine has less memory free than that takes.
    pub fn keep_states(&self, tokens: usize, pictures: u64) -> Result<Keep, Error> {
        let (keep, bytes) = self.states_within(tokens, tokens, self.beside(pictures));
        self.check(&format!("keeping the states of {tokens} tokens"), bytes)?;
        Ok(keep)
    }

    /// Bytes that are left beside those that were kept of pictures.
    fn beside(&self, pictures: u64) -> u64 {
        self.budget.saturating_sub(pictures)
    }

    /// What is left for explanations.
    ///
    /// Fails with [`Error::Budget`] where it is too little for the demand.
    pub fn room(&self, held: Held, demand: Demand) -> Result<Room<'a>, Error> {
        let least = demand.bytes(self.model, held.pictures != 0)?;
        let bytes = self.beside(held.pictures).saturating_sub(held.states.bytes);
        if bytes < least {
            let (alone, kept) = (demand.bytes(self.model, false)?, demand.bytes(self.model, true)?);
            return Err(self.too_small(held, |is_kept| if is_kept { kept } else { alone }));
        }
        let parts = demand.parts(self.model);
        Ok(Room { ledger: *self, held, bytes, least, sweep: least - parts })
    }

    /// Whether the budget holds the demand of a token behind a prompt, before anything has run. What the answer adds is not known yet: a budget that passes may be too small for a long one.
    ///
    /// # Errors
    /// [`Error::Budget`] with that number; [`gemma3_tch::Error::NoVision`] for finer maps of a model that sees no pictures.
    pub fn check_prompt(&self, demand: Demand) -> Result<(), Error> {
        let (budget, smallest) = (self.budget, demand.bytes(self.model, true)?);
        if budget < smallest { Err(Error::Budget { budget, smallest }) } else { Ok(()) }
    }

    /// [`Error::Budget`] with the least budget that does. What is kept grows with the budget, so this iterates to the first that holds
    /// both what is then kept and the bytes that explanations need, which depend on whether pictures are kept.
    fn too_small(&self, held: Held, needed: impl Fn(bool) -> u64) -> Error {
        let with_kept = |budget: u64| {
            let pictures = self.pictures_within(held.images, budget).map(|(_, bytes)| bytes);
            let bytes = pictures.unwrap_or(0);
            let rest = budget.saturating_sub(bytes);
            let (_, states) = self.states_within(held.planned, held.states.tokens, rest);
            needed(pictures.is_some()) + bytes + states
        };
        let mut smallest = with_kept(self.budget);
        while smallest < with_kept(smallest) {
            smallest = with_kept(smallest);
        }
        Error::Budget { budget: self.budget, smallest }
    }

    /// What is kept of each picture, with the bytes of all.
    fn pictures_within(&self, images: usize, budget: u64) -> Option<(Keep, u64)> {
        if !self.keeps_pictures || images == 0 {
            return None;
        }
        let all = [Keep::Everything, Keep::Inputs].into_iter();
        all.filter_map(|keep| Some((keep, images as u64 * self.model.picture(keep)?)))
            .find(|(_, bytes)| *bytes <= budget / 4)
    }

    /// What is kept of a run that was planned for so many tokens, and its bytes when it has so many.
    fn states_within(&self, planned: usize, tokens: usize, budget: u64) -> (Keep, u64) {
        let fits = self.model.states(Keep::Everything, planned) <= budget / 2;
        let keep = if fits { Keep::Everything } else { Keep::Inputs };
        (keep, self.model.states(keep, tokens))
    }

    fn check(&self, purpose: &str, bytes: u64) -> Result<(), Error> {
        if self.model.placement().on_cpu() {
            check_memory(purpose, Bytes(bytes), available_memory())?;
        }
        Ok(())
    }
}

impl Demand {
    /// Of explanations of these goals.
    pub fn of(goals: &[Goal]) -> Self {
        Self { tokens: goals.iter().map(Goal::end).max().unwrap_or(1), finer: None }
    }

    /// The least bytes, when pictures are kept or not.
    fn bytes(&self, model: &dyn Costs, is_kept: bool) -> Result<u64, Error> {
        let tokens = if self.tokens == 0 { 0 } else { model.sweep(self.tokens) };
        let Some(FinerDemand { update, backward, .. }) = self.finer else { return Ok(tokens) };
        // Parts are gathered while the tokens are swept, and held while the patches of one picture are.
        Ok(tokens.max(model.patches(update, backward, is_kept)?) + self.parts(model))
    }

    /// Bytes of what the goals leave at one picture.
    fn parts(&self, model: &dyn Costs) -> u64 {
        self.finer.map_or(0, |finer| model.part() * finer.goals as u64)
    }
}

/// What is left for explanations beside all that is kept.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    ledger: Ledger<'a>,
    held: Held,
    bytes: u64,
    /// Bytes without which the demand cannot be met.
    least: u64,
    /// Those of a sweep over tokens or patches among them.
    sweep: u64,
}

impl Room<'_> {
    /// Does `work` in all of the room and, when memory runs out inside libtorch, once more in a quarter of it. Beside the result stands
    /// the error that made the second try necessary; it is the outcome where a quarter is too little.
    ///
    /// [`Error::Budget`] of a sweep names the least room; here it names the least budget.
    pub fn within<T>(
        &self,
        work: impl Fn(Self) -> Result<T, Error>,
    ) -> Result<(T, Option<Error>), Error> {
        let outcome = twice(self.bytes, |bytes| work(Self { bytes, ..*self }));
        outcome.map_err(|error| match error {
            Error::Budget { smallest, .. } => self.ledger.too_small(self.held, |_| smallest),
            error => error,
        })
    }

    /// For a sweep that has all of the room.
    pub fn sweep(&self, cancel: Option<Arc<AtomicBool>>) -> SweepOptions {
        SweepOptions { memory_budget: self.bytes, cancel }
    }

    /// Of how many of the images what `goals` goals leave there can wait for the end of their sweep: half of the room, and no more than
    /// the demand spares.
    pub fn images_waiting(&self, goals: usize, images: usize) -> usize {
        let room = (self.bytes / 2).min(self.bytes.saturating_sub(self.least));
        self.images(goals, images, room)
    }

    /// Of how many of the images one sweep for `goals` goals keeps what they leave there: half of the room, beside the sweep itself, and one
    /// at the least.
    pub fn images_at_once(&self, goals: usize, images: usize) -> usize {
        let room = (self.bytes / 2).min(self.bytes.saturating_sub(self.sweep));
        self.images(goals, images, room).max(1)
    }

    /// What is left beside `parts` of what goals left at images.
    #[must_use]
    pub fn beside(self, parts: usize) -> Self {
        Self { bytes: self.bytes.saturating_sub(self.part() * parts as u64), ..self }
    }

    fn images(&self, goals: usize, images: usize, room: u64) -> usize {
        fitting(self.part().saturating_mul(goals as u64), images, room)
    }

    fn part(&self) -> u64 {
        self.ledger.model.part()
    }
}

/// Of so many images as many as fit into the room, when one takes so many bytes.
fn fitting(bytes: u64, images: usize, room: u64) -> usize {
    (room / bytes.max(1)).min(images as u64) as usize
}

/// Does `work` within `budget` bytes and, when memory runs out inside libtorch, once more within a quarter of them.
fn twice<T>(
    budget: u64,
    work: impl Fn(u64) -> Result<T, Error>,
) -> Result<(T, Option<Error>), Error> {
    match work(budget) {
        Err(error) if error.is_out_of_memory() => match work(budget / 4) {
            Err(Error::Budget { .. }) => Err(error),
            outcome => Ok((outcome?, Some(error))),
        },
        outcome => Ok((outcome?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::guard;
    use tch::{Device, Kind, Tensor};

    #[test]
    fn memory_that_ran_out_is_tried_again_once_with_less() {
        // More than an address space holds: libtorch's own allocator refuses it.
        let allocate = |elements: i64| {
            let make = || drop(Tensor::zeros([elements], (Kind::Float, Device::Cpu)));
            Ok::<_, Error>(guard("allocating", make)?)
        };
        let (budget, first) = twice(400, |budget| {
            allocate(if budget == 400 { 1 << 60 } else { 1 })?;
            Ok(budget)
        })
        .unwrap();
        assert_eq!(budget, 100);
        assert!(first.unwrap().to_string().contains("allocating"));
        assert!(twice(400, |_| allocate(1 << 60)).unwrap_err().is_out_of_memory());
        let too_little = |budget| match allocate(if budget == 400 { 1 << 60 } else { 1 }) {
            Ok(()) => Err::<(), _>(Error::Budget { budget, smallest: 200 }),
            error => error,
        };
        assert!(twice(400, too_little).unwrap_err().is_out_of_memory());
        assert!(matches!(twice(400, Ok), Ok((400, None))));
        assert!(matches!(twice(4, |_| Err::<(), _>(Error::Cancelled)), Err(Error::Cancelled)));
    }

    /// Every token of states takes 100 bytes in full and 10 without what can be rebuilt, a picture 1000 and 100.
    #[derive(Debug)]
    struct Priced;

    impl Costs for Priced {
        fn placement(&self) -> Placement {
            Placement { device: Device::Cpu, kind: Some(Kind::Float) }
        }

        fn states(&self, keep: Keep, tokens: usize) -> u64 {
            self.picture(keep).unwrap() / 10 * tokens as u64
        }

        fn sweep(&self, tokens: usize) -> u64 {
            tokens as u64
        }

        fn picture(&self, keep: Keep) -> Option<u64> {
            Some(if keep == Keep::Everything { 1000 } else { 100 })
        }

        fn patches(&self, _: Update, _: Backward, is_kept: bool) -> Result<u64, Error> {
            Ok(if is_kept { 50 } else { 150 })
        }

        fn part(&self) -> u64 {
            7
        }
    }

    #[test]
    fn everything_is_kept_where_it_fits() {
        let ledger = |budget| Ledger::new(&Priced, budget, true);
        let states = |budget| ledger(budget).keep_states(3, 0).unwrap();
        assert_eq!([600, 599].map(states), [Keep::Everything, Keep::Inputs]);
        let pictures = |budget| ledger(budget).keep_pictures(2).unwrap();
        let expected = [Some(Keep::Everything), Some(Keep::Inputs), Some(Keep::Inputs), None];
        assert_eq!([8000, 7999, 800, 799].map(pictures), expected);
        assert_eq!(Ledger::new(&Priced, 8000, false).keep_pictures(2).unwrap(), None);
    }

    #[test]
    fn a_demand_is_the_dearer_of_its_sweeps_and_what_waits_between_them() {
        let (update, backward) = (Update::Additive, Backward::Gradient);
        let finer = Some(FinerDemand { update, backward, goals: 2 });
        let least = |demand: Demand| {
            let error = Ledger::new(&Priced, 0, true).check_prompt(demand).unwrap_err();
            let Error::Budget { smallest, .. } = error else { panic!("{error}") };
            smallest
        };
        assert_eq!(least(Demand { tokens: 300, finer: None }), 300);
        assert_eq!(least(Demand { tokens: 300, finer }), 314);
        assert_eq!(least(Demand { tokens: 30, finer }), 64);
    }

    #[test]
    fn as_many_images_as_fit() {
        let found = [0, 99, 100, 199, 200, 2000].map(|room| fitting(100, 3, room));
        assert_eq!(found, [0, 0, 1, 1, 2, 3]);
        assert_eq!(fitting(0, 3, 1000), 3); // no goal
    }
}
