//! `tokenizer.json` as data: parsed here, within bounds, and held to a list of what is allowed.
//!
//! The parser of the crate `tokenizers` builds whatever a file asks for, and a hostile file makes it panic, abort or
//! grow (`Precompiled`, `FixedLength`, `Prepend`, chains of `Replace`). It never sees the file: the one tokenizer that
//! Gemma has is put together from the vocabulary, merges and added tokens that were checked here, and everything else
//! in the file must say that it is this tokenizer.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokenizers::models::bpe::{Merges, Vocab};

use crate::Error;
use crate::files::{TOKENIZER, check_shape};

use super::lists::{AtMost, Merge, Vocabulary};

/// Gemma 3 has 262 144.
pub(super) const MAX_TOKENS: usize = 1 << 20;
/// Gemma 3 has 514 906.
pub(super) const MAX_MERGES: usize = 2 << 20;
/// Gemma 3 has 6 415.
const MAX_ADDED: usize = 16_384;
/// Bytes of all added tokens together, which become an automaton; Gemma 3 has 71 000.
const MAX_ADDED_BYTES: usize = 1 << 20;
/// Bytes of a token; Gemma 3's longest has 93.
pub(super) const MAX_TOKEN_BYTES: usize = 1024;
/// Tokens that a sequence is put between; Gemma 3 has one.
const MAX_AROUND: usize = 16;
/// Bytes of a part other than vocabulary, merges and added tokens; Gemma 3's longest has 500.
const MAX_PART_BYTES: usize = 64 << 10;

/// What a checked `tokenizer.json` holds.
pub(super) struct TokenizerFile {
    /// Has a token for each of the 256 bytes, so every text can be written.
    pub(super) vocabulary: Vocab,
    /// Each joins two tokens of the vocabulary to a third.
    pub(super) merges: Merges,
    pub(super) added: Vec<AddedToken>,
    pub(super) unknown: Option<String>,
    pub(super) fuse_unknown: bool,
    /// What the tokenizer puts before and behind a sequence.
    pub(super) around: Around,
}

/// An entry of `added_tokens`: a token found literally in text.
#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "fields of the file")]
#[serde(deny_unknown_fields)]
pub(super) struct AddedToken {
    pub(super) id: u32,
    pub(super) content: String,
    single_word: bool,
    lstrip: bool,
    rstrip: bool,
    pub(super) normalized: bool,
    pub(super) special: bool,
}

impl AddedToken {
    /// A token as it stands in a text.
    pub(super) fn literal(id: u32, content: &str, special: bool) -> Self {
        let [single_word, lstrip, rstrip, normalized] = [false; 4];
        let content = content.to_owned();
        Self { id, content, single_word, lstrip, rstrip, normalized, special }
    }
}

/// Ids that the post-processor puts around a sequence.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Around {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Top<'a> {
    #[serde(borrow)]
    version: Option<&'a RawValue>,
    // What a training run left behind. transformers overwrites both for every text; nothing here reads them.
    #[serde(rename = "truncation")]
    _truncation: Option<IgnoredAny>,
    #[serde(rename = "padding")]
    _padding: Option<IgnoredAny>,
    added_tokens: Option<&'a RawValue>,
    normalizer: Option<&'a RawValue>,
    pre_tokenizer: Option<&'a RawValue>,
    post_processor: Option<&'a RawValue>,
    decoder: Option<&'a RawValue>,
    model: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<&'a RawValue>,
    dropout: Option<&'a RawValue>,
    unk_token: Option<&'a RawValue>,
    continuing_subword_prefix: Option<&'a RawValue>,
    end_of_word_suffix: Option<&'a RawValue>,
    fuse_unk: Option<&'a RawValue>,
    byte_fallback: Option<&'a RawValue>,
    ignore_merges: Option<&'a RawValue>,
    vocab: Option<&'a RawValue>,
    merges: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TemplateProcessing {
    #[serde(rename = "type")]
    _kind: IgnoredAny,
    single: Vec<TemplatePiece>,
    #[serde(rename = "pair")]
    _pair: IgnoredAny, // for two sequences, which a prompt never is
    special_tokens: BTreeMap<String, TemplateToken>,
}

#[derive(Deserialize)]
enum TemplatePiece {
    Sequence { id: String },
    SpecialToken { id: String },
}

#[derive(Deserialize)]
struct TemplateToken {
    ids: Vec<u32>,
    tokens: Vec<String>,
}

impl TokenizerFile {
    /// Parses and checks `bytes`, the content of `path`.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        check_shape(path, bytes, TOKENIZER)?;
        let top: Top<'_> = serde_json::from_slice(bytes)
            .map_err(|error| Error::tokenizer(path, &error.to_string()))?;
        let part = |field, raw| Part { path, field, raw };

