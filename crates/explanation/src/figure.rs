//! What one explanation looks like, in memory: its heat over a picture, its text.

use std::borrow::Cow;

use attention_relevancy::ndarray::{Array2, ArrayView1};
use relevancy_visualization::{
    Caption, ColorDepth, Colormap, Figure, GridMap, Outline, OverlayOptions, Panel, Placement,
    Scale, Section, TextRelevancy, grid_figure, image, single_figure, terminal_view,
};

use crate::smooth::gaussian;
use crate::{Error, NOTHING_SPEAKS, Shown, TargetExplanation, Token, TokenKind, template_tokens};

impl TargetExplanation {
    /// The relevancy of the text, prompt and answer as far as they are text, by token; the self terms are marked. With
    /// `shows_template` tokens of the chat template are text as all others; without it they are set apart.
    ///
    /// # Errors
    /// What [`TextRelevancy::from_tokens`] refuses.
    pub fn text_relevancy(
        &self,
        shown: &dyn Shown,
        shows_template: bool,
    ) -> Result<TextRelevancy, Error> {
        text_of(self, shown, self.relevancy().relevancy(), shows_template)
    }

    /// The part of all relevancy but the self term that lies in tokens of the chat template; `None` where there is no relevancy.
    pub fn template_share(&self, shown: &dyn Shown) -> Option<f32> {
        let row = self.relevancy().without_self();
        let by_template = template_tokens(shown.tokens()).into_iter().zip(&row);
        let sum: f32 = by_template.filter(|(is, _)| *is).map(|(_, value)| value).sum();
        let share = sum / row.sum();
        (0.0 < row.sum()).then_some(share)
    }

    /// The heat of this explanation over image `image` (counted over pictures and their crops), in the geometry of the original
    /// picture, with caption and colour bar; `title` is [`TargetExplanation::label`] unless another is given.
    ///
    /// # Errors
    /// [`Error::NoImage`] where the answer it belongs to has no such image, and what drawing may fail with.
    pub fn overlay(
        &self,
        shown: &dyn Shown,
        image: usize,
        title: Option<&str>,
        options: &OverlayOptions,
    ) -> Result<image::RgbImage, Error> {
        self.check_image(shown, image)?;
        let title = title.map_or_else(|| self.label(), str::to_owned);
        Ok(overlay(shown, self, image, &title, (&[], options))?.to_image()?)
    }

    /// The heat over image `image` without anything beside it, on a picture that is made small: its longer side has at most `side`
    /// pixels.
    ///
    /// # Errors
    /// As [`TargetExplanation::overlay`].
    pub fn thumbnail(
        &self,
        shown: &dyn Shown,
        image: usize,
        side: u32,
        options: &OverlayOptions,
    ) -> Result<image::RgbImage, Error> {
        self.check_image(shown, image)?;
        let whole = shown.picture(image);
        let (width, height) = whole.dimensions();
        let shrink = (f64::from(side) / f64::from(width.max(height))).min(1.0);
        let small = |length: u32| ((f64::from(length) * shrink).round() as u32).max(1);
        let picture = image::imageops::thumbnail(whole, small(width), small(height));
        let Placement { x0, y0, x1, y1 } = shown.placement(image);
        let [fx, fy] = [
            f64::from(picture.width()) / f64::from(width),
            f64::from(picture.height()) / f64::from(height),
        ];
        let placement = Placement { x0: x0 * fx, y0: y0 * fy, x1: x1 * fx, y1: y1 * fy };
        let grid = self.image_relevancy(image).filter(|_| !self.is_empty());
        let maps: Vec<_> =
            grid.iter().map(|grid| GridMap { grid: grid.view(), placement }).collect();
        Ok(Panel::new(&picture, &maps).draw(options)?)
    }

    /// The heat over image `image` as lines of text for a terminal, no wider and no higher than `room` (columns, rows);
    /// [`NOTHING_SPEAKS`] where there is no relevancy.
    ///
    /// # Errors
    /// As [`TargetExplanation::overlay`].
    pub fn terminal_view(
        &self,
        shown: &dyn Shown,
        image: usize,
        options: &OverlayOptions,
        (room, depth): ((u32, u32), ColorDepth),
    ) -> Result<String, Error> {
        self.check_image(shown, image)?;
        if self.is_empty() {
            return Ok(NOTHING_SPEAKS.to_owned());
        }
        with_panel(shown, self, image, &[], |panel| Ok(terminal_view(panel, options, room, depth)?))
    }

    fn check_image(&self, shown: &dyn Shown, image: usize) -> Result<(), Error> {
        let images = shown.images();
        let is_there = image < images && self.image_relevancy(image).is_some();
        if is_there { Ok(()) } else { Err(Error::NoImage { image, images }) }
    }
}

/// [`TargetExplanation::overlay`] of an image that is there, with outlines over it.
pub(crate) fn overlay(
    shown: &dyn Shown,
    target: &TargetExplanation,
    image: usize,
    title: &str,
    (outlines, options): (&[Outline], &OverlayOptions),
) -> Result<Figure, Error> {
    let caption = Caption::new(title).subtitled(subtitle(target, image));
    if target.is_empty() {
        return bare(shown.picture(image), outlines, &caption, options);
    }
    with_panel(shown, target, image, outlines, |panel| Ok(single_figure(panel, &caption, options)?))
}

