//! The page about an audit: verdict, numbers, and the cases that tell most.

mod cards;

use relevancy_visualization::Error;
use relevancy_visualization::dossier::{
    Block, Column, Dossier, Estimate as Interval, Fact, IntervalChart, IntervalRow, KeyFigure,
    Reference, Section, Table, Tone, Verdict as Banner,
};
use relevancy_visualization::image::RgbImage;

use crate::mask::Mask;
use crate::statistics::Estimate;
use crate::summary::{Group, Row, Summary};
use crate::verdict::{LEAST_SHARE, Verdict};
use cards::{AGAINST, Drawn, telling};

/// What a page says beside the numbers.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// The model and the file of cases, in one line.
    pub subtitle: String,
    /// The seed of the audit.
    pub seed: u64,
    /// How the audit was made, as names and values.
    pub settings: Vec<(String, String)>,
    /// Where all of it comes from: checkpoint, hashes, versions.
    pub provenance: Vec<(String, String)>,
}

/// The picture of a case, for the page.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What was asked.
    pub question: String,
    /// The picture that the relevant part is of.
    pub picture: RgbImage,
    /// The part.
    pub part: Option<Mask>,
}

/// Failed cases that the page lists.
const MOST_FAILED: usize = 200;

/// The page. `shown` gives the picture of a row by its index, or nothing where it cannot be had any more.
///
/// # Errors
/// What drawing fails with.
pub fn page(
    about: &About,
    summary: &Summary,
    rows: &[Row],
    shown: &mut dyn FnMut(usize) -> Option<Shown>,
) -> Result<String, Error> {
    let all = &summary.all;
    let drawn: Vec<Drawn> = telling(rows, all.judgement.verdict)
        .into_iter()
        .map(|index| (index, shown(index)))
        .map(|(index, shown)| Drawn::new((index, shown), &rows[index], about.seed))
        .collect::<Result<_, _>>()?;
    let mut sections = vec![changes(all)];
    sections.extend(through_trace(all));
    sections.extend(maps(all));
    sections.extend(groups(summary));
    if !drawn.is_empty() {
        let cards = drawn.iter().map(|drawn| drawn.card(&rows[drawn.index])).collect();
        sections.push(Section {
            title: "The most telling cases".to_owned(),
            text: format!(
                "The cases that speak most for the verdict, and up to {AGAINST} that speak most against it. The outline is the relevant part; \
                 the colours are the relevancy of the decisive word."
            ),
            blocks: vec![Block::Cards(cards)],
        });
    }
    sections.extend(failed(rows));
    let facts = |pairs: &[(String, String)]| {
        pairs.iter().map(|(name, value)| Fact::new(name, value)).collect()
    };
    let page = Dossier {
        title: "Does the model use the picture?".to_owned(),
        subtitle: about.subtitle.clone(),
        verdict: Some(Banner {
            tone: tone(all.judgement.verdict),
            headline: format!("The model {}.", all.judgement.verdict),
            reasons: all.judgement.reasons.iter().map(|reason| sentence(reason)).collect(),
        }),
        figures: figures(all),
        sections,
        settings: facts(&about.settings),
        provenance: facts(&about.provenance),
        notes: NOTES.map(ToOwned::to_owned).to_vec(),
    };
    page.to_html()
}

