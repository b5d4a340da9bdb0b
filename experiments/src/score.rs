//! How right an answer is, clause by clause and finding by finding.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use phantom_radiograph::FindingKind;
use serde_json::{Value, json};

use crate::questions::Question;

/// So many right of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// The right ones.
    pub right: usize,
    /// All.
    pub all: usize,
}

impl Share {
    /// Takes in one more.
    pub fn count(&mut self, right: bool) {
        self.right += usize::from(right);
        self.all += 1;
    }

    /// From 0 to 1; 1 of nothing.
    pub fn value(self) -> f64 {
        if self.all == 0 { 1.0 } else { self.right as f64 / self.all as f64 }
    }

    /// Takes in what another counted.
    pub fn add(&mut self, other: Self) {
        self.right += other.right;
        self.all += other.all;
    }

    /// For a file.
    pub fn to_json(self) -> Value {
        json!({ "right": self.right, "all": self.all, "share": self.value() })
    }
}

/// What many answers were worth.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Score {
    /// Clauses, by family of question: a report has seven, another answer is one.
    pub clauses: BTreeMap<&'static str, Share>,
    /// Answers that are right as a whole, by family.
    pub answers: BTreeMap<&'static str, Share>,
    /// By kind of finding and whether it was there: reports that name it in the right places and nowhere else, and right answers to
    /// questions about it.
    pub kinds: BTreeMap<(FindingKind, bool), Share>,
}

impl Score {
    /// Takes in the answer to a question; `present` are the kinds that the scene shows.
    pub fn count(
        &mut self,
        question: Question,
        present: &[FindingKind],
        [expected, found]: [&str; 2],
    ) {
        let family = question.family();
        self.answers.entry(family).or_default().count(found == expected);
        let clauses = self.clauses.entry(family).or_default();
        match question {
            Question::Describe => {
                let mut said = sentences(found);
                sentences(expected).for_each(|right| clauses.count(said.next() == Some(right)));
                for kind in FindingKind::ALL {
                    let right = places(expected, kind) == places(found, kind);
                    let of_kind = self.kinds.entry((kind, present.contains(&kind)));
                    of_kind.or_default().count(right);
                }
            }
            Question::Where(kind) | Question::Is(kind) => {
                clauses.count(found == expected);
                let of_kind = self.kinds.entry((kind, present.contains(&kind)));
                of_kind.or_default().count(found == expected);
            }
        }
    }

    /// Takes in what another counted.
    pub fn add(&mut self, other: Self) {
        for (family, share) in other.clauses {
            self.clauses.entry(family).or_default().add(share);
        }
        for (family, share) in other.answers {
            self.answers.entry(family).or_default().add(share);
        }
        for (kind, share) in other.kinds {
            self.kinds.entry(kind).or_default().add(share);
        }
    }

    /// Over all clauses.
    pub fn total(&self) -> Share {
        let mut total = Share::default();
        self.clauses.values().for_each(|share| total.add(*share));
        total
    }

    /// For a file.
    pub fn to_json(&self) -> Value {
        let family = |(family, share): (&&'static str, &Share)| {
            let answers = self.answers.get(family).copied().unwrap_or_default();
            let value = json!({ "clauses": share.to_json(), "answers": answers.to_json() });
            ((*family).to_owned(), value)
        };
        let kind = |kind: FindingKind| {
            let of = |present| self.kinds.get(&(kind, present)).copied().unwrap_or_default();
            let value = json!({ "present": of(true).to_json(), "absent": of(false).to_json() });
            (kind.slug().to_owned(), value)
        };
        json!({
            "clauses": self.total().to_json(),
            "questions": self.clauses.iter().map(family).collect::<serde_json::Map<_, _>>(),
            "findings": FindingKind::ALL.into_iter().map(kind).collect::<serde_json::Map<_, _>>(),
        })
    }

    /// A table in Markdown.
    pub fn table(&self) -> String {
        let mut table = String::from("| | right | of | |\n|---|---:|---:|---:|\n");
        let mut row = |name: &str, share: Share| {
            let Share { right, all } = share;
            let _ =
                writeln!(table, "| {name} | {right} | {all} | {:.1} % |", 100.0 * share.value());
        };
        row("all clauses", self.total());
        for (family, share) in &self.clauses {
            row(&format!("clauses of \"{family}\""), *share);
        }
        for ((kind, present), share) in &self.kinds {
            row(&format!("{kind}, {}", if *present { "there" } else { "not there" }), *share);
        }
        table
    }
}

fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('.').map(str::trim)
}

/// The clauses of a report that name a finding: where it is, or for a device all that is said.
pub fn places(report: &str, kind: FindingKind) -> Vec<&str> {
    let naming = sentences(report).filter(|clause| clause.contains(kind.name()));
    let is_device = kind == FindingKind::Device;
    naming
        .filter_map(|clause| if is_device { Some(clause) } else { clause.split(':').next() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clauses_and_findings_are_counted_apart() {
        let right = "A: clear. B: nodule and opacity. Device: none.";
        let wrong = "A: nodule. B: opacity. Device: none.";
        let mut score = Score::default();
        let present = [FindingKind::Nodule, FindingKind::Opacity];
        score.count(Question::Describe, &present, [right, wrong]);
        assert_eq!(score.total(), Share { right: 1, all: 3 });
        assert_eq!(score.kinds[&(FindingKind::Nodule, true)], Share { right: 0, all: 1 });
        assert_eq!(score.kinds[&(FindingKind::Opacity, true)], Share { right: 1, all: 1 });
        assert_eq!(score.kinds[&(FindingKind::Device, false)], Share { right: 1, all: 1 });
        let mut sum = score.clone();
        sum.add(score);
        assert_eq!(sum.total(), Share { right: 2, all: 6 });
        assert_eq!(sum.answers["describe"], Share { right: 0, all: 2 });
    }

    #[test]
    fn an_answer_cut_short_is_wrong_where_it_ends() {
        let mut score = Score::default();
        score.count(Question::Describe, &[], ["A: clear. B: clear.", "A: clear. B:"]);
        assert_eq!(score.total(), Share { right: 1, all: 2 });
    }
}
