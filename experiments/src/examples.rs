//! From a scene to what the model takes, through the processor of the checkpoint: pixels, labels of cells, token ids.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gemma3_processor::image::{DynamicImage, RgbImage};
use gemma3_processor::{Message, Picture, Pixels, Processor, ProcessorOptions};
use phantom_radiograph::{Finding, FindingKind, Mask, Phantom, Scene, Zone};

use crate::lanes::Task;
use crate::questions::{Answer, Question};
use crate::recipe::{Recipe, Variant};
use crate::scenes::{Purpose, has, mix, number, scene, shown};
use crate::vocabulary::IDS;

/// A cell shows a finding that covers so much of it.
pub const COVERED: f32 = 0.08;

/// Makes the examples of a run. Each depends on its number alone.
pub struct Examples {
    recipe: Recipe,
    processor: Processor,
    /// What every prompt begins with.
    beginning: Beginning,
    /// The rest of the prompt of each question.
    prompts: Vec<(Question, Vec<u32>)>,
}

/// What prompts begin with: up to the last image and what follows it before the question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning {
    /// The tokens.
    pub ids: Vec<u32>,
    /// The positions of the images in them.
    pub images: Vec<std::ops::Range<usize>>,
}

impl Beginning {
    /// The same with so many tokens for each image.
    #[must_use]
    pub fn with_image_tokens(&self, counts: &[usize]) -> Self {
        let (mut ids, mut images, mut done) = (Vec::new(), Vec::new(), 0);
        for (image, &count) in self.images.iter().zip(counts) {
            ids.extend(&self.ids[done..image.start]);
            images.push(ids.len()..ids.len() + count);
            ids.extend(std::iter::repeat_n(self.ids[image.start], count));
            done = image.end;
        }
        ids.extend(&self.ids[done..]);
        Self { ids, images }
    }
}

/// A picture and what is in which cell of it.
pub struct Seen {
    /// Input of the vision tower.
    pub pixels: Pixels,
    /// `[cells, landmarks]`: 1 where a cell shows a landmark.
    pub labels: Vec<f32>,
}

/// A picture, or several, with questions and their answers.
pub struct Asked {
    /// Inputs of the vision tower.
    pub pixels: Vec<Pixels>,
    /// Questions with answers.
    pub turns: Vec<Turn>,
    /// The image tokens that are shown of each picture, ascending; all where there is none.
    pub cells: Option<Vec<Vec<i64>>>,
}

/// A question and its answer as tokens, from where prompts begin to differ.
pub struct Turn {
    /// The rest of the prompt, the answer, the end of the turn.
    pub ids: Vec<u32>,
    /// How many of them are the prompt's.
    pub prompt: usize,
    /// For each token of the answer, whether the picture decides it.
    pub decided: Vec<bool>,
}

/// What the first stage tells cells apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Landmark {
    /// A finding of this kind, wherever it lies.
    Finding(FindingKind),
    /// A finding of this kind that lies in this zone: all of its cells, those that reach into the next zone too. What a report says
    /// of a finding can then be read off any cell of it.
    Placed(FindingKind, Zone),
    /// The tag.
    Tag,
}

impl Landmark {
    /// Those of a variant. The shortcut's tower is told of the tag, and never of an opacity.
    pub fn of(variant: Variant) -> Vec<Self> {
        let is_told =
            |kind: &FindingKind| variant != Variant::Shortcut || *kind != FindingKind::Opacity;
        let told = || FindingKind::ALL.into_iter().filter(is_told);
        let placed = told().flat_map(|kind| kind.zones().map(move |zone| Self::Placed(kind, zone)));
        let tag = (variant == Variant::Shortcut).then_some(Self::Tag);
        told().map(Self::Finding).chain(placed).chain(tag).collect()
    }

    fn is(self, finding: &Finding) -> bool {
        match self {
            Self::Finding(kind) => finding.kind == kind,
            Self::Placed(kind, zone) => finding.kind == kind && finding.zone == zone,
            Self::Tag => false,
        }
    }

