//! Whether a radiograph looks like a negative: air beside the body is black in a picture that hangs as usual.

use image::GrayImage;
use image::imageops::{FilterType, resize};

use super::{Context, Subject};
use crate::{Check, CheckKind};

/// Side of the small picture that is looked at.
const SIDE: u32 = 64;

/// Medians of grey values of parts of a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Parts {
    /// Of the strip that spine and heart lie in.
    centre: f64,
    /// Of the strips that lungs lie in.
    sides: f64,
    /// Of the two top corners, where air is beside the neck.
    corners: f64,
    /// Of the border without the bottom.
    border: f64,
    /// Of the inner quarter.
    middle: f64,
}

pub(super) fn check(grey: &GrayImage, context: &Context<'_>) -> Option<Check> {
    let parts = Parts::of(grey);
    parts.look_negative().then(|| {
        let Parts { centre, sides, border, .. } = parts;
        let message = format!(
            "the picture looks like a negative: grey values are {border:.0} at its border, {centre:.0} in its middle and {sides:.0} beside that{}",
            explanation(context)
        );
        Check::new(CheckKind::Negative, message)
    })
}

impl Parts {
    fn of(grey: &GrayImage) -> Self {
        let small = resize(grey, SIDE, SIDE, FilterType::Triangle);
        let strip = |from: u32, to: u32| {
            median(&small, |x, y| (from..to).contains(&x) && (16..44).contains(&y))
        };
        Self {
            centre: strip(29, 35),
            sides: f64::midpoint(strip(14, 23), strip(41, 50)),
            corners: median(&small, |x, y| y < 6 && !(6..SIDE - 6).contains(&x)),
            border: median(&small, |x, y| x < 4 || y < 4 || SIDE - 4 <= x),
            middle: median(&small, |x, y| (16..48).contains(&x) && (16..48).contains(&y)),
        }
    }

    /// Either lungs are brighter than what is between them, below bright air; or a bright border surrounds something darker that is no
    /// bright limb: what was shut off from the rays is white by right. The numbers were found on radiographs, slices and their negatives.
    fn look_negative(self) -> bool {
        let inside_out = 30.0 <= self.sides - self.centre && 120.0 <= self.corners;
        let bright_around = 200.0 <= self.border
            && 40.0 <= self.border - self.middle
            && -20.0 <= self.sides - self.centre;
        inside_out || bright_around
    }
}

fn explanation(context: &Context<'_>) -> String {
    match (context.photometric, context.inverted) {
        (Some(said), true) => {
            format!("; the file says {said}, so it was inverted, which may be wrong")
        }
        (Some(said), false) if context.subject == Subject::Radiograph => {
            format!("; the file says {said}, so it was not inverted, which may be wrong")
        }
        _ => "; the model expects air black and bone white".into(),
    }
}

fn median(grey: &GrayImage, belongs: impl Fn(u32, u32) -> bool) -> f64 {
    let mut values: Vec<u8> = grey
        .enumerate_pixels()
        .filter(|(x, y, _)| belongs(*x, *y))
        .map(|(.., pixel)| pixel.0[0])
        .collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bright body with two dark lungs in dark air.
    fn radiograph(x: u32, y: u32) -> u8 {
        let (dx, dy) = (f64::from(x) - 100.0, f64::from(y) - 120.0);
        let lung = ((dx.abs() - 35.0) / 22.0).powi(2) + (dy / 60.0).powi(2) < 1.0;
        if lung {
            70
        } else if dx.abs() < 80.0 && -90.0 < dy {
            200
        } else {
            8
        }
    }

    #[test]
    fn a_negative_is_found_and_a_positive_is_not() {
        let context = Context {
            subject: Subject::Unknown,
            photometric: None,
            inverted: false,
            says_burnt_in: false,
        };
        let positive = GrayImage::from_fn(200, 240, |x, y| image::Luma([radiograph(x, y)]));
        let negative = GrayImage::from_fn(200, 240, |x, y| image::Luma([255 - radiograph(x, y)]));
        assert_eq!(check(&positive, &context), None);
        let found = check(&negative, &context).unwrap();
        assert_eq!(found.kind, CheckKind::Negative);
        assert!(found.message.contains("are 247 at its border, 55 in"), "{}", found.message);
        // As the notebook wraps it: v becomes −v modulo 256.
        let wrapped =
            GrayImage::from_fn(200, 240, |x, y| image::Luma([radiograph(x, y).wrapping_neg()]));
        assert!(check(&wrapped, &context).is_some());
    }
}
