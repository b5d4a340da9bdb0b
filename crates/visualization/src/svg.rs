//! The drawn parts of a figure: text, ticks and frame as SVG, and their pixels by resvg.

use std::fmt::Write;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::Error;
use crate::layout::{Area, LABEL, Layout, SUBTITLE, TITLE, Words};
use crate::text::{FAMILY, Line, fonts};

/// Text and lines, on a transparent ground.
const INK: &str = "#1a1a1a";
const QUIET: &str = "#5a5a5a";

/// The SVG of everything but the picture and the colours of the bar, as large as the figure.
pub(crate) fn drawing(layout: &Layout, words: &Words) -> String {
    let Layout { em, width, height, .. } = *layout;
    let mut svg = format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="{FAMILY}">"#
    );
    let (x, span) = layout.header_span();
    let [title, subtitle] = layout.baselines;
    text(
        &mut svg,
        &words.title.clone().fit(TITLE * em, span),
        Style::start(x, title, TITLE * em, INK),
    );
    let quiet = Style::start(x, subtitle, SUBTITLE * em, QUIET);
    text(&mut svg, &words.subtitle.clone().fit(SUBTITLE * em, span), quiet);
    bar(&mut svg, layout, words);
    svg.push_str("</svg>");
    svg
}

fn bar(svg: &mut String, layout: &Layout, words: &Words) {
    let Layout { em, bar, labels, .. } = *layout;
    let (x, y) = (f64::from(bar.x), f64::from(bar.y));
    let (right, height) = (f64::from(bar.right()), f64::from(bar.height));
    let stroke = (0.05 * em).round().max(1.0);
    push(
        svg,
        format_args!(
            r#"<g fill="none" stroke="{INK}" stroke-width="{stroke}"><rect x="{}" y="{}" width="{}" height="{}"/>"#,
            x - stroke / 2.0,
            y - stroke / 2.0,
            f64::from(bar.width) + stroke,
            height + stroke
        ),
    );
    let at = |position: f64| y + height * (1.0 - position);
    for tick in &words.ticks.ticks {
        let y = at(tick.position).round() + stroke / 2.0
            - if tick.position > 0.0 { stroke } else { 0.0 };
        push(svg, format_args!(r#"<path d="M{right} {y}h{}"/>"#, 0.3 * em));
    }
    svg.push_str("</g>");
    let size = LABEL * em;
    for tick in &words.ticks.ticks {
        // Digits are 0.73 of the font size high; half of that centres them on the tick.
        let style = Style::start(labels, at(tick.position) + 0.36 * size, size, INK);
        text(svg, &Line::new(&tick.label), style);
    }
    if let Some(unit) = &words.ticks.unit {
        text(svg, &Line::new(unit), Style::start(x, y - 0.65 * em, size, INK));
    }
    let turned = Style::turned(layout.quantity, y + height / 2.0, size, INK);
    text(svg, &words.quantity.clone().fit(size, height), turned);
}

/// Where and how a line of text stands.
struct Style {
    x: f64,
    y: f64,
    size: f64,
    fill: &'static str,
    turned: bool,
}

impl Style {
    fn start(x: f64, y: f64, size: f64, fill: &'static str) -> Self {
        Self { x, y, size, fill, turned: false }
    }

    /// Centred on (x, y), read from below.
    fn turned(x: f64, y: f64, size: f64, fill: &'static str) -> Self {
        Self { x, y, size, fill, turned: true }
    }
}

fn text(svg: &mut String, line: &Line, Style { x, y, size, fill, turned }: Style) {
    if line.is_empty() {
        return;
    }
    let place = if turned {
        let down = 0.36 * size;
        format!(r#"transform="translate({x} {y}) rotate(-90)" y="{down}" text-anchor="middle""#)
    } else {
        format!(r#"x="{x}" y="{y}""#)
    };
    let words = line.escaped();
    push(svg, format_args!(r#"<text {place} font-size="{size}" fill="{fill}">{words}</text>"#));
}

fn push(svg: &mut String, part: std::fmt::Arguments<'_>) {
    svg.write_fmt(part).expect("writing to a String does not fail");
}

/// A drawing that was read once and is made into pixels area by area: memory follows the text, not the picture.
pub(crate) struct Drawing(Tree);

impl Drawing {
    pub(crate) fn new(svg: &str) -> Result<Self, Error> {
        let options =
            Options { font_family: FAMILY.to_owned(), fontdb: fonts(), ..Options::default() };
        Ok(Self(Tree::from_str(svg, &options)?))
    }

    /// The pixels of one area, premultiplied; none where the area is empty or beyond what can be allocated.
    pub(crate) fn pixels(&self, area: Area) -> Option<Pixmap> {
        let mut pixmap = Pixmap::new(area.width, area.height)?;
        let shift = Transform::from_translate(-(area.x as f32), -(area.y as f32));
        resvg::render(&self.0, shift, &mut pixmap.as_mut());
        Some(pixmap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ticks::Ticks;

    #[test]
    fn words_cannot_add_markup() {
        let evil = Line::new("</text><script>alert(1)</script><image href='x.png'/>");
        let words = Words {
            title: evil.clone(),
            subtitle: evil.clone(),
            quantity: evil,
            ticks: Ticks::new(1.0, false, 4),
        };
        let svg = drawing(&Layout::new((2000, 2000), &words), &words);
        assert!(!svg.contains("<script") && !svg.contains("<image"), "{svg}");
        assert_eq!(svg.matches("&lt;script&gt;").count(), 3, "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        Drawing::new(&svg).unwrap();
    }
}
