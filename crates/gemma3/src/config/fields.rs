//! Typed access to a JSON object, with errors that name the field.

use serde_json::{Map, Value};

use crate::Error;

/// One object of a configuration and where it stands in the file.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    prefix: &'a str,
    object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The root object; `prefix` stands before every name in errors and is empty or ends in a dot.
    pub(super) fn root(value: &'a Value) -> Result<Self, Error> {
        let object =
            value.as_object().ok_or_else(|| Error::field("the top level", "is not an object"))?;
        Ok(Self { prefix: "", object })
    }

    /// The object `name`, if it is there; `prefix` names it in errors.
    pub(super) fn object(&self, name: &str, prefix: &'a str) -> Result<Option<Self>, Error> {
        self.typed(name, "an object", Value::as_object)
            .map(|found| found.map(|object| Self { prefix, object }))
    }

    /// The name of a field as errors write it.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// A value that is there and not null.
    pub(super) fn value(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// A count from 1 to `most`.
    pub(super) fn size(&self, name: &str, most: usize) -> Result<Option<usize>, Error> {
        let Some(found) = self.typed(name, "a whole number", Value::as_u64)? else {
            return Ok(None);
        };
        match usize::try_from(found) {
            Ok(size) if (1..=most).contains(&size) => Ok(Some(size)),
            _ => Err(self.wrong(name, format!("is {found}, outside of 1 to {most}"))),
        }
    }

    /// A count from 1 to `most` that has no default.
    pub(super) fn required_size(&self, name: &str, most: usize) -> Result<usize, Error> {
        self.size(name, most)?.ok_or_else(|| Error::MissingField { field: self.path(name) })
    }

    /// A finite number above zero.
    pub(super) fn positive(&self, name: &str) -> Result<Option<f64>, Error> {
        match self.typed(name, "a number", Value::as_f64)? {
            Some(found) if !(found.is_finite() && 0.0 < found) => {
                Err(self.wrong(name, format!("is {found}, but must be above zero")))
            }
            found => Ok(found),
        }
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.typed(name, "true or false", Value::as_bool)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        self.typed(name, "a string", Value::as_str)
    }

    pub(super) fn list(&self, name: &str) -> Result<Option<&'a [Value]>, Error> {
        self.typed(name, "a list", |value| value.as_array().map(Vec::as_slice))
    }

    /// A token id under either of its names.
    pub(super) fn token_id(&self, new: &str, old: &str) -> Result<Option<u32>, Error> {
        self.either(new, old, |name| self.typed(name, "a token id", as_token_id))
    }

    /// One token id or a list of them.
    pub(super) fn token_ids(&self, name: &str) -> Result<Option<Vec<u32>>, Error> {
        self.typed(name, "a token id or a list of them", |value| match value {
            Value::Array(ids) => ids.iter().map(as_token_id).collect(),
            id => as_token_id(id).map(|id| vec![id]),
        })
    }

    /// A field under its new or old name; both may stand there if they agree.
    pub(super) fn either<T: PartialEq>(
        &self,
        new: &str,
        old: &str,
        read: impl Fn(&str) -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        match (read(new)?, read(old)?) {
            (Some(a), Some(b)) if a != b => {
                Err(self.wrong(new, format!("differs from {}", self.path(old))))
            }
            (a, b) => Ok(a.or(b)),
        }
    }

    /// An error about one field.
    pub(super) fn wrong(&self, name: &str, reason: impl Into<String>) -> Error {
        Error::field(self.path(name), reason)
    }

    /// An error about a value that is understood and not computed here.
    pub(super) fn unsupported(
        &self,
        name: &str,
        found: &dyn std::fmt::Display,
        supported: &'static str,
    ) -> Error {
        Error::Unsupported { field: self.path(name), found: found.to_string(), supported }
    }

    fn typed<T>(
        &self,
        name: &str,
        what: &str,
        read: impl Fn(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let Some(value) = self.value(name) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.wrong(name, format!("is not {what}")))
    }
}

fn as_token_id(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}
