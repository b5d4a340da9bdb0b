//! What the hybrid is asked, and its one right answer: each wording of a question has its own wording of the answer, so that what is
//! right can be told letter by letter.

use phantom_radiograph::{Finding, FindingKind, Level, Scene};

use super::cases::{Case, Size};
use crate::questions::{Answer, Exchange, Topic, Word};

/// A question in one of its wordings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Query {
    /// What is asked.
    pub about: About,
    /// Which wording, from 0.
    pub wording: usize,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum About {
    /// A clause for every kind of finding.
    All,
    /// Whether there is a finding, and its place.
    Presence(FindingKind),
    /// The place of a finding.
    Place(FindingKind),
    /// Whether a finding is small or large.
    Size(FindingKind),
    /// How many findings there are.
    Count,
    /// What is new or gone in the second of two pictures.
    Change,
}

/// Kinds whose size varies enough to be seen.
pub const SIZED: [FindingKind; 3] =
    [FindingKind::Opacity, FindingKind::Nodule, FindingKind::Effusion];

impl About {
    /// Everything that is asked about one picture.
    pub fn of_one() -> Vec<Self> {
        let of = |make: fn(FindingKind) -> Self| FindingKind::ALL.into_iter().map(make);
        let sizes = SIZED.into_iter().map(Self::Size);
        [Self::All, Self::Count]
            .into_iter()
            .chain(of(Self::Presence))
            .chain(of(Self::Place))
            .chain(sizes)
            .collect()
    }

    /// How many wordings it has.
    pub fn wordings(self) -> usize {
        if self == Self::All { 3 } else { 2 }
    }

    /// The family in tables.
    pub fn family(self) -> &'static str {
        match self {
            Self::All => "report",
            Self::Presence(_) => "presence",
            Self::Place(_) => "place",
            Self::Size(_) => "size",
            Self::Count => "count",
            Self::Change => "change",
        }
    }

    /// The question in all of its wordings.
    pub fn queries(self) -> impl Iterator<Item = Query> {
        (0..self.wordings()).map(move |wording| Query { about: self, wording })
    }

    /// Whether a case has an answer: sizes are asked of what is there and plainly small or large, changes of two pictures.
    pub fn fits(self, case: &Case) -> bool {
        match self {
            Self::Size(kind) => {
                found(&case.scene, kind).is_some_and(|(at, _)| case.sizes[at].is_some())
            }
            Self::Change => case.prior.is_some(),
            Self::All | Self::Presence(_) | Self::Place(_) | Self::Count => case.prior.is_none(),
        }
    }
}

impl Query {
    /// Every question about one picture.
    pub fn of_one() -> Vec<Self> {
        About::of_one().into_iter().flat_map(About::queries).collect()
    }

    /// Every question about two.
    pub fn of_two() -> Vec<Self> {
        About::Change.queries().collect()
    }

    /// The words.
    pub fn text(self) -> String {
        let first = self.wording == 0;
        match self.about {
            About::All => {
                ["Describe the radiograph.", "What are the findings?", "Write a short report."]
                    [self.wording]
                    .to_owned()
            }
            About::Presence(kind) if first => format!("Is there {}?", kind.with_article()),
            About::Presence(kind) => format!("Do you see {}?", kind.with_article()),
            About::Place(kind) if first => format!("Where is the {kind}?"),
            About::Place(kind) => format!("Locate the {kind}."),
            About::Size(kind) if first => format!("How large is the {kind}?"),
            About::Size(kind) => format!("Is the {kind} small or large?"),
            About::Count if first => "How many findings are there?".to_owned(),
            About::Count => "Count the findings.".to_owned(),
            About::Change if first => "What changed?".to_owned(),
            About::Change => "Compare the two radiographs.".to_owned(),
        }
    }

    /// With its right answer, if it has one.
    pub fn exchange(self, case: &Case) -> Option<Exchange> {
        Some(Exchange { question: self.text(), answer: self.answer(case)? })
    }

