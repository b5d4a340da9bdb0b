//! Pixels made of those around them.

/// Weights of the four nearest pixels and of the four diagonal ones. Source: Rong et al. 2022, section 4.2.
const NEAR: f64 = 1.0 / 6.0;
const DIAGONAL: f64 = 1.0 / 12.0;
/// The mean square of what is wrong with the equations, in units of a pixel, below which they count as solved. In a large hole the
/// solution is wrong by some hundred times what the equations are: 3·10⁻⁶ here.
const TOLERANCE: f64 = 1e-15;
/// The same of a picture that the next larger one only begins with.
const ROUGH: f64 = 1e-8;
const MOST_STEPS: usize = 2000;
/// Sides up to which there is nothing to gain by beginning with a coarser picture.
const COARSEST: usize = 8;

/// Makes pixels of a plane `[height · width]` that are gone of those around them: each becomes the weighted mean of its neighbours, all at once (noisy linear imputation
/// of ROAD, without the noise). What is left of a picture stays; where nothing is left all pixels become their mean.
///
/// The equations are those of a sparse symmetric matrix. They are solved by conjugate gradients, which begin with the solution on a picture
/// half as large, and that on one half as large again (cascadic multigrid, Bornemann and Deuflhard 1996).
pub fn fill(plane: &mut [f32], gone: &[bool], size: [usize; 2]) {
    filled(plane, gone, size, TOLERANCE);
}

fn filled(plane: &mut [f32], gone: &[bool], [height, width]: [usize; 2], tolerance: f64) {
    if !gone.contains(&true) {
        return;
    }
    if !gone.contains(&false) {
        let mean = plane.iter().sum::<f32>() / plane.len() as f32;
        plane.fill(mean);
        return;
    }
    if COARSEST < height.max(width) {
        let (coarse, size) = coarser(plane, gone, [height, width]);
        for (at, value) in plane.iter_mut().enumerate().filter(|(at, _)| gone[*at]) {
            *value = coarse[(at / width / 2) * size[1] + at % width / 2];
        }
    } else {
        let left = plane.iter().zip(gone).filter(|(_, gone)| !**gone).map(|(value, _)| *value);
        let mean = left.clone().sum::<f32>() / left.count() as f32;
        plane.iter_mut().zip(gone).filter(|(_, gone)| **gone).for_each(|(value, _)| *value = mean);
    }
    solve(plane, gone, [height, width], tolerance);
}

/// The picture at half its size, filled.
fn coarser(plane: &[f32], gone: &[bool], [height, width]: [usize; 2]) -> (Vec<f32>, [usize; 2]) {
    let size = [height.div_ceil(2), width.div_ceil(2)];
    let (mut sums, mut counts) = (vec![0.0_f32; size[0] * size[1]], vec![0_u8; size[0] * size[1]]);
    for (at, value) in plane.iter().enumerate().filter(|(at, _)| !gone[*at]) {
        let coarse = (at / width / 2) * size[1] + at % width / 2;
        sums[coarse] += value;
        counts[coarse] += 1;
    }
    let gone: Vec<bool> = counts.iter().map(|&count| count == 0).collect();
    for (sum, count) in sums.iter_mut().zip(counts).filter(|(_, count)| 0 < *count) {
        *sum /= f32::from(count);
    }
    filled(&mut sums, &gone, size, ROUGH);
    (sums, size)
}

fn solve(plane: &mut [f32], gone: &[bool], [height, width]: [usize; 2], tolerance: f64) {
    // With a border of zeros, which no pixel gets anything from.
    let across = width + 2;
    let inside = |at: usize| (at / width + 1) * across + at % width + 1;
    let mut x = vec![0.0_f64; across * (height + 2)];
    let mut present = x.clone();
    for (at, &value) in plane.iter().enumerate() {
        x[inside(at)] = f64::from(value);
        present[inside(at)] = 1.0;
    }
    let unknown: Vec<usize> = (0..plane.len()).filter(|&at| gone[at]).map(inside).collect();
    let around = |of: &[f64], at: usize| {
        let near = of[at - 1] + of[at + 1] + of[at - across] + of[at + across];
        let (above, below) = (at - across, at + across);
        NEAR * near + DIAGONAL * (of[above - 1] + of[above + 1] + of[below - 1] + of[below + 1])
    };
    let weights: Vec<f64> = unknown.iter().map(|&at| around(&present, at)).collect();
    let product = |of: &[f64], index: usize| {
        let at = unknown[index];
        weights[index] * of[at] - around(of, at)
    };
    let dot = |a: &[f64], b: &[f64]| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let mut left: Vec<f64> = (0..unknown.len()).map(|index| -product(&x, index)).collect();
    let mut direction = vec![0.0_f64; x.len()];
    unknown.iter().zip(&left).for_each(|(&at, &value)| direction[at] = value);
    let mut square = dot(&left, &left);
    for _ in 0..MOST_STEPS {
        if square <= tolerance * unknown.len() as f64 {
            break;
        }
        let pushed: Vec<f64> = (0..unknown.len()).map(|index| product(&direction, index)).collect();
        let along: Vec<f64> = unknown.iter().map(|&at| direction[at]).collect();
        let step = square / dot(&along, &pushed);
        for (index, &at) in unknown.iter().enumerate() {
            x[at] += step * direction[at];
            left[index] -= step * pushed[index];
        }
        let next = dot(&left, &left);
        let turn = next / square;
        unknown.iter().zip(&left).for_each(|(&at, &value)| {
            direction[at] = value + turn * direction[at];
        });
        square = next;
    }
    for (at, value) in plane.iter_mut().enumerate().filter(|(at, _)| gone[*at]) {
        *value = x[inside(at)] as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(y: usize, x: usize) -> f32 {
        ((y * y + 3 * x) as f32 * 0.37).sin()
    }

    /// What is left of the equations is nothing, and they are those of the paper, written out.
    #[test]
    fn a_filled_pixel_is_the_weighted_mean_of_its_neighbours() {
        let (height, width) = (37, 30);
        for share in [3, 5, 97] {
            let mut plane: Vec<f32> =
                (0..height * width).map(|at| wave(at / width, at % width)).collect();
            let gone: Vec<bool> =
                (0..height * width).map(|at| at / 5 * 31 % 100 < share || at % width < 4).collect();
            let before = plane.clone();
            fill(&mut plane, &gone, [height, width]);
            for at in 0..plane.len() {
                if !gone[at] {
                    assert_eq!(plane[at].to_bits(), before[at].to_bits());
                    continue;
                }
                let (y, x) = ((at / width) as i32, (at % width) as i32);
                let (mut sum, mut weight) = (0.0, 0.0);
                for (dy, dx) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dy, dx))) {
                    let (ny, nx) = (y + dy, x + dx);
                    let inside =
                        (0..height as i32).contains(&ny) && (0..width as i32).contains(&nx);
                    if (dy, dx) != (0, 0) && inside {
                        let w = if dy * dx == 0 { 1.0 / 6.0 } else { 1.0 / 12.0 };
                        sum += w * plane[ny as usize * width + nx as usize];
                        weight += w;
                    }
                }
                assert!((sum / weight - plane[at]).abs() < 2e-3, "{share}: {at}");
            }
        }
    }
}
