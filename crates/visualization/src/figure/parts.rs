//! What figures of several panels are made of: a header, pictures in a box, bars.

use image::RgbImage;

use super::Caption;
use crate::colorbar::ColorBar;
use crate::overlay::Range;
use crate::scene::{Anchor, Area, INK, QUIET, Scene, Style};
use crate::text::Line;
use crate::ticks::short;
use crate::{Error, OverlayOptions, Panel, marks};

/// The font size, in pixels, that all lengths follow.
pub(super) const EM: f64 = 15.0;
/// Free border around everything.
pub(super) const MARGIN: f64 = EM;
/// Font size of labels and values.
pub(super) const SMALL: f64 = 0.8 * EM;
const TITLE: f64 = 1.2 * EM;

/// Where the content begins below a caption.
pub(super) fn header_height(caption: &Caption) -> f64 {
    let title = if caption.title.trim().is_empty() { 0.0 } else { 1.4 * TITLE };
    let lines = [&caption.subtitle, &caption.note];
    let lines = lines.into_iter().filter(|line| !line.trim().is_empty()).count();
    MARGIN + title + 1.5 * SMALL * lines as f64
}

/// A figure is widened to this for a long line; a longer one is shortened.
const HEADER_WIDTH: f64 = 52.0 * EM;

/// Title, subtitle and note over a figure of this width at least; the width it has then.
pub(super) fn header(scene: &mut Scene, caption: &Caption, width: f64) -> f64 {
    let title = Line::new(&caption.title);
    let lines = [&caption.subtitle, &caption.note].map(|line| Line::new(line));
    let widest = lines.iter().map(|line| line.width(SMALL)).fold(title.width(TITLE), f64::max);
    let wanted = widest.min(HEADER_WIDTH);
    let width = width.max(wanted + 2.0 * MARGIN);
    let limit = width - 2.0 * MARGIN;
    let mut y = MARGIN;
    if !title.is_empty() {
        scene.text(&title, Style::start(MARGIN, y + 0.85 * TITLE, TITLE), limit);
        y += 1.4 * TITLE;
    }
    for line in lines.iter().filter(|line| !line.is_empty()) {
        scene.text(line, Style::start(MARGIN, y + 0.85 * SMALL, SMALL).filled(QUIET), limit);
        y += 1.5 * SMALL;
    }
    width
}

/// The size of a picture made to fit a box.
pub(super) fn fitted(picture: &RgbImage, (width, height): (f64, f64)) -> (u32, u32) {
    let (w, h) = (f64::from(picture.width().max(1)), f64::from(picture.height().max(1)));
    let factor = (width / w).min(height / h);
    ((w * factor).round().max(1.0) as u32, (h * factor).round().max(1.0) as u32)
}

/// Draws a panel's picture with heat and marks; a panel without maps as the picture alone.
pub(super) fn place(
    scene: &mut Scene,
    panel: &Panel<'_>,
    (x, y): (f64, f64),
    size: (u32, u32),
    options: &OverlayOptions,
) -> Result<Area, Error> {
    let max = range(panel, options)?.map_or(0.0, |range| range.max);
    let image = panel.heated(size, options, max);
    let area = scene.picture(x.round() as u32, y.round() as u32, image);
    marks::draw(scene, area, panel, options);
    Ok(area)
}

/// Checks a panel and finds its scale; `None` for a panel without maps: it is the picture alone and has no colour bar.
pub(super) fn range(panel: &Panel<'_>, options: &OverlayOptions) -> Result<Option<Range>, Error> {
    if panel.maps.is_empty() {
        return Ok(None);
    }
    Range::new(panel.picture, &panel.maps, options).map(Some)
}

/// Draws a colour bar that begins at `x` and fills the height from `y` on, its unit included; how far it reaches to the right.
pub(super) fn color_bar(
    scene: &mut Scene,
    range: Range,
    (x, y, height): (f64, f64, f64),
    options: &OverlayOptions,
) -> f64 {
    let bar = ColorBar::new(range, options, EM, height);
    let unit = bar.unit_height(EM);
    let area = Area {
        x: x as u32,
        y: (y + unit) as u32,
        width: ColorBar::thickness(EM) as u32,
        height: (height - unit) as u32,
    };
    bar.draw(scene, area, EM);
    f64::from(area.right()) + bar.labels_width(EM)
}

/// One bar of a chart.
pub(super) struct Bar {
    pub(super) label: Line,
    pub(super) value: f64,
    /// What stands at its end.
    pub(super) text: Line,
    /// Text of an extra column; without the column if it is empty in all bars.
    pub(super) note: Line,
}

impl Bar {
    pub(super) fn new(label: &str, value: f64) -> Self {
        let (label, text) = (Line::new(label), Line::new(&short(value)));
        Self { label, value, text, note: Line::new("") }
    }
}

/// Height of a bar with the space below it.
pub(super) const BAR_STEP: f64 = 1.45 * EM;
/// Widest label; longer ones are shortened.
const LABEL_WIDTH: f64 = 11.0 * EM;
/// Length of the longest bar.
const BAR_LENGTH: f64 = 9.0 * EM;
const PLAIN: &str = "#3b6fb6";
/// Where some values are below zero: the ends of the diverging colour map, as in the map beside the bars.
const POSITIVE: &str = "#b8433f";
const NEGATIVE: &str = "#3b4cc0";

/// Width of a chart of these bars.
pub(super) fn bars_width(bars: &[Bar]) -> f64 {
    let [label, text, note] = columns(bars);
    let note = if note > 0.0 { note + EM } else { 0.0 };
    label + 0.5 * EM + BAR_LENGTH + 0.4 * EM + text + note
}

fn columns(bars: &[Bar]) -> [f64; 3] {
    let widest =
        |line: fn(&Bar) -> &Line| bars.iter().map(|b| line(b).width(SMALL)).fold(0.0, f64::max);
    [widest(|b| &b.label).min(LABEL_WIDTH), widest(|b| &b.text), widest(|b| &b.note)]
}

/// Draws bars from (x, y) downwards; the longest stands for the largest magnitude.
pub(super) fn bars(scene: &mut Scene, bars: &[Bar], (x, y): (f64, f64)) {
    let [label, text, _] = columns(bars);
    let start = x + label + 0.5 * EM;
    let max = bars.iter().map(|b| b.value.abs()).fold(0.0, f64::max);
    let signed = bars.iter().any(|bar| bar.value < 0.0);
    for (i, bar) in bars.iter().enumerate() {
        let y = y + i as f64 * BAR_STEP;
        let baseline = y + 0.5 * EM + 0.36 * SMALL;
        let place = Style::start(start - 0.5 * EM, baseline, SMALL).anchored(Anchor::End);
        scene.text(&bar.label, place, LABEL_WIDTH);
        let length = if max > 0.0 { BAR_LENGTH * bar.value.abs() / max } else { 0.0 };
        let fill = match bar.value {
            value if value < 0.0 => NEGATIVE,
            _ if signed => POSITIVE,
            _ => PLAIN,
        };
        scene.rectangle([start, y, length.max(1.0), EM], fill);
        let end = Style::start(start + length + 0.4 * EM, baseline, SMALL);
        scene.text(&bar.text, end.filled(INK), f64::INFINITY);
        let note = start + BAR_LENGTH + 0.4 * EM + text + EM;
        scene.text(&bar.note, Style::start(note, baseline, SMALL).filled(QUIET), f64::INFINITY);
    }
}
