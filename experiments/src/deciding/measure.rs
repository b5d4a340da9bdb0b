//! Maps over the words of a beginning, held against the word that decides what follows.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use attention_relevancy::{Backward, Update, rank_correlation};
use gemma3_tch::{Checkpoint, Fast, Gemma3, guard};
use medgemma_explainer::{
    Answer, Ask, DeviceSpec, DtypeSpec, Explainer, Foil, LoadOptions, ModelSource, Objective,
    Profile, Question,
};

use super::items::Item;
use crate::hybrid::merged;
use crate::localize::asked::{Asked, Tokens};
use crate::localize::settings::{Goals, Method, Quarters, Setting};
use crate::threads::share;

/// A word decides where its twin takes so many nats of the odds between right word and foil.
pub const DECIDES: f64 = 1.0;

/// A real language model, for the command's own maps and for what is no question of a user's.
struct Reader {
    explainer: Explainer,
    /// By the conventions of the public Python program: with a second `<bos>`.
    program: Explainer,
    model: Gemma3,
}

/// What the model says of a sentence, and what maps make of it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The sentence.
    pub item: Item,
    /// Odds of the right word against the foil, in nats.
    pub odds: f64,
    /// How much of them the twin takes.
    pub drop: f64,
    /// How much of them goes with each word, where that is left out.
    pub without: Vec<f64>,
    /// In the order of the settings.
    pub maps: Vec<Words>,
}

/// A map over the words of a beginning but for the last one, which predicts.
#[derive(Debug, Clone)]
pub struct Words {
    /// What each word has, the sum over its tokens; what is below zero speaks against the right word.
    pub values: Vec<f64>,
    /// The share that `<bos>` has of all that is above zero, the predicting token aside.
    pub bos: f64,
}

impl Measured {
    /// Whether the model says the right word rather than the foil, and because of the deciding word.
    pub fn is_decided(&self) -> bool {
        self.odds > 0.0 && self.drop >= DECIDES
    }

    /// The word that costs the most where it is left out, but for the last.
    pub fn costliest(&self) -> Option<usize> {
        largest(&self.without[..self.without.len() - 1])
    }

    /// Rank correlation of a map with what goes with each word.
    pub fn correlation(&self, setting: usize) -> f64 {
        let narrow = |values: &[f64]| values.iter().map(|value| *value as f32).collect::<Vec<_>>();
        let costs = &self.without[..self.without.len() - 1];
        rank_correlation(&narrow(&self.maps[setting].values), &narrow(costs))
    }
}

fn largest(values: &[f64]) -> Option<usize> {
    let all = values.iter().enumerate().filter(|(_, value)| **value > 0.0);
    all.max_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at)
}

/// The settings that a text can tell apart.
pub fn settings() -> Vec<Setting> {
    let contrast = |method: Method| Setting { method, goals: Goals::Alternatives };
    let mut all = Setting::objectives();
    all.extend(
        [
            Method::Relevancy(Update::Stochastic),
            Method::GlobalLayers,
            Method::LargestHead,
            Method::WithoutSinks,
            Method::Balanced(Backward::CpLrp),
            Method::Balanced(Backward::AttnLrp),
            Method::Upper(Quarters(1)),
            Method::Upper(Quarters(2)),
            Method::Upper(Quarters(3)),
            Method::Lrp(Backward::CpLrp),
            Method::Lrp(Backward::AttnLrp),
            Method::InputGradient,
            Method::MeanGradient,
            Method::LastGradient,
            Method::LeGrad,
        ]
        .map(contrast),
    );
    let forward =
        [Method::RawLast, Method::RawMean, Method::RawGlobal, Method::ValueNorm, Method::Rollout];
    all.extend(forward.map(|method| Setting { method, goals: Goals::None }));
    all.push(contrast(Method::Seed));
    all
}

