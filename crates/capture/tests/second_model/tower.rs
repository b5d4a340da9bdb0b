//! A vision tower that is no SigLIP: a picture that is no square, RMS norms without a bias, one of them behind the patch embedding,
//! attention and MLP beside each other in some layers in place of one behind the other, a squared rectifier, a projector that is a plain linear map;
//! heads, their width and who sees whom differ by layer.
//!
//! Symbols: P patches, t tokens, W hidden width of the tower, D that of the language model, F feed-forward width, p pixels of a patch's
//! side, k patches of a token's.

use crate::toy::{OPTIONS, WIDTH as HIDDEN, join, random, split};
use attention_capture::PictureTower;
use gemma3_tch::{
    Attend, AttentionLayer, Dims, Layer, MaskRule, MergeGradient, Place, Placement, PullCost,
    PullRule, Qkv, QkvGradient, SequenceLayout, Site, Tower, Trace,
};
use tch::{Device, Kind, Tensor};

pub(crate) const WIDTH: usize = 10;
pub(crate) const EPS: f64 = 1e-4;

pub(crate) const CHANNELS: i64 = 2;
/// Pixels of a patch's side, p.
pub(crate) const SIDE: i64 = 2;
/// Rows and columns of tokens.
pub(crate) const TOKENS: [i64; 2] = [3, 2];
/// Patches of a token's side, k.
pub(crate) const POOL: i64 = 2;

/// `y = gain·x/√(mean x² + ε)`.
#[derive(Debug)]
pub(crate) struct RmsNorm(pub(crate) Tensor);

impl RmsNorm {
    fn random() -> Self {
        Self(Tensor::randn([WIDTH as i64], OPTIONS) * 0.2 + 1.0)
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let mean = x.square().mean_dim(-1, true, Kind::Float);
        x / (mean + EPS).sqrt() * &self.0
    }

    /// With `σ = (mean x² + ε)^-½`, `n = x·σ` and `g = gain·dy`: `dx = σ·(g − n·mean(n·g))`, or `σ·g` where σ is
    /// constant.
    fn pull_back(&self, x: &Tensor, dy: &Tensor, rule: PullRule) -> Tensor {
        let sigma = (x.square().mean_dim(-1, true, Kind::Float) + EPS).rsqrt();
        let (n, g) = (x * &sigma, dy * &self.0);
        let along = (&n * &g).mean_dim(-1, true, Kind::Float);
        match rule {
            PullRule::Gradient => (g - n * along) * sigma,
            PullRule::ConstantGates | PullRule::SplitGates => g * sigma,
        }
    }
}

/// `h = x + o·attention(norm x)`, `y = h + down·relu(up·norm h)²`, one norm for both; where they stand beside each other the MLP takes x
/// in place of h.
#[derive(Debug)]
pub(crate) struct TowerLayer {
    site: Site,
    pub(crate) dims: Dims,
    /// Whether a patch sees those after it.
    pub(crate) sees_all: bool,
    /// Whether attention and MLP stand beside each other.
    pub(crate) beside: bool,
    pub(crate) norm: RmsNorm,
    pub(crate) q: Tensor,    // [H·d, W]
    pub(crate) k: Tensor,    // [K·d, W]
    pub(crate) v: Tensor,    // [K·d, W]
    pub(crate) o: Tensor,    // [W, H·d]
    pub(crate) up: Tensor,   // [F, W]
    pub(crate) down: Tensor, // [W, F]
}

/// What a layer computed, `[P, …]`: its input, what attention makes of it, and the state of the MLP before its activation.
#[derive(Debug)]
pub(crate) struct TowerTrace([Tensor; 3]);

impl Trace for TowerTrace {
    fn input(&self) -> &Tensor {
        &self.0[0]
    }

    fn tensors(&self) -> Vec<&Tensor> {
        self.0.iter().collect()
    }

    fn from_tensors(tensors: Vec<Tensor>) -> Self {
        Self(tensors.try_into().unwrap())
    }
}

impl TowerLayer {
    fn random(layer: usize, dims: Dims, [sees_all, beside]: [bool; 2]) -> Self {
        let (q, k) = (dims.heads * dims.width, dims.key_heads * dims.width);
        let inner = 2 * WIDTH + layer;
        Self {
            site: Site { tower: Tower::Vision, layer },
            dims,
            sees_all,
            beside,
            norm: RmsNorm::random(),
            q: random([q, WIDTH]) * 1.5,
            k: random([k, WIDTH]) * 1.5,
            v: random([k, WIDTH]),
            o: random([WIDTH, q]),
            up: random([inner, WIDTH]),
            down: random([WIDTH, inner]) * 0.5,
        }
    }

