//! Every way of asking: parts of an answer, given answers, pictures among texts, words that share the sweep, foils.

use crate::explainer::published;
use crate::explainer::{answer, load, options, question};
use crate::support::{model, one, pictures, processor_options};
use attention_capture::Keep;
use integration_tests::ndarray::{Array2, Axis, s};
use integration_tests::{Fixture, Tolerance, assert_close};
use medgemma_explainer::{
    Answer, Ask, Content, Context, DeviceSpec, DtypeSpec, Engine, Explainer, Foil, HeadLayer,
    LoadOptions, Message, ModelSource, Objective, Question, Resolution, Role, TargetExplanation,
    Token, Words,
};
use std::ops::{ControlFlow, Range};

fn answered(name: &str) -> (Fixture, Explainer, Answer) {
    let fixture = Fixture::open(name);
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    (fixture, explainer, answer)
}

fn spans(explainer: &Explainer, answer: &Answer, ask: Ask) -> Vec<Range<usize>> {
    let found = explainer.explain(answer, &[ask], &published()).unwrap();
    found.targets.iter().map(TargetExplanation::positions).collect()
}

/// The answer of the reference begins at 87; its third and fourth token are both `changed`.
#[test]
fn parts_of_an_answer_are_the_tokens_that_write_them() {
    let (fixture, explainer, answer) = answered("short-window");
    let start = fixture.number("input_len");
    let spans = |ask| spans(&explainer, &answer, ask);
    let at = |range: Range<usize>| start + range.start..start + range.end;
    assert_eq!(spans(Ask::Tokens(at(1..3))), [at(1..3)]);
    let every = spans(Ask::Every { word: "changed".to_owned() });
    assert_eq!(every, [at(2..3), at(3..4)]);
    let part = |text: &str, occurrence| Ask::Substring { text: text.to_owned(), occurrence };
    assert_eq!(spans(part("hange", 1)), [at(3..4)]);
    let text = answer.text();
    let from = text.find("changed").map(|byte| text[..byte].chars().count()).unwrap();
    assert_eq!(spans(Ask::Characters(from..from + 7)), [at(2..3)]);
    assert_eq!(spans(Ask::Sentence(0)).len(), 1);
    let error = |ask| {
        let options = published();
        match explainer.explain(&answer, &[ask], &options) {
            Ok(all) => all.missing[0].reason.clone(),
            Err(error) => error.to_string(),
        }
    };
    for (ask, part) in [
        (Ask::Sentence(9), "there is no sentence 10; the answer has "),
        (Ask::Characters(0..5000), "characters 0..5000 are not in the answer, which has "),
        (Ask::Field("label".to_owned()), "no JSON field \"label\""),
        (Ask::Tokens(start..start), "hold no token"),
        (Ask::Tokens(5..start + 1), "position 5 ("),
        (Ask::Tokens(start..5000), "position 4999 is past the end"),
        (part("heart", 0), "`heart` does not occur"),
    ] {
        let error = error(ask);
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_given_answer_has_the_rows_of_the_same_generated_one() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let text = "No changed pneumonia. yes";
    let given = explainer.given(question(&fixture), text).unwrap();
    assert_eq!(given.text(), text);
    assert_eq!(given.options(), None);
    let ids = explainer.processor().tokenizer().encode(text).unwrap();
    let start = fixture.number("input_len");
    assert_eq!(given.positions(), start..start + ids.len());
    // Both engines, and every position: what was recorded is not needed.
    let asks: Vec<Ask> = given.positions().map(Ask::Position).collect();
    let rows = |engine| {
        let options = published().with_engine(engine);
        explainer.explain(&given, &asks, &options).unwrap().targets
    };
    for (fast, reference) in rows(Engine::Streaming).iter().zip(&rows(Engine::Retained)) {
        let [fast, reference] = [fast, reference].map(|target| target.relevancy().relevancy());
        assert_close("given", &fast, &reference.mapv(f64::from), Tolerance::Rounding);
    }
}

/// 🫁 is no token: the tokenizer spells it in four bytes.
#[test]
fn a_character_of_several_tokens_is_one_piece_of_text() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = explainer.given(question(&fixture), "No 🫁 changed").unwrap();
    let bytes = |token: &&Token| token.text.starts_with("<0x");
    let spelled: Vec<&Token> = answer.tokens().iter().filter(bytes).collect();
    assert_eq!(spelled.len(), 4, "{spelled:?}");
    assert!(spelled.iter().all(|token| token.span == spelled[0].span), "all write one character");
    let found = explainer.explain(&answer, &[Ask::Last], &published()).unwrap();
    let target = &found.targets[0];
    let text = target.text_relevancy(&answer, true).unwrap();
    let piece = text.pieces().iter().find(|piece| piece.text == "🫁").unwrap();
    let row = target.relevancy().relevancy();
    let sum: f32 = spelled.iter().map(|token| row[token.position]).sum();
    assert_eq!((piece.relevancy, piece.tokens.len()), (sum, 4));
    assert_eq!(row.len(), answer.tokens().len(), "the row keeps every token");
}

