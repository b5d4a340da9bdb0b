//! Pixels of a picture that a word is about, and another part of the same shape.

use relevancy_visualization::image::RgbImage;

use crate::agreement::Part;
use crate::random::Random;

/// Pixels of a picture, each in or out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Columns and rows.
    size: [usize; 2],
    /// `[rows · columns]`.
    inside: Vec<bool>,
}

/// Places that are tried for another part.
const PLACES: usize = 96;
/// Another part keeps this share of the longer side away from the relevant one.
const MARGIN: f64 = 0.02;

impl Mask {
    /// The union of boxes `[x0, y0, x1, y1]` in pixels, as far as they are in a picture of this width and height: each pixel whose middle is
    /// in one. None where no pixel is.
    pub fn of_boxes([width, height]: [u32; 2], boxes: &[[f64; 4]]) -> Option<Self> {
        let size = [width as usize, height as usize];
        let mut inside = vec![false; size[0] * size[1]];
        let range = |from: f64, to: f64, end: usize| {
            let edge = |at: f64| (at - 0.5).ceil().clamp(0.0, end as f64) as usize;
            edge(from)..edge(to).max(edge(from))
        };
        for &[x0, y0, x1, y1] in boxes {
            for y in range(y0, y1, size[1]) {
                inside[y * size[0]..][range(x0, x1, size[0])].fill(true);
            }
        }
        inside.contains(&true).then_some(Self { size, inside })
    }

    /// The pixels of a picture that are not black. None where all are.
    pub fn of_picture(picture: &RgbImage) -> Option<Self> {
        let size = [picture.width() as usize, picture.height() as usize];
        let inside: Vec<bool> = picture.pixels().map(|pixel| pixel.0 != [0; 3]).collect();
        inside.contains(&true).then_some(Self { size, inside })
    }

    /// Columns and rows.
    pub fn size(&self) -> [usize; 2] {
        self.size
    }

    /// Whether a pixel is in; what is outside of the picture is not.
    pub fn holds(&self, x: f64, y: f64) -> bool {
        let [width, height] = self.size;
        let is_there = 0.0 <= x && x < width as f64 && 0.0 <= y && y < height as f64;
        is_there && self.inside[y as usize * width + x as usize]
    }

    /// The share of the picture that is in.
    pub fn share(&self) -> f64 {
        self.pixels().count() as f64 / self.inside.len() as f64
    }

    /// The part on a grid of cells over the rectangle `[x0, y0, x1, y1]` of the picture: how much of each cell's pixels is in.
    pub fn part(&self, grid: [usize; 2], [x0, y0, x1, y1]: [f64; 4]) -> Part {
        let [rows, columns] = grid;
        let (mut sums, mut counts) = (vec![0_u32; rows * columns], vec![0_u32; rows * columns]);
        let at = |place: f64, from: f64, to: f64, count: usize| {
            let cell = ((place + 0.5 - from) / (to - from) * count as f64).floor();
            (0.0 <= cell && cell < count as f64).then_some(cell as usize)
        };
        let [width, height] = self.size;
        let across: Vec<Option<usize>> =
            (0..width).map(|x| at(x as f64, x0, x1, columns)).collect();
        for y in 0..height {
            let Some(row) = at(y as f64, y0, y1, rows) else { continue };
            for (x, column) in across.iter().enumerate() {
                let Some(column) = column else { continue };
                counts[row * columns + column] += 1;
                sums[row * columns + column] += u32::from(self.inside[y * width + x]);
            }
        }
        let share = |(sum, count): (&u32, &u32)| *sum as f32 / (*count).max(1) as f32;
        Part { covered: sums.iter().zip(&counts).map(share).collect(), grid }
    }

