//! Every way to make a map of a word, on the same words.

use std::cell::RefCell;

use anyhow::{Context, Result, bail};
use attention_capture::{
    EachLayer, Engine, Foil, Folding, Goal, ImageRecorder, Keep, LayerSwept, Layers,
    Method as Rowwise, MethodRecorder, Objective, PatchMap, PatchOptions, Patches, Pool, Rules,
    Spread, States, Streaming, SweepOptions, branch_targets,
};
use attention_relevancy::ndarray::Array2;
use attention_relevancy::{HeadFusion, Target, Update};
use gemma3_tch::{LayerType, Sequence};
use phantom_radiograph::{Level, Scene, Side};
use tch::{Kind, Tensor};

use crate::localize::settings::{Finer, Goals, Method, Setting};
use crate::localize::spans::Spans;
use crate::questions::Word;
use crate::reader::{Reader, Reading, Spoken};
use crate::scenes::mix;

/// The same answer in another sequence of tokens.
struct Altered {
    sequence: Sequence,
    states: States,
    /// How far everything stands behind its place.
    shift: usize,
}

/// The maps finer than tokens that were made, by what they depend on: they take longer than all the rest.
type Made = Vec<((Goals, Spread), Vec<PatchMap>)>;

/// Makes maps of the words of one answer.
pub struct Maps<'a> {
    pub(super) reader: &'a Reader,
    pub(super) reading: &'a Reading,
    scene: &'a Scene,
    states: States,
    /// With the mistakes [causal image tokens, second `<bos>`, both].
    altered: [Altered; 3],
    finer: RefCell<Made>,
    spans: Spans,
}

/// One map for each word, `[cells]`.
pub type PerWord = Vec<Vec<f32>>;

impl<'a> Maps<'a> {
    /// Runs the model over the answer.
    pub fn new(reader: &'a Reader, scene: &'a Scene, reading: &'a Reading) -> Result<Self> {
        let states = States::of(&reader.model, &reading.sequence, Keep::Everything)?;
        let twice = with_second_bos(reader, reading)?;
        let alter = |sequence: Sequence, shift| -> Result<Altered> {
            let states = States::of(&reader.model, &sequence, Keep::Everything)?;
            Ok(Altered { sequence, states, shift })
        };
        let altered = [
            alter(reading.sequence.with_causal_images(), 0)?,
            alter(twice.with_causal_images(), 1)?,
            alter(twice, 1)?,
        ];
        let [causal, both, twice] = altered;
        let altered = [causal, twice, both];
        let (finer, spans) = Default::default();
        Ok(Self { reader, reading, scene, states, altered, finer, spans })
    }

