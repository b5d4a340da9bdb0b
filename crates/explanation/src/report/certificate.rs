//! What the page and the figure say of a certificate.

use relevancy_visualization::report::{Evidence, EvidenceTable, Fact, Tone};
use relevancy_visualization::{Caption, Figure, RemovalChart, removal_figure};

use crate::text::minus;
use crate::{
    Error, Explained, ExplainedTarget, Faithfulness, LEAST_GAIN, MapChange, Operator,
    OperatorCertificate, SIGNIFICANT, TargetCertificate,
};

/// The badge of a target and what it opens; `None` where nobody asked.
pub(super) fn evidence(target: &ExplainedTarget<'_>) -> Option<Evidence> {
    let certificate = target.certificate.as_deref()?;
    let found = certificate.faithfulness();
    Some(Evidence {
        badge: match found {
            Faithfulness::NoEffect => "no effect of the picture".to_owned(),
            found => found.to_string(),
        },
        tone: match found {
            Faithfulness::Ahead { by: 0, .. } => Tone::Poor,
            Faithfulness::Ahead { by, of } if by < of => Tone::Mixed,
            Faithfulness::Ahead { .. } => Tone::Good,
            Faithfulness::NoEffect | Faithfulness::Undefined => Tone::Nothing,
        },
        text: text(certificate, found),
        charts: charts(certificate),
        table: table(certificate),
    })
}

/// The curves of a target as a figure; `None` where nobody asked.
pub(crate) fn figure(target: &ExplainedTarget<'_>) -> Result<Option<Figure>, Error> {
    let Some(certificate) = target.certificate.as_deref() else { return Ok(None) };
    let caption = Caption::new(target.explanation.label())
        .subtitled(format!("the map is {}", certificate.faithfulness()))
        .noted("what is left of the log-probability as cells of the picture are taken away; 0: as without the picture");
    Ok(Some(removal_figure(&charts(certificate), &caption)?))
}

/// A line of the details of a target for each change of its picture and of the model.
pub(super) fn facts(target: &ExplainedTarget<'_>) -> Vec<Fact> {
    let Some(found) = target.certificate.as_deref() else { return Vec::new() };
    let lines = |changes: &[MapChange], meaning: &str| {
        let line = |change: &MapChange| {
            let value = minus(format!("{:.3} ({meaning})", change.rank_correlation));
            Fact::new(format!("Map with {}", change.what), value)
        };
        changes.iter().map(line).collect::<Vec<_>>()
    };
    let mut facts = lines(&found.stability, "1: the same order of cells, as it should be");
    facts.extend(lines(
        &found.randomisation,
        "near 1: the map does not show what the layers learnt",
    ));
    facts
}

/// How to read it, at the foot of the page.
pub(super) fn note(explained: &Explained<'_>) -> Option<String> {
    let settings = explained.certificate.as_ref()?;
    Some(format!(
        "Certificates: {} runs without other {}, {} controls or more for each map; a map is ahead of its controls where p ≤ {SIGNIFICANT} \
         and SRG ≥ {LEAST_GAIN}. Of twenty maps that know nothing one may be, too.",
        settings.runs,
        if settings.block == 1 {
            "cells".to_owned()
        } else {
            format!("blocks of {0} × {0} cells", settings.block)
        },
        settings.controls
    ))
}

