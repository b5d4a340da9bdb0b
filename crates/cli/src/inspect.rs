//! `medgemma-explainer inspect`.

use crate::args::InspectArgs;
use crate::{output, progress};
use medgemma_explainer::{AppliedAdapter, Inspection, LanguageModel, LoadOptions};
use serde_json::json;
use std::fmt::Display;

/// Says what a checkpoint is and what memory it will take, from its headers alone.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let (device, dtype, fetch_progress) =
        (args.model.device, args.model.dtype, progress::fetch_bars()?);
    let options = LoadOptions::default()
        .with_device(device)
        .with_dtype(dtype)
        .with_mmproj(args.model.mmproj())
        .with_adapters(args.model.adapters())
        .with_fetch_progress(fetch_progress);
    let inspection = args.model.source().inspect(&options)?;
    if args.json {
        output::json(&json(&inspection, args.tokens));
        return Ok(());
    }
    print_parameters(&inspection);
    for adapter in inspection.adapters() {
        line("adapter", adapter);
        line("  trained on", adapter.base.as_deref().unwrap_or("a model that it does not name"));
        line("  numbers", count(adapter.parameters));
    }
    print_sizes(&inspection);
    output::blank_line();
    print_memory(&inspection, args.tokens);
    inspection.adapters().iter().filter_map(AppliedAdapter::warning).for_each(output::warning);
    let missing = inspection.missing().iter().map(|name| format!("tensor {name} is missing"));
    warn(missing, "tensors are missing");
    let misshapen = inspection.misshapen().map(|tensor| {
        let (name, found, expected) = (tensor.name, tensor.found, tensor.expected);
        format!("tensor {name} has shape {found:?}, but config.json implies {expected:?}")
    });
    warn(misshapen, "tensors have another shape than config.json implies");
    warn(
        inspection.unused().iter().map(|name| format!("tensor {name} is not used")),
        "tensors are not used",
    );
    Ok(())
}

/// All of it; sizes in bytes.
fn json(inspection: &Inspection, tokens: usize) -> String {
    let (parameters, text, vision) =
        (inspection.parameters(), inspection.language_model(), inspection.vision_tower());
    let misshapen = inspection.misshapen().map(
        |tensor| json!({ "name": tensor.name, "found": tensor.found, "expected": tensor.expected }),
    );
    let report = json!({
        "architecture": inspection.architecture(),
        "parameters": {
            "total": parameters.total,
            "embeddings": parameters.embeddings,
            "language_model": parameters.language_model,
            "vision_tower": parameters.vision_tower,
            "projector": parameters.projector,
            "other": parameters.other,
        },
        "files": {
            "tensors": inspection.tensors(),
            "bytes": inspection.bytes_on_disk().0,
            "parameters_by_type": inspection.stored(),
        },
        "language_model": {
            "layers": text.layers,
            "layers_without_window": text.global_layers,
            "window": text.window,
            "width": text.width,
            "query_heads": text.query_heads,
            "key_value_heads": text.key_value_heads,
            "head_width": text.head_width,
            "vocabulary": text.vocabulary,
            "context": text.context,
        },
        "vision_tower": vision.map(|vision| json!({
            "layers": vision.layers,
            "width": vision.width,
            "heads": vision.heads,
            "picture_side": vision.picture_side,
            "patches": vision.patches,
            "tokens": vision.tokens,
        })),
        "memory": {
            "dtype": inspection.dtype(),
            "device": inspection.device(),
            "tokens": tokens,
            "load": inspection.load_bytes().0,
            "weights": inspection.weight_bytes().0,
            "answering": inspection.cache_bytes(tokens).0,
            "explaining_retained": inspection.retained_bytes(tokens).0,
        },
        "adapters": inspection.adapters().iter().map(adapter).collect::<Vec<_>>(),
        "missing": inspection.missing(),
        "misshapen": misshapen.collect::<Vec<_>>(),
        "unused": inspection.unused(),
    });
    format!("{report:#}")
}

