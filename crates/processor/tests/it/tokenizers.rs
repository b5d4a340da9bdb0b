//! `tokenizer.json` files that are no tokenizer of Gemma's: each is an error that names file and field, none is a panic,
//! an abort or growth. Files as other writers spell them load.

use gemma3_processor::{Error, Message, ProcessorOptions, TextTokenizer};
use serde_json::{Map, Value, json};

use crate::checkpoint::{Copy, processor, tokenizer};

type Change = fn(&mut Map<String, Value>);

fn edited(change: impl FnOnce(&mut Map<String, Value>)) -> Result<TextTokenizer, Error> {
    let copy = Copy::new().edit("tokenizer.json", change);
    TextTokenizer::from_file(&copy.path().join("tokenizer.json"))
}

fn written(text: &str) -> Result<TextTokenizer, Error> {
    let copy = Copy::new().write("tokenizer.json", text);
    TextTokenizer::from_file(&copy.path().join("tokenizer.json"))
}

/// The error must name the file and `field`, and be short and clean whatever the file holds.
fn check(error: Error, field: &str) {
    let text = error.to_string();
    assert!(text.contains("tokenizer.json") && text.contains(field), "{field}: {text}");
    assert!(text.len() < 2500 && !text.contains(char::is_control), "{field}: {text:.2500}");
}

fn refused(field: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    check(edited(change).expect_err(field), field);
}

#[test]
fn parts_that_crash_or_grow_in_the_library_are_refused_by_name() {
    for charsmap in ["", "AAAA", "/////w==", "BAAAAP////9hYmM=", "CAAAAAAAAAAAAAAAYWJj"] {
        refused("`normalizer`", |c| {
            c["normalizer"] = json!({ "type": "Precompiled", "precompiled_charsmap": charsmap });
        });
    }
    let long = "ab".repeat(1 << 19);
    let replace = |content: &str| json!({ "type": "Replace", "pattern": { "Regex": "." }, "content": content });
    for normalizer in [
        replace(&long),
        replace("aaaaaaaaaaaaaaaa"),
        json!({ "type": "Sequence", "normalizers": vec![replace("aaaa"); 40] }),
        json!({ "type": "Prepend", "prepend": long }),
        json!({ "type": "Prepend", "prepend": "▁" }),
        json!({ "type": "NFKC" }),
        Value::Null,
    ] {
        refused("`normalizer`", |c| c["normalizer"] = normalizer);
    }
    for pre_tokenizer in [
        json!({ "type": "FixedLength", "length": 0 }),
        json!({ "type": "Split", "pattern": { "Regex": "(a+)+$" }, "behavior": "Isolated", "invert": false }),
        json!({ "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true }),
        json!("\u{1b}[2J\u{202e}"),
    ] {
        refused("`pre_tokenizer`", |c| c["pre_tokenizer"] = pre_tokenizer);
    }
    for decoder in [
        json!({ "type": "Fuse" }),
        json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }),
        Value::Null,
    ] {
        refused("`decoder`", |c| c["decoder"] = decoder);
    }
}

