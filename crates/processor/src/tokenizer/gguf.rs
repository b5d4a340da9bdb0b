//! The tokenizer of a GGUF file: the vocabulary of `SentencePiece` with a score and a type for each token.
//!
//! `tokenizer.json` lists its merges; here they follow from the vocabulary, as transformers makes them when it converts such a vocabulary
//! (`convert_slow_tokenizer.py`): every cut of a token into two others, the token with the higher score first, then the longer left part, then
//! the longer right one. Tokens that users defined count as zero. For Gemma 3 that gives the 514 906 merges of its `tokenizer.json`, in their
//! order.

use std::collections::HashMap;

use quantised_weights::{Gguf, Value};
use tokenizers::models::bpe::Vocab;

use super::file::{AddedToken, Around, MAX_MERGES, MAX_TOKENS, TokenizerFile, check_bytes};
use crate::Error;

/// Bytes of a token; Gemma 3's longest has 93. All cuts of a token are looked up.
const LONGEST: usize = 256;
/// Bytes of all tokens; Gemma 3's have 1.9 million.
const MOST_BYTES: usize = 16 << 20;
const TOKENS: &str = "tokenizer.ggml.tokens";
/// What fills the place of a picture. Gemma 3 has it behind its vocabulary, and converters leave it out.
const SOFT_TOKEN: &str = "<image_soft_token>";

/// Types of tokens, by their numbers in a file.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// `sees`: the model has a vision tower, so there must be a token for places of pictures.
pub(super) fn read(model: &Gguf, sees: bool) -> Result<TokenizerFile, Error> {
    let wrong = |key: &str, reason: String| Error::from(model.wrong(key, reason));
    let kind = model.text("tokenizer.ggml.model")?;
    if kind != "llama" {
        let reason = format!("is {kind:?}; Gemma's vocabulary is of SentencePiece, \"llama\"");
        return Err(wrong("tokenizer.ggml.model", reason));
    }
    let tokens = model.texts(TOKENS)?;
    let (scores, kinds) =
        (model.floats("tokenizer.ggml.scores")?, model.integers("tokenizer.ggml.token_type")?);
    for (key, count) in
        [("tokenizer.ggml.scores", scores.len()), ("tokenizer.ggml.token_type", kinds.len())]
    {
        if count != tokens.len() {
            return Err(wrong(key, format!("has {count} entries for {} tokens", tokens.len())));
        }
    }
    if MAX_TOKENS < tokens.len() {
        return Err(wrong(TOKENS, format!("has {} entries, over {MAX_TOKENS}", tokens.len())));
    }
    if let Some(long) = tokens.iter().find(|token| LONGEST < token.len()) {
        let reason = format!("has a token of {} bytes, over {LONGEST}", long.len());
        return Err(wrong(TOKENS, reason));
    }
    if MOST_BYTES < tokens.iter().map(String::len).sum() {
        return Err(wrong(TOKENS, format!("has over {MOST_BYTES} bytes")));
    }
    if scores.iter().any(|score| !score.is_finite()) {
        return Err(wrong("tokenizer.ggml.scores", "has a number that is not finite".to_owned()));
    }
    // Runs of spaces are written with spaces there, and everything else with ▁.
    let tokens: Vec<String> = tokens.iter().map(|token| token.replace(' ', "▁")).collect();
    let mut vocabulary = Vocab::new();
    for (id, token) in tokens.iter().enumerate() {
        if vocabulary.insert(token.clone(), id as u32).is_some() {
            return Err(wrong(TOKENS, format!("has {token:?} twice")));
        }
    }
    check_bytes(model.path(), &vocabulary)?;
    let merges = merges(&tokens, &vocabulary, |id| match kinds[id] {
        USER_DEFINED => 0.0,
        _ => scores[id],
    });
    let merges = merges.ok_or_else(|| wrong(TOKENS, format!("makes over {MAX_MERGES} merges")))?;
    let mut added: Vec<AddedToken> = (0..tokens.len())
        .filter(|&id| matches!(kinds[id], CONTROL | USER_DEFINED) && !tokens[id].is_empty())
        .map(|id| AddedToken::literal(id as u32, &tokens[id], SPECIAL.contains(&&*tokens[id])))
        .collect();
    if sees && !vocabulary.contains_key(SOFT_TOKEN) {
        added.push(AddedToken::literal(tokens.len() as u32, SOFT_TOKEN, true));
    }
    let named = |key: &str| match model.metadata().get(key) {
        Some(&Value::Unsigned(id)) => usize::try_from(id).ok().and_then(|id| tokens.get(id)),
        _ => None,
    };
    let begin = named("tokenizer.ggml.bos_token_id").map(|token| vocabulary[token]);
    let adds = model.optional_flag("tokenizer.ggml.add_bos_token")?.unwrap_or(true);
    let around = Around { before: begin.filter(|_| adds).into_iter().collect(), after: Vec::new() };
    let unknown = named("tokenizer.ggml.unknown_token_id").cloned();
    Ok(TokenizerFile { vocabulary, merges, added, unknown, fuse_unknown: true, around })
}

/// Tokens of structure, as Gemma's `tokenizer.json` marks them. GGUF files call them control tokens or not as their converter liked, and the
/// unused tokens with them, which are text: models write some of them.
const SPECIAL: [&str; 9] = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
    SOFT_TOKEN,
];

/// The merges in order; `None` where there are too many.
fn merges(
    tokens: &[String],
    vocabulary: &Vocab,
    score: impl Fn(usize) -> f32,
) -> Option<Vec<(String, String)>> {
    // Lengths count characters, as in Python.
    let lengths: HashMap<&str, usize> =
        tokens.iter().map(|token| (token.as_str(), token.chars().count())).collect();
    let mut found = Vec::new();
    for (id, token) in tokens.iter().enumerate() {
        let mut cuts: Vec<(&str, &str)> = token
            .char_indices()
            .skip(1)
            .map(|(at, _)| token.split_at(at))
            .filter(|(left, right)| lengths.contains_key(left) && lengths.contains_key(right))
            .collect();
        cuts.sort_by_key(|(left, right)| (vocabulary[*left], vocabulary[*right]));
        found.extend(cuts.into_iter().map(|cut| (score(id), cut)));
        if MAX_MERGES < found.len() {
            return None;
        }
    }
    let key = |(left, right): &(&str, &str)| (lengths[left], lengths[right]);
    // Stable, and scores are finite. Python holds 0 and −0 for equal.
    found.sort_by(|(score, cut), (other_score, other)| {
        let by_score = other_score.partial_cmp(score).expect("scores are finite");
        by_score.then_with(|| key(other).cmp(&key(cut)))
    });
    Some(found.into_iter().map(|(_, (left, right))| (left.to_owned(), right.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_are_ordered_by_score_then_length_then_place() {
        let tokens = ["a", "b", "ab", "abb", "bb", "aba"].map(str::to_owned);
        let vocabulary = tokens.iter().cloned().zip(0..).collect();
        let scores = [0.0, 0.0, -1.0, -2.0, -1.0, 0.0];
        let found = merges(&tokens, &vocabulary, |id| scores[id]).unwrap();
        let found: Vec<(&str, &str)> =
            found.iter().map(|(left, right)| (left.as_str(), right.as_str())).collect();
        // "aba" has the best score; "ab" stands before "bb"; of the cuts of "abb" that with the longer left part.
        assert_eq!(found, [("ab", "a"), ("a", "b"), ("b", "b"), ("ab", "b"), ("a", "bb")]);
    }
}
