//! Picture, map and text beside each other; several methods as a grid.
//!
//! ```text
//!   title                                              title
//!   +---------+  +---------+  #   word ██████ 0.21       picture      method       method
//!   | picture |  |   map   |  #  other ████ 0.13         +-------+    +-------+    +-------+
//!   +---------+  +---------+  #  …                       |       |    |  map  | #  |  map  | #
//!                                                        +-------+    +-------+    +-------+
//!                                                                     word ██ 0.2  word ██ 0.3
//! ```

use super::parts::{
    BAR_STEP, Bar, EM, MARGIN, SMALL, bars, bars_width, color_bar, fitted, header, header_height,
    place, range,
};
use super::{Caption, Figure};
use crate::colorbar::ColorBar;
use crate::scene::{Area, INK, QUIET, Scene, Style};
use crate::text::Line;
use crate::ticks::short;
use crate::{Colormap, Error, OverlayOptions, Panel, TextRelevancy};

/// A part of a comparison: a method, or whatever else gave a map and a text.
#[derive(Clone, Debug)]
pub struct ComparisonRow<'a> {
    /// Picture, map and outlines; its label names the method. A map with values below zero is drawn in diverging colours; without
    /// a map it is the picture alone.
    pub panel: Panel<'a>,
    /// The text, by token; it is drawn by whole words.
    pub text: &'a TextRelevancy,
}

/// The side of the square that a picture is fitted to, in pixels: alone, and in a comparison.
const SIDE: f64 = 400.0;
const SMALL_SIDE: f64 = 260.0;
/// The most words beside a picture, and below one.
const MOST_WORDS: usize = 12;
const MOST_WORDS_BELOW: usize = 5;
/// The most columns of a comparison.
const MOST_COLUMNS: usize = 4;
const GAP: f64 = 1.2 * EM;

/// The figure of one explained word: the picture, the picture with its map and a colour bar, and the words with the largest
/// relevancy as bars, largest first; tokens are merged to whole words. The self term, and what was set apart, stand below the bars
/// as numbers, so that they flatten nothing.
///
/// # Errors
/// As [`single_figure`](crate::single_figure).
pub fn three_panel_figure(
    panel: &Panel<'_>,
    text: &TextRelevancy,
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let caption = &caption.noting(options);
    let mut scene = Scene::default();
    let y = header_height(caption) + 0.3 * EM;
    let headings = ["picture", &caption.quantity, "words of the text"];
    let (right, bottom) = one_row(&mut scene, (panel, text), y, headings, options)?;
    let width = header(&mut scene, caption, right + MARGIN);
    scene.resize(width, bottom + MARGIN)?;
    Ok(Figure(scene))
}

