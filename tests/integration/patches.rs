//! The sweep from the tokens of a picture to its patches and pixels, against one graph from the pixels to the logit.
//!
//! The reference here is written for itself: every attention of the vision tower kept, gradients by autograd, the matrix R built from
//! the first layer to the last as the method is published, in double precision.

use crate::support::{answered, matrix, model, prepare};
use attention_capture::{
    Attribution, Engine, Error, Goal, ImagePart, ImageRecorder, Keep, Objective, PatchMap,
    PatchOptions, PatchStates, Patches, Retained, Rules, Spread, States, Streaming, SweepOptions,
};
use attention_relevancy::{Target, Update};
use gemma3_tch::{Attend, Fast, Gemma3, MaskRule, Qkv, Sequence, Site};
use integration_tests::{Fixture, Tolerance, assert_close, difference};
use ndarray::{Array2, Axis, s};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tch::{Device, Kind, Tensor};

/// Gradients are taken that many times over, here and there: the random checkpoints have small ones, and what the layers of the vision
/// tower add would be lost beside what they start from.
const STRENGTH: f64 = 300.0;
const SPREADS: [Spread; 2] = [Spread::Even, Spread::GradientActivation];
const UPDATES: [Update; 2] = [Update::Additive, Update::Stochastic];

/// A checkpoint run over prompt and reference answer, and its goals.
struct Case {
    name: String,
    model: Gemma3,
    sequence: Sequence,
    pictures: Vec<Tensor>,
    goals: Vec<Goal>,
}

impl Case {
    fn new(fixture: &Fixture) -> Self {
        let model = model(fixture);
        let pixels = prepare(fixture).pixels;
        let pictures = pixels.iter().map(|pixels| model.picture(pixels).unwrap()).collect();
        let sequence = answered(fixture, &model);
        let target = |position: usize| Target::new(position, sequence.ids()[position]).unwrap();
        let targets: Vec<Target> = fixture.numbers("targets").into_iter().map(target).collect();
        let goals = targets.iter().map(|&target| Goal::token(target));
        let goals = goals.chain(Goal::sum(targets.clone())).collect();
        Self { name: fixture.name().to_owned(), model, sequence, pictures, goals }
    }

    /// What the goals leave at every picture, one goal to a sweep: `parts[image][goal]`.
    fn parts(&self) -> (Vec<Attribution>, Vec<Vec<ImagePart>>) {
        let states = States::of(&self.model, &self.sequence, Keep::Inputs).unwrap();
        let images: Vec<usize> = (0..self.pictures.len()).collect();
        let within = |memory_budget| {
            let options = SweepOptions { memory_budget, cancel: None };
            let engine = Streaming::new(&self.model, self.sequence.ids(), &states, options);
            let mut recorder = ImageRecorder::new(&engine, &images)?;
            let rules = Rules::new(Objective::Logit, Update::Additive);
            let found = engine.observe(&self.goals, &rules, &mut [&mut recorder])?;
            let parts = recorder.finish(found.iter());
            Ok::<_, Error>((found, parts))
        };
        let Err(Error::Budget { smallest, .. }) = within(0) else { panic!("0 bytes are enough") };
        let (attributions, mut parts) = within(smallest).unwrap();
        for part in parts.iter_mut().flatten() {
            part.gradient *= STRENGTH;
        }
        (attributions, parts)
    }

    fn explain(
        &self,
        image: usize,
        parts: &[ImagePart],
        options: PatchOptions,
    ) -> Result<Vec<PatchMap>, Error> {
        Patches::new(&self.model, &self.pictures[image], options).explain(parts)
    }
}

/// One graph from the pixels of one picture to the last layer of the language model.
struct Graph {
    pixels: Tensor,
    maps: Vec<Tensor>,
    patches: Tensor,
    tokens: Tensor,
    hidden: Tensor,
}

/// Attention of the vision tower in plain operations, every map kept.
struct Kept(Vec<Tensor>);

impl Attend for Kept {
    fn attend(&mut self, _: Site, qkv: &Qkv, _: &MaskRule) -> Tensor {
        let attention = (qkv.q.matmul(&qkv.k.transpose(1, 2)) * qkv.scale).softmax(-1, Kind::Float);
        let heads = attention.matmul(&qkv.v);
        self.0.push(attention);
        heads
    }
}

