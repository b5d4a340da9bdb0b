//! What the metadata of GGUF files say about prompts and pictures.

use std::path::Path;

use quantised_weights::{Gguf, Value};

use crate::Error;
use crate::config::{ImageFacts, MAX_IMAGE_SIZE, grid_side};
use crate::pixels::Scaling;
use crate::processor::Sight;
use crate::prompt::ImageWords;
use crate::template::{self, ChatTemplate};
use crate::tokenizer::TextTokenizer;

/// The token that a prompt begins with, and its id.
pub(crate) fn begin_token(model: &Gguf, tokenizer: &TextTokenizer) -> Result<(String, u32), Error> {
    let key = "tokenizer.ggml.bos_token_id";
    let id = match model.metadata().get(key) {
        None => return Err(model.wrong(key, "is missing").into()),
        Some(&Value::Unsigned(id)) => u32::try_from(id).ok(),
        Some(_) => None,
    };
    let token = id.and_then(|id| Some((tokenizer.token(id)?, id)));
    token.ok_or_else(|| model.wrong(key, "is no token of the vocabulary").into())
}

/// The chat template, that in the file that was `given` or the model's, if there is one.
pub(crate) fn template(
    model: &Gguf,
    tokenizer: &TextTokenizer,
    given: Option<&Path>,
    trusted: bool,
) -> Result<Option<ChatTemplate>, Error> {
    let source = match given {
        Some(path) => Some(template::file(path)?),
        None => model.optional_text("tokenizer.chat_template")?.map(str::to_owned),
    };
    let Some(source) = source else { return Ok(None) };
    let token = |key: &str| match model.metadata().get(key) {
        Some(&Value::Unsigned(id)) => u32::try_from(id).ok().and_then(|id| tokenizer.token(id)),
        _ => None,
    };
    let tokens = [
        ("bos_token", "tokenizer.ggml.bos_token_id"),
        ("eos_token", "tokenizer.ggml.eos_token_id"),
        ("unk_token", "tokenizer.ggml.unknown_token_id"),
        ("pad_token", "tokenizer.ggml.padding_token_id"),
    ];
    let tokens = tokens.into_iter().filter_map(|(name, key)| Some((name, token(key)?)));
    let tokens = tokens.map(|(name, token)| (name.to_owned(), token.into())).collect();
    let path = given.unwrap_or_else(|| model.path()).to_owned();
    ChatTemplate::new(path, source, tokens, trusted).map(Some)
}

/// How pictures are seen, by the file of the vision tower.
pub(crate) fn sight(model: &Gguf, file: &Gguf, tokenizer: &TextTokenizer) -> Result<Sight, Error> {
    let image_size = file.size("clip.vision.image_size", MAX_IMAGE_SIZE)?;
    let patch_size = file.size("clip.vision.patch_size", MAX_IMAGE_SIZE)?;
    let merged = file.optional_size("clip.vision.projector.scale_factor", 64)?.unwrap_or(4);
    let tokens_per_image = (image_size / patch_size / merged).pow(2);
    let grid =
        grid_side(image_size, patch_size, tokens_per_image).map_err(|(_, _, expected)| {
            let reason =
                format!("is {image_size} with patches of {patch_size}: expected {expected}");
            file.wrong("clip.vision.image_size", reason)
        })?;
    let id = |token: &str| {
        tokenizer.id(token).ok_or_else(|| {
            let reason = format!("has no token {token}, which stands for a part of a picture");
            model.wrong("tokenizer.ggml.tokens", reason)
        })
    };
    let words = ["<start_of_image>", "<image_soft_token>", "<end_of_image>"];
    let [boi, image, eoi] = [id(words[0])?, id(words[1])?, id(words[2])?];
    let facts =
        ImageFacts { boi, eoi, image, tokens_per_image, grid, image_size: image_size as u32 };
    let (mean, std) = (channels(file, "image_mean")?, channels(file, "image_std")?);
    if std.contains(&0.0) {
        return Err(file.wrong("clip.vision.image_std", "has a zero").into());
    }
    let scaling = Scaling { rescale: Some(1.0 / 255.0), normalize: Some((mean, std)) };
    Ok(Sight { words: ImageWords::new(&facts, words.map(str::to_owned)), facts, scaling })
}

/// Three finite numbers; 0.5 where the file has none.
fn channels(file: &Gguf, name: &str) -> Result<[f64; 3], Error> {
    let key = format!("clip.vision.{name}");
    if !file.metadata().contains_key(&key) {
        return Ok([0.5; 3]);
    }
    let numbers: Vec<f64> = file.floats(&key)?.iter().map(|&number| f64::from(number)).collect();
    let found = <[f64; 3]>::try_from(numbers).ok();
    let found = found.filter(|found| found.iter().all(|number| number.is_finite()));
    found.ok_or_else(|| file.wrong(&key, "is not three numbers").into())
}
