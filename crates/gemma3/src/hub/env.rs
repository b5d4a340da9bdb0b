//! What the environment says, as `huggingface_hub` and `transformers` read it.

use std::fs;
use std::path::{Path, PathBuf};

/// Tokens have about 40 bytes.
const TOKEN_LIMIT: u64 = 16 << 10;

/// The access token of the environment or of an earlier login. hf-hub has it, too, and does not give it out.
/// `home` is the folder of the Hugging Face programs.
pub(super) fn token(home: &Path) -> Option<String> {
    token_by(|name| std::env::var(name).ok(), home)
}

/// Whether the environment forbids requests.
pub(super) fn is_offline() -> bool {
    offline_by(|name| std::env::var(name).ok())
}

fn token_by(variable: impl Fn(&str) -> Option<String>, home: &Path) -> Option<String> {
    let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    if set("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some() {
        return None;
    }
    if let Some(token) = set("HF_TOKEN") {
        return Some(token.trim().to_owned());
    }
    let named = set("HF_TOKEN_PATH").map(PathBuf::from);
    [named, Some(home.join("token"))].into_iter().flatten().find_map(|path| {
        let metadata = fs::metadata(&path).ok()?;
        let small = metadata.is_file() && metadata.len() <= TOKEN_LIMIT;
        let text = small.then(|| fs::read_to_string(&path).ok())??;
        Some(text.trim().to_owned()).filter(|token| !token.is_empty())
    })
}

fn offline_by(variable: impl Fn(&str) -> Option<String>) -> bool {
    let on =
        |value: String| ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str());
    ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"].into_iter().filter_map(variable).any(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_can_forbid_requests() {
        let with = |name: &'static str, value: &'static str| {
            offline_by(move |asked| (asked == name).then(|| value.to_owned()))
        };
        assert!(
            with("HF_HUB_OFFLINE", "1")
                && with("TRANSFORMERS_OFFLINE", "True")
                && with("HF_HUB_OFFLINE", "yes")
        );
        assert!(!with("HF_HUB_OFFLINE", "0") && !with("HF_HUB_OFFLINE", "") && !with("OTHER", "1"));
    }

    #[test]
    fn the_token_is_that_of_the_variable_the_named_file_or_the_login() {
        let home = tempfile::tempdir().unwrap();
        let token = |variables: &[(&str, &str)]| {
            let value = |asked: &str| variables.iter().find(|(name, _)| *name == asked);
            token_by(|asked| value(asked).map(|(_, value)| (*value).to_owned()), home.path())
        };
        assert_eq!(token(&[]), None);
        fs::write(home.path().join("token"), "hf_login\n").unwrap();
        fs::write(home.path().join("named"), " hf_named ").unwrap();
        let named = home.path().join("named");
        let named = ("HF_TOKEN_PATH", named.to_str().unwrap());
        assert_eq!(token(&[]).as_deref(), Some("hf_login"));
        assert_eq!(token(&[named]).as_deref(), Some("hf_named"));
        assert_eq!(token(&[named, ("HF_TOKEN", "hf_variable")]).as_deref(), Some("hf_variable"));
        assert_eq!(token(&[("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        assert_eq!(token(&[("HF_TOKEN_PATH", "/dev/zero")]).as_deref(), Some("hf_login"));
    }
}
