//! The examples of the hybrid: each depends on its number alone.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use checkpoint_files::random::SplitMix;
use gemma3_processor::image::RgbImage;
use gemma3_processor::{Message, Picture, Pixels, Processor};
use phantom_radiograph::{FindingKind, Mask, Phantom, Scene};

use super::cases::Case;
use super::language::{About, Query, SIZED, found};
use crate::examples::{Asked, Beginning, COVERED, Turn, picture, shared_beginning};
use crate::recipe::Variant;
use crate::scenes::{Purpose, clues, has, mix, number, scene};

/// Short questions about a picture, beside one report.
const SHORT: usize = 6;
/// One in so many cells that are shown may be of the same finding.
const OF_EACH: usize = 8;
/// Tokens that learn not to be said, whatever the answers: the first of the vocabulary, which are the ones that are said most, and some
/// of the others, drawn anew for each example.
const FREQUENT: u32 = 16_384;
const OTHERS: usize = 2048;

/// Makes the examples.
pub struct Examples {
    seed: u64,
    variant: Variant,
    /// Side of the pictures in pixels.
    size: u32,
    processor: Processor,
    one: Prompts,
    two: Prompts,
    end_of_turn: u32,
    vocabulary: usize,
    /// All tokens of all answers that were looked at, and the frequent ones, ascending.
    known: Vec<u32>,
}

/// The prompts about so many pictures.
struct Prompts {
    beginning: Beginning,
    rests: Vec<(Query, Vec<u32>)>,
}

/// An example as tokens.
pub struct Example {
    /// Pictures, questions and answers.
    pub asked: Asked,
    /// What may be said, ascending.
    pub choice: Vec<u32>,
}

impl Prompts {
    fn new(processor: &Processor, queries: Vec<Query>, pictures: &[Picture]) -> Result<Self> {
        let texts: Vec<String> = queries.iter().map(|query| query.text()).collect();
        let (beginning, rests) = shared_beginning(processor, &texts, pictures)?;
        Ok(Self { beginning, rests: queries.into_iter().zip(rests).collect() })
    }
}

impl Examples {
    /// For pictures of this size, and a model with so many tokens.
    ///
    /// # Errors
    /// A processor whose tokens are not those of Gemma.
    pub fn new(
        processor: Processor,
        vocabulary: usize,
        seed: u64,
        variant: Variant,
        size: u32,
    ) -> Result<Self> {
        let black = || Picture::from_rgb(RgbImage::new(size, size));
        let one = Prompts::new(&processor, Query::of_one(), &[black()?])?;
        let two = Prompts::new(&processor, Query::of_two(), &[black()?, black()?])?;
        let tokenizer = processor.tokenizer();
        let end_of_turn =
            tokenizer.id("<end_of_turn>").context("the tokenizer has no end of a turn")?;
        let frequent = 0..FREQUENT.min(vocabulary as u32);
        let known = frequent.chain([end_of_turn]).collect();
        let mut examples =
            Self { seed, variant, size, processor, one, two, end_of_turn, vocabulary, known };
        let mut said: BTreeSet<u32> = examples.known.iter().copied().collect();
        for index in 0..120 {
            for turn in examples.turns(&examples.case(Purpose::Sight, index), |_| true)? {
                said.extend(&turn.ids[turn.prompt..]);
            }
        }
        examples.known = said.into_iter().collect();
        Ok(examples)
    }

    /// The processor.
    pub fn processor(&self) -> &Processor {
        &self.processor
    }

    /// What prompts about a case begin with.
    pub fn beginning(&self, case: &Case) -> &Beginning {
        &self.prompts(case).beginning
    }

    fn prompts(&self, case: &Case) -> &Prompts {
        if case.prior.is_some() { &self.two } else { &self.one }
    }

    /// Case `index` of a purpose.
    pub fn case(&self, purpose: Purpose, index: u64) -> Case {
        Case::of((self.seed, self.variant), purpose, index, self.size)
    }

    /// The questions that fit a case, of those that are wanted, with their answers.
    ///
    /// # Errors
    /// What the tokenizer refuses.
    pub fn turns(&self, case: &Case, wanted: impl Fn(Query) -> bool) -> Result<Vec<Turn>> {
        let rests = self.prompts(case).rests.iter().filter(|(query, _)| wanted(*query));
        let turn = |(query, rest): &(Query, Vec<u32>)| {
            let answer = query.answer(case)?;
            Some(Turn::new(&self.processor, rest, &answer, self.end_of_turn))
        };
        rests.filter_map(turn).collect()
    }

    /// The queries that fit a case, in the order of [`turns`](Self::turns).
    pub fn queries(&self, case: &Case) -> Vec<Query> {
        let rests = self.prompts(case).rests.iter();
        rests.filter(|(query, _)| query.about.fits(case)).map(|(query, _)| *query).collect()
    }

    /// What the vision tower takes of the pictures of a case.
    ///
    /// # Errors
    /// What the processor refuses.
    pub fn pixels(&self, case: &Case) -> Result<Vec<Pixels>> {
        case.scenes().map(|scene| self.looked_at(&scene.render(self.size))).collect()
    }