/// Every sentence, in the language model of a GGUF file; tokenizer.json lies beside it.
pub fn measure(file: &Path, items: &[Item], settings: &[Setting]) -> Result<Vec<Measured>> {
    let folder = merged::language_alone(file, &file.with_file_name("tokenizer.json"))?;
    let parts = share(items.len() as u64, |indices| {
        let reader = Reader::open(folder.path())?;
        let found = indices.map(|at| Ok((at, reader.measure(&items[at as usize], settings)?)));
        found.collect::<Result<Vec<_>>>()
    })?;
    let mut all: Vec<(u64, Measured)> = parts.into_iter().flatten().collect();
    all.sort_by_key(|(at, _)| *at);
    Ok(all.into_iter().map(|(_, measured)| measured).collect())
}

impl Reader {
    fn open(folder: &Path) -> Result<Self> {
        let load = |profile| {
            let options = LoadOptions::default().with_device(DeviceSpec::Cpu);
            let options = options.with_dtype(DtypeSpec::Float32).with_profile(profile);
            Explainer::load(&ModelSource::Directory(folder.to_owned()), &options)
        };
        let checkpoint = Checkpoint::open(folder)?;
        let float32 = DtypeSpec::Float32.to_string().parse()?;
        let placement = checkpoint.placement(gemma3_tch::DeviceSpec::Cpu, float32)?;
        Ok(Self {
            explainer: load(Profile::Sound)?,
            program: load(Profile::PythonProgram)?,
            model: checkpoint.load(placement)?,
        })
    }

    fn measure(&self, item: &Item, settings: &[Setting]) -> Result<Measured> {
        let odds = |text: &str| self.odds(text, item);
        let whole = odds(&item.text())?;
        let without = |word| Ok(whole - odds(&item.without(word))?);
        let mut answer = given(&self.explainer, item)?;
        self.explainer.keep_states(&mut answer)?;
        let mut maps: Vec<Option<Words>> = settings.iter().map(|_| None).collect();
        for group in Setting::groups(settings) {
            let chosen: Vec<Setting> = group.iter().map(|&at| settings[at]).collect();
            for (at, words) in group.into_iter().zip(self.words(item, &answer, &chosen)?) {
                maps[at] = Some(words);
            }
        }
        Ok(Measured {
            item: item.clone(),
            odds: whole,
            drop: whole - odds(&item.twin_text())?,
            without: (0..item.words.len()).map(without).collect::<Result<_>>()?,
            maps: maps.into_iter().collect::<Option<_>>().context("every setting has its map")?,
        })
    }

    /// Odds of the right word against the foil behind a beginning.
    fn odds(&self, text: &str, item: &Item) -> Result<f64> {
        let _no_grad = tch::no_grad_guard();
        let tokenizer = self.explainer.processor().tokenizer();
        let bos = tokenizer.id("<bos>").context("the tokenizer has no <bos>")?;
        let mut ids = vec![bos];
        ids.extend(tokenizer.encode(text)?);
        let last = ids.len() as i64 - 1;
        let sequence = self.model.sequence(ids, Vec::new(), Vec::new())?;
        let logits = guard("reading a text", || {
            let hidden = self.model.forward(&sequence, &mut Fast);
            self.model.text().logits(&hidden.narrow(0, last, 1)).get(0)
        })?;
        let of = |word: &str| -> Result<f64> {
            let id = tokenizer.encode(word)?[0];
            Ok(logits.double_value(&[i64::from(id)]))
        };
        Ok(of(&item.right)? - of(&item.foil)?)
    }

