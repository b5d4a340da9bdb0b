//! A map in a terminal.

use image::RgbImage;

use crate::overlay::Range;
use crate::upsample::{Sampler, UNCOVERED};
use crate::words::Painter;
use crate::{ColorDepth, Error, OverlayOptions, Panel};

/// Characters from nothing to the end of the scale, where there are no colours.
const RAMP: &[u8; 10] = b" .:-=+*#%@";

/// The picture with its heat as lines of text, each ended by a line break, no wider than `columns` and no higher than `rows`
/// characters. In colours a character `▀` shows two pixels, one above the other. Without colours the map stands alone, in ten
/// ASCII characters from blank to `@` by magnitude, framed. Lines, outlines and letters are not drawn.
///
/// Whether a terminal is there at all, and how large it is, the caller must find out.
///
/// # Errors
/// As [`overlay`](crate::overlay()).
pub fn terminal_view(
    panel: &Panel<'_>,
    options: &OverlayOptions,
    (columns, rows): (u32, u32),
    depth: ColorDepth,
) -> Result<String, Error> {
    let range = Range::new(panel.picture, &panel.maps, options)?;
    if depth == ColorDepth::None {
        // The frame takes two characters each way.
        let size = fit(panel.picture, (columns.saturating_sub(2), rows.saturating_sub(2)));
        return Ok(ascii(panel, options, size, range.max));
    }
    let size = fit(panel.picture, (columns, rows));
    Ok(half_blocks(&panel.heated(size, options, range.max), Painter(depth)))
}

/// The largest size in pixels, two to a character's height, that keeps the aspect ratio.
fn fit(picture: &RgbImage, (columns, rows): (u32, u32)) -> (u32, u32) {
    let (width, height) = picture.dimensions();
    let (columns, rows) = (f64::from(columns.max(1)), f64::from(2 * rows.clamp(1, 1 << 16)));
    let factor = (columns / f64::from(width)).min(rows / f64::from(height));
    let pixels = |v: u32| (f64::from(v) * factor).round().max(1.0) as u32;
    (pixels(width), pixels(height))
}

fn half_blocks(image: &RgbImage, painter: Painter) -> String {
    let (width, height) = image.dimensions();
    let mut out = String::new();
    for y in (0..height).step_by(2) {
        for x in 0..width {
            painter.foreground(&mut out, image.get_pixel(x, y).0);
            if let Some(below) = image.get_pixel_checked(x, y + 1) {
                painter.background(&mut out, below.0);
            }
            out.push('▀');
        }
        out.push_str(Painter::RESET);
        out.push('\n');
    }
    out
}

/// The map in characters, one for two pixels, the larger magnitude of both.
fn ascii(panel: &Panel<'_>, options: &OverlayOptions, size: (u32, u32), max: f32) -> String {
    let (width, height) = (size.0 as usize, size.1 as usize);
    let maps = panel.scaled_maps(size);
    let samplers: Vec<_> =
        maps.iter().map(|map| Sampler::new(map, size, options.interpolation)).collect();
    let edge = format!("+{}+\n", "-".repeat(width));
    let mut out = edge.clone();
    for y in (0..height).step_by(2) {
        let mut line = vec![UNCOVERED; width];
        for y in y..(y + 2).min(height) {
            for sampler in &samplers {
                sampler.raise(y, &mut line);
            }
        }
        out.push('|');
        out.extend(line.iter().map(|value| {
            // Nothing at all, where no map lies or the scale ends at zero, is NaN and becomes the blank.
            let step = (value.abs() / max * RAMP.len() as f32) as usize;
            char::from(RAMP[step.min(RAMP.len() - 1)])
        }));
        out.push_str("|\n");
    }
    out + &edge
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use ndarray::array;

    use super::*;
    use crate::{GridMap, Interpolation};

    fn view(size: (u32, u32), room: (u32, u32), depth: ColorDepth) -> String {
        let picture = RgbImage::from_pixel(size.0, size.1, Rgb([80; 3]));
        let grid = array![[0.0, 1.0], [0.0, 0.45]];
        let options = OverlayOptions { interpolation: Interpolation::Cells, ..Default::default() };
        let maps = [GridMap::whole(grid.view(), &picture)];
        terminal_view(&Panel::new(&picture, &maps), &options, room, depth).unwrap()
    }

    #[test]
    fn without_colours_the_map_stands_alone() {
        let expected = "+----+\n|  @@|\n|  ==|\n+----+\n";
        assert_eq!(view((100, 100), (6, 9), ColorDepth::None), expected);
    }

    #[test]
    fn the_view_fits_the_room() {
        for (size, room) in [
            ((100, 300), (80, 24)),
            ((20_000, 100), (80, 24)),
            ((1, 1), (80, 24)),
            ((3, 900), (1, 1)),
            ((5, 5), (0, 0)),
        ] {
            for depth in [ColorDepth::TrueColor, ColorDepth::Ansi256] {
                let view = view(size, room, depth);
                let lines: Vec<_> = view.lines().collect();
                assert!(lines.len() <= room.1.max(1) as usize, "{size:?} in {room:?}");
                assert!(!lines.is_empty());
                let blocks = |line: &&str| line.matches('▀').count() <= room.0.max(1) as usize;
                assert!(lines.iter().all(blocks), "{size:?} in {room:?}");
            }
            view(size, room, ColorDepth::None);
        }
    }

    #[test]
    fn a_square_picture_is_twice_as_many_columns_as_rows() {
        let view = view((64, 64), (40, 40), ColorDepth::TrueColor);
        assert_eq!(view.lines().count(), 20);
        assert_eq!(view.lines().next().unwrap().matches('▀').count(), 40);
        assert!(view.contains("\x1b[38;2;80;80;80m"), "the picture shows where there is no heat");
    }
}
