//! What is to be written: plain data, nothing of the model.

use std::path::PathBuf;

use ndarray::{Array2, Array3, Axis};

use super::Error;

/// An answer, what was asked of it, and the pictures that it was given for.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The pictures' DICOM instances, in the order that maps and overlays count them. Their headers are read up to the pixels.
    pub sources: Vec<SourceFrame>,
    /// What the model was asked, if that is to be in the report.
    pub question: Option<String>,
    /// The whole answer.
    pub answer: String,
    /// What was explained, one after the other.
    pub targets: Vec<Target>,
    /// What made the maps.
    pub algorithm: Algorithm,
    /// The name of the model that answered.
    pub model: String,
    /// When this was made.
    pub made: Moment,
    /// The number of the first new series; the others follow. Viewers sort by it.
    pub series_number: u32,
}

/// A picture in a DICOM file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFrame {
    /// The file.
    pub path: PathBuf,
    /// Which of its frames, counted from zero.
    pub frame: u32,
}

impl SourceFrame {
    /// The only, or first, picture of this file.
    pub fn first(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), frame: 0 }
    }
}

/// What made the maps, as the objects name it (PS3.3 table 10-19, PS3.16 TID 4019).
#[derive(Debug, Clone)]
pub struct Algorithm {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its parameters, each as `name = value`.
    pub parameters: Vec<String>,
}

/// A date and a time of day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// `YYYYMMDD`.
    pub date: String,
    /// `HHMMSS`, local time.
    pub time: String,
}

/// A word, a phrase or the whole answer, with what is known about it.
#[derive(Debug, Clone)]
pub struct Target {
    /// What was explained.
    pub words: String,
    /// The sentence that it stands in.
    pub sentence: String,
    /// The model's probability of the words, 0 to 1.
    pub probability: f64,
    /// What the pictures added to the logarithm of that probability, in nats.
    pub contribution: Option<f64>,
    /// Whether the map says more than a shuffled one would.
    pub certificate: Option<Certificate>,
    /// Where the model looked.
    pub map: MapOverSources,
    /// The map drawn over pictures, for the secondary capture.
    pub overlays: Vec<Overlay>,
}

/// How much a map says about what the model uses, compared with random maps.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The symmetric relevance gain.
    pub srg: f64,
    /// The share of random maps that do as well.
    pub p: f64,
    /// How cells were taken away.
    pub operator: String,
}

/// Relevancy over some of the sources.
#[derive(Debug, Clone, Default)]
pub struct MapOverSources {
    /// A map for each picture that has one.
    pub frames: Vec<FrameMap>,
}

/// Relevancy over one picture. Cells are never interpolated: a pixel has the value of the cell that its centre falls in.
#[derive(Debug, Clone)]
pub struct FrameMap {
    /// Which of [`Findings::sources`].
    pub source: usize,
    /// `[rows, columns]`: the first row is the picture's first row. A cell for each pixel, or fewer.
    pub values: Array2<f32>,
    /// Where the map lies; nowhere else is anything known.
    pub area: Area,
}

/// A rectangle in fractions of a picture: 0 is its left or upper edge, 1 its right or lower edge. It may reach beyond the
/// picture, as a square does that the picture was padded to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Right edge.
    pub right: f64,
    /// Lower edge.
    pub bottom: f64,
}

impl Area {
    /// The whole picture.
    pub const WHOLE: Self = Self { left: 0.0, top: 0.0, right: 1.0, bottom: 1.0 };
}

impl Default for Area {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl MapOverSources {
    /// One grid over each picture, in the order of the sources.
    pub fn pictures(grids: impl IntoIterator<Item = Array2<f32>>) -> Self {
        let frames = grids.into_iter().enumerate();
        let frame = |(source, values)| FrameMap { source, values, area: Area::WHOLE };
        Self { frames: frames.map(frame).collect() }
    }

