//! A long sequence within a fixed number of bytes: alone in its process, so that nobody else's memory is counted.
//!
//! One S×S array of float32 would be 1.6 GB here; the sweep and its states stay far below, so that there is none.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use attention_capture::{Engine, Goal, Keep, Objective, States, Streaming, SweepOptions};
use attention_relevancy::{Target, Update};
use benchmarks::memory::{Place, Watch};
use gemma3_tch::{Gemma3, Placement};
use integration_tests::Fixture;
use tch::{Device, Kind, Tensor};

const TOKENS: usize = 20_000;
const BUDGET: u64 = 320 << 20;
/// glibc raises this threshold as it sees fit and then keeps freed blocks, up to three times what is in use; fixed, a large block
/// goes back when it is freed, and what the process holds is what the sweep needs.
const THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "1048576");

/// glibc reads the threshold when a process starts: so the measurement is a process of its own, this test again.
#[test]
fn twenty_thousand_tokens_fit_into_a_fixed_budget() {
    if std::env::var(THRESHOLD.0).as_deref() == Ok(THRESHOLD.1) {
        return measure();
    }
    let this = std::env::current_exe().unwrap();
    let mut again = std::process::Command::new(this);
    let status = again.arg("--nocapture").env(THRESHOLD.0, THRESHOLD.1).status().unwrap();
    assert!(status.success(), "{status}");
}

fn measure() {
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
