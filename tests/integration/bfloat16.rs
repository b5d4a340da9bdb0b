//! The default path, the streaming engine over products in bfloat16: methods, occlusions and the relevancy without some tokens stay near what
//! they are in float32, and nearer than plausible mistakes are. That float32 is right is held elsewhere: methods.rs, occlusion.rs, sinks.rs.

use crate::support::{answered, answered_rounded, model, with_methods};
use attention_capture::{
    Engine, Foil, Goal, Keep, Layers, Method, Objective, Occluder, Rules, States, Streaming,
    SweepOptions, alternatives,
};
use attention_relevancy::{HeadFusion, Occlusion, Target, Update};
use gemma3_tch::{Gemma3, Placement, Sequence};
use integration_tests::{Fixture, difference};
use ndarray::{Array1, s};
use tch::Kind;

/// The same answer in two types.
struct Both {
    fixture: Fixture,
    float32: (Gemma3, Sequence),
    bfloat16: (Gemma3, Sequence),
}

impl Both {
    fn open(name: &str) -> Self {
        let fixture = Fixture::open(name);
        let placement = Placement { kind: Some(Kind::BFloat16), ..Placement::AS_STORED };
        let narrow = Gemma3::load(&fixture.model(), placement).unwrap();
        let with_answer = |model: Gemma3| {
            let sequence = answered(&fixture, &model); // the same tokens
            (model, sequence)
        };
        let (float32, bfloat16) = (with_answer(model(&fixture)), with_answer(narrow));
        Self { fixture, float32, bfloat16 }
    }

    /// The tokens that the reference has methods of, and for each the token before: what is explained a row too early.
    fn goals(&self) -> Vec<[Goal; 2]> {
        let ids = self.float32.1.ids();
        let goal = |at: usize| Goal::token(Target::new(at, ids[at]).unwrap());
        let positions = self.fixture.ids("positions");
        positions.into_iter().map(|at| [goal(at as usize), goal(at as usize - 1)]).collect()
    }
}

fn position(goal: &Goal) -> usize {
    goal.targets()[0].position()
}

