//! What an explanation looks like, in memory: its heat over a picture, its text.

use relevancy_visualization::{
    Caption, GridMap, OverlayOptions, Placement, TextRelevancy, image, overlay_figure,
};

use crate::{Answer, Error, TargetExplanation, Token, TokenKind};

impl TargetExplanation {
    /// The relevancy of the text, prompt and answer as far as they are text, by token; the self terms are marked.
    ///
    /// # Errors
    /// What [`TextRelevancy::from_tokens`] refuses.
    pub fn text_relevancy(&self, answer: &Answer) -> Result<TextRelevancy, Error> {
        let text = || answer.tokens.iter().filter(|token| token.kind != TokenKind::Image);
        let rows = self.relevancy().self_positions();
        let is_self = |(_, token): &(usize, &Token)| rows.contains(&token.position);
        let selves: Vec<usize> = text().enumerate().filter(is_self).map(|(at, _)| at).collect();
        let row = self.relevancy().relevancy();
        let tokens = text().map(|token| (token.text.as_str(), row[token.position]));
        Ok(TextRelevancy::from_tokens(tokens, &selves)?)
    }

    /// The heat of this explanation over image `image` (counted over pictures and their crops), in the geometry of the original
    /// picture, with caption and colour bar; `title` is the explained text unless another is given.
    ///
    /// # Errors
    /// [`Error::NoImage`] where the answer it belongs to has no such image, and what drawing may fail with.
    pub fn overlay(
        &self,
        answer: &Answer,
        image: usize,
        title: Option<&str>,
        options: &OverlayOptions,
    ) -> Result<image::RgbImage, Error> {
        let images = answer.prepared.images.len();
        if images <= image || self.image_relevancy(image).is_none() {
            return Err(Error::NoImage { image, images });
        }
        figure(answer, self, image, title.unwrap_or(self.text()), options)
    }
}

/// [`TargetExplanation::overlay`] of an image that is there.
pub(crate) fn figure(
    answer: &Answer,
    target: &TargetExplanation,
    image: usize,
    title: &str,
    options: &OverlayOptions,
) -> Result<image::RgbImage, Error> {
    let prepared = &answer.prepared.images[image];
    let region = prepared.geometry.region;
    let placement = Placement {
        x0: region.x,
        y0: region.y,
        x1: region.x + region.width,
        y1: region.y + region.height,
    };
    let grid = target.image_relevancy(image).expect("the layout has a grid for every image");
    let share = target.relevancy().shares().map_or(0.0, |shares| shares.grids[image]);
    let subtitle = format!(
        "probability {} · {:.0} % of the relevancy",
        target.probability_text(),
        100.0 * share
    );
    let caption = Caption { subtitle, ..Caption::new(title) };
    let picture = answer.question.pictures[prepared.picture].rgb();
    Ok(overlay_figure(picture, &[GridMap { grid: grid.view(), placement }], &caption, options)?)
}
