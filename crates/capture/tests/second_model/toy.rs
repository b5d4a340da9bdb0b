//! A decoder that is no Gemma: layer normalisation, an MLP without a gate, one residual connection around each half and no norm behind it,
//! positions that damp queries and keys instead of turning them, a head of its own; heads, their width and the window differ by layer.
//!
//! Symbols as in the crate, and F feed-forward width.

use crate::tower::ToyTower;
use attention_capture::{LanguageModel, PictureModel};
use gemma3_tch::{
    Attend, AttentionLayer, Dims, Error, Layer, MaskRule, MergeGradient, Place, Placement,
    PullCost, PullRule, Qkv, QkvGradient, Sequence, SequenceLayout, Site, Tower, Trace, Watch,
};
use tch::{Device, Kind, Tensor};

pub(crate) const WIDTH: usize = 12;
pub(crate) const VOCABULARY: usize = 23;
pub(crate) const EPS: f64 = 1e-5;
pub(crate) const OPTIONS: (Kind, Device) = (Kind::Float, Device::Cpu);

pub(crate) fn random(shape: [usize; 2]) -> Tensor {
    let [outputs, inputs] = shape.map(|n| n as i64);
    Tensor::randn([outputs, inputs], OPTIONS) / (inputs as f64).sqrt()
}

/// `y = gain·(x − mean x)/√(var x + ε) + bias`.
#[derive(Debug)]
pub(crate) struct Norm {
    pub(crate) gain: Tensor,
    pub(crate) bias: Tensor,
}

impl Norm {
    fn random() -> Self {
        let numbers = || Tensor::randn([WIDTH as i64], OPTIONS) * 0.2;
        Self { gain: numbers() + 1.0, bias: numbers() }
    }

    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(WIDTH as i64, Some(&self.gain), Some(&self.bias), EPS, false)
    }

    /// With `n = (x − mean x)·σ` and `g = gain·dy`: `dx = σ·(g − mean g − n·mean(n·g))`, without its last term where σ is constant.
    fn pull_back(&self, x: &Tensor, dy: &Tensor, rule: PullRule) -> Tensor {
        let mean = |x: &Tensor| x.mean_dim(-1, true, Kind::Float);
        let centred = x - mean(x);
        let sigma = (mean(&centred.square()) + EPS).rsqrt();
        let n = centred * &sigma;
        let g = dy * &self.gain;
        let centred = &g - mean(&g);
        match rule {
            PullRule::Gradient => (centred - &n * mean(&(&g * &n))) * sigma,
            PullRule::ConstantGates | PullRule::SplitGates => centred * sigma,
        }
    }
}

/// `h = x + o·attention(norm x)`, `y = h + down·tanh(up·norm h)`.
#[derive(Debug)]
pub(crate) struct ToyLayer {
    site: Site,
    dims: Dims,
    pub(crate) norm: Norm,
    pub(crate) q: Tensor, // [H·d, D]
    pub(crate) k: Tensor, // [K·d, D]
    pub(crate) v: Tensor, // [K·d, D]
    pub(crate) o: Tensor, // [D, H·d]
    pub(crate) mlp_norm: Norm,
    pub(crate) up: Tensor,   // [F, D]
    pub(crate) down: Tensor, // [D, F]
}

/// What a layer computed, `[n, …]`: its input, queries, keys and values before positions, the state between its halves and that of
/// the MLP before its tanh.
#[derive(Debug)]
pub(crate) struct ToyTrace([Tensor; 6]);

impl Trace for ToyTrace {
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

/// `[…, n, H·d]` → `[…, H, n, d]`.
pub(crate) fn split(x: &Tensor, n_heads: usize) -> Tensor {
    let mut shape = x.size();
    let width = shape.pop().unwrap() / n_heads as i64;
    shape.extend([n_heads as i64, width]);
    x.reshape(shape).transpose(-3, -2)
}

/// `[…, H, n, d]` → `[…, n, H·d]`.
pub(crate) fn join(x: &Tensor) -> Tensor {
    x.transpose(-3, -2).flatten(-2, -1)
}

/// What queries and keys of some tokens are multiplied with, `[n, 1]`, from their positions.
pub(crate) fn damping(positions: &Tensor) -> Tensor {
    (positions.to_kind(Kind::Float) * 0.05 + 1.0).reciprocal().unsqueeze(-1)
}

fn damping_at(place: Place, n: i64) -> Tensor {
    damping(&place.positions(n as usize, (Kind::Int64, Device::Cpu)))
}

impl ToyLayer {
    fn random(layer: usize, dims: Dims) -> Self {
        let (q, k) = (dims.heads * dims.width, dims.key_heads * dims.width);
        let inner = 2 * WIDTH + layer;
        Self {
            site: Site { tower: Tower::Text, layer },
            dims,
            norm: Norm::random(),
            q: random([q, WIDTH]) * 1.5,
            k: random([k, WIDTH]) * 1.5,
            v: random([k, WIDTH]),
            o: random([WIDTH, q]),
            mlp_norm: Norm::random(),
            up: random([inner, WIDTH]),
            down: random([WIDTH, inner]),
        }
    }

