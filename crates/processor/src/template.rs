//! The checkpoint's own chat template, rendered as transformers renders it: one that is known in this process, any other
//! apart (`worker.rs`).

mod functions;
mod job;
mod known;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json};

pub(crate) use self::job::Job;
use crate::config::token_text;
use crate::files::{Document, read_text, read_text_if_present};
use crate::message::Message;
use crate::{Error, worker};

/// Bytes of a template: Gemma 3's has 1 532, the longest of other families about 20 000.
const SOURCE_LIMIT: usize = 256 << 10;
/// Bytes a template may write beyond the texts it was given: Gemma 3's writes about 40 a turn.
const OVERHEAD_LIMIT: usize = 256 << 10;

/// A chat template and the special tokens it may name.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    path: PathBuf,
    source: String,
    /// Rendered in a process of its own.
    apart: bool,
    /// `bos_token`, `eos_token`, … as the tokenizer's configuration gives them.
    tokens: Map<String, Json>,
}

impl ChatTemplate {
    /// The file that was `given`; else looks where transformers looks: `chat_template.jinja`, `chat_template.json`, then the tokenizer's
    /// configuration. A template that is neither known nor `trusted` is rendered apart.
    pub(crate) fn read(
        dir: &Path,
        tokenizer: &Document<Map<String, Json>>,
        given: Option<&Path>,
        trusted: bool,
    ) -> Result<Self, Error> {
        let (path, source) = match given {
            Some(path) => (path.to_owned(), file(path)?),
            None => find(dir, tokenizer)?,
        };
        Self::new(path, source, special_tokens(&tokenizer.value), trusted)
    }

    /// A template out of `path`, with the special tokens that it may name.
    pub(crate) fn new(
        path: PathBuf,
        source: String,
        tokens: Map<String, Json>,
        trusted: bool,
    ) -> Result<Self, Error> {
        if source.len() > SOURCE_LIMIT {
            let found = format!("{} bytes long", source.len());
            return Err(Error::field(&path, "chat_template", &found, "at most 262144"));
        }
        let apart = !trusted && !known::is_known(&source);
        if apart && !worker::is_ready() {
            return Err(Error::UnknownTemplate { path });
        }
        let source = functions::without_generation_tags(&source);
        let template = Self { path, source, apart, tokens };
        // Compiled again for every prompt, which takes microseconds; here only to find mistakes early.
        template.run(Vec::new(), 0)?;
        Ok(template)
    }

    /// The template's text, to see which tokens it writes.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// The file that it came from.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The prompt for `messages`, ending where the model is to speak, and again with `stand_in` for every text.
    pub(crate) fn render(
        &self,
        messages: &[Message],
        stand_in: &str,
    ) -> Result<[String; 2], Error> {
        let names = [None, Some(stand_in)].map(|text| {
            let mut names = self.tokens.clone();
            names.insert("messages".into(), messages.iter().map(|m| m.to_value(text)).collect());
            names.insert("add_generation_prompt".into(), true.into());
            names
        });
        let given: usize = messages.iter().flat_map(Message::texts).map(str::len).sum();
        let prompts = self.run(names.into(), given.saturating_add(OVERHEAD_LIMIT))?;
        <[String; 2]>::try_from(prompts).map_err(|_| {
            self.failed("the process that renders it gave another number of prompts".into())
        })
    }

    fn run(&self, names: Vec<Map<String, Json>>, limit: usize) -> Result<Vec<String>, Error> {
        let job = Job { source: self.source.clone(), names, limit };
        let done = if self.apart { worker::run(&job) } else { job.run() };
        done.map_err(|message| self.failed(message))
    }

    fn failed(&self, message: String) -> Error {
        Error::Template { path: self.path.clone(), message }
    }
}

/// The text of a file with a template.
pub(crate) fn file(path: &Path) -> Result<String, Error> {
    read_text(path, SOURCE_LIMIT as u64)
}

fn find(dir: &Path, tokenizer: &Document<Map<String, Json>>) -> Result<(PathBuf, String), Error> {
    let path = dir.join("chat_template.jinja");
    if let Some(source) = read_text_if_present(&path, SOURCE_LIMIT as u64)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> Result<ChatTemplate, Error> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("chat_template.jinja"), source).unwrap();
        let config =
            serde_json::json!({ "bos_token": { "content": "<bos>" }, "eos_token": "<eos>" });
        let value = config.as_object().unwrap().clone();
        let tokenizer = Document { path: "tokenizer_config.json".into(), value };
        ChatTemplate::read(dir.path(), &tokenizer, None, true)
    }

    fn rendered(source: &str) -> String {
        let [prompt, _] = template(source).unwrap().render(&[Message::user(1, "hi")], "x").unwrap();
        prompt
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
        let error = raising.render(&[], "x").unwrap_err().to_string();
        assert!(error.contains("roles must alternate"), "{error}");
    }

    #[test]
    fn what_a_template_raises_is_cut_and_has_no_control_characters() {
        let raising =
            template("{{ raise_exception('\u{1b}[2Jred\u{202e}' ~ 'a' * 1000000) }}").unwrap();
        let error = raising.render(&[], "x").unwrap_err().to_string();
        assert!(error.contains("[2Jred") && error.contains("more characters"), "{error:.1000}");
        assert!(error.len() < 1000 && !error.contains(['\u{1b}', '\u{202e}']), "{error:.1000}");
    }

    #[test]
    fn a_template_that_nobody_has_read_needs_a_process_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("chat_template.jinja"), "x").unwrap();
        let tokenizer = Document { path: "tokenizer_config.json".into(), value: Map::new() };
        // The program of this test does not serve.
        let error = ChatTemplate::read(dir.path(), &tokenizer, None, false).unwrap_err();
        assert!(matches!(error, Error::UnknownTemplate { .. }), "{error}");
        assert!(error.to_string().contains("chat_template.jinja"), "{error}");
        let large = "x".repeat(SOURCE_LIMIT + 1);
        std::fs::write(dir.path().join("chat_template.jinja"), &large).unwrap();
        assert!(ChatTemplate::read(dir.path(), &tokenizer, None, true).is_err());
        std::fs::remove_file(dir.path().join("chat_template.jinja")).unwrap();
        let mut value = Map::new();
        value.insert("chat_template".into(), large.into());
        let tokenizer = Document { path: "tokenizer_config.json".into(), value };
        let error = ChatTemplate::read(dir.path(), &tokenizer, None, true).unwrap_err().to_string();
        assert!(
            error.contains("tokenizer_config.json") && error.contains("chat_template"),
            "{error}"
        );
    }

    #[test]
    fn endless_templates_are_stopped() {
        let looping =
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
        assert!(template(looping).unwrap().render(&[], "x").is_err());
        let writing = "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}";
        assert!(template(writing).unwrap().render(&[], "x").is_err());
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
