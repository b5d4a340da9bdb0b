//! The options of pictures that say how files become pixels, and reading them.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::args::PictureArgs;
use crate::spelled::Spelled;
use anyhow::bail;
use medgemma_explainer::medical::{self, Preset, Recipe, Slices};
use medgemma_explainer::{
    PRIOR, Picture, PictureOptions, ReadOptions, ReadPicture, Window, read_pictures,
};

impl PictureArgs {
    pub(crate) fn reader(&self) -> Reader {
        let window = self.window.as_ref();
        let medical = medical::Options::default()
            .with_recipe(self.recipe.map(|name| name.0))
            .with_window(window.and_then(|window| window.medical))
            .with_slices(self.slices.clone().map(|choice| choice.slices).unwrap_or_default())
            .with_frame(self.frame.map(|frame| frame - 1))
            .with_keep_identifiers(self.keep_identifiers);
        let plain = PictureOptions::default().with_window(window.and_then(|window| window.plain));
        Reader {
            options: ReadOptions::default().with_plain(plain).with_medical(medical),
            window: self.window.clone(),
        }
    }

    /// An option that is for DICOM and `NIfTI` alone, if one was given.
    fn medical_option(&self) -> Option<&'static str> {
        let given = [
            (self.recipe.is_some(), "recipe"),
            (self.slices.is_some(), "slices"),
            (self.frame.is_some(), "frame"),
            (self.keep_identifiers, "keep-identifiers"),
        ];
        given.into_iter().find(|(is_given, _)| *is_given).map(|(_, name)| name)
    }

    /// Nothing that was asked of DICOM files is passed over where there is none.
    pub(crate) fn check_used(
        &self,
        sources: &[Option<medical::SourceHandle>],
    ) -> anyhow::Result<()> {
        match self.medical_option() {
            Some(option) if sources.iter().all(Option::is_none) => bail!(
                "--{option} is about DICOM and NIfTI, and no picture is one: leave it out, or give the original file"
            ),
            _ => Ok(()),
        }
    }
}

/// Reads pictures as the options say.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    options: ReadOptions,
    window: Option<PictureWindow>,
}

impl Reader {
    /// The pictures of a file or folder.
    pub(crate) fn read(&self, path: &Path) -> anyhow::Result<Vec<ReadPicture>> {
        let is_medical = path.is_dir() || medical::is_medical(path);
        if let Some(window) = &self.window {
            let fits = if is_medical { window.medical.is_some() } else { window.plain.is_some() };
            if !fits {
                let (kind, instead) = if is_medical {
                    (
                        "a DICOM or NIfTI file",
                        "LOW,HIGH, CENTRE/WIDTH, a name such as lung, or file:1",
                    )
                } else {
                    ("no DICOM or NIfTI file", "LOW,HIGH in stored values, percentiles, or min-max")
                };
                bail!(
                    "--window {} does not fit {}, which is {kind}; give {instead}",
                    window.text,
                    path.display()
                );
            }
        }
        Ok(read_pictures(path, &self.options)?)
    }

    /// The same of an earlier study: every picture says so.
    pub(crate) fn prior(&self, path: &Path) -> anyhow::Result<Vec<ReadPicture>> {
        let mut found = self.read(path)?;
        for read in &mut found {
            let picture = &read.picture;
            let mut provenance = picture.provenance().clone();
            provenance.notes.push(PRIOR.to_owned());
            let name = format!("prior: {}", picture.name());
            read.picture = read.picture.clone().with_provenance(name, provenance);
        }
        Ok(found)
    }

    /// The picture of a file that has one.
    pub(crate) fn one(&self, path: &Path) -> anyhow::Result<Picture> {
        let mut found = self.read(path)?;
        match found.len() {
            1 => Ok(found.remove(0).picture),
            many => bail!("{} has {many} pictures, and one is wanted", path.display()),
        }
    }
}

/// A window as it was written, for either kind of file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PictureWindow {
    text: String,
    plain: Option<Window>,
    medical: Option<medical::Window>,
}

const WINDOW: &str = "give LOW,HIGH, CENTRE/WIDTH, percentiles such as 1%,99%, min-max, file:N, or one of lung, bone, soft-tissue, \
    brain, mediastinum, liver";

