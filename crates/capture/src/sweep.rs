//! One layer of the reverse sweep: attention rebuilt, folded into the rows and pulled back in the same pass. No S×S value exists.
//!
//! What a pass is given and what it gives is a contract ([`pass`]). Who does it is a [`Backend`]: each says what it takes, what it holds
//! in memory, and does it, and none knows of another.
//!
//! | backend | takes |
//! |---|---|
//! | [`cpu`] | layers of the vision tower on a CPU with vector registers, by the gradient |
//! | [`cuda`] | layers of the vision tower in bfloat16 on an NVIDIA GPU, by the gradient |
//! | [`products`] | everything, one product of libtorch after the other: the reference |
//!
//! A new backend is a file beside these and a line in [`BACKENDS`]. The row rule is that of `attention-relevancy`
//! ([`RowRule`](attention_relevancy::RowRule)); tests hold every backend against it and against the reference (`examples.rs`).
//!
//! Symbols: T goals, H query heads, K key heads, d head width, m query rows, n keys.

mod backend;
mod cpu;
mod cuda;
#[cfg(test)]
mod examples;
mod pass;
mod products;
mod weights;

pub(crate) use backend::{PassCost, Setting};
pub(crate) use pass::{Folds, Pass, PatchPass, RowFold, Rows, Swept};

use backend::Backend;

/// All of them, the first that takes a pass does it. The last takes every pass.
static BACKENDS: [&dyn Backend; 3] = [&cpu::Cpu, &cuda::Cuda, &products::Products];

/// Those that take passes of this kind, in order.
fn accepting(setting: &Setting) -> impl Iterator<Item = &'static dyn Backend> {
    BACKENDS.into_iter().filter(|backend| backend.accepts(setting))
}

/// What the passes of a sweep hold in memory.
pub(crate) fn cost(setting: &Setting) -> PassCost {
    let first = accepting(setting).next();
    first.expect("the reference takes every pass").cost(setting)
}

/// Why a backend that is made for passes of this kind cannot do them on this machine. `None` where there is nothing to tell.
pub(crate) fn missing(setting: &Setting) -> Option<String> {
    BACKENDS.into_iter().find_map(|backend| backend.missing(setting))
}

impl Pass<'_> {
    /// The pass by the first backend that takes it.
    pub(crate) fn run(&self, rows: &Rows) -> Swept {
        self.run_fast(rows).unwrap_or_else(|| self.run_by_reference(rows))
    }

    /// [`Pass::run`] by another backend than the reference; `None` where there is no such backend for it.
    pub(crate) fn run_fast(&self, rows: &Rows) -> Option<Swept> {
        let (_reference, fast) = BACKENDS.split_last()?;
        let setting = self.setting(rows);
        let mut accepting = fast.iter().filter(|backend| backend.accepts(&setting));
        accepting.find_map(|backend| backend.run(self, rows))
    }

    /// [`Pass::run`] by one product of libtorch after the other.
    pub(crate) fn run_by_reference(&self, rows: &Rows) -> Swept {
        products::run(self, rows)
    }
}
