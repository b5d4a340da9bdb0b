//! Occlusion by cells against whole forward passes without the cell, and against what it is for small changes.

use crate::explainer::{answer, load, options, published, question};
use crate::support::{answered, model, with_methods};
use attention_capture::{
    Error, Foil, Goal, Keep, Method, Objective, Occluder, Rules, States, Streaming, SweepOptions,
    Unavailable, branch_targets,
};
use attention_relevancy::{Occlusion, Target, Update};
use gemma3_tch::{Attend, DecoderTrace, Fast, Gemma3, MaskRule, Qkv, Sequence, Site, Watch};
use integration_tests::Fixture;
use medgemma_explainer::{
    Ask, Compared, Context, DtypeSpec, Engine, ErrorKind, ExplainOptions, Explainer, LoadOptions,
    ModelSource, Profile, Question,
};
use ndarray::Array1;
use std::cell::Cell;
use std::ops::ControlFlow;
use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use tch::{Kind, Tensor};

/// Both go through float32 in blocks of another shape; what is compared are differences of scalars, relative to the largest of a row.
const TOLERANCE: f64 = 2e-4;

fn target(sequence: &Sequence, position: usize) -> Target {
    Target::new(position, sequence.ids()[position]).unwrap()
}

/// Some tokens of the answer one by one, and together.
fn goals(fixture: &Fixture, sequence: &Sequence) -> Vec<Goal> {
    let targets: Vec<Target> =
        fixture.numbers("targets").into_iter().map(|at| target(sequence, at)).collect();
    targets.iter().map(|&target| Goal::token(target)).chain(Goal::sum(targets.clone())).collect()
}

/// The attention of every row from `from` on without some keys, from two whole attentions.
struct Blinded<'a> {
    cells: &'a [usize],
    from: usize,
}

impl Attend for Blinded<'_> {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let hidden = self.cells.iter().map(|&cell| cell..cell + 1).collect();
        let hidden = mask.clone().hiding(hidden);
        let [seeing, blind] = [mask, &hidden].map(|mask| Fast.attend(site, qkv, mask));
        let (from, n) = (self.from as i64, qkv.tokens() as i64);
        Tensor::cat(&[seeing.narrow(1, 0, from), blind.narrow(1, from, n - from)], 1)
    }
}

impl Watch<DecoderTrace> for Blinded<'_> {}

/// The features of the pictures with their means in the place of cells.
fn features(sequence: &Sequence, cells: &[usize]) -> Vec<Tensor> {
    let change = |(span, features): (&Range<usize>, &Tensor)| {
        let changed = features.copy();
        for cell in cells.iter().filter(|cell| span.contains(cell)) {
            let mean = features.mean_dim([0_i64].as_slice(), false, Kind::Float);
            changed.get((cell - span.start) as i64).copy_(&mean);
        }
        changed
    };
    sequence.images().iter().zip(sequence.features()).map(change).collect()
}

/// What is known of how each target of a goal counts: its sign and its foil.
struct Counted<'a> {
    goal: &'a Goal,
    signs: Vec<f64>,
    foils: Vec<u32>,
}

impl<'a> Counted<'a> {
    fn new(model: &Gemma3, goal: &'a Goal, supported: usize, whole: &Tensor) -> Self {
        let best = |target: &Target| {
            let logits = model.text().logits(&whole.get(target.logit_row() as i64).unsqueeze(0));
            let own = Tensor::from_slice(&[i64::from(target.token())]).unsqueeze(0);
            let others = logits.scatter_value(1, &own, f64::NEG_INFINITY);
            others.argmax(-1, false).int64_value(&[0]) as u32
        };
        let foils = goal.targets().iter().map(best).collect();
        let sign = |index| if index < supported { 1.0 } else { -1.0 };
        Self { goal, signs: (0..goal.targets().len()).map(sign).collect(), foils }
    }

    /// The mean of the objective over the targets, from the last layer's output `[S, D]`.
    fn scalar(&self, model: &Gemma3, objective: Objective, output: &Tensor) -> f64 {
        let of = |((target, sign), &foil): ((&Target, &f64), &u32)| {
            let logits = model.text().logits(&output.get(target.logit_row() as i64).unsqueeze(0));
            let logits = logits.to_kind(Kind::Double);
            let own = [0, i64::from(target.token())];
            let log_probability = logits.log_softmax(-1, Kind::Double).double_value(&own);
            sign * match objective {
                Objective::Logit => logits.double_value(&own),
                Objective::LogProbability => log_probability,
                Objective::LogOdds => log_probability - (-log_probability.exp()).ln_1p(),
                Objective::Contrast(_) => {
                    logits.double_value(&own) - logits.double_value(&[0, i64::from(foil)])
                }
            }
        };
        let targets = self.goal.targets().iter().zip(&self.signs).zip(&self.foils);
        targets.map(of).sum::<f64>() / self.goal.targets().len() as f64
    }
}