/// The picture once, then each method: its map with a colour bar, and the words with the largest relevancy below it. With
/// [`Scale::Own`](crate::Scale::Own) every method has its own scale, as methods differ in their units.
///
/// # Errors
/// [`Error::NoPanels`] without rows; otherwise as [`single_figure`](crate::single_figure).
pub fn comparison_figure(
    rows: &[ComparisonRow<'_>],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let first = rows.first().ok_or(Error::NoPanels)?;
    let caption = &caption.noting(options);
    let grid = Grid::new(rows, options)?;
    let mut scene = Scene::default();
    let top = header_height(caption) + 0.3 * EM;
    let alone = Panel { maps: Vec::new(), label: "picture".to_owned(), ..first.panel.clone() };
    grid.picture(&mut scene, &alone, (MARGIN, top), options)?;
    for (row, cell) in rows.iter().zip(1..) {
        grid.cell(&mut scene, row, grid.place(cell, top), options)?;
    }
    let width = header(&mut scene, caption, grid.width() + 2.0 * MARGIN);
    scene.resize(width, top + grid.height() - GAP + MARGIN)?;
    Ok(Figure(scene))
}

/// The places of picture and methods, all of one size.
struct Grid {
    columns: usize,
    rows: usize,
    /// Of a cell with the gap beside and below it.
    step: (f64, f64),
    picture: (u32, u32),
    /// Height of the label and of the picture's row.
    heights: (f64, f64),
}

impl Grid {
    fn new(rows: &[ComparisonRow<'_>], options: &OverlayOptions) -> Result<Self, Error> {
        let cells = rows.len() + 1;
        let columns = cells.div_ceil(cells.div_ceil(MOST_COLUMNS));
        let picture = fitted(rows[0].panel.picture, (SMALL_SIDE, SMALL_SIDE));
        let height = f64::from(picture.1).max(8.0 * EM);
        let (mut width, mut words) = (7.0 * EM, 0);
        for row in rows {
            let options = &signed(&row.panel, options);
            let labels = range(&row.panel, options)?
                .map_or(0.0, |range| ColorBar::new(range, options, EM, height).labels_width(EM));
            let map = f64::from(picture.0) + 0.6 * EM + ColorBar::thickness(EM);
            let chart = chart(&row.text.words(), MOST_WORDS_BELOW);
            width = width.max(map + labels).max(bars_width(&chart));
            words = words.max(chart.len() + 1 + usize::from(row.text.apart().is_some()));
        }
        let head = 1.6 * EM;
        let below = 0.6 * EM + words as f64 * BAR_STEP;
        Ok(Self {
            columns,
            rows: cells.div_ceil(columns),
            step: (width + GAP, head + height + below + GAP),
            picture,
            heights: (head, height),
        })
    }

    fn width(&self) -> f64 {
        self.columns as f64 * self.step.0 - GAP
    }

    fn height(&self) -> f64 {
        self.rows as f64 * self.step.1
    }

    fn place(&self, cell: usize, top: f64) -> (f64, f64) {
        let (column, row) = (cell % self.columns, cell / self.columns);
        (MARGIN + column as f64 * self.step.0, top + row as f64 * self.step.1)
    }

    /// Label and picture.
    fn picture(
        &self,
        scene: &mut Scene,
        panel: &Panel<'_>,
        (x, y): (f64, f64),
        options: &OverlayOptions,
    ) -> Result<Area, Error> {
        let style = Style::start(x, y + 0.85 * EM, EM).filled(INK);
        scene.text(&Line::new(&panel.label), style, self.step.0 - GAP);
        let (head, height) = self.heights;
        let top = y + head + (height - f64::from(self.picture.1)) / 2.0;
        place(scene, panel, (x, top), self.picture, options)
    }

    /// A method: label, map with its bar, words.
    fn cell(
        &self,
        scene: &mut Scene,
        row: &ComparisonRow<'_>,
        (x, y): (f64, f64),
        options: &OverlayOptions,
    ) -> Result<(), Error> {
        let options = &signed(&row.panel, options);
        let map = self.picture(scene, &row.panel, (x, y), options)?;
        let (head, height) = self.heights;
        bar_beside(scene, &row.panel, (map, y + head, height), options)?;
        let below = (x, y + head + height + 0.6 * EM);
        words(scene, row.text, below, MOST_WORDS_BELOW);
        Ok(())
    }
}

/// The options for a panel: with negative values the colour map is diverging and there are no contours.
fn signed(panel: &Panel<'_>, options: &OverlayOptions) -> OverlayOptions {
    let below = panel.maps.iter().any(|map| map.grid.iter().any(|&value| value < 0.0));
    if !below || options.colormap.is_diverging() {
        return options.clone();
    }
    OverlayOptions { colormap: Colormap::Coolwarm, contours: Vec::new(), ..options.clone() }
}

/// The bar of a map beside it, from `top` over `height`, if it has one; how far both reach to the right.
fn bar_beside(
    scene: &mut Scene,
    panel: &Panel<'_>,
    (map, top, height): (Area, f64, f64),
    options: &OverlayOptions,
) -> Result<f64, Error> {
    let right = f64::from(map.right());
    let beside = (right + 0.6 * EM, top, height);
    let range = range(panel, options)?;
    Ok(range.map_or(right, |range| color_bar(scene, range, beside, options)))
}

/// Picture, map and words beside each other from `y` on; how far they reach to the right and down.
fn one_row(
    scene: &mut Scene,
    (panel, text): (&Panel<'_>, &TextRelevancy),
    y: f64,
    headings: [&str; 3],
    options: &OverlayOptions,
) -> Result<(f64, f64), Error> {
    let size = fitted(panel.picture, (SIDE, SIDE));
    // A wide picture is low: its neighbours still need some height.
    let height = f64::from(size.1).max(8.0 * EM);
    let top = y + 1.9 * SMALL;
    let middle = top + (height - f64::from(size.1)) / 2.0;
    let alone = Panel { maps: Vec::new(), outlines: &[], ..panel.clone() };
    let plain = OverlayOptions { orientation: options.orientation, ..OverlayOptions::default() };
    let picture = place(scene, &alone, (MARGIN, middle), size, &plain)?;
    let map = place(scene, panel, (f64::from(picture.right()) + GAP, middle), size, options)?;
    let left = bar_beside(scene, panel, (map, top, height), options)? + GAP;
    let most = (height / BAR_STEP) as usize;
    let lines = usize::from(text.has_self()) + usize::from(text.apart().is_some());
    let most = most.saturating_sub(lines).clamp(3, MOST_WORDS);
    let (right, bottom) = words(scene, text, (left, top), most);
    for (heading, x) in headings.into_iter().zip([picture.x, map.x, left as u32]) {
        let style = Style::start(x.into(), y + 1.1 * SMALL, SMALL).filled(QUIET);
        scene.text(&Line::new(heading), style, f64::from(size.0).max(12.0 * EM));
    }
    Ok((right, bottom.max(top + height)))
}

/// The words with the largest values, no more than `most`.
fn chart(words: &TextRelevancy, most: usize) -> Vec<Bar> {
    let bar = |word: &crate::Piece| Bar::new(word.text.trim(), f64::from(word.relevancy));
    words.top(most).into_iter().map(bar).collect()
}

/// The words as bars, then the self term and what was set apart as numbers; how far they reach to the right and down.
fn words(scene: &mut Scene, text: &TextRelevancy, (x, y): (f64, f64), most: usize) -> (f64, f64) {
    let chart = chart(&text.words(), most);
    bars(scene, &chart, (x, y));
    let mut bottom = y + chart.len() as f64 * BAR_STEP;
    let mut right = x + bars_width(&chart);
    let own = text.pieces().iter().filter(|p| p.is_self).map(|p| f64::from(p.relevancy)).sum();
    let number = |name: &str, value: f64| format!("{name}: {} (no bar)", short(value));
    let lines = [
        chart.is_empty().then(|| "no text contributed".to_owned()),
        text.apart().map(|sum| number("<bos> and chat template", f64::from(sum))),
        text.has_self().then(|| number("self term", own)),
    ];
    for line in lines.into_iter().flatten().map(|line| Line::new(&line)) {
        let style = Style::start(x, bottom + 0.5 * EM + 0.36 * SMALL, SMALL).filled(QUIET);
        scene.text(&line, style, f64::INFINITY);
        right = right.max(x + line.width(SMALL));
        bottom += BAR_STEP;
    }
    (right, bottom)
}
