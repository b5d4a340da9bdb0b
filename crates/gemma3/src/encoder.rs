//! A layer of the vision tower, and its pull-back written by hand. Field names follow the checkpoint's path segments.
//!
//! Symbols: n patches of one picture, H heads, d head width, D = H·d hidden width, F feed-forward width.

use crate::attention::{join_gradient, join_heads, split_gradient, split_heads};
use crate::layers::{LayerNorm, Linear, gelu_ratio, tiles};
use crate::{
    Attend, AttentionLayer, Dims, Error, Layer, MaskRule, MergeGradient, Place, PullCost, PullRule,
    Qkv, QkvGradient, SequenceLayout, Site, Tower, Trace, VisionConfig, WeightPath,
};
use tch::{Device, Kind, Tensor};

/// One encoder layer: `h = x + attention(norm x)`, `y = h + mlp(norm h)`.
#[derive(Debug)]
pub struct EncoderLayer {
    site: Site,
    layer_norm1: LayerNorm,
    self_attn: VisionAttention,
    layer_norm2: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

impl EncoderLayer {
    pub(crate) fn load(
        path: &WeightPath<'_>,
        config: &VisionConfig,
        index: usize,
    ) -> Result<Self, Error> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let norm = |name| LayerNorm::load(&path.at(name), width, config.layer_norm_eps);
        let mlp = path.at("mlp");
        Ok(Self {
            site: Site { tower: Tower::Vision, layer: index },
            layer_norm1: norm("layer_norm1")?,
            self_attn: VisionAttention::load(&path.at("self_attn"), config)?,
            layer_norm2: norm("layer_norm2")?,
            fc1: Linear::load_with_bias(&mlp.at("fc1"), [width, inner])?,
            fc2: Linear::load_with_bias(&mlp.at("fc2"), [inner, width])?,
        })
    }
}

impl AttentionLayer for EncoderLayer {
    fn site(&self) -> Site {
        self.site
    }

    fn project(&self, x: &Tensor, place: Place) -> Qkv {
        self.self_attn.project(&self.layer_norm1.forward(x), place.start())
    }

    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        self.second_half(&self.hidden(x, heads))
    }
}

/// What an encoder layer computed for n patches, as much as its pull-back needs. `[n, D]` each, in the dtype of the tower.
#[derive(Debug)]
pub struct EncoderTrace {
    /// The layer's input.
    pub x: Tensor,
    /// What stands between attention and MLP.
    pub hidden: Tensor,
}

impl Trace for EncoderTrace {
    fn input(&self) -> &Tensor {
        &self.x
    }

    fn tensors(&self) -> Vec<&Tensor> {
        vec![&self.x, &self.hidden]
    }

    fn from_tensors(tensors: Vec<Tensor>) -> Self {
        let [x, hidden] =
            <[Tensor; 2]>::try_from(tensors).expect("a trace is made of the tensors of others");
        Self { x, hidden }
    }
}

/// Products with weights are made in the dtype of the weights.
impl Layer for EncoderLayer {
    type Trace = EncoderTrace;

    fn dims(&self) -> Dims {
        let VisionAttention { q_proj, n_heads, .. } = &self.self_attn;
        let heads = *n_heads as usize;
        Dims { heads, key_heads: heads, width: q_proj.size()[0] as usize / heads, window: None }
    }

    /// Every patch sees every patch.
    fn mask(&self, _: &SequenceLayout) -> MaskRule {
        MaskRule::all()
    }