    /// The maps of one setting. `seed` is for the random ones.
    pub fn of(&self, setting: Setting, seed: u64) -> Result<PerWord> {
        let words: Vec<&Spoken> = self.reading.words.iter().collect();
        let first = |word: &Spoken| word.positions.start;
        match setting.method {
            Method::Relevancy(update) => self.relevancy(&words, first, setting.goals, update),
            Method::Span(extent, rule) => self.spans.maps(self, (extent, rule), setting.goals),
            Method::Phrases => words.iter().map(|word| self.phrases(word)).collect(),
            Method::LastGradient => self.last_gradient(&words, setting.goals),
            Method::WrongRow => {
                self.relevancy(&words, |word| first(word) + 1, setting.goals, Update::Additive)
            }
            Method::CausalImage => self.altered_relevancy(&self.altered[0], setting.goals),
            Method::DoubleBos => self.altered_relevancy(&self.altered[1], setting.goals),
            Method::Seed => self.altered_relevancy(&self.altered[2], setting.goals),
            Method::Patches(at, spread) => self.patches(at, spread, setting.goals),
            Method::Pixels(at) => self.pixels(at, setting.goals),
            Method::RawLast => self.attribution(|found| found.raw_attention.to_vec()),
            Method::Rollout => self.attribution(|found| found.rollout.to_vec()),
            Method::GlobalLayers => {
                let folding = Folding::default().with_layers(Layers::Global);
                self.folded(&words, folding, setting.goals)
            }
            Method::LargestHead => {
                let folding = Folding::default().with_heads(HeadFusion::Max);
                self.folded(&words, folding, setting.goals)
            }
            Method::MeanGradient
            | Method::GradCamAttention
            | Method::GradCamHidden
            | Method::InputGradient
            | Method::Tam
            | Method::RawMean
            | Method::RawGlobal
            | Method::OwnAttention
            | Method::WholeWordAttention => self.rowwise(&words, setting),
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
            let found = engine.explain(&goals, &Rules::new(objective, update))?;
            Ok(found.iter().map(|found| self.image_part(found.relevancy.as_slice())).collect())
        })
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
            let mut observer = EachLayer(|swept: &LayerSwept<'_>| {
                if swept.layer == last {
                    let part = swept.relevancy.narrow(1, image.start as i64, image.len() as i64);
                    maps.extend(rows(&part));
                }
            });
            let rules = Rules::new(objective, Update::Additive);
            self.engine().observe(&goals, &rules, &mut [&mut observer])?;
            Ok(maps)
        })
    }

    fn altered_relevancy(&self, altered: &Altered, goals: Goals) -> Result<PerWord> {
        let Altered { sequence, states, shift } = altered;
        let model = &self.reader.model;
        let engine = Streaming::new(model, sequence.ids(), states, SweepOptions::default());
        let words: Vec<&Spoken> = self.reading.words.iter().collect();
        self.by_objective(&words, goals, |words, objective| {
            let goals = words
                .iter()
                .map(|word| goal(sequence.ids(), word.positions.start + shift))
                .collect::<Result<Vec<_>>>()?;
            let found = engine.explain(&goals, &Rules::new(objective, Update::Additive))?;
            let image = |row: &[f32]| self.image_part(row.get(*shift..));
            Ok(found.iter().map(|found| image(&found.relevancy.to_vec())).collect())
        })
    }

    fn patches(&self, at: Finer, spread: Spread, goals: Goals) -> Result<PerWord> {
        self.finer(goals, spread, |map| match at {
            Finer::Own => map.patches.iter().copied().collect(),
            Finer::Unpooled => map.unpooled.iter().copied().collect(),
            Finer::Pooled => pooled(&map.patches, self.reading.image.len().isqrt()),
        })
    }

    fn pixels(&self, at: Finer, goals: Goals) -> Result<PerWord> {
        self.finer(goals, Spread::GradientActivation, |map| {
            let unsigned = map.pixels.as_ref().map(|pixels| pixels.mapv(f32::abs));
            let unsigned = unsigned.unwrap_or_default();
            match at {
                Finer::Pooled => pooled(&unsigned, self.reading.image.len().isqrt()),
                _ => unsigned.into_iter().collect(),
            }
        })
    }

    /// Something of the finer maps of all words, which are made once.
    fn finer(
        &self,
        goals: Goals,
        spread: Spread,
        of: impl Fn(&PatchMap) -> Vec<f32>,
    ) -> Result<PerWord> {
        let key = (goals, spread);
        if !self.finer.borrow().iter().any(|(made, _)| *made == key) {
            let maps = self.patch_maps(goals, spread)?;
            self.finer.borrow_mut().push((key, maps));
        }
        let made = self.finer.borrow();
        let maps = made.iter().find(|(made, _)| *made == key).map(|(_, maps)| maps);
        Ok(maps.into_iter().flatten().map(of).collect())
    }

    fn patch_maps(&self, goals: Goals, spread: Spread) -> Result<Vec<PatchMap>> {
        let ids = self.reading.sequence.ids();
        let words = &self.reading.words;
        let mut maps = Vec::new();
        for word in words {
            let objective = self.objective(word, goals)?;
            let goal = goal(ids, word.positions.start)?;
            let engine = self.engine();
            let mut recorder = ImageRecorder::new(&engine, &[0])?;
            let rules = Rules::new(objective, Update::Additive);
            let found = engine.observe(&[goal], &rules, &mut [&mut recorder])?;
            let parts = recorder.finish(found.iter());
            let options = PatchOptions { spread, pixels: true, ..PatchOptions::default() };
            let patches = Patches::new(&self.reader.model, &self.reading.picture, options);
            maps.extend(patches.explain(&parts[0])?);
        }
        Ok(maps)
    }

    fn attribution(
        &self,
        row: impl Fn(&attention_capture::Attribution) -> Vec<f32>,
    ) -> Result<PerWord> {
        let ids = self.reading.sequence.ids();
        let goals = self.reading.words.iter().map(|word| goal(ids, word.positions.start));
        let goals = goals.collect::<Result<Vec<_>>>()?;
        let found =
            self.engine().explain(&goals, &Rules::new(Objective::Logit, Update::Additive))?;
        Ok(found.iter().map(|found| self.image_part(Some(&row(found)))).collect())
    }

    fn folded(&self, words: &[&Spoken], folding: Folding, goals: Goals) -> Result<PerWord> {
        let ids = self.reading.sequence.ids();
        let engine = self.engine();
        self.by_objective(words, goals, |words, objective| {
            let goals = words.iter().map(|word| goal(ids, word.positions.start));
            let goals = goals.collect::<Result<Vec<_>>>()?;
            let folding = folding.clone();
            let rules = Rules { folding, ..Rules::new(objective, Update::Additive) };
            let found = engine.explain(&goals, &rules)?;
            Ok(found.iter().map(|found| self.image_part(found.relevancy.as_slice())).collect())
        })
    }

    /// A method of `attention_capture`, of the deciding token of each word or of all its tokens.
    fn rowwise(&self, words: &[&Spoken], setting: Setting) -> Result<PerWord> {
        let (ids, engine) = (self.reading.sequence.ids(), self.engine());
        let methods = [self.method(setting.method)?];
        let of_word = |word: &&Spoken| match setting.method {
            Method::WholeWordAttention => {
                let target = |at| Ok(Target::new(at, ids[at])?);
                let targets = word.positions.clone().map(target).collect::<Result<Vec<_>>>()?;
                Goal::sum(targets).context("a word has tokens")
            }
            _ => goal(ids, word.positions.start),
        };
        self.by_objective(words, setting.goals, |words, objective| {
            let goals = words.iter().map(of_word).collect::<Result<Vec<_>>>()?;
            let mut recorder = MethodRecorder::new(&engine, &goals, &methods)?;
            let rules = Rules::new(objective, Update::Additive);
            engine.observe(&goals, &rules, &mut [&mut recorder])?;
            let mut maps = Vec::new();
            for mut rows in recorder.finish()? {
                let row = rows.remove(0)?;
                let row =
                    if methods[0] == Rowwise::InputGradient { row.mapv(f32::abs) } else { row };
                maps.push(self.image_part(row.as_slice()));
            }
            Ok(maps)
        })
    }

    fn method(&self, method: Method) -> Result<Rowwise> {
        let (heads, all, over) = (HeadFusion::Mean, Layers::All, Pool::Mean);
        let layers = &self.reader.model.config().text.layers;
        Ok(match method {
            Method::MeanGradient => Rowwise::GradientAttention { heads, layers: all },
            Method::GradCamAttention => {
                let last = layers.iter().rposition(|&kind| kind == LayerType::Full);
                Rowwise::GradCamAttention { layer: last.context("no layer has full attention")? }
            }
            Method::GradCamHidden => Rowwise::GradCamHidden { layer: layers.len() / 2 },
            Method::InputGradient => Rowwise::InputGradient,
            Method::Tam => Rowwise::Tam,
            Method::RawMean => Rowwise::RawAttention { heads: heads.into(), layers: all },
            Method::RawGlobal => {
                Rowwise::RawAttention { heads: heads.into(), layers: Layers::Global }
            }
            Method::OwnAttention => Rowwise::TokenAttention { heads, layers: all, over },
            Method::WholeWordAttention => Rowwise::ObjectAttention { heads, layers: all, over },
            other => bail!("{other:?} is made in another way"),
        })
    }

    fn random(&self, seed: u64, word: u64) -> Vec<f32> {
        let mut state = mix(seed ^ mix(word));
        let mut draw = || {
            state = mix(state);
            (state >> 40) as f32 / (1_u32 << 24) as f32
        };
        std::iter::repeat_with(&mut draw).take(self.reading.image.len()).collect()
    }

    pub(super) fn engine(&self) -> Streaming<'_> {
        let ids = self.reading.sequence.ids();
        Streaming::new(&self.reader.model, ids, &self.states, SweepOptions::default())
    }

    /// The word against its foil as two branches of one sequence, by the logarithms of their probabilities.
    fn phrases(&self, word: &Spoken) -> Result<Vec<f32>> {
        let (model, said) = (&self.reader.model, &self.reading.sequence);
        let foil = self.reader.tokens(self.foil(word))?;
        let phrases = [&said.ids()[word.positions.clone()], &foil];
        let sequence = said.forked(word.positions.start, phrases)?;
        let states = States::of(model, &sequence, Keep::Everything)?;
        let engine = Streaming::new(model, sequence.ids(), &states, SweepOptions::default());
        let [phrase, against] = branch_targets(&sequence)?;
        let goal = Goal::contrast(phrase, against).context("both phrases have tokens")?;
        let found =
            engine.explain(&[goal], &Rules::new(Objective::LogProbability, Update::Additive))?;
        Ok(self.image_part(found[0].relevancy.as_slice()))
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

    pub(super) fn objective(&self, word: &Spoken, goals: Goals) -> Result<Objective> {
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

    pub(super) fn image_part(&self, row: Option<&[f32]>) -> Vec<f32> {
        row.map(|row| row[self.reading.image.clone()].to_vec()).unwrap_or_default()
    }
}

/// Prompt and answer with a second `<bos>` in front.
fn with_second_bos(reader: &Reader, reading: &Reading) -> Result<Sequence> {
    let ids = reading.sequence.ids();
    let ids = [&ids[..1], ids].concat();
    let image = reading.image.start + 1..reading.image.end + 1;
    Ok(reader.model.sequence(ids, vec![image], vec![reading.features.shallow_clone()])?)
}

/// Sums over the cells of a grid of `side` × `side`.
fn pooled(map: &Array2<f32>, side: usize) -> Vec<f32> {
    let mut sums = vec![0.0; side * side];
    let parts = map.nrows() / side;
    for ((row, column), value) in map.indexed_iter() {
        sums[row / parts * side + column / parts] += value;
    }
    sums
}

fn goal(ids: &[u32], position: usize) -> Result<Goal> {
    let token = ids.get(position).context("the word is followed by a token")?;
    Ok(Goal::token(Target::new(position, *token)?))
}

fn rows(matrix: &Tensor) -> Vec<Vec<f32>> {
    Vec::<Vec<f32>>::try_from(matrix.to_kind(Kind::Float)).expect("a matrix of float32")
}
