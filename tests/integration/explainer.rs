//! The facade: from pictures and a prompt to explanations.

use crate::support::{answered, keyword, one, pictures, processor_options};
use attention_capture::{Engine as _, Goal, Keep, Rules, States, Streaming, SweepOptions};
use attention_relevancy::Target;
use gemma3_tch::{Gemma3, Placement};
use integration_tests::{Checkpoint, Fixture, Tolerance, assert_close, assert_row_close};
use medgemma_explainer::{
    Answer, AnswerOptions, Ask, DeviceSpec, DtypeSpec, ExplainOptions, Explainer, LoadOptions,
    ModelSource, Objective, Presentation, Question, Sampling, SpanRule, StopReason,
    TargetExplanation, TokenKind, Update,
};
use ndarray::{Array1, Axis, Ix1, Ix2, Ix4, s};
use serde_json::{Value, json};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use tch::Kind;

/// A loaded reference checkpoint.
pub(crate) fn load(fixture: &Fixture, dtype: DtypeSpec) -> Explainer {
    let processor = processor_options(fixture);
    let options = LoadOptions::default()
        .with_dtype(dtype)
        .with_processor(processor)
        .with_device(DeviceSpec::Cpu);
    Explainer::load(&ModelSource::Directory(fixture.model()), &options).unwrap()
}

pub(crate) fn question(fixture: &Fixture) -> Question {
    let question = Question::new(pictures(fixture), fixture.text("prompt"));
    match fixture.system() {
        Some(system) => question.with_system(system),
        None => question,
    }
}

/// The rule that the reference follows: the gradient is that of the logit.
pub(crate) fn published() -> ExplainOptions {
    ExplainOptions::default().with_objective(Objective::Logit)
}

/// The reference generated so many tokens and went on after stop tokens.
pub(crate) fn options(fixture: &Fixture) -> AnswerOptions {
    let max_new_tokens = fixture.number("max_new_tokens");
    AnswerOptions::default()
        .with_max_new_tokens(max_new_tokens)
        .with_sampling(None)
        .with_stop(false)
        .with_record(true)
}

pub(crate) fn answer(fixture: &Fixture, explainer: &Explainer) -> Answer {
    let keep_on = &mut |_: &str| ControlFlow::Continue(());
    explainer.answer(question(fixture), &options(fixture), keep_on).unwrap()
}

fn answered_float32(fixture: &Fixture) -> (Explainer, Answer) {
    let explainer = load(fixture, DtypeSpec::Float32);
    let answer = answer(fixture, &explainer);
    (explainer, answer)
}

/// A row without the self terms of a span: the entries at the predicting positions.
fn without_self(mut row: Array1<f64>, positions: &Range<usize>) -> Array1<f64> {
    row.slice_mut(s![positions.start - 1..positions.end - 1]).fill(0.0);
    row
}

fn assert_span_close(what: &str, found: &TargetExplanation, expected: Array1<f64>) {
    let positions = found.positions();
    let row = found.relevancy().relevancy().mapv(f64::from);
    let row = without_self(row, &positions).mapv(|x| x as f32);
    assert_close(what, &row, &without_self(expected, &positions), Tolerance::Rounding);
}

#[test]
fn answers_are_those_of_the_reference() {
    for fixture in Fixture::all() {
        let (_, answer) = answered_float32(&fixture);
        let name = fixture.name();
        assert_eq!(answer.text(), fixture.text("generated_text"), "{name}");
        assert_eq!(answer.trace(), "", "{name}");
        let ids: Vec<u32> = answer.tokens().iter().map(|token| token.id).collect();
        assert_eq!(ids, fixture.ids("full_ids"), "{name}");
        assert_eq!(answer.positions(), fixture.number("input_len")..fixture.number("seq_len"));
        assert_eq!(answer.generated().stop, StopReason::Limit);
    }
}

#[test]
fn tokens_have_position_label_kind_and_place_in_the_text() {
    for fixture in Fixture::all() {
        let (_, answer) = answered_float32(&fixture);
        let labels: Vec<String> = serde_json::from_value(fixture.json("token_labels")).unwrap();
        assert_eq!(answer.tokens().len(), labels.len());
        let spans = fixture.image_spans();
        for (position, token) in answer.tokens().iter().enumerate() {
            let kind = match position {
                _ if fixture.number("input_len") <= position => TokenKind::Answer,
                _ if spans.iter().any(|span| span.contains(&position)) => TokenKind::Image,
                _ => TokenKind::Prompt,
            };
            assert_eq!((token.position, token.kind), (position, kind));
            let spelled = token.span.clone().map(|span| &answer.generated_text()[span]);
            let label = labels[position].as_str();
            assert_eq!(spelled, (kind == TokenKind::Answer).then_some(label), "at {position}");
            // The reference decodes each token alone; a label keeps a byte token apart from a letter.
            let byte = format!("<0x{:02X}>", label.as_bytes()[0]);
            assert!(token.text == label || token.text == byte, "{:?} at {position}", token.text);
        }
    }
}