#[test]
fn words_and_layers_share_the_sweep_of_the_targets() {
    let (_, explainer, answer) = answered("short-window");
    let options = published().with_words(Words::All).with_by_layer(true);
    let ask = Ask::Keyword { word: "changed".to_owned(), occurrence: 0 };
    let found = explainer.explain(&answer, &[ask], &options).unwrap();
    assert_eq!(found.targets.len(), 1);
    let words = answer.words(Words::All);
    assert_eq!(found.words.len(), words.len() - 1, "the target is not explained twice");
    for word in &found.words {
        assert!(words.contains(&word.positions()));
        let asked =
            explainer.explain(&answer, &[Ask::Tokens(word.positions())], &published()).unwrap();
        let [shared, alone] = [word, &asked.targets[0]].map(|t| t.relevancy().relevancy());
        assert_close("shared", &shared, &alone.mapv(f64::from), Tolerance::Rounding);
        // The first row of the layers is the result, and nothing is taken away on the way down.
        let layers = word.layers().unwrap();
        assert_eq!(layers.row(0), shared);
        assert_eq!(layers.len_of(Axis(0)), explainer.inspection().language_model().layers);
        for (below, above) in layers.outer_iter().zip(layers.outer_iter().skip(1)) {
            assert!(below.iter().zip(&above).all(|(below, above)| above <= below));
        }
    }
    let retained = options.with_engine(Engine::Retained);
    let error = explainer.explain(&answer, &[Ask::Last], &retained).unwrap_err().to_string();
    assert!(error.contains("streaming engine"), "{error}");
}

#[test]
fn a_word_is_set_against_another_by_its_first_token() {
    let (_, explainer, answer) = answered("short-window");
    let ask = Ask::Keyword { word: "changed".to_owned(), occurrence: 0 };
    let Foil::Token(token) = explainer.foil(&answer, &ask, "pneumonia", false).unwrap().foil else {
        panic!("a token")
    };
    let explain = |objective| {
        let options = published().with_objective(objective);
        explainer.explain(&answer, std::slice::from_ref(&ask), &options).unwrap().targets.remove(0)
    };
    let contrast = explain(Objective::Contrast(Foil::Token(token)));
    let logit = explain(Objective::Logit);
    assert_ne!(contrast.relevancy().relevancy(), logit.relevancy().relevancy());
    let error = explainer.foil(&answer, &ask, "changed", false).unwrap_err().to_string();
    assert!(error.contains("name another word"), "{error}");
}

#[test]
fn pictures_stand_where_the_messages_show_them() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let text = |text: &str| Content::Text(text.to_owned());
    let ask = |content: Vec<Content>| {
        let messages = vec![Message { role: Role::User, content }];
        let question = Question::from_messages(pictures(&fixture), messages);
        let keep_on = &mut |_: &str| ControlFlow::Continue(());
        explainer.answer(question, &options(&fixture), keep_on).unwrap()
    };
    let ends = ask(vec![Content::Image, Content::Image, text("lung"), text("upper")]);
    let between = ask(vec![Content::Image, text("lung"), Content::Image, text("upper")]);
    assert_eq!(between.question().prompt(), "lung upper");
    let gap = |answer: &Answer| {
        let images = &answer.prepared().images;
        images[1].span.start - images[0].span.end
    };
    assert!(gap(&ends) < gap(&between), "a text stands between the pictures");
    for answer in [&ends, &between] {
        let found = one(&explainer, answer, Ask::Last, &published()).unwrap();
        let shares = found.relevancy().shares().unwrap();
        assert_eq!(shares.grids.len(), 2);
        assert!((shares.image() + shares.text - 1.0).abs() < 1e-5);
    }
}

