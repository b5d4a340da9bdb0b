//! The facade's methods of comparison, heads and layers, and what the public Python program does.

use crate::explainer::{answer, options, published, question};
use crate::support::model;
use attention_capture::{Engine as _, Goal, Objective, Retained, Rules};
use attention_relevancy::Target;
use integration_tests::ndarray::Array1;
use integration_tests::{Fixture, row_difference};
use medgemma_explainer::{
    Answer, Ask, Compared, DtypeSpec, Engine, ErrorKind, ExplainOptions, Explainer, Folding,
    HeadFusion, Layers, LoadOptions, Method, ModelSource, Pool, Profile, Resolution, SpanRule,
    Unavailable, Update,
};
use std::ops::ControlFlow;

fn load(fixture: &Fixture, profile: Profile) -> Explainer {
    let source = ModelSource::Directory(fixture.model());
    let options = LoadOptions::default().with_dtype(DtypeSpec::Float32).with_profile(profile);
    Explainer::load(&source, &options).unwrap()
}

fn answered(fixture: &Fixture, explainer: &Explainer) -> Answer {
    let mut go_on = |_: &str| ControlFlow::Continue(());
    explainer.answer(question(fixture), &options(fixture), &mut go_on).unwrap()
}

fn rows() -> Vec<Compared> {
    let (heads, layers, over) = (HeadFusion::Mean, || Layers::All, Pool::Mean);
    vec![
        Compared::Relevancy(Update::Stochastic),
        Compared::Other(Method::Rollout { heads, layers: layers() }),
        Compared::Other(Method::RawAttention { heads: heads.into(), layers: Layers::Range(6..7) }),
        Compared::Other(Method::TokenAttention { heads, layers: layers(), over }),
        Compared::Other(Method::InputGradient),
        Compared::Relevancy(Update::Additive),
    ]
}

/// Methods come in the order asked, from one sweep; those that the explanation has anyway are the same rows.
#[test]
fn methods_stand_beside_the_relevancy() {
    let fixture = Fixture::open("layout");
    let explainer = load(&fixture, Profile::Sound);
    let answer = answer(&fixture, &explainer);
    let last = answer.tokens().len() - 1;
    let asks = [Ask::Position(last - 2), Ask::Position(last)];
    let options = published().with_methods(rows());
    let found = explainer.explain(&answer, &asks, &options).unwrap();
    let stochastic = published().with_update(Update::Stochastic);
    let stochastic = explainer.explain(&answer, &asks, &stochastic).unwrap();
    for (target, stochastic) in found.targets.iter().zip(&stochastic.targets) {
        let rows: Vec<_> = target.methods().iter().map(|row| row.as_ref()).collect();
        assert_eq!(rows.len(), 6);
        assert_eq!(rows[0].unwrap().view(), stochastic.relevancy().relevancy());
        assert_eq!(rows[1].unwrap(), target.rollout());
        let raw = (rows[2].unwrap() - target.raw_attention()).mapv(f32::abs).sum();
        assert!(raw < 1e-5, "{raw}");
        assert!(rows[4].unwrap().iter().any(|&value| value < 0.0));
        assert_eq!(rows[5].unwrap().view(), target.relevancy().relevancy());
        let share = target.method_image_share(1).unwrap();
        assert!((0.0..=1.0).contains(&share));
    }
    // The last token of the answer was chosen and never read.
    assert!(found.targets[0].methods()[3].is_ok());
    assert_eq!(found.targets[1].methods()[3], Err(Unavailable::NotRead { position: last }));
    assert_eq!(found.targets[1].method_image_share(3), None);

    let retained = options.with_engine(Engine::Retained);
    let retained = explainer.explain(&answer, &asks[..1], &retained).unwrap();
    for (found, expected) in found.targets[0].methods().iter().zip(retained.targets[0].methods()) {
        let (found, expected) = (found.as_ref().unwrap(), expected.as_ref().unwrap());
        let distance = row_difference(found.view(), expected.mapv(f64::from).view(), last - 3);
        assert!(distance < 1e-5, "{distance:.1e}");
    }
}

