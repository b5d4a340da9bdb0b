//! Text of tokens: equal to the tokenizer's own decoding, in one piece or streamed.

use gemma3_processor::{TextTokenizer, find_keyword};
use proptest::prelude::*;
use serde_json::json;
use tokenizers::Tokenizer;

use crate::checkpoint::{Copy, fixtures, tokenizer};

proptest! {
    #[test]
    fn spans_and_streams_give_the_text_that_tokenizers_decodes(
        // Beyond the vocabulary (517) and with many byte tokens (13 to 268).
        ids in prop::collection::vec(prop_oneof![0_u32..530, 13_u32..269, Just(13 + 0xC3), Just(13 + 0xA9)], 0..40)
    ) {
        let own = tokenizer();
        let library = Tokenizer::from_file(fixtures().join("checkpoint/tokenizer.json")).unwrap();
        let expected = library.decode(&ids, true).unwrap();
        prop_assert_eq!(&own.decode(&ids, true), &expected);
        prop_assert_eq!(own.decode(&ids, false), library.decode(&ids, false).unwrap());

        let spelled = own.spans(&ids);
        prop_assert_eq!(&spelled.text, &expected);
        prop_assert_eq!(spelled.spans.len(), ids.len());
        // Together the spans cover the text, and each is whole characters.
        let mut covered = 0;
        for (span, &id) in spelled.spans.iter().zip(&ids) {
            prop_assert!(spelled.text.get(span.clone()).is_some());
            if !span.is_empty() {
                prop_assert!(span.start <= covered);
                covered = covered.max(span.end);
            }
            prop_assert!(!own.is_special(id) || span.is_empty());
        }
        prop_assert_eq!(covered, spelled.text.len());

        let mut stream = own.stream();
        let mut streamed: String = ids.iter().filter_map(|&id| stream.push(id)).collect();
        streamed += &stream.finish().unwrap_or_default();
        prop_assert_eq!(streamed, expected);
    }

    #[test]
    fn text_survives_encoding_and_decoding(text in "[a-zA-Z0-9 .,é肺🫁\\n]{0,40}") {
        let own = tokenizer();
        let ids = own.encode(&text).unwrap();
        prop_assert_eq!(own.decode(&ids, true), text);
    }
}

#[test]
fn a_character_of_several_tokens_is_covered_by_all_of_them() {
    let own = tokenizer();
    let ids = own.encode("a🫁b").unwrap();
    let spelled = own.spans(&ids);
    assert_eq!(spelled.spans, [0..1, 1..5, 1..5, 1..5, 1..5, 5..6]);
    assert_eq!(find_keyword(&spelled, "🫁", 0, true).unwrap(), 1..5);
    assert_eq!(own.label(ids[1]), "<0xF0>");
}

#[test]
fn streams_emit_whole_characters_only() {
    let own = tokenizer();
    let mut stream = own.stream();
    let parts: Vec<Option<String>> =
        own.encode("a🫁b").unwrap().into_iter().map(|id| stream.push(id)).collect();
    let text = |s: &str| Some(s.to_owned());
    assert_eq!(parts, [text("a"), None, None, None, None, text("🫁b")]);
    assert_eq!(stream.finish(), None);
    assert_eq!(own.id("<end_of_turn>").and_then(|id| stream.push(id)), None);
}

#[test]
fn words_of_an_answer_are_found_as_tokens() {
    let own = tokenizer();
    let ids = own.encode("The lungs are normal. No pleural effusion, no nodule.").unwrap();
    let spelled = own.spans(&ids);
    let found = |word: &str, nth: usize| {
        let tokens = find_keyword(&spelled, word, nth, true).unwrap();
        own.decode(&ids[tokens], true).to_lowercase()
    };
    assert!(found("pleural effusion", 0).contains("pleural effusion"));
    assert_eq!(found("NO", 0).trim(), "no");
    assert_eq!(found("no", 1).trim(), "no");
    assert!(find_keyword(&spelled, "no", 2, true).is_err(), "not in normal, not in nodule");
    assert!(find_keyword(&spelled, "no", 2, false).is_ok());
}

#[test]
fn facts_of_the_vocabulary_are_exposed() {
    let own = tokenizer();
    assert_eq!(own.vocabulary_size(), 517);
    assert_eq!(own.id("<start_of_image>"), Some(10));
    assert_eq!(own.id("absent"), None);
    assert_eq!(own.label(9999), "<id 9999>");
    assert!(own.is_special(2) && !own.is_special(7));
    let split = own.split_trace(&own.encode("No effusion.").unwrap());
    assert!(split.trace.is_empty(), "this tokenizer has no thinking markers");
}

#[test]
fn the_thinking_trace_is_told_from_the_answer_by_the_tokenizers_ids() {
    let marker = |id: u32, content: &str| {
        json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": false
        })
    };
    let copy = Copy::new().edit("tokenizer.json", |c| {
        let added = c["added_tokens"].as_array_mut().unwrap();
        added.extend([marker(517, "<unused94>"), marker(518, "<unused95>")]);
    });
    let own = TextTokenizer::from_file(&copy.path().join("tokenizer.json")).unwrap();
    let ids = own.encode("<unused94>thought\nis it?<unused95>No effusion.").unwrap();
    let split = own.split_trace(&ids);
    assert_eq!(own.decode(&ids[split.answer], true), "No effusion.");
    assert_eq!(own.decode(&ids[split.trace], true), "<unused94>thought\nis it?<unused95>");
    let cut = own.split_trace(&own.encode("<unused94>thought").unwrap());
    assert!(cut.answer.is_empty() && !cut.trace.is_empty());
}
