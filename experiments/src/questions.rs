//! What is asked about a phantom, and the one right answer.

use phantom_radiograph::{Finding, FindingKind, Scene, Zone};

/// A question that the model learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Question {
    /// A clause for every zone, then the device.
    Describe,
    /// The place of a finding.
    Where(FindingKind),
    /// Whether there is a finding, and its place.
    Is(FindingKind),
}

/// An answer in pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer(Vec<Piece>);

/// Some words of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The words with the space before them.
    pub text: String,
    /// Whether the picture decides them.
    pub decided: bool,
    /// What they tell of, and what of it.
    pub shows: Option<(Topic, Word)>,
}

/// What a word of an answer tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A finding, as an index into those of the scene.
    Finding(usize),
    /// A kind of finding that is not there.
    Absent(FindingKind),
    /// All findings together.
    Findings,
}

/// A question with its right answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What is asked.
    pub question: String,
    /// What is right.
    pub answer: Answer,
}

/// What a word tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Word {
    /// What it is, for all but devices.
    Finding,
    /// The same for a device.
    Device,
    /// `right` or `left`.
    Side,
    /// `upper`, `middle` or `lower`, of a kind that may be at more than one.
    Level,
    /// The same of a kind that is always at the same level: what names the kind decides it, not the picture.
    LevelOfKind,
    /// `small` or `large`; the questions here have no such word, nor the next three.
    Size,
    /// That there is one, before it is named: `There`, `An`, `Yes`.
    Presence,
    /// That there is none.
    Absence,
    /// How many there are.
    Count,
}

impl Word {
    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finding => "finding",
            Self::Device => "device",
            Self::Side => "side",
            Self::Level => "level",
            Self::LevelOfKind => "level of a kind that has but one",
            Self::Size => "size",
            Self::Presence => "presence",
            Self::Absence => "negation",
            Self::Count => "count",
        }
    }
}

impl Question {
    /// All questions.
    pub fn all() -> Vec<Self> {
        let of = |make: fn(FindingKind) -> Self| FindingKind::ALL.into_iter().map(make);
        [Self::Describe].into_iter().chain(of(Self::Where)).chain(of(Self::Is)).collect()
    }

    /// The family: `describe`, `where`, `is`.
    pub fn family(self) -> &'static str {
        match self {
            Self::Describe => "describe",
            Self::Where(_) => "where",
            Self::Is(_) => "is",
        }
    }

    /// The words.
    pub fn text(self) -> String {
        match self {
            Self::Describe => "Describe the radiograph.".to_owned(),
            Self::Where(kind) => format!("Where is the {}?", asked(kind)),
            Self::Is(kind) => format!("Is there {} {}?", article(kind), asked(kind)),
        }
    }

    /// With its right answer.
    pub fn exchange(self, scene: &Scene) -> Exchange {
        Exchange { question: self.text(), answer: self.answer(scene) }
    }

    /// The right answer for a scene.
    pub fn answer(self, scene: &Scene) -> Answer {
        let found = |kind| numbered(scene).find(|(_, finding)| finding.kind == kind);
        match self {
            Self::Describe => report(scene),
            Self::Where(kind) => match found(kind) {
                Some(finding) => Answer::default()
                    .decided("The")
                    .fixed(&format!(" {} is", kind.name()))
                    .place(finding)
                    .fixed("."),
                None => {
                    Answer::default().decided("There").fixed(&format!(" is no {}.", asked(kind)))
                }
            },
            Self::Is(kind) => match found(kind) {
                Some(finding) => Answer::default()
                    .decided("Yes")
                    .fixed(&format!(", there is {} {}", article(kind), kind.name()))
                    .place(finding)
                    .fixed("."),
                None => Answer::default()
                    .decided("No")
                    .fixed(&format!(", there is no {}.", asked(kind))),
            },
        }
    }
}

impl Answer {
    /// Pieces in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.0
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.0.iter().map(|piece| piece.text.as_str()).collect()
    }

    fn piece(mut self, text: &str, decided: bool, shows: Option<(Topic, Word)>) -> Self {
        self.0.push(Piece { text: text.to_owned(), decided, shows });
        self
    }

    pub(crate) fn fixed(self, text: &str) -> Self {
        self.piece(text, false, None)
    }

    pub(crate) fn decided(self, text: &str) -> Self {
        self.piece(text, true, None)
    }

    pub(crate) fn shows(self, text: &str, finding: usize, word: Word) -> Self {
        self.tells(&format!(" {text}"), Topic::Finding(finding), word)
    }

    /// As [`shows`](Self::shows), at the beginning of the answer.
    pub(crate) fn begins(self, text: &str, finding: usize, word: Word) -> Self {
        self.tells(text, Topic::Finding(finding), word)
    }

    /// Words as they stand, the space before them included.
    pub(crate) fn tells(self, text: &str, topic: Topic, word: Word) -> Self {
        self.piece(text, true, Some((topic, word)))
    }

    /// ` in the right middle zone`; for a device, ` on the left side`.
    fn place(self, (index, finding): (usize, &Finding)) -> Self {
        let zone = finding.zone;
        if finding.kind == FindingKind::Device {
            return self.fixed(" on the").shows(zone.side.name(), index, Word::Side).fixed(" side");
        }
        let varies = finding.kind.zones().any(|other| other.level != zone.level);
        let level = if varies { Word::Level } else { Word::LevelOfKind };
        self.fixed(" in the")
            .shows(zone.side.name(), index, Word::Side)
            .shows(zone.level.name(), index, level)
            .fixed(" zone")
    }
}

