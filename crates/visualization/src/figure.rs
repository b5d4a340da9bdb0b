//! Figures: one description each, as pixels, SVG or a file.

use std::path::Path;

use image::RgbImage;

use crate::png::{save_bytes, save_png};
use crate::scene::Scene;
use crate::{Error, GridMap, OverlayOptions, Panel, contour};

pub use chart::regions_figure;
pub use comparison::{ComparisonRow, comparison_figure, three_panel_figure};
pub use difference::difference_figure;
pub use grid::{Section, grid_figure, heads_figure, layers_figure, side_by_side_figure};
pub use removal::removal_figure;
pub use single::single_figure;
pub use volume::volume_figure;

mod parts;

mod chart;
mod comparison;
mod difference;
mod grid;
mod removal;
mod single;
mod volume;

/// The words around a figure.
///
/// Any text will do: control and direction characters are taken out, white space is folded, and what is too long ends in an
/// ellipsis, with the whole of it as the title of the SVG element. A character that the embedded font lacks (Chinese,
/// Japanese, Korean, Indic scripts, most emoji) is drawn with a font of the system, and only where none has it becomes `·`; the
/// SVG keeps it and leaves the font to its reader. Without such characters pixels are the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caption {
    /// The explained word. Empty: no title.
    pub title: String,
    /// A second, smaller line, for instance position and method. Empty: no line.
    pub subtitle: String,
    /// A third line, for what must be said of the drawing. Empty: no line.
    pub note: String,
    /// What the colour bar measures. Empty: no line beside the bar.
    pub quantity: String,
}

impl Caption {
    /// A caption with this title and no subtitle, for a bar of relevancy.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            subtitle: String::new(),
            note: String::new(),
            quantity: "relevancy".to_owned(),
        }
    }

    /// The caption with a subtitle.
    #[must_use]
    pub fn subtitled(self, subtitle: impl Into<String>) -> Self {
        Self { subtitle: subtitle.into(), ..self }
    }

    /// The caption with a third line.
    #[must_use]
    pub fn noted(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }

    /// The caption with what the colour bar measures.
    #[must_use]
    pub fn measuring(self, quantity: impl Into<String>) -> Self {
        Self { quantity: quantity.into(), ..self }
    }

    /// The caption with what the contour lines are, where there are some.
    fn noting(&self, options: &OverlayOptions) -> Self {
        let Some(note) = contour::note(&options.contours) else { return self.clone() };
        let dot = if self.note.is_empty() { "" } else { " · " };
        Self { note: format!("{}{dot}{note}", self.note), ..self.clone() }
    }
}

/// A figure, ready to become pixels or SVG. Both show the same, from one description.
#[derive(Clone, Debug)]
pub struct Figure(pub(crate) Scene);

impl Figure {
    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    /// The pixels, on white.
    ///
    /// # Errors
    /// [`Error::Svg`] if the words cannot be drawn.
    pub fn to_image(&self) -> Result<RgbImage, Error> {
        self.0.to_image()
    }

    /// A self-contained SVG: pictures are embedded as PNG, text is text, nothing is loaded from elsewhere and nothing runs.
    ///
    /// # Errors
    /// [`Error::EmbedPicture`] if a picture cannot be encoded.
    pub fn to_svg(&self) -> Result<String, Error> {
        self.0.to_svg()
    }

    /// Writes the figure whole or not at all, as SVG where `path` ends in `.svg`, as PNG otherwise.
    ///
    /// # Errors
    /// As [`save_png`], [`Figure::to_image`] and [`Figure::to_svg`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let is_svg = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("svg"));
        if is_svg {
            save_bytes(self.to_svg()?.as_bytes(), path)
        } else {
            save_png(&self.to_image()?, path)
        }
    }
}

/// The pixels of [`single_figure`] for a picture and its maps.
///
/// # Errors
/// As [`overlay`](crate::overlay()), and [`Error::FigureTooLarge`] above 2²⁸ pixels.
pub fn overlay_figure(
    picture: &RgbImage,
    maps: &[GridMap<'_>],
    caption: &Caption,
    options: &OverlayOptions,
) -> Result<RgbImage, Error> {
    single_figure(&Panel::new(picture, maps), caption, options)?.to_image()
}
