//! Which cells are taken away: for curves of maps, for those of controls, for parts.

use std::collections::HashMap;
use std::ops::Range;

use attention_relevancy::faithfulness::{Order, blob, moved};
use attention_relevancy::ndarray::ArrayView1;
use explanation_record::{ControlKind, MapChange};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::CertificateOptions;
use crate::{Answer, TargetExplanation};

/// Shares of the cells that comprehensiveness and sufficiency are the mean over (`DeYoung` et al. 2020).
const SHARES: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.5];
/// The part of a map that counts as its first cells, and the part of all cells that is taken at once.
const FIRST: f64 = 0.2;
const PART: f64 = 0.1;
/// Parts that are drawn of either.
const PARTS: usize = 5;

/// What is taken away at a time: the image tokens of an answer or square blocks of them, as one row of cells over all pictures.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    /// The blocks of each image, and how many rows and columns of them there are.
    images: Vec<(Range<usize>, [usize; 2])>,
    /// The image tokens of each cell, counted over all images.
    tokens: Vec<Vec<usize>>,
    /// Where each image token stands in the sequence.
    positions: Vec<usize>,
    /// The first image token of each image and its grid of tokens.
    grids: Vec<(usize, [usize; 2])>,
}

impl Cells {
    /// Cells of so many tokens a side; those at the right and lower border have fewer where a side does not divide.
    pub(super) fn of(answer: &Answer, side: usize) -> Self {
        let images = answer.prepared.images.iter();
        Self::new(images.map(|image| (image.span.clone(), image.grid)), side)
    }

    fn new(images: impl Iterator<Item = (Range<usize>, [usize; 2])>, side: usize) -> Self {
        let (mut all, mut tokens, mut positions, mut grids) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (span, grid @ [rows, columns]) in images {
            let (start, blocks) = (tokens.len(), [rows.div_ceil(side), columns.div_ceil(side)]);
            tokens.resize_with(start + blocks[0] * blocks[1], Vec::new);
            for (index, position) in span.enumerate() {
                let (row, column) = (index / columns / side, index % columns / side);
                tokens[start + row * blocks[1] + column].push(positions.len());
                if index == 0 {
                    grids.push((positions.len(), grid));
                }
                positions.push(position);
            }
            all.push((start..tokens.len(), blocks));
        }
        Self { images: all, tokens, positions, grids }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.tokens.len()
    }

    /// The image tokens of some cells, counted over all images.
    pub(super) fn tokens(&self, cells: &[usize]) -> Vec<usize> {
        cells.iter().flat_map(|&cell| self.tokens[cell].iter().copied()).collect()
    }

    /// The positions of these tokens in the sequence.
    pub(super) fn positions(&self, cells: &[usize]) -> Vec<usize> {
        self.tokens(cells).into_iter().map(|token| self.positions[token]).collect()
    }

    /// The images with their first token and their grid of tokens.
    pub(super) fn grids(&self) -> impl Iterator<Item = (usize, [usize; 2])> {
        self.grids.iter().copied()
    }

    /// The images with their first cell and their grid of cells.
    fn images(&self) -> impl Iterator<Item = (usize, [usize; 2])> {
        self.images.iter().map(|(cells, grid)| (cells.start, *grid))
    }

    /// The means of a row `[S]` over the tokens of each cell.
    pub(super) fn values(&self, row: ArrayView1<'_, f32>) -> Vec<f32> {
        let mean = |tokens: &Vec<usize>| {
            tokens.iter().map(|&token| row[self.positions[token]]).sum::<f32>()
                / tokens.len() as f32
        };
        self.tokens.iter().map(mean).collect()
    }

    /// How alike the maps of a target are before and after a change.
    pub(super) fn change(&self, what: String, maps: [&TargetExplanation; 2]) -> MapChange {
        let [before, after] = maps.map(|target| self.values(target.relevancy().relevancy()));
        MapChange { what, rank_correlation: attention_relevancy::rank_correlation(&before, &after) }
    }

