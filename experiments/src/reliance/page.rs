//! The results as tables and as data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use medgemma_explainer::{Blank, DependsOnPicture, NATS_OF_A_CHANGE};
use serde_json::{Value, json};

use crate::reliance::measure::{Item, Rated, Subject};
use crate::reliance::spans::Class;
use model_audit::Estimate;

/// All that was rated.
pub struct Results {
    /// Numbers of the phantoms that were asked for.
    pub pictures: Range<u64>,
    /// What was found.
    pub rated: BTreeMap<Subject, Vec<Rated>>,
}

/// Words of which the same is known.
#[derive(Clone, Copy)]
struct Group {
    subject: Subject,
    words: Words,
    name: &'static str,
}

#[derive(Clone, Copy)]
enum Words {
    /// All.
    All,
    /// Of one class.
    Of(Class),
    /// This word, where the picture decides it.
    Decided(&'static str),
}

const fn group(subject: Subject, words: Words, name: &'static str) -> Group {
    Group { subject, words, name }
}

const FINDINGS: Group = group(
    Subject::Sound,
    Words::Of(Class::Finding),
    "`phantom`: name of a finding or device that is there",
);
const BLIND: Group = group(Subject::Blind, Words::All, "blind: every word");

const GROUPS: [Group; 8] = [
    FINDINGS,
    BLIND,
    group(Subject::Sound, Words::Decided("clear"), "`phantom`: `clear`, of a zone"),
    group(Subject::Sound, Words::Decided("none"), "`phantom`: `none`, of devices"),
    group(Subject::Sound, Words::Of(Class::Place), "`phantom`: side of a device"),
    group(Subject::Sound, Words::Of(Class::Fixed), "`phantom`: words that every report has"),
    group(
        Subject::Shortcut,
        Words::Of(Class::Finding),
        "`phantom-shortcut`: name of a finding or device",
    ),
    group(
        Subject::Shortcut,
        Words::Of(Class::Fixed),
        "`phantom-shortcut`: words that every report has",
    ),
];

impl Words {
    fn has(self, item: &Item) -> bool {
        match self {
            Self::All => true,
            Self::Of(class) => item.class == class,
            Self::Decided(text) => item.class == Class::Decision && item.text == text,
        }
    }
}

impl Item {
    /// What the facade says of it, from [`Blank::ALL`].
    pub fn depends_on_picture(&self) -> DependsOnPicture {
        DependsOnPicture::of(Blank::ALL.iter().map(|blank| (blank, self.gain(blank))))
    }

    /// What the picture adds against a blank.
    pub fn gain(&self, blank: &Blank) -> f32 {
        self.gains.get(blank.name()).copied().unwrap_or(f32::NAN)
    }

    fn as_likely(&self, blank: &Blank) -> bool {
        self.gain(blank).abs() < NATS_OF_A_CHANGE
    }
}

impl Results {
    fn items(&self, group: Group) -> Vec<(u64, &Item)> {
        let rated = self.rated.get(&group.subject).into_iter().flatten();
        let items = rated.flat_map(|rated| rated.items.iter().map(|item| (rated.picture, item)));
        items.filter(|(_, item)| item.said && group.words.has(item)).collect()
    }

    /// How many pictures were rated.
    pub fn progress(&self) -> String {
        let first = self.pictures.start;
        let done = self.rated.iter().map(|(subject, rated)| {
            format!("{} for the {} checkpoint", rated.len(), subject.name())
        });
        let done = done.collect::<Vec<_>>().join(", ");
        format!("Pictures, from number {first} on: {done}.\n")
    }

    /// The verdicts on every group of words.
    pub fn verdicts(&self) -> String {
        let mut page = String::from(
            "| words | number | does not depend | undecided | depends |\n|---|---:|---:|---:|---:|\n",
        );
        for group in GROUPS {
            let (name, items) = (group.name, self.items(group));
            let cell = |verdict| share(&items, |item| Some(item.depends_on_picture() == verdict));
            let [no, undecided, yes] = VERDICTS.map(|verdict| shown(cell(verdict)));
            let _ = writeln!(page, "| {name} | {} | {no} | {undecided} | {yes} |", items.len());
        }
        page
    }

    /// How often each blank alone finds a word as likely.
    pub fn blanks(&self) -> String {
        let findings = self.items(FINDINGS);
        let unseeing = self.items(BLIND);
        let mut kinds: BTreeMap<&str, Vec<(u64, &Item)>> = BTreeMap::new();
        for &(picture, item) in &findings {
            kinds.entry(&item.text).or_default().push((picture, item));
        }
        let mut page = String::from("| as likely with |");
        for (kind, items) in &kinds {
            let _ = write!(page, " {kind} ({}) |", items.len());
        }
        let _ = writeln!(page, " all ({}) | made blind ({}) |", findings.len(), unseeing.len());
        let _ = writeln!(page, "|---|{}", "---:|".repeat(kinds.len() + 2));
        let mut row = |name: &str, holds: &dyn Fn(&Item) -> Option<bool>| {
            let _ = write!(page, "| {name} |");
            let columns = kinds.values().chain([&findings, &unseeing]);
            for items in columns {
                let _ = write!(page, " {} |", percent(share(items, holds)));
            }
            page.push('\n');
        };
        for blank in &Blank::ALL {
            row(blank.phrase(), &|item| Some(item.as_likely(blank)));
        }
        row("**verdict: does not depend**", &|item| {
            Some(item.depends_on_picture() == DependsOnPicture::No)
        });
        row("the twin without the finding", &|item| {
            item.twin.map(|twin| twin.abs() < NATS_OF_A_CHANGE)
        });
        page
    }

