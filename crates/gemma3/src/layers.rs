//! The pieces that layers are made of: linear maps, the two norms, rotary positions.
//!
//! Each is checked against its shape when it is loaded, so that its forward pass can only fail by exhaustion. They
//! also have a pull-back: `pull_back(…, dy)` takes the gradient at the output, float32, to the gradient at the input, float32.
//! Weights are frozen and get none. Forward and backward stand in pairs; the test at the end holds each against autograd. What is not
//! linear takes a [`PullRule`].

use crate::weight::Weight;
use crate::weight::low_rank::stretches;
use crate::{Error, Place, PullRule, WeightPath};
use std::f64::consts::PI;
use tch::{Device, Kind, Tensor};

/// `y = x·Wᵀ + b`, `W: [outputs, inputs]`.
#[derive(Debug)]
pub(crate) struct Linear {
    weight: Weight,
    bias: Option<Tensor>,
}

impl Linear {
    pub(crate) fn load(
        path: &WeightPath<'_>,
        [inputs, outputs]: [usize; 2],
    ) -> Result<Self, Error> {
        Ok(Self { weight: path.weight("weight", [outputs, inputs])?, bias: None })
    }

    pub(crate) fn load_with_bias(
        path: &WeightPath<'_>,
        [inputs, outputs]: [usize; 2],
    ) -> Result<Self, Error> {
        let bias = Some(path.tensor("bias", &[outputs])?);
        Ok(Self { bias, ..Self::load(path, [inputs, outputs])? })
    }

    /// The same map with what `weight` makes of its matrix.
    pub(crate) fn with_weight(&self, weight: impl FnOnce(&Weight) -> Weight) -> Self {
        Self { weight: weight(&self.weight), bias: self.bias.as_ref().map(Tensor::shallow_clone) }
    }

    /// Outputs and inputs.
    pub(crate) fn size(&self) -> [i64; 2] {
        self.weight.size()
    }

    /// The dtype that products are made in.
    pub(crate) fn kind(&self) -> Kind {
        self.weight.kind()
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        self.weight.product(x, self.bias.as_ref())
    }

    /// `‖W_h·v‖` for every head h, `W_h` the d columns of W behind it, without the bias: float32 `[H, n]` from values `[K, n, d]`; head h
    /// takes those of `h / (H / K)`. Products are made in the dtype of the weights, their lengths in float32.
    pub(crate) fn head_norms(&self, values: &Tensor) -> Tensor {
        /// Tokens at a time: what they become is never held whole.
        const TOKENS: i64 = 256;
        let [key_heads, n, d] = <[i64; 3]>::try_from(values.size()).expect("values are [K, n, d]");
        let heads = self.size()[1] / d;
        let values = values.to_kind(self.kind());
        let squares = Tensor::zeros([heads, n], (Kind::Float, values.device()));
        for (start, rows) in stretches(&self.weight) {
            let weight = self.weight.stretch(start, rows, self.kind());
            for head in 0..heads {
                let weight = weight.narrow(1, head * d, d).tr(); // [d, rows]
                let (values, squares) = (values.get(head * key_heads / heads), squares.get(head)); // views
                for first in (0..n).step_by(TOKENS as usize) {
                    let count = TOKENS.min(n - first);
                    let part = values.narrow(0, first, count).matmul(&weight);
                    let part = part.to_kind(Kind::Float).square();
                    let part = part.sum_dim_intlist(1, false, Kind::Float);
                    let _ = squares.narrow(0, first, count).g_add_(&part);
                }
            }
        }
        squares.sqrt()
    }

    /// `dx = dy·W`. The product is made in the dtype of the weights, as the forward product is.
    pub(crate) fn pull_back(&self, dy: &Tensor) -> Tensor {
        self.pull_back_narrow(dy).to_kind(Kind::Float)
    }

    /// [`Linear::pull_back`] left in the dtype of the weights.
    pub(crate) fn pull_back_narrow(&self, dy: &Tensor) -> Tensor {
        self.weight.product_back(dy)
    }
}

/// `y = x · (mean(x²) + ε)^-½ · (1 + w)` over the last dimension, computed in float32 (stored weights are centred at zero).
#[derive(Debug)]
pub(crate) struct RmsNorm {
    /// `1 + w`, float32.
    gain: Tensor,
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn load(path: &WeightPath<'_>, width: usize, eps: f64) -> Result<Self, Error> {
        Ok(Self { gain: path.gain("weight", width)?, eps })
    }

    pub(crate) fn shared(&self) -> Self {
        Self { gain: self.gain.shallow_clone(), eps: self.eps }
    }

    pub(crate) fn device(&self) -> Device {
        self.gain.device()
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let wide = x.to_kind(Kind::Float);
        let variance = wide.square().mean_dim(-1, true, Kind::Float);
        (wide * (variance + self.eps).rsqrt() * &self.gain).to_kind(x.kind())
    }

