//! The same words of right answers about unseen phantoms, with the checkpoint as it is and in every format.

use std::path::Path;

use anyhow::{Result, ensure};
use attention_relevancy::{rank_correlation, top_overlap};
use medgemma_explainer::{Ask, DtypeSpec, ExplainOptions};
use safetensors::Dtype;
use tempfile::TempDir;

use crate::checkpoint::{config, parameters, with_parameters};
use crate::localize::case::{Case, Language};
use crate::quantised::Format;
use crate::reader::Reader;
use crate::threads::share;

/// The part of a map whose cells count as its hottest.
const HOTTEST: f64 = 0.1;

/// A model that is held against the checkpoint in bfloat16, computed in float32.
pub struct Other {
    /// Its name on the page.
    pub name: String,
    /// Bits for each weight that was quantised; `None`: none was.
    pub bits: Option<f64>,
    folder: Folder,
    dtype: DtypeSpec,
}

enum Folder {
    Own(std::path::PathBuf),
    Made(TempDir),
}

impl Other {
    /// The checkpoint itself with products in bfloat16, then every format with products in float32.
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let mut others = vec![Self {
            name: "bfloat16, products in bfloat16".to_owned(),
            bits: None,
            folder: Folder::Own(folder.to_owned()),
            dtype: DtypeSpec::BFloat16,
        }];
        let (own, layers) = (parameters(folder)?, config(folder)?.text.num_hidden_layers);
        for format in Format::ALL {
            let (changed, bits) = format.applied(&own, layers)?;
            others.push(Self {
                name: format.name().to_owned(),
                bits: Some(bits),
                folder: Folder::Made(with_parameters(folder, &changed, Dtype::F32)?),
                dtype: DtypeSpec::Float32,
            });
        }
        Ok(others)
    }

    fn open(&self) -> Result<Reader> {
        let folder = match &self.folder {
            Folder::Own(folder) => folder,
            Folder::Made(folder) => folder.path(),
        };
        Reader::open_as(folder, self.dtype)
    }
}

/// A word, with the checkpoint and with one other model.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The number of its picture.
    pub picture: u64,
    /// Correlation of the ranks of the cells of both maps.
    pub rank_correlation: f64,
    /// Cells among the hottest tenth of both over those of either.
    pub top_overlap: f64,
    /// Whether the map of the checkpoint points right, and that of the other model.
    pub pointing: [bool; 2],
    /// Log-probability with the other model minus that with the checkpoint, in nats.
    pub change: f64,
}

/// All that was measured of one other model.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// In order of pictures.
    pub words: Vec<Pair>,
    /// Pictures of right answers of the checkpoint, each with whether the other model gives it, too.
    pub answers: Vec<(u64, bool)>,
}

/// Measures every other model on unseen phantoms below `pictures`.
pub fn measure(
    folder: &Path,
    (seed, pictures): (u64, u64),
    others: &[Other],
) -> Result<Vec<Measured>> {
    let folders: Vec<&Other> = others.iter().collect();
    let parts = share(pictures, |indices| {
        let reader = Reader::open_as(folder, DtypeSpec::Float32)?;
        let models = folders.iter().map(|other| other.open()).collect::<Result<Vec<_>>>()?;
        let mut found = vec![Measured::default(); models.len()];
        for index in indices {
            take(&reader, &models, (seed, index), &mut found)?;
        }
        Ok(found)
    })?;
    let mut all = vec![Measured::default(); others.len()];
    for part in parts {
        for (all, part) in all.iter_mut().zip(part) {
            all.words.extend(part.words);
            all.answers.extend(part.answers);
        }
    }
    for found in &mut all {
        found.words.sort_by_key(|pair| pair.picture);
        found.answers.sort_by_key(|&(picture, _)| picture);
    }
    Ok(all)
}

fn take(
    reader: &Reader,
    models: &[Reader],
    (seed, index): (u64, u64),
    found: &mut [Measured],
) -> Result<()> {
    let case = Case::unseen(&Language::Places, seed, index);
    for reading in reader.read(&case.pictures()?, &case.exchanges)? {
        if !reader.agrees(&reading)? {
            continue;
        }
        let explainer = reader.explainer();
        let answer = explainer.given(reading.question.clone(), &reading.text)?;
        let ask =
            |positions: &std::ops::Range<usize>| Ask::Tokens(positions.start..positions.start + 1);
        let asks: Vec<Ask> = reading.words.iter().map(|word| ask(&word.positions)).collect();
        let own = explainer.explain(&answer, &asks, &ExplainOptions::default())?;
        ensure!(own.missing.is_empty(), "{:?}", own.missing);
        for (model, found) in models.iter().zip(&mut *found) {
            found.answers.push((index, model.would_say(&reading)?));
            if asks.is_empty() {
                continue;
            }
            let others = explainer.counterparts(&answer, &own, model.explainer())?;
            for ((target, other), word) in
                own.targets.iter().zip(&others.targets).zip(&reading.words)
            {
                let row = target.relevancy().relevancy().to_vec();
                let [own, map] =
                    [&row, &other.relevancy.to_vec()].map(|row| reading.of_images(row));
                let points = |map: &[f32]| case.measure(map, word.topic).pointing;
                found.words.push(Pair {
                    picture: index,
                    rank_correlation: rank_correlation(&own, &map),
                    top_overlap: top_overlap(&own, &map, HOTTEST),
                    pointing: [points(&own), points(&map)],
                    change: -f64::from(other.gain(target)),
                });
            }
        }
    }
    Ok(())
}
