//! What one explanation looks like, in memory: its heat over a picture, its text.

use attention_relevancy::ndarray::ArrayView1;
use relevancy_visualization::{
    Caption, ColorDepth, Figure, GridMap, Outline, OverlayOptions, Panel, TextRelevancy, image,
    single_figure, terminal_view,
};

use crate::results::{picture, placement};
use crate::{Answer, Error, TargetExplanation, Token, TokenKind};

impl TargetExplanation {
    /// The relevancy of the text, prompt and answer as far as they are text, by token; the self terms are marked.
    ///
    /// # Errors
    /// What [`TextRelevancy::from_tokens`] refuses.
    pub fn text_relevancy(&self, answer: &Answer) -> Result<TextRelevancy, Error> {
        text_of(self, answer, self.relevancy().relevancy())
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
        self.check_image(answer, image)?;
        let title = title.unwrap_or(self.text());
        Ok(overlay(answer, self, image, title, (&[], options))?.to_image()?)
    }

    /// The heat over image `image` as lines of text for a terminal, no wider and no higher than `room` (columns, rows).
    ///
    /// # Errors
    /// As [`TargetExplanation::overlay`].
    pub fn terminal_view(
        &self,
        answer: &Answer,
        image: usize,
        options: &OverlayOptions,
        (room, depth): ((u32, u32), ColorDepth),
    ) -> Result<String, Error> {
        self.check_image(answer, image)?;
        with_panel(answer, self, image, &[], |panel| {
            Ok(terminal_view(panel, options, room, depth)?)
        })
    }

    fn check_image(&self, answer: &Answer, image: usize) -> Result<(), Error> {
        let images = answer.prepared.images.len();
        let is_there = image < images && self.image_relevancy(image).is_some();
        if is_there { Ok(()) } else { Err(Error::NoImage { image, images }) }
    }
}

/// [`TargetExplanation::overlay`] of an image that is there, with outlines over it.
pub(crate) fn overlay(
    answer: &Answer,
    target: &TargetExplanation,
    image: usize,
    title: &str,
    (outlines, options): (&[Outline], &OverlayOptions),
) -> Result<Figure, Error> {
    let caption = Caption::new(title).subtitled(subtitle(target, image));
    with_panel(answer, target, image, outlines, |panel| {
        Ok(single_figure(panel, &caption, options)?)
    })
}

/// Hands on an image that is there with the relevancy of its cells.
pub(crate) fn with_panel<T>(
    answer: &Answer,
    target: &TargetExplanation,
    image: usize,
    outlines: &[Outline],
    draw: impl FnOnce(&Panel<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let grid = target.image_relevancy(image).expect("the layout has a grid for every image");
    let maps = [GridMap { grid: grid.view(), placement: placement(answer, image) }];
    draw(&Panel::new(picture(answer, image), &maps).outlined(outlines))
}

/// Probability, and the share of the relevancy that lies in an image.
pub(crate) fn subtitle(target: &TargetExplanation, image: usize) -> String {
    let share = target.relevancy().shares().map_or(0.0, |shares| shares.grids[image]);
    let percent = 100.0 * share;
    format!("probability {} · {percent:.0} % of the relevancy", target.probability_text())
}

/// The text tokens with their values in a row `[S]`.
pub(crate) fn text_of(
    target: &TargetExplanation,
    answer: &Answer,
    row: ArrayView1<'_, f32>,
) -> Result<TextRelevancy, Error> {
    let text = || answer.tokens.iter().filter(|token| token.kind != TokenKind::Image);
    let rows = target.relevancy().self_positions();
    let is_self = |(_, token): &(usize, &Token)| rows.contains(&token.position);
    let selves: Vec<usize> = text().enumerate().filter(is_self).map(|(at, _)| at).collect();
    let tokens = text().map(|token| (token.text.as_str(), row[token.position]));
    Ok(TextRelevancy::from_tokens(tokens, &selves)?)
}
