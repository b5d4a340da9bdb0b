//! The seam is one: a model that is no Gemma, written against public traits alone, is explained by both engines, and both find what
//! autograd finds where the method is written down.
//!
//! No two layers of it have heads of one width or number: whoever takes a size from another layer fails here. So it is with its vision tower
//! (`pictures.rs`).
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

mod definition;
mod detached;
mod pictures;
mod tower;
mod toy;

use attention_capture::{
    Backward, Engine, Error, Foil, Folding, Goal, HeadRecorder, HeadWeights, Keep, LanguageModel,
    Layers, Method, MethodRecorder, Objective, Pool, Recorder, Retained, Rules, States, Streaming,
    SweepOptions, forced_scores, witness_attention,
};
use attention_relevancy::ndarray::Array1;
use attention_relevancy::{HeadFusion, Target, Update};
use definition::{Definition, Scalar};
use gemma3_tch::Sequence;
use tch::{Device, Kind, Tensor};
use toy::{Toy, VOCABULARY, WIDTH};

/// Sums in float32, in another order.
const TOLERANCE: f64 = 1e-5;

/// Fourteen tokens with a picture of four of them.
fn sequence() -> Sequence {
    let ids = [1, 20, 20, 20, 20, 3, 7, 11, 5, 2, 9, 14, 6, 8].to_vec();
    let picture = Tensor::randn([4, WIDTH as i64], (Kind::Float, Device::Cpu));
    Sequence::new(ids, vec![1..5], vec![picture], [VOCABULARY, WIDTH]).unwrap()
}

/// Two tokens.
const TARGETS: [(usize, u32); 2] = [(9, 2), (13, 8)];

fn targets() -> Vec<Target> {
    TARGETS.iter().map(|&(position, token)| Target::new(position, token).unwrap()).collect()
}

/// Each of the tokens, then both together.
fn goals() -> Vec<Goal> {
    let mut goals: Vec<Goal> = targets().into_iter().map(Goal::token).collect();
    goals.extend(Goal::sum(targets()));
    goals
}

fn options(memory_budget: u64) -> SweepOptions {
    SweepOptions { memory_budget, ..SweepOptions::default() }
}

#[track_caller]
fn assert_same(what: &str, found: &Array1<f32>, expected: &Array1<f32>) {
    let largest = expected.iter().fold(0f64, |largest, &x| largest.max(f64::from(x).abs()));
    let off = found.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    let off = off.fold(0.0, f64::max) / largest;
    assert!(0.0 < largest && off <= TOLERANCE, "{what}: {off:e}\n{found}\n{expected}");
}

fn row(tensor: &Tensor) -> Array1<f32> {
    Vec::<f32>::try_from(tensor.to_kind(Kind::Float)).unwrap().into()
}

