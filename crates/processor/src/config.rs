//! What `config.json`, `processor_config.json` and `preprocessor_config.json` say, validated.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::Error;
use crate::files::Document;
use crate::pixels::Scaling;

/// Larger inputs than this are a broken or hostile file: 4096² pixels are 201 MB of `f32`.
pub(crate) const MAX_IMAGE_SIZE: usize = 4096;
/// Tokens of an image, Gemma 3's have 256: the text that stands for an image is made of their names, before any is counted.
const MAX_TOKENS_PER_IMAGE: usize = 4096;

/// The facts of a model that shape its inputs.
#[derive(Debug, Clone)]
pub(crate) struct ModelFacts {
    pub(crate) max_positions: usize,
    /// `None`: it sees no pictures.
    pub(crate) images: Option<ImageFacts>,
}

/// How a model sees pictures.
#[derive(Debug, Clone)]
pub(crate) struct ImageFacts {
    pub(crate) boi: u32,
    pub(crate) eoi: u32,
    pub(crate) image: u32,
    /// Tokens an image becomes: `grid * grid`.
    pub(crate) tokens_per_image: usize,
    pub(crate) grid: usize,
    /// Side of the square input of the vision tower, in pixels.
    pub(crate) image_size: u32,
}

impl ModelFacts {
    pub(crate) fn read(dir: &Path) -> Result<Self, Error> {
        let file: Document<ConfigFile> = Document::read(dir.join("config.json"))?;
        let config = &file.value;
        let sees = check_model(&file)?;
        let text = config.text_config.as_ref();
        // A language model alone has its fields at the top level.
        let positions = text
            .and_then(|text| text.max_position_embeddings)
            .or(config.max_position_embeddings.filter(|_| !sees));
        // Defaults: configuration_gemma3.py of transformers 5.23.
        let max_positions = positions.unwrap_or(131_072);
        let images = sees.then(|| ImageFacts::read(&file)).transpose()?;
        Ok(Self { max_positions, images })
    }
}

impl ImageFacts {
    fn read(file: &Document<ConfigFile>) -> Result<Self, Error> {
        let config = &file.value;
        let vision = config.vision_config.as_ref().ok_or_else(|| file.missing("vision_config"))?;
        let image_size =
            vision.image_size.ok_or_else(|| file.missing("vision_config.image_size"))?;
        let patch_size =
            vision.patch_size.ok_or_else(|| file.missing("vision_config.patch_size"))?;
        if !(1..=MAX_IMAGE_SIZE).contains(&image_size) {
            return Err(file.wrong("vision_config.image_size", &image_size, "1 to 4096 pixels"));
        }
        let tokens_per_image = config.mm_tokens_per_image.unwrap_or(256);
        let grid = grid_side(image_size, patch_size, tokens_per_image)
            .map_err(|(field, found, expected)| file.wrong(field, &found, &expected))?;
        Ok(Self {
            boi: token_id(file, "boi", [config.boi_token_index, config.boi_token_id], 255_999)?,
            eoi: token_id(file, "eoi", [config.eoi_token_index, config.eoi_token_id], 256_000)?,
            image: token_id(
                file,
                "image",
                [config.image_token_index, config.image_token_id],
                262_144,
            )?,
            tokens_per_image,
            grid,
            image_size: image_size as u32,
        })
    }
}

/// How `preprocessor_config.json` wants pixels to become numbers; checked against the model.
pub(crate) fn read_scaling(dir: &Path, facts: &ImageFacts) -> Result<Scaling, Error> {
    let processor: Option<Document<ProcessorFile>> =
        Document::read_if_present(dir.join("processor_config.json"))?;
    if let Some(file) = &processor
        && let Some(found) = file.value.image_seq_length
        && found != facts.tokens_per_image
    {
        let expected = format!("{} (mm_tokens_per_image)", facts.tokens_per_image);
        return Err(file.wrong("image_seq_length", &found, &expected));
    }
    // Newer writers nest the image settings; transformers prefers the nested ones too.
    let file = match processor {
        Some(Document { path, value: ProcessorFile { image_processor: Some(value), .. } }) => {
            Document { path, value }
        }
        _ => Document::read(dir.join("preprocessor_config.json"))?,
    };
    check_resize(&file, facts.image_size)?;
    scaling(&file)
}

/// A token named in a configuration: a string, or an object with `content`.
pub(crate) fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

#[derive(Deserialize)]
struct ConfigFile {
    model_type: Option<String>,
    boi_token_index: Option<u32>,
    boi_token_id: Option<u32>,
    eoi_token_index: Option<u32>,
    eoi_token_id: Option<u32>,
    image_token_index: Option<u32>,
    image_token_id: Option<u32>,
    mm_tokens_per_image: Option<usize>,
    max_position_embeddings: Option<usize>,
    text_config: Option<TextFile>,
    vision_config: Option<VisionFile>,
}

#[derive(Deserialize)]
struct TextFile {
    max_position_embeddings: Option<usize>,
}

