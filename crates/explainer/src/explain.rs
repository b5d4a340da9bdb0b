//! Explaining an answer.

use crate::{Answer, Error, Explainer, TokenKind};
use attention_capture::{
    Attribution, Goal, Objective, Retained, Score, States, Streaming, SweepOptions, with_budget,
};
use attention_relevancy::ndarray::{Array1, Array2};
use attention_relevancy::{Explanation, ImageGrid, Target, TokenLayout, Update};
use gemma3_processor::find_keyword;
use gemma3_tch::{StopReason, available_memory, check_memory};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What is to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The last token of the answer.
    Last,
    /// The token at this position, counted from 0 over prompt and answer.
    Position(usize),
    /// A word or phrase of the answer, over as many tokens as it takes; case does not matter, and it must stand alone.
    Keyword {
        /// The word or phrase.
        word: String,
        /// Which occurrence, from 0.
        occurrence: usize,
    },
    /// The whole answer, without its thinking trace.
    Answer(SpanRule),
}

/// How several tokens make one explanation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SpanRule {
    /// The mean of the explanations of the tokens: nothing cancels.
    #[default]
    Mean,
    /// One explanation of the sum of their objectives: gradients add up first, so that tokens can cancel each other.
    Sum,
}

/// Which engine makes the explanations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The best that there is.
    #[default]
    Auto,
    /// Every attention kept: the reference.
    Retained,
    /// A reverse sweep that never stores attention.
    Streaming,
}

/// How an answer is explained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExplainOptions {
    /// The engine.
    pub engine: Engine,
    /// How a layer acts on the row.
    pub update: Update,
    /// The scalar that is differentiated.
    pub objective: Objective,
}

/// The explanation of one [`Ask`].
#[derive(Clone, Debug)]
pub struct TargetExplanation {
    text: String,
    rule: SpanRule,
    positions: Range<usize>,
    token_ids: Vec<u32>,
    scores: Vec<Score>,
    relevancy: Explanation,
    raw_attention: Array1<f32>,
    rollout: Array1<f32>,
}

/// The explanations of an answer, in the order asked.
#[derive(Clone, Debug)]
pub struct Explanations {
    /// One for each [`Ask`].
    pub targets: Vec<TargetExplanation>,
    /// With what they were made; the engine is never [`Engine::Auto`].
    pub options: ExplainOptions,
    /// What went otherwise than planned, for people.
    pub notes: Vec<String>,
    /// How long it took.
    pub duration: Duration,
}

impl Explainer {
    /// Explains the token at `position`, or the last one of the answer.
    pub fn explain(
        &self,
        answer: &Answer,
        position: Option<usize>,
        options: &ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        self.explain_one(answer, position.map_or(Ask::Last, Ask::Position), *options)
    }

    /// Explains occurrence `occurrence` (from 0) of a word or phrase in the answer: the mean over its tokens.
    pub fn explain_keyword(
        &self,
        answer: &Answer,
        word: &str,
        occurrence: usize,
        options: &ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        self.explain_one(answer, Ask::Keyword { word: word.to_owned(), occurrence }, *options)
    }

    /// Explains the whole answer.
    pub fn explain_answer_span(
        &self,
        answer: &Answer,
        rule: SpanRule,
        options: &ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        self.explain_one(answer, Ask::Answer(rule), *options)
    }

    /// Explains any number of things about one answer; they share one forward pass.
    pub fn explain_all(
        &self,
        answer: &Answer,
        asks: &[Ask],
        options: &ExplainOptions,
    ) -> Result<Explanations, Error> {
        let started = Instant::now();
        let spans =
            asks.iter().map(|ask| self.positions(answer, ask)).collect::<Result<Vec<_>, _>>()?;
        let targets: Vec<Vec<Target>> =
            spans.iter().map(|span| targets(answer, span)).collect::<Result<_, _>>()?;
        let plans: Vec<Plan<'_>> = asks
            .iter()
            .zip(&spans)
            .zip(&targets)
            .map(|((ask, span), targets)| Plan::new(ask, span, targets))
            .collect();
        let mut notes = Vec::new();
        let found = match options.engine {
            Engine::Retained => self.retained(answer, &plans, *options)?,
            Engine::Auto | Engine::Streaming => {
                self.streaming(answer, &plans, *options, &mut notes)?
            }
        };
        let explained =
            plans.iter().zip(found).map(|(plan, found)| plan.explanation(answer, found));
        let targets = explained.collect::<Result<_, _>>()?;
        let engine =
            if options.engine == Engine::Retained { Engine::Retained } else { Engine::Streaming };
        Ok(Explanations {
            targets,
            options: ExplainOptions { engine, ..*options },
            notes,
            duration: started.elapsed(),
        })
    }