#[test]
fn one_answer_serves_every_explanation() {
    for fixture in Fixture::all() {
        let (explainer, answer) = answered_float32(&fixture);
        let positions = fixture.numbers("targets");
        let asks: Vec<Ask> = positions.iter().copied().map(Ask::Position).collect();
        let all = explainer.explain(&answer, &asks, &published()).unwrap();
        assert_eq!(all.targets.len(), positions.len());

        let rows = |name| fixture.array::<Ix2>(name);
        let (relevancy, raw, rollout) = (rows("relevancy"), rows("raw_attention"), rows("rollout"));
        let grids = fixture.array::<Ix4>("image_relevancy");
        let logits = fixture.array::<Ix1>("target_logit");
        for (index, (target, &position)) in all.targets.iter().zip(&positions).enumerate() {
            let what = format!("{}: target {position}", fixture.name());
            let at = Axis(0);
            let expected = relevancy.index_axis(at, index);
            assert_row_close(&what, target.relevancy().relevancy().view(), expected, position - 1);
            let expected = raw.index_axis(at, index);
            assert_row_close(&what, target.raw_attention().view(), expected, position - 1);
            let expected = rollout.index_axis(at, index);
            assert_row_close(&what, target.rollout().view(), expected, position - 1);
            for (image, expected) in grids.index_axis(at, index).axis_iter(at).enumerate() {
                let grid = target.image_relevancy(image).unwrap();
                assert_close(&what, &grid, &expected, Tolerance::Rounding);
            }
            assert!(target.image_relevancy(answer.prepared().images.len()).is_none());
            assert_close(
                &what,
                &ndarray::arr1(&[target.logit()]),
                &ndarray::arr1(&[logits[index]]),
                Tolerance::Rounding,
            );
            assert!((target.probability().ln() - target.log_probability()).abs() < 1e-4);
        }
    }
}

#[test]
fn update_and_objective_are_chosen() {
    let fixture = Fixture::open("two-images");
    let (explainer, answer) = answered_float32(&fixture);
    let last = fixture.numbers("targets").len() - 1;
    let position = fixture.numbers("targets")[last];
    let (update, objective) = (Update::Stochastic, Objective::LogProbability);
    for (name, options) in [
        ("relevancy_normalized", published().with_update(update)),
        ("relevancy_log_probability", published().with_objective(objective)),
    ] {
        let found = one(&explainer, &answer, Ask::Position(position), &options).unwrap();
        let expected = fixture.array::<Ix2>(name);
        let row = found.relevancy().relevancy();
        assert_row_close(name, row.view(), expected.index_axis(Axis(0), last), position - 1);
    }
}

#[test]
fn without_a_position_the_last_token_of_a_word_is_explained() {
    let fixture = Fixture::open("two-images");
    let (explainer, answer) = answered_float32(&fixture);
    let default = one(&explainer, &answer, Ask::Last, &published()).unwrap();
    let writes = |p: &usize| answer.text_of(&(*p..p + 1)).contains(char::is_alphanumeric);
    let last = answer.positions().rev().find(writes).unwrap();
    assert_eq!(default.positions(), last..last + 1);
    let named = one(&explainer, &answer, Ask::Position(last), &published()).unwrap();
    assert_eq!(default.relevancy().relevancy(), named.relevancy().relevancy());
}

#[test]
fn the_whole_answer_is_a_mean_or_a_sum() {
    for fixture in Fixture::all() {
        let (explainer, answer) = answered_float32(&fixture);
        for (rule, name) in
            [(SpanRule::Mean, "span_relevancy_mean"), (SpanRule::Sum, "span_relevancy")]
        {
            let options = published().with_span(rule);
            let found = one(&explainer, &answer, Ask::Answer, &options).unwrap();
            assert_eq!((found.positions(), found.rule()), (answer.positions(), rule));
            assert_eq!(found.text(), fixture.text("generated_text").trim());
            assert_span_close(&format!("{}: {name}", fixture.name()), &found, fixture.array(name));
        }
    }
}

