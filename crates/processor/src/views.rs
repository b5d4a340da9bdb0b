//! Which parts of a picture the model is shown: the picture, padded to a square or not, and its crops.

use image::RgbImage;
use image::imageops::{crop_imm, replace};

use crate::Error;
use crate::geometry::Rect;
use crate::setters::setters;

/// When and how pan-and-scan cuts a picture. Defaults: `processing_gemma3.py`, transformers 5.23.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct CropRule {
    /// Crops smaller than this on a side are not made.
    pub min_crop_size: u32,
    /// At most this many crops.
    pub max_crops: u32,
    /// Long side over short side from which on a picture is cut.
    pub min_ratio: f64,
}

impl Default for CropRule {
    fn default() -> Self {
        Self { min_crop_size: 256, max_crops: 4, min_ratio: 1.2 }
    }
}

setters!(CropRule {
    with_min_crop_size = min_crop_size: u32,
    with_max_crops = max_crops: u32,
    with_min_ratio = min_ratio: f64,
});

/// A square larger than this would take over 800 MB.
const MAX_SQUARE: u64 = 1 << 28;

/// A rectangle of whole pixels; negative where a frame begins outside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) x: i64,
    pub(crate) y: i64,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl View {
    pub(crate) fn rect(self) -> Rect {
        Rect {
            x: self.x as f64,
            y: self.y as f64,
            width: f64::from(self.width),
            height: f64::from(self.height),
        }
    }

    /// The pixels of the view; black outside the picture.
    pub(crate) fn cut(self, picture: &RgbImage) -> RgbImage {
        let inside = |start: i64, extent: u32, side: u32| {
            start >= 0 && start + i64::from(extent) <= i64::from(side)
        };
        if inside(self.x, self.width, picture.width())
            && inside(self.y, self.height, picture.height())
        {
            let (x, y) = (self.x as u32, self.y as u32);
            return crop_imm(picture, x, y, self.width, self.height).to_image();
        }
        let mut out = RgbImage::new(self.width, self.height);
        replace(&mut out, picture, -self.x, -self.y);
        out
    }
}

/// The frame first, then its crops in reading order. With `square`, the frame is the picture in the middle of a square.
pub(crate) fn views(
    name: &str,
    [width, height]: [u32; 2],
    square: bool,
    crops: Option<&CropRule>,
) -> Result<Vec<View>, Error> {
    let frame = if square {
        square_frame(name, width, height)?
    } else {
        View { x: 0, y: 0, width, height }
    };
    let cut = crops.map_or(Ok(vec![]), |rule| rule.crops(frame.width, frame.height))?;
    let shift = |crop: View| View { x: crop.x + frame.x, y: crop.y + frame.y, ..crop };
    Ok(std::iter::once(frame).chain(cut.into_iter().map(shift)).collect())
}

/// Of the missing rows half (rounded down) go above the picture, the rest below; columns likewise left and right.
fn square_frame(name: &str, width: u32, height: u32) -> Result<View, Error> {
    let side = width.max(height);
    let found = u64::from(side) * u64::from(side);
    if found > MAX_SQUARE {
        let what = "the number of pixels once padded to a square";
        return Err(Error::PictureLimit { name: name.into(), what, found, limit: MAX_SQUARE });
    }
    let before = |missing: u32| -i64::from(missing / 2);
    Ok(View { x: before(side - width), y: before(side - height), width: side, height: side })
}

impl CropRule {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let failed = |field, found, expected| Err(Error::CropRule { field, found, expected });
        if self.min_crop_size == 0 {
            return failed("min_crop_size", "0".into(), "it must be at least 1");
        }
        if self.max_crops == 0 || self.max_crops > 64 {
            return failed("max_crops", self.max_crops.to_string(), "it must be 1 to 64");
        }
        if self.min_ratio.is_nan() {
            return failed("min_ratio", "not a number".into(), "it must be a number");
        }
        Ok(())
    }

    /// `pan_and_scan` of `image_processing_gemma3.py`: the long side is cut in equal pieces, the last one may be shorter.
    fn crops(&self, width: u32, height: u32) -> Result<Vec<View>, Error> {
        self.check()?;
        let landscape = width >= height;
        let (long, short) = if landscape { (width, height) } else { (height, width) };
        let ratio = f64::from(long) / f64::from(short);
        if ratio < self.min_ratio {
            return Ok(vec![]);
        }
        let wanted = (ratio + 0.5).floor() as u32;
        let n = wanted.min(long / self.min_crop_size).max(2).min(self.max_crops);
        let piece = long.div_ceil(n);
        if piece.min(short) < self.min_crop_size {
            return Ok(vec![]);
        }
        (0..n).map(|i| strip(long, piece, i).map(|s| View::along(landscape, s, short))).collect()
    }
}

/// Start and length of the i-th piece.
fn strip(long: u32, piece: u32, i: u32) -> Result<(u32, u32), Error> {
    // Only a tiny min_crop_size lets the rounding up leave nothing for the last piece.
    let empty = || Error::CropRule {
        field: "min_crop_size",
        found: format!("too small for a side of {long} pixels"),
        expected: "raise it, the last crop would be empty",
    };
    let start = piece.checked_mul(i).filter(|&start| start < long).ok_or_else(empty)?;
    Ok((start, piece.min(long - start)))
}

impl View {
    fn along(landscape: bool, (start, length): (u32, u32), short: u32) -> Self {
        let start = i64::from(start);
        if landscape {
            Self { x: start, y: 0, width: length, height: short }
        } else {
            Self { x: 0, y: start, width: short, height: length }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule() -> CropRule {
        CropRule::default()
    }

    fn sizes(width: u32, height: u32) -> Vec<[i64; 4]> {
        let crops = rule().crops(width, height).unwrap();
        crops.iter().map(|c| [c.x, c.y, i64::from(c.width), i64::from(c.height)]).collect()
    }

    #[test]
    fn pan_and_scan_cuts_as_transformers_does() {
        assert!(sizes(1000, 900).is_empty(), "ratio below 1.2");
        assert!(sizes(500, 300).is_empty(), "crops of 250 are below 256");
        assert_eq!(sizes(1001, 500), [[0, 0, 501, 500], [501, 0, 500, 500]]);
        assert_eq!(sizes(300, 900), [[0, 0, 300, 300], [0, 300, 300, 300], [0, 600, 300, 300]]);
        assert_eq!(sizes(9000, 400).len(), 4);
    }

    #[test]
    fn a_rule_that_cannot_hold_is_an_error() {
        let tiny = CropRule { min_crop_size: 1, ..rule() };
        assert!(matches!(tiny.crops(5, 1), Err(Error::CropRule { .. })));
        for broken in [
            CropRule { min_crop_size: 0, ..rule() },
            CropRule { max_crops: 0, ..rule() },
            CropRule { min_ratio: f64::NAN, ..rule() },
        ] {
            assert!(broken.crops(1000, 300).is_err());
        }
    }

    #[test]
    fn padding_centres_the_picture_and_rounds_to_the_far_side() {
        let frame = views("p", [5, 2], true, None).unwrap()[0];
        assert_eq!(frame, View { x: 0, y: -1, width: 5, height: 5 });
        let white = RgbImage::from_pixel(5, 2, image::Rgb([255; 3]));
        let rows: Vec<u8> =
            frame.cut(&white).rows().map(|mut row| row.next().unwrap()[0]).collect();
        assert_eq!(rows, [0, 255, 255, 0, 0]);
        assert!(views("p", [20_000, 1], true, None).is_err());
    }
}
