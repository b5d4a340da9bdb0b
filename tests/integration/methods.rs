//! Every method of comparison: the streaming engine against the retained one, and both against PyTorch.

use crate::support::{answered, model, with_methods};
use attention_capture::{
    Engine, Error, Foil, Folding, Goal, HeadRecorder, HeadShares, HeadWeights, Keep, Layers,
    Method, MethodRow, Objective, Pool, Recorder, Retained, Rules, States, Streaming, SweepOptions,
    Unavailable,
};
use attention_relevancy::{HeadFusion, Target, Update};
use gemma3_tch::{Fast, Gemma3, Sequence};
use integration_tests::{Fixture, Tolerance, assert_row_close};
use ndarray::{Array1, Array2, Axis, Ix1, Ix2, Ix3};
use std::ops::ControlFlow;
use tch::{Kind, Tensor};

/// Both engines compute in float32, in another order.
const TOLERANCE: f64 = 1e-5;
/// The gradient of a single head can be small beside the terms that it is summed of: rounding is that of the terms.
const ONE_HEAD: f64 = 2e-5;
/// So can a mean of gradients over all image tokens, and once more its product with a hidden state.
const CANCELLING: f64 = 1e-4;
/// Before the first layer stand the image features themselves, whose mean gradient cancels most: found are 4·10⁻⁵ to 2.3·10⁻⁴ (layout), by
/// features that differ at random by 3·10⁻⁷ of the largest.
const CANCELLING_FEATURES: f64 = 5e-4;
/// DEX-AR weighs a head by the difference of two largest entries, which may be nearly equal: 1.7·10⁻⁴ apart by the products of one
/// processor, at most 10⁻⁵ by those of others.
const FILTERED: f64 = 2e-4;

/// How far the rows of a method may be apart, relative to the largest entry.
fn tolerance(method: &Method) -> f64 {
    match method {
        Method::GradCamHidden { layer: 0 } => CANCELLING_FEATURES,
        // Nor is what a cell has beside the mean as large as the cell.
        Method::GradCamHidden { .. } | Method::MeanCell => CANCELLING,
        Method::DexAr { .. } => FILTERED,
        Method::GradientAttention { heads: HeadFusion::One(_), .. } => ONE_HEAD,
        _ => TOLERANCE,
    }
}

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
        let rules = Rules::new(Objective::Logit, Update::Additive);
        let last = run.attention().len() - 1;
        let mut recorder = HeadRecorder::new(&streaming, &goals, Some(last)).unwrap();
        let found = streaming.observe(&goals, &rules, &mut [&mut recorder]).unwrap();
        let found: Vec<_> = found.into_iter().zip(recorder.finish()).collect();
        let plain = streaming.explain(&goals, &rules).unwrap();
        for ((goal, (attribution, shares)), plain) in goals.iter().zip(&found).zip(&plain) {
            assert_eq!(attribution.relevancy, plain.relevancy);
            check_heads(&fixture, &run, (goal, shares), &sequence);
            let maps = shares.maps.as_ref().unwrap();
            let one = |head| Method::GradientAttention {
                heads: HeadFusion::One(head),
                layers: Layers::Range(last..last + 1),
            };
            let by_head: Vec<Method> = (0..maps.attention.nrows()).map(one).collect();
            let rows = run
                .explain_methods(std::slice::from_ref(goal), &rules, &by_head)
                .unwrap()
                .remove(0)
                .1;
            let mut expected = Array2::zeros(maps.attention.dim());
            for (mut of_head, row) in expected.outer_iter_mut().zip(rows) {
                of_head.assign(&row.unwrap().mapv(f64::from));
            }
            assert_near(fixture.name(), &maps.gradient_attention, &expected);
            // What a layer adds to the row is what its heads carried, on average.
            let carried = shares.carried.mean_axis(Axis(1)).unwrap().sum();
            let total = attribution.relevancy.sum();
            assert!((total - 1.0 - carried).abs() < 1e-5 * total, "{total} {carried}");
            // The row starts on one token, so its last step is the mean over heads of `(A⊙∇A)⁺`.
            let total = maps.gradient_attention.sum() / shares.carried.ncols() as f32;
            let carried = shares.carried.row(last).mean().unwrap();
            if goal.targets().len() == 1 {
                assert!((total - carried).abs() <= 1e-5 * total, "{total} {carried}");
            }
        }
        let error = HeadRecorder::new(&streaming, &goals, Some(last + 1)).unwrap_err();
        assert!(matches!(error, Error::Layer { layer, layers } if layer == layers), "{error}");
        let mut recorder = HeadRecorder::new(&streaming, &goals, None).unwrap();
        streaming.observe(&goals, &rules, &mut [&mut recorder]).unwrap();
        assert!(recorder.finish().iter().all(|shares| shares.maps.is_none()));
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

