//! A forward pass of Gemma3 and SigLIP, written down for itself in double precision, in which autograd is kept from what a backward rule holds
//! constant and meets half of what it halves. Only the weights are those of the crate under test.

use attention_capture::{Backward, Goal};
use attention_relevancy::Target;
use gemma3_tch::{
    Config, Gemma3, LayerType, Placement, Rope, Sequence, TextConfig, VisionConfig, WeightPath,
    Weights,
};
use integration_tests::Fixture;
use ndarray::Array1;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// What gradients come to by a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detached(pub(crate) Backward);

impl Detached {
    /// A factor that is constant by any rule but the gradient.
    fn factor(self, x: Tensor) -> Tensor {
        match self.0 {
            Backward::Gradient => x,
            Backward::CpLrp | Backward::AttnLrp => x.detach(),
        }
    }

    fn rms_norm(self, path: &WeightPath<'_>, eps: f64, x: &Tensor) -> Tensor {
        let width = *x.size().last().unwrap() as usize;
        let gain = double(path, "weight", &[width]) + 1.0;
        let mean = x.square().mean_dim(-1, true, Kind::Double);
        x * self.factor((mean + eps).rsqrt()) * gain
    }

    fn layer_norm(self, path: &WeightPath<'_>, eps: f64, x: &Tensor) -> Tensor {
        let width = *x.size().last().unwrap() as usize;
        let [gain, bias] = ["weight", "bias"].map(|name| double(path, name, &[width]));
        let centred = x - x.mean_dim(-1, true, Kind::Double);
        let variance = centred.square().mean_dim(-1, true, Kind::Double);
        centred * self.factor((variance + eps).rsqrt()) * gain + bias
    }

    /// `a·b`.
    fn product(self, a: &Tensor, b: &Tensor) -> Tensor {
        match self.0 {
            Backward::Gradient | Backward::CpLrp => a.matmul(b),
            Backward::AttnLrp => (a.detach().matmul(b) + a.matmul(&b.detach())) * 0.5,
        }
    }

    /// Attention `[H, S, S]` times values `[H, S, d]`, and a probe of the shape of attention: zeros, whose gradient is `dO·Vᵀ`.
    fn attend(self, attention: &Tensor, values: &Tensor) -> (Tensor, Tensor) {
        let probe = Tensor::zeros(attention.size(), DOUBLE).set_requires_grad(true);
        let heads = match self.0 {
            Backward::Gradient | Backward::AttnLrp => self.product(attention, values),
            Backward::CpLrp => attention.detach().matmul(values),
        };
        (heads + probe.matmul(&values.detach()), probe)
    }

    /// `gelu(gate)⊙up`.
    fn gated(self, gate: &Tensor, up: &Tensor) -> Tensor {
        let open = gate.gelu("tanh");
        match self.0 {
            Backward::Gradient => open * up,
            Backward::CpLrp => open.detach() * up,
            Backward::AttnLrp => {
                let ratio = (&open / gate).detach();
                (open.detach() * up + gate * ratio * up.detach()) * 0.5
            }
        }
    }

    /// `gelu(x)`.
    fn activated(self, x: &Tensor) -> Tensor {
        match self.0 {
            Backward::Gradient => x.gelu("tanh"),
            Backward::CpLrp | Backward::AttnLrp => x * (x.gelu("tanh") / x).detach(),
        }
    }
}

/// The language model with its graph.
pub(crate) struct Reference {
    by: Detached,
    input: Tensor,          // [S, D]
    logits: Tensor,         // [S, V]
    attention: Vec<Tensor>, // [H, S, S] each
    probes: Vec<Tensor>,    // [H, S, S] each: zeros, whose gradient is dO·Vᵀ
}

