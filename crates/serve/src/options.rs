//! What a server is started with.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Error;

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where it listens; port 0: any that is free. Anything but loopback needs a token.
    pub address: SocketAddr,
    /// Names by which it may be called, beside those of loopback and the address: what a `Host` header may say.
    pub host_names: Vec<String>,
    /// What every request for data must carry.
    pub token: Option<Token>,
    /// The folder where finished explanations are kept. Without, they are in memory alone.
    pub store: Option<PathBuf>,
    /// What it takes, and how much it keeps.
    pub limits: Limits,
    /// Where a line for each request goes.
    pub log: Log,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            host_names: Vec::new(),
            token: None,
            store: None,
            limits: Limits::default(),
            log: Log::nowhere(),
        }
    }
}

/// What a server takes, and how much it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the body of a request. What is being received at one time is at most twice this.
    pub body_bytes: usize,
    /// Bytes of the file of one picture.
    pub picture_bytes: usize,
    /// Pictures of a question; the files of a series count each.
    pub images: usize,
    /// Targets of an explanation.
    pub targets: usize,
    /// Answers and explanations that wait.
    pub queue: usize,
    /// Bytes of results and kept answers in memory. The newest stays even where it is larger.
    pub kept_bytes: u64,
    /// How long results and kept answers stay after they were last asked for.
    pub kept: Duration,
    /// Connections at one time. Further ones wait to be accepted.
    pub connections: usize,
    /// How long a client may take for the head of a request, and for the first 16 KiB of its body; and how long it may accept nothing of what
    /// is sent to it.
    pub patience: Duration,
    /// How long after its last listener has gone an item is cancelled that is to be cancelled then.
    pub left: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 128 << 20,
            picture_bytes: 64 << 20,
            images: explanation_jobs::MOST_IMAGES,
            targets: explanation_jobs::MOST_TARGETS,
            queue: 16,
            kept_bytes: 2 << 30,
            kept: Duration::from_hours(1),
            connections: 256,
            patience: Duration::from_secs(15),
            left: Duration::from_secs(3),
        }
    }
}

impl Limits {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let zero = [
            ("body_bytes", self.body_bytes == 0),
            ("picture_bytes", self.picture_bytes == 0),
            ("images", self.images == 0),
            ("targets", self.targets == 0),
            ("queue", self.queue == 0),
            ("kept_bytes", self.kept_bytes == 0),
            ("kept", self.kept.is_zero()),
            ("connections", self.connections == 0),
            ("patience", self.patience.is_zero()),
        ];
        match zero.into_iter().find(|(_, zero)| *zero) {
            Some((name, _)) => Err(Error::Limit(name)),
            None => Ok(()),
        }
    }
}

/// A secret that is sent with every request, as `Authorization: Bearer …`. Only its SHA-256 is held.
#[derive(Clone)]
pub struct Token([u8; 32]);

impl Token {
    /// Fewest characters.
    pub const LEAST: usize = 16;
    /// Most characters.
    pub const MOST: usize = 1024;

    /// Of a text; space at its ends is no part of it.
    ///
    /// # Errors
    /// [`Error::Token`]: too short, too long, or with characters that no header can carry.
    pub fn new(text: &str) -> Result<Self, Error> {
        let text = text.trim_ascii();
        let form = (Self::LEAST..=Self::MOST).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if form { Ok(Self(digest(text.as_bytes()))) } else { Err(Error::Token) }
    }

    /// Of a file.
    ///
    /// # Errors
    /// [`Error::TokenFile`], and as [`Token::new`].
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        use std::io::Read;

        let read = || {
            let mut text = String::new();
            let most = (Self::MOST + 64) as u64;
            std::fs::File::open(path)?.take(most).read_to_string(&mut text).map(|_| text)
        };
        let text = read().map_err(|error| Error::TokenFile { path: path.to_owned(), error })?;
        Self::new(&text)
    }

    /// Takes as long for one that is wrong as for the right one, whatever they share.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(&digest(given)).into()
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where a line for each request goes: method, route, status, milliseconds. Ids, names and texts are never in it.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(&str) + Send + Sync>);

impl Log {
    /// To a function, called with a line without its end.
    pub fn new(write: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }

    /// To nobody.
    pub fn nowhere() -> Self {
        Self::new(|_| {})
    }

    pub(crate) fn line(&self, line: &str) {
        (self.0)(line);
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_long_and_visible_and_not_shown() {
        let token = Token::new("0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        assert!(
            !token.is(b"0123456789abcdeg") && !token.is(b"") && !token.is(b"0123456789abcdef\n")
        );
        assert_eq!(format!("{token:?}"), "Token(…)");
        for text in
            ["", "0123456789abcde", "0123456789 abcdef", "0123456789ábcdefg", &"a".repeat(1025)]
        {
            assert!(Token::new(text).is_err(), "{text}");
        }
    }
}
