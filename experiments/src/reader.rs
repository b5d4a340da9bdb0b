//! A finished checkpoint, asked about phantoms through the ordinary loader, processor and generation.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use gemma3_processor::{Message, Picture, Pixels};
use gemma3_tch::{Cached, Checkpoint, Fast, Gemma3, GenerationOptions, Sequence, guard};
use medgemma_explainer::{
    Context, DeviceSpec, DtypeSpec, Explainer, LoadOptions, ModelSource, Profile,
};
use tch::{Kind, Tensor};

use crate::questions::{Exchange, Topic, Word};

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
    end_of_turn: u32,
}

/// A question about phantoms with its right answer.
pub struct Reading {
    /// What is asked, with the pictures.
    pub question: medgemma_explainer::Question,
    /// The words of the question.
    pub asked: String,
    /// The right answer.
    pub text: String,
    /// Prompt and answer.
    pub sequence: Sequence,
    /// Positions of the images in it.
    pub images: Vec<Range<usize>>,
    /// What each image says there, `[256, D]`.
    pub features: Vec<Tensor>,
    /// The images as the vision tower takes them, `[3, s, s]` each.
    pub pictures: Vec<Tensor>,
    /// The first position of the answer.
    pub answer: usize,
    /// The words of the answer that tell of a finding, or that there is none.
    pub words: Vec<Spoken>,
}

/// A word that tells of a finding, or that there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spoken {
    /// The word.
    pub text: String,
    /// What it tells.
    pub word: Word,
    /// Of what.
    pub topic: Topic,
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
        let explainer = load(folder, dtype, Profile::Sound)?;
        let end_of_turn = explainer.processor().tokenizer().id("<end_of_turn>");
        let end_of_turn = end_of_turn.context("the tokenizer has no end of a turn")?;
        Ok(Self { explainer, model, dtype, end_of_turn })
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
    pub fn ask<'q>(
        &self,
        picture: &Picture,
        questions: impl IntoIterator<Item = &'q str>,
    ) -> Result<Vec<String>> {
        let shown = self.shown(std::slice::from_ref(picture))?;
        let answer = |question: &str| self.generate(&self.prompt(&shown, question)?);
        questions.into_iter().map(answer).collect()
    }

    /// The right answers to these questions about the same pictures, as they would stand behind the prompt.
    pub fn read(&self, pictures: &[Picture], exchanges: &[Exchange]) -> Result<Vec<Reading>> {
        let shown = self.shown(pictures)?;
        exchanges.iter().map(|exchange| self.reading(&shown, exchange)).collect()
    }

    /// What the vision tower makes of pictures.
    fn shown<'p>(&self, pictures: &'p [Picture]) -> Result<Shown<'p>> {
        let pixels = pictures.iter().map(|picture| self.prepared(picture));
        let pixels = pixels.collect::<Result<Vec<_>>>()?;
        let features = pixels.iter().map(|pixels| Ok(self.model().encode_image(pixels)?));
        let features = features.collect::<Result<Vec<_>>>()?;
        let pixels = pixels.iter().map(|pixels| Ok(self.model().picture(pixels)?));
        Ok(Shown { pictures, pixels: pixels.collect::<Result<Vec<_>>>()?, features })
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
        Ok(chosen.into_iter().eq(right.chain([i64::from(self.end_of_turn)])))
    }

    /// Whether this model, with its own look at the pictures, would say what another one read.
    pub fn would_say(&self, reading: &Reading) -> Result<bool> {
        let shown = self.shown(&reading.question.pictures)?;
        let (ids, images) = (reading.sequence.ids().to_vec(), reading.images.clone());
        let sequence = self.model.sequence(ids, images, shown.features)?;
        self.chooses(&sequence, reading.answer)
    }

    /// What the log-odds of the token at a position lose where these image tokens, given by the covered share of each, become the mean of
    /// those of their picture, in nats: whether what is shown there decides the word. The log-probability of a sure word would not tell.
    pub fn drop(&self, reading: &Reading, position: usize, covered: &[f32]) -> Result<f64> {
        let _no_grad = tch::no_grad_guard();
        let mut start = 0;
        let hidden = reading.features.iter().map(|cells| {
            let covered = &covered[start..start + cells.size()[0] as usize];
            start += covered.len();
            let hidden: Vec<bool> = covered.iter().map(|share| *share > 0.0).collect();
            let mean = cells.mean_dim([0_i64].as_slice(), true, Kind::Float).to_kind(cells.kind());
            mean.where_self(&Tensor::from_slice(&hidden).unsqueeze(1), cells)
        });
        let hidden = hidden.collect();
        let whole = reading.features.iter().map(Tensor::shallow_clone).collect();
        let of = |features| -> Result<f64> {
            let (ids, images) = (reading.sequence.ids().to_vec(), reading.images.clone());
            let own = i64::from(ids[position]);
            let sequence = self.model.sequence(ids, images, features)?;
            let logits = guard("reading an answer", || {
                let last = self.model.forward(&sequence, &mut Fast);
                self.model.text().logits(&last.narrow(0, position as i64 - 1, 1))
            })?;
            let logits = logits.get(0).to_kind(Kind::Double);
            let logit = logits.double_value(&[own]);
            let _ = logits.get(own).fill_(f64::NEG_INFINITY);
            Ok(logit - logits.logsumexp([0_i64].as_slice(), false).double_value(&[]))
        };
        Ok(of(whole)? - of(hidden)?)
    }

    /// The id of a word after a space; the first of its pieces.
    pub fn token(&self, word: &str) -> Result<u32> {
        self.tokens(word)?.first().copied().with_context(|| format!("{word:?} has no token"))
    }

    /// The ids of a word after a space.
    pub fn tokens(&self, word: &str) -> Result<Vec<u32>> {
        Ok(self.explainer.processor().tokenizer().encode(&format!(" {word}"))?)
    }

    /// The prompt as a sequence.
    fn prompt(&self, shown: &Shown<'_>, question: &str) -> Result<Sequence> {
        let message = Message::user(shown.pictures.len(), question);
        let prepared = self.explainer.processor().prepare(&[message], shown.pictures)?;
        let spans = prepared.images.iter().map(|image| image.span.clone()).collect();
        Ok(self.model().sequence(prepared.ids, spans, shown.features())?)
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

    fn reading(&self, shown: &Shown<'_>, exchange: &Exchange) -> Result<Reading> {
        let Exchange { question: asked, answer: right } = exchange;
        let prompt = self.prompt(shown, asked)?;
        let (mut ids, mut words) = (prompt.ids().to_vec(), Vec::<Spoken>::new());
        let answer = ids.len();
        let mut sentence = answer;
        for piece in right.pieces() {
            let spelled = self.explainer.processor().tokenizer().encode(&piece.text)?;
            let start = ids.len();
            ids.extend(spelled);
            if let Some((topic, word)) = piece.shows {
                let text = piece.text.trim().to_owned();
                let (positions, sentence) = (start..ids.len(), sentence..ids.len());
                words.push(Spoken { text, word, topic, positions, sentence });
            }
            for spoken in words.iter_mut().filter(|spoken| spoken.sentence.start == sentence) {
                spoken.sentence.end = ids.len();
            }
            if piece.text.trim_end().ends_with('.') {
                sentence = ids.len();
            }
        }
        let images = prompt.images().to_vec();
        let sequence = self.model().sequence(ids, images.clone(), shown.features())?;
        let asked = asked.clone();
        let question = medgemma_explainer::Question::new(shown.pictures.to_vec(), asked.clone());
        let pictures = shown.pixels.iter().map(Tensor::shallow_clone).collect();
        let (text, features) = (right.text(), shown.features());
        Ok(Reading { question, asked, text, sequence, images, features, pictures, answer, words })
    }
}

