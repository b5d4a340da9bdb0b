//! What each method says of targets and words, on the page.

use attention_relevancy::ndarray::{Array2, ArrayView2, ArrayView3, Axis, s};
use relevancy_visualization::report::{Attribution, Method, Signs};

use crate::arrays::{Arrays, Rows};
use crate::compared::is_always_there;
use crate::record::{Record, TargetRecord};
use crate::smooth::{gaussian, means};

/// What a method says of one target, or why it says nothing.
type Said<'a> = Result<Attribution<'a>, String>;

/// The most cells along a side of a map of pixels: it is smooth, so that more would show nothing.
const FINEST: usize = 256;

/// The methods of a page, in the order of its switch, with the rows that only a page needs.
pub(super) struct Methods<'a> {
    record: &'a Record,
    arrays: &'a Arrays,
    /// Maps of pixels of each target and image, smooth and no finer than they need be.
    pixels: Option<Vec<Vec<Array2<f32>>>>,
    /// The relevancy of each target minus that on the mean picture, `[T, S]`.
    control: Option<Array2<f32>>,
}

impl<'a> Methods<'a> {
    pub(super) fn new(record: &'a Record, arrays: &'a Arrays) -> Self {
        let targets = &arrays.targets;
        let pixels = targets.pixels.as_ref().map(|targets| {
            let of_target = |images: ArrayView3<'_, f32>| {
                images.outer_iter().map(|map| shown_pixels(record, map)).collect()
            };
            targets.outer_iter().map(of_target).collect()
        });
        let control = targets.blank.as_ref().map(|blank| &targets.relevancy - blank);
        Self { record, arrays, pixels, control }
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<Method> {
        let settings = &self.record.settings;
        let relevancy = Method {
            note: format!("Update: {} · objective: {}", settings.update, settings.objective),
            layers: self.layer_names(),
            ..Method::new("relevancy")
        };
        [Some(relevancy), self.patches(), self.pixels(), self.blank_control()]
            .into_iter()
            .flatten()
            .chain(["raw attention, last layer", "attention rollout"].map(Method::new))
            .chain(self.compared().map(|(index, name)| self.other(index, name)))
            .collect()
    }

