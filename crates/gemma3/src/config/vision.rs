//! The part of the configuration that describes the image encoder.

use serde_json::Value;

use super::check_activation;
use super::fields::Fields;
use crate::Error;

/// Sizes of the image encoder, a `SigLIP`.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    /// Width of a patch embedding.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Colour channels of the picture.
    pub num_channels: usize,
    /// Side of the square picture in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels; divides `image_size`.
    pub patch_size: usize,
    /// Added to the variance in layer norms, and in the norm of the projector.
    pub layer_norm_eps: f64,
}

impl VisionConfig {
    /// Patches along one side of the picture.
    pub fn patches_per_side(&self) -> usize {
        self.image_size / self.patch_size
    }

    /// Patches of one picture.
    pub fn patches(&self) -> usize {
        self.patches_per_side().pow(2)
    }

    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    pub(super) fn read(fields: Fields<'_>) -> Result<Self, Error> {
        check_activation(fields, "hidden_act")?;
        let config = Self {
            hidden_size: fields.required_size("hidden_size", 1 << 16)?,
            intermediate_size: fields.required_size("intermediate_size", 1 << 18)?,
            num_hidden_layers: fields.required_size("num_hidden_layers", 1 << 10)?,
            num_attention_heads: fields.required_size("num_attention_heads", 1 << 10)?,
            num_channels: fields.size("num_channels", 16)?.unwrap_or(3),
            image_size: square_side(fields, "image_size")?,
            patch_size: square_side(fields, "patch_size")?,
            layer_norm_eps: fields.positive("layer_norm_eps")?.unwrap_or(1e-6),
        };
        divides(
            fields,
            "num_attention_heads",
            config.num_attention_heads,
            "hidden_size",
            config.hidden_size,
        )?;
        divides(fields, "patch_size", config.patch_size, "image_size", config.image_size)?;
        Ok(config)
    }
}

/// A side in pixels, given as a number or as a pair of equal numbers.
fn square_side(fields: Fields<'_>, name: &str) -> Result<usize, Error> {
    match fields.value(name) {
        Some(Value::Array(sides)) => match sides.as_slice() {
            [height, width] if height == width => side(fields, name, height),
            _ => Err(fields.unsupported(name, &Value::from(sides.as_slice()), "only squares are")),
        },
        _ => fields.required_size(name, 1 << 14),
    }
}

fn side(fields: Fields<'_>, name: &str, value: &Value) -> Result<usize, Error> {
    let side = value.as_u64().and_then(|side| usize::try_from(side).ok());
    side.filter(|side| (1..=1 << 14).contains(side))
        .ok_or_else(|| fields.wrong(name, format!("is {value}, not a size")))
}

/// Checks that one field divides another.
fn divides(
    fields: Fields<'_>,
    name: &str,
    part: usize,
    of: &str,
    whole: usize,
) -> Result<(), Error> {
    if whole.is_multiple_of(part) {
        return Ok(());
    }
    Err(fields.wrong(name, format!("is {part}, which does not divide {of} = {whole}")))
}
