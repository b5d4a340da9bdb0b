//! The sentences.

/// What kind of knowledge decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// The number of the subject decides that of the verb, with a noun of the same number between them.
    Agreement,
    /// The same with a noun of the other number between them (Linzen, Dupoux and Goldberg 2016).
    Attraction,
    /// The country decides its capital.
    Capital,
}

/// A beginning, and the two words that could follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its kind.
    pub family: Family,
    /// The words of the beginning.
    pub words: Vec<String>,
    /// Which of them decides.
    pub deciding: usize,
    /// The word in its place with which the foil is right.
    pub twin: String,
    /// What follows, with the space before it.
    pub right: String,
    /// What does not.
    pub foil: String,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Agreement, Self::Attraction, Self::Capital];

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Agreement => "agreement",
            Self::Attraction => "agreement across another number",
            Self::Capital => "capital",
        }
    }
}

impl Item {
    /// The beginning.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }

    /// The beginning of the twin.
    pub fn twin_text(&self) -> String {
        let mut words = self.words.clone();
        words[self.deciding].clone_from(&self.twin);
        words.join(" ")
    }

    /// The beginning without one of its words.
    pub fn without(&self, word: usize) -> String {
        let mut words = self.words.clone();
        words.remove(word);
        words.join(" ")
    }

    /// All sentences.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = (0..NOUNS.len()).flat_map(agreement).collect();
        all.extend((0..CAPITALS.len()).flat_map(capitals));
        all
    }
}

/// Subject and the noun behind it, each as one and as several, with what stands between.
const NOUNS: [([&str; 2], &str, [&str; 2]); 16] = [
    (["key", "keys"], "to the", ["cabinet", "cabinets"]),
    (["picture", "pictures"], "of the", ["tower", "towers"]),
    (["report", "reports"], "about the", ["patient", "patients"]),
    (["scan", "scans"], "of the", ["lung", "lungs"]),
    (["author", "authors"], "of the", ["book", "books"]),
    (["doctor", "doctors"], "near the", ["bed", "beds"]),
    (["student", "students"], "behind the", ["teacher", "teachers"]),
    (["box", "boxes"], "on the", ["shelf", "shelves"]),
    (["letter", "letters"], "from the", ["friend", "friends"]),
    (["car", "cars"], "beside the", ["house", "houses"]),
    (["nurse", "nurses"], "with the", ["chart", "charts"]),
    (["tree", "trees"], "behind the", ["wall", "walls"]),
    (["door", "doors"], "of the", ["room", "rooms"]),
    (["bird", "birds"], "above the", ["roof", "roofs"]),
    (["shadow", "shadows"], "beneath the", ["rib", "ribs"]),
    (["window", "windows"], "of the", ["shop", "shops"]),
];

/// So that the noun behind the subject is not the last word, which predicts the verb.
const ADVERBS: [&str; 4] = ["certainly", "obviously", "probably", "clearly"];

const VERBS: [&str; 2] = [" is", " are"];

fn agreement(noun: usize) -> Vec<Item> {
    let (subject, between, other) = NOUNS[noun];
    let item = |(number, behind): (usize, usize)| {
        let adverb = ADVERBS[(noun + number + behind) % ADVERBS.len()];
        let text = format!("The {} {between} {} {adverb}", subject[number], other[behind]);
        Item {
            family: if number == behind { Family::Agreement } else { Family::Attraction },
            words: text.split(' ').map(str::to_owned).collect(),
            deciding: 1,
            twin: subject[1 - number].to_owned(),
            right: VERBS[number].to_owned(),
            foil: VERBS[1 - number].to_owned(),
        }
    };
    [(0, 0), (0, 1), (1, 0), (1, 1)].map(item).into()
}

const CAPITALS: [(&str, &str); 20] = [
    ("France", "Paris"),
    ("Germany", "Berlin"),
    ("Italy", "Rome"),
    ("Spain", "Madrid"),
    ("Japan", "Tokyo"),
    ("Russia", "Moscow"),
    ("Greece", "Athens"),
    ("Egypt", "Cairo"),
    ("China", "Beijing"),
    ("England", "London"),
    ("Ireland", "Dublin"),
    ("Austria", "Vienna"),
    ("Poland", "Warsaw"),
    ("Portugal", "Lisbon"),
    ("Sweden", "Stockholm"),
    ("Norway", "Oslo"),
    ("Hungary", "Budapest"),
    ("Kenya", "Nairobi"),
    ("Cuba", "Havana"),
    ("Peru", "Lima"),
];

fn capitals(at: usize) -> Vec<Item> {
    let ((country, right), (twin, foil)) = (CAPITALS[at], CAPITALS[(at + 1) % CAPITALS.len()]);
    let item = |text: &str| {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let deciding = words.iter().position(|word| word == country).unwrap_or_default();
        Item {
            family: Family::Capital,
            words,
            deciding,
            twin: twin.to_owned(),
            right: format!(" {right}"),
            foil: format!(" {foil}"),
        }
    };
    [
        item(&format!("The capital of {country} is")),
        item(&format!("Everybody knows that the capital of {country} is the city of")),
    ]
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twin_differs_in_the_deciding_word_and_takes_the_foil() {
        let all = Item::all();
        assert_eq!(all.len(), 4 * 16 + 2 * 20);
        let find = |text: &str| all.iter().find(|item| item.text() == text).unwrap();
        for item in &all {
            assert!(item.deciding + 1 < item.words.len(), "the last word predicts: {item:?}");
            assert_ne!(item.words[item.deciding], item.twin);
        }
        let item = find("The keys to the cabinet obviously");
        assert_eq!((item.family, item.right.as_str()), (Family::Attraction, " are"));
        assert_eq!(item.twin_text(), "The key to the cabinet obviously");
        assert_eq!(item.without(1), "The to the cabinet obviously");
        let item = find("The capital of Peru is");
        assert_eq!(
            (item.twin_text().as_str(), item.foil.as_str()),
            ("The capital of France is", " Paris")
        );
    }
}
