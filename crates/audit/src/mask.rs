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

/// What another part is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To be changed in place of the first: as bright as that, so that lungs are not compared with the dark around the body.
    Control,
    /// To stand in for the first: what is around it is like what is around the first, so that it fits in (exemplar-based inpainting chooses
    /// in a like way: Criminisi, Pérez and Toyama 2004).
    StandIn,
}

/// Another part of a picture, of the same shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its pixels.
    pub mask: Mask,
    way: Way,
}

/// How a part is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Way {
    /// Whether left and right are changed.
    is_mirrored: bool,
    /// So many pixels to the right and down, after that.
    by: [i64; 2],
}

impl Place {
    /// The point of this part that corresponds to a point of the first.
    pub fn point(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let Way { is_mirrored, by: [right, down] } = self.way;
        let x = if is_mirrored { self.mask.size[0] as f64 - x } else { x };
        [x + right as f64, y + down as f64]
    }
}

impl Way {
    /// The pixel that corresponds to one of the first part; none outside of the picture.
    fn pixel(self, [x, y]: [usize; 2], [width, height]: [usize; 2]) -> Option<usize> {
        let x = if self.is_mirrored { width.checked_sub(1 + x)? } else { x };
        let x = x.checked_add_signed(self.by[0] as isize)?;
        let y = y.checked_add_signed(self.by[1] as isize)?;
        (x < width && y < height).then_some(y * width + x)
    }
}

