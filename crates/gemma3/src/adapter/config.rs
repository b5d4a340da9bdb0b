//! `adapter_config.json`: what an adapter is, of which every field must be understood.
//!
//! Fields and their meaning: `peft/tuners/lora/config.py` of PEFT 0.21.

use std::path::Path;

use serde_json::{Map, Value};

use super::targets::{Names, Pattern};
use crate::shown::line;
use crate::{Error, files};

/// Most entries of a list or of a table of the file that are taken.
const MOST: usize = 4096;
/// Most regular expressions of a table: each is tried with every module's name.
const MOST_PATTERNS: usize = 256;

/// Fields that say how it was trained, or name it, and change nothing of what it computes.
const HARMLESS: [&str; 14] = [
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Ways to begin training that leave the weights of the base as they are. Others (PiSSA, OLoRA, LoftQ, CorDA, …) change them, and the
/// adapter goes with the changed ones.
const BEGINNINGS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// What an adapter asks for.
#[derive(Debug)]
pub(super) struct AdapterConfig {
    /// The model that it was trained on, by id or path, and the revision of it.
    pub(super) base: Option<String>,
    pub(super) base_revision: Option<String>,
    rank: usize,
    alpha: f64,
    is_rank_stabilised: bool,
    pub(super) is_dora: bool,
    rank_pattern: Vec<(Pattern, usize)>,
    alpha_pattern: Vec<(Pattern, f64)>,
    /// Modules that have a low-rank part.
    pub(super) targets: Names,
    pub(super) excluded: Names,
    /// Numbers of the layers that `targets` means; `None`: all.
    pub(super) layers: Option<Vec<usize>>,
    layers_pattern: Vec<Pattern>,
    /// Modules whose weights are replaced as a whole.
    pub(super) modules_to_save: Vec<String>,
    /// Whether a head that is tied to the embedding follows the embedding's new weights.
    pub(super) is_tied: bool,
}

impl AdapterConfig {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let fail = |reason: String| Error::Adapter { path: path.to_owned(), reason };
        let value = files::read_json(path)?;
        let Value::Object(fields) = value else {
            return Err(fail("is no JSON object".to_owned()));
        };
        Self::parse(&Fields { fields: &fields }).map_err(fail)
    }

    fn parse(fields: &Fields<'_>) -> Result<Self, String> {
        match fields.text("peft_type")? {
            Some("LORA") => {}
            Some(other) => {
                return Err(format!("peft_type is {}; LORA is supported", line(other)));
            }
            None => return Err("has no peft_type; LORA is supported".to_owned()),
        }
        fields.check_beginning()?;
        let rank =
            fields.get("r").and_then(Value::as_u64).filter(|rank| (1..=1 << 16).contains(rank));
        let rank = rank.ok_or("has no r from 1 to 65536")? as usize;
        let alpha =
            fields.get("lora_alpha").and_then(Value::as_f64).filter(|alpha| alpha.is_finite());
        let layers = match fields.get("layers_to_transform") {
            None => None,
            Some(Value::Array(list)) if list.is_empty() => None,
            Some(value) => Some(indices(value).ok_or("layers_to_transform is no list of layers")?),
        };
        let found = Self {
            base: fields.text("base_model_name_or_path")?.map(str::to_owned),
            base_revision: fields.text("revision")?.map(str::to_owned),
            rank,
            alpha: alpha.ok_or("has no number lora_alpha")?,
            is_rank_stabilised: fields.switch("use_rslora")?,
            is_dora: fields.switch("use_dora")?,
            rank_pattern: fields.table("rank_pattern", |value| {
                value.as_u64().filter(|rank| (1..=1 << 16).contains(rank)).map(|rank| rank as usize)
            })?,
            alpha_pattern: fields
                .table("alpha_pattern", |value| value.as_f64().filter(|alpha| alpha.is_finite()))?,
            targets: fields.names("target_modules")?.ok_or("names no target_modules")?,
            excluded: fields.names("exclude_modules")?.unwrap_or_default(),
            layers,
            layers_pattern: fields
                .list("layers_pattern")?
                .iter()
                .map(|name| {
                    Pattern::new("layers_pattern", name, |own| {
                        format!(r"\A(?:.*?\.)?(?:{own})\.(\d+)\.")
                    })
                })
                .collect::<Result<_, _>>()?,
            modules_to_save: fields.list("modules_to_save")?,
            is_tied: fields.switch("ensure_weight_tying")?,
        };
        fields.switch("fan_in_fan_out")?.then_some(()).map_or(Ok(()), |()| {
            Err("fan_in_fan_out is true: the matrices of Gemma 3 are not stored so")
        })?;
        match fields.text("bias")? {
            None | Some("none" | "all" | "lora_only") => {}
            Some(other) => {
                return Err(format!("bias is {}; none, all and lora_only are known", line(other)));
            }
        }
        fields.check_rest()?;
        Ok(found)
    }

    /// The rank of a module by its name in the adapter.
    pub(super) fn rank(&self, module: &str) -> Result<usize, String> {
        Ok(by_pattern(&self.rank_pattern, module)?.unwrap_or(self.rank))
    }

    /// s of a module with that rank.
    pub(super) fn scale(&self, module: &str, rank: usize) -> Result<f64, String> {
        let alpha = by_pattern(&self.alpha_pattern, module)?.unwrap_or(self.alpha);
        let rank = rank as f64;
        Ok(alpha / if self.is_rank_stabilised { rank.sqrt() } else { rank })
    }

    /// Its kind, by the name in the literature.
    pub(super) fn kind(&self) -> &'static str {
        match (self.is_dora, self.is_rank_stabilised) {
            (true, _) => "DoRA",
            (false, true) => "rsLoRA",
            (false, false) => "LoRA",
        }
    }

    /// Whether a module, by its name in the adapter, is one that it has a low-rank part for.
    pub(super) fn is_target(&self, module: &str) -> Result<bool, String> {
        if self.excluded.contain(module)? || self.is_saved(module) {
            return Ok(false);
        }
        if self.targets.contain_whole(module) {
            return Ok(true);
        }
        if !self.targets.contain(module)? {
            return Ok(false);
        }
        match &self.layers {
            Some(layers) if !self.targets.is_expression() => {
                Ok(self.layer(module)?.is_some_and(|layer| layers.contains(&layer)))
            }
            _ => Ok(true),
        }
    }

    /// Whether a module, or one that it lies in, is replaced as a whole.
    pub(super) fn is_saved(&self, module: &str) -> bool {
        self.modules_to_save.iter().any(|saved| within(module, saved))
    }

    /// The number of the layer that a module lies in.
    fn layer(&self, module: &str) -> Result<Option<usize>, String> {
        if self.layers_pattern.is_empty() {
            let mut segments = module.split('.').skip(1);
            let number = segments.find_map(|segment| segment.parse().ok());
            return Ok(number);
        }
        for pattern in &self.layers_pattern {
            if let Some(found) = pattern.captured(module)? {
                return Ok(found.parse().ok());
            }
        }
        Ok(None)
    }
}

