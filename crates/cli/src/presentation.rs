//! The options of `explain` that say how results are shown.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::job::Named;
use medgemma_explainer::{
    Colormap, FigureFormat, FigureKind, Interpolation, Opacity, Orientation, OverlayOptions,
    Presentation, RegionSpec,
};

#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PresentationArgs {
    /// Regions to sum the relevancy over: halves, quadrants, grid3x3, cxr (zones of a chest radiograph, with the patient's left
    /// and right), a JSON file of shapes, or a PNG mask
    #[arg(long, value_name = "REGIONS", help_heading = "Regions")]
    #[serde(with = "crate::spelled")]
    regions: Option<RegionSpec>,
    /// Orientation of a chest radiograph: pa or ap (the left of the picture is the patient's right), flipped, or none. The
    /// letters R and L are drawn unless it is none; pa by default with --regions cxr, otherwise none
    #[arg(long, help_heading = "Regions")]
    #[serde(with = "crate::spelled")]
    orientation: Option<Orientation>,

    /// Colour map: inferno, magma, viridis, cividis (readable with red-green colour blindness), jet or coolwarm
    #[arg(long, default_value_t, help_heading = "Overlays")]
    #[serde(with = "crate::spelled")]
    colormap: Colormap,
    /// How cells become pixels: bilinear, bicubic, or cells (sharp cell edges, the resolution the model has)
    #[arg(long, value_name = "HOW", default_value = "bilinear", help_heading = "Overlays")]
    #[serde(with = "crate::spelled")]
    interpolation: Interpolation,
    /// Opacity of the colours at the end of the scale, from 0 to 1
    #[arg(long, default_value_t = 0.75, value_parser = part, help_heading = "Overlays")]
    alpha: f32,
    /// Use the same opacity everywhere, also where there is no relevancy
    #[arg(long, help_heading = "Overlays")]
    constant_alpha: bool,
    /// Use one colour scale for all words and pictures
    #[arg(long, help_heading = "Overlays")]
    common_scale: bool,
    /// Draw contour lines at these quantiles of the cells, such as 0.9,0.99 (around the hottest 10 % and 1 %), where the value is
    /// at least a tenth of the largest
    #[arg(long, value_name = "Q", value_delimiter = ',', value_parser = quantile, help_heading = "Overlays")]
    contours: Vec<f64>,

    /// Figures in addition to the overlays: panels (picture, overlay, words), comparison (with raw attention and rollout), words
    /// (a sheet of all explained words), images (side by side on one scale), difference (the last picture's map minus the
    /// first's, for aligned pictures), layers, heads (of one layer), resolutions (tokens, patches and pixels)
    #[arg(long, value_name = "FIGURE", value_delimiter = ',', help_heading = "Figures")]
    #[serde(with = "crate::spelled")]
    figures: Vec<FigureKind>,
    /// File format of overlays and figures
    #[arg(long, value_enum, default_value_t, help_heading = "Figures")]
    figure_format: FormatArg,

    /// Whether tokens that the chat template writes (<bos>, role names, line breaks) are listed as text in terminal, figures and
    /// report.html; hide gives only their sum
    #[arg(long, value_enum, default_value_t, value_name = "SHOW", help_heading = "Overlays")]
    template_tokens: TemplateArg,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum TemplateArg {
    /// Only their sum, listed separately
    #[default]
    Hide,
    /// Like other text
    Show,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum FormatArg {
    /// Pixels
    #[default]
    Png,
    /// Text stays text
    Svg,
}

impl Default for PresentationArgs {
    fn default() -> Self {
        Self {
            regions: None,
            orientation: None,
            colormap: Colormap::default(),
            interpolation: Interpolation::Bilinear,
            alpha: 0.75,
            constant_alpha: false,
            common_scale: false,
            contours: Vec::new(),
            figures: Vec::new(),
            figure_format: FormatArg::default(),
            template_tokens: TemplateArg::default(),
        }
    }
}

impl PresentationArgs {
    pub(crate) fn presentation(&self) -> Presentation {
        let default = match self.regions {
            Some(RegionSpec::Cxr) => Orientation::Pa,
            _ => Orientation::None,
        };
        let opacity = if self.constant_alpha { Opacity::Constant } else { Opacity::ByValue };
        let overlay = OverlayOptions::default()
            .with_colormap(self.colormap)
            .with_interpolation(self.interpolation)
            .with_opacity(opacity(self.alpha))
            .with_grid_lines(self.interpolation == Interpolation::Cells)
            .with_contours(self.contours.clone())
            .with_orientation(self.orientation.unwrap_or(default));
        let mut figures = Vec::new();
        for figure in &self.figures {
            if !figures.contains(figure) {
                figures.push(*figure);
            }
        }
        Presentation::default()
            .with_overlay(overlay)
            .with_sides_of_files(self.orientation.is_none())
            .with_common_scale(self.common_scale)
            .with_regions(self.regions.clone())
            .with_shows_template(self.template_tokens == TemplateArg::Show)
            .with_figures(figures)
            .with_format(match self.figure_format {
                FormatArg::Png => FigureFormat::Png,
                FormatArg::Svg => FigureFormat::Svg,
            })
    }

    /// What is more than a figure can show.
    pub(crate) fn too_many(&self, named: Named) -> Option<String> {
        let (count, contours) = (self.contours.len(), named("contours"));
        (MOST_CONTOURS < count)
            .then(|| format!("{contours} has {count} values; at most {MOST_CONTOURS} are drawn"))
    }

    pub(crate) fn has_regions(&self) -> bool {
        self.regions.is_some()
    }

    pub(crate) fn has_figures(&self) -> bool {
        !self.figures.is_empty()
    }

    pub(crate) fn wants(&self, figure: FigureKind) -> bool {
        self.figures.contains(&figure)
    }
}

/// More lines than this hide what they are about.
const MOST_CONTOURS: usize = 20;

fn part(text: &str) -> Result<f32, String> {
    let value = text.parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "give a number from 0 to 1".to_owned())
}

fn quantile(text: &str) -> Result<f64, String> {
    let value = text.trim().parse().ok().filter(|value| (0.0..=1.0).contains(value));
    value.ok_or_else(|| "give quantiles from 0 to 1".to_owned())
}
