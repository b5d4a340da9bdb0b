//! A conversation from a file of JSON, in the spellings that Hugging Face programs use.

use std::path::{Component, Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use medgemma_explainer::{Content, Message, Question, Role, read_file};
use serde_json::{Map, Value};

use crate::asked::{Gathered, Posed};
use crate::reading::Reader;

/// Bytes of a file of messages: more text than any model's context holds.
const LONGEST_MESSAGES: u64 = 1 << 20;

/// Where pictures may lie.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// In the folder of the file and below.
    Folder,
    /// Anywhere.
    Everywhere,
}

/// What an item of a message is before any picture is opened.
#[derive(Debug, PartialEq)]
enum Item {
    Text(String),
    Image(PathBuf),
}

/// Reads the conversation and its pictures; their paths are relative to the file.
pub(crate) fn read(path: &Path, reader: &Reader, reach: Reach) -> Result<Posed> {
    let named = |error: &dyn std::fmt::Display| anyhow!("cannot use {}: {error}", path.display());
    let bytes = read_file(path, LONGEST_MESSAGES)?;
    let turns: Value = serde_json::from_slice(&bytes).map_err(|error| named(&error))?;
    let turns = turns.as_array().ok_or_else(|| named(&"it is not a list of messages"))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    of(turns, folder, reader, reach).map_err(|error| match error.downcast::<Misspelt>() {
        Ok(misspelt) => named(&misspelt),
        Err(error) => error,
    })
}

/// What is wrong with a conversation, apart from its pictures.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Misspelt(String);

/// The conversation of some messages; paths of pictures are relative to a folder.
pub(crate) fn of(turns: &[Value], folder: &Path, reader: &Reader, reach: Reach) -> Result<Posed> {
    let (mut gathered, mut messages) = (Gathered::default(), Vec::new());
    for (index, turn) in turns.iter().enumerate() {
        let (role, items) = message(turn)
            .map_err(|error| Misspelt(format!("message {index}, counted from 0: {error}")))?;
        let mut content = Vec::new();
        for item in items {
            match item {
                Item::Text(text) => content.push(Content::Text(text)),
                Item::Image(picture) => {
                    let picture = folder.join(picture);
                    if reach == Reach::Folder && !lies_within(&picture, folder) {
                        bail!(Misspelt(format!(
                            "it names {}, which is outside of its folder; move the picture there, or add --allow-outside",
                            picture.display()
                        )));
                    }
                    content.extend(gathered.add(reader.read(&picture)?));
                }
            }
        }
        messages.push(Message { role, content });
    }
    match messages.last() {
        None => bail!(Misspelt("no message".to_owned())),
        Some(last) if last.role != Role::User => {
            bail!(Misspelt("the last message is not the user's".to_owned()))
        }
        Some(_) => Ok(Posed {
            question: Question::from_messages(gathered.pictures, messages),
            sources: gathered.sources,
            current: gathered.current,
        }),
    }
}

fn message(turn: &Value) -> Result<(Role, Vec<Item>)> {
    let turn = turn.as_object().ok_or_else(|| anyhow!("it is not an object"))?;
    known(turn, &["role", "content"])?;
    let role = match turn.get("role").and_then(Value::as_str) {
        Some("system") => Role::System,
        Some("user") => Role::User,
        Some("assistant" | "model") => Role::Assistant,
        Some(other) => bail!("unknown role {other:?}; use system, user or assistant"),
        None => bail!("it has no role"),
    };
    let items = match turn.get("content") {
        Some(Value::String(text)) => vec![Item::Text(text.clone())],
        Some(Value::Array(items)) => {
            let numbered = |(index, value): (usize, &Value)| {
                item(value).map_err(|error| anyhow!("item {index} of its content: {error}"))
            };
            items.iter().enumerate().map(numbered).collect::<Result<_>>()?
        }
        _ => bail!("its content is neither a string nor a list"),
    };
    Ok((role, items))
}

