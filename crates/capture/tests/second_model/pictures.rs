//! From pixels to a logit in one graph, and back: patches and pixels of a picture as the method is written down, and as the sweep finds them.

use crate::definition::{DOUBLE, Definition};
use crate::detached::Detached;
use crate::tower::{CHANNELS, EPS, POOL, RmsNorm, SIDE, TOKENS, ToyTower, grid};
use crate::toy::{OPTIONS, Toy, VOCABULARY, WIDTH};
use crate::{TOLERANCE, options};
use attention_capture::{
    Backward, Costs, Engine, Error, Goal, ImagePart, ImageRecorder, Keep, Ledger, Objective,
    PatchOptions, PatchStates, Patches, Retained, Rules, Spread, States, Streaming,
    witness_patches,
};
use attention_relevancy::ndarray::{Array1, Array2, Axis, s};
use attention_relevancy::{Target, Update};
use gemma3_tch::Sequence;
use std::ops::Range;
use tch::{Kind, Tensor};

/// Gradients are taken that many times over, here and there: what the layers of the tower add would be small beside what they start from.
const STRENGTH: f64 = 30.0;
const IMAGE: Range<usize> = 1..7;
const TARGETS: [(usize, u32); 2] = [(9, 2), (12, 8)];
const SPREADS: [Spread; 2] = [Spread::Even, Spread::GradientActivation];
const UPDATES: [Update; 2] = [Update::Additive, Update::Stochastic];

fn picture() -> Tensor {
    let [rows, columns] = grid().map(|n| n * SIDE);
    Tensor::randn([CHANNELS, rows, columns], OPTIONS)
}

/// Thirteen tokens, six of them those of the picture.
fn sequence(tokens: Tensor) -> Sequence {
    let ids = [1, 20, 20, 20, 20, 20, 20, 3, 7, 2, 5, 14, 8].to_vec();
    Sequence::new(ids, vec![IMAGE], vec![tokens], [VOCABULARY, WIDTH]).unwrap()
}

/// Each of the tokens, then both together.
fn goals() -> Vec<Goal> {
    let targets = TARGETS.map(|(position, token)| Target::new(position, token).unwrap());
    let mut goals: Vec<Goal> = targets.into_iter().map(Goal::token).collect();
    goals.extend(Goal::sum(targets.to_vec()));
    goals
}

/// What goals leave at the tokens of the picture.
fn parts(toy: &Toy, sequence: &Sequence, backward: Backward) -> Vec<ImagePart> {
    let states = States::of(toy, sequence, Keep::Inputs).unwrap();
    let engine = Streaming::new(toy, sequence.ids(), &states, options(1 << 29));
    let mut recorder = ImageRecorder::new(&engine, &[0]).unwrap();
    let rules = Rules { backward, ..Rules::new(Objective::Logit, Update::Additive) };
    let found = engine.observe(&goals(), &rules, &mut [&mut recorder]).unwrap();
    let mut parts = recorder.finish(found.iter()).remove(0);
    for part in &mut parts {
        part.gradient *= STRENGTH;
    }
    parts
}

/// The graph of a run of the tower: nothing of it goes through the seam.
struct Graph {
    pixels: Tensor,
    attention: Vec<Tensor>, // [H, P, P] each
    probes: Vec<Tensor>,    // [H, P, P] each: where the gradient of attention is read
    features: Tensor,       // [P, W]
    tokens: Tensor,         // [t, D]
}

