//! Arrays written. Names, shapes and units are in `docs/record.md`.

use std::fs::File;
use std::path::Path;

use attention_relevancy::ndarray::{
    Array, Array1, Array2, Array3, Array4, ArrayView1, ArrayView2, Axis, Dimension, s, stack,
};
use attention_relevancy::{HeadShares, PatchMap};
use ndarray_npy::{NpzWriter, WritableElement};

use super::VERSUS;
use crate::{Error, Explained, ExplainedTarget, Shown, TargetExplanation, Versus};

/// Writes the arrays of an explained answer.
///
/// # Errors
/// [`Error::Write`] and [`Error::WriteArrays`].
pub(crate) fn write(explained: &Explained<'_>, path: &Path) -> Result<(), Error> {
    let file = File::create(path).map_err(Error::write(path))?;
    let mut npz = Writer { path, npz: NpzWriter::new_compressed(file) };
    let ids = explained.tokens.iter().map(|token| i64::from(token.id));
    npz.add("full_ids", &ids.collect::<Array1<i64>>())?;
    targets(explained, &mut npz)?;
    words(explained, &mut npz)?;
    versus(explained, &mut npz)?;
    certificates(explained, &mut npz)?;
    npz.add_some("region_weights", region_weights(explained).as_ref())?;
    method_ids(explained, &mut npz)?;
    let finished = npz.npz.finish().map(drop);
    finished.map_err(|source| Error::WriteArrays { path: path.to_owned(), source })
}

fn targets(explained: &Explained<'_>, npz: &mut Writer<'_>) -> Result<(), Error> {
    let (all, rows) = (&explained.targets, Rows::new(&explained.targets, explained));
    let finer = |of: fn(&PatchMap) -> Option<&Array2<f32>>| finer(explained, all, of);
    npz.add("targets", &bounds(all))?;
    npz.add("token_relevancy", &rows.relevancy)?;
    npz.add("image_relevancy", &images(explained))?;
    npz.add("raw_attention", &rows.raw_attention)?;
    npz.add("token_relevancy_rollout", &rows.rollout)?;
    npz.add_some("token_relevancy_by_layer", rows.layers.as_ref())?;
    npz.add_some("method_rows", rows.methods.as_ref())?;
    heads(all, npz)?;
    npz.add_some("patch_relevancy", finer(|map| Some(&map.patches)).as_ref())?;
    let unpooled = finer(|map| Some(&map.unpooled).filter(|map| !map.is_empty()));
    npz.add_some("patch_relevancy_unpooled", unpooled.as_ref())?;
    npz.add_some("pixel_gradient_input", finer(|map| map.pixels.as_ref()).as_ref())?;
    npz.add_some("token_relevancy_blank", blank_rows(all).as_ref())?;
    npz.add_some("token_relevancy_other", other_rows(all).as_ref())
}

fn words(explained: &Explained<'_>, npz: &mut Writer<'_>) -> Result<(), Error> {
    let all = &explained.words;
    if all.is_empty() {
        return Ok(());
    }
    let rows = Rows::new(all, explained);
    npz.add("words", &bounds(all))?;
    npz.add("word_relevancy", &rows.relevancy)?;
    npz.add("word_raw_attention", &rows.raw_attention)?;
    npz.add("word_relevancy_rollout", &rows.rollout)?;
    npz.add_some("word_relevancy_by_layer", rows.layers.as_ref())?;
    npz.add_some("word_method_rows", rows.methods.as_ref())?;
    let patches = finer(explained, all, |map| Some(&map.patches));
    npz.add_some("word_patch_relevancy", patches.as_ref())
}

