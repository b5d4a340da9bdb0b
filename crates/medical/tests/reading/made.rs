//! A DICOM file written byte by byte: Explicit VR Little Endian unless told otherwise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use medical_pictures::{Error, MedicalPicture, Options, open};
use tempfile::TempDir;

/// Group and element.
pub(crate) type Tag = (u16, u16);

pub(crate) const PIXELS: Tag = (0x7FE0, 0x0010);
pub(crate) const ROWS: Tag = (0x0028, 0x0010);
pub(crate) const COLUMNS: Tag = (0x0028, 0x0011);
pub(crate) const EXPLICIT: &str = "1.2.840.10008.1.2.1";

/// A file in the making.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) syntax: String,
    pub(crate) elements: BTreeMap<Tag, (String, Vec<u8>)>,
}

impl Made {
    /// Grey 16-bit pixels in one row.
    pub(crate) fn grey(values: &[i32]) -> Self {
        Self::sized(values.len() as u16, 1, values)
    }

    /// Grey 16-bit pixels.
    pub(crate) fn sized(columns: u16, rows: u16, values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|&value| (value as u16).to_le_bytes()).collect();
        Self { syntax: EXPLICIT.into(), elements: BTreeMap::new() }
            .text((0x0008, 0x0016), "UI", "1.2.840.10008.5.1.4.1.1.7")
            .text((0x0008, 0x0060), "CS", "OT")
            .us((0x0028, 0x0002), 1)
            .text((0x0028, 0x0004), "CS", "MONOCHROME2")
            .us(ROWS, rows)
            .us(COLUMNS, columns)
            .us((0x0028, 0x0100), 16)
            .us((0x0028, 0x0101), 16)
            .us((0x0028, 0x0102), 15)
            .us((0x0028, 0x0103), 0)
            .with(PIXELS, "OW", bytes)
    }

    /// Pixels of 8 bits.
    pub(crate) fn bytes8(photometric: &str, columns: u16, bytes: &[u8]) -> Self {
        let samples =
            if photometric.starts_with("MONO") || photometric.starts_with("PAL") { 1 } else { 3 };
        Self::sized(columns, 1, &[])
            .us((0x0028, 0x0002), samples)
            .text((0x0028, 0x0004), "CS", photometric)
            .us((0x0028, 0x0100), 8)
            .us((0x0028, 0x0101), 8)
            .us((0x0028, 0x0102), 7)
            .with(PIXELS, "OB", bytes.to_vec())
    }

    pub(crate) fn with(mut self, tag: Tag, vr: &str, mut bytes: Vec<u8>) -> Self {
        if bytes.len() % 2 == 1 {
            bytes.push(if vr == "UI" || vr == "OB" { 0 } else { b' ' });
        }
        self.elements.insert(tag, (vr.into(), bytes));
        self
    }

    pub(crate) fn without(mut self, tag: Tag) -> Self {
        self.elements.remove(&tag);
        self
    }

    pub(crate) fn us(self, tag: Tag, value: u16) -> Self {
        self.with(tag, "US", value.to_le_bytes().to_vec())
    }

    pub(crate) fn words(self, tag: Tag, vr: &str, values: &[u16]) -> Self {
        self.with(tag, vr, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    pub(crate) fn text(self, tag: Tag, vr: &str, text: &str) -> Self {
        self.with(tag, vr, text.as_bytes().to_vec())
    }

    pub(crate) fn modality(self, modality: &str) -> Self {
        self.text((0x0008, 0x0060), "CS", modality)
    }

    /// Stored bits and sign.
    pub(crate) fn stored(self, bits: u16, signed: bool) -> Self {
        self.us((0x0028, 0x0101), bits)
            .us((0x0028, 0x0102), bits - 1)
            .us((0x0028, 0x0103), signed.into())
    }

    pub(crate) fn window(self, centre: &str, width: &str) -> Self {
        self.text((0x0028, 0x1050), "DS", centre).text((0x0028, 0x1051), "DS", width)
    }

    pub(crate) fn rescaled(self, slope: &str, intercept: &str) -> Self {
        self.text((0x0028, 0x1053), "DS", slope).text((0x0028, 0x1052), "DS", intercept)
    }

    /// A sequence of one item.
    pub(crate) fn sequence(self, tag: Tag, item: &Self) -> Self {
        self.with(tag, "SQ", item_of(&item.data_set()))
    }

    /// An item's content.
    pub(crate) fn item() -> Self {
        Self { syntax: EXPLICIT.into(), elements: BTreeMap::new() }
    }

    /// Compressed pixels: an empty table of offsets and a fragment each.
    pub(crate) fn fragments(mut self, syntax: &str, fragments: &[&[u8]]) -> Self {
        let mut bytes = item_of(&[]);
        for fragment in fragments {
            bytes.extend(item_of(fragment));
        }
        bytes.extend([0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0]);
        self.syntax = syntax.into();
        self.elements.insert(PIXELS, ("ob".into(), bytes));
        self
    }

    /// All elements, explicit.
    pub(crate) fn data_set(&self) -> Vec<u8> {
        let mut bytes = vec![];
        for (&tag, (vr, value)) in &self.elements {
            let undefined = vr == "ob";
            bytes.extend(tag.0.to_le_bytes());
            bytes.extend(tag.1.to_le_bytes());
            bytes.extend(vr.to_uppercase().as_bytes());
            if matches!(vr.as_str(), "OB" | "OW" | "SQ" | "UN" | "ob") {
                bytes.extend([0, 0]);
                let length = if undefined { u32::MAX } else { value.len() as u32 };
                bytes.extend(length.to_le_bytes());
            } else {
                bytes.extend((value.len() as u16).to_le_bytes());
            }
            bytes.extend(value);
        }
        bytes
    }

    /// Preamble, mark and meta information.
    pub(crate) fn beginning(&self) -> Vec<u8> {
        let mut uid = self.syntax.clone().into_bytes();
        if uid.len() % 2 == 1 {
            uid.push(0);
        }
        let mut bytes = vec![0; 128];
        bytes.extend(b"DICM");
        bytes.extend([2, 0, 0x10, 0, b'U', b'I', uid.len() as u8, 0]);
        bytes.extend(uid);
        bytes
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        [self.beginning(), self.data_set()].concat()
    }

    /// Written where it is dropped with the folder.
    pub(crate) fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, self.file()).unwrap();
        path
    }

    /// The pictures of the file.
    pub(crate) fn open(&self, options: &Options) -> Result<Vec<MedicalPicture>, Error> {
        let folder = TempDir::new().unwrap();
        open(&self.write(folder.path(), "a"), options)
    }

    /// The grey values of its picture.
    pub(crate) fn greys(&self, options: &Options) -> Vec<u8> {
        let pictures = self.open(options).unwrap();
        pictures[0].rgb.pixels().map(|pixel| pixel.0[0]).collect()
    }
}

/// An item around bytes.
pub(crate) fn item_of(bytes: &[u8]) -> Vec<u8> {
    let mut item = vec![0xFE, 0xFF, 0x00, 0xE0];
    item.extend((bytes.len() as u32).to_le_bytes());
    item.extend(bytes);
    item
}
