//! JSON for the page's own script, written by hand: only that script reads it, so no library is needed.

use std::fmt::{Display, Write as _};

use crate::pages::escape;

/// A JSON value as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Json(String);

impl Json {
    pub(super) fn string(text: &str) -> Self {
        Self(format!("\"{}\"", escape::json(text)))
    }

    /// A string known to hold none of the characters that need an escape: base64, a data URL.
    pub(super) fn plain(text: &str) -> Self {
        debug_assert!(!text.contains(['"', '\\', '<', '&']));
        Self(format!("\"{text}\""))
    }

    /// A finite number; anything else is null.
    pub(super) fn number(value: f64) -> Self {
        if value.is_finite() { Self(value.to_string()) } else { Self::null() }
    }

    pub(super) fn count(value: usize) -> Self {
        Self(value.to_string())
    }

    pub(super) fn bool(value: bool) -> Self {
        Self(value.to_string())
    }

    pub(super) fn null() -> Self {
        Self("null".to_owned())
    }

    pub(super) fn list(items: impl IntoIterator<Item = Self>) -> Self {
        Self(format!("[{}]", joined(items)))
    }

    pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let fields = fields.into_iter().map(|(name, value)| format!("\"{name}\":{value}"));
        Self(format!("{{{}}}", joined(fields)))
    }
}

impl Display for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn joined(items: impl IntoIterator<Item = impl Display>) -> String {
    let mut out = String::new();
    for (index, item) in items.into_iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let _infallible = write!(out, "{comma}{item}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json() {
        let value = Json::object([
            ("text", Json::string("a\"<b>")),
            ("list", Json::list([Json::number(0.5), Json::number(f64::NAN), Json::count(3)])),
            ("empty", Json::list([])),
        ]);
        let text = value.to_string();
        assert_eq!(text, r#"{"text":"a\"\u003cb\u003e","list":[0.5,null,3],"empty":[]}"#);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["text"], "a\"<b>");
    }
}
