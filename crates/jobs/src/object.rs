//! Structs in JSON are objects.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, value::MapAccessDeserializer},
};

/// A struct that is read from an object alone. Without it, serde also takes an array of the values of its fields, whatever their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Visitor(PhantomData)).map(Self)
    }
}

struct Visitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Visitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// For `deserialize_with`.
pub(crate) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

#[cfg(test)]
mod tests {
    use crate::{Job, Target};

    #[test]
    fn an_array_is_no_object() {
        assert!(serde_json::from_str::<Target>(r#"["a"]"#).is_err());
        for json in [r#"["a",[],"P"]"#, r#"{"id":"a","prompt":"P","options":[]}"#] {
            let problem = Job::parse(json).unwrap_err();
            assert!(problem.message.contains("expected an object"), "{json}: {problem}");
        }
        let problem = Job::parse(r#"{"id":"a","prompt":"P","options":{"words":"x"}}"#).unwrap_err();
        assert!(problem.message.contains("line 1 column"), "{problem}");
    }
}
