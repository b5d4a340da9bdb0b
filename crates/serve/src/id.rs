//! Names of items.

use std::fmt;

/// 128 random bits: nobody finds an item by trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u128);

/// Hexadecimal digits of an id.
const DIGITS: usize = 32;

impl Id {
    pub(crate) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    /// The id of exactly the text that [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let form = text.len() == DIGITS
            && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        form.then(|| u128::from_str_radix(text, 16).ok().map(Self)).flatten()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_form_is_an_id() {
        let id = Id::random().unwrap();
        assert_eq!(Id::parse(&id.to_string()), Some(id));
        assert_ne!(Id::random().unwrap(), id);
        let upper = "A".repeat(32);
        let plus = format!("+{}", "1".repeat(31));
        for text in ["", "1", "../../etc/passwd", &upper, &plus, &"1".repeat(33)] {
            assert_eq!(Id::parse(text), None, "{text}");
        }
    }
}