const NOTES: [&str; 6] = [
    "All intervals are 95 %: a bootstrap that draws whole patients, and for shares of cases no narrower than that of Wilson with as many cases as patients.",
    "A word goes where the new answer does not have it, or denies it; denials are found by English words such as “no” and “without” before it in the same clause. Where no new answer is made, it goes where it is less than half as likely.",
    "A case uses the picture where the word goes with another patient's picture, of the same label or of another, and with at least half of all ways of taking the picture away; it does not where it stays with both pictures and with at least half of all ways. No single way decides: a model may call an even grey a finding.",
    "The picture-use score is the part of the word's probability that goes with the picture, the median over the ways of taking it away. The shortcut score is the mean of two shares outside of the relevant part: of the relevancy, and of what hidden cells do to the word.",
    "A part that is hidden, with a margin of 2 % of the picture's side, shows another place of the same picture, the one of some thousand that fits best, brightened or darkened so that no edge is seen. Cells hidden from the words still gave their neighbours in the picture what they gave.",
    "An audit says what a model used on these cases. It does not say that its answers are right, or what it does elsewhere.",
];

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::UsesThePart => Tone::Good,
        Verdict::UsesThePicture | Verdict::UsesUnclearPart => Tone::Mixed,
        Verdict::UsesAnotherPart | Verdict::DoesNotNeedThePicture => Tone::Poor,
        Verdict::Unclear => Tone::Nothing,
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

fn with_bounds(of: Option<&Estimate>) -> String {
    of.map_or("–".to_owned(), Estimate::percent_text)
}

fn number_text(of: Option<&Estimate>, decimals: usize) -> String {
    of.map_or("–".to_owned(), |it| it.text(decimals))
}

