//! What is left of a score as cells are taken away: a panel for each way to take them away.
//!
//! ```text
//!   title
//!   — most relevant first  — least relevant first  -- random  ▒ range of the controls
//!   knock-out               grey
//!   what came out           what came out
//!   1 +----------           1 +----------
//!     |\     …  \             |\     …  \
//!   0 +--\------\           0 +--\------\
//!     0 1 4  …  100           0 1 4  …  100
//! ```

use std::fmt::Write as _;

use super::parts::{EM, MARGIN, SMALL, header, header_height};
use super::{Caption, Figure};
use crate::scene::{Anchor, QUIET, Scene, Style};
use crate::text::Line;
use crate::{Error, RemovalChart};

/// Width and height of the axes of a panel, in pixels.
const PLOT: (f64, f64) = (320.0, 210.0);
/// Left of the axes: the name of the upright one and its numbers.
const LEFT: f64 = 3.4 * EM;
/// Below the axes: numbers and name of the level one.
const BELOW: f64 = 2.9 * EM;
const GAP: f64 = 1.4 * EM;
/// Font size of numbers at the axes.
const TICK: f64 = 0.72 * EM;
const LINE_HEIGHT: f64 = 1.35 * SMALL;
/// The most lines of what came out, above curves and in their place.
const MOST_LINES: usize = 2;
const MOST_LINES_ALONE: usize = 8;
/// What is drawn of values that lie outside 0 and 1.
const LOWEST: f64 = -0.5;
const HIGHEST: f64 = 1.5;
/// Free space below and above the values.
const ROOM: f64 = 0.04;
/// Shares of the cells with a tick, in percent, and values with one.
const SHARES: [u8; 8] = [0, 1, 4, 16, 32, 50, 75, 100];
const VALUES: [f64; 5] = [-0.5, 0.0, 0.5, 1.0, 1.5];
const DOT: f64 = 2.8;

/// Orange and blue are told apart with any colour vision; the dots say the same without colour.
const MOST: &str = "#c05000";
const LEAST: &str = "#3b6fb6";
const RANDOM: &str = "#777777";
const BAND: &str = "#dcdcdc";
const GRID: &str = "#e6e6e6";
const AXIS: &str = "#8a8a8a";

/// A panel for each chart, in columns: three charts or fewer stand side by side, more in two columns. All have one scale from 0 to 1,
/// further where values reach further, but not below −0.5 and above 1.5; what lies outside is cut off. The level axis has the square
/// root of the share of cells that are gone, as most is decided among the first; it says so. A chart without curves is its title and
/// its summary. What the caption says of a colour bar is not drawn.
///
/// # Errors
/// [`Error::NoPanels`] without charts, [`Error::RemovalChart`] for lists that do not agree in length, numbers that are not finite and
/// shares that do not ascend within 0 and 1, [`Error::FigureTooLarge`] above 2²⁸ pixels.
pub fn removal_figure(charts: &[RemovalChart], caption: &Caption) -> Result<Figure, Error> {
    if charts.is_empty() {
        return Err(Error::NoPanels);
    }
    for (chart, found) in charts.iter().enumerate() {
        if let Some(problem) = found.problem() {
            return Err(Error::RemovalChart { chart, problem });
        }
    }
    let columns = if charts.len() <= 3 { charts.len() } else { 2 };
    let summaries: Vec<_> = charts.iter().map(summary).collect();
    let with_curves = charts.iter().zip(&summaries).filter(|(chart, _)| has_curves(chart));
    let lines = with_curves.map(|(_, lines)| lines.len()).max().unwrap_or(0);
    let head = 1.5 * EM + lines as f64 * LINE_HEIGHT + 0.5 * EM;
    let step = (LEFT + PLOT.0 + GAP, head + PLOT.1 + BELOW + GAP);

    let mut scene = Scene::default();
    let y = header_height(caption) + 0.3 * EM;
    let (right, top) = legend(&mut scene, charts, y);
    let range = range(charts);
    // A row without curves is as high as its text.
    let height = |(charts, summaries): (&[RemovalChart], &[Vec<Line>])| {
        let lines = summaries.iter().map(Vec::len).max().unwrap_or(0);
        let text = 1.5 * EM + lines as f64 * LINE_HEIGHT + GAP;
        if charts.iter().any(has_curves) { step.1 } else { text }
    };
    let heights: Vec<f64> =
        charts.chunks(columns).zip(summaries.chunks(columns)).map(height).collect();
    for (index, (chart, summary)) in charts.iter().zip(&summaries).enumerate() {
        let x = MARGIN + (index % columns) as f64 * step.0;
        let y = top + heights[..index / columns].iter().sum::<f64>();
        let title = Style::start(x, y + 0.85 * EM, EM);
        scene.text(&Line::new(&chart.title), title, LEFT + PLOT.0);
        for (line, number) in summary.iter().zip(0..) {
            let baseline = y + 1.5 * EM + 0.85 * SMALL + f64::from(number) * LINE_HEIGHT;
            let style = Style::start(x, baseline, SMALL).filled(QUIET);
            scene.text(line, style, LEFT + PLOT.0);
        }
        if has_curves(chart) {
            Axes { left: x + LEFT, top: y + head, range }.draw(&mut scene, chart);
        }
    }
    let panels = MARGIN + columns as f64 * step.0 - GAP;
    let width = header(&mut scene, caption, right.max(panels) + MARGIN);
    scene.resize(width, top + heights.iter().sum::<f64>() - GAP + MARGIN)?;
    Ok(Figure(scene))
}

