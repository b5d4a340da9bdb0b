//! What kernels are given of one head and what they give.
//!
//! Symbols: m queries, n keys, d head width.

/// A matrix whose rows of `width` numbers stand `stride` numbers apart, as those of one head among all heads do.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    /// From the first number of the first row on.
    pub numbers: &'a [f32],
    /// From a row to the next.
    pub stride: usize,
    /// Numbers of a row.
    pub width: usize,
}

impl<'a> Matrix<'a> {
    #[inline]
    pub(crate) fn n_rows(self) -> usize {
        self.numbers.len().div_ceil(self.stride)
    }

    #[inline]
    pub(crate) fn rows(self) -> impl Iterator<Item = &'a [f32]> {
        self.numbers.chunks(self.stride).map(move |row| &row[..self.width])
    }

    #[inline]
    pub(crate) fn part(self, start: usize, n_rows: usize) -> Self {
        let rest = &self.numbers[start * self.stride..];
        Self { numbers: &rest[..rest.len().min(n_rows * self.stride)], ..self }
    }
}

/// One head.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// Queries `[m, d]`.
    pub q: Matrix<'a>,
    /// Keys `[n, d]`.
    pub k: Matrix<'a>,
    /// Values `[n, d]`.
    pub v: Matrix<'a>,
    /// What products of queries and keys are multiplied by: positive.
    pub scale: f32,
}

/// One goal at one head.
#[derive(Clone, Copy)]
pub struct Goal<'a> {
    /// The gradient at the head's output `[m, d]`.
    pub dheads: Matrix<'a>,
    /// What each row of A⊙∇A counts, `[m]`.
    pub weights: &'a [f32],
}

/// What the pass gives for one goal.
pub struct Pulled {
    /// Gradient at the queries `[m, d]`.
    pub dq: Vec<f32>,
    /// Gradient at the keys `[n, d]`.
    pub dk: Vec<f32>,
    /// Gradient at the values `[n, d]`.
    pub dv: Vec<f32>,
    /// `Σ_i weight_i·(A⊙∇A)⁺[i, j]`, `[n]`.
    pub folded: Vec<f32>,
}

/// What is worked on.
#[derive(Clone, Copy)]
pub(crate) struct Operands<'a> {
    pub(crate) head: Head<'a>,
    pub(crate) goals: &'a [Goal<'a>],
}

impl Operands<'_> {
    /// Whether all that products over the width of the head take are numbers of bfloat16, the upper half of a float32.
    pub(crate) fn are_narrow(&self) -> bool {
        let Head { q, k, v, .. } = self.head;
        let gradients = self.goals.iter().map(|goal| goal.dheads);
        let bits = |row: &[f32]| row.iter().fold(0, |bits, number| bits | number.to_bits());
        let mut rows = [q, k, v].into_iter().chain(gradients).flat_map(Matrix::rows);
        rows.all(|row| bits(row).trailing_zeros() >= u16::BITS)
    }
}
