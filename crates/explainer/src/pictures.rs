//! Pictures from files of any kind: photographs and drawings of files as everybody has them, DICOM and `NIfTI` as hospitals do.

use std::path::Path;

use gemma3_processor::{Picture, PictureOptions};
use medical_pictures::{
    Check, CheckKind, MedicalPicture, Provenance, SourceHandle, check_picture, is_medical,
};

use crate::Error;
use crate::setters::setters;

/// How pictures are read. `default()` fits trusted and untrusted files alike.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ReadOptions {
    /// PNG, JPEG, TIFF, WebP and BMP.
    pub plain: PictureOptions,
    /// DICOM and `NIfTI`.
    pub medical: medical_pictures::Options,
}

setters!(ReadOptions {
    with_plain = plain: PictureOptions,
    with_medical = medical: medical_pictures::Options,
});

/// A picture from a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReadPicture {
    /// Its name says what it is and not whose: of a DICOM file modality and slice, not the name of the file.
    pub picture: Picture,
    /// The text that belongs behind it in a question: `SLICE 3`, for slices of a volume.
    pub label: Option<String>,
    /// Where results are written back to; `None` for files that hold nothing but pixels.
    pub source: Option<SourceHandle>,
}

/// Reads the picture of a file, or the pictures: a folder of slices, a file of several frames and a volume have many.
///
/// # Errors
/// [`crate::ErrorKind::Io`] and [`crate::ErrorKind::Picture`]; all name the file.
pub fn read_pictures(path: &Path, options: &ReadOptions) -> Result<Vec<ReadPicture>, Error> {
    if path.is_dir() || is_medical(path) {
        let found = medical_pictures::open(path, &options.medical)?;
        let many = found.len();
        let keeps_names = options.medical.keep_identifiers;
        return found.into_iter().map(|it| of_medical(it, many, keeps_names)).collect();
    }
    let picture = Picture::open(path, &options.plain)?;
    let mut provenance = picture.provenance().clone();
    provenance.checks = check_picture(picture.rgb());
    provenance.notes.push(NO_SIDES.to_owned());
    let name = picture.name().to_owned();
    Ok(vec![ReadPicture {
        picture: picture.with_provenance(name, provenance),
        label: None,
        source: None,
    }])
}

/// What a picture's user should look at before believing an answer about it. That it is no square only matters to questions that ask for
/// places, in pictures that are not padded to one (`pads`).
pub fn input_checks<'a>(
    picture: &'a Picture,
    prompt: &str,
    pads: bool,
) -> impl Iterator<Item = &'a Check> + use<'a> {
    let prompt = prompt.to_lowercase();
    let asks_for_places = ["box", "coordinate", "localiz", "localis", "locate"];
    let wants_square = !pads && asks_for_places.iter().any(|word| prompt.contains(word));
    let all = picture.provenance().checks.iter();
    all.filter(move |check| check.kind != CheckKind::NotPadded || wants_square)
}

/// What a file without tags says of sides.
pub const NO_SIDES: &str = "the file does not say which way the patient lies in the picture; letters and the patient's sides are \
    those of the orientation that is asked for, never guessed";

fn of_medical(found: MedicalPicture, many: usize, keeps_names: bool) -> Result<ReadPicture, Error> {
    let source = found.source().clone();
    let name = if keeps_names {
        source.path().display().to_string()
    } else {
        name(&found.provenance, many, source.frame())
    };
    let MedicalPicture { rgb, provenance, label, .. } = found;
    let picture = Picture::from_rgb(rgb)?.with_provenance(name, provenance);
    Ok(ReadPicture { picture, label, source: Some(source) })
}

/// What it is, without anything of whose it is.
fn name(provenance: &Provenance, many: usize, frame: u32) -> String {
    let format = match provenance.format {
        medical_pictures::Format::Nifti => "NIfTI",
        _ => "DICOM",
    };
    let what = match &provenance.modality {
        Some(modality) => format!("{format} {modality}"),
        None => format.to_owned(),
    };
    match &provenance.slice {
        Some(slice) => format!("{what}, slice {}", slice.number),
        None if 1 < many => format!("{what}, frame {frame}"),
        None => what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medical_pictures::{Format, Recipe};

    #[test]
    fn padding_matters_to_questions_for_places() {
        let wide = Picture::from_rgb(image::RgbImage::new(4, 2)).unwrap();
        let mut provenance = wide.provenance().clone();
        provenance.checks = vec![
            Check::new(CheckKind::NotPadded, "no square"),
            Check::new(CheckKind::Negative, "a negative"),
        ];
        let wide = wide.with_provenance("wide".to_owned(), provenance);
        let count = |prompt, pads| input_checks(&wide, prompt, pads).count();
        assert_eq!(count("Describe it.", false), 1);
        assert_eq!(count("Give bounding boxes.", false), 2);
        assert_eq!(count("Give bounding boxes.", true), 1);
    }

    #[test]
    fn names_say_what_and_not_whose() {
        let mut provenance = Provenance::new(Format::Dicom, [4, 4], Recipe::Cxr, "asked for");
        assert_eq!(name(&provenance, 1, 0), "DICOM");
        provenance.modality = Some("CR".to_owned());
        assert_eq!(name(&provenance, 1, 0), "DICOM CR");
        assert_eq!(name(&provenance, 3, 2), "DICOM CR, frame 2");
    }
}