/// Of what was certified, C targets or, without any, words: the curves by operator `[C, O, 2, F]` (most relevant first, least relevant first;
/// not a number where there are none), the shares `[F]` and the order of the cells `[C, n]`.
fn certificates(explained: &Explained<'_>, npz: &mut Writer<'_>) -> Result<(), Error> {
    let Some(settings) = &explained.certificate else { return Ok(()) };
    let all = explained.targets.iter().chain(&explained.words);
    let all: Vec<_> = all.filter_map(|target| target.certificate.as_deref()).collect();
    let ends = |inner: &[f64]| [&[0.0], inner, &[1.0]].concat();
    let shares = ends(&settings.fractions);
    let cells = all.iter().map(|found| found.order.len()).max().unwrap_or(0);
    let size = (all.len(), settings.operators.len(), 2, shares.len());
    let curves = Array4::from_shape_fn(size, |(target, operator, which, at)| {
        let found = all[target].get(settings.operators[operator]);
        let curve = found.map(|it| if which == 0 { &it.most_first } else { &it.least_first });
        curve.and_then(|curve| curve.get(at)).map_or(f32::NAN, |&left| left as f32)
    });
    let order = |(target, place): (usize, usize)| {
        all[target].order.get(place).map_or(-1, |&position| position as i64)
    };
    npz.add("certificate_fractions", &Array1::from_iter(shares))?;
    npz.add("certificate_curves", &curves)?;
    npz.add("certificate_order", &Array2::from_shape_fn((all.len(), cells), order))
}

/// What single heads did `[T, L, H]`, and the maps of those of one layer `[T, H, S]`.
fn heads(targets: &[ExplainedTarget<'_>], npz: &mut Writer<'_>) -> Result<(), Error> {
    let kept = |of: fn(&HeadShares) -> Option<&Array2<f32>>| {
        stacked(
            targets.iter().map(|target| of(target.explanation.heads()?).map(|rows| rows.view())),
        )
    };
    npz.add_some("head_carried", kept(|heads| Some(&heads.carried)).as_ref())?;
    npz.add_some("head_entropy", kept(|heads| Some(&heads.entropy)).as_ref())?;
    npz.add_some("head_image_share", kept(|heads| Some(&heads.image)).as_ref())?;
    let maps = kept(|heads| Some(&heads.maps.as_ref()?.attention));
    npz.add_some("head_attention", maps.as_ref())?;
    let maps = kept(|heads| Some(&heads.maps.as_ref()?.gradient_attention));
    npz.add_some("head_gradient_attention", maps.as_ref())
}

/// Where the phrases stand `[V, 2]`, and their rows; nothing where there are none.
fn versus(explained: &Explained<'_>, npz: &mut Writer<'_>) -> Result<(), Error> {
    let (all, tokens) = (&explained.versus, explained.tokens.len());
    if all.is_empty() {
        return Ok(());
    }
    npz.add("versus", &ranges(all.iter().map(|versus| versus.positions.clone())))?;
    let rows: [fn(&Versus) -> ArrayView1<'_, f32>; 3] = [
        |versus| versus.phrase.relevancy.view(),
        |versus| versus.against.relevancy.view(),
        |versus| versus.contrast.view(),
    ];
    for (name, row) in VERSUS.into_iter().zip(rows) {
        npz.add(name, &table(all.iter().map(row), tokens))?;
    }
    Ok(())
}

/// The stable ids of the methods `[M, W]`: bytes of their names, filled up with zeros to the longest.
fn method_ids(explained: &Explained<'_>, npz: &mut Writer<'_>) -> Result<(), Error> {
    let ids = &explained.settings.method_ids;
    let width = ids.iter().map(|id| id.name().len()).max().unwrap_or(0);
    if ids.is_empty() {
        return Ok(());
    }
    let byte = |(method, at): (usize, usize)| {
        ids[method].name().as_bytes().get(at).copied().unwrap_or_default()
    };
    npz.add("method_ids", &Array2::from_shape_fn((ids.len(), width), byte))
}

/// Rows of some explanations.
struct Rows {
    relevancy: Array2<f32>,
    raw_attention: Array2<f32>,
    rollout: Array2<f32>,
    layers: Option<Array3<f32>>,
    /// Of the methods, where any were asked for.
    methods: Option<Array3<f32>>,
}

impl Rows {
    fn new(all: &[ExplainedTarget<'_>], explained: &Explained<'_>) -> Self {
        let tokens = explained.tokens.len();
        let rows = |row: fn(&TargetExplanation) -> ArrayView1<'_, f32>| {
            table(all.iter().map(|target| row(&target.explanation)), tokens)
        };
        let layers = all.iter().map(|target| target.explanation.layers().map(|rows| rows.view()));
        let has_methods = !explained.settings.methods.is_empty();
        Self {
            relevancy: rows(|target| target.relevancy().relevancy()),
            raw_attention: rows(|target| target.raw_attention().view()),
            rollout: rows(|target| target.rollout().view()),
            layers: stacked(layers),
            methods: has_methods.then(|| methods(all, tokens)),
        }
    }
}

/// Rows `[S]` as `[T, S]`.
fn table<'a>(
    rows: impl ExactSizeIterator<Item = ArrayView1<'a, f32>>,
    tokens: usize,
) -> Array2<f32> {
    let mut all = Array2::zeros((rows.len(), tokens));
    for (row, mut out) in rows.zip(all.outer_iter_mut()) {
        out.assign(&row);
    }
    all
}

