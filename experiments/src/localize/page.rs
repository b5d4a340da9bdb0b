//! The results as a page and as data.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::localize::benchmark::{Benchmark, DECIDED, Group, Item, Measured};
use crate::localize::measure::Measure;
use crate::localize::randomized::Stage;
use crate::localize::settings::Setting;
use crate::localize::tag::Tagged;
use model_audit::Estimate;

/// All that `localize` finds out.
pub struct Results {
    /// The settings of the benchmark.
    pub settings: Vec<Setting>,
    /// Words with their measures.
    pub benchmark: Benchmark,
    /// Pictures of the benchmark.
    pub pictures: u64,
    /// The settings of the two studies.
    pub studied: Vec<Setting>,
    /// Weights made random.
    pub stages: Vec<Stage>,
    /// The sound model and the shortcut, on the same pictures; of the small models alone.
    pub tagged: Option<[Tagged; 2]>,
}

/// The measures of a setting on one kind of word.
struct Row {
    pointing: Option<Estimate>,
    mass: Option<Estimate>,
    iou: Option<Estimate>,
    rank_accuracy: Option<Estimate>,
    confused: Option<Estimate>,
    outweighs: Option<Estimate>,
    elsewhere: Option<Estimate>,
    /// Pointing of the words that what their right place shows decides.
    decided: Option<Estimate>,
    /// The same for pointing at another finding.
    confused_decided: Option<Estimate>,
    /// Rank correlation with each occlusion.
    occlusion: [Option<Estimate>; 2],
}

impl Row {
    fn of(items: &[&Item], setting: usize) -> Self {
        let of = |all: bool, value: &dyn Fn(&Measured) -> Option<f64>| {
            let values: Vec<(u64, f64)> = items
                .iter()
                .filter(|item| all || DECIDED <= item.drop)
                .filter_map(|item| Some((item.picture, value(item.measures[setting].as_ref()?)?)))
                .collect();
            Estimate::of(&values)
        };
        let place = |all: bool, value: &dyn Fn(&Measure) -> Option<f64>| {
            of(all, &|measured| value(&measured.place))
        };
        let estimate = |value: &dyn Fn(&Measure) -> Option<f64>| place(true, value);
        let of_decided = |value: &dyn Fn(&Measure) -> Option<f64>| place(false, value);
        let truth = |is: bool| f64::from(u8::from(is));
        Self {
            pointing: estimate(&|m| Some(truth(m.pointing))),
            mass: estimate(&|m| Some(m.mass)),
            iou: estimate(&|m| Some(m.iou)),
            rank_accuracy: estimate(&|m| Some(m.rank_accuracy)),
            confused: estimate(&|m| m.confused.map(truth)),
            outweighs: estimate(&|m| m.outweighs.map(truth)),
            elsewhere: estimate(&|m| m.elsewhere),
            decided: of_decided(&|m| Some(truth(m.pointing))),
            confused_decided: of_decided(&|m| m.confused.map(truth)),
            occlusion: [0, 1].map(|operator| of(true, &|measured| measured.occlusion[operator])),
        }
    }

    fn to_json(&self) -> Value {
        let json = |estimate: Option<Estimate>| estimate.map(crate::document::estimate);
        json!({
            "pointing": json(self.pointing),
            "mass_over_chance": json(self.mass),
            "iou": json(self.iou),
            "rank_accuracy": json(self.rank_accuracy),
            "confusion": json(self.confused),
            "outweighs_others": json(self.outweighs),
            "share_on_others": json(self.elsewhere),
            "pointing_of_decided": json(self.decided),
            "confusion_of_decided": json(self.confused_decided),
            "rank_correlation_with_occlusion": {
                "mean_embedding": json(self.occlusion[0]),
                "knockout": json(self.occlusion[1]),
            },
        })
    }
}

impl Results {
    fn rows(&self, group: Group) -> impl Iterator<Item = (Setting, Row)> {
        let items: Vec<&Item> =
            self.benchmark.items.iter().filter(|item| item.group == group).collect();
        self.settings.iter().enumerate().map(move |(at, setting)| (*setting, Row::of(&items, at)))
    }

