//! The numbers of an export: `explanation.npz`, written and read.

use attention_capture::{HeadShares, PatchMap};
use attention_relevancy::ndarray::{
    Array, Array1, Array2, Array3, Array4, ArrayView2, Axis, Dimension, s, stack,
};
use ndarray_npy::{NpzWriter, WritableElement};
use std::fs::File;
use std::path::Path;

use crate::results::Results;
use crate::{Error, TargetExplanation};
pub(crate) use versus::VersusRows;

mod read;
mod versus;

/// Rows of some explanations.
pub(crate) struct Rows {
    /// `[T, S]`.
    pub(crate) relevancy: Array2<f32>,
    /// `[T, S]`.
    pub(crate) raw_attention: Array2<f32>,
    /// `[T, S]`.
    pub(crate) rollout: Array2<f32>,
    /// The relevancy at the input of each layer `[T, L, S]`.
    pub(crate) layers: Option<Array3<f32>>,
    /// Of the methods beside them, `[M, T, S]`; zero where one has nothing to say.
    pub(crate) methods: Array3<f32>,
    /// The relevancy of patches `[T, N, p, p]`.
    pub(crate) patches: Option<Array4<f32>>,
    /// Gradient × input of pixels, signed, `[T, N, s, s]`; of targets only.
    pub(crate) pixels: Option<Array4<f32>>,
    /// The relevancy on the mean picture `[T, S]`; of targets only.
    pub(crate) blank: Option<Array2<f32>>,
}

/// What an export holds of its explanations. Symbols: S tokens, T targets, W words, N images of g × g cells, p × p patches and s × s
/// pixels, L layers, R regions.
pub(crate) struct Arrays {
    pub(crate) targets: Rows,
    /// None are no rows.
    pub(crate) words: Rows,
    pub(crate) versus: VersusRows,
    /// How much of each cell a region covers, `[R, N, g, g]`.
    pub(crate) region_weights: Option<Array4<f32>>,
}

impl Arrays {
    pub(crate) fn new(results: &Results<'_>) -> Self {
        let (explanations, tokens) = (results.explanations, results.answer.tokens.len());
        Self {
            targets: Rows {
                pixels: finer(results, &explanations.targets, |map| map.pixels.as_ref()),
                blank: blank_rows(results),
                ..Rows::new(&explanations.targets, tokens)
                    .with_patches(results, &explanations.targets)
            },
            words: Rows::new(&explanations.words, tokens)
                .with_patches(results, &explanations.words),
            versus: VersusRows::new(results),
            region_weights: region_weights(results),
        }
    }

    /// Writes them, with the token ids, the positions of the explanations and the relevancy of images by cell.
    pub(crate) fn write(&self, results: &Results<'_>, path: &Path) -> Result<(), Error> {
        let file = File::create(path).map_err(Error::write(path))?;
        let mut npz = Writer { path, npz: NpzWriter::new_compressed(file) };
        let explanations = results.explanations;
        let ids = results.answer.sequence.ids().iter();
        npz.add("full_ids", &ids.map(|&id| i64::from(id)).collect::<Array1<i64>>())?;
        npz.add("targets", &bounds(&explanations.targets))?;
        npz.add("token_relevancy", &self.targets.relevancy)?;
        npz.add("image_relevancy", &images(results))?;
        npz.add("raw_attention", &self.targets.raw_attention)?;
        npz.add("token_relevancy_rollout", &self.targets.rollout)?;
        npz.add_some("token_relevancy_by_layer", self.targets.layers.as_ref())?;
        if !explanations.options.methods.is_empty() {
            npz.add("method_rows", &self.targets.methods)?;
        }
        Self::write_heads(&explanations.targets, &mut npz)?;
        npz.add_some("patch_relevancy", self.targets.patches.as_ref())?;
        let targets = &explanations.targets;
        npz.add_some(
            "patch_relevancy_unpooled",
            finer(results, targets, |map| Some(&map.unpooled)).as_ref(),
        )?;
        npz.add_some("pixel_gradient_input", self.targets.pixels.as_ref())?;
        npz.add_some("token_relevancy_blank", self.targets.blank.as_ref())?;
        if !explanations.words.is_empty() {
            npz.add("words", &bounds(&explanations.words))?;
            npz.add("word_relevancy", &self.words.relevancy)?;
            npz.add("word_raw_attention", &self.words.raw_attention)?;
            npz.add("word_relevancy_rollout", &self.words.rollout)?;
            npz.add_some("word_relevancy_by_layer", self.words.layers.as_ref())?;
            if !explanations.options.methods.is_empty() {
                npz.add("word_method_rows", &self.words.methods)?;
            }
            npz.add_some("word_patch_relevancy", self.words.patches.as_ref())?;
        }
        self.versus.write(&mut npz, results)?;
        npz.add_some("region_weights", self.region_weights.as_ref())?;
        let finished = npz.npz.finish().map(drop);
        finished.map_err(|source| Error::WriteArrays { path: path.to_owned(), source })
    }
}

impl Arrays {
    /// What single heads did `[T, L, H]`, and the maps of those of one layer `[T, H, S]`.
    fn write_heads(targets: &[TargetExplanation], npz: &mut Writer<'_>) -> Result<(), Error> {
        let kept = |of: fn(&HeadShares) -> Option<&Array2<f32>>| {
            stacked(targets.iter().map(|target| of(target.heads()?).map(|array| array.view())))
        };
        npz.add_some("head_carried", kept(|heads| Some(&heads.carried)).as_ref())?;
        npz.add_some("head_entropy", kept(|heads| Some(&heads.entropy)).as_ref())?;
        npz.add_some("head_image_share", kept(|heads| Some(&heads.image)).as_ref())?;
        let maps = kept(|heads| Some(&heads.maps.as_ref()?.attention));
        npz.add_some("head_attention", maps.as_ref())?;
        let maps = kept(|heads| Some(&heads.maps.as_ref()?.gradient_attention));
        npz.add_some("head_gradient_attention", maps.as_ref())
    }
}

