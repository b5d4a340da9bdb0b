//! A colour bar with the real values beside it.

use image::{Rgb, RgbImage};

use crate::overlay::Range;
use crate::scene::{Area, INK, Scene, Style};
use crate::text::Line;
use crate::ticks::Ticks;
use crate::{Colormap, OverlayOptions};

/// Font size of the tick labels, in em.
pub(crate) const LABEL: f64 = 0.72;

/// What one colour bar shows.
#[derive(Clone, Debug)]
pub(crate) struct ColorBar {
    ticks: Ticks,
    colormap: Colormap,
    /// Whether there is anything to show but zero.
    empty: bool,
}

impl ColorBar {
    /// A bar of this height for values on a scale.
    pub(crate) fn new(range: Range, options: &OverlayOptions, em: f64, height: f64) -> Self {
        let most = (height / (2.6 * em)).clamp(2.0, 6.0) as usize;
        let colormap = options.colormap;
        let ticks = if colormap.is_diverging() {
            Ticks::diverging(range.max, range.exceeded, most)
        } else {
            Ticks::new(range.max, range.exceeded, most)
        };
        Self { ticks, colormap, empty: range.max <= 0.0 }
    }

    /// Free space that the line of the unit takes above the bar.
    pub(crate) fn unit_height(&self, em: f64) -> f64 {
        if self.ticks.unit.is_some() { 1.2 * em } else { 0.0 }
    }

    /// Width of a bar itself.
    pub(crate) fn thickness(em: f64) -> f64 {
        (0.75 * em).round()
    }

    /// From the bar's right edge to the end of the labels.
    pub(crate) fn labels_width(&self, em: f64) -> f64 {
        let size = LABEL * em;
        let labels = self.ticks.ticks.iter().map(|t| Line::new(&t.label).width(size));
        let unit = self.ticks.unit.iter().map(|u| Line::new(u).width(size) - em);
        0.5 * em + labels.chain(unit).fold(0.0, f64::max)
    }

    /// Draws the bar into an area, high values above; labels stand to the right of it.
    pub(crate) fn draw(&self, scene: &mut Scene, bar: Area, em: f64) {
        if !self.empty {
            scene.picture(bar.x, bar.y, gradient(bar, self.colormap));
        }
        let (x, y) = (f64::from(bar.x), f64::from(bar.y));
        let (right, height) = (f64::from(bar.right()), f64::from(bar.height));
        let stroke = (0.05 * em).round().max(1.0);
        scene.element(format_args!(
            r#"<g fill="none" stroke="{INK}" stroke-width="{stroke}"><rect x="{}" y="{}" width="{}" height="{}"/>"#,
            x - stroke / 2.0,
            y - stroke / 2.0,
            f64::from(bar.width) + stroke,
            height + stroke
        ));
        let at = |position: f64| y + height * (1.0 - position);
        for tick in &self.ticks.ticks {
            let lift = if tick.position > 0.0 { stroke } else { 0.0 };
            let y = at(tick.position).round() + stroke / 2.0 - lift;
            scene.element(format_args!(r#"<path d="M{right} {y}h{:.2}"/>"#, 0.3 * em));
        }
        scene.element(format_args!("</g>"));
        let size = LABEL * em;
        for tick in &self.ticks.ticks {
            // Digits are 0.73 of the font size high; half of that centres them on the tick.
            let style = Style::start(right + 0.5 * em, at(tick.position) + 0.36 * size, size);
            scene.text(&Line::new(&tick.label), style, f64::INFINITY);
        }
        if let Some(unit) = &self.ticks.unit {
            scene.text(&Line::new(unit), Style::start(x, y - 0.65 * em, size), f64::INFINITY);
        }
    }
}

/// The colours of the bar, high values above.
fn gradient(bar: Area, colormap: Colormap) -> RgbImage {
    RgbImage::from_fn(bar.width, bar.height, |_, row| {
        let position = 1.0 - (f64::from(row) + 0.5) / f64::from(bar.height);
        Rgb(colormap.table()[(position * 255.0).round() as usize])
    })
}
