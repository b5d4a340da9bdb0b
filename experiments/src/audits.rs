//! Audits of the project's checkpoints over sets of unseen phantoms, whose right verdict is known: how often each verdict is given, to whom.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use medgemma_explainer::{
    AuditCase, AuditOptions, AuditPart, DtypeSpec, Explainer, LoadOptions, ModelSource, Picture,
};
use model_audit::{Change, Estimate, Mask, Row, Summary, Verdict};
use phantom_radiograph::{FindingKind, Scene};
use serde::{Deserialize, Serialize};

use crate::document::save;
use crate::examples::picture;
use crate::questions::Question;
use crate::recipe::Variant;
use crate::reliance::measure::SIZE;
use crate::scenes::{Purpose, has, scene, tagged};
use crate::threads::share;

/// A model that is audited.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Its name in tables.
    pub name: String,
    /// The verdict that it deserves.
    pub deserves: Verdict,
    /// The folder of its checkpoint.
    pub model: PathBuf,
    /// What it computes in.
    pub dtype: DtypeSpec,
    /// Sets that it is asked about.
    pub sets: u64,
}

/// What one model was found to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Audited {
    name: String,
    deserves: Verdict,
    /// For each set its rows, cases with and without an opacity in turn.
    sets: Vec<Vec<Row>>,
}

/// Cases of one set: half with an opacity.
const HALF: usize = 12;
/// Sizes of sets that are tried.
const SIZES: [usize; 4] = [6, 12, 18, 24];

/// Scenes of a set, one with an opacity and one without in turn. The tag is there exactly where the opacity is, as in data that teach a
/// shortcut: by their answers alone a model that looks at the opacity and one that looks at the tag cannot be told apart.
fn scenes(seed: u64, set: u64) -> Vec<Scene> {
    // No set has a scene of another. A quarter of all scenes has an opacity, so that there are enough.
    let first = set * 200;
    let all =
        (first..first + 200).map(|index| scene(seed, Purpose::Evaluation, index, Variant::Sound));
    let (with, without): (Vec<Scene>, Vec<Scene>) =
        all.partition(|scene| has(scene, FindingKind::Opacity));
    let pairs = with.iter().zip(&without).take(HALF);
    pairs.flat_map(|(with, without)| [tagged(with), tagged(without)]).collect()
}

/// The case of a scene, and its right answer.
fn case(scenes: &[Scene], index: usize) -> Result<(AuditCase, Row)> {
    let scene = &scenes[index];
    let phantom = scene.render(SIZE);
    let shown = |at: usize| picture(&scenes[at % scenes.len()].render(SIZE));
    let is_opacity = |found: &&phantom_radiograph::Finding| found.kind == FindingKind::Opacity;
    let boxes: Vec<[f64; 4]> = scene
        .findings()
        .iter()
        .zip(phantom.masks())
        .filter(|(found, _)| is_opacity(found))
        .filter_map(|(_, mask)| Some(mask.tight_box()?.map(f64::from)))
        .collect();
    let is_there = !boxes.is_empty();
    let mask = Mask::of_boxes([SIZE, SIZE], &boxes);
    let lent = |at: usize| -> Result<Vec<Picture>, String> {
        shown(at).map(|picture| vec![picture]).map_err(|error| error.to_string())
    };
    let question = Question::Is(FindingKind::Opacity).text();
    let asked = medgemma_explainer::Question::new(vec![picture(&phantom)?], question);
    let case = AuditCase::new(asked)
        .with_part(mask.map(|mask| AuditPart { picture: 0, mask }))
        .with_same_label(lent(index + 2))
        .with_other_label(lent(index + 1));
    let row = Row {
        id: format!("{index}"),
        patient: index as u64,
        label: Some(if is_there { "opacity" } else { "no opacity" }.to_owned()),
        group: None,
        right_answer: Some(if is_there { "yes" } else { "no" }.to_owned()),
        observed: None,
        error: None,
    };
    Ok((case, row))
}

impl Subject {
    fn load(&self) -> Result<Explainer> {
        let options = LoadOptions::default().with_dtype(self.dtype);
        let source = ModelSource::Directory(self.model.clone());
        Ok(Explainer::load(&source, &options)?)
    }

    /// Asks about all sets.
    ///
    /// # Errors
    /// A checkpoint that cannot be loaded, and what asking fails with.
    pub fn audit(&self, seed: u64) -> Result<Audited> {
        let size = 2 * HALF as u64;
        let parts = share(self.sets * size, |numbers| {
            let explainer = self.load()?;
            let mut found = Vec::new();
            for number in numbers {
                let scenes = scenes(seed, number / size);
                let (case, row) = case(&scenes, (number % size) as usize)?;
                let options = AuditOptions::default().with_certificate(None).with_seed(number);
                let observed = explainer.audit(&case, &options)?;
                found.push((number, Row { observed: Some(observed), ..row }));
            }
            Ok(found)
        })?;
        let rows: BTreeMap<u64, Row> = parts.into_iter().flatten().collect();
        let rows: Vec<Row> = rows.into_values().collect();
        Ok(Audited {
            name: self.name.clone(),
            deserves: self.deserves,
            sets: rows.chunks(2 * HALF).map(<[Row]>::to_vec).collect(),
        })
    }
}

impl Audited {
    /// The verdict on each set of so many cases, of which each whole set gives as many as it holds.
    fn verdicts(&self, size: usize) -> Vec<Verdict> {
        let parts = self.sets.iter().flat_map(|rows| rows.chunks_exact(size));
        parts.map(|rows| Summary::of(rows).all.judgement.verdict).collect()
    }

