//! `medgemma-explainer inspect`.

use crate::args::InspectArgs;
use crate::{output, progress};
use medgemma_explainer::{Inspection, LayerType, LoadOptions, Placement};
use serde_json::json;
use std::fmt::Display;

/// Says what a checkpoint is and what memory it will take, from its headers alone.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let (device, dtype, fetch_progress) =
        (args.model.device, args.model.dtype, progress::fetch_bars()?);
    let options = LoadOptions { device, dtype, fetch_progress, ..LoadOptions::default() };
    let (inspection, placement) = args.model.source().inspect(&options)?;
    if args.json {
        output::json(&json(&inspection, placement, args.tokens));
        return Ok(());
    }
    print_parameters(&inspection);
    print_sizes(&inspection);
    output::blank_line();
    print_memory(&inspection, placement, args.tokens);
    let missing = inspection.missing.iter().map(|name| format!("tensor {name} is missing"));
    warn(missing, "tensors are missing");
    let misshapen = inspection.misshapen.iter().map(|tensor| {
        let (name, found, expected) = (&tensor.name, &tensor.found, &tensor.expected);
        format!("tensor {name} has shape {found:?}, but config.json implies {expected:?}")
    });
    warn(misshapen, "tensors have another shape than config.json implies");
    warn(
        inspection.unused.iter().map(|name| format!("tensor {name} is not used")),
        "tensors are not used",
    );
    Ok(())
}

/// All of it; sizes in bytes.
fn json(inspection: &Inspection, placement: Placement, tokens: usize) -> String {
    let (parameters, text, vision) =
        (&inspection.parameters, &inspection.config.text, &inspection.config.vision);
    let kind = placement.kind.expect("a resolved placement has a type");
    let global = |(layer, kind): (usize, &LayerType)| (*kind == LayerType::Full).then_some(layer);
    let misshapen = inspection.misshapen.iter().map(
        |tensor| json!({ "name": tensor.name, "found": tensor.found, "expected": tensor.expected }),
    );
    let report = json!({
        "architecture": inspection.architecture,
        "parameters": {
            "total": parameters.total(),
            "embeddings": parameters.embeddings,
            "language_model": parameters.text,
            "vision_tower": parameters.vision,
            "projector": parameters.projector,
            "other": parameters.other,
        },
        "files": {
            "tensors": inspection.tensors,
            "bytes": inspection.bytes_on_disk.0,
            "parameters_by_type": inspection.stored,
        },
        "language_model": {
            "layers": text.num_hidden_layers,
            "layers_without_window": text.layers.iter().enumerate().filter_map(global).collect::<Vec<_>>(),
            "window": text.sliding_window,
            "width": text.hidden_size,
            "query_heads": text.num_attention_heads,
            "key_value_heads": text.num_key_value_heads,
            "head_width": text.head_dim,
            "vocabulary": text.vocab_size,
            "context": text.max_position_embeddings,
        },
        "vision_tower": {
            "layers": vision.num_hidden_layers,
            "width": vision.hidden_size,
            "heads": vision.num_attention_heads,
            "picture_side": vision.image_size,
            "patches": vision.patches(),
            "tokens": inspection.config.mm_tokens_per_image,
        },
        "memory": {
            "dtype": placement.dtype_name(),
            "device": placement.device_name(),
            "tokens": tokens,
            "load": inspection.load_bytes(placement).0,
            "weights": inspection.weight_bytes(placement.kind).0,
            "answering": inspection.cache_bytes(kind, tokens).0,
            "explaining_retained": inspection.retained_bytes(kind, tokens).0,
        },
        "missing": inspection.missing,
        "misshapen": misshapen.collect::<Vec<_>>(),
        "unused": inspection.unused,
    });
    format!("{report:#}")
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
    let parameters = &inspection.parameters;
    line("architecture", inspection.architecture);
    line("parameters", count(parameters.total()));
    line("  embeddings", count(parameters.embeddings));
    line("  language model", count(parameters.text));
    line("  vision tower", count(parameters.vision));
    line("  projector", count(parameters.projector));
    let types: Vec<&str> = inspection.stored.keys().map(String::as_str).collect();
    let (tensors, bytes, types) =
        (inspection.tensors, inspection.bytes_on_disk, types.join(" and "));
    line("files", format_args!("{tensors} tensors, {bytes}, {types}"));
}

fn print_sizes(inspection: &Inspection) {
    let (text, vision) = (&inspection.config.text, &inspection.config.vision);
    let (layers, width, words) = (text.num_hidden_layers, text.hidden_size, text.vocab_size);
    line("language model", format_args!("{layers} layers of width {width}, vocabulary of {words}"));
    let (heads, keys, width) = (text.num_attention_heads, text.num_key_value_heads, text.head_dim);
    line(
        "  attention",
        format_args!("{heads} query heads, {keys} key/value heads, of width {width}"),
    );
    line("  global layers", full_layers(inspection));
    line("  sliding window", format_args!("{} tokens", text.sliding_window));
    line("  context", format_args!("{} tokens", text.max_position_embeddings));
    let (layers, width, heads) =
        (vision.num_hidden_layers, vision.hidden_size, vision.num_attention_heads);
    line("vision tower", format_args!("{layers} layers of width {width}, {heads} heads"));
    let (side, patches) = (vision.image_size, vision.patches());
    let tokens = inspection.config.mm_tokens_per_image;
    line("  picture", format_args!("{side}×{side} pixels → {patches} patches → {tokens} tokens"));
}

fn print_memory(inspection: &Inspection, placement: Placement, tokens: usize) {
    let kind = placement.kind.expect("a resolved placement has a type");
    let (device, dtype) = (placement.device_name(), placement.dtype_name());
    line("memory", format_args!("with {dtype} on {device}, about"));
    line("  main memory to load", inspection.load_bytes(placement));
    if !placement.on_cpu() {
        line("  weights on the device", inspection.weight_bytes(placement.kind));
    }
    line(&format!("  answering, {tokens} tokens"), inspection.cache_bytes(kind, tokens));
    line(&format!("  explaining, {tokens} tokens"), inspection.retained_bytes(kind, tokens));
}

fn full_layers(inspection: &Inspection) -> String {
    let layers = inspection.config.text.layers.iter().enumerate();
    let full = layers.filter(|(_, kind)| **kind == LayerType::Full);
    let full: Vec<String> = full.map(|(layer, _)| layer.to_string()).collect();
    let word = if full.len() == 1 { "layer" } else { "layers" };
    let (count, all) = (full.len(), inspection.config.text.layers.len());
    format!("{count} of {all} ({word} {}, counted from 0)", full.join(", "))
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