#[test]
fn a_keyword_takes_all_its_tokens_whatever_its_case() {
    // case, keyword, occurrence, tokens of the answer
    for (name, word, occurrence, tokens) in [
        ("short-window", "changed", 0, 2..3),
        ("short-window", "CHANGED", 1, 3..4),
        ("short-window", "yes changed", 0, 1..3),
        ("short-window", "neuremopneumonia", 0, 4..7),
        ("short-window", "Uppnsns", 0, 7..10),
        ("two-images", "Consolidation", 0, 3..4),
        ("two-images", "thbe", 0, 0..2),
        ("two-images", "s", 0, 6..7),
        ("two-images", "remos", 0, 7..9),
        ("bfloat16", "cocoolidatpleural", 0, 1..5),
    ] {
        let fixture = Fixture::open(name);
        let (explainer, answer) = answered_float32(&fixture);
        let options = published();
        let found = one(&explainer, &answer, keyword(word, occurrence), &options).unwrap();
        let start = fixture.number("input_len");
        let expected = start + tokens.start..start + tokens.end;
        assert_eq!(found.positions(), expected, "{name}: {word}");
        assert_eq!(found.text().to_lowercase(), word.to_lowercase());
        assert_eq!(found.token_ids(), &fixture.ids("full_ids")[expected.clone()]);

        // Over several tokens it is the mean of theirs.
        let asks: Vec<Ask> = expected.clone().map(Ask::Position).collect();
        let parts = explainer.explain(&answer, &asks, &options).unwrap().targets;
        let sum = parts
            .iter()
            .map(|part| part.relevancy().relevancy().mapv(f64::from))
            .reduce(|sum, row| sum + row);
        let mean = sum.unwrap() / expected.len() as f64;
        let row = found.relevancy().relevancy();
        assert_close(&format!("{name}: {word}"), &row, &mean, Tolerance::Rounding);
        let logits: f32 = parts.iter().map(TargetExplanation::logit).sum();
        assert!((found.logit() - logits).abs() < 1e-4);
    }
}

#[test]
fn a_question_without_pictures_is_explained_too() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let question = Question::new(Vec::new(), fixture.text("prompt"));
    let keep_on = &mut |_: &str| ControlFlow::Continue(());
    let answer = explainer.answer(question, &options(&fixture), keep_on).unwrap();
    assert!(answer.tokens().iter().all(|token| token.kind != TokenKind::Image));
    let found = one(&explainer, &answer, Ask::Last, &published()).unwrap();
    assert!(found.image_relevancy(0).is_none());
    assert_eq!(found.relevancy().relevancy().len(), answer.tokens().len());
}

#[test]
fn text_is_streamed_as_it_is_in_the_end_and_may_be_stopped() {
    for fixture in Fixture::all() {
        let explainer = load(&fixture, DtypeSpec::Float32);
        let mut pieces = Vec::new();
        let mut on_text = |text: &str| {
            pieces.push(text.to_owned());
            ControlFlow::Continue(())
        };
        let answer =
            explainer.answer(question(&fixture), &options(&fixture), &mut on_text).unwrap();
        assert_eq!(pieces.concat(), answer.generated_text());
        // The answer of `layout` is one run of byte tokens: what it spells is certain only at its end.
        assert_eq!(pieces.len() == 1, fixture.name() == "layout", "{}", fixture.name());
    }
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let mut calls = 0;
    let mut stop = |_: &str| {
        calls += 1;
        ControlFlow::Break(())
    };
    let answer = explainer.answer(question(&fixture), &options(&fixture), &mut stop).unwrap();
    assert_eq!((answer.generated().stop, answer.generated().tokens.len()), (StopReason::Caller, 1));
    assert_eq!(calls, 1);
}

#[test]
fn the_same_seed_draws_the_same_answer() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let draw = |seed| {
        let sampling = Some(Sampling::new(seed));
        let options = options(&fixture).with_sampling(sampling);
        let keep_on = &mut |_: &str| ControlFlow::Continue(());
        explainer.answer(question(&fixture), &options, keep_on).unwrap().generated().tokens.clone()
    };
    let drawn: Vec<Vec<u32>> = (0..4).map(draw).collect();
    assert_eq!(drawn, (0..4).map(draw).collect::<Vec<_>>());
    assert!(drawn.iter().any(|tokens| *tokens != drawn[0]), "the seed has no effect");
}

