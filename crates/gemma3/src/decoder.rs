//! A decoder layer of the language model, and its pull-back written by hand. Field names follow the checkpoint's path segments.
//!
//! Symbols: n tokens of this call, H query heads, K key/value heads, d head width, D hidden width, F feed-forward width.

use crate::attention::{join_gradient, join_heads, split_gradient, split_heads};
use crate::layers::{Linear, RmsNorm, Rotary, gelu_ratio, tiles};
use crate::weight::Weight;
use crate::{
    Attend, AttentionLayer, Dims, Error, Layer, LayerType, MaskRule, MergeGradient, Place,
    PullCost, PullRule, Qkv, QkvGradient, Site, TextConfig, Tower, Trace, WeightPath,
};
use tch::{Kind, Tensor};

const FLOAT_BYTES: u64 = 4;

/// One decoder layer: `h = x + post(attention(norm x))`, `y = h + post(mlp(norm h))`.
#[derive(Debug)]
pub struct DecoderLayer {
    site: Site,
    dims: Dims,
    self_attn: SelfAttention,
    mlp: GatedMlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    pre_feedforward_layernorm: RmsNorm,
    post_feedforward_layernorm: RmsNorm,
}

impl DecoderLayer {
    pub(crate) fn load(
        path: &WeightPath<'_>,
        config: &TextConfig,
        index: usize,
    ) -> Result<Self, Error> {
        let kind = config.layers[index];
        let norm = |name| RmsNorm::load(&path.at(name), config.hidden_size, config.rms_norm_eps);
        Ok(Self {
            site: Site { tower: Tower::Text, layer: index },
            dims: Dims {
                heads: config.num_attention_heads,
                key_heads: config.num_key_value_heads,
                width: config.head_dim,
                window: (kind == LayerType::Sliding).then_some(config.sliding_window),
            },
            self_attn: SelfAttention::load(&path.at("self_attn"), config, kind)?,
            mlp: GatedMlp::load(&path.at("mlp"), config)?,
            input_layernorm: norm("input_layernorm")?,
            post_attention_layernorm: norm("post_attention_layernorm")?,
            pre_feedforward_layernorm: norm("pre_feedforward_layernorm")?,
            post_feedforward_layernorm: norm("post_feedforward_layernorm")?,
        })
    }

    /// The same layer, with what `weight` makes of each of its matrices.
    pub(crate) fn with_weights(&self, weight: &mut impl FnMut(&Weight) -> Weight) -> Self {
        let (attention, mlp) = (&self.self_attn, &self.mlp);
        let mut linear = |linear: &Linear| linear.with_weight(&mut *weight);
        Self {
            site: self.site,
            dims: self.dims,
            self_attn: SelfAttention {
                q_proj: linear(&attention.q_proj),
                k_proj: linear(&attention.k_proj),
                v_proj: linear(&attention.v_proj),
                o_proj: linear(&attention.o_proj),
                q_norm: attention.q_norm.shared(),
                k_norm: attention.k_norm.shared(),
                rotary: attention.rotary.shared(),
                ..*attention
            },
            mlp: GatedMlp {
                gate_proj: linear(&mlp.gate_proj),
                up_proj: linear(&mlp.up_proj),
                down_proj: linear(&mlp.down_proj),
            },
            input_layernorm: self.input_layernorm.shared(),
            post_attention_layernorm: self.post_attention_layernorm.shared(),
            pre_feedforward_layernorm: self.pre_feedforward_layernorm.shared(),
            post_feedforward_layernorm: self.post_feedforward_layernorm.shared(),
        }
    }

    /// How long what each head adds is when it takes all of one token, `‖W_O·v‖` with the columns of `o_proj` behind that head, before the
    /// norm that follows: float32 `[H, n]` from values `[K, n, d]`. It is α = 1 of the norm-based analysis of Kobayashi et al. (2020).
    pub fn value_norms(&self, values: &Tensor) -> Tensor {
        self.self_attn.o_proj.head_norms(values)
    }

    /// What stands between attention and MLP: `h = x + post(attended)`.
    fn hidden(&self, trace: &DecoderTrace) -> Tensor {
        &trace.x + self.post_attention_layernorm.forward(&trace.attended)
    }

    /// The output, and of the trace `attended`, `gate`, `up`, `mlp`.
    fn merge_traced(&self, x: &Tensor, heads: &Tensor) -> (Tensor, [Tensor; 4]) {
        let attended = self.self_attn.o_proj.forward(&join_heads(heads));
        let h = x + self.post_attention_layernorm.forward(&attended);
        let [gate, up, mlp] = self.mlp.forward(&self.pre_feedforward_layernorm.forward(&h));
        let y = h + self.post_feedforward_layernorm.forward(&mlp);
        (y, [attended, gate, up, mlp])
    }

