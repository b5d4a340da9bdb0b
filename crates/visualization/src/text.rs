//! Text that is safe to draw: cleaned, measured, shortened, escaped.

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation;

use crate::escape::escape;
use crate::fonts::{Embedded, Run, advance, runs};

/// A line of text that can be drawn: no control or direction characters, single spaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line(String);

/// More characters than any figure shows; bounds the work on absurd input, also on thousands of stacked accents.
const LONGEST: usize = 512;

impl Line {
    pub(crate) fn new(text: &str) -> Self {
        let shown: String = text
            .chars()
            .take(LONGEST)
            .map(|c| if c.is_control() { ' ' } else { c })
            .filter(|&c| !is_invisible(c))
            .collect();
        let mut line = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.chars().nth(LONGEST).is_some() {
            line.push('…');
        }
        Self(line)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Width at font size `em`: the sum of the advances, without kerning and joining. Where the embedded font lacks something it
    /// is never less than what is drawn.
    pub(crate) fn width(&self, em: f64) -> f64 {
        width(&Embedded::new(), &self.0) * em
    }

    /// The line itself, or its beginning and an ellipsis, so that it is no wider than `limit` at font size `em`.
    pub(crate) fn fit(self, em: f64, limit: f64) -> Self {
        if self.width(em) <= limit {
            return self;
        }
        let embedded = Embedded::new();
        let mut left = limit / em - embedded.width("…");
        let mut ends = vec![0];
        for (at, cluster) in self.0.grapheme_indices(true) {
            left -= advance(&embedded, cluster);
            if left < 0.0 {
                break;
            }
            ends.push(at + cluster.len());
        }
        let cut = |end: usize| Self(format!("{}…", self.0[..end].trim_end()));
        // Shaping makes hardly any text wider than its characters; where it does, fewer of them fit.
        ends.into_iter()
            .rev()
            .map(cut)
            .find(|line| line.width(em) <= limit)
            .unwrap_or_else(|| cut(0))
    }

    /// The text as it is.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as XML character data.
    pub(crate) fn escaped(&self) -> Cow<'_, str> {
        escape(&self.0)
    }
}

/// In units of the font size. Shaping may widen a line, and the SVG is drawn with the fonts of its reader: the larger counts.
fn width(embedded: &Embedded, text: &str) -> f64 {
    if embedded.covers(text) {
        return embedded.width(text);
    }
    let drawn: f64 = runs(text).iter().map(Run::width).sum();
    let characters: f64 = text.graphemes(true).map(|cluster| advance(embedded, cluster)).sum();
    drawn.max(characters)
}

/// Characters that show nothing: direction marks and overrides, soft hyphen, joiners other than ZWJ and ZWNJ (Persian and
/// others need those two), variation selectors, byte order mark, annotations, tags: ranges of Unicode's format characters. And the two that no XML may
/// hold.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        Line::new(text).0
    }

    #[test]
    fn control_and_direction_characters_go() {
        assert_eq!(cleaned("  a\tb\r\n\0c\u{7f} "), "a b c");
        assert_eq!(cleaned("left\u{202e}thgir\u{2069}\u{200f}\u{feff}"), "leftthgir");
        assert_eq!(cleaned("pneumo\u{ad}thorax"), "pneumothorax");
        assert_eq!(cleaned("\u{202d}\u{1b}"), "");
        assert_eq!(cleaned("a\u{fffe}\u{ffff}"), "a");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_and_fits() {
        let word = Line::new(&"pneumonoultramicroscopic ".repeat(200));
        let fitted = word.fit(20.0, 300.0);
        assert!(fitted.0.ends_with('…') && fitted.width(20.0) <= 300.0, "{fitted:?}");
        assert!(fitted.width(20.0) > 270.0, "{fitted:?}");
        assert_eq!(Line::new("short").fit(20.0, 300.0).0, "short");
        assert_eq!(Line::new("short").fit(20.0, 0.0).0, "…");
    }

    #[test]
    fn a_cut_keeps_accents_with_their_letter() {
        let line = Line::new(&"e\u{301}".repeat(50));
        for limit in 20..60 {
            let fitted = line.clone().fit(10.0, f64::from(limit)).0;
            assert!(fitted.ends_with("\u{301}…") || fitted == "…", "{fitted:?}");
        }
    }

    #[test]
    fn markup_is_escaped() {
        let line = Line::new("<script>\"a\" & 'b'</script>");
        assert_eq!(line.escaped(), "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;");
    }

    #[test]
    fn other_fonts_are_measured_as_they_draw() {
        let width = |text: &str| Line::new(text).width(20.0);
        assert!((width("肺炎") - width("mW")).abs() < 0.1, "{}", width("肺炎"));
        assert!((width("胸") - 20.0).abs() < 1e-6, "what no font here has is a square elsewhere");
        for text in ["肺炎 left 肺炎 Wo ", "ריאות 肺", "फेफे फे", "👨\u{200d}👩 肺", "胸腔"]
            .map(|t| t.repeat(9))
        {
            let line = Line::new(&text);
            let drawn: f64 = runs(line.as_str()).iter().map(Run::width).sum();
            assert!(drawn > 0.0 && drawn <= width(&text) / 20.0, "{text}: {drawn}");
            for limit in [30.0, 77.0, 140.0] {
                let fitted = Line::new(&text).fit(20.0, limit);
                assert!(fitted.0.ends_with('…') && fitted.width(20.0) <= limit, "{fitted:?}");
            }
        }
    }

    /// hmtx of `DejaVu Sans` 2.37: 'm' is 1995 of 2048 units wide.
    #[test]
    fn widths_are_the_fonts() {
        assert!((Line::new("mm").width(2048.0) - 2.0 * 1995.0).abs() < 0.5);
    }
}
