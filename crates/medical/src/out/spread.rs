//! Which cell lies over which pixel.

/// For each pixel along one side the cell that its centre falls in; none outside of the map.
///
/// Cells divide `from..to`, fractions of the side, evenly: with 16 cells over the whole side, edges lie at k/16 of it.
pub(super) fn cells_along(pixels: usize, from: f64, to: f64, cells: usize) -> Vec<Option<usize>> {
    let cell = |pixel: usize| {
        let centre = (pixel as f64 + 0.5) / pixels as f64;
        let place = (centre - from) / (to - from) * cells as f64;
        (place >= 0.0 && place < cells as f64).then_some(place as usize)
    };
    (0..pixels).map(cell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_belongs_to_the_cell_of_its_centre() {
        // Three pixels under two cells: the middle pixel's centre lies on the edge, and an edge opens the next cell.
        assert_eq!(cells_along(3, 0.0, 1.0, 2), [Some(0), Some(1), Some(1)]);
        // A square around a picture of half its height.
        assert_eq!(cells_along(4, -0.5, 1.5, 4), [Some(1), Some(1), Some(2), Some(2)]);
        // Half of the picture has no map.
        assert_eq!(cells_along(4, 0.5, 1.0, 1), [None, None, Some(0), Some(0)]);
    }

    #[test]
    fn every_cell_of_a_grid_has_its_pixels() {
        for pixels in [16, 17, 896, 1955] {
            let cells = cells_along(pixels, 0.0, 1.0, 16);
            let count = |cell| cells.iter().filter(|found| **found == Some(cell)).count();
            let counts: Vec<_> = (0..16).map(count).collect();
            assert_eq!(counts.iter().sum::<usize>(), pixels);
            assert!(counts.iter().all(|count| count.abs_diff(pixels / 16) <= 1), "{counts:?}");
        }
    }
}