impl Reference {
    /// Of prompt and answer; `tokens` are those of the first picture where they are part of a graph.
    pub(crate) fn new(
        fixture: &Fixture,
        (model, sequence): (&Gemma3, &Sequence),
        by: Detached,
        tokens: Option<&Tensor>,
    ) -> Self {
        let dir = fixture.model();
        let (config, weights) = (Config::from_dir(&dir).unwrap(), Weights::open(&dir).unwrap());
        let root = weights.root(Placement { kind: Some(Kind::Float), ..Placement::AS_STORED });
        let (text, path) = (&config.text, root.at("language_model"));
        let embedded = model.embed(sequence).detach().to_kind(Kind::Double);
        let input = match tokens {
            None => embedded.set_requires_grad(true),
            Some(tokens) => {
                let (start, end) = (sequence.images()[0].start as i64, sequence.images()[0].end);
                let after = embedded.narrow(0, end as i64, embedded.size()[0] - end as i64);
                Tensor::cat(&[&embedded.narrow(0, 0, start), tokens, &after], 0)
            }
        };
        let empty = Tensor::zeros([0], DOUBLE);
        let mut run = Self {
            by,
            input: input.shallow_clone(),
            logits: empty,
            attention: Vec::new(),
            probes: Vec::new(),
        };
        let x = (0..text.num_hidden_layers).fold(input, |x, index| {
            let path = path.at("layers").at(index);
            run.layer(text, &path, text.layers[index], (&x, sequence.images()))
        });
        let table = [text.vocab_size, text.hidden_size];
        let head = root.at("lm_head");
        let is_own = !text.tie_word_embeddings && head.contains("weight");
        let head = if is_own { head } else { path.at("embed_tokens") };
        let normed = run.by.rms_norm(&path.at("norm"), text.rms_norm_eps, &x);
        run.logits = normed.matmul(&double(&head, "weight", &table).tr());
        run
    }

    fn layer(
        &mut self,
        text: &TextConfig,
        path: &WeightPath<'_>,
        kind: LayerType,
        (x, images): (&Tensor, &[Range<usize>]),
    ) -> Tensor {
        let (width, inner, d) = (text.hidden_size, text.intermediate_size, text.head_dim);
        let (n, attn, mlp) = (x.size()[0], path.at("self_attn"), path.at("mlp"));
        let linear =
            |path: &WeightPath<'_>, name: &str, [inputs, outputs]: [usize; 2], x: &Tensor| {
                x.matmul(&double(&path.at(name), "weight", &[outputs, inputs]).tr())
            };
        let normed = self.by.rms_norm(&path.at("input_layernorm"), text.rms_norm_eps, x);
        let heads = |name: &str, count: usize| {
            let heads = linear(&attn, name, [width, count * d], &normed);
            heads.view([n, count as i64, d as i64]).transpose(0, 1) // [count, S, d]
        };
        let group = (text.num_attention_heads / text.num_key_value_heads) as i64;
        let (rope, window) = match kind {
            LayerType::Full => (text.rope_full, None),
            LayerType::Sliding => (text.rope_sliding, Some(text.sliding_window)),
        };
        let (h, k) = (text.num_attention_heads, text.num_key_value_heads);
        let q = self.by.rms_norm(&attn.at("q_norm"), text.rms_norm_eps, &heads("q_proj", h));
        let keys = self.by.rms_norm(&attn.at("k_norm"), text.rms_norm_eps, &heads("k_proj", k));
        let shared = |x: Tensor| x.repeat_interleave_self_int(group, Some(0), None);
        let (q, keys) = (rotate(&q, rope), shared(rotate(&keys, rope)));
        let values = shared(heads("v_proj", k));
        let scores = self.by.product(&q, &keys.transpose(1, 2));
        let scores = scores * text.query_pre_attn_scalar.powf(-0.5);
        let scores = scores.masked_fill(&hidden(n as usize, window, images), f64::NEG_INFINITY);
        let attention = scores.softmax(-1, Kind::Double); // [H, S, S]
        let (out, probe) = self.by.attend(&attention, &values);
        self.attention.push(attention.detach());
        self.probes.push(probe);
        let out = out.transpose(0, 1).reshape([n, -1]);
        let attended = linear(&attn, "o_proj", [h * d, width], &out);
        let mid = x + self.by.rms_norm(
            &path.at("post_attention_layernorm"),
            text.rms_norm_eps,
            &attended,
        );
        let normed =
            self.by.rms_norm(&path.at("pre_feedforward_layernorm"), text.rms_norm_eps, &mid);
        let [gate, up] =
            ["gate_proj", "up_proj"].map(|it| linear(&mlp, it, [width, inner], &normed));
        let down = linear(&mlp, "down_proj", [inner, width], &self.by.gated(&gate, &up));
        &mid + self.by.rms_norm(&path.at("post_feedforward_layernorm"), text.rms_norm_eps, &down)
    }

    /// The sum of the logits of a goal.
    pub(crate) fn scalar(&self, goal: &Goal) -> Tensor {
        let logit = |target: &Target| {
            self.logits.get(target.logit_row() as i64).get(i64::from(target.token()))
        };
        goal.targets().iter().map(logit).sum()
    }

    /// Relevancy and gradient × input of a goal, `[S]` each; the scalar is its logits.
    pub(crate) fn explain(&self, goal: &Goal) -> [Array1<f64>; 2] {
        let (n, tokens) = (self.input.size()[0], goal.targets().len() as f64);
        let z = self.scalar(goal);
        let leaves: Vec<&Tensor> = self.probes.iter().chain([&self.input]).collect();
        let mut gradients = Tensor::run_backward(&[z], &leaves, true, false);
        let at_input = gradients.pop().unwrap();
        let input =
            (self.input.detach() * at_input / tokens).sum_dim_intlist(-1, false, Kind::Double);
        let start = goal.targets().iter().map(|target| {
            let unit = Tensor::zeros([1, n], DOUBLE);
            let _ = unit.narrow(1, target.logit_row() as i64, 1).fill_(1.0 / tokens);
            unit
        });
        let row = through(&start.sum::<Tensor>(), &self.attention, &gradients);
        [row.view([-1]), input].map(array)
    }
}

