//! Where a file is: a path, or an address in an object store.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Problem, ProblemKind};

/// A path, or an address: `s3://bucket/key`, `gs://bucket/key`, `az://container/key`.
///
/// Without the feature `cloud` an address is an error that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path.
    Local(PathBuf),
    /// An address.
    #[cfg(feature = "cloud")]
    Remote(crate::cloud::Address),
}

impl FromStr for Place {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Local(text.into()));
        };
        let wrong = |why: String| Err(Problem::new(ProblemKind::Option, why));
        let scheme = scheme.to_ascii_lowercase();
        if !["s3", "gs", "az"].contains(&scheme.as_str()) {
            return wrong(format!(
                "{text:?} is no address that is known: it begins with s3://, gs:// or az://, or is a path"
            ));
        }
        remote(&scheme, rest).or_else(|why| wrong(format!("{text:?}: {why}")))
    }
}

#[cfg(feature = "cloud")]
fn remote(scheme: &str, rest: &str) -> Result<Place, String> {
    crate::cloud::Address::new(scheme, rest).map(Place::Remote)
}

#[cfg(not(feature = "cloud"))]
fn remote(_scheme: &str, _rest: &str) -> Result<Place, String> {
    let why = "this program was built without object stores: build it with the feature `cloud`, or copy the files here and name \
               their paths";
    Err(why.to_owned())
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            #[cfg(feature = "cloud")]
            Self::Remote(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_path_or_an_address() {
        let place: Place = "a folder/x.png".parse().unwrap();
        assert_eq!(place, Place::Local("a folder/x.png".into()));
        for text in ["http://example.org/x.png", "file:///x", "://"] {
            let problem = text.parse::<Place>().unwrap_err();
            assert!(problem.message.contains("s3://"), "{problem}");
        }
    }

    #[cfg(not(feature = "cloud"))]
    #[test]
    fn an_address_needs_the_feature() {
        let problem = "s3://bucket/x.png".parse::<Place>().unwrap_err();
        assert!(problem.message.contains("feature `cloud`"), "{problem}");
    }

    #[cfg(feature = "cloud")]
    #[test]
    fn an_address_has_a_bucket_and_a_key() {
        for text in ["s3://bucket/a/b.png", "gs://b-1/x", "az://c/a b/ü", "s3://bucket/"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in ["s3://", "s3:///x", "s3://b/a//b", "s3://b/../x", "s3://b?x/y", "s3://b/a\nb"]
        {
            assert_eq!(text.parse::<Place>().unwrap_err().kind, ProblemKind::Option, "{text}");
        }
    }
}