/// What autograd finds for one goal.
struct Expected {
    fused: Vec<Tensor>,  // of each layer, [P, P], double
    scores: Array2<f64>, // [g, g]
    pixels: Array2<f64>, // [s, s]
    part: ImagePart,     // with the relevancy of the retained engine
}

impl Graph {
    fn of(case: &Case, image: usize) -> Self {
        tch::with_grad(|| {
            let (model, sequence) = (&case.model, &case.sequence);
            let pixels = case.pictures[image].copy().set_requires_grad(true);
            let mut kept = Kept(Vec::new());
            let patches = model.vision().unwrap().tower.forward(&pixels, &mut kept).unwrap();
            let mut features: Vec<Tensor> =
                sequence.features().iter().map(Tensor::shallow_clone).collect();
            let tokens = model.vision().unwrap().projector.forward(&patches);
            features[image] = tokens.shallow_clone();
            let images = sequence.images().to_vec();
            let whole = model.sequence(sequence.ids().to_vec(), images, features).unwrap();
            let hidden = model.forward(&whole, &mut Fast);
            Self { pixels, maps: kept.0, patches, tokens, hidden }
        })
    }

    fn expected(&self, case: &Case, run: &Retained<'_>, image: usize, goal: &Goal) -> Expected {
        let leaves: Vec<&Tensor> =
            self.maps.iter().chain([&self.tokens, &self.patches, &self.pixels]).collect();
        let mut gradients = tch::with_grad(|| {
            let logit = |target: &Target| {
                let row = self.hidden.get(target.logit_row() as i64).unsqueeze(0);
                case.model.text().logits(&row).get(0).get(i64::from(target.token()))
            };
            let z: Tensor = goal.targets().iter().map(logit).sum();
            Tensor::run_backward(&[z * STRENGTH], &leaves, true, false)
        });
        let [dpixels, dpatches, gradient] = [(); 3].map(|()| gradients.pop().unwrap());
        let fused = self.maps.iter().zip(&gradients).map(|(a, g)| {
            (a.detach().to_kind(Kind::Double) * g).relu().mean_dim(0, false, Kind::Double)
        });
        let scores = (&self.patches.detach().to_kind(Kind::Double) * dpatches).sum_dim_intlist(
            -1,
            false,
            Kind::Double,
        );
        let pixels = (self.pixels.detach().to_kind(Kind::Double) * dpixels).sum_dim_intlist(
            0,
            false,
            Kind::Double,
        );
        let row = run
            .explain_one(goal, &Rules::new(Objective::Logit, Update::Additive))
            .unwrap()
            .relevancy;
        let span = case.sequence.images()[image].clone();
        let g = case.model.vision().unwrap().config.patches_per_side() as i64;
        Expected {
            fused: fused.collect(),
            scores: wide(&scores.view([g, g])),
            pixels: wide(&pixels),
            part: ImagePart { relevancy: row.slice(s![span]).to_owned(), gradient },
        }
    }
}

impl Expected {
    /// Each token's relevancy spread over its patches, `[g, g]`.
    fn unpooled(&self, spread: Spread) -> Array2<f64> {
        let side = self.part.relevancy.len().isqrt();
        let k = self.scores.nrows() / side;
        let score = |row: usize, column: usize| match spread {
            Spread::Even => 1.0,
            Spread::GradientActivation => self.scores[[row, column]].max(0.0),
        };
        Array2::from_shape_fn(self.scores.dim(), |(row, column)| {
            let (top, left) = (row / k * k, column / k * k);
            let cells = (0..k * k).map(|cell| score(top + cell / k, left + cell % k));
            let total: f64 = cells.sum();
            let share =
                if total == 0.0 { 1.0 / (k * k) as f64 } else { score(row, column) / total };
            f64::from(self.part.relevancy[row / k * side + column / k]) * share
        })
    }