/// A picture without any heat, for an explanation without any relevancy.
pub(crate) fn bare(
    picture: &image::RgbImage,
    outlines: &[Outline],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let panel = Panel::new(picture, &[]).outlined(outlines);
    Ok(grid_figure(&[Section::new("", vec![panel])], None, caption, options)?)
}

/// A map that is finer than tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fine {
    Patches,
    Pixels,
}

impl Fine {
    pub(crate) const ALL: [Self; 2] = [Self::Patches, Self::Pixels];

    /// What its map shows, in a few words.
    pub(crate) fn caption(self) -> &'static str {
        match self {
            Self::Patches => "relevancy of patches",
            Self::Pixels => "gradient × input of pixels",
        }
    }

    /// The map as it is drawn. Single pixels of a gradient speckle, so those are smoothed by half the side of a patch.
    pub(crate) fn grid(
        self,
        target: &TargetExplanation,
        image: usize,
    ) -> Option<Cow<'_, Array2<f32>>> {
        let map = target.finer(image)?;
        Some(match self {
            Self::Patches => Cow::Borrowed(&map.patches),
            Self::Pixels => {
                let pixels = map.pixels.as_ref()?;
                let patch = pixels.ncols() as f64 / map.patches.ncols() as f64;
                Cow::Owned(gaussian(pixels.view(), patch / 2.0))
            }
        })
    }

    /// What must be said of the drawing; empty where nothing must.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::Patches => "",
            Self::Pixels => {
                "red: for, blue: against; smoothed (Gaussian, σ = half a patch), raw values in explanation.npz"
            }
        }
    }

    /// How it is drawn. Pixels have signs.
    pub(crate) fn options(self, options: &OverlayOptions) -> OverlayOptions {
        let own = options.clone().with_scale(Scale::Own).with_grid_lines(false);
        match self {
            Self::Patches => own,
            Self::Pixels => own.with_colormap(Colormap::Coolwarm).with_contours(Vec::new()),
        }
    }

    /// The overlay of an image that is there; none where there is no such map.
    pub(crate) fn overlay(
        self,
        shown: &dyn Shown,
        target: &TargetExplanation,
        image: usize,
        (outlines, options): (&[Outline], &OverlayOptions),
    ) -> Result<Option<Figure>, Error> {
        let Some(grid) = self.grid(target, image) else { return Ok(None) };
        let maps = [GridMap { grid: grid.view(), placement: shown.placement(image) }];
        let panel = Panel::new(shown.picture(image), &maps).outlined(outlines);
        let zero = grid.iter().all(|&value| value == 0.0);
        let end = if zero { ": zero everywhere" } else { "" };
        let subtitle =
            format!("probability {} · {}{end}", target.probability_text(), self.caption());
        let quantity = match self {
            Self::Patches => Caption::new("").quantity,
            Self::Pixels => self.caption().to_owned(),
        };
        let caption =
            Caption::new(target.label()).subtitled(subtitle).noted(self.note()).measuring(quantity);
        if zero {
            return bare(panel.picture, outlines, &caption.noted(""), options).map(Some);
        }
        Ok(Some(single_figure(&panel, &caption, &self.options(options))?))
    }
}

/// Hands on an image that is there with the relevancy of its cells; without a map where nothing speaks for the target.
pub(crate) fn with_panel<T>(
    shown: &dyn Shown,
    target: &TargetExplanation,
    image: usize,
    outlines: &[Outline],
    draw: impl FnOnce(&Panel<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let grid = target.image_relevancy(image).expect("the layout has a grid for every image");
    let maps = [GridMap { grid: grid.view(), placement: shown.placement(image) }];
    let maps = if target.is_empty() { &maps[..0] } else { &maps };
    draw(&Panel::new(shown.picture(image), maps).outlined(outlines))
}

/// Probability, and the share of all relevancy but the self term that lies in an image.
pub(crate) fn subtitle(target: &TargetExplanation, image: usize) -> String {
    let within = target.relevancy().shares().map_or("", |_| " is in this picture");
    format!("probability {} · {}{within}", target.probability_text(), share_text(target, image))
}

/// The share of all relevancy but the self term that lies in an image, with what it is a part of.
pub(crate) fn share_text(target: &TargetExplanation, image: usize) -> String {
    target.relevancy().shares().map_or_else(
        || NOTHING_SPEAKS.to_owned(),
        |shares| format!("{:.1} % of all relevancy", 100.0 * shares.grids[image]),
    )
}

/// The text tokens with their values in a row `[S]`.
pub(crate) fn text_of(
    target: &TargetExplanation,
    shown: &dyn Shown,
    row: ArrayView1<'_, f32>,
    shows_template: bool,
) -> Result<TextRelevancy, Error> {
    let by_template = template_tokens(shown.tokens());
    let text = || shown.tokens().iter().filter(|token| token.kind != TokenKind::Image);
    let those = |is: &dyn Fn(&Token) -> bool| -> Vec<usize> {
        text().enumerate().filter(|(_, token)| is(token)).map(|(at, _)| at).collect()
    };
    let rows = target.relevancy().self_positions();
    let selves = those(&|token| rows.contains(&token.position));
    let tokens = text().map(|token| (token.text.as_str(), row[token.position]));
    let text = TextRelevancy::from_tokens(tokens, &selves)?;
    if shows_template {
        return Ok(text);
    }
    Ok(text.setting_apart(&those(&|token| by_template[token.position])))
}
