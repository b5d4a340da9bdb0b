//! Every way to make a map of a word, on the same words: through the facade, as its users get it, but for what it does not offer.

use std::cell::{OnceCell, RefCell};

use anyhow::{Context, Result, bail, ensure};
use attention_capture::{
    Attribution, Engine, Foil, Goal, ImageRecorder, Keep, Objective, PatchMap, PatchOptions,
    Patches, Rules, Spread, States, Streaming, SweepOptions, alternatives,
};
use attention_relevancy::ndarray::Array2;
use attention_relevancy::{Target, Update};
use gemma3_tch::{Fast, Gemma3, Sequence};
use medgemma_explainer::{
    Answer, Ask, ExplainOptions, Explainer, TargetControl, TargetExplanation,
};
use tch::{Kind, Tensor};

use crate::localize::asked::{Asked, Shown};
use crate::localize::case::Case;
use crate::localize::foils;
use crate::localize::settings::{Finer, Goals, Method, Setting, Sweep};
use crate::reader::{Reader, Reading, Spoken};
use crate::scenes::mix;

/// Makes maps of the words of one answer.
pub struct Maps<'a> {
    reader: &'a Reader,
    reading: &'a Reading,
    case: &'a Case,
    sound: Answer,
    /// What the layers of the reader's own model compute for it, and on what else it is explained.
    states: OnceCell<States>,
    /// The same answer by the conventions of the public Python program.
    seed: OnceCell<(Explainer, Answer)>,
    /// The maps finer than tokens that were made, by their objective: they take longer than all the rest.
    finer: RefCell<Vec<(Goals, Vec<PatchMap>)>>,
}

/// One map for each word, `[cells]`.
pub type PerWord = Vec<Vec<f32>>;

/// A sequence that holds the answer.
struct Altered<'a> {
    sequence: &'a Sequence,
    /// How far everything stands behind its place in the reading.
    shift: usize,
}

impl<'a> Maps<'a> {
    /// Of the right answer, which the model is given.
    pub fn new(reader: &'a Reader, case: &'a Case, reading: &'a Reading) -> Result<Self> {
        let mut sound = given(reader.explainer(), reading)?;
        reader.explainer().keep_states(&mut sound)?;
        let same = sound.tokens().iter().map(|token| token.id);
        ensure!(same.eq(reading.sequence.ids().iter().copied()), "other tokens for the answer");
        let (states, seed, finer) = Default::default();
        Ok(Self { reader, reading, case, sound, states, seed, finer })
    }

    /// The maps of all settings. Those that one sweep gives are asked for together.
    pub fn all(&self, settings: &[Setting], seed: u64) -> Result<Vec<PerWord>> {
        let mut found = vec![PerWord::new(); settings.len()];
        for group in Setting::groups(settings) {
            let first = settings[group[0]];
            let maps = match first.sweep() {
                Some(sweep) => {
                    let methods: Vec<Method> =
                        group.iter().map(|&at| settings[at].method).collect();
                    self.together(&methods, sweep)?
                }
                None => vec![self.of(first, seed)?],
            };
            for (at, maps) in group.into_iter().zip(maps) {
                found[at] = maps;
            }
        }
        Ok(found)
    }

    /// The maps of methods that one sweep gives, in their order.
    fn together(&self, methods: &[Method], sweep: Sweep) -> Result<Vec<PerWord>> {
        let explainer = self.reader.explainer();
        let words: Vec<&Spoken> = self.reading.words.iter().collect();
        let by_word = self.by_objective(&words, sweep.goals, |words, objective| {
            let model = explainer.inspection().language_model();
            let asked = |method: &Method| Asked::of(*method, objective, &model);
            let asked = methods.iter().map(asked).collect::<Option<Vec<_>>>();
            let asked = asked.context("these are made in another way")?;
            let compared = asked.iter().flat_map(|asked| &asked.options.methods).cloned();
            let options = ExplainOptions::default()
                .with_objective(objective)
                .with_backward(sweep.backward)
                .with_methods(compared.collect())
                .with_by_layer(asked.iter().any(|asked| asked.options.by_layer));
            let tokens = words.iter().map(|word| Ask::Tokens(asked[0].tokens.of(word)));
            let found = explainer.explain(&self.sound, &tokens.collect::<Vec<_>>(), &options)?;
            ensure!(found.missing.is_empty(), "{:?}", found.missing);
            let maps = |target: &TargetExplanation| {
                let mut rows = 0;
                let map = |asked: &Asked| {
                    let row = rows;
                    rows += asked.options.methods.len();
                    self.map(asked.shown, target, row)
                };
                asked.iter().map(map).collect::<Result<Vec<_>>>()
            };
            found.targets.iter().map(maps).collect()
        })?;
        let mut by_method: Vec<PerWord> = methods.iter().map(|_| Vec::new()).collect();
        for maps in by_word {
            by_method.iter_mut().zip(maps).for_each(|(all, map)| all.push(map));
        }
        Ok(by_method)
    }

