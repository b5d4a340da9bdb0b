//! The backward rules: the streaming engine against a decoder written down here, in double precision, whose graph is cut where a rule holds
//! something constant; and what CP-LRP conserves.

use crate::support::{answered, model, with_methods};
use attention_capture::{
    Backward, Foil, Goal, Keep, Method, Objective, Rules, States, Streaming, SweepOptions,
};
use attention_relevancy::Target;
use gemma3_tch::{
    Config, Gemma3, LayerType, Placement, Rope, Sequence, TextConfig, WeightPath, Weights,
};
use integration_tests::{Fixture, difference};
use ndarray::Array1;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Float32 against double precision.
const TOLERANCE: f64 = 1e-5;
const DOUBLE: (Kind, Device) = (Kind::Double, Device::Cpu);

/// A forward pass with its graph.
struct Reference {
    backward: Backward,
    input: Tensor,          // [S, D], the leaf
    logits: Tensor,         // [S, V]
    attention: Vec<Tensor>, // [H, S, S] each
    probes: Vec<Tensor>,    // [H, S, S] each: zeros, whose gradient is dO·Vᵀ
}

impl Reference {
    fn new(fixture: &Fixture, model: &Gemma3, sequence: &Sequence, backward: Backward) -> Self {
        let dir = fixture.model();
        let (config, weights) = (Config::from_dir(&dir).unwrap(), Weights::open(&dir).unwrap());
        let root = weights.root(Placement { kind: Some(Kind::Float), ..Placement::AS_STORED });
        let (text, path) = (&config.text, root.at("language_model"));
        let embedded = model.embed(sequence).detach().to_kind(Kind::Double);
        let input = embedded.set_requires_grad(true);
        let empty = Tensor::zeros([0], DOUBLE);
        let mut run = Self {
            backward,
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
        let normed = run.norm(&path.at("norm"), text, &x);
        run.logits = normed.matmul(&double(&head, "weight", &table).tr());
        run
    }

    /// A factor that is constant by any rule but the gradient.
    fn factor(&self, x: Tensor) -> Tensor {
        match self.backward {
            Backward::Gradient => x,
            Backward::CpLrp | Backward::AttnLrp => x.detach(),
        }
    }

    fn norm(&self, path: &WeightPath<'_>, text: &TextConfig, x: &Tensor) -> Tensor {
        let width = *x.size().last().unwrap() as usize;
        let gain = double(path, "weight", &[width]) + 1.0;
        let mean = x.square().mean_dim(-1, true, Kind::Double);
        x * self.factor((mean + text.rms_norm_eps).rsqrt()) * gain
    }

    /// `a·b`.
    fn product(&self, a: &Tensor, b: &Tensor) -> Tensor {
        match self.backward {
            Backward::Gradient | Backward::CpLrp => a.matmul(b),
            Backward::AttnLrp => (a.detach().matmul(b) + a.matmul(&b.detach())) * 0.5,
        }
    }

    /// `gelu(gate)⊙up`.
    fn gated(&self, gate: &Tensor, up: &Tensor) -> Tensor {
        let open = gate.gelu("tanh");
        match self.backward {
            Backward::Gradient => open * up,
            Backward::CpLrp => open.detach() * up,
            Backward::AttnLrp => {
                let ratio = (&open / gate).detach();
                (open.detach() * up + gate * ratio * up.detach()) * 0.5
            }
        }
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
        let normed = self.norm(&path.at("input_layernorm"), text, x);
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
        let q = self.norm(&attn.at("q_norm"), text, &heads("q_proj", h));
        let keys = self.norm(&attn.at("k_norm"), text, &heads("k_proj", k));
        let shared = |x: Tensor| x.repeat_interleave_self_int(group, Some(0), None);
        let (q, keys) = (rotate(&q, rope), shared(rotate(&keys, rope)));
        let values = shared(heads("v_proj", k));
        let scores = self.product(&q, &keys.transpose(1, 2));
        let scores = scores * text.query_pre_attn_scalar.powf(-0.5);
        let scores = scores.masked_fill(&hidden(n as usize, window, images), f64::NEG_INFINITY);
        let attention = scores.softmax(-1, Kind::Double); // [H, S, S]
        let probe = Tensor::zeros(attention.size(), DOUBLE).set_requires_grad(true);
        let out = match self.backward {
            Backward::Gradient | Backward::AttnLrp => self.product(&attention, &values),
            Backward::CpLrp => attention.detach().matmul(&values),
        } + probe.matmul(&values.detach());
        self.attention.push(attention.detach());
        self.probes.push(probe);
        let out = out.transpose(0, 1).reshape([n, -1]);
        let attended = linear(&attn, "o_proj", [h * d, width], &out);
        let mid = x + self.norm(&path.at("post_attention_layernorm"), text, &attended);
        let normed = self.norm(&path.at("pre_feedforward_layernorm"), text, &mid);
        let [gate, up] =
            ["gate_proj", "up_proj"].map(|it| linear(&mlp, it, [width, inner], &normed));
        let down = linear(&mlp, "down_proj", [inner, width], &self.gated(&gate, &up));
        &mid + self.norm(&path.at("post_feedforward_layernorm"), text, &down)
    }

    /// Relevancy and gradient × input of a goal, `[S]` each; the scalar is its logits.
    fn explain(&self, goal: &Goal) -> [Array1<f64>; 2] {
        let logit = |target: &Target| {
            self.logits.get(target.logit_row() as i64).get(i64::from(target.token()))
        };
        let (n, tokens) = (self.input.size()[0], goal.targets().len() as f64);
        let z: Tensor = goal.targets().iter().map(logit).sum();
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
        let row = self.attention.iter().zip(&gradients).rev().fold(
            start.sum::<Tensor>(),
            |row, (attention, gradient)| {
                // Where a window lets nothing through to the target, there is no gradient.
                if !gradient.defined() {
                    return row;
                }
                let fused = (attention * gradient).relu().mean_dim(0, false, Kind::Double);
                &row + row.matmul(&fused)
            },
        );
        [row.view([-1]), input].map(|x| Vec::<f64>::try_from(x).unwrap().into())
    }
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

/// Of one token near the middle of the answer, of the last, and of both together.
fn goals(sequence: &Sequence, prompt: usize) -> Vec<Goal> {
    let last = sequence.ids().len() - 1;
    let target = |at: usize| Target::new(at, sequence.ids()[at]).unwrap();
    let targets = vec![target(usize::midpoint(prompt, last)), target(last)];
    targets.iter().map(|&target| Goal::token(target)).chain(Goal::sum(targets.clone())).collect()
}

/// A case with its pictures, then its words alone. The second number is where the answer begins.
fn sequences(fixture: &Fixture, model: &Gemma3) -> [(Sequence, usize); 2] {
    let whole = answered(fixture, model);
    let images = whole.images();
    let is_word = |at: &usize| images.iter().all(|image| !image.contains(at));
    let words: Vec<u32> =
        (0..whole.ids().len()).filter(is_word).map(|at| whole.ids()[at]).collect();
    let text = &model.config().text;
    let size = [text.vocab_size, text.hidden_size];
    let answer = fixture.ids("full_ids").len() - fixture.ids("input_ids").len();
    let alone = Sequence::new(words, Vec::new(), Vec::new(), size).unwrap();
    [whole, alone].map(|sequence| {
        let prompt = sequence.ids().len() - answer;
        (sequence, prompt)
    })
}

#[test]
fn balanced_sweeps_are_what_autograd_finds_with_what_is_held_constant() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        for (sequence, prompt) in sequences(&fixture, &model) {
            let goals = goals(&sequence, prompt);
            for backward in Backward::ALL {
                let reference = Reference::new(&fixture, &model, &sequence, backward);
                let expected: Vec<_> = goals.iter().map(|goal| reference.explain(goal)).collect();
                let mut worst = [0f64; 2];
                for keep in [Keep::Inputs, Keep::Everything] {
                    let states = States::of(&model, &sequence, keep).unwrap();
                    let options = SweepOptions::default();
                    let engine = Streaming::new(&model, sequence.ids(), &states, options);
                    let rules = Rules { backward, ..Rules::default() };
                    let methods = [Method::InputGradient];
                    let found = with_methods(&engine, &goals, &rules, &methods).unwrap();
                    for ((attribution, rows), expected) in found.iter().zip(&expected) {
                        let score = rows[0].as_ref().unwrap();
                        worst[0] = worst[0].max(difference(&attribution.relevancy, &expected[0]));
                        worst[1] = worst[1].max(difference(score, &expected[1]));
                    }
                }
                let pictures = sequence.images().len();
                let what = format!("{}, {pictures} pictures, {backward}", fixture.name());
                println!("{what}: relevancy {:.1e}, x⊙x̄ {:.1e}", worst[0], worst[1]);
                assert!(worst.iter().all(|&off| off <= TOLERANCE), "{what}: {worst:?}");
            }
        }
    }
}

