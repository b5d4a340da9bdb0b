//! The voxels of the first volume, inflated with a bound, and slices out of them.

use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::axes::Step;
use super::header::{Header, LENGTH, Voxel, is_gzip};
use crate::error::{At, Bound};
use crate::{Error, Limits, files};

/// A volume in memory, as its file has it.
pub(super) struct Volume {
    pub(super) header: Header,
    bytes: Vec<u8>,
}

impl Volume {
    /// Reads the header, and of the voxels what it speaks of.
    pub(super) fn read(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let at = At(path);
        let (file, _) = files::open(path, limits)?;
        let mut file = BufReader::new(file);
        let is_packed = is_gzip(std::io::BufRead::fill_buf(&mut file).map_err(|e| at.read(e))?);
        let mut inflated: Box<dyn Read> =
            if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        let wrong = |e: std::io::Error| {
            at.damaged("the compressed file", format!("cannot be inflated ({e})"))
        };
        let mut head = vec![];
        inflated.by_ref().take(LENGTH as u64).read_to_end(&mut head).map_err(wrong)?;
        let header = Header::read(&head, path, limits)?;
        let skipped = header.offset - LENGTH as u64;
        // Extensions lie between header and voxels; they are bounded as headers are.
        at.limit(&Bound::header_bytes(limits), skipped)?;
        std::io::copy(&mut inflated.by_ref().take(skipped), &mut std::io::sink()).map_err(wrong)?;
        let wanted = header.dim.iter().product::<usize>() * header.voxel.bytes();
        let mut bytes = vec![];
        inflated.take(wanted as u64).read_to_end(&mut bytes).map_err(wrong)?;
        if bytes.len() < wanted {
            let reason = format!("has {} bytes, and its dimensions need {wanted}", bytes.len());
            return Err(at.damaged("the volume", reason));
        }
        Ok(Self { header, bytes })
    }

    /// Least and greatest value that are numbers.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        let count = self.header.dim.iter().product();
        let values = (0..count).map(|i| self.value(i)).filter(|value| value.is_finite());
        values.fold(None, |range, value| {
            let (low, high) = range.unwrap_or((value, value));
            Some((low.min(value), high.max(value)))
        })
    }

    /// Size of the picture and number of slices, along the picture's axes.
    pub(super) fn size(&self) -> [usize; 3] {
        self.header.axes.steps.map(|step| self.header.dim[step.axis])
    }

    /// Values of a slice, row by row.
    pub(super) fn slice(&self, index: usize) -> impl Iterator<Item = f64> + '_ {
        let [columns, rows, _] = self.size();
        let [right, down, deep] = self.header.axes.steps;
        let (start, _) = self.walk(deep, index);
        (0..rows).flat_map(move |row| {
            let (row, _) = self.walk(down, row);
            (0..columns).map(move |column| self.value(start + row + self.walk(right, column).0))
        })
    }

    /// The place of a step along an axis, as a distance in the file, and along the axis.
    fn walk(&self, step: Step, at: usize) -> (usize, usize) {
        let dim = self.header.dim;
        let at = if step.backwards { dim[step.axis] - 1 - at } else { at };
        (dim[..step.axis].iter().product::<usize>() * at, at)
    }

    /// Which slice of the file it is, along the axis of the slices.
    pub(super) fn stored_index(&self, index: usize) -> usize {
        self.walk(self.header.axes.steps[2], index).1
    }

    fn value(&self, at: usize) -> f64 {
        let size = self.header.voxel.bytes();
        let mut bytes = [0; 8];
        let part = &mut bytes[..size];
        part.copy_from_slice(&self.bytes[at * size..(at + 1) * size]);
        if self.header.big_endian {
            part.reverse();
        }
        let [a, b, c, d, ..] = bytes;
        let (two, four) = ([a, b], [a, b, c, d]);
        let stored = match self.header.voxel {
            Voxel::U8 => a.into(),
            Voxel::I8 => a.cast_signed().into(),
            Voxel::U16 => u16::from_le_bytes(two).into(),
            Voxel::I16 => i16::from_le_bytes(two).into(),
            Voxel::U32 => u32::from_le_bytes(four).into(),
            Voxel::I32 => i32::from_le_bytes(four).into(),
            Voxel::F32 => f32::from_le_bytes(four).into(),
            Voxel::F64 => f64::from_le_bytes(bytes),
        };
        stored * self.header.scale.0 + self.header.scale.1
    }
}