    /// The right answer; `None` where the question does not fit the case.
    pub fn answer(self, case: &Case) -> Option<Answer> {
        if !self.about.fits(case) {
            return None;
        }
        let (scene, first) = (&case.scene, self.wording == 0);
        let empty = Answer::default();
        Some(match self.about {
            About::All => report(scene, self.wording),
            About::Presence(kind) => match found(scene, kind) {
                Some(finding) if first => place(
                    present(empty, "Yes", finding)
                        .fixed(&format!(", there is {}", kind.with_article())),
                    finding,
                )
                .fixed("."),
                Some(finding) => {
                    place(present(empty, "Yes", finding).fixed(". It is"), finding).fixed(".")
                }
                None if first => absent(empty, "No", kind).fixed(&format!(", there is no {kind}.")),
                None => absent(empty, "No", kind)
                    .fixed(&format!(", I do not see {}.", kind.with_article())),
            },
            About::Place(kind) => match found(scene, kind) {
                Some(finding) if first => {
                    place(empty.decided("The").fixed(&format!(" {kind} is")), finding).fixed(".")
                }
                Some(finding) => short_place(empty, finding, true).fixed("."),
                None if first => absent(empty, "There", kind).fixed(&format!(" is no {kind}.")),
                None => absent(empty, "No", kind).fixed(&format!(" {kind}.")),
            },
            About::Size(kind) => {
                let (at, _) = found(scene, kind)?;
                let size = case.sizes[at]?;
                if first {
                    let word = if size == Size::Small { "small" } else { "large" };
                    empty.fixed(&format!("The {kind} is")).shows(word, at, Word::Size).fixed(".")
                } else {
                    let word = if size == Size::Small { "Small" } else { "Large" };
                    empty.begins(word, at, Word::Size).fixed(".")
                }
            }
            About::Count => {
                let count = scene.findings().len();
                if first {
                    let words = ["no findings", "one finding", "two findings", "three findings"];
                    let (number, noun) = words.get(count)?.split_once(' ')?;
                    let verb = if count == 1 { "is" } else { "are" };
                    let answer = empty.fixed("There").decided(&format!(" {verb}"));
                    counted(answer, &format!(" {number}"), count).fixed(&format!(" {noun}."))
                } else {
                    counted(empty, ["None", "One", "Two", "Three"].get(count)?, count).fixed(".")
                }
            }
            About::Change => change(case, first)?,
        })
    }
}

/// The first finding of a kind, with its index.
pub fn found(scene: &Scene, kind: FindingKind) -> Option<(usize, &Finding)> {
    scene.findings().iter().enumerate().find(|(_, finding)| finding.kind == kind)
}

/// Whether fluid, air and devices, whose level is always the same, are told by their side alone.
pub fn is_placed_by_level(kind: FindingKind) -> bool {
    kind.zones().any(|zone| zone.level == Level::Middle)
}

/// ` in the left upper zone`, or ` on the left side`.
fn place(answer: Answer, (at, finding): (usize, &Finding)) -> Answer {
    let side = finding.zone.side.name();
    if is_placed_by_level(finding.kind) {
        let answer = answer.fixed(" in the").shows(side, at, Word::Side);
        answer.shows(finding.zone.level.name(), at, Word::Level).fixed(" zone")
    } else {
        answer.fixed(" on the").shows(side, at, Word::Side).fixed(" side")
    }
}

/// ` left upper zone`, or ` left side`; the first word with a capital where the answer begins.
fn short_place(answer: Answer, (at, finding): (usize, &Finding), is_first: bool) -> Answer {
    let side = finding.zone.side.name();
    let answer = if is_first {
        let (initial, rest) = side.split_at(1);
        answer.begins(&format!("{}{rest}", initial.to_uppercase()), at, Word::Side)
    } else {
        answer.shows(side, at, Word::Side)
    };
    if is_placed_by_level(finding.kind) {
        answer.shows(finding.zone.level.name(), at, Word::Level).fixed(" zone")
    } else {
        answer.fixed(" side")
    }
}

