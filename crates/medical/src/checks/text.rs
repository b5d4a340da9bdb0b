//! Text that is burnt into a picture: rows of small, sharp, bright things of one height near the border.

use image::GrayImage;

use crate::{Check, CheckKind};

/// Characters in a row that make it text: a marker of the side has one or two.
const LEAST_IN_ROW: usize = 5;
/// Grey value of ink, and what must be darker close by.
const INK: u8 = 215;
const DARKER: u8 = 110;
/// Share of the picture's sides that is looked at.
const BORDER: f64 = 0.2;
/// Heights of characters in pixels.
const HEIGHTS: std::ops::RangeInclusive<u32> = 5..=60;

/// A thing in ink: its box, ends included, and its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Thing {
    left: u32,
    right: u32,
    top: u32,
    bottom: u32,
    pixels: u32,
}

pub(super) fn check(grey: &GrayImage, is_said: bool) -> Option<Check> {
    if is_said {
        let message = "the file says that text is burnt into its pixels; it may name the patient and mislead the model";
        return Some(Check::new(CheckKind::BurntInText, message));
    }
    let row = longest_row(things(grey));
    (LEAST_IN_ROW <= row).then(|| {
        let message = format!(
            "text seems to be burnt in near the border: {row} sharp bright marks of one height in a row; it may name the patient"
        );
        Check::new(CheckKind::BurntInText, message)
    })
}

/// Things near the border that could be characters.
fn things(grey: &GrayImage) -> Vec<Thing> {
    let (width, height) = grey.dimensions();
    let mut seen = vec![false; grey.as_raw().len()];
    let mut found = vec![];
    for y in 0..height {
        for x in 0..width {
            if grey.get_pixel(x, y).0[0] < INK || seen[(y * width + x) as usize] {
                continue;
            }
            let thing = filled(grey, &mut seen, (x, y));
            if is_near_border(thing, width, height) && is_character(thing) && is_sharp(grey, thing)
            {
                found.push(thing);
            }
        }
    }
    found
}

/// Everything in ink that hangs together with a pixel, corners included.
fn filled(grey: &GrayImage, seen: &mut [bool], (x, y): (u32, u32)) -> Thing {
    let (width, height) = grey.dimensions();
    let mut thing = Thing { left: x, right: x, top: y, bottom: y, pixels: 0 };
    let mut open = vec![(x, y)];
    seen[(y * width + x) as usize] = true;
    while let Some((x, y)) = open.pop() {
        thing.pixels += 1;
        thing = Thing {
            left: thing.left.min(x),
            right: thing.right.max(x),
            top: thing.top.min(y),
            bottom: thing.bottom.max(y),
            ..thing
        };
        for ny in y.saturating_sub(1)..=(y + 1).min(height - 1) {
            for nx in x.saturating_sub(1)..=(x + 1).min(width - 1) {
                let place = (ny * width + nx) as usize;
                if !seen[place] && INK <= grey.get_pixel(nx, ny).0[0] {
                    seen[place] = true;
                    open.push((nx, ny));
                }
            }
        }
    }
    thing
}

fn is_near_border(thing: Thing, width: u32, height: u32) -> bool {
    let (x, y) =
        (f64::from(thing.left + thing.right) / 2.0, f64::from(thing.top + thing.bottom) / 2.0);
    let near =
        |at: f64, side: u32| at < BORDER * f64::from(side) || (1.0 - BORDER) * f64::from(side) < at;
    near(x, width) || near(y, height)
}

fn is_character(thing: Thing) -> bool {
    let (wide, high) = (thing.right - thing.left + 1, thing.bottom - thing.top + 1);
    HEIGHTS.contains(&high) && wide <= 2 * high && (wide * high) / 8 <= thing.pixels
}

/// Ink ends within two pixels: anatomy does not.
fn is_sharp(grey: &GrayImage, thing: Thing) -> bool {
    let dark = |x: Option<u32>, y: u32| {
        x.and_then(|x| grey.get_pixel_checked(x, y)).is_none_or(|pixel| pixel.0[0] < DARKER)
    };
    let rows = thing.top..=thing.bottom;
    let sharp = rows
        .clone()
        .filter(|&y| dark(thing.left.checked_sub(2), y) && dark(thing.right.checked_add(2), y))
        .count();
    let high = (thing.bottom - thing.top + 1) as usize;
    high * 8 <= sharp * 10
}

/// The most things of one height side by side.
fn longest_row(mut things: Vec<Thing>) -> usize {
    things.sort_by_key(|thing| thing.left);
    let mut longest = 0;
    let mut rows: Vec<(Thing, usize)> = vec![];
    for thing in things {
        match rows.iter_mut().rev().find(|(last, _)| follows(*last, thing)) {
            Some(row) => *row = (thing, row.1 + 1),
            None => rows.push((thing, 1)),
        }
        longest = longest.max(rows.iter().map(|row| row.1).max().unwrap_or(0));
        // Only rows that could still go on are kept: no picture makes this slow.
        rows.retain(|(last, _)| thing.left <= last.right + 3 * HEIGHTS.end());
    }
    longest
}

fn follows(last: Thing, next: Thing) -> bool {
    let high = |thing: Thing| thing.bottom - thing.top + 1;
    let (a, b) = (high(last), high(next));
    let gap = i64::from(next.left) - i64::from(last.right);
    a.abs_diff(b) * 4 <= a.max(b)
        && last.bottom.abs_diff(next.bottom) * 3 <= a
        && (0..=i64::from(a) * 2).contains(&gap)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of sticks with a foot, five pixels apart.
    fn with_row(count: u32, top: u32) -> GrayImage {
        let mut picture = GrayImage::from_pixel(200, 200, image::Luma([20]));
        for i in 0..count {
            for y in 0..9 {
                picture.put_pixel(10 + i * 7, top + y, image::Luma([255]));
            }
            picture.put_pixel(11 + i * 7, top + 8, image::Luma([255]));
        }
        picture
    }

    #[test]
    fn a_row_of_marks_at_the_border_is_text_and_one_letter_is_not() {
        let found = check(&with_row(8, 12), false).unwrap();
        assert!(found.message.contains("8 sharp"), "{}", found.message);
        assert_eq!(check(&with_row(2, 12), false), None);
        assert!(check(&with_row(0, 0), true).unwrap().message.contains("the file says"));
    }

    #[test]
    fn smooth_things_are_no_text() {
        let picture = GrayImage::from_fn(200, 200, |x, y| {
            let wave = (f64::from(x) / 6.0).sin() * (f64::from(y) / 6.0).sin();
            image::Luma([(128.0 + 127.0 * wave) as u8])
        });
        assert_eq!(check(&picture, false), None);
    }
}
