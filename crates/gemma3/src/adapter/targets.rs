//! Which modules a configuration means: names by their end, or a regular expression for the whole name, as PEFT has them
//! (`check_target_module_exists`, `get_pattern_key`).
//!
//! The file may be anybody's: expressions are bounded in length, and in the steps that trying one takes.

use fancy_regex::{Regex, RegexBuilder};

use crate::shown::line;

/// Bytes of an expression; those that trainers write have up to a thousand.
const LONGEST: usize = 16 << 10;
/// Steps back that trying one expression with one name may take.
const STEPS: usize = 10_000;

/// A set of modules.
#[derive(Debug)]
pub(super) enum Names {
    /// Every linear map but the head.
    AllLinear,
    /// By the whole name.
    Expression(Pattern),
    /// By the end of the name.
    List(Vec<String>),
}

impl Default for Names {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Names {
    /// Whether a module is meant.
    pub(super) fn contain(&self, module: &str) -> Result<bool, String> {
        match self {
            Self::AllLinear => Ok(is_linear(module)),
            Self::Expression(pattern) => pattern.matches(module),
            Self::List(names) => Ok(names.iter().any(|name| ends_with(module, name))),
        }
    }

    /// Whether a list has exactly this name.
    pub(super) fn contain_whole(&self, module: &str) -> bool {
        matches!(self, Self::List(names) if names.iter().any(|name| name == module))
    }

    pub(super) fn is_expression(&self) -> bool {
        matches!(self, Self::Expression(_))
    }
}

fn ends_with(module: &str, name: &str) -> bool {
    let before = module.strip_suffix(name);
    before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// Whether the last segment of a name is that of a linear map in a layer.
fn is_linear(module: &str) -> bool {
    const MAPS: [&str; 10] = [
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
        "out_proj",
        "fc1",
        "fc2",
    ];
    module.rsplit('.').next().is_some_and(|last| MAPS.contains(&last))
}

/// A regular expression in the spelling of Python.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    field: &'static str,
}

impl Pattern {
    /// The expression `text` of a field, put into a larger one.
    pub(super) fn new(
        field: &'static str,
        text: &str,
        around: impl Fn(&str) -> String,
    ) -> Result<Self, String> {
        if LONGEST < text.len() {
            return Err(format!(
                "{field} has an expression of {} bytes, over {LONGEST}",
                text.len()
            ));
        }
        let regex = RegexBuilder::new(&around(text)).backtrack_limit(STEPS).build();
        let regex = regex.map_err(|error| {
            format!("{field} has {}, which is no regular expression: {error}", line(text))
        })?;
        Ok(Self { regex, field })
    }

    pub(super) fn matches(&self, module: &str) -> Result<bool, String> {
        self.regex.is_match(module).map_err(|error| self.failed(module, &error))
    }

    /// What its first group matches.
    pub(super) fn captured<'a>(&self, module: &'a str) -> Result<Option<&'a str>, String> {
        let found = self.regex.captures(module).map_err(|error| self.failed(module, &error))?;
        Ok(found.and_then(|found| found.get(1)).map(|group| group.as_str()))
    }

    fn failed(&self, module: &str, error: &fancy_regex::Error) -> String {
        let field = self.field;
        format!("{field} has an expression that cannot be tried with {}: {error}", line(module))
    }
}
