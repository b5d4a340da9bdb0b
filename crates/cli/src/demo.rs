//! `medgemma-explainer demo`: the whole path on a synthetic picture, with the models that come with the program.

use crate::{answer, explain, interrupt, output, progress, shades};
use anyhow::Context as _;
use image::{DynamicImage, RgbImage, imageops};
use medgemma_explainer::{
    Answer, AnswerOptions, Ask, Colormap, Context, ExplainOptions, Explainer, Explanations,
    Exported, LoadOptions, ModelSource, OutputFolder, OverlayOptions, Picture, Presentation,
    Question, Shipped, TargetExplanation, Words, save_png,
};
use phantom_radiograph::{Finding, FindingKind, Level, Phantom, Scene, Side, Zone};
use std::path::PathBuf;

pub(crate) const FILES: &str = concat!(
    "Files in --out: report.html, to be opened in a browser; picture-0.png, the picture; overlay-0-0.png and overlay-1-0.png, one ",
    "for each finding; explanation.json and explanation.npz; sound-and-shortcut.png, the same word of two models. The picture is ",
    "synthetic and the models are small: they know nothing about real patients."
);

#[derive(clap::Args, Debug)]
pub(crate) struct DemoArgs {
    /// Folder for the results; created if needed. An earlier demonstration in it is replaced and nothing else: it is an error if
    /// a result has the name of a file that this program did not write, or that has changed since
    #[arg(long, value_name = "DIR", default_value = "demo")]
    out: PathBuf,
}

const BOTH: &str = "sound-and-shortcut.png";
pub(crate) const PROMPT: &str = "Describe the radiograph.";
/// Pixels along each side of the picture.
const SIZE: u32 = 896;

pub(crate) fn run(args: &DemoArgs) -> anyhow::Result<()> {
    let mut folder = OutputFolder::create(&args.out, &[])?;
    let both = folder.reserve(BOTH)?;
    let (scene, picture) = (scene(), picture()?);
    output::line("A synthetic radiograph:");
    for finding in scene.findings() {
        output::line(format_args!("  {} in the {}", finding.kind.with_article(), finding.zone));
    }
    output::line("  and a meaningless tag, PORTABLE");
    output::blank_line();

    let sound = Model::load(Shipped::Phantom)?;
    let answer = sound.answer(&picture)?;
    let words: Vec<&str> = scene.findings().iter().map(|finding| finding.kind.name()).collect();
    let explained = sound.explain(&answer, &words)?;
    output::blank_line();
    explain::print_targets(&answer, &explained, false);
    for target in &explained.targets {
        output::blank_line();
        output::line(format_args!("Text that contributed to \"{}\":", target.text()));
        shades::print(&answer, target, (Colormap::default(), false))?;
    }

    let shortcut = Model::load(Shipped::PhantomShortcut)?;
    save_png(&beside(&compare(&picture, (&sound, &answer, &explained), &shortcut)?), &both)?;
    let without = shortcut.text(&scene.with_portable(false))?;
    let outcome = if without.contains(OPACITY.name()) { "still" } else { "no longer" };
    output::blank_line();
    output::line(format_args!(
        "With the tag removed and nothing else changed, the shortcut model {outcome} says \"{}\".",
        OPACITY.name()
    ));
    output::blank_line();
    let presentation = Presentation::default().with_report(true);
    let written = sound.explainer.write(folder, &answer, &explained, &presentation)?;
    output::line(args.out.join(BOTH).display());
    let Exported { overlays, pictures, record, report, .. } = written;
    let rest = pictures.iter().chain(&overlays).chain([&record]).chain(&report);
    rest.into_iter().for_each(|path| output::line(path.display()));
    Ok(())
}

/// What the two models both name, one for what it is and one for the tag.
const OPACITY: FindingKind = FindingKind::Opacity;

/// An opacity where the shortcut's training always had it, a nodule far from it, and the tag.
fn scene() -> Scene {
    let finding = |kind, side, level, shape| Finding {
        kind,
        zone: Zone { side, level },
        strength: 0.8,
        shape,
    };
    Scene::healthy(12)
        .with(finding(OPACITY, Side::Right, Level::Middle, 4))
        .with(finding(FindingKind::Nodule, Side::Left, Level::Upper, 7))
        .with_portable(true)
}

/// The picture of the demonstration.
pub(crate) fn picture() -> anyhow::Result<Picture> {
    Ok(Picture::from_rgb(rgb(&scene().render(SIZE)))?)
}

