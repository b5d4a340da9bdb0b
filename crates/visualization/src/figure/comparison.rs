//! Picture, map and text beside each other; several methods below each other.
//!
//! ```text
//!   title
//!   label of the row
//!   +---------+  +---------+  #        word ████████ 0.21
//!   | picture |  |   map   |  #       other █████ 0.13
//!   +---------+  +---------+  #         …
//! ```

use super::parts::{
    BAR_STEP, Bar, EM, MARGIN, SMALL, bars, bars_width, fitted, header, header_height, place, range,
};
use super::{Caption, Figure};
use crate::colorbar::ColorBar;
use crate::scene::{Area, QUIET, Scene, Style};
use crate::text::Line;
use crate::ticks::short;
use crate::{Error, OverlayOptions, Panel, TextRelevancy};

/// A row of a comparison: a method, or whatever else gave a map and a text.
#[derive(Clone, Debug)]
pub struct ComparisonRow<'a> {
    /// Picture, map and outlines; its label names the row.
    pub panel: Panel<'a>,
    /// The text, by token; it is drawn by whole words.
    pub text: &'a TextRelevancy,
}

/// The side of the square that a picture is fitted to, in pixels: in a figure of one row, and of several.
const SIDES: (f64, f64) = (400.0, 260.0);
/// The most words of a row.
const MOST_WORDS: usize = 12;
const GAP: f64 = 1.2 * EM;

/// The figure of one explained word: the picture, the picture with its map and a colour bar, and the words with the largest
/// relevancy as bars, largest first; tokens are merged to whole words. The self term stands below the bars as a number, so that
/// it flattens nothing.
///
/// # Errors
/// As [`single_figure`](crate::single_figure).
pub fn three_panel_figure(
    panel: &Panel<'_>,
    text: &TextRelevancy,
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    draw(&[(panel, text)], SIDES.0, caption, options)
}

/// One row a method, each as [`three_panel_figure`] draws it: picture, map, text. With [`Scale::Own`](crate::Scale::Own) every
/// row has its own scale, as methods differ in their units.
///
/// # Errors
/// [`Error::NoPanels`] without rows; otherwise as [`single_figure`](crate::single_figure).
pub fn comparison_figure(
    rows: &[ComparisonRow<'_>],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let rows: Vec<_> = rows.iter().map(|row| (&row.panel, row.text)).collect();
    draw(&rows, SIDES.1, caption, options)
}

fn draw(
    rows: &[(&Panel<'_>, &TextRelevancy)],
    side: f64,
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    if rows.is_empty() {
        return Err(Error::NoPanels);
    }
    let mut scene = Scene::default();
    let y = header_height(caption) + 0.3 * EM;
    let mut at = Cursor {
        y,
        right: 0.0,
        side,
        headings: ["picture", &caption.quantity, "words of the text"],
    };
    for &row in rows {
        at.row(&mut scene, row, options)?;
    }
    let width = header(&mut scene, caption, at.right + MARGIN);
    scene.resize(width, at.y - GAP + MARGIN)?;
    Ok(Figure(scene))
}

/// How far down and to the right the figure reaches.
struct Cursor<'a> {
    y: f64,
    right: f64,
    side: f64,
    /// What stands above the columns of a row.
    headings: [&'a str; 3],
}

impl Cursor<'_> {
    fn row(
        &mut self,
        scene: &mut Scene,
        (panel, text): (&Panel<'_>, &TextRelevancy),
        options: &OverlayOptions,
    ) -> Result<(), Error> {
        let range = range(panel, options)?;
        let label_width = 2.0 * self.side;
        for (line, size, fill) in
            [(&panel.label, EM, crate::scene::INK), (&panel.detail, SMALL, QUIET)]
        {
            let line = Line::new(line);
            if !line.is_empty() {
                let style = Style::start(MARGIN, self.y + 0.85 * size, size).filled(fill);
                scene.text(&line, style, label_width);
                self.y += 1.5 * size;
            }
        }
        let baseline = self.y + 1.1 * SMALL;
        self.y += 1.9 * SMALL;
        let size = fitted(panel.picture, (self.side, self.side));
        // A wide picture is low: its neighbours still need some height.
        let height = f64::from(size.1).max(8.0 * EM);
        let y = self.y + (height - f64::from(size.1)) / 2.0;

        let alone = Panel { maps: Vec::new(), outlines: &[], ..panel.clone() };
        let plain =
            OverlayOptions { orientation: options.orientation, ..OverlayOptions::default() };
        let picture = place(scene, &alone, (MARGIN, y), size, &plain)?;
        let left = f64::from(picture.right()) + GAP;
        let map = place(scene, panel, (left, y), size, options)?;

        let bar = ColorBar::new(range, options, EM, height);
        let unit = bar.unit_height(EM);
        let area = Area {
            x: map.right() + (0.6 * EM) as u32,
            y: (self.y + unit) as u32,
            width: ColorBar::thickness(EM) as u32,
            height: (height - unit) as u32,
        };
        bar.draw(scene, area, EM);
        let left = f64::from(area.right()) + bar.labels_width(EM) + GAP;
        let (right, bottom) = words(scene, text, (left, self.y), height);
        for (heading, x) in self.headings.into_iter().zip([picture.x, map.x, left as u32]) {
            let style = Style::start(x.into(), baseline, SMALL).filled(QUIET);
            scene.text(&Line::new(heading), style, f64::from(size.0).max(12.0 * EM));
        }
        self.right = self.right.max(right);
        self.y = bottom.max(self.y + height) + GAP;
        Ok(())
    }
}

/// The words as bars; how far they reach to the right and down.
fn words(scene: &mut Scene, text: &TextRelevancy, (x, y): (f64, f64), height: f64) -> (f64, f64) {
    let words = text.words();
    let own: f64 =
        words.pieces().iter().filter(|p| p.is_self).map(|p| f64::from(p.relevancy)).sum();
    let has_self = words.pieces().iter().any(|p| p.is_self);
    let rows = (height / BAR_STEP) as usize;
    let most = rows.saturating_sub(usize::from(has_self)).clamp(3, MOST_WORDS);
    let chart: Vec<Bar> = words
        .top(most)
        .into_iter()
        .map(|word| Bar::new(word.text.trim(), f64::from(word.relevancy)))
        .collect();
    bars(scene, &chart, (x, y));
    let mut bottom = y + chart.len() as f64 * BAR_STEP;
    let mut right = x + bars_width(&chart);
    if has_self {
        let line = Line::new(&format!("self term, apart: {}", short(own)));
        let style = Style::start(x, bottom + 0.5 * EM + 0.36 * SMALL, SMALL).filled(QUIET);
        scene.text(&line, style, f64::INFINITY);
        right = right.max(x + line.width(SMALL));
        bottom += BAR_STEP;
    }
    (right, bottom)
}