/// Patches of a token sum to it before the vision tower, pixels are for targets only, and the row of tokens stays as it is.
#[test]
fn maps_go_on_to_patches_and_pixels() {
    let (fixture, explainer, answer) = answered("two-images");
    let start = fixture.number("input_len");
    let asks = [Ask::Tokens(start..start + 2), Ask::Position(start + 3)];
    let tokens = published().with_words(Words::All);
    let plain = explainer.explain(&answer, &asks, &tokens).unwrap();
    assert!(plain.targets.iter().all(|target| target.finer(0).is_none()));
    let options = tokens.with_resolution(Resolution::Pixels);
    let found = explainer.explain(&answer, &asks, &options).unwrap();
    let vision = &model(&fixture).config().vision.clone().unwrap();
    for (target, plain) in found.targets.iter().zip(&plain.targets) {
        assert_eq!(target.relevancy(), plain.relevancy());
        for image in 0..2 {
            let (map, coarse) =
                (target.finer(image).unwrap(), target.image_relevancy(image).unwrap());
            let side = vision.patches_per_side();
            let [parts, cells] = [side / coarse.ncols(), coarse.ncols()];
            assert_eq!((map.unpooled.dim(), map.patches.dim()), ((side, side), (side, side)));
            for ((row, column), &token) in coarse.indexed_iter() {
                let of_token = map.unpooled.slice(s![
                    row * parts..(row + 1) * parts,
                    column * parts..(column + 1) * parts
                ]);
                assert!(
                    (of_token.sum() - token).abs() <= 1e-5 * coarse.sum(),
                    "{row} {column} of {cells}"
                );
            }
            // The layers of the vision tower only add to the row.
            assert!(map.patches.sum() >= coarse.sum() * (1.0 - 1e-5));
            let pixels = map.pixels.as_ref().unwrap();
            assert_eq!(pixels.dim(), (vision.image_size, vision.image_size));
            assert!(pixels.iter().any(|&value| value < 0.0));
        }
        assert!(target.finer(2).is_none());
    }
    assert_eq!(found.words.len(), plain.words.len());
    for word in &found.words {
        assert!(word.finer(1).unwrap().pixels.is_none() && word.heads().is_none());
    }
    let retained = options.with_engine(Engine::Retained);
    let error = explainer.explain(&answer, &asks, &retained).unwrap_err().to_string();
    assert!(error.starts_with("patches and pixels need the streaming engine"), "{error}");
}

/// With what was kept while pictures were looked at maps are the same; what does not fit into the budget is made again.
#[test]
fn what_is_kept_of_pictures_changes_no_map() {
    let (fixture, explainer, answer) = answered("two-images");
    let asks = [Ask::Position(fixture.number("input_len"))];
    assert!(answer.patch_bytes() == 0);
    let options = published().with_resolution(Resolution::Pixels);
    let expected = explainer.explain(&answer, &asks, &options).unwrap();
    let model = model(&fixture);
    let bytes = |keep: Keep| 2 * keep.patch_bytes(model.vision().unwrap());
    let budgets = [
        (8 * bytes(Keep::Everything), Some(bytes(Keep::Everything))),
        (4 * bytes(Keep::Everything) - 1, Some(bytes(Keep::Inputs))),
        (4 * bytes(Keep::Inputs) - 1, None),
    ];
    for (memory_budget, kept) in budgets {
        let options_of_load = LoadOptions::default()
            .with_dtype(DtypeSpec::Float32)
            .with_device(DeviceSpec::Cpu)
            .with_processor(processor_options(&fixture))
            .with_context(Context::default().with_memory_budget(Some(memory_budget)))
            .with_keep_patches(true);
        let source = ModelSource::Directory(fixture.model());
        let keeping = Explainer::load(&source, &options_of_load).unwrap();
        let given = keeping.given(question(&fixture), answer.text()).unwrap();
        for answer in [crate::explainer::answer(&fixture, &keeping), given] {
            let bytes = answer.patch_bytes();
            assert_eq!((bytes != 0).then_some(bytes), kept, "{memory_budget} bytes");
            if memory_budget != budgets[0].0 {
                continue; // the sweep of this little model needs more
            }
            let found = keeping.explain(&answer, &asks, &options).unwrap();
            let [found, expected] = [&found, &expected].map(|found| &found.targets[0]);
            for image in 0..2 {
                let [found, expected] =
                    [found, expected].map(|target| target.finer(image).unwrap());
                let close = |what: &str, found: &Array2<f32>, expected: &Array2<f32>| {
                    let what = format!("{what} of image {image}, {memory_budget} bytes");
                    assert_close(&what, found, &expected.mapv(f64::from), Tolerance::Rounding);
                };
                close("patches", &found.patches, &expected.patches);
                let [found, expected] = [found, expected].map(|map| map.pixels.as_ref().unwrap());
                close("pixels", found, expected);
            }
        }
    }
}

