//! Explaining an answer.

use crate::compared::{self, WithRows, mean_row};
use crate::finer::mean_map;
use crate::heads::mean_shares;
use crate::parts::{characters, fields, sentence};
use crate::{
    Answer, Ask, Blank, Engine, Error, ExplainOptions, Explainer, Explanations, Profile,
    Resolution, SpanRule, TargetExplanation, Token, TokenKind,
};
use attention_capture::{
    Attribution, Depths, Engine as _, Foil, Goal, HeadRecorder, HeadShares, LayerSwept, MethodRow,
    PatchMap, Retained, Score, States, Streaming, SweepOptions, with_budget,
};
use attention_relevancy::ndarray::{Array, Array1, Array2, Dimension};
use attention_relevancy::{Explanation, ImageGrid, Target, TokenLayout};
use gemma3_processor::{PreparedImage, find_every, find_keyword};
use gemma3_tch::{Sequence, StopReason, available_memory, check_memory};
use std::ops::Range;
use std::time::Instant;

impl Explainer {
    /// Explains the token at `position`, or the last one of the answer.
    pub fn explain(
        &self,
        answer: &Answer,
        position: Option<usize>,
        options: &ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        self.explain_one(answer, position.map_or(Ask::Last, Ask::Position), options)
    }

    /// Explains occurrence `occurrence` (from 0) of a word or phrase in the answer: the mean over its tokens.
    pub fn explain_keyword(
        &self,
        answer: &Answer,
        word: &str,
        occurrence: usize,
        options: &ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        self.explain_one(answer, Ask::Keyword { word: word.to_owned(), occurrence }, options)
    }

    /// Explains the whole answer.
    pub fn explain_answer_span(
        &self,
        answer: &Answer,
        rule: SpanRule,
        options: &ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        self.explain_one(answer, Ask::Answer, &ExplainOptions { span: rule, ..options.clone() })
    }

    /// Explains any number of things about one answer; they share one forward pass.
    pub fn explain_all(
        &self,
        answer: &Answer,
        asks: &[Ask],
        options: &ExplainOptions,
    ) -> Result<Explanations, Error> {
        let started = Instant::now();
        if self.profile == Profile::Seed && options.resolution != Resolution::Tokens {
            return Err(Error::FinerSeed);
        }
        let mut spans = Vec::new();
        for ask in asks {
            spans.extend(self.positions(answer, ask, options.trace)?);
        }
        let asked = spans.len();
        let words = answer.words(options.words).into_iter();
        spans.extend(words.filter(|word| !spans.contains(word)).collect::<Vec<_>>());
        let plan = |(index, positions)| Plan::new(answer, positions, options.span, index < asked);
        let plans: Vec<Plan> = spans.into_iter().enumerate().map(plan).collect::<Result<_, _>>()?;
        let mut notes = Vec::new();
        let run = Run {
            sequence: &answer.sequence,
            states: answer.states.as_ref(),
            images: &answer.prepared.images,
        };
        let found = self.found(run, &plans, options, &mut notes)?;
        let weights = self.token_weights(answer, (&plans, asked), &found, &mut notes)?;
        let explained = plans.into_iter().zip(found).zip(weights);
        let explained =
            explained.map(|((plan, found), weights)| plan.explanation(answer, found, weights));
        let mut targets = explained.collect::<Result<Vec<_>, _>>()?;
        let words = targets.split_off(asked);
        let engine =
            if options.engine == Engine::Retained { Engine::Retained } else { Engine::Streaming };
        Ok(Explanations {
            targets,
            words,
            versus: Vec::new(),
            options: ExplainOptions { engine, ..options.clone() },
            notes,
            duration: started.elapsed(),
            reliance: None,
            control: None,
        })
    }

    /// The token that would begin `word` in the place of the first token that `ask` is about: what its logit is set against.
    ///
    /// # Errors
    /// What `ask` may fail with, and [`Error::SameFoil`] where both begin with the same token.
    pub fn foil(&self, answer: &Answer, ask: &Ask, word: &str, trace: bool) -> Result<Foil, Error> {
        let position = self.positions(answer, ask, trace)?[0].start;
        let target = &answer.tokens[position];
        // The space that is the token's own is that of the word in its place too.
        let space = |is_there: bool| if is_there { " " } else { "" };
        let (before, after) = (target.text.starts_with(' '), target.text.ends_with(' '));
        let spelled = format!("{}{}{}", space(before), word.trim(), space(after));
        let ids = self.processor.answer_ids(&spelled)?;
        if ids[0] == target.id {
            let (word, token) = (word.to_owned(), target.text.clone());
            return Err(Error::SameFoil { word, token });
        }
        Ok(Foil::Token(ids[0]))
    }

