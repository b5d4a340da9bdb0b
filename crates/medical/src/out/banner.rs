//! Lines of text in the pixels: what must not be lost when a picture is passed on.

use super::font::{CELL, LETTER, shape};

/// What must be said, word by word.
const CAUTION: [&str; 4] = ["NOT", "FOR", "DIAGNOSTIC", "USE"];

/// The share of the picture's width that the caution takes, at most.
const SHARE: f64 = 0.5;

/// White on black.
const INK: [u8; 3] = [255; 3];

/// A picture of three bytes for each pixel, row by row.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) rgb: Vec<u8>,
}

/// What is drawn below a picture.
pub(super) struct Banner<'a> {
    /// 64 pixels or more.
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) rgb: &'a [u8],
    /// What the map explains.
    pub(super) words: &'a str,
}

impl Banner<'_> {
    /// The picture with a strip below it, so that nothing of it is hidden: what the map is of, and the caution. Pictures of one
    /// size keep one size.
    pub(super) fn drawn(&self) -> Picture {
        let (width, height) = (self.width as usize, self.height as usize);
        let caution = caution(width);
        let longest = caution.iter().map(String::len).max().unwrap_or(1);
        let scale = ((width as f64 * SHARE) as usize / (longest * CELL.0)).max(1);
        let mut lines = vec![self.about(width / (CELL.0 * scale))];
        lines.extend(caution);
        let strip = lines.len() * CELL.1 * scale + scale;
        let mut picture = Picture { width, height: height + strip, rgb: self.rgb.to_vec() };
        picture.rgb.resize(3 * width * picture.height, 0);
        for (line, text) in lines.iter().enumerate() {
            let left = width.saturating_sub(text.chars().count() * CELL.0 * scale) / 2;
            let top = height + (line * CELL.1 + 2) * scale;
            picture.write(text, left, top, scale);
        }
        picture
    }

    /// What the map is of, as far as it fits.
    fn about(&self, letters: usize) -> String {
        // No colon behind the first word: a name and a finding read as an alarm.
        let about = format!("RELEVANCY MAP OF \"{}\"", self.words.to_uppercase());
        if about.chars().count() <= letters {
            return about;
        }
        let kept: String = about.chars().take(letters.saturating_sub(3)).collect();
        kept.trim_end().to_owned() + "..."
    }
}

/// The caution on as few lines as fit without being enlarged.
fn caution(width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in CAUTION {
        match lines.last_mut() {
            Some(line) if (line.len() + 1 + word.len()) * CELL.0 <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

impl Picture {
    fn write(&mut self, text: &str, left: usize, top: usize, scale: usize) {
        for (index, letter) in text.chars().enumerate() {
            for (row, bits) in shape(letter).into_iter().enumerate() {
                let dark = |column: &usize| bits >> (LETTER.0 - 1 - column) & 1 == 1;
                for column in (0..LETTER.0).filter(dark) {
                    let x = left + (index * CELL.0 + column) * scale;
                    self.square(x, top + row * scale, scale);
                }
            }
        }
    }

    fn square(&mut self, left: usize, top: usize, side: usize) {
        for y in top..(top + side).min(self.height) {
            for x in left..(left + side).min(self.width) {
                let at = 3 * (y * self.width + x);
                self.rgb[at..at + 3].copy_from_slice(&INK);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_stays_and_the_strip_is_written() {
        for (width, words) in
            [(64, "a"), (130, "effusion"), (896, "größer als zuvor, und noch viel mehr")]
        {
            let grey = vec![90; 3 * width * 50];
            let banner = Banner { width: width as u32, height: 50, rgb: &grey, words };
            let picture = banner.drawn();
            assert_eq!(picture.rgb[..grey.len()], grey);
            assert_eq!(picture.rgb.len(), 3 * picture.width * picture.height);
            let strip = &picture.rgb[grey.len()..];
            assert!(
                strip.contains(&255) && strip[strip.len() - 3 * width..].iter().all(|v| *v == 0)
            );
        }
    }

    #[test]
    fn pictures_of_one_size_keep_one_size() {
        let grey = vec![90; 3 * 100 * 50];
        let height = |words| Banner { width: 100, height: 50, rgb: &grey, words }.drawn().height;
        assert_eq!(height("a"), height(&"many words ".repeat(50)));
    }
}
