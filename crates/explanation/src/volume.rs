//! Pictures that are slices of a series: which belong together, and how their maps lie in space.

use attention_relevancy::ndarray::{Array2, Array3, Axis};
use medical_pictures::{Provenance, opposite};
use relevancy_visualization::report::{Volume, VolumeSlice};
use relevancy_visualization::{
    Caption, Figure, GridMap, OverlayOptions, Panel, PictureSide, Stack, volume_figure,
    volume_shares,
};
use serde::{Deserialize, Serialize};

use crate::{Error, Explained, Shown, TargetExplanation};

/// How much of a target's relevancy in a series lies in one of its slices.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
pub struct SliceShare {
    /// Index in `pictures`.
    pub picture: usize,
    /// The number that the model is told, from 1.
    pub number: u32,
    /// Where it lies along the normal of the slices, in millimetres; null where that is not known.
    pub position_mm: Option<f64>,
    /// Of the relevancy in its series: those of a series sum to 1, or all are 0.
    pub share: f64,
}

/// A series among the pictures.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    /// Picture and image of each slice, in order.
    slices: Vec<(usize, usize)>,
    prior: bool,
}

impl Series {
    /// All of them: slices that follow each other, of one size, the first of which is number 1. Pictures of which the model saw crops
    /// are none.
    pub(crate) fn all(explained: &Explained<'_>) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut next = 1;
        for (picture, found) in explained.pictures.iter().enumerate() {
            let images = explained.images.iter().enumerate();
            let images: Vec<usize> = images
                .filter_map(|(index, image)| (image.picture == picture).then_some(index))
                .collect();
            let number = found.source.as_ref().and_then(|source| Some(source.slice?.number));
            let (Some(number), &[image]) = (number, images.as_slice()) else {
                next = 1;
                continue;
            };
            let prior = is_prior(found.source.as_ref());
            let goes_on = number == next && number != 1;
            match all.last_mut().filter(|last| goes_on && last.fits(explained, picture)) {
                Some(last) => last.slices.push((picture, image)),
                None => all.push(Self { slices: vec![(picture, image)], prior }),
            }
            next = number + 1;
        }
        all.retain(|series| 1 < series.slices.len());
        all
    }

    fn fits(&self, explained: &Explained<'_>, picture: usize) -> bool {
        let (last, other) = (self.slices.last().map(|slice| slice.0), &explained.pictures[picture]);
        last.is_some_and(|last| {
            let last = &explained.pictures[last];
            last.rgb.dimensions() == other.rgb.dimensions()
                && last.orientation == other.orientation
                && is_prior(last.source.as_ref()) == is_prior(other.source.as_ref())
        })
    }

    /// Whether an image is one of its slices.
    pub(crate) fn has(&self, image: usize) -> bool {
        self.slices.iter().any(|slice| slice.1 == image)
    }

    /// The images of its slices.
    pub(crate) fn images(&self) -> impl Iterator<Item = usize> {
        self.slices.iter().map(|slice| slice.1)
    }

    fn stack(&self, explained: &Explained<'_>) -> Stack {
        let positions: Vec<Option<f64>> =
            self.sources(explained).map(|source| source.slice?.position_mm).collect();
        let (picture, _) = self.slices[0];
        let (width, height) = explained.pictures[picture].rgb.dimensions();
        let spacing = self.sources(explained).next().and_then(|source| {
            let ([rows, columns], [from_width, from_height]) = (source.spacing_mm?, source.size);
            // Of the pixels that are shown: pixels that were no squares were made squares.
            let of = |from: u32, mm: f64, to: u32| f64::from(from) * mm / f64::from(to);
            Some([of(from_height, rows, height), of(from_width, columns, width)])
        });
        let rises = match (positions.first(), positions.last()) {
            (Some(Some(first)), Some(Some(last))) => Some(first < last),
            _ => None,
        };
        let orientation = explained.pictures[picture].orientation;
        let [right, bottom] =
            [PictureSide::Right, PictureSide::Bottom].map(|side| orientation.letter(side));
        let ends = right.zip(bottom).zip(rises).and_then(|((right, bottom), rises)| {
            let up = normal(right, bottom)?;
            Some(if rises { [opposite(up), up] } else { [up, opposite(up)] })
        });
        Stack { positions_mm: positions, spacing_mm: spacing, ends }
    }

