//! One table of what the pages about phantoms, the hybrid and texts found, method by method.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use attention_relevancy::Update;
use serde_json::Value;

use crate::localize::settings::{Goals, Method, Quarters, Setting};

/// What the three studies wrote as data.
pub struct Studies {
    /// `localization.json`.
    pub phantom: Value,
    /// `localization-hybrid.json`.
    pub hybrid: Value,
    /// `deciding-words.json`.
    pub texts: Value,
}

/// Where the numbers of a column are.
struct Column {
    name: &'static str,
    of: fn(&Studies) -> &Value,
    /// Which words.
    words: &'static str,
}

const COLUMNS: [Column; 10] = [
    Column { name: "phantom: finding", of: phantom, words: "finding" },
    Column { name: "side", of: phantom, words: "side" },
    Column { name: "level", of: phantom, words: "level" },
    Column { name: "hybrid: finding", of: hybrid, words: "finding" },
    Column { name: "side", of: hybrid, words: "side" },
    Column { name: "level", of: hybrid, words: "level" },
    Column { name: "count", of: hybrid, words: "count" },
    Column { name: "text: number of the verb", of: texts, words: "agreement" },
    Column { name: "across another number", of: texts, words: "agreement across another number" },
    Column { name: "capital", of: texts, words: "capital" },
];

fn phantom(studies: &Studies) -> &Value {
    &studies.phantom["words"]
}

fn hybrid(studies: &Studies) -> &Value {
    &studies.hybrid["words"]
}

fn texts(studies: &Studies) -> &Value {
    &studies.texts["families"]
}

/// The rows: what a reader may choose between, and what nobody should use.
fn settings() -> Vec<Setting> {
    let relevancy = Method::Relevancy(Update::Additive);
    let objectives =
        [Goals::Logit, Goals::LogOdds, Goals::RunnerUp, Goals::Alternatives, Goals::Named];
    let of_objective = objectives.map(|goals| Setting { method: relevancy, goals });
    let by_default = [
        Method::Path(2),
        Method::Upper(Quarters(2)),
        Method::Upper(Quarters(1)),
        Method::GlobalLayers,
        Method::WithoutSinks,
        Method::Relevancy(Update::Stochastic),
        Method::MeanGradient,
        Method::LastGradient,
        Method::LeGrad,
        Method::DexAr,
        Method::GradCamAttention,
        Method::GradCamHidden,
        Method::InputGradient,
        Method::MeanCell,
    ]
    .map(|method| Setting { method, goals: Goals::Alternatives });
    let forward = [
        Method::RawMean,
        Method::RawGlobal,
        Method::RawLast,
        Method::ValueNorm,
        Method::Rollout,
        Method::Tam,
        Method::Random,
    ]
    .map(|method| Setting { method, goals: Goals::None });
    of_objective.into_iter().chain(by_default).chain(forward).collect()
}

/// Words that point right in per cent, a row a method.
///
/// # Errors
/// Data without a column's words.
pub fn table(studies: &Studies) -> Result<String> {
    let mut page = String::from("| method |");
    let mut counts = String::from("| *words* |");
    for column in &COLUMNS {
        let _ = write!(page, " {} |", column.name);
        let _ = write!(counts, " *{}* |", column.words_at_most(studies)?);
    }
    page += "\n|---|";
    page += &"---:|".repeat(COLUMNS.len());
    let _ = writeln!(page, "\n{counts}");
    for setting in settings() {
        let name = setting.to_string();
        let _ = write!(page, "| {name} |");
        for column in &COLUMNS {
            let _ = write!(page, " {} |", column.cell(studies, &name)?);
        }
        page.push('\n');
    }
    Ok(page)
}

impl Column {
    fn rows<'a>(&self, studies: &'a Studies) -> Result<&'a Vec<Value>> {
        (self.of)(studies)[self.words]
            .as_array()
            .with_context(|| format!("the data have no words of {}", self.words))
    }

    /// Where the pointing of a row is: the two pages have other names for it.
    fn pointing(row: &Value) -> &Value {
        match &row["points_at_deciding"] {
            Value::Null => &row["measures"]["pointing"],
            pointing => pointing,
        }
    }

    fn words_at_most(&self, studies: &Studies) -> Result<u64> {
        let counts = self.rows(studies)?.iter().map(|row| Self::pointing(row)["items"].as_u64());
        Ok(counts.flatten().max().unwrap_or(0))
    }

    /// `97`, with the number of words where they are fewer than half of the column's.
    fn cell(&self, studies: &Studies, setting: &str) -> Result<String> {
        let row = self.rows(studies)?.iter().find(|row| row["setting"] == setting);
        let pointing = row.map(Self::pointing).filter(|pointing| !pointing.is_null());
        let Some(pointing) = pointing else { return Ok("–".to_owned()) };
        let mean = pointing["mean"].as_f64().context("a mean is a number")?;
        let items = pointing["items"].as_u64().context("words are counted")?;
        let percent = format!("{:.0}", 100.0 * mean);
        Ok(if 2 * items < self.words_at_most(studies)? {
            format!("{percent} (of {items})")
        } else {
            percent
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cell_says_when_it_has_few_words() {
        let row = |setting: &str, mean: f64, items: u64| {
            let pointing = json!({ "mean": mean, "items": items });
            json!({ "setting": setting, "measures": { "pointing": pointing } })
        };
        let rows = json!({ "side": [row("a", 0.976, 41), row("b", 0.5, 20), row("c", 1.0, 21)] });
        let studies = Studies {
            phantom: json!({ "words": rows }),
            hybrid: Value::Null,
            texts: json!({ "families": { "capital": [
                { "setting": "a", "points_at_deciding": { "mean": 0.0, "items": 40 } },
            ] } }),
        };
        let side = |setting| COLUMNS[1].cell(&studies, setting).unwrap();
        assert_eq!([side("a"), side("b"), side("c"), side("d")], ["98", "50 (of 20)", "100", "–"]);
        assert_eq!(COLUMNS[9].cell(&studies, "a").unwrap(), "0");
        assert!(COLUMNS[4].cell(&studies, "a").is_err());
    }
}