    /// What they say of each target.
    pub(super) fn targets(&self) -> impl Iterator<Item = Vec<Said<'_>>> {
        let records = self.record.targets.iter().enumerate();
        records.map(|(index, record)| {
            let pixels = self.pixels.as_ref().map(|pixels| {
                Ok(Attribution {
                    parts: pixels[index].iter().map(|map| map.view()).collect(),
                    ..Attribution::new(self.arrays.targets.relevancy.row(index))
                })
            });
            let control = self.control.as_ref().map(|rows| Ok(Attribution::new(rows.row(index))));
            self.said((&self.arrays.targets, index), record, [pixels, control])
        })
    }

    /// What they say of each word beside the targets.
    pub(super) fn words(&self) -> impl Iterator<Item = Vec<Said<'_>>> {
        let records = self.record.words.iter().enumerate();
        records.map(|(index, record)| {
            let only = |is_there: bool| {
                is_there.then(|| Err("it is made for targets only, not for other words".to_owned()))
            };
            let finer = [only(self.pixels.is_some()), only(self.control.is_some())];
            self.said((&self.arrays.words, index), record, finer)
        })
    }

    /// The row for relevancy, which comes first, and nothing of the other methods.
    pub(super) fn relevancy_alone<'b>(
        &self,
        relevancy: Attribution<'b>,
        why: &str,
    ) -> Vec<Said<'b>> {
        let others = self.names().len() - 1;
        let nothing = (0..others).map(|_| Err(why.to_owned()));
        std::iter::once(Ok(relevancy)).chain(nothing).collect()
    }

    fn said<'b>(
        &'b self,
        (rows, index): (&'b Rows, usize),
        record: &TargetRecord,
        finer: [Option<Said<'b>>; 2],
    ) -> Vec<Said<'b>> {
        let relevancy = || Attribution::new(rows.relevancy.row(index));
        let by_layer = rows.layers.as_ref().map(|layers| {
            (0..layers.len_of(Axis(1))).map(|layer| layers.slice(s![index, layer, ..])).collect()
        });
        let first = Attribution { layers: by_layer.unwrap_or_default(), ..relevancy() };
        let patches = rows.patches.as_ref().map(|patches| {
            let parts = patches.index_axis(Axis(0), index).into_outer_iter().collect();
            Ok(Attribution { parts, ..relevancy() })
        });
        let baselines = [&rows.raw_attention, &rows.rollout]
            .map(|baseline| Ok(Attribution::new(baseline.row(index))));
        let compared = self.compared().map(|(method, _)| {
            let why = record.methods.get(method).and_then(|method| method.unavailable.clone());
            let row = rows.methods.slice(s![method, index, ..]);
            why.map_or_else(|| Ok(Attribution::new(row)), Err)
        });
        let own = [Some(Ok(first)), patches].into_iter().chain(finer).flatten();
        own.chain(baselines).chain(compared).collect()
    }

    /// The methods that were asked for, but for what is there anyway.
    fn compared(&self) -> impl Iterator<Item = (usize, &str)> {
        let names = self.record.settings.methods.iter().map(String::as_str).enumerate();
        names.filter(|(_, name)| !is_always_there(name))
    }

    fn other(&self, index: usize, name: &str) -> Method {
        // Without targets, or without words, there is no array of theirs.
        let below = |rows: &Rows| {
            let of_method = rows.methods.outer_iter().nth(index);
            of_method.is_some_and(|rows| rows.iter().any(|&value| value < 0.0))
        };
        let signed = self.rows().any(below);
        Method { signs: signed.then(for_and_against), ..Method::new(name) }
    }

    fn patches(&self) -> Option<Method> {
        let patches = self.rows().find_map(|rows| rows.patches.as_ref())?;
        Some(Method {
            note: "The relevancy continued through the vision tower. Shares and text are those at token resolution."
                .to_owned(),
            parts: patches.len_of(Axis(3)) / self.columns()?,
            ..Method::new("relevancy of patches")
        })
    }

    fn pixels(&self) -> Option<Method> {
        let width = self.pixels.as_ref()?.first()?.first()?.ncols();
        Some(Method {
            note: format!(
                "{}. Shares and text are those at token resolution.",
                pixel_note(self.record.images.first()?.patches)
            ),
            parts: width / self.columns()?,
            signs: Some(for_and_against()),
            ..Method::new("gradient × input of pixels")
        })
    }

    fn blank_control(&self) -> Option<Method> {
        self.control.as_ref()?;
        let signs = Signs {
            below: "more on the mean picture".to_owned(),
            above: "more on this picture".to_owned(),
        };
        Some(Method {
            note: "The relevancy minus that of the same answer on the mean picture: what the map owes to what the picture shows. Shares are of magnitudes."
                .to_owned(),
            signs: Some(signs),
            ..Method::new("relevancy − that on the mean picture")
        })
    }

    /// Those of targets, then those of words; there may be no target.
    fn rows(&self) -> impl Iterator<Item = &Rows> {
        [&self.arrays.targets, &self.arrays.words].into_iter()
    }

    fn columns(&self) -> Option<usize> {
        Some(self.record.images.first()?.grid[1].max(1))
    }

    /// Row l holds what layers l to the last brought together.
    fn layer_names(&self) -> Vec<String> {
        let layers = self.rows().find_map(|rows| rows.layers.as_ref());
        let count = layers.map_or(0, |layers| layers.len_of(Axis(1)));
        (0..count).map(|layer| format!("layers {layer} to {}", count - 1)).collect()
    }
}

fn for_and_against() -> Signs {
    Signs { below: "speaks against".to_owned(), above: "speaks for".to_owned() }
}

/// How a map of pixels is shown, for people; `patches`: rows and columns of those of its picture.
pub(crate) fn pixel_note(patches: Option<[usize; 2]>) -> String {
    let over = if patches.is_some() { "half a patch" } else { "half a cell" };
    format!("Smoothed for display (Gaussian, σ = {over}); the raw values are in explanation.npz")
}

/// A map of pixels as it is shown: smooth at the scale of half a patch, then the means of blocks.
fn shown_pixels(record: &Record, map: ArrayView2<'_, f32>) -> Array2<f32> {
    let image = record.images.first();
    let grid = image.map_or(1, |image| image.grid[1].max(1));
    let patches = image.and_then(|image| image.patches).map_or(grid, |patches| patches[1].max(1));
    let smooth = gaussian(map, map.ncols() as f64 / patches as f64 / 2.0);
    let of_cell = map.ncols() / grid;
    let parts =
        (1..=of_cell).rev().find(|&parts| of_cell.is_multiple_of(parts) && grid * parts <= FINEST);
    means(smooth.view(), of_cell / parts.unwrap_or(1))
}