/// `{"type": "text", "text": …}`, or an image by `path`, `image`, `url` or `image_url`.
fn item(value: &Value) -> Result<Item> {
    let item = value.as_object().ok_or_else(|| anyhow!("it is not an object"))?;
    match item.get("type").and_then(Value::as_str) {
        Some("text") => {
            known(item, &["type", "text"])?;
            let text = item.get("text").and_then(Value::as_str);
            Ok(Item::Text(text.ok_or_else(|| anyhow!("it has no text"))?.to_owned()))
        }
        Some("image" | "image_url") => {
            const NAMES: [&str; 4] = ["path", "image", "url", "image_url"];
            known(item, &[&["type"], &NAMES[..]].concat())?;
            let mut named = NAMES.iter().filter_map(|name| item.get(*name));
            match (named.next(), named.next()) {
                (Some(place), None) => Ok(Item::Image(file(place)?)),
                (None, _) => bail!("it names no picture; write \"path\": \"FILE\""),
                _ => bail!("it names its picture twice"),
            }
        }
        Some(other) => bail!("unknown type {other:?}; use text or image"),
        None => bail!("it has no type; use text or image"),
    }
}

/// The file of `"FILE"`, `"file:///FILE"` or `{"url": …}`; nothing is fetched.
fn file(place: &Value) -> Result<PathBuf> {
    let place = match place {
        Value::Object(object) => {
            known(object, &["url", "detail"])?;
            object.get("url")
        }
        place => Some(place),
    };
    let text =
        place.and_then(Value::as_str).ok_or_else(|| anyhow!("its picture is not a string"))?;
    if let Some(path) = text.strip_prefix("file://") {
        return Ok(PathBuf::from(path));
    }
    match text.split_once(':') {
        Some(("http" | "https", _)) => {
            bail!("{text:?} is an address; nothing is fetched: save the picture and name the file")
        }
        Some(("data", _)) => {
            bail!("its picture is written into the message; save it and name the file")
        }
        _ => Ok(PathBuf::from(text)),
    }
}

/// Refuses names that nobody asked for: a misspelt one must not be ignored.
fn known(object: &Map<String, Value>, names: &[&str]) -> Result<()> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => bail!("{key:?} is not understood; use {}", names.join(", ")),
    }
}

/// Whether a path leads to something in the folder, links followed. Of what is not there, opening it says so.
pub(crate) fn lies_within(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => path.starts_with(folder),
        (Err(_), _) => {
            !path.components().any(|part| part == Component::ParentDir) && path.starts_with(folder)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pictures_are_named_as_hugging_face_programs_name_them() {
        for (value, expected) in [
            (json!({"type": "image", "path": "a.png"}), "a.png"),
            (json!({"type": "image", "image": "a.png"}), "a.png"),
            (json!({"type": "image", "url": "b/a.png"}), "b/a.png"),
            (json!({"type": "image_url", "image_url": {"url": "file:///b/a.png"}}), "/b/a.png"),
            (json!({"type": "image_url", "image_url": "a.png"}), "a.png"),
        ] {
            assert_eq!(item(&value).unwrap(), Item::Image(expected.into()), "{value}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (value, part) in [
            (json!({"type": "image", "url": "https://x.org/a.png"}), "nothing is fetched"),
            (json!({"type": "image", "url": "data:image/png;base64,AAAA"}), "save it"),
            (json!({"type": "image"}), "names no picture"),
            (json!({"type": "image", "path": "a", "image": "b"}), "twice"),
            (json!({"type": "image", "file": "a"}), "\"file\" is not understood"),
            (json!({"type": "video", "path": "a"}), "\"video\""),
            (json!({"text": "a"}), "no type"),
            (json!({"type": "text"}), "no text"),
            (json!("a"), "not an object"),
        ] {
            let message = item(&value).unwrap_err().to_string();
            assert!(message.contains(part), "{value}: {message}");
        }
        let turn = message(&json!({"role": "user", "content": [{"type": "text", "txt": "a"}]}));
        assert!(turn.unwrap_err().to_string().contains("item 0 of its content: \"txt\""));
    }
}
