//! The map of a series of slices: projections, the share of each slice, the slices with the largest shares.
//!
//! ```text
//!   title
//!   Axial        Coronal      Sagittal
//!   +-------+    +-------+    +-------+
//!   |  max  |    |  max  |    |  max  |  #
//!   +-------+    +-------+    +-------+
//!   share of the relevancy by slice
//!   ___.:|#|:.________________________
//!   SLICE 17     SLICE 18     SLICE 16
//!   +-------+    +-------+    +-------+
//! ```

use image::{Rgb, RgbImage};
use ndarray::{Array2, Array3, ArrayView2, Axis};

use super::parts::{EM, MARGIN, SMALL, color_bar, fitted, header, header_height, place, range};
use super::{Caption, Figure};
use crate::overlay::{Range, heat};
use crate::scene::{Anchor, QUIET, Scene, Style};
use crate::text::Line;
use crate::upsample::{Sampler, UNCOVERED};
use crate::volume::{SideView, Stack, Views, shares};
use crate::{
    Error, GridMap, Interpolation, OverlayOptions, Panel, PictureSide, Scale, marks, top_slices,
    volume_projections,
};

/// Width of the three projections together, and the most height of one, in pixels.
const WIDTH: f64 = 780.0;
const HEIGHT: f64 = 340.0;
/// A projection is at least this wide, so that its name can be read.
const NARROWEST: f64 = 5.0 * EM;
const GAP: f64 = 0.8 * EM;
/// Height of the bars.
const BARS: f64 = 110.0;
/// Left of the bars: the largest share.
const LEFT: f64 = 3.6 * EM;
/// The most slices that are drawn by themselves.
const TOP: usize = 5;
/// Longer side of the lattice that projections are made on.
const LATTICE: f64 = 64.0;
/// Places along the slices that a projection has at least.
const STEPS: usize = 256;
/// How much of the middle slice is seen behind the projection along the slices: it is not the slice that the heat is of.
const DIMMED: f32 = 0.5;

const OTHERS: &str = "#a9bcd8";
const LARGEST: &str = "#c05000";
const AXIS: &str = "#8a8a8a";