/// What a sequence becomes without each cell of its pictures, by forward passes of its own over all tokens: outputs `[S, D]` of the last layer.
struct Whole {
    output: Tensor,
    without: Vec<(usize, Tensor)>,
    tokens: usize,
}

/// The last layer's output `[S, D]` without some cells, by a pass over all tokens.
fn without_cells(
    model: &Gemma3,
    sequence: &Sequence,
    occlusion: Occlusion,
    cells: &[usize],
) -> Tensor {
    let embeddings = model.embed(sequence);
    let run = |embeddings: &Tensor, watch: &mut dyn Watch<DecoderTrace>| {
        model.text().forward(embeddings, 0, sequence.layout(), watch)
    };
    match occlusion {
        Occlusion::MeanEmbedding => {
            let changed = embeddings.copy();
            for (span, features) in sequence.images().iter().zip(features(sequence, cells)) {
                changed.narrow(0, span.start as i64, span.len() as i64).copy_(&features);
            }
            run(&changed, &mut Fast)
        }
        Occlusion::Knockout => {
            let from = sequence.images().last().unwrap().end;
            run(&embeddings, &mut Blinded { cells, from })
        }
    }
}

impl Whole {
    fn run(model: &Gemma3, sequence: &Sequence, occlusion: Occlusion) -> Self {
        let without = |cell: usize| without_cells(model, sequence, occlusion, &[cell]);
        let cells = sequence.images().iter().cloned().flatten();
        Self {
            output: without_cells(model, sequence, occlusion, &[]),
            without: cells.map(|cell| (cell, without(cell))).collect(),
            tokens: sequence.ids().len(),
        }
    }

    /// The drop of a goal, the first `supported` targets of which count for it.
    fn drop(
        &self,
        model: &Gemma3,
        goal: &Goal,
        (supported, objective): (usize, Objective),
    ) -> Array1<f64> {
        let counted = Counted::new(model, goal, supported, &self.output);
        let whole = counted.scalar(model, objective, &self.output);
        let mut row = Array1::zeros(self.tokens);
        for (cell, output) in &self.without {
            row[*cell] = whole - counted.scalar(model, objective, output);
        }
        row
    }
}

fn assert_near(what: &str, found: &Array1<f32>, expected: &Array1<f64>) {
    let largest = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    let apart = found.iter().zip(expected).map(|(&x, y)| (f64::from(x) - y).abs());
    let apart = apart.fold(0.0, f64::max);
    assert!(apart <= TOLERANCE * largest, "{what}: {apart:.1e} of {largest:.1e}");
}

/// Sets of cells, of one picture and of both, none and all, against passes over all tokens; a single cell is what its drop says.
#[test]
fn sets_of_cells_are_what_whole_runs_without_them_say() {
    for name in ["short-window", "two-images"] {
        let fixture = Fixture::open(name);
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let targets: Vec<Target> =
            fixture.numbers("targets").into_iter().map(|at| target(&sequence, at)).collect();
        let cells: Vec<usize> = sequence.images().iter().cloned().flatten().collect();
        let every = |n: usize| cells.iter().copied().step_by(n).collect::<Vec<usize>>();
        let backwards: Vec<usize> = every(3).into_iter().rev().collect();
        let sets = vec![Vec::new(), vec![cells[1]], every(2), backwards, cells.clone()];
        for occlusion in Occlusion::ALL {
            let occluder = occluder(&model, &sequence);
            let mut heard = Vec::new();
            let progress = &mut |done: usize, of: usize| heard.push((done, of));
            let found = occluder.log_probabilities(&targets, &sets, occlusion, progress).unwrap();
            assert_eq!(heard.last(), Some(&(5, 5)));
            assert!(heard.windows(2).all(|pair| pair[0].0 < pair[1].0), "{heard:?}");
            let mut moved = 0.0_f64;
            for (set, row) in sets.iter().zip(found.rows()) {
                let output = without_cells(&model, &sequence, occlusion, set);
                for ((target, &value), &whole) in targets.iter().zip(row).zip(found.row(0)) {
                    let goal = Goal::token(*target);
                    let counted = Counted::new(&model, &goal, 1, &output);
                    let expected = counted.scalar(&model, Objective::LogProbability, &output);
                    let what = format!("{name}, {occlusion}, {} cells", set.len());
                    assert!((value - expected).abs() < 2e-5, "{what}: {value} and {expected}");
                    moved = moved.max((value - whole).abs());
                }
            }
            assert!(moved > 1e-2, "{name}, {occlusion}: {moved}");
            let refused = |targets: &[Target], set: Vec<usize>| {
                let progress = &mut |_, _| {};
                occluder.log_probabilities(targets, &[set], occlusion, progress).unwrap_err()
            };
            let last = sequence.ids().len() - 1;
            let no_cell = refused(&targets, vec![cells[0], last]);
            assert!(matches!(no_cell, Error::NoCell { position } if position == last));
            let early = target(&sequence, cells[0]);
            assert!(matches!(refused(&[early], vec![cells[0]]), Error::Target { .. }));
            let nothing = occluder.log_probabilities(&[], &sets, occlusion, &mut |_, _| {});
            assert_eq!(nothing.unwrap().dim(), (5, 0));
        }
    }
}

