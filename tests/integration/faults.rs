//! Bad input at the facade: a clear error, no panic, nothing half-written.

use crate::damage::{NORM, WEIGHTS, try_load};
use crate::explainer::published;
use crate::explainer::{answer, load, options, question};
use crate::support::{one, pictures, processor_options};
use integration_tests::{Checkpoint, Fixture};
use medgemma_explainer::{
    Answer, AnswerOptions, Ask, Compared, DtypeSpec, Error, ErrorKind, ExplainOptions, Explainer,
    HeadFusion, HeadLayer, Layers, LoadOptions, Method, ModelSource, OutputFolder, Picture,
    PictureOptions, Presentation, Question, StopReason, Window,
};
use serde_json::Value;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

/// The parts stand in the message one after the other.
pub(crate) fn assert_says(what: &str, message: &str, parts: &[&str]) {
    let mut rest = message;
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            panic!("{what}: expected {part:?} in: {message}");
        };
        rest = behind;
    }
    assert!(!message.contains('\n'), "{what}: more than a line: {message}");
}

/// What answering `question` on `dir` gives.
fn ask(dir: &Path, question: Question) -> Result<Answer, Error> {
    let options = AnswerOptions::default()
        .with_max_new_tokens(2)
        .with_sampling(None)
        .with_stop(false)
        .with_record(true);
    try_load(dir)?.answer(question, &options, &mut |_| ControlFlow::Continue(()))
}

fn ask_error(what: &str, dir: &Path, question: Question, parts: &[&str]) {
    match ask(dir, question) {
        Ok(answer) => panic!("{what}: there should be no answer {:?}", answer.text()),
        Err(error) => assert_says(what, &error.to_string(), parts),
    }
}

#[test]
fn a_template_that_does_not_fit_is_an_error() {
    let fixture = Fixture::open("two-images");
    let checkpoint = Checkpoint::copy(&fixture);
    let template = fs::read_to_string(checkpoint.file("chat_template.jinja")).unwrap();
    let check = |template: String, parts: &[&str]| {
        checkpoint.write("chat_template.jinja", &template);
        ask_error("template", checkpoint.path(), question(&fixture), parts);
    };
    check(
        template.replace("<start_of_image>", ""),
        &["no image placeholder: `<start_of_image>` does not occur"],
    );
    check(
        template.replace("<start_of_image>", "<start_of_image><start_of_image>"),
        &["it wrote 4 image placeholders for 2 pictures"],
    );
    check(
        "{{ raise_exception('pictures are forbidden') }}".to_owned(),
        &["chat template ", "pictures are forbidden"],
    );
    let doubled = format!("{{{{ bos_token }}}}{template}");
    check(doubled, &["the prompt has 2 `<bos>` tokens and must begin with exactly one"]);
    check("{% for i in range(1000000000) %}{{ i }}{% endfor %}".to_owned(), &["chat template "]);
}

#[test]
fn a_prompt_that_does_not_fit_is_an_error() {
    let fixture = Fixture::open("short-window");
    let checkpoint = Checkpoint::copy(&fixture);
    let dir = checkpoint.path();
    for prompt in ["", " \n\t"] {
        let question = Question::new(pictures(&fixture), prompt);
        ask_error(
            "empty prompt",
            dir,
            question,
            &["the prompt is empty; ask something about the pictures"],
        );
    }
    let system = question(&fixture).with_system(" ");
    ask_error(
        "empty system",
        dir,
        system,
        &["the system prompt is empty; leave it out or write one"],
    );
    let control = Question::new(pictures(&fixture), "a<start_of_image>b");
    ask_error("control", dir, control, &["contains the control token `<start_of_image>`"]);

    let limit = |limit: usize| {
        checkpoint.edit("config.json", |config| {
            config["text_config"]["max_position_embeddings"] = limit.into();
        });
    };
    limit(80);
    let parts = [
        "the prompt has at least 87 tokens, the model takes 80; shorten the text or give fewer pictures",
    ];
    ask_error("too long", dir, question(&fixture), &parts);
    limit(60); // fewer than the picture takes
    ask_error("too long", dir, question(&fixture), &["the model takes 60; shorten"]);

    limit(88);
    let answer = ask(dir, question(&fixture)).unwrap();
    assert_eq!(
        (answer.generated().tokens.len(), answer.generated().stop),
        (1, StopReason::Context)
    );
    limit(87);
    let explainer = try_load(dir).unwrap();
    let full = explainer
        .answer(question(&fixture), &AnswerOptions::default(), &mut |_| ControlFlow::Continue(()));
    let error = one(&explainer, &full.unwrap(), Ask::Last, &published()).unwrap_err();
    assert_says(
        "full",
        &error,
        &["the model gave no answer, so nothing can be explained: the prompt fills its context"],
    );
}

