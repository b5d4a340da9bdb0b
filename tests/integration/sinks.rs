//! Attention sinks: where they were put they are found, and what is taken out of the relevancy is taken out.

use crate::explainer::{answer, load, published};
use crate::support::{answered, model};
use attention_capture::{
    Engine as _, Error, Goal, Keep, Objective, Retained, Rules, SinkRule, States, Streaming,
    SweepOptions, find_sinks,
};
use attention_relevancy::{SinkFinder, Target, Update};
use gemma3_tch::{Gemma3, Sequence};
use integration_tests::{Fixture, assert_row_close, row_difference};
use medgemma_explainer::{
    Ask, DtypeSpec, Engine, ErrorKind, ExplainOptions, Presentation, SinkOptions, VersusExplanation,
};
use ndarray::Ix2;
use tch::{Kind, Tensor};

/// Between ordinary activations and the root of the width, which no φ exceeds.
const THRESHOLD: f32 = 5.0;
/// Where a number is put that no layer changes much.
const DIMENSION: usize = 7;

/// A sequence one image token of which has an enormous number in one dimension, and its position.
fn with_sink(model: &Gemma3, sequence: &Sequence) -> (Sequence, usize) {
    let features: Vec<Tensor> = sequence.features().iter().map(Tensor::copy).collect();
    let cell = 3;
    let place = features[1].get(cell).get(DIMENSION as i64); // a view
    let largest = features[1].abs().max().to_kind(Kind::Float);
    place.shallow_clone().copy_(&(largest * -1000.0));
    let (ids, images) = (sequence.ids().to_vec(), sequence.images().to_vec());
    let position = images[1].start + cell as usize;
    (model.sequence(ids, images, features).unwrap(), position)
}

#[test]
fn a_sink_is_found_where_it_was_put_by_both_engines() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let plain = answered(&fixture, &model);
    let (sequence, position) = with_sink(&model, &plain);
    let run = Retained::run(&model, &sequence).unwrap();
    let expected = run.sinks(THRESHOLD).unwrap();
    assert_eq!(
        (expected.dimensions.as_slice(), expected.positions()),
        (&[DIMENSION][..], vec![position])
    );
    let width = model.config().text.hidden_size as f32;
    let sink = expected.tokens[0];
    assert!(THRESHOLD < sink.phi && sink.phi <= width.sqrt() + 1e-3, "{sink:?}");
    for keep in [Keep::Inputs, Keep::Everything] {
        let states = States::of(&model, &sequence, keep).unwrap();
        let found = find_sinks(&states, THRESHOLD).unwrap();
        assert_eq!((found.dimensions, found.tokens.len()), (vec![DIMENSION], 1));
        assert_eq!(found.tokens[0].position, position);
        assert!((found.tokens[0].phi - sink.phi).abs() < 1e-4 * sink.phi);
        // Nothing passes what nothing can pass.
        let none = find_sinks(&states, width.sqrt() * 1.001).unwrap();
        assert_eq!((none.dimensions.len(), none.tokens.len()), (0, 0));
    }
    let states = States::of(&model, &plain, Keep::Inputs).unwrap();
    assert!(!find_sinks(&states, THRESHOLD).unwrap().positions().contains(&position));
}

/// The fused attention without some columns, folded by PyTorch.
#[test]
fn what_is_removed_receives_nothing_and_passes_nothing_on() {
    for name in ["layout", "short-window", "two-images"] {
        let fixture = Fixture::open(name);
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let removed = vec![0, sequence.images()[0].start + 1, sequence.images()[0].end];
        let positions = fixture.ids("positions");
        let target = |&at: &u32| Target::new(at as usize, sequence.ids()[at as usize]).unwrap();
        let goals: Vec<Goal> = positions.iter().map(target).map(Goal::token).collect();
        let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
        let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
        let run = Retained::run(&model, &sequence).unwrap();
        for update in [Update::Additive, Update::Stochastic] {
            let rules = Rules { removed: removed.clone(), ..Rules::new(Objective::Logit, update) };
            let found = engine.explain(&goals, &rules).unwrap();
            let retained = run.explain(&goals, &rules).unwrap();
            for (index, (found, retained)) in found.iter().zip(&retained).enumerate() {
                let row = goals[index].targets()[0].logit_row();
                assert!(removed.iter().all(|&token| found.relevancy[token] == 0.0));
                let expected = retained.relevancy.mapv(f64::from);
                let distance = row_difference(found.relevancy.view(), expected.view(), row);
                assert!(distance < 1e-5, "{}, {update}: {distance:.1e}", fixture.name());
                if update == Update::Additive {
                    let expected = fixture.array::<Ix2>("relevancy_removed");
                    let what = format!("{}, without sinks", fixture.name());
                    assert_row_close(&what, found.relevancy.view(), expected.row(index), row);
                }
            }
        }
    }
}

#[test]
fn a_predicting_row_stays_and_no_token_of_another_sequence_goes() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = answered(&fixture, &model);
    let last = sequence.ids().len() - 1;
    let goals =
        [last, last - 1].map(|at| Goal::token(Target::new(at, sequence.ids()[at]).unwrap()));
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
    let rules = |removed: Vec<usize>| Rules { removed, ..Rules::default() };
    let plain = engine.explain(&goals, &rules(Vec::new())).unwrap();
    // The row of the first goal is a token like others to no goal but the first.
    let found = engine.explain(&goals, &rules(vec![last - 1])).unwrap();
    for (found, plain) in found.iter().zip(&plain) {
        assert_eq!(found.relevancy, plain.relevancy);
        assert!(1.0 <= found.relevancy.iter().copied().fold(0.0, f32::max));
    }
    let found = engine.explain(&goals, &rules(vec![last - 2])).unwrap();
    assert!(found[0].relevancy[last - 2] == 0.0 && 0.0 < plain[0].relevancy[last - 2]);
    assert_eq!(found[1].relevancy, plain[1].relevancy);
    let run = Retained::run(&model, &sequence).unwrap();
    for engine in [&engine as &dyn attention_capture::Engine, &run] {
        let error = engine.explain(&goals, &rules(vec![last + 1])).unwrap_err();
        assert!(matches!(error, Error::Removed { position, .. } if position == last + 1));
    }
}

