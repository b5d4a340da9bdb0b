//! What all cases together say of a model.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::statistics::Estimate;

/// What is said of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verdict {
    /// It uses the picture, and the part that it should.
    UsesThePart,
    /// It uses the picture, but not that part.
    UsesAnotherPart,
    /// It uses the picture; no case says which part it should use.
    UsesThePicture,
    /// It uses the picture; whether that part is not clear.
    UsesUnclearPart,
    /// It does not need the picture.
    DoesNotNeedThePicture,
    /// The cases do not tell.
    Unclear,
}

impl Verdict {
    /// In words that go on from "the model".
    pub fn phrase(self) -> &'static str {
        match self {
            Self::UsesThePart => "uses the picture, and the part that it should",
            Self::UsesAnotherPart => "uses the picture, but not that part",
            Self::UsesThePicture => "uses the picture; no case says which part it should use",
            Self::UsesUnclearPart => {
                "uses the picture; whether the part that it should is not clear"
            }
            Self::DoesNotNeedThePicture => "does not need the picture",
            Self::Unclear => "cannot be judged by these cases",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.phrase())
    }
}

/// A verdict with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// What is said.
    pub verdict: Verdict,
    /// Why, for people: the numbers that decide, each with the bound that it is held against.
    pub reasons: Vec<String>,
}

/// A model uses pictures where it does in more than one of five cases.
pub const LEAST_SHARE: f64 = 0.2;
/// The relevant part counts where it is ahead of another by more than this, in cases and in cells. Twelve cases that all come out the other
/// way are enough to say that it is not (Wilson's upper bound of none of twelve is 24 %).
pub const LEAST_LEAD: f64 = 0.25;
/// Fewer patients tell nothing.
pub const LEAST_PATIENTS: usize = 5;

/// What a verdict is made of.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Evidence {
    /// The share of cases that use the picture.
    pub uses: Option<Estimate>,
    /// The share of cases that do not.
    pub uses_not: Option<Estimate>,
    /// The share of cases whose word goes where the relevant part is hidden, and not with another.
    pub only_relevant: Option<Estimate>,
    /// The share of cases where it is the other way round.
    pub only_other: Option<Estimate>,
    /// How much more of what all cells are worth goes with the relevant ones than with others, from −1 to 1.
    pub in_cells: Option<Estimate>,
}

/// Where an interval lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Above,
    Below,
    Across,
}

fn side(of: &Estimate, bound: f64) -> Side {
    if bound < of.low {
        Side::Above
    } else if of.high < bound {
        Side::Below
    } else {
        Side::Across
    }
}

impl Evidence {
    /// The verdict. Every claim needs the whole 95 % interval on its side of the bound, and one about the part needs what was hidden in
    /// the pixels and what was hidden in the model to agree.
    pub fn judge(&self) -> Judgement {
        let (Some(uses), Some(uses_not)) = (&self.uses, &self.uses_not) else {
            let reasons = vec!["no case could be asked without its picture".to_owned()];
            return Judgement { verdict: Verdict::Unclear, reasons };
        };
        let share = |what: &str, of: &Estimate| {
            format!(
                "{} of {} cases {what} (95 % interval {} to {})",
                percent(of.mean),
                of.items,
                percent(of.low),
                percent(of.high)
            )
        };
        let mut reasons = vec![share("use the picture", uses), share("do not", uses_not)];
        if uses.clusters < LEAST_PATIENTS {
            reasons.push(format!(
                "{} patients are too few: {LEAST_PATIENTS} are needed",
                uses.clusters
            ));
            return Judgement { verdict: Verdict::Unclear, reasons };
        }
        if side(uses_not, 1.0 - LEAST_SHARE) == Side::Above {
            reasons.push(format!("more than {} do not", percent(1.0 - LEAST_SHARE)));
            return Judgement { verdict: Verdict::DoesNotNeedThePicture, reasons };
        }
        if side(uses, LEAST_SHARE) != Side::Above {
            reasons.push(format!(
                "for “uses the picture” the interval must lie above {}, for “does not need it” that of the others above {}",
                percent(LEAST_SHARE),
                percent(1.0 - LEAST_SHARE)
            ));
            return Judgement { verdict: Verdict::Unclear, reasons };
        }
        let verdict = self.part(&mut reasons);
        Judgement { verdict, reasons }
    }