/// The vision tower and the projector with their graph, over one picture.
pub(crate) struct Sight {
    pixels: Tensor,            // [3, s, s], the leaf
    features: Tensor,          // [P, D]
    pub(crate) tokens: Tensor, // [t, hidden]
    attention: Vec<Tensor>,    // [H, P, P] each
    probes: Vec<Tensor>,       // as those of the language model
    k: i64,                    // patches of a token's side
}

impl Sight {
    pub(crate) fn new(fixture: &Fixture, picture: &Tensor, by: Detached) -> Self {
        let dir = fixture.model();
        let (config, weights) = (Config::from_dir(&dir).unwrap(), Weights::open(&dir).unwrap());
        let root = weights.root(Placement { kind: Some(Kind::Float), ..Placement::AS_STORED });
        let (vision, path) = (config.vision.as_ref().unwrap(), root.at("vision_tower"));
        let (d, g) = (vision.hidden_size, vision.patches_per_side() as i64);
        let (p, eps) = (vision.patch_size, vision.layer_norm_eps);
        let pixels = picture.to_kind(Kind::Double).set_requires_grad(true);
        let embeddings = path.at("embeddings");
        let convolution = embeddings.at("patch_embedding");
        let weight = double(&convolution, "weight", &[d, vision.num_channels, p, p]);
        let bias = double(&convolution, "bias", &[d]);
        let step = [p as i64; 2];
        let cells = pixels.unsqueeze(0).conv2d(&weight, Some(&bias), step, [0; 2], [1; 2], 1);
        let place = embeddings.at("position_embedding");
        let mut x = cells.flatten(2, 3).squeeze_dim(0).tr()
            + double(&place, "weight", &[vision.patches(), d]);
        let (mut attention, mut probes) = (Vec::new(), Vec::new());
        for index in 0..vision.num_hidden_layers {
            let path = path.at("encoder").at("layers").at(index);
            let (y, seen, probe) = encoded(vision, &path, &x, by);
            x = y;
            attention.push(seen);
            probes.push(probe);
        }
        let features = by.layer_norm(&path.at("post_layernorm"), eps, &x);
        let side = config.mm_tokens_per_image.isqrt() as i64;
        let k = g / side;
        let means = features.view([side, k, side, k, d as i64]);
        let means = means.mean_dim([1_i64, 3].as_slice(), false, Kind::Double).view([-1, d as i64]);
        let path = root.at("multi_modal_projector");
        let normed = by.rms_norm(&path.at("mm_soft_emb_norm"), eps, &means);
        let shape = [d, config.text.hidden_size];
        let tokens = normed.matmul(&double(&path, "mm_input_projection_weight", &shape));
        Self { pixels, features, tokens, attention, probes, k }
    }

    /// What is found of z, `strength` times over: the relevancy `[t]` of the tokens spread evenly over their patches and taken through the
    /// tower, and gradient × input of the pixels, channels summed; each row by row.
    pub(crate) fn explain(
        &self,
        z: &Tensor,
        relevancy: &Array1<f32>,
        strength: f64,
    ) -> [Array1<f64>; 2] {
        let leaves: Vec<&Tensor> = self.probes.iter().chain([&self.pixels]).collect();
        let mut gradients = Tensor::run_backward(&[z * strength], &leaves, true, false);
        let at_pixels = gradients.pop().unwrap();
        let pixels = self.pixels.detach() * at_pixels;
        let side = relevancy.len().isqrt() as i64;
        let cells = Tensor::from_slice(&relevancy.to_vec()).to_kind(Kind::Double)
            / (self.k * self.k) as f64;
        let cells = cells.view([side, 1, side, 1]).expand([side, self.k, side, self.k], false);
        let row = through(&cells.reshape([1, -1]), &self.attention, &gradients);
        [row.view([-1]), pixels.sum_dim_intlist(0, false, Kind::Double).view([-1])].map(array)
    }

