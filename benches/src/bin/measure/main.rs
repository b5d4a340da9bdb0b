//! Measures one job and prints what it took as a line of JSON. `cargo xtask bench` drives it.
//!
//! Pictures are random image tokens: the vision tower is not run, so that long sequences can be measured for themselves. It has
//! measurements of its own, with a random picture.
#![expect(clippy::print_stdout, reason = "the measurement goes to stdout")]

mod picture;
mod question;

use anyhow::{Context, ensure};
use attention_capture::{
    Engine, Goal, HeadRecorder, Keep, Layers, Method, MethodRecorder, Objective, Pool, Recorder,
    Retained, Rules, States, Streaming, SweepOptions, alternatives,
};
use attention_relevancy::{HeadFusion, Target, Update};
use benchmarks::memory::{Place, Watch};
use benchmarks::{Layer, forms};
use clap::{Parser, ValueEnum};
use gemma3_tch::{
    Cached, DecoderTrace, DeviceSpec, Gemma3, Generated, GenerationOptions, Layer as _, Placement,
    Sequence,
};
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;
use tch::{Device, Kind, Tensor};

/// Query heads of a layer of plain arrays: as many as Gemma3 4B has.
const PLAIN_HEADS: usize = 8;
/// Matrices that `matmul` takes in turn, so that they come from memory as weights do.
const MATRICES: usize = 6;

