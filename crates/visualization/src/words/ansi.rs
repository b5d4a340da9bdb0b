//! Text relevancy in the colours of a terminal.

use std::borrow::Cow;

use super::TextRelevancy;
use crate::colormap::{Rgb8, mix, readable_on};
use crate::escape::append;
use crate::{Colormap, escape_controls};

/// What colours a terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColorDepth {
    /// 24 bits: `COLORTERM` is `truecolor` or `24bit`.
    #[default]
    TrueColor,
    /// The 6 × 6 × 6 cube and 24 greys of 256 colours: `TERM` ends in `256color`.
    Ansi256,
    /// Characters alone.
    None,
}

impl ColorDepth {
    /// The depth that the values of the environment variables `COLORTERM`, `TERM` and `NO_COLOR` promise. Whether there is a
    /// terminal at all, the caller must find out.
    ///
    /// ```
    /// use relevancy_visualization::ColorDepth;
    ///
    /// assert_eq!(ColorDepth::from_environment(None, Some("xterm-256color"), None), ColorDepth::Ansi256);
    /// ```
    pub fn from_environment(
        colorterm: Option<&str>,
        term: Option<&str>,
        no_color: Option<&str>,
    ) -> Self {
        if no_color.is_some_and(|value| !value.is_empty()) || term == Some("dumb") {
            return Self::None;
        }
        match (colorterm, term) {
            (Some("truecolor" | "24bit"), _) => Self::TrueColor,
            (_, Some(term)) if term.contains("direct") => Self::TrueColor,
            (_, Some(term)) if term.contains("256color") => Self::Ansi256,
            _ => Self::None,
        }
    }
}

/// Writes escape sequences of one depth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Painter(pub(crate) ColorDepth);

impl Painter {
    pub(crate) const RESET: &'static str = "\x1b[0m";

    pub(crate) fn foreground(self, out: &mut String, colour: Rgb8) {
        self.colour(out, 38, colour);
    }

    pub(crate) fn background(self, out: &mut String, colour: Rgb8) {
        self.colour(out, 48, colour);
    }

    fn colour(self, out: &mut String, plane: u8, colour: Rgb8) {
        let [r, g, b] = colour;
        match self.0 {
            ColorDepth::TrueColor => append(out, format_args!("\x1b[{plane};2;{r};{g};{b}m")),
            ColorDepth::Ansi256 => append(out, format_args!("\x1b[{plane};5;{}m", nearest(colour))),
            ColorDepth::None => {}
        }
    }
}

/// The nearest of the 240 colours that all terminals share.
fn nearest(colour: Rgb8) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance = |a: Rgb8| -> u32 {
        a.iter().zip(colour).map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
    };
    let step = |v: u8| (0..6).min_by_key(|&i| STEPS[i].abs_diff(v)).unwrap_or(0);
    let cube = colour.map(step);
    let mean = colour.iter().map(|&c| u32::from(c)).sum::<u32>() / 3;
    let grey = (mean.saturating_sub(3) / 10).min(23) as u8;
    let grey_colour = [8 + 10 * grey; 3];
    if distance(grey_colour) < distance(cube.map(|i| STEPS[i])) {
        232 + grey
    } else {
        16 + 36 * cube[0] as u8 + 6 * cube[1] as u8 + cube[2] as u8
    }
}

impl TextRelevancy {
    /// Text for a terminal: each piece on a ground of its colour at the part of `max` that its value has (`None`: the text's own
    /// [`max`](Self::max)), the self term underlined. What would be hardly coloured keeps the terminal's colours. Without
    /// colours it is [`plain`](Self::plain) text.
    ///
    /// Control characters of the text itself are escaped, as by [`escape_controls`], but for line breaks and tabs.
    pub fn ansi(&self, colormap: Colormap, max: Option<f32>, depth: ColorDepth) -> String {
        /// Below this part of the scale a colour could not be told from none.
        const LEAST: f32 = 0.04;
        if depth == ColorDepth::None {
            return printable(&self.plain()).into_owned();
        }
        let max = max.unwrap_or_else(|| self.max());
        let (mut out, painter) = (String::new(), Painter(depth));
        for piece in &self.pieces {
            let text = printable(&piece.text);
            // The ground of a space or line break would only smear.
            let (space, word) = text.split_at(text.len() - text.trim_start().len());
            let (word, after) = word.split_at(word.trim_end().len());
            out.push_str(space);
            match Self::position(piece, max) {
                _ if word.is_empty() => {}
                _ if piece.is_self => {
                    append(&mut out, format_args!("\x1b[4m{word}{}", Painter::RESET));
                }
                Some(position) if LEAST <= position => {
                    let colour = colormap.at(position.copysign(piece.relevancy));
                    // Dark ends of colour maps are lifted, so that they stand off from a dark terminal.
                    let ground = mix([110; 3], colour, 0.35 + 0.65 * position);
                    painter.background(&mut out, ground);
                    painter.foreground(&mut out, readable_on(ground));
                    out.push_str(word);
                    out.push_str(Painter::RESET);
                }
                _ => out.push_str(word),
            }
            out.push_str(after);
        }
        out
    }
}

/// Text must not steer the terminal.
fn printable(text: &str) -> Cow<'_, str> {
    escape_controls(text, &['\n', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_the_terminal() {
        let text = TextRelevancy::from_tokens([("\x1b[2Jx\r\n", 1.0), (" y", 9.0)], &[1]).unwrap();
        let ansi = text.ansi(Colormap::Inferno, None, ColorDepth::TrueColor);
        assert!(!ansi.contains("\x1b[2J") && !ansi.contains('\r'), "{ansi:?}");
        assert!(ansi.contains("\x1b[48;2;") && ansi.contains("\x1b[4my\x1b[0m"), "{ansi:?}");
        let ansi = text.ansi(Colormap::Inferno, None, ColorDepth::Ansi256);
        assert!(ansi.contains("\x1b[48;5;") && !ansi.contains(";2;"), "{ansi:?}");
        assert_eq!(
            text.ansi(Colormap::Inferno, None, ColorDepth::None),
            "\\u{1b}[2Jx[100%]\\r\n y[self]"
        );
    }

    #[test]
    fn the_nearest_of_256_colours() {
        assert_eq!(nearest([255, 0, 0]), 196);
        assert_eq!(nearest([128; 3]), 244);
        assert_eq!(nearest([0; 3]), 16);
        assert_eq!(nearest([255; 3]), 231);
    }

    #[test]
    fn depth_follows_the_environment() {
        let of = ColorDepth::from_environment;
        assert_eq!(of(Some("truecolor"), Some("xterm"), None), ColorDepth::TrueColor);
        assert_eq!(of(Some("truecolor"), Some("xterm"), Some("1")), ColorDepth::None);
        assert_eq!(of(Some("truecolor"), Some("dumb"), None), ColorDepth::None);
        assert_eq!(of(None, Some("vt100"), None), ColorDepth::None);
    }
}