    /// `R ← T·R` from `R = I`, first layer to last.
    fn matrix(&self, update: Update) -> Tensor {
        let identity = Tensor::eye(self.scores.len() as i64, (Kind::Double, Device::Cpu));
        self.fused.iter().fold(identity.copy(), |r, fused| {
            let sums = fused.sum_dim_intlist(-1, true, Kind::Double);
            let step = match update {
                Update::Additive => &identity + fused,
                _ => ((&identity + fused / &sums) / 2.0).where_self(&sums.gt(0.0), &identity),
            };
            step.matmul(&r)
        })
    }
}

/// `[a, b]` in double precision.
fn wide(tensor: &Tensor) -> Array2<f64> {
    let shape = <[i64; 2]>::try_from(tensor.size()).unwrap().map(|n| n as usize);
    let values = Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap();
    Array2::from_shape_vec(shape, values).unwrap()
}

fn through(start: &Array2<f64>, matrix: &Tensor) -> Array2<f64> {
    let values: Vec<f64> = start.iter().copied().collect();
    let row = Tensor::from_slice(&values).unsqueeze(0).matmul(matrix);
    wide(&row.view([start.nrows() as i64, -1]))
}

/// The budgets that are tried: everything at once, a goal and seven rows at a time, a goal and a row.
fn budgets(case: &Case, parts: &[ImagePart]) -> [u64; 3] {
    let none = SweepOptions { memory_budget: 0, cancel: None };
    let options = PatchOptions { sweep: none, ..PatchOptions::default() };
    let Err(Error::Budget { smallest, .. }) = case.explain(0, parts, options) else {
        panic!("0 bytes are enough")
    };
    let vision = &case.model.vision().unwrap().config;
    let row = 4 * 8 * (vision.num_attention_heads * vision.patches()) as u64;
    [SweepOptions::default().memory_budget, smallest + 7 * row, smallest]
}

#[test]
fn patches_and_pixels_are_those_of_one_graph() {
    for fixture in Fixture::all() {
        let case = Case::new(&fixture);
        let run = Retained::run(&case.model, &case.sequence).unwrap();
        let (_, swept) = case.parts();
        for (image, swept) in swept.iter().enumerate() {
            let graph = Graph::of(&case, image);
            let expected: Vec<Expected> =
                case.goals.iter().map(|goal| graph.expected(&case, &run, image, goal)).collect();
            let what = format!("{}, picture {image}", case.name);
            for (found, expected) in swept.iter().zip(&expected) {
                compare_parts(&what, found, &expected.part);
            }
            for update in UPDATES {
                let matrices: Vec<Tensor> =
                    expected.iter().map(|expected| expected.matrix(update)).collect();
                let check = |parts: &[ImagePart],
                             expected: &[Expected],
                             (spread, memory_budget)| {
                    let sweep = SweepOptions { memory_budget, cancel: None };
                    let rest = PatchOptions::default();
                    let options = PatchOptions { spread, update, pixels: true, sweep, ..rest };
                    let found = case.explain(image, parts, options).unwrap();
                    assert_eq!(found.len(), expected.len());
                    for (goal, found) in found.iter().enumerate() {
                        let what =
                            format!("{what}, goal {goal}, {spread:?}, {update}, {memory_budget}");
                        compare(&what, found, &expected[goal], (spread, &matrices[goal]));
                    }
                };
                // From what the language sweep left. Where the scores of a token nearly cancel, their shares magnify the rounding
                // of the gradient: there is none of that in an even spread.
                let [most, few, one] = budgets(&case, swept);
                check(swept, &expected, (Spread::Even, most));
                // From what autograd left.
                let parts: Vec<ImagePart> = expected.iter().map(copy).collect();
                for spread in SPREADS {
                    check(&parts, &expected, (spread, most));
                    check(&parts[..2], &expected[..2], (spread, few));
                    check(&parts[..1], &expected[..1], (spread, one));
                }
            }
        }
    }
}

fn copy(expected: &Expected) -> ImagePart {
    let ImagePart { relevancy, gradient } = &expected.part;
    ImagePart { relevancy: relevancy.clone(), gradient: gradient.copy() }
}

