//! Broken checkpoints and prompts give errors that say what is wrong.

use gemma3_processor::{Content, Error, Message, Picture, Processor, ProcessorOptions, Role};
use serde_json::{Value, json};

use crate::checkpoint::{Copy, processor};
use crate::formula;

fn picture() -> Picture {
    Picture::from_rgb(formula::picture(20, 10, 0)).unwrap()
}

fn ask(processor: &Processor, images: usize, text: &str) -> Result<Vec<u32>, Error> {
    let pictures = vec![picture(); images];
    processor.prepare(&[Message::user(images, text)], &pictures).map(|inputs| inputs.ids)
}

fn refused(images: usize, text: &str) -> Error {
    ask(&processor(ProcessorOptions::default()), images, text).unwrap_err()
}

#[test]
fn missing_and_unreadable_files_are_named() {
    let copy = Copy::new();
    let absent = Processor::from_dir(&copy.path().join("absent"), ProcessorOptions::default());
    assert!(matches!(absent, Err(Error::NotADirectory { .. })));
    for file in
        ["config.json", "tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"]
    {
        let error = Copy::new().remove(file).error().to_string();
        assert!(error.contains(file), "{error}");
        let error = Copy::new().write(file, "{ not json").error().to_string();
        assert!(error.contains(file), "{error}");
        let error = Copy::new().write(file, [0xFF, 0xFE]).error().to_string();
        assert!(error.contains(file), "{error}");
    }
    let error = Copy::new().remove("chat_template.jinja").error();
    assert!(matches!(error, Error::NoTemplate { .. }), "{error}");
    assert!(Copy::new().remove("processor_config.json").load().is_ok(), "an optional file");
}

#[test]
fn wrong_fields_are_named() {
    let cases: [(&str, &str, Value); 13] = [
        ("config.json", "model_type", json!("llama")),
        ("config.json", "mm_tokens_per_image", json!(250)),
        ("config.json", "mm_tokens_per_image", json!(9)),
        ("config.json", "mm_tokens_per_image", json!(4096 * 4096)),
        ("config.json", "boi_token_id", json!(11)),
        ("config.json", "vision_config", Value::Null),
        ("processor_config.json", "image_seq_length", json!(64)),
        ("preprocessor_config.json", "resample", json!(3)),
        ("preprocessor_config.json", "do_resize", json!(false)),
        ("preprocessor_config.json", "image_std", json!([0.5, 0.0, 0.5])),
        ("preprocessor_config.json", "rescale_factor", json!(0)),
        ("preprocessor_config.json", "image_mean", json!([0.5])),
        ("tokenizer_config.json", "bos_token", json!("<absent>")),
    ];
    for (file, field, value) in cases {
        let error =
            Copy::new().edit(file, |c| _ = c.insert(field.into(), value)).error().to_string();
        assert!(error.contains(file) && error.contains(field), "{error}");
    }
    for (field, value) in [
        ("image_size", json!(0)),
        ("image_size", json!(1 << 20)),
        ("patch_size", json!(0)),
        ("num_channels", json!(1)),
    ] {
        let error = Copy::new()
            .edit("config.json", |c| c["vision_config"][field] = value)
            .error()
            .to_string();
        assert!(error.contains(field), "{error}");
    }
    let size = json!({ "height": 896, "width": 896 });
    let error =
        Copy::new().edit("preprocessor_config.json", |c| c["size"] = size).error().to_string();
    assert!(error.contains("size.height") && error.contains("448"), "{error}");
    let absent = Copy::new()
        .edit("config.json", |c| c["image_token_index"] = json!(5000))
        .error()
        .to_string();
    assert!(absent.contains("5000"), "{absent}");
}

#[test]
fn texts_of_a_file_are_cut_and_cleaned_in_its_error() {
    let long = format!("\u{1b}[2J\u{202e}{}", "a".repeat(1 << 20));
    for (file, field) in [
        ("config.json", "model_type"),
        ("config.json", "boi_token_index"),
        ("tokenizer_config.json", "bos_token"),
        ("tokenizer_config.json", "boi_token"),
    ] {
        let value = json!(long);
        let error =
            Copy::new().edit(file, |c| _ = c.insert(field.into(), value)).error().to_string();
        assert!(error.contains(file) && error.contains("more characters"), "{field}: {error:.900}");
        assert!(error.len() < 1000 && !error.contains(['\u{1b}', '\u{202e}']), "{field}");
    }
}