/// Every method, with every fusion of heads and choice of layers, of a model of so many layers.
fn methods(n_layers: usize) -> Vec<Method> {
    let mut methods = vec![Method::InputGradient, Method::MeanCell, Method::Tam];
    for layers in [Layers::All, Layers::Global, Layers::Range(1..3)] {
        let gradient = HeadWeights::Gradient;
        methods.push(Method::RawAttention { heads: gradient, layers: layers.clone() });
        methods.push(Method::DexAr { layers: layers.clone() });
        for heads in [HeadFusion::Mean, HeadFusion::Max, HeadFusion::One(1)] {
            let layers = || layers.clone();
            methods.push(Method::Rollout { heads, layers: layers() });
            methods.push(Method::RawAttention { heads: heads.into(), layers: layers() });
            methods.push(Method::ValueNorm { heads, layers: layers() });
            methods.push(Method::GradientAttention { heads, layers: layers() });
            methods.push(Method::LeGrad { heads, layers: layers() });
            for over in [Pool::Mean, Pool::Max, Pool::Sum] {
                methods.push(Method::TokenAttention { heads, layers: layers(), over });
                methods.push(Method::ObjectAttention { heads, layers: layers(), over });
            }
        }
    }
    methods.extend((0..n_layers).map(|layer| Method::GradCamAttention { layer }));
    methods.extend((0..=n_layers).map(|layer| Method::GradCamHidden { layer }));
    methods
}

fn assert_same_row(what: &str, tolerance: f64, found: &MethodRow, expected: &MethodRow) {
    match (found, expected) {
        (Ok(found), Ok(expected)) => {
            let distance = integration_tests::difference(found, &expected.mapv(f64::from));
            assert!(distance <= tolerance, "{what}: differs by {distance:.2e}");
        }
        (found, expected) => assert_eq!(found.as_ref().err(), expected.as_ref().err(), "{what}"),
    }
}

#[test]
fn streaming_gives_the_rows_of_the_definitions() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let (run, goals) = (Retained::run(&model, &sequence).unwrap(), goals(&fixture, &sequence));
        let methods = methods(run.attention().len());
        for (keep, objective) in [
            (Keep::Inputs, Objective::Logit),
            (Keep::Everything, Objective::Contrast(Foil::RunnerUp)),
        ] {
            let states = States::of(&model, &sequence, keep).unwrap();
            let streaming = streaming(&model, &sequence, &states);
            let rules = Rules::new(objective, Update::Additive);
            let found = with_methods(&streaming, &goals, &rules, &methods).unwrap();
            let expected = run.explain_methods(&goals, &rules, &methods).unwrap();
            for ((found, expected), goal) in found.iter().zip(&expected).zip(&goals) {
                assert_eq!((found.1.len(), expected.1.len()), (methods.len(), methods.len()));
                for ((found, expected), method) in found.1.iter().zip(&expected.1).zip(&methods) {
                    let position = goal.targets()[0].position();
                    let what = format!("{}, {method}, {position}", fixture.name());
                    assert_same_row(&what, tolerance(method), found, expected);
                }
            }
        }
    }
}

