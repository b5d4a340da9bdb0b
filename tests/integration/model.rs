//! The model against transformers.

use crate::support::{answered, matrix, model, prepare};
use gemma3_tch::{Cached, Error, Fast, GenerationOptions, StopReason};
use integration_tests::{Fixture, Tolerance, assert_close};
use ndarray::{Array4, ArrayView3, Axis, Ix2, Ix4};
use std::ops::ControlFlow;
use tch::Tensor;

#[test]
fn prompt_and_pixels_are_equal() {
    for fixture in Fixture::all() {
        let (name, prepared) = (fixture.name(), prepare(&fixture));
        assert_eq!(prepared.prompt, fixture.text("rendered_prompt"), "{name}");
        assert_eq!(prepared.ids, fixture.ids("input_ids"), "{name}");
        let spans: Vec<_> = prepared.images.iter().map(|image| image.span.clone()).collect();
        assert_eq!(spans, fixture.image_spans(), "{name}");

        let expected: Array4<f64> = fixture.array::<Ix4>("pixel_values");
        for (pixels, expected) in prepared.pixels.iter().zip(expected.axis_iter(Axis(0))) {
            let shape = (pixels.channels, pixels.height, pixels.width);
            let found = ArrayView3::from_shape(shape, &pixels.values).unwrap();
            assert_close(&format!("{name}: pixels"), &found, &expected, Tolerance::Exact);
        }
    }
}

#[test]
fn image_features_agree() {
    for fixture in Fixture::all() {
        let prompt = model(&fixture).encode(&prepare(&fixture)).unwrap();
        let features = matrix(&Tensor::cat(prompt.features(), 0));
        let expected = fixture.array::<Ix2>("image_features");
        assert_close(
            &format!("{}: image features", fixture.name()),
            &features,
            &expected,
            Tolerance::Rounding,
        );
    }
}

#[test]
fn logits_agree_in_one_go() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let sequence = answered(&fixture, &model);
        let (n_prompt, n_tokens) =
            (fixture.number("input_len") as i64, sequence.ids().len() as i64);
        let _no_grad = tch::no_grad_guard();
        let hidden = model.forward(&sequence, &mut Fast);
        let logits = model.text().logits(&hidden.narrow(0, n_prompt - 1, n_tokens - n_prompt));
        let expected = fixture.array::<Ix2>("logits_answer");
        assert_close(
            &format!("{}: logits", fixture.name()),
            &matrix(&logits),
            &expected,
            Tolerance::Rounding,
        );
    }
}

#[test]
fn greedy_answers_are_equal_token_by_token() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        let prompt = model.encode(&prepare(&fixture)).unwrap();
        let expected = &fixture.ids("full_ids")[prompt.ids().len()..];
        let options =
            GenerationOptions { max_new_tokens: expected.len(), sampling: None, stop_ids: vec![] };
        let mut seen = Vec::new();
        let generated = model
            .generate(&prompt, &options, &mut Cached::default(), &mut |token| {
                seen.push(token);
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(generated.tokens, expected, "{}", fixture.name());
        assert_eq!(generated.stop, StopReason::Limit);
        assert_eq!(seen, expected);
    }
}

#[test]
fn an_answer_ends_where_it_must() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let prompt = model.encode(&prepare(&fixture)).unwrap();
    let answer = &fixture.ids("full_ids")[prompt.ids().len()..];
    let options =
        |stop_ids, max_new_tokens| GenerationOptions { max_new_tokens, sampling: None, stop_ids };
    let keep_on = &mut |_| ControlFlow::Continue(());

    let stopped = model
        .generate(&prompt, &options(vec![answer[2]], 10), &mut Cached::default(), keep_on)
        .unwrap();
    assert_eq!(
        (stopped.tokens.as_slice(), stopped.stop),
        (&answer[..2], StopReason::Token(answer[2]))
    );
    let nothing =
        model.generate(&prompt, &options(vec![], 0), &mut Cached::default(), keep_on).unwrap();
    assert_eq!((nothing.tokens.len(), nothing.stop), (0, StopReason::Limit));
    let broken = model
        .generate(&prompt, &options(vec![], 10), &mut Cached::default(), &mut |_| {
            ControlFlow::Break(())
        })
        .unwrap();
    assert_eq!((broken.tokens.as_slice(), broken.stop), (&answer[..1], StopReason::Caller));
}

#[test]
fn the_vision_tower_refuses_a_cache() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let pixels = model.picture(&prepare(&fixture).pixels[0]).unwrap();
    let error = model.vision().unwrap().tower.forward(&pixels, &mut Cached::default()).unwrap_err();
    assert!(matches!(error, Error::Tower { attention: "Cached" }), "{error}");
}
