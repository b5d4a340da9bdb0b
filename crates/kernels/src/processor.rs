//! What the processor can do, and work at a head with all of it.

use crate::bfloat16::Bfloat16;
use crate::forward::Attend;
use crate::lanes::Single;
use crate::operands::{Goal, Head, Operands, Pulled};
#[cfg(target_arch = "x86_64")]
use crate::pairs::Pairs;
use crate::pull::{Pull, RowSums};
use crate::stretch::AtHead;
use pulp::{Arch, Simd, WithSimd};

/// A kind of vector registers.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    arch: Arch,
    #[cfg(target_arch = "x86_64")]
    pairs: Option<Pairs>,
}

impl Processor {
    /// The fastest of this machine: the widest, and products of bfloat16 numbers in pairs where it is [fast](Bfloat16::Fast) at them. (An Intel
    /// Xeon without AMX, one thread, 4096 queries and keys of width 72: 92 GFLOP/s in float32, 72 in pairs.)
    pub fn here() -> Self {
        match Bfloat16::here() {
            Bfloat16::Fast => Self::with_pairs(),
            Bfloat16::Slow | Bfloat16::Emulated => Self::without_pairs(Arch::new()),
        }
    }

    fn with_pairs() -> Self {
        Self {
            #[cfg(target_arch = "x86_64")]
            pairs: Pairs::try_new(),
            ..Self::without_pairs(Arch::new())
        }
    }

    /// Every kind that this machine has, and none: tests go through all.
    pub fn every() -> Vec<Self> {
        let mut archs = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        archs.extend(pulp::x86::V3::try_new().map(Arch::V3));
        archs.push(Arch::new());
        let mut processors: Vec<_> = archs.into_iter().map(Self::without_pairs).collect();
        processors.push(Self::with_pairs());
        processors
    }

    /// Whether there are any: without, other products are faster.
    pub fn has_vectors(self) -> bool {
        !matches!(self.arch, Arch::Scalar)
    }

    /// `softmax(scale·q·kᵀ)·v`, `[m, d]`.
    pub fn attend(self, head: Head<'_>) -> Vec<f32> {
        self.dispatch(Attend, Operands { head, goals: &[] })
    }

    /// Attention pulled back and folded: a [`Pulled`] for each goal.
    pub fn pull(self, head: Head<'_>, goals: &[Goal<'_>]) -> Vec<Pulled> {
        self.dispatch(Pull, Operands { head, goals })
    }

    /// The sums `Σ_j (A⊙∇A)⁺[i, j]` of rows, `[m]` for each goal; weights are not looked at.
    pub fn row_sums(self, head: Head<'_>, goals: &[Goal<'_>]) -> Vec<Vec<f32>> {
        self.dispatch(RowSums, Operands { head, goals })
    }

    fn without_pairs(arch: Arch) -> Self {
        Self {
            arch,
            #[cfg(target_arch = "x86_64")]
            pairs: None,
        }
    }

    /// `work` with the widest registers, and in pairs where the operands and the processor are such.
    fn dispatch<W: AtHead>(self, work: W, operands: Operands<'_>) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        if let (Arch::V4(v4), Some(pairs)) = (self.arch, self.pairs)
            && operands.are_narrow()
        {
            return pairs.dispatch(v4, work, operands);
        }
        self.arch.dispatch(InSingles(work, operands))
    }
}

struct InSingles<'a, W>(W, Operands<'a>);

impl<W: AtHead> WithSimd for InSingles<'_, W> {
    type Output = W::Output;

    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "what is not inlined is compiled without vector registers"
    )]
    fn with_simd<S: Simd>(self, simd: S) -> W::Output {
        self.0.run(simd, Single, self.1)
    }
}
