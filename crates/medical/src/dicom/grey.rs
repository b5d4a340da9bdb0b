//! The recipes for one sample per pixel: which curve a frame gets, and its picture by a table over all stored values.

use dicom_dictionary_std::tags;
use image::RgbImage;

use super::decode::Samples;
use super::header::Header;
use super::layout::Layout;
use super::lut::{self, Modality};
use crate::tone::{Curve, Tone, full_range};
use crate::{Error, Options, Provenance, Recipe, Window, WindowOrigin};

/// Least and greatest stored value, without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) low: i32,
    pub(crate) high: i32,
}

impl Range {
    pub(crate) fn joined(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }
}

/// Values that stand for no pixel (PS3.3 C.7.5.1.1.2), both ends included.
pub(crate) fn padding(header: &Header, layout: &Layout) -> Option<(i32, i32)> {
    // The parser may take the bits without their sign.
    let stored = |tag| {
        let value = header.integer(tag).ok()??;
        let raw = u32::from(value as u16) & (u32::MAX >> (32 - u32::from(layout.bits.allocated)));
        Some(if layout.bits.signed { layout.value(raw) } else { value as i32 })
    };
    let value = stored(tags::PIXEL_PADDING_VALUE)?;
    let limit = stored(tags::PIXEL_PADDING_RANGE_LIMIT).unwrap_or(value);
    Some((value.min(limit), value.max(limit)))
}

/// Least and greatest stored value of a frame; of padding alone, its own value.
pub(crate) fn range(samples: &Samples, padding: Option<(i32, i32)>) -> Range {
    let is_pixel = |value: &i32| padding.is_none_or(|(low, high)| *value < low || high < *value);
    let ends = |values: &mut dyn Iterator<Item = i32>| {
        values.fold(None, |range: Option<Range>, value| {
            let here = Range { low: value, high: value };
            Some(range.map_or(here, |range| range.joined(here)))
        })
    };
    ends(&mut samples.values.iter().copied().filter(is_pixel))
        .or_else(|| ends(&mut samples.values.iter().copied()))
        .unwrap_or(Range { low: 0, high: 0 })
}

/// What becomes of a frame, and the note of it.
pub(crate) struct Plan {
    modality: Modality,
    tone: Tone,
    /// Whether values are rounded before they are windowed, as the server does.
    rounded: bool,
    inverted: bool,
}

/// A frame whose curve is to be found.
pub(crate) struct Frame<'a> {
    pub(crate) header: &'a Header,
    pub(crate) index: u32,
    pub(crate) layout: &'a Layout,
    /// Of the frame, or of the acquisition for `mr`.
    pub(crate) range: Range,
}

impl Plan {
    /// Finds the curve and writes it into the provenance.
    pub(crate) fn of(
        frame: &Frame<'_>,
        options: &Options,
        provenance: &mut Provenance,
    ) -> Result<Self, Error> {
        let recipe = provenance.recipe;
        let (header, index) = (frame.header, frame.index);
        let modality = match recipe {
            // The server takes MR as it is stored.
            Recipe::Mr if options.window.is_none() => Modality::Stored,
            _ => Modality::of(header, index, frame.layout.bits.signed)?,
        };
        let (tone, origin) = match options.window {
            Some(window) => given(frame, window)?,
            None => by_recipe(frame, recipe, &modality, provenance)?,
        };
        let is_ct =
            recipe.channel_windows().is_some() || provenance.modality.as_deref() == Some("CT");
        if is_ct && modality == Modality::Stored {
            provenance
                .notes
                .push("the file has no Rescale Slope: stored values were taken as HU".into());
        }
        provenance.window = tone.windows(&modality.unit(header, is_ct), origin);
        // Neither program inverts slices of a volume.
        let inverts = matches!(recipe, Recipe::Cxr | Recipe::Plain);
        provenance.inverted = inverts && is_inverse(frame, recipe);
        Ok(Self {
            modality,
            tone,
            rounded: recipe == Recipe::CtServer,
            inverted: provenance.inverted,
        })
    }

    /// The picture of a frame; padding is black.
    pub(crate) fn picture(
        &self,
        samples: &Samples,
        padding: Option<(i32, i32)>,
    ) -> Option<RgbImage> {
        let layout = &samples.layout;
        let bits = u32::from(layout.bits.stored);
        let first = if layout.bits.signed { -(1_i32 << (bits - 1)) } else { 0 };
        let table: Vec<[u8; 3]> =
            (first..first + (1 << bits)).map(|stored| self.bytes(stored, padding)).collect();
        let bytes = samples
            .values
            .iter()
            .flat_map(|&value| table.get((value - first) as usize).copied().unwrap_or_default());
        RgbImage::from_raw(layout.columns, layout.rows, bytes.collect())
    }