    /// The maps of one setting. `seed` is for the random ones.
    pub fn of(&self, setting: Setting, seed: u64) -> Result<PerWord> {
        let Setting { method, goals } = setting;
        let words = &self.reading.words;
        match method {
            Method::Relevancy(_) if goals == Goals::TwoSided => self.two_sided(),
            Method::Random => Ok((0..words.len() as u64).map(|n| self.random(seed, n)).collect()),
            Method::Phrases => words.iter().map(|word| self.phrases(word)).collect(),
            Method::LessBlank => self.less_blank(goals),
            Method::CausalImage => {
                let sequence = self.reading.sequence.with_causal_images();
                self.altered(&Altered { sequence: &sequence, shift: 0 }, goals)
            }
            Method::DoubleBos => {
                let sequence = self.with_second_bos()?;
                self.altered(&Altered { sequence: &sequence, shift: self.shift()? }, goals)
            }
            Method::Patches(at, Spread::Even) => self.evenly(at, goals),
            Method::Patches(at, Spread::GradientActivation) => {
                self.finer(setting, |map| self.patches(map, at))
            }
            Method::Pixels(at) => self.finer(setting, |map| self.pixels(map, at)),
            Method::Span(..) => {
                let map = |word| Ok(self.maps(&[word], setting)?.remove(0));
                words.iter().map(map).collect()
            }
            _ => self.maps(&words.iter().collect::<Vec<_>>(), setting),
        }
    }

    /// What the facade says of each word. Words that share an objective share a call.
    fn explained(
        &self,
        words: &[&Spoken],
        setting: Setting,
    ) -> Result<Vec<(Shown, TargetExplanation)>> {
        let Setting { method, goals } = setting;
        let (explainer, answer, shift) = match method {
            Method::Seed => {
                let (explainer, answer) = self.seed()?;
                (explainer, answer, self.shift()?)
            }
            _ => (self.reader.explainer(), &self.sound, 0),
        };
        self.by_objective(words, goals, |words, objective| {
            let asked = Asked::of(
                method,
                objective,
                &self.reader.explainer().inspection().language_model(),
            );
            let asked = asked.with_context(|| format!("{method:?} is made in another way"))?;
            let ask = |word: &&Spoken| {
                let tokens = asked.tokens.of(word);
                Ask::Tokens(tokens.start + shift..tokens.end + shift)
            };
            let asks: Vec<Ask> = words.iter().map(ask).collect();
            let found = explainer.explain(answer, &asks, &asked.options)?;
            ensure!(found.missing.is_empty(), "{:?}", found.missing);
            Ok(found.targets.into_iter().map(|target| (asked.shown, target)).collect())
        })
    }

    fn maps(&self, words: &[&Spoken], setting: Setting) -> Result<PerWord> {
        let found = self.explained(words, setting)?;
        let shift = if setting.method == Method::Seed { self.shift()? } else { 0 };
        let map = |(shown, target): &(Shown, TargetExplanation)| {
            Ok(self.reading.of_images(&shown.row(target, 0)?[shift..]))
        };
        found.iter().map(map).collect()
    }

    /// What is shown of an explanation; `method` is its place among the methods that were asked for.
    fn map(&self, shown: Shown, target: &TargetExplanation, method: usize) -> Result<Vec<f32>> {
        Ok(self.reading.of_images(&shown.row(target, method)?))
    }

    /// Something of the finer maps of all words, which are made once, in a call for each word.
    fn finer(&self, setting: Setting, of: impl Fn(&PatchMap) -> Vec<f32>) -> Result<PerWord> {
        let goals = setting.goals;
        if !self.finer.borrow().iter().any(|(made, _)| *made == goals) {
            let map = |word: &Spoken| {
                let found = self.explained(&[word], setting)?;
                found[0].1.finer(0).cloned().context("finer maps were asked for")
            };
            let maps = self.reading.words.iter().map(map).collect::<Result<_>>()?;
            self.finer.borrow_mut().push((goals, maps));
        }
        let made = self.finer.borrow();
        let maps = made.iter().find(|(made, _)| *made == goals).map(|(_, maps)| maps);
        Ok(maps.into_iter().flatten().map(of).collect())
    }

