//! The retained engine against autograd in PyTorch, and the mistakes that must not pass for right.

use crate::support::{answered, matrix, model};
use attention_capture::{Engine, Goal, Objective, Retained, Rules};
use attention_relevancy::{Target, Update};
use gemma3_tch::{Gemma3, Sequence};
use integration_tests::{Fixture, Tolerance, assert_close, assert_row_close, row_difference};
use ndarray::{Array1, Axis, Ix1, Ix2};
use tch::{Kind, Tensor};

/// A checkpoint run over prompt and reference answer.
struct Case {
    fixture: Fixture,
    model: Gemma3,
    sequence: Sequence,
}

impl Case {
    fn all() -> Vec<Self> {
        Fixture::all().into_iter().map(Self::new).collect()
    }

    fn new(fixture: Fixture) -> Self {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        Self { fixture, model, sequence }
    }

    fn run(&self) -> Retained<'_> {
        Retained::run(&self.model, &self.sequence).unwrap()
    }

    fn target(&self, position: usize) -> Target {
        Target::new(position, self.sequence.ids()[position]).unwrap()
    }

    fn targets(&self) -> Vec<Target> {
        self.fixture.numbers("targets").into_iter().map(|position| self.target(position)).collect()
    }

    /// Compares one row a target with a reference array `[T, S]`.
    fn compare(&self, what: &str, row: impl Fn(&Goal) -> Array1<f32>) {
        let expected = self.fixture.array::<Ix2>(what);
        for (target, expected) in self.targets().into_iter().zip(expected.axis_iter(Axis(0))) {
            let name = format!("{}: {what} of {}", self.fixture.name(), target.position());
            assert_row_close(&name, row(&Goal::token(target)).view(), expected, target.logit_row());
        }
    }

    fn relevancy(&self, goal: &Goal, objective: Objective, update: Update) -> Array1<f32> {
        self.run().explain_one(goal, &Rules::new(objective, update)).unwrap().relevancy
    }
}

#[test]
fn attention_agrees() {
    for case in Case::all() {
        let run = case.run();
        let maps = run.attention();
        let sums: Vec<Tensor> = maps
            .iter()
            .map(|map| map.sum_dim_intlist(-1, false, Kind::Float).mean_dim(0, false, Kind::Float))
            .collect();
        let name = case.fixture.name();
        let expected = case.fixture.array::<Ix2>("attention_row_sums");
        assert_close(
            &format!("{name}: row sums"),
            &matrix(&Tensor::stack(&sums, 0)),
            &expected,
            Tolerance::Rounding,
        );
        let last = matrix(&maps[maps.len() - 1].mean_dim(0, false, Kind::Float));
        let expected = case.fixture.array::<Ix2>("attention_last_mean");
        assert_close(&format!("{name}: last layer"), &last, &expected, Tolerance::Rounding);
    }
}

#[test]
fn relevancy_and_baselines_agree() {
    for case in Case::all() {
        case.compare("relevancy", |goal| case.relevancy(goal, Objective::Logit, Update::Additive));
        case.compare("relevancy_normalized", |goal| {
            case.relevancy(goal, Objective::Logit, Update::Stochastic)
        });
        case.compare("relevancy_log_probability", |goal| {
            case.relevancy(goal, Objective::LogProbability, Update::Additive)
        });
        let plain = |goal: &Goal| {
            case.run().explain_one(goal, &Rules::new(Objective::Logit, Update::Additive)).unwrap()
        };
        case.compare("raw_attention", |goal| plain(goal).raw_attention);
        case.compare("rollout", |goal| plain(goal).rollout);
    }
}

