//! What taking cells away says of a map: as data for the script, and as HTML for readers without it.

use super::json::Json;
use super::{Evidence, EvidenceTable, Target};
use crate::RemovalChart;
use crate::pages::escape::html;
use crate::pages::markup;

/// Everything, for the page's script.
pub(super) fn json(evidence: &Evidence) -> Json {
    let strings = |texts: &[String]| Json::list(texts.iter().map(|text| Json::string(text)));
    let table = |table: &EvidenceTable| {
        let rows = Json::list(table.rows.iter().map(|row| strings(row)));
        Json::object([("head", strings(&table.head)), ("rows", rows)])
    };
    Json::object([
        ("badge", Json::string(&evidence.badge)),
        ("tone", Json::plain(evidence.tone.name())),
        ("text", strings(&evidence.text)),
        ("charts", Json::list(evidence.charts.iter().map(chart))),
        ("table", evidence.table.as_ref().map_or(Json::null(), table)),
    ])
}

fn chart(chart: &RemovalChart) -> Json {
    let numbers = |values: &[f64]| Json::list(values.iter().copied().map(rounded));
    Json::object([
        ("title", Json::string(&chart.title)),
        ("summary", Json::string(&chart.summary)),
        ("fractions", Json::list(chart.fractions.iter().copied().map(Json::number))),
        ("most", numbers(&chart.most_first)),
        ("least", numbers(&chart.least_first)),
        ("uniform", numbers(&chart.uniform)),
        ("band", Json::list(chart.band.iter().map(|ends| numbers(ends)))),
    ])
}

/// To a millionth, which is finer than anybody sees; large numbers have no digits there to lose.
fn rounded(value: f64) -> Json {
    Json::number(if value.abs() < 1e6 { (1e6 * value).round() / 1e6 } else { value })
}

/// What a reader without the script gets: all words that have evidence, as texts. Nothing where there is none.
pub(super) fn markup(targets: &[Target<'_>]) -> String {
    let of_target =
        |target: &Target<'_>| target.evidence.as_ref().map(|found| section(&target.text, found));
    let sections: String = targets.iter().filter_map(of_target).collect();
    if sections.is_empty() { sections } else { format!("<noscript>{sections}</noscript>") }
}

fn section(word: &str, evidence: &Evidence) -> String {
    let Evidence { badge, tone, text, charts, table } = evidence;
    let paragraph = |text: &str| format!("<p dir=\"auto\">{}</p>", html(text));
    let result = |chart: &RemovalChart| {
        format!(
            "<p><b><bdi>{}</bdi></b>: <bdi>{}</bdi></p>",
            html(&chart.title),
            html(&chart.summary)
        )
    };
    format!(
        "<div class=\"word-head\"><p class=\"word-name\" dir=\"auto\">{}</p>{}</div>\
         <div class=\"evidence\">{}{}{}</div>",
        html(word),
        markup::badge(*tone, badge),
        text.iter().map(|text| paragraph(text)).collect::<String>(),
        charts.iter().map(result).collect::<String>(),
        table.as_ref().map(self::table).unwrap_or_default(),
    )
}

fn table(table: &EvidenceTable) -> String {
    let columns: Vec<_> = table.head.iter().map(|name| (name.as_str(), true)).collect();
    format!("<div class=\"scroll\">{}</div>", markup::table("", &columns, &table.rows))
}
