//! A long sequence, and the patches of a large picture, within a fixed number of bytes: each alone in its process, so that nobody
//! else's memory is counted.
//!
//! One S×S array of float32 would be 1.6 GB; the sweep and its states stay far below, so that there is none.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use attention_capture::{
    Engine, Goal, ImagePart, Keep, Objective, PatchOptions, Patches, States, Streaming,
    SweepOptions,
};
use attention_relevancy::{Target, Update};
use benchmarks::memory::{Place, Watch};
use gemma3_tch::{Config, Gemma3, Placement};
use integration_tests::Fixture;
use tch::{Device, Kind, Tensor};

const TOKENS: usize = 20_000;
const BUDGET: u64 = 320 << 20;
/// glibc raises this threshold as it sees fit and then keeps freed blocks, up to three times what is in use; fixed, a large block
/// goes back when it is freed, and what the process holds is what the sweep needs.
const THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

#[test]
fn twenty_thousand_tokens_fit_into_a_fixed_budget() {
    alone("twenty_thousand_tokens_fit_into_a_fixed_budget", tokens);
}

#[test]
fn the_patches_of_a_large_picture_fit_into_a_fixed_budget() {
    alone("the_patches_of_a_large_picture_fit_into_a_fixed_budget", patches);
}

/// glibc reads the threshold when a process starts: so the measurement is a process of its own, the test of that name again.
fn alone(test: &str, measure: fn()) {
    if std::env::var(THRESHOLD.0).as_deref() == Ok(THRESHOLD.1) {
        return measure();
    }
    let this = std::env::current_exe().unwrap();
    let mut again = std::process::Command::new(this);
    let again = again.args([test, "--exact", "--nocapture"]).env(THRESHOLD.0, THRESHOLD.1);
    let status = again.status().unwrap();
    assert!(status.success(), "{status}");
}

fn tokens() {
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
    assert_eq!(states.bytes(), Keep::Inputs.bytes(&config.text, TOKENS, 4));
    let options = SweepOptions { memory_budget: BUDGET - states.bytes(), cancel: None };
    let goal = Goal::token(Target::new(TOKENS - 1, sequence.ids()[TOKENS - 1]).unwrap());
    let streaming = Streaming::new(&model, sequence.ids(), &states, options);
    let found = streaming.explain_one(&goal, Objective::Logit, Update::Additive).unwrap();
    let peak = watch.peak() - before;

    assert!(peak < BUDGET, "{} MB were used", peak >> 20);
    // 7 layers, the windows of 96 and one full layer: every picture can be reached, and rows sum to more than the start.
    assert!(found.relevancy.iter().all(|x| x.is_finite() && 0.0 <= *x));
    assert!(found.relevancy.slice(ndarray::s![..per_image]).sum() > 0.0);
    assert!((found.rollout.sum() - 1.0).abs() < 1e-3, "{}", found.rollout.sum());
}

/// 4096 patches, four heads: the attention of a layer would be 268 MB in float32.
fn patches() {
    const PATCH_BUDGET: u64 = 128 << 20;
    let mut config = serde_json::from_str::<serde_json::Value>(
        &std::fs::read_to_string(Fixture::open("layout").model().join("config.json")).unwrap(),
    )
    .unwrap();
    config["vision_config"]["image_size"] = 896.into();
    config["vision_config"]["num_attention_heads"] = 4.into();
    let config = Config::from_json(&config.to_string()).unwrap();
    tch::manual_seed(4);
    let random = |shape: &[usize]| {
        let shape: Vec<i64> = shape.iter().map(|&n| n as i64).collect();
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    };
    let tensors = config.tensors().into_iter().map(|(name, shape)| (name, random(&shape) * 0.3));
    let model = Gemma3::from_tensors(config.clone(), &tensors.collect()).unwrap();
    let picture = random(&[3, 896, 896]);
    let part = |_| ImagePart {
        relevancy: ndarray::Array1::ones(config.mm_tokens_per_image),
        gradient: random(&[config.mm_tokens_per_image, config.text.hidden_size]),
    };
    let parts: Vec<ImagePart> = (0..5).map(part).collect();

    let before = Place::Process.used();
    let watch = Watch::start(Place::Process);
    let sweep = SweepOptions { memory_budget: PATCH_BUDGET, cancel: None };
    let options = PatchOptions { pixels: true, sweep, ..PatchOptions::default() };
    let maps = Patches::new(&model, &picture, options).explain(&parts).unwrap();
    let peak = watch.peak() - before;

    assert!(peak < PATCH_BUDGET, "{} MB were used", peak >> 20);
    for map in maps {
        assert!(map.patches.iter().all(|x| x.is_finite() && 0.0 <= *x));
        assert!(map.unpooled.sum() <= map.patches.sum() * 1.000_001);
    }
}