impl Rows {
    fn new(explanations: &[TargetExplanation], tokens: usize) -> Self {
        let rows = |row: fn(&TargetExplanation) -> Array1<f32>| {
            let mut rows = Array2::zeros((explanations.len(), tokens));
            for (target, mut out) in explanations.iter().zip(rows.axis_iter_mut(Axis(0))) {
                out.assign(&row(target));
            }
            rows
        };
        Self {
            relevancy: rows(|target| target.relevancy().relevancy().to_owned()),
            raw_attention: rows(|target| target.raw_attention().clone()),
            rollout: rows(|target| target.rollout().clone()),
            layers: layers(explanations),
            methods: methods(explanations, tokens),
            patches: None,
            pixels: None,
            blank: None,
        }
    }

    fn with_patches(self, results: &Results<'_>, explanations: &[TargetExplanation]) -> Self {
        Self { patches: finer(results, explanations, |map| Some(&map.patches)), ..self }
    }
}

/// First position of each and the one behind its last, `[T, 2]`.
fn bounds(explanations: &[TargetExplanation]) -> Array2<i64> {
    Array2::from_shape_fn((explanations.len(), 2), |(row, column)| {
        let positions = explanations[row].positions();
        if column == 0 { positions.start as i64 } else { positions.end as i64 }
    })
}

/// `[T, L, S]`, where they were kept.
fn layers(explanations: &[TargetExplanation]) -> Option<Array3<f32>> {
    stacked(explanations.iter().map(|target| target.layers().map(|rows| rows.view())))
}

/// `[M, T, S]`.
fn methods(explanations: &[TargetExplanation], tokens: usize) -> Array3<f32> {
    let count = explanations.first().map_or(0, |first| first.methods().len());
    let mut all = Array3::zeros((count, explanations.len(), tokens));
    for (target, explanation) in explanations.iter().enumerate() {
        for (method, row) in explanation.methods().iter().enumerate() {
            if let Ok(row) = row {
                all.slice_mut(s![method, target, ..]).assign(row);
            }
        }
    }
    all
}

/// Arrays of one shape as one, where all are there and there are any.
fn stacked<'a>(arrays: impl Iterator<Item = Option<ArrayView2<'a, f32>>>) -> Option<Array3<f32>> {
    let all = arrays.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())?;
    Some(stack(Axis(0), &all).expect("one shape for all targets"))
}

/// One of the finer maps of every image, `[T, N, side, side]`, where all have it.
fn finer(
    results: &Results<'_>,
    explanations: &[TargetExplanation],
    of: impl Fn(&PatchMap) -> Option<&Array2<f32>>,
) -> Option<Array4<f32>> {
    let first = of(explanations.first()?.finer(0)?)?.dim();
    let mut all = Array4::zeros((explanations.len(), results.images(), first.0, first.1));
    for (explanation, mut maps) in explanations.iter().zip(all.outer_iter_mut()) {
        for (image, mut map) in maps.outer_iter_mut().enumerate() {
            map.assign(of(explanation.finer(image)?)?);
        }
    }
    Some(all)
}

/// The relevancy of each target on the mean picture `[T, S]`, where that was asked for.
fn blank_rows(results: &Results<'_>) -> Option<Array2<f32>> {
    let control = results.explanations.control.as_ref()?;
    let rows: Vec<_> = control.targets.iter().map(|target| target.relevancy.view()).collect();
    stack(Axis(0), &rows).ok()
}

/// `[T, N, g, g]`.
fn images(results: &Results<'_>) -> Array4<f32> {
    let targets = &results.explanations.targets;
    per_image(results, targets.len(), |target, image| {
        results.cells(image, targets[target].relevancy().relevancy())
    })
}

fn region_weights(results: &Results<'_>) -> Option<Array4<f32>> {
    let names = results.region_names();
    (!names.is_empty()).then(|| {
        per_image(results, names.len(), |region, image| {
            results.region_weights(image).nth(region).expect("regions are alike").clone()
        })
    })
}

/// `[count, N, g, g]`; every image of a model has the same grid.
fn per_image(
    results: &Results<'_>,
    count: usize,
    grid: impl Fn(usize, usize) -> Array2<f32>,
) -> Array4<f32> {
    let images = &results.answer.prepared.images;
    let [rows, columns] = images.first().map_or([0, 0], |image| image.grid);
    let mut all = Array4::zeros((count, images.len(), rows, columns));
    for (index, mut of_one) in all.outer_iter_mut().enumerate() {
        for (image, mut cells) in of_one.outer_iter_mut().enumerate() {
            cells.assign(&grid(index, image));
        }
    }
    all
}

struct Writer<'a> {
    path: &'a Path,
    npz: NpzWriter<File>,
}

impl Writer<'_> {
    fn add<T: WritableElement, D: Dimension>(
        &mut self,
        name: &str,
        array: &Array<T, D>,
    ) -> Result<(), Error> {
        let added = self.npz.add_array(name, array);
        added.map_err(|source| Error::WriteArrays { path: self.path.to_owned(), source })
    }

    fn add_some<D: Dimension>(
        &mut self,
        name: &str,
        array: Option<&Array<f32, D>>,
    ) -> Result<(), Error> {
        array.map_or(Ok(()), |array| self.add(name, array))
    }
}
