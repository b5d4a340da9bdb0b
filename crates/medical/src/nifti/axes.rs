//! Which axis of a volume goes where in the patient, and how axial slices are taken out of it.

use nifti::NiftiHeader;

use crate::{Orientation, OrientationSource};

/// How a picture is taken out of the volume: which axis of the file is the picture's, and whether it is walked backwards.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Axes {
    /// The axes to the right, down, and from slice to slice.
    pub(super) steps: [Step; 3],
    /// `None` where the file does not say.
    pub(super) orientation: Option<Orientation>,
    /// Millimetres along these axes.
    pub(super) spacing: [f64; 3],
    /// Where slice 0 lies towards the head, in millimetres; `None` where the file does not say.
    pub(super) origin_mm: Option<f64>,
}

/// An axis of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) axis: usize,
    pub(super) backwards: bool,
}

/// Columns of a matrix from voxels to millimetres, x to the right, y to the front, z to the head; and the place of voxel 0.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Affine {
    columns: [[f64; 3]; 3],
    origin: [f64; 3],
}

impl Axes {
    pub(super) fn of(header: &NiftiHeader) -> Self {
        let known = sform(header).or_else(|| qform(header));
        match known.and_then(|(affine, from)| Self::radiological(&affine, header, from)) {
            Some(axes) => axes,
            None => Self::as_stored(header),
        }
    }

    /// Rows to the patient's left, columns to the back, slices from foot to head: what a radiologist sees.
    fn radiological(
        affine: &Affine,
        header: &NiftiHeader,
        from: OrientationSource,
    ) -> Option<Self> {
        let axes = assigned(&affine.columns)?;
        // Wanted directions in the file's coordinates: left is −x, back is −y, head is +z.
        let steps = [(0, -1.0), (1, -1.0), (2, 1.0)].map(|(patient, sign)| {
            let axis = axes[patient];
            Step { axis, backwards: affine.columns[axis][patient] * sign < 0.0 }
        });
        let direction = |step: Step| {
            let sign = if step.backwards { -1.0 } else { 1.0 };
            let [x, y, z] = affine.columns[step.axis].map(|value| value * sign);
            [-x, -y, z]
        };
        let orientation =
            Orientation::from_cosines(direction(steps[0]), direction(steps[1]), from)?;
        let spacing = steps.map(|step| length(affine.columns[step.axis]));
        let last = |step: Step| f64::from(header.dim[step.axis + 1].max(1)) - 1.0;
        // The head's coordinate of the first slice, in the middle of nothing else.
        let first = steps[2];
        let along = if first.backwards { last(first) } else { 0.0 };
        let origin_mm = affine.origin[2] + affine.columns[first.axis][2] * along;
        Some(Self { steps, orientation: Some(orientation), spacing, origin_mm: Some(origin_mm) })
    }

    fn as_stored(header: &NiftiHeader) -> Self {
        let steps = [0, 1, 2].map(|axis| Step { axis, backwards: false });
        let spacing = [1, 2, 3].map(|i| {
            let mm = f64::from(header.pixdim[i]).abs();
            if (1e-6..1e6).contains(&mm) { mm } else { 1.0 }
        });
        Self { steps, orientation: None, spacing, origin_mm: None }
    }
}

fn sform(header: &NiftiHeader) -> Option<(Affine, OrientationSource)> {
    if header.sform_code <= 0 {
        return None;
    }
    let rows = [header.srow_x, header.srow_y, header.srow_z];
    let column = |i: usize| rows.map(|row| f64::from(row[i]));
    let affine = Affine { columns: [column(0), column(1), column(2)], origin: column(3) };
    affine.valid().map(|affine| (affine, OrientationSource::NiftiSform))
}

