//! Words of right answers about unseen phantoms, each with one map a setting, measured.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use attention_relevancy::{Occlusion, rank_correlation};

use crate::localize::case::{Case, Language};
use crate::localize::measure::Measure;
use crate::localize::methods::Maps;
use crate::localize::settings::{Effort, Setting};
use crate::questions::Word;
use crate::reader::{Reader, Spoken};
use crate::scenes::{Purpose, mix, number};
use crate::threads::share;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The number of the first phantom.
    pub first: u64,
    /// Unseen phantoms.
    pub pictures: u64,
    /// So many of them, the first ones, also for settings that take [more](Effort::More).
    pub more: u64,
    /// So many of them also for those that take the [most](Effort::Most), on the first answer of each that has words.
    pub most: u64,
    /// The most words of an answer that are measured, drawn; all words of a picture tell of the same findings.
    pub words: usize,
    /// Whether only reports are measured, and of them only words of what is there.
    pub only_reports: bool,
    /// The seed of the training run, which decides what is unseen.
    pub seed: u64,
}

impl Plan {
    /// Every setting on every picture, but for those that take the most.
    pub fn even(pictures: u64, most: u64, seed: u64) -> Self {
        Self {
            first: 0,
            pictures,
            more: pictures,
            most,
            words: usize::MAX,
            only_reports: false,
            seed,
        }
    }

    /// The settings that are measured on a picture; `first` is whether it is the first of its answers.
    fn measures(&self, setting: Setting, picture: u64, first: bool) -> bool {
        let index = picture - self.first;
        match setting.effort() {
            Effort::Least => true,
            Effort::More => index < self.more,
            Effort::Most => index < self.most && first,
        }
    }
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
    pub measures: Vec<Option<Measured>>,
}

/// What one setting's map of a word is worth.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Against the masks.
    pub place: Measure,
    /// Rank correlation with each [`Occlusion`], where that was measured of the word.
    pub occlusion: [Option<f64>; 2],
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
    plan: &Plan,
    language: &Language,
    settings: &[Setting],
) -> Result<Benchmark> {
    let parts = share(plan.pictures, |indices| {
        let reader = Reader::open(folder)?;
        let mut found = Benchmark::default();
        for index in indices {
            // Whoever waits for hours sees that it goes on.
            eprintln!("picture {} of {}", index + 1, plan.pictures);
            let index = plan.first + index;
            let case = Case::unseen(language, plan.seed, index);
            found.take(&reader, &case, (plan, index), settings)?;
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
        (plan, index): (&Plan, u64),
        settings: &[Setting],
    ) -> Result<()> {
        let number = number(plan.seed, Purpose::Evaluation, index);
        let mut first = true;
        let asked = if plan.only_reports { &case.exchanges[..1] } else { &case.exchanges };
        for (turn, mut reading) in reader.read(&case.pictures()?, asked)?.into_iter().enumerate() {
            self.answers += 1;
            if !reader.agrees(&reading)? {
                continue;
            }
            self.right += 1;
            if plan.only_reports {
                reading.words.retain(|word| word.finding().is_some());
            }
            draw(&mut reading.words, plan.words, mix(number ^ turn as u64));
            if reading.words.is_empty() {
                continue;
            }
            let is_measured = |at: &usize| plan.measures(settings[*at], index, first);
            let measured: Vec<usize> = (0..settings.len()).filter(is_measured).collect();
            first = false;
            let chosen: Vec<Setting> = measured.iter().map(|&at| settings[at]).collect();
            let maps = Maps::new(reader, case, &reading)?.all(&chosen, number)?;
            for (at, word) in reading.words.iter().enumerate() {
                let map_of = |setting: Setting| {
                    let place = chosen.iter().position(|other| *other == setting)?;
                    Some(&maps[place][at])
                };
                let truths = Occlusion::ALL.map(|operator| map_of(Setting::occlusion(operator)));
                let mut measures = vec![None; settings.len()];
                for (&place, maps) in measured.iter().zip(&maps) {
                    let map = &maps[at];
                    // Maps of patches and of pixels have other cells.
                    let alike = |truth: &&Vec<f32>| truth.len() == map.len();
                    let correlation = |truth: &Vec<f32>| rank_correlation(map, truth);
                    measures[place] = Some(Measured {
                        place: case.measure(map, word.topic),
                        occlusion: truths.map(|truth| truth.filter(alike).map(correlation)),
                    });
                }
                let region = case.region(word.topic);
                self.items.push(Item {
                    picture: index,
                    group: Group { word: word.word, pictures: reading.images.len() },
                    drop: reader.drop(&reading, word.positions.start, region.cells())?,
                    measures,
                });
            }
        }
        Ok(())
    }
}

/// Leaves so many of the words, drawn by a number, in their order: of what the most of them tell the first to go, because a report says of
/// most kinds that they are not there.
fn draw(words: &mut Vec<Spoken>, most: usize, number: u64) {
    let mut state = number;
    while most < words.len() {
        state = mix(state);
        let alike = |word: Word| words.iter().filter(|other| other.word == word).count();
        let largest = words.iter().map(|word| alike(word.word)).max().unwrap_or(0);
        let many: Vec<usize> =
            (0..words.len()).filter(|&at| alike(words[at].word) == largest).collect();
        words.remove(many[(state % many.len() as u64) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::Topic;

    #[test]
    fn drawn_words_keep_their_order_and_any_of_them_may_be_left() {
        let word = |at: usize| Spoken {
            text: at.to_string(),
            word: Word::Finding,
            topic: Topic::Findings,
            positions: at..at + 1,
            sentence: 0..9,
        };
        let all: Vec<Spoken> = (0..9).map(word).collect();
        let mut left = BTreeSet::new();
        for number in 0..50 {
            let mut words = all.clone();
            draw(&mut words, 2, number);
            assert!(words.len() == 2 && words[0].positions.start < words[1].positions.start);
            left.extend(words.iter().map(|word| word.positions.start));
        }
        assert_eq!(left.len(), 9);
        // One kind does not crowd out another.
        let mut words = all.clone();
        words[4].word = Word::Side;
        draw(&mut words, 2, 1);
        assert!(words.iter().any(|word| word.word == Word::Side));
        let mut words = all.clone();
        draw(&mut words, usize::MAX, 1);
        assert_eq!(words, all);
    }
}
