//! Pictures from files: format found by content, oriented, as 8-bit RGB, with a record of what was done.

mod decode;

use std::fmt;
use std::path::Path;

use image::{DynamicImage, RgbImage};
use medical_pictures::{Format, Provenance};

use crate::Error;
use crate::files;
use crate::setters::setters;
use crate::window::{AppliedWindow, Window, apply};
use decode::Decoded;

/// How pictures are read. `default()` fits trusted and untrusted files alike.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PictureOptions {
    /// Window for 16-bit grey; `None` chooses [`Window::DEFAULT`] and warns.
    pub window: Option<Window>,
    /// Longest side in pixels; 32 768 by default.
    pub max_side: u32,
    /// Pixels; 67 108 864 (8192 × 8192) by default. Twice what the largest detectors of radiography have (mammography, 28 million);
    /// a model sees less than one million of them.
    pub max_pixels: u64,
    /// Bytes of the decoded samples; 512 MiB by default. Memory in use can be some four times as much for a moment.
    pub max_decoded_bytes: u64,
    /// Size of the file in bytes; 256 MiB by default.
    pub max_file_bytes: u64,
}

impl Default for PictureOptions {
    fn default() -> Self {
        Self {
            window: None,
            max_side: 32_768,
            max_pixels: 1 << 26,
            max_decoded_bytes: 512 << 20,
            max_file_bytes: 256 << 20,
        }
    }
}

setters!(PictureOptions {
    with_window = window: Option<Window>,
    with_max_side = max_side: u32,
    with_max_pixels = max_pixels: u64,
    with_max_decoded_bytes = max_decoded_bytes: u64,
    with_max_file_bytes = max_file_bytes: u64,
});

/// What happened to a picture that its user should know.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Warning {
    /// 16-bit grey without a given window: one was chosen.
    WindowChosen(AppliedWindow),
    /// A window was given, but the picture is not 16-bit grey.
    WindowUnused,
    /// All grey values are the same.
    Flat,
    /// Some pixels were transparent; their colours are shown as if they were not.
    AlphaDropped,
    /// 16-bit colour was reduced to the high byte of each sample.
    HighByte,
    /// A TIFF of several pages, of which the first is the picture.
    FirstPage {
        /// Pages of the file.
        pages: usize,
    },
    /// An animation, of which the first frame is the picture.
    FirstFrame,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WindowChosen(window) => write!(
                f,
                "16-bit grey without a window: {}..{} (percentiles 0.5 and 99.5) was chosen",
                window.low, window.high
            ),
            Self::WindowUnused => {
                write!(f, "the window is not used: the picture is not 16-bit grey")
            }
            Self::Flat => write!(f, "all grey values are the same"),
            Self::AlphaDropped => write!(f, "transparency was dropped"),
            Self::HighByte => write!(f, "16-bit colour was reduced to 8 bits"),
            Self::FirstPage { pages } => write!(
                f,
                "only the first of {pages} pages is used; save the pages that you want as files of their own"
            ),
            Self::FirstFrame => write!(f, "only the first frame of the animation is used"),
        }
    }
}

/// A decoded picture: 8-bit RGB in its own size, upright.
#[derive(Clone, PartialEq)]
pub struct Picture {
    name: String,
    rgb: RgbImage,
    orientation: u8,
    window: Option<AppliedWindow>,
    warnings: Vec<Warning>,
    provenance: Provenance,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = [self.width(), self.height()];
        f.debug_struct("Picture")
            .field("name", &self.name)
            .field("size", &size)
            .finish_non_exhaustive()
    }
}

impl Picture {
    /// Reads a PNG, JPEG, TIFF (first page), WebP or BMP file.
    ///
    /// # Errors
    /// Those of [`Picture::from_bytes`], and [`Error::Read`], [`Error::FileTooLarge`]; all name the file.
    pub fn open(path: &Path, options: &PictureOptions) -> Result<Self, Error> {
        let bytes = files::read(path, options.max_file_bytes)?;
        Self::from_bytes(&bytes, &path.display().to_string(), options)
    }

