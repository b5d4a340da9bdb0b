//! What phantoms promise, over many seeds.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

mod files; // sets on disk
mod findings; // where they are and what they change
mod pictures; // the same bytes, the same look
mod scenes; // what a distribution draws