/// What the streaming engine makes of a run.
fn swept<T>(
    (model, sequence): &(Gemma3, Sequence),
    explain: impl FnOnce(&Streaming<'_>) -> T,
) -> T {
    let states = States::of(model, sequence, Keep::Everything).unwrap();
    explain(&Streaming::new(model, sequence.ids(), &states, SweepOptions::default()))
}

/// Rows of one method.
fn rows(run: &(Gemma3, Sequence), goals: &[Goal], method: &Method) -> Vec<Array1<f32>> {
    let rules = Rules::new(Objective::Logit, Update::Additive);
    let methods = std::slice::from_ref(method);
    let found = swept(run, |engine| with_methods(engine, goals, &rules, methods).unwrap());
    found.into_iter().map(|(_, mut rows)| rows.remove(0).unwrap()).collect()
}

/// By how much of the limit a mistake must be farther away.
const APART: f64 = 1.5;

/// The row in bfloat16 is within `limit` of that in float32, relative to the largest entry of the latter, and each mistake, made in float32,
/// is well beyond it.
fn assert_near_and_right(
    what: &str,
    limit: f64,
    [found, expected]: [&Array1<f32>; 2],
    mistakes: &[(&str, &Array1<f32>)],
) {
    let expected = expected.mapv(f64::from);
    let distance = difference(found, &expected);
    assert!(distance <= limit, "{what}: {distance:.3} apart");
    assert!(0.0 < distance, "{what}: the types are the same");
    for (mistake, row) in mistakes {
        let distance = difference(*row, &expected);
        assert!(APART * limit <= distance, "{what}, {mistake}: only {distance:.3} apart");
    }
}

/// Found: value-norm to 0.019, LeGrad to 0.009, DEX-AR to 0.034, whose filter is a difference of two numbers. The nearest mistake is 0.25, 0.19
/// and 0.14 away: a layer less; a row too early is at least 0.56.
#[test]
fn rows_of_methods_are_near_those_in_float32() {
    let both = Both::open("two-images");
    let n = both.float32.0.text().layers().len();
    let heads = HeadFusion::Mean;
    let value_norm = |layers| Method::ValueNorm { heads, layers };
    let legrad = |layers| Method::LeGrad { heads, layers };
    let dex_ar = |layers| Method::DexAr { layers };
    let methods: [(&dyn Fn(Layers) -> Method, f64); 3] =
        [(&value_norm, 0.04), (&legrad, 0.02), (&dex_ar, 0.06)];
    for goals in both.goals() {
        for (method, limit) in methods {
            let all = method(Layers::All);
            let wide = rows(&both.float32, &goals, &all);
            let found = rows(&both.bfloat16, &goals[..1], &all).remove(0);
            let [no_first, no_last] = [1..n, 0..n - 1].map(|layers| {
                rows(&both.float32, &goals[..1], &method(Layers::Range(layers))).remove(0)
            });
            let mistakes = [
                ("a row too early", &wide[1]),
                ("without the first layer", &no_first),
                ("without the last layer", &no_last),
            ];
            let what = format!("{all}, {}", position(&goals[0]));
            assert_near_and_right(&what, limit, [&found, &wide[0]], &mistakes);
        }
    }
}

/// Found: to 0.016. With the tokens in it is 1.4 away, a row too early 0.5. Taken out of the finished row alone, so that they pass on what came
/// through them, it is 0.001 away: in this random model that is below the rounding, and held in float32.
#[test]
fn relevancy_without_tokens_is_near_that_in_float32() {
    let both = Both::open("layout");
    // The text of the prompt behind the picture.
    let behind = both.float32.1.images().last().unwrap().end;
    let removed: Vec<usize> = (behind..both.fixture.number("input_len")).collect();
    for [goal, before] in both.goals() {
        let selves = [&goal, &before].map(|goal| goal.targets()[0].logit_row());
        let row = |run, goal: &Goal, removed: &[usize]| {
            let removed = removed.to_vec();
            let rules = Rules { removed, ..Rules::new(Objective::Logit, Update::Additive) };
            let found = swept(run, |engine| engine.explain_one(goal, &rules).unwrap());
            let mut row = found.relevancy;
            for at in selves {
                row[at] = 0.0;
            }
            row
        };
        let found = row(&both.bfloat16, &goal, &removed);
        let expected = row(&both.float32, &goal, &removed);
        let mistakes = [
            ("with these tokens", &row(&both.float32, &goal, &[])),
            ("a row too early", &row(&both.float32, &before, &removed)),
        ];
        let what = format!("without tokens, {}", position(&goal));
        assert_near_and_right(&what, 0.04, [&found, &expected], &mistakes);
        assert!(removed.iter().all(|&at| found[at] == 0.0));
    }
}

/// Against the alternatives that each type finds, at the picture and at half of its contrast. Found: to 0.095; against the runner-up it is at
/// least 0.37 away, a row too early 0.95.
#[test]
fn relevancy_against_the_alternatives_is_near_that_in_float32() {
    let both = Both::open("two-images");
    for [goal, before] in both.goals() {
        for share in [1.0, 0.5] {
            let row = |(model, sequence): &(Gemma3, Sequence), goal: &Goal, foil: Foil| {
                let found = alternatives(model, sequence, goal.targets(), None).unwrap();
                let goal = match foil {
                    Foil::Alternatives => goal.clone().with_foils(found),
                    _ => goal.clone(),
                };
                let faded = sequence.faded(share);
                let states = States::of(model, &faded, Keep::Everything).unwrap();
                let options = SweepOptions::default();
                let engine = Streaming::new(model, faded.ids(), &states, options);
                let rules = Rules::new(Objective::Contrast(foil), Update::Additive);
                let mut row = engine.explain_one(&goal, &rules).unwrap().relevancy;
                row[goal.targets()[0].logit_row()] = 0.0;
                row
            };
            let found = row(&both.bfloat16, &goal, Foil::Alternatives);
            let expected = row(&both.float32, &goal, Foil::Alternatives);
            let mistakes = [
                ("against the runner-up", &row(&both.float32, &goal, Foil::RunnerUp)),
                ("a row too early", &row(&both.float32, &before, Foil::Alternatives)),
            ];
            let what = format!("alternatives at {share}, {}", position(&goal));
            assert_near_and_right(&what, 0.12, [&found, &expected], &mistakes);
        }
    }
}

/// A drop is a difference of two logits, each as coarse as its type: of one run they are 0.11 to 0.32 of the largest drop away, as the features
/// are rounded. The mean of eight runs, whose features are rounded otherwise each time, is 0.06 to 0.13 away. The other occlusion is at
/// least 0.43 away, a row or a cell too early more. (With two-images drops are as small as the rounding, and nothing could be held.)
#[test]
fn drops_without_cells_are_near_those_in_float32() {
    let both = Both::open("old-names");
    let goals: Vec<Goal> = both.goals().into_iter().flatten().collect();
    let drops = |model: &Gemma3, sequence: &Sequence, goals: &[Goal]| {
        Occlusion::ALL.map(|occlusion| {
            let rows = Occluder::new(model, sequence, SweepOptions::default());
            let rows = rows.rows(goals, Objective::Logit, occlusion, &mut |_, _| {}).unwrap();
            rows.into_iter().map(Result::unwrap).collect::<Vec<_>>()
        })
    };
    let wide = drops(&both.float32.0, &both.float32.1, &goals);
    let right: Vec<Goal> = goals.iter().step_by(2).cloned().collect();
    let runs = (0..RUNS).map(|seed| {
        let model = &both.bfloat16.0;
        drops(model, &answered_rounded(&both.fixture, model, seed), &right)
    });
    let sum = |sum: [Vec<Array1<f32>>; 2], run: [Vec<Array1<f32>>; 2]| {
        [0, 1].map(|of| sum[of].iter().zip(&run[of]).map(|(sum, row)| sum + row).collect())
    };
    let narrow =
        runs.reduce(sum).unwrap().map(|rows| rows.into_iter().map(|row| row / RUNS as f32));
    let image = both.float32.1.images()[0].clone();
    for ((narrow, wide), other) in narrow.into_iter().zip(&wide).zip([&wide[1], &wide[0]]) {
        for (index, found) in narrow.enumerate() {
            let at = 2 * index;
            let expected = &wide[at];
            let mut shifted = expected.clone();
            shifted
                .slice_mut(s![image.start..image.end - 1])
                .assign(&expected.slice(s![image.start + 1..image.end]));
            let mistakes = [
                ("a row too early", &wide[at + 1]),
                ("a cell too early", &shifted),
                ("the other occlusion", &other[at]),
            ];
            let what = format!("drops, {}", position(&goals[at]));
            assert_near_and_right(&what, 0.2, [&found, expected], &mistakes);
        }
    }
}

/// Runs with features that are rounded differently.
const RUNS: i64 = 8;
