//! A drawing: pictures below, text and lines above. One description, two forms: SVG, and pixels by resvg.
//!
//! The SVG has every line whole and lets its reader find fonts. In the pixels a line with characters that the embedded font lacks
//! is drawn run by run, each with its font.

use std::io::Cursor;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::{Rgb, RgbImage, imageops};

use crate::escape::{append, escape};
use crate::fonts::{Embedded, FAMILY, options, runs};
use crate::text::Line;
use crate::{Error, raster};

/// Text and lines.
pub(crate) const INK: &str = "#1a1a1a";
/// What is less important.
pub(crate) const QUIET: &str = "#5a5a5a";
/// The ground.
const PAPER: Rgb<u8> = Rgb([255; 3]);
/// The largest figure, 805 MB of pixels.
const PIXEL_LIMIT: u64 = 1 << 28;

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

/// Which part of a line of text stands at its x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Where and how a line of text stands; y is its baseline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) size: f64,
    pub(crate) fill: &'static str,
    pub(crate) anchor: Anchor,
}

impl Style {
    pub(crate) fn start(x: f64, y: f64, size: f64) -> Self {
        Self { x, y, size, fill: INK, anchor: Anchor::Start }
    }

    pub(crate) fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub(crate) fn filled(self, fill: &'static str) -> Self {
        Self { fill, ..self }
    }
}

/// A drawing on white.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    width: u32,
    height: u32,
    pictures: Vec<(Area, RgbImage)>,
    /// SVG elements.
    ink: String,
    /// Parts of `ink`, in order, that pixels have in another form.
    in_pixels: Vec<(Range<usize>, String)>,
}

impl Scene {
    pub(crate) fn new(width: u32, height: u32) -> Result<Self, Error> {
        let mut scene = Self::default();
        scene.resize(width.into(), height.into())?;
        Ok(scene)
    }

    /// Sets the size, as where it follows from what was drawn.
    pub(crate) fn resize(&mut self, width: f64, height: f64) -> Result<(), Error> {
        let [width, height] = [width, height].map(|side| side.ceil().max(1.0) as u32);
        let (width_px, height_px) = (u64::from(width), u64::from(height));
        if width_px * height_px > PIXEL_LIMIT {
            let limit = PIXEL_LIMIT;
            return Err(Error::FigureTooLarge { width: width_px, height: height_px, limit });
        }
        (self.width, self.height) = (width, height);
        Ok(())
    }

    pub(crate) fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Puts a picture with its upper left corner at (x, y).
    pub(crate) fn picture(&mut self, x: u32, y: u32, picture: RgbImage) -> Area {
        let area = Area { x, y, width: picture.width(), height: picture.height() };
        self.pictures.push((area, picture));
        area
    }

