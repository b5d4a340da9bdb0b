//! Maps beside each other and how two of them differ.
//!
//! ```text
//!   title
//!   label        label        label
//!   +-------+    +-------+    +-------+
//!   | first | #  | other | #  | signed| #
//!   +-------+    +-------+    +-------+
//! ```

use super::parts::{EM, MARGIN, SMALL, color_bar, fitted, header, header_height, place, range};
use super::{Caption, Figure};
use crate::scene::{QUIET, Scene, Style};
use crate::text::Line;
use crate::{Colormap, Error, OverlayOptions, Panel, Scale};

/// The side of the square that a picture is fitted to, in pixels.
const SIDE: f64 = 300.0;
const GAP: f64 = 1.2 * EM;

/// Maps beside each other and the signed difference of two of them, each with its label and detail above it and its colour bar beside it.
///
/// The maps are drawn as `options` say; with [`Scale::Own`] each has a scale of its own, and [`Scale::common`] gives one for all. The
/// difference has zero in the middle of a scale of its own: where the colour map of the options is not diverging, it is
/// [`Colormap::Coolwarm`]. It has no contours. A panel without maps is the picture alone, without a bar.
///
/// # Errors
/// As [`single_figure`](crate::single_figure).
pub fn difference_figure(
    maps: &[Panel<'_>],
    difference: &Panel<'_>,
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let caption = &caption.noting(options);
    let colormap =
        if options.colormap.is_diverging() { options.colormap } else { Colormap::Coolwarm };
    let (scale, contours) = (Scale::Own, Vec::new());
    let signed = OverlayOptions { colormap, scale, contours, ..options.clone() };
    let mut scene = Scene::default();
    let mut at = (MARGIN, header_height(caption) + 0.3 * EM);
    let mut bottom = 0.0_f64;
    let mut add = |panel: &Panel<'_>, options: &OverlayOptions| {
        let (right, end) = draw(&mut scene, panel, at, options)?;
        at.0 = right + GAP;
        bottom = bottom.max(end);
        Ok::<_, Error>(())
    };
    maps.iter().try_for_each(|panel| add(panel, options))?;
    add(difference, &signed)?;
    let width = header(&mut scene, caption, at.0 - GAP + MARGIN);
    scene.resize(width, bottom + MARGIN)?;
    Ok(Figure(scene))
}

/// One panel with its words and its bar; how far it reaches to the right and down.
fn draw(
    scene: &mut Scene,
    panel: &Panel<'_>,
    (x, y): (f64, f64),
    options: &OverlayOptions,
) -> Result<(f64, f64), Error> {
    let range = range(panel, options)?;
    let size = fitted(panel.picture, (SIDE, SIDE));
    // A low picture still needs a bar with some ticks, a narrow one room for a word.
    let (width, height) = (f64::from(size.0).max(9.0 * EM), f64::from(size.1).max(8.0 * EM));
    scene.text(&Line::new(&panel.label), Style::start(x, y + 1.1 * EM, EM), width);
    let quiet = Style::start(x, y + 2.4 * EM, SMALL).filled(QUIET);
    scene.text(&Line::new(&panel.detail), quiet, width);
    let top = y + 3.2 * EM;
    let picture =
        place(scene, panel, (x, top + (height - f64::from(size.1)) / 2.0), size, options)?;
    let beside = (f64::from(picture.right()) + 0.6 * EM, top, height);
    let right = range.map_or(0.0, |range| color_bar(scene, range, beside, options));
    Ok((right.max(x + width), top + height))
}
