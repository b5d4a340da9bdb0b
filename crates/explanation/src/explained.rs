//! An explained answer as one value: what record, arrays, figures and page are made of, and what a folder gives back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use attention_relevancy::ndarray::{Array2, ArrayView1};
use medical_pictures::Provenance;
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::{Localization, Orientation, Outline, Placement, RegionScore};

use crate::record::{
    BoxRecord, GenerationRecord, MissingRecord, ModelRecord, RegionsRecord, RelianceSettings,
    Settings, SinksRecord, Timings,
};
use crate::text::file_name;
use crate::{
    BlankKind, CertificateSettings, ComparedMethod, Counterpart, OtherModel, Shown,
    TargetCertificate, TargetControl, TargetExplanation, TargetReliance, Token, Versus,
};

/// An explained answer with all that is shown of it. Symbols: S tokens of prompt and answer, N images (pictures and their crops).
///
/// Whoever explains fills in everything but what is [found](Explained::with_findings) in pictures and answer; a
/// [`Stored`](crate::Stored) folder gives it back.
#[derive(Clone, Debug)]
pub struct Explained<'a> {
    /// The texts of the last turn of the question.
    pub prompt: String,
    /// The system prompt.
    pub system: Option<String>,
    /// The whole prompt as the chat template rendered it.
    pub rendered_prompt: String,
    /// The answer, without the thinking trace.
    pub answer: String,
    /// The thinking trace; empty where there is none.
    pub trace: String,
    /// Why the answer ended, for people.
    pub stop: String,
    /// The S tokens; spans are bytes of [`Explained::answer`].
    pub tokens: Vec<Token>,
    /// The pictures of the question.
    pub pictures: Vec<ExplainedPicture<'a>>,
    /// What the model saw of them, in the order of the prompt.
    pub images: Vec<ExplainedImage>,
    /// The texts of the tokens that targets and words are set against ([`TargetExplanation::foils`]), by their ids.
    pub foil_texts: BTreeMap<u32, String>,
    /// What was asked for, in the order asked.
    pub targets: Vec<ExplainedTarget<'a>>,
    /// The words of the answer that were explained beside, in reading order.
    pub words: Vec<ExplainedTarget<'a>>,
    /// Phrases of the answer against others in their place.
    pub versus: Vec<Versus>,
    /// What was asked and is not in the answer.
    pub missing: Vec<MissingRecord>,
    /// The parts of the pictures that relevancy is counted in.
    pub regions: Option<RegionsRecord>,
    /// The boxes that the model wrote about its only picture.
    pub boxes: Vec<BoxRecord>,
    /// With what the pictures were compared, where somebody asked.
    pub reliance: Option<RelianceSettings>,
    /// How the maps were certified, where somebody asked.
    pub certificate: Option<CertificateSettings>,
    /// The model that the targets were explained with as well, where somebody asked.
    pub other_model: Option<OtherModel>,
    /// The attention sinks of the run, where somebody asked.
    pub sinks: Option<SinksRecord>,
    /// How the answer was generated; `None` for one that was given.
    pub generation: Option<GenerationRecord>,
    /// With what it was explained and how it is shown.
    pub settings: Settings,
    /// The checkpoint.
    pub model: ModelRecord,
    /// How long each step took.
    pub timings: Timings,
    /// The most memory that the process had in use, in bytes.
    pub peak_rss_bytes: Option<u64>,
    /// What a reader must know.
    pub notes: Vec<String>,
    /// The program that explained, and its version.
    pub program: String,
    /// A date, as the caller gave it.
    pub date: Option<String>,
}

/// A picture of the question.
#[derive(Clone, Debug)]
pub struct ExplainedPicture<'a> {
    /// Its name as it may be shown: with its path only where that was asked for.
    pub name: String,
    /// The upright picture as the model's processor got it.
    pub rgb: Cow<'a, RgbImage>,
    /// The SHA-256 of its pixels (red, green and blue of every pixel, row by row) in hexadecimal.
    pub pixels_sha256: String,
    /// The EXIF orientation (1 to 8) that was undone.
    pub exif_orientation: u8,
    /// Grey values of a 16-bit picture that became black and white.
    pub window: Option<[u16; 2]>,
    /// What happened to it that its user should know.
    pub warnings: Vec<String>,
    /// Where it came from and what was done to it; records of older versions have none.
    pub source: Option<Provenance>,
    /// Which letters stand at its sides, and whose sides its regions have.
    pub orientation: Orientation,
}

