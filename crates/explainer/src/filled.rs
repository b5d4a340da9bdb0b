//! Parts taken away in the pixels that the vision tower takes: the pixels become what those around them make of them, or blurred ones.

use std::ops::Range;

use gemma3_processor::Pixels;
use model_audit::fill;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What the pixels of cells that are gone become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filler {
    /// Those of the blurred image.
    Blur,
    /// What those around them make of them (`fill`), with noise.
    Road {
        /// Of the noise.
        seed: u64,
    },
}

/// σ of the blur in pixels of an image of [`SIDE`] pixels along its longer side.
const SIGMA: f64 = 10.0;
const SIDE: f64 = 896.0;
/// Standard deviation of the noise of ROAD, in the units that the vision tower takes (black is −1 and white 1). Source: Rong et al. 2022.
const NOISE: f32 = 0.01;

/// An image as the vision tower takes it, with what its cells are replaced by.
#[derive(Debug)]
pub(crate) struct Seen {
    pixels: Pixels,
    /// The cells of the image among those of all images.
    cells: Range<usize>,
    grid: [usize; 2],
    fill: Fill,
}

#[derive(Debug)]
enum Fill {
    Blurred(Vec<f32>),
    Around { noise: Vec<f32> },
}

impl Seen {
    pub(crate) fn new(
        pixels: Pixels,
        (cells, grid): (Range<usize>, [usize; 2]),
        filler: Filler,
    ) -> Self {
        let fill = match filler {
            Filler::Blur => {
                let sigma = SIGMA * pixels.width.max(pixels.height) as f64 / SIDE;
                Fill::Blurred(blurred(&pixels, sigma))
            }
            Filler::Road { seed } => {
                let mut random = ChaCha8Rng::seed_from_u64(seed);
                random.set_stream(cells.start as u64);
                let normal = || NOISE * normal(&mut random);
                Fill::Around {
                    noise: std::iter::repeat_with(normal).take(pixels.values.len()).collect(),
                }
            }
        };
        Self { pixels, cells, grid, fill }
    }

    /// Without noise.
    #[cfg(test)]
    pub(crate) fn still(&mut self) {
        if let Fill::Around { noise } = &mut self.fill {
            noise.fill(0.0);
        }
    }

    /// Those of some cells that are of this image, counted from its first.
    pub(crate) fn own(&self, cells: &[usize]) -> Vec<usize> {
        let own = cells.iter().filter(|cell| self.cells.contains(cell));
        own.map(|cell| cell - self.cells.start).collect()
    }

    /// The image without some of its own cells.
    pub(crate) fn without(&self, cells: &[usize]) -> Pixels {
        let Pixels { height, width, .. } = self.pixels;
        let mut gone = vec![false; height * width];
        let [rows, columns] = self.grid;
        for cell in cells {
            let (row, column) = (cell / columns, cell % columns);
            let part = |at: usize, of: usize, side: usize| at * side / of..(at + 1) * side / of;
            for y in part(row, rows, height) {
                gone[y * width..][part(column, columns, width)].fill(true);
            }
        }
        let mut changed = self.pixels.clone();
        let channels = changed.channels;
        match &self.fill {
            Fill::Blurred(blurred) => {
                for (at, (value, other)) in changed.values.iter_mut().zip(blurred).enumerate() {
                    if gone[at % (height * width)] {
                        *value = *other;
                    }
                }
            }
            Fill::Around { noise } => {
                let mut planes = changed.values.chunks_mut(height * width);
                let mut last: Option<(Vec<f32>, Vec<f32>)> = None;
                for _ in 0..channels {
                    let Some(plane) = planes.next() else { break };
                    // The channels of a grey picture are alike: what was made of one serves all.
                    match &last {
                        Some((known, filled)) if known == plane => plane.copy_from_slice(filled),
                        _ => {
                            let known = plane.to_vec();
                            fill(plane, &gone, [height, width]);
                            last = Some((known, plane.to_vec()));
                        }
                    }
                }
                for (at, (value, noise)) in changed.values.iter_mut().zip(noise).enumerate() {
                    if gone[at % (height * width)] {
                        *value += noise;
                    }
                }
            }
        }
        changed
    }
}

