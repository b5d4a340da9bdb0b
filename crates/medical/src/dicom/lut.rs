//! Tables and lines of a file: from stored values to those of the modality (PS3.3 C.11.1), and from these to grey (C.11.2).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use dicom_object::mem::InMemDicomObject;

use super::header::{Header, numbers_of, text_of, words_of};
use super::walk::name;
use crate::error::At;
use crate::tone::Curve;
use crate::{Error, WindowOrigin};

/// From stored values to those of the modality, HU for instance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Modality {
    Stored,
    Line { slope: f64, intercept: f64 },
    Table(Table),
}

/// A table of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Table {
    first: f64,
    values: Vec<u16>,
    /// Bits that its values have, of those that it says.
    bits: u32,
}

impl Modality {
    /// What the file says for the frame; `signed` is the sign of stored values.
    pub(crate) fn of(header: &Header, frame: u32, signed: bool) -> Result<Self, Error> {
        if let Some(item) = header.items(tags::MODALITY_LUT_SEQUENCE).first() {
            return Ok(Self::Table(Table::of(item, header.at(), signed)?));
        }
        let slope = header.number(tags::RESCALE_SLOPE, frame)?;
        let intercept = header.number(tags::RESCALE_INTERCEPT, frame)?;
        match (slope, intercept) {
            (None, None) => Ok(Self::Stored),
            (Some(slope), _) if slope.abs() < 1e-30 => {
                Err(header.at().field(name(tags::RESCALE_SLOPE), "is 0"))
            }
            (slope, intercept) => {
                Ok(Self::Line { slope: slope.unwrap_or(1.0), intercept: intercept.unwrap_or(0.0) })
            }
        }
    }

    pub(crate) fn value(&self, stored: i32) -> f64 {
        match self {
            Self::Stored => stored.into(),
            Self::Line { slope, intercept } => f64::from(stored) * slope + intercept,
            Self::Table(table) => table.value(stored.into()),
        }
    }

    /// What its values are in.
    pub(crate) fn unit(&self, header: &Header, is_ct: bool) -> String {
        match self {
            Self::Stored => "stored".into(),
            _ => header
                .code(tags::RESCALE_TYPE)
                .unwrap_or_else(|| if is_ct { "HU".into() } else { "rescaled".into() }),
        }
    }
}

impl Table {
    /// A table of a sequence's item (PS3.3 C.11.1.1.1): entries, first value and bits, then the entries.
    fn of(item: &InMemDicomObject, at: At<'_>, signed: bool) -> Result<Self, Error> {
        let wrong = |tag: Tag, reason: &str| at.field(name(tag), reason);
        let described = item.get(tags::LUT_DESCRIPTOR).and_then(words_of);
        let Some(&[entries, first, bits]) = described.as_deref() else {
            return Err(wrong(tags::LUT_DESCRIPTOR, "is not three numbers"));
        };
        let entries = if entries == 0 { 1 << 16 } else { usize::from(entries) };
        if !(8..=16).contains(&bits) {
            return Err(wrong(
                tags::LUT_DESCRIPTOR,
                "says that its entries have neither 8 nor 16 bits nor between",
            ));
        }
        let words = item.get(tags::LUT_DATA).and_then(words_of).unwrap_or_default();
        let values = entries_of(words, entries)
            .ok_or_else(|| wrong(tags::LUT_DATA, "has fewer entries than its descriptor says"))?;
        let first = if signed { f64::from(first.cast_signed()) } else { f64::from(first) };
        // Some writers say 16 bits and fill 12: white is what the entries can reach.
        let greatest = values.iter().copied().max().unwrap_or(0);
        let bits = u32::from(bits).min((u16::BITS - greatest.leading_zeros()).max(1));
        Ok(Self { first, values, bits })
    }

    fn value(&self, at: f64) -> f64 {
        let place = (at - self.first).round_ties_even().clamp(0.0, self.values.len() as f64 - 1.0);
        self.values[place as usize].into()
    }

    fn curve(&self) -> Curve {
        let white = f64::from((1_u32 << self.bits) - 1);
        let byte =
            |&value: &u16| (f64::from(value) / white * 255.0).round_ties_even().min(255.0) as u8;
        Curve::Table { first: self.first, bytes: self.values.iter().map(byte).collect() }
    }
}