    /// The tables.
    pub fn tables(&self) -> String {
        let mut page = String::new();
        for group in self.benchmark.groups() {
            let items: Vec<&Item> =
                self.benchmark.items.iter().filter(|item| item.group == group).collect();
            let decided = items.iter().filter(|item| DECIDED <= item.drop).count();
            let with_others = items.iter().filter(|item| has_others(item)).count();
            let _ = writeln!(
                page,
                "### {} words: {} in {} pictures, {with_others} of them beside another finding, {decided} decided by what is shown\n",
                capitalised(&group.name()),
                items.len(),
                pictures(&items),
            );
            page += "| method | words | points right | mass over chance | rank accuracy | points at another finding | share on others | outweighs others | decided: points right |\n\
                |---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
            for (setting, row) in self.rows(group) {
                let Some(words) = row.pointing.map(|estimate| estimate.items) else { continue };
                let _ = writeln!(
                    page,
                    "| {setting} | {words} | {} | {} | {} | {} | {} | {} | {} |",
                    percent(row.pointing),
                    times(row.mass),
                    percent(row.rank_accuracy),
                    percent(row.confused),
                    percent(row.elsewhere),
                    percent(row.outweighs),
                    percent(row.decided),
                );
            }
            page.push('\n');
        }
        page
    }

    /// One table of all kinds of words: where maps point.
    pub fn objectives(&self) -> String {
        let mut page = format!(
            "{} pictures, {} answers, {} of them right from the first token to the last.\n\n",
            self.pictures, self.benchmark.answers, self.benchmark.right
        );
        page += "| words | method | words | points right | points at another finding | decided: points right | decided: points at another finding |\n\
            |---|---|---:|---:|---:|---:|---:|\n";
        for group in self.benchmark.groups() {
            for (setting, row) in self.rows(group) {
                let Some(words) = row.pointing.map(|estimate| estimate.items) else { continue };
                let _ = writeln!(
                    page,
                    "| {} | {setting} | {words} | {} | {} | {} | {} |",
                    group.name(),
                    percent(row.pointing),
                    percent(row.confused),
                    percent(row.decided),
                    percent(row.confused_decided),
                );
            }
        }
        page
    }

    /// The table of how alike maps and occlusions are, over words of all kinds.
    pub fn occlusions(&self) -> String {
        let items: Vec<&Item> = self.benchmark.items.iter().collect();
        let mut page = String::from(
            "| method | words | with the occlusion by the mean embedding | with that by knock-out |\n\
            |---|---:|---:|---:|\n",
        );
        for (at, setting) in self.settings.iter().enumerate() {
            let [mean, knockout] = Row::of(&items, at).occlusion;
            let Some(words) = mean.or(knockout).map(|estimate| estimate.items) else { continue };
            let _ =
                writeln!(page, "| {setting} | {words} | {} | {} |", plain(mean), plain(knockout));
        }
        page
    }

    /// The table of random weights.
    pub fn randomization(&self) -> String {
        let mut page = String::from("| random |");
        for setting in &self.studied {
            let _ = write!(page, " {setting}: rank correlation | points right |");
        }
        page += "\n|---|";
        page += &"---:|---:|".repeat(self.studied.len());
        page.push('\n');
        for stage in &self.stages {
            let _ = write!(page, "| {} |", stage.name);
            for [correlation, pointing] in &stage.settings {
                let _ = write!(page, " {} | {} |", plain(*correlation), percent(*pointing));
            }
            page.push('\n');
        }
        page
    }

    /// The table of the tag.
    pub fn tag(&self) -> String {
        self.tagged.as_ref().map(|tagged| tag_table(&self.studied, tagged)).unwrap_or_default()
    }

    /// Everything as data.
    pub fn to_json(&self) -> Value {
        let of_word = |group: Group| {
            let rows = self.rows(group).map(|(setting, row)| {
                json!({ "setting": setting.to_string(), "measures": row.to_json() })
            });
            (group.name(), Value::Array(rows.collect()))
        };
        let stage = |stage: &Stage| {
            let settings = self.studied.iter().zip(&stage.settings).map(|(setting, found)| {
                json!({
                    "setting": setting.to_string(),
                    "rank_correlation": estimate(found[0].as_ref()),
                    "pointing": estimate(found[1].as_ref()),
                })
            });
            json!({ "random": stage.name, "settings": settings.collect::<Vec<_>>() })
        };
        json!({
            "pictures": self.pictures,
            "answers": self.benchmark.answers,
            "right_answers": self.benchmark.right,
            "words": self.benchmark.groups().into_iter().map(of_word).collect::<serde_json::Map<_, _>>(),
            "random_weights": self.stages.iter().map(stage).collect::<Vec<_>>(),
            "tag": self.tagged.as_ref().map(|tagged| tag_json(&self.studied, tagged)),
        })
    }
}