    /// What the engine of the options finds out for each plan.
    pub(crate) fn found(
        &self,
        run: Run<'_>,
        plans: &[Plan],
        options: &ExplainOptions,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Found>, Error> {
        match options.engine {
            Engine::Retained => self.retained(run.sequence, plans, options),
            Engine::Auto | Engine::Streaming => self.streaming(run, plans, options, notes),
        }
    }

    /// How much each token of a plan counts in its mean, by what the pictures add to its log-probability; `None` where all count
    /// alike. `notes` tells of those among the first `asked` plans where nothing is added.
    fn token_weights(
        &self,
        answer: &Answer,
        (plans, asked): (&[Plan], usize),
        found: &[Found],
        notes: &mut Vec<String>,
    ) -> Result<Vec<Option<Vec<f32>>>, Error> {
        if !plans.iter().any(|plan| plan.rule == SpanRule::Reliance) {
            return Ok(vec![None; plans.len()]);
        }
        let blank = self.blank_log_probabilities(answer, &Blank::Mean, &every_target(plans))?;
        let mut blank = blank.into_iter();
        let mut all = Vec::new();
        for (index, (plan, found)) in plans.iter().zip(found).enumerate() {
            let with = found.scores.iter().map(|score| score.log_probability);
            let pmi: Vec<f32> =
                with.zip(blank.by_ref()).map(|(with, blank)| with - blank).collect();
            let weights = positive_parts(&pmi).filter(|_| 1 < pmi.len());
            if weights.is_none() && 1 < pmi.len() && index < asked {
                notes.push(format!(
                    "no token of {:?} gains by the picture: its tokens count alike, whatever their reliance",
                    text(answer, &plan.positions)
                ));
            }
            all.push(weights);
        }
        Ok(all)
    }

    fn retained(
        &self,
        sequence: &Sequence,
        plans: &[Plan],
        options: &ExplainOptions,
    ) -> Result<Vec<Found>, Error> {
        if options.by_layer {
            return Err(Error::LayersRetained);
        }
        if options.by_head.is_some() {
            return Err(Error::HeadsRetained);
        }
        if options.resolution != Resolution::Tokens {
            return Err(Error::FinerRetained);
        }
        let tokens = sequence.ids().len();
        let needed = self.inspection.retained_bytes(self.model.kind(), tokens);
        check_memory(
            &format!("keeping the attention of {tokens} tokens"),
            needed,
            available_memory(),
        )?;
        let engine = Retained::run(&self.model, sequence)?.folding(options.folding.clone());
        let parts = compared::retained(&engine, &goals(plans), options)?;
        let parts = parts.into_iter().map(Part::new).collect();
        Ok(sort(plans, engine.scores(&every_target(plans))?, parts))
    }

    /// Starts from the states that were kept while the answer was generated, or makes them.
    fn streaming(
        &self,
        Run { sequence, states, images }: Run<'_>,
        plans: &[Plan],
        options: &ExplainOptions,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Found>, Error> {
        let made;
        let states = if let Some(states) = states {
            states
        } else {
            made = States::of(&self.model, sequence, self.keep(sequence.ids().len())?)?;
            &made
        };
        let kept = states.bytes();
        let sweep = |memory_budget| {
            let options_of_sweep = SweepOptions { memory_budget, cancel: self.cancel.clone() };
            let ids = sequence.ids();
            let engine = Streaming::new(&self.model, ids, states, options_of_sweep)
                .folding(options.folding.clone());
            let goals = goals(plans);
            let mut depths = options.by_layer.then(|| engine.depths(&goals));
            let maps = options.by_head.map(|layer| self.head_layer(layer));
            let mut heads = maps.map(|layer| engine.heads(&goals, Some(layer))).transpose()?;
            let mut observe = |swept: &LayerSwept<'_>| {
                if let Some(depths) = &mut depths {
                    depths.see(swept);
                }
                if let Some(heads) = &mut heads {
                    heads.see(swept);
                }
            };
            let parts = compared::streaming(&engine, &goals, options, &mut observe)?;
            let mut parts: Vec<Part> = parts.into_iter().map(Part::new).collect();
            for (part, layers) in parts.iter_mut().zip(depths.into_iter().flat_map(Depths::finish))
            {
                part.layers = Some(layers);
            }
            for (part, heads) in
                parts.iter_mut().zip(heads.into_iter().flat_map(HeadRecorder::finish))
            {
                part.heads = Some(heads);
            }
            let mut found = sort(plans, engine.scores(&every_target(plans))?, parts);
            let finer = self.finer(images, &engine, plans, (options, memory_budget))?;
            for (found, finer) in found.iter_mut().zip(finer) {
                found.finer = finer;
            }
            Ok(found)
        };
        let outcome = with_budget(self.memory_budget.saturating_sub(kept), sweep);
        let (found, ran_out) = outcome.map_err(|error| with_kept(error, kept))?;
        notes.extend(ran_out.map(|error| format!("{error}; done again with smaller blocks")));
        Ok(found)
    }

    fn explain_one(
        &self,
        answer: &Answer,
        ask: Ask,
        options: &ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        let explanations = self.explain_all(answer, &[ask], options)?;
        Ok(explanations.targets.into_iter().next().expect("one was asked for"))
    }

    /// The tokens that an ask is about, as positions in the sequence: a range for each target.
    pub(crate) fn positions(
        &self,
        answer: &Answer,
        ask: &Ask,
        trace: bool,
    ) -> Result<Vec<Range<usize>>, Error> {
        if let Ask::Position(position) = ask {
            return check_position(answer, *position).map(|()| vec![*position..position + 1]);
        }
        if let Ask::Tokens(range) = ask {
            if range.is_empty() {
                return Err(Error::NoTokens { range: range.clone() });
            }
            check_position(answer, range.start)?;
            return check_position(answer, range.end - 1).map(|()| vec![range.clone()]);
        }
        let first = answer.prepared.ids.len();
        let span = if trace { first..answer.tokens.len() } else { answer.positions() };
        if span.is_empty() {
            return Err(Error::NoAnswer { reason: why_empty(answer) });
        }
        let generated = &answer.generated.tokens[span.start - first..span.end - first];
        let spelled = || self.processor.tokenizer().spans(generated);
        let within = |found: Range<usize>| span.start + found.start..span.start + found.end;
        let found = match ask {
            Ask::Position(_) | Ask::Tokens(_) | Ask::Last => {
                return Ok(vec![span.end - 1..span.end]);
            }
            Ask::Answer => return Ok(vec![span]),
            Ask::Keyword { word, occurrence } if self.profile == Profile::Seed => {
                return Ok(vec![Self::seed_keyword(answer, word, *occurrence)?]);
            }
            Ask::Keyword { word, occurrence } => {
                vec![find_keyword(&spelled(), word, *occurrence, true)?]
            }
            Ask::Substring { text, occurrence } => {
                vec![find_keyword(&spelled(), text, *occurrence, false)?]
            }
            Ask::Every { word } => find_every(&spelled(), word, true)?,
            Ask::Sentence(index) => vec![sentence(&spelled(), *index)?],
            Ask::Characters(range) => vec![characters(&spelled(), range)?],
            Ask::Field(name) => fields(&spelled(), name)?,
        };
        Ok(found.into_iter().map(within).collect())
    }
}

impl Explainer {
    /// The first token of the answer that holds a word, be it a part of another: [`Profile::Seed`].
    fn seed_keyword(answer: &Answer, word: &str, occurrence: usize) -> Result<Range<usize>, Error> {
        let wanted = word.to_lowercase();
        let holds = |token: &&Token| token.text.to_lowercase().contains(&wanted);
        let found =
            answer.tokens[answer.positions()].iter().find(holds).filter(|_| occurrence == 0);
        found
            .map(|token| token.position..token.position + 1)
            .ok_or_else(|| Error::SeedKeyword { word: word.to_owned() })
    }
}

/// Only a token that the model made can be explained: its own choice is what the gradient is taken of.
fn check_position(answer: &Answer, position: usize) -> Result<(), Error> {
    let span = answer.prepared.ids.len()..answer.tokens.len();
    if span.is_empty() {
        return Err(Error::NoAnswer { reason: why_empty(answer) });
    }
    match answer.tokens.get(position) {
        None => Err(Error::PositionPastEnd { position, answer: span }),
        Some(_) if position == 0 => Err(Error::PositionZero { answer: span }),
        Some(token) => match token.kind {
            TokenKind::Answer => Ok(()),
            TokenKind::Image => Err(Error::PositionInImage { position, answer: span }),
            TokenKind::Prompt => {
                Err(Error::PositionInPrompt { position, token: token.text.clone(), answer: span })
            }
        },
    }
}

/// Why there is no token to explain in the answer.
fn why_empty(answer: &Answer) -> &'static str {
    match answer.generated.stop {
        _ if !answer.generated.tokens.is_empty() => {
            "it stopped while or after thinking; allow more tokens, or name a position in the trace"
        }
        StopReason::Token(_) => "its first token was a stop token",
        StopReason::Context => {
            "the prompt fills its context; shorten the text or give fewer pictures"
        }
        StopReason::Limit | StopReason::Caller | StopReason::Given => "no token was asked for",
    }
}

