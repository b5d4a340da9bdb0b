//! Pictures as a reader gets them: golden files, and what every figure must keep.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

mod common;

use common::{assert_golden, peak, picture};
use ndarray::{Array2, array};
use relevancy_visualization::image::{Rgb, RgbImage};
use relevancy_visualization::{
    Caption, Colormap, Error, GridMap, Interpolation, Opacity, Orientation, Outline,
    OverlayOptions, Panel, Placement, Scale, ndarray, overlay, overlay_figure,
};

fn figure(size: (u32, u32), grid: &Array2<f32>, caption: &Caption) -> RgbImage {
    let picture = picture(size.0, size.1);
    let map = GridMap { grid: grid.view(), placement: Placement::whole(&picture) };
    overlay_figure(&picture, &[map], caption, &OverlayOptions::default()).unwrap()
}

/// Every golden picture, by file name.
fn drawn() -> Vec<(&'static str, RgbImage)> {
    let padded = {
        let picture = picture(240, 160);
        let placement = Placement { x0: 0.0, y0: -40.0, x1: 240.0, y1: 200.0 };
        let grid = peak(1.0);
        let options = OverlayOptions::default()
            .with_colormap(Colormap::Jet)
            .with_interpolation(Interpolation::Cells)
            .with_opacity(Opacity::Constant(0.5))
            .with_scale(Scale::Shared { max: 0.8 });
        overlay(&picture, &[GridMap { grid: grid.view(), placement }], &options).unwrap()
    };
    let marked = {
        let picture = picture(420, 360);
        let grid = peak(1.0);
        let maps = [GridMap::whole(grid.view(), &picture)];
        let options = OverlayOptions::default()
            .with_contours(vec![0.75, 0.95])
            .with_orientation(Orientation::Pa)
            .with_grid_lines(true)
            .with_interpolation(Interpolation::Bicubic);
        let outlines = [
            Outline::rectangle([210.0, 180.0, 400.0, 340.0], "effusion"),
            Outline::rectangle([-50.0, 5.0, 120.0, 90.0], "past the border"),
        ];
        Panel::new(&picture, &maps).outlined(&outlines).draw(&options).unwrap()
    };
    let signed = {
        let picture = picture(300, 240);
        let grid = Array2::from_shape_fn((8, 8), |(r, c)| {
            peak(1.0)[[r, c]] - 0.6 * peak(1.0)[[7 - r, 7 - c]]
        });
        let options = OverlayOptions::cells().with_colormap(Colormap::Coolwarm);
        let map = GridMap::whole(grid.view(), &picture);
        overlay_figure(&picture, &[map], &Caption::new("difference"), &options).unwrap()
    };
    let portrait = Caption::new("cardiomegaly").subtitled("position 271");
    let escaped = Caption::new("<script>alert(1)</script>").subtitled("résumé <b> & ₂ \u{378}");
    vec![
        ("heat-jet-cells-padded", padded),
        ("heat-marks", marked),
        ("figure-signed-cells", signed),
        ("figure-portrait", figure((200, 260), &peak(0.0137), &portrait)),
        ("figure-escaped-tiny-values", figure((300, 200), &peak(3.2e-5), &escaped)),
        ("figure-all-zero", figure((300, 200), &peak(0.0), &Caption::new("nothing"))),
    ]
}

#[test]
fn pictures_equal_the_golden_files() {
    assert_golden("overlay", drawn());
}

#[test]
fn the_picture_stands_unchanged_in_a_figure_without_heat() {
    let zero = Array2::zeros((4, 4));
    let figure = figure((700, 640), &zero, &Caption::new("word"));
    let picture = picture(700, 640);
    let stands_at = |x0: u32, y0: u32| {
        picture.enumerate_pixels().all(|(x, y, p)| figure.get_pixel(x0 + x, y0 + y) == p)
    };
    let (free_x, free_y) = (figure.width() - 700, figure.height() - 640);
    assert!((0..free_y).any(|y| (0..free_x).any(|x| stands_at(x, y))));
}

#[test]
fn opacity_zero_leaves_every_byte() {
    let picture = picture(61, 47);
    let grid = peak(2.0);
    let map = GridMap { grid: grid.view(), placement: Placement::whole(&picture) };
    for opacity in [Opacity::Constant(0.0), Opacity::ByValue(0.0)] {
        let options = OverlayOptions::default().with_opacity(opacity);
        assert_eq!(overlay(&picture, &[map], &options).unwrap(), picture);
    }
}

