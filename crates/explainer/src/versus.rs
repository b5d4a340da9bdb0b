//! A phrase of the answer against another in its place: which of them the model favours, and what speaks for each.

use crate::check::{check_backward, check_sinks};
use crate::compared;
use crate::error::Cause;
use crate::explain::too_many;
use crate::plan::{in_place_of, layout, text};
use crate::{Answer, Ask, Engine, Error, ExplainOptions, Request};
use attention_capture::{
    Attribution, Demand, Folding, Goal, Held, Retained, Room, Rules, States, Streaming,
    branch_targets, find_sinks,
};
use attention_relevancy::ndarray::{Array1, Array2, s};
use attention_relevancy::{Explanation, Objective, Score, Sinks, Target};
use explanation_record::{Phrase, Versus, log_probability_text};
use gemma3_tch::Sequence;
use std::ops::Range;
use std::time::{Duration, Instant};

/// One of two phrases, explained for itself: the gradient is that of the logarithm of its probability, summed over its tokens.
#[derive(Clone, Debug)]
pub struct PhraseExplanation {
    text: String,
    token_ids: Vec<u32>,
    scores: Vec<Score>,
    relevancy: Explanation,
}

/// A phrase of the answer against another that was put in its place.
///
/// Both stand behind the same beginning, as two branches of one sequence: its rows are over that beginning, then the tokens of the
/// phrase, then those of the other, and neither phrase sees the other.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersusExplanation {
    /// The phrase of the answer.
    pub phrase: PhraseExplanation,
    /// The phrase in its place.
    pub against: PhraseExplanation,
    contrast: Explanation,
    positions: Range<usize>,
    /// The attention sinks of its run, over the packed sequence, where [`ExplainOptions::sinks`] asks for them. At the tokens before the
    /// phrases they may be others than those of the answer: which dimensions are massive is asked of all tokens together.
    pub sinks: Option<Sinks>,
    pub(crate) notes: Vec<String>,
    /// How long it took.
    pub duration: Duration,
}

