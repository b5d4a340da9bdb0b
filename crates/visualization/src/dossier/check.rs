//! Everything that the rest of the dossier relies on.

use super::error::BlockPlace;
use super::{Block, Card, Dossier, DossierError, IntervalChart, IntervalRow, Table};
use crate::Error;

/// An axis that is shorter than this part of the numbers along it has ticks that cannot be told apart.
const SHORTEST_AXIS: f64 = 1e-6;

pub(super) fn check(dossier: &Dossier<'_>) -> Result<(), Error> {
    for (place, block) in places(dossier) {
        match block {
            Block::Text(_) => {}
            Block::Table(table) => check_table(place, table)?,
            Block::Intervals(chart) => check_chart(place, chart)?,
            Block::Cards(cards) => {
                for (card, found) in cards.iter().enumerate() {
                    check_card(BlockPlace { card: Some(card), ..place }, found)?;
                }
            }
        }
    }
    Ok(())
}

/// All blocks, with where they stand.
pub(super) fn places<'d>(
    dossier: &'d Dossier<'_>,
) -> impl Iterator<Item = (BlockPlace, &'d Block<'d>)> {
    dossier.sections.iter().enumerate().flat_map(|(section, found)| {
        let place = move |block| BlockPlace { section, block, card: None };
        found.blocks.iter().enumerate().map(move |(block, found)| (place(block), found))
    })
}

fn check_card(place: BlockPlace, card: &Card<'_>) -> Result<(), Error> {
    for picture in &card.pictures {
        let (width, height) = picture.image.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::EmptyPicture { width, height });
        }
    }
    card.table.iter().try_for_each(|table| Ok(check_table(place, table)?))
}

fn check_table(place: BlockPlace, table: &Table) -> Result<(), DossierError> {
    let expected = table.columns.len();
    if expected == 0 {
        return Err(DossierError::NoColumns { place });
    }
    match table.rows.iter().map(Vec::len).enumerate().find(|&(_, found)| found != expected) {
        Some((row, found)) => Err(DossierError::RowLength { place, row, expected, found }),
        None => Ok(()),
    }
}

fn check_chart(place: BlockPlace, chart: &IntervalChart) -> Result<(), DossierError> {
    let axis @ [low, high] = chart.axis;
    // The length of an axis of finite ends may still be infinite, or have too few digits to divide by.
    let length = high - low;
    let least = SHORTEST_AXIS * low.abs().max(high.abs());
    if !(low < high && length.is_normal() && least <= length) {
        return Err(DossierError::Axis { place, axis });
    }
    if let Some(reference) = &chart.reference
        && !(low..=high).contains(&reference.at)
    {
        return Err(DossierError::Reference { place, at: reference.at, axis });
    }
    chart.rows.iter().enumerate().try_for_each(|(row, found)| check_row(place, row, found))
}

fn check_row(place: BlockPlace, row: usize, found: &IntervalRow) -> Result<(), DossierError> {
    let Some(estimate) = found.estimate else { return Ok(()) };
    let mut values = estimate.interval.into_iter().flatten().chain([estimate.mean]);
    if let Some(value) = values.find(|value| !value.is_finite()) {
        return Err(DossierError::NotFinite { place, row, value });
    }
    match estimate.interval {
        Some(interval) if interval[0] > interval[1] => {
            Err(DossierError::Interval { place, row, interval })
        }
        _ => Ok(()),
    }
}