    fn retained(
        &self,
        answer: &Answer,
        plans: &[Plan<'_>],
        options: ExplainOptions,
    ) -> Result<Vec<Found>, Error> {
        let tokens = answer.tokens.len();
        let needed = self.inspection.retained_bytes(self.model.kind(), tokens);
        check_memory(
            &format!("keeping the attention of {tokens} tokens"),
            needed,
            available_memory(),
        )?;
        Ok(find(&Retained::run(&self.model, &answer.sequence)?, plans, options)?)
    }

    /// Starts from the states that were kept while the answer was generated, or makes them.
    fn streaming(
        &self,
        answer: &Answer,
        plans: &[Plan<'_>],
        options: ExplainOptions,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Found>, Error> {
        let made;
        let states = if let Some(states) = &answer.states {
            states
        } else {
            made = States::of(&self.model, &answer.sequence, self.keep(answer.tokens.len())?)?;
            &made
        };
        let kept = states.bytes();
        let sweep = |memory_budget| {
            let options_of_sweep = SweepOptions { memory_budget, cancel: self.cancel.clone() };
            let ids = answer.sequence.ids();
            find(&Streaming::new(&self.model, ids, states, options_of_sweep), plans, options)
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
        options: ExplainOptions,
    ) -> Result<TargetExplanation, Error> {
        let explanations = self.explain_all(answer, &[ask], &options)?;
        Ok(explanations.targets.into_iter().next().expect("one was asked for"))
    }

    /// The tokens that an ask is about, as positions in the sequence.
    fn positions(&self, answer: &Answer, ask: &Ask) -> Result<Range<usize>, Error> {
        if let Ask::Position(position) = ask {
            return check_position(answer, *position).map(|()| *position..position + 1);
        }
        let span = answer.positions();
        if span.is_empty() {
            return Err(Error::NoAnswer { reason: why_empty(answer) });
        }
        match ask {
            Ask::Position(_) | Ask::Last => Ok(span.end - 1..span.end),
            Ask::Keyword { word, occurrence } => {
                let generated = &answer.generated.tokens[span.start - answer.prepared.ids.len()..];
                let spelled = self.processor.tokenizer().spans(generated);
                let found = find_keyword(&spelled, word, *occurrence, true)?;
                Ok(span.start + found.start..span.start + found.end)
            }
            Ask::Answer(_) => Ok(span),
        }
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
        StopReason::Limit | StopReason::Caller => "no token was asked for",
    }
}

/// The tokens at `positions` as targets.
fn targets(answer: &Answer, positions: &Range<usize>) -> Result<Vec<Target>, Error> {
    let ids = &answer.sequence.ids()[positions.clone()];
    let targets = positions.clone().zip(ids).map(|(position, &id)| Target::new(position, id));
    Ok(targets.collect::<Result<_, _>>()?)
}

/// The budget of the user is for the sweep and what was kept for it.
fn with_kept(error: attention_capture::Error, kept: u64) -> attention_capture::Error {
    match error {
        attention_capture::Error::Budget { budget, smallest } => {
            attention_capture::Error::Budget { budget: budget + kept, smallest: smallest + kept }
        }
        error => error,
    }
}

/// How one ask is answered: by which goals, which then are averaged.
struct Plan<'a> {
    positions: &'a Range<usize>,
    targets: &'a [Target],
    rule: SpanRule,
    goals: Vec<Goal>,
}

/// What an engine found out for one plan.
struct Found {
    scores: Vec<Score>,
    parts: Vec<Attribution>,
}

impl<'a> Plan<'a> {
    fn new(ask: &Ask, positions: &'a Range<usize>, targets: &'a [Target]) -> Self {
        let rule = match ask {
            Ask::Answer(rule) => *rule,
            _ => SpanRule::Mean,
        };
        let goals = match rule {
            SpanRule::Sum => Goal::sum(targets.to_vec()).into_iter().collect(),
            SpanRule::Mean => targets.iter().map(|&target| Goal::token(target)).collect(),
        };
        Self { positions, targets, rule, goals }
    }

    fn explanation(&self, answer: &Answer, found: Found) -> Result<TargetExplanation, Error> {
        let mean = |row: fn(&Attribution) -> &Array1<f32>| mean(found.parts.iter().map(row));
        Ok(TargetExplanation {
            text: text(answer, self.positions),
            rule: self.rule,
            positions: self.positions.clone(),
            token_ids: self.targets.iter().map(|target| target.token()).collect(),
            relevancy: Explanation::new(
                self.targets.to_vec(),
                mean(|part| &part.relevancy),
                layout(answer)?,
            )?,
            raw_attention: mean(|part| &part.raw_attention),
            rollout: mean(|part| &part.rollout),
            scores: found.scores,
        })
    }
}

/// Asks the engine about all plans together, so that their goals share its work.
fn find(
    engine: &dyn attention_capture::Engine,
    plans: &[Plan<'_>],
    options: ExplainOptions,
) -> Result<Vec<Found>, attention_capture::Error> {
    let targets: Vec<Target> = plans.iter().flat_map(|plan| plan.targets).copied().collect();
    let goals: Vec<Goal> = plans.iter().flat_map(|plan| plan.goals.clone()).collect();
    let mut scores = engine.scores(&targets)?.into_iter();
    let mut parts = engine.explain(&goals, options.objective, options.update)?.into_iter();
    let found = plans.iter().map(|plan| Found {
        scores: scores.by_ref().take(plan.targets.len()).collect(),
        parts: parts.by_ref().take(plan.goals.len()).collect(),
    });
    Ok(found.collect())
}

/// What the tokens spell; their names where they spell nothing.
fn text(answer: &Answer, positions: &Range<usize>) -> String {
    let spelled = answer.text_of(positions).trim();
    if spelled.is_empty() {
        answer.tokens[positions.clone()].iter().map(|token| token.text.as_str()).collect()
    } else {
        spelled.to_owned()
    }
}

/// Text and image grids of a sequence.
fn layout(answer: &Answer) -> Result<TokenLayout, Error> {
    let grids = answer.prepared.images.iter().map(|image| {
        let [rows, columns] = image.grid;
        (image.span.clone(), ImageGrid { image: image.picture, rows, columns })
    });
    Ok(TokenLayout::from_images(answer.tokens.len(), grids)?)
}

/// The mean of rows `[S]`, at least one, summed in double precision.
fn mean<'a>(rows: impl ExactSizeIterator<Item = &'a Array1<f32>>) -> Array1<f32> {
    let n_rows = rows.len() as f64;
    let sum =
        rows.map(|row| row.mapv(f64::from)).reduce(|sum, row| sum + row).expect("at least one row");
    sum.mapv(|sum| (sum / n_rows) as f32)
}

impl TargetExplanation {
    /// The explained text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// How its tokens make one explanation.
    pub fn rule(&self) -> SpanRule {
        self.rule
    }

    /// Positions of the explained tokens.
    pub fn positions(&self) -> Range<usize> {
        self.positions.clone()
    }

    /// The explained tokens.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// How the model rated each of them.
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }

    /// Sum of the tokens' logits: the objective that the published rule differentiates.
    pub fn logit(&self) -> f32 {
        self.scores.iter().map(|score| score.logit).sum()
    }

    /// Logarithm of the probability of all the tokens, one after the other.
    pub fn log_probability(&self) -> f32 {
        self.scores.iter().map(|score| score.log_probability).sum()
    }

    /// Probability of all the tokens, one after the other.
    pub fn probability(&self) -> f32 {
        self.log_probability().exp()
    }

    /// The probability for people: `0.983`, or `3e-18` where decimals would hide it.
    pub fn probability_text(&self) -> String {
        match self.probability() {
            small if small < 0.001 => format!("{small:.0e}"),
            probability => format!("{probability:.3}"),
        }
    }

    /// The raw relevancy row with its layout: shares, text, normalised forms.
    pub fn relevancy(&self) -> &Explanation {
        &self.relevancy
    }

    /// Raw relevancy of image `image` (counted over pictures and their crops) `[rows, columns]`; `None` past the last.
    pub fn image_relevancy(&self, image: usize) -> Option<Array2<f32>> {
        self.relevancy.image_grid(image)
    }

    /// Baseline: head mean of the last layer's attention `[S]` at the predicting position.
    pub fn raw_attention(&self) -> &Array1<f32> {
        &self.raw_attention
    }

    /// Baseline: attention rollout `[S]` at the predicting position.
    pub fn rollout(&self) -> &Array1<f32> {
        &self.rollout
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "retained" => Ok(Self::Retained),
            "streaming" => Ok(Self::Streaming),
            _ => Err(format!("unknown engine {text:?}; use auto, streaming or retained")),
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Retained => "retained",
            Self::Streaming => "streaming",
        })
    }
}

impl fmt::Display for SpanRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mean => "mean",
            Self::Sum => "sum",
        })
    }
}
