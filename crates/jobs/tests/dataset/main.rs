//! Data sets from outside: a process that is killed, and other programs that read.

#![allow(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "page")]
mod browser;
#[cfg(feature = "cloud")]
mod cloud;
mod killed;
#[cfg(feature = "page")]
mod page;
mod python;
mod support;