impl Graph {
    /// With gradients by that rule.
    fn new(tower: &ToyTower, picture: &Tensor, backward: Backward) -> Self {
        let by = Detached(backward);
        let norm = |RmsNorm(gain): &RmsNorm, x: &Tensor| by.norm(x, gain, EPS);
        let pixels = picture.copy().set_requires_grad(true);
        let [rows, columns] = grid();
        let patch = |at: i64| {
            let part = pixels.narrow(1, at / columns * SIDE, SIDE);
            part.narrow(2, at % columns * SIDE, SIDE).reshape([-1])
        };
        let patches = (0..rows * columns).map(patch).collect::<Vec<_>>();
        let embedded = Tensor::stack(&patches, 0).matmul(&tower.patch.tr()) + &tower.position;
        let mut x = norm(&tower.first_norm, &embedded);
        let (mut attention, mut probes) = (Vec::new(), Vec::new());
        for layer in &tower.layers {
            let (n, dims) = (norm(&layer.norm, &x), layer.dims);
            let later = Tensor::ones([rows * columns; 2], OPTIONS).triu(1).gt(0.0);
            let hidden = if layer.sees_all { later.zeros_like() } else { later };
            let of_head = |head: usize| {
                let part = |weight: &Tensor, head: usize| {
                    let rows = weight.narrow(0, (head * dims.width) as i64, dims.width as i64);
                    n.matmul(&rows.tr()) // [P, d]
                };
                let shared = head / (dims.heads / dims.key_heads);
                let (q, k) = (part(&layer.q, head), part(&layer.k, shared));
                let scores = by.product(&q, &k.tr()) / (dims.width as f64).sqrt();
                (scores.masked_fill(&hidden, f64::NEG_INFINITY), part(&layer.v, shared))
            };
            let (scores, values): (Vec<_>, Vec<_>) = (0..dims.heads).map(of_head).unzip();
            let a = Tensor::stack(&scores, 0).softmax(-1, Kind::Float);
            let (heads, probe) = by.attend(&a, &Tensor::stack(&values, 0)); // [H, P, d]
            let heads = Tensor::cat(&heads.unbind(0), 1);
            let h = &x + heads.matmul(&layer.o.tr());
            let taken = if layer.beside { n } else { norm(&layer.norm, &h) };
            let inner = taken.matmul(&layer.up.tr());
            let inner = by.activation(&inner, inner.relu().square());
            x = h + inner.matmul(&layer.down.tr());
            attention.push(a.detach());
            probes.push(probe);
        }
        let features = norm(&tower.last_norm, &x);
        let token = |at: i64| {
            let (row, column) = (at / TOKENS[1] * POOL, at % TOKENS[1] * POOL);
            let cells = features.view([rows, columns, -1]);
            let cells = cells.narrow(0, row, POOL).narrow(1, column, POOL);
            cells.reshape([POOL * POOL, -1]).mean_dim(0, false, Kind::Float)
        };
        let means = (0..TOKENS[0] * TOKENS[1]).map(token).collect::<Vec<_>>();
        let tokens = Tensor::stack(&means, 0).matmul(&tower.projection.tr()) + &tower.bias;
        Self { pixels, attention, probes, features, tokens }
    }

    /// What autograd finds for one goal, beside the relevancy `[t]` of the tokens.
    fn expected(&self, logits: &Tensor, goal: &Goal, relevancy: &Array1<f32>) -> Expected {
        let logit =
            |target: &Target| logits.get(target.logit_row() as i64).get(i64::from(target.token()));
        let z: Tensor = goal.targets().iter().map(logit).sum();
        let leaves: Vec<&Tensor> =
            self.probes.iter().chain([&self.tokens, &self.features, &self.pixels]).collect();
        let mut gradients = Tensor::run_backward(&[z * STRENGTH], &leaves, true, false);
        let [dpixels, dfeatures, gradient] = [(); 3].map(|()| gradients.pop().unwrap());
        let double = |x: &Tensor| x.detach().to_kind(Kind::Double);
        let product = |x: &Tensor, dx: &Tensor, over: i64| {
            (double(x) * dx).sum_dim_intlist(over, false, Kind::Double)
        };
        let fused = self.attention.iter().zip(&gradients);
        let fused = fused.map(|(a, g)| (double(a) * g).relu().mean_dim(0, false, Kind::Double));
        Expected {
            fused: fused.collect(),
            scores: wide(&product(&self.features, &dfeatures, -1).view(grid())),
            pixels: wide(&product(&self.pixels, &dpixels, 0)),
            relevancy: relevancy.clone(),
            gradient: wide(&gradient),
        }
    }
}

struct Expected {
    fused: Vec<Tensor>,  // of each layer, [P, P]
    scores: Array2<f64>, // of each patch
    pixels: Array2<f64>,
    relevancy: Array1<f32>, // of the tokens
    gradient: Array2<f64>,  // at the tokens
}