/// A number of the normal distribution (Box and Muller 1958).
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let (a, b): (f64, f64) = (random.random(), random.random());
    ((-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()) as f32
}

/// Each channel behind a Gaussian of σ pixels, cut off at 3σ; beyond the border the outermost pixels go on.
fn blurred(pixels: &Pixels, sigma: f64) -> Vec<f32> {
    let Pixels { values, height, width, .. } = pixels;
    let reach = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f64> =
        (0..=reach).map(|at| (-(at as f64 / sigma).powi(2) / 2.0).exp()).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    let weights: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
    // Along one axis, whose neighbours lie `step` apart.
    let along = |plane: &[f32], step: usize, length: usize| -> Vec<f32> {
        let value = |index: usize| {
            let place = index / step % length;
            let start = index - place * step;
            let at = |place: usize| plane[start + place * step];
            let both = |by: usize| at(place.saturating_sub(by)) + at((place + by).min(length - 1));
            let beside = weights.iter().enumerate().skip(1);
            weights[0] * plane[index] + beside.map(|(by, weight)| weight * both(by)).sum::<f32>()
        };
        (0..plane.len()).map(value).collect()
    };
    let plane = |plane: &[f32]| along(&along(plane, 1, *width), *width, *height);
    values.chunks(height * width).flat_map(plane).collect()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    fn pixels(side: usize, value: impl Fn(usize, usize, usize) -> f32) -> Pixels {
        let all = (0..3 * side * side).map(|at| {
            let (channel, at) = (at / (side * side), at % (side * side));
            value(channel, at / side, at % side)
        });
        Pixels { values: all.collect(), channels: 3, height: side, width: side }
    }

    #[test]
    fn a_slope_goes_on_where_a_piece_of_it_is_gone() {
        let seen = Seen::new(
            pixels(64, |_, y, _| y as f32 / 32.0 - 1.0),
            (10..26, [4, 4]),
            Filler::Road { seed: 1 },
        );
        assert_eq!(seen.own(&[3, 15, 30]), [5]);
        let found = seen.without(&[5]);
        let mut noise = 0.0_f32;
        for (at, (value, before)) in found.values.iter().zip(&seen.pixels.values).enumerate() {
            let (y, x) = (at % 4096 / 64, at % 64);
            let gone = (16..32).contains(&y) && (16..32).contains(&x);
            let apart = (value - before).abs();
            assert!(if gone { apart < 0.07 } else { apart == 0.0 }, "{y} {x}: {apart}");
            noise = noise.max(apart);
        }
        assert!(0.02 < noise);
        let all = seen.without(&(0..16).collect::<Vec<_>>());
        assert!(all.values.iter().all(|value| (value + 0.5 / 32.0).abs() < 0.07));
    }

    #[test]
    fn a_blurred_cell_is_that_of_the_blurred_picture() {
        let side = 896;
        let edge = pixels(side, |_, _, x| if x < side / 2 { -1.0 } else { 1.0 });
        let seen = Seen::new(edge, (0..16, [4, 4]), Filler::Blur);
        let found = seen.without(&[2]);
        let at = |x: usize| found.values[100 * side + x];
        assert!((at(448) - 0.040).abs() < 2e-3, "{}", at(448)); // 2Φ(0.05) − 1
        assert!((at(458) - 0.706).abs() < 5e-3, "{}", at(458)); // 2Φ(1.05) − 1
        assert!((at(500) - 1.0).abs() < 1e-5);
        assert_eq!([at(447), found.values[300 * side + 449]], [-1.0, 1.0], "of other cells");
    }

    #[test]
    fn noise_is_normal() {
        let mut random = ChaCha8Rng::seed_from_u64(3);
        let all: Vec<f32> = std::iter::repeat_with(|| normal(&mut random)).take(20_000).collect();
        let mean = all.iter().sum::<f32>() / 2e4;
        let square = all.iter().map(|x| x * x).sum::<f32>() / 2e4;
        let beyond = all.iter().filter(|x| 1.96 < x.abs()).count();
        assert!(mean.abs() < 0.03 && (square - 1.0).abs() < 0.05, "{mean} {square}");
        assert!((850..1150).contains(&beyond), "{beyond}");
    }
}
