//! Jobs of files, streams and requests, done by a model that is loaded once. What a job says is plain data of the crate
//! `explanation-jobs`; here it becomes a task as the command line's is, and what came of it becomes rows.

mod ahead;
mod asked;
mod desk;
mod loaded;
mod rows;
mod spool;

pub(crate) use ahead::{Ahead, Read, Ready};
pub(crate) use asked::{Folders, Material, Posing, message, of_kind, task};
pub(crate) use desk::{Blanks, Desk, Ended, Told, Wants, png, problem};
pub(crate) use loaded::{Loaded, WorkArgs};
pub(crate) use rows::answer_text;
pub(crate) use spool::Spool;

use desk::kind_of;
