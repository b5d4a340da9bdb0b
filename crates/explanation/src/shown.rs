//! What drawing needs of an answer.

use relevancy_visualization::Placement;
use relevancy_visualization::image::RgbImage;

use crate::Token;

/// An answer as far as maps are drawn over its pictures and its text. Images are counted over pictures and their crops, from 0.
pub trait Shown {
    /// The tokens of prompt and answer.
    fn tokens(&self) -> &[Token];

    /// How many images there are.
    fn images(&self) -> usize;

    /// The picture that image `image` shows.
    ///
    /// # Panics
    /// Where there is no such image.
    fn picture(&self, image: usize) -> &RgbImage;

    /// Where image `image` lies in its picture, in pixels.
    ///
    /// # Panics
    /// Where there is no such image.
    fn placement(&self, image: usize) -> Placement;
}