    fn products(&self, x: &Tensor) -> [Tensor; 3] {
        let n = self.norm.forward(x);
        [&self.q, &self.k, &self.v].map(|weight| n.matmul(&weight.tr()))
    }

    fn heads(&self, [q, k, v]: [&Tensor; 3], place: Place) -> Qkv {
        let Dims { heads, key_heads, width, .. } = self.dims;
        let damping = damping_at(place, q.size()[0]);
        Qkv {
            q: split(q, heads) * &damping,
            k: split(k, key_heads) * &damping,
            v: split(v, key_heads),
            scale: (width as f64).powf(-0.5),
            start: place.start(),
        }
    }

    /// The output, the state between the halves and that of the MLP before its tanh.
    fn halves(&self, x: &Tensor, heads: &Tensor) -> [Tensor; 3] {
        let h = x + join(heads).matmul(&self.o.tr());
        let inner = self.mlp_norm.forward(&h).matmul(&self.up.tr());
        let y = &h + inner.tanh().matmul(&self.down.tr());
        [y, h, inner]
    }
}

impl AttentionLayer for ToyLayer {
    fn site(&self) -> Site {
        self.site
    }

    fn project(&self, x: &Tensor, place: Place) -> Qkv {
        self.heads(self.products(x).each_ref(), place)
    }

    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        let [y, ..] = self.halves(x, heads);
        y
    }
}

impl Layer for ToyLayer {
    type Trace = ToyTrace;

    fn dims(&self) -> Dims {
        self.dims
    }

    fn run(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> (Tensor, ToyTrace) {
        let [q, k, v] = self.products(x);
        let qkv = self.heads([&q, &k, &v], mask.place(start));
        let heads = attend.attend(self.site, &qkv, mask);
        let [y, h, inner] = self.halves(x, &heads);
        (y, ToyTrace([x.shallow_clone(), q, k, v, h, inner]))
    }

    fn qkv(&self, ToyTrace([_, q, k, v, ..]): &ToyTrace, place: Place) -> Qkv {
        self.heads([q, k, v], place)
    }

    fn output(&self, ToyTrace([.., h, inner]): &ToyTrace) -> Tensor {
        h + inner.tanh().matmul(&self.down.tr())
    }

    fn pull_merge(
        &self,
        ToyTrace([.., h, inner]): &ToyTrace,
        dy: &Tensor,
        rule: PullRule,
    ) -> MergeGradient {
        let slope = match rule {
            PullRule::Gradient => inner.tanh().square().neg() + 1.0,
            PullRule::ConstantGates | PullRule::SplitGates => inner.tanh() / inner,
        };
        let dinner = dy.matmul(&self.down) * slope;
        let dh = dy + self.mlp_norm.pull_back(h, &dinner.matmul(&self.up), rule);
        let heads = split(&dh.matmul(&self.o), self.dims.heads);
        MergeGradient { x: dh, heads }
    }

    fn pull_project(
        &self,
        ToyTrace([x, ..]): &ToyTrace,
        place: Place,
        gradient: &QkvGradient,
        rule: PullRule,
    ) -> Tensor {
        let QkvGradient { q, k, v, skip } = gradient;
        let (m, n) = (q.size()[q.dim() - 2], x.size()[0]);
        let from_queries = join(&(q * damping_at(place.after(*skip), m))).matmul(&self.q);
        let dn = join(&(k * damping_at(place, n))).matmul(&self.k) + join(v).matmul(&self.v);
        let _ = dn.narrow(-2, *skip as i64, m).g_add_(&from_queries);
        self.norm.pull_back(x, &dn, rule)
    }

    fn trace_numbers(&self) -> u64 {
        let projections = (self.dims.heads + 2 * self.dims.key_heads) * self.dims.width;
        (2 * WIDTH + projections) as u64 + self.up.size()[0] as u64
    }

    fn pull_cost(&self) -> PullCost {
        let numbers = 4 * self.trace_numbers() + 8 * WIDTH as u64;
        PullCost { shared: 4 * numbers, per_gradient: 4 * numbers }
    }
}

/// Four layers; no two have heads of one number or width, and the last costs most in every respect.
#[derive(Debug)]
pub(crate) struct Toy {
    embedding: Tensor, // [V, D]
    pub(crate) layers: Vec<ToyLayer>,
    pub(crate) norm: Norm,
    pub(crate) head: Tensor, // [V, D]
    pub(crate) bias: Tensor, // [V]
    pub(crate) tower: Option<ToyTower>,
}

impl Toy {
    pub(crate) fn random() -> Self {
        let tower = Some(ToyTower::random());
        tch::manual_seed(19);
        let dims = |heads, key_heads, width, window| Dims { heads, key_heads, width, window };
        let dims =
            [dims(2, 1, 6, None), dims(4, 2, 3, Some(5)), dims(3, 1, 5, None), dims(6, 2, 4, None)];
        let layers = dims.into_iter().enumerate();
        Self {
            embedding: Tensor::randn([VOCABULARY as i64, WIDTH as i64], OPTIONS),
            layers: layers.map(|(layer, dims)| ToyLayer::random(layer, dims)).collect(),
            norm: Norm::random(),
            head: random([VOCABULARY, WIDTH]) * 2.0,
            bias: Tensor::randn([VOCABULARY as i64], OPTIONS),
            tower,
        }
    }