    /// Phantom `index` of those that the projector begins with.
    pub fn seen(&self, index: u64) -> Phantom {
        scene(self.seed, Purpose::Sight, index, self.variant).render(self.size)
    }

    /// What each finding of a phantom is to be recognised by.
    pub fn clues<'p>(&self, phantom: &'p Phantom) -> Vec<&'p Mask> {
        clues(phantom, self.variant)
    }

    /// What the vision tower takes of a phantom.
    ///
    /// # Errors
    /// What the processor refuses.
    pub fn looked_at(&self, phantom: &Phantom) -> Result<Pixels> {
        let message = Message::user(1, "?");
        let mut prepared = self.processor.prepare(&[message], &[picture(phantom)?])?;
        Ok(prepared.pixels.remove(0))
    }

    /// So many of the cells of each picture, with some of those of each finding among them, ascending.
    fn cells(&self, case: &Case, count: usize, index: u64) -> Vec<Vec<i64>> {
        let mut random = SplitMix::new(mix(index ^ self.seed ^ 0x5e11));
        let tokens = self.one.beginning.images[0].len();
        let kept = |scene: &Scene| {
            let phantom = scene.render(self.size);
            let clues = self.clues(&phantom).into_iter();
            let covers: Vec<Vec<f32>> =
                clues.map(|mask| mask.cells(tokens.isqrt() as u32)).collect();
            let shows = |cell: usize| covers.iter().any(|cover| COVERED < cover[cell]);
            let mut kept = BTreeSet::new();
            for cover in &covers {
                let mut all: Vec<usize> = (0..tokens).filter(|c| COVERED < cover[*c]).collect();
                shuffle(&mut all, &mut random);
                kept.extend(all.into_iter().take((count / OF_EACH).max(1)));
            }
            let mut others: Vec<usize> = (0..tokens).filter(|cell| !shows(*cell)).collect();
            shuffle(&mut others, &mut random);
            let missing = count.saturating_sub(kept.len());
            kept.extend(others.into_iter().take(missing));
            kept.into_iter().map(|cell| cell as i64).collect()
        };
        case.scenes().map(kept).collect()
    }

    /// Example `index` of the training, with so many cells of each picture.
    ///
    /// # Errors
    /// Those of its parts.
    pub fn example(&self, index: u64, cells: Option<usize>) -> Result<(Case, Example)> {
        let case = self.case(Purpose::Answers, index);
        let chosen = chosen(&case, number(self.seed, Purpose::Answers, index));
        let mut turns = self.turns(&case, |query| chosen.contains(&query))?;
        // Which of them is the nearest to the picture is drawn, too.
        let first = (mix(index) % turns.len().max(1) as u64) as usize;
        turns.rotate_left(first);
        let mut random = SplitMix::new(mix(index ^ self.seed));
        let mut choice: BTreeSet<u32> = self.known.iter().copied().collect();
        let others = std::iter::repeat_with(|| (random.number() % self.vocabulary as u64) as u32);
        choice.extend(others.take(OTHERS));
        choice.extend(turns.iter().flat_map(|turn| &turn.ids[turn.prompt..]));
        let cells = cells.map(|count| self.cells(&case, count, index));
        let asked = Asked { pixels: self.pixels(&case)?, turns, cells };
        Ok((case, Example { asked, choice: choice.into_iter().collect() }))
    }
}

fn shuffle(all: &mut [usize], random: &mut SplitMix) {
    for at in (1..all.len()).rev() {
        all.swap(at, (random.number() % (at as u64 + 1)) as usize);
    }
}

/// A report and some short questions, more of them about what is there; of two pictures every question.
fn chosen(case: &Case, number: u64) -> Vec<Query> {
    let mut state = number ^ 0x5bd1;
    let mut draw = |below: usize| {
        state = mix(state);
        (state % below as u64) as usize
    };
    if case.prior.is_some() {
        return Query::of_two();
    }
    let mut chosen = vec![Query { about: About::All, wording: draw(3) }];
    let (present, absent): (Vec<_>, Vec<_>) =
        FindingKind::ALL.into_iter().partition(|kind| has(&case.scene, *kind));
    for turn in 0..SHORT {
        let wanted = if draw(5) < 3 || absent.is_empty() { &present } else { &absent };
        let kinds = if wanted.is_empty() { &absent } else { wanted };
        let kind = kinds[draw(kinds.len())];
        let sized = SIZED.into_iter().filter(|kind| {
            found(&case.scene, *kind).is_some_and(|(at, _)| case.sizes[at].is_some())
        });
        let sized: Vec<_> = sized.collect();
        let about = match turn {
            0 => About::Count,
            1 if !sized.is_empty() => About::Size(sized[draw(sized.len())]),
            _ if draw(2) == 0 => About::Presence(kind),
            _ => About::Place(kind),
        };
        let query = Query { about, wording: draw(about.wordings()) };
        if !chosen.contains(&query) {
            chosen.push(query);
        }
    }
    chosen
}