fn has_curves(chart: &RemovalChart) -> bool {
    !chart.fractions.is_empty()
}

/// What came out as lines that fit the panel.
fn summary(chart: &RemovalChart) -> Vec<Line> {
    let most = if has_curves(chart) { MOST_LINES } else { MOST_LINES_ALONE };
    wrapped(&chart.summary, LEFT + PLOT.0, most)
}

/// A text as at most `most` lines of small type, broken between words; the last line keeps what is left and is cut where it is drawn.
fn wrapped(text: &str, width: f64, most: usize) -> Vec<Line> {
    let text = Line::new(text);
    let mut lines = vec![String::new()];
    for word in text.as_str().split(' ').filter(|word| !word.is_empty()) {
        let n_lines = lines.len();
        let Some(line) = lines.last_mut() else { break };
        let longer = if line.is_empty() { word.to_owned() } else { format!("{line} {word}") };
        if line.is_empty() || n_lines == most || Line::new(&longer).width(SMALL) <= width {
            *line = longer;
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.iter().map(|line| Line::new(line)).filter(|line| !line.is_empty()).collect()
}

/// From 0 to 1, and as far as values reach further.
fn range(charts: &[RemovalChart]) -> (f64, f64) {
    let values = charts.iter().flat_map(|chart| {
        let RemovalChart { most_first, least_first, uniform, band, .. } = chart;
        most_first.iter().chain(least_first).chain(uniform).chain(band.as_flattened())
    });
    let (low, high) =
        values.fold((0.0_f64, 1.0_f64), |(low, high), &value| (low.min(value), high.max(value)));
    (low.max(LOWEST) - ROOM, high.min(HIGHEST) + ROOM)
}

/// What the curves are, as far as there are some, in a row from `y` on; how far it reaches to the right and down.
fn legend(scene: &mut Scene, charts: &[RemovalChart], y: f64) -> (f64, f64) {
    const SWATCH: f64 = 2.0 * EM;
    let curves = charts.iter().any(has_curves);
    let random = charts.iter().any(|chart| !chart.uniform.is_empty());
    let band = charts.iter().any(|chart| !chart.band.is_empty());
    let entries = [
        (curves, "most relevant first"),
        (curves, "least relevant first"),
        (random, "random"),
        (band, "range of the controls"),
    ];
    let (mut x, middle) = (MARGIN, y + 0.5 * EM);
    for (number, (_, name)) in entries.into_iter().enumerate().filter(|(_, (there, _))| *there) {
        let ends = [(x, middle), (x + SWATCH, middle)];
        match number {
            0 => curve(scene, &ends, &[(x + SWATCH / 2.0, middle)], MOST_LOOK),
            1 => curve(scene, &ends, &[(x + SWATCH / 2.0, middle)], LEAST_LOOK),
            2 => curve(scene, &ends, &[], RANDOM_LOOK),
            _ => scene.rectangle([x, middle - 0.35 * EM, SWATCH, 0.7 * EM], BAND),
        }
        let line = Line::new(name);
        x += SWATCH + 0.4 * EM;
        scene.text(&line, Style::start(x, middle + 0.36 * SMALL, SMALL), f64::INFINITY);
        x += line.width(SMALL) + 1.4 * EM;
    }
    (x - 1.4 * EM, if curves { y + 1.8 * EM } else { y })
}

/// How a curve looks.
#[derive(Clone, Copy)]
struct Look {
    colour: &'static str,
    width: f64,
    dashes: &'static str,
    /// What dots are filled with.
    dot: &'static str,
}

const MOST_LOOK: Look = Look { colour: MOST, width: 2.0, dashes: "none", dot: MOST };
const LEAST_LOOK: Look = Look { colour: LEAST, width: 2.0, dashes: "none", dot: "#ffffff" };
const RANDOM_LOOK: Look = Look { colour: RANDOM, width: 1.6, dashes: "5 4", dot: RANDOM };

/// A line through points, and dots.
fn curve(scene: &mut Scene, line: &[(f64, f64)], dots: &[(f64, f64)], look: Look) {
    let Look { colour, width, dashes, dot } = look;
    let line = points(line.iter().copied());
    scene.element(format_args!(
        r#"<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-dasharray="{dashes}" stroke-linejoin="round"/>"#
    ));
    for (x, y) in dots {
        scene.element(format_args!(
            r#"<circle cx="{x:.2}" cy="{y:.2}" r="{DOT}" fill="{dot}" stroke="{colour}" stroke-width="1.4"/>"#
        ));
    }
}

fn rule(scene: &mut Scene, [x0, y0, x1, y1]: [f64; 4], colour: &str) {
    scene.element(format_args!(
        r#"<line x1="{x0:.2}" y1="{y0:.2}" x2="{x1:.2}" y2="{y1:.2}" stroke="{colour}"/>"#
    ));
}

fn points(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut out = String::new();
    for (index, (x, y)) in points.enumerate() {
        let space = if index == 0 { "" } else { " " };
        let _infallible = write!(out, "{space}{x:.2},{y:.2}");
    }
    out
}

/// The axes of a panel: where they stand, and the values at their lower and upper end.
struct Axes {
    left: f64,
    top: f64,
    range: (f64, f64),
}

impl Axes {
    fn x(&self, share: f64) -> f64 {
        self.left + PLOT.0 * share.sqrt()
    }

    fn y(&self, value: f64) -> f64 {
        // Far outside is as good as outside: a place without end cannot be drawn.
        let value = value.clamp(10.0 * LOWEST, 10.0 * HIGHEST);
        let (low, high) = self.range;
        self.top + PLOT.1 * (high - value) / (high - low)
    }

    fn draw(&self, scene: &mut Scene, chart: &RemovalChart) {
        self.ticks(scene);
        let (x, y) = (self.left, self.top);
        // The inner drawing cuts off what lies outside; dots at its sides stay whole.
        let (side, width, height) = (x - 2.0 * DOT, PLOT.0 + 4.0 * DOT, PLOT.1);
        let place = format!(r#"x="{side:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}""#);
        let view = format!(r#"viewBox="{side:.2} {y:.2} {width:.2} {height:.2}""#);
        scene.element(format_args!("<svg {place} {view}>"));
        if !chart.band.is_empty() {
            let highest = chart.fractions.iter().zip(&chart.band);
            let lowest = highest.clone().rev();
            let highest = highest.map(|(&share, &[_, value])| (self.x(share), self.y(value)));
            let lowest = lowest.map(|(&share, &[value, _])| (self.x(share), self.y(value)));
            let outline = points(highest.chain(lowest));
            scene.element(format_args!(r#"<polygon points="{outline}" fill="{BAND}"/>"#));
        }
        let places = |values: &[f64]| -> Vec<_> {
            let places = chart.fractions.iter().zip(values);
            places.map(|(&share, &value)| (self.x(share), self.y(value))).collect()
        };
        if !chart.uniform.is_empty() {
            curve(scene, &places(&chart.uniform), &[], RANDOM_LOOK);
        }
        for (values, look) in [(&chart.least_first, LEAST_LOOK), (&chart.most_first, MOST_LOOK)] {
            let places = places(values);
            curve(scene, &places, &places, look);
        }
        scene.element(format_args!("</svg>"));
    }

    /// Lines behind the curves, numbers and names of both axes.
    fn ticks(&self, scene: &mut Scene) {
        let (low, high) = self.range;
        let bottom = self.top + PLOT.1;
        let right = self.left + PLOT.0;
        for share in SHARES {
            let x = self.x(f64::from(share) / 100.0);
            rule(scene, [x, self.top, x, bottom], GRID);
            let place = Style::start(x, bottom + 1.1 * EM, TICK).anchored(Anchor::Middle);
            scene.text(&Line::new(&share.to_string()), place, LEFT);
        }
        for value in VALUES.into_iter().filter(|value| (low..=high).contains(value)) {
            let y = self.y(value);
            let is_mark = [0.0, 1.0].contains(&value);
            rule(scene, [self.left, y, right, y], if is_mark { AXIS } else { GRID });
            let label = format!("{value}").replace('-', "−");
            let place = Style::start(self.left - 0.4 * EM, y + 0.36 * TICK, TICK);
            scene.text(&Line::new(&label), place.anchored(Anchor::End), LEFT);
        }
        let name = Line::new("share of the cells gone, % (square-root axis)");
        let place = Style::start(self.left + PLOT.0 / 2.0, bottom + 2.3 * EM, SMALL);
        scene.text(&name, place.anchored(Anchor::Middle).filled(QUIET), PLOT.0);
        let middle = self.top + PLOT.1 / 2.0;
        let place = Style::start(self.left - 2.7 * EM, middle, SMALL).filled(QUIET);
        scene.turned(&Line::new("what is left"), place, PLOT.1);
    }
}
