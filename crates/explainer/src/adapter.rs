//! Adapters of fine-tuned models: where they come from, and what a loaded model has of them.

use std::fmt;
use std::path::PathBuf;

use gemma3_tch::Adapter;

use crate::error::Cause;
use crate::setters::setters;
use crate::{Error, LoadOptions, ModelSource};

/// How far from zero a weight may be.
const MOST: f64 = 100.0;

/// An adapter as PEFT writes it (LoRA, rsLoRA, DoRA), and how far its change of the weights is applied.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdapterSource {
    /// A folder with `adapter_config.json` and `adapter_model.safetensors`, or a model of the hub.
    pub source: ModelSource,
    /// 1: as it was trained; 0: not at all; between them that part of the way from the base to the fine-tuned model, weight by weight.
    pub weight: f64,
}

setters!(AdapterSource { with_weight = weight: f64 });

impl AdapterSource {
    /// As it was trained.
    pub fn new(source: ModelSource) -> Self {
        Self { source, weight: 1.0 }
    }

    /// `DIR_OR_ID` or `DIR_OR_ID=WEIGHT`, a directory or an id as [`ModelSource::parse`] tells them apart. What stands behind the last `=`
    /// is a weight if it is a number and no directory bears the whole name.
    pub fn parse(text: &str, offline: bool) -> Self {
        let whole = || Self::new(ModelSource::parse(text, None, offline));
        if PathBuf::from(text).exists() {
            return whole();
        }
        let weighted = text
            .rsplit_once('=')
            .and_then(|(place, weight)| Some((place, weight.trim().parse::<f64>().ok()?)));
        weighted.map_or_else(whole, |(place, weight)| {
            Self::new(ModelSource::parse(place, None, offline)).with_weight(weight)
        })
    }

    /// The adapter, fetched where it must be and opened.
    pub(crate) fn open(&self, options: &LoadOptions) -> Result<OpenAdapter, Error> {
        if !(-MOST..=MOST).contains(&self.weight) {
            return Err(Cause::AdapterWeight { weight: self.weight }.into());
        }
        let (folder, revision) = match &self.source {
            ModelSource::Directory(path) => (path.clone(), None),
            ModelSource::Hub { id, revision, offline, file: _ } => {
                crate::source::fetch_adapter(id, revision.as_deref(), *offline, options)?
            }
            ModelSource::Shipped(shipped) => {
                return Err(Cause::ShippedAdapter { name: shipped.name() }.into());
            }
        };
        let adapter = Adapter::open(&folder)?;
        Ok(OpenAdapter { asked: self.clone(), revision, adapter })
    }
}

/// An adapter whose files are open.
pub(crate) struct OpenAdapter {
    pub(crate) asked: AdapterSource,
    pub(crate) revision: Option<String>,
    pub(crate) adapter: Adapter,
}

impl OpenAdapter {
    /// What is said of it. `loaded`: the model that was loaded, where it was not the adapter that named it.
    pub(crate) fn applied(&self, loaded: Option<&ModelSource>) -> AppliedAdapter {
        let base = self.adapter.base_model().map(str::to_owned);
        let is_other = |loaded: &ModelSource| {
            let loaded = loaded.to_string();
            base.as_ref().is_some_and(|base| stem(base) != stem(&loaded)).then_some(loaded)
        };
        AppliedAdapter {
            source: self.asked.source.clone(),
            revision: self.revision.clone(),
            weight: self.asked.weight,
            kind: self.adapter.kind(),
            loaded_instead: loaded.and_then(is_other),
            base,
            low_rank_parts: self.adapter.low_rank_parts(),
            replaced: self.adapter.replaced().map(str::to_owned).collect(),
            changes_vision: self.adapter.changes_vision(),
            parameters: self.adapter.parameters(),
        }
    }
}

