//! The results as a table and as data.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::quantised::measure::{Measured, Other, Pair};
use model_audit::Estimate;

/// One other model, with what was measured.
struct Row<'a> {
    other: &'a Other,
    rank: Option<Estimate>,
    top: Option<Estimate>,
    pointing: Option<Estimate>,
    own_pointing: Option<Estimate>,
    agrees: Option<Estimate>,
    change: Option<Estimate>,
    answers: Option<Estimate>,
}

impl<'a> Row<'a> {
    fn of(other: &'a Other, found: &Measured) -> Self {
        let truth = |is: bool| f64::from(u8::from(is));
        let of = |value: &dyn Fn(&Pair) -> f64| {
            let items: Vec<_> =
                found.words.iter().map(|pair| (pair.picture, value(pair))).collect();
            Estimate::of(&items)
        };
        let answers: Vec<_> =
            found.answers.iter().map(|&(picture, same)| (picture, truth(same))).collect();
        Self {
            other,
            rank: of(&|pair| pair.rank_correlation),
            top: of(&|pair| pair.top_overlap),
            pointing: of(&|pair| truth(pair.pointing[1])),
            own_pointing: of(&|pair| truth(pair.pointing[0])),
            agrees: of(&|pair| truth(pair.pointing[0] == pair.pointing[1])),
            change: of(&|pair| pair.change.abs()),
            answers: Estimate::of(&answers),
        }
    }
}

/// One line for each other model.
pub fn table(others: &[Other], measured: &[Measured]) -> String {
    let rows: Vec<Row<'_>> =
        others.iter().zip(measured).map(|(other, found)| Row::of(other, found)).collect();
    let mut text = String::from(
        "| stored as | bits a weight | rank correlation | top tenth in common | points right | points as before | change of log p | same answer |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let percent = |estimate: Option<Estimate>| {
        estimate.map_or("–".to_owned(), |found| {
            format!(
                "{:.1} % [{:.1}, {:.1}]",
                100.0 * found.mean,
                100.0 * found.low,
                100.0 * found.high
            )
        })
    };
    let number = |estimate: Option<Estimate>| {
        estimate.map_or("–".to_owned(), |found| {
            format!("{:.4} [{:.4}, {:.4}]", found.mean, found.low, found.high)
        })
    };
    if let Some(first) = rows.first() {
        let own = percent(first.own_pointing);
        let _ = writeln!(text, "| bfloat16, products in float32 | 16 | 1 | 1 | {own} | | | |"); // a String takes everything
    }
    for row in &rows {
        let bits = row.other.bits.map_or("16".to_owned(), |bits| format!("{bits:.2}"));
        let _ = writeln!(
            text,
            "| {} | {bits} | {} | {} | {} | {} | {} | {} |",
            row.other.name,
            number(row.rank),
            number(row.top),
            percent(row.pointing),
            percent(row.agrees),
            number(row.change),
            percent(row.answers),
        );
    }
    text
}

/// The same as data.
pub fn to_json(others: &[Other], measured: &[Measured], pictures: u64) -> Value {
    let json = |estimate: Option<Estimate>| estimate.map(crate::document::estimate);
    let row = |(other, found): (&Other, &Measured)| {
        let row = Row::of(other, found);
        json!({
            "stored_as": other.name,
            "bits": other.bits,
            "rank_correlation": json(row.rank),
            "top_overlap": json(row.top),
            "pointing": json(row.pointing),
            "pointing_before": json(row.own_pointing),
            "points_as_before": json(row.agrees),
            "change_of_log_probability": json(row.change),
            "same_answer": json(row.answers),
        })
    };
    let rows: Vec<Value> = others.iter().zip(measured).map(row).collect();
    json!({ "pictures": pictures, "models": rows })
}
