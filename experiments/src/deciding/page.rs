//! The results as tables and as data.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::items::Family;
use super::measure::Measured;
use crate::localize::page::{percent, plain};
use crate::localize::settings::Setting;
use model_audit::Estimate;

/// The measures of one setting on one family.
struct Row {
    points: Option<Estimate>,
    share: Option<Estimate>,
    costliest: Option<Estimate>,
    correlation: Option<Estimate>,
    bos: Option<Estimate>,
}

impl Row {
    fn of(items: &[(u64, &Measured)], setting: usize) -> Self {
        let of = |value: &dyn Fn(&Measured) -> f64| {
            let values: Vec<(u64, f64)> =
                items.iter().map(|(at, item)| (*at, value(item))).collect();
            Estimate::of(&values)
        };
        let truth = |is: bool| f64::from(u8::from(is));
        let map = |item: &Measured| item.maps[setting].clone();
        Self {
            points: of(&|item| truth(map(item).largest() == Some(item.item.deciding))),
            share: of(&|item| map(item).share(item.item.deciding)),
            costliest: of(&|item| truth(map(item).largest() == item.costliest())),
            correlation: of(&|item| item.correlation(setting)),
            bos: of(&|item| map(item).bos),
        }
    }
}

/// Those of a family whose deciding word decides, with their numbers.
fn decided(family: Family, all: &[Measured]) -> Vec<(u64, &Measured)> {
    let of = |(_, item): &(usize, &Measured)| item.item.family == family && item.is_decided();
    all.iter().enumerate().filter(of).map(|(at, item)| (at as u64, item)).collect()
}

/// One table for each family.
pub fn tables(settings: &[Setting], all: &[Measured]) -> String {
    let mut page = String::new();
    for family in Family::ALL {
        let items = decided(family, all);
        let asked = all.iter().filter(|item| item.item.family == family);
        let (asked, right): (Vec<_>, Vec<_>) = asked.map(|item| ((), item.odds > 0.0)).unzip();
        let right = right.into_iter().filter(|right| *right).count();
        let costly = items.iter().filter(|(_, item)| item.costliest() == Some(item.item.deciding));
        let _ = writeln!(
            page,
            "### {}: {} sentences, {right} go on rightly, {} because of the deciding word\n\n\
            Where one word is left out, the deciding word costs the most in {} of these.\n\n\
            | method | points at the deciding word | its share | points at the costliest word | rank correlation with the costs | share of `<bos>` |\n\
            |---|---:|---:|---:|---:|---:|",
            family.name(),
            asked.len(),
            items.len(),
            costly.count(),
        );
        for (at, setting) in settings.iter().enumerate() {
            let row = Row::of(&items, at);
            let _ = writeln!(
                page,
                "| {setting} | {} | {} | {} | {} | {} |",
                percent(row.points),
                percent(row.share),
                percent(row.costliest),
                plain(row.correlation),
                percent(row.bos),
            );
        }
        page.push('\n');
    }
    page
}

/// Everything as data.
pub fn to_json(settings: &[Setting], all: &[Measured]) -> Value {
    let family = |family: Family| {
        let items = decided(family, all);
        let row = |(at, setting): (usize, &Setting)| {
            let row = Row::of(&items, at);
            let json = |estimate: Option<Estimate>| estimate.map(crate::document::estimate);
            json!({
                "setting": setting.to_string(),
                "points_at_deciding": json(row.points),
                "share_of_deciding": json(row.share),
                "points_at_costliest": json(row.costliest),
                "rank_correlation_with_costs": json(row.correlation),
                "share_of_bos": json(row.bos),
            })
        };
        (family.name().to_owned(), settings.iter().enumerate().map(row).collect::<Value>())
    };
    let sentence = |item: &Measured| {
        json!({
            "text": item.item.text(),
            "right": item.item.right,
            "foil": item.item.foil,
            "odds": item.odds,
            "drop_with_twin": item.drop,
            "drop_without_each_word": item.without,
        })
    };
    json!({
        "families": Family::ALL.into_iter().map(family).collect::<serde_json::Map<_, _>>(),
        "sentences": all.iter().map(sentence).collect::<Vec<_>>(),
    })
}