#[derive(Parser)]
struct Args {
    /// What is measured
    #[arg(long, value_enum)]
    job: Job,
    /// Checkpoint directory; matmul, read and the forms need none
    #[arg(long)]
    model: Option<PathBuf>,
    /// cpu, cuda or cuda:N
    #[arg(long, default_value = "cpu")]
    device: DeviceSpec,
    /// Pictures in the prompt
    #[arg(long, default_value_t = 1)]
    images: usize,
    /// Text tokens of the prompt, beside `<bos>` and the pictures
    #[arg(long, default_value_t = 25)]
    text: usize,
    /// Tokens of the answer
    #[arg(long, default_value_t = 40)]
    answer: usize,
    /// Tokens that are explained, the last ones of the answer
    #[arg(long, default_value_t = 1)]
    targets: usize,
    /// Bytes that a sweep may take
    #[arg(long, default_value_t = 1 << 29)]
    memory_budget: u64,
    /// Tokens, for matmul and the forms
    #[arg(long, default_value_t = 324)]
    tokens: usize,
    /// Layers, for the forms
    #[arg(long, default_value_t = 34)]
    layers: usize,
    /// Times that it is done, after one time that is not counted
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Seconds after which no further run is begun; a first run that takes longer is the one that counts
    #[arg(long, default_value_t = 60.0)]
    enough: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Job {
    /// Prompt and answer, nothing kept
    Generate,
    /// Prompt and answer, layer inputs kept
    GenerateRecording,
    /// Prompt and answer, everything kept that a pull-back needs
    GenerateKeeping,
    /// Streaming: layers rebuilt from their inputs
    Rebuild,
    /// Streaming: nothing rebuilt
    PullBack,
    /// Streaming: nothing rebuilt, every question about another token of the answer
    NextQuestion,
    /// Streaming, nothing rebuilt: the plain sweep, then with each method of comparison, in turn
    Methods,
    /// Every attention kept
    Retained,
    /// A picture through vision tower and projector
    Picture,
    /// The same, and what the way back needs is kept
    PictureKeeping,
    /// A picture explained to its patches and pixels, from random gradients at its tokens and what was kept on its way through
    PatchesKept,
    /// The same with nothing kept: a run of the vision tower is in it
    Patches,
    /// From a picture's file to a report on disk, then a second word, question and picture
    Question,
    /// Products of the shape of the MLP of Gemma3 4B in bfloat16, forward and pulled back
    Matmul,
    /// A gigabyte of memory is read
    Read,
    /// Plain arrays: the row pulled back
    Row,
    /// Plain arrays: the whole matrix
    Matrix,
}

/// What a run tells beside its seconds; medians are printed.
type Figures = Vec<(&'static str, f64)>;
/// What is done between two readings of the clock.
type Work<'a> = Box<dyn FnMut() -> anyhow::Result<Figures> + 'a>;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(args.runs > 0, "--runs must be at least 1");
    let mut line = match args.job {
        Job::Matmul => matmul(&args)?,
        Job::Read => read(&args)?,
        Job::Row | Job::Matrix => plain(&args)?,
        Job::Picture | Job::PictureKeeping | Job::PatchesKept | Job::Patches => {
            picture::of_picture(&args)?
        }
        Job::Question => question::of_question(&args)?,
        _ => of_model(&args)?,
    };
    line.insert("threads".to_owned(), json!(gemma3_tch::threads()));
    println!("{}", Value::Object(line));
    Ok(())
}

fn of_model(args: &Args) -> anyhow::Result<Map<String, Value>> {
    let folder = args.model.as_deref().context("--model is missing")?;
    let placement = Placement { device: args.device.resolve()?, kind: None };
    let place = place(placement.device);
    let (empty, started) = (place.used(), Instant::now());
    let model = Gemma3::load(folder, placement)?;
    let load = started.elapsed().as_secs_f64();
    let baseline = place.used();
    let (sequence, states) = answered(&model, args)?;
    let fed = states.as_ref().map_or(sequence.ids().len(), States::tokens);
    let kept = states.as_ref().map(States::bytes);
    let mut work = work(&model, &sequence, states, args)?;
    let mut line = repeat(args, (place, baseline), &mut work)?;
    line.extend(object(json!({
        "tokens": sequence.ids().len(),
        "targets": args.targets,
        "load_s": load,
        "load_bytes": baseline.saturating_sub(empty),
        "states_bytes": kept,
        "linear_flops": linear_flops(&model, fed),
        "bytes_per_token": bytes_per_token(&model),
        "visible_pairs": visible_pairs(&model, &sequence, fed),
    })));
    Ok(line)
}

fn place(device: Device) -> Place {
    match device {
        Device::Cuda(index) => Place::Cuda(index),
        _ => Place::Process,
    }
}

/// Runs the work, after one run that is not counted, and tells medians, the spread and the most memory over `baseline`.
fn repeat(
    args: &Args,
    (place, baseline): (Place, u64),
    work: &mut Work<'_>,
) -> anyhow::Result<Map<String, Value>> {
    let watch = Watch::start(place);
    let mut runs = vec![timed(work)?];
    let first = runs[0].0;
    if runs[0].0 < args.enough {
        runs.clear();
        let started = Instant::now();
        while runs.is_empty()
            || (runs.len() < args.runs && started.elapsed().as_secs_f64() < args.enough)
        {
            runs.push(timed(work)?);
        }
    }
    let peak = watch.peak().saturating_sub(baseline);
    let seconds = || runs.iter().map(|(seconds, _)| *seconds);
    let mut line = object(json!({
        "first_s": first,
        "median_s": median(seconds()),
        "min_s": seconds().fold(f64::INFINITY, f64::min),
        "max_s": seconds().fold(0.0, f64::max),
        "runs": runs.len(),
        "peak_bytes": peak,
    }));
    for (index, (name, _)) in runs[0].1.iter().enumerate() {
        let values = runs.iter().map(|(_, figures)| figures[index].1);
        line.insert((*name).to_owned(), json!(median(values)));
    }
    Ok(line)
}

fn timed(work: &mut Work<'_>) -> anyhow::Result<(f64, Figures)> {
    let started = Instant::now();
    let figures = work()?;
    Ok((started.elapsed().as_secs_f64(), figures))
}

/// The middle value, the upper one of two; there is at least one.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The conversation to explain: for the streaming engine the answer is generated and recorded, as a user's program does it.
fn answered(model: &Gemma3, args: &Args) -> anyhow::Result<(Sequence, Option<States>)> {
    ensure!(0 < args.targets && args.targets <= args.answer, "--targets must be 1 to --answer");
    let prompt = prompt(model, args)?;
    let keep = match args.job {
        Job::Rebuild => Keep::Inputs,
        Job::PullBack | Job::NextQuestion | Job::Methods => Keep::Everything,
        _ => {
            let n = usable_ids(model);
            let answer: Vec<u32> =
                (0..args.answer as u32).map(|i| FIRST_ID + i * 104_729 % n).collect();
            return Ok((prompt.followed_by(&answer), None));
        }
    };
    let mut recorder = Recorder::generating(model, keep);
    let generated = generate(model, &prompt, args.answer, &mut recorder)?;
    let sequence = prompt.followed_by(&generated.tokens);
    let states = States::recorded(recorder, &sequence)?;
    Ok((sequence, Some(states)))
}

fn work<'a>(
    model: &'a Gemma3,
    sequence: &'a Sequence,
    states: Option<States>,
    args: &'a Args,
) -> anyhow::Result<Work<'a>> {
    Ok(match args.job {
        Job::Generate => Box::new(|| rates(model, args, &mut Cached::default())),
        Job::GenerateRecording => {
            Box::new(|| rates(model, args, &mut Recorder::generating(model, Keep::Inputs)))
        }
        Job::GenerateKeeping => {
            Box::new(|| rates(model, args, &mut Recorder::generating(model, Keep::Everything)))
        }
        Job::Methods => {
            let goals = goals(sequence, args.targets, 1)?; // of the last token there is no attention of its own
            let states = states.context("the job records no states")?;
            Box::new(move || compared(model, sequence, &states, &goals, args))
        }
        Job::Retained => {
            let goals = goals(sequence, args.targets, 0)?;
            Box::new(move || explained(&Retained::run(model, sequence)?, &goals))
        }
        _ => {
            let states = states.context("the job records no states")?;
            let mut question = 0;
            Box::new(move || {
                let goals = goals(sequence, args.targets, question)?;
                if args.job == Job::NextQuestion {
                    question = (question + 1) % (args.answer - args.targets + 1);
                }
                let options = SweepOptions { memory_budget: args.memory_budget, cancel: None };
                explained(&Streaming::new(model, sequence.ids(), &states, options), &goals)
            })
        }
    })
}

