//! A file, a folder or a DICOMDIR to the sorted frames of one series. Only headers are read here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dicom_dictionary_std::tags;
use rayon::prelude::*;

use super::file::DicomFile;
use super::header::Header;
use super::render::{self, Chosen, Job};
use super::{dicomdir, facts, part10};
use crate::error::{At, Bound};
use crate::{Error, Limits, MedicalPicture, Options, Recipe, Slice, SourceVolume, selection};

/// What is kept of a file's header.
struct Member {
    path: PathBuf,
    /// For sorting into series alone.
    series: String,
    modality: Option<String>,
    number: Option<i64>,
    position: Option<f64>,
    thickness: Option<f64>,
    frames: u32,
}

/// Pictures of one DICOM file.
pub(crate) fn open_file(path: &Path, options: &Options) -> Result<Vec<MedicalPicture>, Error> {
    let file = DicomFile::open(path, &options.limits)?;
    if dicomdir::is_one(&file.header) {
        let (paths, note) = dicomdir::files(&file.header, options)?;
        return open_files(path, paths, note, options);
    }
    let (layout, _) = file.pixels(&options.limits)?;
    let chosen = Chosen::of(options, file.header.code(tags::MODALITY).as_deref());
    let frames: Vec<Place> = (0..layout.frames)
        .map(|frame| Place {
            path: path.into(),
            frame,
            position: facts::position(&file.header, frame),
            thickness: facts::thickness(&file.header, frame),
        })
        .collect();
    shown(path, &frames, &chosen, options)
}

/// Pictures of the one series in a folder.
pub(crate) fn open_folder(path: &Path, options: &Options) -> Result<Vec<MedicalPicture>, Error> {
    let at = At(path);
    let mut files = vec![];
    let mut folders = 0_usize;
    for (i, entry) in std::fs::read_dir(path).map_err(|e| at.read(e))?.enumerate() {
        at.limit(&Bound::folder_entries(&options.limits), i as u64 + 1)?;
        let entry = entry.map_err(|e| at.read(e))?;
        if entry.file_name() == "DICOMDIR" {
            return open_file(&entry.path(), options);
        }
        match std::fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_file() => files.push(entry.path()),
            Ok(metadata) if metadata.is_dir() => folders += 1,
            _ => {}
        }
    }
    files.sort();
    let note = (folders > 0)
        .then(|| format!("{} in the folder were not looked into", plural(folders, "folder")));
    open_files(path, files, note, options)
}

/// Pictures of the one series that these files are of.
fn open_files(
    place: &Path,
    paths: Vec<PathBuf>,
    note: Option<String>,
    options: &Options,
) -> Result<Vec<MedicalPicture>, Error> {
    let looked = paths.len();
    let found: Vec<Result<Option<Member>, Error>> =
        paths.into_par_iter().map(|path| member(path, &options.limits)).collect();
    let mut members = vec![];
    for member in found {
        members.extend(member?);
    }
    let others = looked - members.len();
    if members.is_empty() {
        let reason = format!("{} were looked at", plural(looked, "file"));
        return Err(Error::NoPicture { path: place.into(), reason });
    }
    check_series(place, &members)?;
    let notes =
        note.into_iter()
            .chain((others > 0).then(|| {
                format!("{} in the folder are no DICOM pictures", plural(others, "file"))
            }));
    let mut notes: Vec<String> = notes.collect();
    notes.extend(sort(&mut members));
    let chosen = Chosen::of(options, members[0].modality.as_deref());
    let mut pictures = shown(place, &places(&members, options)?, &chosen, options)?;
    for picture in &mut pictures {
        picture.provenance.notes.extend(notes.iter().cloned());
    }
    Ok(pictures)
}

/// What a file is of; `None` where it is no DICOM or has no pixels. A damaged DICOM file is an error.
fn member(path: PathBuf, limits: &Limits) -> Result<Option<Member>, Error> {
    if !starts_as_dicom(&path, limits)? {
        return Ok(None);
    }
    let file = DicomFile::open(&path, limits)?;
    if !file.has_pixels() {
        return Ok(None);
    }
    let header = &file.header;
    Ok(Some(Member {
        series: header.text(tags::SERIES_INSTANCE_UID).unwrap_or_default(),
        modality: header.code(tags::MODALITY),
        number: header.integer(tags::INSTANCE_NUMBER).ok().flatten(),
        position: facts::position(header, 0),
        thickness: facts::thickness(header, 0),
        frames: frames(header),
        path,
    }))
}

/// For the plan alone; the layout checks it.
fn frames(header: &Header) -> u32 {
    let frames = header.integer(tags::NUMBER_OF_FRAMES).ok().flatten().unwrap_or(1);
    u32::try_from(frames).unwrap_or(1).max(1)
}