/// One goal at a time in blocks of a few rows, and everything at once: the same.
#[test]
fn methods_do_not_depend_on_how_the_sweep_is_cut() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let goals = goals(&fixture, &sequence);
    let rules = Rules::new(Objective::Logit, Update::Additive);
    let methods = methods(model.text().layers().len());
    let explain = |memory_budget| {
        let options = SweepOptions { memory_budget, cancel: None };
        let engine = Streaming::new(&model, sequence.ids(), &states, options);
        with_methods(&engine, &goals, &rules, &methods)
    };
    let Err(Error::Budget { smallest, .. }) = explain(0) else {
        panic!("a budget of 0 bytes was accepted")
    };
    let whole = explain(1 << 29).unwrap();
    for (small, whole) in explain(smallest).unwrap().iter().zip(&whole) {
        for ((found, expected), method) in small.1.iter().zip(&whole.1).zip(&methods) {
            assert_same_row(&method.to_string(), tolerance(method), found, expected);
        }
    }
}

#[test]
fn relevancy_is_folded_alike_by_both_engines() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
        let goals = goals(&fixture, &sequence);
        let run = Retained::run(&model, &sequence).unwrap();
        let plain = run.explain(&goals, &Rules::new(Objective::Logit, Update::Additive)).unwrap();
        for (heads, layers) in [
            (HeadFusion::Mean, Layers::Global),
            (HeadFusion::Max, Layers::All),
            (HeadFusion::One(1), Layers::Range(1..3)),
        ] {
            let folding = Folding::default().with_heads(heads).with_layers(layers);
            let streaming = streaming(&model, &sequence, &states);
            for update in [Update::Additive, Update::Stochastic] {
                let folding = folding.clone();
                let rules = Rules { folding, ..Rules::new(Objective::Logit, update) };
                let found = streaming.explain(&goals, &rules).unwrap();
                let expected = run.explain(&goals, &rules).unwrap();
                for (((found, expected), plain), goal) in
                    found.iter().zip(&expected).zip(&plain).zip(&goals)
                {
                    let what = format!("{}, {rules:?}", fixture.name());
                    let without_self = |row: &Array1<f32>| -> MethodRow {
                        let mut row = row.clone();
                        goal.targets().iter().for_each(|target| row[target.logit_row()] = 0.0);
                        Ok(row)
                    };
                    let [found_row, expected_row] =
                        [found, expected].map(|one| without_self(&one.relevancy));
                    let tolerance = if heads == HeadFusion::One(1) { ONE_HEAD } else { TOLERANCE };
                    assert_same_row(&what, tolerance, &found_row, &expected_row);
                    // The baselines are what they are.
                    assert_same_row(
                        &what,
                        TOLERANCE,
                        &Ok(found.rollout.clone()),
                        &Ok(plain.rollout.clone()),
                    );
                }
            }
        }
    }
}

/// What is the same by definition.
#[test]
fn baselines_and_methods_agree() {
    let fixture = Fixture::open("short-window");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let n = model.text().layers().len();
    let heads = HeadFusion::Mean;
    let methods = [
        Method::Rollout { heads, layers: Layers::All },
        Method::RawAttention { heads: heads.into(), layers: Layers::Range(n - 1..n) },
    ];
    let engine = streaming(&model, &sequence, &states);
    let goals = goals(&fixture, &sequence);
    let found = with_methods(&engine, &goals, &Rules::default(), &methods).unwrap();
    for (attribution, rows) in found {
        assert_same_row("rollout", TOLERANCE, &rows[0], &Ok(attribution.rollout));
        assert_same_row("raw attention", TOLERANCE, &rows[1], &Ok(attribution.raw_attention));
    }
}

