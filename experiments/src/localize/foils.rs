//! What could have been said in the place of a word: something of the same kind that is wrong.

use phantom_radiograph::{FindingKind, Level, Side};

use crate::localize::case::Case;
use crate::questions::{Topic, Word};
use crate::reader::Spoken;
use crate::scenes::has;

/// The foil of a word in the right answer to a question, written as the word is; `None` for a word that tells of nothing known.
pub fn foil(case: &Case, question: &str, word: &Spoken) -> Option<String> {
    let zone = |word: &Spoken| Some(case.scene.findings().get(word.finding()?)?.zone);
    let other = match word.word {
        Word::Finding | Word::Device if !case.is_natural() => {
            if word.word == Word::Finding {
                "clear"
            } else {
                "none"
            }
        }
        Word::Finding | Word::Device => another_kind(case, word)?,
        Word::Side if zone(word)?.side == Side::Right => "left",
        Word::Side => "right",
        Word::Level | Word::LevelOfKind if zone(word)?.level == Level::Lower => "upper",
        Word::Level | Word::LevelOfKind => "lower",
        Word::Size if word.text.eq_ignore_ascii_case("small") => "large",
        Word::Size => "small",
        Word::Presence => "no",
        Word::Count if word.text.eq_ignore_ascii_case("two") => "one",
        Word::Count => "two",
        Word::Absence => presence(question, word)?,
    };
    let is_capital = |text: &str| text.starts_with(char::is_uppercase);
    Some(match other.split_at(1) {
        (first, rest) if is_capital(&word.text) => first.to_uppercase() + rest,
        _ => other.to_owned(),
    })
}

/// A kind that is not there, with the same article.
fn another_kind(case: &Case, word: &Spoken) -> Option<&'static str> {
    let own = case.scene.findings().get(word.finding()?)?.kind;
    let article = |kind: FindingKind| kind.with_article().starts_with("an ");
    let wrong = |kind: &FindingKind| *kind != own && !has(&case.scene, *kind);
    let fits = |kind: &FindingKind| wrong(kind) && article(*kind) == article(own);
    let all = FindingKind::ALL;
    all.into_iter().find(fits).or(all.into_iter().find(wrong)).map(FindingKind::name)
}

/// What the answer would have said there if the finding was there.
fn presence(question: &str, word: &Spoken) -> Option<&'static str> {
    let Topic::Absent(kind) = word.topic else { return None };
    Some(match question.split(' ').next()? {
        "Is" | "Do" => "yes",
        "Where" => "the",
        "Describe" => "there",
        "Write" if kind.with_article().starts_with("an ") => "an",
        "Write" => "a",
        // The place itself.
        _ => "left",
    })
}

#[cfg(test)]
mod tests {
    use phantom_radiograph::{Finding, Scene, Zone};

    use super::*;
    use crate::localize::case::{Language, Usual};

    fn spoken(text: &str, word: Word, topic: Topic) -> Spoken {
        Spoken { text: text.to_owned(), word, topic, positions: 0..1, sentence: 0..2 }
    }

    #[test]
    fn a_foil_is_wrong_and_written_as_the_word_is() {
        let natural = Language::Natural(Usual::new(1));
        let mut case = Case::unseen(&natural, 1, 1);
        let zone = Zone { side: Side::Left, level: Level::Upper };
        let nodule = Finding { kind: FindingKind::Nodule, zone, strength: 1.0, shape: 3 };
        case.scene = Scene::healthy(1).with(nodule);
        let own = Topic::Finding(0);
        let of = |question: &str, text: &str, word, topic| {
            foil(&case, question, &spoken(text, word, topic)).unwrap()
        };
        assert_eq!(of("Is there a nodule?", "Yes", Word::Presence, own), "No");
        assert_eq!(of("Write a short report.", "An", Word::Presence, own), "No");
        let absent = Topic::Absent(FindingKind::Opacity);
        assert_eq!(of("Where is the nodule?", "left", Word::Side, own), "right");
        assert_eq!(of("Locate the nodule.", "Left", Word::Side, own), "Right");
        assert_eq!(of("Count the findings.", "One", Word::Count, Topic::Findings), "Two");
        assert_eq!(of("Write a short report.", "No", Word::Absence, absent), "An");
        assert_eq!(of("What are the findings?", "none", Word::Absence, absent), "left");
        let kind = of("Describe the radiograph.", "nodule", Word::Finding, own);
        assert_eq!(kind, FindingKind::Effusion.name());
        let places = Case::of(case.scene.clone());
        let word = spoken("nodule", Word::Finding, own);
        assert_eq!(foil(&places, "Describe the radiograph.", &word).unwrap(), "clear");
    }
}
