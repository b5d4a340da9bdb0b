//! The control for the bias of positions: a target explained where there is nothing to see.

use attention_relevancy::ndarray::Array1;
use relevancy_visualization::{
    Caption, Colormap, Figure, GridMap, OverlayOptions, Panel, Scale, single_figure,
};

use crate::figure::bare;
use crate::{Error, Explained, Shown, TargetExplanation};

/// The same explanation of a target with the mean picture in the place of the pictures: what a map has because of where cells stand in
/// the sequence, and not because of what they show.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetControl {
    /// The raw relevancy `[S]` of the same tokens of the same answer, with the blank in the place of the pictures.
    pub relevancy: Array1<f32>,
    /// Sum over all image cells of the explanation.
    pub image_sum: f32,
    /// The same on the blank.
    pub image_sum_blank: f32,
}

impl TargetControl {
    /// How many times as much relevancy the pictures have as the blank; `None` where that has none.
    pub fn ratio(&self) -> Option<f32> {
        let ratio = self.image_sum / self.image_sum_blank;
        (0.0 < self.image_sum_blank && ratio.is_finite()).then_some(ratio)
    }

    /// The relevancy of the explanation minus that on the blank, signed, `[S]`.
    pub fn difference(&self, target: &TargetExplanation) -> Array1<f32> {
        &target.relevancy().relevancy() - &self.relevancy
    }
}

/// The signed difference over image `image` in the diverging colours: red where the picture brought relevancy, blue where the blank
/// had more.
pub(crate) fn control_overlay(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    control: &TargetControl,
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let grid = explained.cells(image, control.difference(target).view());
    let maps = [GridMap { grid: grid.view(), placement: explained.placement(image) }];
    let outlines = explained.outlines(image);
    let panel = Panel::new(explained.picture(image), &maps).outlined(outlines);
    if grid.iter().all(|&value| value == 0.0) {
        let caption = Caption::new(target.label())
            .subtitled("the same relevancy on the mean picture, cell for cell");
        return bare(explained.picture(image), outlines, &caption, options);
    }
    let subtitle = match control.ratio() {
        Some(ratio) => {
            format!("relevancy in this picture: {ratio:.2} times that on the mean picture")
        }
        None => "no relevancy on the mean picture".to_owned(),
    };
    let caption = Caption::new(target.label())
        .subtitled(subtitle)
        .noted("red: more on this picture, blue: more on the mean picture")
        .measuring("relevancy − that on the mean picture");
    let options = options
        .clone()
        .with_colormap(Colormap::Coolwarm)
        .with_scale(Scale::Own)
        .with_contours(Vec::new());
    Ok(single_figure(&panel, &caption, &options)?)
}