/// The one method's row for the last token of the answer.
fn last(streaming: &Streaming<'_>, sequence: &Sequence, method: &Method) -> MethodRow {
    let at = sequence.ids().len() - 1;
    let goal = Goal::token(Target::new(at, sequence.ids()[at]).unwrap());
    row_of(streaming, &goal, method)
}

fn row_of(streaming: &Streaming<'_>, goal: &Goal, method: &Method) -> MethodRow {
    let rules = Rules::new(Objective::Logit, Update::Additive);
    let methods = std::slice::from_ref(method);
    let found = with_methods(streaming, std::slice::from_ref(goal), &rules, methods).unwrap();
    found.into_iter().next().unwrap().1.remove(0)
}

#[test]
fn what_is_not_there_is_told_and_not_zero() {
    let fixture = Fixture::open("short-window");
    let model = model(&fixture);
    let whole = answered(&fixture, &model);
    let prompt = model.encode(&crate::support::prepare(&fixture)).unwrap();
    let mut recorder = Recorder::generating(&model, Keep::Inputs);
    let options =
        gemma3_tch::GenerationOptions { max_new_tokens: 10, sampling: None, stop_ids: vec![] };
    model.generate(&prompt, &options, &mut recorder, &mut |_| ControlFlow::Continue(())).unwrap();
    let states = States::recorded(recorder, &whole).unwrap();
    let streaming = Streaming::new(&model, whole.ids(), &states, SweepOptions::default());
    let (layers, n) = (Layers::All, model.text().layers().len());
    let position = whole.ids().len() - 1;
    for method in [
        Method::TokenAttention {
            heads: HeadFusion::Mean,
            layers: layers.clone(),
            over: Pool::Mean,
        },
        Method::ObjectAttention { heads: HeadFusion::Mean, layers, over: Pool::Max },
    ] {
        let reason = last(&streaming, &whole, &method).unwrap_err();
        assert_eq!(reason, Unavailable::NotRead { position });
        assert!(reason.to_string().contains(&position.to_string()), "{reason}");
        let before = Target::new(position - 1, whole.ids()[position - 1]).unwrap();
        let row = row_of(&streaming, &Goal::token(before), &method).unwrap();
        assert!(0.0 < row[position - 1] && row[position] == 0.0, "{row}");
    }
    let reason = last(&streaming, &whole, &Method::GradCamHidden { layer: n }).unwrap_err();
    assert_eq!(reason, Unavailable::LastOutput { layers: n });
    // A window of 24 does not reach the image; layer 0 slides.
    let reason = last(&streaming, &whole, &Method::GradCamAttention { layer: 0 }).unwrap_err();
    assert_eq!(reason, Unavailable::OutOfSight { layer: 0 });
    // Nor does any layer of these; the layer with full attention does.
    let dex_ar = |layers| Method::DexAr { layers };
    let reason = last(&streaming, &whole, &dex_ar(Layers::Range(0..1))).unwrap_err();
    assert_eq!(reason, Unavailable::OutOfSightEverywhere);
    assert!(last(&streaming, &whole, &dex_ar(Layers::All)).is_ok());
    // A token that stands before the image.
    let early = Goal::token(Target::new(2, whole.ids()[2]).unwrap());
    for method in [
        Method::GradCamAttention { layer: 0 },
        Method::GradCamHidden { layer: 0 },
        Method::MeanCell,
        Method::Tam,
        Method::DexAr { layers: Layers::All },
    ] {
        assert_eq!(row_of(&streaming, &early, &method).unwrap_err(), Unavailable::NoImage);
    }
}