/// The mean over the tokens of a span, and no row where one of them has none.
#[test]
fn a_span_has_the_mean_of_its_tokens_rows() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, Profile::Sound);
    let answer = answer(&fixture, &explainer);
    let start = fixture.number("input_len");
    let end = answer.tokens().len();
    let over = Pool::Mean;
    let method = Method::TokenAttention { heads: HeadFusion::Max, layers: Layers::Global, over };
    let options = published().with_methods(vec![Compared::Other(method)]);
    let asks = [
        Ask::Tokens(start..start + 2),
        Ask::Position(start),
        Ask::Position(start + 1),
        Ask::Tokens(end - 2..end),
    ];
    let found = explainer.explain(&answer, &asks, &options).unwrap();
    let row = |target: usize| found.targets[target].methods()[0].clone();
    let [both, one, other] = [0, 1, 2].map(|target| row(target).unwrap());
    assert!(((one + other) / 2.0 - both).iter().all(|difference| difference.abs() < 1e-7));
    assert_eq!(row(3), Err(Unavailable::NotRead { position: end - 1 }));
}

/// Heads and layers of the relevancy itself: fewer layers bring less, the largest head more than the mean.
#[test]
fn relevancy_is_made_of_the_chosen_heads_and_layers() {
    let fixture = Fixture::open("layout");
    let explainer = load(&fixture, Profile::Sound);
    let answer = answer(&fixture, &explainer);
    let ask = [Ask::Position(fixture.number("input_len") + 1)];
    let sum = |folding: Folding, engine| {
        let options = published().with_folding(folding).with_engine(engine);
        let found = explainer.explain(&answer, &ask, &options).unwrap();
        found.targets[0].relevancy().without_self().sum()
    };
    let all = sum(Folding::default(), Engine::Auto);
    let global = Folding::default().with_layers(Layers::Global);
    let largest = Folding::default().with_heads(HeadFusion::Max);
    assert!(sum(global.clone(), Engine::Auto) < all && all < sum(largest, Engine::Auto));
    let (streaming, retained) = (sum(global.clone(), Engine::Auto), sum(global, Engine::Retained));
    assert!((streaming - retained).abs() <= 1e-5 * retained);
    let wrong = Folding::default().with_layers(Layers::Range(5..9));
    let options = published().with_folding(wrong);
    let error = explainer.explain(&answer, &ask, &options).unwrap_err().to_string();
    assert!(error.contains("7 layers"), "{error}");
}

/// Nothing changes but that the model does not run again: not the maps, not those of an answer that was recorded already.
#[test]
fn what_is_kept_of_a_given_answer_is_its_own_run() {
    let fixture = Fixture::open("layout");
    let explainer = load(&fixture, Profile::Sound);
    let recorded = answer(&fixture, &explainer);
    let mut given = explainer.given(question(&fixture), recorded.text()).unwrap();
    let ask = [Ask::Position(given.tokens().len() - 1)];
    let maps = |answer: &Answer| {
        let found = explainer.explain(answer, &ask, &published()).unwrap();
        found.targets[0].relevancy().relevancy().to_owned()
    };
    let before = maps(&given);
    explainer.keep_states(&mut given).unwrap();
    assert_eq!(maps(&given), before);
    // Kept once: a second call has nothing to do, and neither has a profile whose runs are not kept.
    explainer.keep_states(&mut given).unwrap();
    assert_eq!(maps(&given), before);
    let program = load(&fixture, Profile::PythonProgram);
    let mut given = program.given(question(&fixture), recorded.text()).unwrap();
    program.keep_states(&mut given).unwrap();
    let maps = |answer: &Answer| program.explain(answer, &ask, &published()).unwrap().targets;
    assert!(maps(&given)[0].relevancy().relevancy().sum() > 0.0);
}

