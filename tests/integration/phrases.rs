//! One phrase against another: a sequence with two branches behind one prefix, against each branch alone.

use crate::explainer::{answer, load, published};
use crate::support::{answered, keyword, matrix, model, one, with_methods};
use attention_capture::{
    Attribution, Engine, Error, Folding, Goal, HeadWeights, Keep, Layers, Method, MethodRow,
    Objective, Pool, Retained, Rules, States, Streaming, SweepOptions, branch_targets,
};
use attention_relevancy::{HeadFusion, Target, Update};
use gemma3_tch::{Cached, Fast, Fork, Gemma3, GenerationOptions, Sequence};
use integration_tests::{Fixture, Tolerance, assert_close, difference};
use medgemma_explainer::{Ask, DtypeSpec};
use ndarray::{Array1, s};
use std::ops::ControlFlow;
use tch::Tensor;

/// The same numbers, in another order of operations.
const TOLERANCE: f64 = 1e-5;

/// Two phrases behind the beginning of the reference's answer, packed, and each of them alone.
struct Phrases {
    prefix: usize,
    packed: Sequence,
    alone: [Sequence; 2],
}

impl Phrases {
    fn new(fixture: &Fixture, model: &Gemma3) -> Self {
        let sequence = answered(fixture, model);
        let (prefix, ids) = (fixture.number("input_len") + 2, sequence.ids());
        // The second is longer than the window: its last tokens see nothing of the prefix in a sliding layer.
        let window = model.config().text.sliding_window;
        assert!(window < prefix, "{}", fixture.name());
        // Its first token is another: where they begin alike nothing is left at the row that chose it, and dividing by the sum of
        // that row, as the stochastic update does, would compare roundings.
        let other = (0..prefix).rev().map(|at| ids[at]).find(|&id| id != ids[prefix]).unwrap();
        let some: Vec<u32> = std::iter::once(other)
            .chain((0..window + 2).map(|n| ids[prefix - 1 - n % 7]))
            .collect();
        let phrases = [&ids[prefix..prefix + 3], &some];
        let alone = |phrase: &[u32]| {
            let features = sequence.features().iter().map(Tensor::shallow_clone).collect();
            let ids = [&ids[..prefix], phrase].concat();
            model.sequence(ids, sequence.images().to_vec(), features).unwrap()
        };
        let packed = sequence.forked(prefix, phrases).unwrap();
        Self { prefix, packed, alone: phrases.map(alone) }
    }

    /// Where each branch stands in the packed sequence.
    fn branches(&self) -> [std::ops::Range<usize>; 2] {
        let Fork { at, second } = self.packed.fork().unwrap();
        [at..second, second..self.packed.ids().len()]
    }

    /// The targets of each phrase alone.
    fn targets_alone(&self) -> [Vec<Target>; 2] {
        self.alone.each_ref().map(|sequence| {
            let target = |at: usize| Target::new(at, sequence.ids()[at]).unwrap();
            (self.prefix..sequence.ids().len()).map(target).collect()
        })
    }

    /// Each phrase for itself, and one against the other.
    fn goals(&self) -> Vec<Goal> {
        let [phrase, against] = branch_targets(&self.packed).unwrap();
        let both = Goal::contrast(phrase.clone(), against.clone());
        [Goal::sum(phrase), Goal::sum(against), both].map(Option::unwrap).into()
    }
}

/// Without the self terms, which would hide the rest.
fn without_self(goal: &Goal, row: &Array1<f32>) -> Array1<f32> {
    let mut row = row.clone();
    goal.targets().iter().for_each(|target| row[target.logit_row()] = 0.0);
    row
}

fn assert_same(what: &str, found: &Array1<f32>, expected: &Array1<f32>) {
    let distance = difference(found, &expected.mapv(f64::from));
    assert!(distance <= TOLERANCE, "{what}: differs by {distance:.2e}");
}