#[test]
fn they_are_told_and_dropped_on_request() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let asks = [Ask::Last];
    let with = |sinks: Option<SinkOptions>, engine| {
        let options = published().with_sinks(sinks).with_engine(engine);
        explainer.explain(&answer, &asks, &options).unwrap()
    };
    let low = |rule| Some(SinkOptions::new(rule).with_threshold(Some(2.5)));
    let (plain, kept) = (with(None, Engine::Auto), with(low(SinkRule::Keep), Engine::Auto));
    assert_eq!(plain.sinks, None);
    let relevancy =
        |of: &medgemma_explainer::Explanations| of.targets[0].relevancy().relevancy().to_owned();
    assert_eq!(relevancy(&plain), relevancy(&kept));
    for engine in [Engine::Auto, Engine::Retained] {
        let dropped = with(low(SinkRule::Drop), engine);
        let sinks = dropped.sinks.as_ref().unwrap();
        let predicting = answer.tokens().len() - 2;
        assert!(!sinks.tokens.is_empty());
        assert_eq!(sinks.positions(), kept.sinks.as_ref().unwrap().positions());
        let row = relevancy(&dropped);
        let removed = sinks.positions().into_iter().filter(|&at| at != predicting);
        assert!(removed.clone().all(|at| row[at] == 0.0));
        assert!(removed.clone().any(|at| relevancy(&plain)[at] != 0.0));
        let presentation = Presentation::default();
        let record = explainer.record(&answer, &dropped, &presentation).unwrap();
        let written = record.sinks.unwrap();
        assert_eq!((written.rule.as_str(), written.tokens.len()), ("drop", sinks.tokens.len()));
        assert_eq!(written.tokens[0].text, answer.tokens()[sinks.tokens[0].position].text);
        assert!(written.summary().contains("taken out"), "{}", written.summary());
    }
    // Without a threshold it is that of the width.
    let width = explainer.inspection().language_model().width;
    for engine in [Engine::Auto, Engine::Retained] {
        let found = with(Some(SinkOptions::new(SinkRule::Keep)), engine);
        let record = explainer.record(&answer, &found, &Presentation::default()).unwrap();
        for used in [found.sinks.as_ref().unwrap().threshold, record.sinks.unwrap().threshold] {
            assert!((used - SinkFinder::threshold(width)).abs() < 1e-6, "{used}");
        }
    }
    assert!(explainer.record(&answer, &plain, &Presentation::default()).unwrap().sinks.is_none());
    for threshold in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let sinks = SinkOptions::new(SinkRule::Keep).with_threshold(Some(threshold));
        let options = ExplainOptions::default().with_sinks(Some(sinks));
        let error = explainer.check(answer.question(), &asks, &options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{error}");
    }
}

/// The rows of a phrase, of the one against it and of both.
fn rows_of(versus: &VersusExplanation) -> [ndarray::Array1<f32>; 3] {
    [versus.phrase.relevancy(), versus.against.relevancy(), versus.contrast()]
        .map(|explanation| explanation.relevancy().to_owned())
}

#[test]
fn they_are_dropped_from_a_phrase_against_another_too() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let ask = Ask::Keyword { word: "changed".to_owned(), occurrence: 1 };
    let with = |sinks: Option<SinkOptions>, engine| {
        let options = published().with_sinks(sinks).with_engine(engine);
        explainer.explain_versus(&answer, &ask, "no pneumonia", &options)
    };
    let low = |rule| Some(SinkOptions::new(rule).with_threshold(Some(2.5)));
    let plain = with(None, Engine::Auto).unwrap();
    let kept = with(low(SinkRule::Keep), Engine::Auto).unwrap();
    assert_eq!((plain.sinks.is_none(), rows_of(&plain)), (true, rows_of(&kept)));
    let expected = with(low(SinkRule::Drop), Engine::Retained).unwrap();
    let dropped = with(low(SinkRule::Drop), Engine::Auto).unwrap();
    let sinks = dropped.sinks.as_ref().unwrap().positions();
    assert_eq!(sinks, kept.sinks.as_ref().unwrap().positions());
    assert_eq!(sinks, expected.sinks.as_ref().unwrap().positions());
    // Rows that predict a token of either phrase stay.
    let before = dropped.positions().start - 1;
    let removed: Vec<usize> = sinks.into_iter().filter(|&at| at < before).collect();
    assert!(!removed.is_empty());
    let all = rows_of(&dropped).into_iter().zip(rows_of(&expected)).zip(rows_of(&plain));
    for ((found, expected), plain) in all {
        assert!(removed.iter().all(|&at| found[at] == 0.0));
        assert!(removed.iter().any(|&at| plain[at] != 0.0));
        let expected = expected.mapv(f64::from);
        let distance = row_difference(found.view(), expected.view(), before);
        assert!(distance < 1e-5, "{distance:.1e}");
    }
    let error =
        with(Some(SinkOptions::new(SinkRule::Keep).with_threshold(Some(0.0))), Engine::Auto);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Argument);
}