/// Two `<bos>`, image tokens that see only what is before them, and the sum of logits over a span: made by hand, and the same.
#[test]
fn a_profile_reproduces_the_public_python_program() {
    let fixture = Fixture::open("old-names");
    let explainer = load(&fixture, Profile::PythonProgram);
    let answer = answered(&fixture, &explainer);
    let sound = load(&fixture, Profile::Sound);
    let prompt = sound.given(question(&fixture), answer.text()).unwrap();
    let ids_of = |answer: &Answer| answer.tokens().iter().map(|token| token.id).collect::<Vec<_>>();
    let (ids, plain) = (ids_of(&answer), ids_of(&prompt));
    assert_eq!((ids[0], &ids[1..]), (plain[0], plain.as_slice()));

    let model = &model(&fixture);
    let spans: Vec<_> = answer
        .prepared()
        .images
        .iter()
        .flat_map(|image| image.span.clone().map(|position| position..position + 1))
        .collect();
    assert!(spans.iter().all(|span| ids[span.start] == model.config().image_token_id));
    let pixels = explainer.processor().pixels(&answer.question().pictures[0]).unwrap();
    let features = model.encode_image(&pixels[0]).unwrap().split(1, 0);
    let sequence = model.sequence(ids.clone(), spans, features).unwrap();
    let run = Retained::run(model, &sequence).unwrap();
    let positions = answer.positions();
    let targets = positions.clone().map(|at| Target::new(at, ids[at]).unwrap()).collect();
    let expected = run
        .explain_one(&Goal::sum(targets).unwrap(), &Rules::new(Objective::Logit, Update::Additive))
        .unwrap();
    let options = ExplainOptions::python_program();
    assert_eq!(options.span, SpanRule::Sum);
    let found = explainer.explain(&answer, &[Ask::Answer], &options).unwrap();
    let (mut found, mut expected): (Array1<f32>, _) =
        (found.targets[0].relevancy().relevancy().to_owned(), expected.relevancy.mapv(f64::from));
    for row in positions.start - 1..positions.end - 1 {
        (found[row], expected[row]) = (0.0, 0.0);
    }
    let distance = row_difference(found.view(), expected.view(), positions.start - 1);
    assert!(distance < 1e-5, "{distance:.1e}");

    // Far from what is right: the mistakes are in it.
    let right = sound.explain(&prompt, &[Ask::Answer], &ExplainOptions::python_program()).unwrap();
    let right = right.targets[0].relevancy().relevancy().mapv(f64::from);
    let image = &prompt.prepared().images[0].span;
    let worst = image.clone().map(|at| (f64::from(found[at + 1]) - right[at]).abs());
    let largest = image.clone().map(|at| right[at]).fold(0.0, f64::max);
    assert!(worst.fold(0.0, f64::max) > 1e-2 * largest);

    let finer = options.with_resolution(Resolution::Patches);
    let error = explainer.explain(&answer, &[Ask::Last], &finer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
}

/// A keyword is the first token that holds it, be it a part of another word.
#[test]
fn a_keyword_of_the_python_program_is_sought_in_single_tokens() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, Profile::PythonProgram);
    let answer = answered(&fixture, &explainer);
    let text = |at: usize| answer.tokens()[at].text.to_lowercase();
    let first = answer.positions().find(|&at| text(at).trim().chars().count() > 3).unwrap();
    let inner: String = text(first).trim().chars().skip(1).take(2).collect();
    let expected = answer.positions().find(|&at| text(at).contains(&inner)).unwrap();
    let found = |word: &str| {
        let ask = Ask::Keyword { word: word.to_owned(), occurrence: 0 };
        explainer.explain(&answer, &[ask], &ExplainOptions::python_program())
    };
    assert_eq!(
        found(&inner.to_uppercase()).unwrap().targets[0].positions(),
        expected..expected + 1
    );
    let missing = &found("not in any token").unwrap().missing[0].reason;
    assert!(missing.starts_with("no single token of the answer holds"), "{missing}");
}
