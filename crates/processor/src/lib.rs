//! Prompts and pictures to Gemma3 inputs, exact to transformers, without libtorch.
//!
//! A [`Processor`] belongs to a checkpoint directory. It renders the checkpoint's own chat template, puts image tokens
//! in, tokenises once, and turns each [`Picture`] into the pixels of the vision tower. The result says where the tokens
//! of each image are, and which part of the original picture each of them shows ([`Geometry`]). [`TextTokenizer`] goes
//! the other way: text of generated tokens, with the characters that every token wrote ([`Spelled`]), so that a word of
//! the answer can be found as tokens ([`find_keyword`]).
//!
//! The reference is transformers 5.23 with torchvision 0.28 and Pillow 13; token ids and pixels are equal to it, bit by
//! bit. Files are untrusted: sizes are limited, and what is broken is an [`Error`] that names the file.
//!
//! ```
//! use gemma3_processor::{Message, Picture, Processor, ProcessorOptions};
//! # fn main() -> Result<(), gemma3_processor::Error> {
//! # let checkpoint = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/checkpoint"));
//! let processor = Processor::from_dir(checkpoint, ProcessorOptions::default())?;
//! let picture = Picture::from_rgb(gemma3_processor::image::RgbImage::new(300, 260))?;
//! let inputs = processor.prepare(&[Message::user(1, "Is there an effusion?")], &[picture])?;
//!
//! let image = &inputs.images[0];
//! assert_eq!(image.span.len(), 256); // tokens of the image in `inputs.ids`
//! let [rows, columns] = image.grid;
//! let corner = image.geometry.cell(rows - 1, columns - 1); // in pixels of the picture
//! assert_eq!(corner.x + corner.width, 300.0);
//!
//! let answer = processor.tokenizer().encode("No pleural effusion.")?;
//! let spelled = processor.tokenizer().spans(&answer);
//! let tokens = gemma3_processor::find_keyword(&spelled, "pleural effusion", 0, true)?;
//! assert!(processor.tokenizer().decode(&answer[tokens], true).contains("effusion"));
//! # Ok(())
//! # }
//! ```

pub use crate::{
    error::Error,
    files::read as read_file,
    foreign::{FOREIGN_PREFIX, ForeignFile},
    geometry::{Geometry, Rect},
    keyword::{find_every, find_keyword},
    message::{Content, Message, Role},
    picture::{Picture, PictureOptions, Warning},
    pixels::Pixels,
    processor::{Prepared, PreparedImage, Processor, ProcessorOptions},
    resize::{Resize, resize},
    spelling::{Spelled, TextStream},
    tokenizer::TextTokenizer,
    trace::TraceSplit,
    views::CropRule,
    window::{AppliedWindow, Window},
};
/// Pictures cross the border as [`image::RgbImage`].
pub use image;
/// Where a picture came from, in the words of the crate that reads DICOM and `NIfTI`.
pub use medical_pictures::Provenance;

mod processor;

mod message;
mod prompt;
mod template;

mod keyword;
mod spelling;
mod tokenizer;
mod trace;

mod foreign;
mod geometry;
mod picture;
mod pixels;
mod resize;
mod views;
mod window;

/// Templates that nobody has read, in a process of their own.
pub mod worker;

mod config;
mod error;
mod files;
mod gguf;
mod quote;
mod setters;
