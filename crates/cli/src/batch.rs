//! `medgemma-explainer batch`: a file of jobs, done by a model that is loaded once; results as one Parquet data set.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use explanation_jobs::{
    DataSet, Entry, Header, Index, JobFile, Opening, Outcome, Place, Shard, Summary, write_index,
};
use indicatif::ProgressBar;
use medgemma_explainer::sha256;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::args::{ModelArgs, PictureArgs};
use crate::jobs::{Ahead, Ended, Folders, Loaded, Read, Ready, Wants, WorkArgs};
use crate::{interrupt, output, progress, whole};

pub(crate) const JOBS: &str = concat!(
    "Each line of --jobs is a job: {\"id\": \"a\", \"images\": [\"x.png\"], \"prompt\": \"…\", \"targets\": [{\"keyword\": \"opacity\"}, ",
    "{\"answer_span\": true}], \"options\": {…}}, or \"messages\" in the place of images and prompt. Paths are relative to the folder of the file, or, ",
    "where there is none, to the current one. docs/scale.md has all fields.\n\n",
    "Files in --out: results/*.parquet, one data set with a row for each target and one for each job that failed; index.html, thumbnails that sort and filter; ",
    "with --pages pages/ID.html, with --folders folders/ID/. The same command goes on where it was stopped or killed: no job is lost or done twice. ",
    "In an array of Slurm and in an indexed job of Kubernetes each process takes its part by itself.\n\n",
    "Exit code 0: every job has its rows; 3: some failed, and their rows say why."
);

#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct BatchArgs {
    #[command(flatten)]
    pub(crate) model: ModelArgs,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    work: WorkArgs,
    /// File of jobs, one a line; in a build with the feature cloud also an address (s3://, gs://, az://)
    #[arg(long, value_name = "FILE", help_heading = "Jobs")]
    jobs: Place,
    /// Only part I of N of the jobs, counted from 0; by default what variables of Slurm or Kubernetes say, else all
    #[arg(long, value_name = "I/N", help_heading = "Jobs")]
    shard: Option<Shard>,
    /// Do jobs again that failed in an earlier run
    #[arg(long, help_heading = "Jobs")]
    retry_errors: bool,
    /// Folder for the results; created if needed. A batch of the same model in it is gone on with. In a build with the feature cloud
    /// also an address
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    out: Place,
    /// Folder of this machine for what is done and not yet at an --out that is an address; a batch is gone on with in the same one
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    journal: Option<PathBuf>,
    /// Also write the interactive page of each job
    #[arg(long, help_heading = "Output")]
    pages: bool,
    /// Also write the folder of each job, as explain does
    #[arg(long, help_heading = "Output")]
    folders: bool,
    /// Keep no small pictures of the maps in the data set, which are most of its bytes
    #[arg(long, help_heading = "Output")]
    no_thumbnails: bool,
    /// Do not write index.html, which reads the whole data set
    #[arg(long, help_heading = "Output")]
    no_index: bool,
}

/// Not every job has its rows.
#[derive(Debug, thiserror::Error)]
#[error(
    "{failed} of {jobs} jobs failed; their rows say why (kind = 'error'), and --retry-errors does them again"
)]
pub(crate) struct Failed {
    failed: u64,
    jobs: u64,
}

/// Bytes of a file of jobs that is fetched.
#[cfg(feature = "cloud")]
const LARGEST_FILE: u64 = 64 << 30;

/// What came of a job, and a small picture for each of its rows that has a map.
type Finished = (Outcome, Vec<Option<Vec<u8>>>);

/// How often a line says how far the batch is, where there is no terminal.
const LINE: Duration = Duration::from_secs(30);

/// Does all jobs that are not done.
pub(crate) fn run(args: &BatchArgs) -> Result<()> {
    args.check()?;
    let (file, _fetched) = args.job_file()?;
    let shard = args.shard()?;
    let loaded = args.work.load(&args.model, &args.pictures)?;
    let opening = Opening { retry_errors: args.retry_errors, ..Opening::default() };
    let mut set = args.data_set(&args.header(&loaded)?, shard, opening)?;

    let todo = todo(&file, |id| shard.has(id) && !set.is_done(id))?;
    let left = todo.iter().filter(|is_wanted| **is_wanted).count() as u64;
    let mut jobs = Ahead::start(wanted(&file, todo)?, args.pictures.clone(), args.paths())?;
    let mut told = Told::new(left)?;
    while let Some(ready) = jobs.next()? {
        let Some((outcome, thumbnails)) = args.finish(&loaded, ready)? else { break };
        set.add(&outcome, &thumbnails)?;
        told.done(outcome.problem.is_some());
    }
    drop(told);
    let summary = set.finish()?;
    args.print(&summary)?;
    if interrupt::exit_code().is_some() {
        bail!("the batch was interrupted; the same command goes on with it");
    }
    match summary {
        Summary { errors: 0, .. } => Ok(()),
        Summary { errors: failed, jobs, .. } => Err(Failed { failed, jobs }.into()),
    }
}

