//! Many small maps: layers, heads, the words of an answer, the pictures of a question.

use image::RgbImage;

use super::parts::{EM, MARGIN, SMALL, color_bar, fitted, header, header_height, place, range};
use super::{Caption, Figure};
use crate::colorbar::LABEL;
use crate::overlay::Range;
use crate::scene::{QUIET, Scene, Style};
use crate::text::Line;
use crate::ticks::short;
use crate::{Error, GridMap, OverlayOptions, Panel, Scale};

/// Panels that belong together, with a heading.
#[derive(Clone, Debug)]
pub struct Section<'a> {
    /// The heading. Empty: none.
    pub title: String,
    /// The panels, in reading order.
    pub panels: Vec<Panel<'a>>,
}

impl<'a> Section<'a> {
    /// A section.
    pub fn new(title: impl Into<String>, panels: Vec<Panel<'a>>) -> Self {
        Self { title: title.into(), panels }
    }
}

/// The side of the square that a picture is fitted to, in pixels.
const SIDE: f64 = 220.0;
const GAP: f64 = 0.8 * EM;
/// The most columns where the caller leaves it open.
const MOST_COLUMNS: usize = 6;

/// A grid of panels, each with its label and detail above it: the contact sheet of an answer (a panel a word), layers, heads.
///
/// On a shared scale one colour bar stands beside all; with [`Scale::Own`] each panel has its own scale and says where it ends. A panel
/// without maps is the picture alone. A section without panels is skipped.
/// `columns`: `None` takes as many as look well, no more than six.
///
/// # Errors
/// [`Error::NoPanels`] without panels; otherwise as [`single_figure`](crate::single_figure).
pub fn grid_figure(
    sections: &[Section<'_>],
    columns: Option<usize>,
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let caption = &caption.noting(options);
    let grid = Grid::new(sections, columns)?;
    let mut scene = Scene::default();
    let top = header_height(caption) + 0.3 * EM;
    let mut y = top;
    let mut common: Option<Range> = None;
    for section in sections.iter().filter(|section| !section.panels.is_empty()) {
        let title = Line::new(&section.title);
        if !title.is_empty() {
            scene.text(&title, Style::start(MARGIN, y + 0.85 * EM, EM), grid.width());
            y += 1.6 * EM;
        }
        for row in section.panels.chunks(grid.columns) {
            for (column, panel) in row.iter().enumerate() {
                let x = MARGIN + column as f64 * (grid.cell.0 + GAP);
                let range = grid.panel(&mut scene, panel, (x, y), options)?;
                common = match (common, range) {
                    (Some(a), Some(b)) => Some(Range {
                        max: f32::max(a.max, b.max),
                        exceeded: a.exceeded || b.exceeded,
                    }),
                    (a, b) => a.or(b),
                };
            }
            y += grid.head + grid.cell.1 + GAP;
        }
    }
    let mut right = MARGIN + grid.width();
    if let (Scale::Shared { .. }, Some(common)) = (options.scale, common) {
        let room = (right + 0.6 * EM, top + grid.head, y - GAP - top - grid.head);
        let (end, bottom) = common_bar(&mut scene, common, options, room, caption);
        (right, y) = (end, y.max(bottom + GAP));
    }
    let width = header(&mut scene, caption, right + MARGIN);
    scene.resize(width, y - GAP + MARGIN)?;
    Ok(Figure(scene))
}

/// The map of a picture layer by layer: `layers` holds the number of each layer and its map.
///
/// # Errors
/// As [`grid_figure`].
pub fn layers_figure(
    picture: &RgbImage,
    layers: &[(usize, GridMap<'_>)],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let maps: Vec<_> = layers.iter().map(|(layer, map)| (layer_name(*layer), map)).collect();
    let panels = labelled(picture, &maps);
    grid_figure(&[Section::new("", panels)], None, caption, options)
}

/// The relevancy at the input of layer 0 is the result.
fn layer_name(layer: usize) -> String {
    if layer == 0 { "layer 0: the result".to_owned() } else { format!("layer {layer}") }
}

/// The heads of one layer: their attention above, the gradient-weighted attention below; the maps may be signed if the colour
/// map is diverging. With [`Scale::Own`] every head has its own scale.
///
/// # Errors
/// As [`grid_figure`].
pub fn heads_figure(
    picture: &RgbImage,
    attention: &[GridMap<'_>],
    weighted: &[GridMap<'_>],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let (attention, weighted) = (named_heads(attention), named_heads(weighted));
    let sections = [
        Section::new("attention", labelled(picture, &attention)),
        Section::new("gradient-weighted attention", labelled(picture, &weighted)),
    ];
    grid_figure(&sections, None, caption, options)
}

/// Several pictures of one question on one scale, side by side: a pair over time, or the slices of a volume.
///
/// # Errors
/// As [`grid_figure`].
pub fn side_by_side_figure(
    panels: &[Panel<'_>],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let options = OverlayOptions { scale: Scale::common(panels)?, ..options.clone() };
    let panels = panels.iter().map(Panel::clone).collect();
    grid_figure(&[Section::new("", panels)], None, caption, &options)
}

fn named_heads<'m, 'g>(maps: &'m [GridMap<'g>]) -> Vec<(String, &'m GridMap<'g>)> {
    maps.iter().enumerate().map(|(head, map)| (format!("head {head}"), map)).collect()
}

fn labelled<'a>(picture: &'a RgbImage, maps: &'a [(String, &'a GridMap<'_>)]) -> Vec<Panel<'a>> {
    let panel = |(label, map): &'a (String, &'a GridMap<'_>)| {
        Panel::new(picture, std::slice::from_ref(*map)).labelled(label, "")
    };
    maps.iter().map(panel).collect()
}

/// One bar for all panels; how far it reaches to the right and down.
fn common_bar(
    scene: &mut Scene,
    range: Range,
    options: &OverlayOptions,
    (x, y, height): (f64, f64, f64),
    caption: &Caption,
) -> (f64, f64) {
    let height = height.clamp(7.0 * EM, 30.0 * EM);
    let mut end = color_bar(scene, range, (x, y, height), options);
    let quantity = Line::new(&caption.quantity);
    if !quantity.is_empty() {
        end += (0.4 + 0.6 * LABEL) * EM;
        scene.turned(&quantity, Style::start(end, y + height / 2.0, LABEL * EM), height);
        end += 0.6 * LABEL * EM;
    }
    (end, y + height)
}

/// The places of all panels.
struct Grid {
    columns: usize,
    /// Width and height of the largest picture.
    cell: (f64, f64),
    /// Height of label and detail.
    head: f64,
}

impl Grid {
    fn new(sections: &[Section<'_>], columns: Option<usize>) -> Result<Self, Error> {
        let panels = || sections.iter().flat_map(|section| &section.panels);
        let longest = sections.iter().map(|section| section.panels.len()).max().unwrap_or(0);
        if longest == 0 {
            return Err(Error::NoPanels);
        }
        let sizes = || panels().map(|panel| fitted(panel.picture, (SIDE, SIDE)));
        let largest = |side: fn((u32, u32)) -> u32| sizes().map(side).max().unwrap_or(1).into();
        // Room for a word, however narrow the picture.
        let cell: (f64, f64) = (f64::max(largest(|s| s.0), 7.0 * EM), largest(|s| s.1));
        let columns = columns.unwrap_or_else(|| balanced(longest)).clamp(1, longest);
        Ok(Self { columns, cell, head: 3.0 * EM })
    }

    fn width(&self) -> f64 {
        self.columns as f64 * (self.cell.0 + GAP) - GAP
    }

    fn panel(
        &self,
        scene: &mut Scene,
        panel: &Panel<'_>,
        (x, y): (f64, f64),
        options: &OverlayOptions,
    ) -> Result<Option<Range>, Error> {
        let range = range(panel, options)?;
        let label = Style::start(x, y + 1.1 * EM, EM);
        scene.text(&Line::new(&panel.label), label, self.cell.0);
        let mut detail = panel.detail.clone();
        if let (Scale::Own, Some(range)) = (options.scale, range) {
            let sign = if options.colormap.is_diverging() { "±" } else { "max " };
            let dot = if detail.is_empty() { "" } else { " · " };
            detail = format!("{sign}{}{dot}{detail}", short(f64::from(range.max)));
        }
        let style = Style::start(x, y + 2.4 * EM, SMALL).filled(QUIET);
        scene.text(&Line::new(&detail), style, self.cell.0);
        let size = fitted(panel.picture, (SIDE, SIDE));
        place(scene, panel, (x, y + self.head), size, options)?;
        Ok(range)
    }
}

/// Columns for `n` panels: as few as their least number of rows needs, so that the last row is not nearly empty.
fn balanced(n: usize) -> usize {
    n.div_ceil(n.div_ceil(MOST_COLUMNS))
}