        part("version", top.version).allow(&[json!("1.0"), Value::Null], "1.0")?;
        let spaces = json!({ "type": "Replace", "pattern": { "String": " " }, "content": "▁" });
        part("normalizer", top.normalizer).allow(&[spaces], "Replace of a space by ▁")?;
        let split = json!({
            "type": "Split", "pattern": { "String": " " }, "behavior": "MergedWithPrevious", "invert": false
        });
        part("pre_tokenizer", top.pre_tokenizer)
            .allow(&[split, Value::Null], "Split at a space, MergedWithPrevious, or null")?;
        let steps = json!({ "type": "Sequence", "decoders": [
            { "type": "Replace", "pattern": { "String": "▁" }, "content": " " },
            { "type": "ByteFallback" },
            { "type": "Fuse" },
        ] });
        // Text offsets follow these decoding steps (spelling.rs).
        part("decoder", top.decoder)
            .allow(&[steps], "a Sequence of Replace of ▁ by a space, ByteFallback, Fuse")?;

        let model: Model<'_> = part("model", top.model).required()?;
        let (fuse_unknown, unknown) = check_options(path, &model)?;
        let vocabulary: Vocabulary = part("model.vocab", model.vocab).required()?;
        let merges: AtMost<Merge, MAX_MERGES> = part("model.merges", model.merges).required()?;
        let merges = check_merges(path, &vocabulary.0, merges)?;
        check_bytes(path, &vocabulary.0)?;
        let added: Option<AtMost<AddedToken, MAX_ADDED>> =
            part("added_tokens", top.added_tokens).optional()?;
        let added = check_added(path, added.map_or(Vec::new(), |added| added.0))?;
        let mut file = Self {
            vocabulary: vocabulary.0,
            merges,
            added,
            unknown,
            fuse_unknown,
            around: Around::default(),
        };
        if let Some(unknown) = file.unknown.as_deref().filter(|token| file.id(token).is_none()) {
            return Err(Error::field(
                path,
                "model.unk_token",
                unknown,
                "a token of the vocabulary",
            ));
        }
        file.around = file.read_around(&part("post_processor", top.post_processor))?;
        Ok(file)
    }

    fn id(&self, token: &str) -> Option<u32> {
        let added = || self.added.iter().find(|added| added.content == token).map(|added| added.id);
        self.vocabulary.get(token).copied().or_else(added)
    }

    /// The post-processor: nothing, or tokens before and behind a sequence.
    fn read_around(&self, part: &Part<'_>) -> Result<Around, Error> {
        let value = part.value()?;
        if value.is_null() {
            return Ok(Around::default());
        }
        let expected =
            "TemplateProcessing that puts tokens before and behind one sequence, or null";
        if value["type"] != "TemplateProcessing" {
            return Err(part.wrong(&value.to_string(), expected));
        }
        let template: TemplateProcessing = part.required()?;
        let (mut around, mut sequences) = (Around::default(), 0);
        for piece in template.single {
            let name = match piece {
                TemplatePiece::Sequence { id } if id == "A" => {
                    sequences += 1;
                    continue;
                }
                TemplatePiece::Sequence { id } => {
                    return Err(part.inside("single", &format!("sequence {id}"), "sequence A"));
                }
                TemplatePiece::SpecialToken { id } => id,
            };
            let ids = self.ids_of(part, &name, template.special_tokens.get(&name))?;
            let side = if sequences == 0 { &mut around.before } else { &mut around.after };
            side.extend(ids);
        }
        if sequences != 1 {
            return Err(part.inside("single", &format!("{sequences} sequences A"), "one"));
        }
        let count = around.before.len() + around.after.len();
        if count > MAX_AROUND {
            let expected = format!("at most {MAX_AROUND}");
            return Err(part.inside("single", &format!("{count} special tokens"), &expected));
        }
        Ok(around)
    }

    /// Ids of a special token of the post-processor, which must be those that its tokens have.
    fn ids_of<'a>(
        &self,
        part: &Part<'_>,
        name: &str,
        token: Option<&'a TemplateToken>,
    ) -> Result<&'a [u32], Error> {
        let known = token.filter(|token| {
            let own: Option<Vec<u32>> = token.tokens.iter().map(|token| self.id(token)).collect();
            own.is_some_and(|own| own == token.ids)
        });
        let expected = "tokens of the vocabulary with their ids";
        known.map(|token| &*token.ids).ok_or_else(|| part.inside("special_tokens", name, expected))
    }
}

/// One part of the file, not parsed yet, with its name for messages.
struct Part<'a> {
    path: &'a Path,
    field: &'static str,
    raw: Option<&'a RawValue>,
}

impl<'a> Part<'a> {
    /// The part must be one of `allowed`; one that is absent counts as null.
    fn allow(&self, allowed: &[Value], expected: &str) -> Result<(), Error> {
        let value = self.value()?;
        if allowed.contains(&value) {
            return Ok(());
        }
        Err(self.wrong(&value.to_string(), expected))
    }