impl Spelled for PictureWindow {
    fn read(text: &str) -> Result<Self, String> {
        let of = |plain, medical| Ok(Self { text: text.to_owned(), plain, medical });
        if text == "min-max" {
            return of(Some(Window::MinMax), None);
        }
        if let Some(preset) = Preset::named(text) {
            return of(None, Some(medical::Window::Preset(preset)));
        }
        if let Some(number) = text.strip_prefix("file:") {
            let number: usize = number.parse().ok().filter(|&it| 0 < it).ok_or(WINDOW)?;
            return of(None, Some(medical::Window::OfFile(number - 1)));
        }
        let pair = |mark| text.split_once(mark).map(|(a, b): (&str, &str)| (a.trim(), b.trim()));
        let number = |text: &str| text.parse::<f64>().ok().filter(|value| value.is_finite());
        if let Some((centre, width)) = pair('/') {
            let both = number(centre).zip(number(width)).filter(|(_, width)| 1.0 <= *width);
            let (centre, width) = both.ok_or(WINDOW)?;
            return of(None, Some(medical::Window::Centre { centre, width }));
        }
        let (low, high) = pair(',').ok_or(WINDOW)?;
        if let Some((low, high)) = low.strip_suffix('%').zip(high.strip_suffix('%')) {
            let part = |text: &str| number(text).filter(|part| (0.0..=100.0).contains(part));
            let (low, high) = part(low).zip(part(high)).ok_or(WINDOW)?;
            return of(Some(Window::Percentile(low, high)), None);
        }
        let (from, to) = number(low).zip(number(high)).ok_or(WINDOW)?;
        if to <= from {
            return Err(format!("{from} is not below {to}: the first value becomes black"));
        }
        let stored = low.parse().ok().zip(high.parse().ok());
        let plain = stored.map(|(low, high)| Window::Range { low, high });
        of(plain, Some(medical::Window::Range { low: from, high: to }))
    }

    fn spell(&self) -> String {
        self.text.clone()
    }
}

/// The name of a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecipeName(Recipe);

impl Spelled for RecipeName {
    fn read(text: &str) -> Result<Self, String> {
        Recipe::named(text)
            .map(Self)
            .ok_or_else(|| format!("give one of {}", Recipe::ALL.map(Recipe::name).join(", ")))
    }

    fn spell(&self) -> String {
        self.0.name().to_owned()
    }
}

/// Which slices, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SliceChoice {
    text: String,
    slices: Slices,
}

impl Spelled for SliceChoice {
    fn read(text: &str) -> Result<Self, String> {
        let of = |slices| Ok(Self { text: text.to_owned(), slices });
        let wrong = "give all, how many at most, or a list such as 3,7-12, counted from 1";
        if text == "all" {
            return of(Slices::All);
        }
        let number = |text: &str| text.trim().parse::<usize>().ok().filter(|&it| 0 < it);
        if let Some(count) = number(text) {
            return of(Slices::Count(count));
        }
        let part = |part: &str| -> Option<RangeInclusive<usize>> {
            let (first, last) = match part.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(part)?, number(part)?),
            };
            (first <= last).then(|| first - 1..=last - 1)
        };
        let parts: Option<Vec<_>> = text.split(',').map(part).collect();
        of(Slices::List(parts.ok_or(wrong)?))
    }

    fn spell(&self) -> String {
        self.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_fit_one_kind_of_file_or_both() {
        let read = |text| PictureWindow::read(text).unwrap();
        let both = read("0,4095");
        assert_eq!(both.plain, Some(Window::Range { low: 0, high: 4095 }));
        assert_eq!(both.medical, Some(medical::Window::Range { low: 0.0, high: 4095.0 }));
        assert_eq!(read("-1350,150").plain, None);
        assert_eq!(read("min-max").medical, None);
        assert_eq!(read("1%,99%").plain, Some(Window::Percentile(1.0, 99.0)));
        assert_eq!(read("lung").medical, Some(medical::Window::Preset(Preset::Lung)));
        assert_eq!(read("file:2").medical, Some(medical::Window::OfFile(1)));
        let centre = medical::Window::Centre { centre: -600.0, width: 1500.0 };
        assert_eq!(read("-600/1500").medical, Some(centre));
        for wrong in ["", "5,5", "9,1", "lungs", "file:0", "40/0", "1%,101%", "nan,1", "1;2"] {
            assert!(PictureWindow::read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slices_are_counted_from_one() {
        let read = |text| SliceChoice::read(text).unwrap().slices;
        assert_eq!(read("all"), Slices::All);
        assert_eq!(read("20"), Slices::Count(20));
        assert_eq!(read("3,7-12"), Slices::List(vec![2..=2, 6..=11]));
        for wrong in ["", "0", "0-3", "5-2", "3,", "-4", "a"] {
            assert!(SliceChoice::read(wrong).is_err(), "{wrong}");
        }
    }
}