fn figures(all: &Group) -> Vec<KeyFigure> {
    let figure = |label: &str, of: &Option<Estimate>, help: &str| {
        Some(KeyFigure {
            label: label.to_owned(),
            value: percent(of.as_ref()?.mean),
            interval: format!("{} to {}", percent(of.as_ref()?.low), percent(of.as_ref()?.high)),
            help: help.to_owned(),
        })
    };
    let cases = KeyFigure {
        label: "Cases".to_owned(),
        value: (all.cases - all.failed).to_string(),
        interval: format!("{} patients", all.patients),
        help: match all.failed {
            0 => "none failed".to_owned(),
            failed => format!("{failed} more failed"),
        },
    };
    [
        Some(cases),
        figure("Right answers", &all.right, "of cases with a known answer"),
        figure("Picture use", &all.picture_use, "of the word's probability goes with the picture"),
        figure(
            "Shortcut",
            &all.shortcut,
            "of relevancy and effect lies outside of the relevant part",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn changes(all: &Group) -> Section<'static> {
    let row = |change: &crate::ChangeSummary| {
        let count = change.log_odds.as_ref().map_or(0, |it| it.items);
        vec![
            change.change.phrase().to_owned(),
            with_bounds(change.flipped.as_ref()),
            with_bounds(change.rewritten.as_ref()),
            number_text(change.log_odds.as_ref(), 1),
            count.to_string(),
            change.unchanged.to_string(),
        ]
    };
    let table = Table {
        caption: "What each change does to the decisive word and to the answer".to_owned(),
        columns: vec![
            Column::words("Changed"),
            Column::numbers("Word goes"),
            Column::numbers("Answer has other words"),
            Column::numbers("Log-odds of the word fall (nats)"),
            Column::numbers("Cases"),
            Column::numbers("Not possible"),
        ],
        rows: all.changes.iter().map(row).collect(),
    };
    let interval = |name: &str, of: &Option<Estimate>| interval(name, of.as_ref());
    let chart = IntervalChart {
        caption: "How often the word goes".to_owned(),
        axis: [0.0, 100.0],
        unit: "%".to_owned(),
        reference: Some(Reference {
            at: 100.0 * LEAST_SHARE,
            label: "bound of “uses the picture”".to_owned(),
        }),
        rows: all
            .changes
            .iter()
            .filter(|change| change.flipped.is_some())
            .map(|change| interval(change.change.phrase(), &change.flipped))
            .collect(),
    };
    Section {
        title: "What changes the answer".to_owned(),
        text: "Each case is asked again with something changed. The log-odds are those of the decisive word in its old place, the old answer being given. Parts are counted in cases whose answer names what they show and is not wrong.".to_owned(),
        blocks: vec![Block::Table(table), Block::Intervals(chart)],
    }
}

fn through_trace(all: &Group) -> Option<Section<'static>> {
    let row = |way: &crate::TraceSummary| {
        vec![way.way.clone(), way.loss.text(2), way.loss.items.to_string()]
    };
    let rows: Vec<Vec<String>> = all.trace.iter().map(row).collect();
    (!rows.is_empty()).then(|| Section {
        title: "Through the thinking trace".to_owned(),
        text: "What the decisive word loses where some tokens do not see others, in answers that begin with a thinking trace. What is lost by two ways need not add up to what is lost by both.".to_owned(),
        blocks: vec![Block::Table(Table {
            caption: "Ways between picture, trace and answer".to_owned(),
            columns: vec![
                Column::words("Closed"),
                Column::numbers("Log-probability lost (nats)"),
                Column::numbers("Cases"),
            ],
            rows,
        })],
    })
}

fn interval(name: &str, of: Option<&Estimate>) -> IntervalRow {
    IntervalRow {
        name: name.to_owned(),
        estimate: of.map(|it| Interval {
            mean: 100.0 * it.mean,
            interval: Some([100.0 * it.low, 100.0 * it.high]),
        }),
        count: of.map_or(0, |it| it.items),
        text: of.map(|it| with_bounds(Some(it))).unwrap_or_default(),
    }
}

fn maps(all: &Group) -> Option<Section<'static>> {
    let first = all.methods.first()?;
    let number = |of: &Option<Estimate>| {
        of.as_ref().map_or("–".to_owned(), |it| format!("{:.2}", it.mean))
    };
    let rows = all.methods.iter().flat_map(|method| {
        method.measures.iter().map(move |measure| {
            vec![
                method.method.clone(),
                measure_name(&measure.measure),
                number_text(measure.own.as_ref(), 2),
                number(&measure.constant),
                number(&measure.shifted),
                method.maps.to_string(),
            ]
        })
    });
    let mut blocks = vec![Block::Table(Table {
        caption: "Maps beside the relevant part".to_owned(),
        columns: vec![
            Column::words("Map"),
            Column::words("Measure"),
            Column::numbers("Map"),
            Column::numbers("Constant map"),
            Column::numbers("Same map moved"),
            Column::numbers("Cases"),
        ],
        rows: rows.collect(),
    })];
    if 1 < all.methods.len() {
        let row = |method: &crate::MethodSummary| {
            vec![
                method.method.clone(),
                number_text(method.ahead_of_relevancy.as_ref(), 2),
                method.p.map_or("–".to_owned(), |p| format!("{p:.3}")),
            ]
        };
        blocks.push(Block::Table(Table {
            caption: format!("Share of the map inside, less that of the {}", first.method),
            columns: vec![
                Column::words("Map"),
                Column::numbers("Difference"),
                Column::numbers("p (signs of whole patients; Holm)"),
            ],
            rows: all.methods.iter().skip(1).map(row).collect(),
        }));
    }
    let ahead = match &all.ahead {
        None => String::new(),
        Some(ahead) => format!(
            " {} of {} maps with curves are ahead of all their controls by knock-out; {} more have no curves, because the picture is worth too little to the word.",
            ahead.percent_text(),
            ahead.items,
            all.without_curves
        ),
    };
    Some(Section {
        title: "The map of the decisive word".to_owned(),
        text: format!(
            "Pointing: the largest cell touches the part. Mass: the share of the map inside it, and over what a constant map has. Rank accuracy: of as many cells as it touches. IoU: of as many cells as it is large.{ahead}"
        ),
        blocks,
    })
}

fn measure_name(name: &str) -> String {
    if name == "iou" { "IoU".to_owned() } else { name.replace('-', " ") }
}

