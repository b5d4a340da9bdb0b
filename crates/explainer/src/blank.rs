//! The pictures of a question taken away, in several ways.

use std::fmt;

use attention_capture::{forced_scores, forced_scores_without_images};
use attention_relevancy::{Score, Target};
use explanation_record::BlankKind;
use gemma3_processor::{Picture, Prepared};
use gemma3_tch::Sequence;
use image::{Rgb, RgbImage, imageops};

use crate::error::Cause;
use crate::{Answer, Error, Profile, Request};

/// What replaces the pictures of a question, or how they are hidden. All pictures are taken away at once; prompt,
/// tokens and positions stay what they were.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Blank {
    /// Every pixel has the mean colour of its picture: nothing but brightness is left.
    Mean,
    /// The picture behind a gaussian blur of σ = 10 pixels where the longer side has 896: large forms are left, small ones are not.
    Blur,
    /// Every image token has the mean embedding of all tokens of its picture (mean ablation): no token differs from another.
    MeanEmbedding,
    /// No token behind a picture sees it, in any head of any layer (attention knock-out, Geva et al. 2023).
    Knockout,
    /// Another picture, such as that of another patient, stretched to the size of each one that it replaces.
    Another(Box<Picture>),
}

/// σ of [`Blank::Blur`] over the longer side of the picture. The model sees 896 pixels along each side, so that it sees σ = 10 along
/// the longer and more along the other.
const BLUR: f32 = 10.0 / 896.0;

impl Blank {
    /// All that need nothing but the question.
    pub const ALL: [Self; 4] = [Self::Mean, Self::Blur, Self::MeanEmbedding, Self::Knockout];

    /// Which of the kinds it is.
    pub fn kind(&self) -> BlankKind {
        match self {
            Self::Mean => BlankKind::Mean,
            Self::Blur => BlankKind::Blur,
            Self::MeanEmbedding => BlankKind::MeanEmbedding,
            Self::Knockout => BlankKind::Knockout,
            Self::Another(_) => BlankKind::Another,
        }
    }

    /// The name on the command line and in the record: `mean`, `blur`, `mean-embedding`, `knockout` or `another`.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// What it is, in words that go on from `as likely with`.
    pub fn phrase(&self) -> &'static str {
        self.kind().phrase()
    }

    /// The picture that stands in the place of `picture`, of its size; `None` for a blank that does not change pixels.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Picture`], never for a picture that could be made.
    pub fn picture(&self, picture: &Picture) -> Result<Option<Picture>, Error> {
        let (rgb, size) = (picture.rgb(), picture.rgb().dimensions());
        let blank = match self {
            Self::Mean => RgbImage::from_pixel(size.0, size.1, mean_colour(rgb)),
            Self::Blur => imageops::blur(rgb, BLUR * size.0.max(size.1) as f32),
            Self::Another(other) if other.rgb().dimensions() == size => other.rgb().clone(),
            Self::Another(other) => {
                imageops::resize(other.rgb(), size.0, size.1, imageops::FilterType::Triangle)
            }
            Self::MeanEmbedding | Self::Knockout => return Ok(None),
        };
        Ok(Some(Picture::from_rgb(blank)?))
    }
}

impl From<&Blank> for BlankKind {
    fn from(blank: &Blank) -> Self {
        blank.kind()
    }
}