    fn masks<'p>(self, scene: &Scene, phantom: &'p Phantom) -> Vec<&'p Mask> {
        if self == Self::Tag {
            return vec![phantom.portable_mask()];
        }
        let found = scene.findings().iter().zip(phantom.masks());
        found.filter(|(finding, _)| self.is(finding)).map(|(_, mask)| mask).collect()
    }
}

impl Examples {
    /// For a run whose tokenizer, chat template and processor files are in `folder`.
    pub fn new(recipe: &Recipe, folder: &Path) -> Result<Self> {
        let processor = Processor::from_dir(folder, ProcessorOptions::default())?;
        let side = recipe.sizes.vision.image as u32;
        let black = Picture::from_rgb(RgbImage::new(side, side))?;
        let questions = Question::all();
        let texts: Vec<String> = questions.iter().map(|question| question.text()).collect();
        let (beginning, rests) = shared_beginning(&processor, &texts, &[black])?;
        let prompts = questions.into_iter().zip(rests).collect();
        Ok(Self { recipe: recipe.clone(), beginning, prompts, processor })
    }

    /// What every prompt begins with.
    pub fn beginning(&self) -> &Beginning {
        &self.beginning
    }

    /// Example `index` of the first stage.
    pub fn seen(&self, index: u64) -> Result<Seen> {
        let scene = scene(self.recipe.seed, Purpose::Sight, index, self.recipe.variant);
        let phantom = scene.render(self.recipe.sizes.vision.image as u32);
        let landmarks = Landmark::of(self.recipe.variant);
        let grid = self.recipe.sizes.grid;
        let mut labels = vec![0.0; grid * grid * landmarks.len()];
        for (column, landmark) in landmarks.iter().enumerate() {
            for mask in landmark.masks(&scene, &phantom) {
                let cells = mask.cells(grid as u32);
                for (cell, _) in cells.iter().enumerate().filter(|(_, share)| COVERED < **share) {
                    labels[cell * landmarks.len() + column] = 1.0;
                }
            }
        }
        Ok(Seen { pixels: self.pixels(&phantom)?, labels })
    }

    /// Example `index` of a stage with questions.
    pub fn asked(&self, task: Task, index: u64) -> Result<Asked> {
        let Recipe { answers, dialogue, review, .. } = &self.recipe;
        let (purpose, stage, index) = match task {
            Task::Sight | Task::Answers | Task::Hybrid => (Purpose::Answers, answers, index),
            Task::Dialogue => (Purpose::Dialogue, dialogue, index),
            // Behind those of the dialogue.
            Task::Review => {
                (Purpose::Dialogue, review, index + (dialogue.steps * dialogue.pictures) as u64)
            }
        };
        let scene = scene(self.recipe.seed, purpose, index, self.recipe.variant);
        let shown = shown(self.recipe.seed, purpose, index, self.recipe.variant);
        let phantom = shown.render(self.recipe.sizes.vision.image as u32);
        let questions = choose(&scene, stage.questions, number(self.recipe.seed, purpose, index));
        let turns = questions
            .into_iter()
            .map(|question| self.turn(question, &scene))
            .collect::<Result<_>>()?;
        Ok(Asked { pixels: vec![self.pixels(&phantom)?], turns, cells: None })
    }

    /// A question about a scene, and its answer.
    fn turn(&self, question: Question, scene: &Scene) -> Result<Turn> {
        let prompt = self.prompts.iter().find(|(known, _)| *known == question);
        let (_, prompt) = prompt.context("every question has its prompt")?;
        Turn::new(&self.processor, prompt, &question.answer(scene), IDS.end_of_turn as u32)
    }

    /// Exactly what the processor makes of the picture's file.
    fn pixels(&self, phantom: &Phantom) -> Result<Pixels> {
        let message = Message::user(1, Question::Describe.text());
        let mut prepared = self.processor.prepare(&[message], &[picture(phantom)?])?;
        Ok(prepared.pixels.remove(0))
    }
}

