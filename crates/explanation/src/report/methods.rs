//! What each method says of targets and words, on the page.

use attention_relevancy::Backward;
use attention_relevancy::ndarray::{Array1, Array2, ArrayView2};
use relevancy_visualization::report::{Attribution, Method, Signs};

use crate::smooth::{gaussian, means};
use crate::{ComparedMethod, Explained, TargetExplanation};

/// What a method says of one target, or why it says nothing.
type Said<'a> = Result<Attribution<'a>, String>;

/// The most cells along a side of a map of pixels: it is smooth, so that more would show nothing.
const FINEST: usize = 256;

/// The methods of a page, in the order of its switch, with the rows that only a page needs.
pub(super) struct Methods<'a> {
    explained: &'a Explained<'a>,
    /// Those that were asked for.
    compared: Vec<ComparedMethod>,
    /// Maps of pixels of each target and image, smooth and no finer than they need be.
    pixels: Option<Vec<Vec<Array2<f32>>>>,
    /// The relevancy of each target minus that on the mean picture `[S]`.
    control: Option<Vec<Array1<f32>>>,
    /// The relevancy of each target with the other model `[S]`, and its own minus that.
    others: Option<Vec<[Array1<f32>; 2]>>,
    /// A row that says nothing `[S]`.
    zero: Array1<f32>,
}

impl<'a> Methods<'a> {
    pub(super) fn new(explained: &'a Explained<'a>) -> Self {
        let targets = explained.targets.iter();
        let pixels = targets.clone().map(|target| {
            let maps = (0..explained.images.len()).map(|image| {
                Some(shown_pixels(
                    explained,
                    target.explanation.finer(image)?.pixels.as_ref()?.view(),
                ))
            });
            maps.collect::<Option<Vec<_>>>().filter(|maps| !maps.is_empty())
        });
        let others = targets.clone().map(|target| {
            let counterpart = target.counterpart.as_ref()?;
            Some([counterpart.relevancy.clone(), counterpart.difference(&target.explanation)])
        });
        let control =
            targets.map(|target| Some(target.control.as_ref()?.difference(&target.explanation)));
        Self {
            compared: explained.methods(),
            pixels: pixels.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()),
            control: control.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()),
            others: others.collect::<Option<Vec<_>>>().filter(|all| !all.is_empty()),
            zero: Array1::zeros(explained.tokens.len()),
            explained,
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<Method> {
        let settings = &self.explained.settings;
        let mut note = format!("Update: {} · objective: {}", settings.update, settings.objective);
        if settings.backward != Backward::Gradient.name() {
            note = format!("{note} · backward rule: {}", settings.backward);
        }
        if 1 < settings.path_points {
            note = format!("{note} · {}", super::path(settings.path_points));
        }
        let relevancy = Method { note, layers: self.layer_names(), ..Method::new("relevancy") };
        [Some(relevancy), self.patches(), self.pixels(), self.blank_control()]
            .into_iter()
            .flatten()
            .chain(self.of_other_model().into_iter().flatten())
            .chain(["raw attention, last layer", "attention rollout"].map(Method::new))
            .chain(self.compared().map(|(index, method)| self.other(index, &method.name)))
            .collect()
    }

