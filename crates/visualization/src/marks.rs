//! Lines, outlines and letters over a picture.
//!
//! Every line is drawn twice, wide and dark, then narrow and bright, so that it shows on any ground. It is drawn in pieces of
//! small extent: what a path costs to fill follows from the rectangle around it.

use crate::contour::contours;
use crate::escape::append;
use crate::orientation::PictureSide;
use crate::panel::OUTLINES;
use crate::scene::{Area, Scene};
use crate::text::Line;
use crate::{GridMap, Orientation, OverlayOptions, Panel};

/// Draws what `options` and `panel` ask for into the area that shows the panel's picture.
pub(crate) fn draw(scene: &mut Scene, area: Area, panel: &Panel<'_>, options: &OverlayOptions) {
    let (width, height) = panel.picture.dimensions();
    let scale =
        [f64::from(area.width) / f64::from(width), f64::from(area.height) / f64::from(height)];
    let lettered = options.orientation != Orientation::None;
    let mut marks = Marks { out: String::new(), scale, area, lettered, leaves: false };
    if options.grid_lines {
        panel.maps.iter().for_each(|map| marks.grid_lines(map));
    }
    if !options.contours.is_empty() {
        let size = (width, height);
        for rings in contours(&panel.maps, size, options.interpolation, &options.contours) {
            marks.line(&rings, "#ffffff");
        }
    }
    for (outline, colour) in panel.outlines.iter().zip(OUTLINES.iter().cycle()) {
        marks.line(&outline.rings, colour);
        marks.label(&outline.rings, &outline.label, colour);
    }
    for side in PictureSide::ALL {
        marks.letter(options.orientation.letter(side), side);
    }
    marks.put(scene);
}

/// Draws the letters at the left, at the right, above and below an area, as far as they are known.
pub(crate) fn letters(scene: &mut Scene, area: Area, letters: [Option<char>; 4]) {
    let mut marks =
        Marks { out: String::new(), scale: [1.0; 2], area, lettered: true, leaves: false };
    for (side, letter) in PictureSide::ALL.into_iter().zip(letters) {
        marks.letter(letter, side);
    }
    marks.put(scene);
}

struct Marks {
    out: String,
    /// From pixels of the picture to pixels of the area.
    scale: [f64; 2],
    area: Area,
    /// Whether letters stand at the edges.
    lettered: bool,
    /// Whether a line leaves the area.
    leaves: bool,
}

