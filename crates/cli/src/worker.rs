//! `medgemma-explainer worker`: jobs as lines of JSON on stdin, outcomes as lines on stdout, in the same order.

use std::io::{self, BufRead, Read as _};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use explanation_jobs::{Job, LONGEST_LINE, Outcome, Problem, ProblemKind};
use serde::Serialize;

use crate::args::{ModelArgs, PictureArgs};
use crate::jobs::{Ahead, Ended, Folders, Read, Wants, WorkArgs};
use crate::{interrupt, output};

pub(crate) const LINES: &str = concat!(
    "Each line of stdin is a job: {\"id\": \"a\", \"images\": [\"x.png\"], \"prompt\": \"…\", \"targets\": [{\"keyword\": \"opacity\"}, ",
    "{\"answer_span\": true}], \"options\": {…}}, or \"messages\" in the place of images and prompt. A picture is a path or {\"data\": …} with its bytes in base64. ",
    "Each job gives one line on stdout, in order and at once: {\"id\", \"answer\", \"rows\", \"run\"}, or {\"id\", \"problem\"}; a line that is no job, too. ",
    "The end of stdin ends the worker. docs/scale.md has all fields."
);

#[derive(clap::Args, Debug)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// Folder that paths of pictures are relative to; the current one by default
    #[arg(long, value_name = "DIR", help_heading = "Pictures")]
    folder: Option<PathBuf>,
    /// Also give the interactive page of each job, as the field page
    #[arg(long, help_heading = "Output")]
    pages: bool,
}

/// An outcome with its page.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<String>,
}

/// Does jobs until stdin ends.
pub(crate) fn run(args: &WorkerArgs) -> Result<()> {
    let loaded = args.work.load(&args.model, &args.pictures)?;
    let folder = args.folder.clone().unwrap_or_default();
    let folders = Folders(vec![folder]);
    let mut jobs = Ahead::start(Lines::default(), args.pictures.clone(), folders)?;
    let wants = Wants { page: args.pages, ..Wants::default() };
    while let Some(ready) = jobs.next()? {
        let Ended { outcome, page, .. } = loaded.finish(ready, wants);
        if interrupt::exit_code().is_some() {
            break; // what is half done is nobody's result
        }
        write(&Line { outcome, page })?;
    }
    match interrupt::exit_code() {
        Some(_) => bail!("the worker was interrupted"),
        None => Ok(()),
    }
}

fn write(line: &Line) -> Result<()> {
    let text = serde_json::to_string(line).context("cannot write an outcome as JSON")?;
    output::answer(&text).context("cannot write to stdout")
}

/// The jobs of stdin.
#[derive(Debug, Default)]
struct Lines {
    count: u64,
}

impl Iterator for Lines {
    type Item = Result<Read>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.count += 1;
            let text = match line(&mut io::stdin().lock()) {
                Ok(Some(text)) => text,
                Ok(None) => return None,
                Err(error) => return Some(Err(error).context("cannot read stdin")),
            };
            let numbered = format!("line {}", self.count);
            return Some(Ok(match text {
                Err(problem) => (numbered, Err(problem)),
                Ok(text) if text.trim().is_empty() => continue,
                Ok(text) => {
                    let job = Job::parse(&text);
                    let id = match &job {
                        Ok(job) => Some(job.id.clone()),
                        Err(_) => Job::id_of(&text),
                    };
                    (id.unwrap_or(numbered), job)
                }
            }));
        }
    }
}

/// The next line; `None` at the end. Of one that is too long nothing is kept.
fn line(stdin: &mut impl BufRead) -> io::Result<Option<Result<String, Problem>>> {
    let mut bytes = Vec::new();
    let most = LONGEST_LINE as u64 + 1;
    stdin.by_ref().take(most).read_until(b'\n', &mut bytes)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') && LONGEST_LINE < bytes.len() {
        stdin.skip_until(b'\n')?;
        let message = format!("the line has more than {LONGEST_LINE} bytes");
        return Ok(Some(Err(Problem::new(ProblemKind::Job, message))));
    }
    let text = String::from_utf8(bytes);
    let not_text = |_| Problem::new(ProblemKind::Job, "the line is no UTF-8");
    Ok(Some(text.map_err(not_text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_too_long_or_no_text_are_passed_over_with_a_reason() {
        let mut input = b"a\n".to_vec();
        input.extend(std::iter::repeat_n(b'x', LONGEST_LINE + 5));
        input.extend(b"\n\xff\nlast");
        let mut input = io::Cursor::new(input);
        let mut next = || line(&mut input).unwrap();
        assert_eq!(next().unwrap().unwrap(), "a\n");
        assert!(next().unwrap().unwrap_err().message.contains("more than"));
        assert!(next().unwrap().unwrap_err().message.contains("UTF-8"));
        assert_eq!(next().unwrap().unwrap(), "last");
        assert!(next().is_none());
    }
}