/// Seconds of the plain sweep and of the sweep with each method; what is relevancy is in all of them.
fn compared(
    model: &Gemma3,
    sequence: &Sequence,
    states: &States,
    goals: &[Goal],
    args: &Args,
) -> anyhow::Result<Figures> {
    let (heads, layers, over) = (HeadFusion::Mean, || Layers::All, Pool::Mean);
    let last = model.config().text.num_hidden_layers - 1;
    let methods = [
        ("rollout_s", Method::Rollout { heads, layers: layers() }),
        ("raw_attention_s", Method::RawAttention { heads: heads.into(), layers: layers() }),
        ("token_attention_s", Method::TokenAttention { heads, layers: layers(), over }),
        ("object_attention_s", Method::ObjectAttention { heads, layers: layers(), over }),
        ("gradient_attention_s", Method::GradientAttention { heads, layers: layers() }),
        ("grad_cam_attention_s", Method::GradCamAttention { layer: last }),
        ("grad_cam_hidden_s", Method::GradCamHidden { layer: last / 2 }),
        ("value_norm_s", Method::ValueNorm { heads, layers: layers() }),
        ("legrad_s", Method::LeGrad { heads, layers: layers() }),
        ("dex_ar_s", Method::DexAr { layers: layers() }),
        ("input_gradient_s", Method::InputGradient),
        ("mean_cell_s", Method::MeanCell),
        ("tam_s", Method::Tam),
    ];
    let options = SweepOptions { memory_budget: args.memory_budget, cancel: None };
    let engine = Streaming::new(model, sequence.ids(), states, options);
    let rules = Rules::new(Objective::Logit, Update::Additive);
    let seconds = |work: &dyn Fn() -> anyhow::Result<()>| -> anyhow::Result<f64> {
        let started = Instant::now();
        work()?;
        Ok(started.elapsed().as_secs_f64())
    };
    let with = |methods: &[Method]| {
        seconds(&|| {
            let mut recorder = MethodRecorder::new(&engine, goals, methods)?;
            black_box(engine.observe(goals, &rules, &mut [&mut recorder])?);
            black_box(recorder.finish()?);
            Ok(())
        })
    };
    let plain = seconds(&|| explained(&engine, goals).map(drop))?;
    let mut figures = vec![("plain_s", plain)];
    for (name, method) in &methods {
        figures.push((name, with(std::slice::from_ref(method))?));
    }
    let all: Vec<Method> = methods.iter().map(|(_, method)| method.clone()).collect();
    figures.push(("all_s", with(&all)?));
    figures.push((
        "by_head_s",
        seconds(&|| {
            let mut recorder = HeadRecorder::new(&engine, goals, Some(last))?;
            black_box(engine.observe(goals, &rules, &mut [&mut recorder])?);
            black_box(recorder.finish());
            Ok(())
        })?,
    ));
    let targets: Vec<Target> = goals.iter().flat_map(|goal| goal.targets().to_vec()).collect();
    let foils = || {
        black_box(alternatives(model, sequence, &targets, Some(states))?);
        Ok(())
    };
    figures.push(("alternatives_s", seconds(&foils)?));
    figures.push((
        "second_point_s",
        seconds(&|| {
            let faded = sequence.faded(0.5);
            let states = States::of(model, &faded, Keep::Everything)?;
            let options = SweepOptions { memory_budget: args.memory_budget, cancel: None };
            explained(&Streaming::new(model, faded.ids(), &states, options), goals).map(drop)
        })?,
    ));
    Ok(figures)
}

