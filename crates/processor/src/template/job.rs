//! Compiling and rendering: what the engine is asked to do, with bounds of steps and output.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::functions;
use crate::quote::shown;

/// Steps a template may take: a conversation of thousands of items needs far fewer. Steps and output are bounded here; what a
/// template does inside a step, and with the memory of its variables, is bounded where a job of an unknown one runs.
const FUEL: u64 = 10_000_000;

/// A template to compile, and to render once for each of `names`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) source: String,
    /// What the template may name, for each rendering.
    pub(crate) names: Vec<Map<String, Json>>,
    /// Bytes that a rendering may have.
    pub(crate) limit: usize,
}

impl Job {
    /// The renderings, or what was wrong with the template: short and without control characters.
    pub(crate) fn run(&self) -> Result<Vec<String>, String> {
        self.render_all().map_err(|error| shown(&describe(&error)))
    }

    fn render_all(&self) -> Result<Vec<String>, minijinja::Error> {
        let engine = engine()?;
        let template = engine.template_from_named_str("chat_template", &self.source)?;
        let render = |names| {
            let mut out = Bounded { bytes: Vec::new(), limit: self.limit };
            template.render_captured_to(Serde(names), &mut out)?;
            String::from_utf8(out.bytes)
                .map_err(|error| minijinja::Error::new(ErrorKind::WriteFailure, error.to_string()))
        };
        self.names.iter().map(render).collect()
    }
}

/// An engine set up as transformers sets up Jinja.
fn engine() -> Result<Environment<'static>, minijinja::Error> {
    let mut engine = Environment::new();
    engine.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    engine.set_fuel(Some(FUEL));
    engine.set_unknown_method_callback(unknown_method_callback);
    functions::add(&mut engine);
    Ok(engine)
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
