//! A tokenizer of Gemma's kind (byte-fallback BPE, `▁` for the space, newline runs as single tokens) over made-up pieces.
//!
//! A few medical words come out as one token each; every other id is a word made of syllables, so that whatever the
//! model says can be read. The full vocabulary keeps the ids that are published for Gemma 3, so a prompt of known
//! ids gives the same ids here.

use std::collections::HashMap;

use checkpoint_files::companions::Ids;
use checkpoint_files::tokenizer::{self, AddedToken};
use serde_json::Value;

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Cut out of the text before anything else, and left out of decoded text.
    Control,
    /// Cut out of the text before anything else.
    Whole,
    /// A byte, a letter or the beginning of a word: something to build from.
    Part,
    /// What the model may say.
    Word,
}

#[derive(Debug, Clone)]
struct Piece {
    text: String,
    kind: Kind,
}

/// A piece in a vocabulary of `SentencePiece`.
pub(crate) struct SentencePiece<'a> {
    pub(crate) text: &'a str,
    /// The higher, the sooner it is built.
    pub(crate) score: f32,
    /// 1: normal, 3: control, 4: defined by the user, 6: a byte.
    pub(crate) kind: i32,
}

/// All pieces by id, and the merges that build words.
pub(crate) struct Vocabulary {
    pub(crate) ids: Ids,
    pieces: Vec<Piece>,
    merges: Vec<(String, String)>,
}

const WORDS: &str = "a acute an and any are at chest clear consolidation density effusion enlarged evidence expert \
    finding findings fracture heart image in is left lobe lower lung lungs mass model no nodule normal of on opacity \
    password patient pleural pneumonia pneumothorax radiologist right shows size small the there this upper what with \
    X-ray you";
/// Words that stand where no space comes before them.
const FIRST_WORDS: &str = "user model What The There Is You Describe No Normal";

/// The ids published for Gemma 3, other than those at the beginning.
const PUBLISHED: [(usize, &str); 8] = [
    (506, "▁the"),
    (563, "▁is"),
    (2364, "user"),
    (3689, "What"),
    (4368, "model"),
    (8918, "▁password"),
    (236_881, "?"),
    (107, "\n"),
];

impl Vocabulary {
    /// 768 pieces, all of them.
    pub(crate) fn tiny() -> Self {
        let ids = Ids { end_of_turn: 6, start_of_image: 11, end_of_image: 12, image: 13 };
        let mut table = Table::new(768);
        table.put_start(5);
        (1..=4).for_each(|count| table.put(6 + count, &"\n".repeat(count), Kind::Whole));
        table.put_image(ids);
        table.finish(ids, 14)
    }

    /// 262 145 pieces with the published ids.
    pub(crate) fn full() -> Self {
        let ids = Ids {
            end_of_turn: 106,
            start_of_image: 255_999,
            end_of_image: 256_000,
            image: 262_144,
        };
        let mut table = Table::new(262_145);
        table.put_start(105);
        table.put(5, "[multimodal]", Kind::Control);
        // `<unused94>` and `<unused95>` enclose the thinking trace of MedGemma.
        (0..=98).for_each(|n| table.put(6 + n, &format!("<unused{n}>"), Kind::Control));
        (1..=31).for_each(|count| table.put(106 + count, &"\n".repeat(count), Kind::Whole));
        (2..=31).for_each(|count| table.put(136 + count, &"▁".repeat(count), Kind::Whole));
        table.put_image(ids);
        for (id, text) in PUBLISHED.into_iter().filter(|(_, text)| *text != "\n") {
            let kind = if text == "?" { Kind::Part } else { Kind::Word };
            table.put(id, text, kind);
        }
        table.finish(ids, 238)
    }

    /// Rows of an embedding with `rows` rows that the model shall not say: all but words.
    pub(crate) fn quiet_rows(&self, rows: usize) -> Vec<usize> {
        let is_word =
            |row: usize| self.pieces.get(row).is_some_and(|piece| piece.kind == Kind::Word);
        (0..rows).filter(|&row| !is_word(row)).collect()
    }