fn starts_as_dicom(path: &Path, limits: &Limits) -> Result<bool, Error> {
    use std::io::Read as _;
    let (file, _) = crate::files::open(path, limits)?;
    let mut head = vec![];
    file.take(132).read_to_end(&mut head).map_err(|e| At(path).read(e))?;
    Ok(part10::looks_like_dicom(&head))
}

/// Series that are listed one by one.
const LISTED: usize = 8;

fn check_series(place: &Path, members: &[Member]) -> Result<(), Error> {
    let mut kinds: Vec<(&str, &str, usize)> = vec![];
    for member in members {
        let known = kinds.iter_mut().find(|(series, ..)| *series == member.series);
        if let Some((.., count)) = known {
            *count += 1;
        } else {
            let modality = member.modality.as_deref().unwrap_or("no modality");
            kinds.push((&member.series, modality, 1));
        }
    }
    if kinds.len() == 1 {
        return Ok(());
    }
    let listed = kinds.iter().enumerate().take(LISTED);
    let mut list: Vec<String> = listed
        .map(|(i, (_, modality, count))| {
            format!("series {} has {} of {modality}", i + 1, plural(*count, "file"))
        })
        .collect();
    if LISTED < kinds.len() {
        list.push(format!("and {} more", kinds.len() - LISTED));
    }
    Err(Error::MixedSeries { path: place.into(), count: kinds.len(), list: list.join(", ") })
}

/// By Instance Number, as the notebook; by position where a file has none; else by name. What is to be said of it comes back.
fn sort(members: &mut [Member]) -> Option<String> {
    if members.len() == 1 {
        return None;
    }
    if members.iter().all(|member| member.number.is_some()) {
        members.sort_by_key(|member| member.number);
        let repeated = members.windows(2).any(|pair| pair[0].number == pair[1].number);
        return if repeated {
            Some("several files have the same Instance Number; they were left in the order of their names".into())
        } else {
            disagreement(members)
        };
    }
    if members.iter().all(|member| member.position.is_some()) {
        members.sort_by(|a, b| {
            a.position.partial_cmp(&b.position).unwrap_or(std::cmp::Ordering::Equal)
        });
        return Some("a file has no Instance Number: slices were sorted by their position".into());
    }
    Some("a file has neither Instance Number nor position: slices are in the order of the files' names".into())
}

fn disagreement(members: &[Member]) -> Option<String> {
    let positions: Option<Vec<f64>> = members.iter().map(|member| member.position).collect();
    let steps: Vec<f64> = positions?.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let up = steps.iter().filter(|step| 0.0 < **step).count();
    let against = up.min(steps.len() - up);
    (0 < against).then(|| {
        format!("Instance Number and position disagree at {against} of {} steps; the order is that of Instance Number", steps.len())
    })
}

/// A frame of a file and where it lies.
struct Place {
    path: PathBuf,
    frame: u32,
    position: Option<f64>,
    thickness: Option<f64>,
}

fn places(members: &[Member], options: &Options) -> Result<Vec<Place>, Error> {
    let mut places = vec![];
    for member in members {
        At(&member.path).limit(&Bound::frames(&options.limits), member.frames.into())?;
        places.extend((0..member.frames).map(|frame| Place {
            path: member.path.clone(),
            frame,
            position: member.position.filter(|_| member.frames == 1),
            thickness: member.thickness,
        }));
        At(&member.path).limit(&Bound::frames(&options.limits), places.len() as u64)?;
    }
    Ok(places)
}

/// Pictures of the places that the options choose.
fn shown(
    path: &Path,
    places: &[Place],
    chosen: &Chosen,
    options: &Options,
) -> Result<Vec<MedicalPicture>, Error> {
    let n = places.len();
    let chosen_places = selection::chosen(path, n, chosen.recipe, options)?;
    let is_volume = !matches!(chosen.recipe, Recipe::Cxr | Recipe::Plain);
    let jobs: Vec<Job> = chosen_places
        .iter()
        .enumerate()
        .map(|(i, &index)| {
            let place = &places[index];
            let slice = (1 < n || is_volume).then_some(Slice {
                number: i as u32 + 1,
                index: index as u32,
                of: n as u32,
                position_mm: place.position,
                thickness_mm: place.thickness,
            });
            Job { path: place.path.clone(), frame: place.frame, slice }
        })
        .collect();
    let acquisition: Vec<Job> = places
        .iter()
        .map(|place| Job { path: place.path.clone(), frame: place.frame, slice: None })
        .collect();
    let mut pictures = render::pictures(&jobs, &acquisition, chosen, options)?;
    for picture in &mut pictures {
        picture.provenance.notes.extend(selection::note(n, jobs.len()));
    }
    if n == 1 {
        return Ok(pictures);
    }
    let frames = places.iter().map(|place| (place.path.clone(), place.frame));
    let volume = Arc::new(SourceVolume::Series(frames.collect()));
    let within = |(picture, &index): (MedicalPicture, &usize)| picture.within(&volume, index);
    Ok(pictures.into_iter().zip(&chosen_places).map(within).collect())
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
