//! Frames of one series to pictures: the frames that are wanted are decoded, several at a time, a few of one file after the other.

use std::path::PathBuf;

use image::RgbImage;
use rayon::prelude::*;

use super::decode::{self, Samples};
use super::file::DicomFile;
use super::grey::{self, Frame, Plan, Range};
use super::{colour, facts};
use crate::checks::{self, Context, Subject};
use crate::error::Bound;
use crate::picture::SourceHandle;
use crate::resample::to_squares;
use crate::{Check, CheckKind, Error, Format, MedicalPicture, Options, Provenance, Recipe, Slice};

/// A frame to be shown.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) path: PathBuf,
    pub(crate) frame: u32,
    pub(crate) slice: Option<Slice>,
}

/// The recipe and why it is the one.
#[derive(Debug, Clone)]
pub(crate) struct Chosen {
    pub(crate) recipe: Recipe,
    pub(crate) because: String,
    pub(crate) is_given: bool,
}

impl Chosen {
    /// The given recipe, or the one for the modality.
    pub(crate) fn of(options: &Options, modality: Option<&str>) -> Self {
        if let Some(recipe) = options.recipe {
            return Self { recipe, because: "it was given".into(), is_given: true };
        }
        let recipe = Recipe::for_modality(modality.unwrap_or_default());
        let because = match modality {
            Some(modality) => format!("the modality is {modality}"),
            None => "the file names no modality".into(),
        };
        Self { recipe, because, is_given: false }
    }
}

/// Frames of a file that are decoded one after the other, so that its header is parsed once for them.
const TOGETHER: usize = 4;

/// All pictures, in the order of the jobs. `acquisition` are the frames whose range counts for `mr`.
pub(crate) fn pictures(
    jobs: &[Job],
    acquisition: &[Job],
    chosen: &Chosen,
    options: &Options,
) -> Result<Vec<MedicalPicture>, Error> {
    let range = match chosen.recipe {
        Recipe::Mr if options.window.is_none() => range_of(acquisition, options)?,
        _ => None,
    };
    let made: Result<Vec<Vec<MedicalPicture>>, Error> = jobs
        .par_chunks(TOGETHER)
        .map(|jobs| {
            each(jobs, options, |file, job, samples| {
                picture(file, job, samples, &Setting { range, chosen, options })
            })
        })
        .collect();
    Ok(made?.into_iter().flatten().collect())
}

/// Least and greatest value of an acquisition; of grey frames alone.
fn range_of(jobs: &[Job], options: &Options) -> Result<Option<Range>, Error> {
    let ranges: Result<Vec<Vec<Option<Range>>>, Error> = jobs
        .par_chunks(TOGETHER)
        .map(|jobs| {
            each(jobs, options, |file, _, samples| {
                let is_grey = !colour::is_colour(&samples.layout.photometric);
                let padding = grey::padding(&file.header, &samples.layout);
                Ok(is_grey.then(|| grey::range(&samples, padding)))
            })
        })
        .collect();
    Ok(ranges?.into_iter().flatten().flatten().reduce(Range::joined))
}

/// Decodes frames and does something with each. A file stays open from one of its frames to the next.
fn each<T>(
    jobs: &[Job],
    options: &Options,
    mut work: impl FnMut(&DicomFile, &Job, Samples) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut open: Option<DicomFile> = None;
    let mut made = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut file = match open.take().filter(|file| file.header.path == job.path) {
            Some(file) => file,
            None => DicomFile::open(&job.path, &options.limits)?,
        };
        let samples = decode::frame(&mut file, job.frame, &options.limits)?;
        made.push(work(&file, job, samples)?);
        open = Some(file);
    }
    Ok(made)
}

/// What all pictures of a call share.
struct Setting<'a> {
    range: Option<Range>,
    chosen: &'a Chosen,
    options: &'a Options,
}

