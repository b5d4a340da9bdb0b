//! The cases that tell most, with their pictures.

use relevancy_visualization::dossier::{Badge, Card, CardPicture, Column, Fact, Table, Tone};
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::ndarray::ArrayView2;
use relevancy_visualization::{Error, GridMap, OverlayOptions, Placement, overlay};

use super::Shown;
use crate::hidden::Hidden;
use crate::mask::Mask;
use crate::observed::{Change, Choice, Observed, Use};
use crate::summary::Row;
use crate::verdict::Verdict;

/// Cases that the page shows.
const TELLING: usize = 10;
/// Of these, those that speak against the verdict, where there are any.
pub(super) const AGAINST: usize = 3;
/// Characters of an answer in the table of a case.
const LONGEST_ANSWER: usize = 160;
/// The rows that tell most, those that speak for the verdict first.
pub(super) fn telling(rows: &[Row], verdict: Verdict) -> Vec<usize> {
    let value = |row: &Row| -> Option<f64> {
        let observed = row.observed.as_ref()?;
        let lead = || {
            let loss = |change| observed.log_odds_moved(change);
            Some(loss(Change::RelevantHidden)? - loss(Change::IrrelevantHidden)?)
        };
        match verdict {
            Verdict::UsesThePart | Verdict::UsesAnotherPart | Verdict::UsesUnclearPart => {
                row.with_part()?;
                lead()
            }
            _ => observed.picture_use(),
        }
    };
    let mut order: Vec<(usize, f64)> =
        rows.iter().enumerate().filter_map(|(at, row)| Some((at, value(row)?))).collect();
    let falls = matches!(verdict, Verdict::UsesThePart | Verdict::UsesThePicture);
    order.sort_by(|a, b| if falls { b.1.total_cmp(&a.1) } else { a.1.total_cmp(&b.1) });
    let order: Vec<usize> = order.into_iter().map(|(at, _)| at).collect();
    if order.len() <= TELLING {
        return order;
    }
    let first = &order[..TELLING - AGAINST];
    let last = order[order.len() - AGAINST..].iter().rev();
    first.iter().chain(last).copied().collect()
}

/// A case with its pictures.
pub(super) struct Drawn {
    pub(super) index: usize,
    question: String,
    picture: Option<RgbImage>,
    overlay: Option<RgbImage>,
    hidden: Option<RgbImage>,
}

impl Drawn {
    pub(super) fn new(
        (index, shown): (usize, Option<Shown>),
        row: &Row,
        seed: u64,
    ) -> Result<Self, Error> {
        let Some(Shown { question, picture, part }) = shown else {
            let question = String::new();
            return Ok(Self { index, question, picture: None, overlay: None, hidden: None });
        };
        let map = row.observed.as_ref().and_then(|it| it.map.as_ref());
        let mut coloured = map
            .and_then(|map| {
                // Rounding may leave a little less than nothing.
                let values: Vec<f32> = map.values.iter().map(|value| value.max(0.0)).collect();
                let grid = ArrayView2::from_shape(map.grid, &values).ok()?;
                let [x0, y0, x1, y1] = map.placement;
                let placement = Placement { x0, y0, x1, y1 };
                Some(overlay(&picture, &[GridMap { grid, placement }], &OverlayOptions::default()))
            })
            .transpose()?;
        let hides = |part: &Mask| Some(Hidden::new(part, &picture, &[], seed)?.picture(&picture));
        let hidden = part.as_ref().and_then(hides);
        let mut plain = picture;
        if let Some(part) = &part {
            part.outline(&mut plain);
            if let Some(coloured) = &mut coloured {
                part.outline(coloured);
            }
        }
        Ok(Self { index, question, picture: Some(plain), overlay: coloured, hidden })
    }

    pub(super) fn card(&self, row: &Row) -> Card<'_> {
        let Some(observed) = &row.observed else { return Card::default() };
        let mut pictures = Vec::new();
        pictures.extend(
            self.picture.as_ref().map(|it| CardPicture::new("picture and relevant part", it)),
        );
        let caption = format!("relevancy of “{}”", observed.word.text);
        pictures.extend(self.overlay.as_ref().map(|it| CardPicture::new(caption, it)));
        pictures
            .extend(self.hidden.as_ref().map(|it| CardPicture::new("relevant part hidden", it)));
        let mut facts = vec![
            Fact::new("Question", &self.question),
            Fact::new("Answer", shortened(&observed.answer)),
            Fact::new("Decisive word", word(observed)),
        ];
        facts.extend(row.right_answer.as_ref().map(|right| Fact::new("Right answer", right)));
        facts.extend(row.label.as_ref().map(|label| Fact::new("Label", label)));
        let changed = |change: &crate::Changed| {
            let moved = observed.log_odds_moved(change.change).unwrap_or(0.0);
            vec![
                change.change.phrase().to_owned(),
                change.answer.as_deref().map_or("–".to_owned(), shortened),
                format!("{moved:+.1}").replace('-', "−"),
            ]
        };
        Card {
            title: row.id.clone(),
            badge: Some(match observed.used() {
                Some(Use::Yes) => Badge::new(Tone::Good, "uses the picture"),
                Some(Use::No) => Badge::new(Tone::Poor, "does not use it"),
                Some(Use::Unclear) => Badge::new(Tone::Mixed, "unclear"),
                None => Badge::new(Tone::Nothing, "not known"),
            }),
            pictures,
            facts,
            table: Some(Table {
                caption: "What each change does".to_owned(),
                columns: vec![
                    Column::words("Changed"),
                    Column::words("New answer"),
                    Column::numbers("Log-odds fall (nats)"),
                ],
                rows: observed.changes.iter().map(changed).collect(),
            }),
        }
    }
}

/// A model without its picture may say the same for ever.
fn shortened(answer: &str) -> String {
    match answer.char_indices().nth(LONGEST_ANSWER) {
        None => answer.to_owned(),
        Some((end, _)) => format!("{}…", &answer[..end]),
    }
}

fn word(observed: &Observed) -> String {
    let how = match observed.word.choice {
        Choice::Word => "named by the case",
        Choice::YesOrNo => "the answer begins with it",
        Choice::Label => "the label",
        Choice::Gain => "the picture adds most to it",
    };
    let probability = 100.0 * observed.word.log_probability.exp();
    let against = observed.word.against.as_ref();
    let against = against.map_or(String::new(), |token| format!(" against “{}”", token.trim()));
    format!("“{}”{against}, {probability:.0} % likely ({how})", observed.word.text)
}