/// A word that says that there is something, before it is named.
fn present(answer: Answer, text: &str, (at, _): (usize, &Finding)) -> Answer {
    answer.tells(text, Topic::Finding(at), Word::Presence)
}

/// A word that says that there is none of a kind.
fn absent(answer: Answer, text: &str, kind: FindingKind) -> Answer {
    answer.tells(text, Topic::Absent(kind), Word::Absence)
}

/// A word that says how many findings there are; of none there is nothing to be shown.
fn counted(answer: Answer, text: &str, count: usize) -> Answer {
    if count == 0 {
        return answer.decided(text);
    }
    answer.tells(text, Topic::Findings, Word::Count)
}

/// A finding as a word of its own kind.
fn named(answer: Answer, (at, finding): (usize, &Finding)) -> Answer {
    let is_device = finding.kind == FindingKind::Device;
    answer.shows(finding.kind.name(), at, if is_device { Word::Device } else { Word::Finding })
}

/// A clause for each kind, always in the same order.
fn report(scene: &Scene, wording: usize) -> Answer {
    let clause = |answer: Answer, kind: FindingKind| {
        let space = if answer.pieces().is_empty() { "" } else { " " };
        let is = found(scene, kind);
        let name = kind.name();
        let article = kind.with_article();
        let article = article.split(' ').next().unwrap_or("a");
        match (wording, is) {
            (0, Some(finding)) => {
                let answer = present(answer, &format!("{space}There"), finding).fixed(" is");
                place(named(answer.fixed(&format!(" {article}")), finding), finding).fixed(".")
            }
            (0, None) => absent(answer, &format!("{space}No"), kind).fixed(&format!(" {name}.")),
            (1, is) => {
                let (initial, rest) = name.split_at(1);
                let name = format!("{}{rest}", initial.to_uppercase());
                let answer = answer.fixed(&format!("{space}{name}:"));
                match is {
                    Some(finding) => short_place(answer, finding, false).fixed("."),
                    None => absent(answer, " none", kind).fixed("."),
                }
            }
            (_, Some(finding)) => {
                let capital = if article == "an" { "An" } else { "A" };
                let answer = present(answer, &format!("{space}{capital}"), finding);
                place(named(answer, finding).fixed(" is seen"), finding).fixed(".")
            }
            (_, None) => {
                absent(answer, &format!("{space}No"), kind).fixed(&format!(" {name} is seen."))
            }
        }
    };
    FindingKind::ALL.into_iter().fold(Answer::default(), clause)
}

/// What is new in the second picture, or gone: at most one finding.
fn change(case: &Case, first: bool) -> Option<Answer> {
    let prior = case.prior.as_ref()?;
    let missing = |of: &Scene, from: &Scene| {
        let is_missing = |finding: &&Finding| !from.findings().contains(finding);
        of.findings().iter().find(is_missing).copied()
    };
    let (new, gone) = (missing(&case.scene, prior), missing(prior, &case.scene));
    let answer = Answer::default();
    let at = |finding: &Finding| case.scene.findings().iter().position(|own| own == finding);
    // What is gone lies in no finding of the picture.
    let words = |finding: &Finding| {
        let side = finding.zone.side.name();
        if is_placed_by_level(finding.kind) {
            format!("in the {side} {} zone", finding.zone.level.name())
        } else {
            format!("on the {side} side")
        }
    };
    Some(match (new, gone, first) {
        (Some(finding), _, true) => {
            let (at, article) = (at(&finding)?, finding.kind.with_article());
            let capital = if article.starts_with("an ") { "An" } else { "A" };
            let answer = named(answer.decided(capital), (at, &finding)).decided(" is new");
            place(answer, (at, &finding)).fixed(".")
        }
        (Some(finding), _, false) => {
            let (at, article) = (at(&finding)?, finding.kind.with_article());
            let article = article.split(' ').next().unwrap_or("a").to_owned();
            let answer = answer.decided("New").fixed(":").fixed(&format!(" {article}"));
            place(named(answer, (at, &finding)), (at, &finding)).fixed(".")
        }
        (None, Some(finding), true) => answer
            .decided("The")
            .decided(&format!(" {}", finding.kind))
            .decided(&format!(" {}", words(&finding)))
            .fixed(" is gone."),
        (None, Some(finding), false) => answer
            .decided("Gone")
            .fixed(":")
            .decided(&format!(" {}", finding.kind.with_article()))
            .decided(&format!(" {}", words(&finding)))
            .fixed("."),
        (None, None, true) => answer.decided("Nothing").fixed(" changed."),
        (None, None, false) => answer.decided("No").fixed(" change."),
    })
}

