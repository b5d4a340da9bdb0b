//! What was written, for the caller.

use std::path::{Path, PathBuf};

use relevancy_visualization::{Localization, RegionScore};

use crate::{Explained, Shown};

/// What was written.
#[derive(Debug, Clone)]
pub struct Exported {
    /// `explanation.json`.
    pub record: PathBuf,
    /// Its content.
    pub json: String,
    /// `explanation.npz`.
    pub arrays: PathBuf,
    /// Heat over the pictures, target by target, images in order.
    pub overlays: Vec<PathBuf>,
    /// Heat by patch and by pixel, where it was asked for.
    pub finer: Vec<PathBuf>,
    /// Differences to the mean picture, charts of regions and the figures that were asked for.
    pub figures: Vec<PathBuf>,
    /// The pictures as the processor got them.
    pub pictures: Vec<PathBuf>,
    /// `report.html`, if it was asked for.
    pub report: Option<PathBuf>,
    /// The relevancy by region, target by target, images in order; empty where no regions were asked for.
    pub regions: Vec<RegionTable>,
    /// Each target against each box that the model wrote.
    pub boxes: Vec<BoxAgreement>,
    /// What a reader should be told, for people.
    pub notes: Vec<String>,
}

impl Exported {
    /// All files, in the order in which one would open them.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let Self { overlays, finer, figures, pictures, arrays, record, report, .. } = self;
        let drawn = overlays.iter().chain(finer).chain(figures).chain(pictures);
        drawn.chain([arrays, record]).chain(report).map(PathBuf::as_path)
    }
}

/// The relevancy of a target by region of an image.
#[derive(Debug, Clone)]
pub struct RegionTable {
    /// Index of the target.
    pub target: usize,
    /// Index of the image.
    pub image: usize,
    /// One for each region that reaches into the image.
    pub scores: Vec<RegionScore>,
}

/// How a target agrees with a box that the model wrote.
#[derive(Debug, Clone)]
pub struct BoxAgreement {
    /// Index of the target.
    pub target: usize,
    /// What the model calls the box.
    pub label: String,
    /// How much of the map lies in it, and how well the hottest cells cover it.
    pub localization: Localization,
}

pub(super) fn region_tables(explained: &Explained<'_>) -> Vec<RegionTable> {
    let mut tables = Vec::new();
    for (target, of_target) in explained.targets.iter().enumerate() {
        for image in 0..explained.images() {
            let scores = of_target.region_scores(image);
            if !scores.is_empty() {
                tables.push(RegionTable { target, image, scores });
            }
        }
    }
    tables
}

pub(super) fn box_agreements(explained: &Explained<'_>) -> Vec<BoxAgreement> {
    let mut agreements = Vec::new();
    for (target, of_target) in explained.targets.iter().enumerate() {
        let found = explained.boxes.iter().zip(&of_target.boxes);
        agreements.extend(found.map(|(found, &localization)| BoxAgreement {
            target,
            label: found.label.clone(),
            localization,
        }));
    }
    agreements
}