#[test]
fn each_branch_computes_what_it_computes_alone() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let phrases = Phrases::new(&fixture, &model);
        let run = |sequence: &Sequence| matrix(&model.forward(sequence, &mut Fast));
        let packed = run(&phrases.packed);
        let states = States::of(&model, &phrases.packed, Keep::Inputs).unwrap();
        let scores = |sequence: &Sequence, states: &States, targets: &[Target]| {
            let options = SweepOptions::default();
            Streaming::new(&model, sequence.ids(), states, options).scores(targets).unwrap()
        };
        let targets = branch_targets(&phrases.packed).unwrap();
        let each = phrases.alone.iter().zip(phrases.branches()).zip(phrases.targets_alone());
        for (((alone, branch), targets_alone), targets) in each.zip(&targets) {
            let what = format!("{}, branch {branch:?}", fixture.name());
            let expected = run(alone).mapv(f64::from);
            let prefix = s![..phrases.prefix, ..];
            let behind = expected.slice(s![phrases.prefix.., ..]);
            let hidden = difference(&packed.slice(s![branch, ..]), &behind);
            let before = difference(&packed.slice(prefix), &expected.slice(prefix));
            assert!(hidden.max(before) <= TOLERANCE, "{what}: {hidden:.2e}, {before:.2e}");

            let states_alone = States::of(&model, alone, Keep::Inputs).unwrap();
            let found = scores(&phrases.packed, &states, targets);
            for (found, expected) in found.iter().zip(scores(alone, &states_alone, &targets_alone))
            {
                assert_eq!(found.runner_up, expected.runner_up, "{what}");
                for (found, expected) in [
                    (found.logit, expected.logit),
                    (found.log_probability, expected.log_probability),
                ] {
                    let distance = f64::from((found - expected).abs());
                    assert!(distance <= TOLERANCE * f64::from(expected.abs()).max(1.0), "{what}");
                }
            }
        }
    }
}

#[test]
fn streaming_equals_retained_on_two_branches() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let phrases = Phrases::new(&fixture, &model);
        let (run, goals) = (Retained::run(&model, &phrases.packed).unwrap(), phrases.goals());
        let budget = smallest_budget(&model, &phrases.packed, &goals);
        // All rows at once; then a few at a time, so that blocks begin and end inside branches.
        let row = 4 * 8 * model.config().text.num_attention_heads * phrases.packed.ids().len();
        let few = budget + 7 * row as u64;
        let ways = [
            (Objective::LogProbability, Update::Additive),
            (Objective::LogProbability, Update::Stochastic),
            (Objective::Logit, Update::Additive),
        ];
        let expected =
            ways.map(|(objective, update)| run.explain(&goals, &Rules::new(objective, update)));
        for (keep, memory_budget) in [(Keep::Everything, 1 << 29), (Keep::Inputs, few)] {
            let states = States::of(&model, &phrases.packed, keep).unwrap();
            let options = SweepOptions { memory_budget, cancel: None };
            let streaming = Streaming::new(&model, phrases.packed.ids(), &states, options);
            for ((objective, update), expected) in ways.iter().zip(&expected) {
                let found = streaming.explain(&goals, &Rules::new(*objective, *update)).unwrap();
                let what = format!("{}, {keep:?}, {objective}, {update}", fixture.name());
                compare(&what, &goals, &found, expected.as_ref().unwrap());
            }
        }
    }
}

fn smallest_budget(model: &Gemma3, sequence: &Sequence, goals: &[Goal]) -> u64 {
    let states = States::of(model, sequence, Keep::Inputs).unwrap();
    let options = SweepOptions { memory_budget: 0, cancel: None };
    let streaming = Streaming::new(model, sequence.ids(), &states, options);
    match streaming.explain(goals, &Rules::new(Objective::Logit, Update::Additive)) {
        Err(Error::Budget { smallest, .. }) => smallest,
        other => panic!("a budget of 0 bytes gave {other:?}"),
    }
}

fn compare(what: &str, goals: &[Goal], found: &[Attribution], expected: &[Attribution]) {
    for ((goal, found), expected) in goals.iter().zip(found).zip(expected) {
        let both = |row: fn(&Attribution) -> &Array1<f32>| {
            [found, expected].map(|attribution| without_self(goal, row(attribution)))
        };
        let [rows, attentions, rollouts] = [
            both(|attribution| &attribution.relevancy),
            both(|attribution| &attribution.raw_attention),
            both(|attribution| &attribution.rollout),
        ];
        assert_same(&format!("{what}, relevancy"), &rows[0], &rows[1]);
        assert_same(&format!("{what}, raw attention"), &attentions[0], &attentions[1]);
        assert_same(&format!("{what}, rollout"), &rollouts[0], &rollouts[1]);
    }
}