fn adapter(adapter: &AppliedAdapter) -> serde_json::Value {
    json!({
        "source": adapter.source.to_string(),
        "revision": adapter.revision,
        "weight": adapter.weight,
        "kind": adapter.kind,
        "base": adapter.base,
        "low_rank_parts": adapter.low_rank_parts,
        "replaced": adapter.replaced,
        "changes_vision": adapter.changes_vision,
        "parameters": adapter.parameters,
    })
}

/// More tensors with the same fault are counted, not named: a checkpoint can have any number of them.
const MOST_NAMED: usize = 100;

fn warn(messages: impl ExactSizeIterator<Item = String>, fault: &str) {
    let count = messages.len();
    messages.take(MOST_NAMED).for_each(output::warning);
    if MOST_NAMED < count {
        output::warning(format_args!("{} more {fault}", count - MOST_NAMED));
    }
}

fn print_parameters(inspection: &Inspection) {
    let parameters = inspection.parameters();
    line("architecture", inspection.architecture());
    line("parameters", count(parameters.total));
    line("  embeddings", count(parameters.embeddings));
    line("  language model", count(parameters.language_model));
    line("  vision tower", count(parameters.vision_tower));
    line("  projector", count(parameters.projector));
    let types: Vec<&str> = inspection.stored().keys().map(String::as_str).collect();
    let (tensors, bytes, types) =
        (inspection.tensors(), inspection.bytes_on_disk(), types.join(" and "));
    line("files", format_args!("{tensors} tensors, {bytes}, {types}"));
}

fn print_sizes(inspection: &Inspection) {
    let (text, vision) = (inspection.language_model(), inspection.vision_tower());
    let (layers, width, words) = (text.layers, text.width, text.vocabulary);
    line("language model", format_args!("{layers} layers of width {width}, vocabulary of {words}"));
    let (heads, keys, width) = (text.query_heads, text.key_value_heads, text.head_width);
    line(
        "  attention",
        format_args!("{heads} query heads, {keys} key/value heads, of width {width}"),
    );
    line("  global layers", global_layers(&text));
    line("  sliding window", format_args!("{} tokens", text.window));
    line("  context", format_args!("{} tokens", text.context));
    let Some(vision) = vision else {
        line("vision tower", "none: questions are asked without pictures");
        return;
    };
    let (layers, width, heads) = (vision.layers, vision.width, vision.heads);
    line("vision tower", format_args!("{layers} layers of width {width}, {heads} heads"));
    let (side, patches) = (vision.picture_side, vision.patches);
    let tokens = vision.tokens;
    line("  picture", format_args!("{side}×{side} pixels → {patches} patches → {tokens} tokens"));
}

fn print_memory(inspection: &Inspection, tokens: usize) {
    let (device, dtype) = (inspection.device(), inspection.dtype());
    line("memory", format_args!("with {dtype} on {device}, about"));
    line("  main memory to load", inspection.load_bytes());
    if !inspection.on_cpu() {
        line("  weights on the device", inspection.weight_bytes());
    }
    line(&format!("  answering, {tokens} tokens"), inspection.cache_bytes(tokens));
    line(&format!("  explaining, {tokens} tokens"), inspection.retained_bytes(tokens));
}

fn global_layers(text: &LanguageModel) -> String {
    let global: Vec<String> = text.global_layers.iter().map(ToString::to_string).collect();
    let word = if global.len() == 1 { "layer" } else { "layers" };
    let (count, all) = (global.len(), text.layers);
    format!("{count} of {all} ({word} {}, counted from 0)", global.join(", "))
}

/// A number of parameters in three or four digits.
fn count(n: u64) -> String {
    match n as f64 {
        small if small < 1e4 => format!("{small}"),
        n if n < 1e6 => format!("{:.1} thousand", n / 1e3),
        n if n < 1e9 => format!("{:.1} million", n / 1e6),
        n => format!("{:.2} billion", n / 1e9),
    }
}

fn line(name: &str, value: impl Display) {
    output::line(format_args!("{name:<30} {value}"));
}