/// Places that are tried for another part, and how few at least.
const PLACES: usize = 4000;
const LEAST_PLACES: usize = 200;
/// Pixels that may be looked at over all places: a second or so, however large the part is.
const MOST_LOOKED_AT: usize = 400_000_000;
/// Pixels by which they are compared.
const MOST_COMPARED: usize = 600;
/// The share of the longer side that a part is widened by where it is hidden.
const MARGIN: f64 = 0.02;
/// A green that neither a grey picture nor the colours of a map have.
const OUTLINE: [u8; 3] = [80, 255, 120];

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

    /// Another part of the picture of the same shape, moved or mirrored, that keeps away from this one and from those to `avoid`: of the
    /// mirror image and up to 4000 random places the one that suits the purpose best. None where there is no room.
    ///
    /// # Panics
    /// For a picture of another size.
    pub fn elsewhere(
        &self,
        picture: &RgbImage,
        avoid: &[&Self],
        purpose: Purpose,
        seed: u64,
    ) -> Option<Place> {
        let [width, height] = self.size;
        assert_eq!([picture.width() as usize, picture.height() as usize], self.size);
        let [left, top, right, bottom] = self.bounds()?;
        let pixels: Vec<[usize; 2]> = self.pixels().collect();
        // Neither reaches into the other where both are widened.
        let mut near = self.dilated(2 * self.margin());
        for other in avoid {
            let wide = other.dilated(2 * self.margin());
            near.iter_mut().zip(wide).for_each(|(near, wide)| *near |= wide);
        }
        let grey = |at: usize| {
            let channels = picture.as_raw()[3 * at..3 * at + 3].iter();
            channels.map(|&channel| f64::from(channel)).sum::<f64>() / 3.0
        };
        let compared = self.compared(purpose);
        let mut random = Random(seed);
        let mut best: Option<(f64, Way)> = None;
        let places = (MOST_LOOKED_AT / pixels.len()).clamp(LEAST_PLACES, PLACES);
        for number in 0..places {
            let is_mirrored = number.is_multiple_of(2);
            // Where the part lies before it is moved.
            let start = if is_mirrored { width - 1 - right } else { left };
            let by = [
                random.below(width - (right - left)) as i64 - start as i64,
                random.below(height - (bottom - top)) as i64 - top as i64,
            ];
            let way = Way { is_mirrored, by: if number == 0 { [0, 0] } else { by } };
            let is_free =
                |&pixel: &[usize; 2]| way.pixel(pixel, self.size).is_some_and(|at| !near[at]);
            if !pixels.iter().all(is_free) {
                continue;
            }
            let apart = |&[x, y]: &[usize; 2]| {
                Some(grey(way.pixel([x, y], self.size)?) - grey(y * width + x))
            };
            let apart: Vec<f64> = compared.iter().filter_map(apart).collect();
            let mean = |of: fn(f64) -> f64| {
                apart.iter().map(|&it| of(it)).sum::<f64>() / apart.len().max(1) as f64
            };
            let cost = match purpose {
                Purpose::Control => mean(|it| it).abs(),
                Purpose::StandIn => mean(|it| it * it),
            };
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, way));
            }
        }
        let (_, way) = best?;
        let mut inside = vec![false; self.inside.len()];
        for at in pixels.iter().filter_map(|&pixel| way.pixel(pixel, self.size)) {
            inside[at] = true;
        }
        Some(Place { mask: Self { size: self.size, inside }, way })
    }

    /// The pixels by which places are compared with this part, some hundred of them.
    fn compared(&self, purpose: Purpose) -> Vec<[usize; 2]> {
        let [width, _] = self.size;
        let all: Vec<[usize; 2]> = match purpose {
            Purpose::Control => self.pixels().collect(),
            Purpose::StandIn => {
                // A band: much is like a line alone by chance.
                let (wide, inner) = (self.dilated(2 * self.margin()), self.dilated(self.margin()));
                let ring = (0..wide.len()).filter(|&at| wide[at] && !inner[at]);
                ring.map(|at| [at % width, at / width]).collect()
            }
        };
        let step = (all.len() / MOST_COMPARED).max(1);
        all.into_iter().step_by(step).collect()
    }

    /// The part with a margin of 2 % of the longer side around it: what hides a finding must not begin with its faint edge.
    #[must_use]
    pub fn widened(&self) -> Self {
        Self { size: self.size, inside: self.dilated(self.margin()) }
    }

    /// Draws its edge into a picture of its size.
    pub(crate) fn outline(&self, picture: &mut RgbImage) {
        let [width, height] = self.size;
        let thin = width.max(height) / 300;
        let (wide, near) = (self.dilated(1 + thin), self.dilated(1));
        for at in
            (0..width * height).filter(|&at| wide[at] && !near[at] || near[at] && !self.inside[at])
        {
            if let Some(pixel) =
                picture.get_pixel_mut_checked((at % width) as u32, (at / width) as u32)
            {
                pixel.0 = OUTLINE;
            }
        }
    }

    /// The columns and rows of its outermost pixels, `[left, top, right, bottom]`.
    pub(crate) fn bounds(&self) -> Option<[usize; 4]> {
        self.pixels().fold(None, |bounds, [x, y]| {
            let [left, top, right, bottom] = bounds.unwrap_or([x, y, x, y]);
            Some([left.min(x), top.min(y), right.max(x), bottom.max(y)])
        })
    }

    fn margin(&self) -> usize {
        (MARGIN * self.size[0].max(self.size[1]) as f64).ceil() as usize
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
    fn what_stands_in_fits_in() {
        // The left side slopes as the right one does, mirrored.
        let picture = RgbImage::from_fn(64, 64, |x, y| [(x.min(63 - x) * 3 + y) as u8; 3].into());
        let mask = Mask::of_boxes([64, 64], &[[6.0, 12.0, 16.0, 22.0]]).unwrap();
        let found = mask.elsewhere(&picture, &[], Purpose::StandIn, 0).unwrap();
        assert_eq!(found.way, Way { is_mirrored: true, by: [0, 0] });
        let [x, y] = found.point([6.5, 12.5]);
        assert!((x - 57.5).abs() < 1e-9 && (y - 12.5).abs() < 1e-9);
        assert!(found.mask.holds(x, y) && !found.mask.holds(x + 1.0, y));
    }

    #[test]
    fn another_part_is_as_large_as_bright_and_apart() {
        // A bright half and a dark one; the part is in the bright one.
        let picture = RgbImage::from_fn(64, 64, |_, y| [if y < 32 { 200 } else { 10 }; 3].into());
        let mask = Mask::of_boxes([64, 64], &[[4.0, 4.0, 16.0, 14.0]]).unwrap();
        let control = |seed| mask.elsewhere(&picture, &[], Purpose::Control, seed);
        for seed in 0..20 {
            let other = control(seed).unwrap();
            assert_eq!(other.mask.pixels().count(), mask.pixels().count());
            assert!(other.mask.pixels().all(|[x, y]| y < 32 && !mask.holds(x as f64, y as f64)));
            assert_eq!(control(seed).unwrap(), other);
            // A point of the part lies at the same place of the other.
            let [x, y] = other.point([4.5, 4.5]);
            assert!(other.mask.holds(x, y));
            let third = mask.elsewhere(&picture, &[&other.mask], Purpose::Control, seed).unwrap();
            assert!(third.mask.pixels().all(|[x, y]| !other.mask.holds(x as f64, y as f64)));
        }
        let (wide, other) = (mask.widened(), control(3).unwrap().mask.widened());
        assert_eq!(wide.pixels().count(), (12 + 4) * (10 + 4));
        assert!(other.pixels().all(|[x, y]| !wide.holds(x as f64, y as f64)));
        let whole = Mask::of_boxes([64, 64], &[[0.0, 0.0, 64.0, 60.0]]).unwrap();
        assert!(whole.elsewhere(&picture, &[], Purpose::Control, 0).is_none());
    }
}
