//! Products of bfloat16 numbers, two to an instruction, with float32 sums.
//!
//! Queries, keys and values of a model in bfloat16, and what comes back through its weights, have eight bits of precision. A product of
//! two such numbers is a float32 without rounding, so sums of them are as good as those of float32 products, and faster on some processors
//! ([`crate::Bfloat16`]).

#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled without vector registers"
)]

use crate::lanes::Terms;
use crate::operands::Operands;
use crate::stretch::AtHead;
use pulp::x86::V4;
use pulp::{NullaryFnOnce, Simd};
use std::arch::x86_64::_mm512_dpbf16_ps;

pulp::simd_type! {
    /// All that [`V4`] stands for, and AVX-512 for bfloat16.
    pub(crate) struct Pairs {
        sse: "sse",
        sse2: "sse2",
        fxsr: "fxsr",
        sse3: "sse3",
        ssse3: "ssse3",
        sse4_1: "sse4.1",
        sse4_2: "sse4.2",
        popcnt: "popcnt",
        avx: "avx",
        avx2: "avx2",
        bmi1: "bmi1",
        bmi2: "bmi2",
        fma: "fma",
        lzcnt: "lzcnt",
        avx512f: "avx512f",
        avx512bw: "avx512bw",
        avx512cd: "avx512cd",
        avx512dq: "avx512dq",
        avx512vl: "avx512vl",
        avx512bf16: "avx512bf16",
    }
}

impl Pairs {
    /// `work`, compiled for such a processor.
    pub(crate) fn dispatch<W: AtHead>(self, v4: V4, work: W, operands: Operands<'_>) -> W::Output {
        self.vectorize(InPairs { v4, pairs: self, work, operands })
    }
}

struct InPairs<'a, W> {
    v4: V4,
    pairs: Pairs,
    work: W,
    operands: Operands<'a>,
}

impl<W: AtHead> NullaryFnOnce for InPairs<'_, W> {
    type Output = W::Output;

    #[inline(always)]
    fn call(self) -> W::Output {
        self.work.run(self.v4, self.pairs, self.operands)
    }
}

impl Terms<V4> for Pairs {
    const PER_WORD: usize = 2;

    #[inline(always)]
    fn words(self, numbers: &[f32]) -> impl Iterator<Item = u32> {
        numbers.chunks(2).map(|pair| {
            let upper = pair.get(1).map_or(0, |second| second.to_bits());
            upper & 0xFFFF_0000 | pair[0].to_bits() >> 16
        })
    }

    #[inline(always)]
    fn multiply_add(
        self,
        _: V4,
        a: <V4 as Simd>::u32s,
        x: <V4 as Simd>::u32s,
        sum: <V4 as Simd>::f32s,
    ) -> <V4 as Simd>::f32s {
        // SAFETY: a `Pairs` is only made where the processor has the instruction.
        #[expect(unsafe_code, reason = "the compiler cannot know which processor it will be")]
        let sum = unsafe { _mm512_dpbf16_ps(pulp::cast(sum), pulp::cast(a), pulp::cast(x)) };
        pulp::cast(sum)
    }
}