#[test]
fn bicubic_stays_within_the_cells_and_meets_their_centres() {
    let black = RgbImage::new(90, 90);
    let grid = array![[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 0.5]];
    let options = OverlayOptions::default()
        .with_interpolation(Interpolation::Bicubic)
        .with_opacity(Opacity::Constant(1.0));
    let drawn = overlay(&black, &[GridMap::whole(grid.view(), &black)], &options).unwrap();
    let table = Colormap::Inferno.table();
    // Pixels 14 and 15 lie half a pixel beside the centre of the first cell.
    assert_eq!(drawn.get_pixel(15, 15).0, table[0]);
    assert_eq!(drawn.get_pixel(45, 45).0, table[255]);
    assert!(drawn.get_pixel(75, 75).0[0] > table[120][0]);
}

#[test]
fn signed_maps_need_a_diverging_colour_map() {
    let black = RgbImage::new(3, 1);
    let grid = array![[-2.0, 0.0, 1.0]];
    let map = [GridMap::whole(grid.view(), &black)];
    let mut options = OverlayOptions::default()
        .with_interpolation(Interpolation::Cells)
        .with_opacity(Opacity::Constant(1.0));
    assert!(matches!(overlay(&black, &map, &options), Err(Error::Negative { .. })));
    options.colormap = Colormap::Coolwarm;
    let drawn = overlay(&black, &map, &options).unwrap();
    let expected = [0, 128, 191].map(|i| Rgb(Colormap::Coolwarm.table()[i]));
    assert!(drawn.pixels().eq(expected.iter()), "{drawn:?}");
}

#[test]
fn one_scale_for_several_pictures() {
    let picture = picture(8, 8);
    let (one, other) = (array![[0.5]], array![[2.0]]);
    let maps = [&one, &other].map(|grid| [GridMap::whole(grid.view(), &picture)]);
    let panels = maps.each_ref().map(|maps| Panel::new(&picture, maps));
    assert_eq!(Scale::common(&panels).unwrap(), Scale::Shared { max: 2.0 });
}

#[test]
fn a_constant_map_is_one_colour() {
    let black = RgbImage::new(31, 17);
    let grid = Array2::from_elem((3, 5), 0.25);
    let map = GridMap { grid: grid.view(), placement: Placement::whole(&black) };
    for interpolation in [Interpolation::Cells, Interpolation::Bilinear] {
        let mut options = OverlayOptions::default().with_interpolation(interpolation);
        options.opacity = Opacity::Constant(1.0);
        let last = Rgb(Colormap::Inferno.table()[255]);
        assert!(overlay(&black, &[map], &options).unwrap().pixels().all(|p| *p == last));
        options.scale = Scale::Shared { max: 0.5 };
        let middle = Rgb(Colormap::Inferno.table()[128]);
        assert!(overlay(&black, &[map], &options).unwrap().pixels().all(|p| *p == middle));
    }
}

/// The pixels that `Cells` changes, as (x0, y0, x1, y1).
fn stained(picture: &RgbImage, marked: (usize, usize), placement: Placement) -> [u32; 4] {
    let mut grid = Array2::zeros((16, 16));
    grid[marked] = 1.0;
    let options = OverlayOptions::default().with_interpolation(Interpolation::Cells);
    let drawn = overlay(picture, &[GridMap { grid: grid.view(), placement }], &options).unwrap();
    let changed: Vec<_> = drawn
        .enumerate_pixels()
        .filter(|(x, y, p)| picture.get_pixel(*x, *y) != *p)
        .map(|(x, y, _)| (x, y))
        .collect();
    let (xs, ys) = (|| changed.iter().map(|p| p.0), || changed.iter().map(|p| p.1));
    let [x0, y0] = [xs().min().unwrap(), ys().min().unwrap()];
    let [x1, y1] = [xs().max().unwrap() + 1, ys().max().unwrap() + 1];
    assert_eq!(changed.len() as u32, (x1 - x0) * (y1 - y0), "the stain is a full rectangle");
    [x0, y0, x1, y1]
}

