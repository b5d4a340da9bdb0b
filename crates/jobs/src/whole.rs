//! Whole numbers as JSON Schema knows them: `1.0` is one, too.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};

/// A whole number that is not negative; in JSON also with a fraction of zero, as some programs write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<T>(pub T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor(PhantomData)).map(Self)
    }
}

struct Visitor<T>(PhantomData<T>);

/// The first number that no `u64` is.
const END: f64 = 18_446_744_073_709_551_616.0;

impl<T: TryFrom<u64>> de::Visitor<'_> for Visitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number that is not negative and not too large")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<T, E> {
        let wrong = |_| E::invalid_value(de::Unexpected::Unsigned(value), &self);
        value.try_into().map_err(wrong)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<T, E> {
        let is_whole = value.trunc().to_bits() == value.to_bits();
        if is_whole && (0.0..END).contains(&value) {
            return self.visit_u64(value as u64);
        }
        Err(E::invalid_value(de::Unexpected::Float(value), &self))
    }
}

/// For `deserialize_with`.
pub(crate) fn optional<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Whole<T>>::deserialize(deserializer)?.map(|Whole(value)| value))
}

/// For `deserialize_with`.
pub(crate) fn one<'de, T: TryFrom<u64>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Whole::deserialize(deserializer).map(|Whole(value)| value)
}

#[cfg(test)]
mod tests {
    use super::Whole;

    #[test]
    fn a_fraction_of_zero_is_none() {
        let read = |json| serde_json::from_str::<Whole<u32>>(json).map(|Whole(value)| value);
        for (json, value) in
            [("0", 0), ("7", 7), ("7.0", 7), ("7e2", 700), ("4294967295", u32::MAX)]
        {
            assert_eq!(read(json).unwrap(), value);
        }
        for json in ["-1", "-1.0", "7.5", "4294967296", "1e30", "\"7\"", "null", "true"] {
            assert!(read(json).is_err(), "{json}");
        }
        let most = serde_json::from_str::<Whole<u64>>("18446744073709551615").unwrap();
        assert_eq!(most, Whole(u64::MAX));
    }
}
