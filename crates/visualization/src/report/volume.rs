//! Series of slices: what is checked, what the script is told, what the notes say.

use super::json::Json;
use super::{Report, ReportError, Volume};
use crate::pages::picture::Embedded;
use crate::volume::{SideView, Stack, Views};

impl Volume {
    fn stack(&self) -> Stack {
        let positions_mm = self.slices.iter().map(|slice| slice.position_mm).collect();
        Stack { positions_mm, spacing_mm: self.spacing_mm, ends: self.ends }
    }
}

/// Every slice shows a picture that no other shows; those of a volume have one size; lengths are finite.
pub(super) fn check(report: &Report<'_>) -> Result<(), ReportError> {
    let mut taken = vec![false; report.pictures.len()];
    for (index, volume) in report.volumes.iter().enumerate() {
        let wrong = |problem: String| ReportError::Volume { volume: index, problem };
        let mut first = None;
        for (slice, found) in volume.slices.iter().enumerate() {
            let shown = found.picture;
            let Some(picture) = report.pictures.get(shown) else {
                let n_pictures = report.pictures.len();
                return Err(wrong(format!(
                    "slice {slice} shows picture {shown}, but there are {n_pictures}"
                )));
            };
            if std::mem::replace(&mut taken[shown], true) {
                return Err(wrong(format!(
                    "slice {slice} shows picture {shown}, which an earlier slice shows"
                )));
            }
            let (width, height) = picture.image.dimensions();
            let (w, h) = *first.get_or_insert((width, height));
            if (w, h) != (width, height) {
                return Err(wrong(format!(
                    "slice {slice} has {width} x {height} pixels, the first one {w} x {h}"
                )));
            }
            if let Some(position) = found.position_mm.filter(|position| !position.is_finite()) {
                return Err(wrong(format!("slice {slice} lies at {position} mm")));
            }
        }
        if first.is_none() {
            return Err(wrong("it has no slices".to_owned()));
        }
        if let Some([row, column]) = volume.spacing_mm
            && ![row, column].iter().all(|side| side.is_finite() && *side > 0.0)
        {
            return Err(wrong(format!("its pixels are {row} x {column} mm")));
        }
    }
    Ok(())
}

/// All volumes, for the page's script. `report` was checked.
pub(super) fn json(report: &Report<'_>) -> Json {
    Json::list(report.volumes.iter().map(|volume| of_volume(report, volume)))
}

fn of_volume(report: &Report<'_>, volume: &Volume) -> Json {
    let first = &report.pictures[volume.slices[0].picture];
    let (width, height) = first.image.dimensions();
    let sides = [f64::from(width), f64::from(height)];
    let Views { plane, sides, edges, size, to_scale } =
        volume.stack().views(volume.slices.len(), sides, first.orientation);
    let slices = volume.slices.iter().map(|slice| {
        Json::object([
            ("picture", Json::count(slice.picture)),
            ("label", Json::string(&slice.label)),
            ("position", slice.position_mm.map_or(Json::null(), Json::number)),
        ])
    });
    Json::object([
        ("name", Json::string(&volume.name)),
        ("slices", Json::list(slices)),
        ("plane", Json::string(plane)),
        ("size", Json::list(size.map(Json::number))),
        ("sides", Json::list(sides.iter().map(side))),
        // A hundredth of a step of the finest screen is finer than anybody sees.
        ("edges", Json::list(edges.iter().map(|edge| Json::number((1e6 * edge).round() / 1e6)))),
        ("toScale", Json::bool(to_scale)),
    ])
}

fn side(side: &SideView) -> Json {
    let letters = side.letters.map(|letter| letter.map(String::from).unwrap_or_default());
    Json::object([
        ("name", Json::string(side.name)),
        ("down", Json::bool(side.slices_down)),
        ("reversed", Json::bool(side.reversed)),
        ("letters", Json::list(letters.iter().map(|letter| Json::string(letter)))),
        ("size", Json::list(side.size.map(Json::number))),
    ])
}

/// One note for all slices of a volume: each would say the same.
pub(super) fn note(report: &Report<'_>, volume: &Volume, pictures: &[Embedded]) -> Option<String> {
    let slices = || volume.slices.iter().map(|slice| slice.picture);
    let (name, n_slices) = (&volume.name, volume.slices.len());
    let copies = slices().filter(|&picture| !pictures[picture].whole).count();
    let inexact = slices().filter(|&picture| !pictures[picture].exact).count();
    if copies > 0 {
        let first = volume.slices[0].picture;
        let (width, height) = report.pictures[first].image.dimensions();
        let (w, h) = pictures[first].size;
        Some(format!(
            "{name}: {n_slices} slices of {width} × {height} pixels, shown here as copies of {w} × {h}; cells and regions are those of the originals."
        ))
    } else if inexact > 0 {
        Some(format!(
            "{name}: {inexact} of {n_slices} slices are stored in this page as JPEG, so that grey values differ slightly."
        ))
    } else {
        None
    }
}
