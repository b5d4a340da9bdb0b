//! Every way to make a map of a word, on the same words.

use std::fmt;

use anyhow::{Context, Result};
use attention_capture::{
    Engine, Foil, Goal, Keep, Objective, Retained, States, Streaming, SweepOptions,
};
use attention_relevancy::{Target, Update};
use gemma3_tch::Sequence;
use phantom_radiograph::{Level, Scene, Side};
use tch::{Kind, Tensor};

use crate::questions::Word;
use crate::reader::{Reader, Reading, Spoken};
use crate::scenes::mix;

/// What is read off the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The relevancy of the word's deciding token.
    Relevancy(Update),
    /// The mean over all tokens of the word, additive.
    WholeWord,
    /// `E_h[(∇A⊙A)⁺]` of the last layer alone.
    LastGradient,
    /// Head mean of the last layer's attention.
    RawLast,
    /// Mean of the attention of all heads and layers.
    RawMean,
    /// Attention rollout.
    Rollout,
    /// A number between 0 and 1 for each cell.
    Random,
    /// A mistake: the row of the word itself, which predicts the token behind it; additive.
    WrongRow,
    /// A mistake: image tokens see only those before them; additive.
    CausalImage,
}

/// The scalar that is differentiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goals {
    /// The method needs none.
    None,
    /// The logit: the published rule.
    Logit,
    /// The logarithm of the probability.
    LogProbability,
    /// The logit minus that of the runner-up.
    RunnerUp,
    /// The logit minus that of a foil of the same kind: `clear`, `none`, the other side, another level.
    Named,
}

/// A method with its objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The method.
    pub method: Method,
    /// The objective.
    pub goals: Goals,
}

impl Setting {
    /// All that are compared, mistakes last.
    pub fn all() -> Vec<Self> {
        let gradient = [Goals::Logit, Goals::LogProbability, Goals::RunnerUp, Goals::Named];
        let with = |method: Method| gradient.map(|goals| Self { method, goals });
        let without = |method: Method| Self { method, goals: Goals::None };
        let mistaken =
            |method: Method| [Goals::Logit, Goals::RunnerUp].map(|goals| Self { method, goals });
        let mut all = Vec::new();
        all.extend(with(Method::Relevancy(Update::Additive)));
        all.push(Self { method: Method::WholeWord, goals: Goals::RunnerUp });
        all.extend(with(Method::Relevancy(Update::Stochastic)));
        all.extend(with(Method::LastGradient));
        all.extend(
            [Method::RawLast, Method::RawMean, Method::Rollout, Method::Random].map(without),
        );
        all.extend(mistaken(Method::WrongRow));
        all.extend(mistaken(Method::CausalImage));
        all
    }

    /// What `--objective contrast` does: the setting of the studies and of the demonstration.
    pub const CONTRAST: Self =
        Self { method: Method::Relevancy(Update::Additive), goals: Goals::RunnerUp };
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = match self.method {
            Method::Relevancy(update) => &format!("relevancy, {update}"),
            Method::WholeWord => "relevancy, additive, mean of the word's tokens",
            Method::LastGradient => "gradient × attention, last layer",
            Method::RawLast => "raw attention, last layer",
            Method::RawMean => "raw attention, mean of all layers",
            Method::Rollout => "attention rollout",
            Method::Random => "uniform random",
            Method::WrongRow => "mistake: a row too far",
            Method::CausalImage => "mistake: causal image tokens",
        };
        f.write_str(method)?;
        match self.goals {
            Goals::None => Ok(()),
            Goals::Logit => f.write_str(", logit"),
            Goals::LogProbability => f.write_str(", log-probability"),
            Goals::RunnerUp => f.write_str(", contrast with the runner-up"),
            Goals::Named => f.write_str(", contrast with a named foil"),
        }
    }
}

/// Makes maps of the words of one answer.
pub struct Maps<'a> {
    reader: &'a Reader,
    reading: &'a Reading,
    scene: &'a Scene,
    states: States,
    /// The same tokens with causal attention among those of the image.
    causal: (Sequence, States),
}

/// One map for each word, `[cells]`.
pub type PerWord = Vec<Vec<f32>>;

