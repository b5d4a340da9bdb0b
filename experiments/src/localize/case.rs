//! What a benchmark asks about, and where in the pictures the right places are.

use anyhow::Result;
use gemma3_processor::Picture;
use phantom_radiograph::{FindingKind, Mask, Phantom, Scene};

use crate::examples::picture;
use crate::hybrid::cases;
use crate::hybrid::language::{About, Query};
use crate::localize::measure::{Measure, Region};
use crate::questions::{Exchange, Question, Topic};
use crate::recipe::Variant;
use crate::scenes::{Purpose, has, mix, number, scene};

/// Cells along one side of a map.
pub const GRID: u32 = 16;
/// Side of the pictures: what the vision tower takes, so that cells are whole pixels.
pub const SIZE: u32 = 224;
/// Patches along one side of a picture.
const PATCHES: u32 = 32;

/// Phantoms from which is known where findings usually are.
const KNOWN: u64 = 400;
/// A cell is a usual place of a kind if that covers so much of it as a share of the most that it covers of any.
const USUAL: f32 = 0.25;

/// The language of the questions.
#[derive(Debug, Clone)]
pub enum Language {
    /// That of the small models: places.
    Places,
    /// That of the hybrid, with where the kinds of findings usually are.
    Natural(Usual),
}

/// For each kind of finding the cells where it usually is, 1 or 0.
#[derive(Debug, Clone)]
pub struct Usual(Vec<(FindingKind, Vec<f32>)>);

impl Usual {
    /// As training phantoms have them.
    pub fn new(seed: u64) -> Self {
        let cells = (GRID * GRID) as usize;
        let mut sums: Vec<_> = FindingKind::ALL.map(|kind| (kind, vec![0.0; cells])).into();
        for index in 0..KNOWN {
            let phantom = scene(seed, Purpose::Sight, index, Variant::Sound).render(SIZE);
            for (finding, mask) in phantom.scene().findings().iter().zip(phantom.masks()) {
                let sum = sums.iter_mut().find(|(kind, _)| *kind == finding.kind);
                let covers = mask.cells(GRID);
                for (sum, cover) in sum.into_iter().flat_map(|(_, sum)| sum).zip(covers) {
                    *sum += cover;
                }
            }
        }
        for (_, sum) in &mut sums {
            let most = sum.iter().fold(0.0, |most: f32, cell| most.max(*cell));
            for cell in sum.iter_mut() {
                *cell = f32::from(u8::from(*cell > USUAL * most));
            }
        }
        Self(sums)
    }

    fn of(&self, kind: FindingKind) -> Region {
        let found = self.0.iter().find(|(of, _)| *of == kind);
        Region::new(found.map(|(_, cells)| cells.clone()).unwrap_or_default())
    }
}

/// One phantom or two, with the cells of their findings.
pub struct Case {
    /// The scene that words tell of: that of the last picture.
    pub scene: Scene,
    /// The last picture.
    pub phantom: Phantom,
    /// The questions with their right answers.
    pub exchanges: Vec<Exchange>,
    /// One for each finding, in the cells of tokens, of all pictures in order.
    pub regions: Vec<Region>,
    /// The same in the cells of patches and in pixels; of one picture.
    finer: [Vec<Region>; 2],
    /// The picture before.
    prior: Option<Phantom>,
    /// Where kinds of findings usually are.
    usual: Option<Usual>,
}

impl Case {
    /// Unseen phantom `index` with the questions of a language.
    pub fn unseen(language: &Language, seed: u64, index: u64) -> Self {
        match language {
            Language::Places => Self::of(scene(seed, Purpose::Evaluation, index, Variant::Sound)),
            Language::Natural(usual) => {
                let of = (seed, Variant::Sound);
                let case = cases::Case::of(of, Purpose::Evaluation, index, SIZE);
                let draw = number(seed, Purpose::Evaluation, index);
                let queries = queries(&case, draw);
                let exchanges = queries.iter().filter_map(|query| query.exchange(&case)).collect();
                let prior = case.prior.as_ref();
                let regions = prior.map(|prior| of_two(prior, &case.scene));
                let own = Self::of(case.scene.clone());
                Self {
                    exchanges,
                    regions: regions.unwrap_or(own.regions),
                    prior: prior.map(|prior| prior.render(SIZE)),
                    usual: Some(usual.clone()),
                    ..own
                }
            }
        }
    }

    /// Of a scene of one picture, with what asks for a report first.
    pub fn about(language: &Language, scene: Scene) -> Self {
        let own = Self::of(scene);
        let Language::Natural(usual) = language else { return own };
        let sizes = vec![None; own.scene.findings().len()];
        let case = cases::Case { prior: None, scene: own.scene.clone(), sizes };
        let report = Query { about: About::All, wording: 0 };
        let exchanges = report.exchange(&case).into_iter().collect();
        Self { exchanges, usual: Some(usual.clone()), ..own }
    }