    /// The maps of a target. Cells of equal value stand in an order that `random` draws.
    pub(super) fn maps(&self, target: &TargetExplanation, random: &mut ChaCha8Rng) -> Maps {
        let own = (!target.is_empty()).then(|| self.values(target.relevancy().relevancy()));
        let methods =
            target.methods().iter().map(|row| Some(self.values(row.as_ref().ok()?.view())));
        Maps::of(own, methods, random)
    }

    /// The map mirrored and moved over the edges of each image, by a quarter of a side or more.
    fn moved(&self, map: &[f32], random: &mut ChaCha8Rng) -> Vec<f32> {
        let of_image = |(start, [rows, columns]): (usize, [usize; 2])| {
            let shift = loop {
                let shift = [random.random_range(0..rows), random.random_range(0..columns)];
                let far = |by: usize, side: usize| side <= 4 * by.min(side - by);
                if far(shift[0], rows) || far(shift[1], columns) || rows * columns == 1 {
                    break shift;
                }
            };
            let turned = [random.random(), random.random()];
            moved(&map[start..start + rows * columns], [rows, columns], shift, turned)
        };
        self.images().flat_map(of_image).collect()
    }

    fn blob(&self) -> Vec<f32> {
        self.images().flat_map(|(_, grid)| blob(grid)).collect()
    }
}

/// What the methods say of the cells for one target.
#[derive(Debug, Clone)]
pub(super) struct Maps {
    /// The order of the relevancy, and the relevancy; `None` where nothing speaks for the target.
    own: Option<(Order, Vec<f32>)>,
    /// The orders of the other methods; `None` for one that has nothing to say.
    methods: Vec<Option<Order>>,
}

impl Maps {
    pub(super) fn of(
        own: Option<Vec<f32>>,
        methods: impl Iterator<Item = Option<Vec<f32>>>,
        random: &mut ChaCha8Rng,
    ) -> Self {
        let is_map = |values: &Vec<f32>| values.iter().any(|&value| value != 0.0);
        let own = own.filter(is_map).map(|map| (order(&map, random), map));
        let methods = methods.map(|map| map.filter(is_map).map(|map| order(&map, random)));
        Self { methods: methods.collect(), own }
    }

    /// The cells from the most relevant to the least; `None` where nothing speaks for the target.
    pub(super) fn order(&self) -> Option<&Order> {
        self.own.as_ref().map(|(order, _)| order)
    }
}

/// The sets of an order: for each share of the cells, those that go first.
#[derive(Debug)]
pub(super) struct Sweep {
    /// From the most relevant on.
    pub(super) most: Vec<usize>,
    /// From the least relevant on.
    pub(super) least: Vec<usize>,
}

/// The sets of one target. All are indices into [`Plan::sets`].
#[derive(Debug)]
pub(super) struct Of {
    /// Which target.
    pub(super) target: usize,
    /// Of its map.
    pub(super) map: Sweep,
    /// Of those of other methods.
    pub(super) methods: Vec<Option<Sweep>>,
    /// Without the first 1, 5, 10, 20, 50 %.
    pub(super) without_first: Vec<usize>,
    /// With those alone.
    pub(super) first_alone: Vec<usize>,
    /// Without random parts of the first fifth.
    pub(super) parts_of_first: Vec<usize>,
    /// Of the rest.
    pub(super) parts_of_rest: Vec<usize>,
}

/// All sets of cells that one operator takes away.
#[derive(Debug)]
pub(super) struct Plan {
    sets: Sets,
    targets: Vec<Of>,
    controls: Vec<(ControlKind, Sweep)>,
}

