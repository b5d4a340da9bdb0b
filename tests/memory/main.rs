//! A long sequence, and the patches of a large picture, within a fixed number of bytes: each alone in its process, so that nobody
//! else's memory is counted.
//!
//! One S×S array of float32 would be 1.6 GB; the sweep and its states stay far below, so that there is none.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use attention_capture::{
    Error, Folding, Goal, HeadWeights, ImagePart, Keep, Layers, Method, MethodRecorder, Objective,
    PatchOptions, Patches, Pool, Rules, States, Streaming, SweepOptions,
};
use attention_relevancy::{HeadFusion, Target, Update};
use benchmarks::memory::{Place, Watch};
use gemma3_tch::{Config, Gemma3, Placement};
use integration_tests::Fixture;
use serde_json::Value;
use tch::{Device, Kind, Tensor};

const TOKENS: usize = 20_000;
const BUDGET: u64 = 320 << 20;
/// glibc raises this threshold as it sees fit and then keeps freed blocks, up to three times what is in use; fixed, a large block
/// goes back when it is freed, and what the process holds is what the sweep needs.
const THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

#[test]
fn twenty_thousand_tokens_fit_into_a_fixed_budget() {
    alone("twenty_thousand_tokens_fit_into_a_fixed_budget", || tokens(HeadFusion::Mean, &[]));
}

#[test]
fn every_method_of_twenty_thousand_tokens_fits_into_a_fixed_budget() {
    let (heads, layers, over) = (HeadFusion::Max, || Layers::All, Pool::Max);
    let methods = [
        Method::Rollout { heads, layers: layers() },
        Method::RawAttention { heads: HeadWeights::Gradient, layers: layers() },
        Method::TokenAttention { heads, layers: layers(), over },
        Method::ObjectAttention { heads, layers: layers(), over },
        Method::GradientAttention { heads, layers: layers() },
        Method::GradCamAttention { layer: 5 },
        Method::GradCamHidden { layer: 3 },
        Method::InputGradient,
        Method::ValueNorm { heads: HeadFusion::Mean, layers: Layers::All },
        Method::LeGrad { heads: HeadFusion::Mean, layers: Layers::All },
        Method::DexAr { layers: Layers::All },
        Method::MeanCell,
        Method::Tam,
    ];
    alone("every_method_of_twenty_thousand_tokens_fits_into_a_fixed_budget", || {
        tokens(heads, &methods);
    });
}

#[test]
fn the_patches_of_a_large_picture_fit_into_a_fixed_budget() {
    alone("the_patches_of_a_large_picture_fit_into_a_fixed_budget", patches);
}

/// glibc reads the threshold when a process starts: so the measurement is a process of its own, the test of that name again.
fn alone(test: &str, measure: impl Fn()) {
    if std::env::var(THRESHOLD.0).as_deref() == Ok(THRESHOLD.1) {
        return measure();
    }
    let this = std::env::current_exe().unwrap();
    let mut again = std::process::Command::new(this);
    let again = again.args([test, "--exact", "--nocapture"]).env(THRESHOLD.0, THRESHOLD.1);
    let status = again.status().unwrap();
    assert!(status.success(), "{status}");
}

