//! `medgemma-explainer inspect`.

use crate::args::InspectArgs;
use crate::progress;
use medgemma_explainer::{Inspection, LoadOptions};

/// Says what a checkpoint is and what memory it will take, from its headers alone.
pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let (device, dtype, fetch_progress) = (args.model.device, args.model.dtype, progress::fetch_bars()?);
    let options = LoadOptions { device, dtype, fetch_progress, ..LoadOptions::default() };
    let (inspection, placement) = args.model.source().inspect(&options)?;
    print_model(&inspection);

    let kind = placement.kind.expect("a resolved placement has a type");
    println!();
    line("loading on this device", inspection.load_bytes(placement));
    line(&format!("key/value cache, {} tokens", args.tokens), inspection.cache_bytes(kind, args.tokens));
    line(&format!("retained engine, {} tokens", args.tokens), inspection.retained_bytes(kind, args.tokens));
    for name in &inspection.missing {
        eprintln!("warning: tensor {name} is missing");
    }
    for tensor in &inspection.misshapen {
        eprintln!("warning: tensor {} has shape {:?}, expected {:?}", tensor.name, tensor.found, tensor.expected);
    }
    for name in &inspection.unused {
        eprintln!("warning: tensor {name} is not used");
    }
    Ok(())
}

fn print_model(inspection: &Inspection) {
    let (text, vision) = (&inspection.config.text, &inspection.config.vision);
    let stored: Vec<&str> = inspection.stored.keys().map(String::as_str).collect();
    line("architecture", inspection.architecture);
    line("parameters", format!("{:.2} million", inspection.parameters.total() as f64 / 1e6));
    line("  embeddings", format!("{:.2} million", inspection.parameters.embeddings as f64 / 1e6));
    line("  language model", format!("{:.2} million", inspection.parameters.text as f64 / 1e6));
    line("  vision tower", format!("{:.2} million", inspection.parameters.vision as f64 / 1e6));
    line("  projector", format!("{:.2} million", inspection.parameters.projector as f64 / 1e6));
    line("files", format!("{} tensors, {}, {}", inspection.tensors, inspection.bytes_on_disk, stored.join(" and ")));
    line("language model", format!("{} layers of width {}, vocabulary {}", text.num_hidden_layers, text.hidden_size, text.vocab_size));
    let heads = format!("{} query, {} key and value heads of width {}", text.num_attention_heads, text.num_key_value_heads, text.head_dim);
    line("  attention", heads);
    line("  full layers", full_layers(inspection));
    line("  window of the others", format!("{} tokens", text.sliding_window));
    line("  context", format!("{} tokens", text.max_position_embeddings));
    line("vision tower", format!("{} layers of width {}, {} heads", vision.num_hidden_layers, vision.hidden_size, vision.num_attention_heads));
    let image = format!("{0}×{0} pixels → {1} patches → {2} tokens", vision.image_size, vision.patches(), inspection.config.mm_tokens_per_image);
    line("  picture", image);
}

fn full_layers(inspection: &Inspection) -> String {
    let layers = inspection.config.text.layers.iter().enumerate();
    let full = layers.filter(|(_, kind)| **kind == medgemma_explainer::LayerType::Full);
    full.map(|(layer, _)| layer.to_string()).collect::<Vec<_>>().join(", ")
}

fn line(name: &str, value: impl std::fmt::Display) {
    println!("{name:<30} {value}");
}