impl Turn {
    /// The rest of a prompt, the answer to it and the token that ends a turn.
    pub fn new(
        processor: &Processor,
        prompt: &[u32],
        answer: &Answer,
        end_of_turn: u32,
    ) -> Result<Self> {
        let (mut ids, mut decided) = (prompt.to_vec(), Vec::new());
        for piece in answer.pieces() {
            let spelled = processor.tokenizer().encode(&piece.text)?;
            decided.extend(std::iter::repeat_n(piece.decided, spelled.len()));
            ids.extend(spelled);
        }
        ids.push(end_of_turn);
        decided.push(false);
        Ok(Self { ids, prompt: prompt.len(), decided })
    }
}

/// What the prompts of these questions about some pictures begin with, and the rest of each.
pub fn shared_beginning(
    processor: &Processor,
    questions: &[String],
    pictures: &[Picture],
) -> Result<(Beginning, Vec<Vec<u32>>)> {
    let prepare = |text: &String| {
        processor.prepare(&[Message::user(pictures.len(), text.as_str())], pictures)
    };
    let prepared = questions.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
    let first = prepared.first().context("no questions")?;
    let images: Vec<_> = first.images.iter().map(|image| image.span.clone()).collect();
    let common = |ids: &[u32]| first.ids.iter().zip(ids).take_while(|(a, b)| a == b).count();
    let length = prepared[1..].iter().map(|other| common(&other.ids)).min().unwrap_or(0);
    let end = images.last().map_or(0, |image| image.end);
    ensure!(end < length, "the prompts differ before the end of the last image");
    let rests = prepared.iter().map(|prepared| prepared.ids[length..].to_vec()).collect();
    Ok((Beginning { ids: first.ids[..length].to_vec(), images }, rests))
}

/// The phantom as a file of 8 bits would be read.
pub fn picture(phantom: &Phantom) -> Result<Picture> {
    let rgb = DynamicImage::ImageLuma8(phantom.grey8()).into_rgb8();
    Ok(Picture::from_rgb(rgb)?)
}

/// The report, then short questions; every other one is about something that is there.
fn choose(scene: &Scene, count: usize, number: u64) -> Vec<Question> {
    let mut state = number;
    let mut draw = |below: usize| {
        state = mix(state);
        (state % below as u64) as usize
    };
    let (present, absent): (Vec<_>, Vec<_>) =
        FindingKind::ALL.into_iter().partition(|kind| has(scene, *kind));
    let mut short = |_| {
        let wanted = if draw(2) == 0 || absent.is_empty() { &present } else { &absent };
        let kinds = if wanted.is_empty() { &absent } else { wanted };
        let kind = kinds[draw(kinds.len())];
        if draw(2) == 0 { Question::Where(kind) } else { Question::Is(kind) }
    };
    [Question::Describe].into_iter().chain((1..count).map(&mut short)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::companions;

    fn examples() -> (tempfile::TempDir, Examples) {
        let recipe = Recipe::tiny(Variant::Sound);
        let folder = tempfile::tempdir().unwrap();
        companions::write(folder.path(), &recipe.sizes).unwrap();
        let examples = Examples::new(&recipe, folder.path()).unwrap();
        (folder, examples)
    }

    #[test]
    fn a_turn_is_what_the_processor_makes_of_the_conversation() {
        let (_folder, examples) = examples();
        for index in 0..20 {
            let asked = examples.asked(Task::Answers, index).unwrap();
            for turn in asked.turns {
                let text = examples.processor.tokenizer().decode(&turn.ids[turn.prompt..], false);
                let whole = examples.processor.tokenizer().encode(&text).unwrap();
                assert_eq!(turn.ids[turn.prompt..], whole, "{text}");
                assert_eq!(turn.decided.len(), whole.len());
            }
        }
        let Beginning { ids, images } = examples.beginning();
        assert_eq!((images.len(), ids.len()), (1, images[0].end + 2));
    }

    #[test]
    fn an_example_is_the_same_each_time() {
        let (_folder, examples) = examples();
        let (first, second) = (examples.seen(3).unwrap(), examples.seen(3).unwrap());
        assert_eq!(first.pixels, second.pixels);
        assert_eq!(first.labels, second.labels);
    }
}