    /// The maps over the words of settings that one sweep gives.
    fn words(&self, item: &Item, answer: &Answer, settings: &[Setting]) -> Result<Vec<Words>> {
        let goals = settings[0].sweep().map_or(settings[0].goals, |sweep| sweep.goals);
        let objective = match goals {
            Goals::None | Goals::Logit => Objective::Logit,
            Goals::LogProbability => Objective::LogProbability,
            Goals::LogOdds => Objective::LogOdds,
            Goals::Named => {
                let foil = self.explainer.processor().tokenizer().encode(&item.foil)?[0];
                Objective::Contrast(Foil::Token(foil))
            }
            Goals::Alternatives => Objective::Contrast(Foil::Alternatives),
            _ => Objective::Contrast(Foil::RunnerUp),
        };
        let model = self.explainer.inspection().language_model();
        let asked = settings.iter().map(|setting| {
            let asked = Asked::of(setting.method, objective, &model);
            let asked = asked.with_context(|| format!("{setting} is not for texts"))?;
            ensure!(asked.tokens == Tokens::Deciding, "{setting} is of another token");
            Ok(asked)
        });
        let asked = asked.collect::<Result<Vec<_>>>()?;
        let methods = asked.iter().flat_map(|asked| &asked.options.methods).cloned().collect();
        let by_layer = asked.iter().any(|asked| asked.options.by_layer);
        let options = asked[0].options.clone().with_methods(methods).with_by_layer(by_layer);
        let made;
        let (explainer, answer) = if settings[0].method == Method::Seed {
            made = given(&self.program, item)?;
            (&self.program, &made)
        } else {
            (&self.explainer, answer)
        };
        let predicted = answer.prepared().ids.len();
        let found = explainer.explain(answer, &[Ask::Position(predicted)], &options)?;
        let target = found.targets.first().context("the word that follows is explained")?;
        let mut methods = 0;
        let over_words = |asked: &Asked| {
            let row = asked.shown.row(target, methods)?;
            methods += asked.options.methods.len();
            Words::of(&row[..predicted - 1], item, answer)
        };
        asked.iter().map(over_words).collect()
    }
}

impl Words {
    /// The row of a map up to the token that predicts.
    fn of(row: &[f32], item: &Item, answer: &Answer) -> Result<Self> {
        let text = positions(answer)?;
        let above =
            |row: &[f32]| -> f64 { row.iter().map(|value| f64::from(value.max(0.0))).sum() };
        let all = above(row);
        let words = item.words[..item.words.len() - 1].iter().scan(0, |start, word| {
            let range = *start..*start + word.len();
            *start = range.end + 1;
            Some(range)
        });
        let value = |word: Range<usize>| {
            let of = text.iter().filter(|(_, at)| at.start < word.end && word.start < at.end);
            of.filter_map(|(position, _)| row.get(*position)).map(|v| f64::from(*v)).sum()
        };
        let start = text.first().map_or(0, |(position, _)| *position);
        Ok(Self {
            values: words.map(value).collect(),
            bos: if all > 0.0 { above(&row[..start]) / all } else { 0.0 },
        })
    }

    /// The word with the most.
    pub fn largest(&self) -> Option<usize> {
        largest(&self.values)
    }

    /// The share of a word of all that is above zero, `<bos>` and the predicting token aside.
    pub fn share(&self, word: usize) -> f64 {
        let all: f64 = self.values.iter().map(|value| value.max(0.0)).sum();
        if all > 0.0 { self.values[word].max(0.0) / all } else { 0.0 }
    }
}

fn given(explainer: &Explainer, item: &Item) -> Result<Answer> {
    Ok(explainer.given(Question::new(vec![], item.text()), &item.right)?)
}

/// Which characters of the beginning each token spells; tokens before the text spell none.
fn positions(answer: &Answer) -> Result<Vec<(usize, Range<usize>)>> {
    let prompt = &answer.tokens()[..answer.prepared().ids.len()];
    let spelled = prompt.iter().skip_while(|token| token.text.starts_with('<'));
    let mut start = 0;
    let found: Vec<_> = spelled
        .map(|token| {
            let range = start..start + token.text.replace('▁', " ").len();
            start = range.end;
            (token.position, range)
        })
        .collect();
    let text: HashMap<usize, &str> =
        prompt.iter().map(|token| (token.position, token.text.as_str())).collect();
    let whole: String = found.iter().map(|(at, _)| text[at].replace('▁', " ")).collect();
    ensure!(whole == answer.question().prompt(), "tokens spell {whole:?}");
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_points_at_its_largest_word() {
        let words = Words { values: vec![0.5, 1.5, -3.0], bos: 0.2 };
        assert_eq!((words.largest(), words.share(1), words.share(2)), (Some(1), 0.75, 0.0));
        let nothing = Words { values: vec![0.0, -1.0], bos: 0.0 };
        assert_eq!((nothing.largest(), nothing.share(0)), (None, 0.0));
    }
}
