//! Words of right answers about unseen phantoms, each with one map a setting, measured.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::localize::case::{Case, Language};
use crate::localize::measure::Measure;
use crate::localize::methods::Maps;
use crate::localize::settings::Setting;
use crate::questions::Word;
use crate::reader::Reader;
use crate::scenes::{Purpose, number};
use crate::threads::share;

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
    /// What it tells, and of how many pictures.
    pub group: Group,
    /// What its log-odds lose in nats where the right place is hidden ([`Reader::drop`]).
    pub drop: f64,
    /// In the order of the settings.
    pub measures: Vec<Measure>,
}

/// Words of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// How many pictures the answer is about.
    pub pictures: usize,
    /// What the words tell.
    pub word: Word,
}

impl Group {
    /// The name in tables.
    pub fn name(self) -> String {
        match self.pictures {
            1 => self.word.name().to_owned(),
            count => format!("{} of {count} pictures", self.word.name()),
        }
    }
}

/// A word is decided by what its right place shows where hiding that costs it so many nats: less than this, and no map can be right.
pub const DECIDED: f64 = 1.0;

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

/// Measures every setting on the same words of the checkpoint in `folder`.
pub fn measure(
    folder: &Path,
    plan: Plan,
    language: &Language,
    settings: &[Setting],
) -> Result<Benchmark> {
    let parts = share(plan.pictures, |indices| {
        let reader = Reader::open(folder)?;
        let mut found = Benchmark::default();
        for index in indices {
            let case = Case::unseen(language, plan.seed, index);
            found.take(&reader, &case, (plan.seed, index), settings)?;
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
    /// The groups of its words, in order.
    pub fn groups(&self) -> Vec<Group> {
        let groups: BTreeSet<Group> = self.items.iter().map(|item| item.group).collect();
        groups.into_iter().collect()
    }

    fn take(
        &mut self,
        reader: &Reader,
        case: &Case,
        (seed, index): (u64, u64),
        settings: &[Setting],
    ) -> Result<()> {
        for reading in reader.read(&case.pictures()?, &case.exchanges)? {
            self.answers += 1;
            if !reader.agrees(&reading)? {
                continue;
            }
            self.right += 1;
            if reading.words.is_empty() {
                continue;
            }
            let maps = Maps::new(reader, case, &reading)?;
            let by_setting = maps.all(settings, number(seed, Purpose::Evaluation, index))?;
            for (at, word) in reading.words.iter().enumerate() {
                let place = case.region(word.topic);
                self.items.push(Item {
                    picture: index,
                    group: Group { word: word.word, pictures: reading.images.len() },
                    drop: reader.drop(&reading, word.positions.start, place.cells())?,
                    measures: by_setting
                        .iter()
                        .map(|maps| case.measure(&maps[at], word.topic))
                        .collect(),
                });
            }
        }
        Ok(())
    }
}