/// Rotation from the quaternion, times the spacing; the third axis turned where `pixdim[0]` is −1 (`nifti1.h`, method 2).
fn qform(header: &NiftiHeader) -> Option<(Affine, OrientationSource)> {
    if header.qform_code <= 0 {
        return None;
    }
    let [b, c, d] = [header.quatern_b, header.quatern_c, header.quatern_d].map(f64::from);
    let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
    let turn = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [x, y, z] = [1, 2, 3].map(|i| f64::from(header.pixdim[i]));
    let scaled = |column: [f64; 3], by: f64| column.map(|value| value * by);
    let columns = [
        scaled([a * a + b * b - c * c - d * d, 2.0 * (b * c + a * d), 2.0 * (b * d - a * c)], x),
        scaled([2.0 * (b * c - a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d + a * b)], y),
        scaled(
            [2.0 * (b * d + a * c), 2.0 * (c * d - a * b), a * a + d * d - b * b - c * c],
            z * turn,
        ),
    ];
    let origin = [header.quatern_x, header.quatern_y, header.quatern_z].map(f64::from);
    Affine { columns, origin }.valid().map(|affine| (affine, OrientationSource::NiftiQform))
}

impl Affine {
    fn valid(self) -> Option<Self> {
        let lengths = self.columns.map(length);
        let is_valid = lengths.iter().all(|mm| (1e-6..1e6).contains(mm))
            && self.origin.iter().all(|mm| mm.is_finite());
        is_valid.then_some(self)
    }
}

fn length(vector: [f64; 3]) -> f64 {
    vector.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// For each direction of the patient the axis of the file that goes along it most; the clearest is taken first. `None` where they do not
/// span a space.
fn assigned(columns: &[[f64; 3]; 3]) -> Option<[usize; 3]> {
    let mut pairs: Vec<(f64, usize, usize)> = (0..9)
        .map(|i| (columns[i / 3][i % 3].abs() / length(columns[i / 3]), i / 3, i % 3))
        .collect();
    pairs.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut axes = [None; 3];
    for (share, axis, patient) in pairs {
        if axes[patient].is_none() && !axes.contains(&Some(axis)) && 1e-3 < share {
            axes[patient] = Some(axis);
        }
    }
    Some([axes[0]?, axes[1]?, axes[2]?])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(columns: [[f32; 3]; 3]) -> NiftiHeader {
        let row = |i: usize| [columns[0][i], columns[1][i], columns[2][i], 0.0];
        NiftiHeader {
            dim: [3, 4, 5, 6, 1, 1, 1, 1],
            sform_code: 1,
            qform_code: 0,
            srow_x: row(0),
            srow_y: row(1),
            srow_z: row(2),
            ..NiftiHeader::default()
        }
    }

    #[test]
    fn axes_that_go_right_front_head_are_turned_to_left_and_back() {
        let axes = Axes::of(&header([[2.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 4.0]]));
        assert_eq!(axes.orientation.unwrap().directions, ["L", "P"]);
        assert!(axes.steps[0].backwards && axes.steps[1].backwards && !axes.steps[2].backwards);
        assert_eq!(axes.spacing.map(|mm| mm as u32), [2, 3, 4]);
    }

    #[test]
    fn a_sagittal_volume_is_cut_across() {
        // i to the back, j to the foot, k to the left.
        let axes = Axes::of(&header([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [-1.5, 0.0, 0.0]]));
        let expected = [(2, false), (0, false), (1, true)];
        assert_eq!(axes.steps.map(|step| (step.axis, step.backwards)), expected);
        assert_eq!(axes.orientation.unwrap().directions, ["L", "P"]);
        assert_eq!(axes.origin_mm, Some(-4.0));
    }

    #[test]
    fn without_a_form_nothing_is_known() {
        let mut without = header([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        without.sform_code = 0;
        assert_eq!(Axes::of(&without).orientation, None);
        assert_eq!(Axes::of(&header([[0.0; 3]; 3])).orientation, None);
        let flat = header([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]);
        assert_eq!(Axes::of(&flat).orientation, None);
    }
}
