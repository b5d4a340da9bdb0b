//! Which files hold the weights: one, or the shards that an index names.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde_json::Value;

use crate::shown::{line, quoted};
use crate::{Error, files};

/// The weights in one file.
pub(crate) const SINGLE: &str = "model.safetensors";
/// The list of shards.
pub(crate) const INDEX: &str = "model.safetensors.index.json";

/// File names of shards and, where an index says so, the tensors that each must have.
pub(crate) type Shards = BTreeMap<String, Vec<String>>;

/// Finds the weight files of a checkpoint directory. A single file wins over an index, as in transformers.
pub(super) fn find(dir: &Path) -> Result<Shards, Error> {
    if dir.join(SINGLE).exists() {
        return Ok(Shards::from([(SINGLE.to_owned(), Vec::new())]));
    }
    let path = dir.join(INDEX);
    let Some(index) = files::read_json_if_present(&path)? else {
        return Err(Error::NoWeights { path: dir.to_owned() });
    };
    parse(&index, &path)
}

/// The shards that an index names; `path` is for messages.
pub(crate) fn parse(index: &Value, path: &Path) -> Result<Shards, Error> {
    let fail = |reason: String| Error::Index { path: path.to_owned(), reason };
    let Some(map) = index.get("weight_map").and_then(Value::as_object) else {
        return Err(fail("it has no object weight_map".to_owned()));
    };
    let mut shards = Shards::new();
    for (tensor, file) in map {
        let Some(file) = file.as_str().filter(|file| is_plain_name(file)) else {
            let (tensor, file) = (quoted(tensor), line(&file.to_string()));
            return Err(fail(format!(
                "it places tensor {tensor} in {file}, which is not the name of a file beside it"
            )));
        };
        shards.entry(file.to_owned()).or_default().push(tensor.clone());
    }
    if shards.is_empty() {
        return Err(fail("its weight_map is empty".to_owned()));
    }
    Ok(shards)
}

/// Whether a name stays in its directory. Only the name counts: in the hub's cache every file is a link to elsewhere.
fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let plain = matches!(components.next(), Some(Component::Normal(first)) if first == name);
    plain
        && components.next().is_none()
        && name.ends_with(".safetensors")
        && !name.contains(['\\', '\0'])
}
