//! Why there is no server.

use std::{io, net::SocketAddr, path::PathBuf};

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Everybody on the network could ask.
    #[error(
        "{0} can be reached by other machines, so a token is needed: give one, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// The token is too easy.
    #[error("the token has to be {least} to {most} visible ASCII characters", least = crate::Token::LEAST, most = crate::Token::MOST)]
    Token,
    /// The file of the token cannot be read.
    #[error("the token cannot be read from {path}: {error}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is no name of a host.
    #[error("{0:?} is not the name or address of a host, such as explainer.hospital.example")]
    HostName(String),
    /// A limit that nothing fits.
    #[error("the limit {0} is 0: nothing would be served")]
    Limit(&'static str),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The store cannot be used.
    #[error("the store {path} cannot be used: {error}")]
    Store {
        /// Its folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A mistake of the program.
    #[error("the description of the interface cannot be written: {0}")]
    Description(serde_json::Error),
    /// The system gave no thread.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}
