//! Pixels of an SVG, by resvg.

use image::RgbImage;
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

use crate::Error;

/// Rows drawn at once: memory follows the width, not the area.
const BAND: usize = 256;

/// Draws an SVG over a canvas of its size.
pub(crate) fn blend(canvas: &mut RgbImage, svg: &str, options: &Options<'_>) -> Result<(), Error> {
    let tree = Tree::from_str(svg, options)?;
    let (width, height) = canvas.dimensions();
    let row = width as usize * 3;
    canvas.par_chunks_mut(row * BAND).enumerate().try_for_each(|(band, pixels)| {
        let rows = (pixels.len() / row) as u32;
        let mut pixmap = Pixmap::new(width, rows).ok_or(Error::FigureTooLarge {
            width: width.into(),
            height: height.into(),
            limit: u64::from(u32::MAX) / 4,
        })?;
        let shift = Transform::from_translate(0.0, -((band * BAND) as f32));
        resvg::render(&tree, shift, &mut pixmap.as_mut());
        over(pixels, &pixmap);
        Ok(())
    })
}

/// Source over ground: the source is premultiplied.
fn over(ground: &mut [u8], source: &Pixmap) {
    for (pixel, ink) in ground.chunks_exact_mut(3).zip(source.pixels()) {
        if ink.alpha() == 0 {
            continue;
        }
        let keep = 255 - u32::from(ink.alpha());
        for (channel, ink) in pixel.iter_mut().zip([ink.red(), ink.green(), ink.blue()]) {
            let mixed = u32::from(ink) + (u32::from(*channel) * keep + 127) / 255;
            *channel = mixed.min(255) as u8;
        }
    }
}
