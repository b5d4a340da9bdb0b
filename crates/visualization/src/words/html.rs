//! Text relevancy as HTML.

use super::TextRelevancy;
use crate::colormap::{mix, readable_on};
use crate::scene::append;
use crate::text::escape;
use crate::{Colormap, Opacity};

/// How strongly the largest value colours paper.
const STRENGTH: Opacity = Opacity::ByValue(0.85);

impl TextRelevancy {
    /// HTML: one `<span>` a piece with its value as title, on a ground that takes its colour over white at the part of `max` the
    /// value has; `None` takes the text's own [`max`](Self::max). The span of the self term has the class `self` and a dashed
    /// outline. All text is escaped; a line break becomes `<br>`.
    ///
    /// Negative values take the low half of a diverging colour map.
    pub fn html(&self, colormap: Colormap, max: Option<f32>) -> String {
        let max = max.unwrap_or_else(|| self.max());
        let mut out = String::from("<p class=\"relevancy\">");
        for piece in &self.pieces {
            let value = piece.relevancy;
            let style = match Self::position(piece, max) {
                _ if piece.is_self => "outline:1px dashed #777".to_owned(),
                None => String::new(),
                Some(position) => {
                    let ink = colormap.at(position.copysign(value));
                    let ground = mix([255; 3], ink, STRENGTH.at(position));
                    format!("background:{};color:{}", code(ground), code(readable_on(ground)))
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

fn code([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped_and_the_self_term_does_not_flatten() {
        let tokens = [("<script>", 0.2), ("\"&'", 0.1), (" x", 1e6)];
        let html = TextRelevancy::from_tokens(tokens, &[2]).unwrap().html(Colormap::Viridis, None);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;</span>") && html.contains("&quot;&amp;&apos;"));
        assert!(html.contains(r#"class="token self" title="1.000e6 (self term)""#), "{html}");
        let strongest = mix([255; 3], Colormap::Viridis.at(1.0), 0.85);
        assert!(html.contains(&code(strongest)), "{html}");
    }

    #[test]
    fn nothing_has_no_colour() {
        let html = TextRelevancy::from_tokens([("a\nb", 0.0)], &[]).unwrap();
        let html = html.html(Colormap::Inferno, None);
        assert_eq!(html.matches("background").count(), 0);
        assert!(html.contains("a<br>b"));
    }
}