fn compare_parts(what: &str, found: &ImagePart, expected: &ImagePart) {
    let pairs = [
        (
            "relevancy",
            found.relevancy.clone().insert_axis(Axis(0)),
            expected.relevancy.clone().insert_axis(Axis(0)),
        ),
        ("gradient", matrix(&found.gradient), matrix(&expected.gradient)),
    ];
    for (name, found, expected) in pairs {
        let name = format!("{what}: {name} at the tokens");
        assert_close(&name, &found, &expected.mapv(f64::from), Tolerance::Rounding);
    }
}

fn compare(what: &str, found: &PatchMap, expected: &Expected, (spread, matrix): (Spread, &Tensor)) {
    let start = expected.unpooled(spread);
    let end = through(&start, matrix);
    let pixels = found.pixels.as_ref().unwrap();
    let pairs = [
        ("unpooled", &found.unpooled, &start),
        ("patches", &found.patches, &end),
        ("pixels", pixels, &expected.pixels),
    ];
    for (name, found, expected) in pairs {
        // Gradient × activation is a sum of both signs; by the products of one processor it was 3.5·10⁻⁵ apart.
        let tolerance = match (spread, name) {
            (Spread::GradientActivation, "unpooled" | "patches") => Tolerance::Cancelling,
            _ => Tolerance::Rounding,
        };
        assert_close(&format!("{what}: {name}"), found, expected, tolerance);
    }
    // The layers have a say: what they add is no rounding error of what they start from.
    let size = |array: &Array2<f64>| array.iter().fold(0f64, |most, x| most.max(x.abs()));
    let added = size(&(&end - &start)) / size(&end);
    assert!(0.01 < added, "{what}: the layers add {added:.1e}");
}

/// Sums over the patches of each token, `[t]`.
fn by_token(patches: &Array2<f32>, tokens: usize) -> Vec<f64> {
    let k = patches.nrows() / tokens.isqrt();
    let token = |cell: ndarray::ArrayView2<'_, f32>| cell.iter().copied().map(f64::from).sum();
    patches.exact_chunks((k, k)).into_iter().map(token).collect()
}

#[test]
fn every_token_keeps_its_relevancy_and_spreads_differ() {
    let case = Case::new(&Fixture::open("two-images"));
    let (attributions, parts) = case.parts();
    for (image, parts) in parts.iter().enumerate() {
        let span = case.sequence.images()[image].clone();
        let maps = SPREADS.map(|spread| {
            let update = Update::Stochastic;
            let options = PatchOptions { spread, update, ..PatchOptions::default() };
            case.explain(image, parts, options).unwrap()
        });
        for (goal, attribution) in attributions.iter().enumerate() {
            let tokens = attribution.relevancy.slice(s![span.clone()]);
            let total = f64::from(tokens.sum());
            for map in maps.each_ref().map(|maps| &maps[goal]) {
                for (found, &token) in by_token(&map.unpooled, tokens.len()).iter().zip(tokens) {
                    assert!((found - f64::from(token)).abs() <= 1e-6 * f64::from(token));
                }
                // Rows of the stochastic transition sum to one.
                let sum: f64 = map.patches.iter().copied().map(f64::from).sum();
                assert!((sum - total).abs() < 1e-5 * total, "{sum} of {total}");
                assert!(map.pixels.is_none());
            }
            let [even, by_gradient] = maps.each_ref().map(|maps| &maps[goal].unpooled);
            let distance = difference(by_gradient, &even.mapv(f64::from));
            assert!(0.5 < distance, "the spreads differ by {distance:.1e} only");
        }
    }
}

/// Relevancy of the patches hangs on the gradient: half of it, or none, is not taken for the whole.
#[test]
fn a_wrong_gradient_is_noticed() {
    let case = Case::new(&Fixture::open("two-images"));
    let (_, mut parts) = case.parts();
    let parts = &mut parts[0];
    let right = case.explain(0, parts, PatchOptions::default()).unwrap();
    let mut wrong = |factor: f64| {
        for part in parts.iter_mut() {
            part.gradient *= factor;
        }
        case.explain(0, parts, PatchOptions::default()).unwrap()
    };
    for (half, right) in wrong(0.5).iter().zip(&right) {
        assert_eq!(half.unpooled, right.unpooled, "a scale does not change the spread");
        let distance = difference(&half.patches, &right.patches.mapv(f64::from));
        assert!(100.0 * Tolerance::Rounding.limit() < distance, "{distance:.1e}");
    }
    for (none, right) in wrong(0.0).iter().zip(&right) {
        assert_eq!(none.patches, none.unpooled, "no gradient, no attention");
        let distance = difference(&none.patches, &right.patches.mapv(f64::from));
        assert!(100.0 * Tolerance::Rounding.limit() < distance, "{distance:.1e}");
    }
}