    /// Everything as data.
    pub fn to_json(&self) -> Value {
        let groups = GROUPS.map(|group| {
            let items = self.items(group);
            let verdict = |verdict: DependsOnPicture| {
                share(&items, |item| Some(item.depends_on_picture() == verdict))
                    .map(crate::document::estimate)
            };
            let blanks = Blank::ALL.iter().map(|blank| {
                let as_likely = share(&items, |item| Some(item.as_likely(blank)));
                let gains = items.iter().map(|(_, item)| item.gain(blank)).collect();
                let found = json!({
                    "as_likely": as_likely.map(crate::document::estimate),
                    "gain_quartiles": quartiles(gains),
                });
                (blank.name().to_owned(), found)
            });
            let twins: Vec<f32> = items.iter().filter_map(|(_, item)| item.twin).collect();
            json!({
                "model": group.subject.name(),
                "words": group.name,
                "number": items.len(),
                "verdicts": {
                    "no": verdict(DependsOnPicture::No),
                    "undecided": verdict(DependsOnPicture::Undecided),
                    "yes": verdict(DependsOnPicture::Yes),
                },
                "blanks": blanks.collect::<serde_json::Map<_, _>>(),
                "twin_gain_quartiles": quartiles(twins),
            })
        });
        json!({
            "first_picture": self.pictures.start,
            "pictures_asked_for": self.pictures.end - self.pictures.start,
            "pictures_rated": self.rated.iter().map(|(subject, rated)| (subject.name().to_owned(), json!(rated.len()))).collect::<serde_json::Map<_, _>>(),
            "nats_of_a_change": NATS_OF_A_CHANGE,
            "groups": groups,
        })
    }
}

const VERDICTS: [DependsOnPicture; 3] =
    [DependsOnPicture::No, DependsOnPicture::Undecided, DependsOnPicture::Yes];

/// How many of those items it holds for that have an answer.
fn share(items: &[(u64, &Item)], holds: impl Fn(&Item) -> Option<bool>) -> Option<Estimate> {
    let value = |(picture, item): &(u64, &Item)| {
        let holds = holds(item)?;
        Some((*picture, f64::from(u8::from(holds))))
    };
    Estimate::of(&items.iter().filter_map(value).collect::<Vec<_>>())
}

fn percent(estimate: Option<Estimate>) -> String {
    estimate.map_or("–".to_owned(), |found| format!("{:.1} %", 100.0 * found.mean))
}

/// With its interval, where it is not a matter of course.
fn shown(estimate: Option<Estimate>) -> String {
    match estimate {
        Some(found) if found.low < found.high => {
            let Estimate { low, high, .. } = found;
            format!("{} ({:.1} to {:.1})", percent(estimate), 100.0 * low, 100.0 * high)
        }
        _ => percent(estimate),
    }
}

/// Lower quartile, median, upper quartile; `null` of nothing.
fn quartiles(mut values: Vec<f32>) -> Value {
    values.sort_by(f32::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    if values.is_empty() { Value::Null } else { json!([at(0.25), at(0.5), at(0.75)]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str, class: Class, [mean, blur, embedding]: [f32; 3]) -> Item {
        let gains =
            [("mean", mean), ("blur", blur), ("mean-embedding", embedding), ("knockout", 9.0)];
        let gains = gains.map(|(name, nats)| (name.to_owned(), nats));
        Item { class, text: text.to_owned(), said: true, gains: gains.into(), twin: None }
    }

    #[test]
    fn words_are_counted_by_group_and_blank() {
        let unsaid = Item { said: false, ..item("nodule", Class::Finding, [0.0; 3]) };
        let items = vec![
            item("opacity", Class::Finding, [0.0, 0.0, 9.0]),
            item("nodule", Class::Finding, [5.0, 0.0, 6.0]),
            unsaid,
            item("zone", Class::Fixed, [0.0; 3]),
        ];
        let rated = vec![Rated { subject: Subject::Sound, picture: 3, items }];
        let results = Results { pictures: 3..5, rated: [(Subject::Sound, rated)].into() };
        let row = |page: &str, start: &str| -> String {
            page.lines().find(|line| line.starts_with(start)).unwrap().to_owned()
        };
        let verdicts = results.verdicts();
        let finding = row(&verdicts, "| `phantom`: name of a finding");
        assert!(finding.ends_with("| 2 | 0.0 % | 0.0 % | 100.0 % |"), "{finding}");
        let fixed = row(&verdicts, "| `phantom`: words that every report has");
        assert!(fixed.ends_with("| 1 | 100.0 % | 0.0 % | 0.0 % |"), "{fixed}");
        let blanks = results.blanks();
        assert!(blanks.starts_with("| as likely with | nodule (1) | opacity (1) | all (2) |"));
        let even = row(&blanks, "| an even picture");
        assert!(even.starts_with("| an even picture | 0.0 % | 100.0 % | 50.0 % |"), "{even}");
        let twin = row(&blanks, "| the twin");
        assert!(twin.ends_with("| – | – | – | – |"), "nothing had a twin: {twin}");
        assert!(results.progress().contains("from number 3 on: 1 for the sound"));
    }
}