/// The true drop for small steps: a cell goes a little of the way to the mean cell of its image, and a little in the other direction.
#[test]
fn the_drop_towards_the_mean_cell_is_that_of_a_small_step() {
    const STEP: f64 = 0.02;
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let position = fixture.numbers("targets")[0];
    let goal = Goal::token(Target::new(position, sequence.ids()[position]).unwrap());
    let rules = Rules::new(Objective::LogProbability, Update::Additive);
    let engine = streaming(&model, &sequence, &states);
    let mut found = with_methods(&engine, &[goal], &rules, &[Method::MeanCell]).unwrap();
    let row = found.remove(0).1.remove(0).unwrap();
    let largest = row.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let score = |image: usize, cell: i64, step: f64| -> f64 {
        let changed = |(index, features): (usize, &Tensor)| {
            let features = features.copy();
            if index == image {
                let mean = features.mean_dim([0_i64].as_slice(), false, Kind::Float);
                let mut own = features.get(cell);
                own += (mean - &own) * step;
            }
            features
        };
        let features = sequence.features().iter().enumerate().map(changed).collect();
        let (ids, images) = (sequence.ids().to_vec(), sequence.images().to_vec());
        let changed = model.sequence(ids, images, features).unwrap();
        let last = tch::no_grad(|| model.forward(&changed, &mut Fast));
        let logits = model.text().logits(&last.get(position as i64 - 1).unsqueeze(0));
        let chosen = i64::from(sequence.ids()[position]);
        logits.to_kind(Kind::Double).log_softmax(-1, Kind::Double).double_value(&[0, chosen])
    };
    for (image, span) in sequence.images().iter().enumerate() {
        for cell in [0, 7, span.len() - 1] {
            let of = |step| score(image, cell as i64, step);
            let drop = (of(-STEP) - of(STEP)) / (2.0 * STEP);
            let found = f64::from(row[span.start + cell]);
            let apart = (drop - found).abs() / f64::from(largest);
            assert!(apart < 0.02, "image {image}, cell {cell}: {found} for {drop}");
        }
    }
    let text = (0..row.len()).filter(|at| !sequence.images().iter().any(|span| span.contains(at)));
    assert!(text.into_iter().all(|at| row[at] == 0.0) && 0.0 < largest);
}

#[test]
fn choices_beyond_the_model_are_errors() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let run = Retained::run(&model, &sequence).unwrap();
    let n = model.text().layers().len();
    let goals = goals(&fixture, &sequence);
    let rules = Rules::new(Objective::Logit, Update::Additive);
    for (method, message) in [
        (Method::GradCamAttention { layer: n }, format!("the model has {n}")),
        (Method::GradCamHidden { layer: n + 1 }, format!("the model has {n}")),
        (
            Method::Rollout { heads: HeadFusion::Mean, layers: Layers::Range(0..n + 1) },
            format!("{n} layers of the model"),
        ),
        (
            Method::RawAttention { heads: HeadFusion::One(9).into(), layers: Layers::All },
            "head 9".to_owned(),
        ),
    ] {
        let methods = [method];
        for error in [
            with_methods(&streaming(&model, &sequence, &states), &goals, &rules, &methods)
                .unwrap_err(),
            run.explain_methods(&goals, &rules, &methods).unwrap_err(),
        ] {
            assert!(error.to_string().contains(&message), "{error}");
        }
    }
    let folding = Folding::default().with_heads(HeadFusion::Mean).with_layers(Layers::Range(2..2));
    let engine = streaming(&model, &sequence, &states);
    let error = engine.explain(&goals, &Rules { folding, ..rules }).unwrap_err();
    assert!(matches!(error, Error::LayerChoice { layers, .. } if layers == n), "{error}");
}

/// The goals of `methods.npz`: its tokens one by one, and together.
fn reference_goals(fixture: &Fixture, sequence: &Sequence) -> (Vec<Goal>, Goal) {
    let positions = fixture.ids("positions");
    let target = |&position: &u32| {
        Target::new(position as usize, sequence.ids()[position as usize]).unwrap()
    };
    let targets: Vec<Target> = positions.iter().map(target).collect();
    let goals = targets.iter().map(|&target| Goal::token(target)).collect();
    (goals, Goal::sum(targets).unwrap())
}

