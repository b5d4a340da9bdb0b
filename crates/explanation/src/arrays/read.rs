//! Arrays read. The file may be anybody's: what is read is bounded by what the record
//! beside it lets expect.

use attention_relevancy::ndarray::{Array, Array2, Array3, ArrayView, Dim, Dimension};
use ndarray_npy::ViewNpyExt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zip::ZipArchive;

use super::{Arrays, Rows, VERSUS};
use crate::stored::unpacked_at_most;
use crate::{Error, record::Record};

/// The header of an array takes no more.
const HEADER: u64 = 4096;

impl Arrays {
    /// Reads the arrays that a record speaks of.
    ///
    /// # Errors
    /// [`Error::ReadArrays`], with the name of the array that is missing, no array, of another shape or with a value that is no
    /// number; and where all together are larger than the file lets expect, before any is read.
    pub(crate) fn read(path: &Path, record: &Record) -> Result<Self, Error> {
        let failed = |source: std::io::Error| wrong(path, "", source);
        // To open a pipe is to wait for it.
        let found = path.metadata().map_err(failed)?;
        if !found.is_file() {
            return Err(wrong(path, "", "it is not a file"));
        }
        let file = File::open(path).map_err(failed)?;
        let archive = ZipArchive::new(file).map_err(|source| wrong(path, "", source))?;
        let mut reader = Reader { path, archive };
        let has = |name: &str| reader.archive.index_for_name(&format!("{name}.npy")).is_some();
        let wanted = Wanted::of(record, has);
        reader.check(&wanted, found.len())?;
        let [targets, words] = [&wanted.targets, &wanted.words].map(|rows| reader.rows(rows));
        let (targets, words) = (targets?, words?);
        let versus = reader.versus(&wanted.versus)?;
        let region_weights = reader.some(wanted.region_weights.as_ref())?;
        let head_maps = wanted.head_maps.iter().flatten().map(|maps| reader.array(maps));
        let head_maps = head_maps.collect::<Result<Vec<_>, _>>()?.try_into().ok();
        Ok(Self { targets, words, versus, region_weights, head_maps })
    }
}

/// An array of N dimensions.
type Floats<const N: usize> = Array<f32, Dim<[usize; N]>>;

/// An array of float32 that a record speaks of.
struct Named<const N: usize> {
    name: &'static str,
    shape: [usize; N],
}

/// All that a record speaks of.
struct Wanted {
    targets: WantedRows,
    words: WantedRows,
    versus: [Named<2>; 3],
    region_weights: Option<Named<4>>,
    /// Attention and gradient-weighted attention of the heads of one layer.
    head_maps: Option<[Named<3>; 2]>,
}

/// The arrays of [`Rows`].
struct WantedRows {
    /// Relevancy, raw attention, rollout.
    tokens: [Named<2>; 3],
    layers: Option<Named<3>>,
    methods: Option<Named<3>>,
    patches: Option<Named<4>>,
    unpooled: Option<Named<4>>,
    pixels: Option<Named<4>>,
    blank: Option<Named<2>>,
    other: Option<Named<2>>,
    /// Where there are no words, their arrays are not in the file.
    is_absent: bool,
}

