//! How long a series takes from its folder to the numbers that a vision tower takes.
//!
//! `series FOLDER CHECKPOINT`, for instance a folder of CT slices and `crates/explainer/models/phantom`.
#![allow(clippy::print_stdout, reason = "an example talks on stdout")]

use std::path::Path;
use std::time::Instant;

use gemma3_processor::{Picture, Processor, ProcessorOptions};
use medical_pictures::{Options, open};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, checkpoint] = arguments.as_slice() else {
        return Err("give FOLDER and CHECKPOINT".into());
    };
    let processor = Processor::from_dir(Path::new(checkpoint), ProcessorOptions::default())?;
    let start = Instant::now();
    let pictures = open(Path::new(folder), &Options::default())?;
    let opened = start.elapsed();
    let mut numbers = 0;
    let count = pictures.len();
    for picture in pictures {
        for pixels in processor.pixels(&Picture::from_rgb(picture.rgb)?)? {
            numbers += pixels.values.len();
        }
    }
    println!(
        "{count} pictures: {:.1} s to open, {:.1} s in all, {numbers} numbers",
        opened.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );
    Ok(())
}