/// The mean of two tokens' patches is that of the word of both.
#[test]
fn patches_of_a_span_are_the_mean_of_its_tokens() {
    let (fixture, explainer, answer) = answered("old-names");
    let start = fixture.number("input_len");
    let asks = [Ask::Tokens(start..start + 2), Ask::Position(start), Ask::Position(start + 1)];
    let options = published().with_resolution(Resolution::Patches);
    let found = explainer.explain(&answer, &asks, &options).unwrap();
    let [both, one, other] =
        [0, 1, 2].map(|target| &found.targets[target].finer(0).unwrap().patches);
    let mean = (one + other) / 2.0;
    assert!((both - &mean).iter().all(|difference| difference.abs() <= 1e-6 * mean.sum()));
}

/// What heads carried adds up to what the layers brought, and the shown layer is one that sees everything.
#[test]
fn heads_carry_what_their_layer_adds() {
    let (fixture, explainer, answer) = answered("layout");
    let start = fixture.number("input_len");
    let options = published().with_by_layer(true).with_by_head(Some(HeadLayer::LastFull));
    let found = explainer.explain(&answer, &[Ask::Position(start + 1)], &options).unwrap();
    let target = &found.targets[0];
    let (heads, layers) = (target.heads().unwrap(), target.layers().unwrap());
    let model = explainer.inspection().language_model();
    assert_eq!(heads.carried.dim(), (model.layers, model.query_heads));
    for layer in 0..model.layers {
        let above = if layer + 1 < model.layers { layers.row(layer + 1).sum() } else { 1.0 };
        let added = layers.row(layer).sum() - above;
        let carried = heads.carried.row(layer).mean().unwrap();
        assert!(
            (added - carried).abs() <= 1e-4 * layers.row(0).sum(),
            "{layer}: {added} {carried}"
        );
    }
    let maps = heads.maps.as_ref().unwrap();
    assert_eq!(Some(&maps.layer), model.global_layers.last());
    for row in maps.attention.outer_iter() {
        assert!((row.sum() - 1.0).abs() < 1e-5);
    }
    let wrong = options.with_by_head(Some(HeadLayer::Number(99)));
    let error = explainer.explain(&answer, &[Ask::Last], &wrong).unwrap_err().to_string();
    assert!(error.contains("layer 99") && error.contains("the model has 7"), "{error}");
}

/// What goals leave at pictures comes of the sweep that explains them where half of the budget holds it, else of further ones.
#[test]
fn pictures_that_wait_for_a_sweep_of_their_own_have_the_same_maps() {
    let fixture = Fixture::open("two-images");
    let position = fixture.number("input_len");
    let asks: Vec<Ask> = (0..300).map(|n| Ask::Position(position + n % 3)).collect();
    let found = |memory_budget: u64| {
        let options = LoadOptions::default()
            .with_dtype(DtypeSpec::Float32)
            .with_device(DeviceSpec::Cpu)
            .with_processor(processor_options(&fixture))
            .with_context(Context::default().with_memory_budget(Some(memory_budget)));
        let source = ModelSource::Directory(fixture.model());
        let explainer = Explainer::load(&source, &options).unwrap();
        let answer = explainer.given(question(&fixture), "No changed pneumonia.").unwrap();
        let options = published().with_resolution(Resolution::Patches);
        let inspection = explainer.inspection();
        let part =
            4 * inspection.vision_tower().unwrap().tokens * inspection.language_model().width;
        let found = explainer.explain(&answer, &asks, &options);
        (found, (part * asks.len()) as u64)
    };
    let (expected, of_image) = found(1 << 30);
    let expected = expected.unwrap();
    // Half of it holds no image, or one of the two.
    for budget in [of_image * 3 / 2, of_image * 3] {
        let found = found(budget).0.unwrap();
        for (found, expected) in found.targets.iter().zip(&expected.targets) {
            for image in 0..2 {
                let [found, expected] =
                    [found, expected].map(|target| target.finer(image).unwrap());
                let expected = expected.patches.mapv(f64::from);
                assert_close("patches", &found.patches, &expected, Tolerance::Rounding);
            }
        }
    }
}
