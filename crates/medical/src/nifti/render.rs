//! A volume to pictures.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;

use super::volume::Volume;
use crate::checks::{self, Context, Subject};
use crate::error::{At, Bound};
use crate::out::{VoxelAxis, VoxelOrder};
use crate::picture::{SourceHandle, SourceVolume};
use crate::resample::to_squares;
use crate::tone::{Curve, Tone, full_range};
use crate::{
    ChannelWindow, Error, Format, MedicalPicture, Options, Provenance, Recipe, Slice, Window,
    WindowOrigin, selection,
};

/// Axial slices of the first volume of a file, from foot to head where it says where these are.
pub(crate) fn open(path: &Path, options: &Options) -> Result<Vec<MedicalPicture>, Error> {
    let at = At(path);
    let recipe = options.recipe.unwrap_or(Recipe::Mr);
    if recipe == Recipe::Cxr {
        return Err(at.option("recipe", "is cxr, which is for radiographs and not for volumes"));
    }
    let volume = Volume::read(path, &options.limits)?;
    let [columns, rows, n] = volume.size();
    let places = selection::chosen(path, n, recipe, options)?;
    let (tone, origin) = tone(&volume, recipe, options, at)?;
    let [dx, dy, _] = volume.header.axes.spacing;
    let aspect = dy / dx;
    let pixels = columns as f64 * rows as f64 * aspect.max(1.0 / aspect);
    at.limit(&Bound::pixels(&options.limits), pixels as u64)?;
    let setting = Setting {
        volume: &volume,
        windows: tone.windows(unit(recipe), origin),
        recipe,
        options,
        shown: places.len(),
    };
    let [columns_of, rows_of, slices_of] = volume
        .header
        .axes
        .steps
        .map(|step| VoxelAxis { axis: step.axis, reversed: step.backwards });
    let order = VoxelOrder { slices: slices_of, rows: rows_of, columns: columns_of };
    let whole = Arc::new(SourceVolume::Nifti { path: path.into(), order });
    places
        .par_iter()
        .enumerate()
        .map(|(i, &index)| {
            let bytes =
                volume.slice(index).flat_map(|value| tone.bytes(rounded(value, recipe))).collect();
            let stored = RgbImage::from_raw(columns as u32, rows as u32, bytes)
                .ok_or_else(|| at.damaged("the volume", "has too few voxels"))?;
            let mut provenance = setting.provenance(i, index);
            let squares = to_squares(&stored, aspect);
            provenance.resampled = squares.as_ref().map(|picture| picture.dimensions().into());
            let rgb = squares.unwrap_or(stored);
            let context = Context {
                subject: Subject::Slice,
                photometric: None,
                inverted: false,
                says_burnt_in: false,
            };
            provenance.checks = checks::all(&rgb, &context);
            let label =
                provenance.slice.filter(|_| recipe != Recipe::Plain).map(|slice| slice.label());
            let source =
                SourceHandle::new(path.into(), volume.stored_index(index) as u32, Format::Nifti);
            Ok(MedicalPicture::new(rgb, provenance, source).with_label(label).within(&whole, index))
        })
        .collect()
}

/// What all slices share.
struct Setting<'a> {
    volume: &'a Volume,
    windows: Vec<ChannelWindow>,
    recipe: Recipe,
    options: &'a Options,
    shown: usize,
}

impl Setting<'_> {
    fn provenance(&self, i: usize, index: usize) -> Provenance {
        let because = match self.options.recipe {
            Some(_) => "it was given",
            None => "NIfTI names no modality: values are shown from the least to the greatest",
        };
        let axes = &self.volume.header.axes;
        let [columns, rows, n] = self.volume.size();
        let size = [columns as u32, rows as u32];
        let mut provenance = Provenance::new(Format::Nifti, size, self.recipe, because);
        let [dx, dy, dz] = axes.spacing;
        provenance.window.clone_from(&self.windows);
        provenance.orientation.clone_from(&axes.orientation);
        provenance.spacing_mm = Some([dy, dx]);
        provenance.slice = Some(Slice {
            number: i as u32 + 1,
            index: index as u32,
            of: n as u32,
            position_mm: axes.origin_mm.map(|first| first + dz * index as f64),
            thickness_mm: Some(dz),
        });
        provenance.notes = self.notes(n);
        provenance
    }

    fn notes(&self, n: usize) -> Vec<String> {
        let header = &self.volume.header;
        let mut notes = vec![];
        notes.extend(selection::note(n, self.shown));
        if header.axes.orientation.is_none() {
            notes.push("the file does not say how the volume lies in the patient: slices are shown as they are stored, left and right are unknown".into());
        }
        if 1 < header.volumes {
            notes.push(format!("only the first of {} volumes is shown", header.volumes));
        }
        if self.recipe.channel_windows().is_some() {
            notes.push("values were taken as HU, because the recipe is for CT; the file does not say what they are".into());
        }
        notes
    }
}

/// The server rounds values before it windows them.
fn rounded(value: f64, recipe: Recipe) -> f64 {
    if recipe == Recipe::CtServer { value.round_ties_even() } else { value }
}

fn unit(recipe: Recipe) -> &'static str {
    if recipe.channel_windows().is_some() { "HU" } else { "stored" }
}

fn tone(
    volume: &Volume,
    recipe: Recipe,
    options: &Options,
    at: At<'_>,
) -> Result<(Tone, WindowOrigin), Error> {
    if let Some(window) = options.window {
        let (curve, origin) = given(volume, window, at)?;
        return Ok((Tone::Grey(curve), origin));
    }
    if recipe.channel_windows().is_some() {
        return Ok((Tone::of_ct(recipe), WindowOrigin::Recipe));
    }
    if let (Recipe::Plain, Some((low, high))) = (recipe, volume.header.window) {
        return Ok((Tone::Grey(Curve::Line { low, high }), WindowOrigin::Tag));
    }
    let (low, high) = volume.range().unwrap_or((0.0, 0.0));
    Ok((Tone::Grey(full_range(low, high)), WindowOrigin::FullRange))
}

fn given(volume: &Volume, window: Window, at: At<'_>) -> Result<(Curve, WindowOrigin), Error> {
    let wrong = |reason: String| at.option("window", reason);
    let (low, high, origin) = match window {
        Window::Range { low, high } => (low, high, WindowOrigin::Given),
        // LINEAR_EXACT: the halves of LINEAR belong to whole numbers, which these need not be.
        Window::Centre { centre, width } => {
            (centre - width / 2.0, centre + width / 2.0, WindowOrigin::Given)
        }
        Window::Preset(preset) => {
            let (low, high) = preset.range();
            (low, high, WindowOrigin::Preset)
        }
        Window::OfFile(0) => {
            let missing =
                || wrong("asks for window 0 of the file, and cal_min and cal_max say none".into());
            let (low, high) = volume.header.window.ok_or_else(missing)?;
            (low, high, WindowOrigin::Tag)
        }
        Window::OfFile(which) => {
            return Err(wrong(format!(
                "asks for window {which} of the file, and NIfTI has one at most"
            )));
        }
    };
    if low < high && (high - low).is_finite() {
        return Ok((Curve::Line { low, high }, origin));
    }
    Err(wrong(format!("is {low}..{high}; the first must be the smaller one")))
}