/// Which method each array of `methods.npz` is of, for single tokens.
fn reference_methods() -> Vec<(&'static str, Method)> {
    let (mean, max, head) = (HeadFusion::Mean, HeadFusion::Max, HeadFusion::One(1));
    let (all, global, range) = (|| Layers::All, || Layers::Global, || Layers::Range(1..3));
    vec![
        ("rollout_max", Method::Rollout { heads: max, layers: all() }),
        ("rollout_head_range", Method::Rollout { heads: head, layers: range() }),
        ("rollout_global", Method::Rollout { heads: mean, layers: global() }),
        ("raw_mean", Method::RawAttention { heads: mean.into(), layers: all() }),
        ("raw_max_global", Method::RawAttention { heads: max.into(), layers: global() }),
        ("raw_weighted", Method::RawAttention { heads: HeadWeights::Gradient, layers: all() }),
        ("value_norm", Method::ValueNorm { heads: mean, layers: all() }),
        ("value_norm_max_global", Method::ValueNorm { heads: max, layers: global() }),
        ("legrad", Method::LeGrad { heads: mean, layers: all() }),
        ("legrad_max_global", Method::LeGrad { heads: max, layers: global() }),
        ("dex_ar", Method::DexAr { layers: all() }),
        ("dex_ar_global", Method::DexAr { layers: global() }),
        ("dex_ar_range", Method::DexAr { layers: range() }),
        ("token_mean", Method::TokenAttention { heads: mean, layers: all(), over: Pool::Mean }),
        ("token_max", Method::TokenAttention { heads: mean, layers: all(), over: Pool::Max }),
        (
            "token_sum_head_global",
            Method::TokenAttention { heads: head, layers: global(), over: Pool::Sum },
        ),
        ("gradient_attention", Method::GradientAttention { heads: mean, layers: all() }),
        (
            "gradient_attention_max_global",
            Method::GradientAttention { heads: max, layers: global() },
        ),
        ("input_gradient", Method::InputGradient),
        ("tam", Method::Tam),
    ]
}

/// The same for several tokens together.
fn object_methods() -> Vec<(&'static str, Method)> {
    let (heads, layers) = (HeadFusion::Mean, || Layers::All);
    let object = |over| Method::ObjectAttention { heads, layers: layers(), over };
    vec![
        ("object_mean", object(Pool::Mean)),
        ("object_max", object(Pool::Max)),
        ("object_sum", object(Pool::Sum)),
        ("object_token_max", Method::TokenAttention { heads, layers: layers(), over: Pool::Max }),
        ("object_value_norm", Method::ValueNorm { heads, layers: layers() }),
        ("object_legrad", Method::LeGrad { heads, layers: layers() }),
        ("object_dex_ar", Method::DexAr { layers: layers() }),
        ("object_gradient_attention", Method::GradientAttention { heads, layers: layers() }),
        ("object_input_gradient", Method::InputGradient),
        ("object_tam", Method::Tam),
    ]
}

/// Rows of methods for goals, whichever engine makes them.
type Explain<'a> = dyn Fn(&[Goal], &[Method]) -> Vec<Vec<MethodRow>> + 'a;

/// Compares a row with one of the reference, which is not a number where there is none.
fn assert_reference(what: &str, limit: f64, found: &MethodRow, expected: &Array1<f64>) {
    if expected.iter().all(|x| x.is_nan()) {
        let unseen = matches!(
            found,
            Err(Unavailable::OutOfSight { .. } | Unavailable::OutOfSightEverywhere)
        );
        assert!(unseen, "{what}: {found:?}");
    } else {
        let found = found.as_ref().unwrap_or_else(|reason| panic!("{what}: {reason}"));
        let distance = integration_tests::difference(found, expected);
        assert!(distance <= limit, "{what}: differs by {distance:.2e}");
    }
}

