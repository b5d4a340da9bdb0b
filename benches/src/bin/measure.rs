//! Measures one job on one checkpoint and prints what it took as a line of JSON. `cargo xtask bench` drives it.
//!
//! Pictures are random image tokens: the vision tower is not run, so that long sequences can be measured for themselves.

use anyhow::{Context, bail};
use attention_capture::{
    Engine, Goal, Keep, Objective, Recorder, Retained, States, Streaming, SweepOptions,
};
use attention_relevancy::{Target, Update};
use benchmarks::memory::Watch;
use clap::{Parser, ValueEnum};
use gemma3_tch::{Cached, Gemma3, GenerationOptions, Placement, Sequence};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Instant;
use tch::{Kind, Tensor};

#[derive(Parser)]
struct Args {
    /// Checkpoint directory
    #[arg(long)]
    model: PathBuf,
    /// What is measured
    #[arg(long, value_enum)]
    job: Job,
    /// Pictures in the prompt
    #[arg(long, default_value_t = 1)]
    images: usize,
    /// Text tokens of the prompt
    #[arg(long, default_value_t = 28)]
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
    /// Times that it is done, after one time that is not counted
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Job {
    /// Prompt and answer, nothing kept
    Generate,
    /// Prompt and answer, everything kept that a pull-back needs
    GenerateKeeping,
    /// Streaming: layers rebuilt from their inputs
    Rebuild,
    /// Streaming: nothing rebuilt
    PullBack,
    /// Every attention kept
    Retained,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let started = Instant::now();
    let model = Gemma3::load(&args.model, Placement::AS_STORED)?;
    let load = started.elapsed().as_secs_f64();
    let sequence = sequence(&model, &args)?;
    let tokens = sequence.ids().len();
    let mut seconds = Vec::new();
    let mut peak = 0;
    let mut work = work(&model, &sequence, &args)?;
    for run in 0..=args.runs {
        let (watch, started) = (Watch::start(), Instant::now());
        work()?;
        if run > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
        peak = peak.max(watch.peak());
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).context("--runs must be at least 1")?;
    let threads = gemma3_tch::threads();
    println!(
        r#"{{"tokens": {tokens}, "threads": {threads}, "load_s": {load:.3}, "median_s": {median:.3}, "min_s": {:.3}, "max_s": {:.3}, "peak_bytes": {peak}}}"#,
        seconds[0],
        seconds[seconds.len() - 1],
    );
    Ok(())
}

/// What is done between two readings of the clock.
fn work<'a>(
    model: &'a Gemma3,
    sequence: &'a Sequence,
    args: &'a Args,
) -> anyhow::Result<Box<dyn FnMut() -> anyhow::Result<()> + 'a>> {
    let goals = goals(sequence, args.targets)?;
    let explain = move |states: &States| -> anyhow::Result<()> {
        let options = SweepOptions { memory_budget: args.memory_budget, cancel: None };
        Streaming::new(model, sequence.ids(), states, options).explain(
            &goals,
            Objective::Logit,
            Update::Additive,
        )?;
        Ok(())
    };
    Ok(match args.job {
        Job::Generate => Box::new(|| generate(model, args, &mut Cached::default())),
        Job::GenerateKeeping => {
            Box::new(|| generate(model, args, &mut Recorder::generating(model, Keep::Everything)))
        }
        Job::Rebuild => {
            let states = States::of(model, sequence, Keep::Inputs)?;
            Box::new(move || explain(&states))
        }
        Job::PullBack => {
            let states = States::of(model, sequence, Keep::Everything)?;
            Box::new(move || explain(&states))
        }
        Job::Retained => Box::new(|| {
            let run = Retained::run(model, sequence)?;
            for goal in self::goals(sequence, args.targets)? {
                run.explain_one(&goal, Objective::Logit, Update::Additive)?;
            }
            Ok(())
        }),
    })
}

fn generate(
    model: &Gemma3,
    args: &Args,
    attend: &mut dyn gemma3_tch::Attend,
) -> anyhow::Result<()> {
    let prompt = prompt(model, args)?;
    let options =
        GenerationOptions { max_new_tokens: args.answer, sampling: None, stop_ids: vec![] };
    let started = Instant::now();
    let generated =
        model.generate(&prompt, &options, attend, &mut |_| ControlFlow::Continue(()))?;
    let rate = (generated.tokens.len() as f64 - 1.0) / generated.decode.as_secs_f64();
    let (prefill, total) = (generated.prefill.as_secs_f64(), started.elapsed().as_secs_f64());
    eprintln!("prefill {prefill:.2} s, {rate:.2} tokens per second, {total:.2} s in all");
    Ok(())
}

fn goals(sequence: &Sequence, n: usize) -> anyhow::Result<Vec<Goal>> {
    let end = sequence.ids().len();
    let target =
        |position: usize| Ok(Goal::token(Target::new(position, sequence.ids()[position])?));
    (end - n..end).map(target).collect()
}

/// `<bos>`, the pictures, then text: ids of plain words.
fn prompt(model: &Gemma3, args: &Args) -> anyhow::Result<Sequence> {
    let config = model.config();
    let [t, width] = [config.mm_tokens_per_image, config.text.hidden_size].map(|n| n as i64);
    let mut ids = vec![2];
    let mut spans = Vec::new();
    let mut features = Vec::new();
    tch::manual_seed(1);
    for _ in 0..args.images {
        ids.push(config.boi_token_id);
        spans.push(ids.len()..ids.len() + t as usize);
        ids.extend(vec![config.image_token_id; t as usize]);
        ids.push(config.eoi_token_id);
        let random = Tensor::randn([t, width], (Kind::Float, model.placement().device)) * 0.5;
        features.push(random.to_kind(model.kind()));
    }
    let vocabulary = config.text.vocab_size.min(200_000) as u32;
    ids.extend((0..args.text as u32).map(|n| 300 + n * 7919 % (vocabulary - 300)));
    Ok(model.sequence(ids, spans, features)?)
}

fn sequence(model: &Gemma3, args: &Args) -> anyhow::Result<Sequence> {
    if args.answer < args.targets || args.targets == 0 {
        bail!("--targets must be from 1 to --answer");
    }
    let vocabulary = model.config().text.vocab_size.min(200_000) as u32;
    let answer: Vec<u32> =
        (0..args.answer as u32).map(|n| 300 + n * 104_729 % (vocabulary - 300)).collect();
    Ok(prompt(model, args)?.followed_by(&answer))
}
