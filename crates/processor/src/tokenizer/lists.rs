//! The long lists of a `tokenizer.json`, bounded while they are parsed.

use std::fmt::{self, Formatter};
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use tokenizers::models::bpe::Vocab;

use super::file::{MAX_TOKEN_BYTES, MAX_TOKENS};

/// Tokens with their ids: each token and each id once.
pub(super) struct Vocabulary(pub(super) Vocab);

impl<'de> Deserialize<'de> for Vocabulary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tokens;
        impl<'de> Visitor<'de> for Tokens {
            type Value = Vocabulary;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                write!(f, "an object of at most {MAX_TOKENS} tokens with their ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vocabulary, A::Error> {
                let mut vocabulary = Vocab::new();
                let mut taken = vec![false; MAX_TOKENS];
                while let Some((token, id)) = map.next_entry::<String, u32>()? {
                    if token.len() > MAX_TOKEN_BYTES {
                        let long =
                            format!("a token of {} bytes, over {MAX_TOKEN_BYTES}", token.len());
                        return Err(A::Error::custom(long));
                    }
                    // Ids are unique and below the bound, so the list is bounded, too.
                    let place = taken.get_mut(id as usize).ok_or_else(|| {
                        A::Error::custom(format!(
                            "`{token}` has the id {id}, expected one below {MAX_TOKENS}"
                        ))
                    })?;
                    if std::mem::replace(place, true) {
                        return Err(A::Error::custom(format!("the id {id} stands there twice")));
                    }
                    if vocabulary.insert(token, id).is_some() {
                        return Err(A::Error::custom(format!(
                            "the token of id {id} stands there twice"
                        )));
                    }
                }
                Ok(Vocabulary(vocabulary))
            }
        }
        deserializer.deserialize_map(Tokens)
    }
}

/// A list of at most `N` entries.
pub(super) struct AtMost<T, const N: usize>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, const N: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const N: usize> Visitor<'de> for Entries<T, N> {
            type Value = AtMost<T, N>;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {N} entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<AtMost<T, N>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = list.next_element()? {
                    if entries.len() == N {
                        return Err(A::Error::invalid_length(N + 1, &self));
                    }
                    entries.push(entry);
                }
                Ok(AtMost(entries))
            }
        }
        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

/// Two tokens that become one: `["a", "b"]`, or `"a b"` in files of older writers.
pub(super) struct Merge(pub(super) String, pub(super) String);

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Merge;

            fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
                f.write_str("two tokens, as a list or with a space between them")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Merge, E> {
                match text.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => {
                        Ok(Merge(left.into(), right.into()))
                    }
                    _ => Err(E::custom("a merge is not two tokens with a space between them")),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Merge, A::Error> {
                let mut next = |n| {
                    list.next_element::<String>()?.ok_or_else(|| A::Error::invalid_length(n, &Self))
                };
                let pair = Merge(next(0)?, next(1)?);
                match list.next_element::<serde::de::IgnoredAny>()? {
                    Some(_) => Err(A::Error::invalid_length(3, &self)),
                    None => Ok(pair),
                }
            }
        }
        deserializer.deserialize_any(Pair)
    }
}
