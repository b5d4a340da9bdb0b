//! The backward rules: the streaming engine against a forward pass whose graph is cut where a rule holds something constant (`detached.rs`), and
//! what CP-LRP conserves.

use crate::detached::{Detached, Reference, Sight};
use crate::explainer::{answer, published};
use crate::support::{answered, model, prepare, with_methods};
use attention_capture::{
    Backward, Foil, Goal, ImageRecorder, Keep, Method, Objective, PatchOptions, Patches, Rules,
    Spread, States, Streaming, SweepOptions,
};
use attention_relevancy::Target;
use gemma3_tch::{Gemma3, Sequence};
use integration_tests::{Fixture, difference};
use medgemma_explainer::{
    Ask, Compared, DtypeSpec, Engine, ErrorKind, Explainer, LoadOptions, ModelSource, Resolution,
};
use ndarray::Array1;
use tch::{Kind, Tensor};

/// Float32 against double precision.
const TOLERANCE: f64 = 1e-5;

/// Of one token near the middle of the answer, of the last, and of both together.
fn goals(sequence: &Sequence, prompt: usize) -> Vec<Goal> {
    let last = sequence.ids().len() - 1;
    let target = |at: usize| Target::new(at, sequence.ids()[at]).unwrap();
    let targets = vec![target(usize::midpoint(prompt, last)), target(last)];
    targets.iter().map(|&target| Goal::token(target)).chain(Goal::sum(targets.clone())).collect()
}

/// A case with its pictures, then its words alone. The second number is where the answer begins.
fn sequences(fixture: &Fixture, model: &Gemma3) -> [(Sequence, usize); 2] {
    let whole = answered(fixture, model);
    let images = whole.images();
    let is_word = |at: &usize| images.iter().all(|image| !image.contains(at));
    let words: Vec<u32> =
        (0..whole.ids().len()).filter(is_word).map(|at| whole.ids()[at]).collect();
    let text = &model.config().text;
    let size = [text.vocab_size, text.hidden_size];
    let answer = fixture.ids("full_ids").len() - fixture.ids("input_ids").len();
    let alone = Sequence::new(words, Vec::new(), Vec::new(), size).unwrap();
    [whole, alone].map(|sequence| {
        let prompt = sequence.ids().len() - answer;
        (sequence, prompt)
    })
}

#[test]
fn balanced_sweeps_are_what_autograd_finds_with_what_is_held_constant() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        for (sequence, prompt) in sequences(&fixture, &model) {
            let goals = goals(&sequence, prompt);
            for backward in Backward::ALL {
                let reference =
                    Reference::new(&fixture, (&model, &sequence), Detached(backward), None);
                let expected: Vec<_> = goals.iter().map(|goal| reference.explain(goal)).collect();
                let mut worst = [0f64; 2];
                for keep in [Keep::Inputs, Keep::Everything] {
                    let states = States::of(&model, &sequence, keep).unwrap();
                    let options = SweepOptions::default();
                    let engine = Streaming::new(&model, sequence.ids(), &states, options);
                    let rules = Rules { backward, ..Rules::default() };
                    let methods = [Method::InputGradient];
                    let found = with_methods(&engine, &goals, &rules, &methods).unwrap();
                    for ((attribution, rows), expected) in found.iter().zip(&expected) {
                        let score = rows[0].as_ref().unwrap();
                        worst[0] = worst[0].max(difference(&attribution.relevancy, &expected[0]));
                        worst[1] = worst[1].max(difference(score, &expected[1]));
                    }
                }
                let pictures = sequence.images().len();
                let what = format!("{}, {pictures} pictures, {backward}", fixture.name());
                println!("{what}: relevancy {:.1e}, x⊙x̄ {:.1e}", worst[0], worst[1]);
                assert!(worst.iter().all(|&off| off <= TOLERANCE), "{what}: {worst:?}");
            }
        }
    }
}

/// Every step of CP-LRP is a linear map without a bias: the scores of all tokens sum to the logit, or to the difference of two. A difference
/// of float32 logits is as exact as they are: it is measured by them.
#[test]
fn relevance_is_conserved_by_cp_lrp() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        for (sequence, prompt) in sequences(&fixture, &model) {
            let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
            let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
            let goals = goals(&sequence, prompt);
            let logits = reference_logits(&model, &sequence);
            let mut worst = 0f64;
            let contrast = Objective::Contrast(Foil::RunnerUp);
            for (objective, is_contrast) in [(Objective::Logit, false), (contrast, true)] {
                let backward = Backward::CpLrp;
                let rules = Rules { objective, backward, ..Rules::default() };
                let methods = [Method::InputGradient];
                let found = with_methods(&engine, &goals, &rules, &methods).unwrap();
                for (goal, (_, rows)) in goals.iter().zip(&found) {
                    let targets = goal.targets();
                    let terms = targets.iter().map(|&it| terms(&logits, it, is_contrast));
                    let terms: Vec<f64> =
                        terms.flatten().map(|x| x / targets.len() as f64).collect();
                    let size: f64 = terms.iter().map(|x| x.abs()).sum();
                    let z: f64 = terms.into_iter().sum();
                    let sum: f64 = rows[0].as_ref().unwrap().iter().map(|&x| f64::from(x)).sum();
                    let off = (sum - z).abs() / size;
                    assert!(off < 1e-5, "{}, {objective}: {sum}, not {z}", fixture.name());
                    worst = worst.max(off);
                }
            }
            println!("{}, {} pictures: {worst:.1e}", fixture.name(), sequence.images().len());
        }
    }
}