    /// Hidden width D, feed-forward width F, query heads H, key heads K, head width d; and the bytes of a number of the weights' dtype.
    fn sizes(&self) -> ([u64; 5], u64) {
        let gate = &self.mlp.gate_proj;
        let ([f, d], dims) = (gate.size(), self.dims());
        let sizes = [d as usize, f as usize, dims.heads, dims.key_heads, dims.width];
        (sizes.map(|n| n as u64), gate.kind().elt_size_in_bytes() as u64)
    }
}

impl AttentionLayer for DecoderLayer {
    fn site(&self) -> Site {
        self.site
    }

    fn project(&self, x: &Tensor, place: Place) -> Qkv {
        let projected = self.self_attn.project(&self.input_layernorm.forward(x));
        self.self_attn.heads(&projected, place)
    }

    fn merge(&self, x: &Tensor, heads: &Tensor) -> Tensor {
        self.merge_traced(x, heads).0
    }
}

/// What a decoder layer computed for n tokens, as much as its pull-back needs. `[n, …]` each, in the dtype of the model.
#[derive(Debug)]
pub struct DecoderTrace {
    /// The layer's input `[n, D]`.
    pub x: Tensor,
    /// Queries before their norm `[n, H·d]`.
    pub q: Tensor,
    /// Keys before their norm `[n, K·d]`.
    pub k: Tensor,
    /// Values `[n, K·d]`.
    pub v: Tensor,
    /// Output of `o_proj` `[n, D]`.
    pub attended: Tensor,
    /// Output of `gate_proj` `[n, F]`.
    pub gate: Tensor,
    /// Output of `up_proj` `[n, F]`.
    pub up: Tensor,
    /// Output of `down_proj` `[n, D]`.
    pub mlp: Tensor,
}

impl Trace for DecoderTrace {
    fn input(&self) -> &Tensor {
        &self.x
    }

    fn tensors(&self) -> Vec<&Tensor> {
        let Self { x, q, k, v, attended, gate, up, mlp } = self;
        vec![x, q, k, v, attended, gate, up, mlp]
    }

    fn from_tensors(tensors: Vec<Tensor>) -> Self {
        let [x, q, k, v, attended, gate, up, mlp] =
            <[Tensor; 8]>::try_from(tensors).expect("a trace is made of the tensors of others");
        Self { x, q, k, v, attended, gate, up, mlp }
    }
}

impl Layer for DecoderLayer {
    type Trace = DecoderTrace;

    fn dims(&self) -> Dims {
        self.dims
    }

    fn run(
        &self,
        x: &Tensor,
        start: usize,
        mask: &MaskRule,
        attend: &mut dyn Attend,
    ) -> (Tensor, DecoderTrace) {
        let [q, k, v] = self.self_attn.project(&self.input_layernorm.forward(x));
        let projected = [&q, &k, &v].map(Tensor::shallow_clone);
        let qkv = self.self_attn.heads(&projected, mask.place(start));
        let heads = attend.attend(self.site, &qkv, mask);
        let (y, [attended, gate, up, mlp]) = self.merge_traced(x, &heads);
        (y, DecoderTrace { x: x.shallow_clone(), q, k, v, attended, gate, up, mlp })
    }

    fn qkv(&self, trace: &DecoderTrace, place: Place) -> Qkv {
        let projected = [&trace.q, &trace.k, &trace.v].map(Tensor::shallow_clone);
        self.self_attn.heads(&projected, place)
    }

    fn output(&self, trace: &DecoderTrace) -> Tensor {
        self.hidden(trace) + self.post_feedforward_layernorm.forward(&trace.mlp)
    }

    fn pull_merge(&self, trace: &DecoderTrace, dy: &Tensor, rule: PullRule) -> MergeGradient {
        // y = h + post(mlp(pre(h)))
        let dmlp = self.post_feedforward_layernorm.pull_back(&trace.mlp, dy, rule);
        let dn = self.mlp.pull_back([&trace.gate, &trace.up], &dmlp, rule);
        let dh = dy + self.pre_feedforward_layernorm.pull_back(&self.hidden(trace), &dn, rule);
        // h = x + post(o_proj(heads))
        let dattended = self.post_attention_layernorm.pull_back(&trace.attended, &dh, rule);
        let heads =
            split_gradient(&self.self_attn.o_proj.pull_back(&dattended), self.self_attn.n_heads);
        MergeGradient { x: dh, heads }
    }