    fn run(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> (Tensor, EncoderTrace) {
        let trace = self.trace(x, start, mask, attend);
        (self.output(&trace), trace)
    }

    fn trace(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> EncoderTrace {
        let heads = attend.attend(self.site, &self.project(x, mask.place(start)), mask);
        EncoderTrace { x: x.shallow_clone(), hidden: self.hidden(x, &heads) }
    }

    fn qkv(&self, trace: &EncoderTrace, place: Place) -> Qkv {
        self.project(&trace.x, place)
    }

    fn output(&self, trace: &EncoderTrace) -> Tensor {
        self.second_half(&trace.hidden)
    }

    fn pull_merge(
        &self,
        EncoderTrace { hidden, .. }: &EncoderTrace,
        dy: &Tensor,
        rule: PullRule,
    ) -> MergeGradient {
        // y = h + mlp(norm h)
        let dn = self.pull_mlp(&self.layer_norm2.forward(hidden), dy, rule);
        let dh = self.layer_norm2.pull_back(hidden, &dn, rule).g_add_(dy);
        // h = x + out_proj(heads)
        let heads = split_gradient(&self.self_attn.out_proj.pull_back(&dh), self.self_attn.n_heads);
        MergeGradient { x: dh, heads }
    }

    fn pull_project(
        &self,
        trace: &EncoderTrace,
        _: Place,
        gradient: &QkvGradient,
        rule: PullRule,
    ) -> Tensor {
        let VisionAttention { q_proj, k_proj, v_proj, .. } = &self.self_attn;
        let QkvGradient { q, k, v, skip } = gradient;
        let mut dn = k_proj.pull_back(&join_gradient(k)); // […, n, D]
        let m = q.size()[q.dim() - 2];
        let from_queries = q_proj.pull_back(&join_gradient(q)); // […, m, D]
        let _ = dn.narrow(-2, *skip as i64, m).g_add_(&from_queries); // a view: the sum lands in `dn`
        drop(from_queries);
        dn = dn.g_add_(&v_proj.pull_back(&join_gradient(v)));
        self.layer_norm1.pull_back(&trace.x, &dn, rule)
    }

    fn trace_numbers(&self) -> u64 {
        2 * self.sizes()[0]
    }

    /// The activations of the MLP and hidden states, and the gradients at them.
    fn pull_cost(&self) -> PullCost {
        const FLOAT_BYTES: u64 = 4;
        let ([d, f], width) = (self.sizes(), self.number_bytes());
        PullCost {
            shared: width * (f + 4 * d) + FLOAT_BYTES * 4 * d,
            per_gradient: width * f + FLOAT_BYTES * 10 * d,
        }
    }
}

impl EncoderLayer {
    /// The dtype that its products are made in.
    pub fn kind(&self) -> Kind {
        self.fc1.kind()
    }

    /// Bytes that running it holds at a time, for each patch: its activations.
    pub fn run_bytes(&self) -> u64 {
        let [d, f] = self.sizes();
        self.number_bytes() * (2 * f + 8 * d)
    }

    /// Hidden width D and feed-forward width F.
    fn sizes(&self) -> [u64; 2] {
        let [f, d] = self.fc1.size();
        [d, f].map(|n| n as u64)
    }

    fn number_bytes(&self) -> u64 {
        self.kind().elt_size_in_bytes() as u64
    }

    /// What stands between attention and MLP, `[n, D]`: `h = x + out_proj(heads)`.
    fn hidden(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        x + self.self_attn.out_proj.forward(&join_heads(heads))
    }

    /// The layer's output `[n, D]`: `y = h + mlp(norm h)`.
    fn second_half(&self, hidden: &Tensor) -> Tensor {
        let inner = self.fc1.forward(&self.layer_norm2.forward(hidden));
        hidden + self.fc2.forward(&inner.gelu("tanh"))
    }

    /// Pull-back of `fc2(gelu(fc1 x))`: `x` is `[n, D]`, `dy` `[…, n, D]`. What lies between the products is one operation on a GPU. On a
    /// CPU it is done for some rows and one gradient at a time, so that it stays in the cache, and only in float32 while it is
    /// there; what has one slope for all gradients is made once. GELU is no gate here: by the rules that are not the gradient it
    /// multiplies with gelu(x)/x, held constant, which no operation of libtorch does: they go the way of the CPU.
    fn pull_mlp(&self, x: &Tensor, dy: &Tensor, rule: PullRule) -> Tensor {
        let inner = self.fc1.forward(x);
        let dinner = self.fc2.pull_back_narrow(dy); // […, n, F]
        let is_one_operation = match rule {
            PullRule::Gradient => x.device() != Device::Cpu,
            PullRule::ConstantGates | PullRule::SplitGates => false,
        };
        if is_one_operation {
            return self.fc1.pull_back(&inner.gelu_backward(&dinner, "tanh"));
        }
        let [n, width] = <[i64; 2]>::try_from(inner.size()).expect("[n, F]");
        let flat = dinner.view([-1, n, width]);
        for (row, rows) in tiles(&inner) {
            let inner = inner.narrow(0, row, rows).to_kind(Kind::Float);
            let slope = match rule {
                PullRule::Gradient => inner.gelu_backward(&inner.ones_like(), "tanh"),
                PullRule::ConstantGates | PullRule::SplitGates => gelu_ratio(&inner),
            };
            for goal in 0..flat.size()[0] {
                let mut part = flat.get(goal).narrow(0, row, rows); // a view: the product lands in `dinner`
                part.copy_(&(part.to_kind(Kind::Float) * &slope));
            }
        }
        self.fc1.pull_back(&dinner)
    }
}

#[derive(Debug)]
struct VisionAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    out_proj: Linear,
    n_heads: i64,
    scale: f64,
}

impl VisionAttention {
    fn load(path: &WeightPath<'_>, config: &VisionConfig) -> Result<Self, Error> {
        let width = config.hidden_size;
        let linear = |name| Linear::load_with_bias(&path.at(name), [width, width]);
        Ok(Self {
            q_proj: linear("q_proj")?,
            k_proj: linear("k_proj")?,
            v_proj: linear("v_proj")?,
            out_proj: linear("out_proj")?,
            n_heads: config.num_attention_heads as i64,
            scale: ((width / config.num_attention_heads) as f64).powf(-0.5),
        })
    }