impl<'a> Maps<'a> {
    /// Runs the model over the answer.
    pub fn new(reader: &'a Reader, scene: &'a Scene, reading: &'a Reading) -> Result<Self> {
        let states = States::of(&reader.model, &reading.sequence, Keep::Everything)?;
        // An image of one token sees itself and what is before it.
        let spans = reading.image.clone().map(|position| position..position + 1).collect();
        let tokens = reading.features.split(1, 0);
        let ids = reading.sequence.ids().to_vec();
        let sequence = reader.model.sequence(ids, spans, tokens)?;
        let causal = States::of(&reader.model, &sequence, Keep::Everything)?;
        Ok(Self { reader, reading, scene, states, causal: (sequence, causal) })
    }

    /// The maps of one setting. `seed` is for the random ones.
    pub fn of(&self, setting: Setting, seed: u64) -> Result<PerWord> {
        let words: Vec<&Spoken> = self.reading.words.iter().collect();
        let first = |word: &Spoken| word.positions.start;
        match setting.method {
            Method::Relevancy(update) => self.relevancy(&words, first, setting.goals, update),
            Method::WholeWord => self.whole_words(setting.goals),
            Method::LastGradient => self.last_gradient(&words, setting.goals),
            Method::WrongRow => {
                self.relevancy(&words, |word| first(word) + 1, setting.goals, Update::Additive)
            }
            Method::CausalImage => self.causal_relevancy(setting.goals),
            Method::RawLast => self.attribution(|found| found.raw_attention.to_vec()),
            Method::Rollout => self.attribution(|found| found.rollout.to_vec()),
            Method::RawMean => self.raw_mean(),
            Method::Random => Ok((0..words.len() as u64).map(|n| self.random(seed, n)).collect()),
        }
    }

    /// Relevancy of the token at `position` of each word; words that share an objective share a sweep.
    fn relevancy(
        &self,
        words: &[&Spoken],
        position: impl Fn(&Spoken) -> usize,
        goals: Goals,
        update: Update,
    ) -> Result<PerWord> {
        let ids = self.reading.sequence.ids();
        let engine = self.engine();
        self.by_objective(words, goals, |words, objective| {
            let goals =
                words.iter().map(|word| goal(ids, position(word))).collect::<Result<Vec<_>>>()?;
            let found = engine.explain(&goals, objective, update)?;
            Ok(found.iter().map(|found| self.image_part(found.relevancy.as_slice())).collect())
        })
    }

    fn whole_words(&self, goals: Goals) -> Result<PerWord> {
        let mean = |word: &Spoken| -> Result<Vec<f32>> {
            let parts = word
                .positions
                .clone()
                .map(|at| Ok(self.relevancy(&[word], |_| at, goals, Update::Additive)?.remove(0)))
                .collect::<Result<Vec<_>>>()?;
            let count = parts.len() as f32;
            let sum = |cell: usize| parts.iter().map(|part| part[cell]).sum::<f32>() / count;
            Ok((0..parts[0].len()).map(sum).collect())
        };
        self.reading.words.iter().map(mean).collect()
    }

    /// The row after the last layer, which began on a token of the text: its image part is that of Ā.
    fn last_gradient(&self, words: &[&Spoken], goals: Goals) -> Result<PerWord> {
        let ids = self.reading.sequence.ids();
        let last = self.reader.model.text().layers().len() - 1;
        let image = &self.reading.image;
        self.by_objective(words, goals, |words, objective| {
            let goals = words
                .iter()
                .map(|word| goal(ids, word.positions.start))
                .collect::<Result<Vec<_>>>()?;
            let mut maps = Vec::new();
            self.engine().explain_observed(
                &goals,
                (objective, Update::Additive),
                &mut |swept| {
                    if swept.layer == last {
                        let part =
                            swept.relevancy.narrow(1, image.start as i64, image.len() as i64);
                        maps.extend(rows(&part));
                    }
                },
            )?;
            Ok(maps)
        })
    }

    fn causal_relevancy(&self, goals: Goals) -> Result<PerWord> {
        let (sequence, states) = &self.causal;
        let model = &self.reader.model;
        let engine = Streaming::new(model, sequence.ids(), states, SweepOptions::default());
        let words: Vec<&Spoken> = self.reading.words.iter().collect();
        self.by_objective(&words, goals, |words, objective| {
            let goals = words
                .iter()
                .map(|word| goal(sequence.ids(), word.positions.start))
                .collect::<Result<Vec<_>>>()?;
            let found = engine.explain(&goals, objective, Update::Additive)?;
            Ok(found.iter().map(|found| self.image_part(found.relevancy.as_slice())).collect())
        })
    }