fn picture(
    file: &DicomFile,
    job: &Job,
    samples: Samples,
    setting: &Setting<'_>,
) -> Result<MedicalPicture, Error> {
    let Setting { chosen, options, .. } = setting;
    let mut provenance =
        facts::provenance(file, &samples.layout, job.frame, (chosen.recipe, &chosen.because));
    provenance.slice = job.slice;
    let stored = if colour::is_colour(&samples.layout.photometric) {
        coloured(file, &samples, chosen, &mut provenance)?
    } else {
        grey_picture(file, job.frame, &samples, setting, &mut provenance)?
    };
    let rgb = squared(file, job, stored, &mut provenance, options)?;
    provenance.checks = checks(file, &rgb, &provenance);
    provenance.identifiers = options.keep_identifiers.then(|| facts::identifiers(&file.header));
    let is_volume = !matches!(provenance.recipe, Recipe::Cxr | Recipe::Plain);
    let label = job.slice.filter(|_| is_volume).map(|slice| slice.label());
    let source = SourceHandle::new(job.path.clone(), job.frame, Format::Dicom);
    Ok(MedicalPicture::new(rgb, provenance, source).with_label(label))
}

/// Colours are shown as they are, whatever the modality.
fn coloured(
    file: &DicomFile,
    samples: &Samples,
    chosen: &Chosen,
    provenance: &mut Provenance,
) -> Result<RgbImage, Error> {
    if chosen.is_given && chosen.recipe != Recipe::Plain {
        let reason = format!(
            "is {}, and the picture has colours of its own; only `plain` shows them",
            chosen.recipe
        );
        return Err(file.header.at().option("recipe", reason));
    }
    if !matches!(provenance.recipe, Recipe::Plain) {
        provenance.recipe = Recipe::Plain;
        provenance.recipe_because = "the picture has colours of its own".into();
    }
    if samples.colours != samples.layout.photometric && samples.layout.photometric == "RGB" {
        provenance.notes.push(
            "the file says RGB and its compressed pixels say YBR: they were converted".into(),
        );
    }
    colour::rgb(samples, &file.header)
}

fn grey_picture(
    file: &DicomFile,
    index: u32,
    samples: &Samples,
    setting: &Setting<'_>,
    provenance: &mut Provenance,
) -> Result<RgbImage, Error> {
    let header = &file.header;
    let padding = grey::padding(header, &samples.layout);
    let range = setting.range.unwrap_or_else(|| grey::range(samples, padding));
    let frame = Frame { header, index, layout: &samples.layout, range };
    let plan = Plan::of(&frame, setting.options, provenance)?;
    plan.picture(samples, padding)
        .ok_or_else(|| header.at().damaged("Pixel Data (7FE0,0010)", "has too few samples"))
}

fn squared(
    file: &DicomFile,
    job: &Job,
    stored: RgbImage,
    provenance: &mut Provenance,
    options: &Options,
) -> Result<RgbImage, Error> {
    let aspect = facts::aspect(&file.header, job.frame);
    let pixels = f64::from(stored.width()) * f64::from(stored.height()) * aspect.max(1.0 / aspect);
    file.header.at().limit(&Bound::pixels(&options.limits), pixels as u64)?;
    match to_squares(&stored, aspect) {
        None => Ok(stored),
        Some(square) => {
            provenance.resampled = Some([square.width(), square.height()]);
            Ok(square)
        }
    }
}

fn checks(file: &DicomFile, rgb: &RgbImage, provenance: &Provenance) -> Vec<Check> {
    let context = Context {
        subject: match provenance.recipe {
            Recipe::Cxr => Subject::Radiograph,
            Recipe::Plain if provenance.modality.as_deref() != Some("CT") => Subject::Unknown,
            _ => Subject::Slice,
        },
        photometric: provenance.photometric.as_deref(),
        inverted: provenance.inverted,
        says_burnt_in: facts::says_burnt_in(&file.header),
    };
    let mut found = checks::all(rgb, &context);
    if let Some(by) = facts::lateral(provenance).filter(|_| context.subject == Subject::Radiograph)
    {
        let message =
            format!("this is a lateral view: {by}; the model was shown mostly frontal ones");
        found.push(Check::new(CheckKind::Lateral, message));
    }
    found
}
