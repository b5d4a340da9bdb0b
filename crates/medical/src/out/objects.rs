//! From findings to files.

use std::path::{Path, PathBuf};

use super::{
    Error, Findings, Wanted,
    capture::captures,
    common::Batch,
    elements::Object,
    groups::Group,
    parametric::ParametricMap,
    place::Staged,
    report::Report,
    segmentation::{Placed, Segmentation},
    source::{read_all, string},
    uid::Uids,
};

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// Secondary Capture Image, or Multi-frame True Color Secondary Capture Image.
    Capture,
    /// Parametric Map.
    ParametricMap,
    /// Segmentation.
    Segmentation,
    /// Comprehensive 3D SR.
    Report,
}

impl std::fmt::Display for ObjectKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Capture => "secondary capture",
            Self::ParametricMap => "parametric map",
            Self::Segmentation => "segmentation",
            Self::Report => "structured report",
        })
    }
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was written.
    Written(Written),
    /// The sources or the maps do not allow it. Whoever asked for it should be told.
    Skipped {
        /// Which kind.
        kind: ObjectKind,
        /// Why, as a clause without a full stop.
        reason: String,
    },
}

/// An object in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Which kind.
    pub kind: ObjectKind,
    /// The file.
    pub path: PathBuf,
    /// Its SOP class.
    pub class: String,
    /// Its identifier.
    pub instance: String,
}

/// Writes the objects that are wanted into a folder, which is made if there is none.
///
/// Files are called `capture-N.dcm`, `parametric-map-N.dcm`, `segmentation-N.dcm` and `report-1.dcm`, N from one on. They are put
/// in place when all are written, or none is. A file of an earlier call is replaced; one that this program did not write is left
/// alone, which is an error, as is a source that cannot be read or named.
///
/// The same findings of the same moment make the same files, byte for byte.
pub fn write_objects(
    folder: &Path,
    findings: &Findings,
    wanted: &Wanted,
) -> Result<Vec<Outcome>, Error> {
    findings.check(wanted)?;
    let sources = read_all(&findings.sources)?;
    let identity = identity(
        findings,
        wanted,
        &sources.iter().map(|s| s.instance.as_str()).collect::<Vec<_>>(),
    );
    let uids = Uids::new(identity.iter().map(Vec::as_slice));
    let batch = Batch { findings, wanted: *wanted, sources, uids };
    std::fs::create_dir_all(folder)
        .map_err(|source| Error::Write { path: folder.to_owned(), source })?;
    let mut run = Run {
        folder,
        batch: &batch,
        groups: Group::all(&batch.sources),
        staged: Staged::default(),
        outcomes: Vec::new(),
    };
    run.write()?;
    run.staged.commit()?;
    Ok(run.outcomes)
}

/// A call, as far as it has come.
struct Run<'a> {
    folder: &'a Path,
    batch: &'a Batch<'a>,
    groups: Vec<Group>,
    staged: Staged,
    outcomes: Vec<Outcome>,
}

