//! What the page says of the reliance on the pictures.

use relevancy_visualization::report::Fact;

use crate::text::minus;
use crate::{BlankKind, DependsOnPicture, Explained, ExplainedTarget, Flag, TargetReliance};

/// Warnings for a target. A word that depends on the picture gets none for being as likely with a single blank; its facts say
/// so.
pub(super) fn flags(target: &ExplainedTarget<'_>, blanks: &[BlankKind]) -> Vec<String> {
    let warns = |reliance: &&TargetReliance| {
        reliance.depends_on_picture(blanks) != DependsOnPicture::Yes
            || reliance.flags(blanks).iter().any(|flagged| flagged.flag == Flag::Against)
    };
    let reliance = target.reliance.as_ref().filter(warns);
    reliance.map(|reliance| reliance.beware(blanks)).unwrap_or_default()
}

/// The facts of one target: what the pictures add, how evenly its map is spread.
pub(super) fn facts(target: &ExplainedTarget<'_>, blanks: &[BlankKind]) -> Vec<Fact> {
    let mut facts = Vec::new();
    if let Some(reliance) = &target.reliance {
        let depends = reliance.depends_on_picture(blanks);
        facts.push(Fact::new("Depends on the picture", depends.name()));
        for (gain, blank) in reliance.blanks.iter().zip(blanks) {
            let name = format!("Picture adds, compared with {blank}");
            let value = minus(format!("{:+.3} nats", gain.pmi()));
            facts.push(Fact::new(name, value));
        }
        if let Some(entropy) = reliance.map_entropy {
            let value = format!("{entropy:.2} (0: all in one cell, 1: spread evenly)");
            facts.push(Fact::new("Spread of the map", value));
        }
    }
    if let Some(trace) = target.reliance.as_ref().and_then(|reliance| reliance.trace) {
        facts.push(Fact::new("Through the thinking trace", trace.phrase()));
        if let (Some(in_trace), Some(in_pictures)) =
            (trace.relevancy_in_trace, trace.relevancy_in_pictures)
        {
            let percent = |share: f32| format!("{:.0} %", 100.0 * share);
            let value = format!(
                "{} in the trace, {} in the pictures",
                percent(in_trace),
                percent(in_pictures)
            );
            facts.push(Fact::new("Relevancy of the word", value));
        }
    }
    if let Some(control) = &target.control {
        let value = match control.ratio() {
            Some(ratio) => format!("{ratio:.2} times that on the mean picture"),
            None => "none on the mean picture".to_owned(),
        };
        facts.push(Fact::new("Relevancy in the picture", value));
    }
    facts
}

/// How to read these facts; none where nobody asked for them.
pub(super) fn note(explained: &Explained<'_>) -> Option<String> {
    let settings = explained.reliance.as_ref()?;
    let blanks: Vec<&str> = settings.blanks.iter().map(|blank| blank.name.name()).collect();
    Some(format!(
        "What the picture adds is the log-probability with it minus that with a blank in its place ({}). Within {} nats of zero the word \
         is as likely with that blank, which may be a picture to the model: an even grey can look like a finding. Only a word that is as \
         likely with an even picture, a blurred one and the mean embedding does not depend on the picture; then the map shows where \
         the model looked and not why it said the word.",
        blanks.join(", "),
        settings.independent_nats
    ))
}
