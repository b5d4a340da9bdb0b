//! `tokenizer.json` of Gemma's kind: byte-fallback BPE, `▁` for the space.

use serde_json::{Map, Value, json};

/// Cut out of the text before anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedToken<'a> {
    /// Its id.
    pub id: usize,
    /// Its text.
    pub text: &'a str,
    /// Whether decoding drops it.
    pub special: bool,
}

/// The merges that build a word letter by letter, from its front, each with the piece that it makes.
pub fn merges(word: &str) -> impl Iterator<Item = ((String, String), &str)> {
    let mut ends: Vec<usize> = word.char_indices().map(|(at, _)| at).skip(1).collect();
    ends.push(word.len());
    let pairs: Vec<[usize; 2]> = ends.windows(2).map(|pair| [pair[0], pair[1]]).collect();
    pairs.into_iter().map(|[front, whole]| {
        ((word[..front].to_owned(), word[front..whole].to_owned()), &word[..whole])
    })
}

/// `tokenizer.json` of pieces, in the order of their ids, and merges.
pub fn to_json<'a>(
    pieces: impl Iterator<Item = &'a str>,
    added: impl Iterator<Item = AddedToken<'a>>,
    merges: &[(String, String)],
) -> Value {
    let added: Vec<Value> = added.map(added_token).collect();
    let vocabulary: Map<String, Value> =
        pieces.enumerate().map(|(id, piece)| (piece.to_owned(), json!(id))).collect();
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": { "type": "Replace", "pattern": { "String": " " }, "content": "▁" },
        "pre_tokenizer": {
            "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false
        },
        "post_processor": post_processor(),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
                { "type": "ByteFallback" },
                { "type": "Fuse" },
            ]
        },
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": "<unk>",
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": true,
            "ignore_merges": false,
            "vocab": vocabulary,
            "merges": merges,
        },
    })
}

fn added_token(token: AddedToken<'_>) -> Value {
    json!({
        "id": token.id,
        "content": token.text,
        "single_word": false,
        "lstrip": false,
        "rstrip": false,
        "normalized": false,
        "special": token.special,
    })
}

/// `<bos>` goes before every text.
fn post_processor() -> Value {
    let bos = json!({ "SpecialToken": { "id": "<bos>", "type_id": 0 } });
    let sequence =
        |id: &str, type_id: usize| json!({ "Sequence": { "id": id, "type_id": type_id } });
    json!({
        "type": "TemplateProcessing",
        "single": [bos, sequence("A", 0)],
        "pair": [bos, sequence("A", 0), sequence("B", 1)],
        "special_tokens": { "<bos>": { "id": "<bos>", "ids": [2], "tokens": ["<bos>"] } },
    })
}

#[cfg(test)]
mod tests {
    use super::merges;

    #[test]
    fn a_word_is_built_from_its_front() {
        let built: Vec<_> = merges("▁né").collect();
        let merge = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(built, [(merge("▁", "n"), "▁n"), (merge("▁n", "é"), "▁né")]);
        assert_eq!(merges("a").count(), 0);
    }
}