/// What the model saw as one image: a picture or a crop of one.
#[derive(Clone, Debug, PartialEq)]
pub struct ExplainedImage {
    /// Index of the picture that it shows.
    pub picture: usize,
    /// Positions of its tokens, row by row.
    pub positions: Range<usize>,
    /// Rows and columns of its cells.
    pub grid: [usize; 2],
    /// The part of the picture that it shows, in pixels: x, y, width, height.
    pub region: [f64; 4],
    /// What is drawn in outline over it.
    pub outlines: Vec<Outline>,
    /// How much of each cell each region covers, `[rows, columns]` in the order of the regions' names; empty without regions.
    pub region_weights: Vec<Array2<f32>>,
}

/// A target or word with all that is said of it.
#[derive(Clone, Debug)]
pub struct ExplainedTarget<'a> {
    /// The explanation.
    pub explanation: Cow<'a, TargetExplanation>,
    /// Its relevancy by region, for each image that a region reaches into; empty for words.
    pub regions: Vec<(usize, RegionScore)>,
    /// How it agrees with each of the boxes, on the first image; empty for words.
    pub boxes: Vec<Localization>,
    /// What the pictures add to it, where somebody asked.
    pub reliance: Option<TargetReliance>,
    /// What its score loses without the cells that its map puts first, where somebody asked.
    pub certificate: Option<Cow<'a, TargetCertificate>>,
    /// The same on the mean picture, where somebody asked; `None` for words.
    pub control: Option<Cow<'a, TargetControl>>,
    /// The same with the other model, where there is one; `None` for words.
    pub counterpart: Option<Cow<'a, Counterpart>>,
}

impl Explained<'_> {
    /// Targets, then words.
    pub(crate) fn all(&self) -> impl Iterator<Item = &TargetExplanation> {
        self.targets.iter().chain(&self.words).map(|target| &*target.explanation)
    }

    /// Which letters stand at the sides of an image, or of all together where they have the same; none otherwise.
    pub(crate) fn orientation(&self, image: Option<usize>) -> Orientation {
        if let Some(image) = image {
            return self.pictures[self.images[image].picture].orientation;
        }
        let mut all = self.pictures.iter().map(|picture| picture.orientation);
        let first = all.next().unwrap_or_default();
        if all.all(|other| other == first) { first } else { Orientation::None }
    }

    /// The methods that every target and word has a row of, in order.
    pub fn methods(&self) -> Vec<ComparedMethod> {
        let Settings { methods, method_ids, .. } = &self.settings;
        let named = methods.iter().enumerate();
        let named = named.map(|(index, name)| (method_ids.get(index).copied(), name.clone()));
        named.map(|(id, name)| ComparedMethod { id, name }).collect()
    }

    /// What replaced the pictures, in the order of [`TargetReliance::blanks`].
    pub fn blanks(&self) -> Vec<BlankKind> {
        let settings = self.reliance.iter();
        settings.flat_map(|settings| settings.blanks.iter().map(|blank| blank.name)).collect()
    }

    /// The values of a row `[S]` at the cells of image `image`, `[rows, columns]`.
    pub(crate) fn cells(&self, image: usize, row: ArrayView1<'_, f32>) -> Array2<f32> {
        let ExplainedImage { positions, grid: [rows, columns], .. } = &self.images[image];
        Array2::from_shape_fn((*rows, *columns), |(y, x)| row[positions.start + y * columns + x])
    }

    /// What is drawn in outline over image `image`.
    pub(crate) fn outlines(&self, image: usize) -> &[Outline] {
        &self.images[image].outlines
    }

    /// The name of the picture that image `image` shows, without its folder.
    pub(crate) fn picture_name(&self, image: usize) -> String {
        file_name(&self.pictures[self.images[image].picture].name)
    }
}

impl Shown for Explained<'_> {
    fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn images(&self) -> usize {
        self.images.len()
    }

    fn picture(&self, image: usize) -> &RgbImage {
        &self.pictures[self.images[image].picture].rgb
    }

    fn placement(&self, image: usize) -> Placement {
        self.images[image].placement()
    }
}

impl ExplainedImage {
    /// Where it lies in its picture.
    pub fn placement(&self) -> Placement {
        let [x, y, width, height] = self.region;
        Placement { x0: x, y0: y, x1: x + width, y1: y + height }
    }
}

impl<'a> ExplainedTarget<'a> {
    /// Its relevancy in the regions that reach into image `image`.
    pub(crate) fn region_scores(&self, image: usize) -> Vec<RegionScore> {
        let of_image = self.regions.iter().filter(|(found, _)| *found == image);
        of_image.map(|(_, score)| score.clone()).collect()
    }

    /// A target of which nothing else is known.
    pub fn new(explanation: Cow<'a, TargetExplanation>) -> Self {
        Self {
            explanation,
            regions: Vec::new(),
            boxes: Vec::new(),
            reliance: None,
            certificate: None,
            control: None,
            counterpart: None,
        }
    }
}
