//! Text relevancy as HTML.

use super::TextRelevancy;
use crate::Colormap;
use crate::escape::{append, escape};

/// Opacity of the ground at the largest value; the text on it stays readable in black and in white.
const STRENGTH: f32 = 0.6;
/// The part of a sequential scale that gives the hue: saturated, neither near black nor near white.
const HUE: f32 = 0.62;

impl TextRelevancy {
    /// HTML: one `<span>` a piece with its value as title, on a ground whose opacity grows with the part of `max` that the value
    /// has; `None` takes the text's own [`max`](Self::max). The hue is one of the colour map's, and of a diverging one the end
    /// that the sign belongs to, so that more is more on a light page and on a dark one. The span of the self term has the class
    /// `self` and a dashed outline. All text is escaped; a line break becomes `<br>`.
    pub fn html(&self, colormap: Colormap, max: Option<f32>) -> String {
        let max = max.unwrap_or_else(|| self.max());
        let mut out = String::from("<p class=\"relevancy\" dir=\"auto\">");
        for piece in &self.pieces {
            let value = piece.relevancy;
            let style = match Self::position(piece, max) {
                _ if piece.is_self => "outline:1px dashed #777".to_owned(),
                None => String::new(),
                Some(position) => {
                    let hue = if colormap.is_diverging() { 1.0 } else { HUE };
                    let [r, g, b] = colormap.at(hue.copysign(value));
                    format!("background:rgba({r},{g},{b},{:.3})", STRENGTH * position)
                }
            };
            let class = if piece.is_self { "token self" } else { "token" };
            let note = if piece.is_self { " (self term)" } else { "" };
            let words = escape(&piece.text).replace('\n', "<br>");
            append(
                &mut out,
                format_args!(
                    r#"<span class="{class}" title="{value:.3e}{note}" style="{style}">{words}</span>"#
                ),
            );
        }
        out.push_str("</p>");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_the_self_term_does_not_flatten() {
        let tokens = [("<script>", 0.2), ("\"&'", 0.1), (" x", 1e6)];
        let html = TextRelevancy::from_tokens(tokens, &[2]).unwrap().html(Colormap::Viridis, None);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;</span>") && html.contains("&quot;&amp;&#39;"));
        assert!(html.contains(r#"class="token self" title="1.000e6 (self term)""#), "{html}");
        assert!(html.contains(",0.600)") && html.contains(",0.300)"), "{html}");
    }

    #[test]
    fn nothing_has_no_colour() {
        let html = TextRelevancy::from_tokens([("a\nb", 0.0)], &[]).unwrap();
        let html = html.html(Colormap::Inferno, None);
        assert_eq!(html.matches("background").count(), 0);
        assert!(html.contains("a<br>b"));
    }
}