/// The tokens at `positions` as targets.
fn targets(answer: &Answer, positions: &Range<usize>) -> Result<Vec<Target>, Error> {
    let ids = &answer.sequence.ids()[positions.clone()];
    let targets = positions.clone().zip(ids).map(|(position, &id)| Target::new(position, id));
    Ok(targets.collect::<Result<_, _>>()?)
}

/// The budget of the user is for the sweep and what was kept for it.
pub(crate) fn with_kept(error: attention_capture::Error, kept: u64) -> attention_capture::Error {
    match error {
        attention_capture::Error::Budget { budget, smallest } => {
            attention_capture::Error::Budget { budget: budget + kept, smallest: smallest + kept }
        }
        error => error,
    }
}

/// A run of the language model over a sequence, and what was kept of it.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) sequence: &'a Sequence,
    /// `None`: they are made where they are needed.
    pub(crate) states: Option<&'a States>,
    /// The images of the sequence, for maps finer than their tokens.
    pub(crate) images: &'a [PreparedImage],
}

/// How one explanation is made: by which goals, which then are averaged.
pub(crate) struct Plan {
    positions: Range<usize>,
    targets: Vec<Target>,
    rule: SpanRule,
    pub(crate) goals: Vec<Goal>,
    /// Whether somebody asked for it; otherwise it is a word beside.
    pub(crate) asked: bool,
}