fn tokens(heads: HeadFusion, methods: &[Method]) {
    let fixture = Fixture::open("layout");
    let model = Gemma3::load(&fixture.model(), Placement::AS_STORED).unwrap();
    let config = model.config();
    tch::manual_seed(4);
    let per_image = config.mm_tokens_per_image;
    let width = config.text.hidden_size as i64;
    let (mut ids, mut spans, mut features) = (vec![2], Vec::new(), Vec::new());
    while ids.len() + per_image + 2 < TOKENS {
        spans.push(ids.len()..ids.len() + per_image);
        ids.extend(vec![config.image_token_id; per_image]);
        ids.push(300 + spans.len() as u32);
        features.push(Tensor::randn([per_image as i64, width], (Kind::Float, Device::Cpu)));
    }
    ids.resize(TOKENS, 301);
    let sequence = model.sequence(ids, spans, features).unwrap();

    let before = Place::Process.used();
    let watch = Watch::start(Place::Process);
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    assert_eq!(states.bytes(), Keep::Inputs.bytes(&model, TOKENS));
    let options = SweepOptions { memory_budget: BUDGET - states.bytes(), cancel: None };
    let goal = Goal::token(Target::new(TOKENS - 1, sequence.ids()[TOKENS - 1]).unwrap());
    let streaming = Streaming::new(&model, sequence.ids(), &states, options);
    let folding = Folding::default().with_heads(heads).with_layers(Layers::All);
    let rules = Rules { folding, ..Rules::new(Objective::Logit, Update::Additive) };
    let goals = std::slice::from_ref(&goal);
    let mut recorder = MethodRecorder::new(&streaming, goals, methods).unwrap();
    let found = streaming.observe(goals, &rules, &mut [&mut recorder]).unwrap().remove(0);
    let rows = recorder.finish().unwrap().remove(0);
    let peak = watch.peak() - before;

    assert!(peak < BUDGET, "{} MB were used", peak >> 20);
    // 7 layers, the windows of 96 and one full layer: every picture can be reached, and rows sum to more than the start.
    assert!(found.relevancy.iter().all(|x| x.is_finite() && 0.0 <= *x));
    assert!(found.relevancy.slice(ndarray::s![..per_image]).sum() > 0.0);
    assert!((found.rollout.sum() - 1.0).abs() < 1e-3, "{}", found.rollout.sum());
    for (method, row) in methods.iter().zip(rows) {
        let row = row.unwrap_or_else(|reason| panic!("{method}: {reason}"));
        assert!(row.iter().all(|x| x.is_finite()) && row.iter().any(|&x| x != 0.0), "{method}");
    }
}

/// 4096 patches and a quarter of the width of the real vision tower, eight heads: the attention of a layer would be 512 MB in
/// float32. The budget is little more than the smallest that is taken.
fn patches() {
    let model = narrow_tower();
    let (config, side) = (model.config(), model.vision().unwrap().config.image_size as i64);
    let random = |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
    let picture = random([3 * side, side]).view([3, side, side]);
    let (tokens, width) = (config.mm_tokens_per_image, config.text.hidden_size as i64);
    let part = ImagePart {
        relevancy: ndarray::Array1::ones(tokens),
        gradient: random([tokens as i64, width]),
    };
    let explain = |memory_budget| {
        let sweep = SweepOptions { memory_budget, cancel: None };
        let options = PatchOptions { pixels: true, sweep, ..PatchOptions::default() };
        Patches::new(&model, &picture, options).explain(std::slice::from_ref(&part))
    };
    let Err(Error::Budget { smallest, .. }) = explain(0) else { panic!("0 bytes are enough") };
    let budget = smallest + (16 << 20);
    assert!(budget < 170 << 20, "{} MB are asked for", budget >> 20);

    let before = Place::Process.used();
    let watch = Watch::start(Place::Process);
    let map = explain(budget).unwrap().remove(0);
    let peak = watch.peak() - before;

    assert!(peak < budget, "{} MB were used of {}", peak >> 20, budget >> 20);
    assert!(map.patches.iter().all(|x| x.is_finite() && 0.0 <= *x));
    assert!(map.unpooled.sum() <= map.patches.sum() * 1.000_001);
}

/// Random weights under the configuration of a fixture, the vision tower made larger.
fn narrow_tower() -> Gemma3 {
    let file = Fixture::open("layout").model().join("config.json");
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let sizes = [
        ("image_size", 896),
        ("hidden_size", 288),
        ("intermediate_size", 1076),
        ("num_attention_heads", 8),
    ];
    for (name, size) in sizes {
        config["vision_config"][name] = size.into();
    }
    let config = Config::from_json(&config.to_string()).unwrap();
    tch::manual_seed(4);
    let random = |(name, shape): (String, Vec<usize>)| {
        let shape: Vec<i64> = shape.into_iter().map(|n| n as i64).collect();
        (name, Tensor::randn(shape, (Kind::Float, Device::Cpu)) * 0.1)
    };
    let tensors = config.tensors().into_iter().map(random).collect();
    Gemma3::from_tensors(config, &tensors).unwrap()
}
