//! Text relevancy without colour.

use super::TextRelevancy;

impl TextRelevancy {
    /// Plain text: after each piece its share of the relevancy of the text in percent, the self term and what was set apart
    /// excluded from the total. Values that round to zero and tokens set apart have no number; the self term is marked `[self]`.
    pub fn plain(&self) -> String {
        let total: f64 = self.others().map(|piece| f64::from(piece.relevancy.abs())).sum();
        let mut out = String::new();
        for piece in &self.pieces {
            // The mark stands before white space that ends the piece, not on the next line.
            let word = piece.text.trim_end();
            let word = if word.is_empty() { piece.text.as_str() } else { word };
            let percent = (100.0 * f64::from(piece.relevancy.abs()) / total).round();
            let sign = if piece.relevancy < 0.0 { "−" } else { "" };
            if piece.is_self && !out.is_empty() && !piece.text.starts_with(char::is_whitespace) {
                out.push(' ');
            }
            out.push_str(word);
            match percent {
                _ if word.trim().is_empty() => {}
                _ if piece.is_self => out.push_str("[self]"),
                _ if piece.is_apart => {}
                percent if percent >= 1.0 => out.push_str(&format_share(sign, percent)),
                _ => {}
            }
            out.push_str(&piece.text[word.len()..]);
        }
        out
    }
}

fn format_share(sign: &str, percent: f64) -> String {
    format!("[{sign}{percent}%]")
}