/// What an engine says of one goal.
struct Part {
    attribution: Attribution,
    /// Its row by depth, where that was asked for.
    layers: Option<Array2<f32>>,
    /// The rows of the methods that were asked for.
    methods: Vec<MethodRow>,
    /// What every head did, where that was asked for.
    heads: Option<HeadShares>,
}

impl Part {
    fn new((attribution, methods): WithRows) -> Self {
        Self { attribution, layers: None, methods, heads: None }
    }
}

/// What an engine found out for one plan.
pub(crate) struct Found {
    scores: Vec<Score>,
    parts: Vec<Part>,
    /// For each image one of each goal, where they were asked for.
    finer: Vec<Vec<PatchMap>>,
}

impl Plan {
    pub(crate) fn new(
        answer: &Answer,
        positions: Range<usize>,
        rule: SpanRule,
        asked: bool,
    ) -> Result<Self, Error> {
        let targets = targets(answer, &positions)?;
        let goals = match rule {
            SpanRule::Sum => Goal::sum(targets.clone()).into_iter().collect(),
            SpanRule::Mean | SpanRule::Reliance => {
                targets.iter().map(|&target| Goal::token(target)).collect()
            }
        };
        Ok(Self { positions, targets, rule, goals, asked })
    }

    /// The same plan with the foils of another run of these tokens in the place of the runners-up of its own.
    pub(crate) fn with_foils(self, foils: &[u32]) -> Self {
        let mut foils = foils.iter().copied();
        let mut named = |goal: Goal| {
            let foils = foils.by_ref().take(goal.targets().len()).collect();
            goal.with_foils(foils)
        };
        Self { goals: self.goals.into_iter().map(&mut named).collect(), ..self }
    }