impl Wanted {
    fn of(record: &Record, has: impl Fn(&str) -> bool) -> Self {
        let (images, tokens) = (record.images.len(), record.tokens.len());
        let first = record.images.first();
        let mut explained = record.targets.iter().chain(&record.words);
        let layers = explained.find_map(|target| target.by_layer.as_ref());
        let layers = layers.map(|layers| layers.image_share.len());
        let layers = record.settings.layers.then(|| layers.unwrap_or(0));
        let methods = record.settings.methods.len();
        let rows = |count: usize, names: [&'static str; 6]| WantedRows {
            tokens: [names[0], names[1], names[2]]
                .map(|name| Named { name, shape: [count, tokens] }),
            layers: layers
                .filter(|_| 0 < count)
                .map(|layers| Named { name: names[3], shape: [count, layers, tokens] }),
            methods: (0 < methods && 0 < count)
                .then(|| Named { name: names[4], shape: [methods, count, tokens] }),
            patches: first.and_then(|image| image.patches).filter(|_| 0 < count).map(
                |[height, width]| Named { name: names[5], shape: [count, images, height, width] },
            ),
            unpooled: None,
            pixels: None,
            blank: None,
            other: None,
            is_absent: false,
        };
        let targets = [
            "token_relevancy",
            "raw_attention",
            "token_relevancy_rollout",
            "token_relevancy_by_layer",
            "method_rows",
            "patch_relevancy",
        ];
        let words = [
            "word_relevancy",
            "word_raw_attention",
            "word_relevancy_rollout",
            "word_relevancy_by_layer",
            "word_method_rows",
            "word_patch_relevancy",
        ];
        let region_weights = record.regions.as_ref().map(|regions| {
            let [height, width] = first.map_or([0, 0], |image| image.grid);
            Named { name: "region_weights", shape: [regions.names.len(), images, height, width] }
        });
        let targets = rows(record.targets.len(), targets);
        let count = record.targets.len();
        let targets = WantedRows {
            // A file of before it was kept does not have it.
            unpooled: targets
                .patches
                .as_ref()
                .map(|patches| Named { name: "patch_relevancy_unpooled", shape: patches.shape })
                .filter(|unpooled| has(unpooled.name)),
            pixels: first.and_then(|image| image.pixels).map(|[height, width]| Named {
                name: "pixel_gradient_input",
                shape: [count, images, height, width],
            }),
            blank: record
                .targets
                .iter()
                .any(|target| target.control.is_some())
                .then_some(Named { name: "token_relevancy_blank", shape: [count, tokens] }),
            other: record
                .targets
                .iter()
                .any(|target| target.counterpart.is_some())
                .then_some(Named { name: "token_relevancy_other", shape: [count, tokens] }),
            ..targets
        };
        Self {
            targets,
            words: WantedRows {
                is_absent: record.words.is_empty(),
                ..rows(record.words.len(), words)
            },
            versus: VERSUS.map(|name| Named { name, shape: [record.versus.len(), tokens] }),
            region_weights,
            head_maps: head_maps(record).filter(|[maps, _]| has(maps.name)),
        }
    }

    /// Name and bytes of every array that must be in the file.
    fn sizes(&self) -> Vec<(&'static str, u64)> {
        let mut sizes = Vec::new();
        for rows in [&self.targets, &self.words].into_iter().filter(|rows| !rows.is_absent) {
            sizes.extend(rows.tokens.iter().map(Named::size));
            sizes.extend(rows.layers.iter().map(Named::size));
            sizes.extend(rows.methods.iter().map(Named::size));
            sizes.extend(rows.patches.iter().map(Named::size));
            sizes.extend(rows.unpooled.iter().map(Named::size));
            sizes.extend(rows.pixels.iter().map(Named::size));
            sizes.extend(rows.blank.iter().map(Named::size));
            sizes.extend(rows.other.iter().map(Named::size));
        }
        if 0 < self.versus[0].shape[0] {
            sizes.extend(self.versus.iter().map(Named::size));
        }
        sizes.extend(self.region_weights.iter().map(Named::size));
        sizes.extend(self.head_maps.iter().flatten().map(Named::size));
        sizes
    }
}

/// The maps of the heads of one layer, where the record speaks of them.
fn head_maps(record: &Record) -> Option<[Named<3>; 2]> {
    let by_head = record.targets.first()?.by_head.as_ref()?;
    by_head.map_layer?;
    let heads = by_head.carried.first()?.len();
    let shape = [record.targets.len(), heads, record.tokens.len()];
    Some(["head_attention", "head_gradient_attention"].map(|name| Named { name, shape }))
}

impl<const N: usize> Named<N> {
    fn size(&self) -> (&'static str, u64) {
        let numbers = self.shape.iter().fold(1_u64, |all, &side| all.saturating_mul(side as u64));
        (self.name, numbers.saturating_mul(4))
    }
}

impl Rows {
    /// Those of no explanation.
    fn none(tokens: usize) -> Self {
        let [relevancy, raw_attention, rollout] =
            std::array::from_fn(|_| Array2::zeros((0, tokens)));
        Self {
            relevancy,
            raw_attention,
            rollout,
            layers: None,
            methods: Array3::zeros((0, 0, tokens)),
            patches: None,
            unpooled: None,
            pixels: None,
            blank: None,
            other: None,
        }
    }
}

