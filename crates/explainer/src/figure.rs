//! What one explanation looks like, in memory: its heat over a picture, its text.

use attention_relevancy::ndarray::{Array2, ArrayView1};
use relevancy_visualization::{
    Caption, ColorDepth, Colormap, Figure, GridMap, Outline, OverlayOptions, Panel, Scale,
    TextRelevancy, image, single_figure, terminal_view,
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

/// A map that is finer than tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fine {
    Patches,
    Pixels,
}

impl Fine {
    pub(crate) const ALL: [Self; 2] = [Self::Patches, Self::Pixels];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Patches => "patches",
            Self::Pixels => "pixels",
        }
    }

    /// What its map shows, in a few words.
    pub(crate) fn caption(self) -> &'static str {
        match self {
            Self::Patches => "relevancy of patches",
            Self::Pixels => "gradient × input of pixels",
        }
    }

    pub(crate) fn grid(self, target: &TargetExplanation, image: usize) -> Option<&Array2<f32>> {
        let map = target.finer(image)?;
        match self {
            Self::Patches => Some(&map.patches),
            Self::Pixels => map.pixels.as_ref(),
        }
    }

    /// How it is drawn. Pixels have signs, and a few of them are far beyond the others, so that their scale ends where all but two in
    /// a thousand do.
    pub(crate) fn options(self, grid: &Array2<f32>, options: &OverlayOptions) -> OverlayOptions {
        match self {
            Self::Patches => {
                OverlayOptions { scale: Scale::Own, grid_lines: false, ..options.clone() }
            }
            Self::Pixels => OverlayOptions {
                scale: Scale::Shared { max: magnitude(grid, 0.998) },
                grid_lines: false,
                colormap: Colormap::Coolwarm,
                contours: Vec::new(),
                ..options.clone()
            },
        }
    }

    /// The overlay of an image that is there; none where there is no such map.
    pub(crate) fn overlay(
        self,
        answer: &Answer,
        target: &TargetExplanation,
        image: usize,
        (outlines, options): (&[Outline], &OverlayOptions),
    ) -> Result<Option<Figure>, Error> {
        let Some(grid) = self.grid(target, image) else { return Ok(None) };
        let maps = [GridMap { grid: grid.view(), placement: placement(answer, image) }];
        let panel = Panel::new(picture(answer, image), &maps).outlined(outlines);
        let subtitle = format!("probability {} · {}", target.probability_text(), self.caption());
        let quantity = match self {
            Self::Patches => Caption::new("").quantity,
            Self::Pixels => self.caption().to_owned(),
        };
        let caption = Caption { quantity, ..Caption::new(target.text()).subtitled(subtitle) };
        Ok(Some(single_figure(&panel, &caption, &self.options(grid, options))?))
    }
}

/// The quantile of the absolute values.
fn magnitude(grid: &Array2<f32>, quantile: f64) -> f32 {
    let mut values: Vec<f32> = grid.iter().map(|value| value.abs()).collect();
    let at = ((values.len() - 1) as f64 * quantile) as usize;
    *values.select_nth_unstable_by(at, f32::total_cmp).1
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