fn groups(summary: &Summary) -> Option<Section<'static>> {
    if summary.groups.is_empty() {
        return None;
    }
    let row = |group: &Group| {
        vec![
            group.name.clone(),
            (group.cases - group.failed).to_string(),
            with_bounds(group.right.as_ref()),
            with_bounds(group.uses.as_ref()),
            with_bounds(group.shortcut.as_ref()),
            sentence(&group.judgement.verdict.to_string()),
        ]
    };
    let table = Table {
        caption: "Each group for itself".to_owned(),
        columns: vec![
            Column::words("Group"),
            Column::numbers("Cases"),
            Column::numbers("Right answers"),
            Column::numbers("Cases that use the picture"),
            Column::numbers("Shortcut"),
            Column::words("Verdict"),
        ],
        rows: summary.groups.iter().map(row).collect(),
    };
    let chart = |caption: &str, of: fn(&Group) -> &Option<Estimate>| IntervalChart {
        caption: caption.to_owned(),
        axis: [0.0, 100.0],
        unit: "%".to_owned(),
        reference: None,
        rows: summary
            .groups
            .iter()
            .map(|group| interval(&group.name, of(group).as_ref()))
            .collect(),
    };
    Some(Section {
        title: "By group".to_owned(),
        text: String::new(),
        blocks: vec![
            Block::Table(table),
            Block::Intervals(chart("Picture use", |group| &group.picture_use)),
        ],
    })
}

fn failed(rows: &[Row]) -> Option<Section<'static>> {
    let failed: Vec<Vec<String>> = rows
        .iter()
        .filter_map(|row| Some(vec![row.id.clone(), row.error.clone()?]))
        .take(MOST_FAILED)
        .collect();
    (!failed.is_empty()).then(|| Section {
        title: "Cases that failed".to_owned(),
        text: "They are in no number above.".to_owned(),
        blocks: vec![Block::Table(Table {
            caption: "What went wrong".to_owned(),
            columns: vec![Column::words("Case"), Column::words("Reason")],
            rows: failed,
        })],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::{Change, WordMap};
    use crate::summary::tests::{row, sound};

    fn rows() -> Vec<Row> {
        let mut rows: Vec<Row> = (0..20).map(|patient| row(patient, sound())).collect();
        for (at, row) in rows.iter_mut().enumerate() {
            let observed = row.observed.as_mut().unwrap();
            observed.map = Some(WordMap {
                picture: 0,
                grid: [2, 2],
                placement: [0.0, 0.0, 64.0, 64.0],
                values: vec![0.1, 0.2, 0.3, 0.4],
            });
            for changed in &mut observed.changes {
                changed.log_probability -= 0.01
                    * at as f64
                    * f64::from(u8::from(changed.change == Change::RelevantHidden));
            }
        }
        rows[3].observed.as_mut().unwrap().answer = "<script>alert(1)</script>".to_owned();
        rows.push(Row {
            observed: None,
            error: Some("no such file".to_owned()),
            ..row(99, sound())
        });
        rows
    }

    #[test]
    fn it_shows_the_verdict_and_the_cases_that_tell_most() {
        let rows = rows();
        let mut asked = Vec::new();
        let html = page(&About::default(), &Summary::of(&rows), &rows, &mut |index| {
            asked.push(index);
            let picture = RgbImage::from_pixel(64, 64, [90; 3].into());
            let part = Mask::of_boxes([64, 64], &[[10.0, 10.0, 30.0, 30.0]]);
            (index != 19).then(|| Shown {
                question: "Is there an opacity?".to_owned(),
                picture,
                part,
            })
        })
        .unwrap();
        assert_eq!(asked, [19, 18, 17, 16, 15, 14, 13, 0, 1, 2]);
        assert!(html.contains("The model uses the picture, and the part that it should."));
        assert!(html.contains("no such file"));
        assert_eq!(html.matches("<img").count(), 3 * 9);
    }

    #[test]
    fn what_a_model_writes_is_text() {
        let rows = rows();
        let few = &rows[..5];
        let html = page(&About::default(), &Summary::of(few), few, &mut |_| None).unwrap();
        assert!(html.contains("&lt;script&gt;alert(1)") && !html.contains("<script"));
    }
}