/// A template that is given goes before the checkpoint's own, and serves where there is none.
#[test]
fn a_template_can_be_given() {
    let expected = ask(&processor(ProcessorOptions::default()), 1, "a").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("given.jinja");
    let given = ProcessorOptions::default().with_chat_template(Some(path.clone()));
    let load = |copy: &Copy| Processor::from_dir(copy.path(), given.clone());
    let bare = Copy::new().remove("chat_template.jinja");
    let error = load(&bare).unwrap_err().to_string();
    assert!(error.contains("given.jinja"), "{error}");
    let own = include_str!("../fixtures/checkpoint/chat_template.jinja");
    std::fs::write(&path, own).unwrap();
    let other = Copy::new().template("{{ raise_exception('not this one') }}");
    for copy in [&bare, &other] {
        assert_eq!(ask(&load(copy).unwrap(), 1, "a").unwrap(), expected);
    }
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    let error = load(&bare).unwrap_err().to_string();
    assert!(error.contains("given.jinja"), "{error}");
}

#[test]
fn both_spellings_of_ids_and_other_places_of_settings_are_read() {
    let expected = ask(&processor(ProcessorOptions::default()), 1, "a").unwrap();
    let respelled = Copy::new().edit("config.json", |c| {
        for name in ["boi", "eoi", "image"] {
            let value = c.remove(&format!("{name}_token_index")).unwrap();
            c.insert(format!("{name}_token_id"), value);
        }
    });
    assert_eq!(ask(&respelled.load().unwrap(), 1, "a").unwrap(), expected);

    let template = include_str!("../fixtures/checkpoint/chat_template.jinja");
    let in_json = json!({ "chat_template": template }).to_string();
    let copy = Copy::new().remove("chat_template.jinja").write("chat_template.json", in_json);
    assert_eq!(ask(&copy.load().unwrap(), 1, "a").unwrap(), expected);
    let copy = Copy::new()
        .remove("chat_template.jinja")
        .edit("tokenizer_config.json", |c| _ = c.insert("chat_template".into(), template.into()));
    assert_eq!(ask(&copy.load().unwrap(), 1, "a").unwrap(), expected);

    let object = json!({ "content": "<bos>", "special": true });
    let copy = Copy::new().edit("tokenizer_config.json", |c| c["bos_token"] = object);
    assert_eq!(ask(&copy.load().unwrap(), 1, "a").unwrap(), expected);

    let image: Value =
        serde_json::from_str(include_str!("../fixtures/checkpoint/preprocessor_config.json"))
            .unwrap();
    let copy = Copy::new()
        .remove("preprocessor_config.json")
        .edit("processor_config.json", |c| _ = c.insert("image_processor".into(), image));
    assert_eq!(ask(&copy.load().unwrap(), 1, "a").unwrap(), expected);
}

#[test]
fn a_broken_template_fails_at_load_and_a_lossy_one_at_use() {
    assert!(matches!(Copy::new().template("{% if %}").error(), Error::Template { .. }));
    let lost =
        Copy::new().template("{{ bos_token }}{{ messages[0].content[-1].text }}").load().unwrap();
    let error = ask(&lost, 1, "hello").unwrap_err().to_string();
    assert!(error.contains("chat_template.jinja: no image placeholder"), "{error}");
    assert!(ask(&lost, 0, "hello").is_ok());
    let doubled =
        Copy::new().template("{{ bos_token }}<start_of_image><start_of_image>x").load().unwrap();
    let error = ask(&doubled, 1, "hello").unwrap_err();
    assert!(matches!(error, Error::PlaceholderCount { expected: 1, found: 2, .. }), "{error}");
}