impl Marks {
    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        append(&mut self.out, element);
    }

    /// Adds what was drawn to a scene.
    fn put(&self, scene: &mut Scene) {
        let Area { x, y, width, height } = self.area;
        if self.leaves {
            // An inner `svg` cuts what reaches past the picture.
            scene.element(format_args!(
                r#"<svg x="{x}" y="{y}" width="{width}" height="{height}">{}</svg>"#,
                self.out
            ));
        } else if !self.out.is_empty() {
            scene.element(format_args!(r#"<g transform="translate({x} {y})">{}</g>"#, self.out));
        }
    }

    /// A length that follows the size of the area.
    fn side(&self) -> f64 {
        (f64::from(self.area.width) * f64::from(self.area.height)).sqrt()
    }

    fn stroke(&self) -> f64 {
        (0.0035 * self.side()).max(1.0)
    }

    fn letter_size(&self) -> f64 {
        (0.045 * self.side()).max(12.0)
    }

    fn grid_lines(&mut self, map: &GridMap<'_>) {
        const LEAST: f64 = 4.0;
        let p = map.placement.scaled(self.scale);
        let (rows, columns) = map.grid.dim();
        let (dx, dy) = ((p.x1 - p.x0) / columns as f64, (p.y1 - p.y0) / rows as f64);
        if dx < LEAST || dy < LEAST {
            return;
        }
        let mut paths = String::new();
        let (width, height) = (f64::from(self.area.width), f64::from(self.area.height));
        let [left, right] = [p.x0, p.x1].map(|x| x.clamp(0.0, width));
        let [top, bottom] = [p.y0, p.y1].map(|y| y.clamp(0.0, height));
        let lines =
            |start: f64, step: f64, cells: usize| (0..=cells).map(move |i| start + step * i as f64);
        for x in lines(p.x0, dx, columns).filter(|x| (left..=right).contains(x)) {
            append(&mut paths, format_args!(r#"<path d="M{x:.2} {top:.2}V{bottom:.2}"/>"#));
        }
        for y in lines(p.y0, dy, rows).filter(|y| (top..=bottom).contains(y)) {
            append(&mut paths, format_args!(r#"<path d="M{left:.2} {y:.2}H{right:.2}"/>"#));
        }
        let stroke = (0.5 * self.stroke()).max(0.75);
        self.push(format_args!(
            r##"<g fill="none" stroke="#fff" stroke-opacity="0.35" stroke-width="{stroke:.2}">{paths}</g>"##
        ));
    }

    fn line(&mut self, rings: &[Vec<[f64; 2]>], colour: &str) {
        let mut paths = String::new();
        for ring in rings.iter().filter(|ring| ring.len() > 1) {
            let points: Vec<_> = ring.iter().map(|&point| self.point(point)).collect();
            self.leaves |= !points.iter().all(|&point| self.holds(point));
            self.pieces(&points, &mut paths);
        }
        if paths.is_empty() {
            return;
        }
        let stroke = self.stroke();
        self.push(format_args!(
            r##"<g fill="none" stroke-linejoin="round" stroke-linecap="round"><g stroke="#222" stroke-width="{:.2}">{paths}</g><g stroke="{colour}" stroke-width="{stroke:.2}">{paths}</g></g>"##,
            2.0 * stroke
        ));
    }

    /// Adds a closed line to `paths`, in pieces whose rectangles stay small where the line allows it.
    fn pieces(&self, ring: &[[f64; 2]], paths: &mut String) {
        let most = (0.1 * self.side()).max(200.0).powi(2);
        let closed = ring.iter().chain(&ring[..1]);
        let (mut low, mut high) = ([f64::INFINITY; 2], [f64::NEG_INFINITY; 2]);
        let mut last: Option<[f64; 2]> = None;
        for &point in closed {
            let grown = std::array::from_fn(|i| (low[i].min(point[i]), high[i].max(point[i])));
            let [(x0, x1), (y0, y1)]: [(f64, f64); 2] = grown;
            let [x, y] = point;
            match last {
                Some(_) if (x1 - x0) * (y1 - y0) <= most => {
                    append(paths, format_args!("L{x:.2} {y:.2}"));
                    (low, high) = ([x0, y0], [x1, y1]);
                }
                Some([from_x, from_y]) => {
                    append(
                        paths,
                        format_args!(r#""/><path d="M{from_x:.2} {from_y:.2}L{x:.2} {y:.2}"#),
                    );
                    (low, high) = ([x.min(from_x), y.min(from_y)], [x.max(from_x), y.max(from_y)]);
                }
                None => {
                    append(paths, format_args!(r#"<path d="M{x:.2} {y:.2}"#));
                    (low, high) = (point, point);
                }
            }
            last = Some(point);
        }
        paths.push_str(r#""/>"#);
    }

    /// Whether a line through a point stays within the area, but for its width.
    fn holds(&self, [x, y]: [f64; 2]) -> bool {
        let (width, height) = (f64::from(self.area.width), f64::from(self.area.height));
        (0.0..=width).contains(&x) && (0.0..=height).contains(&y)
    }

    /// In pixels of the area; far beyond it the place does not matter.
    fn point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let far = 4.0 * self.side() + 1e4;
        [x * self.scale[0], y * self.scale[1]].map(|v| v.clamp(-far, far))
    }

    /// Above the outline's upper left corner, or below it where there is no room.
    fn label(&mut self, rings: &[Vec<[f64; 2]>], label: &str, colour: &str) {
        let size = (0.034 * self.side()).max(11.0);
        let points: Vec<_> = rings.iter().flatten().map(|&point| self.point(point)).collect();
        let least = |axis: usize| points.iter().map(|p| p[axis]).fold(f64::INFINITY, f64::min);
        let (x, y) = (least(0), least(1));
        if !(x.is_finite() && y.is_finite()) {
            return;
        }
        let width = f64::from(self.area.width);
        let line = Line::new(label).fit(size, width - 0.6 * size);
        let x = x.min(width - line.width(size) - 0.3 * size).max(0.3 * size);
        let lift = self.stroke() + 0.3 * size;
        let y = if y - lift < size { y.max(0.0) + 1.2 * size } else { y - lift };
        let letter = self.letter_size();
        let middle = f64::from(self.area.height) / 2.0;
        let at_edge = x < 1.5 * letter || width - 1.5 * letter < x + line.width(size);
        let clashes = self.lettered && at_edge && (y - 0.36 * size - middle).abs() < letter;
        let y = if clashes { middle + letter + 0.72 * size } else { y };
        self.text(&line, [x, y], size, colour);
    }

    /// A light tab halfway along the edge, with a dark letter: nobody takes it for a letter of the film, which is light on dark and
    /// mostly in a corner.
    fn letter(&mut self, letter: Option<char>, side: PictureSide) {
        let Some(letter) = letter else { return };
        let size = self.letter_size();
        let line = Line::new(&letter.to_string());
        let (width, height) = (1.3 * size, 1.5 * size);
        let (across, down) = (f64::from(self.area.width), f64::from(self.area.height));
        let (x, y) = match side {
            PictureSide::Left => (0.0, (down - height) / 2.0),
            PictureSide::Right => (across - width, (down - height) / 2.0),
            PictureSide::Top => ((across - width) / 2.0, 0.0),
            PictureSide::Bottom => ((across - width) / 2.0, down - height),
        };
        let baseline = y + height / 2.0 + 0.36 * size;
        self.push(format_args!(
            r##"<rect x="{x:.2}" y="{y:.2}" width="{width:.2}" height="{height:.2}" fill="#f0f3f6" fill-opacity="0.92"/>"##
        ));
        let (start, words) = (x + (width - line.width(size)) / 2.0, line.escaped());
        self.push(format_args!(
            r##"<text x="{start:.2}" y="{baseline:.2}" font-size="{size:.2}" fill="#10161b">{words}</text>"##
        ));
    }

    fn text(&mut self, line: &Line, [x, y]: [f64; 2], size: f64, colour: &str) {
        if line.is_empty() {
            return;
        }
        let words = line.escaped();
        for paint in [
            format!(
                r##"stroke="#000" stroke-opacity="0.7" stroke-linejoin="round" stroke-width="{:.2}""##,
                0.22 * size
            ),
            format!(r#"fill="{colour}""#),
        ] {
            self.push(format_args!(
                r#"<text x="{x:.2}" y="{y:.2}" font-size="{size:.2}" {paint}>{words}</text>"#
            ));
        }
    }
}