#[test]
fn only_what_the_model_made_can_be_explained() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let keyword = |word: &str, occurrence| Ask::Keyword { word: word.to_owned(), occurrence };
    for (ask, parts) in [
        (
            Ask::Position(0),
            vec!["position 0 is the first token of the prompt", "the answer begins at position 87"],
        ),
        (
            Ask::Position(2),
            vec!["position 2 (\"us\") is in the prompt; the answer begins at position 87"],
        ),
        (Ask::Position(86), vec!["position 86 (\"\\n\") is in the prompt"]),
        (Ask::Position(6), vec!["position 6 is an image token; the answer begins at position 87"]),
        (Ask::Position(69), vec!["position 69 is an image token"]),
        (keyword(" ", 0), vec!["the keyword is empty"]),
    ] {
        let asks = [Ask::Last, ask.clone()];
        let error = explainer.explain(&answer, &asks, &published()).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::NotInAnswer, "{ask:?}");
        assert_says(&format!("{ask:?}"), &error.to_string(), &parts);
    }
}

/// Nobody knows the words of an answer before it is made: one that is missing is told, and the rest is explained.
#[test]
fn what_the_answer_does_not_have_is_told_and_the_rest_is_explained() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let text = fixture.text("generated_text");
    let keyword = |word: &str, occurrence| Ask::Keyword { word: word.to_owned(), occurrence };
    let found = format!("in the text: {text}");
    for (ask, parts) in [
        (
            Ask::Position(97),
            vec!["position 97 is past the end; the answer is at positions 87..=96"],
        ),
        (Ask::Position(usize::MAX), vec!["is past the end"]),
        (keyword("heart", 0), vec!["`heart` does not occur as a whole word ", &found]),
        (keyword("pneumonia", 0), vec!["`pneumonia` does not occur as a whole word ", &found]), // neuremopneumonia
        (keyword("nodule", 0), vec!["`nodule` does not occur", &found]), // only in the prompt
        (keyword("yes", 1), vec!["`yes` occurs once and has no occurrence 2 ", &found]),
        (keyword("changed", 2), vec!["`changed` occurs 2 times and has no occurrence 3 ", &found]),
        (keyword("changed", usize::MAX), vec!["`changed` occurs 2 times"]),
        (Ask::Sentence(40), vec!["there is no sentence 41"]),
        (Ask::Field("label".to_owned()), vec!["no JSON field \"label\""]),
        (Ask::Characters(0..900), vec!["characters 0..900 are not in the answer"]),
    ] {
        let asks = [ask.clone(), Ask::Answer];
        let all = explainer.explain(&answer, &asks, &published()).unwrap();
        assert_eq!(all.targets.len(), 1, "{ask:?}");
        assert_eq!(all.targets[0].positions(), answer.positions(), "{ask:?}");
        assert_eq!(all.missing.len(), 1, "{ask:?}");
        assert_eq!(all.missing[0].ask, ask);
        assert_says(&format!("{ask:?}"), &all.missing[0].reason, &parts);
    }
    let word = |occurrence| one(&explainer, &answer, keyword("yes", occurrence), &published());
    assert!(word(0).is_ok() && word(1).is_err_and(|why| why.contains("has no occurrence 2")));
}