fn text(certificate: &TargetCertificate, found: Faithfulness) -> Vec<String> {
    let mut text = Vec::new();
    match found {
        Faithfulness::NoEffect => {
            let nats = certificate.operators().map(|(operator, found)| {
                format!("{operator} {}", minus(format!("{:+.3}", found.worth())))
            });
            let nats = nats.collect::<Vec<_>>().join(", ");
            text.push(format!(
                "The answer does not depend on the picture: without it this word is as likely (in nats the picture adds: {nats}). A map \
                 cannot be faithful to an effect that is not there."
            ));
        }
        Faithfulness::Undefined => text.push(
            "There are no curves: what the picture adds is too little or negative, or there is no map. Each panel says why.".to_owned(),
        ),
        Faithfulness::Ahead { .. } => {
            text.push(
                "Cells of the picture are taken away, those that the map calls most relevant first, then anew the least relevant first. The \
                 further the two curves stand apart, the better the map tells where this word comes from. SRG is the area between them; p says \
                 how often random orders, moved copies of the maps and a hill in the middle have as large an area."
                    .to_owned(),
            );
            let ways = certificate.operators().map(|(operator, _)| {
                format!("{operator}: a cell is {}", operator.phrase())
            });
            text.push(format!("{}.", ways.collect::<Vec<_>>().join("; ")));
            text.push(
                "It says that the map is faithful to the model. It does not say that the answer is right, nor that the model looked at \
                 what a reader would look at. Each way to take cells away asks another question; where they disagree, the map answers some of \
                 them only."
                    .to_owned(),
            );
        }
    }
    let best = certificate
        .operators()
        .filter_map(|(operator, found)| Some(format!("by {operator} {}", best_of(found)?)));
    let best: Vec<String> = best.collect();
    if !best.is_empty() {
        text.push(format!("The most faithful map here: {}.", best.join(", ")));
    }
    text
}

/// The method with the largest area, where there are several.
fn best_of(found: &OperatorCertificate) -> Option<&str> {
    let own = found.srg?;
    let others =
        found.methods.iter().filter_map(|method| Some((method.name.as_str(), method.srg?)));
    let mut others = others.peekable();
    others.peek()?;
    let (name, _) = std::iter::once((RELEVANCY, own))
        .chain(others)
        .reduce(|best, next| if best.1 < next.1 { next } else { best })?;
    Some(name)
}

const RELEVANCY: &str = "relevancy";

fn charts(certificate: &TargetCertificate) -> Vec<RemovalChart> {
    certificate.operators().map(|(operator, found)| chart(operator, found)).collect()
}

fn chart(operator: Operator, found: &OperatorCertificate) -> RemovalChart {
    let summary = found.undefined.clone().unwrap_or_else(|| {
        let p = found.p.unwrap_or(1.0);
        let as_good = found
            .controls
            .iter()
            .filter(|control| found.srg.is_some_and(|srg| srg <= control.srg))
            .count();
        let all = found.controls.len();
        let stands = match as_good {
            0 => format!("above all {all} controls"),
            some => format!("{some} of {all} controls are as good"),
        };
        let remark = found.remark().map(|remark| format!("; {remark}")).unwrap_or_default();
        minus(format!("SRG {:+.2}, {stands} (p {p:.3})", found.srg.unwrap_or(0.0))) + &remark
    });
    RemovalChart {
        title: operator.name().to_owned(),
        summary,
        fractions: found.fractions.clone(),
        most_first: found.most_first.clone(),
        least_first: found.least_first.clone(),
        uniform: found.uniform.clone(),
        band: found.band.clone(),
    }
}

/// SRG and p of each method by each operator; `None` where there is no other method.
fn table(certificate: &TargetCertificate) -> Option<EvidenceTable> {
    let operators: Vec<_> = certificate.operators().collect();
    let count = operators.iter().map(|(_, found)| found.methods.len()).max().unwrap_or(0);
    if count == 0 {
        return None;
    }
    let cell = |srg: Option<f64>, p: Option<f64>| match (srg, p) {
        (Some(srg), Some(p)) => minus(format!("{srg:+.2} (p {p:.3})")),
        _ => "–".to_owned(),
    };
    let own = operators.iter().map(|(_, found)| cell(found.srg, found.p));
    let mut rows = vec![std::iter::once(RELEVANCY.to_owned()).chain(own).collect::<Vec<_>>()];
    for method in 0..count {
        let gain = |found: &OperatorCertificate| found.methods.get(method).cloned();
        let name = operators.iter().find_map(|(_, found)| Some(gain(found)?.name));
        let cells = operators.iter().map(|(_, found)| {
            gain(found).map_or_else(|| cell(None, None), |it| cell(it.srg, it.p))
        });
        rows.push(std::iter::once(name.unwrap_or_default()).chain(cells).collect());
    }
    let head = operators.iter().map(|(operator, _)| format!("{operator}: SRG"));
    Some(EvidenceTable { head: std::iter::once("map".to_owned()).chain(head).collect(), rows })
}
