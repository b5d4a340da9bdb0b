//! Layers of random numbers, for the tests that hold backends against the reference and all of them against the row rule.

use super::{Folds, Pass, RowFold, Rows};
use crate::convert;
use crate::seam::{MaskRule, Qkv};
use attention_relevancy::{Backward, HeadFusion, Propagation, RetainedLayer, Update};
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// A layer in which every query sees every key.
pub(crate) struct Example {
    pub(crate) qkv: Qkv,
    pub(crate) dheads: Tensor,
    pub(crate) rows: Rows,
    mask: MaskRule,
    queries: Range<usize>,
}

impl Example {
    /// Goals, heads, queries, keys, width; the queries end with the keys. The model's numbers are of `kind`.
    pub(crate) fn new([t, h, m, n, d]: [usize; 5], kind: Kind) -> Self {
        tch::manual_seed(12);
        let random_of_model = |shape: &[usize]| random(shape).to_kind(kind);
        let qkv = Qkv {
            q: random_of_model(&[h, n, d]),
            k: random_of_model(&[h, n, d]) * 2.0, // some scores are far below the greatest
            v: random_of_model(&[h, n, d]),
            scale: (d as f64).powf(-0.5),
            start: 0,
        };
        let relevancy = random(&[t, n]).abs();
        let _ = relevancy.narrow(1, 0, (n - m) as i64).fill_(0.0); // no pass is given a row beyond its queries
        Self {
            qkv,
            dheads: random_of_model(&[t, h, m, d]).to_kind(Kind::Float),
            rows: Rows { relevancy, rollouts: Vec::new() },
            mask: MaskRule::all(),
            queries: n - m..n,
        }
    }

    pub(crate) fn to_device(&self, device: Device) -> Self {
        let Qkv { q, k, v, scale, start } = &self.qkv;
        let [q, k, v, dheads, relevancy] =
            [q, k, v, &self.dheads, &self.rows.relevancy].map(|x| x.to_device(device));
        Self {
            qkv: Qkv { q, k, v, scale: *scale, start: *start },
            dheads,
            rows: Rows { relevancy, rollouts: Vec::new() },
            mask: MaskRule::all(),
            queries: self.queries.clone(),
        }
    }

    /// In blocks of 16 rows.
    pub(crate) fn pass(&self, update: Update) -> Pass<'_> {
        Pass {
            qkv: &self.qkv,
            mask: &self.mask,
            queries: self.queries.clone(),
            dheads: &self.dheads,
            backward: Backward::Gradient,
            folds: Folds {
                relevancy: Some(RowFold::new(update, HeadFusion::Mean)),
                rollouts: Vec::new(),
            },
            block: 16,
        }
    }
}

/// Whether the row of a layer that was folded by the mean of its heads is what the definition of the row rule makes of attention and
/// gradient: [`Propagation`] over every head's `[n, n]`.
pub(crate) fn assert_folded(layer: &Example, update: Update, found: &super::Swept, what: &str) {
    let Example { qkv, dheads, rows, queries, .. } = layer;
    let (first, m) = (queries.start as i64, queries.len() as i64);
    let [q, k, v] = [&qkv.q, &qkv.k, &qkv.v].map(|x| x.to_kind(Kind::Float));
    let scores = q.matmul(&k.transpose(1, 2)) * qkv.scale;
    let attention = convert::volume(&scores.softmax(-1, Kind::Float)); // [H, n, n]
    for goal in 0..dheads.size()[0] {
        let gradient = q.matmul(&k.transpose(1, 2)).zeros_like(); // no row but those of the queries counts
        gradient.narrow(1, first, m).copy_(&dheads.get(goal).matmul(&v.transpose(1, 2)));
        let gradient = convert::volume(&gradient);
        let mut fused =
            RetainedLayer::gradient_weighted(attention.view(), gradient.view()).unwrap();
        let mut propagation = Propagation::from_row(convert::row(&rows.relevancy.get(goal)));
        propagation.step(update, &mut fused).unwrap();
        let expected = propagation.finish();
        let greatest = expected.iter().fold(1e-2, |most: f32, x| most.max(x.abs()));
        let found = convert::row(&found.rows.relevancy.get(goal));
        for (at, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let distance = (found - expected).abs() / greatest;
            assert!(
                distance < 5e-6,
                "row of {what}, goal {goal}, at {at}: {found}, not {expected}"
            );
        }
    }
}

pub(crate) fn random(shape: &[usize]) -> Tensor {
    let shape: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
    Tensor::randn(shape.as_slice(), (Kind::Float, Device::Cpu))
}

/// Both within `tolerance` of each other.
pub(crate) fn assert_same(
    found: &super::Swept,
    expected: &super::Swept,
    tolerance: f64,
    what: &str,
) {
    let pairs = [
        ("relevancy", &found.rows.relevancy, &expected.rows.relevancy),
        ("heads", &found.heads, &expected.heads),
        ("dq", &found.gradient.q, &expected.gradient.q),
        ("dk", &found.gradient.k, &expected.gradient.k),
        ("dv", &found.gradient.v, &expected.gradient.v),
    ];
    for (part, found, expected) in pairs {
        let distance = distance(found, expected);
        assert!(distance < tolerance, "{part} of {what}: {distance}");
    }
    assert_eq!(found.gradient.skip, expected.gradient.skip);
}

/// The greatest difference, over the greatest number or, where all are nothing but rounding, over a little.
fn distance(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let greatest = |x: &Tensor| x.abs().max().double_value(&[]);
    greatest(&(found - expected)) / greatest(expected).max(1e-2)
}