/// What does not depend on the answer is refused before there is one.
#[test]
fn mistakes_are_told_before_the_model_runs() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let question = question(&fixture);
    let check = |asks: &[Ask], options: &ExplainOptions| {
        explainer.check(&question, asks, options).map_err(|error| error.to_string())
    };
    let with = |change: &dyn Fn(&mut ExplainOptions)| {
        let mut options = published();
        change(&mut options);
        check(&[], &options).unwrap_err()
    };
    assert_eq!(check(&[Ask::Position(87), Ask::Position(9000), Ask::Answer], &published()), Ok(()));
    for (position, part) in [
        (0, "position 0 is the first token of the prompt"),
        (2, "position 2 (\"us\") is in the prompt; the answer begins at position 87"),
        (69, "position 69 is an image token"),
        (86, "position 86 (\"\\n\") is in the prompt"),
    ] {
        assert_says(
            "position",
            &check(&[Ask::Position(position)], &published()).unwrap_err(),
            &[part],
        );
    }
    assert_says("head", &with(&|options| options.folding.heads = HeadFusion::One(99)), &["99"]);
    let range = |options: &mut ExplainOptions| options.folding.layers = Layers::Range(3..99);
    assert_says("layers", &with(&range), &["3..99"]);
    let map = |options: &mut ExplainOptions| options.by_head = Some(HeadLayer::Number(99));
    assert_says("head layer", &with(&map), &["layer 99"]);
    let cam = |options: &mut ExplainOptions| {
        options.methods = vec![Compared::Other(Method::GradCamAttention { layer: 99 })];
    };
    assert_says("Grad-CAM", &with(&cam), &["layer 99"]);
}

#[test]
fn an_answer_without_tokens_cannot_be_explained() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let options = options(&fixture).with_max_new_tokens(0);
    let answer =
        explainer.answer(question(&fixture), &options, &mut |_| ControlFlow::Continue(())).unwrap();
    for ask in [Ask::Last, Ask::Position(0), Ask::Position(105), Ask::Answer] {
        let error = explainer.explain(&answer, &[ask], &published()).unwrap_err();
        assert_says(
            "no answer",
            &error.to_string(),
            &["the model gave no answer, so nothing can be explained: no token was asked for"],
        );
    }
    let none = explainer.explain(&answer, &[], &published()).unwrap();
    assert!(none.targets.is_empty());
}

#[test]
fn a_model_that_computes_nan_is_an_error_that_names_the_layer() {
    let layer = NORM.replace("model.norm", "model.layers.2.post_feedforward_layernorm");
    for (tensor, expected) in [
        (NORM, "the logits at position 104 are not finite;"),
        (&layer, "the logits at position 104 are not finite, from the output of layer 2 on;"),
    ] {
        let fixture = Fixture::open("two-images");
        let checkpoint = Checkpoint::copy(&fixture);
        fill_with_nan(&checkpoint, tensor);
        ask_error("NaN", checkpoint.path(), question(&fixture), &[expected]);
    }
}

fn fill_with_nan(checkpoint: &Checkpoint, tensor: &str) {
    let (mut start, mut end) = (0, 0);
    checkpoint.edit_header(WEIGHTS, |header| {
        [start, end] =
            [0, 1].map(|side| header[tensor]["data_offsets"][side].as_u64().unwrap() as usize);
    });
    let mut bytes = fs::read(checkpoint.file(WEIGHTS)).unwrap();
    let data = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[data + start..data + end].fill(0xff);
    checkpoint.write(WEIGHTS, bytes);
}

/// Bytes of a BMP header for 24-bit pixels, without pixels.
fn bitmap(width: i32, height: i32) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [54u32, 0, 54, 40] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(width.to_le_bytes());
    bytes.extend(height.to_le_bytes());
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes
}