struct Reader<'a> {
    path: &'a Path,
    archive: ZipArchive<File>,
}

impl Reader<'_> {
    /// Whether each array is as large as the record says, and all together no larger than the file lets expect.
    fn check(&mut self, wanted: &Wanted, packed: u64) -> Result<(), Error> {
        let path = self.path;
        let sizes = wanted.sizes();
        for &(name, bytes) in &sizes {
            let entry = self.archive.by_name(&format!("{name}.npy"));
            let found = entry.map_err(|source| wrong(path, name, source))?.size();
            if found < bytes || bytes.saturating_add(HEADER) < found {
                let problem =
                    format!("it has {found} bytes, and the record speaks of {bytes} of numbers");
                return Err(wrong(path, name, problem));
            }
        }
        let all = sizes.iter().fold(0_u64, |all, (_, bytes)| all.saturating_add(*bytes));
        if unpacked_at_most(packed) < all {
            let problem =
                format!("its arrays take {all} bytes, more than a file of {packed} bytes can hold");
            return Err(wrong(path, "", problem));
        }
        Ok(())
    }

    fn rows(&mut self, wanted: &WantedRows) -> Result<Rows, Error> {
        let [relevancy, raw_attention, rollout] = &wanted.tokens;
        let [count, tokens] = relevancy.shape;
        let no_methods = || Array3::zeros((0, count, tokens));
        if wanted.is_absent {
            return Ok(Rows::none(tokens));
        }
        Ok(Rows {
            relevancy: self.array(relevancy)?,
            raw_attention: self.array(raw_attention)?,
            rollout: self.array(rollout)?,
            layers: self.some(wanted.layers.as_ref())?,
            methods: self.some(wanted.methods.as_ref())?.unwrap_or_else(no_methods),
            patches: self.some(wanted.patches.as_ref())?,
            unpooled: self.some(wanted.unpooled.as_ref())?,
            pixels: self.some(wanted.pixels.as_ref())?,
            blank: self.some(wanted.blank.as_ref())?,
            other: self.some(wanted.other.as_ref())?,
        })
    }

    /// No rows where there are no phrases: then the file has none.
    fn versus(&mut self, wanted: &[Named<2>; 3]) -> Result<[Array2<f32>; 3], Error> {
        let mut rows = |wanted: &Named<2>| match wanted.shape {
            [0, tokens] => Ok(Array2::zeros((0, tokens))),
            _ => self.array(wanted),
        };
        let [phrase, against, contrast] = wanted;
        Ok([rows(phrase)?, rows(against)?, rows(contrast)?])
    }

    fn some<const N: usize>(
        &mut self,
        wanted: Option<&Named<N>>,
    ) -> Result<Option<Floats<N>>, Error>
    where
        Dim<[usize; N]>: Dimension,
    {
        wanted.map(|wanted| self.array(wanted)).transpose()
    }

    /// An array whose size was checked.
    fn array<const N: usize>(&mut self, wanted: &Named<N>) -> Result<Floats<N>, Error>
    where
        Dim<[usize; N]>: Dimension,
    {
        let (path, name) = (self.path, wanted.name);
        let entry = self.archive.by_name(&format!("{name}.npy"));
        let entry = entry.map_err(|source| wrong(path, name, source))?;
        let size = entry.size();
        // Words, so that the numbers lie where float32 may lie.
        let mut words = vec![0_u64; size.div_ceil(8) as usize];
        let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..size as usize];
        entry.take(size).read_exact(bytes).map_err(|source| wrong(path, name, source))?;
        let view = ArrayView::<f32, Dim<[usize; N]>>::view_npy(bytes);
        let view = view.map_err(|source| wrong(path, name, source))?;
        if view.shape() != wanted.shape {
            let found = view.shape();
            let problem = format!("its shape {found:?} is not that of the record");
            return Err(wrong(path, name, problem));
        }
        if let Some(value) = view.iter().find(|value| !value.is_finite()) {
            return Err(wrong(path, name, format!("it holds the value {value}")));
        }
        Ok(view.to_owned())
    }
}

fn wrong(path: &Path, name: &str, source: impl ToString) -> Error {
    let array = if name.is_empty() { String::new() } else { format!(", array {name}") };
    Error::ReadArrays { path: path.to_owned(), array, problem: source.to_string() }
}
