//! The checkpoint's tokenizer: text to ids and back.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::json;
use tokenizers::Tokenizer;

use crate::Error;
use crate::files::{self, TOKENIZER_LIMIT};
use crate::spelling::Piece;

/// A `tokenizer.json` of the Gemma family: byte-pair encoding with byte fallback, spaces written as `▁`.
pub struct TextTokenizer {
    inner: Tokenizer,
    special: HashSet<u32>,
    size: usize,
}

impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTokenizer").field("size", &self.size).finish_non_exhaustive()
    }
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`. Truncation and padding it may ask for are switched off.
    ///
    /// # Errors
    /// [`Error::Read`] or [`Error::FileTooLarge`] for the file, [`Error::Tokenizer`] for its content.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path, TOKENIZER_LIMIT)?;
        let failed = |message: String| Error::Tokenizer { path: path.into(), message };
        // The library indexes into what the file says; a hostile one must not take the process down.
        let parsed = catch_unwind(AssertUnwindSafe(|| Tokenizer::from_bytes(&bytes)))
            .map_err(|_| failed("the parser crashed on it".into()))?;
        let mut inner = parsed.map_err(|error| failed(error.to_string()))?;
        inner.with_truncation(None).map_err(|error| failed(error.to_string()))?;
        inner.with_padding(None);
        check_decoder(&inner).map_err(failed)?;
        let added = inner.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        let size = inner.get_vocab_size(true);
        Ok(Self { inner, special, size })
    }

    /// Ids of `text`, without any token that stands at the beginning or end of a sequence.
    ///
    /// Text that spells a special token becomes that token.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's model cannot represent the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.encode_with(text, false)
    }

    /// The id of exactly this token, e.g. `<start_of_image>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The token as one writes it for people: spaces for `▁`; bytes stay `<0x0A>`; ids without a token are `<id 7>`.
    pub fn label(&self, id: u32) -> String {
        match self.inner.id_to_token(id) {
            Some(token) => token.replace('▁', " "),
            None => format!("<id {id}>"),
        }
    }

    /// The text of `ids`; `skip_special` leaves out special tokens. Ids without a token add nothing.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let pieces = ids.iter().map(|&id| self.piece(id, skip_special));
        crate::spelling::spell(pieces).text
    }

    /// How many tokens there are, added ones included.
    pub fn vocabulary_size(&self) -> usize {
        self.size
    }

    /// Whether a token is one of structure (`<bos>`, `<end_of_turn>`, …) and no text.
    pub fn is_special(&self, id: u32) -> bool {
        self.special.contains(&id)
    }

    /// Ids of `text`; `special` lets the tokenizer add what it puts around a sequence.
    pub(crate) fn encode_with(&self, text: &str, special: bool) -> Result<Vec<u32>, Error> {
        match self.inner.encode_fast(text, special) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(Error::Encode { message: error.to_string() }),
        }
    }

    /// The token as the vocabulary spells it.
    pub(crate) fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Tokens matched literally in text, each with whether it is special.
    pub(crate) fn added_tokens(&self) -> impl Iterator<Item = (String, bool)> {
        let added: HashMap<_, _> = self.inner.get_added_tokens_decoder().into_iter().collect();
        added.into_values().map(|token| (token.content, token.special))
    }

    /// What a token contributes to text.
    pub(crate) fn piece(&self, id: u32, skip_special: bool) -> Piece {
        if skip_special && self.is_special(id) {
            return Piece::Nothing;
        }
        self.inner.id_to_token(id).map_or(Piece::Nothing, |token| Piece::of_token(&token))
    }
}

/// Text offsets follow the decoding steps, so the file must ask for exactly the ones that are implemented.
fn check_decoder(tokenizer: &Tokenizer) -> Result<(), String> {
    let found = serde_json::to_value(tokenizer.get_decoder()).map_err(|error| error.to_string())?;
    let steps = found["decoders"].as_array().cloned().unwrap_or_default();
    let expected = [
        json!({ "type": "Replace", "pattern": { "String": "▁" }, "content": " " }),
        json!({ "type": "ByteFallback" }),
        json!({ "type": "Fuse" }),
    ];
    if found["type"] == "Sequence" && steps == expected {
        return Ok(());
    }
    Err(format!("its decoder is {found}, expected Replace ▁ by a space, ByteFallback, Fuse"))
}