    fn attribution(
        &self,
        row: impl Fn(&attention_capture::Attribution) -> Vec<f32>,
    ) -> Result<PerWord> {
        let ids = self.reading.sequence.ids();
        let goals = self.reading.words.iter().map(|word| goal(ids, word.positions.start));
        let goals = goals.collect::<Result<Vec<_>>>()?;
        let found = self.engine().explain(&goals, Objective::Logit, Update::Additive)?;
        Ok(found.iter().map(|found| self.image_part(Some(&row(found)))).collect())
    }

    fn raw_mean(&self) -> Result<PerWord> {
        let run = Retained::run(&self.reader.model, &self.reading.sequence)?;
        let image = &self.reading.image;
        let map = |word: &Spoken| -> Result<Vec<f32>> {
            let row = word.positions.start as i64 - 1;
            let layers: Vec<Tensor> = run
                .attention()
                .iter()
                .map(|attention| attention.detach().select(1, row).mean_dim(0, false, Kind::Float))
                .collect();
            let mean = Tensor::stack(&layers, 0).mean_dim(0, false, Kind::Float);
            Ok(Vec::try_from(mean.narrow(0, image.start as i64, image.len() as i64))?)
        };
        self.reading.words.iter().map(map).collect()
    }

    fn random(&self, seed: u64, word: u64) -> Vec<f32> {
        let mut state = mix(seed ^ mix(word));
        let mut draw = || {
            state = mix(state);
            (state >> 40) as f32 / (1_u32 << 24) as f32
        };
        std::iter::repeat_with(&mut draw).take(self.reading.image.len()).collect()
    }

    fn engine(&self) -> Streaming<'_> {
        let ids = self.reading.sequence.ids();
        Streaming::new(&self.reader.model, ids, &self.states, SweepOptions::default())
    }

    /// Calls `explain` once for each objective that the words have, and puts the maps in the order of the words.
    fn by_objective(
        &self,
        words: &[&Spoken],
        goals: Goals,
        explain: impl Fn(&[&Spoken], Objective) -> Result<PerWord>,
    ) -> Result<PerWord> {
        let objectives =
            words.iter().map(|word| self.objective(word, goals)).collect::<Result<Vec<_>>>()?;
        let mut maps = vec![Vec::new(); words.len()];
        for (index, objective) in objectives.iter().enumerate() {
            if objectives[..index].contains(objective) {
                continue;
            }
            let alike = |&at: &usize| objectives[at] == *objective;
            let members: Vec<usize> = (0..words.len()).filter(alike).collect();
            let chosen: Vec<&Spoken> = members.iter().map(|&at| words[at]).collect();
            for (at, map) in members.into_iter().zip(explain(&chosen, *objective)?) {
                maps[at] = map;
            }
        }
        Ok(maps)
    }

    fn objective(&self, word: &Spoken, goals: Goals) -> Result<Objective> {
        Ok(match goals {
            Goals::None | Goals::Logit => Objective::Logit,
            Goals::LogProbability => Objective::LogProbability,
            Goals::RunnerUp => Objective::Contrast(Foil::RunnerUp),
            Goals::Named => Objective::Contrast(Foil::Token(self.reader.token(self.foil(word))?)),
        })
    }

    /// What could have been said instead.
    fn foil(&self, word: &Spoken) -> &'static str {
        let zone = self.scene.findings()[word.finding].zone;
        match word.word {
            Word::Finding => "clear",
            Word::Device => "none",
            Word::Side if zone.side == Side::Right => "left",
            Word::Side => "right",
            Word::Level if zone.level == Level::Lower => "upper",
            Word::Level => "lower",
        }
    }

    fn image_part(&self, row: Option<&[f32]>) -> Vec<f32> {
        row.map(|row| row[self.reading.image.clone()].to_vec()).unwrap_or_default()
    }
}

fn goal(ids: &[u32], position: usize) -> Result<Goal> {
    let token = ids.get(position).context("the word is followed by a token")?;
    Ok(Goal::token(Target::new(position, *token)?))
}

fn rows(matrix: &Tensor) -> Vec<Vec<f32>> {
    Vec::<Vec<f32>>::try_from(matrix.to_kind(Kind::Float)).expect("a matrix of float32")
}