/// Gives token `id` another name; the merges that make or use the old one go.
fn rename(tokenizer: &mut Value, id: u32, name: &str) {
    let vocabulary = tokenizer["model"]["vocab"].as_object_mut().unwrap();
    let old = vocabulary.iter().find(|(_, value)| **value == id).unwrap().0.clone();
    vocabulary.remove(&old);
    vocabulary.insert(name.to_owned(), id.into());
    let merges = tokenizer["model"]["merges"].as_array_mut().unwrap();
    merges.retain(|merge| {
        let [left, right] = [0, 1].map(|side| merge[side].as_str().unwrap());
        left != old && right != old && format!("{left}{right}") != old
    });
    tokenizer["added_tokens"].as_array_mut().unwrap().push(json!({
        "id": id, "content": name, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": false,
    }));
}

/// A checkpoint whose reference answer, `has ifiis lung sizas …`, begins with a trace: `has ` and `is ` are renamed.
pub(crate) fn thinking(fixture: &Fixture) -> Checkpoint {
    let checkpoint = Checkpoint::copy(fixture);
    let ids = fixture.ids("full_ids")[fixture.number("input_len")..].to_vec();
    checkpoint.edit("tokenizer.json", |tokenizer| {
        rename(tokenizer, ids[0], "<unused94>");
        rename(tokenizer, ids[2], "<unused95>");
    });
    checkpoint
}

#[test]
fn a_thinking_trace_is_told_apart_from_the_answer() {
    let fixture = Fixture::open("old-names");
    let checkpoint = thinking(&fixture);
    let ids = fixture.ids("full_ids")[fixture.number("input_len")..].to_vec();
    let options = LoadOptions::default().with_dtype(DtypeSpec::Float32);
    let source = ModelSource::Directory(checkpoint.path().to_owned());
    let explainer = Explainer::load(&source, &options).unwrap();
    let ask = |max_new_tokens| {
        let options = self::options(&fixture).with_max_new_tokens(max_new_tokens);
        let keep_on = &mut |_: &str| ControlFlow::Continue(());
        explainer.answer(question(&fixture), &options, keep_on).unwrap()
    };
    let answer = ask(ids.len());
    assert_eq!(answer.generated().tokens, ids);
    assert_eq!(answer.trace(), "<unused94>ifi<unused95>");
    assert_eq!(answer.text(), "lung sizas upper er sizsiz");
    let start = fixture.number("input_len") + 3;
    assert_eq!(answer.positions(), start..fixture.number("seq_len"));

    let options = published();
    let span = one(&explainer, &answer, Ask::Answer, &options).unwrap();
    assert_eq!(span.positions(), answer.positions());
    let word = one(&explainer, &answer, keyword("lung", 0), &options).unwrap();
    assert_eq!(word.positions(), start..start + 1);
    let error = one(&explainer, &answer, keyword("ifi", 0), &options).unwrap_err();
    assert!(error.ends_with("in the text: lung sizas upper er sizsiz"), "{error}");
    // A token of the trace can be named by its position.
    let inside = one(&explainer, &answer, Ask::Position(start - 2), &options).unwrap();
    assert_eq!(inside.text(), "ifi");
    // And sought there on request.
    let traced = options.clone().with_trace(true);
    let word = Ask::Substring { text: "ifi".to_owned(), occurrence: 0 };
    let found = explainer.explain(&answer, std::slice::from_ref(&word), &traced).unwrap();
    assert_eq!(found.targets[0].positions(), start - 2..start - 1);
    let without = explainer.explain(&answer, &[word], &options).unwrap();
    assert_eq!((without.targets.len(), without.missing.len()), (0, 1));

    let all = explainer.explain(&answer, &[Ask::Last], &options).unwrap();
    let record = explainer.record(&answer, &all, &Presentation::default()).unwrap().to_json();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["trace"], answer.trace());
    assert_eq!(record["answer"], answer.text());
    assert_eq!(record["tokens"][start - 1]["characters"], Value::Null);
    assert_eq!(record["tokens"][start]["characters"], json!([0, 5]));

    let cut = ask(2);
    assert_eq!((cut.text(), cut.trace()), ("", "<unused94>ifi"));
    let error = one(&explainer, &cut, Ask::Last, &options).unwrap_err();
    assert!(error.starts_with("the model gave no answer"), "{error}");
    assert!(error.contains("allow more tokens"), "{error}");
    assert!(one(&explainer, &cut, Ask::Position(start - 2), &options).is_ok());
}