impl BatchArgs {
    fn shard(&self) -> Result<Shard> {
        if let Some(shard) = self.shard {
            return Ok(shard);
        }
        Ok(match Shard::from_env(|name| std::env::var(name).ok())? {
            None => Shard::WHOLE,
            Some(found) => {
                let variables = found.variables.join(" and ");
                output::note(format_args!("part {} of the jobs, by {variables}", found.shard));
                found.shard
            }
        })
    }

    /// What all jobs share and what changes numbers.
    fn header(&self, loaded: &Loaded) -> Result<Header> {
        let explainer = loaded.explainer();
        let record = explainer.model_record(false)?;
        let adapters = record.adapters.iter().flat_map(|adapter| &adapter.files);
        let files = record.files.iter().chain(adapters);
        let mut pictures = serde_json::to_value(&self.pictures)?;
        if let Some(fields) = pictures.as_object_mut() {
            fields.remove("keep_identifiers"); // changes no number
        }
        Ok(Header {
            program: concat!("medgemma-explainer ", env!("CARGO_PKG_VERSION")).to_owned(),
            model_sha256: files.filter_map(|file| file.sha256.clone()).collect(),
            settings: json!({ "dtype": explainer.inspection().dtype(), "pictures": pictures }),
            model: record.source,
        })
    }

    /// What does not go with an address.
    fn check(&self) -> Result<()> {
        let is_local = self.local_out().is_some();
        if !is_local && (self.pages || self.folders) {
            bail!(
                "--pages and --folders are written to a folder of this machine: give one as --out"
            );
        }
        if !is_local && self.journal.is_none() {
            bail!(
                "--out is an address: add --journal DIR, a folder of this machine for what is done and not yet there"
            );
        }
        if is_local && self.journal.is_some() {
            bail!("--journal is for an --out that is an address; a folder has its own");
        }
        Ok(())
    }

    /// The folder for results, where it is one of this machine.
    #[cfg_attr(
        not(feature = "cloud"),
        expect(clippy::unnecessary_wraps, reason = "there are no addresses")
    )]
    fn local_out(&self) -> Option<&Path> {
        match &self.out {
            Place::Local(path) => Some(path),
            #[cfg(feature = "cloud")]
            Place::Remote(_) => None,
        }
    }

    /// The jobs; and the temporary file that holds them, where they were fetched.
    fn job_file(&self) -> Result<(JobFile, Option<NamedTempFile>)> {
        match &self.jobs {
            Place::Local(path) => Ok((JobFile::open(path)?, None)),
            #[cfg(feature = "cloud")]
            Place::Remote(address) => {
                let file = crate::stores::cloud()?.download(address, LARGEST_FILE)?;
                Ok((JobFile::open(file.path())?, Some(file)))
            }
        }
    }

    fn data_set(&self, header: &Header, shard: Shard, opening: Opening) -> Result<DataSet> {
        match &self.out {
            Place::Local(path) => Ok(DataSet::open(path, header, shard, opening)?),
            #[cfg(feature = "cloud")]
            Place::Remote(address) => {
                let local = self.journal.as_deref().unwrap_or(Path::new("."));
                let cloud = crate::stores::cloud()?;
                let set = explanation_jobs::cloud::RemoteSet { cloud, address, local };
                Ok(DataSet::open_remote(set, header, shard, opening)?)
            }
        }
    }

    /// Where paths of jobs lead.
    fn paths(&self) -> Folders {
        let folder = match &self.jobs {
            Place::Local(path) => path.parent().map(Path::to_owned),
            #[cfg(feature = "cloud")]
            Place::Remote(_) => None,
        };
        Folders(folder.into_iter().chain([PathBuf::new()]).collect())
    }

    /// What came of a job, with its thumbnails; `None` where a signal ended it. Its page and folder are there before its rows.
    fn finish(&self, loaded: &Loaded, ready: Ready) -> Result<Option<Finished>> {
        let name = file_name(&ready.id);
        let out = self.local_out().unwrap_or(Path::new(""));
        let folder = out.join("folders").join(&name);
        let wants = Wants {
            page: self.pages,
            thumbnails: !self.no_thumbnails,
            folder: self.folders.then_some(folder.as_path()),
            archive: None,
        };
        let Ended { outcome, page, thumbnails } = loaded.finish(ready, wants);
        if interrupt::exit_code().is_some() {
            return Ok(None); // what is half done is nobody's result
        }
        if let Some(page) = page {
            let path = out.join("pages").join(format!("{name}.html"));
            whole::write(&path, page.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(Some((outcome, thumbnails)))
    }

    fn print(&self, summary: &Summary) -> Result<()> {
        let Summary { rows, jobs, errors } = summary;
        output::line(format_args!(
            "{}/results  {rows} rows of {jobs} jobs, of which {errors} failed",
            self.out
        ));
        if self.no_index {
            return Ok(());
        }
        let out = self.local_out();
        let link = |id: &str| {
            let name = file_name(id);
            let page = format!("pages/{name}.html");
            let report = format!("folders/{name}/report.html");
            [page, report].into_iter().find(|path| out.is_some_and(|out| out.join(path).is_file()))
        };
        let index = Index { title: "Explanations", link: &link };
        match &self.out {
            Place::Local(path) => write_index(path, &index)?,
            #[cfg(feature = "cloud")]
            Place::Remote(address) => {
                explanation_jobs::write_index_remote(crate::stores::cloud()?, address, &index)?
            }
        };
        output::line(format_args!("{}/index.html", self.out));
        Ok(())
    }
}

/// For each job of a file, in order, whether it is wanted.
fn todo(file: &JobFile, mut wanted: impl FnMut(&str) -> bool) -> Result<Vec<bool>> {
    let mut todo = Vec::new();
    let entries = file.entries(|id| {
        todo.push(wanted(id));
        false
    })?;
    for entry in entries {
        entry?;
    }
    Ok(todo)
}

/// The jobs that are wanted.
fn wanted(
    file: &JobFile,
    todo: Vec<bool>,
) -> Result<impl Iterator<Item = Result<Read>> + Send + 'static> {
    let mut todo = todo.into_iter();
    let entries = file.entries(move |_| todo.next().unwrap_or(false))?;
    Ok(entries.map(|entry| {
        let Entry { id, job, .. } = entry?;
        Ok((id, job))
    }))
}