    /// How many patches there are.
    pub(crate) fn patches(&self) -> i64 {
        self.features.size()[0]
    }
}

/// A layer of the vision tower: its output, its attention, and the probe.
fn encoded(
    vision: &VisionConfig,
    path: &WeightPath<'_>,
    x: &Tensor,
    by: Detached,
) -> (Tensor, Tensor, Tensor) {
    let (d, inner, eps) = (vision.hidden_size, vision.intermediate_size, vision.layer_norm_eps);
    let (attn, mlp, n) = (path.at("self_attn"), path.at("mlp"), x.size()[0]);
    let with_bias =
        |path: &WeightPath<'_>, name: &str, [inputs, outputs]: [usize; 2], x: &Tensor| {
            linear(path, name, [inputs, outputs], x) + double(&path.at(name), "bias", &[outputs])
        };
    let normed = by.layer_norm(&path.at("layer_norm1"), eps, x);
    let count = vision.num_attention_heads as i64;
    let [q, k, v] = ["q_proj", "k_proj", "v_proj"]
        .map(|name| with_bias(&attn, name, [d, d], &normed).view([n, count, -1]).transpose(0, 1));
    let scale = ((d / vision.num_attention_heads) as f64).powf(-0.5);
    let attention = (by.product(&q, &k.transpose(1, 2)) * scale).softmax(-1, Kind::Double);
    let (out, probe) = by.attend(&attention, &v);
    let out = out.transpose(0, 1).reshape([n, -1]);
    let mid = x + with_bias(&attn, "out_proj", [d, d], &out);
    let normed = by.layer_norm(&path.at("layer_norm2"), eps, &mid);
    let active = by.activated(&with_bias(&mlp, "fc1", [d, inner], &normed));
    (&mid + with_bias(&mlp, "fc2", [inner, d], &active), attention.detach(), probe)
}

/// `r ← r·(I + Ā)` from the last layer to the first, `Ā = mean_h (A⊙∇A)⁺`; r is `[1, S]`.
fn through(start: &Tensor, attention: &[Tensor], gradients: &[Tensor]) -> Tensor {
    attention.iter().zip(gradients).rev().fold(start.shallow_clone(), |row, (a, gradient)| {
        // Where a window lets nothing through to the target, there is no gradient.
        if !gradient.defined() {
            return row;
        }
        let fused = (a * gradient).relu().mean_dim(0, false, Kind::Double);
        &row + row.matmul(&fused)
    })
}

fn array(x: Tensor) -> Array1<f64> {
    Vec::<f64>::try_from(x).unwrap().into()
}

fn linear(path: &WeightPath<'_>, name: &str, [inputs, outputs]: [usize; 2], x: &Tensor) -> Tensor {
    x.matmul(&double(&path.at(name), "weight", &[outputs, inputs]).tr())
}

fn double(path: &WeightPath<'_>, name: &str, shape: &[usize]) -> Tensor {
    path.tensor(name, shape).unwrap().to_kind(Kind::Double)
}

/// Rotary positions of heads `[H, S, d]`: pairs are `(x[i], x[i + d/2])`.
fn rotate(x: &Tensor, rope: Rope) -> Tensor {
    let [_, n, d] = <[i64; 3]>::try_from(x.size()).unwrap();
    let exponent = Tensor::arange_start_step(0, d, 2, DOUBLE) / d as f64;
    let frequencies = Tensor::pow_scalar(rope.theta, &exponent).reciprocal() / rope.factor;
    let angles = Tensor::arange(n, DOUBLE).outer(&frequencies);
    let (cos, sin) = (angles.cos(), angles.sin());
    let (a, b) = (x.narrow(2, 0, d / 2), x.narrow(2, d / 2, d / 2));
    Tensor::cat(&[&a * &cos - &b * &sin, b * cos + a * sin], 2)
}

/// Where a query (row) does not see a key (column): behind its window, or ahead of it and not in its picture.
fn hidden(n: usize, window: Option<usize>, images: &[Range<usize>]) -> Tensor {
    let together = |i: usize, j: usize| images.iter().any(|at| at.contains(&i) && at.contains(&j));
    let sees = |i: usize, j: usize| {
        (j <= i || together(i, j)) && window.is_none_or(|window| i < j + window)
    };
    let all: Vec<bool> = (0..n * n).map(|at| !sees(at / n, at % n)).collect();
    Tensor::from_slice(&all).view([n as i64, n as i64])
}