    /// Decodes a picture; `name` stands for it in messages.
    ///
    /// Colours become 8-bit RGB as Pillow's `convert("RGB")` makes them, which transformers' file loading uses: palettes
    /// are expanded, transparency is dropped, 16-bit colour keeps its high byte. 16-bit grey is different: Pillow would
    /// clip it at 255, here a window decides. JPEG decoders differ by a few units per byte, so a JPEG is not bit-equal
    /// to Pillow's; the lossless formats are.
    ///
    /// # Errors
    /// [`Error::NotAPicture`], [`Error::ForeignFile`], [`Error::UnsupportedPicture`], [`Error::PictureLimit`], [`Error::Decode`],
    /// [`Error::Truncated`], [`Error::DecoderPanic`], [`Error::ZeroSize`], [`Error::Window`].
    pub fn from_bytes(bytes: &[u8], name: &str, options: &PictureOptions) -> Result<Self, Error> {
        let Decoded { picture, orientation, format, rest } = decode::decode(bytes, name, options)?;
        let mut picture = to_rgb(picture, name, options.window)?;
        picture.warnings.extend(rest);
        if picture.window.is_none() && options.window.is_some() {
            picture.warnings.push(Warning::WindowUnused);
        }
        let mut upright = DynamicImage::ImageRgb8(picture.rgb);
        upright.apply_orientation(orientation);
        picture.rgb = upright.into_rgb8();
        picture.orientation = orientation.to_exif();
        picture.provenance = Provenance::of_rgb(format, [picture.width(), picture.height()]);
        Ok(picture)
    }

    /// A picture that is already there, upright.
    ///
    /// # Errors
    /// [`Error::ZeroSize`] when it has no pixels.
    pub fn from_rgb(rgb: RgbImage) -> Result<Self, Error> {
        Self::new("picture".into(), rgb)
    }

    /// The same picture under a name, with where it came from and what was done to it.
    #[must_use]
    pub fn with_provenance(mut self, name: String, provenance: Provenance) -> Self {
        (self.name, self.provenance) = (name, provenance);
        self
    }

    /// Where it came from and what was done to it.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// File name or what was given for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pixels, upright.
    pub fn rgb(&self) -> &RgbImage {
        &self.rgb
    }

    /// Columns of the upright picture.
    pub fn width(&self) -> u32 {
        self.rgb.width()
    }

    /// Rows of the upright picture.
    pub fn height(&self) -> u32 {
        self.rgb.height()
    }

    /// The EXIF orientation (1 to 8) that was undone; 1 is upright.
    pub fn exif_orientation(&self) -> u8 {
        self.orientation
    }

    /// The window that made 8 bits of 16-bit grey.
    pub fn window(&self) -> Option<AppliedWindow> {
        self.window
    }

    /// What its user should be told.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn new(name: String, rgb: RgbImage) -> Result<Self, Error> {
        let (width, height) = rgb.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::ZeroSize { name, width, height });
        }
        let provenance = Provenance::of_rgb(Format::Pixels, [width, height]);
        Ok(Self { name, rgb, orientation: 1, window: None, warnings: vec![], provenance })
    }
}

fn to_rgb(decoded: DynamicImage, name: &str, window: Option<Window>) -> Result<Picture, Error> {
    let alpha = has_transparency(&decoded).then_some(Warning::AlphaDropped);
    let mut picture = match decoded {
        DynamicImage::ImageLuma16(_) | DynamicImage::ImageLumaA16(_) => {
            grey_to_rgb(&decoded, name, window)?
        }
        DynamicImage::ImageRgb16(_) | DynamicImage::ImageRgba16(_) => {
            // The high byte, as Pillow; `to_rgb8` would round.
            let wide = decoded.into_rgb16();
            let bytes = wide.as_raw().iter().map(|&sample| (sample >> 8) as u8).collect();
            let rgb = RgbImage::from_raw(wide.width(), wide.height(), bytes)
                .expect("as many bytes as samples");
            Picture { warnings: vec![Warning::HighByte], ..Picture::new(name.into(), rgb)? }
        }
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => Picture::new(name.into(), decoded.into_rgb8())?,
        other => {
            let what = format!("pixel type {:?}", other.color());
            return Err(Error::UnsupportedPicture { name: name.into(), what });
        }
    };
    picture.warnings.extend(alpha);
    Ok(picture)
}

fn grey_to_rgb(
    decoded: &DynamicImage,
    name: &str,
    given: Option<Window>,
) -> Result<Picture, Error> {
    // From 16-bit grey, with or without alpha, this copies the samples.
    let (grey, window) = apply(&decoded.to_luma16(), given)?;
    let rgb = DynamicImage::ImageLuma8(grey).into_rgb8();
    let mut warnings = vec![];
    if window.chosen {
        warnings.push(Warning::WindowChosen(window));
    }
    if window.low == window.high {
        warnings.push(Warning::Flat);
    }
    Ok(Picture { window: Some(window), warnings, ..Picture::new(name.into(), rgb)? })
}

fn has_transparency(decoded: &DynamicImage) -> bool {
    match decoded {
        DynamicImage::ImageLumaA8(picture) => picture.pixels().any(|p| p[1] != u8::MAX),
        DynamicImage::ImageRgba8(picture) => picture.pixels().any(|p| p[3] != u8::MAX),
        DynamicImage::ImageLumaA16(picture) => picture.pixels().any(|p| p[1] != u16::MAX),
        DynamicImage::ImageRgba16(picture) => picture.pixels().any(|p| p[3] != u16::MAX),
        _ => false,
    }
}