#[test]
fn a_picture_that_is_none_is_an_error() {
    let fixture = Fixture::open("two-images");
    let png = fs::read(&fixture.pictures()[0]).unwrap();
    let jpeg = fs::read(Fixture::folder().join("pictures/orientation6.jpg")).unwrap();
    let half = |bytes: &[u8]| bytes[..bytes.len() / 2].to_vec();
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, parts) in [
        (
            "text.png",
            b"this is text".to_vec(),
            &["text.png is not a picture; PNG, JPEG, TIFF, WebP and BMP can be read"][..],
        ),
        ("empty.png", vec![], &["empty.png is not a picture"]),
        ("half.png", half(&png), &["half.png: the picture is truncated"]),
        ("half.jpg", half(&jpeg), &["half.jpg: the picture is truncated"]),
        ("none.bmp", bitmap(10, 10), &["none.bmp: the picture is truncated"]),
        (
            "wide.bmp",
            bitmap(40_000, 10),
            &["wide.bmp: the longest side in pixels is 40000, the limit is 32768"],
        ),
        (
            "bomb.bmp",
            bitmap(30_000, 30_000),
            &["bomb.bmp: the number of pixels is 900000000, the limit is 67108864"],
        ),
        ("zero.bmp", bitmap(0, 10), &["zero.bmp: "]),
        ("flat.bmp", bitmap(10, 0), &["flat.bmp: "]),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = Picture::open(&path, &PictureOptions::default()).unwrap_err();
        assert_says(name, &error.to_string(), parts);
    }
    let missing =
        Picture::open(&folder.path().join("no.png"), &PictureOptions::default()).unwrap_err();
    assert_says("no.png", &missing.to_string(), &["cannot read ", "no.png: "]);
    let grey = Fixture::folder().join("pictures/grey16.png");
    let window = Some(Window::Range { low: 9, high: 9 });
    let empty = Picture::open(&grey, &PictureOptions::default().with_window(window)).unwrap_err();
    assert_says("window", &empty.to_string(), &["the window 9..9 is empty or out of order"]);
}

/// Every name in a folder, hidden ones included.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_output_folder_that_cannot_be_written_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("a"), file.join("a/b")] {
        let error = OutputFolder::create(&path, &[]).unwrap_err().to_string();
        assert_says("output", &error, &["cannot write ", "file"]);
    }
    assert_eq!(names(root.path()), ["file"]);
    if Path::new("/proc/self").exists() {
        for path in ["/proc", "/proc/x/y", "/proc/self/x"] {
            let error = OutputFolder::create(Path::new(path), &[]).unwrap_err().to_string();
            assert_says(path, &error, &["cannot write /proc"]);
        }
    }
}

#[test]
fn a_name_that_is_taken_by_a_folder_spoils_nothing() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let all = explainer.explain(&answer, &[Ask::Last], &published()).unwrap();
    let root = tempfile::tempdir().unwrap();
    let write = || {
        let folder = OutputFolder::create(root.path(), &[])?;
        explainer.write(folder, &answer, &all, &Presentation::default())
    };
    write().unwrap();
    let arrays = root.path().join("explanation.npz");
    fs::remove_file(&arrays).unwrap();
    fs::create_dir_all(arrays.join("inside")).unwrap();
    let before = names(root.path());
    let error = write().unwrap_err().to_string();
    assert_says("taken", &error, &[" holds explanation.npz, and ", "choose another folder"]);
    assert_eq!(names(root.path()), before);
    let record = fs::read_to_string(root.path().join("explanation.json")).unwrap();
    assert!(serde_json::from_str::<Value>(&record).is_ok());
}

#[test]
fn options_of_pictures_that_cannot_be_are_errors() {
    let fixture = Fixture::open("two-images");
    let mut processor = processor_options(&fixture);
    processor.pan_and_scan = true;
    processor.crops.max_crops = 0;
    let options = LoadOptions::default().with_processor(processor);
    let loaded = Explainer::load(&ModelSource::Directory(fixture.model()), &options);
    assert_says("crops", &loaded.err().unwrap().to_string(), &["pan-and-scan: `max_crops` is 0; "]);
}