    /// What attention makes of the input, and the state of the MLP before its activation.
    fn halves(&self, x: &Tensor, heads: &Tensor) -> [Tensor; 2] {
        let attended = x + join(heads).matmul(&self.o.tr());
        let taken = self.norm.forward(if self.beside { x } else { &attended });
        [attended, taken.matmul(&self.up.tr())]
    }

    fn sum(&self, attended: &Tensor, inner: &Tensor) -> Tensor {
        attended + inner.relu().square().matmul(&self.down.tr())
    }
}

impl AttentionLayer for TowerLayer {
    fn site(&self) -> Site {
        self.site
    }

    fn project(&self, x: &Tensor, place: Place) -> Qkv {
        let Dims { heads, key_heads, width, .. } = self.dims;
        let n = self.norm.forward(x);
        let part = |weight: &Tensor, heads| split(&n.matmul(&weight.tr()), heads);
        Qkv {
            q: part(&self.q, heads),
            k: part(&self.k, key_heads),
            v: part(&self.v, key_heads),
            scale: (width as f64).powf(-0.5),
            start: place.start(),
        }
    }

    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        let [attended, inner] = self.halves(x, heads);
        self.sum(&attended, &inner)
    }
}

impl Layer for TowerLayer {
    type Trace = TowerTrace;

    fn dims(&self) -> Dims {
        self.dims
    }

    fn mask(&self, layout: &SequenceLayout) -> MaskRule {
        if self.sees_all { MaskRule::all() } else { MaskRule::causal(None, layout) }
    }

    fn run(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> (Tensor, TowerTrace) {
        let heads = attend.attend(self.site, &self.project(x, mask.place(start)), mask);
        let [attended, inner] = self.halves(x, &heads);
        (self.sum(&attended, &inner), TowerTrace([x.shallow_clone(), attended, inner]))
    }

    fn qkv(&self, TowerTrace([x, ..]): &TowerTrace, place: Place) -> Qkv {
        self.project(x, place)
    }

    fn output(&self, TowerTrace([_, attended, inner]): &TowerTrace) -> Tensor {
        self.sum(attended, inner)
    }

    fn pull_merge(
        &self,
        TowerTrace([x, attended, inner]): &TowerTrace,
        dy: &Tensor,
        rule: PullRule,
    ) -> MergeGradient {
        let slope = match rule {
            PullRule::Gradient => 2.0,
            PullRule::ConstantGates | PullRule::SplitGates => 1.0,
        };
        let dinner = dy.matmul(&self.down) * inner.relu() * slope;
        let taken = if self.beside { x } else { attended };
        let dx = dy + self.norm.pull_back(taken, &dinner.matmul(&self.up), rule);
        let dattended = if self.beside { dy } else { &dx };
        let heads = split(&dattended.matmul(&self.o), self.dims.heads);
        MergeGradient { x: dx, heads }
    }

    fn pull_project(
        &self,
        TowerTrace([x, ..]): &TowerTrace,
        _: Place,
        QkvGradient { q, k, v, skip }: &QkvGradient,
        rule: PullRule,
    ) -> Tensor {
        assert_eq!(*skip, 0, "every patch is a query");
        let dn = join(q).matmul(&self.q) + join(k).matmul(&self.k) + join(v).matmul(&self.v);
        self.norm.pull_back(x, &dn, rule)
    }

    fn trace_numbers(&self) -> u64 {
        2 * WIDTH as u64 + self.up.size()[0] as u64
    }

    fn pull_cost(&self) -> PullCost {
        let Dims { heads, key_heads, width, .. } = self.dims;
        let numbers = 4 * self.trace_numbers() + 4 * ((heads + 2 * key_heads) * width) as u64;
        PullCost { shared: 4 * numbers, per_gradient: 4 * numbers }
    }
}

/// Three layers: one that a fast pass takes, one whose heads share keys, and one whose patches do not see those after them. No two have
/// heads of one number or width, and the last costs most in every respect.
#[derive(Debug)]
pub(crate) struct ToyTower {
    pub(crate) patch: Tensor,    // [W, channels·p·p]
    pub(crate) position: Tensor, // [P, W]
    pub(crate) first_norm: RmsNorm,
    pub(crate) layers: Vec<TowerLayer>,
    pub(crate) last_norm: RmsNorm,
    pub(crate) projection: Tensor, // [D, W]
    pub(crate) bias: Tensor,       // [D]
}

/// Rows and columns of patches.
pub(crate) fn grid() -> [i64; 2] {
    TOKENS.map(|n| n * POOL)
}

impl ToyTower {
    pub(crate) fn random() -> Self {
        tch::manual_seed(29);
        let dims = |heads, key_heads, width| Dims { heads, key_heads, width, window: None };
        let layers = [
            (dims(2, 2, 5), [true, true]),
            (dims(4, 2, 3), [true, false]),
            (dims(5, 5, 2), [false; 2]),
        ];
        let layers = layers.into_iter().enumerate();
        Self {
            patch: random([WIDTH, (CHANNELS * SIDE * SIDE) as usize]),
            position: Tensor::randn([grid().iter().product(), WIDTH as i64], OPTIONS) * 0.3,
            first_norm: RmsNorm::random(),
            layers: layers
                .map(|(layer, (dims, how))| TowerLayer::random(layer, dims, how))
                .collect(),
            last_norm: RmsNorm::random(),
            projection: random([HIDDEN, WIDTH]),
            bias: Tensor::randn([HIDDEN as i64], OPTIONS) * 0.2,
        }
    }