/// Pictures that went through the vision tower.
struct Shown<'p> {
    pictures: &'p [Picture],
    pixels: Vec<Tensor>,
    features: Vec<Tensor>,
}

impl Shown<'_> {
    fn features(&self) -> Vec<Tensor> {
        self.features.iter().map(Tensor::shallow_clone).collect()
    }
}

impl Reading {
    /// What a row of all tokens says of the image tokens, picture by picture.
    pub fn of_images(&self, row: &[f32]) -> Vec<f32> {
        self.images.iter().flat_map(|image| &row[image.clone()]).copied().collect()
    }

    /// Image tokens of all pictures.
    pub fn image_tokens(&self) -> usize {
        self.images.iter().map(Range::len).sum()
    }
}

impl Spoken {
    /// The finding that it tells of, as an index into those of the scene.
    pub fn finding(&self) -> Option<usize> {
        match self.topic {
            Topic::Finding(finding) => Some(finding),
            Topic::Absent(_) | Topic::Findings => None,
        }
    }
}

fn load(folder: &Path, dtype: DtypeSpec, profile: Profile) -> Result<Explainer> {
    let context = Context::default().with_memory_budget(Some(MEMORY_BUDGET));
    let options = LoadOptions::default().with_device(DeviceSpec::Cpu).with_dtype(dtype);
    let options = options.with_profile(profile).with_context(context);
    Ok(Explainer::load(&ModelSource::Directory(folder.to_owned()), &options)?)
}
