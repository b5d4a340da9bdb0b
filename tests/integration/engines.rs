//! The streaming engine against the retained one: the same numbers, whatever is kept and however the sweep is cut.

use crate::support::{answered, model, prepare};
use attention_capture::{
    Attribution, EachLayer, Engine, Error, Foil, Goal, Keep, LayerSwept, Objective, Recorder,
    Retained, Rules, States, Streaming, SweepOptions,
};
use attention_relevancy::{Target, Update};
use gemma3_tch::{Gemma3, GenerationOptions, Sequence};
use integration_tests::{Fixture, row_difference};
use ndarray::Array1;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tch::{Kind, Tensor};

/// Both engines compute in float32, in another order. Found are 1.2·10⁻⁵ on old-names, and 1.6·10⁻⁶ to 6·10⁻⁶ where the image features
/// are moved at random by 3·10⁻⁷ of the largest: a row has terms that nearly cancel, and which do is decided by the last bits.
const TOLERANCE: f64 = 2e-5;

/// The fixture's targets one by one, and all of them summed.
fn goals(fixture: &Fixture, sequence: &Sequence) -> Vec<Goal> {
    let target = |position: usize| Target::new(position, sequence.ids()[position]).unwrap();
    let targets: Vec<Target> = fixture.numbers("targets").into_iter().map(target).collect();
    targets.iter().map(|&target| Goal::token(target)).chain(Goal::sum(targets.clone())).collect()
}

fn assert_same(what: &str, goal: &Goal, found: &Attribution, expected: &Attribution) {
    let compare = |name: &str, found: &Array1<f32>, expected: &Array1<f32>| {
        let (mut found, mut expected) = (found.clone(), expected.mapv(f64::from));
        for target in goal.targets() {
            (found[target.logit_row()], expected[target.logit_row()]) = (0.0, 0.0);
        }
        let distance = row_difference(found.view(), expected.view(), goal.targets()[0].logit_row());
        assert!(distance <= TOLERANCE, "{what}, {name}: differs by {distance:.2e}");
    };
    compare("relevancy", &found.relevancy, &expected.relevancy);
    compare("raw attention", &found.raw_attention, &expected.raw_attention);
    compare("rollout", &found.rollout, &expected.rollout);
}

fn check(fixture: &Fixture, model: &Gemma3, sequence: &Sequence, options: &SweepOptions) {
    let (run, goals) = (Retained::run(model, sequence).unwrap(), goals(fixture, sequence));
    for keep in [Keep::Inputs, Keep::Everything] {
        let states = States::of(model, sequence, keep).unwrap();
        let streaming = Streaming::new(model, sequence.ids(), &states, options.clone());
        let foil = sequence.ids()[0];
        for objective in [
            Objective::Logit,
            Objective::LogProbability,
            Objective::LogOdds,
            Objective::Contrast(Foil::RunnerUp),
            Objective::Contrast(Foil::Token(foil)),
        ] {
            for update in [Update::Additive, Update::Stochastic] {
                let found = streaming.explain(&goals, &Rules::new(objective, update)).unwrap();
                assert_eq!(found.len(), goals.len());
                for (goal, found) in goals.iter().zip(&found) {
                    let expected = run.explain_one(goal, &Rules::new(objective, update)).unwrap();
                    let what = format!("{}, {keep:?}, {objective}, {update}", fixture.name());
                    assert_same(&what, goal, found, &expected);
                }
            }
        }
        let targets = goals.last().unwrap().targets();
        for (found, expected) in
            streaming.scores(targets).unwrap().iter().zip(run.scores(targets).unwrap())
        {
            assert!(
                found.runner_up == expected.runner_up
                    && (found.logit - expected.logit).abs() < 1e-4
                    && (found.log_probability - expected.log_probability).abs() < 1e-4
            );
        }
    }
}

#[test]
fn streaming_equals_retained() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        // Enough for everything at once; then only for a goal and a few rows at a time.
        check(&fixture, &model, &sequence, &SweepOptions::default());
        let config = &model.config().text;
        let Err(Error::Budget { smallest, .. }) = explain_within(&model, &sequence, 0) else {
            panic!("a budget of 0 bytes was accepted")
        };
        assert!(explain_within(&model, &sequence, smallest).is_ok());
        let row = 4 * 8 * (config.num_attention_heads * sequence.ids().len()) as u64;
        check(
            &fixture,
            &model,
            &sequence,
            &SweepOptions { memory_budget: smallest + 7 * row, cancel: None },
        );
    }
}