#[derive(Deserialize)]
struct VisionFile {
    image_size: Option<usize>,
    patch_size: Option<usize>,
    num_channels: Option<usize>,
}

#[derive(Deserialize)]
struct ProcessorFile {
    image_seq_length: Option<usize>,
    image_processor: Option<ImageFile>,
}

#[derive(Deserialize)]
struct ImageFile {
    do_resize: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    rescale_factor: Option<f64>,
    image_mean: Option<Value>,
    image_std: Option<Value>,
    resample: Option<u32>,
    size: Option<Map<String, Value>>,
}

/// Whether it is a model that sees pictures; refuses what is no Gemma 3.
fn check_model(file: &Document<ConfigFile>) -> Result<bool, Error> {
    match file.value.model_type.as_deref() {
        None | Some("gemma3") => {}
        Some("gemma3_text") => return Ok(false),
        Some(found) => return Err(file.wrong("model_type", &found, "gemma3 or gemma3_text")),
    }
    let channels = file.value.vision_config.as_ref().and_then(|vision| vision.num_channels);
    match channels {
        Some(found) if found != 3 => Err(file.wrong("vision_config.num_channels", &found, "3")),
        _ => Ok(true),
    }
}

/// The id under either spelling (`boi_token_index`, `boi_token_id`); both may stand if they agree.
fn token_id(
    file: &Document<ConfigFile>,
    name: &str,
    spellings: [Option<u32>; 2],
    default: u32,
) -> Result<u32, Error> {
    match spellings {
        [Some(index), Some(id)] if index != id => {
            let field = format!("{name}_token_id");
            Err(file.wrong(&field, &id, &format!("{index}, as in `{name}_token_index`")))
        }
        [index, id] => Ok(index.or(id).unwrap_or(default)),
    }
}

/// Side of the grid of image tokens: the pooled patches must tile the picture exactly. What is wrong: field, value, what is expected.
pub(crate) fn grid_side(
    image_size: usize,
    patch_size: usize,
    tokens: usize,
) -> Result<usize, (&'static str, usize, String)> {
    let field = "mm_tokens_per_image";
    let grid = tokens.isqrt();
    if grid == 0 || tokens > MAX_TOKENS_PER_IMAGE || grid * grid != tokens {
        return Err((field, tokens, "a square number of at most 4096".to_owned()));
    }
    if patch_size == 0 || !image_size.is_multiple_of(patch_size) {
        let expected = format!("a divisor of image_size {image_size}");
        return Err(("vision_config.patch_size", patch_size, expected));
    }
    let patches = image_size / patch_size;
    if !patches.is_multiple_of(grid) {
        let expected = format!("the square of a divisor of {patches} patches per side");
        return Err((field, tokens, expected));
    }
    Ok(grid)
}

fn check_resize(file: &Document<ImageFile>, image_size: u32) -> Result<(), Error> {
    let image = &file.value;
    if image.do_resize == Some(false) {
        return Err(file.wrong("do_resize", &false, "true"));
    }
    match image.resample {
        None | Some(2) => {}
        Some(found) => return Err(file.wrong("resample", &found, "2 (bilinear)")),
    }
    let size = image.size.as_ref().ok_or_else(|| file.missing("size"))?;
    for side in ["height", "width"] {
        let field = format!("size.{side}");
        let found = size.get(side).ok_or_else(|| file.missing(&field))?;
        if found.as_u64() != Some(u64::from(image_size)) {
            let expected = format!("{image_size}, the image_size of the vision tower");
            return Err(file.wrong(&field, &found, &expected));
        }
    }
    Ok(())
}

/// Defaults: `image_processing_gemma3.py` and its base class, transformers 5.23.
fn scaling(file: &Document<ImageFile>) -> Result<Scaling, Error> {
    let image = &file.value;
    let factor = image.rescale_factor.unwrap_or(1.0 / 255.0);
    if !(factor.is_finite() && factor > 0.0) {
        return Err(file.wrong("rescale_factor", &factor, "a positive number"));
    }
    let std = per_channel(file, "image_std", image.image_std.as_ref())?;
    if std.contains(&0.0) {
        return Err(file.wrong("image_std", &0, "numbers other than zero"));
    }
    Ok(Scaling {
        rescale: image.do_rescale.unwrap_or(true).then_some(factor),
        normalize: image
            .do_normalize
            .unwrap_or(true)
            .then_some((per_channel(file, "image_mean", image.image_mean.as_ref())?, std)),
    })
}

/// One number for all channels or three; 0.5 where absent.
fn per_channel(
    file: &Document<ImageFile>,
    field: &str,
    value: Option<&Value>,
) -> Result<[f64; 3], Error> {
    let Some(value) = value else { return Ok([0.5; 3]) };
    if let Some(one) = value.as_f64() {
        return Ok([one; 3]);
    }
    let numbers: Option<Vec<f64>> =
        value.as_array().and_then(|list| list.iter().map(Value::as_f64).collect());
    numbers
        .and_then(|list| list.try_into().ok())
        .ok_or_else(|| file.wrong(field, &value, "a number or three numbers"))
}