    /// All rows, each of a patient of its own.
    fn all(&self) -> Vec<Row> {
        let rows = self.sets.iter().flatten().cloned();
        rows.enumerate().map(|(at, row)| Row { patient: at as u64, ..row }).collect()
    }
}

/// The verdicts that a model can deserve here.
const DESERVED: [Verdict; 3] =
    [Verdict::UsesThePart, Verdict::UsesAnotherPart, Verdict::DoesNotNeedThePicture];

/// Model by model: how many sets get which verdict.
pub fn verdicts(all: &[Audited]) -> String {
    let mut table = String::from(
        "| model | sets | uses it, and the part | uses it, not that part | does not need it | other verdicts |\n|---|---:|---:|---:|---:|---:|\n",
    );
    for audited in all {
        let found = audited.verdicts(2 * HALF);
        let count = |verdict: Verdict| found.iter().filter(|it| **it == verdict).count();
        let counts = DESERVED.map(|verdict| {
            let mark = if verdict == audited.deserves { "**" } else { "" };
            format!("{mark}{}{mark}", count(verdict))
        });
        let other = found.len() - DESERVED.map(count).iter().sum::<usize>();
        let counts = counts.join(" | ");
        let _infallible =
            writeln!(table, "| {} | {} | {counts} | {other} |", audited.name, found.len());
    }
    table
}

/// For each verdict how often who deserves it gets it, and who does not is spared, by the size of sets.
pub fn reliability(all: &[Audited]) -> String {
    let mut table = String::from(
        "| verdict | cases in a set | sensitivity | specificity |\n|---|---:|---:|---:|\n",
    );
    for verdict in DESERVED {
        for size in SIZES {
            let of = |deserving: bool| {
                let sets = all
                    .iter()
                    .filter(|audited| (audited.deserves == verdict) == deserving)
                    .flat_map(|audited| audited.verdicts(size));
                let right = |it: Verdict| f64::from(u8::from((it == verdict) == deserving));
                let items: Vec<(u64, f64)> =
                    sets.enumerate().map(|(at, it)| (at as u64, right(it))).collect();
                share_text(Estimate::of_shares(&items).as_ref())
            };
            let name = verdict.phrase();
            let _infallible = writeln!(table, "| {name} | {size} | {} | {} |", of(true), of(false));
        }
    }
    table
}

/// The numbers behind the verdicts, over all sets of a model.
pub fn numbers(all: &[Audited]) -> String {
    let mut table = String::from(
        "| model | right answers | picture use | word goes with another picture, other label | part hidden in pixels: word goes | another part hidden | shortcut score | mass of the map inside (constant map) |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for audited in all {
        let group = Summary::of(&audited.all()).all;
        let flipped = |change: Change| {
            let found = group.changes.iter().find(|it| it.change == change);
            share_text(found.and_then(|it| it.flipped.as_ref()))
        };
        let mass = group.methods.first().and_then(|method| {
            let found = method.measures.iter().find(|it| it.measure == "mass")?;
            Some(format!(
                "{} ({:.0} %)",
                share_text(found.own.as_ref()),
                100.0 * found.constant?.mean
            ))
        });
        let _infallible = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            audited.name,
            share_text(group.right.as_ref()),
            share_text(group.picture_use.as_ref()),
            flipped(Change::OtherLabel),
            flipped(Change::RelevantHidden),
            flipped(Change::IrrelevantHidden),
            share_text(group.shortcut.as_ref()),
            mass.unwrap_or_else(|| "–".to_owned()),
        );
    }
    table
}

fn share_text(of: Option<&Estimate>) -> String {
    of.map_or("–".to_owned(), Estimate::percent_text)
}

impl Audited {
    /// What is kept of it: maps are large, and their numbers stand beside; how long it took is of the machine.
    fn kept(&self) -> Self {
        let mut kept = self.clone();
        for observed in kept.sets.iter_mut().flatten().filter_map(|row| row.observed.as_mut()) {
            (observed.map, observed.seconds) = (None, 0.0);
        }
        kept
    }
}

/// Writes what was found as data.
///
/// # Errors
/// A file that cannot be written.
pub fn write(all: &[Audited], path: &Path) -> Result<()> {
    let kept: Vec<Audited> = all.iter().map(Audited::kept).collect();
    save(path, &format!("{}\n", serde_json::to_string(&kept)?))
}

/// Reads it again.
///
/// # Errors
/// A file that is not there or of another form.
pub fn read(path: &Path) -> Result<Vec<Audited>> {
    let text = std::fs::read(path).with_context(|| format!("could not read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is not understood", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_half_and_half_and_the_tag_goes_with_the_opacity() {
        let [first, second] = [0, 1].map(|set| scenes(1, set));
        assert_eq!(first.len(), 2 * HALF);
        for (index, scene) in first.iter().enumerate() {
            assert_eq!(has(scene, FindingKind::Opacity), index % 2 == 0);
            assert_eq!(scene.markers().portable, index % 2 == 0);
            assert!(second.iter().all(|other| other.seed() != scene.seed()));
        }
        let (asked, row) = case(&first, 2).unwrap();
        assert!(asked.part.is_some() && asked.other_label.is_ok());
        assert_eq!(row.right_answer.as_deref(), Some("yes"));
        assert!(case(&first, 3).unwrap().0.part.is_none());
    }
}
