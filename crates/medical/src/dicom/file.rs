//! A DICOM file: its header parsed, its pixels found and not yet read.

use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use flate2::read::DeflateDecoder;

use super::header::Header;
use super::layout::Layout;
use super::part10;
use super::source::Source;
use super::syntax::{Encoding, Syntax};
use super::walk::{Outline, PixelElement, Walk};
use crate::error::{At, Bound};
use crate::{Error, Limits, files};

/// A DICOM file, open.
pub(crate) struct DicomFile {
    pub(crate) header: Header,
    pub(crate) syntax: Syntax,
    pub(crate) source: Source,
    pixels: Option<PixelElement>,
}

impl DicomFile {
    /// Reads all but the pixels. Lengths, depth and number of elements are held to the limits before anything is parsed.
    pub(crate) fn open(path: &Path, limits: &Limits) -> Result<Self, Error> {
        let (file, len) = files::open(path, limits)?;
        let mut source = Source::new(file, len);
        let beginning = part10::read(&mut source, path)?;
        let (mut source, data_set) = if beginning.syntax.deflated {
            (inflated(path, beginning.data_set, limits)?, 0)
        } else {
            (source, beginning.data_set)
        };
        let syntax = beginning.syntax;
        let Outline { header, pixels } =
            Walk::new(&mut source, syntax.encoding, path, limits).run(data_set)?;
        if header.is_empty() {
            return Err(At(path)
                .damaged("the data set", "is missing: nothing follows the file's beginning"));
        }
        let bytes = source.range(header).map_err(|e| At(path).read(e))?;
        let header = parse(path, syntax.encoding, &bytes)?;
        Ok(Self { header, syntax, source, pixels })
    }

    /// Whether it has pixels that could be a picture.
    pub(crate) fn has_pixels(&self) -> bool {
        self.pixels.is_some()
    }

    /// The pixels' element and how they lie in it.
    pub(crate) fn pixels(&self, limits: &Limits) -> Result<(Layout, PixelElement), Error> {
        let at = self.header.at();
        match &self.pixels {
            None => {
                Err(at.field("Pixel Data (7FE0,0010)", "is missing: the file holds no picture"))
            }
            Some(PixelElement::Float) => Err(at.unsupported(
                "a map of floating point numbers",
                "only pictures of 8 to 16 bits are shown",
            )),
            Some(pixels) => Ok((Layout::of(&self.header, limits)?, pixels.clone())),
        }
    }
}

fn inflated(path: &Path, from: u64, limits: &Limits) -> Result<Source, Error> {
    use std::io::Seek as _;
    let at = At(path);
    let (mut file, _) = files::open(path, limits)?;
    file.seek(std::io::SeekFrom::Start(from)).map_err(|e| at.read(e))?;
    let bound = Bound::decoded_bytes(limits);
    let mut bytes = vec![];
    DeflateDecoder::new(std::io::BufReader::new(file))
        .take(bound.limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|e| at.damaged("the deflated data set", format!("cannot be inflated ({e})")))?;
    at.limit(&bound, bytes.len() as u64)?;
    Ok(Source::of_bytes(bytes))
}

fn parse(path: &Path, encoding: Encoding, bytes: &[u8]) -> Result<Header, Error> {
    let parsed = catch_unwind(AssertUnwindSafe(|| encoding.parse(bytes)))
        .map_err(|_| Error::DecoderPanic { path: path.into(), what: "the data set".into() })?;
    // What the parser says may hold values of the file, so its message is not shown.
    let object = parsed
        .map_err(|_| At(path).damaged("the data set", "has a value that does not fit its type"))?;
    Ok(Header::new(path.into(), object))
}
