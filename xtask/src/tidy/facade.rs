//! The interface of the facade: what it exports belongs to a crate that keeps it, or is its own.

/// Crates whose items may change or go, by their names in code.
const UNPROMISED: [&str; 3] = ["gemma3_tch", "attention_capture", "tch"];

const HOME: &str = "crates/explainer/src/";

/// The line of the first public item of the facade, a re-export too, that names an item of a crate that may change.
pub(crate) fn breach(path: &str, text: &str) -> Option<(usize, &'static str)> {
    if !path.starts_with(HOME) {
        return None;
    }
    let code = text.split("\n#[cfg(test)]").next().unwrap_or_default();
    let imported: Vec<&str> = statements(code, "use ")
        .filter(|(_, item)| words(item).any(is_unpromised))
        .flat_map(|(_, item)| words(item))
        .collect();
    let names =
        |item: &str| words(item).any(|word| is_unpromised(word) || imported.contains(&word));
    let (line, _) = statements(code, "pub ").find(|(_, item)| names(item))?;
    Some((
        line,
        "gemma3-tch, attention-capture and tch stay out of the facade's interface: it promises what it exports",
    ))
}

fn is_unpromised(word: &str) -> bool {
    UNPROMISED.contains(&word)
}

/// What begins with `start`, each with its line, up to where its body begins or it ends.
fn statements<'a>(code: &'a str, start: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let lines: Vec<(usize, &str)> = code
        .split_inclusive('\n')
        .scan(0, |at, line| {
            let begin = *at;
            *at += line.len();
            Some((begin, line))
        })
        .collect();
    lines
        .into_iter()
        .enumerate()
        .filter(move |(_, (_, line))| line.trim_start().starts_with(start))
        .map(move |(index, (begin, line))| {
            let rest = &code[begin..];
            // A list of imports or exports ends with its semicolon, a field with its line, everything else where its body begins.
            let is_list = line.trim_start().trim_start_matches("pub ").starts_with("use ");
            let end = if is_list { rest.find(';') } else { rest.find(['{', ';']) };
            let is_field = line.trim_end().ends_with(',') && !line.contains('(');
            let end = if is_field { line.len() } else { end.unwrap_or(rest.len()) };
            (index + 1, &rest[..end])
        })
}

/// Names that say what is meant: not `use`, `self` and the like.
fn words(item: &str) -> impl Iterator<Item = &str> {
    item.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| {
        !word.is_empty() && !["use", "self", "pub", "as", "crate", "_"].contains(word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(text: &str) -> Option<usize> {
        breach("crates/explainer/src/a.rs", text).map(|(line, _)| line)
    }

    #[test]
    fn re_exports_and_paths_are_found() {
        assert_eq!(line_of("//! A.\npub use gemma3_tch::Gemma3;\n"), Some(2));
        assert_eq!(
            line_of("pub use crate::a::A;\npub use attention_capture::{\n    Goal,\n};\n"),
            Some(2)
        );
        assert_eq!(line_of("pub struct A {\n    pub device: tch::Device,\n}\n"), Some(2));
        assert_eq!(
            line_of("pub use attention_relevancy::{Method, Pool};\nuse gemma3_tch::Gemma3;\n"),
            None
        );
    }

    #[test]
    fn imported_names_are_found_where_they_are_public() {
        let import = "use gemma3_tch::{\n    Gemma3, Sequence,\n};\n";
        let found = |item: &str| line_of(&format!("{import}{item}"));
        assert_eq!(
            found("impl A {\n    pub fn model(\n        &self,\n    ) -> &Gemma3 {\n"),
            Some(5)
        );
        assert_eq!(found("pub struct A {\n    pub model: Gemma3,\n    b: u8,\n}\n"), Some(5));
        assert_eq!(found("pub fn a() -> u8 {\n    Gemma3::load()\n}\n"), None);
        assert_eq!(found("pub struct A {\n    pub(crate) model: Gemma3,\n}\n"), None);
        assert_eq!(found("pub(crate) fn a(model: &Gemma3) {}\n"), None);
        assert_eq!(breach("crates/capture/src/a.rs", "pub use gemma3_tch::Gemma3;\n"), None);
    }
}