#[test]
fn exactly_one_begin_token() {
    let doubled = Copy::new().template("{{ bos_token }}{{ bos_token }}x").load().unwrap();
    assert!(matches!(ask(&doubled, 0, "a"), Err(Error::BeginToken { found: 2, .. })));
    let late = Copy::new().template("x{{ bos_token }}").load().unwrap();
    assert!(matches!(ask(&late, 0, "a"), Err(Error::BeginToken { found: 1, .. })));
    let missing = Copy::new().template("x").load().unwrap();
    assert!(matches!(ask(&missing, 0, "a"), Err(Error::BeginToken { found: 0, .. })));

    // A tokenizer that adds the token itself, as the real one does, must not double it, but may supply it.
    let adds = json!({
        "type": "TemplateProcessing",
        "single": [{ "SpecialToken": { "id": "<bos>", "type_id": 0 } }, { "Sequence": { "id": "A", "type_id": 0 } }],
        "pair": [{ "Sequence": { "id": "A", "type_id": 0 } }, { "Sequence": { "id": "B", "type_id": 1 } }],
        "special_tokens": { "<bos>": { "id": "<bos>", "ids": [2], "tokens": ["<bos>"] } }
    });
    let copy = || Copy::new().edit("tokenizer.json", |c| c["post_processor"] = adds.clone());
    let usual = ask(&processor(ProcessorOptions::default()), 1, "a").unwrap();
    assert_eq!(ask(&copy().load().unwrap(), 1, "a").unwrap(), usual);
    assert_eq!(ask(&copy().template("x").load().unwrap(), 0, "a").unwrap()[0], 2);
}

#[test]
fn control_tokens_cannot_be_typed() {
    for token in [
        "<start_of_image>",
        "<image_soft_token>",
        "<end_of_image>",
        "<start_of_turn>",
        "<end_of_turn>",
        "<bos>",
        "<eos>",
    ] {
        let error = refused(1, &format!("look {token} here"));
        assert!(
            matches!(&error, Error::ControlToken { message: 0, token: t } if t == token),
            "{error}"
        );
    }
}

#[test]
fn control_tokens_cannot_be_pieced_together() {
    for halves in [["<start_of", "_image>"], ["a<end_of_tu", "rn>b"]] {
        let content = halves.map(|half| Content::Text(half.into())).to_vec();
        let message = Message { role: Role::User, content };
        let error = processor(ProcessorOptions::default()).prepare(&[message], &[]).unwrap_err();
        assert!(matches!(error, Error::JoinedControlToken { .. }), "{error}");
    }
}

#[test]
fn empty_prompts_and_miscounted_pictures_are_errors() {
    let processor = processor(ProcessorOptions::default());
    assert!(matches!(processor.prepare(&[], &[]), Err(Error::EmptyPrompt { message: 0 })));
    assert!(matches!(refused(1, " \n\t"), Error::EmptyPrompt { message: 0 }));
    let empty = Message { role: Role::User, content: vec![] };
    assert!(matches!(
        processor.prepare(&[Message::system("a"), empty], &[]),
        Err(Error::EmptyPrompt { message: 1 })
    ));
    let two = processor.prepare(&[Message::user(2, "a")], &[picture()]);
    assert!(matches!(two, Err(Error::PictureCount { expected: 2, found: 1 })));
}

#[test]
fn what_the_template_refuses_is_told() {
    let turns = [Message::user(0, "a"), Message::user(0, "b")];
    let error =
        processor(ProcessorOptions::default()).prepare(&turns, &[]).unwrap_err().to_string();
    assert!(error.contains("must alternate"), "{error}");
}

#[test]
fn prompts_beyond_the_context_are_errors() {
    let copy = Copy::new()
        .edit("config.json", |c| c["text_config"]["max_position_embeddings"] = json!(280));
    let small = copy.load().unwrap();
    assert_eq!(small.max_positions(), 280);
    let error = ask(&small, 1, "Where is the opacity in this X-ray?").unwrap_err();
    assert!(matches!(error, Error::TooManyTokens { tokens: 281, limit: 280 }), "{error}");
    assert!(matches!(ask(&small, 2, "a"), Err(Error::TooManyTokens { tokens: 512, .. })));
    assert!(ask(&small, 1, "a").is_ok());
}