    /// `dy` may have any number of leading dimensions before those of `x`: several gradients.
    pub(crate) fn pull_back(&self, x: &Tensor, dy: &Tensor, rule: PullRule) -> Tensor {
        pull_norm([x, dy], &self.gain, self.eps, |x| x, rule)
    }
}

/// Pull-back of `y = σ·c(x)·gain + constant` with `σ = (mean(c(x)²) + ε)^-½`, c linear and its own transpose: the identity, or what
/// takes the mean away. With `n = σ·c(x)` and `g = c(gain·dy)`: `dx = σ·(g − n·mean(n·g))`, or `dx = σ·g` where σ is held constant.
fn pull_norm(
    [x, dy]: [&Tensor; 2],
    gain: &Tensor,
    eps: f64,
    c: impl Fn(Tensor) -> Tensor,
    rule: PullRule,
) -> Tensor {
    let width = gain.size()[0];
    let x = x.reshape([-1, width]);
    let n = x.size()[0];
    let (flat, dx) = (dy.reshape([-1, n, width]), dy.empty_like());
    let to = dx.view([-1, n, width]);
    for (row, rows) in tiles(&x) {
        let x = c(x.narrow(0, row, rows).to_kind(Kind::Float));
        let sigma = (x.square().mean_dim(-1, true, Kind::Float) + eps).rsqrt();
        let x = x * &sigma; // normalised
        for goal in 0..flat.size()[0] {
            let part = |dy: &Tensor| dy.get(goal).narrow(0, row, rows);
            let mut g = c(part(&flat) * gain);
            match rule {
                PullRule::Gradient => {
                    let along = (&g * &x).mean_dim(-1, true, Kind::Float);
                    g = g.addcmul_(&x, &along.neg());
                }
                PullRule::ConstantGates | PullRule::SplitGates => {}
            }
            part(&to).copy_(&g.g_mul_(&sigma));
        }
    }
    dx
}

/// Numbers of one tile of an elementwise pass: a few such tiles fit into a core's cache.
const CACHED: i64 = 1 << 19;

/// Starts and lengths of stretches of rows of `x` `[n, width]` that are worked on one after the other, so that what lies between
/// the passes stays in the cache. On a GPU one stretch is all.
pub(crate) fn tiles(x: &Tensor) -> impl Iterator<Item = (i64, i64)> + use<> {
    let [n, width] = <[i64; 2]>::try_from(x.size()).expect("rows of numbers");
    let rows = if x.device() == Device::Cpu { (CACHED / width).max(1) } else { n.max(1) };
    (0..n).step_by(rows as usize).map(move |start| (start, rows.min(n - start)))
}

/// Layer normalisation with gain and bias over the last dimension.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    eps: f64,
}

impl LayerNorm {
    pub(crate) fn load(path: &WeightPath<'_>, width: usize, eps: f64) -> Result<Self, Error> {
        Ok(Self {
            weight: path.tensor("weight", &[width])?,
            bias: path.tensor("bias", &[width])?,
            eps,
        })
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(self.weight.size(), Some(&self.weight), Some(&self.bias), self.eps, false)
    }

    /// As [`RmsNorm::pull_back`]. The mean is differentiated by every rule: taking it away is linear.
    pub(crate) fn pull_back(&self, x: &Tensor, dy: &Tensor, rule: PullRule) -> Tensor {
        let centred = |x: Tensor| &x - x.mean_dim(-1, true, Kind::Float);
        pull_norm([x, dy], &self.weight.to_kind(Kind::Float), self.eps, centred, rule)
    }
}

/// What the tanh form of GELU multiplies x with, `gelu(x)/x = ½(1 + tanh(√(2/π)(x + 0.044715x³)))`, float32. It is the logistic function of
/// twice that argument: no quotient, so none of zeros, and no difference of nearly equal numbers for large negative x.
pub(crate) fn gelu_ratio(x: &Tensor) -> Tensor {
    let x = x.to_kind(Kind::Float);
    let argument = (x.square() * 0.044_715 + 1.0) * x;
    (argument * (8.0 / PI).sqrt()).sigmoid()
}

/// Rotary position embedding, half-split layout: pairs are `(x[i], x[i + d/2])`.
#[derive(Debug)]
pub(crate) struct Rotary {
    /// Radians per token, `[d/2]`, float32.
    frequencies: Tensor,
}

impl Rotary {
    pub(crate) fn shared(&self) -> Self {
        Self { frequencies: self.frequencies.shallow_clone() }
    }

    pub(crate) fn new(head_dim: usize, rope: crate::Rope, device: Device) -> Self {
        let float = (Kind::Float, device);
        // The model's own order of float32 operations: at far positions another rounding would turn the angle.
        let exponent = Tensor::arange_start_step(0, head_dim as i64, 2, float) / head_dim as f64;
        let frequencies = Tensor::pow_scalar(rope.theta, &exponent).reciprocal() / rope.factor;
        Self { frequencies }
    }

