//! The tokenizer of the checkpoints: byte-fallback BPE of Gemma's kind over the words of the reports.
//!
//! Words that matter are one piece each, `▁nodule`; some findings take two, `▁pneumo` `thorax` and `▁pleural` `▁effusion`, as
//! finding words do in a real vocabulary. Any other text is spelled in letters and bytes.

use std::collections::HashMap;

use checkpoint_files::companions::Ids;
use checkpoint_files::tokenizer::{self, AddedToken};
use serde_json::Value;

/// Ids that the configuration files name.
pub const IDS: Ids = Ids { end_of_turn: 6, start_of_image: 11, end_of_image: 12, image: 13 };

/// Tokens that stand for themselves wherever they are spelled, by id; those that are text are the runs of newlines.
const CONTROL: [&str; 14] = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "<start_of_turn>",
    "<end_of_turn>",
    "\n",
    "\n\n",
    "\n\n\n",
    "\n\n\n\n",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
];

/// Words after a space.
const WORDS: &str = "a an and clear device effusion in is left lower middle no nodule none on opacity pacemaker pleural \
    pneumo radiograph right side the there upper you zone Device Left Right";
/// Words at the beginning of a text, and the second halves of words.
const FIRST_WORDS: &str = "Describe Is No Right The There What Where Yes model user thorax";

/// All pieces by id, and the merges that build words.
pub struct Vocabulary {
    pieces: Vec<String>,
    known: HashMap<String, usize>,
    merges: Vec<(String, String)>,
}

impl Default for Vocabulary {
    fn default() -> Self {
        Self::new()
    }
}

impl Vocabulary {
    /// The one vocabulary of the project's checkpoints.
    pub fn new() -> Self {
        let mut made = Self { pieces: Vec::new(), known: HashMap::new(), merges: Vec::new() };
        for piece in CONTROL {
            made.add(piece);
        }
        (0..=255_u8).for_each(|byte| made.add(&format!("<0x{byte:02X}>")));
        (b'!'..=b'~').for_each(|byte| made.add(&char::from(byte).to_string()));
        made.add("▁");
        // Merges with a space come first: they cannot begin inside a word, so each word is built from its front.
        WORDS.split_whitespace().for_each(|word| made.add_word(&format!("▁{word}")));
        FIRST_WORDS.split_whitespace().for_each(|word| made.add_word(word));
        made
    }

    /// Number of pieces, the rows of the embedding.
    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    /// It is not.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    fn add(&mut self, piece: &str) {
        if !self.known.contains_key(piece) {
            self.known.insert(piece.to_owned(), self.pieces.len());
            self.pieces.push(piece.to_owned());
        }
    }

    /// A word and the merges that build it letter by letter.
    fn add_word(&mut self, word: &str) {
        for (merge, whole) in tokenizer::merges(word) {
            if !self.merges.contains(&merge) {
                self.merges.push(merge);
            }
            self.add(whole);
        }
    }

    /// `tokenizer.json`.
    pub fn to_json(&self) -> Value {
        let added = CONTROL.iter().enumerate();
        let added = added.map(|(id, text)| AddedToken { id, text, special: text.starts_with('<') });
        tokenizer::to_json(self.pieces.iter().map(String::as_str), added, &self.merges)
    }
}

#[cfg(test)]
mod tests {
    use gemma3_processor::TextTokenizer;

    use super::*;

    fn tokenizer() -> TextTokenizer {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, Vocabulary::new().to_json().to_string()).unwrap();
        TextTokenizer::from_file(&path).unwrap()
    }

    fn pieces(tokenizer: &TextTokenizer, text: &str) -> Vec<String> {
        tokenizer.encode(text).unwrap().into_iter().map(|id| tokenizer.label(id)).collect()
    }

    #[test]
    fn ids_are_where_the_configuration_says() {
        for (id, piece) in [
            (IDS.end_of_turn, "<end_of_turn>"),
            (IDS.start_of_image, "<start_of_image>"),
            (IDS.end_of_image, "<end_of_image>"),
            (IDS.image, "<image_soft_token>"),
        ] {
            assert_eq!(tokenizer().id(piece), Some(id as u32));
        }
        assert!(Vocabulary::new().len() < 768);
    }

    #[test]
    fn words_are_one_piece_and_some_findings_two() {
        let tokenizer = tokenizer();
        for word in WORDS.split_whitespace() {
            assert_eq!(pieces(&tokenizer, &format!(" {word}")), [format!(" {word}")]);
        }
        for word in FIRST_WORDS.split_whitespace() {
            assert_eq!(pieces(&tokenizer, word), [word]);
        }
        let found = pieces(&tokenizer, "Right lower zone: pneumothorax and pleural effusion.");
        let expected = [
            "Right",
            " lower",
            " zone",
            ":",
            " pneumo",
            "thorax",
            " and",
            " pleural",
            " effusion",
            ".",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn any_text_survives() {
        let tokenizer = tokenizer();
        let strange = "Zebra 12, ünd\n\n\n\n\n?";
        let ids = tokenizer.encode(strange).unwrap();
        assert_eq!(tokenizer.decode(&ids, true), strange);
    }
}