    fn project(&self, x: &Tensor, start: usize) -> Qkv {
        let heads = |linear: &Linear| split_heads(&linear.forward(x), self.n_heads);
        Qkv {
            q: heads(&self.q_proj),
            k: heads(&self.k_proj),
            v: heads(&self.v_proj),
            scale: self.scale,
            start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{assert_same, checkpoint, random};
    use crate::{Config, Fast, Placement, Weights};

    /// Layer 1 of a reference checkpoint in float32: its width and its heads.
    fn layer() -> (EncoderLayer, [i64; 2]) {
        let dir = checkpoint();
        let (config, weights) = (Config::from_dir(&dir).unwrap(), Weights::open(&dir).unwrap());
        let path = weights.root(Placement::AS_STORED).at("vision_tower").at("encoder");
        let config = config.vision.unwrap();
        let sizes = [config.hidden_size, config.num_attention_heads].map(|n| n as i64);
        (EncoderLayer::load(&path.at("layers").at(1), &config, 1).unwrap(), sizes)
    }

    #[test]
    fn the_pull_back_of_merge_is_that_of_autograd() {
        tch::manual_seed(5);
        let ((layer, [width, n_heads]), n) = (layer(), 9);
        let x = random(&[n, width]).set_requires_grad(true);
        let heads = random(&[n_heads, n, width / n_heads]).set_requires_grad(true);
        let dy = random(&[2, n, width]);
        let hidden = layer.hidden(&x.detach(), &heads.detach());
        let trace = EncoderTrace { x: x.detach(), hidden };
        let found = layer.pull_merge(&trace, &dy, PullRule::Gradient);
        for target in 0..2 {
            let z = (layer.merge(&x, &heads) * dy.get(target)).sum(Kind::Float);
            let expected = Tensor::run_backward(&[z], &[&x, &heads], false, false);
            assert_same("x", &found.x.get(target), &expected[0]);
            assert_same("heads", &found.heads.get(target), &expected[1]);
        }
    }

    /// Fewer queries than keys among them: a layer is one, whoever sweeps it.
    #[test]
    fn the_pull_back_of_project_is_that_of_autograd() {
        tch::manual_seed(6);
        let ((layer, [width, n_heads]), n) = (layer(), 9);
        let x = random(&[n, width]).set_requires_grad(true);
        let trace = EncoderTrace { x: x.detach(), hidden: x.detach() };
        let place = MaskRule::all().place(0);
        for skip in [0, 4] {
            let heads = |rows| random(&[2, n_heads, rows, width / n_heads]);
            let (q, k, v) = (heads(n - skip), heads(n), heads(n));
            let gradient = QkvGradient { q, k, v, skip: skip as usize };
            let found = layer.pull_project(&trace, place, &gradient, PullRule::Gradient);
            for target in 0..2 {
                let Qkv { q, k, v, .. } = layer.project(&x, place);
                let q = q.narrow(1, skip, n - skip);
                let pairs = [(q, &gradient.q), (k, &gradient.k), (v, &gradient.v)];
                let terms = pairs.map(|(x, dy)| (x * dy.get(target)).sum(Kind::Float));
                let z: Tensor = terms.into_iter().sum();
                let expected = Tensor::run_backward(&[z], &[&x], false, false).remove(0);
                assert_same("x", &found.get(target), &expected);
            }
        }
    }

    /// A run is its trace and what comes of it, and gives what the forward pass gives.
    #[test]
    fn a_run_gives_output_and_trace() {
        tch::manual_seed(7);
        let ((layer, [width, _]), mask) = (layer(), MaskRule::all());
        let x = random(&[9, width]);
        let (y, trace) = layer.run(&x, 0, &mask, &mut Fast);
        assert_eq!(y, layer.forward(&x, 0, &mask, &mut Fast));
        assert_eq!(trace.hidden, layer.trace(&x, 0, &mask, &mut Fast).hidden);
        assert_eq!(layer.qkv(&trace, mask.place(0)).q, layer.project(&x, mask.place(0)).q);
        let numbers: usize = trace.tensors().into_iter().map(|x| x.numel() / 9).sum();
        assert_eq!(numbers as u64, layer.trace_numbers());
    }
    /// By the rules that are not the gradient, against autograd of the layer with the deviation of its norms and the ratio of GELU cut from
    /// the graph.
    #[test]
    fn with_constant_factors_pull_backs_are_those_of_the_linear_maps() {
        tch::manual_seed(8);
        let ((layer, [width, n_heads]), n) = (layer(), 9);
        let x = random(&[n, width]).set_requires_grad(true);
        let heads = random(&[n_heads, n, width / n_heads]).set_requires_grad(true);
        let dy = random(&[2, n, width]);
        let place = MaskRule::all().place(0);
        let hidden = layer.hidden(&x, &heads);
        let inner = layer.fc1.forward(&layer.layer_norm2.with_constant_deviation(&hidden));
        let inner = &inner * (inner.gelu("tanh") / &inner).detach();
        let y = &hidden + layer.fc2.forward(&inner);
        assert_same("output", &y.detach(), &layer.merge(&x, &heads).detach());
        let qkv = layer.self_attn.project(&layer.layer_norm1.with_constant_deviation(&x), 0);
        for rule in [PullRule::ConstantGates, PullRule::SplitGates] {
            let trace = EncoderTrace { x: x.detach(), hidden: hidden.detach() };
            let found = layer.pull_merge(&trace, &dy, rule);
            let [q, k, v] = [(); 3].map(|()| random(&[2, n_heads, n, width / n_heads]));
            let gradient = QkvGradient { q, k, v, skip: 0 };
            let projected = layer.pull_project(&trace, place, &gradient, rule);
            for target in 0..2 {
                let z = (&y * dy.get(target)).sum(Kind::Float);
                let expected = Tensor::run_backward(&[z], &[&x, &heads], true, false);
                assert_same("x", &found.x.get(target), &expected[0]);
                assert_same("heads", &found.heads.get(target), &expected[1]);
                let pairs = [(&qkv.q, &gradient.q), (&qkv.k, &gradient.k), (&qkv.v, &gradient.v)];
                let z = pairs.map(|(x, dy)| (x * dy.get(target)).sum(Kind::Float));
                let z: Tensor = z.into_iter().sum();
                let expected = Tensor::run_backward(&[z], &[&x], true, false).remove(0);
                assert_same("projected", &projected.get(target), &expected);
            }
        }
    }
}
