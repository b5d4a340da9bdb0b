//! How results are shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use attention_relevancy::ndarray::Array2;
use medical_pictures::{CheckKind, Provenance};
use relevancy_visualization::{
    Frame, GridMap, Orientation, OverlayOptions, RegionSpec, Sides, region_weights,
};

use crate::Error;
use crate::setters::setters;

/// What is drawn and counted when results are written.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
#[non_exhaustive]
pub struct Presentation {
    /// How heat is drawn; its orientation also says whose sides regions have.
    pub overlay: OverlayOptions,
    /// Whether a picture whose file says how the patient lies in it is lettered by its file, and not by the orientation of `overlay`.
    pub sides_of_files: bool,
    /// Whether all overlays share one scale, across words and pictures; otherwise each has its own.
    pub common_scale: bool,
    /// The parts of the pictures that relevancy is counted in.
    pub regions: Option<RegionSpec>,
    /// Figures beside the overlays.
    pub figures: Vec<FigureKind>,
    /// What figures are written as.
    pub format: FigureFormat,
    /// Whether the interactive page is written.
    pub report: bool,
    /// Whether tokens of the chat template count among those of the text in figures and on the page; otherwise their sum stands apart.
    pub shows_template: bool,
    /// Whether record and page hold the paths of pictures, regions and model as they were given. They hold the last part of each
    /// otherwise: a path can name a user, a hospital, a patient.
    pub keep_paths: bool,
    /// A date for the record and the page; none is taken from the clock, so that the same input gives the same files.
    pub date: Option<String>,
}

setters!(Presentation {
    with_overlay = overlay: OverlayOptions,
    with_sides_of_files = sides_of_files: bool,
    with_common_scale = common_scale: bool,
    with_regions = regions: Option<RegionSpec>,
    with_figures = figures: Vec<FigureKind>,
    with_format = format: FigureFormat,
    with_report = report: bool,
    with_shows_template = shows_template: bool,
    with_keep_paths = keep_paths: bool,
    with_date = date: Option<String>,
});

impl Presentation {
    /// A path as record and page show it: whole, or its last part. Of `.` and the like it is the folder's name.
    pub fn shown_path(&self, path: &Path) -> String {
        if self.keep_paths {
            return path.display().to_string();
        }
        let name = path.file_name().map(ToOwned::to_owned);
        let name = name.or_else(|| Some(path.canonicalize().ok()?.file_name()?.to_owned()));
        name.map_or_else(|| "folder".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// Which letters stand at the sides of a picture from there.
    pub fn orientation_of(&self, source: &Provenance) -> Orientation {
        let own = source.orientation.as_ref().filter(|_| self.sides_of_files).and_then(|found| {
            let first = |letters: &str| letters.chars().next();
            Some(Orientation::Sides(Sides {
                left: first(found.left())?,
                right: first(found.right())?,
                top: first(found.top())?,
                bottom: first(found.bottom())?,
            }))
        });
        own.unwrap_or(self.overlay.orientation)
    }

    /// Whether regions can be found in the pictures of a question, and figures drawn of them: worth knowing before a model is loaded.
    ///
    /// # Errors
    /// What [`RegionSpec::regions`] refuses; [`Error::OnePicture`].
    pub fn check(&self, pictures: &[Frame]) -> Result<(), Error> {
        if self.figures.contains(&FigureKind::Difference) && pictures.len() < 2 {
            return Err(Error::OnePicture { pictures: pictures.len() });
        }
        match &self.regions {
            Some(spec) => Self::check_regions(spec, pictures),
            None => Ok(()),
        }
    }

    /// What a picture's file says of its view and asked-for regions do not fit.
    ///
    /// # Errors
    /// Zones of a frontal chest on a picture whose file says that it was taken from the side.
    pub fn check_view(&self, source: &Provenance) -> Result<(), Error> {
        let is_lateral = source.checks.iter().any(|check| check.kind == CheckKind::Lateral);
        if is_lateral && self.regions == Some(RegionSpec::Cxr) {
            return Err(relevancy_visualization::Error::NotFrontal.into());
        }
        Ok(())
    }

    /// Every region must reach into one of the pictures at least.
    fn check_regions(spec: &RegionSpec, pictures: &[Frame]) -> Result<(), Error> {
        let cell = Array2::zeros((1, 1));
        let mut outside: Option<Vec<String>> = None;
        for frame in pictures {
            let map = GridMap { grid: cell.view(), placement: frame.seen };
            let mut beside = Vec::new();
            for region in spec.regions(frame)? {
                if region_weights(&map, frame.size, &region)?[[0, 0]] <= 0.0 {
                    beside.push(region.name);
                }
            }
            outside = Some(match outside {
                None => beside,
                Some(mut names) => {
                    names.retain(|name| beside.contains(name));
                    names
                }
            });
        }
        match outside.into_iter().flatten().next() {
            Some(name) => Err(relevancy_visualization::Error::EmptyRegion { name }.into()),
            None => Ok(()),
        }
    }

    /// The files that are read for it: those of the regions. [`crate::OutputFolder::create`] wants to know of them.
    pub fn files(&self) -> Vec<PathBuf> {
        self.regions.as_ref().map(RegionSpec::files).unwrap_or_default()
    }
}

/// A figure of some results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FigureKind {
    /// Picture, overlay and the most relevant words, one figure for each target and image.
    Panels,
    /// Relevancy, raw attention of the last layer, rollout and the methods that were asked for as a grid, one figure for each target
    /// and image.
    Comparison,
    /// A contact sheet: every explained word with its map, one figure for each image.
    Words,
    /// All images beside each other on one scale, one figure for each target.
    Images,
    /// The map of the last picture minus that of the first, with both beside it on one scale, one figure for each target. Cells stand
    /// for the same place of both only where the pictures are aligned alike.
    Difference,
    /// A map for every layer, one figure for each target and image; needs the relevancy by layer.
    Layers,
    /// Attention and gradient-weighted attention of every head of one layer, one figure for each target and image; needs
    /// what heads did.
    Heads,
    /// Tokens, patches and pixels side by side, one figure for each target and image; needs a finer
    /// [`Resolution`](crate::Resolution).
    Resolutions,
}

impl FigureKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Panels,
        Self::Comparison,
        Self::Words,
        Self::Images,
        Self::Difference,
        Self::Layers,
        Self::Heads,
        Self::Resolutions,
    ];

    /// The name in file names and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panels => "panels",
            Self::Comparison => "comparison",
            Self::Words => "words",
            Self::Images => "images",
            Self::Difference => "difference",
            Self::Layers => "layers",
            Self::Heads => "heads",
            Self::Resolutions => "resolutions",
        }
    }
}

impl fmt::Display for FigureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FigureKind {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown = || Error::UnknownFigure {
            found: text.to_owned(),
            known: Self::ALL.map(Self::name).join(", "),
        };
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(unknown)
    }
}

/// What a figure is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FigureFormat {
    /// Pixels.
    #[default]
    Png,
    /// SVG: text stays text.
    Svg,
}

impl FigureFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Png, Self::Svg];

    /// The extension of its files.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Svg => "svg",
        }
    }
}
