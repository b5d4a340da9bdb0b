//! What might be left of a score as cells are taken away, made up.

use relevancy_visualization::RemovalChart;

/// Three ways to take cells away with curves, one without.
pub(crate) fn removals() -> Vec<RemovalChart> {
    let ways = [("knock-out", 9.0, 3.0), ("grey", 6.0, 2.2), ("blur", 2.6, 1.3)];
    let mut charts: Vec<_> = ways.map(|(way, most, least)| removal(way, most, least)).to_vec();
    charts.push(RemovalChart {
        title: "neighbours' mean".to_owned(),
        summary: "No curves: without any cell the score is what it is with all of them, so that nothing can be lost."
            .to_owned(),
        ..RemovalChart::default()
    });
    charts
}

/// Curves that fall fast and late, and controls between them.
fn removal(way: &str, most: f64, least: f64) -> RemovalChart {
    let fractions = vec![0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.5, 0.75, 1.0];
    let curve = |value: &dyn Fn(f64) -> f64| fractions.iter().map(|&share| value(share)).collect();
    // What has fallen below what no cell leaves comes back to it, as scores of models do.
    let fast = |share: f64| (1.0 - share) * (-most * share).exp() - 0.25 * share * (1.0 - share);
    let middle = |share: f64| 1.0 - share.powf(0.9);
    let spread = |share: f64| 0.4 * (share * (1.0 - share)).sqrt();
    RemovalChart {
        title: way.to_owned(),
        summary: format!("SRG {:.2}, above all 20 controls (p 0.048)", 0.07 * most),
        most_first: curve(&fast),
        least_first: curve(&|share| 1.0 - share.powf(least) + 0.3 * share * (1.0 - share)),
        uniform: curve(&middle),
        band: fractions.iter().map(|&f| [middle(f) - spread(f), middle(f) + spread(f)]).collect(),
        fractions,
    }
}
