//! The same maps of pictures that are hardly other: moved by a pixel, a little brighter or darker.

use explanation_record::MapChange;
use gemma3_processor::Pixels;

use super::plan::Cells;
use crate::{Answer, Error, Explanations, Request, TargetExplanation};

/// How a picture is changed, as the vision tower takes it.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// So many pixels to the right.
    Moved(isize),
    /// Brightness times this, black staying black.
    Brighter(f32),
}

const CHANGES: [(Change, &str); 4] = [
    (Change::Moved(1), "picture one pixel to the right"),
    (Change::Moved(-1), "picture one pixel to the left"),
    (Change::Brighter(1.02), "picture 2 % brighter"),
    (Change::Brighter(0.98), "picture 2 % darker"),
];

impl Change {
    fn of(self, pixels: &Pixels) -> Pixels {
        let Pixels { channels, height, width, .. } = *pixels;
        let values = match self {
            // At the border the outermost column is there twice.
            Self::Moved(by) => {
                let from = |at: usize| {
                    let column = (at % width).saturating_add_signed(-by).min(width - 1);
                    pixels.values[at - at % width + column]
                };
                (0..pixels.values.len()).map(from).collect()
            }
            // Black is −1 and white 1.
            Self::Brighter(factor) => {
                let brighter = |value: &f32| ((value + 1.0) * factor - 1.0).min(1.0);
                pixels.values.iter().map(brighter).collect()
            }
        };
        Pixels { values, channels, height, width }
    }
}

impl Request<'_> {
    /// For each target how its map changes with each change of the pictures.
    pub(super) fn stability(
        &self,
        answer: &Answer,
        explained: &[TargetExplanation],
        explanations: &Explanations,
        cells: &Cells,
    ) -> Result<Vec<Vec<MapChange>>, Error> {
        let mut pixels = Vec::new();
        for picture in &answer.question.pictures {
            pixels.extend(self.processor.pixels(picture)?);
        }
        let mut found: Vec<Vec<MapChange>> = vec![Vec::new(); explained.len()];
        for (change, what) in CHANGES {
            let features = pixels.iter().map(|pixels| self.model.encode_image(&change.of(pixels)));
            let sequence = answer.sequence.with_features(features.collect::<Result<_, _>>()?)?;
            let again = self.explained_on(&sequence, answer, (explained, &explanations.options))?;
            for ((found, target), again) in found.iter_mut().zip(explained).zip(&again) {
                found.push(cells.change(what.to_owned(), [target, again]));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::*;

    #[test]
    fn a_picture_moves_by_a_pixel_and_white_stays_white() {
        let values = vec![-1.0, 0.0, 1.0, 0.5, 0.25, -0.5];
        let pixels = Pixels { values, channels: 1, height: 2, width: 3 };
        assert_eq!(Change::Moved(1).of(&pixels).values, [-1.0, -1.0, 0.0, 0.5, 0.5, 0.25]);
        assert_eq!(Change::Moved(-1).of(&pixels).values, [0.0, 1.0, 1.0, 0.25, -0.5, -0.5]);
        let brighter = Change::Brighter(1.02).of(&pixels).values;
        assert!((brighter[1] - 0.02).abs() < 1e-6 && brighter[0] == -1.0 && brighter[2] == 1.0);
    }
}