impl Request<'_> {
    /// Sets what `ask` finds in the answer against the phrase `against` in its place; of several places the first. The other phrase is
    /// written as it would stand there: with the spaces of the tokens that it replaces.
    ///
    /// Of the options it is the engine, the update, the backward rule, the attention sinks and the thinking trace that count; of heads, layers
    /// and points of a path that were asked for a note says that they do not: the objective is the logarithm of the
    /// probability of a whole phrase.
    ///
    /// # Errors
    /// What `ask` may fail with; [`crate::ErrorKind::Argument`] for a backward rule that is not there or a threshold for sinks that is none; [`crate::ErrorKind::Target`] for no phrase and for the same; [`crate::ErrorKind::Question`] where the other phrase
    /// does not fit, or cannot be written as plain text.
    pub fn explain_versus(
        &self,
        answer: &Answer,
        ask: &Ask,
        against: &str,
        options: &ExplainOptions,
    ) -> Result<VersusExplanation, Error> {
        let started = Instant::now();
        check_backward(options)?;
        check_sinks(options)?;
        let positions = self.positions(answer, ask, options.trace)?.swap_remove(0);
        let against = self.in_place(answer, &positions, against)?;
        let phrase = &answer.sequence.ids()[positions.clone()];
        let sequence = answer.sequence.forked(positions.start, [phrase, &against])?;
        let targets = branch_targets(&sequence)?;
        let mut notes = left_out(options);
        let found = match options.engine {
            Engine::Retained => self.versus_retained(&sequence, &targets, options)?,
            Engine::Auto | Engine::Streaming => {
                let how = (options, answer.patch_bytes());
                self.versus_streaming(&sequence, &targets, how, &mut notes)?
            }
        };
        notes.extend(found.sinks.as_ref().and_then(|sinks| too_many(sinks, sequence.ids().len())));
        let explanation = |targets: Vec<Target>, row| {
            let layout = layout(answer, sequence.ids().len())?;
            Ok::<_, Error>(Explanation::new(targets, row, layout)?)
        };
        let one = |text, targets: &[Target], scores, row| {
            let token_ids = targets.iter().map(|target| target.token()).collect();
            let relevancy = explanation(targets.to_vec(), row)?;
            Ok::<_, Error>(PhraseExplanation { text, token_ids, scores, relevancy })
        };
        let (text, other_text) = (text(answer, &positions), self.spelled(&against));
        let ([scores, other_scores], [row, other_row, joint]) = (found.scores, found.rows);
        Ok(VersusExplanation {
            phrase: one(text, &targets[0], scores, row)?,
            against: one(other_text, &targets[1], other_scores, other_row)?,
            contrast: explanation(targets.concat(), joint)?,
            positions,
            sinks: found.sinks,
            notes,
            duration: started.elapsed(),
        })
    }

    /// The tokens of a phrase that stands where those at `positions` do.
    fn in_place(
        &self,
        answer: &Answer,
        positions: &Range<usize>,
        against: &str,
    ) -> Result<Vec<u32>, Error> {
        let replaced = text(answer, positions);
        if against.trim().is_empty() {
            return Err(Cause::EmptyAgainst { phrase: replaced }.into());
        }
        let spelled = in_place_of(&answer.tokens[positions.clone()], against);
        let ids = self.processor.answer_ids(&spelled)?;
        if ids == answer.sequence.ids()[positions.clone()] {
            return Err(Cause::SamePhrase { phrase: replaced }.into());
        }
        let (length, context) =
            (positions.start + ids.len(), self.model.config().text.max_position_embeddings);
        if context < length {
            return Err(Cause::AnswerTooLong { tokens: length, context }.into());
        }
        Ok(ids)
    }

    /// What tokens spell, without white space around it.
    fn spelled(&self, ids: &[u32]) -> String {
        self.processor.tokenizer().decode(ids, true).trim().to_owned()
    }

    fn versus_retained(
        &self,
        sequence: &Sequence,
        targets: &[Vec<Target>; 2],
        options: &ExplainOptions,
    ) -> Result<Found, Error> {
        self.check_retained(sequence.ids().len())?;
        let run = Retained::run(self.model, sequence)?;
        let sinks = self.sinks(options, |threshold| run.sinks(threshold))?;
        let found = Found::new(&run, targets, &rules(options, sinks.as_ref()))?;
        Ok(Found { sinks, ..found })
    }

    /// The states are made anew: those of the answer know nothing of the other phrase.
    fn versus_streaming(
        &self,
        sequence: &Sequence,
        targets: &[Vec<Target>; 2],
        (options, pictures): (&ExplainOptions, u64),
        notes: &mut Vec<String>,
    ) -> Result<Found, Error> {
        let tokens = sequence.ids().len();
        let keep = self.ledger().keep_states(tokens, pictures)?;
        let states = States::of(self.model, sequence, keep)?;
        let images = sequence.images().len();
        let held = Held { images, pictures, planned: tokens, states: states.size() };
        let sinks = self.sinks(options, |threshold| find_sinks(&states, threshold))?;
        let rules = rules(options, sinks.as_ref());
        let (found, ran_out) =
            self.ledger().room(held, Demand::default())?.within(|room: Room<'_>| {
                let sweep = room.sweep(self.context.cancel.clone());
                let engine = Streaming::new(self.model, sequence.ids(), &states, sweep);
                Found::new(&engine, targets, &rules)
            })?;
        notes.extend(ran_out.map(|error| format!("{error}; repeated with smaller blocks")));
        Ok(Found { sinks, ..found })
    }
}

/// What the options ask for that a comparison of phrases does not have.
fn left_out(options: &ExplainOptions) -> Vec<String> {
    let asked = [
        (options.folding != Folding::default(), "over all layers and the mean of the heads"),
        (1 < options.path_points, "at the pictures alone, without further points of a path"),
    ];
    let told = asked.into_iter().filter(|(is_asked, _)| *is_asked);
    told.map(|(_, what)| format!("phrases were compared {what}")).collect()
}

/// The rules of all three explanations in a run with these attention sinks.
fn rules(options: &ExplainOptions, sinks: Option<&Sinks>) -> Rules {
    let (objective, folding) = (Objective::LogProbability, Folding::default());
    Rules { objective, folding, ..compared::rules(options, sinks) }
}

/// What an engine finds out.
struct Found {
    /// Of the tokens of each phrase.
    scores: [Vec<Score>; 2],
    /// Of the phrase, of the other, of one against the other, `[S]` each.
    rows: [Array1<f32>; 3],
    sinks: Option<Sinks>,
}