    /// The pieces as `SentencePiece` has them. The place of pictures is left out where it is the last, as converters do.
    pub(crate) fn sentence_pieces(&self) -> impl Iterator<Item = SentencePiece<'_>> {
        let mut ranks: HashMap<String, usize> = HashMap::new();
        for (rank, (left, right)) in self.merges.iter().enumerate() {
            ranks.entry(format!("{left}{right}")).or_insert(rank);
        }
        let last = self.pieces.len() - 1;
        let count = if self.ids.image == last { last } else { self.pieces.len() };
        self.pieces.iter().take(count).map(move |piece| {
            let rank = ranks.get(&piece.text).copied().unwrap_or(self.merges.len());
            let kind = match piece.kind {
                Kind::Control => 3,
                Kind::Whole => 4,
                Kind::Part if piece.text.starts_with("<0x") => 6,
                Kind::Part | Kind::Word => 1,
            };
            SentencePiece { text: &piece.text, score: -(rank as f32), kind }
        })
    }

    /// `tokenizer.json`.
    pub(crate) fn to_json(&self) -> Value {
        let pieces = || self.pieces.iter().enumerate();
        let added = pieces().filter(|(_, piece)| matches!(piece.kind, Kind::Control | Kind::Whole));
        let added = added.map(|(id, piece)| AddedToken {
            id,
            text: &piece.text,
            special: piece.kind == Kind::Control,
        });
        let texts = self.pieces.iter().map(|piece| piece.text.as_str());
        tokenizer::to_json(texts, added, &self.merges)
    }
}

/// Pieces being put in their places.
struct Table {
    pieces: Vec<Option<Piece>>,
    known: HashMap<String, usize>,
    /// No place before this one is free.
    next: usize,
    merges: Vec<(String, String)>,
}

impl Table {
    fn new(count: usize) -> Self {
        Self { pieces: vec![None; count], known: HashMap::new(), next: 0, merges: Vec::new() }
    }

    fn put(&mut self, id: usize, text: &str, kind: Kind) {
        self.pieces[id] = Some(Piece { text: text.to_owned(), kind });
        self.known.insert(text.to_owned(), id);
    }

    /// Puts a new piece into the first free place; a known one may rise to a word.
    fn add(&mut self, text: &str, kind: Kind) {
        if let Some(&id) = self.known.get(text) {
            if kind == Kind::Word {
                self.put(id, text, kind);
            }
            return;
        }
        while self.pieces[self.next].is_some() {
            self.next += 1;
        }
        self.put(self.next, text, kind);
    }

    /// The control tokens that every Gemma has first; `turn` is the id of `<start_of_turn>`.
    fn put_start(&mut self, turn: usize) {
        for (id, text) in ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"].into_iter().enumerate() {
            self.put(id, text, Kind::Control);
        }
        self.put(turn, "<start_of_turn>", Kind::Control);
        self.put(turn + 1, "<end_of_turn>", Kind::Control);
    }

    fn put_image(&mut self, ids: Ids) {
        self.put(ids.start_of_image, "<start_of_image>", Kind::Control);
        self.put(ids.end_of_image, "<end_of_image>", Kind::Control);
        self.put(ids.image, "<image_soft_token>", Kind::Control);
    }

    /// Bytes from `first_byte` on, then letters, words and syllable words wherever there is room.
    fn finish(mut self, ids: Ids, first_byte: usize) -> Vocabulary {
        (0..256)
            .for_each(|byte| self.put(first_byte + byte, &format!("<0x{byte:02X}>"), Kind::Part));
        (b'!'..=b'~').for_each(|byte| self.add(&char::from(byte).to_string(), Kind::Part));
        self.add("▁", Kind::Part);
        // Merges with a space come first: they cannot begin inside a word, so each word is built from its front.
        WORDS.split_whitespace().for_each(|word| self.add_word(&format!("▁{word}")));
        FIRST_WORDS.split_whitespace().for_each(|word| self.add_word(word));
        let mut words = syllable_words();
        while self.pieces.iter().skip(self.next).any(Option::is_none) {
            let word = words.next().expect("there are a million of them");
            self.add(&word, Kind::Word);
        }
        let pieces =
            self.pieces.into_iter().map(|piece| piece.expect("the loop above left no place empty"));
        Vocabulary { ids, pieces: pieces.collect(), merges: self.merges }
    }

    /// A word and the merges that build it letter by letter.
    fn add_word(&mut self, word: &str) {
        for (merge, whole) in tokenizer::merges(word) {
            if !self.merges.contains(&merge) {
                self.merges.push(merge);
            }
            self.add(whole, if whole == word { Kind::Word } else { Kind::Part });
        }
        self.add(word, Kind::Word);
    }
}