    /// A small part as it stands.
    fn value(&self) -> Result<Value, Error> {
        let length = self.raw.map_or(0, |raw| raw.get().len());
        if length > MAX_PART_BYTES {
            let expected = format!("at most {MAX_PART_BYTES}");
            return Err(self.wrong(&format!("{length} bytes long"), &expected));
        }
        self.optional::<Value>().map(Option::unwrap_or_default)
    }

    fn optional<T: Deserialize<'a>>(&self) -> Result<Option<T>, Error> {
        self.raw.map(|raw| T::deserialize(raw)).transpose().map_err(|error| {
            Error::tokenizer(self.path, &format!("field `{}`: {error}", self.field))
        })
    }

    fn required<T: Deserialize<'a>>(&self) -> Result<T, Error> {
        let missing = || Error::MissingField { path: self.path.into(), field: self.field.into() };
        self.optional()?.ok_or_else(missing)
    }

    fn wrong(&self, found: &str, expected: &str) -> Error {
        Error::field(self.path, self.field, found, expected)
    }

    fn inside(&self, name: &str, found: &str, expected: &str) -> Error {
        Error::field(self.path, &format!("{}.{name}", self.field), found, expected)
    }
}

/// Options of the model: only those under which a text has one spelling in tokens. Returns `fuse_unk` and `unk_token`.
fn check_options(path: &Path, model: &Model<'_>) -> Result<(bool, Option<String>), Error> {
    let part = |field, raw| Part { path, field, raw };
    let (none, no) = ([Value::Null], [Value::Null, json!(false)]);
    part("model.type", model.kind).allow(&[json!("BPE")], "BPE")?;
    // With dropout a text becomes other tokens every time.
    part("model.dropout", model.dropout).allow(&none, "null")?;
    let no_affix = [Value::Null, json!("")];
    part("model.continuing_subword_prefix", model.continuing_subword_prefix)
        .allow(&no_affix, "null")?;
    part("model.end_of_word_suffix", model.end_of_word_suffix).allow(&no_affix, "null")?;
    part("model.byte_fallback", model.byte_fallback).allow(&[json!(true)], "true")?;
    part("model.ignore_merges", model.ignore_merges).allow(&no, "false")?;
    let fuse: Option<bool> = part("model.fuse_unk", model.fuse_unk).optional()?;
    let unknown: Option<String> = part("model.unk_token", model.unk_token).optional()?;
    Ok((fuse.unwrap_or_default(), unknown))
}

/// Both tokens of a merge and the one they make must be in the vocabulary.
fn check_merges(
    path: &Path,
    vocabulary: &Vocab,
    merges: AtMost<Merge, MAX_MERGES>,
) -> Result<Merges, Error> {
    let mut joined = String::new();
    let mut checked = Merges::with_capacity(merges.0.len());
    for (index, Merge(left, right)) in merges.0.into_iter().enumerate() {
        joined.clear();
        joined.push_str(&left);
        joined.push_str(&right);
        let absent = [&left, &right, &joined].into_iter().find(|&t| !vocabulary.contains_key(t));
        if let Some(token) = absent {
            let field = format!("model.merges[{index}]");
            return Err(Error::field(path, &field, token, "tokens of the vocabulary"));
        }
        checked.push((left, right));
    }
    Ok(checked)
}

/// A character that the vocabulary lacks is written as its bytes, so there must be a token for each byte.
pub(super) fn check_bytes(path: &Path, vocabulary: &Vocab) -> Result<(), Error> {
    let absent = (0..=u8::MAX)
        .map(|byte| format!("<0x{byte:02X}>"))
        .find(|token| !vocabulary.contains_key(token));
    match absent {
        Some(token) => {
            let found = format!("without the token {token}");
            Err(Error::field(path, "model.vocab", &found, "a token for each of the 256 bytes"))
        }
        None => Ok(()),
    }
}

/// Added tokens are found as they stand in a text, without taking spaces beside them.
fn check_added(path: &Path, added: Vec<AddedToken>) -> Result<Vec<AddedToken>, Error> {
    for (index, token) in added.iter().enumerate() {
        let wrong = |name: &str, found: &str, expected: &str| {
            Err(Error::field(path, &format!("added_tokens[{index}].{name}"), found, expected))
        };
        let length = token.content.len();
        if !(1..=MAX_TOKEN_BYTES).contains(&length) {
            let expected = format!("1 to {MAX_TOKEN_BYTES}");
            return wrong("content", &format!("{length} bytes long"), &expected);
        }
        let options = [
            ("single_word", token.single_word),
            ("lstrip", token.lstrip),
            ("rstrip", token.rstrip),
        ];
        if let Some((name, _)) = options.iter().find(|(_, set)| *set) {
            return wrong(name, "true", "false");
        }
    }
    let bytes: usize = added.iter().map(|token| token.content.len()).sum();
    if bytes > MAX_ADDED_BYTES {
        let (found, expected) = (format!("{bytes} bytes"), format!("at most {MAX_ADDED_BYTES}"));
        return Err(Error::field(path, "added_tokens.content", &found, &expected));
    }
    Ok(added)
}
