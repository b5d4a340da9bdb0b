//! A volume of relevancy as a `NIfTI-1` file in the grid of the scan: 32-bit floats, so that any viewer lays it over.
//!
//! The layout of a header is that of `nifti1.h`, the file by which the `NIfTI` working group defines the format.

#[cfg(feature = "dicom")]
mod geometry;
mod header;
#[cfg(feature = "dicom")]
mod series;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use ndarray::{Array2, ArrayView2, ArrayView3, Axis};

use self::header::Header;
#[cfg(feature = "dicom")]
use super::SourceFrame;
use super::{
    Error,
    place::{Staged, finish, refuse_strangers},
    spread::cells_along,
};

/// Values to be written as a volume.
#[derive(Debug, Clone)]
pub struct HeatVolume<'a> {
    /// `[maps, rows, columns]`, each map over a whole slice; a cell for each pixel of the slice, or fewer. A pixel has the value of
    /// the cell that its centre falls in.
    pub values: ArrayView3<'a, f32>,
    /// Which slice each map lies over. Slices without a map are written as zeros.
    pub slices: Vec<usize>,
    /// Where the slices lie.
    pub grid: HeatGrid,
}

/// The grid of the scan.
#[derive(Debug, Clone)]
pub enum HeatGrid {
    /// That of a `NIfTI-1` file, whose geometry is copied bit by bit.
    Nifti {
        /// The file: `.nii`, `.nii.gz`, or the header of a pair.
        source: PathBuf,
        /// How the slices were cut from it.
        order: VoxelOrder,
    },
    /// That of DICOM slices with a position each; slice k is the k-th of them.
    #[cfg(feature = "dicom")]
    Series {
        /// The slices, in any order.
        sources: Vec<SourceFrame>,
    },
}

/// Along which axes of the file slices, rows and columns were counted. Each axis must stand once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoxelOrder {
    /// From slice to slice.
    pub slices: VoxelAxis,
    /// From row to row, downwards.
    pub rows: VoxelAxis,
    /// From column to column, to the right.
    pub columns: VoxelAxis,
}

/// An axis of the file, and which way it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoxelAxis {
    /// 0, 1 or 2: the first is the one whose voxels lie beside each other in the file.
    pub axis: usize,
    /// Whether the first slice, row or column is the axis' last.
    pub reversed: bool,
}

impl VoxelOrder {
    /// As the file has them: columns first, then rows, then slices.
    pub const STORED: Self = Self {
        slices: VoxelAxis { axis: 2, reversed: false },
        rows: VoxelAxis { axis: 1, reversed: false },
        columns: VoxelAxis { axis: 0, reversed: false },
    };

    fn axes(self) -> [VoxelAxis; 3] {
        [self.slices, self.rows, self.columns]
    }
}

/// The most voxels of a volume.
const MOST_VOXELS: u64 = 1 << 28;

/// A grid, read.
struct Grid {
    header: Header,
    /// Voxels along each axis of the file.
    sides: [usize; 3],
    order: VoxelOrder,
    /// For each slice as the caller counts, its index among the slices.
    places: Option<Vec<usize>>,
}

/// Writes a volume as `.nii`, or packed as `.nii.gz`. It is put in place when it is whole. A file that this program wrote is
/// replaced, another one left alone, which is an error.
pub fn write_heat(path: &Path, volume: &HeatVolume<'_>) -> Result<(), Error> {
    let packed = packed(path)?;
    let grid = Grid::read(&volume.grid)?;
    grid.check(volume)?;
    refuse_strangers(path, header::is_ours)?;
    let voxels = grid.voxels(volume);
    let header = grid.header.finished(grid.sides, &voxels);
    let mut staged = Staged::default();
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mut out = staged.create(path)?;
    let put = |out: &mut dyn Write| -> io::Result<()> {
        out.write_all(&header)?;
        voxels.iter().try_for_each(|value| out.write_all(&grid.header.float(*value)))
    };
    if packed {
        let mut packer = GzEncoder::new(&mut out, Compression::default());
        put(&mut packer).and_then(|()| packer.finish().map(|_| ())).map_err(failed)?;
    } else {
        put(&mut out).map_err(failed)?;
    }
    finish(out).map_err(failed)?;
    staged.commit()
}