/// Methods that have a map for every layer.
fn by_layer(n_layers: usize) -> impl Iterator<Item = (&'static str, Method)> {
    (0..n_layers).flat_map(|layer| {
        [
            ("grad_cam_attention", Method::GradCamAttention { layer }),
            ("grad_cam_hidden", Method::GradCamHidden { layer }),
        ]
    })
}

fn check_reference(fixture: &Fixture, sequence: &Sequence, n_layers: usize, explain: &Explain<'_>) {
    let (goals, object) = reference_goals(fixture, sequence);
    let check = |name: &str, method: &Method, row: &MethodRow, expected: Array1<f64>| {
        let limit = tolerance(method).max(Tolerance::Rounding.limit());
        assert_reference(&format!("{}, {name}: {method}", fixture.name()), limit, row, &expected);
    };
    let methods = |single: Vec<(&'static str, Method)>| -> (Vec<&'static str>, Vec<Method>) {
        single.into_iter().chain(by_layer(n_layers)).unzip()
    };
    let single = reference_methods().len();
    let (names, asked) = methods(reference_methods());
    for (goal, rows) in explain(&goals, &asked).iter().enumerate() {
        for (at, row) in rows.iter().enumerate() {
            let expected = match at.checked_sub(single) {
                None => fixture.array::<Ix2>(names[at]).row(goal).to_owned(),
                Some(cam) => {
                    let cams = fixture.array::<Ix3>(names[at]);
                    cams.slice(ndarray::s![goal, cam / 2, ..]).to_owned()
                }
            };
            check(names[at], &asked[at], row, expected);
        }
    }
    let single = object_methods().len();
    let (names, asked) = methods(object_methods());
    for (at, row) in explain(&[object], &asked)[0].iter().enumerate() {
        let expected = match at.checked_sub(single) {
            None => fixture.array::<Ix1>(names[at]),
            Some(cam) => {
                fixture.array::<Ix2>(&format!("object_{}", names[at])).row(cam / 2).to_owned()
            }
        };
        check(names[at], &asked[at], row, expected);
    }
}

#[test]
fn methods_are_those_of_pytorch() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let states = States::of(&model, &sequence, Keep::Everything).unwrap();
        let run = Retained::run(&model, &sequence).unwrap();
        let rules = Rules::new(Objective::Logit, Update::Additive);
        let n_layers = model.text().layers().len();
        let rows =
            |found: Vec<(_, Vec<MethodRow>)>| found.into_iter().map(|(_, rows)| rows).collect();
        check_reference(&fixture, &sequence, n_layers, &|goals, methods| {
            let engine = streaming(&model, &sequence, &states);
            rows(with_methods(&engine, goals, &rules, methods).unwrap())
        });
        check_reference(&fixture, &sequence, n_layers, &|goals, methods| {
            rows(run.explain_methods(goals, &rules, methods).unwrap())
        });
    }
}

#[test]
fn folded_relevancy_is_that_of_pytorch() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
        let (goals, _) = reference_goals(&fixture, &sequence);
        for (name, heads, layers) in [
            ("relevancy_max", HeadFusion::Max, Layers::All),
            ("relevancy_head", HeadFusion::One(1), Layers::All),
            ("relevancy_global", HeadFusion::Mean, Layers::Global),
            ("relevancy_range", HeadFusion::Mean, Layers::Range(1..3)),
        ] {
            let engine = streaming(&model, &sequence, &states);
            let rules = Rules {
                folding: Folding::default().with_heads(heads).with_layers(layers),
                ..Rules::default()
            };
            let found = engine.explain(&goals, &rules).unwrap();
            let expected = fixture.array::<Ix2>(name);
            for ((goal, found), expected) in goals.iter().zip(&found).zip(expected.outer_iter()) {
                let what = format!("{}: {name}", fixture.name());
                assert_row_close(
                    &what,
                    found.relevancy.view(),
                    expected,
                    goal.targets()[0].logit_row(),
                );
            }
        }
    }
}
