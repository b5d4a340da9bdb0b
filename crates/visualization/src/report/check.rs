//! Everything that the rest of the report relies on.

use ndarray::{ArrayView1, ArrayView2};

use super::error::RowPlace;
use super::{Evidence, Grid, Region, Report, ReportError, Target, volume};
use crate::Error;

pub(super) fn check(report: &Report<'_>) -> Result<(), Error> {
    if report.targets.is_empty() {
        return Err(ReportError::NoTargets.into());
    }
    if report.methods.is_empty() {
        return Err(ReportError::NoMethods.into());
    }
    for picture in &report.pictures {
        let (width, height) = picture.image.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::EmptyPicture { width, height });
        }
    }
    volume::check(report)?;
    for index in 0..report.grids.len() {
        check_grid(report, index)?;
    }
    for (index, target) in report.targets.iter().enumerate() {
        check_target(report, index, target)?;
        check_rows(report, index, target)?;
        target.evidence.iter().try_for_each(|evidence| check_evidence(index, evidence))?;
    }
    report.regions.iter().try_for_each(|region| check_region(&report.grids, region))?;
    if let Some(&value) = report.contours.iter().find(|q| !(0.0..=1.0).contains(*q)) {
        return Err(Error::BadQuantile { value });
    }
    let points = report.pictures.iter().flat_map(|picture| &picture.outlines);
    if points.flat_map(|outline| outline.rings.iter().flatten().flatten()).any(|v| !v.is_finite()) {
        return Err(ReportError::Outline.into());
    }
    Ok(())
}

fn check_grid(report: &Report<'_>, index: usize) -> Result<(), ReportError> {
    let grid = &report.grids[index];
    let positions = grid.positions();
    let wrong = |problem| ReportError::Grid { grid: index, positions: positions.clone(), problem };
    if positions.is_empty() {
        return Err(wrong("it has no cells"));
    }
    if positions.end > report.tokens.len() {
        return Err(wrong("they reach past the last token"));
    }
    let overlaps = |other: &Grid| {
        let other = other.positions();
        positions.start < other.end && other.start < positions.end
    };
    if report.grids[..index].iter().any(overlaps) {
        return Err(wrong("an earlier grid has some of them"));
    }
    let Some(picture) = report.pictures.get(grid.picture) else {
        let pictures = report.pictures.len();
        return Err(ReportError::NoPicture { grid: index, picture: grid.picture, pictures });
    };
    let placement = grid.placement;
    let (width, height) = picture.image.dimensions();
    let fits = placement.is_rectangle() && placement.touches(width, height);
    if fits { Ok(()) } else { Err(ReportError::Placement { grid: index, placement }) }
}

fn check_target(report: &Report<'_>, index: usize, target: &Target<'_>) -> Result<(), ReportError> {
    let tokens = report.tokens.len();
    let positions = target.positions.clone();
    let selves = target.self_positions.iter().all(|&position| position < tokens);
    if positions.is_empty() || positions.end > tokens || !selves {
        return Err(ReportError::Positions { target: index, positions, tokens });
    }
    if let Some(span) = &target.span
        && report.answer.get(span.clone()).is_none_or(str::is_empty)
    {
        return Err(ReportError::Span { target: index, span: span.clone() });
    }
    match target.probability {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(ReportError::Probability { target: index, value })
        }
        _ => Ok(()),
    }
}

fn check_rows(report: &Report<'_>, index: usize, target: &Target<'_>) -> Result<(), Error> {
    count("attributions", index, report.methods.len(), target.attributions.len())?;
    let of_methods = report.methods.iter().zip(&target.attributions).enumerate();
    for (number, (method, attribution)) in of_methods {
        let Ok(attribution) = attribution else { continue };
        let rows = Rows { tokens: report.tokens.len(), signed: method.signs.is_some() };
        let place = RowPlace { target: index, method: number, layer: None };
        rows.check(place, attribution.row)?;
        if !attribution.layers.is_empty() {
            count("layers", index, method.layers.len(), attribution.layers.len())?;
        }
        for (layer, row) in attribution.layers.iter().enumerate() {
            rows.check(RowPlace { layer: Some(layer), ..place }, *row)?;
        }
        check_parts(report, place, &attribution.parts)?;
    }
    Ok(())
}