/// An adapter that a model was loaded with.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AppliedAdapter {
    /// Where it is from.
    pub source: ModelSource,
    /// The commit, for one of the hub.
    pub revision: Option<String>,
    /// How far it is applied ([`AdapterSource::weight`]).
    pub weight: f64,
    /// `LoRA`, `rsLoRA` or `DoRA`.
    pub kind: &'static str,
    /// The model that it was trained on, by its own account.
    pub base: Option<String>,
    /// The model that was loaded, where it has another name than `base`: file types and owners do not count.
    pub loaded_instead: Option<String>,
    /// How many matrices have a low-rank part.
    pub low_rank_parts: usize,
    /// Tensors that it replaces as a whole.
    pub replaced: Vec<String>,
    /// Whether it changes what pictures become.
    pub changes_vision: bool,
    /// Numbers in its file.
    pub parameters: u64,
}

impl AppliedAdapter {
    /// What its user should know; `None`: nothing.
    pub fn warning(&self) -> Option<String> {
        let (base, loaded) = (self.base.as_ref()?, self.loaded_instead.as_ref()?);
        Some(format!(
            "the adapter {} was trained on {base}, and the model that was loaded is {loaded}",
            self.source
        ))
    }
}

impl fmt::Display for AppliedAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} on {} matrices", self.source, self.kind, self.low_rank_parts)?;
        if self.changes_vision {
            write!(f, ", vision included")?;
        }
        match self.replaced.len() {
            0 => {}
            1 => write!(f, ", {} replaced", self.replaced[0])?,
            n => write!(f, ", {n} tensors replaced")?,
        }
        if f64::EPSILON < (self.weight - 1.0).abs() {
            write!(f, ", weight {}", self.weight)?;
        }
        Ok(())
    }
}

/// The name of a model without its owner or folder, and without what says how it is stored.
fn stem(name: &str) -> String {
    let last = name.trim_end_matches('/').rsplit(['/', '\\']).next().unwrap_or(name);
    let name = last.to_lowercase().replace('_', "-");
    let name = name.strip_suffix(".gguf").unwrap_or(&name);
    let mut words: Vec<&str> = name.split('-').collect();
    let is_storage = |word: &str| {
        let is_quant = word
            .strip_prefix("iq")
            .or_else(|| word.strip_prefix('q'))
            .is_some_and(|rest| rest.chars().next().is_some_and(|first| first.is_ascii_digit()));
        is_quant
            || [
                "gguf", "bnb", "4bit", "unsloth", "bf16", "f16", "f32", "nf4", "k", "m", "s", "l",
                "xl", "0", "1",
            ]
            .contains(&word)
    };
    while 1 < words.len() && words.last().is_some_and(|word| is_storage(word)) {
        words.pop();
    }
    words.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_stands_behind_the_place() {
        let parse = |text: &str| {
            let found = AdapterSource::parse(text, true);
            (found.source.to_string(), found.weight)
        };
        assert_eq!(parse("./a/b=0.5"), ("./a/b".to_owned(), 0.5));
        assert_eq!(parse("owner/name"), ("owner/name".to_owned(), 1.0));
        assert_eq!(parse("./a=b"), ("./a=b".to_owned(), 1.0));
        let folder = tempfile::tempdir().unwrap();
        let odd = folder.path().join("x=2");
        std::fs::create_dir(&odd).unwrap();
        let whole = parse(odd.to_str().unwrap());
        assert_eq!(whole, (odd.display().to_string(), 1.0));
        let far = AdapterSource::parse("./a=1e9", true).open(&LoadOptions::default());
        assert!(far.err().unwrap().to_string().contains("1000000000"));
    }

    #[test]
    fn how_a_model_is_stored_is_not_its_name() {
        let base = stem("google/medgemma-1.5-4b-it");
        for same in [
            "./medgemma-1.5-4b-it/",
            "unsloth/MedGemma-1.5-4b-it-unsloth-bnb-4bit",
            "/models/medgemma-1.5-4b-it-Q4_K_M.gguf",
            "x/medgemma-1.5-4b-it-GGUF",
        ] {
            assert_eq!(stem(same), base, "{same}");
        }
        for other in ["google/medgemma-4b-it", "google/medgemma-1.5-4b-pt", "m"] {
            assert_ne!(stem(other), base, "{other}");
        }
    }
}
