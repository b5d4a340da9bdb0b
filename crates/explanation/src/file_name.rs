//! The names of the files of a folder: composed here and nowhere else.

use std::fmt;

use crate::{FigureFormat, FigureKind};

/// The name of the record.
pub(crate) const RECORD: &str = "explanation.json";
/// The name of the file with the arrays.
pub(crate) const ARRAYS: &str = "explanation.npz";
/// The name of the page.
pub(crate) const REPORT: &str = "report.html";

/// A file of an explained answer's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileName {
    /// The record, `explanation.json`.
    Record,
    /// The arrays, `explanation.npz`.
    Arrays,
    /// The interactive page, `report.html`.
    Report,
    /// The picture of this index, as the model's processor got it: `picture-0.png`.
    Picture(usize),
    /// Something drawn: `overlay-0-0.png`.
    Drawing(Drawing, FigureFormat),
}

/// Something drawn of an explained answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drawing {
    /// What it shows.
    pub kind: DrawingKind,
    /// Of what it shows that.
    pub subject: Subject,
}

/// What a drawing shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DrawingKind {
    /// The relevancy of a target over an image.
    Overlay,
    /// The same by patch.
    Patches,
    /// Gradient × input by pixel.
    Pixels,
    /// The relevancy minus that on the mean picture.
    Control,
    /// The curves of a target's certificate.
    Certificate,
    /// Both maps and their difference, of this model and another.
    Compare,
    /// A target over all slices of a series: projections, shares by slice.
    Volume,
    /// The relevancy by region, as bars.
    Regions,
    /// A phrase against another over an image.
    Versus,
    /// A figure that was asked for.
    Figure(FigureKind),
}

/// What a drawing is of: indices of targets, pairs of phrases and images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Subject {
    /// A target over an image.
    TargetImage {
        /// Index of the target.
        target: usize,
        /// Index of the image.
        image: usize,
    },
    /// A pair of phrases over an image.
    PairImage {
        /// Index of the pair.
        pair: usize,
        /// Index of the image.
        image: usize,
    },
    /// A target over all images.
    Target {
        /// Index of the target.
        target: usize,
    },
    /// All targets and words over an image.
    Image {
        /// Index of the image.
        image: usize,
    },
}

impl Subject {
    /// The image that it is drawn over, where there is one.
    pub(crate) fn image(self) -> Option<usize> {
        match self {
            Self::TargetImage { image, .. }
            | Self::PairImage { image, .. }
            | Self::Image { image } => Some(image),
            Self::Target { .. } => None,
        }
    }
}

/// How many there are of what drawings are of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) targets: usize,
    pub(crate) pairs: usize,
    pub(crate) images: usize,
}

impl FileName {
    /// The drawing, where it is one.
    pub fn drawing(self) -> Option<Drawing> {
        match self {
            Self::Drawing(drawing, _) => Some(drawing),
            _ => None,
        }
    }

    /// Whether a file of this name could be a result of some run, and so would be in the way of this one: what is drawn depends on
    /// the answer, so the names of this run are not all. On some systems capitals do not make another name.
    pub(crate) fn could_be(name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        if [RECORD, ARRAYS, REPORT].contains(&name.as_str()) {
            return true;
        }
        let Some((stem, extension)) = name.rsplit_once('.') else { return false };
        let mut parts = stem.split('-');
        let kind = parts.next().unwrap_or_default();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        let numbers: Vec<bool> = parts.map(is_number).collect();
        let indices = match kind {
            "picture" if extension == FigureFormat::Png.extension() => Some(1),
            _ if FigureFormat::ALL.iter().all(|format| format.extension() != extension) => None,
            _ => DrawingKind::ALL
                .iter()
                .find(|known| known.name() == kind)
                .map(|known| known.example().indices().len()),
        };
        indices == Some(numbers.len()) && numbers.iter().all(|&is_number| is_number)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record => f.write_str(RECORD),
            Self::Arrays => f.write_str(ARRAYS),
            Self::Report => f.write_str(REPORT),
            Self::Picture(index) => write!(f, "picture-{index}.png"),
            Self::Drawing(drawing, format) => {
                f.write_str(drawing.kind.name())?;
                for index in drawing.subject.indices() {
                    write!(f, "-{index}")?;
                }
                write!(f, ".{}", format.extension())
            }
        }
    }
}