    /// Another part of the picture of the same shape, moved or mirrored, that keeps away from this one: of up to 96 random places the one
    /// that is as bright as this part, so that lungs are not compared with the dark around the body. None where there is no room.
    ///
    /// # Panics
    /// For a picture of another size.
    pub fn elsewhere(&self, picture: &RgbImage, seed: u64) -> Option<Self> {
        let [width, height] = self.size;
        assert_eq!([picture.width() as usize, picture.height() as usize], self.size);
        let pixels: Vec<[usize; 2]> = self.pixels().collect();
        let of = |axis: usize| pixels.iter().map(move |pixel| pixel[axis]);
        let bounds = |axis: usize| (of(axis).min().unwrap_or(0), of(axis).max().unwrap_or(0));
        let ((left, right), (top, bottom)) = (bounds(0), bounds(1));
        let near = self.dilated((MARGIN * width.max(height) as f64).ceil() as usize);
        let grey = |at: usize| {
            let [r, g, b] = picture.as_raw()[3 * at..][..3] else { unreachable!("three channels") };
            u64::from(r) + u64::from(g) + u64::from(b)
        };
        let brightness = |places: &mut dyn Iterator<Item = usize>| {
            places.map(grey).sum::<u64>() as f64 / (3 * pixels.len()) as f64
        };
        let own = brightness(&mut pixels.iter().map(|[x, y]| y * width + x));
        let mut random = Random(seed);
        let mirrored = |[x, y]: [usize; 2]| [width - 1 - x, y];
        let mut best: Option<(f64, Vec<usize>)> = None;
        for try_number in 0..PLACES {
            // The first is where the same is on the other side.
            let by = match try_number {
                0 => None,
                _ => Some([
                    random.below(width - (right - left)) as i64 - left as i64,
                    random.below(height - (bottom - top)) as i64 - top as i64,
                ]),
            };
            let moved = |pixel: [usize; 2]| match by {
                None => mirrored(pixel),
                Some([x, y]) => [(pixel[0] as i64 + x) as usize, (pixel[1] as i64 + y) as usize],
            };
            let places: Vec<usize> =
                pixels.iter().map(|&pixel| moved(pixel)).map(|[x, y]| y * width + x).collect();
            if places.iter().any(|&at| near[at]) {
                continue;
            }
            let apart = (brightness(&mut places.iter().copied()) - own).abs();
            if best.as_ref().is_none_or(|(least, _)| apart < *least) {
                best = Some((apart, places));
            }
        }
        let mut inside = vec![false; self.inside.len()];
        best?.1.into_iter().for_each(|at| inside[at] = true);
        Some(Self { size: self.size, inside })
    }

    fn pixels(&self) -> impl Iterator<Item = [usize; 2]> {
        let inside = self.inside.iter().enumerate().filter(|(_, inside)| **inside);
        inside.map(|(at, _)| [at % self.size[0], at / self.size[0]])
    }

    /// Every pixel that is in, or so near to one in rows and columns.
    fn dilated(&self, by: usize) -> Vec<bool> {
        let [width, height] = self.size;
        let along = |of: &[bool], step: usize, length: usize| -> Vec<bool> {
            let mut wide = vec![false; of.len()];
            for at in (0..of.len()).filter(|&at| of[at]) {
                let place = at / step % length;
                let start = at - place * step;
                for place in place.saturating_sub(by)..(place + by + 1).min(length) {
                    wide[start + place * step] = true;
                }
            }
            wide
        };
        along(&along(&self.inside, 1, width), width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_hold_the_pixels_whose_middle_they_hold() {
        let mask = Mask::of_boxes([10, 8], &[[1.0, 2.0, 3.4, 4.6], [2.0, 3.0, 99.0, 4.0]]).unwrap();
        assert!(mask.holds(1.0, 2.0) && mask.holds(2.0, 4.0) && mask.holds(9.0, 3.0));
        assert!(!mask.holds(3.0, 2.0) && !mask.holds(0.0, 2.0) && !mask.holds(-1.0, 3.0));
        assert_eq!(mask.pixels().count(), 2 * 3 + 7);
        assert!(Mask::of_boxes([10, 8], &[[10.0, 0.0, 20.0, 8.0]]).is_none());
        assert!(Mask::of_boxes([10, 8], &[[0.1, 0.1, 0.2, 0.2]]).is_none());
        assert!(Mask::of_boxes([10, 8], &[]).is_none());
    }

    #[test]
    fn a_part_is_counted_by_cells() {
        let mask = Mask::of_boxes([8, 8], &[[0.0, 0.0, 6.0, 4.0]]).unwrap();
        let part = mask.part([2, 2], [0.0, 0.0, 8.0, 8.0]);
        assert_eq!(part.covered, [1.0, 0.5, 0.0, 0.0]);
        assert_eq!(part.touched(), [0, 1]);
        // A grid over a padded picture has cells outside of it.
        let part = mask.part([2, 2], [0.0, -8.0, 8.0, 8.0]);
        assert_eq!(part.covered, [0.0, 0.0, 0.5, 0.25]);
    }

    #[test]
    fn another_part_is_as_large_as_bright_and_apart() {
        // A bright half and a dark one; the part is in the bright one.
        let picture = RgbImage::from_fn(64, 64, |_, y| [if y < 32 { 200 } else { 10 }; 3].into());
        let mask = Mask::of_boxes([64, 64], &[[4.0, 4.0, 16.0, 14.0]]).unwrap();
        for seed in 0..20 {
            let other = mask.elsewhere(&picture, seed).unwrap();
            assert_eq!(other.pixels().count(), mask.pixels().count());
            assert!(other.pixels().all(|[x, y]| y < 32 && !mask.holds(x as f64, y as f64)));
            assert_eq!(mask.elsewhere(&picture, seed).unwrap(), other);
        }
        let whole = Mask::of_boxes([64, 64], &[[0.0, 0.0, 64.0, 60.0]]).unwrap();
        assert!(whole.elsewhere(&picture, 0).is_none());
    }
}
