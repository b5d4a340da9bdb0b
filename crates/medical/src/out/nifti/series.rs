//! The grid of a series of DICOM slices.

use super::{
    super::{
        Error, SourceFrame,
        groups::Group,
        plane::{Plane, dot},
        source::{Source, read_all},
    },
    geometry::Geometry,
};

/// Slices at equal distances.
pub(super) struct Series {
    pub(super) geometry: Geometry,
    /// Columns, rows, slices.
    pub(super) sides: [usize; 3],
    /// For each source its index from the lowest slice on.
    pub(super) places: Vec<usize>,
}

/// How far a slice may lie from where it should, as a share of the distance between slices.
const TOLERANCE: f64 = 0.05;

impl Series {
    pub(super) fn read(frames: &[SourceFrame]) -> Result<Self, Error> {
        if frames.is_empty() {
            return Err(Error::NoVolume { what: "there are none".to_owned() });
        }
        let sources = read_all(frames)?;
        let groups = Group::all(&sources);
        let no = |what: String| Error::NoVolume { what };
        let [group] = groups.as_slice() else {
            let what = format!(
                "they are {} stacks: a series, a size, a direction or a place is not shared",
                groups.len()
            );
            return Err(no(groups.iter().find_map(|group| group.flat.clone()).unwrap_or(what)));
        };
        let planes = group.members.iter().map(|member| sources[*member].plane.as_ref());
        let planes: Result<Vec<&Plane>, &String> = planes.collect();
        let planes = planes.map_err(|reason| no(reason.clone()))?;
        let step = step(&planes).map_err(no)?;
        let mut places = vec![0; sources.len()];
        for (place, member) in group.members.iter().enumerate() {
            places[*member] = place;
        }
        let Source { rows, columns, .. } = sources[0];
        let sides = [columns, rows, planes.len()];
        if sides.iter().any(|side| i16::try_from(*side).is_err()) {
            return Err(no(format!("{sides:?} voxels do not fit NIfTI-1, which counts to 32767")));
        }
        Ok(Self { geometry: geometry(planes[0], step), sides, places })
    }
}

/// From slice to slice, which must be the same everywhere.
fn step(planes: &[&Plane]) -> Result<[f64; 3], String> {
    let first = planes[0];
    let last = planes[planes.len() - 1];
    if planes.len() == 1 {
        let thickness = first.thickness.unwrap_or(1.0);
        return Ok(first.normal().map(|part| part * thickness));
    }
    let count = (planes.len() - 1) as f64;
    let step: [f64; 3] =
        std::array::from_fn(|axis| (last.position[axis] - first.position[axis]) / count);
    let length = dot(step, step).sqrt();
    for (index, plane) in planes.iter().enumerate() {
        let off: [f64; 3] = std::array::from_fn(|axis| {
            plane.position[axis] - first.position[axis] - index as f64 * step[axis]
        });
        let off = dot(off, off).sqrt();
        if off > TOLERANCE * length {
            return Err(format!(
                "slice {} lies {off:.3} mm from where slices {length:.3} mm apart would have it: one may be missing",
                index + 1
            ));
        }
    }
    Ok(step)
}

/// Left and posterior of DICOM (PS3.3 C.7.6.2.1.1) become right and anterior of `NIfTI`.
fn geometry(first: &Plane, step: [f64; 3]) -> Geometry {
    let [row_spacing, column_spacing] = first.spacing;
    let along_row = first.along_row.map(|part| part * column_spacing);
    let along_column = first.along_column.map(|part| part * row_spacing);
    let turn = [-1.0, -1.0, 1.0];
    let affine: [[f64; 4]; 3] = std::array::from_fn(|axis| {
        [along_row[axis], along_column[axis], step[axis], first.position[axis]]
            .map(|value| value * turn[axis])
    });
    let length = dot(step, step).sqrt();
    let upright = dot(step, first.normal()) / length > 1.0 - 1e-6;
    let spacing = [column_spacing, row_spacing, length];
    let rotation = std::array::from_fn(|row: usize| {
        std::array::from_fn(|column: usize| affine[row][column] / spacing[column])
    });
    let quaternion = upright.then(|| quaternion(rotation));
    Geometry { affine, spacing, quaternion }
}

/// The last three parts of a rotation's unit quaternion, whose first part is not negative.
///
/// `4a² = 1 + m00 + m11 + m22`, and likewise for the others with two signs turned; the largest is taken first, as the rest are
/// quotients by it.
fn quaternion(m: [[f64; 3]; 3]) -> [f64; 3] {
    let squares = [
        1.0 + m[0][0] + m[1][1] + m[2][2],
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 - m[0][0] + m[1][1] - m[2][2],
        1.0 - m[0][0] - m[1][1] + m[2][2],
    ];
    let most = (0..4).max_by(|a, b| squares[*a].total_cmp(&squares[*b])).unwrap_or(0);
    let differences = [m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]];
    let sums = [m[0][1] + m[1][0], m[0][2] + m[2][0], m[1][2] + m[2][1]];
    let twice = squares[most].max(0.0).sqrt();
    let q = match most {
        0 => [twice * twice, differences[0], differences[1], differences[2]],
        1 => [differences[0], twice * twice, sums[0], sums[1]],
        2 => [differences[1], sums[0], twice * twice, sums[2]],
        _ => [differences[2], sums[1], sums[2], twice * twice],
    }
    .map(|part| part / (2.0 * twice));
    let sign = if q[0] < 0.0 { -1.0 } else { 1.0 };
    [q[1] * sign, q[2] * sign, q[3] * sign]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrix of a unit quaternion, as `nifti1.h` states it.
    fn matrix([a, b, c, d]: [f64; 4]) -> [[f64; 3]; 3] {
        [
            [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
            [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
            [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
    }

    #[test]
    fn a_rotation_keeps_its_quaternion() {
        for parts in [
            [1.0, 0.0, 0.0, 0.0],
            [0.0, 0.0, 0.0, 1.0],
            [0.1, 0.9, -0.3, 0.2],
            [0.4, -0.4, 0.7, 0.1],
            [0.2, 0.1, 0.3, -0.8],
        ] {
            let length = f64::sqrt(parts.iter().map(|part| part * part).sum());
            let parts = parts.map(|part: f64| part / length);
            let found = quaternion(matrix(parts));
            for (found, wanted) in found.iter().zip(&parts[1..]) {
                assert!((found - wanted).abs() < 1e-12, "{parts:?}");
            }
        }
    }
}
