//! Means with their intervals on a common axis, as a table: one drawn column between names and numbers.
//!
//! Places on the axis are percentages of the column's width, so that the chart takes the width it is given and letters stay as large
//! as they are. The table says in words all that is drawn; the drawing is left out for who does not see it.

use super::{Estimate, IntervalChart, IntervalRow};
use crate::escape::append;
use crate::pages::escape::html;
use crate::ticks::{Ticks, short};

/// Steps between the ticks of the axis, at most; they must fit the width of a phone.
const STEPS: usize = 4;
/// Places along the axis that can be told apart by eye.
const EYE: f64 = 200.0;

/// `chart` was checked.
pub(super) fn markup(chart: &IntervalChart) -> String {
    let axis = Axis(chart.axis);
    let ticks = Ticks::between(chart.axis, STEPS);
    let mut out = String::from("<figure class=\"card chart\">");
    if !chart.caption.trim().is_empty() {
        append(
            &mut out,
            format_args!("<figcaption dir=\"auto\">{}</figcaption>", html(&chart.caption)),
        );
    }
    out += &legend(chart, axis);
    out += "<div class=\"scroll\" role=\"group\" tabindex=\"0\" aria-label=\"Chart as a table\"><table class=\"intervals\">\
            <thead><tr><th scope=\"col\">Group</th><td aria-hidden=\"true\"></td><th scope=\"col\">Mean (interval)</th></tr></thead><tbody>";
    let behind = behind(chart, axis, &ticks);
    for row in &chart.rows {
        out += &self::row(row, axis, &behind);
    }
    append(
        &mut out,
        format_args!(
            "</tbody><tfoot><tr><td></td><td class=\"plot\">{}{}</td><td></td></tr></tfoot></table></div></figure>",
            foot(&ticks),
            unit(&chart.unit, &ticks)
        ),
    );
    out
}

/// Where values lie between the ends of an axis.
#[derive(Clone, Copy, Debug)]
struct Axis([f64; 2]);

impl Axis {
    /// The place of a value in percent of the width; −1 or 1 where it lies beyond an end and is drawn there.
    fn place(self, value: f64) -> (String, i8) {
        let Self([low, high]) = self;
        let beyond = i8::from(high < value) - i8::from(value < low);
        (percent((value.clamp(low, high) - low) / (high - low)), beyond)
    }

    /// A value with as many decimals as can be told apart by eye along the axis, the same for all; where that is no good, to three
    /// digits.
    fn number(self, value: f64) -> String {
        let Self([low, high]) = self;
        let decimals = (EYE / (high - low)).log10().floor().max(0.0);
        if decimals > 4.0 || value.abs() > 1e5 {
            return short(value);
        }
        let text = format!("{value:.*}", decimals as usize);
        let is_zero = !text.contains(|digit: char| matches!(digit, '1'..='9'));
        if is_zero { text.replace('-', "") } else { text.replace('-', "−") }
    }

    fn is_left(self, Estimate { mean, interval }: Estimate) -> bool {
        let ends = interval.unwrap_or([mean; 2]);
        ends.into_iter().chain([mean]).any(|value| self.place(value).1 != 0)
    }
}

fn percent(part: f64) -> String {
    format!("{:.2}%", 100.0 * part)
}