/// The map of a phrase does not know of the other, and the joint one knows of both.
#[test]
fn maps_of_one_phrase_are_plain_and_the_joint_map_is_joint() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let phrases = Phrases::new(&fixture, &model);
        let explain = |sequence: &Sequence, goals: &[Goal]| {
            let states = States::of(&model, sequence, Keep::Everything).unwrap();
            let options = SweepOptions::default();
            let streaming = Streaming::new(&model, sequence.ids(), &states, options);
            let found =
                streaming.explain(goals, &Rules::new(Objective::LogProbability, Update::Additive));
            let rows = found.unwrap().into_iter().map(|attribution| attribution.relevancy);
            rows.collect::<Vec<_>>()
        };
        let goals = phrases.goals();
        let packed = explain(&phrases.packed, &goals);
        let [of_first, of_second] = phrases.branches();
        let each = [of_first.clone(), of_second.clone()].into_iter().zip(phrases.targets_alone());
        for (index, (branch, targets)) in each.enumerate() {
            let (what, goal) =
                (format!("{}, {index}", fixture.name()), Goal::sum(targets).unwrap());
            let plain = explain(&phrases.alone[index], std::slice::from_ref(&goal)).remove(0);
            let plain = without_self(&goal, &plain);
            let found = without_self(&goals[index], &packed[index]);
            let prefix = ..phrases.prefix;
            let cut = |row: &Array1<f32>, range| row.slice(s![range]).to_owned();
            assert_same(
                &what,
                &cut(&found, 0..phrases.prefix),
                &plain.slice(s![prefix]).to_owned(),
            );
            assert_same(&what, &cut(&found, branch), &plain.slice(s![phrases.prefix..]).to_owned());
        }
        // Nothing of a phrase lies on the tokens of the other.
        assert!(packed[0].slice(s![of_second]).iter().all(|&value| value == 0.0));
        assert!(packed[1].slice(s![of_first]).iter().all(|&value| value == 0.0));

        // Gradients that oppose each other on the prefix have met before the positive part was taken: no sum of the two maps,
        // whatever the weights of their starts, gives the joint one.
        let prefix = |row: &Array1<f32>| row.slice(s![..phrases.prefix - 1]).mapv(f64::from);
        let [a, b, joint] = [&packed[0], &packed[1], &packed[2]].map(prefix);
        let counts = goals[..2].iter().map(|goal| goal.targets().len() as f64).collect::<Vec<_>>();
        let mean = (&a * counts[0] + &b * counts[1]) / (counts[0] + counts[1]);
        let largest = joint.iter().copied().fold(0.0, f64::max);
        for (name, other) in [("difference", &a - &b), ("mean", mean)] {
            let distance =
                (&other - &joint).iter().fold(0.0, |most: f64, step| most.max(step.abs()));
            assert!(distance > 1e-2 * largest, "{}: the {name}: {distance:.2e}", fixture.name());
        }
    }
}

/// One of every kind of method, and of every way that one reads a row of attention.
fn every_method() -> Vec<Method> {
    let (heads, layers, over) = (HeadFusion::Mean, Layers::All, Pool::Mean);
    vec![
        Method::Rollout { heads: HeadFusion::Max, layers: layers.clone() },
        Method::RawAttention { heads: heads.into(), layers: layers.clone() },
        Method::ValueNorm { heads, layers: layers.clone() },
        Method::LeGrad { heads, layers: layers.clone() },
        Method::DexAr { layers: layers.clone() },
        Method::RawAttention { heads: HeadWeights::Gradient, layers: layers.clone() },
        Method::TokenAttention { heads, layers: layers.clone(), over },
        Method::TokenAttention { heads: HeadFusion::Max, layers: layers.clone(), over: Pool::Max },
        Method::ObjectAttention { heads, layers: layers.clone(), over: Pool::Max },
        Method::GradientAttention { heads, layers },
        Method::GradCamAttention { layer: 1 },
        Method::GradCamHidden { layer: 0 },
        Method::GradCamHidden { layer: 2 },
        Method::InputGradient,
        Method::MeanCell,
        Method::Tam,
    ]
}

/// A phrase and its last token, each explained for itself.
fn phrase_and_token(targets: &[Target]) -> [Goal; 2] {
    let last = *targets.last().expect("a phrase has tokens");
    [Goal::sum(targets.to_vec()).expect("a phrase has tokens"), Goal::token(last)]
}

/// Where a branch stands in the packed sequence, and the other one.
struct Branch {
    prefix: usize,
    own: std::ops::Range<usize>,
    other: std::ops::Range<usize>,
}

