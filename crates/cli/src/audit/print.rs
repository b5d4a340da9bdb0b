//! What an audit says in the terminal, and its page.

use std::collections::HashMap;

use model_audit::medground::Overlap;
use model_audit::{About, Case, Estimate, Group, Row, Shown, Summary};

use super::cases::Set;
use super::source::Benchmark;
use crate::output;

/// The verdict with its reasons, and the numbers of all cases.
pub(super) fn summary(summary: &Summary) {
    let all = &summary.all;
    output::line(format_args!("The model {}.", all.judgement.verdict));
    for reason in &all.judgement.reasons {
        output::line(format_args!("  – {reason}"));
    }
    output::blank_line();
    let failed = match all.failed {
        0 => String::new(),
        failed => format!(", {failed} more failed"),
    };
    output::line(format_args!(
        "{} cases of {} patients{failed}; means with 95 % intervals",
        all.cases - all.failed,
        all.patients
    ));
    for (what, found) in [
        ("right answers", &all.right),
        ("picture-use score (0 none, 1 all)", &all.picture_use),
        ("shortcut score (0 all inside, 1 all outside)", &all.shortcut),
        ("maps ahead of their controls", &all.ahead),
    ] {
        if let Some(found) = found {
            output::line(format_args!("{what:<46} {}", found.percent_text()));
        }
    }
    changes(all);
    traces(all);
    maps(all);
    if !summary.groups.is_empty() {
        output::blank_line();
        for group in &summary.groups {
            output::line(format_args!("{}: {}", group.name, group.judgement.verdict));
        }
    }
}

fn changes(all: &Group) {
    output::blank_line();
    output::line(format_args!(
        "{:<42} {:>22} {:>24}",
        "changed", "word goes", "log-odds fall (nats)"
    ));
    for change in &all.changes {
        let flipped = change.flipped.as_ref().map_or("–".to_owned(), Estimate::percent_text);
        let moved = change.log_odds.as_ref().map_or("–".to_owned(), |it| it.text(1));
        let left = match change.unchanged {
            0 => String::new(),
            count => format!("  (not possible in {count})"),
        };
        output::line(format_args!(
            "{:<42} {flipped:>22} {moved:>24}{left}",
            change.change.phrase()
        ));
    }
}

/// What the decisive word loses where ways through a thinking trace are closed.
fn traces(all: &Group) {
    if !all.trace.is_empty() {
        output::blank_line();
        output::line(format_args!("{:<42} {:>24}", "closed", "log-probability lost (nats)"));
    }
    for way in &all.trace {
        output::line(format_args!("{:<42} {:>24}", way.way, way.loss.text(2)));
    }
}

/// Scores by the measures of a benchmark.
pub(super) fn benchmark(found: &Benchmark) {
    output::blank_line();
    if !found.scores.is_empty() {
        output::line("By the benchmark's own measures, map and boxes in the same pixels (%):");
        output::line(format_args!(
            "{:<14} {:>6} {:>8} {:>10} {:>8} {:>8}",
            "data set", "cases", "IoU", "precision", "recall", "F1"
        ));
    }
    for score in &found.scores {
        let Overlap { iou, precision, recall, f1 } = score.percent;
        output::line(format_args!(
            "{:<14} {:>6} {iou:>8.2} {precision:>10.2} {recall:>8.2} {f1:>8.2}",
            score.dataset, score.rows
        ));
    }
    if 0 < found.otherwise {
        output::line(format_args!("(not answered with “Yes”, and left out: {})", found.otherwise));
    }
}

fn maps(all: &Group) {
    let Some(_) = all.methods.first() else { return };
    output::blank_line();
    output::line(format_args!(
        "{:<34} {:>24} {:>10} {:>10}",
        "map and relevant part", "own", "constant", "moved"
    ));
    for method in &all.methods {
        for measure in &method.measures {
            let short = |of: &Option<Estimate>| {
                of.as_ref().map_or("–".to_owned(), |it| format!("{:.2}", it.mean))
            };
            let own = measure.own.as_ref().map_or("–".to_owned(), |it| it.text(2));
            let name = format!("{}: {}", method.method, measure.measure);
            output::line(format_args!(
                "{name:<34} {own:>24} {:>10} {:>10}",
                short(&measure.constant),
                short(&measure.shifted)
            ));
        }
    }
}

/// The page, with pictures from the files of the cases where they still are.
pub(super) fn page(
    set: &Set<'_>,
    about: &About,
    (summary, rows): (&Summary, &[Row]),
) -> anyhow::Result<String> {
    let by_id: HashMap<&str, &Case> =
        set.cases.lines.iter().flatten().map(|case| (case.id.as_str(), case)).collect();
    let mut shown = |index: usize| {
        let case: &Case = by_id.get(rows[index].id.as_str())?;
        let (picture, part) = set.shown(case).ok()?;
        let (picture, part) = (picture.rgb().clone(), part.map(|part| part.mask));
        Some(Shown { question: case.question.clone(), picture, part })
    };
    Ok(model_audit::page(about, summary, rows, &mut shown)?)
}
