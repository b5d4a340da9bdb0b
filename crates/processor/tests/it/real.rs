//! The real tokenizer of Gemma 3, from `tokenizer.json` and from the vocabulary of a GGUF file, held against ids that the crate `tokenizers`
//! gave for its file (`tests/fixtures/real`).

use std::fs::File;
use std::path::PathBuf;

use gemma3_processor::{Message, Processor, ProcessorOptions, TextTokenizer};
use quantised_weights::Gguf;
use serde_json::Value;

/// The folder that `cargo xtask setup --real-weights` makes; `None`, said aloud, where the tests are not told of one.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("REAL_WEIGHTS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: REAL_WEIGHTS is not set (cargo xtask setup --real-weights)");
    }
    folder
}

fn header(folder: &std::path::Path) -> Gguf {
    let path = folder.join("gemma-3-270m-q4_k_m.gguf");
    Gguf::read(&path, File::open(&path).unwrap()).unwrap()
}

fn table() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/real/tokens.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn token_ids_are_those_of_the_real_tokenizer_from_either_file() {
    let Some(folder) = folder() else { return };
    let from_json = TextTokenizer::from_file(&folder.join("tokenizer.json")).unwrap();
    let from_gguf = TextTokenizer::from_gguf(&header(&folder), false).unwrap();
    let table = table();
    let corpus = table["corpus"].as_array().unwrap();
    assert!(30 < corpus.len());
    for entry in corpus {
        let (text, expected) = (entry["text"].as_str().unwrap(), ids(&entry["ids"]));
        assert_eq!(from_json.encode(text).unwrap(), expected, "tokenizer.json: {text:?}");
        assert_eq!(from_gguf.encode(text).unwrap(), expected, "GGUF: {text:?}");
        assert_eq!(from_gguf.decode(&expected, false), from_json.decode(&expected, false));
    }
    for id in 0..from_gguf.vocabulary_size() as u32 {
        assert_eq!(from_gguf.is_special(id), from_json.is_special(id), "{}", from_json.label(id));
    }
}

#[test]
fn a_base_model_continues_its_prompt_behind_one_bos() {
    let Some(folder) = folder() else { return };
    let processor =
        Processor::from_gguf(&header(&folder), None, ProcessorOptions::default()).unwrap();
    for run in table()["runs"].as_object().unwrap().values() {
        let expected = ids(&run["ids"]);
        let text = processor.tokenizer().decode(&expected, true);
        let prepared = processor.prepare(&[Message::user(0, &text)], &[]).unwrap();
        assert_eq!(prepared.ids, expected);
    }
    // What it cannot do is said.
    let picture = gemma3_processor::Picture::from_rgb(image::RgbImage::new(8, 8)).unwrap();
    let error = processor.prepare(&[Message::user(1, "x")], &[picture]).unwrap_err().to_string();
    assert!(error.contains("sees no pictures"), "{error}");
    let turns = [Message::user(0, "x"), Message::user(0, "y")];
    let error = processor.prepare(&turns, &[]).unwrap_err().to_string();
    assert!(error.contains("no chat template"), "{error}");
    let error = processor.prepare(&[Message::user(0, "a<end_of_turn>")], &[]).unwrap_err();
    assert!(error.to_string().contains("<end_of_turn>"), "{error}");
}
