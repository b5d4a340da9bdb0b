//! Jobs of files, streams and requests, done by a model that is loaded once. What a job says is plain data of the crate
//! `explanation-jobs`; here it becomes a task as the command line's is, and what came of it becomes rows.

mod asked;
mod desk;
mod rows;
mod spool;

pub(crate) use asked::{Folders, Posing};
pub(crate) use desk::{Desk, Ended, Wants, kind_of};
pub(crate) use spool::Spool;
