//! A finished checkpoint, asked about phantoms through the ordinary loader, processor and generation.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use gemma3_processor::{Message, Picture, Pixels};
use gemma3_tch::{Cached, Checkpoint, Fast, Gemma3, GenerationOptions, Sequence, guard};
use medgemma_explainer::{
    Context, DeviceSpec, DtypeSpec, Explainer, LoadOptions, ModelSource, Profile,
};
use phantom_radiograph::Scene;
use tch::Tensor;

use crate::questions::{Answer, Question, Word};
use crate::vocabulary::IDS;

/// No right answer is as long.
const LONGEST: usize = 96;

/// Bytes for an explanation, the same on every machine: the order of its sums depends on them.
const MEMORY_BUDGET: u64 = 1 << 30;

/// A checkpoint that answers and is explained, as an application has it.
pub struct Reader {
    explainer: Explainer,
    /// The same weights, for what is no question of an application's.
    model: Gemma3,
    dtype: DtypeSpec,
}

/// A question about a phantom with its right answer.
pub struct Reading {
    /// What is asked.
    pub question: medgemma_explainer::Question,
    /// The right answer.
    pub text: String,
    /// Prompt and answer.
    pub sequence: Sequence,
    /// Positions of the image in it.
    pub image: Range<usize>,
    /// What the image says there, `[256, D]`.
    pub features: Tensor,
    /// The image as the vision tower takes it, `[3, s, s]`.
    pub picture: Tensor,
    /// The first position of the answer.
    pub answer: usize,
    /// The words of the answer that tell of a finding.
    pub words: Vec<Spoken>,
}

/// A word that tells of a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// The word.
    pub text: String,
    /// What it tells.
    pub word: Word,
    /// Of which finding of the scene.
    pub finding: usize,
    /// Where its tokens stand. The first one decides, others only end the word.
    pub positions: Range<usize>,
    /// Where the tokens of its sentence stand, the full stop among them.
    pub sentence: Range<usize>,
}