impl Expected {
    /// Each token's relevancy, spread over its patches.
    fn unpooled(&self, spread: Spread) -> Array2<f64> {
        let k = POOL as usize;
        Array2::from_shape_fn(self.scores.dim(), |(row, column)| {
            let (top, left) = (row / k * k, column / k * k);
            let cells = self.scores.slice(s![top..top + k, left..left + k]);
            let total: f64 = cells.iter().map(|score| score.max(0.0)).sum();
            let share = match spread {
                Spread::GradientActivation if 0.0 < total => {
                    self.scores[[row, column]].max(0.0) / total
                }
                _ => 1.0 / (k * k) as f64,
            };
            f64::from(self.relevancy[row / k * TOKENS[1] as usize + column / k]) * share
        })
    }

    /// The unpooled row through `R ← T·R` from `R = I`, first layer to last.
    fn patches(&self, unpooled: &Array2<f64>, update: Update) -> Array2<f64> {
        let identity = Tensor::eye(self.scores.len() as i64, DOUBLE);
        let matrix = self.fused.iter().fold(identity.copy(), |r, fused| {
            let sums = fused.sum_dim_intlist(-1, true, Kind::Double);
            let step = match update {
                Update::Stochastic => {
                    ((&identity + fused / &sums) / 2.0).where_self(&sums.gt(0.0), &identity)
                }
                _ => &identity + fused,
            };
            step.matmul(&r)
        });
        let row: Vec<f64> = unpooled.iter().copied().collect();
        wide(&Tensor::from_slice(&row).unsqueeze(0).matmul(&matrix).view(grid()))
    }
}

fn wide(tensor: &Tensor) -> Array2<f64> {
    let shape = <[i64; 2]>::try_from(tensor.size()).unwrap().map(|n| n as usize);
    let values = Vec::try_from(tensor.to_kind(Kind::Double).reshape([-1])).unwrap();
    Array2::from_shape_vec(shape, values).unwrap()
}

fn narrow(tensor: &Tensor) -> Array2<f32> {
    wide(tensor).mapv(|x| x as f32)
}

fn size(array: &Array2<f64>) -> f64 {
    array.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}

#[track_caller]
fn assert_same(what: &str, found: &Array2<f32>, expected: &Array2<f64>) {
    let off = size(&(found.mapv(f64::from) - expected)) / size(expected);
    assert!(off <= TOLERANCE, "{what}: {off:e}\n{found}\n{expected}");
}

#[test]
fn patches_and_pixels_are_what_autograd_finds() {
    let toy = Toy::random();
    let (tower, picture) = (toy.tower.as_ref().unwrap(), picture());
    let graph = Graph::new(tower, &picture, Backward::Gradient);
    let whole = sequence(graph.tokens.shallow_clone());
    let logits = Definition::new(&toy, &whole, Backward::Gradient).logits;
    let states =
        [Keep::Inputs, Keep::Everything].map(|keep| PatchStates::of(&toy, &picture, keep).unwrap());
    let tokens = states[0].tokens(&toy).unwrap();
    assert_same("tokens", &narrow(&tokens), &wide(&graph.tokens));
    let sequence = sequence(tokens);
    let swept = parts(&toy, &sequence, Backward::Gradient);
    let retained = Retained::run(&toy, &sequence).unwrap();
    let rows = retained.explain(&goals(), &Rules::new(Objective::Logit, Update::Additive)).unwrap();
    let expected: Vec<Expected> = goals()
        .iter()
        .zip(&swept)
        .zip(&rows)
        .map(|((goal, part), row)| {
            let relevancy = row.relevancy.slice(s![IMAGE]).to_owned();
            let expected = graph.expected(&logits, goal, &relevancy);
            let rows = [&part.relevancy, &relevancy].map(|row| row.clone().insert_axis(Axis(0)));
            assert_same("relevancy at the tokens", &rows[0], &rows[1].mapv(f64::from));
            assert_same("gradient at the tokens", &narrow(&part.gradient), &expected.gradient);
            expected
        })
        .collect();
    let backward = Backward::Gradient;
    let least = |is_kept| Patches::least_budget(&toy, Update::Additive, backward, is_kept).unwrap();
    for (spread, update) in SPREADS.into_iter().flat_map(|spread| UPDATES.map(|u| (spread, u))) {
        for memory_budget in [least(false), 1 << 29] {
            let sweep = options(memory_budget);
            let options = PatchOptions { spread, update, backward, pixels: true, sweep };
            let engine = || Patches::new(&toy, &picture, options.clone());
            let [inputs, everything] = states.each_ref().map(|states| engine().over(states));
            for engine in [engine(), inputs, everything] {
                let found = engine.explain(&swept).unwrap();
                assert_eq!(found.len(), expected.len());
                for (goal, (found, expected)) in found.iter().zip(&expected).enumerate() {
                    let what = format!("goal {goal}, {spread:?}, {update}, {memory_budget} bytes");
                    let start = expected.unpooled(spread);
                    let end = expected.patches(&start, update);
                    assert_same(&format!("unpooled, {what}"), &found.unpooled, &start);
                    assert_same(&format!("patches, {what}"), &found.patches, &end);
                    let pixels = found.pixels.as_ref().unwrap();
                    assert_same(&format!("pixels, {what}"), pixels, &expected.pixels);
                    let added = size(&(&end - &start)) / size(&end);
                    assert!(0.05 < added, "{what}: the layers add {added:.1e}");
                }
            }
        }
    }
}