#[test]
fn scores_agree() {
    for case in Case::all() {
        let goal = Goal::sum(case.targets()).unwrap();
        let scores = case.run().scores(goal.targets()).unwrap();
        let logits: Array1<f32> = scores.iter().map(|score| score.logit).collect();
        let log_probabilities: Array1<f32> =
            scores.iter().map(|score| score.log_probability).collect();
        let expected = |name| case.fixture.array::<Ix1>(name);
        assert_close("logits", &logits, &expected("target_logit"), Tolerance::Rounding);
        assert_close(
            "log-probabilities",
            &log_probabilities,
            &expected("target_log_probability"),
            Tolerance::Rounding,
        );
    }
}

#[test]
fn spans_agree() {
    for case in Case::all() {
        let answer = case.fixture.number("input_len")..case.fixture.number("seq_len");
        let targets: Vec<Target> = answer.map(|position| case.target(position)).collect();
        // The predicting rows hold self terms: they are left out of the comparison.
        let without_self = |mut row: Array1<f64>| {
            for target in &targets {
                row[target.logit_row()] = 0.0;
            }
            row
        };
        let check = |what: &str, found: Array1<f32>| {
            let found = without_self(found.mapv(f64::from)).mapv(|x| x as f32);
            let expected = without_self(case.fixture.array::<Ix1>(what));
            assert_close(
                &format!("{}: {what}", case.fixture.name()),
                &found,
                &expected,
                Tolerance::Rounding,
            );
        };
        let whole = Goal::sum(targets.clone()).unwrap();
        check("span_relevancy", case.relevancy(&whole, Objective::Logit, Update::Additive));
        let rows = targets.iter().map(|&target| {
            case.relevancy(&Goal::token(target), Objective::Logit, Update::Additive)
        });
        let sum = rows.reduce(|sum, row| sum + row).unwrap();
        check("span_relevancy_mean", sum / targets.len() as f32);
    }
}

/// How far the last target's explanation is from what a mistake gives.
fn distance_to(case: &Case, mistake: &str, pick: impl Fn(&Fixture) -> Array1<f64>) -> f64 {
    let target = *case.targets().last().unwrap();
    let row = case.relevancy(&Goal::token(target), Objective::Logit, Update::Additive);
    let distance = row_difference(row.view(), pick(&case.fixture).view(), target.logit_row());
    assert!(distance.is_finite(), "{mistake}");
    distance
}

#[test]
fn a_mistake_would_be_caught() {
    // The comparisons above allow 2e-5; these mistakes are at least 500 times farther away.
    const FAR: f64 = 1e-2;
    for case in Case::all() {
        let last = case.fixture.numbers("targets").len() - 1;
        let mut mistakes = vec!["relevancy_causal_image_last_target"];
        match case.fixture.name() {
            "two-images" => mistakes.push("relevancy_joined_images_last_target"),
            "short-window" => mistakes.push("relevancy_window_or_image_last_target"),
            _ => {}
        }
        for mistake in mistakes {
            assert!(
                FAR < distance_to(&case, mistake, |fixture| fixture.array::<Ix1>(mistake)),
                "{mistake}"
            );
        }
        let off_by_one = |fixture: &Fixture| {
            fixture.array::<Ix2>("relevancy_off_by_one").index_axis(Axis(0), last).to_owned()
        };
        assert!(FAR < distance_to(&case, "off by one", off_by_one));
        let doubled = |fixture: &Fixture| {
            let row = fixture.array::<Ix1>("relevancy_double_bos_last_target");
            row.slice(ndarray::s![1..]).to_owned()
        };
        assert!(FAR < distance_to(&case, "doubled <bos>", doubled));
    }
}

#[test]
fn a_target_that_does_not_stand_there_is_an_error() {
    let case = Case::new(Fixture::open("two-images"));
    let wrong = Goal::token(Target::new(110, 7).unwrap());
    let error = case
        .run()
        .explain_one(&wrong, &Rules::new(Objective::Logit, Update::Additive))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "target token 7 at position 110 does not stand in the sequence of 115 tokens"
    );
    let past = Goal::token(Target::new(5000, 7).unwrap());
    assert!(case.run().scores(past.targets()).is_err());
}
