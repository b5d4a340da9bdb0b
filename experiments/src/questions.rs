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

/// An answer in pieces; those that the picture decides are marked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer(Vec<(String, bool)>);

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

    /// The right answer for a scene.
    pub fn answer(self, scene: &Scene) -> Answer {
        let found = |kind| scene.findings().iter().find(|finding| finding.kind == kind);
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
    /// Pieces in order, with whether the picture decides them.
    pub fn pieces(&self) -> impl Iterator<Item = (&str, bool)> {
        self.0.iter().map(|(text, decided)| (text.as_str(), *decided))
    }

    /// The whole text.
    pub fn text(&self) -> String {
        self.pieces().map(|(text, _)| text).collect()
    }

    fn fixed(mut self, text: &str) -> Self {
        self.0.push((text.to_owned(), false));
        self
    }

    fn decided(mut self, text: &str) -> Self {
        self.0.push((text.to_owned(), true));
        self
    }

    /// ` in the right middle zone`; for a device, ` on the left side`.
    fn place(self, finding: &Finding) -> Self {
        let zone = finding.zone;
        if finding.kind == FindingKind::Device {
            return self.fixed(" on the").decided(&format!(" {}", zone.side.name())).fixed(" side");
        }
        self.fixed(" in the")
            .decided(&format!(" {} {}", zone.side.name(), zone.level.name()))
            .fixed(" zone")
    }
}

/// `Right upper zone: clear. … Left lower zone: nodule and pleural effusion. Device: none.`
fn report(scene: &Scene) -> Answer {
    let mut answer = Answer::default();
    for zone in Zone::ALL {
        let space = if zone == Zone::ALL[0] { "" } else { " " };
        answer = answer
            .fixed(&format!("{space}{}:", capitalised(zone.name())))
            .decided(&format!(" {}", content(scene, zone)))
            .fixed(".");
    }
    let device = scene.findings().iter().find(|finding| finding.kind == FindingKind::Device);
    let device = device.map_or("none".to_owned(), |finding| {
        format!("{} on the {} side", finding.kind.name(), finding.zone.side.name())
    });
    answer.fixed(" Device:").decided(&format!(" {device}")).fixed(".")
}

/// The findings of a zone in the order of their kinds, or `clear`.
fn content(scene: &Scene, zone: Zone) -> String {
    let is_there = |kind: &FindingKind| {
        *kind != FindingKind::Device
            && scene.findings().iter().any(|f| f.kind == *kind && f.zone == zone)
    };
    let names: Vec<&str> =
        FindingKind::ALL.iter().filter(|kind| is_there(kind)).map(|kind| kind.name()).collect();
    if names.is_empty() { "clear".to_owned() } else { names.join(" and ") }
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