fn reference_logits(model: &Gemma3, sequence: &Sequence) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let output = model.forward(sequence, &mut gemma3_tch::Fast);
    model.text().logits(&output).to_kind(Kind::Double)
}

/// What the scalar of a target is the sum of: its logit and, against the runner-up, that of the likeliest other token.
fn terms(logits: &Tensor, target: Target, is_contrast: bool) -> Vec<f64> {
    let row = logits.get(target.logit_row() as i64).copy();
    let own = row.double_value(&[i64::from(target.token())]);
    let _ = row.get(i64::from(target.token())).fill_(f64::NEG_INFINITY);
    let other = -row.max().double_value(&[]);
    if is_contrast { vec![own, other] } else { vec![own] }
}

/// From the logit through language model, projector and vision tower to the pixels, in one graph.
#[test]
fn balanced_patches_and_pixels_are_what_autograd_finds_with_what_is_held_constant() {
    /// The gradients of random checkpoints are small: what the tower adds would be lost beside what it starts from.
    const STRENGTH: f64 = 300.0;
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let picture = model.picture(&prepare(&fixture).pixels[0]).unwrap();
        let last = sequence.ids().len() - 1;
        let goals = [Goal::token(Target::new(last, sequence.ids()[last]).unwrap())];
        let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
        for backward in Backward::ALL {
            let by = Detached(backward);
            let sight = Sight::new(&fixture, &picture, by);
            let reference = Reference::new(&fixture, (&model, &sequence), by, Some(&sight.tokens));
            let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
            let mut recorder = ImageRecorder::new(&engine, &[0]).unwrap();
            let rules = Rules { backward, ..Rules::default() };
            let found = engine.observe(&goals, &rules, &mut [&mut recorder]).unwrap();
            let mut parts = recorder.finish(found.iter()).remove(0);
            parts[0].gradient *= STRENGTH;
            let z = reference.scalar(&goals[0]);
            let expected = sight.explain(&z, &parts[0].relevancy, STRENGTH);
            let (spread, pixels) = (Spread::Even, true);
            let options = PatchOptions { spread, backward, pixels, ..PatchOptions::default() };
            let found = Patches::new(&model, &picture, options).explain(&parts).unwrap().remove(0);
            let flat = |map: &ndarray::Array2<f32>| Array1::from_iter(map.iter().copied());
            let off = [
                difference(&flat(&found.patches), &expected[0]),
                difference(&flat(found.pixels.as_ref().unwrap()), &expected[1]),
            ];
            let name = fixture.name();
            let added = (found.patches.sum() / found.unpooled.sum() - 1.0).abs();
            println!(
                "{name}, {backward}: patches {:.1e}, pixels {:.1e}; {added:.2} added",
                off[0], off[1]
            );
            assert_eq!(found.patches.len() as i64, sight.patches());
            assert!(off.iter().all(|&off| off <= TOLERANCE), "{name}, {backward}: {off:?}");
        }
    }
}

/// The rules at the facade: the score of every token, patches, and a record that says so.
#[test]
fn the_facade_explains_by_each_backward_rule() {
    let fixture = Fixture::open("two-images");
    let source = ModelSource::Directory(fixture.model());
    let options = LoadOptions::default().with_dtype(DtypeSpec::Float32);
    let explainer = Explainer::load(&source, &options).unwrap();
    let answer = answer(&fixture, &explainer);
    let asks = [Ask::Position(answer.tokens().len() - 1)];
    let mut rows = Vec::new();
    for backward in Backward::ALL {
        let options = published()
            .with_backward(backward)
            .with_resolution(Resolution::Pixels)
            .with_methods(vec![Compared::Other(Method::InputGradient)]);
        let found = explainer.explain(&answer, &asks, &options).unwrap();
        let record =
            explainer.record(&answer, &found, &medgemma_explainer::Presentation::default());
        assert_eq!(record.unwrap().settings.backward, backward.name());
        let target = &found.targets[0];
        if backward == Backward::CpLrp {
            let score: f32 = target.methods()[0].as_ref().unwrap().sum();
            let logit = target.scores()[0].logit;
            assert!((score / logit - 1.0).abs() < 1e-5, "{score} {logit}");
        }
        rows.push((
            target.relevancy().relevancy().to_owned(),
            target.finer(0).unwrap().pixels.clone().unwrap(),
        ));
        let retained = explainer.explain(
            &answer,
            &asks,
            &published().with_backward(backward).with_engine(Engine::Retained),
        );
        let kind = retained.err().map(|error| error.kind());
        assert_eq!(kind, backward.is_lrp().then_some(ErrorKind::Argument), "{backward}");
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert_ne!(rows[a].0, rows[b].0);
        assert_ne!(rows[a].1, rows[b].1);
    }
}
