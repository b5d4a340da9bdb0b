//! The checkpoint's own chat template, rendered as transformers renders it.

mod functions;

use std::path::{Path, PathBuf};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Template};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::{Map, Value as Json};

use crate::Error;
use crate::config::token_text;
use crate::files::{CONFIG, Document, read_text_if_present};
use crate::message::Message;

/// Steps a template may take: a conversation of thousands of items needs far fewer. Steps and output are bounded; the
/// engine has no bound for a string that a template doubles in a variable, so templates are trusted that far.
const FUEL: u64 = 10_000_000;
/// Bytes a template may write beyond the texts it was given.
const OVERHEAD_LIMIT: usize = 16 << 20;

/// A chat template and the special tokens it may name.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    path: PathBuf,
    source: String,
    /// `bos_token`, `eos_token`, … as the tokenizer's configuration gives them.
    tokens: Map<String, Json>,
}

impl ChatTemplate {
    /// Looks where transformers looks: `chat_template.jinja`, `chat_template.json`, then the tokenizer's configuration.
    pub(crate) fn read(dir: &Path, tokenizer: &Document<Map<String, Json>>) -> Result<Self, Error> {
        let (path, source) = find(dir, tokenizer)?;
        let source = functions::without_generation_tags(&source);
        let template = Self { path, source, tokens: special_tokens(&tokenizer.value) };
        // Compiled again for every prompt, which takes microseconds; here only to find mistakes early.
        let compiled = Self::engine().and_then(|engine| template.compile(&engine).map(|_| ()));
        compiled.map_err(|error| template.failed(&error))?;
        Ok(template)
    }

    /// The template's text, to see which tokens it writes.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The prompt for `messages`, ending where the model is to speak. `text` may stand in for every text.
    pub(crate) fn render(&self, messages: &[Message], text: Option<&str>) -> Result<String, Error> {
        let mut names = self.tokens.clone();
        names.insert("messages".into(), messages.iter().map(|m| m.to_value(text)).collect());
        names.insert("add_generation_prompt".into(), true.into());
        let given: usize = messages.iter().flat_map(Message::texts).map(str::len).sum();
        let mut out = Bounded { bytes: Vec::new(), limit: given.saturating_add(OVERHEAD_LIMIT) };
        let mut run = || {
            let engine = Self::engine()?;
            self.compile(&engine)?.render_captured_to(Serde(&names), &mut out).map(drop)
        };
        run().map_err(|error| self.failed(&error))?;
        let utf8 = |error| Error::Template { path: self.path.clone(), message: format!("{error}") };
        String::from_utf8(out.bytes).map_err(utf8)
    }

    /// An engine set up as transformers sets up Jinja.
    fn engine<'a>() -> Result<Environment<'a>, minijinja::Error> {
        let mut engine = Environment::new();
        engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        engine.set_fuel(Some(FUEL));
        engine.set_unknown_method_callback(unknown_method_callback);
        functions::add(&mut engine);
        Ok(engine)
    }

    fn compile<'a>(
        &'a self,
        engine: &'a Environment<'a>,
    ) -> Result<Template<'a, 'a>, minijinja::Error> {
        engine.template_from_named_str("chat_template", &self.source)
    }

    fn failed(&self, error: &minijinja::Error) -> Error {
        Error::Template { path: self.path.clone(), message: describe(error) }
    }
}

/// The engine's message with its causes: what a template raised stands in the detail.
fn describe(error: &minijinja::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn find(dir: &Path, tokenizer: &Document<Map<String, Json>>) -> Result<(PathBuf, String), Error> {
    let path = dir.join("chat_template.jinja");
    if let Some(source) = read_text_if_present(&path, CONFIG.bytes)? {
        return Ok((path, source));
    }
    let holder: Option<Document<Map<String, Json>>> =
        Document::read_if_present(dir.join("chat_template.json"))?;
    for file in holder.iter().chain([tokenizer]) {
        if let Some(source) = file.value.get("chat_template").and_then(default_template) {
            return Ok((file.path.clone(), source.into()));
        }
    }
    Err(Error::NoTemplate { path: dir.into() })
}

/// A template alone, or the one called `default` of a list of named ones.
fn default_template(value: &Json) -> Option<&str> {
    let Some(list) = value.as_array() else { return value.as_str() };
    let default = list.iter().find(|entry| entry.get("name").is_some_and(|name| name == "default"));
    default?.get("template")?.as_str()
}

/// All `*_token` entries, as strings; older files nest some under `extra_special_tokens`.
fn special_tokens(config: &Map<String, Json>) -> Map<String, Json> {
    let nested = config.get("extra_special_tokens").and_then(Json::as_object);
    let entries = nested.into_iter().flatten().chain(config);
    entries
        .filter(|(name, _)| name.ends_with("_token"))
        .filter_map(|(name, value)| Some((name.clone(), token_text(value)?.into())))
        .collect()
}

/// Collects what a template writes and refuses to grow without end.
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, more: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + more.len() > self.limit {
            return Err(std::io::Error::other("the template writes without end"));
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<ChatTemplate, Error> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("chat_template.jinja"), source).unwrap();
        let config =
            serde_json::json!({ "bos_token": { "content": "<bos>" }, "eos_token": "<eos>" });
        let value = config.as_object().unwrap().clone();
        ChatTemplate::read(dir.path(), &Document { path: "tokenizer_config.json".into(), value })
    }

    fn rendered(source: &str) -> String {
        template(source).unwrap().render(&[Message::user(1, "hi")], None).unwrap()
    }

    #[test]
    fn tokens_blocks_and_python_methods_work_as_in_jinja() {
        assert_eq!(rendered("{{ bos_token }}|{{ eos_token }}"), "<bos>|<eos>");
        assert_eq!(rendered("a\n  {% if true %}\nb\n  {% endif %}\nc"), "a\nb\nc");
        assert_eq!(rendered("{{ messages[0]['role'].startswith('us') }}"), "True");
        assert_eq!(rendered("{{ messages[0].get('content')[1].text.strip() }}"), "hi");
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        assert_eq!(
            rendered("{{ {'a': [1, '<é>'], 'b': none} | tojson }}"),
            r#"{"a": [1, "<é>"], "b": null}"#
        );
        assert_eq!(rendered("{{ [1, {}] | tojson(indent=2) }}"), "[\n  1,\n  {}\n]");
    }

    #[test]
    fn generation_tags_are_transparent() {
        assert_eq!(rendered("a{% generation %}b{%- endgeneration -%} c"), "abc");
    }

    #[test]
    fn what_a_template_raises_is_the_error() {
        let raising = template("{{ raise_exception('roles must alternate') }}").unwrap();
        let error = raising.render(&[], None).unwrap_err().to_string();
        assert!(error.contains("roles must alternate"), "{error}");
    }

    #[test]
    fn endless_templates_are_stopped() {
        let looping =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(template(looping).unwrap().render(&[], None).is_err());
        let writing = "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}";
        assert!(template(writing).unwrap().render(&[], None).is_err());
    }

    #[test]
    fn a_broken_template_fails_when_it_is_read() {
        assert!(matches!(template("{% if %}"), Err(Error::Template { .. })));
    }

    #[test]
    fn named_templates_give_the_default_one() {
        let list = serde_json::json!([
            { "name": "tools", "template": "t" }, { "name": "default", "template": "d" }
        ]);
        assert_eq!(default_template(&list), Some("d"));
        assert_eq!(default_template(&"s".into()), Some("s"));
        assert_eq!(default_template(&Json::Null), None);
    }
}