    /// What they say of each target.
    pub(super) fn targets(&self) -> impl Iterator<Item = Vec<Said<'_>>> {
        self.explained.targets.iter().enumerate().map(|(index, target)| {
            let pixels = self.pixels.as_ref().map(|pixels| {
                let parts = pixels[index].iter().map(|map| map.view()).collect();
                Ok(Attribution { parts, ..relevancy(&target.explanation) })
            });
            let control = self.control.as_ref();
            let control = control.map(|rows| Ok(Attribution::new(rows[index].view())));
            let rows = self.others.as_ref().map(|others| &others[index]);
            let [other, difference] =
                [0, 1].map(|which| rows.map(|rows| Ok(Attribution::new(rows[which].view()))));
            self.said(&target.explanation, [pixels, control, other, difference])
        })
    }

    /// What they say of each word beside the targets.
    pub(super) fn words(&self) -> impl Iterator<Item = Vec<Said<'_>>> {
        self.explained.words.iter().map(|word| {
            let only = |is_there: bool| {
                is_there.then(|| Err("it is made for targets only, not for other words".to_owned()))
            };
            let [other, difference] = [(); 2].map(|()| only(self.others.is_some()));
            let finer =
                [only(self.pixels.is_some()), only(self.control.is_some()), other, difference];
            self.said(&word.explanation, finer)
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
        target: &'b TargetExplanation,
        finer: [Option<Said<'b>>; 4],
    ) -> Vec<Said<'b>> {
        let layers = target.layers().map(|layers| layers.outer_iter().collect());
        let first = Attribution { layers: layers.unwrap_or_default(), ..relevancy(target) };
        let images = 0..self.explained.images.len();
        let patches = images.map(|image| Some(target.finer(image)?.patches.view()));
        let patches = patches.collect::<Option<Vec<_>>>().filter(|parts| !parts.is_empty());
        let patches = patches.map(|parts| Ok(Attribution { parts, ..relevancy(target) }));
        let baselines = [target.raw_attention(), target.rollout()]
            .map(|baseline| Ok(Attribution::new(baseline.view())));
        let compared = self.compared().map(|(method, _)| match target.methods().get(method) {
            Some(Ok(row)) => Ok(Attribution::new(row.view())),
            Some(Err(why)) => Err(why.to_string()),
            None => Ok(Attribution::new(self.zero.view())),
        });
        let own = [Some(Ok(first)), patches].into_iter().chain(finer).flatten();
        own.chain(baselines).chain(compared).collect()
    }

    /// The methods that were asked for, but for what is there anyway.
    fn compared(&self) -> impl Iterator<Item = (usize, &ComparedMethod)> {
        let all = self.compared.iter().enumerate();
        all.filter(|(_, method)| !method.is_always_there())
    }

    fn other(&self, index: usize, name: &str) -> Method {
        let below = |target: &TargetExplanation| {
            let row = target.methods().get(index).and_then(|row| row.as_ref().ok());
            row.is_some_and(|row| row.iter().any(|&value| value < 0.0))
        };
        let signed = self.explained.all().any(below);
        Method { signs: signed.then(for_and_against), ..Method::new(name) }
    }

    fn patches(&self) -> Option<Method> {
        let map = self.explained.all().find_map(|target| target.finer(0))?;
        Some(Method {
            note: "The relevancy continued through the vision tower. Shares and text are those at token resolution."
                .to_owned(),
            parts: map.patches.ncols() / self.columns()?,
            ..Method::new("relevancy of patches")
        })
    }

    fn pixels(&self) -> Option<Method> {
        let width = self.pixels.as_ref()?.first()?.first()?.ncols();
        Some(Method {
            note: format!(
                "{}. Shares and text are those at token resolution.",
                pixel_note(patch_columns(self.explained).is_some())
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

    /// The relevancy with the other model, and the difference of both.
    fn of_other_model(&self) -> Option<[Method; 2]> {
        self.others.as_ref()?;
        let name = self.explained.other_model.as_ref()?.name();
        let signs =
            Signs { below: format!("more with {name}"), above: "more with this model".to_owned() };
        let other = Method {
            note: "The same words of the same answer, explained with the other model.".to_owned(),
            ..Method::new(format!("relevancy with {name}"))
        };
        let difference = Method {
            note: "The relevancy minus that with the other model. Shares are of magnitudes."
                .to_owned(),
            signs: Some(signs),
            ..Method::new(format!("relevancy − that with {name}"))
        };
        Some([other, difference])
    }

    fn columns(&self) -> Option<usize> {
        Some(self.explained.images.first()?.grid[1].max(1))
    }

    /// Row l holds what layers l to the last brought together.
    fn layer_names(&self) -> Vec<String> {
        let layers = self.explained.all().find_map(TargetExplanation::layers);
        let count = layers.map_or(0, Array2::nrows);
        (0..count).map(|layer| format!("layers {layer} to {}", count - 1)).collect()
    }
}

fn for_and_against() -> Signs {
    Signs { below: "speaks against".to_owned(), above: "speaks for".to_owned() }
}

/// The relevancy of a target as a method of the page.
fn relevancy(target: &TargetExplanation) -> Attribution<'_> {
    Attribution::new(target.relevancy().relevancy())
}

/// How a map of pixels is shown, for people.
fn pixel_note(has_patches: bool) -> String {
    let over = if has_patches { "half a patch" } else { "half a cell" };
    format!("Smoothed for display (Gaussian, σ = {over}); the raw values are in explanation.npz")
}

/// Columns of the patches of the first image, where it has any.
fn patch_columns(explained: &Explained<'_>) -> Option<usize> {
    Some(explained.all().next()?.finer(0)?.patches.ncols())
}

/// A map of pixels as it is shown: smooth at the scale of half a patch, then the means of blocks.
fn shown_pixels(explained: &Explained<'_>, map: ArrayView2<'_, f32>) -> Array2<f32> {
    let grid = explained.images.first().map_or(1, |image| image.grid[1].max(1));
    let patches = patch_columns(explained).map_or(grid, |columns| columns.max(1));
    let smooth = gaussian(map, map.ncols() as f64 / patches as f64 / 2.0);
    let of_cell = map.ncols() / grid;
    let parts =
        (1..=of_cell).rev().find(|&parts| of_cell.is_multiple_of(parts) && grid * parts <= FINEST);
    means(smooth.view(), of_cell / parts.unwrap_or(1))
}
