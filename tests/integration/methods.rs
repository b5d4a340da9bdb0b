//! Every method of comparison: the streaming engine against the retained one, and both against PyTorch.

use crate::support::{answered, model};
use attention_capture::{
    Engine, Error, Goal, HeadShares, Keep, Objective, Retained, States, Streaming, SweepOptions,
};
use attention_relevancy::{Target, Update};
use gemma3_tch::{Gemma3, Sequence};
use integration_tests::Fixture;
use ndarray::{Array2, Axis};
use tch::{Kind, Tensor};

/// Both engines compute in float32, in another order.
const TOLERANCE: f64 = 1e-5;

/// The fixture's targets one by one, and all of them summed.
fn goals(fixture: &Fixture, sequence: &Sequence) -> Vec<Goal> {
    let target = |position: usize| Target::new(position, sequence.ids()[position]).unwrap();
    let targets: Vec<Target> = fixture.numbers("targets").into_iter().map(target).collect();
    targets.iter().map(|&target| Goal::token(target)).chain(Goal::sum(targets.clone())).collect()
}

fn streaming<'a>(model: &'a Gemma3, sequence: &'a Sequence, states: &'a States) -> Streaming<'a> {
    Streaming::new(model, sequence.ids(), states, SweepOptions::default())
}

fn matrix(tensor: &Tensor) -> Array2<f64> {
    let [a, b] = <[i64; 2]>::try_from(tensor.size()).unwrap().map(|n| n as usize);
    let values = Vec::try_from(tensor.detach().to_kind(Kind::Double).reshape([-1])).unwrap();
    Array2::from_shape_vec((a, b), values).unwrap()
}

fn assert_near(what: &str, found: &Array2<f32>, expected: &Array2<f64>) {
    let distance = integration_tests::difference(found, expected);
    assert!(distance <= TOLERANCE, "{what}: differs by {distance:.2e}");
}

/// What the retained engine's attention says of the heads of one layer at the predicting rows of a goal, mean over them: entropy,
/// share of the images, attention `[H, S]`.
fn heads_of(
    attention: &Tensor,
    goal: &Goal,
    sequence: &Sequence,
) -> (Vec<f64>, Vec<f64>, Array2<f64>) {
    let row = |target: &Target| matrix(&attention.select(1, target.logit_row() as i64));
    let rows: Vec<Array2<f64>> = goal.targets().iter().map(row).collect();
    let count = rows.len() as f64;
    let map = rows.iter().fold(Array2::zeros(rows[0].dim()), |sum, row| sum + row) / count;
    let entropy_of = |row: ndarray::ArrayView1<'_, f64>| -> f64 {
        row.iter().filter(|&&a| 0.0 < a).map(|a| -a * a.ln()).sum()
    };
    let heads = 0..map.nrows();
    let entropy =
        heads.clone().map(|h| rows.iter().map(|row| entropy_of(row.row(h))).sum::<f64>() / count);
    let on_images = |h: usize| -> f64 {
        sequence.images().iter().cloned().flatten().map(|key| map[[h, key]]).sum()
    };
    (entropy.collect(), heads.map(on_images).collect(), map)
}

#[test]
fn heads_are_those_of_the_attention() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
        let streaming = streaming(&model, &sequence, &states);
        let (run, goals) = (Retained::run(&model, &sequence).unwrap(), goals(&fixture, &sequence));
        let how = (Objective::Logit, Update::Additive);
        let last = run.attention().len() - 1;
        let found = streaming.explain_by_head(&goals, how, Some(last)).unwrap();
        let plain = streaming.explain(&goals, how.0, how.1).unwrap();
        for ((goal, (attribution, shares)), plain) in goals.iter().zip(&found).zip(&plain) {
            assert_eq!(attribution.relevancy, plain.relevancy);
            check_heads(&fixture, &run, (goal, shares), &sequence);
            // What a layer adds to the row is what its heads carried, on average.
            let carried = shares.carried.mean_axis(Axis(1)).unwrap().sum();
            let total = attribution.relevancy.sum();
            assert!((total - 1.0 - carried).abs() < 1e-5 * total, "{total} {carried}");
            // The row starts on one token, so its last step is the mean over heads of `(A⊙∇A)⁺`.
            let maps = shares.maps.as_ref().unwrap();
            let total = maps.gradient_attention.sum() / shares.carried.ncols() as f32;
            let carried = shares.carried.row(last).mean().unwrap();
            if goal.targets().len() == 1 {
                assert!((total - carried).abs() <= 1e-5 * total, "{total} {carried}");
            }
        }
        let error = streaming.explain_by_head(&goals, how, Some(last + 1)).unwrap_err();
        assert!(matches!(error, Error::Layer { layer, layers } if layer == layers), "{error}");
        let found = streaming.explain_by_head(&goals, how, None).unwrap();
        assert!(found.iter().all(|(_, shares)| shares.maps.is_none()));
    }
}

fn check_heads(
    fixture: &Fixture,
    run: &Retained<'_>,
    (goal, shares): (&Goal, &HeadShares),
    sequence: &Sequence,
) {
    let maps = shares.maps.as_ref().unwrap();
    for (layer, attention) in run.attention().iter().enumerate() {
        let (entropy, image, map) = heads_of(attention, goal, sequence);
        let row = |values: Vec<f64>| Array2::from_shape_vec((1, values.len()), values).unwrap();
        let found = |of: &Array2<f32>| of.row(layer).to_owned().insert_axis(Axis(0));
        let what = |name: &str| format!("{}, layer {layer}, {name}", fixture.name());
        assert_near(&what("entropy"), &found(&shares.entropy), &row(entropy));
        assert!(image.iter().all(|share| (0.0..=1.0 + 1e-6).contains(share)));
        if image.iter().any(|&share| 0.0 < share) {
            assert_near(&what("image"), &found(&shares.image), &row(image));
        }
        if layer == maps.layer {
            assert_near(&what("attention"), &maps.attention, &map);
        }
    }
}