/// The map of a series: the largest values along each axis, the share of each slice, and the slices with the largest shares. All
/// heat has one scale, that of the slices; the first projection lies over the middle slice, dimmed, the others over black.
///
/// `slices` lie behind each other in this order, each with its label ("SLICE 12") and its maps; `stack` says where. The letters of
/// `options` are those of the slices. Shares are parts of the magnitudes of all cells of all slices. The scale of the options is not used,
/// and projections have neither contours nor grid lines.
///
/// # Errors
/// [`Error::NoPanels`] without slices, [`Error::NoMaps`] where none has a map, [`Error::SliceSize`] for pictures of unlike sizes; otherwise
/// as [`single_figure`](crate::single_figure).
pub fn volume_figure(
    slices: &[Panel<'_>],
    stack: &Stack,
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let caption = &caption.noting(options);
    let first = slices.first().ok_or(Error::NoPanels)?.picture;
    check(slices, options)?;
    let max = match Scale::common(slices)? {
        Scale::Shared { max } => max,
        Scale::Own => 0.0,
    };
    let options = &OverlayOptions { scale: Scale::Shared { max }, ..options.clone() };
    let (width, height) = first.dimensions();
    let sides = [f64::from(width), f64::from(height)];
    let views = stack.views(slices.len(), sides, options.orientation);
    let parts = shares(slices.iter().map(magnitude).collect());
    let top = top_slices(&parts, TOP);

    let mut scene = Scene::default();
    let y = header_height(caption) + 0.3 * EM;
    let (right, y) = projections(&mut scene, slices, &views, y, (max, options));
    let y = bars(&mut scene, slices, (&parts, &top), (y + 1.2 * EM, right - MARGIN));
    let (end, y) = largest(&mut scene, slices, (&parts, &top), (y, right - MARGIN), options)?;
    let width = header(&mut scene, caption, right.max(end) + MARGIN);
    scene.resize(width, y + MARGIN)?;
    Ok(Figure(scene))
}

fn check(slices: &[Panel<'_>], options: &OverlayOptions) -> Result<(), Error> {
    let expected = slices[0].picture.dimensions();
    let mut any = false;
    for (slice, panel) in slices.iter().enumerate() {
        let found = panel.picture.dimensions();
        if found != expected {
            return Err(Error::SliceSize { slice, expected, found });
        }
        any |= range(panel, options)?.is_some();
    }
    if any { Ok(()) } else { Err(Error::NoMaps) }
}

/// The sum of the magnitudes of all cells of a slice.
fn magnitude(panel: &Panel<'_>) -> f64 {
    panel.maps.iter().flat_map(|map| map.grid.iter()).map(|value| f64::from(value.abs())).sum()
}

/// The maps of all slices on one lattice, `[slices, rows, columns]`; NaN where no map lies.
fn on_lattice(slices: &[Panel<'_>], interpolation: Interpolation) -> Array3<f32> {
    let size = fitted(slices[0].picture, (LATTICE, LATTICE));
    let shape = (slices.len(), size.1 as usize, size.0 as usize);
    let mut volume = Array3::from_elem(shape, UNCOVERED);
    for (panel, mut slice) in slices.iter().zip(volume.axis_iter_mut(Axis(0))) {
        for map in panel.scaled_maps(size) {
            let sampler = Sampler::new(&map, size, interpolation);
            for (y, mut row) in slice.rows_mut().into_iter().enumerate() {
                if let Some(row) = row.as_slice_mut() {
                    sampler.raise(y, row);
                }
            }
        }
    }
    volume
}

/// The three projections and the bar of their colours; how far they reach to the right and down.
fn projections(
    scene: &mut Scene,
    slices: &[Panel<'_>],
    views: &Views,
    y: f64,
    (max, options): (f32, &OverlayOptions),
) -> (f64, f64) {
    let found = volume_projections(on_lattice(slices, options.interpolation).view());
    let sides: [(&SideView, ArrayView2<'_, f32>); 2] =
        [(&views.sides[0], found.columns.view()), (&views.sides[1], found.rows.view())];
    let all = [views.size, views.sides[0].size, views.sides[1].size];
    let widths: f64 = all.iter().map(|size| size[0]).sum();
    let highest = all.iter().map(|size| size[1]).fold(0.0, f64::max);
    // One scale for all three, so that a structure has one height in two of them.
    let scale = (WIDTH / widths).min(HEIGHT / highest);
    let pixels = |size: [f64; 2]| size.map(|side| (side * scale).round().max(1.0) as u32);
    let top = y + 1.7 * EM;
    let mut x = MARGIN;
    let mut add = |name: &str, ground: RgbImage, map: ArrayView2<'_, f32>, letters| {
        scene.text(&Line::new(name), Style::start(x, y + 1.1 * EM, EM), f64::INFINITY);
        let maps = [GridMap::whole(map, &ground)];
        let heated = heat(ground.clone(), &maps, options, max);
        let area = scene.picture(x.round() as u32, top.round() as u32, heated);
        marks::letters(scene, area, letters);
        x += f64::from(area.width).max(NARROWEST) + GAP;
    };
    let [width, height] = pixels(views.size);
    let mut middle = slices[slices.len() / 2].clone();
    middle.maps.clear();
    let mut ground = middle.heated((width, height), options, max);
    dim(&mut ground);
    let letters = PictureSide::ALL.map(|side| options.orientation.letter(side));
    add(views.plane, ground, found.through.view(), letters);
    for (side, projection) in sides {
        let [width, height] = pixels(side.size);
        let steps = STEPS.max(2 * slices.len());
        let laid_out: Array2<f32> = side.laid_out(projection, &views.edges, steps);
        let black = RgbImage::new(width, height);
        add(side.name, black, laid_out.view(), side.letters);
    }
    let bottom = top + (highest * scale).round();
    let room = (x - GAP + 0.6 * EM, top, (highest * scale).max(7.0 * EM));
    let end = color_bar(scene, Range { max, exceeded: false }, room, options);
    let scale = if views.to_scale { "" } else { "; not to scale: slices at equal distances" };
    let note = format!(
        "Projections of the relevancy, not of the picture; the first lies over the middle slice{scale}."
    );
    let bottom = bottom.max(top + room.2);
    let style = Style::start(MARGIN, bottom + 1.2 * EM, SMALL).filled(QUIET);
    scene.text(&Line::new(&note), style, end - MARGIN);
    (end, bottom + 1.4 * EM)
}

fn dim(picture: &mut RgbImage) {
    for Rgb(channels) in picture.pixels_mut() {
        *channels = channels.map(|level| (f32::from(level) * DIMMED) as u8);
    }
}

/// The share of each slice as a bar, the largest in another colour; where the part below begins.
fn bars(
    scene: &mut Scene,
    slices: &[Panel<'_>],
    (parts, top): (&[f64], &[usize]),
    (y, width): (f64, f64),
) -> f64 {
    let heading = "Share of the relevancy in the slices, by slice";
    scene.text(&Line::new(heading), Style::start(MARGIN, y + 0.85 * EM, EM), width);
    let (left, base) = (MARGIN + LEFT, y + 2.0 * EM + BARS);
    let room = width - LEFT;
    let step = room / parts.len() as f64;
    let most = parts.iter().copied().fold(0.0, f64::max);
    for (slice, &part) in parts.iter().enumerate().filter(|(_, part)| 0.0 < **part) {
        let height = (BARS * part / most).max(0.5);
        let fill = if top.contains(&slice) { LARGEST } else { OTHERS };
        let x = left + slice as f64 * step;
        scene.rectangle([x + 0.1 * step, base - height, 0.8 * step, height], fill);
    }
    scene.rectangle([left, base, room, 1.0], AXIS);
    let end = Style::start(left - 0.4 * EM, 0.0, SMALL).anchored(Anchor::End);
    for (value, y) in [(most, base - BARS), (0.0, base)] {
        let style = Style { y: y + 0.36 * SMALL, ..end };
        scene.text(&Line::new(&percent(value)), style, LEFT);
    }
    let below = Style::start(left, base + 1.2 * EM, SMALL).filled(QUIET);
    let label = |slice: usize| Line::new(&slices[slice].label);
    let last = parts.len() - 1;
    scene.text(&label(0), below, room / 3.0);
    if 0 < last {
        let right = Style { x: left + room, ..below };
        scene.text(&label(last), right.anchored(Anchor::End), room / 3.0);
    }
    // The largest is named where the names of the ends leave room.
    if let Some(&slice) = top.first() {
        let (x, line) = (left + (slice as f64 + 0.5) * step, label(slice));
        let half = line.width(SMALL) / 2.0 + EM;
        let free = left + label(0).width(SMALL)..left + room - label(last).width(SMALL);
        if free.start < x - half && x + half < free.end {
            let style = Style { x, ..below }.filled(LARGEST).anchored(Anchor::Middle);
            scene.text(&line, style, room / 3.0);
        }
    }
    base + 2.2 * EM
}

/// The slices with the largest shares, each with its heat on the common scale; how far they reach to the right and down.
fn largest(
    scene: &mut Scene,
    slices: &[Panel<'_>],
    (parts, top): (&[f64], &[usize]),
    (y, width): (f64, f64),
    options: &OverlayOptions,
) -> Result<(f64, f64), Error> {
    let side = (width + GAP) / TOP as f64 - GAP;
    let (mut x, mut bottom) = (MARGIN, y);
    for &slice in top {
        let panel = &slices[slice];
        scene.text(&Line::new(&panel.label), Style::start(x, y + 1.1 * EM, EM), side);
        let dot = if panel.detail.is_empty() { "" } else { " · " };
        let detail = format!("{}{dot}{}", percent(parts[slice]), panel.detail);
        let style = Style::start(x, y + 2.4 * EM, SMALL).filled(QUIET);
        scene.text(&Line::new(&detail), style, side);
        let size = fitted(panel.picture, (side, 1.5 * side));
        let area = place(scene, panel, (x, y + 3.0 * EM), size, options)?;
        bottom = bottom.max(f64::from(area.y + area.height));
        x += side + GAP;
    }
    Ok((x - GAP, bottom))
}

fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}