/// Entries one to a word, or two bytes to a word.
pub(super) fn entries_of(mut words: Vec<u16>, entries: usize) -> Option<Vec<u16>> {
    if words.len() < entries && entries.div_ceil(2) <= words.len() {
        words = words.iter().flat_map(|word| word.to_le_bytes().map(u16::from)).collect();
    }
    words.truncate(entries);
    (words.len() == entries).then_some(words)
}

/// How many windows a file has for a frame, and their centres and widths.
pub(crate) fn windows(header: &Header, frame: u32) -> Result<Vec<(f64, f64)>, Error> {
    let centres = header.numbers(tags::WINDOW_CENTER, frame)?.unwrap_or_default();
    let widths = header.numbers(tags::WINDOW_WIDTH, frame)?.unwrap_or_default();
    Ok(centres.into_iter().zip(widths).collect())
}

/// The window of that number, as the file's function has it; else its VOI LUT.
pub(crate) fn voi(
    header: &Header,
    frame: u32,
    which: usize,
) -> Result<Option<(Curve, WindowOrigin)>, Error> {
    let windows = windows(header, frame)?;
    if let Some(&(centre, width)) = windows.get(which) {
        let function = header.of_frame(tags::VOILUT_FUNCTION, frame).and_then(text_of);
        let curve = curve_of(centre, width, function.as_deref()).ok_or_else(|| {
            header.at().field(
                name(tags::WINDOW_WIDTH),
                format!("is {width}, of which no window can be made"),
            )
        })?;
        return Ok(Some((curve, WindowOrigin::Tag)));
    }
    let Some(item) = header.items(tags::VOILUT_SEQUENCE).get(which - windows.len()) else {
        return Ok(None);
    };
    // Values of the modality may be negative whatever the stored ones are.
    let is_negative = item
        .get(tags::LUT_DESCRIPTOR)
        .and_then(numbers_of)
        .is_some_and(|numbers| numbers.get(1).is_some_and(|first| *first < 0.0));
    Ok(Some((Table::of(item, header.at(), is_negative)?.curve(), WindowOrigin::Lut)))
}

/// The curve of a window (PS3.3 C.11.2.1.2 and C.11.2.1.3); `None` where its width can be none.
pub(crate) fn curve_of(centre: f64, width: f64, function: Option<&str>) -> Option<Curve> {
    let least =
        if matches!(function, Some("SIGMOID" | "LINEAR_EXACT")) { f64::MIN_POSITIVE } else { 1.0 };
    if width.is_nan() || width < least {
        return None;
    }
    let (low, high) = match function {
        Some("SIGMOID") => return Some(Curve::Sigmoid { centre, width }),
        Some("LINEAR_EXACT") => (centre - width / 2.0, centre + width / 2.0),
        _ => (centre - 0.5 - (width - 1.0) / 2.0, centre - 0.5 + (width - 1.0) / 2.0),
    };
    // A window of width 1 is a step: what is at its end is black (C.11.2.1.2.1).
    Some(if low < high {
        Curve::Line { low, high }
    } else {
        Curve::Table { first: low, bytes: vec![0, 255] }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_those_of_the_standard() {
        // C.11.2.1.2.1 with c = 2048, w = 4096: 0 is black, 4095 is white, 2047.5 the middle.
        let linear = curve_of(2048.0, 4096.0, None).unwrap();
        assert_eq!(linear, Curve::Line { low: 0.0, high: 4095.0 });
        let exact = curve_of(40.0, 400.0, Some("LINEAR_EXACT")).unwrap();
        assert_eq!(exact, Curve::Line { low: -160.0, high: 240.0 });
        let step = curve_of(5.0, 1.0, Some("LINEAR")).unwrap();
        assert_eq!([4.0, 5.0, 6.0].map(|v| step.byte(v)), [0, 0, 255]);
        for wrong in [0.0, -3.0, 0.5, f64::NAN] {
            assert!(curve_of(5.0, wrong, None).is_none());
        }
        assert!(curve_of(5.0, 0.0, Some("SIGMOID")).is_none());
    }

    #[test]
    fn bytes_may_share_a_word() {
        assert_eq!(entries_of(vec![0x0201, 0x0403], 4), Some(vec![1, 2, 3, 4]));
        assert_eq!(entries_of(vec![9, 8, 7], 2), Some(vec![9, 8]));
        assert_eq!(entries_of(vec![9], 4), None);
    }
}
