//! Whether a map depends on what was learnt: layers are given their first, random values again, from the last one down.
//!
//! Adebayo et al., "Sanity Checks for Saliency Maps" (2018), cascading randomization.

use std::path::Path;

use anyhow::Result;
use attention_relevancy::rank_correlation;
use medgemma_explainer::DtypeSpec;
use safetensors::Dtype;

use crate::checkpoint;
use crate::localize::case::{Case, Language};
use crate::localize::methods::Maps;
use crate::localize::settings::Setting;
use crate::parameters::{self, Parameters};
use crate::reader::Reader;
use crate::threads::share;
use model_audit::Estimate;

/// Of the random values; any that is not the one of a training run.
const SEED: u64 = 0x5eed;

/// What is left of the maps when so much of the model is random.
#[derive(Debug, Clone)]
pub struct Stage {
    /// What is random.
    pub name: String,
    /// Rank correlation with the map of the whole model, and share of maps that still point right; for each setting.
    pub settings: Vec<[Option<Estimate>; 2]>,
}

/// The report's words of the first `pictures` phantoms, stage by stage.
pub fn measure(
    folder: &Path,
    (seed, pictures): (u64, u64),
    language: &Language,
    settings: &[Setting],
) -> Result<Vec<Stage>> {
    let stages = stages(checkpoint::config(folder)?.text.num_hidden_layers);
    let parts = share(pictures, |indices| {
        let readers = readers(folder, &stages)?;
        let mut found = Vec::new();
        for index in indices {
            found.extend(compare(&readers, language, (seed, index), settings)?);
        }
        Ok(found)
    })?;
    let items: Vec<Compared> = parts.into_iter().flatten().collect();
    let estimate = |stage: usize, setting: usize, value: fn(&[f64; 2]) -> f64| {
        let of = |item: &Compared| (item.picture, value(&item.values[stage][setting]));
        Estimate::of(&items.iter().map(of).collect::<Vec<_>>())
    };
    let sum = |(at, stage): (usize, &Random)| Stage {
        name: stage.name.clone(),
        settings: (0..settings.len())
            .map(|setting| [estimate(at, setting, |v| v[0]), estimate(at, setting, |v| v[1])])
            .collect(),
    };
    Ok(stages.iter().enumerate().map(sum).collect())
}

/// A word: for each stage and setting, correlation and whether it points right.
struct Compared {
    picture: u64,
    values: Vec<Vec<[f64; 2]>>,
}

struct Random {
    name: String,
    /// Parameters whose names begin with one of these.
    prefixes: Vec<String>,
}

/// Stages of a model with more layers are so many layers apart.
const APART: usize = 6;

/// Nothing, the last layer, the last two, … all layers, everything; of a deep model only some of them.
fn stages(layers: usize) -> Vec<Random> {
    let prefix = |layer: usize| format!("language_model.layers.{layer}.");
    let from = |first: usize| Random {
        name: match layers - first {
            0 => "nothing".to_owned(),
            1 => "the last layer".to_owned(),
            count => format!("the last {count} layers"),
        },
        prefixes: (first..layers).map(prefix).collect(),
    };
    let everything = Random { name: "everything".to_owned(), prefixes: vec![String::new()] };
    let is_shown = |first: &usize| {
        let count = layers - first;
        layers <= APART || count <= 1 || count.is_multiple_of(APART) || *first == 0
    };
    (0..=layers).rev().filter(is_shown).map(from).chain([everything]).collect()
}

/// The checkpoint at every stage: in float32, a deep one in bfloat16.
fn readers(folder: &Path, stages: &[Random]) -> Result<Vec<Reader>> {
    let (config, trained) = (checkpoint::config(folder)?, checkpoint::parameters(folder)?);
    let random = parameters::initial(&config, SEED);
    let (stored, dtype) = match config.text.num_hidden_layers {
        ..=APART => (Dtype::F32, DtypeSpec::Float32),
        _ => (Dtype::BF16, DtypeSpec::BFloat16),
    };
    let reader = |stage: &Random| {
        let mixed = checkpoint::with_parameters(folder, &mixed(&trained, &random, stage), stored)?;
        // The weights stay mapped when the folder is gone.
        Reader::open_as(mixed.path(), dtype)
    };
    stages.iter().map(reader).collect()
}

fn mixed(trained: &Parameters, random: &Parameters, stage: &Random) -> Parameters {
    let is_random = |name: &str| stage.prefixes.iter().any(|prefix| name.starts_with(prefix));
    let choose = |(name, tensor): (&String, &tch::Tensor)| {
        let tensor = if is_random(name) { &random[name] } else { tensor };
        (name.clone(), tensor.shallow_clone())
    };
    trained.iter().map(choose).collect()
}

fn compare(
    readers: &[Reader],
    language: &Language,
    (seed, index): (u64, u64),
    settings: &[Setting],
) -> Result<Vec<Compared>> {
    let case = Case::unseen(language, seed, index);
    let pictures = case.pictures()?;
    let read = |reader: &Reader| -> Result<_> {
        Ok(reader.read(&pictures, &case.exchanges[..1])?.remove(0))
    };
    let reading = read(&readers[0])?;
    if reading.words.is_empty() || !readers[0].agrees(&reading)? {
        return Ok(Vec::new());
    }
    // By stage, setting and word.
    let maps = readers
        .iter()
        .map(|reader| {
            let reading = read(reader)?;
            let maps = Maps::new(reader, &case, &reading)?;
            maps.all(settings, index)
        })
        .collect::<Result<Vec<_>>>()?;
    let word = |at: usize| {
        let topic = reading.words[at].topic;
        let value = |stage: usize, setting: usize| {
            let map = &maps[stage][setting][at];
            let points = case.measure(map, topic).pointing;
            [rank_correlation(map, &maps[0][setting][at]), f64::from(u8::from(points))]
        };
        let of_stage = |stage| (0..settings.len()).map(|setting| value(stage, setting)).collect();
        Compared { picture: index, values: (0..readers.len()).map(of_stage).collect() }
    };
    Ok((0..reading.words.len()).map(word).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_become_random_from_the_last_one_down() {
        let names: Vec<String> = stages(2).into_iter().map(|stage| stage.name).collect();
        assert_eq!(names, ["nothing", "the last layer", "the last 2 layers", "everything"]);
        let parameters = |x: f32| -> Parameters {
            ["language_model.layers.0.a", "language_model.layers.1.a", "vision_tower.b"]
                .map(|name| (name.to_owned(), tch::Tensor::from_slice(&[x])))
                .into()
        };
        let (trained, random) = (parameters(1.0), parameters(0.0));
        let left = |stage: &Random| -> Vec<f64> {
            mixed(&trained, &random, stage).values().map(|t| t.double_value(&[0])).collect()
        };
        let found: Vec<Vec<f64>> = stages(2).iter().map(left).collect();
        assert_eq!(found, [[1., 1., 1.], [1., 0., 1.], [0., 0., 1.], [0., 0., 0.]]);
    }
}
