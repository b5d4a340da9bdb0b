//! Data sets from outside: a process that is killed, and other programs that read.

#![allow(clippy::unwrap_used, reason = "tests")]

mod killed;
mod python;
mod support;