    fn bytes(&self, stored: i32, padding: Option<(i32, i32)>) -> [u8; 3] {
        if padding.is_some_and(|(low, high)| (low..=high).contains(&stored)) {
            return [0; 3];
        }
        let value = self.modality.value(stored);
        let bytes = self.tone.bytes(if self.rounded { value.round_ties_even() } else { value });
        if self.inverted { bytes.map(|byte| 255 - byte) } else { bytes }
    }
}

/// MONOCHROME1, and for `plain` a presentation that is inverse (PS3.3 C.11.6.1.2).
fn is_inverse(frame: &Frame<'_>, recipe: Recipe) -> bool {
    frame.layout.photometric == "MONOCHROME1"
        || recipe == Recipe::Plain
            && frame.header.text(tags::PRESENTATION_LUT_SHAPE).as_deref() == Some("INVERSE")
}

fn given(frame: &Frame<'_>, window: Window) -> Result<(Tone, WindowOrigin), Error> {
    let at = frame.header.at();
    let (curve, origin) = match window {
        Window::Range { low, high } if low < high && (high - low).is_finite() => {
            (Curve::Line { low, high }, WindowOrigin::Given)
        }
        Window::Range { low, high } => {
            return Err(
                at.option("window", format!("is {low}..{high}; the first must be the smaller one"))
            );
        }
        Window::Centre { centre, width } => {
            let curve = lut::curve_of(centre, width, None)
                .filter(|_| centre.is_finite() && width.is_finite());
            let wrong = || {
                at.option(
                    "window",
                    format!("has the centre {centre} and the width {width}; a width is at least 1"),
                )
            };
            (curve.ok_or_else(wrong)?, WindowOrigin::Given)
        }
        Window::Preset(preset) => {
            let (low, high) = preset.range();
            (Curve::Line { low, high }, WindowOrigin::Preset)
        }
        Window::OfFile(which) => lut::voi(frame.header, frame.index, which)?.ok_or_else(|| {
            at.option(
                "window",
                format!(
                    "asks for window {which} of the file, from 0, and it has none of that number"
                ),
            )
        })?,
    };
    Ok((Tone::Grey(curve), origin))
}

fn by_recipe(
    frame: &Frame<'_>,
    recipe: Recipe,
    modality: &Modality,
    provenance: &mut Provenance,
) -> Result<(Tone, WindowOrigin), Error> {
    let grey = |(curve, origin)| Ok((Tone::Grey(curve), origin));
    match recipe {
        Recipe::CtNotebook | Recipe::CtServer => Ok((Tone::of_ct(recipe), WindowOrigin::Recipe)),
        Recipe::Mr => grey((stretched(frame, modality), WindowOrigin::FullRange)),
        Recipe::Cxr => grey(cxr(frame, modality, provenance)?),
        Recipe::Plain => match lut::voi(frame.header, frame.index, 0)? {
            Some(found) => grey(found),
            None => grey(unwindowed(frame, modality)),
        },
    }
}

/// As the server has it: centre ± half the width, which is rounded down; the file's function and VOI LUT are not used.
fn cxr(
    frame: &Frame<'_>,
    modality: &Modality,
    provenance: &mut Provenance,
) -> Result<(Curve, WindowOrigin), Error> {
    let header = frame.header;
    let Some(&(centre, width)) = lut::windows(header, frame.index)?.first() else {
        if !header.items(tags::VOILUT_SEQUENCE).is_empty() {
            let note =
                "the file has a VOI LUT, which this recipe does not use; the recipe `plain` does";
            provenance.notes.push(note.into());
        }
        return Ok(unwindowed(frame, modality));
    };
    let half = (width / 2.0).floor();
    if half < 1.0 {
        let reason = format!("is {width}, of which no window can be made");
        return Err(header.at().field("Window Width (0028,1051)", reason));
    }
    if header.text(tags::VOILUT_FUNCTION).is_some_and(|function| function == "SIGMOID") {
        let note = "the file's window is an S, which this recipe takes as a line; the recipe `plain` does not";
        provenance.notes.push(note.into());
    }
    Ok((Curve::Interp { low: centre - half, high: centre + half }, WindowOrigin::Tag))
}

/// Bytes stay as they are; what has more bits is stretched from its least to its greatest value.
fn unwindowed(frame: &Frame<'_>, modality: &Modality) -> (Curve, WindowOrigin) {
    let bits = frame.layout.bits;
    if bits.stored == 8 && !bits.signed && *modality == Modality::Stored {
        return (Curve::Line { low: 0.0, high: 255.0 }, WindowOrigin::FullRange);
    }
    (stretched(frame, modality), WindowOrigin::FullRange)
}

fn stretched(frame: &Frame<'_>, modality: &Modality) -> Curve {
    let Range { low, high } = frame.range;
    // A table need not rise, and a slope may be negative.
    let (a, b) = (modality.value(low), modality.value(high));
    let (mut least, mut most) = (a.min(b), a.max(b));
    if let Modality::Table(_) = modality {
        for value in (low..=high).map(|stored| modality.value(stored)) {
            (least, most) = (least.min(value), most.max(value));
        }
    }
    full_range(least, most)
}