/// Finer values: one array of the right size for each grid. Where cells are cut into one part, which is as fine as they are, there may
/// be none.
fn check_parts(
    report: &Report<'_>,
    place: RowPlace,
    parts: &[ArrayView2<'_, f32>],
) -> Result<(), ReportError> {
    let method = &report.methods[place.method];
    let wrong = |problem: String| ReportError::Parts { place, problem };
    let is_cut = method.parts > 1 || !parts.is_empty();
    if method.parts == 0 || (is_cut && !method.layers.is_empty()) {
        let (parts, layers) = (method.parts, method.layers.len());
        return Err(wrong(format!("its method has {parts} parts a side and {layers} layers")));
    }
    let expected = if is_cut { report.grids.len() } else { 0 };
    if parts.len() != expected {
        return Err(wrong(format!("there are {} arrays, not {expected}", parts.len())));
    }
    let allowed = |value: f32| value.is_finite() && (method.signs.is_some() || value >= 0.0);
    for (index, (found, grid)) in parts.iter().zip(&report.grids).enumerate() {
        let expected = [grid.rows, grid.columns].map(|cells| cells.saturating_mul(method.parts));
        if found.shape() != expected {
            let shape = found.shape();
            return Err(wrong(format!("array {index} is {shape:?}, not {expected:?}")));
        }
        if let Some(value) = found.iter().find(|value| !allowed(**value)) {
            return Err(wrong(format!("array {index} has the value {value}")));
        }
    }
    Ok(())
}

fn check_evidence(target: usize, evidence: &Evidence) -> Result<(), ReportError> {
    for (chart, found) in evidence.charts.iter().enumerate() {
        if let Some(problem) = found.problem() {
            return Err(ReportError::RemovalChart { target, chart, problem });
        }
    }
    let Some(table) = &evidence.table else { return Ok(()) };
    let expected = table.head.len();
    match table.rows.iter().map(Vec::len).enumerate().find(|&(_, found)| found != expected) {
        Some((row, found)) => Err(ReportError::EvidenceRow { target, row, expected, found }),
        None => Ok(()),
    }
}

fn count(
    what: &'static str,
    target: usize,
    expected: usize,
    found: usize,
) -> Result<(), ReportError> {
    let same = expected == found;
    if same { Ok(()) } else { Err(ReportError::Count { what, target, expected, found }) }
}

/// What all rows of a method must be.
struct Rows {
    tokens: usize,
    signed: bool,
}

impl Rows {
    fn check(&self, place: RowPlace, row: ArrayView1<'_, f32>) -> Result<(), ReportError> {
        if row.len() != self.tokens {
            return Err(ReportError::RowLength { place, expected: self.tokens, found: row.len() });
        }
        for (position, &value) in row.iter().enumerate() {
            if !value.is_finite() {
                return Err(ReportError::NotFinite { place, position, value });
            }
            if value < 0.0 && !self.signed {
                return Err(ReportError::Negative { place, position, value });
            }
        }
        Ok(())
    }
}

fn check_region(grids: &[Grid], region: &Region) -> Result<(), ReportError> {
    let wrong = |problem| ReportError::Region { name: region.name.clone(), problem };
    let found = region.weights.len();
    if found != grids.len() {
        return Err(wrong(format!("it has weights for {found} grids, not {}", grids.len())));
    }
    for (index, (weights, grid)) in region.weights.iter().zip(grids).enumerate() {
        let Some(weights) = weights else { continue };
        if weights.dim() != (grid.rows, grid.columns) {
            let (rows, columns) = weights.dim();
            return Err(wrong(format!(
                "{rows} x {columns} weights for the {} x {} cells of grid {index}",
                grid.rows, grid.columns
            )));
        }
        if let Some(weight) = weights.iter().find(|weight| !(0.0..=1.0).contains(*weight)) {
            return Err(wrong(format!("a weight of {weight} is not within 0 and 1")));
        }
    }
    Ok(())
}
