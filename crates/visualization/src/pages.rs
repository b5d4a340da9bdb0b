//! What the HTML pages of this crate share: how they look, how text and pictures get into them, and that nothing else does.
//!
//! A page is one file that asks nothing of any network: [`policy`] allows the style sheet and the script that stand in it, by their
//! hashes, and [`escape`] makes every text of others harmless. The style of every page begins with `pages/assets/common.css`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

pub use input::{Fact, Tone};

pub(crate) mod escape;
pub(crate) mod markup;
pub(crate) mod picture;

mod input;

/// Nothing but this very style, this very script, and pictures from the sources named; no request can leave. A page without a script
/// allows none.
pub(crate) fn policy(style: &str, script: Option<&str>, pictures: &str) -> String {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let script =
        script.map_or_else(String::new, |text| format!("script-src 'sha256-{}'; ", hash(text)));
    format!(
        "default-src 'none'; {script}style-src 'sha256-{}'; img-src {pictures}; base-uri 'none'; form-action 'none'",
        hash(style)
    )
}

/// Replaces every `{{place}}` in one pass, so that what was put in is never searched for places.
pub(crate) fn filled<'a>(template: &'a str, text: impl Fn(&str) -> &'a str) -> String {
    let mut parts = template.split("{{");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (place, rest) = part.split_once("}}").unwrap_or(("", part));
        out += text(place);
        out += rest;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_not_searched() {
        let page = filled("a{{one}}b{{two}}", |place| if place == "one" { "{{two}}" } else { "2" });
        assert_eq!(page, "a{{two}}b2");
    }

    #[test]
    fn a_page_without_a_script_allows_none() {
        let policy = policy("", None, "data:");
        assert!(
            !policy.contains("script-src") && policy.starts_with("default-src 'none'; style-src")
        );
        // The SHA-256 of nothing.
        assert!(policy.contains("'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"));
    }
}
