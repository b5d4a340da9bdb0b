//! The part of the configuration that describes the language model.

use super::check_activation;
use super::fields::Fields;
use crate::Error;

/// Which keys a layer may see, besides causality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerType {
    /// The last `sliding_window` tokens, itself included.
    Sliding,
    /// Every token before.
    Full,
}

/// Rotary position embedding of one kind of layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// What the frequencies are divided by; 1 without scaling.
    pub factor: f64,
}

/// Sizes and constants of the language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// D: width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// L: number of layers.
    pub num_hidden_layers: usize,
    /// H: number of query heads.
    pub num_attention_heads: usize,
    /// K: number of key and value heads; divides H.
    pub num_key_value_heads: usize,
    /// d: width of a head; even. H·d need not equal D.
    pub head_dim: usize,
    /// Added to the mean square in RMS norms.
    pub rms_norm_eps: f64,
    /// Attention scores are multiplied by this to the power −½.
    pub query_pre_attn_scalar: f64,
    /// Tokens that the model was made for.
    pub max_position_embeddings: usize,
    /// W: keys that a sliding layer sees, the query's own included.
    pub sliding_window: usize,
    /// The kind of every layer, first to last.
    pub layers: Vec<LayerType>,
    /// Rotary embedding of full layers.
    pub rope_full: Rope,
    /// Rotary embedding of sliding layers.
    pub rope_sliding: Rope,
    /// Whether the output head is the embedding.
    pub tie_word_embeddings: bool,
}

impl TextConfig {
    /// Reads the section; `tied` is what the top level says about the head, and wins.
    pub(super) fn read(fields: Fields<'_>, tied: Option<bool>) -> Result<Self, Error> {
        check_activation(fields, "hidden_activation")?;
        refuse_unsupported(fields)?;
        let num_hidden_layers = fields.required_size("num_hidden_layers", 1 << 10)?;
        let (rope_full, rope_sliding) = ropes(fields)?;
        let config = Self {
            vocab_size: fields.size("vocab_size", 1 << 24)?.unwrap_or(262_208),
            hidden_size: fields.required_size("hidden_size", 1 << 16)?,
            intermediate_size: fields.required_size("intermediate_size", 1 << 20)?,
            num_hidden_layers,
            num_attention_heads: fields.size("num_attention_heads", 1 << 10)?.unwrap_or(8),
            num_key_value_heads: fields.size("num_key_value_heads", 1 << 10)?.unwrap_or(4),
            head_dim: fields.size("head_dim", 1 << 14)?.unwrap_or(256),
            rms_norm_eps: fields.positive("rms_norm_eps")?.unwrap_or(1e-6),
            query_pre_attn_scalar: fields.positive("query_pre_attn_scalar")?.unwrap_or(256.0),
            max_position_embeddings: fields
                .size("max_position_embeddings", 1 << 28)?
                .unwrap_or(131_072),
            sliding_window: fields.required_size("sliding_window", 1 << 28)?,
            layers: layers(fields, num_hidden_layers)?,
            rope_full,
            rope_sliding,
            tie_word_embeddings: tied.or(fields.flag("tie_word_embeddings")?).unwrap_or(true),
        };
        config.check().map_err(|(field, reason)| fields.wrong(field, reason))?;
        Ok(config)
    }

    /// What does not go together: the field, and why.
    pub(super) fn check(&self) -> Result<(), (&'static str, String)> {
        let (heads, key_heads) = (self.num_attention_heads, self.num_key_value_heads);
        if !heads.is_multiple_of(key_heads) {
            let reason =
                format!("is {key_heads}, which does not divide num_attention_heads = {heads}");
            return Err(("num_key_value_heads", reason));
        }
        if !self.head_dim.is_multiple_of(2) {
            let reason =
                format!("is {}; rotary embedding turns pairs, so it must be even", self.head_dim);
            return Err(("head_dim", reason));
        }
        Ok(())
    }
}

