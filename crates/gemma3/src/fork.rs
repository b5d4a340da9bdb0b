//! Two continuations of one prefix, packed into a single sequence.

use tch::{Device, Kind, Tensor};

/// Where a packed sequence goes on in two ways: the prefix `0..at`, the first branch `at..second`, the second from `second` on.
///
/// An *index* counts tokens as they are packed, and is what everything is addressed by. A *position* is what rotation and windows
/// count: the same in the prefix and in the first branch, and beginning again at `at` in the second. No token of the second
/// branch sees the first ([`MaskRule`](crate::MaskRule)), so each branch computes what it would compute alone behind the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fork {
    /// Length of the prefix: index of the first token of the first branch.
    pub at: usize,
    /// Index of the first token of the second branch, `at` or later.
    pub second: usize,
}

impl Fork {
    /// The position of the token at `index`.
    pub fn position(self, index: usize) -> usize {
        if index < self.second { index } else { self.at + (index - self.second) }
    }

    /// Whether `query` stands in the second branch and `key` in the first: the one cannot see the other.
    pub fn apart(self, query: usize, key: usize) -> bool {
        self.second <= query && (self.at..self.second).contains(&key)
    }
}

/// Where some consecutive tokens stand: the index of the first, in a sequence that may fork. Only a sequence's layout
/// ([`SequenceLayout::place`](crate::SequenceLayout::place)) or a rule made from one ([`MaskRule::place`](crate::MaskRule::place)) gives
/// places: an index alone does not say which position it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    start: usize,
    fork: Option<Fork>,
    /// Tokens of a run, where several of them stand here; `None`: one run.
    run: Option<usize>,
}

impl Place {
    /// The token at index `start`; without a fork positions are indices.
    pub(crate) fn new(start: usize, fork: Option<Fork>) -> Self {
        Self { start, fork, run: None }
    }

    /// Index of the first of the tokens.
    pub fn start(self) -> usize {
        self.start
    }

    /// The place `tokens` tokens further on.
    #[must_use]
    pub fn after(self, tokens: usize) -> Self {
        Self { start: self.start + tokens, ..self }
    }

    /// The same place for several runs of `tokens` tokens, one behind the other, that all begin here: variants of one sequence.
    #[must_use]
    pub fn in_runs_of(self, tokens: usize) -> Self {
        Self { run: Some(tokens), ..self }
    }

    /// The positions of `n` tokens from here on, `[n]` of that dtype on that device.
    pub fn positions(self, n: usize, options: (Kind, Device)) -> Tensor {
        if let Some(run) = self.run {
            let runs = (n / run.max(1)) as i64;
            return Self { run: None, ..self }.positions(run, options).repeat([runs]);
        }
        let from = |first: usize, n: usize| {
            Tensor::arange_start(first as i64, (first + n) as i64, options)
        };
        let end = self.start + n;
        match self.fork {
            Some(fork) if fork.second <= self.start => from(fork.position(self.start), n),
            Some(fork) if fork.second < end => {
                let before = from(self.start, fork.second - self.start);
                Tensor::cat(&[before, from(fork.at, end - fork.second)], 0)
            }
            _ => from(self.start, n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_the_second_branch_begin_behind_the_prefix() {
        let fork = Fork { at: 4, second: 7 };
        let positions: Vec<usize> = (0..10).map(|index| fork.position(index)).collect();
        assert_eq!(positions, [0, 1, 2, 3, 4, 5, 6, 4, 5, 6]);
        for start in 0..10 {
            for n in 1..=10 - start {
                let place = Place::new(start, Some(fork));
                let found = place.positions(n, (Kind::Int64, Device::Cpu));
                let expected: Vec<i64> =
                    positions[start..start + n].iter().map(|&position| position as i64).collect();
                assert_eq!(Vec::<i64>::try_from(found).unwrap(), expected);
            }
        }
        let runs = Place::new(6, Some(fork)).in_runs_of(3).positions(6, (Kind::Int64, Device::Cpu));
        assert_eq!(Vec::<i64>::try_from(runs).unwrap(), [6, 4, 5, 6, 4, 5]);
        assert!(fork.apart(7, 4) && fork.apart(9, 6));
        assert!(!fork.apart(7, 3) && !fork.apart(7, 7) && !fork.apart(6, 4));
    }
}