/// The last token, in a sweep of that many bytes.
fn explain_within(
    model: &Gemma3,
    sequence: &Sequence,
    memory_budget: u64,
) -> Result<Attribution, Error> {
    let states = States::of(model, sequence, Keep::Inputs).unwrap();
    let options = SweepOptions { memory_budget, cancel: None };
    let last = sequence.ids().len() - 1;
    let goal = Goal::token(Target::new(last, sequence.ids()[last]).unwrap());
    Streaming::new(model, sequence.ids(), &states, options)
        .explain_one(&goal, &Rules::new(Objective::Logit, Update::Additive))
}

/// A recording made while the answer is generated serves as one made afterwards.
#[test]
fn a_generated_answer_is_explained_without_another_forward_pass() {
    for name in ["two-images", "short-window"] {
        let fixture = Fixture::open(name);
        let model = model(&fixture);
        let prompt = model.encode(&prepare(&fixture)).unwrap();
        for keep in [Keep::Inputs, Keep::Everything] {
            let mut recorder = Recorder::generating(&model, keep);
            let options =
                GenerationOptions { max_new_tokens: 10, sampling: None, stop_ids: vec![] };
            let generated = model
                .generate(&prompt, &options, &mut recorder, &mut |_| ControlFlow::Continue(()))
                .unwrap();
            let sequence = prompt.followed_by(&generated.tokens);
            let states = States::recorded(recorder, &sequence).unwrap();
            assert_eq!(
                states.tokens(),
                sequence.ids().len() - 1,
                "the last token is not fed to the model"
            );
            let streaming =
                Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
            let run = Retained::run(&model, &sequence).unwrap();
            for goal in goals(&fixture, &sequence) {
                let found = streaming
                    .explain_one(&goal, &Rules::new(Objective::Logit, Update::Additive))
                    .unwrap();
                let expected = run
                    .explain_one(&goal, &Rules::new(Objective::Logit, Update::Additive))
                    .unwrap();
                assert_same(name, &goal, &found, &expected);
            }
        }
    }
}

/// What the sweep shows on its way: rows by depth, shares of heads, gradients.
#[test]
fn by_products_are_those_of_the_retained_engine() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let states = States::of(&model, &sequence, Keep::Everything).unwrap();
    let streaming = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
    let goal = goals(&fixture, &sequence).remove(3);
    let (mut rows, mut heads, mut gradient) = (Vec::new(), Vec::new(), None);
    let mut observer = EachLayer(|swept: &LayerSwept<'_>| {
        assert_eq!(swept.heads_gradient.size()[2], swept.queries.len() as i64);
        rows.push(swept.relevancy.copy());
        heads.push(swept.heads.copy());
        gradient = Some((swept.layer, swept.keys.clone(), swept.input_gradient.copy()));
    });
    let goal_alone = std::slice::from_ref(&goal);
    let found = streaming.observe(goal_alone, &Rules::default(), &mut [&mut observer]).unwrap();

    // The last row is the result, and what a layer adds to the row is what its heads carried, on average.
    let total = |row: &Tensor| row.sum(Kind::Double).double_value(&[]);
    assert!((total(rows.last().unwrap()) - f64::from(found[0].relevancy.sum())).abs() < 1e-5);
    let mut before = 1.0;
    for (row, heads) in rows.iter().zip(&heads) {
        let carried = heads.mean(Kind::Double).double_value(&[]);
        assert!(
            (total(row) - before - carried).abs() < 1e-5 * total(row),
            "{} {before} {carried}",
            total(row)
        );
        before = total(row);
    }

    // The gradient at the input embeddings is that of autograd.
    let (layer, keys, gradient) = gradient.unwrap();
    assert_eq!((layer, keys), (0, 0..goal.targets()[0].position()));
    let expected = tch::with_grad(|| {
        let embeddings = model.embed(&sequence).detach().set_requires_grad(true);
        let hidden = model.text().forward(&embeddings, 0, sequence.layout(), &mut gemma3_tch::Fast);
        let target = goal.targets()[0];
        let z = model
            .text()
            .logits(&hidden.get(target.logit_row() as i64))
            .get(i64::from(target.token()));
        Tensor::run_backward(&[z], &[embeddings], false, false).remove(0)
    });
    let expected = expected.narrow(0, 0, gradient.size()[1]);
    let distance =
        ((gradient.get(0) - &expected).abs().max() / expected.abs().max()).double_value(&[]);
    assert!(distance < 1e-5, "{distance}");
}

#[test]
fn a_cancelled_sweep_is_an_error() {
    let fixture = Fixture::open("short-window");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let cancel = Some(Arc::new(AtomicBool::new(true)));
    let streaming = Streaming::new(
        &model,
        sequence.ids(),
        &states,
        SweepOptions { cancel, ..SweepOptions::default() },
    );
    let outcome = streaming
        .explain(&goals(&fixture, &sequence), &Rules::new(Objective::Logit, Update::Additive));
    assert!(matches!(outcome, Err(Error::Cancelled)));
}
