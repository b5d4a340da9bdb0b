//! Everything that an export is made of, gathered once.

use attention_relevancy::ndarray::{Array2, ArrayView1};
use gemma3_tch::StopReason;
use relevancy_visualization::{
    AnswerBox, Error as VisualizationError, Frame, GridMap, HOT_QUANTILE, Localization, Outline,
    Placement, Region, RegionScore, RegionSpec, answer_boxes, image::RgbImage, localization,
    region_scores, region_weights,
};

use crate::{Answer, Error, Explainer, Explanations, Presentation, Profile, TargetExplanation};

/// What a reader must know of an explanation by the rules of [`Profile::Seed`].
const SEED: &str = "this reproduces the public Python program, with what it does against its own method: a second <bos>, image tokens \
    that see only what is before them, keywords within one token; do not use it for anything but comparisons with it";

/// A region with how much of each cell of an image it covers, `[rows, columns]`.
type Weighted = (Region, Array2<f32>);

/// An explained answer with all that is shown of it.
pub(crate) struct Results<'a> {
    pub(crate) explainer: &'a Explainer,
    pub(crate) answer: &'a Answer,
    pub(crate) explanations: &'a Explanations,
    pub(crate) presentation: &'a Presentation,
    /// The boxes that the model wrote about the only picture, with where they lie in it.
    pub(crate) boxes: Vec<(AnswerBox, Region)>,
    /// For each image the regions of its picture, in one order for all images, with how much of each cell they cover.
    regions: Vec<Vec<Weighted>>,
    /// For each image what is drawn in outline over it: found once, because that of a mask looks at every pixel.
    outlines: Vec<Vec<Outline>>,
    notes: Vec<String>,
}

impl<'a> Results<'a> {
    /// # Errors
    /// Regions that cannot be read, or that cover nothing of any image.
    pub(crate) fn new(
        explainer: &'a Explainer,
        answer: &'a Answer,
        explanations: &'a Explanations,
        presentation: &'a Presentation,
    ) -> Result<Self, Error> {
        let mut notes = cut_off(answer).into_iter().collect::<Vec<_>>();
        notes.extend(explanations.missing.iter().map(|missing| missing.reason.clone()));
        notes.extend(explanations.notes.iter().cloned());
        if explainer.profile == Profile::Seed {
            notes.push(SEED.to_owned());
        }
        notes.extend(explanations.versus.iter().flat_map(|versus| versus.notes.clone()));
        let boxes = boxes(answer, &mut notes);
        let mut results = Self {
            explainer,
            answer,
            explanations,
            presentation,
            boxes,
            regions: Vec::new(),
            outlines: Vec::new(),
            notes,
        };
        if let Some(spec) = &presentation.regions {
            results.regions = results.find_regions(spec)?;
        }
        results.outlines =
            (0..results.images()).map(|image| results.find_outlines(image)).collect();
        Ok(results)
    }