fn explained(engine: &dyn Engine, goals: &[Goal]) -> anyhow::Result<Figures> {
    black_box(engine.explain(goals, &Rules::new(Objective::Logit, Update::Additive))?);
    Ok(Vec::new())
}

/// The last `n` tokens but `skip`, each a goal of its own.
fn goals(sequence: &Sequence, n: usize, skip: usize) -> anyhow::Result<Vec<Goal>> {
    let end = sequence.ids().len() - skip;
    let goal = |position| Ok(Goal::token(Target::new(position, sequence.ids()[position])?));
    (end - n..end).map(goal).collect()
}

fn rates(
    model: &Gemma3,
    args: &Args,
    attend: &mut dyn gemma3_tch::Watch<DecoderTrace>,
) -> anyhow::Result<Figures> {
    let generated = generate(model, &prompt(model, args)?, args.answer, attend)?;
    let rate = (generated.tokens.len() as f64 - 1.0) / generated.decode.as_secs_f64();
    Ok(vec![("prefill_s", generated.prefill.as_secs_f64()), ("tokens_per_s", rate)])
}

fn generate(
    model: &Gemma3,
    prompt: &Sequence,
    max_new_tokens: usize,
    attend: &mut dyn gemma3_tch::Watch<DecoderTrace>,
) -> anyhow::Result<Generated> {
    let options = GenerationOptions { max_new_tokens, sampling: None, stop_ids: vec![] };
    Ok(model.generate(prompt, &options, attend, &mut |_| ControlFlow::Continue(()))?)
}

/// Below it stand the tokens with a meaning of their own.
const FIRST_ID: u32 = 300;

fn usable_ids(model: &Gemma3) -> u32 {
    model.config().text.vocab_size.min(200_000) as u32 - FIRST_ID
}

/// `<bos>`, the pictures, then text: ids of plain words.
fn prompt(model: &Gemma3, args: &Args) -> anyhow::Result<Sequence> {
    let config = model.config();
    let [t, width] = [config.mm_tokens_per_image, config.text.hidden_size].map(|n| n as i64);
    let (mut ids, mut spans, mut features) = (vec![2], Vec::new(), Vec::new());
    tch::manual_seed(1);
    for _ in 0..args.images {
        ids.push(config.boi_token_id);
        spans.push(ids.len()..ids.len() + t as usize);
        ids.extend(vec![config.image_token_id; t as usize]);
        ids.push(config.eoi_token_id);
        let random = Tensor::randn([t, width], (Kind::Float, model.placement().device)) * 0.5;
        features.push(random.to_kind(model.kind()));
    }
    let n = usable_ids(model);
    ids.extend((0..args.text as u32).map(|i| FIRST_ID + i * 7919 % n));
    Ok(model.sequence(ids, spans, features)?)
}

/// Floating-point operations of the linear layers of all decoder layers, forward; pulling a gradient back through them to their
/// inputs takes as many again.
fn linear_flops(model: &Gemma3, tokens: usize) -> u64 {
    let config = &model.config().text;
    let [d, f, l] = [config.hidden_size, config.intermediate_size, config.num_hidden_layers];
    let heads = config.num_attention_heads + config.num_key_value_heads; // q and o, k and v
    let multiplications = 2 * heads * config.head_dim * d + 3 * d * f;
    2 * (multiplications * l * tokens) as u64
}