impl Branch {
    /// What is wrong with a row of the packed sequence, when `expected` is that of the phrase alone.
    fn mistake(&self, found: &MethodRow, expected: &MethodRow) -> Option<String> {
        let (found, expected) = match (found, expected) {
            (Ok(found), Ok(expected)) => (found, expected),
            (Err(found), Err(expected)) if found == expected => return None,
            _ => return Some(format!("{found:?} packed, {expected:?} alone")),
        };
        if found.slice(s![self.other.clone()]).iter().any(|&x| x != 0.0) {
            return Some("something lies on the other branch".to_owned());
        }
        let of_branch = (0..self.prefix).chain(self.own.clone());
        let packed: Array1<f32> = of_branch.map(|at| found[at]).collect();
        // As in `methods.rs`: some means of gradients nearly cancel.
        let distance = difference(&packed, &expected.mapv(f64::from));
        (1e-4 < distance).then(|| format!("differs by {distance:.2e}"))
    }
}

#[test]
fn every_method_gives_of_a_branch_what_it_gives_of_the_phrase_alone() {
    let methods = every_method();
    let rules = Rules::new(Objective::LogProbability, Update::Additive);
    let mut mistakes = Vec::new();
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let phrases = Phrases::new(&fixture, &model);
        let targets = branch_targets(&phrases.packed).unwrap();
        let goals: Vec<Goal> =
            targets.iter().flat_map(|targets| phrase_and_token(targets)).collect();
        let run = Retained::run(&model, &phrases.packed).unwrap();
        let retained = run.explain_methods(&goals, &rules, &methods).unwrap();
        let [everything, inputs] = [Keep::Everything, Keep::Inputs].map(|keep| {
            let states = States::of(&model, &phrases.packed, keep).unwrap();
            let options = SweepOptions::default();
            let engine = Streaming::new(&model, phrases.packed.ids(), &states, options);
            with_methods(&engine, &goals, &rules, &methods).unwrap()
        });
        let [first, second] = phrases.branches();
        let sides = [(first.clone(), second.clone()), (second, first)];
        for (index, ((own, other), targets)) in
            sides.into_iter().zip(phrases.targets_alone()).enumerate()
        {
            let branch = Branch { prefix: phrases.prefix, own, other };
            let alone = Retained::run(&model, &phrases.alone[index]).unwrap();
            let goals = phrase_and_token(&targets);
            let expected = alone.explain_methods(&goals, &rules, &methods).unwrap();
            for (engine, found) in [
                ("retained", &retained),
                ("everything kept", &everything),
                ("inputs kept", &inputs),
            ] {
                for ((_, found), (_, expected)) in found[2 * index..].iter().zip(&expected) {
                    for ((method, found), expected) in methods.iter().zip(found).zip(expected) {
                        mistakes.extend(branch.mistake(found, expected).map(|mistake| {
                            format!(
                                "{}, branch {index}, {engine}, {method}: {mistake}",
                                fixture.name()
                            )
                        }));
                    }
                }
            }
        }
    }
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// What is generated behind a fork goes on with the second branch.
#[test]
fn an_answer_behind_a_fork_is_that_to_the_second_branch_alone() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let phrases = Phrases::new(&fixture, &model);
    let options = GenerationOptions { max_new_tokens: 4, sampling: None, stop_ids: Vec::new() };
    let [packed, alone] = [&phrases.packed, &phrases.alone[1]].map(|prompt| {
        let go_on = &mut |_| ControlFlow::Continue(());
        model.generate(prompt, &options, &mut Cached::default(), go_on).unwrap().tokens
    });
    assert_eq!(packed, alone);
}

/// The contrast of one token with another is that of the two logits: the packed way and the foil agree.
#[test]
fn one_token_against_another_is_the_contrast_with_a_foil() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let (prefix, ids) = (fixture.number("input_len") + 1, sequence.ids());
    let (token, foil) = (ids[prefix], ids[0]);
    let packed = sequence.forked(prefix, [&[token], &[foil]]).unwrap();
    let [phrase, against] = branch_targets(&packed).unwrap();
    let goal = Goal::contrast(phrase, against).unwrap();
    let found = Retained::run(&model, &packed)
        .unwrap()
        .explain_one(&goal, &Rules::new(Objective::LogProbability, Update::Additive))
        .unwrap()
        .relevancy;
    let goal = Goal::token(Target::new(prefix, token).unwrap());
    let objective = Objective::Contrast(attention_capture::Foil::Token(foil));
    let run = Retained::run(&model, &sequence).unwrap();
    let expected =
        run.explain_one(&goal, &Rules::new(objective, Update::Additive)).unwrap().relevancy;
    let cut = |row: &Array1<f32>| row.slice(s![..prefix - 1]).to_owned();
    assert_same("foil", &cut(&found), &cut(&expected));
    assert!((found[prefix - 1] - expected[prefix - 1]).abs() < 1e-5);
}