/// The run that made the tokens of a picture is the one that the sweep would make.
#[test]
fn what_was_kept_of_a_picture_gives_the_same_maps() {
    for fixture in Fixture::all() {
        let case = Case::new(&fixture);
        let (_, parts) = case.parts();
        let options = PatchOptions { pixels: true, ..PatchOptions::default() };
        for (image, (picture, pixels)) in
            case.pictures.iter().zip(prepare(&fixture).pixels).enumerate()
        {
            let expected = case.explain(image, &parts[image], options.clone()).unwrap();
            for keep in [Keep::Inputs, Keep::Everything] {
                let states = PatchStates::of(&case.model, picture, keep).unwrap();
                let bytes = keep.patch_bytes(case.model.vision().unwrap());
                assert_eq!(states.bytes(), bytes, "{}, {keep:?}", case.name);
                let tokens = case.model.encode_image(&pixels).unwrap();
                assert_eq!(states.tokens(&case.model).unwrap(), tokens, "{}", case.name);
                let patches = Patches::new(&case.model, picture, options.clone()).over(&states);
                let found = patches.explain(&parts[image]).unwrap();
                for (found, expected) in found.iter().zip(&expected) {
                    assert_eq!(found.unpooled, expected.unpooled, "{}, {keep:?}", case.name);
                    assert_eq!(found.patches, expected.patches, "{}, {keep:?}", case.name);
                    assert_eq!(found.pixels, expected.pixels, "{}, {keep:?}", case.name);
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_explained_is_an_error() {
    let case = Case::new(&Fixture::open("short-window"));
    let (_, mut parts) = case.parts();
    let mut parts = parts.remove(0);
    let usual = PatchOptions::default;
    assert!(case.explain(0, &[], usual()).unwrap().is_empty());

    let cancel = Some(Arc::new(AtomicBool::new(true)));
    let sweep = SweepOptions { cancel, ..SweepOptions::default() };
    let outcome = case.explain(0, &parts, PatchOptions { sweep, ..usual() });
    assert!(matches!(outcome, Err(Error::Cancelled)));

    let small = Tensor::zeros([3, 14, 14], (Kind::Float, Device::Cpu));
    let outcome = Patches::new(&case.model, &small, usual()).explain(&parts);
    assert!(matches!(outcome, Err(Error::Picture { .. })));

    let other = Case::new(&Fixture::open("two-images"));
    let kept = PatchStates::of(&other.model, &other.pictures[0], Keep::Inputs).unwrap();
    let patches = Patches::new(&case.model, &case.pictures[0], usual()).over(&kept);
    let outcome = patches.explain(&parts);
    assert!(matches!(outcome, Err(Error::PatchStates { .. })));

    let states = States::of(&case.model, &case.sequence, Keep::Inputs).unwrap();
    let streaming =
        Streaming::new(&case.model, case.sequence.ids(), &states, SweepOptions::default());
    let outcome = ImageRecorder::new(&streaming, &[1]);
    assert!(matches!(outcome, Err(Error::Image { index: 1, images: 1 })));

    parts[1].gradient = parts[1].gradient.narrow(0, 1, 63);
    let outcome = case.explain(0, &parts, usual());
    assert!(matches!(outcome, Err(Error::ImagePart { index: 1, .. })));
    parts.remove(1);

    let last = case.model.vision().unwrap().tower.layers().len() - 1;
    parts[0].gradient *= f64::NAN;
    let outcome = case.explain(0, &parts, usual());
    assert!(matches!(outcome, Err(Error::VisionGradient { layer }) if layer == last));
}
