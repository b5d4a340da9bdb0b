//! Regions as bars.

use super::parts::{BAR_STEP, Bar, EM, MARGIN, bars, bars_width, header, header_height};
use super::{Caption, Figure};
use crate::scene::Scene;
use crate::text::Line;
use crate::{Error, RegionScore};

/// A bar a region: its share of the map in percent, and beside it the density, 1 for an even map. Where a map has no shares, the
/// bars are sums. What [`RegionSpec::note`](crate::RegionSpec::note) says belongs into the subtitle.
///
/// # Errors
/// [`Error::NoPanels`] without scores.
pub fn regions_figure(scores: &[RegionScore], caption: &Caption) -> Result<Figure, Error> {
    if scores.is_empty() {
        return Err(Error::NoPanels);
    }
    let bar = |score: &RegionScore| {
        let bar = Bar::new(&score.name, score.share.unwrap_or(score.sum));
        let text = score.share.map(|share| Line::new(&format!("{:.1} %", 100.0 * share)));
        let note = score.density.map(|density| format!("density {density:.2}")).unwrap_or_default();
        Bar { text: text.unwrap_or(bar.text), note: Line::new(&note), ..bar }
    };
    let chart: Vec<Bar> = scores.iter().map(bar).collect();
    let mut scene = Scene::default();
    let top = header_height(caption) + 0.4 * EM;
    bars(&mut scene, &chart, (MARGIN, top));
    let width = header(&mut scene, caption, bars_width(&chart) + 2.0 * MARGIN);
    scene.resize(width, top + chart.len() as f64 * BAR_STEP + 0.6 * MARGIN)?;
    Ok(Figure(scene))
}
