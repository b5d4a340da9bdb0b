//! How far two maps of the same cells agree: in the order of all cells, and in where the largest lie.

/// Correlation of ranks of two maps (Spearman, 1904); ties share their mean rank. 0 where one side is constant.
///
/// # Panics
/// Maps of different lengths.
pub fn rank_correlation(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "maps of different lengths");
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let product = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    if scale > 0.0 { product(&a, &b) / scale } else { 0.0 }
}

/// The largest cells of two maps, `part` of all (0.1: the top tenth, at least one), and how many of them both have: those in both over
/// those in either (Jaccard, 1912). Cells that are not above zero do not count; 0 where no map has one above zero.
///
/// # Panics
/// Maps of different lengths.
pub fn top_overlap(a: &[f32], b: &[f32], part: f64) -> f64 {
    assert_eq!(a.len(), b.len(), "maps of different lengths");
    let count = ((part * a.len() as f64).round() as usize).max(1);
    let top = |map: &[f32]| {
        let mut is_top = vec![false; map.len()];
        by_value(map)
            .into_iter()
            .take(count)
            .filter(|&cell| map[cell] > 0.0)
            .for_each(|cell| is_top[cell] = true);
        is_top
    };
    let (a, b) = (top(a), top(b));
    let count = |is: fn(bool, bool) -> bool| a.iter().zip(&b).filter(|&(&a, &b)| is(a, b)).count();
    let either = count(|a, b| a || b);
    if either == 0 { 0.0 } else { count(|a, b| a && b) as f64 / either as f64 }
}

/// Cells from the largest value to the smallest; of equal ones the first comes first.
pub fn by_value(map: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..map.len()).collect();
    order.sort_by(|&a, &b| map[b].total_cmp(&map[a]));
    order
}

fn ranks(values: &[f32]) -> Vec<f64> {
    let order = by_value(values);
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for tie in order.chunk_by(|&a, &b| values[a].total_cmp(&values[b]).is_eq()) {
        let rank = start as f64 + (tie.len() as f64 - 1.0) / 2.0;
        for &cell in tie {
            ranks[cell] = rank;
        }
        start += tie.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate() {
        assert!((rank_correlation(&[1.0, 2.0, 9.0], &[0.1, 0.2, 0.3]) - 1.0).abs() < 1e-9);
        assert!((rank_correlation(&[1.0, 2.0, 9.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-9);
        assert!(rank_correlation(&[1.0, 2.0], &[5.0, 5.0]).abs() < 1e-9);
        // By hand: deviations of the ranks (−3, 0, 0, 3)/2 and (3, −3, 1, −1)/2.
        let found = rank_correlation(&[1.0, 2.0, 2.0, 4.0], &[4.0, 1.0, 3.0, 2.0]);
        assert!((found + 3.0 / 22.5_f64.sqrt()).abs() < 1e-12, "{found}");
    }

    #[test]
    fn the_largest_cells_overlap() {
        let map = |cells: &[usize]| {
            let mut map = [0.0; 20];
            cells.iter().enumerate().for_each(|(rank, &cell)| map[cell] = 9.0 - rank as f32);
            map
        };
        let assert_overlap = |[a, b]: [&[usize]; 2], part, expected: f64| {
            let found = top_overlap(&map(a), &map(b), part);
            assert!((found - expected).abs() < 1e-12, "{a:?} {b:?}: {found}");
        };
        // The top tenth of 20 cells: two.
        assert_overlap([&[3, 4, 5], &[4, 3, 9]], 0.1, 1.0);
        assert_overlap([&[3, 4, 5], &[4, 5, 3]], 0.1, 1.0 / 3.0);
        assert_overlap([&[3, 4], &[5, 6]], 0.1, 0.0);
        // One map shows a single cell, and an empty one none.
        assert_overlap([&[3, 4], &[3]], 0.1, 0.5);
        assert_overlap([&[], &[]], 0.1, 0.0);
        assert_overlap([&[3], &[3]], 0.001, 1.0);
    }
}
