//! A cell's rectangle is where its pixels came from.

use gemma3_processor::image::{Rgb, RgbImage};
use gemma3_processor::{Message, Picture, Pixels, PreparedImage, ProcessorOptions};

use crate::checkpoint::processor;

/// A black picture with a white mark of 30 × 30 around a point.
fn marked(width: u32, height: u32, [x, y]: [u32; 2]) -> Picture {
    let mark = |a: u32, b: u32| a.abs_diff(b) <= 15;
    let paint = |px, py| Rgb([if mark(px, x) && mark(py, y) { 255 } else { 0 }; 3]);
    Picture::from_rgb(RgbImage::from_fn(width, height, paint)).unwrap()
}

/// An image with its pixels.
type Shown = (PreparedImage, Pixels);

fn images(picture: Picture, options: ProcessorOptions) -> Vec<Shown> {
    let prepared = processor(options).prepare(&[Message::user(1, "a")], &[picture]).unwrap();
    prepared.images.into_iter().zip(prepared.pixels).collect()
}

/// The cell whose pixels are brightest, if any is bright.
fn brightest((image, pixels): &Shown) -> Option<[usize; 2]> {
    let [rows, columns] = image.grid;
    let (height, width) = (pixels.height / rows, pixels.width / columns);
    let sum = |row: usize, column: usize| -> f32 {
        let lines = row * height..(row + 1) * height;
        let line = |y| &pixels.values[y * pixels.width..][column * width..(column + 1) * width];
        lines.flat_map(line).map(|value| value + 1.0).sum()
    };
    let cells = (0..rows * columns).map(|i| [i / columns, i % columns]);
    let best = cells.max_by(|a, b| sum(a[0], a[1]).total_cmp(&sum(b[0], b[1])))?;
    (sum(best[0], best[1]) > 0.2 * (height * width) as f32).then_some(best)
}

/// The mark's middle is in the brightest cell's rectangle, up to the mark's own extent.
fn assert_found(shown: &Shown, [x, y]: [u32; 2]) {
    let [row, column] = brightest(shown).expect("the mark is seen");
    let (image, _) = shown;
    let cell = image.geometry.cell(row, column);
    let near = |start: f64, extent: f64, point: u32| {
        let point = f64::from(point) + 0.5;
        start - 16.0 <= point && point <= start + extent + 16.0
    };
    assert!(near(cell.x, cell.width, x) && near(cell.y, cell.height, y), "{cell:?} for {x},{y}");
    let [r, c] = image.geometry.cell_at(f64::from(x) + 0.5, f64::from(y) + 0.5).unwrap();
    assert!(r.abs_diff(row) <= 1 && c.abs_diff(column) <= 1, "{r},{c} for {row},{column}");
}

#[test]
fn stretched_pictures_map_back() {
    for mark in [[40, 30], [500, 100], [250, 270], [561, 20]] {
        let found = images(marked(600, 300, mark), ProcessorOptions::default());
        assert_found(&found[0], mark);
        assert_eq!(found[0].0.geometry.picture, [600, 300]);
    }
}

#[test]
fn padded_pictures_map_back_in_both_directions() {
    for (size, marks) in
        [([600, 300], [[40, 30], [500, 250]]), ([301, 600], [[40, 30], [260, 550]])]
    {
        for mark in marks {
            let options = ProcessorOptions::default().with_pad_to_square(true);
            let found = images(marked(size[0], size[1], mark), options);
            assert_found(&found[0], mark);
        }
    }
}

#[test]
fn the_padding_lies_outside_the_picture() {
    let options = ProcessorOptions::default().with_pad_to_square(true);
    let found = images(marked(600, 300, [300, 150]), options);
    let map = found[0].0.geometry;
    assert_eq!(
        (map.region.x, map.region.y, map.region.width, map.region.height),
        (0.0, -150.0, 600.0, 600.0)
    );
    let corner = map.cell(0, 0);
    assert!(corner.y + corner.height <= 0.0);
    assert!(corner.clipped(600, 300).height.abs() < f64::EPSILON);
    // Black padding is −1 after normalisation.
    assert!(found[0].1.values[..448].iter().all(|&value| (value + 1.0).abs() < f32::EPSILON));
}

#[test]
fn a_crop_shows_its_part_and_the_others_do_not() {
    let mark = [700, 150];
    let options = ProcessorOptions::default().with_pan_and_scan(true);
    let found = images(marked(900, 300, mark), options);
    assert_eq!(found.len(), 4);
    assert_found(&found[0], mark);
    assert_found(&found[3], mark);
    assert_eq!(brightest(&found[1]), None);
    assert_eq!(found[1].0.geometry.cell_at(700.0, 150.0), None);
}
