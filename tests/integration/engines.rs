//! The streaming engine against the retained one: the same numbers, whatever is kept and however the sweep is cut.

use crate::support::{answered, model};
use attention_capture::{
    Attribution, Goal, Keep, Objective, Retained, States, Streaming, SweepOptions,
};
use attention_relevancy::{Target, Update};
use gemma3_tch::{Gemma3, Sequence};
use integration_tests::{Fixture, row_difference};
use ndarray::Array1;

/// Both engines compute in float32, in another order.
const TOLERANCE: f64 = 1e-5;

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

fn check(fixture: &Fixture, model: &Gemma3, sequence: &Sequence, options: SweepOptions) {
    let (run, goals) = (Retained::run(model, sequence).unwrap(), goals(fixture, sequence));
    for keep in [Keep::Inputs, Keep::Everything] {
        let states = States::of(model, sequence, keep).unwrap();
        let streaming = Streaming::new(model, sequence.ids(), &states, options);
        for objective in [Objective::Logit, Objective::LogProbability] {
            for update in [Update::Additive, Update::Stochastic] {
                let found = streaming.explain(&goals, objective, update).unwrap();
                assert_eq!(found.len(), goals.len());
                for (goal, found) in goals.iter().zip(&found) {
                    let expected = run.explain(model, goal, objective, update).unwrap();
                    let what = format!("{}, {keep:?}, {objective}, {update}", fixture.name());
                    assert_same(&what, goal, found, &expected);
                }
            }
        }
        for goal in &goals {
            assert_eq!(streaming.scores(goal).unwrap().len(), goal.targets().len());
        }
    }
}

#[test]
fn streaming_equals_retained() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        check(&fixture, &model, &sequence, SweepOptions::default());
    }
}
