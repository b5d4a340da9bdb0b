//! What is found in the pictures and in the answer: regions with the relevancy in them, boxes that the model wrote.

use attention_relevancy::ndarray::Array2;
use relevancy_visualization::{
    Error as VisualizationError, Frame, GridMap, HOT_QUANTILE, Localization, Region, RegionScore,
    RegionSpec, Shape, answer_boxes, localization, region_scores, region_weights,
};

use crate::record::{BoxRecord, RegionsRecord};
use crate::{Error, Explained, ExplainedTarget, Presentation, Shown, TargetExplanation};

/// A region with how much of each cell of an image it covers, `[rows, columns]`.
type Weighted = (Region, Array2<f32>);

/// A box of the answer with where it lies in the picture.
type FoundBox = (BoxRecord, Region);

impl Explained<'_> {
    /// The same with the regions that `presentation` asks for, the boxes of the answer, and how much of each target lies in them.
    ///
    /// # Errors
    /// Regions that cannot be read, or that cover nothing of any image.
    pub fn with_findings(mut self, presentation: &Presentation) -> Result<Self, Error> {
        let boxes = self.find_boxes();
        let mut regions = Vec::new();
        if let Some(spec) = &presentation.regions {
            regions = self.find_regions(spec)?;
            let first = regions.first().into_iter().flatten();
            self.regions = Some(RegionsRecord {
                spec: match spec {
                    RegionSpec::File(path) => presentation.shown_path(path),
                    other => other.to_string(),
                },
                note: spec.note(self.orientation(Some(0))),
                names: first.map(|(region, _)| region.name.clone()).collect(),
            });
        }
        self.draw_outlines(presentation, &boxes, &regions);
        let mut targets = std::mem::take(&mut self.targets);
        for target in &mut targets {
            self.score(target, &boxes, &regions)?;
        }
        self.targets = targets;
        self.boxes = boxes.into_iter().map(|(found, _)| found).collect();
        let weights = |of_image: Vec<Weighted>| of_image.into_iter().map(|(_, cells)| cells);
        for (image, of_image) in self.images.iter_mut().zip(regions) {
            image.region_weights = weights(of_image).collect();
        }
        Ok(self)
    }

    /// For each image its outlines: the boxes of the answer, and regions that a file names. Found once, because that of a mask looks at
    /// every pixel.
    fn draw_outlines(
        &mut self,
        presentation: &Presentation,
        boxes: &[FoundBox],
        regions: &[Vec<Weighted>],
    ) {
        let drawn = matches!(presentation.regions, Some(RegionSpec::File(_)));
        for (index, image) in self.images.iter_mut().enumerate() {
            let regions = regions.get(index).into_iter().flatten().filter(|_| drawn);
            let boxes = boxes.iter().map(|(_, region)| region.outline());
            image.outlines = boxes.chain(regions.map(|(region, _)| region.outline())).collect();
        }
    }

    /// How much of a target lies in each region that reaches into an image, and how it agrees with each box.
    fn score(
        &self,
        target: &mut ExplainedTarget<'_>,
        boxes: &[FoundBox],
        regions: &[Vec<Weighted>],
    ) -> Result<(), Error> {
        for (image, of_image) in regions.iter().enumerate() {
            let scores = self.region_scores(&target.explanation, image, of_image)?;
            target.regions.extend(scores.into_iter().map(|score| (image, score)));
        }
        target.boxes = self.localizations(&target.explanation, boxes)?;
        Ok(())
    }

    fn region_scores(
        &self,
        target: &TargetExplanation,
        image: usize,
        regions: &[Weighted],
    ) -> Result<Vec<RegionScore>, Error> {
        let grid = self.cells(image, target.relevancy().relevancy());
        let map = GridMap { grid: grid.view(), placement: self.placement(image) };
        let within = regions.iter().filter(|(_, weights)| covers(weights));
        let within: Vec<Region> = within.map(|(region, _)| region.clone()).collect();
        Ok(region_scores(&map, self.picture(image).dimensions(), &within)?)
    }

    fn localizations(
        &self,
        target: &TargetExplanation,
        boxes: &[FoundBox],
    ) -> Result<Vec<Localization>, Error> {
        if boxes.is_empty() {
            return Ok(Vec::new());
        }
        let grid = self.cells(0, target.relevancy().relevancy());
        let map = GridMap { grid: grid.view(), placement: self.placement(0) };
        let size = self.picture(0).dimensions();
        let agreement =
            |(_, region): &FoundBox| Ok(localization(&map, size, region, HOT_QUANTILE)?);
        boxes.iter().map(agreement).collect()
    }

    /// For each image the regions of its picture, in one order for all images, with how much of each cell they cover.
    fn find_regions(&self, spec: &RegionSpec) -> Result<Vec<Vec<Weighted>>, Error> {
        let of_image = |image: usize| {
            let frame = Frame {
                size: self.picture(image).dimensions(),
                seen: self.placement(image),
                orientation: self.orientation(Some(image)),
            };
            let weighted =
                |region: Region| self.cell_weights(image, &region).map(|weights| (region, weights));
            spec.regions(&frame)?.into_iter().map(weighted).collect::<Result<Vec<_>, _>>()
        };
        let regions: Vec<Vec<_>> =
            (0..self.images.len()).map(of_image).collect::<Result<_, _>>()?;
        for (index, (region, _)) in regions.first().into_iter().flatten().enumerate() {
            if !regions.iter().any(|of_image| covers(&of_image[index].1)) {
                return Err(VisualizationError::EmptyRegion { name: region.name.clone() }.into());
            }
        }
        Ok(regions)
    }

    /// The boxes of an answer about one picture: with several, nothing says which one a box is about.
    fn find_boxes(&mut self) -> Vec<FoundBox> {
        let found = answer_boxes(&self.answer);
        for (_, why) in &found.rejected {
            self.notes.push(format!("a box in the answer is not valid: {why}"));
        }
        if self.pictures.len() != 1 {
            if !found.boxes.is_empty() {
                self.notes.push(
                    "boxes in the answer are not drawn: there are several pictures".to_owned(),
                );
            }
            return Vec::new();
        }
        let mut boxes = Vec::new();
        for found in found.boxes {
            let region = found.region(&self.placement(0));
            let pixels = match (&region.shape, self.cell_weights(0, &region)) {
                (&Shape::Rectangle(sides), Ok(weights)) if covers(&weights) => sides,
                _ => {
                    let outside = found.box_2d;
                    self.notes
                        .push(format!("a box in the answer lies outside the picture: {outside:?}"));
                    continue;
                }
            };
            let record = BoxRecord { label: found.label, box_2d: found.box_2d, pixels };
            boxes.push((record, region));
        }
        boxes
    }

    /// How much of each cell of image `image` lies in a region of its picture.
    fn cell_weights(
        &self,
        image: usize,
        region: &Region,
    ) -> Result<Array2<f32>, VisualizationError> {
        let [rows, columns] = self.images[image].grid;
        let cells = Array2::zeros((rows, columns));
        let map = GridMap { grid: cells.view(), placement: self.placement(image) };
        region_weights(&map, self.picture(image).dimensions(), region)
    }
}

fn covers(weights: &Array2<f32>) -> bool {
    weights.iter().any(|&weight| weight > 0.0)
}
