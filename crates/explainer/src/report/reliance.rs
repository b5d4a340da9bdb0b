//! What the page says of the reliance on the pictures.

use relevancy_visualization::report::Fact;

use crate::record::{Record, TargetRecord};

/// The facts of one target: what the pictures add, how even its map is, what to beware of.
pub(super) fn facts(record: &TargetRecord) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(reliance) = &record.reliance {
        for gain in &reliance.blanks {
            let name = format!("the picture adds, against {}", gain.blank);
            facts.push(Fact::new(name, format!("{:+.3} nats", gain.pmi)));
        }
        if let Some(entropy) = reliance.map_entropy {
            facts.push(Fact::new("entropy of the map", format!("{entropy:.2} of an even one")));
        }
        if !reliance.beware.is_empty() {
            facts.push(Fact::new("beware", reliance.beware.join("; ")));
        }
    }
    if let Some(control) = &record.control {
        let value = match control.ratio {
            Some(ratio) => format!("{ratio:.2} times that of the mean picture"),
            None => "the mean picture has none".to_owned(),
        };
        facts.push(Fact::new("relevancy of the picture", value));
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
