//! What the page says of the reliance on the pictures.

use relevancy_visualization::report::Fact;

use super::minus;
use crate::record::{Record, TargetRecord};

/// What to be careful about.
pub(super) fn flags(record: &TargetRecord) -> Vec<String> {
    record.reliance.as_ref().map(|reliance| reliance.beware.clone()).unwrap_or_default()
}

/// The facts of one target: what the pictures add, how evenly its map is spread.
pub(super) fn facts(record: &TargetRecord) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(reliance) = &record.reliance {
        for gain in &reliance.blanks {
            let name = format!("Picture adds, compared with {}", gain.blank);
            let value = minus(format!("{:+.3} nats", gain.pmi));
            facts.push(Fact::new(name, value));
        }
        if let Some(entropy) = reliance.map_entropy {
            let value = format!("{entropy:.2} (0: all in one cell, 1: spread evenly)");
            facts.push(Fact::new("Spread of the map", value));
        }
    }
    if let Some(control) = &record.control {
        let value = match control.ratio {
            Some(ratio) => format!("{ratio:.2} times that on the mean picture"),
            None => "none on the mean picture".to_owned(),
        };
        facts.push(Fact::new("Relevancy in the picture", value));
    }
    facts
}

/// How to read these facts; none where nobody asked for them.
pub(super) fn note(record: &Record) -> Option<String> {
    let settings = record.reliance.as_ref()?;
    let blanks: Vec<&str> = settings.blanks.iter().map(|blank| blank.name.as_str()).collect();
    Some(format!(
        "What the picture adds is the log-probability with it minus that with a blank in its place ({}). Where that is within {} nats of \
         zero the word does not depend on the picture: then the map shows where the model looked, but is no evidence of what the \
         picture shows, however large the share of the picture.",
        blanks.join(", "),
        settings.independent_nats
    ))
}