impl fmt::Display for Blank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Request<'_> {
    /// How the model rates given tokens of an answer without its pictures, from one forward pass.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] for a question without pictures, [`crate::ErrorKind::Argument`] in the profile of the reproduced program, and what
    /// the forward pass fails with.
    pub(crate) fn blank_scores(
        &self,
        answer: &Answer,
        blank: &Blank,
        targets: &[Target],
    ) -> Result<Vec<Score>, Error> {
        self.check_blank(answer)?;
        let scores = |sequence: &Sequence| forced_scores(self.model, sequence, targets);
        Ok(match blank {
            Blank::Mean => scores(self.mean_picture(answer)?),
            Blank::MeanEmbedding => scores(&answer.sequence.with_mean_features()),
            Blank::Knockout => forced_scores_without_images(self.model, &answer.sequence, targets),
            Blank::Blur | Blank::Another(_) => scores(&self.with_pictures(answer, blank)?),
        }?)
    }

    /// Prompt and answer with the image features of the mean picture, which are made once for an answer.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] for a question without pictures, [`crate::ErrorKind::Argument`] in the profile of the reproduced program, and what
    /// the vision tower fails with.
    pub(crate) fn mean_picture<'a>(&self, answer: &'a Answer) -> Result<&'a Sequence, Error> {
        self.check_blank(answer)?;
        if let Some(sequence) = answer.mean.get() {
            return Ok(sequence);
        }
        let sequence = self.with_pictures(answer, &Blank::Mean)?;
        Ok(answer.mean.get_or_init(|| sequence))
    }

    pub(crate) fn check_blank(&self, answer: &Answer) -> Result<(), Error> {
        if self.profile == Profile::PythonProgram {
            return Err(Cause::BlankReproduced.into());
        }
        if answer.question.pictures.is_empty() {
            return Err(Cause::NoPictures.into());
        }
        Ok(())
    }

    /// Prompt and answer with the image features of a blank in the pixels.
    fn with_pictures(&self, answer: &Answer, blank: &Blank) -> Result<Sequence, Error> {
        Ok(self.prompt_with(answer, blank)?.followed_by(&answer.generated.tokens))
    }

    /// The prompt of an answer with the image features of a blank in the pixels.
    pub(crate) fn prompt_with(&self, answer: &Answer, blank: &Blank) -> Result<Sequence, Error> {
        let pictures = answer.question.pictures.iter();
        let blanks: Vec<Picture> = pictures
            .filter_map(|picture| blank.picture(picture).transpose())
            .collect::<Result<_, _>>()?;
        let mut features = Vec::new();
        for picture in &blanks {
            for pixels in self.processor.pixels(picture)? {
                features.push(self.model.encode_image(&pixels)?);
            }
        }
        // The conversation stays: blanks have the sizes of the pictures, so their tokens are the same.
        let Prepared { ids, images, .. } = &answer.prepared;
        let spans = images.iter().map(|image| image.span.clone()).collect();
        Ok(self.model.sequence(ids.clone(), spans, features)?)
    }
}

fn mean_colour(picture: &RgbImage) -> Rgb<u8> {
    let mut sums = [0_u64; 3];
    for pixel in picture.pixels() {
        for (sum, channel) in sums.iter_mut().zip(pixel.0) {
            *sum += u64::from(channel);
        }
    }
    let count = u64::from(picture.width()) * u64::from(picture.height());
    Rgb(sums.map(|sum| ((sum + count / 2) / count) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left half black, right half white, red channel of the right half 100.
    fn picture(width: u32, height: u32) -> Picture {
        let pixel = |x: u32, _| if 2 * x < width { [0; 3] } else { [100, 255, 255] };
        Picture::from_rgb(RgbImage::from_fn(width, height, |x, y| pixel(x, y).into())).unwrap()
    }

    #[test]
    fn a_blank_has_the_size_of_the_picture_and_none_of_its_forms() {
        let picture = picture(90, 40);
        let mean = Blank::Mean.picture(&picture).unwrap().unwrap();
        assert!(mean.rgb().pixels().all(|pixel| pixel.0 == [50, 128, 128]));
        let blur = Blank::Blur.picture(&picture).unwrap().unwrap();
        let at = |x| blur.rgb().get_pixel(x, 20)[1];
        assert!(at(0) < 3 && 252 < at(89), "far from the edge nothing changes");
        // Half a pixel from the edge, with a σ of one pixel: Φ(±0.5) of 255.
        assert!(at(44).abs_diff(79) < 6 && at(45).abs_diff(176) < 6, "{} {}", at(44), at(45));
        for blank in [mean, blur] {
            assert_eq!(blank.rgb().dimensions(), (90, 40));
        }
    }

    #[test]
    fn the_blur_grows_with_the_picture() {
        // Pixels 1.5 and 10.5 from the edge, with a σ of 1 and 10: Φ(1.5) and Φ(1.05) of 255.
        for (side, distance, expected) in [(90_u32, 1, 238_u8), (896, 10, 218)] {
            let blur = Blank::Blur.picture(&picture(side, side)).unwrap().unwrap();
            let found = blur.rgb().get_pixel(side / 2 + distance, side / 2)[1];
            assert!(found.abs_diff(expected) < 6, "{side}: {found}");
        }
    }

    #[test]
    fn another_picture_is_stretched_and_one_of_the_same_size_is_as_it_is() {
        let (wide, square) = (picture(90, 40), picture(30, 30));
        let another = Blank::Another(Box::new(square.clone()));
        assert_eq!(another.picture(&wide).unwrap().unwrap().rgb().dimensions(), (90, 40));
        assert_eq!(another.picture(&square).unwrap().unwrap().rgb(), square.rgb());
    }
}