/// The same by the rules of relevance: from the logit to the pixels, every layer by plain products.
#[test]
fn balanced_patches_and_pixels_are_what_autograd_finds_with_what_is_held_constant() {
    let toy = Toy::random();
    let (tower, picture) = (toy.tower.as_ref().unwrap(), picture());
    let states = PatchStates::of(&toy, &picture, Keep::Inputs).unwrap();
    let swept_sequence = sequence(states.tokens(&toy).unwrap());
    for backward in [Backward::CpLrp, Backward::AttnLrp] {
        let graph = Graph::new(tower, &picture, backward);
        let whole = sequence(graph.tokens.shallow_clone());
        let logits = Definition::new(&toy, &whole, backward).logits;
        let swept = parts(&toy, &swept_sequence, backward);
        let least = Patches::least_budget(&toy, Update::Additive, backward, false).unwrap();
        for memory_budget in [least, 1 << 29] {
            let sweep = options(memory_budget);
            let options = PatchOptions { backward, pixels: true, sweep, ..PatchOptions::default() };
            let found = Patches::new(&toy, &picture, options).explain(&swept).unwrap();
            for ((goal, part), found) in goals().iter().zip(&swept).zip(&found) {
                let expected = graph.expected(&logits, goal, &part.relevancy);
                let what = format!("{backward}, {memory_budget} bytes");
                let gradient = narrow(&part.gradient);
                assert_same(&format!("at the tokens, {what}"), &gradient, &expected.gradient);
                let start = expected.unpooled(Spread::GradientActivation);
                let end = expected.patches(&start, Update::Additive);
                assert_same(&format!("unpooled, {what}"), &found.unpooled, &start);
                assert_same(&format!("patches, {what}"), &found.patches, &end);
                let pixels = found.pixels.as_ref().unwrap();
                assert_same(&format!("pixels, {what}"), pixels, &expected.pixels);
            }
        }
    }
}

/// The pass that is made for a layer in which every patch sees every patch, against plain products; no other pass takes the others.
#[test]
fn a_fast_pass_gives_what_plain_products_give() {
    let (mut toy, picture) = (Toy::random(), picture());
    let differences = witness_patches(&toy, &picture).unwrap();
    assert!(differences.into_iter().flatten().all(|difference| difference < TOLERANCE));
    for layer in [1, 2] {
        toy.tower.as_mut().unwrap().layers.swap(0, layer);
        assert_eq!(witness_patches(&toy, &picture).unwrap(), None, "layer {layer}");
    }
}