#[test]
fn a_sequence_forks_once_and_behind_its_pictures() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let end = sequence.images()[1].end;
    let tokens = sequence.ids().len();
    let refused = |sequence: &Sequence, prefix| {
        let error = sequence.forked(prefix, [&[1], &[2]]).unwrap_err().to_string();
        assert!(error.contains(&format!("a prefix of {prefix} tokens")), "{error}");
    };
    refused(&sequence, end - 1);
    refused(&sequence, tokens + 1);
    let packed = sequence.forked(end, [&[1], &[2]]).unwrap();
    refused(&packed, end);
    assert!(branch_targets(&sequence).unwrap().iter().all(Vec::is_empty));
    let [phrase, against] = branch_targets(&packed).unwrap();
    assert_eq!((phrase[0].logit_row(), against[0].logit_row()), (end - 1, end - 1));
    assert_eq!((phrase[0].position(), against[0].position()), (end, end + 1));
    assert!(Goal::contrast(phrase, Vec::new()).is_none());
    assert!(Goal::contrast(Vec::new(), against).is_none());
}

/// The facade finds the phrase, writes the other as it would stand there, and shows what both engines say.
#[test]
fn the_facade_sets_a_phrase_of_the_answer_against_another() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let ask = |occurrence| Ask::Keyword { word: "changed".to_owned(), occurrence };
    let engine = |engine| published().with_engine(engine);
    let explain = |occurrence, against: &str, how| {
        explainer.explain_versus(&answer, &ask(occurrence), against, &engine(how))
    };
    let streaming = medgemma_explainer::Engine::Streaming;
    let found = explain(1, " no pneumonia ", streaming).unwrap();
    let target = one(&explainer, &answer, keyword("changed", 1), &published()).unwrap();
    assert_eq!(found.positions(), target.positions());
    assert_eq!((found.phrase.text(), found.against.text()), (target.text(), "no pneumonia"));
    assert!((found.phrase.log_probability() - target.log_probability()).abs() < 1e-4);
    // Its tokens are those that write it where it stands.
    let first = &answer.tokens()[found.positions().start].text;
    let label = explainer.processor().tokenizer().label(found.against.token_ids()[0]);
    assert_eq!(first.starts_with(' '), label.starts_with(' '), "{first:?} {label:?}");

    let reference = explain(1, "no pneumonia", medgemma_explainer::Engine::Retained).unwrap();
    let rows = |of: &medgemma_explainer::VersusExplanation| {
        let all = [of.phrase.relevancy(), of.against.relevancy(), of.contrast()];
        all.map(attention_relevancy::Explanation::without_self)
    };
    for (found, expected) in rows(&found).iter().zip(rows(&reference)) {
        assert_close("engines", found, &expected.mapv(f64::from), Tolerance::Rounding);
    }
    assert_eq!(found.difference().len(), found.positions().start);
    let cells = found.image_difference(0).unwrap();
    let [of_phrase, of_other] =
        [&found.phrase, &found.against].map(|one| one.relevancy().image_grid(0).unwrap());
    assert_eq!(cells, of_phrase - of_other);
    assert!(found.image_difference(1).is_none());

    // What is asked for and does not count is told.
    assert!(found.notes().is_empty());
    let more = published()
        .with_folding(Folding::default().with_layers(Layers::Global))
        .with_path_points(2);
    let told = explainer.explain_versus(&answer, &ask(1), "no pneumonia", &more).unwrap();
    assert_eq!(told.phrase.relevancy(), found.phrase.relevancy());
    assert!(told.notes().len() == 2 && told.notes()[0].contains("all layers"), "{told:?}");

    let error = |against: &str| explain(0, against, streaming).unwrap_err().to_string();
    assert!(error("changed").contains("would be compared with itself"), "{}", error("changed"));
    assert!(error(" ").contains("\"changed\" has no alternative"), "{}", error(" "));
    let missing = Ask::Keyword { word: "heart".to_owned(), occurrence: 0 };
    assert!(explainer.explain_versus(&answer, &missing, "lung", &published()).is_err());
}
