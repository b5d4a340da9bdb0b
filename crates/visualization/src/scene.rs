//! A drawing: pictures below, text and lines above. One description, two forms: SVG, and pixels by resvg.
//!
//! The SVG keeps every character and lets its reader find a font; in the pixels, where the embedded font is all there is, a
//! character that it lacks becomes `·`.

use std::fmt::Write;
use std::io::Cursor;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::{Rgb, RgbImage, imageops};

use crate::text::{FAMILY, Line, with_dots};
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
        let Style { x, y, .. } = style;
        self.write_text(line, style, limit, format_args!(r#"x="{x:.2}" y="{y:.2}""#));
    }

    /// Writes a line that is read from below, centred on (x, y).
    pub(crate) fn turned(&mut self, line: &Line, style: Style, limit: f64) {
        let Style { x, y, size, .. } = style;
        let place = format_args!(
            r#"transform="translate({x:.2} {y:.2}) rotate(-90)" y="{:.2}""#,
            0.36 * size
        );
        self.write_text(line, style.anchored(Anchor::Middle), limit, place);
    }

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
        let Style { size, fill, anchor, .. } = style;
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let shown = line.clone().fit(size, limit);
        let title = if shown == *line {
            String::new()
        } else {
            format!("<title>{}</title>", line.escaped())
        };
        let words = shown.escaped();
        self.element(format_args!(
            r#"<text {place} font-size="{size:.2}" fill="{fill}"{anchor}>{title}{words}</text>"#
        ));
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
        // The markup is ASCII and stays as it is.
        raster::blend(canvas, &with_dots(&document((self.width, self.height), &self.ink)))
    }
}

/// Adds to a text.
pub(crate) fn append(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("writing to a String does not fail");
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
        raster::blend(&mut canvas, &scene.to_svg().unwrap()).unwrap();
        assert_eq!(canvas, image);
    }
}
