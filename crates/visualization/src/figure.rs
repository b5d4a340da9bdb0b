//! A picture with its heat, the explained word above it and a colour bar beside it.

use std::borrow::Cow;

use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use resvg::tiny_skia::Pixmap;

use crate::layout::{Area, GAP, Layout, Words, bar_height, em};
use crate::overlay::{Range, draw};
use crate::svg::{Drawing, drawing};
use crate::text::Line;
use crate::ticks::Ticks;
use crate::{Colormap, Error, GridMap, OverlayOptions};

/// The words of a figure.
///
/// Any text will do: control and direction characters are taken out, white space is folded, what is too long ends in an
/// ellipsis, and a character that the embedded font lacks (Chinese, Japanese, Korean, Indic scripts) becomes `·`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caption {
    /// The explained word. Empty: no title.
    pub title: String,
    /// A second, smaller line, for instance position and method. Empty: no line.
    pub subtitle: String,
    /// What the colour bar measures. Empty: no line beside the bar.
    pub quantity: String,
}

impl Caption {
    /// A caption with this title and no subtitle, for a bar of relevancy.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), subtitle: String::new(), quantity: "relevancy".to_owned() }
    }
}

/// The ground of a figure: paper.
const PAPER: Rgb<u8> = Rgb([255; 3]);

/// A picture whose longer side is below this is enlarged by a whole factor.
const READABLE_SIDE: u32 = 600;

/// The largest figure, 805 MB of pixels.
const PIXEL_LIMIT: u64 = 1 << 28;

/// Draws a figure on white: heat over the picture as [`overlay`](crate::overlay()) draws it, title and subtitle above, a
/// colour bar with the real values beside it.
///
/// The picture keeps its pixels, one to one, unless it is so small that text beside it would not be readable: below 600
/// pixels it is enlarged by a whole factor (cubic), and the heat is drawn at that size. Text grows with the picture.
///
/// # Errors
/// As [`overlay`](crate::overlay()), and [`Error::FigureTooLarge`] above 2²⁸ pixels.
pub fn overlay_figure(
    picture: &RgbImage,
    maps: &[GridMap<'_>],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<RgbImage, Error> {
    let range = Range::new(picture, maps, options)?;
    let factor = READABLE_SIDE.div_ceil(picture.width().max(picture.height()));
    let size = (picture.width() * factor, picture.height() * factor);
    let words = words(caption, range, size);
    let layout = Layout::new(size, &words);
    let mut canvas = blank(&layout)?;

    let heated = draw(&enlarge(picture, factor), &enlarged(maps, factor), options, range.max);
    imageops::replace(&mut canvas, &heated, layout.picture.x.into(), layout.picture.y.into());
    if range.max > 0.0 {
        gradient(&mut canvas, layout.bar, options.colormap);
    }
    letter(&mut canvas, &layout, &words)?;
    Ok(canvas)
}

fn words(caption: &Caption, range: Range, (width, height): (u32, u32)) -> Words {
    let em = em(width, height);
    let most = (bar_height(em, height) / (2.6 * em)).clamp(2.0, 6.0) as usize;
    Words {
        title: Line::new(&caption.title),
        subtitle: Line::new(&caption.subtitle),
        quantity: Line::new(&caption.quantity),
        ticks: Ticks::new(range.max, range.exceeded, most),
    }
}

fn blank(layout: &Layout) -> Result<RgbImage, Error> {
    let Layout { width, height, .. } = *layout;
    if u64::from(width) * u64::from(height) > PIXEL_LIMIT {
        return Err(too_large(width, height));
    }
    Ok(RgbImage::from_pixel(width, height, PAPER))
}

fn too_large(width: u32, height: u32) -> Error {
    Error::FigureTooLarge { width: width.into(), height: height.into(), limit: PIXEL_LIMIT }
}

fn enlarge(picture: &RgbImage, factor: u32) -> Cow<'_, RgbImage> {
    if factor == 1 {
        return Cow::Borrowed(picture);
    }
    let (width, height) = picture.dimensions();
    Cow::Owned(imageops::resize(picture, width * factor, height * factor, FilterType::CatmullRom))
}

fn enlarged<'a>(maps: &[GridMap<'a>], factor: u32) -> Vec<GridMap<'a>> {
    let enlarged = |m: &GridMap<'a>| GridMap { placement: m.placement.enlarged(factor), ..*m };
    maps.iter().map(enlarged).collect()
}

/// The colours of the bar, high values above.
fn gradient(canvas: &mut RgbImage, bar: Area, colormap: Colormap) {
    for row in 0..bar.height {
        let position = 1.0 - (f64::from(row) + 0.5) / f64::from(bar.height);
        let colour = colormap.table()[(position * 255.0).round() as usize];
        for x in bar.x..bar.right() {
            canvas.put_pixel(x, bar.y + row, Rgb(colour));
        }
    }
}

/// Draws text and lines, in two areas that share no pixel.
fn letter(canvas: &mut RgbImage, layout: &Layout, words: &Words) -> Result<(), Error> {
    let drawing = Drawing::new(&drawing(layout, words))?;
    let gap = (GAP * layout.em) as u32;
    let Layout { bar, picture, width, height, .. } = *layout;
    let unit = if words.ticks.unit.is_some() { (1.5 * layout.em) as u32 } else { gap };
    let side = Area {
        x: picture.right(),
        y: bar.y - unit,
        width: width - picture.right(),
        height: (bar.height + unit + gap).min(height + unit - bar.y),
    };
    let header = Area { x: 0, y: 0, width, height: side.y.min(picture.y - gap) };
    for area in [header, side].into_iter().filter(|a| a.width > 0 && a.height > 0) {
        let pixels = drawing.pixels(area).ok_or_else(|| too_large(width, height))?;
        blend(canvas, &pixels, area);
    }
    Ok(())
}

/// Source over ground: the source is premultiplied.
fn blend(canvas: &mut RgbImage, source: &Pixmap, area: Area) {
    let place = |i: usize| {
        let i = i as u32;
        (area.x + i % area.width, area.y + i / area.width)
    };
    for (i, ink) in source.pixels().iter().enumerate().filter(|(_, ink)| ink.alpha() > 0) {
        let (x, y) = place(i);
        let keep = 255 - u32::from(ink.alpha());
        let ground = canvas.get_pixel_mut(x, y);
        for (channel, ink) in ground.0.iter_mut().zip([ink.red(), ink.green(), ink.blue()]) {
            let mixed = u32::from(ink) + (u32::from(*channel) * keep + 127) / 255;
            *channel = mixed.min(255) as u8;
        }
    }
}
