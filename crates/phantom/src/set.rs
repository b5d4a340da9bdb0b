//! Phantoms on disk.

use std::fs;
use std::io::{BufWriter, Write};
use std::ops::{ControlFlow, RangeInclusive};
use std::path::Path;

use image::codecs::png::PngEncoder;
use image::{DynamicImage, GrayImage, Luma};
use tempfile::Builder;

use crate::distribution::Distribution;
use crate::error::Error;
use crate::mask::Mask;
use crate::phantom::Phantom;
use crate::scene::Scene;
use crate::truth::Truth;
use crate::{Markers, SIZES};

/// How many pictures one set may have.
pub const COUNTS: RangeInclusive<u32> = 1..=100_000;

/// Bits per pixel of the pictures. Masks always have 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bits {
    /// 256 grey values.
    #[default]
    Eight,
    /// 65 536 grey values, as digital radiographs have.
    Sixteen,
}

/// What a set consists of.
#[derive(Clone, Debug, PartialEq)]
pub struct SetOptions {
    /// Seed of the first picture; every further one takes the next number.
    pub seed: u64,
    /// Number of pictures, within [`COUNTS`].
    pub count: u32,
    /// Pixels along each side, within [`SIZES`].
    pub size: u32,
    /// Bits per pixel.
    pub bits: Bits,
    /// What the scenes are drawn from.
    pub distribution: Distribution,
}

impl Default for SetOptions {
    fn default() -> Self {
        let distribution = Distribution::default();
        Self { seed: 0, count: 1, size: 896, bits: Bits::Eight, distribution }
    }
}

/// Writes a set of pictures with everything that is known about them into a new or empty folder.
///
/// For picture `NNN`, numbered from `000`: `NNN.png`; for its finding k, numbered from 0, `NNN-mask-k-KIND.png` and
/// `NNN-twin-k.png`, the picture without it; for its letters `NNN-mask-side-letter.png`, `NNN-mask-portable.png` and their
/// twins; `NNN.json`, the [`Truth`]. Every file is written under a temporary name and then renamed, the record last: a
/// picture that has its record is complete. What a process that was killed left of a file it had begun is removed.
///
/// `written` is told of every picture and may end the work.
///
/// # Errors
/// [`Error::Size`], [`Error::Count`], [`Error::Seed`] for what cannot be drawn and [`Error::NotEmpty`] for a folder with something
/// in it, before anything is written; [`Error::Stopped`] when `written` says so; [`Error::Encode`] and [`Error::Write`].
pub fn write_set(
    folder: impl AsRef<Path>,
    options: &SetOptions,
    mut written: impl FnMut(&Truth) -> ControlFlow<()>,
) -> Result<(), Error> {
    let folder = folder.as_ref();
    check(options)?;
    prepare(folder)?;
    for index in 0..options.count {
        let scene = Scene::random(options.seed + u64::from(index), &options.distribution);
        let writer = Writer { folder, index, size: options.size, bits: options.bits };
        let truth = writer.write(&scene)?;
        if written(&truth).is_break() && index + 1 < options.count {
            return Err(Error::Stopped { written: index + 1, count: options.count });
        }
    }
    Ok(())
}

fn check(options: &SetOptions) -> Result<(), Error> {
    let &SetOptions { seed, count, size, .. } = options;
    if !SIZES.contains(&size) {
        return Err(Error::Size { size, min: *SIZES.start(), max: *SIZES.end() });
    }
    if !COUNTS.contains(&count) {
        return Err(Error::Count { count, max: *COUNTS.end() });
    }
    match seed.checked_add(u64::from(count - 1)) {
        Some(_) => Ok(()),
        None => Err(Error::Seed { seed, count }),
    }
}

fn prepare(folder: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    let mut leftovers = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !is_leftover(&path) {
            return Err(Error::NotEmpty { path: folder.to_owned() });
        }
        leftovers.push(path);
    }
    leftovers.into_iter().try_for_each(fs::remove_file).map_err(failed)
}

const PREFIX: &str = ".phantom-";
const SUFFIX: &str = ".part";

/// Whether it is a file that a process began and was killed over: one that is at work holds a lock on its own.
fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let random = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX));
    random.is_some_and(|random| random.len() == 6)
        && fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
        && fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

/// Writes the files of one picture.
struct Writer<'a> {
    folder: &'a Path,
    index: u32,
    size: u32,
    bits: Bits,
}

impl Writer<'_> {
    fn write(&self, scene: &Scene) -> Result<Truth, Error> {
        let phantom = scene.render(self.size);
        let mut truth = phantom.truth();
        truth.picture = Some(self.picture(&phantom, "")?);
        for (k, finding) in truth.findings.iter_mut().enumerate() {
            let mask = format!("-mask-{k}-{}", finding.kind.slug());
            finding.mask = Some(self.mask(&phantom.masks()[k], &mask)?);
            finding.twin = Some(self.twin(&scene.without(k), &format!("-twin-{k}"))?);
        }
        for marker in &mut truth.markers {
            let markers = scene.markers();
            let (name, mask, without) = if marker.text == "PORTABLE" {
                let without = Markers { portable: false, ..markers };
                ("portable", phantom.portable_mask(), without)
            } else {
                let without = Markers { side_letter: false, ..markers };
                ("side-letter", phantom.side_letter_mask(), without)
            };
            marker.mask = Some(self.mask(mask, &format!("-mask-{name}"))?);
            marker.twin = Some(self.twin(&scene.with_markers(without), &format!("-twin-{name}"))?);
        }
        let name = format!("{:03}.json", self.index);
        let path = self.folder.join(&name);
        let json = serde_json::to_vec_pretty(&truth)
            .map_err(|error| Error::Encode { path, source: error.into() })?;
        self.file(&name, &json)?;
        Ok(truth)
    }

    fn twin(&self, scene: &Scene, suffix: &str) -> Result<String, Error> {
        self.picture(&scene.render(self.size), suffix)
    }

    fn picture(&self, phantom: &Phantom, suffix: &str) -> Result<String, Error> {
        match self.bits {
            Bits::Eight => self.png(phantom.grey8().into(), suffix),
            Bits::Sixteen => self.png(phantom.grey16().into(), suffix),
        }
    }

    fn mask(&self, mask: &Mask, suffix: &str) -> Result<String, Error> {
        let white = |x, y| Luma([if mask.contains(x, y) { 255 } else { 0 }]);
        self.png(GrayImage::from_fn(mask.width(), mask.height(), white).into(), suffix)
    }

    fn png(&self, image: DynamicImage, suffix: &str) -> Result<String, Error> {
        let name = format!("{:03}{suffix}.png", self.index);
        let mut bytes = Vec::new();
        image.write_with_encoder(PngEncoder::new(&mut bytes)).map_err(|error| Error::Encode {
            path: self.folder.join(&name),
            source: error.into(),
        })?;
        self.file(&name, &bytes)?;
        Ok(name)
    }

    /// Writes a file whole or not at all.
    fn file(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.folder.join(name);
        let write = || {
            let mut builder = Builder::new();
            builder.prefix(PREFIX).suffix(SUFFIX);
            #[cfg(unix)]
            {
                // As any new file, not private as temporary files are; the umask still applies.
                use std::os::unix::fs::PermissionsExt;
                builder.permissions(fs::Permissions::from_mode(0o666));
            }
            let mut file = builder.tempfile_in(self.folder)?;
            file.as_file().lock()?;
            let mut writer = BufWriter::new(&mut file);
            writer.write_all(bytes)?;
            writer.flush()?;
            drop(writer);
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|source| Error::Write { path: path.clone(), source })
    }
}