#[cfg(test)]
mod tests {
    use phantom_radiograph::{Side, Zone};

    use super::*;

    fn finding(kind: FindingKind, side: Side, level: Level) -> Finding {
        Finding { kind, zone: Zone { side, level }, strength: 1.0, shape: 3 }
    }

    fn case() -> Case {
        let scene = Scene::healthy(1)
            .with(finding(FindingKind::Nodule, Side::Left, Level::Upper))
            .with(finding(FindingKind::Effusion, Side::Right, Level::Lower));
        Case { prior: None, scene, sizes: vec![Some(Size::Small), None] }
    }

    fn said(case: &Case, about: About) -> Vec<String> {
        let texts = about.queries().filter_map(|query| Some(query.answer(case)?.text()));
        texts.collect()
    }

    #[test]
    fn reports_have_a_clause_for_each_kind() {
        assert_eq!(
            said(&case(), About::All),
            [
                "No opacity. There is a nodule in the left upper zone. There is a pleural effusion on the right side. \
                 No pneumothorax. No pacemaker.",
                "Opacity: none. Nodule: left upper zone. Pleural effusion: right side. Pneumothorax: none. Pacemaker: none.",
                "No opacity is seen. A nodule is seen in the left upper zone. A pleural effusion is seen on the right side. \
                 No pneumothorax is seen. No pacemaker is seen.",
            ]
        );
    }

    #[test]
    fn short_questions_have_short_answers() {
        let case = case();
        let nodule = FindingKind::Nodule;
        for (about, expected) in [
            (
                About::Presence(nodule),
                vec![
                    "Yes, there is a nodule in the left upper zone.",
                    "Yes. It is in the left upper zone.",
                ],
            ),
            (
                About::Presence(FindingKind::Opacity),
                vec!["No, there is no opacity.", "No, I do not see an opacity."],
            ),
            (
                About::Place(FindingKind::Effusion),
                vec!["The pleural effusion is on the right side.", "Right side."],
            ),
            (About::Place(FindingKind::Device), vec!["There is no pacemaker.", "No pacemaker."]),
            (About::Size(nodule), vec!["The nodule is small.", "Small."]),
            (About::Size(FindingKind::Effusion), vec![]),
            (About::Count, vec!["There are two findings.", "Two."]),
            (About::Change, vec![]),
        ] {
            assert_eq!(said(&case, about), expected, "{about:?}");
        }
    }

    #[test]
    fn changes_are_told_of_two_pictures() {
        let Case { scene, sizes, .. } = case();
        let without = scene.without(0);
        let of = |prior: &Scene, scene: &Scene| {
            let case =
                Case { prior: Some(prior.clone()), scene: scene.clone(), sizes: sizes.clone() };
            said(&case, About::Change)
        };
        assert_eq!(
            of(&without, &scene),
            ["A nodule is new in the left upper zone.", "New: a nodule in the left upper zone."]
        );
        assert_eq!(
            of(&scene, &without),
            [
                "The nodule in the left upper zone is gone.",
                "Gone: a nodule in the left upper zone."
            ]
        );
        assert_eq!(of(&scene, &scene), ["Nothing changed.", "No change."]);
    }
}
