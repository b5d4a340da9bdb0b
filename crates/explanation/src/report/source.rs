//! What the page says of where pictures came from and what was done to them.

use medical_pictures::{Channel, ChannelWindow, Format, Provenance, WindowOrigin};
use relevancy_visualization::report::Fact;

use crate::text::{file_name, minus};
use crate::{Explained, ExplainedPicture};

/// A line for each picture; one for pictures that follow each other and were treated alike, as slices are.
pub(super) fn facts(explained: &Explained<'_>) -> Vec<Fact> {
    let mut lines: Vec<(String, String, usize)> = Vec::new();
    for ExplainedPicture { name, source, .. } in &explained.pictures {
        let Some(source) = source else { continue };
        let summary = summary(source);
        match lines.last_mut() {
            Some((_, last, count)) if *last == summary => *count += 1,
            _ => lines.push((file_name(name), summary, 1)),
        }
    }
    let fact = |(name, summary, count): (String, String, usize)| match count {
        1 => Fact::new(format!("Source of {name}"), summary),
        _ => Fact::new(format!("Source of {name} and {} more", count - 1), summary),
    };
    lines.into_iter().map(fact).collect()
}

/// What a person should look at in the pictures.
pub(super) fn notes<'a>(explained: &'a Explained<'_>) -> impl Iterator<Item = String> + 'a {
    explained.pictures.iter().flat_map(|picture| {
        let checks = picture.source.iter().flat_map(|source| &source.checks);
        checks.map(|check| format!("{}: {}.", file_name(&picture.name), check.message))
    })
}

fn summary(source: &Provenance) -> String {
    let mut parts = vec![match source.format {
        Format::Dicom => "DICOM".to_owned(),
        Format::Nifti => "NIfTI".to_owned(),
        Format::Jpeg => "JPEG".to_owned(),
        Format::Tiff => "TIFF".to_owned(),
        Format::Webp => "WebP".to_owned(),
        Format::Bmp => "BMP".to_owned(),
        Format::Png => "PNG".to_owned(),
        _ => "pixels that were given".to_owned(),
    }];
    parts.extend(source.modality.clone());
    parts.extend(source.view.as_ref().map(|view| format!("view {view}")));
    if let Some(photometric) = &source.photometric {
        let inverted = if source.inverted { ", inverted" } else { "" };
        parts.push(format!("{photometric}{inverted}"));
    }
    if let Some(bits) = source.bits {
        parts.push(format!("{} of {} bits", bits.stored, bits.allocated));
    }
    if matches!(source.format, Format::Dicom | Format::Nifti) {
        parts.push(format!("recipe {}: {}", source.recipe, source.recipe_because));
    }
    parts.extend(source.window.iter().map(window));
    if let Some(orientation) = &source.orientation {
        let [left, right, top, bottom] =
            [orientation.left(), orientation.right(), orientation.top(), orientation.bottom()];
        parts.push(format!("left {left}, right {right}, top {top}, bottom {bottom}"));
    }
    if let Some([rows, columns]) = source.spacing_mm {
        parts.push(format!("pixels of {rows} × {columns} mm"));
    }
    if let Some([width, height]) = source.resampled {
        let [from_width, from_height] = source.size;
        parts
            .push(format!("{from_width} × {from_height} resampled to squares, {width} × {height}"));
    }
    parts.extend(source.notes.iter().cloned());
    parts.join("; ")
}

fn window(window: &ChannelWindow) -> String {
    let channel = match window.channel {
        Channel::Grey => "",
        Channel::Red => "red ",
        Channel::Green => "green ",
        Channel::Blue => "blue ",
    };
    let origin = match window.origin {
        WindowOrigin::Given | WindowOrigin::Preset => "as asked for",
        WindowOrigin::Tag => "as the file says",
        WindowOrigin::Lut => "by the file's table",
        WindowOrigin::Recipe => "of the recipe",
        _ => "the full range",
    };
    minus(format!("{channel}{} to {} {}, {origin}", window.low, window.high, window.unit))
}