impl Plan {
    /// For the targets of these indices.
    ///
    /// Random orders do not depend on a target and serve all. Copies of the map of one target are controls of all targets, so that a target
    /// among many needs few of its own: a copy that was moved knows nothing of where anything is, whichever map it was.
    pub(super) fn new(
        maps: &[Maps],
        defined: &[usize],
        cells: &Cells,
        options: &CertificateOptions,
    ) -> Self {
        let mut sets = Sets::default();
        let random = |of, index| random(options.seed, of, index);
        let count = cells.count();
        let sweep = |order: &Order, sets: &mut Sets| sets.sweep(order, &options.fractions);
        let mut controls = Vec::new();
        let uniform = options.controls / 2;
        for index in 0..uniform {
            let mut random = random(Draw::Uniform, index);
            let order = Order::shuffled(count, &mut |below| random.random_range(0..below));
            controls.push((ControlKind::Uniform, sweep(&order, &mut sets)));
        }
        let hill = order(&cells.blob(), &mut random(Draw::Blob, 0));
        controls.push((ControlKind::Blob, sweep(&hill, &mut sets)));
        let copies = (options.controls - uniform - 1).div_ceil(defined.len());
        let mut targets = Vec::new();
        for &target in defined {
            let Maps { own: Some((map, values)), methods } = &maps[target] else { continue };
            let mut random = random(Draw::Parts, target);
            for _ in 0..copies {
                let copy = cells.moved(values, &mut random);
                let order = order(&copy, &mut random);
                controls.push((ControlKind::Moved, sweep(&order, &mut sets)));
            }
            let last = map.reversed();
            let first = map.first(FIRST).len();
            let (head, tail) = map.cells().split_at(first);
            let size = ((PART * count as f64).round() as usize).clamp(1, first.max(1));
            let mut parts = |cells: &[usize], sets: &mut Sets| {
                let draw = |_| {
                    let order =
                        Order::shuffled(cells.len(), &mut |below| random.random_range(0..below));
                    let chosen = order.cells().iter().take(size);
                    sets.add(&chosen.map(|&at| cells[at]).collect::<Vec<_>>())
                };
                (0..PARTS).map(draw).collect()
            };
            targets.push(Of {
                target,
                parts_of_first: parts(head, &mut sets),
                parts_of_rest: parts(tail, &mut sets),
                without_first: SHARES.map(|share| sets.add(map.first(share))).to_vec(),
                first_alone: SHARES.map(|share| sets.add(last.first(1.0 - share))).to_vec(),
                methods: methods
                    .iter()
                    .map(|order| order.as_ref().map(|order| sweep(order, &mut sets)))
                    .collect(),
                map: sweep(map, &mut sets),
            });
        }
        Self { sets, targets, controls }
    }

    /// The sets of cells, each once.
    pub(super) fn sets(&self) -> &[Vec<usize>] {
        &self.sets.sets
    }

    pub(super) fn targets(&self) -> &[Of] {
        &self.targets
    }

    pub(super) fn controls(&self) -> impl Iterator<Item = (ControlKind, &Sweep)> {
        self.controls.iter().map(|(kind, sweep)| (*kind, sweep))
    }
}

/// What random numbers are for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Draw {
    /// Ties in maps.
    Ties = 0,
    /// Orders that know nothing.
    Uniform = 1,
    /// Ties in the hill.
    Blob = 2,
    /// Copies and parts of a target.
    Parts = 3,
}

/// Random numbers of their own for each use, so that what one target gets does not depend on which others there are.
pub(super) fn random(seed: u64, of: Draw, index: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(((of as u64) << 32) | index as u64);
    random
}

fn order(map: &[f32], random: &mut ChaCha8Rng) -> Order {
    Order::of_map(map, &mut |below| random.random_range(0..below))
}

/// Sets of cells, each once.
#[derive(Debug, Default)]
struct Sets {
    sets: Vec<Vec<usize>>,
    known: HashMap<Vec<usize>, usize>,
}

impl Sets {
    fn add(&mut self, cells: &[usize]) -> usize {
        let mut cells = cells.to_vec();
        cells.sort_unstable();
        let next = self.sets.len();
        *self.known.entry(cells).or_insert_with_key(|cells| {
            self.sets.push(cells.clone());
            next
        })
    }

    fn sweep(&mut self, order: &Order, fractions: &[f64]) -> Sweep {
        let last = order.reversed();
        let mut of =
            |order: &Order| fractions.iter().map(|&share| self.add(order.first(share))).collect();
        Sweep { most: of(order), least: of(&last) }
    }
}