    fn pull_project(
        &self,
        trace: &DecoderTrace,
        place: Place,
        gradient: &QkvGradient,
        rule: PullRule,
    ) -> Tensor {
        let (skip, m) = (gradient.skip as i64, gradient.q.size()[gradient.q.dim() - 2]);
        let dn = self.self_attn.pull_keys(trace, place, gradient, rule); // [.., n, D]
        let q = trace.q.narrow(0, skip, m);
        let later = place.after(gradient.skip);
        let from_queries = self.self_attn.pull_queries(&q, later, &gradient.q, rule); // [.., m, D]
        let _ = dn.narrow(-2, skip, m).g_add_(&from_queries); // a view: the sum lands in `dn`
        self.input_layernorm.pull_back(&trace.x, &dn, rule)
    }

    fn trace_numbers(&self) -> u64 {
        let ([d, f, h, k, w], _) = self.sizes();
        3 * d + 2 * f + (h + 2 * k) * w
    }

    /// A layer rebuilt, with the activations of the MLP in the dtype of the weights and hidden states, queries, keys and values in float32;
    /// the gradients at all of these.
    fn pull_cost(&self) -> PullCost {
        let ([d, f, h, k, w], width) = self.sizes();
        PullCost {
            shared: 4 * width * f + FLOAT_BYTES * (8 * d + 3 * (h + 2 * k) * w),
            per_gradient: 3 * width * f + FLOAT_BYTES * (6 * d + 3 * (h + 2 * k) * w),
        }
    }
}

#[derive(Debug)]
struct SelfAttention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    q_norm: RmsNorm,
    k_norm: RmsNorm,
    rotary: Rotary,
    n_heads: i64,
    n_key_heads: i64,
    scale: f64,
}

impl SelfAttention {
    fn load(path: &WeightPath<'_>, config: &TextConfig, kind: LayerType) -> Result<Self, Error> {
        let (d, width) = (config.head_dim, config.hidden_size);
        let (q_width, k_width) = (config.num_attention_heads * d, config.num_key_value_heads * d);
        let rope = if kind == LayerType::Full { config.rope_full } else { config.rope_sliding };
        let q_norm = RmsNorm::load(&path.at("q_norm"), d, config.rms_norm_eps)?;
        Ok(Self {
            q_proj: Linear::load(&path.at("q_proj"), [width, q_width])?,
            k_proj: Linear::load(&path.at("k_proj"), [width, k_width])?,
            v_proj: Linear::load(&path.at("v_proj"), [width, k_width])?,
            o_proj: Linear::load(&path.at("o_proj"), [q_width, width])?,
            rotary: Rotary::new(d, rope, q_norm.device()),
            q_norm,
            k_norm: RmsNorm::load(&path.at("k_norm"), d, config.rms_norm_eps)?,
            n_heads: config.num_attention_heads as i64,
            n_key_heads: config.num_key_value_heads as i64,
            scale: config.query_pre_attn_scalar.powf(-0.5),
        })
    }

    /// Queries, keys and values `[n, ·]` of the normalised input `[n, D]`.
    fn project(&self, x: &Tensor) -> [Tensor; 3] {
        [&self.q_proj, &self.k_proj, &self.v_proj].map(|linear| linear.forward(x))
    }

    /// Heads, the norms of q and k, then their rotation.
    fn heads(&self, [q, k, v]: &[Tensor; 3], place: Place) -> Qkv {
        let q = self.q_norm.forward(&split_heads(q, self.n_heads)); // [H, n, d]
        let k = self.k_norm.forward(&split_heads(k, self.n_key_heads)); // [K, n, d]
        let v = split_heads(v, self.n_key_heads); // [K, n, d]
        let [q, k] = self.rotary.forward([&q, &k], place);
        Qkv { q, k, v, scale: self.scale, start: place.start() }
    }

    /// From the gradient at rotated queries `[…, H, m, d]` to that at the normalised input `[…, m, D]`; `q` is `[m, H·d]`.
    fn pull_queries(&self, q: &Tensor, place: Place, dq: &Tensor, rule: PullRule) -> Tensor {
        let [dq] = self.rotary.pull_back([dq], place, q.kind());
        let dq = self.q_norm.pull_back(&split_heads(q, self.n_heads), &dq, rule);
        self.q_proj.pull_back(&join_gradient(&dq))
    }

