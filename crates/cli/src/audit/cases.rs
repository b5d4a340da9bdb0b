//! From a line of the file of cases to what the model is asked.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use medgemma_explainer::{AuditCase, AuditPart, Picture, Question};
use model_audit::{Case, Cases, Mask};

use crate::messages::lies_within;
use crate::output;
use crate::reading::Reader;

/// A file of cases, and how its pictures are read.
#[derive(Debug)]
pub(super) struct Set<'a> {
    pub(super) cases: &'a Cases,
    /// For each case the number of its patient.
    pub(super) patients: Vec<u64>,
    /// Which pictures are relative to.
    pub(super) folder: PathBuf,
    /// Whether they may lie outside of it.
    pub(super) allow_outside: bool,
    pub(super) reader: Reader,
}

impl Set<'_> {
    /// Case `index` with its pictures, those that stand in for them, and its part.
    pub(super) fn case(&self, index: usize, case: &Case) -> Result<AuditCase> {
        let pictures = self.pictures(case)?;
        let part = self.part(case, &pictures[case.picture])?;
        let lent = |same_label: bool| {
            let other = self.cases.other_of(&self.patients, index, same_label)?;
            let Some(Ok(other)) = self.cases.lines.get(other) else {
                return Err("it is no case".to_owned());
            };
            self.pictures(other).map_err(|error| format!("its picture: {}", self.reason(&error)))
        };
        let mut question = Question::new(pictures, &case.question);
        if let Some(system) = &case.system {
            question = question.with_system(system);
        }
        Ok(AuditCase::new(question)
            .with_word(case.word.clone())
            .with_label(case.label.clone())
            .with_against(case.against.clone())
            .with_part(part)
            .with_same_label(lent(true))
            .with_other_label(lent(false)))
    }

    /// The picture of a case that its part belongs to, and the part.
    pub(super) fn shown(&self, case: &Case) -> Result<(Picture, Option<AuditPart>)> {
        let picture = self.open(case.image.iter().nth(case.picture).unwrap_or(Path::new("")))?;
        let part = self.part(case, &picture)?;
        Ok((picture, part))
    }

    /// Why something failed, without the folder of the pictures: a path can name people.
    pub(super) fn reason(&self, error: &anyhow::Error) -> String {
        let (text, folder) = (output::reasons(error), self.folder.display().to_string());
        if folder == "." { text } else { text.replace(&format!("{folder}/"), "") }
    }

    fn pictures(&self, case: &Case) -> Result<Vec<Picture>> {
        case.image.iter().map(|file| self.open(file)).collect()
    }

    fn open(&self, file: &Path) -> Result<Picture> {
        let path = self.folder.join(file);
        if !self.allow_outside && !lies_within(&path, &self.folder) {
            bail!(
                "{} is outside of the folder of the file of cases; move it there, or add --allow-outside",
                path.display()
            );
        }
        self.reader.one(&path)
    }

    fn part(&self, case: &Case, picture: &Picture) -> Result<Option<AuditPart>> {
        let (width, height) = picture.rgb().dimensions();
        let mask = match &case.mask {
            Some(file) => {
                let found = self.open(file)?;
                if found.rgb().dimensions() != (width, height) {
                    let (found_width, found_height) = found.rgb().dimensions();
                    bail!(
                        "the mask has {found_width} × {found_height} pixels, and its picture {width} × {height}"
                    );
                }
                Mask::of_picture(found.rgb()).map(Some).ok_or("every pixel of the mask is black")
            }
            None if case.boxes.is_empty() => Ok(None),
            None => Mask::of_boxes([width, height], &case.boxes)
                .map(Some)
                .ok_or("no box has a pixel of the picture"),
        };
        match mask {
            Ok(mask) => Ok(mask.map(|mask| AuditPart { picture: case.picture, mask })),
            Err(reason) => bail!("{reason}"),
        }
    }
}