    /// Rotates the tokens at `place` of each of `heads` (`[H, n, d]`); angles are made in float32 and cast, as in the model.
    pub(crate) fn forward<const N: usize>(&self, heads: [&Tensor; N], place: Place) -> [Tensor; N] {
        let [cos, sin] = self.turns(heads[0].size()[1], place, heads[0].kind());
        heads.map(|x| x * &cos + rotate_half(x) * &sin)
    }

    /// The opposite rotation of gradients `[…, n, d]`; `kind` is the dtype that the forward rotation was made in.
    pub(crate) fn pull_back<const N: usize>(
        &self,
        dy: [&Tensor; N],
        place: Place,
        kind: Kind,
    ) -> [Tensor; N] {
        let n = dy[0].size()[dy[0].dim() - 2];
        let [cos, sin] = self.turns(n, place, kind).map(|turn| turn.to_kind(Kind::Float));
        dy.map(|dy| dy * &cos - rotate_half(dy) * &sin)
    }

    /// Cosine and sine of each token's angles, `[n, d]`.
    fn turns(&self, n: i64, place: Place, kind: Kind) -> [Tensor; 2] {
        let positions = place.positions(n as usize, (Kind::Float, self.frequencies.device()));
        let angles = positions.outer(&self.frequencies); // [n, d/2]
        let angles = Tensor::cat(&[&angles, &angles], -1); // [n, d]
        [angles.cos().to_kind(kind), angles.sin().to_kind(kind)]
    }
}

