//! Input checks: what in a picture would mislead the model, by statistics of its pixels. They find and change nothing.

mod negative;
mod text;

use image::{GrayImage, RgbImage};

use crate::{Check, CheckKind};

/// What is known of a picture beside its pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) subject: Subject,
    pub(crate) photometric: Option<&'a str>,
    /// Whether it was inverted already.
    pub(crate) inverted: bool,
    /// Whether the file says that text is burnt in.
    pub(crate) says_burnt_in: bool,
}

/// What a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A radiograph: no square as a rule, and a negative where its inversion went wrong.
    Radiograph,
    /// A slice under windows that clip on purpose.
    Slice,
    /// Nobody said.
    Unknown,
}

/// Checks a picture of which nothing is known but its pixels: whether it looks like a negative, is clipped, is no square, or has text burnt
/// in. Google's public notebook for localisation wraps 8-bit pictures (0, 1, 100, 200 and 255 become 0, 255, 156, 56 and 1), so negatives
/// are about.
pub fn check_picture(picture: &RgbImage) -> Vec<Check> {
    let context = Context {
        subject: Subject::Unknown,
        photometric: None,
        inverted: false,
        says_burnt_in: false,
    };
    all(picture, &context)
}

/// All checks of a picture.
pub(crate) fn all(picture: &RgbImage, context: &Context<'_>) -> Vec<Check> {
    let (width, height) = picture.dimensions();
    if width == 0 || height == 0 {
        return vec![];
    }
    let grey = grey(picture);
    let mut found = vec![];
    if context.subject != Subject::Slice {
        found.extend(negative::check(&grey, context));
        found.extend(saturated(&grey));
        found.extend(not_padded(width, height));
    }
    found.extend(text::check(&grey, context.says_burnt_in));
    found
}

/// The brightest channel: of a slice with a window for each, the widest window shows most.
fn grey(picture: &RgbImage) -> GrayImage {
    let bytes = picture.pixels().map(|pixel| pixel.0.into_iter().max().unwrap_or(0));
    GrayImage::from_raw(picture.width(), picture.height(), bytes.collect()).unwrap_or_default()
}

/// Shares at an end of the range beyond which a window has clipped too much. Air around the body is black by right.
const MOST_WHITE: f64 = 0.1;
const MOST_BLACK: f64 = 0.6;

fn saturated(grey: &GrayImage) -> Option<Check> {
    let mut counts = [0_usize; 256];
    for &byte in grey.as_raw() {
        counts[usize::from(byte)] += 1;
    }
    let share = |end: usize| counts[end] as f64 / grey.as_raw().len() as f64;
    let (black, white) = (share(0), share(255));
    (MOST_WHITE < white || MOST_BLACK < black).then(|| {
        let message = format!(
            "{:.0} % of the pixels are fully white and {:.0} % fully black; what lies there is not seen, unless a wider window shows it",
            white * 100.0,
            black * 100.0
        );
        Check::new(CheckKind::Saturated, message)
    })
}

fn not_padded(width: u32, height: u32) -> Option<Check> {
    (width != height).then(|| {
        let message = format!(
            "the picture is {width} × {height}, no square; prompts that ask for places were made for pictures padded with black to a square"
        );
        Check::new(CheckKind::NotPadded, message)
    })
}
