//! Hand-made maps.

use relevancy_visualization::ndarray::Array2;

/// 16 × 16 cells with a peak of this height at a cell, and faint noise elsewhere.
pub(crate) fn peak(row: f32, column: f32, height: f32) -> Array2<f32> {
    Array2::from_shape_fn((16, 16), |(r, c)| {
        let distance = (r as f32 - row).powi(2) + (c as f32 - column).powi(2);
        let noise = ((r * 7 + c * 13) % 11) as f32 / 11.0;
        height * ((-distance / 4.0).exp() + 0.05 * noise)
    })
}