impl DrawingKind {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Overlay,
        Self::Patches,
        Self::Pixels,
        Self::Control,
        Self::Certificate,
        Self::Compare,
        Self::Volume,
        Self::Regions,
        Self::Versus,
        Self::Figure(FigureKind::Panels),
        Self::Figure(FigureKind::Comparison),
        Self::Figure(FigureKind::Words),
        Self::Figure(FigureKind::Images),
        Self::Figure(FigureKind::Difference),
        Self::Figure(FigureKind::Layers),
        Self::Figure(FigureKind::Heads),
        Self::Figure(FigureKind::Resolutions),
    ];

    /// What the names of its files begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::Patches => "patches",
            Self::Pixels => "pixels",
            Self::Control => "control",
            Self::Certificate => "certificate",
            Self::Compare => "compare",
            Self::Volume => "volume",
            Self::Regions => "regions",
            Self::Versus => "versus",
            Self::Figure(kind) => kind.name(),
        }
    }

    /// All that it is drawn of, in order: the one loop over targets and images.
    pub(crate) fn subjects(self, counts: Counts) -> Vec<Subject> {
        let Counts { targets, pairs, images } = counts;
        let of_images = |count: usize, of: fn(usize, usize) -> Subject| {
            (0..count).flat_map(|index| (0..images).map(move |image| of(index, image))).collect()
        };
        match self.example() {
            Subject::TargetImage { .. } => {
                of_images(targets, |target, image| Subject::TargetImage { target, image })
            }
            Subject::PairImage { .. } => {
                of_images(pairs, |pair, image| Subject::PairImage { pair, image })
            }
            Subject::Target { .. } => {
                (0..targets).map(|target| Subject::Target { target }).collect()
            }
            Subject::Image { .. } => (0..images).map(|image| Subject::Image { image }).collect(),
        }
    }

    /// The first subject of its kind: of what it is drawn.
    fn example(self) -> Subject {
        match self {
            Self::Versus => Subject::PairImage { pair: 0, image: 0 },
            Self::Figure(FigureKind::Words) => Subject::Image { image: 0 },
            Self::Certificate
            | Self::Volume
            | Self::Figure(FigureKind::Images | FigureKind::Difference) => {
                Subject::Target { target: 0 }
            }
            _ => Subject::TargetImage { target: 0, image: 0 },
        }
    }
}

impl Subject {
    /// The target that it is about; `None` for what is about a pair or about all.
    pub fn target(self) -> Option<usize> {
        match self {
            Self::TargetImage { target, .. } | Self::Target { target } => Some(target),
            _ => None,
        }
    }

    /// The pair of phrases that it is about.
    pub fn pair(self) -> Option<usize> {
        match self {
            Self::PairImage { pair, .. } => Some(pair),
            _ => None,
        }
    }

    /// The indices in the file's name.
    fn indices(self) -> Vec<usize> {
        match self {
            Self::TargetImage { target, image } => vec![target, image],
            Self::PairImage { pair, image } => vec![pair, image],
            Self::Target { target: index } | Self::Image { image: index } => vec![index],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_that_is_composed_is_known() {
        let counts = Counts { targets: 12, pairs: 2, images: 3 };
        let mut names = vec![
            FileName::Record.to_string(),
            FileName::Arrays.to_string(),
            FileName::Report.to_string(),
            FileName::Picture(3).to_string(),
        ];
        for kind in DrawingKind::ALL {
            for subject in kind.subjects(counts) {
                for format in FigureFormat::ALL {
                    let name = FileName::Drawing(Drawing { kind, subject }, format);
                    names.push(name.to_string());
                }
            }
        }
        assert!(names.contains(&"overlay-11-2.png".to_owned()));
        assert!(names.contains(&"difference-2.svg".to_owned()));
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        for name in &names {
            assert!(FileName::could_be(name) && FileName::could_be(&name.to_uppercase()), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "overlay-0.png",
            "control-0-1.webp",
            "overlay-a-0.png",
            "overlay-0-.png",
            "my-overlay-0-0.png",
            "overlay-0-0.jpg",
            "picture.png",
            "picture-0.svg",
            "report-1.html",
            "report",
        ] {
            assert!(!FileName::could_be(name), "{name}");
        }
    }
}