    /// What is said of the part, of a model that uses the picture.
    fn part(&self, reasons: &mut Vec<String>) -> Verdict {
        let (Some(relevant), Some(other)) = (&self.only_relevant, &self.only_other) else {
            return Verdict::UsesThePicture;
        };
        reasons.push(format!(
            "in {} of {} cases with a known part the word goes where that part is hidden in the pixels and stays where another of its size is (95 % interval {} to {}); in {} it is the other way round",
            percent(relevant.mean),
            relevant.items,
            percent(relevant.low),
            percent(relevant.high),
            percent(other.mean)
        ));
        reasons.extend(self.in_cells.as_ref().map(|of| {
            format!(
                "of what the whole picture is worth to the word, {} more goes with the cells of that part than with others ({} to {}, {} cases)",
                percent(of.mean),
                percent(of.low),
                percent(of.high),
                of.items
            )
        }));
        if relevant.clusters < LEAST_PATIENTS {
            reasons.push(format!(
                "that is of {} patients, and {LEAST_PATIENTS} are needed",
                relevant.clusters
            ));
            return Verdict::UsesUnclearPart;
        }
        let is_ahead = LEAST_LEAD < relevant.mean - other.mean;
        let cells = self.in_cells.as_ref().map(|of| of.mean);
        let agrees = |above: bool| cells.is_none_or(|mean| (LEAST_LEAD < mean) == above);
        match side(relevant, LEAST_LEAD) {
            Side::Above if is_ahead && agrees(true) => Verdict::UsesThePart,
            Side::Below if agrees(false) => Verdict::UsesAnotherPart,
            _ => {
                reasons.push(format!(
                    "for a verdict on the part the interval of the cases must lie on one side of {}, and the share of the cells on the same",
                    percent(LEAST_LEAD)
                ));
                Verdict::UsesUnclearPart
            }
        }
    }
}

fn percent(share: f64) -> String {
    match format!("{:.0} %", 100.0 * share) {
        zero if zero == "-0 %" => "0 %".to_owned(),
        share => share.replace('-', "−"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(yes: usize, of: usize) -> Option<Estimate> {
        let item = |n: usize| (n as u64, f64::from(u8::from(n < yes)));
        Estimate::of_shares(&(0..of).map(item).collect::<Vec<_>>())
    }

    fn cells(mean: f64) -> Estimate {
        Estimate { mean, low: mean - 0.1, high: mean + 0.1, items: 20, clusters: 20 }
    }

    fn evidence(yes: usize, no: usize, of: usize) -> Evidence {
        Evidence { uses: share(yes, of), uses_not: share(no, of), ..Evidence::default() }
    }

    #[test]
    fn every_claim_needs_its_whole_interval() {
        use Verdict::{
            DoesNotNeedThePicture, Unclear, UsesAnotherPart, UsesThePart, UsesThePicture,
            UsesUnclearPart,
        };
        let of = |evidence: Evidence| evidence.judge().verdict;
        assert_eq!(of(Evidence::default()), Unclear);
        assert_eq!(of(evidence(20, 0, 20)), UsesThePicture);
        assert_eq!(of(evidence(0, 20, 20)), DoesNotNeedThePicture);
        assert_eq!(of(evidence(0, 8, 8)), Unclear, "eight alike cases are not certain enough");
        assert_eq!(of(evidence(4, 4, 4)), Unclear, "four patients");
        assert_eq!(of(evidence(5, 15, 20)), Unclear);
        let part = |relevant: usize, other: usize, in_cells| {
            let only_relevant = share(relevant, 20);
            let only_other = share(other, 20);
            of(Evidence { only_relevant, only_other, in_cells, ..evidence(20, 0, 20) })
        };
        assert_eq!(part(16, 0, Some(cells(0.6))), UsesThePart);
        assert_eq!(part(16, 0, None), UsesThePart);
        assert_eq!(part(16, 0, Some(cells(0.1))), UsesUnclearPart);
        assert_eq!(part(6, 0, Some(cells(0.6))), UsesUnclearPart);
        assert_eq!(part(9, 9, Some(cells(0.6))), UsesUnclearPart, "as often the other way round");
        assert_eq!(part(0, 0, Some(cells(0.05))), UsesAnotherPart);
        assert_eq!(part(0, 0, Some(cells(0.5))), UsesUnclearPart);
    }

    #[test]
    fn reasons_have_the_numbers() {
        let found = Evidence {
            only_relevant: share(5, 20),
            only_other: share(0, 20),
            in_cells: Some(cells(-0.05)),
            ..evidence(20, 0, 20)
        }
        .judge();
        assert_eq!(
            found.reasons[0],
            "100 % of 20 cases use the picture (95 % interval 84 % to 100 %)"
        );
        assert!(found.reasons[2].starts_with("in 25 % of 20 cases"), "{found:?}");
        assert!(found.reasons[3].contains("−5 % more"), "{found:?}");
    }
}
