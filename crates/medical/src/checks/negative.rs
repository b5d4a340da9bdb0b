//! Whether a radiograph looks like a negative: air beside the body is black in a picture that hangs as usual.

use image::GrayImage;
use image::imageops::{FilterType, resize};

use super::{Context, Subject};
use crate::{Check, CheckKind};

/// Side of the small picture that is looked at.
const SIDE: u32 = 64;
/// How much brighter the border must be than the middle.
const LEAST_DIFFERENCE: f64 = 40.0;
/// How bright the border must be.
const LEAST_BORDER: f64 = 150.0;

pub(super) fn check(grey: &GrayImage, context: &Context<'_>) -> Option<Check> {
    let small = resize(grey, SIDE, SIDE, FilterType::Triangle);
    let border = median(&small, is_border);
    let middle = median(&small, is_middle);
    let darkest = median(&small, is_top_corner);
    let looks =
        LEAST_BORDER < border && LEAST_DIFFERENCE < border - middle && LEAST_BORDER < darkest;
    looks.then(|| {
        let message = format!(
            "the picture looks like a negative: its border has the grey value {border:.0} and its middle {middle:.0}{}",
            explanation(context)
        );
        Check::new(CheckKind::Negative, message)
    })
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

fn is_border(x: u32, y: u32) -> bool {
    let edge = SIDE / 16;
    x < edge || y < edge || SIDE - edge <= x
}

fn is_middle(x: u32, y: u32) -> bool {
    let (low, high) = (SIDE / 4, SIDE - SIDE / 4);
    (low..high).contains(&x) && (low..high).contains(&y)
}

fn is_top_corner(x: u32, y: u32) -> bool {
    let edge = SIDE / 8;
    y < edge && (x < edge || SIDE - edge <= x)
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
        assert!(found.message.contains("247"), "{}", found.message);
        // As the notebook wraps it: v becomes −v modulo 256.
        let wrapped =
            GrayImage::from_fn(200, 240, |x, y| image::Luma([radiograph(x, y).wrapping_neg()]));
        assert!(check(&wrapped, &context).is_some());
    }
}
