//! What was measured, and its file.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{format, page};

/// Everything that the page is made from.
pub(crate) struct Report {
    /// Machine, versions, command.
    pub(crate) head: Map<String, Value>,
    pub(crate) measurements: Vec<Measurement>,
}

/// One process.
#[derive(Debug, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) section: String,
    pub(crate) row: String,
    pub(crate) command: String,
    /// How long the process ran.
    pub(crate) wall_s: f64,
    /// What it printed, or why it printed nothing.
    pub(crate) outcome: Result<Map<String, Value>, String>,
}

impl Measurement {
    /// A number that was printed.
    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.outcome.as_ref().ok()?.get(name)?.as_f64()
    }

    /// For the terminal.
    pub(crate) fn in_short(&self) -> String {
        match (&self.outcome, self.number("median_s")) {
            (Ok(_), Some(median)) => {
                format!("{} s ({:.0} s in all)", format::number(median), self.wall_s)
            }
            (Ok(_), None) => "does not fit".to_owned(),
            (Err(why), _) => format!("nothing: {why}"),
        }
    }

    fn to_json(&self) -> Value {
        let mut value = json!({
            "section": self.section, "row": self.row, "command": self.command, "wall_s": self.wall_s,
        });
        match &self.outcome {
            Ok(result) => value["result"] = Value::Object(result.clone()),
            Err(why) => value["error"] = json!(why),
        }
        value
    }

    fn from_json(value: &Value) -> Result<Self> {
        let text = |name: &str| -> Result<String> {
            let text = value[name].as_str();
            Ok(text.with_context(|| format!("a measurement has no {name}"))?.to_owned())
        };
        let outcome = match &value["result"] {
            Value::Object(result) => Ok(result.clone()),
            _ => Err(text("error")?),
        };
        Ok(Self {
            section: text("section")?,
            row: text("row")?,
            command: text("command")?,
            wall_s: value["wall_s"].as_f64().context("a measurement has no wall_s")?,
            outcome,
        })
    }
}

impl Report {
    pub(crate) fn find(&self, section: &str, row: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|found| found.section == section && found.row == row)
    }

    /// A number of a measurement that succeeded.
    pub(crate) fn number(&self, section: &str, row: &str, name: &str) -> Option<f64> {
        self.find(section, row)?.number(name)
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut value = Value::Object(self.head.clone());
        value["measurements"] = self.measurements.iter().map(Measurement::to_json).collect();
        value
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self> {
        let mut head = value.as_object().context("the file holds no object")?.clone();
        let list = head.remove("measurements");
        let list = list.as_ref().and_then(Value::as_array).context("no measurements")?;
        let measurements = list.iter().map(Measurement::from_json).collect::<Result<_>>()?;
        Ok(Self { head, measurements })
    }

    /// Writes the numbers and the page, each whole or not at all.
    pub(crate) fn write(&self, folder: &Path, stem: &str) -> Result<()> {
        write(&folder.join(format!("{stem}.json")), &format!("{:#}\n", self.to_json()))?;
        write(&folder.join(format!("{stem}.md")), &page::page(self, stem))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension(format!("partial-{}", std::process::id()));
    let written = std::fs::write(&partial, text).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written.with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report of `(section, row, result)`; a text instead of an object is an error.
    pub(crate) fn report(rows: &[(&str, &str, Value)]) -> Report {
        let measurement = |(section, row, result): &(&str, &str, Value)| Measurement {
            section: (*section).to_owned(),
            row: (*row).to_owned(),
            command: format!("measure {row}"),
            wall_s: 1.0,
            outcome: match result {
                Value::Object(result) => Ok(result.clone()),
                why => Err(why.as_str().unwrap_or_default().to_owned()),
            },
        };
        Report { head: Map::new(), measurements: rows.iter().map(measurement).collect() }
    }

    #[test]
    fn a_report_survives_its_file() {
        let mut found = report(&[("a", "b", json!({"median_s": 2.5})), ("a", "c", json!("broke"))]);
        found.head.insert("command".to_owned(), json!("x"));
        let again = Report::from_json(&found.to_json()).unwrap();
        assert_eq!(again.measurements, found.measurements);
        assert_eq!(again.head, found.head);
        assert_eq!(again.number("a", "b", "median_s"), Some(2.5));
        assert_eq!(again.number("a", "c", "median_s"), None);
        assert!(Report::from_json(&json!({"measurements": [{"section": "a"}]})).is_err());
    }

    #[test]
    fn both_files_are_written_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        report(&[]).write(folder.path(), "numbers").unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["numbers.json", "numbers.md"]);
    }
}