/// What the signs mean; of those alone that there are.
fn legend(chart: &IntervalChart, axis: Axis) -> String {
    let estimates = || chart.rows.iter().filter_map(|row| row.estimate);
    let mut out = String::new();
    let mut add = |sign: &str, text: &str| {
        append(
            &mut out,
            format_args!("<span><svg aria-hidden=\"true\">{sign}</svg><bdi>{text}</bdi></span>"),
        );
    };
    if estimates().next().is_some() {
        add(r#"<circle class="mean" cx="50%" cy="50%" r="5"/>"#, "mean");
    }
    if estimates().any(|estimate| estimate.interval.is_some()) {
        add(r#"<line class="interval-line" x1="0%" x2="100%" y1="50%" y2="50%"/>"#, "interval");
    }
    if estimates().any(|estimate| axis.is_left(estimate)) {
        add(&arrow("40%", 1), "goes on past the axis");
    }
    if let Some(reference) = &chart.reference {
        let at = axis.number(reference.at);
        let text = match reference.label.trim() {
            "" => at,
            label => format!("{} ({at})", html(label)),
        };
        add(r#"<line class="reference" x1="50%" x2="50%" y1="-1" y2="13"/>"#, &text);
    }
    if out.is_empty() { out } else { format!("<p class=\"legend\">{out}</p>") }
}

/// What lies behind every row: lines at the ticks and the reference.
fn behind(chart: &IntervalChart, axis: Axis, ticks: &Ticks) -> String {
    let mut out = String::new();
    let mut line = |class: &str, x: &str| {
        append(
            &mut out,
            format_args!(r#"<line class="{class}" x1="{x}" x2="{x}" y1="0%" y2="100%"/>"#),
        );
    };
    ticks.ticks.iter().for_each(|tick| line("tick", &percent(tick.position)));
    chart.reference.iter().for_each(|reference| line("reference", &axis.place(reference.at).0));
    out
}

fn row(row: &IntervalRow, axis: Axis, behind: &str) -> String {
    let drawn = row.estimate.map(|estimate| estimate_drawn(estimate, axis)).unwrap_or_default();
    let class = if row.estimate.is_some() { "" } else { " class=\"none\"" };
    format!(
        "<tr><th scope=\"row\" class=\"words\"><bdi>{}</bdi> <span class=\"count\">n = {}</span></th>\
         <td class=\"plot\" aria-hidden=\"true\"><svg class=\"row\">{behind}{drawn}</svg></td><td{class}><bdi>{}</bdi></td></tr>",
        html(&row.name),
        row.count,
        html(&numbers(row, axis))
    )
}

fn numbers(row: &IntervalRow, axis: Axis) -> String {
    let number = |value| axis.number(value);
    if !row.text.trim().is_empty() {
        return row.text.clone();
    }
    match row.estimate {
        None => "not measured".to_owned(),
        Some(Estimate { mean, interval: None }) => number(mean),
        Some(Estimate { mean, interval: Some([low, high]) }) => {
            // Spaces that do not break: on a phone the interval takes one line.
            format!("{} ({}\u{a0}to\u{a0}{})", number(mean), number(low), number(high))
        }
    }
}

/// The interval as a line with an end at both sides, or an arrow where it goes on; the mean as a dot, or an arrow alike.
fn estimate_drawn(Estimate { mean, interval }: Estimate, axis: Axis) -> String {
    let sign = |value: f64, within: fn(&str) -> String| match axis.place(value) {
        (x, 0) => within(&x),
        (x, beyond) => arrow(&x, beyond),
    };
    let dot = |x: &str| format!(r#"<circle class="mean" cx="{x}" cy="50%" r="5.5"/>"#);
    let Some([low, high]) = interval else { return sign(mean, dot) };
    // In pixels, so that ends are as long in a row of several lines.
    let end = |x: &str| {
        let line = r#"<line class="interval-line" y1="-5" y2="5"/>"#;
        format!(r#"<svg class="at" x="{x}" y="50%">{line}</svg>"#)
    };
    format!(
        r#"<line class="interval-line" x1="{}" x2="{}" y1="50%" y2="50%"/>{}{}{}"#,
        axis.place(low).0,
        axis.place(high).0,
        sign(low, end),
        sign(high, end),
        sign(mean, dot)
    )
}

/// The head of an arrow whose point lies a little beyond `x`, to the left (−1) or the right (1).
fn arrow(x: &str, direction: i8) -> String {
    let (base, point) = (-2 * direction, 8 * direction);
    format!(r#"<svg class="at" x="{x}" y="50%"><path d="M{base} -5 {point} 0 {base} 5z"/></svg>"#)
}

fn foot(ticks: &Ticks) -> String {
    let mut out = String::from("<svg aria-hidden=\"true\">");
    for tick in &ticks.ticks {
        let x = percent(tick.position);
        append(
            &mut out,
            format_args!(
                r#"<line class="tick" x1="{x}" x2="{x}" y1="0" y2="5"/><text x="{x}" y="18">{}</text>"#,
                tick.label
            ),
        );
    }
    out + "</svg>"
}

fn unit(text: &str, ticks: &Ticks) -> String {
    let factor = ticks.unit.as_deref().unwrap_or_default();
    match (text.trim(), factor) {
        ("", "") => String::new(),
        (text, factor) => {
            let text = html(text);
            let parts = [text.as_str(), factor].into_iter().filter(|part| !part.is_empty());
            let line: Vec<&str> = parts.collect();
            format!("<span class=\"unit\" dir=\"auto\">{}</span>", line.join(" "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(mean: f64, interval: Option<[f64; 2]>) -> String {
        estimate_drawn(Estimate { mean, interval }, Axis([-0.5, 1.5]))
    }

    #[test]
    fn values_lie_where_the_axis_says() {
        assert_eq!(
            drawn(0.5, Some([0.0, 1.0])),
            concat!(
                r#"<line class="interval-line" x1="25.00%" x2="75.00%" y1="50%" y2="50%"/>"#,
                r#"<svg class="at" x="25.00%" y="50%"><line class="interval-line" y1="-5" y2="5"/></svg>"#,
                r#"<svg class="at" x="75.00%" y="50%"><line class="interval-line" y1="-5" y2="5"/></svg>"#,
                r#"<circle class="mean" cx="50.00%" cy="50%" r="5.5"/>"#
            )
        );
        assert_eq!(drawn(-0.5, None), r#"<circle class="mean" cx="0.00%" cy="50%" r="5.5"/>"#);
    }

    #[test]
    fn what_leaves_the_axis_ends_in_an_arrow() {
        let over = drawn(1.0, Some([0.0, 9.0]));
        assert!(over.contains(r#"x1="25.00%" x2="100.00%""#), "{over}");
        assert!(over.contains(r#"x="100.00%" y="50%"><path d="M-2 -5 8 0 -2 5z"/>"#), "{over}");
        assert_eq!(over.matches("<path").count(), 1);
        let outside = drawn(-7.0, Some([-8.0, -6.0]));
        assert!(outside.contains(r#"x="0.00%" y="50%"><path d="M2 -5 -8 0 2 5z"/>"#), "{outside}");
        assert!(!outside.contains("circle"), "{outside}");
    }

    #[test]
    fn numbers_are_said_where_nobody_wrote_them() {
        let row = |estimate| IntervalRow { estimate, ..IntervalRow::default() };
        let numbers = |row: &IntervalRow| super::numbers(row, Axis([-0.2, 0.6]));
        assert_eq!(numbers(&row(None)), "not measured");
        let estimate = Estimate { mean: -0.25, interval: None };
        assert_eq!(numbers(&row(Some(estimate))), "−0.25");
        let estimate = Estimate { interval: Some([-0.5, 0.0]), ..estimate };
        assert_eq!(numbers(&row(Some(estimate))), "−0.25 (−0.50\u{a0}to\u{a0}0.00)");
        let row = IntervalRow { text: "a quarter less".to_owned(), ..row(Some(estimate)) };
        assert_eq!(numbers(&row), "a quarter less");
        let written = |axis, value| Axis(axis).number(value);
        assert_eq!(written([0.0, 100.0], 71.4), "71");
        assert_eq!(written([0.0, 1.0], -0.001), "0.00");
        assert_eq!(written([0.0, 1.0], 1e300), "1.00×10³⁰⁰");
        assert_eq!(written([0.0, 1e-9], -2e-10), "−2.00×10⁻¹⁰");
    }

    #[test]
    fn the_legend_names_what_there_is() {
        let mut chart = IntervalChart::default();
        assert_eq!(legend(&chart, Axis(chart.axis)), "");
        let estimate = Estimate { mean: 0.5, interval: None };
        chart.rows.push(IntervalRow { estimate: Some(estimate), ..IntervalRow::default() });
        let found = legend(&chart, Axis(chart.axis));
        assert!(found.contains("mean") && !found.contains("axis") && !found.contains(">interval<"));
        chart.rows[0].estimate = Some(Estimate { mean: 0.5, interval: Some([0.2, 1.2]) });
        let found = legend(&chart, Axis(chart.axis));
        assert!(found.contains(">interval<") && found.contains("goes on past the axis"));
    }
}
