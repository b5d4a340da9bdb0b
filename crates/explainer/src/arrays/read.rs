//! Arrays of a folder, as far as a page is made of them. The file may be anybody's: what is read is bounded by what the record
//! beside it lets expect.

use attention_relevancy::ndarray::{Array, Array2, Array3, ArrayView, Dimension, Ix2, Ix3, Ix4};
use ndarray_npy::ViewNpyExt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zip::ZipArchive;

use super::{Arrays, Rows, VersusRows};
use crate::{Error, Record};

/// The header of an array takes no more.
const HEADER: u64 = 4096;
/// Bytes of an array that is read at all: the relevancy by layer of 600 words over 85 pictures takes as many.
const MOST: u64 = 2 << 30;

impl Arrays {
    /// Reads the arrays that a record speaks of.
    ///
    /// # Errors
    /// [`Error::ReadArrays`], with the name of the array that is missing, no array or of another shape.
    pub(crate) fn read(path: &Path, record: &Record) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| wrong(path, "", source))?;
        let archive = ZipArchive::new(file).map_err(|source| wrong(path, "", source))?;
        let mut reader = Reader { path, archive };
        let rows = [record.targets.len(), record.words.len()];
        let targets = reader.rows(
            ["token_relevancy", "raw_attention", "token_relevancy_rollout"],
            (record.settings.layers && 0 < rows[0]).then_some("token_relevancy_by_layer"),
            [rows[0], record.tokens.len()],
        )?;
        let words = if rows[1] == 0 {
            Rows::new(&[], record.tokens.len())
        } else {
            reader.rows(
                ["word_relevancy", "word_raw_attention", "word_relevancy_rollout"],
                record.settings.layers.then_some("word_relevancy_by_layer"),
                [rows[1], record.tokens.len()],
            )?
        };
        let [mut targets, mut words] = [targets, words];
        let methods = record.settings.methods.len();
        if methods > 0 {
            let shape = |count| [methods, count, record.tokens.len()].map(Some);
            if rows[0] > 0 {
                targets.methods = reader.array::<Ix3>("method_rows", &shape(rows[0]))?;
            }
            if rows[1] > 0 {
                words.methods = reader.array::<Ix3>("word_method_rows", &shape(rows[1]))?;
            }
        }
        if let Some([height, width]) = record.images.first().and_then(|image| image.patches) {
            let shape = |count| [count, record.images.len(), height, width].map(Some);
            if rows[0] > 0 {
                targets.patches = Some(reader.array::<Ix4>("patch_relevancy", &shape(rows[0]))?);
            }
            if rows[1] > 0 {
                words.patches = Some(reader.array::<Ix4>("word_patch_relevancy", &shape(rows[1]))?);
            }
        }
        if let Some([height, width]) = record.images.first().and_then(|image| image.pixels) {
            let shape = [rows[0], record.images.len(), height, width].map(Some);
            targets.pixels = Some(reader.array::<Ix4>("pixel_gradient_input", &shape)?);
        }
        if record.targets.iter().any(|target| target.control.is_some()) {
            let shape = [rows[0], record.tokens.len()].map(Some);
            targets.blank = Some(reader.array::<Ix2>("token_relevancy_blank", &shape)?);
        }
        let versus = reader.versus([record.versus.len(), record.tokens.len()])?;
        let region_weights = record.regions.as_ref().map(|regions| {
            let [height, width] = record.images.first().map_or([0, 0], |image| image.grid);
            let shape = [regions.names.len(), record.images.len(), height, width];
            reader.array::<Ix4>("region_weights", &shape.map(Some))
        });
        Ok(Self { targets, words, versus, region_weights: region_weights.transpose()? })
    }
}

struct Reader<'a> {
    path: &'a Path,
    archive: ZipArchive<File>,
}

impl Reader<'_> {
    fn rows(
        &mut self,
        [relevancy, raw_attention, rollout]: [&str; 3],
        layers: Option<&str>,
        [count, tokens]: [usize; 2],
    ) -> Result<Rows, Error> {
        let shape = [Some(count), Some(tokens)];
        let by_layer = [Some(count), None, Some(tokens)];
        let layers: Option<Array3<f32>> =
            layers.map(|name| self.array::<Ix3>(name, &by_layer)).transpose()?;
        Ok(Rows {
            relevancy: self.array::<Ix2>(relevancy, &shape)?,
            raw_attention: self.array::<Ix2>(raw_attention, &shape)?,
            rollout: self.array::<Ix2>(rollout, &shape)?,
            layers,
            methods: Array3::zeros((0, count, tokens)),
            patches: None,
            pixels: None,
            blank: None,
        })
    }

    /// No rows where there are no phrases: then the file has none.
    fn versus(&mut self, [count, tokens]: [usize; 2]) -> Result<VersusRows, Error> {
        let mut rows = |name| {
            if count == 0 {
                return Ok(Array2::zeros((0, tokens)));
            }
            self.array::<Ix2>(name, &[Some(count), Some(tokens)])
        };
        let [phrase, against, contrast] = VersusRows::NAMES;
        let [phrase, against, contrast] = [rows(phrase)?, rows(against)?, rows(contrast)?];
        Ok(VersusRows { phrase, against, contrast })
    }

    /// An array of float32 of this shape; `None` is any length that is sane.
    fn array<D: Dimension>(
        &mut self,
        name: &str,
        shape: &[Option<usize>],
    ) -> Result<Array<f32, D>, Error> {
        const LONGEST: usize = 1000;
        let path = self.path;
        let numbers = shape.iter().fold(1_u64, |numbers, &length| {
            numbers.saturating_mul(length.unwrap_or(LONGEST) as u64)
        });
        let most = numbers.saturating_mul(4).saturating_add(HEADER).min(MOST);
        let entry = self.archive.by_name(&format!("{name}.npy"));
        let entry = entry.map_err(|source| wrong(path, name, source))?;
        if most < entry.size() {
            return Err(wrong(
                path,
                name,
                "it is larger than the record lets expect, or than 2 GiB",
            ));
        }
        // Words, so that the numbers lie where float32 may lie.
        let mut words = vec![0_u64; entry.size().div_ceil(8) as usize];
        let bytes = &mut bytemuck::cast_slice_mut(&mut words)[..entry.size() as usize];
        let size = bytes.len() as u64;
        let mut content = entry.take(size);
        content.read_exact(bytes).map_err(|source| wrong(path, name, source))?;
        let view = ArrayView::<f32, D>::view_npy(bytes);
        let view = view.map_err(|source| wrong(path, name, source))?;
        let fits = |(&found, &wanted): (&usize, &Option<usize>)| {
            wanted.is_none_or(|wanted| found == wanted)
        };
        if !view.shape().iter().zip(shape).all(fits) {
            let found = view.shape();
            return Err(wrong(
                path,
                name,
                format!("its shape {found:?} is not that of the record"),
            ));
        }
        Ok(view.to_owned())
    }
}

fn wrong(path: &Path, name: &str, source: impl ToString) -> Error {
    let array = if name.is_empty() { String::new() } else { format!(", array {name}") };
    Error::ReadArrays { path: path.to_owned(), array, problem: source.to_string() }
}