    /// From the gradients at rotated keys and at values to that at the normalised input `[…, n, D]`.
    fn pull_keys(
        &self,
        trace: &DecoderTrace,
        place: Place,
        gradient: &QkvGradient,
        rule: PullRule,
    ) -> Tensor {
        let [dk] = self.rotary.pull_back([&gradient.k], place, trace.k.kind());
        let dk = self.k_norm.pull_back(&split_heads(&trace.k, self.n_key_heads), &dk, rule);
        self.k_proj.pull_back(&join_gradient(&dk))
            + self.v_proj.pull_back(&join_gradient(&gradient.v))
    }
}

/// `down(gelu(gate x) ⊙ up x)`, the tanh form of GELU.
#[derive(Debug)]
#[expect(clippy::struct_field_names, reason = "the checkpoint's names")]
struct GatedMlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl GatedMlp {
    fn load(path: &WeightPath<'_>, config: &TextConfig) -> Result<Self, Error> {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            gate_proj: Linear::load(&path.at("gate_proj"), [width, inner])?,
            up_proj: Linear::load(&path.at("up_proj"), [width, inner])?,
            down_proj: Linear::load(&path.at("down_proj"), [inner, width])?,
        })
    }

    /// What the gates and the values were before they met, and the result.
    fn forward(&self, x: &Tensor) -> [Tensor; 3] {
        let (gate, up) = (self.gate_proj.forward(x), self.up_proj.forward(x));
        let down = self.down_proj.forward(&(gate.gelu("tanh") * &up));
        [gate, up, down]
    }

    /// `gate`, `up` `[n, F]`, `dy` `[…, n, D]`.
    ///
    /// With a and b of [`factors`]: dup = dp⊙a and dgate = dp⊙b. What lies between the products is done for some rows and one gradient at
    /// a time, so that it stays in the cache, and only in float32 while it is there.
    fn pull_back(&self, [gate, up]: [&Tensor; 2], dy: &Tensor, rule: PullRule) -> Tensor {
        let dproduct = self.down_proj.pull_back_narrow(dy); // […, n, F]
        let [n, width] = <[i64; 2]>::try_from(gate.size()).expect("gates are [n, F]");
        let dup = dproduct.empty_like();
        let dgate = match rule {
            PullRule::Gradient | PullRule::SplitGates => Some(dproduct.empty_like()),
            PullRule::ConstantGates => None,
        };
        let flat = |x: &Tensor| x.view([-1, n, width]);
        let (from, to_up, to_gate) = (flat(&dproduct), flat(&dup), dgate.as_ref().map(flat));
        for (row, rows) in tiles(gate) {
            let [gate, up] = [gate, up].map(|x| x.narrow(0, row, rows).to_kind(Kind::Float));
            let (a, b) = factors(&gate, &up, rule);
            for goal in 0..from.size()[0] {
                let part = |x: &Tensor| x.get(goal).narrow(0, row, rows);
                let dp = part(&from).to_kind(Kind::Float);
                part(&to_up).copy_(&(&dp * &a));
                if let Some((to_gate, b)) = to_gate.as_ref().zip(b.as_ref()) {
                    part(to_gate).copy_(&(dp * b));
                }
            }
        }
        let from_up = self.up_proj.pull_back(&dup);
        match dgate {
            Some(dgate) => from_up + self.gate_proj.pull_back(&dgate),
            None => from_up,
        }
    }
}