fn estimate(found: Option<&Estimate>) -> Option<Value> {
    found.copied().map(crate::document::estimate)
}

/// The table of the tag: of the sound model and of the shortcut.
pub fn tag_table(studied: &[Setting], [sound, shortcut]: &[Tagged; 2]) -> String {
    let mut page = String::from("| | sound | shortcut |\n|---|---:|---:|\n");
    let mut row = |name: &str, cells: [String; 2]| {
        let _ = writeln!(page, "| {name} | {} | {} |", cells[0], cells[1]);
    };
    let both = |cell: &dyn Fn(&Tagged) -> String| [cell(sound), cell(shortcut)];
    row(
        "reports that name the opacity",
        both(&|of| format!("{} of {}", of.says_opacity, of.pictures)),
    );
    for (at, setting) in studied.iter().enumerate() {
        let share = |place: usize| both(&|of| percent(of.shares[at][place]));
        row(&format!("share of the tag, {setting}"), share(0));
        row(&format!("share of the opacity, {setting}"), share(1));
    }
    row("tag taken away: \"opacity\" goes", both(&|of| percent(of.flips_without_tag)));
    row("opacity taken away: \"opacity\" goes", both(&|of| percent(of.flips_without_opacity)));
    for (at, setting) in studied.iter().enumerate() {
        row(
            &format!("map and intervention agree, {setting}"),
            both(&|of| percent(of.agreement[at])),
        );
    }
    page
}

/// The same as data.
pub fn tag_json(studied: &[Setting], [sound, shortcut]: &[Tagged; 2]) -> Value {
    let tagged = |of: &Tagged| {
        let settings = studied.iter().enumerate().map(|(at, setting)| {
            json!({
                "setting": setting.to_string(),
                "tag_share": estimate(of.shares[at][0].as_ref()),
                "opacity_share": estimate(of.shares[at][1].as_ref()),
                "agreement": estimate(of.agreement[at].as_ref()),
            })
        });
        json!({
            "pictures": of.pictures,
            "says_opacity": of.says_opacity,
            "flips_without_tag": estimate(of.flips_without_tag.as_ref()),
            "flips_without_opacity": estimate(of.flips_without_opacity.as_ref()),
            "settings": settings.collect::<Vec<_>>(),
        })
    };
    json!({ "sound": tagged(sound), "shortcut": tagged(shortcut) })
}

/// Whether there is a finding beside the one that a word tells of.
fn has_others(item: &Item) -> bool {
    item.measures.iter().flatten().any(|measured| measured.place.confused.is_some())
}

fn pictures(items: &[&Item]) -> usize {
    let mut numbers: Vec<u64> = items.iter().map(|item| item.picture).collect();
    numbers.dedup();
    numbers.len()
}

pub(crate) fn percent(estimate: Option<Estimate>) -> String {
    shown(estimate, |value| format!("{:.0}", 100.0 * value), " %")
}

fn times(estimate: Option<Estimate>) -> String {
    shown(estimate, |value| format!("{value:.1}"), " ×")
}

pub(crate) fn plain(estimate: Option<Estimate>) -> String {
    shown(estimate, |value| format!("{value:.2}"), "")
}

/// `97 % (95–99)`.
fn shown(estimate: Option<Estimate>, number: impl Fn(f64) -> String, unit: &str) -> String {
    estimate.map_or_else(
        || "–".to_owned(),
        |Estimate { mean, low, high, .. }| {
            format!("{}{unit} ({} to {})", number(mean), number(low), number(high))
        },
    )
}

fn capitalised(text: &str) -> String {
    let (first, rest) = text.split_at(1);
    first.to_uppercase() + rest
}
