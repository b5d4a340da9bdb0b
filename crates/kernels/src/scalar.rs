//! The pass over one head in plain loops, a query at a time and in double precision: what `pull.rs` does, to be read beside it and
//! compared with it.

use crate::operands::{Goal, Head, Matrix, Operands, Pulled};

/// What [`crate::pull::Pull`] gives: a [`Pulled`] for each goal.
pub(crate) fn pull(Operands { head, goals }: Operands<'_>) -> Vec<Pulled> {
    goals.iter().map(|goal| pull_goal(head, goal)).collect()
}

/// What [`crate::forward::Attend`] gives: `softmax(scale·q·kᵀ)·v`.
pub(crate) fn attend(head: Head<'_>) -> Vec<f32> {
    let (keys, d) = (0..head.k.n_rows(), head.v.width);
    let of_query = |i: usize| {
        let attention = attention(head, i);
        let mut sums = vec![0.0; d];
        keys.clone().for_each(|j| add(&mut sums, attention[j], row(head.v, j)));
        sums.into_iter().map(|x| x as f32)
    };
    (0..head.q.n_rows()).flat_map(of_query).collect()
}

/// What [`crate::pull::RowSums`] gives: `Σ_j (A⊙∇A)⁺[i, j]` of each query i, for each goal.
pub(crate) fn row_sums(Operands { head, goals }: Operands<'_>) -> Vec<Vec<f32>> {
    let of_query = |goal: &Goal<'_>, i: usize| {
        let (_, weighted) = weighted(head, goal, i);
        weighted.iter().map(|x| x.max(0.0)).sum::<f64>() as f32
    };
    let of_goal = |goal| (0..head.q.n_rows()).map(|i| of_query(goal, i)).collect();
    goals.iter().map(of_goal).collect()
}

fn pull_goal(head: Head<'_>, goal: &Goal<'_>) -> Pulled {
    let Head { q, k, scale, .. } = head;
    let (m, n, d) = (q.n_rows(), k.n_rows(), k.width);
    let scale = f64::from(scale);
    let mut dq = vec![0.0; m * d];
    let [mut dk, mut dv] = [(); 2].map(|()| vec![0.0; n * d]);
    let mut folded = vec![0.0; n];
    for i in 0..m {
        let (attention, weighted) = weighted(head, goal, i);
        let total: f64 = weighted.iter().sum();
        for j in 0..n {
            folded[j] += f64::from(goal.weights[i]) * weighted[j].max(0.0);
            // The softmax pulled back: dS = A⊙∇A − A·Σ_j(A⊙∇A).
            let dscore = weighted[j] - attention[j] * total;
            add(&mut dq[i * d..][..d], scale * dscore, row(k, j));
            add(&mut dk[j * d..][..d], scale * dscore, row(q, i));
            add(&mut dv[j * d..][..d], attention[j], row(goal.dheads, i));
        }
    }
    let [dq, dk, dv, folded] =
        [dq, dk, dv, folded].map(|sums| sums.into_iter().map(|x| x as f32).collect());
    Pulled { dq, dk, dv, folded }
}

/// Attention of query i, `A[i, :] = softmax(scale·q_i·kᵀ)`.
fn attention(Head { q, k, scale, .. }: Head<'_>, i: usize) -> Vec<f64> {
    let keys = 0..k.n_rows();
    let scores: Vec<f64> = keys.map(|j| f64::from(scale) * product(row(q, i), row(k, j))).collect();
    let greatest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = scores.iter().map(|score| (score - greatest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// Attention of query i, and `A⊙∇A` of it, `∇A[i, j] = dO_i·v_j`.
fn weighted(head: Head<'_>, goal: &Goal<'_>, i: usize) -> (Vec<f64>, Vec<f64>) {
    let attention = attention(head, i);
    let gradient = (0..head.k.n_rows()).map(|j| product(row(goal.dheads, i), row(head.v, j)));
    let weighted = attention.iter().zip(gradient).map(|(a, gradient)| a * gradient).collect();
    (attention, weighted)
}

/// Adds `factor·x` to some sums.
fn add(sums: &mut [f64], factor: f64, x: &[f32]) {
    sums.iter_mut().zip(x).for_each(|(sum, &x)| *sum += factor * f64::from(x));
}

fn product(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn row(x: Matrix<'_>, index: usize) -> &[f32] {
    &x.numbers[index * x.stride..][..x.width]
}