/// Features of the configuration class that no vision-language Gemma3 uses and that are not computed here.
fn refuse_unsupported(fields: Fields<'_>) -> Result<(), Error> {
    for name in ["final_logit_softcapping", "attn_logit_softcapping"] {
        if let Some(cap) = fields.value(name) {
            return Err(fields.unsupported(name, cap, "it must be null or absent"));
        }
    }
    for name in ["attention_bias", "use_bidirectional_attention"] {
        if fields.flag(name)? == Some(true) {
            return Err(fields.unsupported(name, &true, "it must be false or absent"));
        }
    }
    Ok(())
}

/// The list `layer_types`, or every n-th layer full.
fn layers(fields: Fields<'_>, count: usize) -> Result<Vec<LayerType>, Error> {
    let every = fields
        .either("sliding_window_pattern", "_sliding_window_pattern", |name| {
            fields.size(name, 1 << 10)
        })?
        .unwrap_or(6);
    let Some(names) = fields.list("layer_types")? else {
        let full = |layer: usize| (layer + 1).is_multiple_of(every);
        return Ok((0..count)
            .map(|layer| if full(layer) { LayerType::Full } else { LayerType::Sliding })
            .collect());
    };
    if names.len() != count {
        let reason = format!("has {} entries for num_hidden_layers = {count}", names.len());
        return Err(fields.wrong("layer_types", reason));
    }
    let kind = |name: &serde_json::Value| match name.as_str() {
        Some("sliding_attention") => Ok(LayerType::Sliding),
        Some("full_attention") => Ok(LayerType::Full),
        _ => Err(fields.unsupported(
            "layer_types",
            name,
            "layers are sliding_attention or full_attention",
        )),
    };
    names.iter().map(kind).collect()
}

/// Rotary embeddings of full and sliding layers, in transformers' order of precedence.
fn ropes(fields: Fields<'_>) -> Result<(Rope, Rope), Error> {
    let new = fields.object("rope_parameters", "text_config.rope_parameters.")?;
    let part = |name: &str, prefix| new.map_or(Ok(None), |new| new.object(name, prefix));
    let full = part("full_attention", "text_config.rope_parameters.full_attention.")?;
    let sliding = part("sliding_attention", "text_config.rope_parameters.sliding_attention.")?;
    if let Some(flat) = new.filter(|_| full.is_none() && sliding.is_none()) {
        return Err(
            flat.wrong("full_attention", "is missing; Gemma3 has parameters per kind of layer")
        );
    }
    let scaling = fields.object("rope_scaling", "text_config.rope_scaling.")?;
    let full_theta = theta(full)?.or(fields.positive("rope_theta")?).unwrap_or(1e6);
    let sliding_theta = theta(sliding)?.or(fields.positive("rope_local_base_freq")?).unwrap_or(1e4);
    let full_factor = factor(scaling)?.or(factor(full)?).unwrap_or(1.0);
    let sliding_factor = factor(sliding)?.unwrap_or(1.0);
    Ok((
        Rope { theta: full_theta, factor: full_factor },
        Rope { theta: sliding_theta, factor: sliding_factor },
    ))
}

fn theta(part: Option<Fields<'_>>) -> Result<Option<f64>, Error> {
    part.map_or(Ok(None), |part| part.positive("rope_theta"))
}

/// The factor of linear scaling; 1 for the default type.
fn factor(part: Option<Fields<'_>>) -> Result<Option<f64>, Error> {
    let Some(part) = part else { return Ok(None) };
    match part.either("rope_type", "type", |name| part.text(name))? {
        None | Some("default") => Ok(Some(1.0)),
        Some("linear") => {
            let factor = part.positive("factor")?;
            factor.map(Some).ok_or_else(|| Error::MissingField { field: part.path("factor") })
        }
        Some(found) => Err(part.unsupported("rope_type", &found, "it is default or linear")),
    }
}