/// What the gradient at `gelu(gate)⊙up` is multiplied with: for that at `up`, and for that at `gate`, `None` where gates are constant.
/// Float32, of the shape of both.
fn factors(gate: &Tensor, up: &Tensor, rule: PullRule) -> (Tensor, Option<Tensor>) {
    let a = gate.gelu("tanh");
    match rule {
        PullRule::Gradient => {
            let slope = gate.gelu_backward(&gate.ones_like(), "tanh");
            (a, Some(slope * up))
        }
        PullRule::ConstantGates => (a, None),
        PullRule::SplitGates => (a * 0.5, Some(gelu_ratio(gate) * up * 0.5)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{assert_same, checkpoint, random};
    use crate::{Config, Placement, Weights};

    /// Layer 5 (full) of a reference checkpoint in float32.
    fn layer() -> (DecoderLayer, i64) {
        let dir = checkpoint();
        let (config, weights) = (Config::from_dir(&dir).unwrap(), Weights::open(&dir).unwrap());
        let path = weights.root(Placement::AS_STORED).at("language_model").at("layers").at(5);
        (DecoderLayer::load(&path, &config.text, 5).unwrap(), config.text.hidden_size as i64)
    }

    /// Attention made by heads given beforehand.
    struct Given(Tensor);

    impl Attend for Given {
        fn attend(&mut self, _: Site, _: &Qkv, _: &MaskRule) -> Tensor {
            self.0.shallow_clone()
        }
    }

    fn run(
        layer: &DecoderLayer,
        x: &Tensor,
        heads: &Tensor,
        start: usize,
    ) -> (Tensor, DecoderTrace) {
        layer.run(x, start, &MaskRule::all(), &mut Given(heads.shallow_clone()))
    }

    fn gradients(z: &Tensor, leaves: &[&Tensor]) -> Vec<Tensor> {
        Tensor::run_backward(&[z], leaves, false, false)
    }

    #[test]
    fn the_pull_back_of_merge_is_that_of_autograd() {
        tch::manual_seed(5);
        let ((layer, width), n) = (layer(), 9);
        let x = random(&[n, width]).set_requires_grad(true);
        let heads = random(&[4, n, 16]).set_requires_grad(true);
        let dy = random(&[2, n, width]);
        let (y, trace) = run(&layer, &x.detach(), &heads.detach(), 0);
        assert_same("output", &layer.output(&trace), &y);
        let found = layer.pull_merge(&trace, &dy, PullRule::Gradient);
        for target in 0..2 {
            let z = (layer.merge(&x, &heads) * dy.get(target)).sum(Kind::Float);
            let expected = gradients(&z, &[&x, &heads]);
            assert_same("x", &found.x.get(target), &expected[0]);
            assert_same("heads", &found.heads.get(target), &expected[1]);
        }
    }

    #[test]
    fn the_pull_back_of_project_is_that_of_autograd() {
        tch::manual_seed(6);
        let ((layer, width), n, skip, start) = (layer(), 9, 4, 30);
        let x = random(&[n, width]).set_requires_grad(true);
        let (_, trace) = run(&layer, &x.detach(), &random(&[4, n, 16]), start);
        let gradient = QkvGradient {
            q: random(&[2, 4, n - skip, 16]),
            k: random(&[2, 2, n, 16]),
            v: random(&[2, 2, n, 16]),
            skip: skip as usize,
        };
        let place = MaskRule::all().place(start);
        let found = layer.pull_project(&trace, place, &gradient, PullRule::Gradient);
        for target in 0..2 {
            let qkv = layer.project(&x, place);
            let q = qkv.q.narrow(1, skip, n - skip) * gradient.q.get(target);
            let (k, v) = (qkv.k * gradient.k.get(target), qkv.v * gradient.v.get(target));
            let z = q.sum(Kind::Float) + k.sum(Kind::Float) + v.sum(Kind::Float);
            assert_same("x", &found.get(target), &gradients(&z, &[&x])[0]);
        }
    }
    /// A product of gates by each rule, against autograd of the same product with what is constant detached from the graph; and against
    /// finite differences of that product, along a direction.
    #[test]
    fn gates_are_pulled_back_by_each_rule() {
        tch::manual_seed(7);
        let [gate, up, dy] = [(); 3].map(|()| random(&[6, 11]));
        let product = |gate: &Tensor, up: &Tensor, rule, ratio: &Tensor| match rule {
            PullRule::Gradient => gate.gelu("tanh") * up,
            PullRule::ConstantGates => gate.gelu("tanh").detach() * up,
            PullRule::SplitGates => {
                let of_up = gate.gelu("tanh").detach() * up;
                (of_up + gate * ratio * up.detach()) * 0.5
            }
        };
        // Half of GELU and half of its tanh, in place of the quotient.
        let ratio = gelu_ratio(&gate);
        for rule in [PullRule::Gradient, PullRule::ConstantGates, PullRule::SplitGates] {
            let (a, b) = factors(&gate, &up, rule);
            let b = b.unwrap_or_else(|| gate.zeros_like());
            let [gate, up] = [&gate, &up].map(|x| x.detach().set_requires_grad(true));
            let y = product(&gate, &up, rule, &ratio);
            assert_same("product", &y.detach(), &(gate.gelu("tanh") * &up).detach());
            let z = (y * &dy).sum(Kind::Float);
            let found = Tensor::run_backward(&[&z], &[&up], true, false).remove(0);
            assert_same("up", &(&dy * &a), &found);
            let at_gate = match rule {
                PullRule::Gradient | PullRule::SplitGates => gradients(&z, &[&gate]).remove(0),
                PullRule::ConstantGates => gate.zeros_like(),
            };
            assert_near("gate", &(&dy * &b), &at_gate);
        }
    }

    fn assert_near(what: &str, found: &Tensor, expected: &Tensor) {
        let off = (found - expected).abs().max().double_value(&[]);
        assert!(off <= 2e-6 * (1.0 + expected.abs().max().double_value(&[])), "{what}: {off}");
    }
}
