//! Unique identifiers, made of what they stand for.

use sha2::{Digest, Sha256};

/// The class of this program's files (PS3.10 section 7.1, Implementation Class UID): how it knows what it wrote.
pub const IMPLEMENTATION_CLASS: &str = "2.25.177563081906345112470883229614205731846";

/// Makes identifiers for what is written at once.
///
/// They are SHA-256 of everything that is written and of a name for each, in the form of a UUID of version 8 (RFC 9562,
/// PS3.5 section B.2): other content has other identifiers, the same content at the same time has the same ones.
#[derive(Debug, Clone)]
pub(crate) struct Uids {
    seed: Sha256,
}

impl Uids {
    /// For this content, given piece by piece.
    pub(crate) fn new<'a>(content: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut seed = Sha256::new();
        for piece in content {
            seed.update((piece.len() as u64).to_le_bytes());
            seed.update(piece);
        }
        Self { seed }
    }

    /// The identifier with this name.
    pub(crate) fn named(&self, name: &str) -> String {
        let mut hash = self.seed.clone();
        hash.update(name.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        format!("2.25.{}", u128::from_be_bytes(bytes))
    }
}

/// Whether this is an identifier (PS3.5 section 9.1): digits between single dots, 64 characters at most.
pub(crate) fn is_uid(text: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 64 && text.contains('.') && text.split('.').all(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_valid_and_differ() {
        let uids = Uids::new([b"a".as_slice(), b"bc"]);
        let other = Uids::new([b"ab".as_slice(), b"c"]);
        assert!(is_uid(&uids.named("series")) && is_uid(IMPLEMENTATION_CLASS));
        assert_eq!(uids.named("series"), uids.named("series"));
        assert_ne!(uids.named("series"), uids.named("image"));
        assert_ne!(uids.named("series"), other.named("series"));
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in ["", "1", "1..2", "1.2.", "1.2a", "1.2 ", &format!("1.{}", "2".repeat(63))] {
            assert!(!is_uid(text), "{text}");
        }
    }
}