/// What is kept of a picture is added up layer by layer, and a sweep asks for what the dearest layer needs.
#[test]
fn costs_are_those_of_each_layer_of_the_tower() {
    let (toy, picture) = (Toy::random(), picture());
    let kept = [Keep::Everything, Keep::Inputs].map(|keep| {
        let bytes = PatchStates::of(&toy, &picture, keep).unwrap().bytes();
        assert_eq!(bytes, keep.patch_bytes(toy.tower.as_ref().unwrap()), "{keep:?}");
        (keep, bytes)
    });
    for (keep, bytes) in kept {
        let keep_pictures = |budget| Ledger::new(&toy, budget, true).keep_pictures(1).unwrap();
        assert_eq!(keep_pictures(4 * bytes), Some(keep));
        assert_ne!(keep_pictures(4 * bytes - 1), Some(keep));
    }
    assert_eq!(Costs::part(&toy), 4 * 6 * (WIDTH as u64 + 1));

    let least = Costs::patches(&toy, Update::Additive, Backward::Gradient, false).unwrap();
    let options = PatchOptions { sweep: options(least - 1), ..PatchOptions::default() };
    let sequence = sequence(Tensor::zeros([6, WIDTH as i64], OPTIONS));
    let parts = parts(&toy, &sequence, Backward::Gradient);
    let error = Patches::new(&toy, &picture, options).explain(&parts).unwrap_err();
    assert!(matches!(error, Error::Budget { smallest, .. } if smallest == least), "{error}");

    let over_kept =
        |toy: &Toy| Patches::least_budget(toy, Update::Additive, Backward::Gradient, true).unwrap();
    let alone = [0, 1, 2].map(|layer| {
        let mut one = Toy::random();
        let layers = &mut one.tower.as_mut().unwrap().layers;
        *layers = vec![layers.remove(layer)];
        over_kept(&one)
    });
    assert_eq!(over_kept(&toy), alone[2]);
    assert!(alone[..2].iter().all(|&least| least < alone[2]), "{alone:?}");
}

#[test]
fn what_does_not_fit_the_tower_is_an_error() {
    let (mut toy, picture) = (Toy::random(), picture());
    let turned = picture.transpose(1, 2);
    let error = PatchStates::of(&toy, &turned, Keep::Inputs).unwrap_err();
    assert!(matches!(error, Error::Picture { expected: [2, 12, 8], .. }), "{error}");

    let kept = PatchStates::of(&toy, &picture, Keep::Inputs).unwrap();
    let patches = || Patches::new(&toy, &picture, PatchOptions::default());
    let short = ImagePart {
        relevancy: [1.0; 5].to_vec().into(),
        gradient: Tensor::zeros([6, 12], OPTIONS),
    };
    let error = patches().over(&kept).explain(&[short]).unwrap_err();
    assert!(matches!(error, Error::ImagePart { index: 0, expected: [6, 12], .. }), "{error}");

    toy.tower.as_mut().unwrap().layers.truncate(2);
    let patches = Patches::new(&toy, &picture, PatchOptions::default());
    let error = patches.over(&kept).explain(&[]).unwrap_err();
    assert!(matches!(error, Error::PatchStates { expected: 2, found: 3, .. }), "{error}");
}

#[test]
fn a_model_without_a_tower_sees_no_pictures() {
    let (mut toy, picture) = (Toy::random(), picture());
    toy.tower = None;
    let refusals = [
        PatchStates::of(&toy, &picture, Keep::Inputs).err(),
        Patches::new(&toy, &picture, PatchOptions::default()).explain(&[]).err(),
        Patches::least_budget(&toy, Update::Additive, Backward::Gradient, true).err(),
        witness_patches(&toy, &picture).err(),
    ];
    for refusal in refusals {
        let error = refusal.expect("there is no tower");
        assert!(matches!(error, Error::Model(gemma3_tch::Error::NoVision)), "{error}");
    }
    assert_eq!(Patches::missing_kernel(&toy, Update::Additive, Backward::Gradient), None);
    assert_eq!(Costs::picture(&toy, Keep::Inputs), None);
    assert_eq!(Ledger::new(&toy, 1 << 30, true).keep_pictures(1).unwrap(), None);
}
