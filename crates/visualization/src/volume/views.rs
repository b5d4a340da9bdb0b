//! How the projections of a stack are laid out: which axis goes down, what stands at the sides, how long the sides are.
//!
//! A picture's own axes are never flipped. The axis of the slices is laid out as people read it: head, front and the patient's right come
//! first, where the letters of the ends are known; otherwise in the order of the slices.

use ndarray::{Array2, ArrayView2};

use super::Stack;
use crate::{Orientation, PictureSide};

/// No side is drawn longer than this many times another: a stack of five slices would be a line.
const LONGEST: f64 = 8.0;

/// Layout of the projections of a stack.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Views {
    /// What the projection along the slices is called.
    pub(crate) plane: &'static str,
    /// Of slices × columns, then of slices × rows.
    pub(crate) sides: [SideView; 2],
    /// Where each slice begins and the last one ends, from 0 to 1 along the stack in the order of the slices.
    pub(crate) edges: Vec<f64>,
    /// Width and height of a slice, in the units of the sides.
    pub(crate) size: [f64; 2],
    /// Whether lengths are those of the patient.
    pub(crate) to_scale: bool,
}

/// Layout of one projection across the slices.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SideView {
    /// What it is called.
    pub(crate) name: &'static str,
    /// Whether the slices lie below each other; otherwise beside each other.
    pub(crate) slices_down: bool,
    /// Whether the last slice comes first.
    pub(crate) reversed: bool,
    /// At the left, at the right, above, below.
    pub(crate) letters: [Option<char>; 4],
    /// Width and height: millimetres, or pixels of the pictures.
    pub(crate) size: [f64; 2],
}

/// A pair of opposite sides of a patient, by what prefers to go down a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Direction {
    RightLeft,
    FrontBack,
    HeadFeet,
}

impl Direction {
    fn of(letter: Option<char>) -> Option<Self> {
        match letter? {
            'R' | 'L' => Some(Self::RightLeft),
            'A' | 'P' => Some(Self::FrontBack),
            'H' | 'F' => Some(Self::HeadFeet),
            _ => None,
        }
    }

    /// The third of them.
    fn other(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let (a, b) = (a?, b?);
        [Self::RightLeft, Self::FrontBack, Self::HeadFeet]
            .into_iter()
            .find(|&direction| direction != a && direction != b && a != b)
    }
}

/// What a picture with these two directions is called.
fn plane(a: Option<Direction>, b: Option<Direction>) -> Option<&'static str> {
    Some(match Direction::other(a, b)? {
        Direction::HeadFeet => "Axial",
        Direction::FrontBack => "Coronal",
        Direction::RightLeft => "Sagittal",
    })
}

impl Stack {
    /// The layout for `n_slices` pictures of `width` and `height` pixels with these letters.
    pub(crate) fn views(
        &self,
        n_slices: usize,
        [width, height]: [f64; 2],
        orientation: Orientation,
    ) -> Views {
        let [left, right, top, bottom] = PictureSide::ALL.map(|side| orientation.letter(side));
        let (across, down) = (Direction::of(left), Direction::of(top));
        let [first, last] = self.ends.map_or([None; 2], |ends| ends.map(Some));
        let along = Direction::of(first).or(Direction::other(across, down));
        let (edges, depth) = self.edges(n_slices);
        let usable =
            |spacing: &[f64; 2]| spacing.iter().all(|side| side.is_finite() && *side > 0.0);
        let spacing = self.spacing_mm.filter(usable);
        let [row, column] = spacing.unwrap_or([1.0; 2]);
        let size = [width * column, height * row];
        let longest = size[0].max(size[1]);
        let known = depth.filter(|depth| {
            let ratio = depth / longest;
            spacing.is_some() && (1.0 / LONGEST..=LONGEST).contains(&ratio)
        });
        let depth = known.unwrap_or(longest);
        let reversed = matches!(first, Some('F' | 'P' | 'L'));
        let ends = if reversed { [last, first] } else { [first, last] };
        let side = |name, direction: Option<Direction>, letters: [Option<char>; 2], length| {
            let slices_down = along >= direction || along.is_none();
            let (letters, size) = if slices_down {
                ([letters[0], letters[1], ends[0], ends[1]], [length, depth])
            } else {
                ([ends[0], ends[1], letters[0], letters[1]], [depth, length])
            };
            let name = plane(along, direction).unwrap_or(name);
            SideView { name, slices_down, reversed, letters, size }
        };
        Views {
            plane: plane(across, down).unwrap_or("Along the slices"),
            sides: [
                side("Slices × columns", across, [left, right], size[0]),
                side("Slices × rows", down, [top, bottom], size[1]),
            ],
            edges,
            size,
            to_scale: known.is_some(),
        }
    }