    /// The mean of what was found, with `weights` that sum to one or evenly.
    pub(crate) fn explanation(
        self,
        answer: &Answer,
        found: Found,
        weights: Option<Vec<f32>>,
    ) -> Result<TargetExplanation, Error> {
        let even = || vec![1.0 / found.parts.len() as f64; found.parts.len()];
        let shares: Vec<f64> = weights
            .as_ref()
            .map_or_else(even, |weights| weights.iter().copied().map(f64::from).collect());
        let row = |row: fn(&Attribution) -> &Array1<f32>| {
            mean(&shares, found.parts.iter().map(move |part| row(&part.attribution)))
        };
        let layers: Option<Vec<&Array2<f32>>> =
            found.parts.iter().map(|part| part.layers.as_ref()).collect();
        let heads: Option<Vec<HeadShares>> =
            found.parts.iter().map(|part| part.heads.clone()).collect();
        let count = found.parts.first().map_or(0, |part| part.methods.len());
        let method =
            |index: usize| mean_row(&shares, found.parts.iter().map(|part| &part.methods[index]));
        Ok(TargetExplanation {
            text: text(answer, &self.positions),
            rule: self.rule,
            token_ids: self.targets.iter().map(|target| target.token()).collect(),
            relevancy: Explanation::new(
                self.targets,
                row(|part| &part.relevancy),
                layout(answer, answer.tokens.len())?,
            )?,
            raw_attention: row(|part| &part.raw_attention),
            rollout: row(|part| &part.rollout),
            layers: layers.map(|layers| mean(&shares, layers.into_iter())),
            methods: (0..count).map(method).collect(),
            finer: found.finer.iter().map(|maps| mean_map(&shares, maps)).collect(),
            heads: heads.filter(|_| self.asked).map(|heads| mean_shares(&shares, &heads)),
            weights,
            scores: found.scores,
            positions: self.positions,
        })
    }
}

/// The goals of all plans together, so that they share the work of an engine.
fn goals(plans: &[Plan]) -> Vec<Goal> {
    plans.iter().flat_map(|plan| plan.goals.clone()).collect()
}

fn every_target(plans: &[Plan]) -> Vec<Target> {
    plans.iter().flat_map(|plan| plan.targets.clone()).collect()
}

/// To each plan what is its own.
fn sort(plans: &[Plan], scores: Vec<Score>, parts: Vec<Part>) -> Vec<Found> {
    let (mut scores, mut parts) = (scores.into_iter(), parts.into_iter());
    let found = |plan: &Plan| Found {
        scores: scores.by_ref().take(plan.targets.len()).collect(),
        parts: parts.by_ref().take(plan.goals.len()).collect(),
        finer: Vec::new(),
    };
    plans.iter().map(found).collect()
}

/// What the tokens spell; their names where they spell nothing.
pub(crate) fn text(answer: &Answer, positions: &Range<usize>) -> String {
    let spelled = answer.text_of(positions).trim();
    if spelled.is_empty() {
        answer.tokens[positions.clone()].iter().map(|token| token.text.as_str()).collect()
    } else {
        spelled.to_owned()
    }
}

/// Text and image grids of an answer's sequence, or of one of `tokens` tokens that begins as it does.
pub(crate) fn layout(answer: &Answer, tokens: usize) -> Result<TokenLayout, Error> {
    let grids = answer.prepared.images.iter().map(|image| {
        let [rows, columns] = image.grid;
        (image.span.clone(), ImageGrid { image: image.picture, rows, columns })
    });
    Ok(TokenLayout::from_images(tokens, grids)?)
}

/// The mean of arrays of one shape, at least one, with weights that sum to one, summed in double precision.
pub(crate) fn mean<'a, D: Dimension + 'a>(
    weights: &[f64],
    arrays: impl Iterator<Item = &'a Array<f32, D>>,
) -> Array<f32, D> {
    let weighted = weights.iter().zip(arrays);
    let weighted = weighted.map(|(weight, array)| array.mapv(|value| weight * f64::from(value)));
    let sum = weighted.reduce(|sum, array| sum + array).expect("at least one array");
    sum.mapv(|sum| sum as f32)
}

/// The positive parts divided by their sum; `None` where there is none.
fn positive_parts(values: &[f32]) -> Option<Vec<f32>> {
    let parts: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
    let sum: f32 = parts.iter().sum();
    (0.0 < sum && sum.is_finite()).then(|| parts.iter().map(|part| part / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_the_positive_parts_and_sum_to_one() {
        assert_eq!(positive_parts(&[3.0, -2.0, 1.0]), Some(vec![0.75, 0.0, 0.25]));
        assert_eq!(positive_parts(&[-1.0, 0.0]), None);
        assert_eq!(positive_parts(&[f32::NAN]), None);
        let arrays = [Array1::from_elem(2, 1.0), Array1::from_elem(2, 5.0)];
        assert_eq!(mean(&[0.75, 0.25], arrays.iter()), Array1::from_elem(2, 2.0));
    }
}