#[test]
fn both_engines_find_what_autograd_finds() {
    let (toy, sequence) = (Toy::random(), sequence());
    let (definition, goals) = (Definition::new(&toy, &sequence, Backward::Gradient), goals());
    let logit = |logits: &Tensor, token| logits.get(token);
    let log_probability = |logits: &Tensor, token| logits.log_softmax(-1, Kind::Double).get(token);
    let contrast = |logits: &Tensor, token| {
        let others = logits.detach();
        let _ = others.get(token).fill_(f64::NEG_INFINITY);
        logits.get(token) - logits.get(others.argmax(0, false).int64_value(&[]))
    };
    let log_odds = |logits: &Tensor, token| {
        let p = logits.softmax(-1, Kind::Double).get(token);
        &p.log() - (&p * -1.0 + 1.0).log()
    };
    let objectives: [(Objective, Scalar<'_>); 4] = [
        (Objective::Logit, &logit),
        (Objective::LogProbability, &log_probability),
        (Objective::LogOdds, &log_odds),
        (Objective::Contrast(Foil::RunnerUp), &contrast),
    ];
    let retained = Retained::run(&toy, &sequence).unwrap();
    for (objective, of_token) in objectives {
        let expected: Vec<Array1<f32>> = [&TARGETS[..1], &TARGETS[1..], &TARGETS[..]]
            .map(|targets| row(&definition.relevancy(targets, of_token, [true; 4])))
            .into();
        let rules = Rules::new(objective, Update::Additive);
        for (found, expected) in retained.explain(&goals, &rules).unwrap().iter().zip(&expected) {
            assert_same(&format!("retained, {objective}"), &found.relevancy, expected);
        }
        let least = Streaming::least_budget(&toy, sequence.ids().len() - 1);
        for keep in [Keep::Inputs, Keep::Everything] {
            let states = States::of(&toy, &sequence, keep).unwrap();
            for budget in [least, 1 << 29] {
                let engine = Streaming::new(&toy, sequence.ids(), &states, options(budget));
                let found = engine.explain(&goals, &rules).unwrap();
                for (found, expected) in found.iter().zip(&expected) {
                    let what = format!("streaming, {objective}, {keep:?}, {budget} bytes");
                    assert_same(&what, &found.relevancy, expected);
                }
            }
        }
    }
}

/// Relevancy and gradient × input of the balanced sweeps. Biases of norms and head take relevance, so it does not sum to the logit here.
#[test]
fn each_backward_rule_is_what_autograd_finds_with_what_it_holds_constant() {
    let (toy, sequence) = (Toy::random(), sequence());
    let logit = |logits: &Tensor, token| logits.get(token);
    let mut rows = Vec::new();
    for backward in Backward::ALL {
        let definition = Definition::new(&toy, &sequence, backward);
        let rules = Rules { backward, ..Rules::default() };
        for (keep, budget) in [
            (Keep::Inputs, Streaming::least_budget(&toy, sequence.ids().len() - 1) + 4096),
            (Keep::Everything, 1 << 29),
        ] {
            let states = States::of(&toy, &sequence, keep).unwrap();
            let engine = Streaming::new(&toy, sequence.ids(), &states, options(budget));
            let (goals, methods) = (goals(), [Method::InputGradient]);
            let mut recorder = MethodRecorder::new(&engine, &goals, &methods).unwrap();
            let found = engine.observe(&goals, &rules, &mut [&mut recorder]).unwrap();
            let scores = recorder.finish().unwrap();
            let targets = [&TARGETS[..1], &TARGETS[1..], &TARGETS[..]];
            for ((found, scores), targets) in found.iter().zip(scores).zip(targets) {
                let expected = row(&definition.relevancy(targets, &logit, [true; 4]));
                assert_same(&format!("relevancy, {backward}"), &found.relevancy, &expected);
                let expected = row(&definition.input_gradient(targets, &logit));
                let score = scores[0].as_ref().unwrap();
                assert_same(&format!("gradient × input, {backward}"), score, &expected);
            }
            rows.push(found[2].relevancy.clone());
        }
    }
    // No two rules say the same.
    for (a, b) in [(0, 2), (0, 4), (2, 4)] {
        let off = (&rows[a] - &rows[b]).mapv(f32::abs).sum() / rows[a].sum();
        assert!(1e-2 < off, "{off}");
    }
}

/// The engine that keeps every attention has a graph of gradients, and says so.
#[test]
fn the_retained_engine_explains_by_the_gradient_alone() {
    let (toy, sequence) = (Toy::random(), sequence());
    let retained = Retained::run(&toy, &sequence).unwrap();
    for backward in [Backward::CpLrp, Backward::AttnLrp] {
        let rules = Rules { backward, ..Rules::default() };
        let refusals = [
            retained.explain(&goals(), &rules).err(),
            retained.explain_methods(&goals(), &rules, &[Method::InputGradient]).err(),
        ];
        for error in refusals.map(Option::unwrap) {
            assert!(matches!(error, Error::Backward { backward: named } if named == backward));
            assert!(error.to_string().contains(backward.name()), "{error}");
        }
    }
}

/// The states of a run token by token are those of a run in one go, the window of the second layer included.
#[test]
fn a_recorded_answer_is_explained_as_a_given_one() {
    let (toy, sequence) = (Toy::random(), sequence());
    let prompt = 6;
    let _no_grad = tch::no_grad_guard();
    let embeddings = toy.embed(&sequence);
    for keep in [Keep::Inputs, Keep::Everything] {
        let mut recorder = Recorder::generating(&toy, keep);
        let _ = toy.go_on(&embeddings.narrow(0, 0, prompt), 0, sequence.layout(), &mut recorder);
        // The last token was never read.
        for at in prompt..sequence.ids().len() as i64 - 1 {
            let next = embeddings.narrow(0, at, 1);
            let _ = toy.go_on(&next, at as usize, sequence.layout(), &mut recorder);
        }
        let recorded = States::recorded(recorder, &sequence).unwrap();
        let whole = States::of(&toy, &sequence, keep).unwrap();
        let (goals, rules) = (goals(), Rules::default());
        let [found, expected] = [&recorded, &whole].map(|states| {
            let engine = Streaming::new(&toy, sequence.ids(), states, options(1 << 29));
            engine.explain(&goals, &rules).unwrap()
        });
        for (found, expected) in found.iter().zip(&expected) {
            assert_same("relevancy", &found.relevancy, &expected.relevancy);
            assert_same("rollout", &found.rollout, &expected.rollout);
            assert_same("raw attention", &found.raw_attention, &expected.raw_attention);
        }
    }
}

/// What states take is added up layer by layer, and a sweep asks for what the dearest layer needs.
#[test]
fn costs_are_those_of_each_layer() {
    let (toy, sequence) = (Toy::random(), sequence());
    let tokens = sequence.ids().len();
    for keep in [Keep::Inputs, Keep::Everything] {
        let states = States::of(&toy, &sequence, keep).unwrap();
        assert_eq!(states.bytes(), keep.bytes(&toy, tokens), "{keep:?}");
        let least = Streaming::least_budget(&toy, tokens - 1);
        let engine = Streaming::new(&toy, sequence.ids(), &states, options(least - 1));
        let error = engine.explain(&goals(), &Rules::default()).unwrap_err();
        assert!(matches!(error, Error::Budget { smallest, .. } if smallest == least), "{error}");
    }
    let alone = [0, 1, 2, 3].map(|layer| {
        let mut one = Toy::random();
        one.layers = vec![one.layers.remove(layer)];
        Streaming::least_budget(&one, tokens)
    });
    assert_eq!(Streaming::least_budget(&toy, tokens), alone[3]);
    assert!(alone[..3].iter().all(|&least| least < alone[3]), "{alone:?}");
}

/// A head is one of the layer that it is asked of: the fifth is there in the last layer alone.
#[test]
fn heads_and_windows_are_those_of_each_layer() {
    let (toy, sequence) = (Toy::random(), sequence());
    let states = States::of(&toy, &sequence, Keep::Inputs).unwrap();
    let engine = Streaming::new(&toy, sequence.ids(), &states, options(1 << 29));
    let retained = Retained::run(&toy, &sequence).unwrap();
    let folding = |head, layers| {
        let folding = Folding::default().with_heads(HeadFusion::One(head)).with_layers(layers);
        Rules { folding, ..Rules::default() }
    };
    let goals = goals();
    for (head, layers) in [(5, Layers::Range(3..4)), (2, Layers::Range(1..4)), (1, Layers::Global)]
    {
        let rules = folding(head, layers);
        rules.check(&toy).unwrap();
        let both = [&engine as &dyn Engine, &retained]
            .map(|engine| engine.explain(&goals, &rules).unwrap());
        for (found, expected) in both[0].iter().zip(&both[1]) {
            assert_same(&format!("{:?}", rules.folding), &found.relevancy, &expected.relevancy);
        }
    }
    // The second layer has a window: it is none of the global ones.
    let folding_global = Folding::default().with_layers(Layers::Global);
    let rules = Rules { folding: folding_global, ..Rules::default() };
    let (definition, logit) =
        (Definition::new(&toy, &sequence, Backward::Gradient), |logits: &Tensor, token| {
            logits.get(token)
        });
    let expected = row(&definition.relevancy(&TARGETS, &logit, [true, false, true, true]));
    assert_same("global layers", &engine.explain(&goals, &rules).unwrap()[2].relevancy, &expected);

    assert!(folding(5, Layers::All).check(&toy).is_err());
    assert!(folding(5, Layers::Range(2..4)).check(&toy).is_err());

    let mut heads = HeadRecorder::new(&engine, &goals, Some(3)).unwrap();
    let _ = engine.observe(&goals, &Rules::default(), &mut [&mut heads]).unwrap();
    for shares in heads.finish() {
        assert_eq!(shares.carried.dim(), (4, 6));
        let maps = shares.maps.as_ref().unwrap();
        assert_eq!(maps.attention.nrows(), 6);
        for (layer, n_heads) in [2, 4, 3, 6].into_iter().enumerate() {
            for (head, &entropy) in shares.entropy.row(layer).iter().enumerate() {
                assert_eq!(0.0 < entropy, head < n_heads, "layer {layer}, head {head}");
            }
        }
    }
}

#[test]
fn methods_scores_and_witness_serve_it_too() {
    let (toy, sequence) = (Toy::random(), sequence());
    let states = States::of(&toy, &sequence, Keep::Everything).unwrap();
    let engine = Streaming::new(&toy, sequence.ids(), &states, options(1 << 29));
    let retained = Retained::run(&toy, &sequence).unwrap();
    let (heads, layers, over) = (HeadFusion::Max, || Layers::All, Pool::Max);
    let methods = [
        Method::Rollout { heads, layers: layers() },
        Method::ValueNorm { heads: HeadFusion::Mean, layers: layers() },
        Method::LeGrad { heads: HeadFusion::Mean, layers: layers() },
        Method::DexAr { layers: layers() },
        Method::RawAttention { heads: HeadWeights::Gradient, layers: layers() },
        Method::TokenAttention { heads, layers: layers(), over },
        Method::ObjectAttention { heads, layers: Layers::Global, over },
        Method::GradientAttention { heads, layers: layers() },
        Method::GradCamAttention { layer: 2 },
        Method::GradCamHidden { layer: 1 },
        Method::InputGradient,
        Method::MeanCell,
        Method::Tam,
    ];
    let (goals, rules) = (goals(), Rules::default());
    let mut recorder = MethodRecorder::new(&engine, &goals, &methods).unwrap();
    let _ = engine.observe(&goals, &rules, &mut [&mut recorder]).unwrap();
    let expected = retained.explain_methods(&goals, &rules, &methods).unwrap();
    for (found, (_, expected)) in recorder.finish().unwrap().into_iter().zip(expected) {
        for ((method, found), expected) in methods.iter().zip(found).zip(expected) {
            assert_same(&method.to_string(), &found.unwrap(), &expected.unwrap());
        }
    }

    let definition = Definition::new(&toy, &sequence, Backward::Gradient).logits.detach();
    let definition = definition.log_softmax(-1, Kind::Double);
    let forced = forced_scores(&toy, &sequence, &targets()).unwrap();
    let scored = [&engine as &dyn Engine, &retained].map(|e| e.scores(&targets()).unwrap());
    for scores in scored.iter().chain([&forced]) {
        for (score, (position, token)) in scores.iter().zip(TARGETS) {
            let expected = definition.double_value(&[position as i64 - 1, i64::from(token)]);
            assert!((f64::from(score.log_probability) - expected).abs() < 1e-5);
        }
    }

    let mut seen = [0; 4];
    let differences = witness_attention(&toy, &sequence, &mut |block| {
        seen[block.layer] += block.weights.dim().0;
    });
    assert_eq!(seen, [2, 4, 3, 6]);
    assert!(differences.unwrap().into_iter().all(|difference| difference < TOLERANCE));
}
