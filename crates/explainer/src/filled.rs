//! Parts taken away in the pixels that the vision tower takes: the pixels become what those around them make of them, or blurred ones.

use std::ops::Range;

use gemma3_processor::Pixels;
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
        self.without_pixels(&gone)
    }

    /// The image without these of its pixels, `[height · width]`.
    pub(crate) fn without_pixels(&self, gone: &[bool]) -> Pixels {
        let mut changed = self.pixels.clone();
        let Pixels { channels, height, width, .. } = changed;
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
                            fill(plane, gone, [height, width]);
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

/// Weights of the four nearest pixels and of the four diagonal ones. Source: Rong et al. 2022, section 4.2.
const NEAR: f32 = 1.0 / 6.0;
const DIAGONAL: f32 = 1.0 / 12.0;
/// The mean square of what is wrong with the equations, in units of a pixel, below which they count as solved.
const TOLERANCE: f64 = 1e-8;
const MOST_STEPS: usize = 400;
/// Sides up to which there is nothing to gain by beginning with a coarser picture.
const COARSEST: usize = 8;

/// Makes pixels that are gone of those around them: each becomes the weighted mean of its neighbours, all at once (noisy linear imputation
/// of ROAD, without the noise). What is left of a picture stays; where nothing is left all pixels become their mean.
///
/// The equations are those of a sparse symmetric matrix. They are solved by conjugate gradients, which begin with the solution on a picture
/// half as large, and that on one half as large again (cascadic multigrid, Bornemann and Deuflhard 1996).
fn fill(plane: &mut [f32], gone: &[bool], [height, width]: [usize; 2]) {
    if !gone.contains(&true) {
        return;
    }
    if !gone.contains(&false) {
        let mean = plane.iter().sum::<f32>() / plane.len() as f32;
        plane.fill(mean);
        return;
    }
    if COARSEST < height.max(width) {
        let (coarse, size) = coarser(plane, gone, [height, width]);
        for (at, value) in plane.iter_mut().enumerate().filter(|(at, _)| gone[*at]) {
            *value = coarse[(at / width / 2) * size[1] + at % width / 2];
        }
    } else {
        let left = plane.iter().zip(gone).filter(|(_, gone)| !**gone).map(|(value, _)| *value);
        let mean = left.clone().sum::<f32>() / left.count() as f32;
        plane.iter_mut().zip(gone).filter(|(_, gone)| **gone).for_each(|(value, _)| *value = mean);
    }
    solve(plane, gone, [height, width]);
}

/// The picture at half its size, filled.
fn coarser(plane: &[f32], gone: &[bool], [height, width]: [usize; 2]) -> (Vec<f32>, [usize; 2]) {
    let size = [height.div_ceil(2), width.div_ceil(2)];
    let (mut sums, mut counts) = (vec![0.0_f32; size[0] * size[1]], vec![0_u8; size[0] * size[1]]);
    for (at, value) in plane.iter().enumerate().filter(|(at, _)| !gone[*at]) {
        let coarse = (at / width / 2) * size[1] + at % width / 2;
        sums[coarse] += value;
        counts[coarse] += 1;
    }
    let gone: Vec<bool> = counts.iter().map(|&count| count == 0).collect();
    for (sum, count) in sums.iter_mut().zip(counts).filter(|(_, count)| 0 < *count) {
        *sum /= f32::from(count);
    }
    fill(&mut sums, &gone, size);
    (sums, size)
}

fn solve(plane: &mut [f32], gone: &[bool], [height, width]: [usize; 2]) {
    // With a border of zeros, which no pixel gets anything from.
    let across = width + 2;
    let inside = |at: usize| (at / width + 1) * across + at % width + 1;
    let mut x = vec![0.0_f32; across * (height + 2)];
    let mut present = x.clone();
    for (at, &value) in plane.iter().enumerate() {
        x[inside(at)] = value;
        present[inside(at)] = 1.0;
    }
    let unknown: Vec<usize> = (0..plane.len()).filter(|&at| gone[at]).map(inside).collect();
    let around = |of: &[f32], at: usize| {
        let near = of[at - 1] + of[at + 1] + of[at - across] + of[at + across];
        let (above, below) = (at - across, at + across);
        NEAR * near + DIAGONAL * (of[above - 1] + of[above + 1] + of[below - 1] + of[below + 1])
    };
    let weights: Vec<f32> = unknown.iter().map(|&at| around(&present, at)).collect();
    let product = |of: &[f32], index: usize| {
        let at = unknown[index];
        weights[index] * of[at] - around(of, at)
    };
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let mut left: Vec<f32> = (0..unknown.len()).map(|index| -product(&x, index)).collect();
    let mut direction = vec![0.0_f32; x.len()];
    unknown.iter().zip(&left).for_each(|(&at, &value)| direction[at] = value);
    let mut square = dot(&left, &left);
    for _ in 0..MOST_STEPS {
        if square <= TOLERANCE * unknown.len() as f64 {
            break;
        }
        let pushed: Vec<f32> = (0..unknown.len()).map(|index| product(&direction, index)).collect();
        let along: Vec<f32> = unknown.iter().map(|&at| direction[at]).collect();
        let step = (square / dot(&along, &pushed)) as f32;
        for (index, &at) in unknown.iter().enumerate() {
            x[at] += step * direction[at];
            left[index] -= step * pushed[index];
        }
        let next = dot(&left, &left);
        let turn = (next / square) as f32;
        unknown.iter().zip(&left).for_each(|(&at, &value)| {
            direction[at] = value + turn * direction[at];
        });
        square = next;
    }
    for (at, value) in plane.iter_mut().enumerate().filter(|(at, _)| gone[*at]) {
        *value = x[inside(at)];
    }
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

    fn wave(y: usize, x: usize) -> f32 {
        ((y * y + 3 * x) as f32 * 0.37).sin()
    }

    /// What is left of the equations is nothing, and they are those of the paper, written out.
    #[test]
    fn a_filled_pixel_is_the_weighted_mean_of_its_neighbours() {
        let (height, width) = (37, 30);
        for share in [3, 5, 97] {
            let mut plane: Vec<f32> =
                (0..height * width).map(|at| wave(at / width, at % width)).collect();
            let gone: Vec<bool> =
                (0..height * width).map(|at| at / 5 * 31 % 100 < share || at % width < 4).collect();
            let before = plane.clone();
            fill(&mut plane, &gone, [height, width]);
            for at in 0..plane.len() {
                if !gone[at] {
                    assert_eq!(plane[at].to_bits(), before[at].to_bits());
                    continue;
                }
                let (y, x) = ((at / width) as i32, (at % width) as i32);
                let (mut sum, mut weight) = (0.0, 0.0);
                for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
                    let (ny, nx) = (y + dy, x + dx);
                    let inside =
                        (0..height as i32).contains(&ny) && (0..width as i32).contains(&nx);
                    if (dy, dx) != (0, 0) && inside {
                        let w = if dy * dx == 0 { 1.0 / 6.0 } else { 1.0 / 12.0 };
                        sum += w * plane[ny as usize * width + nx as usize];
                        weight += w;
                    }
                }
                assert!((sum / weight - plane[at]).abs() < 2e-3, "{share}: {at}");
            }
        }
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
