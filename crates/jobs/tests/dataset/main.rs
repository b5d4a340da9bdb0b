//! Data sets from outside: a process that is killed, and other programs that read.

#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "page")]
mod browser;
mod killed;
#[cfg(feature = "page")]
mod page;
mod python;
mod support;