fn occluder<'a>(model: &'a Gemma3, sequence: &'a Sequence) -> Occluder<'a> {
    Occluder::new(model, sequence, SweepOptions::default())
}

#[test]
fn a_drop_is_that_of_a_whole_run_without_the_cell() {
    let contrast = Objective::Contrast(Foil::RunnerUp);
    for (name, objectives) in [
        ("two-images", vec![Objective::LogProbability, contrast]),
        ("short-window", vec![Objective::Logit, Objective::LogOdds]),
    ] {
        let fixture = Fixture::open(name);
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let _no_grad = tch::no_grad_guard();
        let goals = goals(&fixture, &sequence);
        for occlusion in Occlusion::ALL {
            let whole = Whole::run(&model, &sequence, occlusion);
            for &objective in &objectives {
                let steps = Cell::new(0);
                let mut progress = |done: usize, total: usize| {
                    assert!(done == steps.get() + 1 && done <= total);
                    steps.set(done);
                };
                let rows = occluder(&model, &sequence);
                let rows = rows.rows(&goals, objective, occlusion, &mut progress).unwrap();
                assert_eq!(steps.get(), whole.without.len());
                for (goal, row) in goals.iter().zip(rows) {
                    let expected = whole.drop(&model, goal, (goal.targets().len(), objective));
                    let what = format!("{name}, {occlusion}, {objective}, {:?}", goal.targets());
                    assert_near(&what, &row.unwrap(), &expected);
                    assert!(expected.iter().any(|&drop| drop < 0.0), "{what}: it has signs");
                }
            }
        }
    }
}

/// Two phrases behind one prefix: the passes run both branches.
#[test]
fn a_sequence_that_forks_loses_what_a_whole_run_of_it_loses() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let whole = answered(&fixture, &model);
    let _no_grad = tch::no_grad_guard();
    let at = fixture.number("input_len") + 2;
    let (phrase, against) = (&whole.ids()[at..at + 3], [11, 12]);
    let sequence = whole.forked(at, [phrase, &against]).unwrap();
    let [phrase, against] = branch_targets(&sequence).unwrap();
    let supported = phrase.len();
    let goal = Goal::contrast(phrase, against).unwrap();
    for occlusion in Occlusion::ALL {
        let objective = Objective::LogProbability;
        let goals = std::slice::from_ref(&goal);
        let mut rows =
            occluder(&model, &sequence).rows(goals, objective, occlusion, &mut |_, _| {}).unwrap();
        let whole = Whole::run(&model, &sequence, occlusion);
        let expected = whole.drop(&model, &goal, (supported, objective));
        assert_near(&occlusion.to_string(), &rows.remove(0).unwrap(), &expected);
    }
}

/// Cells that differ little from their mean lose what the gradient says.
#[test]
fn the_drop_of_a_small_change_is_that_of_mean_cell() {
    const STEP: f64 = 0.03;
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let nearer = |features: &Tensor| {
        let mean = features.mean_dim([0_i64].as_slice(), true, Kind::Float);
        &mean + (features - &mean) * STEP
    };
    let features = sequence.features().iter().map(nearer).collect();
    let (ids, images) = (sequence.ids().to_vec(), sequence.images().to_vec());
    let sequence = model.sequence(ids, images, features).unwrap();
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
    let (goals, objective) = (goals(&fixture, &sequence), Objective::LogProbability);
    let rules = Rules::new(objective, Update::Additive);
    let expected = with_methods(&engine, &goals, &rules, &[Method::MeanCell]).unwrap();
    let found = occluder(&model, &sequence);
    let found = found.rows(&goals, objective, Occlusion::MeanEmbedding, &mut |_, _| {}).unwrap();
    for (found, (_, mut expected)) in found.into_iter().zip(expected) {
        let (found, expected) = (found.unwrap(), expected.remove(0).unwrap());
        let largest = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let apart = (&found - &expected).iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        assert!(apart < 0.05 * largest, "{apart:.1e} of {largest:.1e}");
    }
}

