//! Jobs of files, streams and requests, done by a model that is loaded once. What a job says is plain data of the crate
//! `explanation-jobs`; here it becomes a task as the command line's is, and what came of it becomes rows.

mod ahead;
mod asked;
mod desk;
mod loaded;
mod rows;
mod spool;

pub(crate) use ahead::{Ahead, Read};
pub(crate) use asked::{Folders, Posing};
use desk::kind_of;
pub(crate) use desk::{Desk, Ended, Wants};
pub(crate) use loaded::{Loaded, WorkArgs};
use spool::Spool;