/// The findings of a scene with their indices.
fn numbered(scene: &Scene) -> impl Iterator<Item = (usize, &Finding)> {
    scene.findings().iter().enumerate()
}

/// `Right upper zone: clear. … Left lower zone: nodule and pleural effusion. Device: none.`
fn report(scene: &Scene) -> Answer {
    let mut answer = Answer::default();
    for zone in Zone::ALL {
        let space = if zone == Zone::ALL[0] { "" } else { " " };
        answer = answer.fixed(&format!("{space}{}:", capitalised(zone.name())));
        answer = content(answer, scene, zone).fixed(".");
    }
    answer = answer.fixed(" Device:");
    let device = numbered(scene).find(|(_, finding)| finding.kind == FindingKind::Device);
    let answer = match device {
        None => answer.decided(" none"),
        Some((index, finding)) => answer
            .shows(finding.kind.name(), index, Word::Device)
            .decided(" on the")
            .shows(finding.zone.side.name(), index, Word::Side)
            .decided(" side"),
    };
    answer.fixed(".")
}

/// The findings of a zone in the order of their kinds, or `clear`.
fn content(mut answer: Answer, scene: &Scene, zone: Zone) -> Answer {
    let of_kind = |kind: FindingKind| {
        numbered(scene).find(move |(_, finding)| finding.kind == kind && finding.zone == zone)
    };
    let kinds = FindingKind::ALL.into_iter().filter(|kind| *kind != FindingKind::Device);
    let found: Vec<(usize, &Finding)> = kinds.filter_map(of_kind).collect();
    for (place, (index, finding)) in found.iter().enumerate() {
        if place > 0 {
            answer = answer.decided(" and");
        }
        answer = answer.shows(finding.kind.name(), *index, Word::Finding);
    }
    if found.is_empty() { answer.decided(" clear") } else { answer }
}

/// What a question calls a finding: one asks for a device, and the answer says which.
fn asked(kind: FindingKind) -> &'static str {
    if kind == FindingKind::Device { "device" } else { kind.name() }
}

fn article(kind: FindingKind) -> &'static str {
    if kind == FindingKind::Opacity { "an" } else { "a" }
}

fn capitalised(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}

#[cfg(test)]
mod tests {
    use phantom_radiograph::{Level, Side};

    use super::*;

    fn scene() -> Scene {
        let finding = |kind, side, level| Finding {
            kind,
            zone: Zone { side, level },
            strength: 1.0,
            shape: 3,
        };
        Scene::healthy(1)
            .with(finding(FindingKind::Effusion, Side::Left, Level::Lower))
            .with(finding(FindingKind::Nodule, Side::Left, Level::Lower))
            .with(finding(FindingKind::Device, Side::Right, Level::Upper))
    }

    #[test]
    fn the_report_goes_zone_by_zone() {
        let expected = "Right upper zone: clear. Right middle zone: clear. Right lower zone: clear. \
            Left upper zone: clear. Left middle zone: clear. Left lower zone: nodule and pleural effusion. \
            Device: pacemaker on the right side.";
        assert_eq!(Question::Describe.answer(&scene()).text(), expected);
    }

    #[test]
    fn short_questions_have_short_answers() {
        for (question, text, answer) in [
            (
                Question::Where(FindingKind::Nodule),
                "Where is the nodule?",
                "The nodule is in the left lower zone.",
            ),
            (
                Question::Where(FindingKind::Device),
                "Where is the device?",
                "The pacemaker is on the right side.",
            ),
            (
                Question::Where(FindingKind::Opacity),
                "Where is the opacity?",
                "There is no opacity.",
            ),
            (
                Question::Is(FindingKind::Opacity),
                "Is there an opacity?",
                "No, there is no opacity.",
            ),
            (
                Question::Is(FindingKind::Effusion),
                "Is there a pleural effusion?",
                "Yes, there is a pleural effusion in the left lower zone.",
            ),
            (
                Question::Is(FindingKind::Device),
                "Is there a device?",
                "Yes, there is a pacemaker on the right side.",
            ),
        ] {
            assert_eq!(
                (question.text().as_str(), question.answer(&scene()).text().as_str()),
                (text, answer)
            );
        }
    }
}