    pub(crate) fn words(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        self.embedding.index_select(0, &Tensor::from_slice(&ids))
    }

    /// The layers on the embeddings of the tokens from index `start` on.
    pub(crate) fn go_on(
        &self,
        embeddings: &Tensor,
        start: usize,
        layout: &SequenceLayout,
        watch: &mut dyn Watch<ToyTrace>,
    ) -> Tensor {
        self.layers.iter().fold(embeddings.shallow_clone(), |x, layer| {
            let (y, trace) = layer.run(&x, start, &layer.mask(layout), watch);
            watch.layer_done(layer.site, trace);
            y
        })
    }
}

impl LanguageModel for Toy {
    type Layer = ToyLayer;

    fn layers(&self) -> &[ToyLayer] {
        &self.layers
    }

    fn placement(&self) -> Placement {
        Placement { device: Device::Cpu, kind: Some(Kind::Float) }
    }

    fn width(&self) -> usize {
        WIDTH
    }

    fn vocabulary(&self) -> usize {
        VOCABULARY
    }

    fn embed(&self, sequence: &Sequence) -> Tensor {
        let embeddings = self.words(sequence.ids());
        for (span, features) in sequence.images().iter().zip(sequence.features()) {
            embeddings.narrow(0, span.start as i64, span.len() as i64).copy_(features);
        }
        embeddings
    }

    fn run(
        &self,
        embeddings: &Tensor,
        layout: &SequenceLayout,
        watch: &mut dyn Watch<ToyTrace>,
    ) -> Tensor {
        self.go_on(embeddings, 0, layout, watch)
    }

    fn logits(&self, rows: &Tensor) -> Tensor {
        self.norm.forward(rows).linear(&self.head, Some(&self.bias))
    }

    fn logits_of(&self, rows: &Tensor, tokens: &[u32]) -> Tensor {
        let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        self.logits(rows).index_select(1, &Tensor::from_slice(&tokens))
    }

    fn head_gradients(&self, tokens: &[u32]) -> Tensor {
        let tokens: Vec<i64> = tokens.iter().map(|&token| i64::from(token)).collect();
        self.head.index_select(0, &Tensor::from_slice(&tokens))
    }

    fn pull_head(&self, dlogits: &Tensor) -> Tensor {
        dlogits.matmul(&self.head)
    }

    fn pull_norm(&self, rows: &Tensor, dnormed: &Tensor, rule: PullRule) -> Tensor {
        self.norm.pull_back(rows, dnormed, rule)
    }

    fn value_norms(&self, layer: usize, values: &Tensor) -> Tensor {
        let layer = &self.layers[layer];
        let (group, width) = (layer.dims.heads / layer.dims.key_heads, layer.dims.width as i64);
        let of_head = |head: usize| {
            let part = layer.o.narrow(1, head as i64 * width, width); // [D, d]
            let added = values.get((head / group) as i64).matmul(&part.tr());
            added.square().sum_dim_intlist(1, false, Kind::Float).sqrt()
        };
        Tensor::stack(&(0..layer.dims.heads).map(of_head).collect::<Vec<_>>(), 0)
    }
}

impl PictureModel for Toy {
    type Tower = ToyTower;

    fn tower(&self) -> Result<&ToyTower, Error> {
        self.tower.as_ref().ok_or(Error::NoVision)
    }
}