#[test]
fn a_marked_cell_lands_in_its_rectangle() {
    let landscape = picture(320, 160);
    // Resized without padding: cells of 20 × 10 pixels.
    assert_eq!(stained(&landscape, (3, 12), Placement::whole(&landscape)), [240, 30, 260, 40]);
    // Padded above and below to 320 × 320: cells of 20 × 20, the picture begins at row 4.
    let padded = Placement { x0: 0.0, y0: -80.0, x1: 320.0, y1: 240.0 };
    assert_eq!(stained(&landscape, (4, 0), padded), [0, 0, 20, 20]);
    assert_eq!(stained(&landscape, (11, 15), padded), [300, 140, 320, 160]);
    // A crop, as of pan-and-scan: cells of 10 × 10 in the right half.
    let crop = Placement { x0: 160.0, y0: 0.0, x1: 320.0, y1: 160.0 };
    assert_eq!(stained(&landscape, (15, 0), crop), [160, 150, 170, 160]);
}

#[test]
fn where_maps_overlap_the_largest_value_shows() {
    let black = RgbImage::new(4, 1);
    let (whole, crop) = (array![[0.5, 0.25]], array![[1.0, 0.0]]);
    let maps = [
        GridMap { grid: whole.view(), placement: Placement::whole(&black) },
        GridMap { grid: crop.view(), placement: Placement { x0: 2.0, y0: 0.0, x1: 4.0, y1: 1.0 } },
    ];
    let options = OverlayOptions::default()
        .with_interpolation(Interpolation::Cells)
        .with_opacity(Opacity::Constant(1.0));
    let drawn = overlay(&black, &maps, &options).unwrap();
    let expected = [128, 128, 255, 64].map(|i| Rgb(Colormap::Inferno.table()[i]));
    assert!(drawn.pixels().eq(expected.iter()), "{drawn:?}");
}

#[test]
fn nothing_is_drawn_outside_the_maps_or_on_an_empty_scale() {
    let picture = picture(20, 10);
    let grid = array![[3000.0_f32]];
    let left = Placement { x0: 0.0, y0: 0.0, x1: 10.0, y1: 10.0 };
    let opaque = OverlayOptions::default().with_opacity(Opacity::Constant(1.0));
    let drawn =
        overlay(&picture, &[GridMap { grid: grid.view(), placement: left }], &opaque).unwrap();
    for (x, y, pixel) in drawn.enumerate_pixels() {
        assert_eq!(pixel == picture.get_pixel(x, y), x >= 10, "({x}, {y})");
    }
    let zero = array![[0.0, -0.0]];
    let map = GridMap { grid: zero.view(), placement: left };
    assert_eq!(overlay(&picture, &[map], &opaque).unwrap(), picture);
}

#[test]
fn options_out_of_range_are_refused() {
    let picture = picture(8, 8);
    let grid = array![[1.0]];
    let map = GridMap { grid: grid.view(), placement: Placement::whole(&picture) };
    for value in [-0.1, 1.1, f32::NAN] {
        let options = OverlayOptions::default().with_opacity(Opacity::Constant(value));
        assert!(matches!(overlay(&picture, &[map], &options), Err(Error::BadOpacity { .. })));
    }
    for value in [-0.1, 1.1, f64::NAN] {
        let options = OverlayOptions::default().with_contours(vec![value]);
        assert!(matches!(overlay(&picture, &[map], &options), Err(Error::BadQuantile { .. })));
    }
    for max in [-1.0, f32::NAN, f32::INFINITY] {
        let options = OverlayOptions::default().with_scale(Scale::Shared { max });
        assert!(matches!(overlay(&picture, &[map], &options), Err(Error::BadScale { .. })));
    }
}

#[test]
fn extreme_shapes_give_bounded_figures() {
    let caption =
        Caption::new("a very long explained phrase ".repeat(100)).subtitled("subtitle ".repeat(40));
    for (width, height) in [(1, 1), (20_000, 30), (30, 20_000), (2, 599), (601, 1)] {
        let figure = figure((width, height), &peak(1e-9), &caption);
        let (wide, high) = (f64::from(figure.width()), f64::from(figure.height()));
        let side = f64::from(width.max(height)).max(1200.0);
        assert!(wide.max(high) < 1.1 * side, "{width} x {height}: {wide} x {high}");
        assert!(wide.min(high) < 1200.0, "{width} x {height}: {wide} x {high}");
    }
}
