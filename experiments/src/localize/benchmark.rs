//! Words of right answers about unseen phantoms, each with one map a setting, measured.

use std::path::Path;

use anyhow::Result;
use phantom_radiograph::{FindingKind, Phantom, Scene};

use crate::examples::picture;
use crate::localize::measure::{Measure, Region};
use crate::localize::methods::Maps;
use crate::localize::settings::Setting;
use crate::questions::{Question, Word};
use crate::reader::Reader;
use crate::recipe::Variant;
use crate::scenes::{Purpose, number, scene};
use crate::threads::share;

/// Cells along one side of a map.
pub const GRID: u32 = 16;
/// Side of the pictures: what the vision tower takes, so that cells are whole pixels.
pub const SIZE: u32 = 224;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Unseen phantoms.
    pub pictures: u64,
    /// The seed of the training run, which decides what is unseen.
    pub seed: u64,
}

/// A word with its measures.
#[derive(Debug, Clone)]
pub struct Item {
    /// The number of its picture.
    pub picture: u64,
    /// What it tells.
    pub word: Word,
    /// The kind of the finding that it tells of.
    pub kind: FindingKind,
    /// In the order of the settings.
    pub measures: Vec<Measure>,
}

/// All that was measured.
#[derive(Debug, Clone, Default)]
pub struct Benchmark {
    /// In no order that means anything.
    pub items: Vec<Item>,
    /// Answers asked for.
    pub answers: usize,
    /// Those that were right from the first token to the last. Words come from these alone.
    pub right: usize,
}

/// A phantom with the cells of its findings.
pub struct Case {
    /// The scene.
    pub scene: Scene,
    /// The picture.
    pub phantom: Phantom,
    /// One for each finding, in the cells of tokens.
    pub regions: Vec<Region>,
    /// The same in the cells of patches and in pixels.
    finer: [Vec<Region>; 2],
}

/// Patches along one side of a picture.
const PATCHES: u32 = 32;

impl Case {
    /// Unseen phantom `index`.
    pub fn unseen(seed: u64, index: u64) -> Self {
        Self::of(scene(seed, Purpose::Evaluation, index, Variant::Sound))
    }

    /// Of a scene.
    pub fn of(scene: Scene) -> Self {
        let phantom = scene.render(SIZE);
        let regions =
            |side: u32| phantom.masks().iter().map(|mask| Region::new(mask.cells(side))).collect();
        let (regions, finer) = (regions(GRID), [regions(PATCHES), regions(SIZE)]);
        Self { scene, phantom, regions, finer }
    }

    /// A report, and the question for the place of everything that is there.
    pub fn questions(&self) -> Vec<Question> {
        let places = self.scene.findings().iter().map(|finding| Question::Where(finding.kind));
        [Question::Describe].into_iter().chain(places).collect()
    }

    /// How well a map shows finding `index`; it has the cells of tokens, of patches, or pixels.
    pub fn measure(&self, map: &[f32], index: usize) -> Measure {
        let fits = |regions: &&Vec<Region>| {
            regions.first().is_some_and(|region| region.cells().len() == map.len())
        };
        let regions = self.finer.iter().find(fits).unwrap_or(&self.regions);
        let others: Vec<&Region> = (0..regions.len())
            .filter(|other| *other != index)
            .map(|other| &regions[other])
            .collect();
        Measure::of(map, &regions[index], &others)
    }
}

/// Measures every setting on the same words of the checkpoint in `folder`.
pub fn measure(folder: &Path, plan: Plan, settings: &[Setting]) -> Result<Benchmark> {
    let parts = share(plan.pictures, |indices| {
        let reader = Reader::open(folder)?;
        let mut found = Benchmark::default();
        for index in indices {
            found.take(&reader, plan.seed, index, settings)?;
        }
        Ok(found)
    })?;
    let mut sum = Benchmark::default();
    for part in parts {
        sum.items.extend(part.items);
        sum.answers += part.answers;
        sum.right += part.right;
    }
    sum.items.sort_by_key(|item| item.picture);
    Ok(sum)
}

impl Benchmark {
    fn take(&mut self, reader: &Reader, seed: u64, index: u64, settings: &[Setting]) -> Result<()> {
        let case = Case::unseen(seed, index);
        let readings = reader.read(&case.scene, &picture(&case.phantom)?, &case.questions())?;
        for reading in readings {
            self.answers += 1;
            if !reader.agrees(&reading)? {
                continue;
            }
            self.right += 1;
            if reading.words.is_empty() {
                continue;
            }
            let maps = Maps::new(reader, &case.scene, &reading)?;
            let seed = number(seed, Purpose::Evaluation, index);
            let by_setting = settings
                .iter()
                .map(|setting| maps.of(*setting, seed))
                .collect::<Result<Vec<_>>>()?;
            self.items.extend(reading.words.iter().enumerate().map(|(at, word)| Item {
                picture: index,
                word: word.word,
                kind: case.scene.findings()[word.finding].kind,
                measures:
                    by_setting.iter().map(|maps| case.measure(&maps[at], word.finding)).collect(),
            }));
        }
        Ok(())
    }
}