fn rotate_half(x: &Tensor) -> Tensor {
    let halves = x.chunk(2, -1);
    Tensor::cat(&[&halves[1].neg(), &halves[0]], -1)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl LayerNorm {
        /// [`LayerNorm::forward`] whose deviation is cut from the graph.
        pub(crate) fn with_constant_deviation(&self, x: &Tensor) -> Tensor {
            let centred = x - x.mean_dim(-1, true, Kind::Float);
            let variance = centred.square().mean_dim(-1, true, Kind::Float);
            centred * (variance + self.eps).rsqrt().detach() * &self.weight + &self.bias
        }
    }

    #[test]
    fn rotation_is_by_the_half_split_pairs() {
        let rope = crate::Rope { theta: 10_000.0, factor: 1.0 };
        let rotary = Rotary::new(4, rope, Device::Cpu);
        let x = Tensor::from_slice(&[1f32, 0., 0., 0.]).view([1, 1, 4]);
        let [y] = rotary.forward([&x], Place::new(2, None));
        // Pair (0, 2) turns by 2 rad: (1, 0) → (cos 2, sin 2).
        let found: Vec<f32> = Vec::try_from(y.view([-1])).unwrap();
        let expected = [2f32.cos(), 0., 2f32.sin(), 0.];
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn a_linear_factor_slows_every_pair() {
        let turn = |factor, start| {
            let rotary = Rotary::new(8, crate::Rope { theta: 1e6, factor }, Device::Cpu);
            let [y] = rotary.forward(
                [&Tensor::ones([1, 1, 8], (Kind::Float, Device::Cpu))],
                Place::new(start, None),
            );
            y
        };
        assert!((turn(8.0, 16) - turn(1.0, 2)).abs().max().double_value(&[]) < 1e-6);
    }

    /// Against one product for each token and head, the values of the head alone and zeros for all others; over more tokens than are
    /// taken at a time.
    #[test]
    fn the_norm_of_a_head_is_that_of_what_it_adds_alone() {
        tch::manual_seed(8);
        let (heads, key_heads, n, d, outputs) = (4, 2, 300, 3, 10);
        let bias = Some(Tensor::randn([outputs], (Kind::Float, Device::Cpu)));
        let weight = Tensor::randn([outputs, heads * d], (Kind::Float, Device::Cpu));
        let linear = Linear { weight: Weight::Dense(weight), bias };
        let values = Tensor::randn([key_heads, n, d], (Kind::Float, Device::Cpu));
        let found = linear.head_norms(&values);
        assert_eq!(found.size(), [heads, n]);
        for head in 0..heads {
            let alone = Tensor::zeros([n, heads * d], (Kind::Float, Device::Cpu));
            alone.narrow(1, head * d, d).copy_(&values.get(head / 2));
            let added = linear.weight.product(&alone, None);
            let norms = added.square().sum_dim_intlist(1, false, Kind::Double).sqrt();
            let apart = (found.get(head) - &norms).abs().max().double_value(&[]);
            assert!(apart < 1e-5 * norms.max().double_value(&[]), "{head}: {apart}");
        }
    }

    /// The gradient that autograd finds for `f` at `x` against `dy`.
    fn autograd(x: &Tensor, dy: &Tensor, f: impl Fn(&Tensor) -> Tensor) -> Tensor {
        let x = x.detach().set_requires_grad(true);
        let z = (f(&x) * dy).sum(Kind::Float);
        Tensor::run_backward(&[z], &[x], false, false).remove(0)
    }

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    fn assert_same(found: &Tensor, expected: &Tensor) {
        let distance = (found - expected).abs().max() / expected.abs().max();
        assert!(distance.double_value(&[]) < 2e-6, "{distance:?}");
    }

    #[test]
    fn each_pull_back_is_that_of_autograd() {
        tch::manual_seed(3);
        let linear = Linear { weight: Weight::Dense(random(&[7, 5])), bias: None };
        let (x, dy) = (random(&[4, 5]), random(&[4, 7]));
        assert_same(&linear.pull_back(&dy), &autograd(&x, &dy, |x| linear.forward(x)));

        let norm = RmsNorm { gain: random(&[5]), eps: 1e-6 };
        let dy = random(&[4, 5]);
        assert_same(
            &norm.pull_back(&x, &dy, PullRule::Gradient),
            &autograd(&x, &dy, |x| norm.forward(x)),
        );

        let norm = LayerNorm { weight: random(&[5]), bias: random(&[5]), eps: 1e-6 };
        assert_same(
            &norm.pull_back(&x, &dy, PullRule::Gradient),
            &autograd(&x, &dy, |x| norm.forward(x)),
        );

        let rotary = Rotary::new(6, crate::Rope { theta: 100.0, factor: 2.0 }, Device::Cpu);
        let (x, dy) = (random(&[3, 4, 6]), random(&[3, 4, 6]));
        let [found] = rotary.pull_back([&dy], Place::new(9, None), Kind::Float);
        assert_same(
            &found,
            &autograd(&x, &dy, |x| rotary.forward([x], Place::new(9, None))[0].shallow_clone()),
        );
    }
    /// The norms and GELU as linear maps with a constant factor, made by detaching the factor from the graph. What comes of it is no
    /// gradient of the function, but relevance is conserved where there is no bias: `Σ x⊙x̄ = Σ y⊙ȳ`.
    #[test]
    fn with_constant_factors_each_pull_back_is_that_of_the_linear_map() {
        tch::manual_seed(4);
        let (x, dy) = (random(&[4, 5]), random(&[4, 5]));
        let rms = RmsNorm { gain: random(&[5]), eps: 1e-6 };
        let layer = LayerNorm { weight: random(&[5]), bias: random(&[5]), eps: 1e-6 };
        let sigma =
            |x: &Tensor| (x.square().mean_dim(-1, true, Kind::Float) + 1e-6).rsqrt().detach();
        let expected = [
            autograd(&x, &dy, |x| x * sigma(x) * &rms.gain),
            autograd(&x, &dy, |x| layer.with_constant_deviation(x)),
        ];
        for rule in [PullRule::ConstantGates, PullRule::SplitGates] {
            assert_same(&rms.pull_back(&x, &dy, rule), &expected[0]);
            assert_same(&layer.pull_back(&x, &dy, rule), &expected[1]);
        }
        let sum = |x: Tensor| x.sum(Kind::Double).double_value(&[]);
        let (input, output) = (sum(&x * &expected[0]), sum(rms.forward(&x) * &dy));
        assert!((input - output).abs() < 1e-5, "{input} {output}");

        // A finite difference of the linear map with the factors of x, along a direction: exact but for rounding.
        let (direction, step) = (random(&[4, 5]), 0.25);
        let along = |x: &Tensor, factors: &Tensor| sum(x * factors * &rms.gain * &dy);
        let factors = sigma(&x);
        let slope = (along(&(&x + &direction * step), &factors) - along(&x, &factors)) / step;
        let found = sum(&direction * &expected[0]);
        assert!((slope - found).abs() < 1e-5 * (1.0 + slope.abs()), "{slope} {found}");
    }

    /// Wherever x is: at zero, where a quotient has no value, and where GELU has all but died.
    #[test]
    fn the_ratio_of_gelu_is_gelu_over_its_argument() {
        let x = Tensor::from_slice(&[-9.0, -4.0, -1.0, -1e-3, 1e-30, 0.5, 3.0, 30.0f64]);
        let (found, expected) = (gelu_ratio(&x).to_kind(Kind::Double), x.gelu("tanh") / &x);
        // GELU itself is made with a difference that rounding eats for large negative x.
        let off = (&found - expected).abs().max().double_value(&[]);
        assert!(off < 1e-7, "{found:?}");
        let zero = Tensor::from_slice(&[0f32, -0.0]);
        assert_eq!(Vec::<f32>::try_from(gelu_ratio(&zero)).unwrap(), [0.5, 0.5]);
    }
}