impl Run<'_> {
    fn write(&mut self) -> Result<(), Error> {
        let wanted = self.batch.wanted;
        if wanted.capture {
            self.captures()?;
        }
        if wanted.parametric {
            self.parametric_maps()?;
        }
        let placed = if wanted.segmentation { self.segmentations()? } else { Vec::new() };
        if wanted.report {
            let segmentations = self.batch.uids.named("series 2");
            let report =
                Report { batch: self.batch, groups: &self.groups, placed: &placed, segmentations };
            let object = report.object()?;
            self.stage(ObjectKind::Report, 1, object)?;
        }
        Ok(())
    }

    fn captures(&mut self) -> Result<(), Error> {
        let batch = self.batch;
        let captures = captures(&batch.findings.targets);
        if captures.is_empty() {
            self.skip(ObjectKind::Capture, "no overlay was given");
        }
        for (capture, number) in captures.iter().zip(1..) {
            self.stage(ObjectKind::Capture, number, capture.object(batch, number)?)?;
        }
        Ok(())
    }

    fn parametric_maps(&mut self) -> Result<(), Error> {
        let batch = self.batch;
        let mut number = 0;
        for target in &batch.findings.targets {
            let groups = self.groups.iter();
            let mut made = Vec::new();
            for group in groups.filter(|group| !group.maps(&target.map.frames).is_empty()) {
                let map = ParametricMap { batch, target, group, number: number + 1 };
                let object = map.object()?;
                number += usize::from(object.is_ok());
                made.push((number, object));
            }
            for (number, object) in made {
                self.stage_or_skip(ObjectKind::ParametricMap, number, object)?;
            }
        }
        Ok(())
    }

    fn segmentations(&mut self) -> Result<Vec<Placed>, Error> {
        let batch = self.batch;
        let mut placed = Vec::new();
        for index in 0..self.groups.len() {
            let group = &self.groups[index];
            let segmented = Segmentation { batch, group, index }.object()?;
            let object = segmented.map(|(object, areas)| {
                placed.extend(areas);
                object
            });
            self.stage_or_skip(ObjectKind::Segmentation, index + 1, object)?;
        }
        Ok(placed)
    }

    fn stage_or_skip(
        &mut self,
        kind: ObjectKind,
        number: usize,
        object: Result<Object, String>,
    ) -> Result<(), Error> {
        match object {
            Ok(object) => self.stage(kind, number, object),
            Err(reason) => {
                self.skip(kind, &reason);
                Ok(())
            }
        }
    }

    /// Says once why there is no object of a kind.
    fn skip(&mut self, kind: ObjectKind, reason: &str) {
        let outcome = Outcome::Skipped { kind, reason: reason.to_owned() };
        if !self.outcomes.contains(&outcome) {
            self.outcomes.push(outcome);
        }
    }

    fn stage(&mut self, kind: ObjectKind, number: usize, object: Object) -> Result<(), Error> {
        let path = self.folder.join(format!("{}-{number}.dcm", kind.stem()));
        let of = |tag| string(&object, tag).unwrap_or_default();
        let class = of(dicom_dictionary_std::tags::SOP_CLASS_UID);
        let instance = of(dicom_dictionary_std::tags::SOP_INSTANCE_UID);
        self.staged.object(&path, object)?;
        self.outcomes.push(Outcome::Written(Written { kind, path, class, instance }));
        Ok(())
    }
}

impl ObjectKind {
    /// What the names of its files begin with.
    fn stem(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::ParametricMap => "parametric-map",
            Self::Segmentation => "segmentation",
            Self::Report => "report",
        }
    }
}

/// Everything that decides what is written, piece by piece.
fn identity(findings: &Findings, wanted: &Wanted, instances: &[&str]) -> Vec<Vec<u8>> {
    let Findings { question, answer, algorithm, model, made, series_number, .. } = findings;
    let frames: Vec<_> = findings.sources.iter().map(|source| source.frame).collect();
    let about = format!(
        "{instances:?} {frames:?} {question:?} {answer:?} {algorithm:?} {model:?} {made:?} {series_number} {wanted:?}"
    );
    let mut pieces = vec![about.into_bytes()];
    for target in &findings.targets {
        let numbers = (target.probability, target.contribution, &target.certificate);
        pieces.push(format!("{:?} {:?} {numbers:?}", target.words, target.sentence).into_bytes());
        for frame in &target.map.frames {
            let (rows, columns) = frame.values.dim();
            let place = format!("{} {rows} {columns} {:?}", frame.source, frame.area);
            pieces.push(place.into_bytes());
            pieces.push(frame.values.iter().flat_map(|value| value.to_le_bytes()).collect());
        }
        for overlay in &target.overlays {
            let size = format!("{} {} {}", overlay.source, overlay.width, overlay.height);
            pieces.push(size.into_bytes());
            pieces.push(overlay.rgb.clone());
        }
    }
    pieces
}