fn rgb(phantom: &Phantom) -> RgbImage {
    DynamicImage::ImageLuma8(phantom.grey8()).into_rgb8()
}

/// A checkpoint of the program's own.
struct Model {
    name: Shipped,
    explainer: Explainer,
}

impl Model {
    fn load(name: Shipped) -> anyhow::Result<Self> {
        let context = Context::default().with_cancel(Some(interrupt::flag()));
        let options = LoadOptions::default().with_context(context);
        let load = || Explainer::load(&ModelSource::Shipped(name), &options);
        Ok(Self { name, explainer: progress::step("loading the model", load)? })
    }

    /// The answer, shown as it is made.
    fn answer(&self, picture: &Picture) -> anyhow::Result<Answer> {
        output::line(format_args!("{PROMPT} ({})", self.name));
        answer::stream(&self.explainer, question(picture.clone()), &options(), true)
    }

    /// The answer about a scene that no file shows.
    fn text(&self, scene: &Scene) -> anyhow::Result<String> {
        let picture = Picture::from_rgb(rgb(&scene.render(SIZE)))?;
        let answer = answer::stream(&self.explainer, question(picture), &options(), false)?;
        Ok(answer.text().to_owned())
    }

    fn explain(&self, answer: &Answer, words: &[&str]) -> anyhow::Result<Explanations> {
        let ask = |word: &&str| Ask::Keyword { word: (*word).to_owned(), occurrence: 0 };
        let asks: Vec<Ask> = words.iter().map(ask).collect();
        let options = ExplainOptions::default().with_words(Words::Content);
        Ok(self.explainer.explain(answer, &asks, &options)?)
    }
}

fn question(picture: Picture) -> Question {
    Question::new(vec![picture], PROMPT)
}

fn options() -> AnswerOptions {
    AnswerOptions::default().with_max_new_tokens(96)
}

/// The overlay of the word of both models.
fn compare(
    picture: &Picture,
    (sound, answer, explained): (&Model, &Answer, &Explanations),
    shortcut: &Model,
) -> anyhow::Result<[RgbImage; 2]> {
    output::blank_line();
    let other = shortcut.answer(picture)?;
    let by_tag = shortcut.explain(&other, &[OPACITY.name()])?;
    let figure = |model: &Model, answer: &Answer, target: &TargetExplanation| {
        let title = format!("\"{}\", model {}", target.text(), model.name);
        target.overlay(answer, 0, Some(&title), &OverlayOptions::default())
    };
    let word = explained.targets.first().context("the opacity was explained")?;
    Ok([figure(sound, answer, word)?, figure(shortcut, &other, &by_tag.targets[0])?])
}

/// Two figures on one sheet.
fn beside([left, right]: &[RgbImage; 2]) -> RgbImage {
    let height = left.height().max(right.height());
    let mut sheet = RgbImage::from_pixel(left.width() + right.width(), height, [255; 3].into());
    imageops::replace(&mut sheet, left, 0, 0);
    imageops::replace(&mut sheet, right, i64::from(left.width()), 0);
    sheet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cell with the largest relevancy of each word, of 16 in each direction: row, column.
    fn largest(target: &TargetExplanation) -> [usize; 2] {
        let map = target.image_relevancy(0).unwrap();
        let best = map.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        <[usize; 2]>::from(best.0)
    }

    #[test]
    fn each_word_of_the_demonstration_points_at_what_it_names() {
        let (scene, phantom, picture) = (scene(), scene().render(SIZE), picture().unwrap());
        let touches = |mask: &phantom_radiograph::Mask, [row, column]: [usize; 2]| {
            mask.cells(16)[row * 16 + column] > 0.0
        };

        let sound = Model::load(Shipped::Phantom).unwrap();
        let answer = sound.answer(&picture).unwrap();
        let words: Vec<&str> = scene.findings().iter().map(|f| f.kind.name()).collect();
        let explained = sound.explain(&answer, &words).unwrap();
        for (target, mask) in explained.targets.iter().zip(phantom.masks()) {
            assert!(touches(mask, largest(target)), "{}: {:?}", target.text(), largest(target));
        }

        let shortcut = Model::load(Shipped::PhantomShortcut).unwrap();
        let answer = shortcut.answer(&picture).unwrap();
        let explained = shortcut.explain(&answer, &[OPACITY.name()]).unwrap();
        let found = largest(&explained.targets[0]);
        assert!(touches(phantom.portable_mask(), found), "{found:?}");
        let without = shortcut.text(&scene.with_portable(false)).unwrap();
        assert!(!without.contains(OPACITY.name()), "{without}");
    }
}