    fn patches(&self, map: &PatchMap, at: Finer) -> Vec<f32> {
        match at {
            Finer::Own => map.patches.iter().copied().collect(),
            Finer::Unpooled => map.unpooled.iter().copied().collect(),
            Finer::Pooled => pooled(&map.patches, self.reading.image_tokens().isqrt()),
        }
    }

    fn pixels(&self, map: &PatchMap, at: Finer) -> Vec<f32> {
        let unsigned = map.pixels.as_ref().map(|pixels| pixels.mapv(f32::abs));
        let unsigned = unsigned.unwrap_or_default();
        match at {
            Finer::Pooled => pooled(&unsigned, self.reading.image_tokens().isqrt()),
            _ => unsigned.into_iter().collect(),
        }
    }

    /// The word against its foil as two phrases.
    fn phrases(&self, word: &Spoken) -> Result<Vec<f32>> {
        let (ask, options) = (Ask::Tokens(word.positions.clone()), ExplainOptions::default());
        let explainer = self.reader.explainer();
        let found = explainer.explain_versus(&self.sound, &ask, &self.foil(word)?, &options)?;
        let grid = found.contrast().image_grid(0).context("the answer is about a picture")?;
        Ok(grid.into_iter().collect())
    }

    fn seed(&self) -> Result<&(Explainer, Answer)> {
        if let Some(made) = self.seed.get() {
            return Ok(made);
        }
        let explainer = self.reader.seed()?;
        let answer = given(&explainer, self.reading)?;
        Ok(self.seed.get_or_init(|| (explainer, answer)))
    }

    /// How far everything stands behind its place in the reading, by the conventions of the public Python program.
    fn shift(&self) -> Result<usize> {
        Ok(self.seed()?.1.prepared().ids.len() - self.reading.answer)
    }

    /// The tokens of [`Method::Seed`] without its other mistake, which the facade does not offer.
    fn with_second_bos(&self) -> Result<Sequence> {
        let seed = &self.seed()?.1;
        let ids = seed.tokens().iter().map(|token| token.id).collect();
        let spans = seed.prepared().images.iter().map(|image| image.span.clone()).collect();
        Ok(self.reader.model().sequence(ids, spans, self.features())?)
    }

    /// Relevancy in a sequence that the facade does not make.
    fn altered(&self, altered: &Altered<'_>, goals: Goals) -> Result<PerWord> {
        let (model, ids, shift) = (self.reader.model(), altered.sequence.ids(), altered.shift);
        let states = States::of(model, altered.sequence, Keep::Everything)?;
        let engine = Streaming::new(model, ids, &states, SweepOptions::default());
        let words: Vec<&Spoken> = self.reading.words.iter().collect();
        self.by_objective(&words, goals, |words, objective| {
            let goal = |word: &&Spoken| goal(ids, word.positions.start + shift);
            let goals = words.iter().map(goal).collect::<Result<Vec<_>>>()?;
            let goals = against(objective, goals, (model, altered.sequence, &states))?;
            let found = engine.explain(&goals, &Rules::new(objective, Update::Additive))?;
            let image = |row: &[f32]| self.reading.of_images(&row[shift..]);
            Ok(found.iter().map(|row| image(&row.relevancy.to_vec())).collect())
        })
    }