#[test]
fn post_processors_must_put_known_tokens_around_one_sequence() {
    let template = |single: Value, special: Value| json!({ "type": "TemplateProcessing", "single": single, "pair": [], "special_tokens": special });
    let a = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let b = json!({ "Sequence": { "id": "B", "type_id": 0 } });
    let begin = json!({ "SpecialToken": { "id": "<bos>", "type_id": 0 } });
    let bos = |ids: Value| json!({ "<bos>": { "id": "<bos>", "ids": ids, "tokens": ["<bos>"] } });
    for (field, value) in [
        ("post_processor.single", template(json!([b]), json!({}))),
        ("post_processor.single", template(json!([a, a]), json!({}))),
        ("post_processor.single", template(json!([]), json!({}))),
        (
            "post_processor.single",
            template(
                json!(vec![&begin; 20].into_iter().chain([&a]).collect::<Vec<_>>()),
                bos(json!([2])),
            ),
        ),
        ("post_processor.special_tokens", template(json!([begin, a]), json!({}))),
        ("post_processor.special_tokens", template(json!([begin, a]), bos(json!([3])))),
        ("post_processor.special_tokens", template(json!([begin, a]), bos(json!([2, 2])))),
        ("`post_processor`", json!({ "type": "TemplateProcessing" })),
        (
            "`post_processor`",
            json!({ "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true }),
        ),
        ("`post_processor`", json!({ "type": "Sequence", "processors": [] })),
        ("`post_processor`", template(json!([a]), json!({ "x".repeat(100_000): {} }))),
    ] {
        refused(field, |c| c["post_processor"] = value);
    }
}

#[test]
fn options_of_the_model_are_those_of_one_spelling() {
    for (name, value) in [
        ("type", json!("Unigram")),
        ("type", Value::Null),
        ("dropout", json!(0.5)),
        ("dropout", json!(0.0)),
        ("byte_fallback", json!(false)),
        ("ignore_merges", json!(true)),
        ("continuing_subword_prefix", json!("##")),
        ("end_of_word_suffix", json!("</w>")),
        ("unk_token", json!("<absent>")),
        ("unk_token", json!(3)),
        ("fuse_unk", json!("yes")),
        ("vocab", Value::Null),
        ("vocab", json!([])),
        ("merges", json!({})),
    ] {
        refused(&format!("model.{name}"), |c| c["model"][name] = value);
    }
    refused("surprise", |c| _ = c.insert("surprise".into(), json!(1)));
    refused("surprise", |c| {
        _ = c["model"].as_object_mut().unwrap().insert("surprise".into(), json!(1));
    });
    refused("`version`", |c| c["version"] = json!("2.0"));
    refused("`model`", |c| _ = c.remove("model"));
}

#[test]
fn vocabularies_hold_what_merges_and_bytes_need_once() {
    let long = "a".repeat(2000);
    let cases: [(&str, Change); 9] = [
        ("model.merges[0]", |c| c["model"]["merges"] = json!([["no", "such"]])),
        // Both are tokens, and together longer than any token: the library writes past its buffer.
        ("model.merges[0]", |c| {
            c["model"]["merges"] = json!([["<start_of_image>", "<image_soft_token>"]]);
        }),
        ("model.merges", |c| c["model"]["merges"] = json!(["a b c"])),
        ("model.merges", |c| c["model"]["merges"] = json!([["a", "b", "c"]])),
        ("model.merges", |c| c["model"]["merges"] = json!([[["a"], "b"]])),
        ("model.vocab", |c| c["model"]["vocab"]["one more"] = json!(0)),
        ("model.vocab", |c| c["model"]["vocab"]["one more"] = json!(4_000_000_000_u32)),
        ("model.vocab", |c| c["model"]["vocab"]["one more"] = json!(-1)),
        ("<0x41>", |c| _ = c["model"]["vocab"].as_object_mut().unwrap().remove("<0x41>")),
    ];
    for (field, change) in cases {
        refused(field, change);
    }
    refused("model.vocab", |c| c["model"]["vocab"][&long] = json!(517));
}

#[test]
fn added_tokens_have_the_ids_of_the_library_and_take_nothing_beside_them() {
    let cases: [(&str, Change); 8] = [
        ("added_tokens[1].id", |c| c["added_tokens"][1]["id"] = json!(9)),
        ("added_tokens[0].lstrip", |c| c["added_tokens"][0]["lstrip"] = json!(true)),
        ("added_tokens[0].rstrip", |c| c["added_tokens"][0]["rstrip"] = json!(true)),
        ("added_tokens[0].single_word", |c| c["added_tokens"][0]["single_word"] = json!(true)),
        ("added_tokens[0].content", |c| c["added_tokens"][0]["content"] = json!("")),
        ("added_tokens[0].content", |c| c["added_tokens"][0]["content"] = json!("a".repeat(2000))),
        ("`added_tokens`", |c| c["added_tokens"][0]["surprise"] = json!(true)),
        ("`added_tokens`", |c| {
            c["added_tokens"] = json!(vec![c["added_tokens"][0].clone(); 20_000]);
        }),
    ];
    for (field, change) in cases {
        refused(field, change);
    }
    let far = json!({
        "id": 9000, "content": "<far>", "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": false
    });
    refused(".id", |c| c["added_tokens"].as_array_mut().unwrap().push(far));
    refused("added_tokens.content", |c| {
        let mut token = c["added_tokens"][0].clone();
        token["content"] = json!("a".repeat(1024));
        c["added_tokens"] = json!(vec![token; 2000]);
    });
}

#[test]
fn nesting_and_size_are_bounded_before_anything_is_parsed() {
    let deep = "[".repeat(200_000);
    for (text, expected) in [
        (format!("{{\"normalizer\": {deep}"), "levels of nesting"),
        (format!("{{\"added_tokens\": [{}0]}}", "0,".repeat(13_000_000)), "values"),
        (String::new(), "EOF"),
        ("{}".into(), "`normalizer`"),
        ("[]".into(), "tokenizer.json"),
        ("{\"version\": \"\u{1b}[31m\"}".into(), "tokenizer.json"),
    ] {
        check(written(&text).unwrap_err(), expected);
    }
    let dir = Copy::new().remove("tokenizer.json");
    std::fs::create_dir(dir.path().join("tokenizer.json")).unwrap();
    assert!(matches!(dir.error(), Error::NotAFile { .. }));
}

#[test]
fn files_as_other_writers_spell_them_give_the_same_tokens() {
    let text = "No pleural  effusion.\n\n肺🫁<start_of_image>é";
    let expected = tokenizer().encode(text).unwrap();
    let cases: [(&str, Change); 6] = [
        ("merges as strings", |c| {
            let merges = c["model"]["merges"].as_array_mut().unwrap();
            for merge in merges {
                *merge =
                    format!("{} {}", merge[0].as_str().unwrap(), merge[1].as_str().unwrap()).into();
            }
        }),
        ("no pre-tokenizer", |c| c["pre_tokenizer"] = Value::Null),
        ("no post-processor", |c| _ = c.remove("post_processor")),
        ("empty affixes", |c| {
            c["model"]["continuing_subword_prefix"] = json!("");
            c["model"]["end_of_word_suffix"] = json!("");
        }),
        ("short model", |c| {
            let model = c["model"].as_object_mut().unwrap();
            for name in ["dropout", "ignore_merges", "fuse_unk", "unk_token"] {
                model.remove(name);
            }
        }),
        ("left from training", |c| {
            c["truncation"] = json!({ "max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right" });
            c["padding"] = json!({ "strategy": { "Fixed": 64 }, "direction": "Left", "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>", "pad_to_multiple_of": null });
        }),
    ];
    for (what, change) in cases {
        assert_eq!(edited(change).unwrap().encode(text).unwrap(), expected, "{what}");
    }
}

#[test]
fn what_stands_behind_a_sequence_is_put_there() {
    let around = json!({
        "type": "TemplateProcessing",
        "single": [
            { "SpecialToken": { "id": "<bos>", "type_id": 0 } },
            { "Sequence": { "id": "A", "type_id": 0 } },
            { "SpecialToken": { "id": "<eos>", "type_id": 0 } }
        ],
        "pair": [],
        "special_tokens": {
            "<bos>": { "id": "<bos>", "ids": [2], "tokens": ["<bos>"] },
            "<eos>": { "id": "<eos>", "ids": [1], "tokens": ["<eos>"] }
        }
    });
    let copy = Copy::new().edit("tokenizer.json", |c| c["post_processor"] = around).template("x");
    let ids = copy.load().unwrap().prepare(&[Message::user(0, "a")], &[]).unwrap().ids;
    let x = processor(ProcessorOptions::default()).tokenizer().encode("x").unwrap();
    assert_eq!(ids, [&[2], x.as_slice(), &[1]].concat());
}