/// A name of a file for an id of anybody's. Ids that are plain names are their own; others have a part of their hash, so that no two
/// share one.
fn file_name(id: &str) -> String {
    const LONGEST: usize = 80;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if id.len() <= LONGEST && id.chars().all(is_plain) && !id.starts_with('.') {
        return id.to_owned();
    }
    let safe = id.chars().map(|c| if is_plain(c) { c } else { '_' }).take(LONGEST);
    let safe: String = safe.collect();
    format!("{}-{}", safe.trim_start_matches('.'), &sha256(id.as_bytes())[..16])
}

/// How far the batch is: a bar in a terminal, lines elsewhere.
struct Told {
    bar: ProgressBar,
    of: u64,
    done: u64,
    failed: u64,
    begun: Instant,
    last_line: Instant,
}

impl Told {
    fn new(of: u64) -> Result<Self> {
        let now = Instant::now();
        let bar = progress::counter("explaining", of)?;
        Ok(Self { bar, of, done: 0, failed: 0, begun: now, last_line: now })
    }

    fn done(&mut self, is_failed: bool) {
        self.bar.inc(1);
        self.done += 1;
        self.failed += u64::from(is_failed);
        if output::shows_progress() || self.last_line.elapsed() < LINE {
            return;
        }
        self.last_line = Instant::now();
        output::note(progress_line((self.done, self.of, self.failed), self.begun.elapsed()));
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn progress_line((done, of, failed): (u64, u64, u64), elapsed: Duration) -> String {
    let minutes = elapsed.as_secs_f64() / 60.0;
    let rate = done as f64 / minutes;
    let left = (of - done) as f64 / rate;
    format!(
        "{done} of {of} jobs, {failed} failed; {rate:.1} a minute, about {left:.0} minutes left"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_become_names_that_no_two_share() {
        for plain in ["a", "study-12.3_x", "A"] {
            assert_eq!(file_name(plain), plain);
        }
        for (id, start) in [
            ("../../etc/passwd", "_.._etc_passwd-"),
            (".hidden", "hidden-"),
            ("a b", "a_b-"),
            ("ä", "_-"),
        ] {
            let name = file_name(id);
            assert!(name.starts_with(start), "{name}");
            assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
        }
        assert_ne!(file_name("a/b"), file_name("a b"));
        assert!(file_name(&"x".repeat(200)).len() < 120);
    }

    #[test]
    fn the_end_is_reckoned_from_what_is_done() {
        let line = progress_line((30, 90, 2), Duration::from_mins(1));
        assert_eq!(line, "30 of 90 jobs, 2 failed; 30.0 a minute, about 2 minutes left");
    }
}