/// ` bababa`, ` bababe`, …: three syllables each.
fn syllable_words() -> impl Iterator<Item = String> {
    let syllables: Vec<String> = "bcdfghjklmnprstvwxyz"
        .chars()
        .flat_map(|c| "aeiou".chars().map(move |v| format!("{c}{v}")))
        .collect();
    let count = syllables.len();
    (0..count.pow(3)).map(move |n| {
        // A stride prime to the count, so that neighbours do not look alike.
        let n = n * 123_457 % count.pow(3);
        let [a, b, c] = [n / count / count, n / count % count, n % count].map(|i| &syllables[i]);
        format!("▁{a}{b}{c}")
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use tokenizers::Tokenizer;

    use super::*;

    fn tokenizer(vocabulary: &Vocabulary) -> Tokenizer {
        vocabulary.to_json().to_string().parse().unwrap()
    }

    fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        tokenizer.encode(text, false).unwrap().get_ids().to_vec()
    }

    #[test]
    fn the_published_ids_come_out() {
        let tokenizer = tokenizer(&Vocabulary::full());
        let text = "<bos><start_of_turn>user\n\n\n<start_of_image><image_soft_token><end_of_image>\n\n\
                    What is the password?<end_of_turn>\n<start_of_turn>model\n";
        let expected = [
            2, 105, 2364, 109, 255_999, 262_144, 256_000, 108, 3689, 563, 506, 8918, 236_881, 106,
            107,
        ];
        let found = ids(&tokenizer, text);
        assert_eq!(found[..15], expected);
        assert_eq!(found[15..], [105, 4368, 107]);
        assert_eq!(ids(&tokenizer, "\n\n\n\n"), [110]);
        assert_eq!(ids(&tokenizer, "<unused94>"), [100]);
    }

    #[test]
    fn every_id_of_the_full_vocabulary_has_its_own_piece() {
        let vocabulary = Vocabulary::full();
        let texts: HashSet<_> = vocabulary.pieces.iter().map(|piece| &piece.text).collect();
        assert_eq!((vocabulary.pieces.len(), texts.len()), (262_145, 262_145));
    }

    #[test]
    fn the_tiny_one_takes_words_whole_and_other_text_in_parts() {
        let vocabulary = Vocabulary::tiny();
        assert_eq!(vocabulary.pieces.len(), 768);
        let tokenizer = tokenizer(&vocabulary);
        for word in WORDS.split_whitespace() {
            assert_eq!(ids(&tokenizer, &format!(" {word}")).len(), 1, "{word}");
        }
        for word in FIRST_WORDS.split_whitespace() {
            assert_eq!(ids(&tokenizer, word).len(), 1, "{word}");
        }
        let strange = "Zebra 12, ünd\n\n\n\n\n?";
        assert_eq!(tokenizer.decode(&ids(&tokenizer, strange), true).unwrap(), strange);
    }

    #[test]
    fn one_bos_is_added_to_a_text() {
        let encoding = tokenizer(&Vocabulary::tiny()).encode("What is the size?", true).unwrap();
        assert_eq!(encoding.get_tokens(), ["<bos>", "What", "▁is", "▁the", "▁size", "?"]);
    }

    #[test]
    fn words_alone_are_said_aloud() {
        let vocabulary = Vocabulary::tiny();
        let quiet = vocabulary.quiet_rows(800);
        assert!((0..270).all(|id| quiet.contains(&id)), "control tokens, newlines and bytes");
        assert!((768..800).all(|id| quiet.contains(&id)), "rows without a piece");
        let nodule = vocabulary.pieces.iter().position(|piece| piece.text == "▁nodule").unwrap();
        assert!(!quiet.contains(&nodule));
    }
}