    /// The picture that image `image` shows.
    pub(crate) fn picture(&self, image: usize) -> &'a RgbImage {
        picture(self.answer, image)
    }

    /// Where image `image` lies in its picture.
    pub(crate) fn placement(&self, image: usize) -> Placement {
        placement(self.answer, image)
    }

    pub(crate) fn images(&self) -> usize {
        self.answer.prepared.images.len()
    }

    /// What a reader should be told.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    /// What is drawn in outline over image `image`: the boxes of the answer, and regions that a file names.
    pub(crate) fn outlines(&self, image: usize) -> Vec<Outline> {
        self.outlines[image].clone()
    }

    fn find_outlines(&self, image: usize) -> Vec<Outline> {
        let boxes = self.boxes.iter().map(|(_, region)| region.outline());
        let drawn = matches!(self.presentation.regions, Some(RegionSpec::File(_)));
        let regions = self.regions.get(image).into_iter().flatten().filter(|_| drawn);
        boxes.chain(regions.map(|(region, _)| region.outline())).collect()
    }

    /// The names of the regions, the same for all images.
    pub(crate) fn region_names(&self) -> Vec<String> {
        let first = self.regions.first().into_iter().flatten();
        first.map(|(region, _)| region.name.clone()).collect()
    }

    /// What must be said beside numbers of the regions.
    pub(crate) fn region_note(&self) -> Option<String> {
        let spec = self.presentation.regions.as_ref()?;
        spec.note(self.presentation.overlay.orientation)
    }

    /// The relevancy of a target in each region that covers something of image `image`.
    pub(crate) fn region_scores(
        &self,
        target: &TargetExplanation,
        image: usize,
    ) -> Result<Vec<RegionScore>, Error> {
        let grid = self.cells(image, target.relevancy().relevancy());
        let map = GridMap { grid: grid.view(), placement: self.placement(image) };
        let all = self.regions.get(image).into_iter().flatten();
        let within = all.filter(|(_, weights)| covers(weights)).map(|(region, _)| region.clone());
        let size = self.picture(image).dimensions();
        Ok(region_scores(&map, size, &within.collect::<Vec<_>>())?)
    }

    /// How a target agrees with each of the boxes.
    pub(crate) fn localizations(
        &self,
        target: &TargetExplanation,
    ) -> Result<Vec<Localization>, Error> {
        if self.boxes.is_empty() {
            return Ok(Vec::new());
        }
        let grid = self.cells(0, target.relevancy().relevancy());
        let map = GridMap { grid: grid.view(), placement: self.placement(0) };
        let size = self.picture(0).dimensions();
        let agreement =
            |(_, region): &(AnswerBox, Region)| Ok(localization(&map, size, region, HOT_QUANTILE)?);
        self.boxes.iter().map(agreement).collect()
    }

    /// The values of a row `[S]` at the cells of image `image`, `[rows, columns]`.
    pub(crate) fn cells(&self, image: usize, row: ArrayView1<'_, f32>) -> Array2<f32> {
        let image = &self.answer.prepared.images[image];
        let [rows, columns] = image.grid;
        Array2::from_shape_fn((rows, columns), |(y, x)| row[image.span.start + y * columns + x])
    }

    /// The name of the picture that image `image` shows, without its folder.
    pub(crate) fn picture_name(&self, image: usize) -> String {
        let name = self.answer.question.pictures[self.answer.prepared.images[image].picture].name();
        let file = std::path::Path::new(name).file_name();
        file.map_or_else(|| name.to_owned(), |file| file.to_string_lossy().into_owned())
    }

    /// How much of each cell of image `image` each region covers, `[rows, columns]` in the order of the names.
    pub(crate) fn region_weights(&self, image: usize) -> impl Iterator<Item = &Array2<f32>> {
        self.regions.get(image).into_iter().flatten().map(|(_, weights)| weights)
    }

    fn find_regions(&self, spec: &RegionSpec) -> Result<Vec<Vec<Weighted>>, Error> {
        let of_image = |image: usize| {
            let frame = Frame {
                size: self.picture(image).dimensions(),
                seen: self.placement(image),
                orientation: self.presentation.overlay.orientation,
            };
            let weighted = |region: Region| {
                cell_weights(self.answer, image, &region).map(|weights| (region, weights))
            };
            spec.regions(&frame)?.into_iter().map(weighted).collect::<Result<Vec<_>, _>>()
        };
        let regions: Vec<Vec<_>> = (0..self.images()).map(of_image).collect::<Result<_, _>>()?;
        for (index, (region, _)) in regions.first().into_iter().flatten().enumerate() {
            if !regions.iter().any(|of_image| covers(&of_image[index].1)) {
                return Err(VisualizationError::EmptyRegion { name: region.name.clone() }.into());
            }
        }
        Ok(regions)
    }
}

/// What a reader must know of an answer that did not come to its end.
fn cut_off(answer: &Answer) -> Option<String> {
    let tokens = answer.generated.tokens.len();
    match answer.generated.stop {
        StopReason::Limit if answer.options().is_some_and(|options| options.stop) => Some(format!(
            "the answer was cut off after {tokens} tokens, the most that were allowed; it would have gone on"
        )),
        StopReason::Context => Some(format!(
            "the answer was cut off after {tokens} tokens, because the model's context is full"
        )),
        _ => None,
    }
}

fn covers(weights: &Array2<f32>) -> bool {
    weights.iter().any(|&weight| weight > 0.0)
}

/// The boxes of an answer about one picture: with several, nothing says which one a box is about.
fn boxes(answer: &Answer, notes: &mut Vec<String>) -> Vec<(AnswerBox, Region)> {
    let found = answer_boxes(answer.text());
    for (_, why) in &found.rejected {
        notes.push(format!("a box in the answer is not valid: {why}"));
    }
    if answer.question.pictures.len() != 1 {
        if !found.boxes.is_empty() {
            notes.push("boxes in the answer are not drawn: there are several pictures".to_owned());
        }
        return Vec::new();
    }
    let mut boxes = Vec::new();
    for found in found.boxes {
        let region = found.region(&placement(answer, 0));
        match cell_weights(answer, 0, &region) {
            Ok(weights) if covers(&weights) => boxes.push((found, region)),
            _ => notes
                .push(format!("a box in the answer lies outside the picture: {:?}", found.box_2d)),
        }
    }
    boxes
}

/// How much of each cell of image `image` lies in a region of its picture.
fn cell_weights(
    answer: &Answer,
    image: usize,
    region: &Region,
) -> Result<Array2<f32>, VisualizationError> {
    let [rows, columns] = answer.prepared.images[image].grid;
    let cells = Array2::zeros((rows, columns));
    let map = GridMap { grid: cells.view(), placement: placement(answer, image) };
    region_weights(&map, picture(answer, image).dimensions(), region)
}

/// The picture that image `image` shows.
pub(crate) fn picture(answer: &Answer, image: usize) -> &RgbImage {
    answer.question.pictures[answer.prepared.images[image].picture].rgb()
}

/// Where image `image` lies in its picture.
pub(crate) fn placement(answer: &Answer, image: usize) -> Placement {
    let region = answer.prepared.images[image].geometry.region;
    Placement {
        x0: region.x,
        y0: region.y,
        x1: region.x + region.width,
        y1: region.y + region.height,
    }
}