impl Reader {
    /// Loads the checkpoint in `folder`.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_as(folder, DtypeSpec::default())
    }

    /// The same, computed in `dtype`.
    pub fn open_as(folder: &Path, dtype: DtypeSpec) -> Result<Self> {
        let checkpoint = Checkpoint::open(folder)?;
        let placement =
            checkpoint.placement(gemma3_tch::DeviceSpec::Cpu, dtype.to_string().parse()?)?;
        let model = checkpoint.load(placement)?;
        Ok(Self { explainer: load(folder, dtype, Profile::Sound)?, model, dtype })
    }

    /// The model.
    pub fn model(&self) -> &Gemma3 {
        &self.model
    }

    /// The facade over the model.
    pub fn explainer(&self) -> &Explainer {
        &self.explainer
    }

    /// The facade over the same checkpoint by the conventions of the public Python program.
    pub fn seed(&self) -> Result<Explainer> {
        load(self.explainer.path(), self.dtype, Profile::PythonProgram)
    }

    /// The answers to these questions about one picture.
    pub fn ask(&self, picture: &Picture, questions: &[Question]) -> Result<Vec<String>> {
        let mut features = None;
        let answer = |question: &Question| {
            let (prompt, _) = self.prompt(picture, *question, &mut features)?;
            self.generate(&prompt)
        };
        questions.iter().map(answer).collect()
    }

    /// The right answers to these questions, as they would stand behind the prompt.
    pub fn read(
        &self,
        scene: &Scene,
        picture: &Picture,
        questions: &[Question],
    ) -> Result<Vec<Reading>> {
        let mut features = None;
        let pixels = self.pixels(picture)?;
        let read = |question: &Question| {
            let (prompt, image) = self.prompt(picture, *question, &mut features)?;
            let features = features.as_ref().context("the picture was encoded")?;
            let asked = medgemma_explainer::Question::new(vec![picture.clone()], question.text());
            self.reading((asked, &question.answer(scene)), &prompt, image, (features, &pixels))
        };
        questions.iter().map(read).collect()
    }

    /// A picture as the vision tower takes it, `[3, s, s]`.
    pub fn pixels(&self, picture: &Picture) -> Result<Tensor> {
        Ok(self.model().picture(&self.prepared(picture)?)?)
    }

    fn prepared(&self, picture: &Picture) -> Result<Pixels> {
        let mut pixels = self.explainer.processor().pixels(picture)?;
        ensure!(pixels.len() == 1, "a phantom is one image");
        Ok(pixels.remove(0))
    }

    /// Whether the model would say exactly this: each token is the most likely one, the end of the turn included.
    pub fn agrees(&self, reading: &Reading) -> Result<bool> {
        self.chooses(&reading.sequence, reading.answer)
    }

    /// Whether each token from position `answer` on is the most likely one, and the end of the turn behind them.
    fn chooses(&self, sequence: &Sequence, answer: usize) -> Result<bool> {
        let _no_grad = tch::no_grad_guard();
        let ids = sequence.ids();
        let logits = guard("reading an answer", || {
            let hidden = self.model().forward(sequence, &mut Fast);
            let rows = (ids.len() - answer + 1) as i64;
            self.model().text().logits(&hidden.narrow(0, answer as i64 - 1, rows))
        })?;
        let chosen = Vec::<i64>::try_from(logits.argmax(-1, false))?;
        let right = ids[answer..].iter().map(|&id| i64::from(id));
        Ok(chosen.into_iter().eq(right.chain([IDS.end_of_turn as i64])))
    }

    /// Whether this model, with its own look at the picture, would say what another one read.
    pub fn would_say(&self, reading: &Reading) -> Result<bool> {
        let picture = reading.question.pictures.first().context("a reading has a picture")?;
        let features = self.model.encode_image(&self.prepared(picture)?)?;
        let (ids, images) = (reading.sequence.ids().to_vec(), vec![reading.image.clone()]);
        let sequence = self.model.sequence(ids, images, vec![features])?;
        self.chooses(&sequence, reading.answer)
    }

    /// The id of a word after a space; the first of its pieces.
    pub fn token(&self, word: &str) -> Result<u32> {
        self.tokens(word)?.first().copied().with_context(|| format!("{word:?} has no token"))
    }

    /// The ids of a word after a space.
    pub fn tokens(&self, word: &str) -> Result<Vec<u32>> {
        Ok(self.explainer.processor().tokenizer().encode(&format!(" {word}"))?)
    }

    /// The prompt as a sequence, and where the image is in it; the picture is encoded once.
    fn prompt(
        &self,
        picture: &Picture,
        question: Question,
        features: &mut Option<Tensor>,
    ) -> Result<(Sequence, Range<usize>)> {
        let message = Message::user(1, question.text());
        let prepared =
            self.explainer.processor().prepare(&[message], std::slice::from_ref(picture))?;
        let image = &prepared.images[0];
        let tokens = match features {
            Some(tokens) => tokens.shallow_clone(),
            None => self.model().encode_image(&prepared.pixels[0])?,
        };
        *features = Some(tokens.shallow_clone());
        let span = image.span.clone();
        Ok((self.model().sequence(prepared.ids, vec![span.clone()], vec![tokens])?, span))
    }

    fn generate(&self, prompt: &Sequence) -> Result<String> {
        let options = GenerationOptions {
            max_new_tokens: LONGEST,
            sampling: None,
            stop_ids: self.model().config().eos_token_ids.clone(),
        };
        let mut go_on = |_| ControlFlow::Continue(());
        let answer = self.model().generate(prompt, &options, &mut Cached::default(), &mut go_on)?;
        Ok(self.explainer.processor().tokenizer().decode(&answer.tokens, true))
    }

    fn reading(
        &self,
        (question, right): (medgemma_explainer::Question, &Answer),
        prompt: &Sequence,
        image: Range<usize>,
        (features, picture): (&Tensor, &Tensor),
    ) -> Result<Reading> {
        let (mut ids, mut words) = (prompt.ids().to_vec(), Vec::<Spoken>::new());
        let answer = ids.len();
        let mut sentence = answer;
        for piece in right.pieces() {
            let spelled = self.explainer.processor().tokenizer().encode(&piece.text)?;
            let start = ids.len();
            ids.extend(spelled);
            if let Some((finding, word)) = piece.shows {
                let text = piece.text.trim().to_owned();
                let (positions, sentence) = (start..ids.len(), sentence..ids.len());
                words.push(Spoken { text, word, finding, positions, sentence });
            }
            for spoken in words.iter_mut().filter(|spoken| spoken.sentence.start == sentence) {
                spoken.sentence.end = ids.len();
            }
            if piece.text.trim_end().ends_with('.') {
                sentence = ids.len();
            }
        }
        let (text, features) = (right.text(), features.shallow_clone());
        let tokens = vec![features.shallow_clone()];
        let sequence = self.model().sequence(ids, vec![image.clone()], tokens)?;
        let picture = picture.shallow_clone();
        Ok(Reading { question, text, sequence, image, features, picture, answer, words })
    }
}

fn load(folder: &Path, dtype: DtypeSpec, profile: Profile) -> Result<Explainer> {
    let context = Context::default().with_memory_budget(Some(MEMORY_BUDGET));
    let options = LoadOptions::default().with_device(DeviceSpec::Cpu).with_dtype(dtype);
    let options = options.with_profile(profile).with_context(context);
    Ok(Explainer::load(&ModelSource::Directory(folder.to_owned()), &options)?)
}
