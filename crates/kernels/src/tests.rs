//! Kernels against plain loops, with every kind of vector registers that there is.

use super::*;
use crate::operands::Operands;
use rand::SeedableRng as _;
use rand::distr::{Distribution as _, StandardUniform};
use rand_chacha::ChaCha8Rng;

/// Numbers between −2 and 2; where they are narrow, those of bfloat16.
fn random(random: &mut ChaCha8Rng, count: usize, is_narrow: bool) -> Vec<f32> {
    let kept = if is_narrow { 0xFFFF_0000 } else { u32::MAX };
    let number = |x: f32| f32::from_bits((4.0 * x - 2.0).to_bits() & kept);
    (0..count).map(|_| number(StandardUniform.sample(random))).collect()
}

const PARTS: [&str; 4] = ["dq", "dk", "dv", "folded"];

fn parts(pulled: &Pulled) -> [&[f32]; 4] {
    [&pulled.dq, &pulled.dk, &pulled.dv, &pulled.folded]
}

/// The greatest difference over the greatest number.
fn distance(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let greatest = expected.iter().fold(1e-2, |most: f32, x| most.max(x.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |most, x| if x.is_nan() { f32::INFINITY } else { most.max(x) }) / greatest
}

#[test]
fn kernels_do_what_plain_loops_do() {
    // Queries, keys, width: one of each; less than a vector, a stretch of lanes and a group of keys; whole ones; one more than whole.
    let shapes =
        [[1, 1, 1], [3, 2, 5], [7, 47, 9], [31, 48, 16], [32, 49, 17], [33, 97, 72], [65, 145, 33]];
    for (shape, is_narrow) in
        shapes.into_iter().flat_map(|shape| [false, true].map(|it| (shape, it)))
    {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let [m, n, d] = shape;
        let mut make = |rows: usize| random(&mut rng, rows * d, is_narrow);
        let (q, k, v, dheads) = (make(m), make(n), make(n), [make(m), make(m)]);
        let weights: Vec<f32> = (0..m).map(|i| (i % 5) as f32 / 4.0).collect();
        let matrix = |numbers| Matrix { numbers, stride: d, width: d };
        let head = Head { q: matrix(&q), k: matrix(&k), v: matrix(&v), scale: 0.7 };
        let goals = dheads.each_ref().map(|x| Goal { dheads: matrix(x), weights: &weights });
        let operands = Operands { head, goals: &goals };
        let (expected, expected_sums) = (scalar::pull(operands), scalar::row_sums(operands));
        let expected_heads = scalar::attend(head);
        for processor in Processor::every() {
            let what = format!("{shape:?}, narrow: {is_narrow}, {processor:?}");
            let found = processor.pull(head, &goals);
            for (found, expected) in found.iter().zip(&expected) {
                let both = parts(found).into_iter().zip(parts(expected));
                for (part, (found, expected)) in PARTS.into_iter().zip(both) {
                    let distance = distance(found, expected);
                    assert!(distance < 5e-6, "{part} of {what}: {distance:e}");
                }
            }
            let sums = processor.row_sums(head, &goals);
            for (found, expected) in sums.iter().zip(&expected_sums) {
                let distance = distance(found, expected);
                assert!(distance < 5e-6, "sums of {what}: {distance:e}");
            }
            let distance = distance(&processor.attend(head), &expected_heads);
            assert!(distance < 5e-6, "heads of {what}: {distance:e}");
        }
    }
}

#[test]
fn only_numbers_of_bfloat16_are_taken_in_pairs() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let [wide, narrow] = [false, true].map(|is_narrow| random(&mut rng, 24, is_narrow));
    let are_narrow = |operands: [&[f32]; 4]| {
        let matrix = |numbers| Matrix { numbers, stride: 4, width: 4 };
        let [q, k, v, dheads] = operands.map(matrix);
        let goals = [matrix(&narrow), dheads].map(|dheads| Goal { dheads, weights: &[] });
        Operands { head: Head { q, k, v, scale: 0.5 }, goals: &goals }.are_narrow()
    };
    assert!(are_narrow([&narrow; 4]));
    for one in 0..4 {
        let mut operands = [narrow.as_slice(); 4];
        operands[one] = &wide;
        assert!(!are_narrow(operands), "operand {one}");
    }
}

#[test]
fn what_is_not_a_number_is_not_hidden() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let numbers = random(&mut rng, 40 * 8, true);
    let mut broken = numbers.clone();
    broken[20 * 8] = f32::NAN;
    let matrix = |numbers| Matrix { numbers, stride: 8, width: 8 };
    for [q, k, v] in [
        [&broken, &numbers, &numbers],
        [&numbers, &broken, &numbers],
        [&numbers, &numbers, &broken],
    ] {
        let head = Head { q: matrix(q), k: matrix(k), v: matrix(v), scale: 0.5 };
        for processor in Processor::every() {
            assert!(processor.attend(head).iter().any(|x| x.is_nan()), "{processor:?}");
        }
    }
}
