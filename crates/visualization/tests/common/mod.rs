//! What tests of pictures share: hand-made input, and golden files.
//!
//! `UPDATE_GOLDEN=1 cargo test -p relevancy-visualization` rewrites the files in `golden/`; look at them before you keep them.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use relevancy_visualization::image::{self, Rgb, RgbImage};
use relevancy_visualization::ndarray::Array2;
use relevancy_visualization::save_png;

/// A grey picture whose left half is darker, so that a flip would show.
pub(crate) fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let side = if x < width / 2 { 40 } else { 110 };
        Rgb([(side + 60 * y / height) as u8; 3])
    })
}

/// A peak in the lower right quarter, 8 × 8.
pub(crate) fn peak(height: f32) -> Array2<f32> {
    Array2::from_shape_fn((8, 8), |(row, column)| {
        let d = (row as f32 - 5.0).powi(2) + (column as f32 - 5.5).powi(2);
        height * (-d / 4.0).exp()
    })
}

/// Compares pictures, by name, with the PNG files of a folder in `golden/`, which holds these and no others.
///
/// At most one channel in a thousand may differ by more than two levels: another processor may round an edge of a letter
/// otherwise.
pub(crate) fn assert_golden(
    folder: &str,
    drawn: impl IntoIterator<Item = (&'static str, RgbImage)>,
) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let drawn: BTreeMap<_, _> =
        drawn.into_iter().map(|(name, image)| (format!("{name}.png"), image)).collect();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, image) in &drawn {
            save_png(image, folder.join(name)).unwrap();
        }
    }
    let found: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found.len(), drawn.len(), "golden/ and this test differ: {found:?}");
    for name in found {
        let golden = image::open(folder.join(&name)).unwrap().into_rgb8();
        let image = drawn.get(&name).unwrap_or_else(|| panic!("{name} is not drawn any more"));
        assert_eq!(golden.dimensions(), image.dimensions(), "{name}");
        let share = far_off(&golden, image);
        assert!(share < 1e-3, "{name}: {share} of the channels differ");
    }
}

/// Share of channels that differ by more than two levels.
fn far_off(a: &RgbImage, b: &RgbImage) -> f64 {
    let far = a.iter().zip(b.iter()).filter(|(a, b)| a.abs_diff(**b) > 2).count();
    far as f64 / a.len() as f64
}