/// First position of each and the one behind its last, `[T, 2]`.
fn bounds(all: &[ExplainedTarget<'_>]) -> Array2<i64> {
    ranges(all.iter().map(|target| target.explanation.positions()))
}

fn ranges(ranges: impl Iterator<Item = std::ops::Range<usize>>) -> Array2<i64> {
    let ends: Vec<i64> = ranges.flat_map(|range| [range.start as i64, range.end as i64]).collect();
    Array2::from_shape_vec((ends.len() / 2, 2), ends).expect("two for each")
}

/// `[M, T, S]`; zero where a method has nothing to say.
fn methods(all: &[ExplainedTarget<'_>], tokens: usize) -> Array3<f32> {
    let count = all.first().map_or(0, |first| first.explanation.methods().len());
    let mut rows = Array3::zeros((count, all.len(), tokens));
    for (target, of_target) in all.iter().enumerate() {
        for (method, row) in of_target.explanation.methods().iter().enumerate() {
            if let Ok(row) = row {
                rows.slice_mut(s![method, target, ..]).assign(row);
            }
        }
    }
    rows
}

/// Arrays of one shape as one, where all are there and there are any.
fn stacked<'a>(arrays: impl Iterator<Item = Option<ArrayView2<'a, f32>>>) -> Option<Array3<f32>> {
    let all = arrays.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty())?;
    Some(stack(Axis(0), &all).expect("one shape for all targets"))
}

/// One of the finer maps of every image, `[T, N, side, side]`, where all have it.
fn finer(
    explained: &Explained<'_>,
    all: &[ExplainedTarget<'_>],
    of: impl Fn(&PatchMap) -> Option<&Array2<f32>>,
) -> Option<Array4<f32>> {
    let first = of(all.first()?.explanation.finer(0)?)?.dim();
    let mut maps = Array4::zeros((all.len(), explained.images(), first.0, first.1));
    for (target, mut of_target) in all.iter().zip(maps.outer_iter_mut()) {
        for (image, mut map) in of_target.outer_iter_mut().enumerate() {
            map.assign(of(target.explanation.finer(image)?)?);
        }
    }
    Some(maps)
}

/// The relevancy of each target on the mean picture `[T, S]`, where that was asked for.
fn blank_rows(targets: &[ExplainedTarget<'_>]) -> Option<Array2<f32>> {
    let rows = targets.iter().map(|target| Some(target.control.as_ref()?.relevancy.view()));
    stack(Axis(0), &rows.collect::<Option<Vec<_>>>()?).ok()
}

/// The relevancy of each target with the other model `[T, S]`, where there is one.
fn other_rows(targets: &[ExplainedTarget<'_>]) -> Option<Array2<f32>> {
    let rows = targets.iter().map(|target| Some(target.counterpart.as_ref()?.relevancy.view()));
    stack(Axis(0), &rows.collect::<Option<Vec<_>>>()?).ok()
}

/// `[T, N, g, g]`.
fn images(explained: &Explained<'_>) -> Array4<f32> {
    per_image(explained, explained.targets.len(), |target, image| {
        let row = explained.targets[target].explanation.relevancy().relevancy();
        explained.cells(image, row)
    })
}

/// `[R, N, g, g]`.
fn region_weights(explained: &Explained<'_>) -> Option<Array4<f32>> {
    let names = explained.regions.as_ref().map_or(0, |regions| regions.names.len());
    (0 < names).then(|| {
        per_image(explained, names, |region, image| {
            explained.images[image].region_weights[region].clone()
        })
    })
}

/// `[count, N, g, g]`; every image of a model has the same grid.
fn per_image(
    explained: &Explained<'_>,
    count: usize,
    grid: impl Fn(usize, usize) -> Array2<f32>,
) -> Array4<f32> {
    let images = &explained.images;
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