    /// The numbers of each patch, `[…, P, channels·p·p]`, of pictures `[…, channels, rows, columns]`.
    fn cut(picture: &Tensor) -> Tensor {
        let [rows, columns] = grid();
        let patches = picture.view([-1, CHANNELS, rows, SIDE, columns, SIDE]);
        let patches = patches.permute([0, 2, 4, 1, 3, 5]);
        patches.reshape([-1, rows * columns, CHANNELS * SIDE * SIDE])
    }

    /// The reverse of `cut`.
    fn join(patches: &Tensor) -> Tensor {
        let [rows, columns] = grid();
        let patches = patches.view([-1, rows, columns, CHANNELS, SIDE, SIDE]);
        let patches = patches.permute([0, 3, 1, 4, 2, 5]);
        patches.reshape([-1, CHANNELS, rows * SIDE, columns * SIDE])
    }

    /// What the patches of a picture are before the norm behind their embedding, `[P, W]`.
    fn embedded(&self, picture: &Tensor) -> Tensor {
        Self::cut(picture).squeeze_dim(0).matmul(&self.patch.tr()) + &self.position
    }
}

impl PictureTower for ToyTower {
    type Layer = TowerLayer;

    fn layers(&self) -> &[TowerLayer] {
        &self.layers
    }

    fn placement(&self) -> Placement {
        Placement { device: Device::Cpu, kind: Some(Kind::Float) }
    }

    fn picture(&self) -> [usize; 3] {
        let [rows, columns] = grid();
        [CHANNELS, rows * SIDE, columns * SIDE].map(|n| n as usize)
    }

    fn patches(&self) -> [usize; 2] {
        grid().map(|n| n as usize)
    }

    fn tokens(&self) -> [usize; 2] {
        TOKENS.map(|n| n as usize)
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn embed(&self, picture: &Tensor) -> Tensor {
        self.first_norm.forward(&self.embedded(picture))
    }

    fn features(&self, last: &Tensor) -> Tensor {
        self.last_norm.forward(last)
    }

    fn project(&self, features: &Tensor) -> Tensor {
        let [rows, columns] = TOKENS;
        let squares = features.view([rows, POOL, columns, POOL, WIDTH as i64]);
        let means = squares.mean_dim([1_i64, 3].as_slice(), false, Kind::Float);
        means.view([-1, WIDTH as i64]).linear(&self.projection, Some(&self.bias))
    }

    fn pull_project(&self, _: &Tensor, dtokens: &Tensor, _: PullRule) -> Tensor {
        let [rows, columns] = TOKENS;
        let share = dtokens.matmul(&self.projection) / (POOL * POOL) as f64; // [T, t, W]
        let share = share.view([-1, rows, 1, columns, 1, WIDTH as i64]);
        let share = share.expand([-1, rows, POOL, columns, POOL, WIDTH as i64], false);
        share.reshape([dtokens.size()[0], -1, WIDTH as i64])
    }

    fn pull_features(&self, last: &Tensor, dfeatures: &Tensor, rule: PullRule) -> Tensor {
        self.last_norm.pull_back(last, dfeatures, rule)
    }

    fn pull_embed(&self, picture: &Tensor, dembedded: &Tensor, rule: PullRule) -> Tensor {
        let dpatches = self.first_norm.pull_back(&self.embedded(picture), dembedded, rule);
        Self::join(&dpatches.matmul(&self.patch))
    }

    fn run_bytes(&self) -> u64 {
        4 * self.layers.iter().map(|layer| 2 * layer.trace_numbers()).max().unwrap()
    }
}
