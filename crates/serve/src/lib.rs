//! An HTTP interface for an explainer of vision-language models.
//!
#![doc = include_str!("../README.md")]

mod error;
mod id;
mod options; // what a server is started with

mod model; // what answers and explains
mod watch; // how it tells of itself meanwhile

mod engine; // a model without its type
mod estimates;
mod item; // an answer or an explanation, from queued to done
mod queue;
mod shelf; // items by id, within limits
mod store; // finished explanations on disk
mod worker;

mod body; // bytes of a request, within limits
mod events;
mod guard; // Host, Origin, token, headers, log
mod metrics;
mod openapi;
mod page;
mod problem;
mod request; // what may be asked, as JSON
mod routes;
mod view; // what is answered, as JSON

mod server;

pub use error::Error;
pub use model::{
    Answered, Asked, Content, Explained, Message, Model, ModelCard, Picture, Role, ShownPicture,
};
pub use options::{Limits, Log, ServerOptions, Token};
pub use server::{Running, Stopped, Stopper, serve};
pub use watch::{Progress, Step, Watch};
