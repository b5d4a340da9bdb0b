//! A rectangle of pixels with a number each, and strokes drawn into it.

use crate::frame::Frame;

/// A part of the picture; pixels beside it have 0.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) values: Vec<f32>,
}

/// A stroke from one place of the picture to another, in pixels, thicker at one end.
#[derive(Clone, Copy)]
pub(crate) struct Stroke {
    pub(crate) from: [f32; 2],
    pub(crate) to: [f32; 2],
    /// Half the width at either end.
    pub(crate) radii: [f32; 2],
    pub(crate) height: f32,
}

impl Layer {
    /// Zeros all over the picture.
    pub(crate) fn whole(size: u32) -> Self {
        let values = vec![0.0; size as usize * size as usize];
        Self { x: 0, y: 0, width: size, height: size, values }
    }

    /// Zeros over the part of the picture around places of the body.
    pub(crate) fn around(frame: &Frame, places: &[[f32; 2]], margin: f32) -> Self {
        let margin = margin / frame.pixel + 2.0;
        let limit = frame.size as f32;
        let mut bounds = [limit, limit, 0.0, 0.0];
        for place in places {
            let [x, y] = frame.pixel(*place);
            let [x0, y0, x1, y1] = bounds;
            bounds =
                [x0.min(x - margin), y0.min(y - margin), x1.max(x + margin), y1.max(y + margin)];
        }
        let [x0, y0, x1, y1] = bounds.map(|edge| edge.clamp(0.0, limit) as u32);
        let (width, height) = (x1.saturating_sub(x0), y1.saturating_sub(y0));
        let values = vec![0.0; width as usize * height as usize];
        Self { x: x0, y: y0, width, height, values }
    }

    /// Sets every pixel from its column and row in the picture.
    pub(crate) fn fill(&mut self, mut value: impl FnMut(u32, u32) -> f32) {
        let width = self.width as usize;
        for (row, values) in self.values.chunks_exact_mut(width.max(1)).enumerate() {
            for (column, target) in values.iter_mut().enumerate() {
                *target = value(self.x + column as u32, self.y + row as u32);
            }
        }
    }

    /// Column, row and value of every pixel that is not 0.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (u32, u32, f32)> {
        let width = self.width.max(1);
        let some = self.values.iter().enumerate().filter(|(_, value)| **value != 0.0);
        some.map(move |(i, value)| (self.x + i as u32 % width, self.y + i as u32 / width, *value))
    }

    /// Draws a stroke with `profile` of the distance from its middle line (1 at its edge), keeping what is greater.
    pub(crate) fn stroke(&mut self, stroke: Stroke, profile: impl Fn(f32) -> f32) {
        let Stroke { from: [ax, ay], to: [bx, by], radii: [ra, rb], height } = stroke;
        // A stroke thinner than a pixel becomes fainter, not thinner.
        let thin = |radius: f32| (radius / 0.7).min(1.0);
        let reach = ra.max(rb).max(0.7) + 1.0;
        let Some(columns) = span(ax.min(bx) - reach, ax.max(bx) + reach, self.x, self.width) else {
            return;
        };
        let Some(rows) = span(ay.min(by) - reach, ay.max(by) + reach, self.y, self.height) else {
            return;
        };
        let (dx, dy) = (bx - ax, by - ay);
        let per_square = 1.0 / (dx * dx + dy * dy).max(1e-9);
        for y in rows {
            let py = y as f32 + 0.5 - ay;
            let start = (y - self.y) as usize * self.width as usize;
            for x in columns.clone() {
                let px = x as f32 + 0.5 - ax;
                let along = ((px * dx + py * dy) * per_square).clamp(0.0, 1.0);
                let (qx, qy) = (px - along * dx, py - along * dy);
                let radius = ra + (rb - ra) * along;
                let wide = radius.max(0.7);
                let square = (qx * qx + qy * qy) / (wide * wide);
                if square < 4.0 {
                    let value = height * thin(radius) * profile(square.sqrt());
                    let target = &mut self.values[start + (x - self.x) as usize];
                    *target = target.max(value);
                }
            }
        }
    }
}

/// The whole pixels from `low` to `high` that lie in a layer.
fn span(low: f32, high: f32, start: u32, count: u32) -> Option<std::ops::Range<u32>> {
    let (first, end) = (start as f32, (start + count) as f32);
    let (low, high) = (low.clamp(first, end) as u32, high.clamp(first, end).ceil() as u32);
    (low < high).then_some(low..high.min(start + count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strokes_stay_within_the_layer() {
        let mut layer = Layer::whole(8);
        let stroke = Stroke { from: [-3.0, 4.0], to: [20.0, 4.0], radii: [1.0, 1.0], height: 2.0 };
        layer.stroke(stroke, |x| (1.0 - x).max(0.0));
        assert!(layer.values[..16].iter().all(|v| *v == 0.0));
        assert!(layer.values[24..40].iter().all(|v| *v > 0.0));
        assert_eq!(layer.entries().count(), 16);
        let outside = Stroke { from: [-9.0, -9.0], to: [-5.0, -9.0], ..stroke };
        let before = layer.values.clone();
        layer.stroke(outside, |_| 1.0);
        assert_eq!(layer.values, before);
    }
}