/// Whether a file of this name is packed.
fn packed(path: &Path) -> Result<bool, Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let mut ends = name.rsplit('.');
    match (ends.next(), ends.next()) {
        (Some("gz"), Some("nii")) => Ok(true),
        (Some("nii"), Some(_)) => Ok(false),
        _ => Err(Error::input(format!("{name:?} ends in neither .nii nor .nii.gz"))),
    }
}

impl Grid {
    fn read(grid: &HeatGrid) -> Result<Self, Error> {
        match grid {
            HeatGrid::Nifti { source, order } => {
                let (header, sides) = Header::read(source)?;
                Ok(Self { header, sides, order: *order, places: None })
            }
            #[cfg(feature = "dicom")]
            HeatGrid::Series { sources } => {
                let series = series::Series::read(sources)?;
                let (header, sides) = (Header::new(&series.geometry), series.sides);
                let order = VoxelOrder::STORED;
                Ok(Self { header, sides, order, places: Some(series.places) })
            }
        }
    }

    fn check(&self, volume: &HeatVolume<'_>) -> Result<(), Error> {
        let mut axes = self.order.axes().map(|axis| axis.axis);
        axes.sort_unstable();
        if axes != [0, 1, 2] {
            let what = format!("axes {axes:?} of the volume: each of 0, 1 and 2 must stand once");
            return Err(Error::input(what));
        }
        let found = self.sides.iter().map(|side| *side as u64).product();
        if found > MOST_VOXELS {
            return Err(Error::TooLarge { what: "the volume", found, most: MOST_VOXELS });
        }
        let (maps, rows, columns) = volume.values.dim();
        if maps != volume.slices.len() || maps * rows * columns == 0 {
            let slices = volume.slices.len();
            let what = format!("{maps} maps of {rows} x {columns} cells over {slices} slices");
            return Err(Error::input(what));
        }
        if let Some(value) = volume.values.iter().find(|value| !value.is_finite()) {
            return Err(Error::input(format!("a map of the volume holds {value}")));
        }
        let slices = self.sides[self.order.slices.axis];
        match volume.slices.iter().find(|slice| **slice >= slices) {
            Some(slice) => Err(Error::input(format!("slice {slice} of {slices} does not exist"))),
            None => Ok(()),
        }
    }

    /// All voxels, in the file's order.
    fn voxels(&self, volume: &HeatVolume<'_>) -> Vec<f32> {
        let mut voxels = vec![0.0; self.sides.iter().product()];
        let maps = volume.values.axis_iter(Axis(0));
        for (map, slice) in maps.zip(&volume.slices) {
            let slice = self.places.as_ref().map_or(*slice, |places| places[*slice]);
            self.put(slice, map, &mut voxels);
        }
        voxels
    }

    /// Puts a map into its slice.
    fn put(&self, slice: usize, map: ArrayView2<'_, f32>, voxels: &mut [f32]) {
        let VoxelOrder { slices, rows, columns } = self.order;
        let picture = self.spread(map);
        for ((row, column), value) in picture.indexed_iter() {
            let mut at = [0; 3];
            for (axis, index) in [(slices, slice), (rows, row), (columns, column)] {
                let last = self.sides[axis.axis] - 1;
                at[axis.axis] = if axis.reversed { last - index } else { index };
            }
            voxels[at[0] + self.sides[0] * (at[1] + self.sides[1] * at[2])] = *value;
        }
    }

    /// A map's cells over the pixels of a slice.
    fn spread(&self, map: ArrayView2<'_, f32>) -> Array2<f32> {
        let along = |axis: VoxelAxis, cells| cells_along(self.sides[axis.axis], 0.0, 1.0, cells);
        let rows = along(self.order.rows, map.nrows());
        let columns = along(self.order.columns, map.ncols());
        let value = |(row, column): (usize, usize)| match (rows[row], columns[column]) {
            (Some(row), Some(column)) => map[[row, column]],
            _ => 0.0,
        };
        Array2::from_shape_fn((rows.len(), columns.len()), value)
    }
}