    fn sources<'a>(&'a self, explained: &'a Explained<'_>) -> impl Iterator<Item = &'a Provenance> {
        self.slices.iter().filter_map(|slice| explained.pictures[slice.0].source.as_ref())
    }

    fn name(&self) -> String {
        if self.prior { "prior study" } else { "series" }.to_owned()
    }

    /// As the page shows it.
    pub(crate) fn on_page(&self, explained: &Explained<'_>) -> Volume {
        let Stack { positions_mm, spacing_mm, ends } = self.stack(explained);
        let slice = |((picture, _), position_mm): (&(usize, usize), Option<f64>)| {
            let source = explained.pictures[*picture].source.as_ref();
            let label = source.and_then(|source| source.slice).map(|slice| slice.label());
            VolumeSlice { picture: *picture, label: label.unwrap_or_default(), position_mm }
        };
        let slices = self.slices.iter().zip(positions_mm).map(slice).collect();
        Volume { name: self.name(), slices, spacing_mm, ends }
    }

    /// The relevancy `[slices, rows, columns]` of a target.
    fn maps(&self, target: &TargetExplanation) -> Option<Array3<f32>> {
        let maps: Option<Vec<Array2<f32>>> =
            self.images().map(|image| target.image_relevancy(image)).collect();
        let maps = maps?;
        let views: Vec<_> = maps.iter().map(|map| map.view()).collect();
        attention_relevancy::ndarray::stack(Axis(0), &views).ok()
    }

    /// How a target's relevancy is spread over the slices.
    pub(crate) fn shares(
        &self,
        explained: &Explained<'_>,
        target: &TargetExplanation,
    ) -> Vec<SliceShare> {
        let Some(maps) = self.maps(target) else { return Vec::new() };
        let shares = volume_shares(maps.view());
        let share = |(&(picture, _), share): (&(usize, usize), f64)| {
            let slice = explained.pictures[picture].source.as_ref()?.slice?;
            Some(SliceShare {
                picture,
                number: slice.number,
                position_mm: slice.position_mm,
                share,
            })
        };
        self.slices.iter().zip(shares).filter_map(share).collect()
    }

    /// Projections, shares and the slices with the largest.
    pub(crate) fn figure(
        &self,
        explained: &Explained<'_>,
        target: &TargetExplanation,
        options: &OverlayOptions,
    ) -> Result<Option<Figure>, Error> {
        let Some(maps) = self.maps(target).filter(|_| !target.is_empty()) else { return Ok(None) };
        let labels: Vec<String> = self
            .sources(explained)
            .map(|source| source.slice.map_or_else(String::new, |slice| slice.label()))
            .collect();
        let placed: Vec<[GridMap<'_>; 1]> = maps
            .outer_iter()
            .zip(self.images())
            .map(|(grid, image)| [GridMap { grid, placement: explained.placement(image) }])
            .collect();
        let panels = placed.iter().zip(self.images()).zip(&labels).map(|((maps, image), label)| {
            Panel::new(explained.picture(image), maps).labelled(label, "")
        });
        let caption = Caption::new(target.label()).subtitled(format!(
            "probability {} · all slices on one scale",
            target.probability_text()
        ));
        let panels: Vec<Panel<'_>> = panels.collect();
        Ok(Some(volume_figure(&panels, &self.stack(explained), &caption, options)?))
    }
}

fn is_prior(source: Option<&Provenance>) -> bool {
    source.is_some_and(|source| source.notes.iter().any(|note| note == PRIOR))
}

/// The note of a picture of an earlier study.
pub const PRIOR: &str = "of the prior study";

/// The direction that is at a right angle to both, as the right hand has it: axes are those of DICOM, to the left, to the back, to the head.
fn normal(right: char, down: char) -> Option<char> {
    const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['H', 'F']];
    let axis = |letter: char| {
        let axis = LETTERS.iter().position(|ends| ends.contains(&letter))?;
        Some((axis, if letter == LETTERS[axis][0] { 1 } else { -1 }))
    };
    let ((a, sign_a), (b, sign_b)) = (axis(right)?, axis(down)?);
    if a == b {
        return None;
    }
    let third = 3 - a - b;
    let turn = if (a + 1) % 3 == b { 1 } else { -1 };
    Some(LETTERS[third][usize::from(sign_a * sign_b * turn < 0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normals_are_those_of_the_right_hand() {
        assert_eq!(normal('L', 'P'), Some('H')); // axial
        assert_eq!(normal('P', 'F'), Some('R')); // sagittal, seen from the left
        assert_eq!(normal('L', 'F'), Some('P')); // coronal, seen from the front
        assert_eq!(normal('R', 'P'), Some('F'));
        assert_eq!(normal('L', 'R'), None);
        assert_eq!(normal('L', '?'), None);
        assert_eq!(opposite('H'), 'F');
    }
}