/// Whether a module is called `name`, by the end of its path, or lies in one that is.
fn within(module: &str, name: &str) -> bool {
    module.match_indices(name).any(|(start, _)| {
        let (before, after) = (&module[..start], &module[start + name.len()..]);
        (before.is_empty() || before.ends_with('.')) && (after.is_empty() || after.starts_with('.'))
    })
}

/// Whether a tensor belongs to a module whose path ends in `name`, be it within a word: so PEFT looks for what is replaced as a whole.
pub(super) fn belongs(tensor: &str, name: &str) -> bool {
    tensor.match_indices('.').any(|(end, _)| tensor[..end].ends_with(name))
}

fn by_pattern<T: Copy>(table: &[(Pattern, T)], module: &str) -> Result<Option<T>, String> {
    for (pattern, value) in table {
        if pattern.matches(module)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

fn indices(value: &Value) -> Option<Vec<usize>> {
    let index = |value: &Value| value.as_u64().map(|index| index as usize);
    match value {
        Value::Array(list) if list.len() <= MOST => list.iter().map(index).collect(),
        value => index(value).map(|index| vec![index]),
    }
}

/// The fields of the file; `null` is the same as nothing.
struct Fields<'a> {
    fields: &'a Map<String, Value>,
}

impl Fields<'_> {
    fn get(&self, field: &str) -> Option<&Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    fn text(&self, field: &str) -> Result<Option<&str>, String> {
        match self.get(field) {
            None => Ok(None),
            Some(value) => value.as_str().map(Some).ok_or_else(|| wrong(field, value, "a text")),
        }
    }

    fn switch(&self, field: &str) -> Result<bool, String> {
        match self.get(field) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| wrong(field, value, "true or false")),
        }
    }

    /// Texts; one alone is a list of one.
    fn list(&self, field: &str) -> Result<Vec<String>, String> {
        match self.get(field) {
            None => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one.clone()]),
            Some(value) => {
                let list = value.as_array().filter(|list| list.len() <= MOST);
                let text = |value: &Value| value.as_str().map(str::to_owned);
                let texts = list.and_then(|list| list.iter().map(text).collect());
                texts.ok_or_else(|| wrong(field, value, "a list of names"))
            }
        }
    }

    /// A list of names, or a text with a regular expression.
    fn names(&self, field: &'static str) -> Result<Option<Names>, String> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("all-linear") => {
                Ok(Some(Names::AllLinear))
            }
            Some(Value::String(text)) => {
                let whole = |own: &str| format!(r"\A(?:{own})\z");
                Ok(Some(Names::Expression(Pattern::new(field, text, whole)?)))
            }
            Some(_) => self.list(field).map(Names::List).map(Some),
        }
    }

    /// Values by regular expressions for the end of a module's name.
    fn table<T>(
        &self,
        field: &'static str,
        value_of: impl Fn(&Value) -> Option<T>,
    ) -> Result<Vec<(Pattern, T)>, String> {
        let Some(value) = self.get(field) else { return Ok(Vec::new()) };
        let Some(entries) = value.as_object() else {
            return Err(wrong(field, value, "a table"));
        };
        if MOST_PATTERNS < entries.len() {
            return Err(format!("{field} has {} entries, over {MOST_PATTERNS}", entries.len()));
        }
        let entry = |(name, value): (&String, &Value)| {
            let number = value_of(value)
                .ok_or_else(|| wrong(&format!("{field} for {}", line(name)), value, "a number"))?;
            let end = |own: &str| format!(r"\A(?:.*\.)?(?:{own})\z");
            Ok((Pattern::new(field, name, end)?, number))
        };
        entries.iter().map(entry).collect()
    }

    fn check_beginning(&self) -> Result<(), String> {
        match self.get("init_lora_weights") {
            None | Some(Value::Bool(_)) => Ok(()),
            Some(Value::String(name)) if BEGINNINGS.contains(&name.as_str()) => Ok(()),
            Some(value) => Err(format!(
                "init_lora_weights is {}: such an adapter goes with changed weights of its base; convert it with PEFT (path_initial_model_for_weight_conversion) or merge it there",
                line(&value.to_string())
            )),
        }
    }

    /// Every other field must be as if it were not there.
    fn check_rest(&self) -> Result<(), String> {
        const READ: [&str; 18] = [
            "peft_type",
            "init_lora_weights",
            "r",
            "lora_alpha",
            "use_rslora",
            "use_dora",
            "rank_pattern",
            "alpha_pattern",
            "target_modules",
            "exclude_modules",
            "layers_to_transform",
            "layers_pattern",
            "modules_to_save",
            "ensure_weight_tying",
            "fan_in_fan_out",
            "bias",
            "base_model_name_or_path",
            "revision",
        ];
        for (field, value) in self.fields {
            let known = READ.contains(&field.as_str()) || HARMLESS.contains(&field.as_str());
            if !known && !is_neutral(value) {
                return Err(format!(
                    "{} = {} is not supported; merge the adapter into its base with PEFT (merge_and_unload) and load the merged model",
                    line(field),
                    line(&value.to_string())
                ));
            }
        }
        Ok(())
    }
}

fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn wrong(field: &str, value: &Value, expected: &str) -> String {
    format!("{field} is {}, expected {expected}", line(&value.to_string()))
}