    /// Of a scene, with the questions for places: a report, and the place of everything that is there.
    pub fn of(scene: Scene) -> Self {
        let phantom = scene.render(SIZE);
        let regions = |side: u32| phantom.masks().iter().map(|mask| region(mask, side)).collect();
        let (regions, finer) = (regions(GRID), [regions(PATCHES), regions(SIZE)]);
        let places = scene.findings().iter().map(|finding| Question::Where(finding.kind));
        let questions = [Question::Describe].into_iter().chain(places);
        let exchanges = questions.map(|question| question.exchange(&scene)).collect();
        Self { scene, phantom, exchanges, regions, finer, prior: None, usual: None }
    }

    /// Whether its questions are those of the hybrid.
    pub fn is_natural(&self) -> bool {
        self.usual.is_some()
    }

    /// The pictures in the order in which they are shown.
    ///
    /// # Errors
    /// What the processor refuses.
    pub fn pictures(&self) -> Result<Vec<Picture>> {
        self.prior.iter().chain([&self.phantom]).map(picture).collect()
    }

    /// How well a map shows what a word tells of; it has the cells of tokens of all pictures, or of one picture those of patches, or
    /// pixels.
    ///
    /// # Panics
    /// For a word of negation outside of a natural language.
    pub fn measure(&self, map: &[f32], topic: Topic) -> Measure {
        let fits = |regions: &&Vec<Region>| {
            regions.first().is_some_and(|region| region.cells().len() == map.len())
        };
        let regions = self.finer.iter().find(fits).unwrap_or(&self.regions);
        let all = || regions.iter().collect::<Vec<_>>();
        match topic {
            Topic::Finding(index) => {
                let mut others = all();
                let own = others.remove(index);
                Measure::of(map, own, &others)
            }
            Topic::Findings => Measure::of(map, &union(regions), &[]),
            Topic::Absent(_) => Measure::of(map, &self.region(topic), &all()),
        }
    }

    /// The right place of what a word tells of, in the cells of tokens of all pictures.
    ///
    /// # Panics
    /// For a word of negation outside of a natural language.
    pub fn region(&self, topic: Topic) -> Region {
        match topic {
            Topic::Finding(index) => self.regions[index].clone(),
            Topic::Findings => union(&self.regions),
            Topic::Absent(kind) => {
                let usual = self.usual.as_ref().expect("negation is of a natural language");
                usual.of(kind)
            }
        }
    }
}

/// What is asked of a case of the hybrid: of one picture a report, the place of everything that is there, sizes, the number, and one kind
/// that is not there; of two what changed. Wordings are drawn.
fn queries(case: &cases::Case, draw: u64) -> Vec<Query> {
    if case.prior.is_some() {
        return Query::of_two();
    }
    let kinds = || case.scene.findings().iter().map(|finding| finding.kind);
    let missing: Vec<_> =
        FindingKind::ALL.into_iter().filter(|kind| !has(&case.scene, *kind)).collect();
    let missing = missing.get((mix(draw) % missing.len().max(1) as u64) as usize).copied();
    let all = [About::All, About::Count].into_iter().chain(kinds().map(About::Place));
    let all = all.chain(kinds().map(About::Size)).chain(missing.map(About::Presence));
    let wording = |(at, about): (usize, About)| {
        let drawn = mix(draw ^ at as u64) % about.wordings() as u64;
        Query { about, wording: drawn as usize }
    };
    all.filter(|about| about.fits(case)).enumerate().map(wording).collect()
}

fn region(mask: &Mask, side: u32) -> Region {
    Region::new(mask.cells(side))
}

/// The findings of the second of two pictures in the cells of both: where one is in the first, too, it is there as well.
fn of_two(prior: &Scene, scene: &Scene) -> Vec<Region> {
    let [before, now] = [prior, scene].map(|scene| scene.render(SIZE));
    let region = |(finding, mask): (_, &Mask)| {
        let earlier = prior.findings().iter().position(|other| other == finding);
        let first = earlier.map(|at| before.masks()[at].cells(GRID));
        let mut cells = first.unwrap_or_else(|| vec![0.0; (GRID * GRID) as usize]);
        cells.extend(mask.cells(GRID));
        Region::new(cells)
    };
    scene.findings().iter().zip(now.masks()).map(region).collect()
}

/// What any of them covers.
fn union(regions: &[Region]) -> Region {
    let cells = regions.first().map_or(0, |region| region.cells().len());
    let most = |cell: usize| regions.iter().map(|r| r.cells()[cell]).fold(0.0, f32::max);
    Region::new((0..cells).map(most).collect())
}
