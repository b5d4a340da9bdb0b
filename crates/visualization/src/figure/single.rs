//! One picture with its heat, the explained word above it and a colour bar beside it.
//!
//! ```text
//!   title
//!   subtitle
//!   +-----------+  #  — 0.02
//!   |  picture  |  #  — 0.01   quantity, turned
//!   +-----------+  #  — 0
//! ```
//! All lengths follow from one font size that follows from the picture's area, so a figure reads the same at any size.

use super::{Caption, Figure};
use crate::colorbar::{ColorBar, LABEL};
use crate::overlay::Range;
use crate::scene::{Area, QUIET, Scene, Style};
use crate::text::Line;
use crate::{Error, OverlayOptions, Panel, marks};

/// A picture whose longer side is below this is enlarged by a whole factor.
const READABLE_SIDE: u32 = 600;

/// Font sizes, in em.
const TITLE: f64 = 1.15;
const SUBTITLE: f64 = 0.8;
const NOTE: f64 = 0.68;
/// The smallest font size in pixels; with it the labels are 11 pixels high.
const SMALLEST_EM: f64 = 15.0;
/// Font size over the square root of the picture's area.
const EM_PER_SIDE: f64 = 0.03;
/// Free border around everything, in em.
const MARGIN: f64 = 0.8;
/// Free space above a colour bar and above the picture, in em; half a tick label reaches into it.
const GAP: f64 = 0.5;
/// Least and largest height of a colour bar, in em.
const BAR_HEIGHT: (f64, f64) = (7.0, 40.0);
/// A figure is widened to this for a long title, in em; a longer title is shortened.
const TITLE_WIDTH: f64 = 16.0;

/// A figure of one panel on white: heat, lines and letters over the picture as [`Panel::draw`] draws them, title and subtitle
/// above, a colour bar with the real values beside it. The panel's own label and detail are not drawn.
///
/// The picture keeps its pixels, one to one, unless it is so small that text beside it would not be readable: below 600
/// pixels it is enlarged by a whole factor (cubic), and the heat is drawn at that size. Text grows with the picture.
///
/// # Errors
/// As [`overlay`](crate::overlay()), and [`Error::FigureTooLarge`] above 2²⁸ pixels.
pub fn single_figure(
    panel: &Panel<'_>,
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let caption = &caption.noting(options);
    let range = Range::new(panel.picture, &panel.maps, options)?;
    let factor = READABLE_SIDE.div_ceil(panel.picture.width().max(panel.picture.height()));
    let size = (panel.picture.width() * factor, panel.picture.height() * factor);
    let em = (EM_PER_SIDE * (f64::from(size.0) * f64::from(size.1)).sqrt()).max(SMALLEST_EM);
    let bar_height = f64::from(size.1).clamp(BAR_HEIGHT.0 * em, BAR_HEIGHT.1 * em);
    let words = Words {
        title: Line::new(&caption.title),
        subtitle: Line::new(&caption.subtitle),
        note: Line::new(&caption.note),
        quantity: Line::new(&caption.quantity),
        bar: ColorBar::new(range, options, em, bar_height),
    };
    let layout = Layout::new(size, em, bar_height, &words);

    let mut scene = Scene::new(layout.width, layout.height)?;
    let heated = panel.heated(size, options, range.max);
    scene.picture(layout.picture.x, layout.picture.y, heated);
    marks::draw(&mut scene, layout.picture, panel, options);
    write(&mut scene, &layout, &words);
    Ok(Figure(scene))
}

fn write(scene: &mut Scene, layout: &Layout, words: &Words) {
    let em = layout.em;
    let (x, span) = layout.header_span();
    let [title, subtitle, note] = layout.baselines;
    scene.text(&words.title, Style::start(x, title, TITLE * em), span);
    let quiet = Style::start(x, subtitle, SUBTITLE * em).filled(QUIET);
    scene.text(&words.subtitle, quiet, span);
    scene.text(&words.note, Style::start(x, note, NOTE * em).filled(QUIET), span);
    words.bar.draw(scene, layout.bar, em);
    let middle = f64::from(layout.bar.y) + f64::from(layout.bar.height) / 2.0;
    let turned = Style::start(layout.quantity, middle, LABEL * em);
    scene.turned(&words.quantity, turned, f64::from(layout.bar.height));
}

/// What is written around the picture.
struct Words {
    title: Line,
    subtitle: Line,
    note: Line,
    quantity: Line,
    bar: ColorBar,
}

/// The size of the text and the place of each part.
struct Layout {
    /// The font size that all lengths follow.
    em: f64,
    width: u32,
    height: u32,
    picture: Area,
    bar: Area,
    /// Baselines of title, subtitle and note.
    baselines: [f64; 3],
    /// Middle of the turned line that names the quantity.
    quantity: f64,
}

impl Layout {
    /// Lays out a figure around a picture `(width, height)`, which stands in it pixel by pixel.
    fn new(picture: (u32, u32), em: f64, bar_height: f64, words: &Words) -> Self {
        let margin = MARGIN * em;
        let (baselines, head) = header(em, words);
        let content = bar_height.max(f64::from(picture.1));
        let picture = Area {
            x: margin.round() as u32,
            y: (head + (content - f64::from(picture.1)) / 2.0).round() as u32,
            width: picture.0,
            height: picture.1,
        };
        let unit = words.bar.unit_height(em);
        let bar = Area {
            x: picture.right() + (0.7 * em).round() as u32,
            y: (head + (content - bar_height) / 2.0 + unit).round() as u32,
            width: ColorBar::thickness(em) as u32,
            height: (bar_height - unit).round() as u32,
        };
        let labels_end = f64::from(bar.right()) + words.bar.labels_width(em);
        let turned = if words.quantity.is_empty() { 0.0 } else { (0.4 + 1.2 * LABEL) * em };
        let lines = [(&words.title, TITLE), (&words.subtitle, SUBTITLE), (&words.note, NOTE)];
        let title = lines.iter().map(|(line, size)| line.width(size * em)).fold(0.0, f64::max);
        let width = (labels_end + turned + margin).max(title.min(TITLE_WIDTH * em) + 2.0 * margin);
        Self {
            em,
            width: width.ceil() as u32,
            height: (head + content + margin).ceil() as u32,
            picture,
            bar,
            baselines,
            quantity: labels_end + f64::midpoint(turned, 0.4 * em.min(turned)),
        }
    }

    /// Left end and width of title and subtitle.
    fn header_span(&self) -> (f64, f64) {
        let x = f64::from(self.picture.x);
        (x, f64::from(self.width) - 2.0 * x)
    }
}

/// Baselines of the three lines, and where the content begins.
fn header(em: f64, words: &Words) -> ([f64; 3], f64) {
    let mut y = MARGIN * em;
    let mut line = |text: &Line, size: f64| {
        if !text.is_empty() {
            y += 1.3 * size * em;
        }
        y - 0.35 * size * em
    };
    let baselines =
        [line(&words.title, TITLE), line(&words.subtitle, SUBTITLE), line(&words.note, NOTE)];
    (baselines, y + GAP * em)
}