#[test]
fn what_cannot_be_had_is_told() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let last = sequence.ids().len() - 1;
    let goals = [Goal::token(target(&sequence, 2)), Goal::token(target(&sequence, last))];
    let rows = |goals: &[Goal], options: SweepOptions, occlusion| {
        Occluder::new(&model, &sequence, options).rows(
            goals,
            Objective::Logit,
            occlusion,
            &mut |_, _| {},
        )
    };
    for occlusion in Occlusion::ALL {
        let found = rows(&goals, SweepOptions::default(), occlusion).unwrap();
        assert_eq!(found[0], Err(Unavailable::NoImage));
        assert!(found[1].as_ref().unwrap().iter().any(|&drop| drop != 0.0));
        let options = SweepOptions { memory_budget: 0, cancel: None };
        let Err(Error::Budget { smallest, .. }) = rows(&goals, options, occlusion) else {
            panic!("a budget of 0 bytes was accepted")
        };
        let options = SweepOptions { memory_budget: smallest, cancel: None };
        assert_eq!(rows(&goals, options, occlusion).unwrap(), found);
        let cancel = Some(Arc::new(AtomicBool::new(true)));
        let options = SweepOptions { cancel, ..SweepOptions::default() };
        let error = rows(&goals, options, occlusion).unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error}");
    }
    let foreign = [Goal::token(Target::new(last, 0).unwrap())];
    let error = rows(&foreign, SweepOptions::default(), Occlusion::Knockout).unwrap_err();
    assert!(matches!(error, Error::Target { .. }), "{error}");
}

/// At the facade it is a method beside the others, from either engine, and its progress is that of cells.
#[test]
fn it_stands_beside_the_relevancy() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let compared: Vec<Compared> = Occlusion::ALL.into_iter().map(Compared::Occlusion).collect();
    assert!(compared.iter().all(Compared::is_signed));
    let asked = published().with_methods(compared);
    let steps = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&steps);
    let context = Context::default()
        .with_progress(Some(Arc::new(move |done, all| seen.lock().unwrap().push((done, all)))));
    let request = explainer.within(&context);
    let start = fixture.number("input_len");
    let asks = [Ask::Tokens(start..start + 2), Ask::Position(start), Ask::Position(start + 1)];
    let found = request.explain(&answer, &asks, &asked).unwrap();
    let row = |target: usize, method: usize| found.targets[target].methods()[method].clone();
    for method in 0..2 {
        // A span has the mean of its tokens' drops.
        let [both, one, other] = [0, 1, 2].map(|target| row(target, method).unwrap());
        let largest = both.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
        let apart = ((one + other) / 2.0 - &both).mapv(f32::abs);
        assert!(0.0 < largest && apart.iter().all(|apart| *apart < 1e-5 * largest), "{apart}");
    }
    let cells: u64 = answer.prepared().images.iter().map(|image| image.span.len() as u64).sum();
    assert_eq!(steps.lock().unwrap().iter().filter(|step| **step == (cells, cells)).count(), 2);
    let retained = asked.with_engine(Engine::Retained);
    let retained = explainer.explain(&answer, &asks, &retained).unwrap();
    for (found, other) in found.targets.iter().zip(&retained.targets) {
        assert_eq!(found.methods(), other.methods());
    }
}

#[test]
fn without_a_picture_or_by_other_rules_it_is_refused_before_the_model_runs() {
    let fixture = Fixture::open("old-names");
    let asked = |occlusion| published().with_methods(vec![Compared::Occlusion(occlusion)]);
    let explainer = load(&fixture, DtypeSpec::Float32);
    let text = Question::new(Vec::new(), fixture.text("prompt"));
    let mut go_on = |_: &str| ControlFlow::Continue(());
    let answer = explainer.answer(text.clone(), &options(&fixture), &mut go_on).unwrap();
    for options in Occlusion::ALL.map(asked) {
        for error in [
            explainer.check(&text, &[Ask::Last], &options).unwrap_err(),
            explainer.explain(&answer, &[Ask::Last], &options).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Question);
            assert!(error.to_string().contains("occlusion-"), "{error}");
        }
    }
    let reproduced = LoadOptions::default().with_profile(Profile::PythonProgram);
    let source = ModelSource::Directory(fixture.model());
    let reproduced = Explainer::load(&source, &reproduced).unwrap();
    let options = ExplainOptions::python_program()
        .with_methods(vec![Compared::Occlusion(Occlusion::Knockout)]);
    let error = reproduced.check(&question(&fixture), &[Ask::Last], &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
}