    /// The sweep over the answer by the reader's own model.
    fn engine(&self) -> Result<Streaming<'_>> {
        let (model, sequence) = (self.reader.model(), &self.reading.sequence);
        if self.states.get().is_none() {
            let made = States::of(model, sequence, Keep::Everything)?;
            let _first = self.states.set(made);
        }
        let states = self.states.get().context("they were just made")?;
        Ok(Streaming::new(model, sequence.ids(), states, SweepOptions::default()))
    }

    /// Relevancy less that of the same word, against the same foil, on an even grey.
    fn less_blank(&self, goals: Goals) -> Result<PerWord> {
        let words: Vec<&Spoken> = self.reading.words.iter().collect();
        let explainer = self.reader.explainer();
        self.by_objective(&words, goals, |words, objective| {
            let options = ExplainOptions::default().with_objective(objective);
            let asks: Vec<Ask> =
                words.iter().map(|word| Ask::Position(word.positions.start)).collect();
            let found = explainer.explain(&self.sound, &asks, &options)?;
            let control = explainer.blank_control(&self.sound, &found)?;
            let less = |(target, blank): (&TargetExplanation, &TargetControl)| {
                let own = self.map(Shown::Relevancy, target, 0)?;
                let blank = self.reading.of_images(&blank.relevancy.to_vec());
                Ok(own.iter().zip(blank).map(|(own, blank)| (own - blank).max(0.0)).collect())
            };
            found.targets.iter().zip(&control.targets).map(less).collect()
        })
    }

    /// Relevancy of the word against its alternatives, less that of the opposite.
    fn two_sided(&self) -> Result<PerWord> {
        let sequence = &self.reading.sequence;
        let engine = self.engine()?;
        let options = ExplainOptions::default();
        let words = &self.reading.words;
        let asks: Vec<Ask> = words.iter().map(|word| Ask::Position(word.positions.start)).collect();
        let own = self.reader.explainer().explain(&self.sound, &asks, &options)?;
        ensure!(own.missing.is_empty(), "{:?}", own.missing);
        let opposite = |(word, target): (&Spoken, &TargetExplanation)| {
            let foils = &target.foils().context("foils were found for the word")?[0];
            let target = target_at(sequence.ids(), word.positions.start)?;
            // Once for it and twice against it: once against it.
            let goal = Goal::contrast(vec![target], vec![target; 2]).context("targets")?;
            Ok(goal.with_foils(vec![foils.clone(); 3]))
        };
        let pairs = words.iter().zip(&own.targets);
        let goals = pairs.map(opposite).collect::<Result<Vec<_>>>()?;
        let rules = Rules::new(Objective::Contrast(Foil::RunnerUp), Update::Additive);
        let opposite = engine.explain(&goals, &rules)?;
        let less = |(own, opposite): (&TargetExplanation, &Attribution)| {
            let own = self.map(Shown::Relevancy, own, 0)?;
            let opposite = self.reading.of_images(&opposite.relevancy.to_vec());
            let pairs = own.iter().zip(opposite);
            Ok(pairs.map(|(own, opposite)| (own - opposite).max(0.0)).collect())
        };
        own.targets.iter().zip(&opposite).map(less).collect()
    }

    fn features(&self) -> Vec<Tensor> {
        self.reading.features.iter().map(Tensor::shallow_clone).collect()
    }

    /// Patches among which the relevancy of their token is spread evenly, which the facade does not offer.
    fn evenly(&self, at: Finer, goals: Goals) -> Result<PerWord> {
        let (model, sequence) = (self.reader.model(), &self.reading.sequence);
        let engine = self.engine()?;
        let map = |word: &Spoken| {
            let objective = self.objective(word, goals)?;
            let goal = goal(sequence.ids(), word.positions.start)?;
            let states = self.states.get().context("the engine has them")?;
            let goal = against(objective, vec![goal], (model, sequence, states))?;
            let mut recorder = ImageRecorder::new(&engine, &[0])?;
            let rules = Rules::new(objective, Update::Additive);
            let found = engine.observe(&goal, &rules, &mut [&mut recorder])?;
            let parts = recorder.finish(found.iter());
            let options = PatchOptions { spread: Spread::Even, ..PatchOptions::default() };
            let maps =
                Patches::new(model, &self.reading.pictures[0], options).explain(&parts[0])?;
            Ok(self.patches(&maps[0], at))
        };
        self.reading.words.iter().map(map).collect()
    }

    fn random(&self, seed: u64, word: u64) -> Vec<f32> {
        let mut state = mix(seed ^ mix(word));
        let mut draw = || {
            state = mix(state);
            (state >> 40) as f32 / (1_u32 << 24) as f32
        };
        std::iter::repeat_with(&mut draw).take(self.reading.image_tokens()).collect()
    }

    /// Calls `explain` once for each objective that the words have, and puts what it gives in the order of the words.
    fn by_objective<T>(
        &self,
        words: &[&Spoken],
        goals: Goals,
        explain: impl Fn(&[&Spoken], Objective) -> Result<Vec<T>>,
    ) -> Result<Vec<T>> {
        let objectives =
            words.iter().map(|word| self.objective(word, goals)).collect::<Result<Vec<_>>>()?;
        let mut found: Vec<Option<T>> = words.iter().map(|_| None).collect();
        for (index, objective) in objectives.iter().enumerate() {
            if objectives[..index].contains(objective) {
                continue;
            }
            let alike = |&at: &usize| objectives[at] == *objective;
            let members: Vec<usize> = (0..words.len()).filter(alike).collect();
            let chosen: Vec<&Spoken> = members.iter().map(|&at| words[at]).collect();
            for (at, item) in members.into_iter().zip(explain(&chosen, *objective)?) {
                found[at] = Some(item);
            }
        }
        found.into_iter().collect::<Option<_>>().context("one explanation for each word")
    }

    fn objective(&self, word: &Spoken, goals: Goals) -> Result<Objective> {
        Ok(match goals {
            Goals::None | Goals::Logit => Objective::Logit,
            Goals::LogProbability => Objective::LogProbability,
            Goals::LogOdds => Objective::LogOdds,
            Goals::RunnerUp => Objective::Contrast(Foil::RunnerUp),
            Goals::Blank => Objective::Contrast(Foil::Token(self.instead(word, self.on_grey()?)?)),
            Goals::MeanCells => {
                let features = self.of_mean_cells();
                Objective::Contrast(Foil::Token(self.instead(word, features)?))
            }
            Goals::Alternatives => Objective::Contrast(Foil::Alternatives),
            Goals::TwoSided => bail!("two maps are no objective of the facade"),
            Goals::Named => {
                let (ask, foil) = (Ask::Position(word.positions.start), self.foil(word)?);
                let explainer = self.reader.explainer();
                Objective::Contrast(explainer.foil(&self.sound, &ask, &foil, false)?.foil)
            }
        })
    }

    /// Image tokens of pictures that are an even grey of their mean.
    fn on_grey(&self) -> Result<Vec<Tensor>> {
        let model = self.reader.model();
        let vision = model.vision()?;
        let grey = |picture: &Tensor| {
            let mean = picture.mean_dim([1_i64, 2].as_slice(), true, Kind::Float);
            let features = vision.tower.forward(&mean.expand_as(picture), &mut Fast)?;
            Ok(vision.projector.forward(&features).to_kind(model.kind()))
        };
        self.reading.pictures.iter().map(grey).collect()
    }

    /// Image tokens that are all the mean of those of their picture.
    fn of_mean_cells(&self) -> Vec<Tensor> {
        let mean = |cells: &Tensor| {
            let mean = cells.mean_dim([0_i64].as_slice(), true, Kind::Float);
            mean.to_kind(cells.kind()).expand_as(cells)
        };
        self.reading.features.iter().map(mean).collect()
    }

    /// The most likely token other than the word's own, at the row that predicts it, with these image tokens.
    fn instead(&self, word: &Spoken, features: Vec<Tensor>) -> Result<u32> {
        let _no_grad = tch::no_grad_guard();
        let (model, reading) = (self.reader.model(), self.reading);
        let ids = reading.sequence.ids().to_vec();
        let sequence = model.sequence(ids, reading.images.clone(), features)?;
        let last = model.forward(&sequence, &mut Fast);
        let position = word.positions.start;
        let logits = model.text().logits(&last.narrow(0, position as i64 - 1, 1)).get(0);
        let own = i64::from(reading.sequence.ids()[position]);
        let _ = logits.get(own).fill_(f64::NEG_INFINITY);
        Ok(u32::try_from(logits.argmax(-1, false).int64_value(&[]))?)
    }

    /// What could have been said instead.
    fn foil(&self, word: &Spoken) -> Result<String> {
        let found = foils::foil(self.case, &self.reading.asked, word);
        found.with_context(|| format!("{:?} has no foil", word.text))
    }
}

fn given(explainer: &Explainer, reading: &Reading) -> Result<Answer> {
    Ok(explainer.given(reading.question.clone(), &reading.text)?)
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
    Ok(Goal::token(target_at(ids, position)?))
}

/// The goals, each of one token, with their alternatives where the objective needs them.
fn against(
    objective: Objective,
    goals: Vec<Goal>,
    (model, sequence, states): (&Gemma3, &Sequence, &States),
) -> Result<Vec<Goal>> {
    if objective != Objective::Contrast(Foil::Alternatives) {
        return Ok(goals);
    }
    let targets: Vec<Target> = goals.iter().map(|goal| goal.targets()[0]).collect();
    let foils = alternatives(model, sequence, &targets, Some(states))?;
    Ok(goals.into_iter().zip(foils).map(|(goal, foils)| goal.with_foils(vec![foils])).collect())
}

fn target_at(ids: &[u32], position: usize) -> Result<Target> {
    let token = ids.get(position).context("the word is followed by a token")?;
    Ok(Target::new(position, *token)?)
}
