//! Text that is safe to draw: cleaned, measured, shortened, escaped.
//!
//! The embedded font is `DejaVu Sans` 2.37 (licence beside it in `fonts/`): Latin, Greek, Cyrillic, Armenian, Georgian, Arabic,
//! Hebrew and much more, but no Chinese, Japanese, Korean or Indic scripts and few emoji. In pixels, what the font lacks
//! becomes `·`, one for each character that a reader sees.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use resvg::usvg::fontdb;
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};
use unicode_segmentation::UnicodeSegmentation;

/// The family name of the embedded font.
pub(crate) const FAMILY: &str = "DejaVu Sans";

static FONT: &[u8] = include_bytes!("../fonts/DejaVuSans.ttf");

/// The embedded font as resvg wants it. System fonts stay out: the same pixels on every machine.
pub(crate) fn fonts() -> Arc<fontdb::Database> {
    static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
        let mut fonts = fontdb::Database::new();
        fonts.load_font_data(FONT.to_vec());
        Arc::new(fonts)
    });
    FONTS.clone()
}

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

    /// Width at font size `em`: the sum of the advances, without kerning and joining. A character that the font lacks counts
    /// as a square, which Chinese characters and emoji are.
    pub(crate) fn width(&self, em: f64) -> f64 {
        Font::new().width(&self.0) * em
    }

    /// The line itself, or its beginning and an ellipsis, so that it is no wider than `limit` at font size `em`.
    pub(crate) fn fit(self, em: f64, limit: f64) -> Self {
        if self.width(em) <= limit {
            return self;
        }
        let font = Font::new();
        let mut left = limit / em - font.advance('…');
        let mut end = 0;
        for (at, cluster) in self.0.grapheme_indices(true) {
            left -= font.width(cluster);
            if left < 0.0 {
                break;
            }
            end = at + cluster.len();
        }
        Self(format!("{}…", self.0[..end].trim_end()))
    }

    /// The text as XML character data.
    pub(crate) fn escaped(&self) -> Cow<'_, str> {
        escape(&self.0)
    }
}

/// Text as XML character data or as the value of an attribute.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The text with `·` in place of what the font lacks: one for a character with all that joins it, as an emoji of a family or a
/// letter with marks; marks alone that the font lacks are left out.
pub(crate) fn with_dots(text: &str) -> Cow<'_, str> {
    let font = Font::new();
    if text.is_ascii() || text.chars().all(|c| font.has(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for cluster in text.graphemes(true) {
        match cluster.chars().next() {
            Some(first) if !font.has(first) && !first.is_ascii() => shown.push('·'),
            _ => shown.extend(cluster.chars().filter(|&c| c.is_ascii() || font.has(c))),
        }
    }
    Cow::Owned(shown)
}

/// Characters that show nothing: direction marks and overrides, soft hyphen, joiners other than ZWJ and ZWNJ (Persian and
/// others need those two), variation selectors, byte order mark, annotations, tags. Ranges of Unicode's format characters.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// Coverage and advances of the embedded font.
struct Font {
    characters: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
}

impl Font {
    fn new() -> Self {
        let font = FontRef::new(FONT).expect("the embedded font is a font");
        Self {
            characters: font.charmap(),
            metrics: font.glyph_metrics(Size::new(1.0), LocationRef::default()),
        }
    }

    fn has(&self, c: char) -> bool {
        self.characters.map(c).is_some()
    }

    /// In units of the font size.
    fn advance(&self, c: char) -> f64 {
        let Some(glyph) = self.characters.map(c) else { return 1.0 };
        f64::from(self.metrics.advance_width(glyph).unwrap_or_default())
    }

    fn width(&self, text: &str) -> f64 {
        text.chars().map(|c| self.advance(c)).sum()
    }
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
    }

    #[test]
    fn what_the_font_lacks_is_a_dot_and_no_box() {
        assert_eq!(with_dots("肺炎 x"), "·· x");
        assert_eq!(cleaned("肺炎 x"), "肺炎 x");
        let known = "Épanchement Пневмония πλεύρα ذات ריאות";
        assert_eq!(with_dots(known), known);
        assert_eq!(with_dots("\u{fffe}\u{ffff}\u{e000}"), "···");
        assert_eq!(with_dots("a\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}b"), "a·b", "one family");
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
        assert_eq!(
            line.escaped(),
            "&lt;script&gt;&quot;a&quot; &amp; &apos;b&apos;&lt;/script&gt;"
        );
    }

    /// hmtx of `DejaVu Sans` 2.37: 'm' is 1995 of 2048 units wide.
    #[test]
    fn widths_are_the_fonts() {
        assert!((Line::new("mm").width(2048.0) - 2.0 * 1995.0).abs() < 0.5);
    }
}
