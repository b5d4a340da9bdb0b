//! Where everything stands in a figure, in pixels of the figure.
//!
//! ```text
//!   title
//!   subtitle
//!   +-----------+  #  — 0.02
//!   |  picture  |  #  — 0.01   quantity, turned
//!   +-----------+  #  — 0
//! ```
//! All lengths follow from one font size that follows from the picture's area, so a figure reads the same at any size.

use crate::text::Line;
use crate::ticks::Ticks;

/// A rectangle of whole pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Area {
    pub(crate) fn right(self) -> u32 {
        self.x + self.width
    }
}

/// The words of a figure.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) title: Line,
    pub(crate) subtitle: Line,
    pub(crate) quantity: Line,
    pub(crate) ticks: Ticks,
}

/// The size of the text and the place of each part.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The font size that all lengths follow.
    pub(crate) em: f64,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) picture: Area,
    pub(crate) bar: Area,
    /// Baselines of title and subtitle.
    pub(crate) baselines: [f64; 2],
    /// Left end of the tick labels.
    pub(crate) labels: f64,
    /// Middle of the turned line that names the quantity.
    pub(crate) quantity: f64,
}

/// Font sizes, in em.
pub(crate) const TITLE: f64 = 1.15;
pub(crate) const SUBTITLE: f64 = 0.8;
pub(crate) const LABEL: f64 = 0.72;

/// The smallest font size in pixels; with it the labels are 11 pixels high.
const SMALLEST_EM: f64 = 15.0;
/// Font size over the square root of the picture's area.
const EM_PER_SIDE: f64 = 0.03;
/// Free border around everything, in em.
const MARGIN: f64 = 0.8;
/// Free space above a colour bar and above the picture, in em; half a tick label reaches into it.
pub(crate) const GAP: f64 = 0.5;
/// Least and largest height of a colour bar, in em.
const BAR_HEIGHT: (f64, f64) = (7.0, 40.0);
/// A figure is widened to this for a long title, in em; a longer title is shortened.
const TITLE_WIDTH: f64 = 16.0;

/// The font size for a picture of this size.
pub(crate) fn em(width: u32, height: u32) -> f64 {
    (EM_PER_SIDE * (f64::from(width) * f64::from(height)).sqrt()).max(SMALLEST_EM)
}

/// Height of the colour bar beside a picture of this height, with the line of its unit.
pub(crate) fn bar_height(em: f64, picture_height: u32) -> f64 {
    f64::from(picture_height).clamp(BAR_HEIGHT.0 * em, BAR_HEIGHT.1 * em)
}

impl Layout {
    /// Lays out a figure around a picture `(width, height)`, which stands in it pixel by pixel.
    pub(crate) fn new(picture: (u32, u32), words: &Words) -> Self {
        let em = em(picture.0, picture.1);
        let margin = MARGIN * em;
        let (baselines, head) = header(em, words);
        let bar = bar_height(em, picture.1);
        let content = bar.max(f64::from(picture.1));
        let picture = Area {
            x: margin.round() as u32,
            y: (head + (content - f64::from(picture.1)) / 2.0).round() as u32,
            width: picture.0,
            height: picture.1,
        };
        let unit = if words.ticks.unit.is_some() { 1.2 * em } else { 0.0 };
        let bar = Area {
            x: picture.right() + (0.7 * em).round() as u32,
            y: (head + (content - bar) / 2.0 + unit).round() as u32,
            width: (0.75 * em).round() as u32,
            height: (bar - unit).round() as u32,
        };
        let labels = f64::from(bar.right()) + 0.5 * em;
        let [labels_end, end] = side(em, labels, words);
        let title = words.title.width(TITLE * em).max(words.subtitle.width(SUBTITLE * em));
        let width = (end + margin).max(title.min(TITLE_WIDTH * em) + 2.0 * margin);
        Self {
            em,
            width: width.ceil() as u32,
            height: (head + content + margin).ceil() as u32,
            picture,
            bar,
            baselines,
            labels,
            quantity: f64::midpoint(labels_end, end),
        }
    }

    /// Left end and width of title and subtitle.
    pub(crate) fn header_span(&self) -> (f64, f64) {
        let x = f64::from(self.picture.x);
        (x, f64::from(self.width) - 2.0 * x)
    }
}

/// Baselines of the two lines, and where the content begins.
fn header(em: f64, words: &Words) -> ([f64; 2], f64) {
    let mut y = MARGIN * em;
    let mut line = |text: &Line, size: f64| {
        if !text.is_empty() {
            y += 1.3 * size * em;
        }
        y - 0.35 * size * em
    };
    let baselines = [line(&words.title, TITLE), line(&words.subtitle, SUBTITLE)];
    (baselines, y + GAP * em)
}

/// Right end of the tick labels, and of the turned line beside them.
fn side(em: f64, labels: f64, words: &Words) -> [f64; 2] {
    let texts = words.ticks.ticks.iter().map(|t| Line::new(&t.label).width(LABEL * em));
    let unit = words.ticks.unit.iter().map(|u| Line::new(u).width(LABEL * em) - em);
    let end = labels + texts.chain(unit).fold(0.0, f64::max);
    let turned = if words.quantity.is_empty() { 0.0 } else { (0.4 + 1.2 * LABEL) * em };
    [end + 0.4 * em.min(turned), end + turned]
}
