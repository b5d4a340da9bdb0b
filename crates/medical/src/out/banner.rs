//! A line of text in the pixels, in a font of seven rows: what must not be lost when a picture is passed on.

/// What the line says, word by word.
const WORDS: [&str; 4] = ["NOT", "FOR", "DIAGNOSTIC", "USE"];

/// Columns and rows of a letter, and of the cell that it stands in.
const LETTER: (usize, usize) = (5, 7);
const CELL: (usize, usize) = (6, 10);

/// The share of the picture's width that the line takes, at most.
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

/// The picture with the banner as a strip below it, so that nothing of the picture is hidden. Its width is 64 pixels or more.
pub(super) fn with_banner(width: u32, height: u32, rgb: &[u8]) -> Picture {
    let (width, height) = (width as usize, height as usize);
    let lines = lines(width);
    let longest = lines.iter().map(String::len).max().unwrap_or(1);
    let scale = ((width as f64 * SHARE) as usize / (longest * CELL.0)).max(1);
    let strip = lines.len() * CELL.1 * scale + scale;
    let mut picture = Picture { width, height: height + strip, rgb: rgb.to_vec() };
    picture.rgb.resize(3 * width * picture.height, 0);
    for (line, text) in lines.iter().enumerate() {
        let left = width.saturating_sub(text.len() * CELL.0 * scale) / 2;
        let top = height + (line * CELL.1 + 2) * scale;
        picture.write(text, left, top, scale);
    }
    picture
}

/// The words on as few lines as fit without being enlarged.
fn lines(width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in WORDS {
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
            let rows = shape(letter);
            for (row, column) in (0..LETTER.1).flat_map(|row| (0..LETTER.0).map(move |c| (row, c)))
            {
                if rows[row] >> (LETTER.0 - 1 - column) & 1 == 1 {
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

/// A letter's rows, five bits each.
fn shape(letter: char) -> [u8; LETTER.1] {
    match letter {
        'A' => [0b01110, 0b10001, 0b10001, 0b11111, 0b10001, 0b10001, 0b10001],
        'C' => [0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110],
        'D' => [0b11110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b11110],
        'E' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b11111],
        'F' => [0b11111, 0b10000, 0b10000, 0b11110, 0b10000, 0b10000, 0b10000],
        'G' => [0b01110, 0b10001, 0b10000, 0b10111, 0b10001, 0b10001, 0b01110],
        'I' => [0b01110, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
        'N' => [0b10001, 0b11001, 0b10101, 0b10101, 0b10011, 0b10001, 0b10001],
        'O' => [0b01110, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        'R' => [0b11110, 0b10001, 0b10001, 0b11110, 0b10100, 0b10010, 0b10001],
        'S' => [0b01111, 0b10000, 0b10000, 0b01110, 0b00001, 0b00001, 0b11110],
        'T' => [0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100],
        'U' => [0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110],
        _ => [0; LETTER.1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_stays_and_every_letter_is_drawn() {
        for width in [64, 130, 896] {
            let grey = vec![90; 3 * width * 50];
            let picture = with_banner(width as u32, 50, &grey);
            assert_eq!(picture.rgb[..grey.len()], grey);
            assert_eq!(picture.rgb.len(), 3 * picture.width * picture.height);
            let strip = &picture.rgb[grey.len()..];
            assert!(
                strip.contains(&255) && strip[strip.len() - 3 * width..].iter().all(|v| *v == 0)
            );
        }
        let letters = WORDS.concat();
        assert!(letters.chars().all(|letter| shape(letter) != [0; 7]));
    }
}