    /// A volume, `[slices, rows, columns]`: slice k lies over source k.
    pub fn volume(values: &Array3<f32>) -> Self {
        Self::pictures(values.axis_iter(Axis(0)).map(|slice| slice.to_owned()))
    }
}

/// A picture with a map drawn over it.
#[derive(Debug, Clone)]
pub struct Overlay {
    /// Which of [`Findings::sources`] is under it.
    pub source: usize,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// `height × width × 3` bytes: red, green, blue; row by row from the upper left corner.
    pub rgb: Vec<u8>,
}

/// Which objects are wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "four objects, each wanted or not")]
pub struct Wanted {
    /// Secondary Capture: overlays as pictures that every viewer shows.
    pub capture: bool,
    /// Parametric Map: the values.
    pub parametric: bool,
    /// Segmentation: the area above a quantile.
    pub segmentation: bool,
    /// Comprehensive 3D SR: words, numbers and regions.
    pub report: bool,
    /// Which share of the map's cells lies below the area of the segmentation: between 0 and 1, for instance 0.9.
    /// The area is also at least a tenth of the largest value.
    pub quantile: f64,
}

impl Default for Wanted {
    fn default() -> Self {
        Self { capture: true, parametric: true, segmentation: true, report: true, quantile: 0.9 }
    }
}

/// The most sources and the most targets of one call.
const MOST: usize = 4096;

impl Findings {
    /// Whether everything fits together, before any file is opened.
    pub(super) fn check(&self, wanted: &Wanted) -> Result<(), Error> {
        self.made.check()?;
        let counts = [("sources", self.sources.len()), ("targets", self.targets.len())];
        for (what, count) in counts {
            if count == 0 || count > MOST {
                return Err(Error::input(format!("{count} {what}: there must be 1 to {MOST}")));
            }
        }
        if !(wanted.quantile > 0.0 && wanted.quantile < 1.0) {
            let what = format!("quantile {} is not between 0 and 1", wanted.quantile);
            return Err(Error::input(what));
        }
        if self.algorithm.name.trim().is_empty() || self.algorithm.version.trim().is_empty() {
            return Err(Error::input("the algorithm needs a name and a version"));
        }
        self.targets.iter().try_for_each(|target| target.check(self.sources.len()))
    }
}

impl Moment {
    fn check(&self) -> Result<(), Error> {
        let digits = |text: &str, count| {
            text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if digits(&self.date, 8) && digits(&self.time, 6) {
            return Ok(());
        }
        let Self { date, time } = self;
        Err(Error::input(format!("{date:?} and {time:?} are no YYYYMMDD and HHMMSS")))
    }
}

impl Target {
    fn check(&self, sources: usize) -> Result<(), Error> {
        let problem = |what: String| Error::input(format!("target {:?}: {what}", self.words));
        if self.words.trim().is_empty() || self.sentence.trim().is_empty() {
            return Err(problem("words and sentence must not be empty".to_owned()));
        }
        let certificate = self.certificate.iter().flat_map(|found| [found.srg, found.p]);
        let numbers = certificate.chain(self.contribution).chain([self.probability]);
        if let Some(number) = numbers.into_iter().find(|number| !number.is_finite()) {
            return Err(problem(format!("{number} is no finite number")));
        }
        let named = self.map.frames.iter().map(|frame| frame.source);
        let named = named.chain(self.overlays.iter().map(|overlay| overlay.source));
        if let Some(source) = named.into_iter().find(|source| *source >= sources) {
            return Err(problem(format!("source {source} of {sources} does not exist")));
        }
        for (index, frame) in self.map.frames.iter().enumerate() {
            frame.check().map_err(problem)?;
            if self.map.frames[..index].iter().any(|other| other.source == frame.source) {
                return Err(problem(format!("source {} has two maps", frame.source)));
            }
        }
        self.overlays.iter().try_for_each(|overlay| overlay.check().map_err(problem))
    }
}

impl FrameMap {
    fn check(&self) -> Result<(), String> {
        if self.values.is_empty() {
            return Err(format!("the map of source {} has no cells", self.source));
        }
        if let Some(value) = self.values.iter().find(|value| !value.is_finite()) {
            return Err(format!("the map of source {} holds {value}", self.source));
        }
        let Area { left, top, right, bottom } = self.area;
        let finite = [left, top, right, bottom].iter().all(|edge| edge.is_finite());
        if finite && left < right && top < bottom {
            Ok(())
        } else {
            Err(format!("{:?} of source {} is no rectangle", self.area, self.source))
        }
    }
}

impl Overlay {
    fn check(&self) -> Result<(), String> {
        let Self { width, height, .. } = *self;
        // Below 64 pixels the banner would not fit.
        let sides = 64..=60_000;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(format!("an overlay of {width} x {height} pixels cannot be written"));
        }
        let expected = 3 * u64::from(width) * u64::from(height);
        if self.rgb.len() as u64 == expected {
            Ok(())
        } else {
            Err(format!(
                "an overlay of {width} x {height} pixels has {} bytes, not {expected}",
                self.rgb.len()
            ))
        }
    }
}
