//! Which pixels something covers.

/// A set of pixels of a picture.
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    width: u32,
    height: u32,
    /// Row by row from the top, one entry per pixel.
    bits: Vec<bool>,
}

impl Mask {
    /// No pixel of a picture of this size.
    pub fn empty(width: u32, height: u32) -> Self {
        Self { width, height, bits: vec![false; width as usize * height as usize] }
    }

    /// Width of the picture.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height of the picture.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// One entry per pixel, row by row from the top.
    pub fn bits(&self) -> &[bool] {
        &self.bits
    }

    pub(crate) fn set(&mut self, x: u32, y: u32) {
        let index = self.index(x, y);
        self.bits[index] = true;
    }

    fn index(&self, x: u32, y: u32) -> usize {
        y as usize * self.width as usize + x as usize
    }

    /// Whether it covers a pixel; pixels beside the picture are not covered.
    pub fn contains(&self, x: u32, y: u32) -> bool {
        x < self.width && y < self.height && self.bits[self.index(x, y)]
    }

    /// Number of covered pixels.
    pub fn area(&self) -> usize {
        self.bits.iter().filter(|bit| **bit).count()
    }

    /// Whether no pixel is covered.
    pub fn is_empty(&self) -> bool {
        !self.bits.contains(&true)
    }

    fn pixels(&self) -> impl Iterator<Item = (u32, u32)> {
        let covered = self.bits.iter().enumerate().filter(|(_, bit)| **bit);
        covered.map(|(index, _)| (index as u32 % self.width, index as u32 / self.width))
    }

    /// The smallest rectangle around it, `[x0, y0, x1, y1]` with x1 and y1 exclusive; none where it is empty.
    pub fn tight_box(&self) -> Option<[u32; 4]> {
        self.pixels().fold(None, |found, (x, y)| {
            let [x0, y0, x1, y1] = found.unwrap_or([x, y, x + 1, y + 1]);
            Some([x0.min(x), y0.min(y), x1.max(x + 1), y1.max(y + 1)])
        })
    }

    /// The mean of the centres of its pixels, x and y; none where it is empty.
    pub fn centroid(&self) -> Option<[f64; 2]> {
        let area = self.area();
        let add = |[a, b]: [f64; 2], (x, y): (u32, u32)| [a + f64::from(x), b + f64::from(y)];
        let sums = self.pixels().fold([0.0, 0.0], add);
        (area != 0).then(|| sums.map(|sum| sum / area as f64 + 0.5))
    }

    /// With every pixel that is at most `radius` columns and rows away from a covered one.
    #[must_use]
    pub fn dilated(&self, radius: u32) -> Self {
        let mut wide = Self::empty(self.width, self.height);
        for (x, y) in self.pixels() {
            wide.fill(x.saturating_sub(radius)..(x + radius + 1).min(self.width), y);
        }
        let mut result = Self::empty(self.width, self.height);
        let width = self.width as usize;
        let covered = self.tight_box().map_or(0..0, |[_, top, _, bottom]| top..bottom);
        for row in covered {
            let source = &wide.bits[row as usize * width..][..width];
            for y in row.saturating_sub(radius)..(row + radius + 1).min(self.height) {
                let target = &mut result.bits[y as usize * width..][..width];
                target.iter_mut().zip(source).for_each(|(target, source)| *target |= source);
            }
        }
        result
    }

    fn fill(&mut self, columns: std::ops::Range<u32>, y: u32) {
        let (start, end) = (self.index(columns.start, y), self.index(columns.end - 1, y));
        self.bits[start..=end].fill(true);
    }

    /// The share of each cell that is covered when the picture is cut into `grid` × `grid` cells, row by row from the top.
    ///
    /// A pixel counts for the cell that its centre lies in. A cell without pixels, of a grid finer than the picture, has 0.
    pub fn cells(&self, grid: u32) -> Vec<f32> {
        let count = grid as usize * grid as usize;
        let (mut covered, mut all) = (vec![0u32; count], vec![0u32; count]);
        let cell = |at: u32, side: u32| (2 * at + 1) as usize * grid as usize / (2 * side as usize);
        for (index, bit) in self.bits.iter().enumerate() {
            let (x, y) = (index as u32 % self.width, index as u32 / self.width);
            let cell = cell(y, self.height) * grid as usize + cell(x, self.width);
            all[cell] += 1;
            covered[cell] += u32::from(*bit);
        }
        covered.iter().zip(&all).map(|(c, a)| *c as f32 / (*a).max(1) as f32).collect()
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (width, height, area) = (self.width, self.height, self.area());
        f.debug_struct("Mask")
            .field("width", &width)
            .field("height", &height)
            .field("area", &area)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(rows: &[&str]) -> Mask {
        let mut mask = Mask::empty(rows[0].len() as u32, rows.len() as u32);
        for (y, row) in rows.iter().enumerate() {
            for (x, _) in row.bytes().enumerate().filter(|(_, c)| *c == b'#') {
                mask.set(x as u32, y as u32);
            }
        }
        mask
    }

    #[test]
    fn the_box_is_tight() {
        assert_eq!(mask(&["....", ".#..", "..#.", "...."]).tight_box(), Some([1, 1, 3, 3]));
        assert_eq!(mask(&["....", "...#"]).tight_box(), Some([3, 1, 4, 2]));
        let empty = Mask::empty(3, 2);
        assert_eq!((empty.tight_box(), empty.centroid(), empty.is_empty()), (None, None, true));
    }

    #[test]
    fn the_centroid_is_at_pixel_centres() {
        assert_eq!(mask(&["#..", "..#"]).centroid(), Some([1.5, 1.0]));
    }

    #[test]
    fn dilation_stops_at_the_border() {
        let wide = mask(&["#....", ".....", "....#"]).dilated(1);
        assert_eq!(wide, mask(&["##...", "##.##", "...##"]));
        assert_eq!(wide.dilated(0), wide);
        assert!(!wide.contains(9, 0) && wide.contains(4, 2));
    }

    #[test]
    fn cells_are_shares() {
        let cells = mask(&["##..", "##..", "#...", "...."]).cells(2);
        assert_eq!(cells, [1.0, 0.0, 0.25, 0.0]);
        let total: f32 = mask(&["##.", "#..", "..."]).cells(2).iter().sum();
        assert!(total > 0.0);
    }
}