    /// Writes a line, cut to `limit` pixels with the whole of it as the element's title.
    pub(crate) fn text(&mut self, line: &Line, style: Style, limit: f64) {
        let y = style.y;
        self.write_text(line, style, limit, format_args!(r#"y="{y:.2}""#));
    }

    /// Writes a line that is read from below, centred on (x, y).
    pub(crate) fn turned(&mut self, line: &Line, style: Style, limit: f64) {
        let Style { x, y, size, .. } = style;
        let place = format_args!(
            r#"transform="translate({x:.2} {y:.2}) rotate(-90)" y="{:.2}""#,
            0.36 * size
        );
        let style = Style { x: 0.0, ..style.anchored(Anchor::Middle) };
        self.write_text(line, style, limit, place);
    }

    /// `place` is where the line stands, but for `x`.
    fn write_text(
        &mut self,
        line: &Line,
        style: Style,
        limit: f64,
        place: std::fmt::Arguments<'_>,
    ) {
        if line.is_empty() {
            return;
        }
        let Style { x, size, fill, anchor, .. } = style;
        let shown = line.clone().fit(size, limit);
        let title = if shown == *line {
            String::new()
        } else {
            format!("<title>{}</title>", line.escaped())
        };
        let words = shown.escaped();
        let (name, share) = match anchor {
            Anchor::Start => ("", 0.0),
            Anchor::Middle => (r#" text-anchor="middle""#, 0.5),
            Anchor::End => (r#" text-anchor="end""#, 1.0),
        };
        let start = self.ink.len();
        let look = format!(r#"font-size="{size:.2}" fill="{fill}""#);
        self.element(format_args!(
            r#"<text x="{x:.2}" {place} {look}{name}>{title}{words}</text>"#
        ));
        if !Embedded::new().covers(shown.as_str()) {
            let words = by_font(&shown, size, x, share);
            let element = format!(r#"<text xml:space="preserve" {place} {look}>{words}</text>"#);
            self.in_pixels.push((start..self.ink.len(), element));
        }
    }

    /// Adds an SVG element.
    pub(crate) fn element(&mut self, element: std::fmt::Arguments<'_>) {
        append(&mut self.ink, element);
    }

    /// Adds a filled rectangle: left, top, width, height.
    pub(crate) fn rectangle(&mut self, [x, y, width, height]: [f64; 4], fill: &str) {
        self.element(format_args!(
            r#"<rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" fill="{fill}"/>"#
        ));
    }

    /// The whole drawing; pictures are embedded as PNG.
    pub(crate) fn to_svg(&self) -> Result<String, Error> {
        let Self { width, height, .. } = self;
        let mut body = format!(r##"<rect width="{width}" height="{height}" fill="#fff"/>"##);
        for (Area { x, y, width, height }, picture) in &self.pictures {
            let data = STANDARD.encode(png(picture)?);
            let image = format_args!(
                r#"<image x="{x}" y="{y}" width="{width}" height="{height}" href="data:image/png;base64,{data}"/>"#
            );
            append(&mut body, image);
        }
        body.push_str(&self.ink);
        Ok(document((*width, *height), &body))
    }

    /// The pixels of the whole drawing.
    pub(crate) fn to_image(&self) -> Result<RgbImage, Error> {
        let mut canvas = RgbImage::from_pixel(self.width, self.height, PAPER);
        for (area, picture) in &self.pictures {
            imageops::replace(&mut canvas, picture, area.x.into(), area.y.into());
        }
        self.ink_on(&mut canvas)?;
        Ok(canvas)
    }

    /// Draws text and lines alone, over what the canvas holds.
    pub(crate) fn ink_on(&self, canvas: &mut RgbImage) -> Result<(), Error> {
        if self.ink.is_empty() {
            return Ok(());
        }
        let mut ink = self.ink.clone();
        for (part, element) in self.in_pixels.iter().rev() {
            ink.replace_range(part.clone(), element);
        }
        let with_system = !self.in_pixels.is_empty();
        raster::blend(canvas, &document((self.width, self.height), &ink), &options(with_system))
    }
}

/// A line as spans of one font each, from left to right; the part `share` of it lies left of `x`.
fn by_font(line: &Line, size: f64, x: f64, share: f64) -> String {
    let runs: Vec<_> =
        runs(line.as_str()).into_iter().map(|run| (size * run.width(), run)).collect();
    let mut x = x - share * runs.iter().map(|(width, _)| width).sum::<f64>();
    let mut spans = String::new();
    for (width, run) in runs {
        let (family, words) = (run.family(), escape(&run.text));
        // Each begins at a place of its own: resvg shapes it apart from the others.
        let span = format_args!(r#"<tspan x="{x:.2}" font-family="{family}">{words}</tspan>"#);
        append(&mut spans, span);
        x += width;
    }
    spans
}

fn document((width, height): (u32, u32), body: &str) -> String {
    format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" font-family="'{FAMILY}', sans-serif">{body}</svg>"#
    )
}

fn png(picture: &RgbImage) -> Result<Vec<u8>, Error> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_with_encoder(PngEncoder::new(&mut bytes)).map_err(Error::EmbedPicture)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cannot_add_markup() {
        let evil = Line::new("</text><script>alert(1)</script><image href='x.png'/>");
        let mut scene = Scene::new(400, 40).unwrap();
        scene.text(&evil, Style::start(0.0, 20.0, 12.0), 100.0);
        scene.turned(&evil, Style::start(9.0, 20.0, 12.0), f64::INFINITY);
        let svg = scene.to_svg().unwrap();
        assert!(!svg.contains("<script") && !svg.contains("<image"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        scene.to_image().unwrap();
    }

    #[test]
    fn a_shortened_line_keeps_its_whole_text_as_title() {
        let mut scene = Scene::new(100, 20).unwrap();
        scene.text(&Line::new("pneumomediastinum 肺"), Style::start(0.0, 15.0, 12.0), 60.0);
        scene.text(&Line::new("short"), Style::start(0.0, 15.0, 12.0), 60.0);
        let svg = scene.to_svg().unwrap();
        assert!(svg.contains("<title>pneumomediastinum 肺</title>pneum…"), "{svg}");
        assert_eq!(svg.matches("<title>").count(), 1);
    }

    fn drawn(text: &str, draw: impl Fn(&mut Scene, &Line)) -> RgbImage {
        let mut scene = Scene::new(300, 300).unwrap();
        draw(&mut scene, &Line::new(text));
        scene.to_image().unwrap()
    }

    /// The tests' font of the system draws Chinese as letters of the embedded font: the pixels must be the same.
    #[test]
    fn text_of_the_systems_fonts_stands_where_other_text_would() {
        for anchor in [Anchor::Start, Anchor::Middle, Anchor::End] {
            let style = Style::start(150.0, 150.0, 20.0).anchored(anchor);
            let upright =
                |text: &str| drawn(text, |scene, line| scene.text(line, style, f64::INFINITY));
            let turned =
                |text: &str| drawn(text, |scene, line| scene.turned(line, style, f64::INFINITY));
            for (text, same) in [("肺炎肺", "mWm"), ("m 肺", "m m"), ("肺 m & <", "m m & <")] {
                // Places are written to a hundredth of a pixel.
                for (found, expected) in
                    [(upright(text), upright(same)), (turned(text), turned(same))]
                {
                    let furthest =
                        found.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max();
                    assert!(expected.iter().any(|&level| level < 128));
                    assert!(furthest < Some(24), "{text} {anchor:?}: {furthest:?}");
                }
            }
        }
    }

    #[test]
    fn the_svg_keeps_what_pixels_draw_otherwise() {
        let style = Style::start(20.0, 50.0, 20.0);
        let mut scene = Scene::new(300, 300).unwrap();
        scene.text(&Line::new("肺 胸 <"), style, f64::INFINITY);
        scene.text(&Line::new("left"), style, f64::INFINITY);
        let svg = scene.to_svg().unwrap();
        assert!(svg.contains(">肺 胸 &lt;</text>") && !svg.contains("tspan"), "{svg}");
        assert_eq!(scene.in_pixels.len(), 1, "only what the embedded font lacks");
        assert!(scene.in_pixels[0].1.contains("> · &lt;</tspan>"), "{:?}", scene.in_pixels);
    }

    #[test]
    fn right_to_left_text_stays_so_beside_other_scripts() {
        let style = Style::start(20.0, 50.0, 20.0);
        let draw = |text: &str| drawn(text, |scene, line| scene.text(line, style, f64::INFINITY));
        // First the whole line by the embedded font alone, then with an emoji, drawn as `i`, between the words.
        let plain = draw("ריאות");
        let mixed = draw("ריאות👨תפליט");
        let width = Line::new("תפליט").width(20.0) + Line::new("i").width(20.0);
        let shift = width.round() as i64;
        let mut moved = RgbImage::from_pixel(300, 300, PAPER);
        imageops::replace(&mut moved, &plain, shift, 0);
        let from = (20.0 + width).ceil() as u32 + 2;
        let ink = |image: &RgbImage| {
            image
                .enumerate_pixels()
                .filter(|(x, ..)| *x >= from)
                .map(|(.., p)| 255 - u64::from(p.0[1]))
                .sum::<u64>()
        };
        let (found, expected) = (ink(&mixed), ink(&moved));
        assert!(expected > 5000 && found.abs_diff(expected) < expected / 10, "{found} {expected}");
    }

    #[test]
    fn both_forms_show_the_same() {
        let mut scene = Scene::new(40, 30).unwrap();
        scene.picture(5, 5, RgbImage::from_pixel(10, 10, Rgb([200, 20, 20])));
        scene.element(format_args!(
            r##"<rect x="20" y="5" width="10" height="10" fill="#2040ff"/>"##
        ));
        let image = scene.to_image().unwrap();
        assert_eq!(*image.get_pixel(7, 7), Rgb([200, 20, 20]));
        assert_eq!(*image.get_pixel(25, 10), Rgb([0x20, 0x40, 0xff]));
        assert_eq!(*image.get_pixel(0, 0), PAPER);
        let mut canvas = RgbImage::from_pixel(40, 30, PAPER);
        raster::blend(&mut canvas, &scene.to_svg().unwrap(), &options(false)).unwrap();
        assert_eq!(canvas, image);
    }
}
