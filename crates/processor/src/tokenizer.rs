//! The checkpoint's tokenizer: text to ids and back.

mod file;
mod gguf;
mod lists;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use quantised_weights::Gguf;
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::Replace;
use tokenizers::{AddedToken, Tokenizer};

use self::file::{Around, TokenizerFile};
use crate::Error;
use crate::files;
use crate::spelling::Piece;

/// A `tokenizer.json` of the Gemma family: byte-pair encoding with byte fallback, spaces written as `▁`.
pub struct TextTokenizer {
    inner: Tokenizer,
    special: HashSet<u32>,
    size: usize,
    around: Around,
}

impl std::fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextTokenizer").field("size", &self.size).finish_non_exhaustive()
    }
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`. It must be a tokenizer as Gemma has it; vocabulary, merges, added tokens and what is
    /// put around a sequence are the file's, and truncation and padding it may ask for are left out, as transformers
    /// leaves them out.
    ///
    /// # Errors
    /// The file variants of [`Error`]; [`Error::Field`], [`Error::MissingField`] and [`Error::Tokenizer`] for its
    /// content.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        let bytes = files::read(path, files::TOKENIZER.bytes)?;
        let file = TokenizerFile::parse(path, &bytes)?;
        Self::build(path, file)
    }

    /// The tokenizer of a GGUF file. `sees`: the model has a vision tower beside it, so there must be a token for the places of pictures.
    ///
    /// # Errors
    /// [`Error::Gguf`], [`Error::Field`] and [`Error::Tokenizer`] for its vocabulary.
    pub fn from_gguf(model: &Gguf, sees: bool) -> Result<Self, Error> {
        Self::build(model.path(), gguf::read(model, sees)?)
    }

    /// The tokenizer of a file that was checked. The pre-tokenizer, which splits at spaces, is left out: the
    /// normalizer leaves none.
    fn build(path: &Path, file: TokenizerFile) -> Result<Self, Error> {
        let failed = |error: tokenizers::Error| Error::tokenizer(path, &error.to_string());
        let mut model = BPE::builder()
            .vocab_and_merges(file.vocabulary, file.merges)
            .byte_fallback(true)
            .fuse_unk(file.fuse_unknown);
        if let Some(unknown) = file.unknown {
            model = model.unk_token(unknown);
        }
        let mut inner = Tokenizer::new(model.build().map_err(failed)?);
        let spaces = Replace::new(" ", "▁").map_err(failed)?;
        inner.with_normalizer(Some(spaces)).map_err(failed)?;
        let added = file.added.iter().map(|token| {
            AddedToken::from(token.content.clone(), token.special).normalized(token.normalized)
        });
        inner.add_tokens(added).map_err(failed)?;
        // Ids are given by the library: that of the vocabulary, else the next one. The file must say the same.
        for (index, token) in file.added.iter().enumerate() {
            let own = inner.token_to_id(&token.content);
            if own != Some(token.id) {
                let expected = own.map_or("another".into(), |id| id.to_string());
                let field = format!("added_tokens[{index}].id");
                return Err(Error::field(path, &field, &token.id.to_string(), &expected));
            }
        }
        let special =
            file.added.iter().filter(|token| token.special).map(|token| token.id).collect();
        let size = inner.get_vocab_size(true);
        Ok(Self { inner, special, size, around: file.around })
    }

    /// Ids of `text`, without any token that stands at the beginning or end of a sequence.
    ///
    /// Text that spells a special token becomes that token.
    ///
    /// # Errors
    /// [`Error::Encode`] when the tokenizer's model cannot represent the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        match self.inner.encode_fast(text, false) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(Error::Encode { message: error.to_string() }),
        }
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

    /// Ids of `text` between the tokens that the tokenizer puts around a sequence.
    pub(crate) fn encode_sequence(&self, text: &str) -> Result<Vec<u32>, Error> {
        let Around { before, after } = &self.around;
        Ok([before.as_slice(), &self.encode(text)?, after].concat())
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