/// Every step of CP-LRP is a linear map without a bias: the scores of all tokens sum to the logit, or to the difference of two. A difference
/// of float32 logits is as exact as they are: it is measured by them.
#[test]
fn relevance_is_conserved_by_cp_lrp() {
    for fixture in Fixture::all() {
        let model = model(&fixture);
        for (sequence, prompt) in sequences(&fixture, &model) {
            let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
            let engine = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
            let goals = goals(&sequence, prompt);
            let logits = reference_logits(&model, &sequence);
            let mut worst = 0f64;
            for objective in [Objective::Logit, Objective::Contrast(Foil::RunnerUp)] {
                let backward = Backward::CpLrp;
                let rules = Rules { objective, backward, ..Rules::default() };
                let methods = [Method::InputGradient];
                let found = with_methods(&engine, &goals, &rules, &methods).unwrap();
                for (goal, (_, rows)) in goals.iter().zip(&found) {
                    let targets = goal.targets();
                    let terms = targets.iter().map(|&it| terms(&logits, it, objective));
                    let terms: Vec<f64> =
                        terms.flatten().map(|x| x / targets.len() as f64).collect();
                    let size: f64 = terms.iter().map(|x| x.abs()).sum();
                    let z: f64 = terms.into_iter().sum();
                    let sum: f64 = rows[0].as_ref().unwrap().iter().map(|&x| f64::from(x)).sum();
                    let off = (sum - z).abs() / size;
                    assert!(off < 1e-5, "{}, {objective}: {sum}, not {z}", fixture.name());
                    worst = worst.max(off);
                }
            }
            println!("{}, {} pictures: {worst:.1e}", fixture.name(), sequence.images().len());
        }
    }
}

fn reference_logits(model: &Gemma3, sequence: &Sequence) -> Tensor {
    let _no_grad = tch::no_grad_guard();
    let output = model.forward(sequence, &mut gemma3_tch::Fast);
    model.text().logits(&output).to_kind(Kind::Double)
}

/// What the scalar of a target is the sum of.
fn terms(logits: &Tensor, target: Target, objective: Objective) -> Vec<f64> {
    let row = logits.get(target.logit_row() as i64);
    let own = row.double_value(&[i64::from(target.token())]);
    match objective {
        Objective::Logit => vec![own],
        Objective::Contrast(_) => {
            let others = row.copy();
            let _ = others.get(i64::from(target.token())).fill_(f64::NEG_INFINITY);
            vec![own, -others.max().double_value(&[])]
        }
        Objective::LogProbability => unreachable!("it is not linear in the logits"),
    }
}