/// Ranks from 0; the values are all different.
fn ranks(values: &[f32]) -> Vec<f64> {
    let rank = |value: &f32| values.iter().filter(|other| *other < value).count() as f64;
    values.iter().map(rank).collect()
}

/// Spearman's ρ = 1 − 6 Σ d² / (n·(n² − 1)).
fn spearman(a: &[f32], b: &[f32]) -> f64 {
    let n = a.len() as f64;
    let squares: f64 = ranks(a).iter().zip(ranks(b)).map(|(a, b)| (a - b).powi(2)).sum();
    1.0 - 6.0 * squares / (n * (n * n - 1.0))
}

/// A single word is as near as its cells are far apart: where the features are rounded otherwise (by half a unit in the last place) the
/// least of a checkpoint's words lies between 0.982 and 0.999, their mean above 0.993. The row of the token before has 0.43 to 0.82 in the
/// mean, and up to 0.98 of a single word.
#[test]
fn bfloat16_keeps_the_ranks_of_the_cells() {
    for fixture in Fixture::all() {
        let placement = Placement { kind: Some(Kind::BFloat16), ..Placement::AS_STORED };
        let model = Gemma3::load(&fixture.model(), placement).unwrap();
        let sequence = answered(&fixture, &model); // the same tokens as in float32
        let states = States::of(&model, &sequence, Keep::Everything).unwrap();
        let streaming = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
        let relevancy = fixture.array::<Ix2>("relevancy");
        let cells = || fixture.image_spans().into_iter().flatten();
        let correlation = |position: usize, reference: usize| {
            let goal = Goal::token(Target::new(position, sequence.ids()[position]).unwrap());
            let rules = Rules::new(Objective::Logit, Update::Additive);
            let row = streaming.explain_one(&goal, &rules).unwrap().relevancy;
            let found: Vec<f32> = cells().map(|cell| row[cell]).collect();
            let expected = cells().map(|cell| relevancy[[reference, cell]] as f32);
            spearman(&found, &expected.collect::<Vec<_>>())
        };
        let targets = fixture.numbers("targets");
        let of_all = |before: usize| -> Vec<f64> {
            let targets = targets.iter().enumerate();
            targets.map(|(index, position)| correlation(position - before, index)).collect()
        };
        let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len() as f64;
        let (found, too_early) = (of_all(0), of_all(1));
        println!(
            "{}: rank correlations {found:.4?}, a row too early {too_early:.4?}",
            fixture.name()
        );
        assert!(found.iter().all(|&rho| 0.97 <= rho), "{}: {found:.4?}", fixture.name());
        assert!(0.99 <= mean(&found), "{}: {found:.4?}", fixture.name());
        assert!(mean(&too_early) < 0.9, "{}: {too_early:.4?}", fixture.name());
    }
}

#[test]
fn bfloat16_is_what_auto_takes_for_a_bfloat16_checkpoint() {
    let fixture = Fixture::open("bfloat16");
    for dtype in [DtypeSpec::BFloat16, DtypeSpec::Auto] {
        let explainer = load(&fixture, dtype);
        let answer = answer(&fixture, &explainer);
        let options = published();
        let all = explainer.explain(&answer, &[Ask::Last], &options).unwrap();
        let record = explainer.record(&answer, &all, &Presentation::default()).unwrap().to_json();
        let record: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(record["settings"]["dtype"], "bfloat16");
        assert!(all.targets[0].relevancy().relevancy().iter().all(|x| x.is_finite()));
    }
}

#[test]
fn a_checkpoint_is_inspected_without_loading_it() {
    let fixture = Fixture::open("old-names");
    let source = ModelSource::parse(fixture.model().to_str().unwrap(), None, false);
    assert_eq!(source, ModelSource::Directory(fixture.model()));
    let inspection = source.inspect(&LoadOptions::default()).unwrap();
    assert_eq!(inspection.dtype(), "float32");
    assert!(inspection.missing().is_empty() && inspection.misshapen().len() == 0);
    assert!(inspection.unused().is_empty());
    let length = |path: &Path| std::fs::metadata(path).unwrap().len();
    let files =
        (1..=3).map(|n| fixture.model().join(format!("model-0000{n}-of-00003.safetensors")));
    assert_eq!(inspection.bytes_on_disk().0, files.map(|file| length(&file)).sum::<u64>());
}