impl Found {
    /// All three explanations share a sweep.
    fn new(
        engine: &impl attention_capture::Engine,
        [phrase, against]: &[Vec<Target>; 2],
        rules: &Rules,
    ) -> Result<Self, attention_capture::Error> {
        let goals = [
            Goal::sum(phrase.clone()),
            Goal::sum(against.clone()),
            Goal::contrast(phrase.clone(), against.clone()),
        ];
        let goals = goals.map(|goal| goal.expect("neither phrase is empty"));
        let found = engine.explain(&goals, rules)?;
        let rows = <[Attribution; 3]>::try_from(found).expect("one for each goal");
        Ok(Self {
            scores: [engine.scores(phrase)?, engine.scores(against)?],
            rows: rows.map(|attribution| attribution.relevancy),
            sinks: None,
        })
    }
}

impl PhraseExplanation {
    /// The phrase.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its tokens.
    pub fn token_ids(&self) -> &[u32] {
        &self.token_ids
    }

    /// How the model rates each of them, behind those before it.
    pub fn scores(&self) -> &[Score] {
        &self.scores
    }

    /// Logarithm of the probability of all its tokens, one after the other.
    pub fn log_probability(&self) -> f32 {
        self.scores.iter().map(|score| score.log_probability).sum()
    }

    /// The same for people: `−5.017`, or `−5×10⁻⁴` where decimals would hide it.
    pub fn log_probability_text(&self) -> String {
        log_probability_text(self.log_probability())
    }

    /// What speaks for it: the raw relevancy row over the packed sequence, with its layout.
    pub fn relevancy(&self) -> &Explanation {
        &self.relevancy
    }
}

impl VersusExplanation {
    /// What a reader must know of how it was made; empty where there is nothing.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Where the phrase stands in the answer; its beginning is the end of what both phrases follow.
    pub fn positions(&self) -> Range<usize> {
        self.positions.clone()
    }

    /// How far the model favours the phrase: the logarithm of its probability less that of the other. Above zero it is the more
    /// likely of the two.
    pub fn log_ratio(&self) -> f32 {
        self.phrase.log_probability() - self.against.log_probability()
    }

    /// What speaks for the phrase rather than the other: the gradient is that of the difference of their log-probabilities, so that what
    /// speaks for both cancels before the positive part is taken. Over the packed sequence.
    pub fn contrast(&self) -> &Explanation {
        &self.contrast
    }

    /// Relevancy of the phrase less that of the other, signed, over the tokens before them `[positions().start]`.
    pub fn difference(&self) -> Array1<f32> {
        let before = s![..self.positions.start];
        let [phrase, against] =
            [&self.phrase, &self.against].map(|one| one.relevancy.relevancy().slice_move(before));
        &phrase - &against
    }

    /// [`VersusExplanation::difference`] at the cells of image `image` `[rows, columns]`; `None` past the last.
    pub fn image_difference(&self, image: usize) -> Option<Array2<f32>> {
        let [phrase, against] =
            [&self.phrase, &self.against].map(|one| one.relevancy.image_grid(image));
        Some(phrase? - against?)
    }
}

impl VersusExplanation {
    /// The same as a document has it, over the `tokens` tokens of prompt and answer: rows end where the sequence forks.
    pub(crate) fn document(&self, tokens: usize) -> Versus {
        let row = |explanation: &Explanation| {
            let mut row = Array1::zeros(tokens);
            let before = s![..self.positions.start];
            row.slice_mut(before).assign(&explanation.relevancy().slice(before));
            row
        };
        let phrase = |phrase: &PhraseExplanation| Phrase {
            text: phrase.text.clone(),
            token_ids: phrase.token_ids.clone(),
            token_log_probabilities: phrase
                .scores
                .iter()
                .map(|score| score.log_probability)
                .collect(),
            relevancy: row(&phrase.relevancy),
            is_empty: phrase.relevancy.is_empty(),
            image_share: image_share(&phrase.relevancy),
        };
        Versus {
            positions: self.positions.clone(),
            phrase: phrase(&self.phrase),
            against: phrase(&self.against),
            contrast: row(&self.contrast),
            image_share: image_share(&self.contrast),
        }
    }
}

fn image_share(explanation: &Explanation) -> Option<f32> {
    explanation.shares().map(|shares| shares.image())
}