    /// Edges halfway between neighbours, from 0 to 1, and the length of the whole in millimetres where it is known.
    fn edges(&self, n_slices: usize) -> (Vec<f64>, Option<f64>) {
        let even = || (0..=n_slices).map(|i| i as f64 / n_slices.max(1) as f64).collect();
        let known: Option<Vec<f64>> = self.positions_mm.iter().copied().collect();
        let Some(places) = known.filter(|places| places.len() == n_slices && 1 < n_slices) else {
            return (even(), None);
        };
        let steps: Vec<f64> = places.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let is_ordered =
            steps.iter().all(|step| *step > 0.0) || steps.iter().all(|step| *step < 0.0);
        if !is_ordered {
            return (even(), None);
        }
        let between = places.windows(2).map(|pair| f64::midpoint(pair[0], pair[1]));
        let start = places[0] - steps[0] / 2.0;
        let end = places[n_slices - 1] + steps[n_slices - 2] / 2.0;
        let length = end - start;
        if !length.is_finite() {
            return (even(), None);
        }
        let edges = [start].into_iter().chain(between).chain([end]);
        (edges.map(|edge| (edge - start) / length).collect(), Some(length.abs()))
    }
}

impl SideView {
    /// A projection `[slices, cells]` as it is laid out, with `steps` places along the slices. A place takes its slice, and where several
    /// lie in one, the value of the largest magnitude: none is lost.
    #[cfg_attr(
        not(feature = "svg"),
        allow(dead_code, reason = "figures lay it out; a page does so itself")
    )]
    pub(crate) fn laid_out(
        &self,
        projection: ArrayView2<'_, f32>,
        edges: &[f64],
        steps: usize,
    ) -> Array2<f32> {
        let (n_slices, n_cells) = projection.dim();
        let mut out = Array2::zeros((steps, n_cells));
        for slice in 0..n_slices {
            let [start, end] = [edges[slice], edges[slice + 1]].map(|edge| edge * steps as f64);
            let start = (start.round() as usize).min(steps - 1);
            for step in start..(end.round() as usize).clamp(start + 1, steps) {
                let step = if self.reversed { steps - 1 - step } else { step };
                for (cell, &value) in projection.row(slice).iter().enumerate() {
                    let there: &mut f32 = &mut out[[step, cell]];
                    if there.abs() < value.abs() {
                        *there = value;
                    }
                }
            }
        }
        if self.slices_down { out } else { out.reversed_axes() }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::Sides;

    fn sides(left: char, right: char, top: char, bottom: char) -> Orientation {
        Orientation::Sides(Sides { left, right, top, bottom })
    }

    fn stack(positions: &[f64], ends: Option<[char; 2]>) -> Stack {
        let positions_mm = positions.iter().copied().map(Some).collect();
        Stack { positions_mm, spacing_mm: Some([0.5, 0.75]), ends }
    }

    #[track_caller]
    fn assert_near(found: &[f64], expected: &[f64]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-9);
        assert!(near && found.len() == expected.len(), "{found:?}, not {expected:?}");
    }

    #[test]
    fn axial_slices_from_the_feet_up_stand_with_the_head_above() {
        let stack = stack(&[-10.0, 0.0, 20.0], Some(['F', 'H']));
        let views = stack.views(3, [100.0, 80.0], sides('R', 'L', 'A', 'P'));
        assert_eq!(views.plane, "Axial");
        let [coronal, sagittal] = &views.sides;
        assert_eq!((coronal.name, sagittal.name), ("Coronal", "Sagittal"));
        assert!(coronal.slices_down && coronal.reversed);
        assert_eq!(coronal.letters, ['R', 'L', 'H', 'F'].map(Some));
        assert_eq!(sagittal.letters, ['A', 'P', 'H', 'F'].map(Some));
        // From −15 to 30 mm.
        assert_eq!((coronal.size, sagittal.size), ([75.0, 45.0], [40.0, 45.0]));
        let expected = [0.0, 10.0 / 45.0, 25.0 / 45.0, 1.0];
        assert!(views.edges.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12));
        assert!(views.to_scale);
    }

    #[test]
    fn sagittal_slices_lie_beside_each_other() {
        let stack = stack(&[0.0, 10.0, 20.0, 30.0], Some(['L', 'R']));
        let views = stack.views(4, [100.0, 80.0], sides('A', 'P', 'H', 'F'));
        assert_eq!(views.plane, "Sagittal");
        let [axial, coronal] = &views.sides;
        assert_eq!((axial.name, coronal.name), ("Axial", "Coronal"));
        assert!(!axial.slices_down && !coronal.slices_down && axial.reversed);
        assert_eq!(axial.letters, ['R', 'L', 'A', 'P'].map(Some));
        assert_eq!(coronal.letters, ['R', 'L', 'H', 'F'].map(Some));
        assert_eq!((axial.size, coronal.size), ([40.0, 75.0], [40.0, 40.0]));
    }

    #[test]
    fn coronal_slices_lie_below_each_other_in_one_and_beside_in_the_other() {
        let stack = stack(&[30.0, 0.0], None);
        let views = stack.views(2, [100.0, 80.0], sides('R', 'L', 'H', 'F'));
        let [axial, sagittal] = &views.sides;
        assert_eq!((views.plane, axial.name, sagittal.name), ("Coronal", "Axial", "Sagittal"));
        assert!(axial.slices_down && !sagittal.slices_down && !axial.reversed);
        assert_eq!(axial.letters, [Some('R'), Some('L'), None, None]);
    }

    #[test]
    fn nothing_known_is_even_and_square() {
        for positions_mm in [vec![], vec![Some(1.0), None], vec![Some(1.0); 2]] {
            let stack = Stack { positions_mm, ..Stack::default() };
            let views = stack.views(2, [100.0, 80.0], Orientation::None);
            assert_eq!(views.edges, [0.0, 0.5, 1.0]);
            assert_eq!(views.plane, "Along the slices");
            assert_near(&views.sides[1].size, &[80.0, 100.0]);
            assert!(views.sides[0].slices_down && !views.to_scale);
        }
    }

    #[test]
    fn a_stack_too_flat_to_be_seen_is_not_to_scale() {
        let views = stack(&[0.0, 1.0], None).views(2, [100.0, 80.0], Orientation::None);
        assert!(!views.to_scale);
        assert_near(&views.sides[0].size, &[75.0, 75.0]);
        assert_eq!(Stack::default().views(1, [4.0, 4.0], Orientation::None).edges, [0.0, 1.0]);
    }

    #[test]
    fn no_slice_is_lost_where_there_are_few_places() {
        let views = Stack::default().views(4, [2.0, 2.0], Orientation::None);
        let projection = array![[1.0, 0.0], [0.0, -5.0], [2.0, 0.0], [0.0, 0.5]];
        let found = views.sides[0].laid_out(projection.view(), &views.edges, 2);
        assert_eq!(found.dim(), (2, 2));
        assert!(found.iter().any(|&value| value.to_bits() == (-5f32).to_bits()), "{found}");
        let found = views.sides[0].laid_out(projection.view(), &views.edges, 8);
        assert_eq!(found.column(0).to_vec(), [1.0, 1.0, 0.0, 0.0, 2.0, 2.0, 0.0, 0.0]);
    }
}