/// Bytes of weights that have to be read to make a token: the linear layers of the decoder and the head.
fn bytes_per_token(model: &Gemma3) -> u64 {
    let config = &model.config().text;
    let head = (config.vocab_size * config.hidden_size) as u64;
    (linear_flops(model, 1) / 2 + head) * model.kind().elt_size_in_bytes() as u64
}

/// Pairs of a query and a key that it may see, all layers; heads are not counted.
fn visible_pairs(model: &Gemma3, sequence: &Sequence, tokens: usize) -> u64 {
    let of_layer = |layer: &gemma3_tch::DecoderLayer| -> u64 {
        let mask = layer.mask(sequence.layout());
        // What a single query sees of a causal rule is one stretch, so the smallest range is exact.
        (0..tokens).map(|query| mask.keys(&(query..query + 1), tokens).len() as u64).sum()
    };
    model.text().layers().iter().map(of_layer).sum()
}

/// x·Wᵀ and y·W with W `[10240, 2560]`: what a linear layer does forward and pulled back.
fn matmul(args: &Args) -> anyhow::Result<Map<String, Value>> {
    const SHAPE: [i64; 2] = [10240, 2560];
    let device = args.device.resolve()?;
    let _no_grad = tch::no_grad_guard();
    let random =
        |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, device)).to_kind(Kind::BFloat16);
    let weights: Vec<Tensor> = (0..MATRICES).map(|_| random(SHAPE)).collect();
    let x = random([args.tokens as i64, SHAPE[1]]);
    let y = random([args.tokens as i64, SHAPE[0]]);
    let rate = |product: &dyn Fn(&Tensor) -> Tensor| {
        let started = Instant::now();
        let results: Vec<Tensor> = weights.iter().map(product).collect();
        // A number of the result is read: the device is then through with its work.
        black_box(results[MATRICES - 1].double_value(&[0, 0]));
        let flops = 2.0 * (args.tokens * MATRICES) as f64 * (SHAPE[0] * SHAPE[1]) as f64;
        (started.elapsed().as_secs_f64(), flops)
    };
    let mut work: Work<'_> = Box::new(|| {
        let (forward, flops) = rate(&|w| x.matmul(&w.tr()));
        let (back, _) = rate(&|w| y.matmul(w));
        Ok(vec![
            ("flops_per_s", 2.0 * flops / (forward + back)),
            ("forward_flops_per_s", flops / forward),
            ("back_flops_per_s", flops / back),
        ])
    });
    repeat(args, (place(device), place(device).used()), &mut work)
}

/// How fast numbers come from memory.
fn read(args: &Args) -> anyhow::Result<Map<String, Value>> {
    const NUMBERS: i64 = 1 << 28;
    let device = args.device.resolve()?;
    let numbers = Tensor::ones([NUMBERS], (Kind::Float, device));
    let mut work: Work<'_> = Box::new(|| {
        let started = Instant::now();
        black_box(numbers.sum(Kind::Float).double_value(&[]));
        Ok(vec![("bytes_per_s", 4.0 * NUMBERS as f64 / started.elapsed().as_secs_f64())])
    });
    repeat(args, (place(device), place(device).used()), &mut work)
}

/// Every layer has the same numbers: they are too large for a cache, so that none is faster for it.
fn plain(args: &Args) -> anyhow::Result<Map<String, Value>> {
    ensure!(args.tokens > 0, "--tokens must be at least 1");
    let layer = Layer::new(PLAIN_HEADS, args.tokens, 0);
    let baseline = Place::Process.used();
    let layers = || std::iter::repeat_n(&layer, args.layers);
    let mut work: Work<'_> = Box::new(|| {
        match args.job {
            Job::Row => drop(black_box(forms::row(layers(), args.tokens))),
            _ => drop(black_box(forms::matrix(layers(), args.tokens))),
        }
        Ok(Vec::new())
    });
    let mut line = repeat(args, (Place::Process, baseline), &mut work)?;
    line.extend(object(json!({ "tokens": args.tokens, "layers": args.layers })));
    Ok(line)
}
