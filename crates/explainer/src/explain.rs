//! Explaining an answer.

use crate::check::check_backward;
use crate::compared::rules;
use crate::error::Cause;
use crate::finer::{Images, demand};
use crate::plan::{Found, Part, Plan, distribute, every_target, goals, in_place_of, text};
use crate::{
    Answer, Ask, Blank, Engine, Error, ExplainOptions, Explainer, Explanations, Profile, Request,
    Resolution, SinkOptions, SpanRule, compared, occurrence,
};
use attention_capture::{
    DepthRecorder, EachLayer, Engine as _, Goal, HeadRecorder, Held, ImageRecorder, LayerSwept,
    Observer, Occluder, Patches, Retained, Room, States, Streaming, SweepOptions, alternatives,
    find_sinks,
};
use attention_relevancy::{Foil, MethodRow, Objective, Occlusion, SinkFinder, Sinks};
use gemma3_tch::{Sequence, available_memory, check_memory};
use std::time::Instant;

impl Request<'_> {
    /// Explains any number of things about one answer; they share one forward pass. What the answer does not have, such as a keyword
    /// that does not occur in it, is told in [`Explanations::missing`], and the rest is explained.
    pub fn explain(
        &self,
        answer: &Answer,
        asks: &[Ask],
        options: &ExplainOptions,
    ) -> Result<Explanations, Error> {
        let started = Instant::now();
        if self.profile == Profile::PythonProgram && options.resolution != Resolution::Tokens {
            return Err(Cause::FinerReproduced.into());
        }
        let (mut spans, mut missing) = (Vec::new(), Vec::new());
        for ask in asks {
            match self.positions(answer, ask, options.trace) {
                Ok(found) => spans.extend(found),
                Err(error) => missing.push(error.into_missing(ask)?),
            }
        }
        let asked = spans.len();
        let words = answer.words(options.words).into_iter();
        spans.extend(words.filter(|word| !spans.contains(word)).collect::<Vec<_>>());
        let plan = |(index, positions)| Plan::new(answer, positions, options.span, index < asked);
        let plans: Vec<Plan> = spans.into_iter().enumerate().map(plan).collect::<Result<_, _>>()?;
        let mut notes = Vec::new();
        let mut run = Run {
            sequence: &answer.sequence,
            states: answer.states.as_ref(),
            images: Images::of(answer),
            planned: answer.planned(self.model.config().text.max_position_embeddings),
        };
        let made;
        if run.states.is_none() && options.engine != Engine::Retained {
            made = self.recorded(run)?;
            run.states = Some(&made);
        }
        let plans = match options.objective {
            Objective::Contrast(Foil::Alternatives) => self.with_alternatives(run, plans)?,
            _ => plans,
        };
        let (found, sinks) = self.found(run, &plans, options, &mut notes)?;
        notes.extend(sinks.as_ref().and_then(|sinks| too_many(sinks, answer.tokens.len())));
        let weights = self.token_weights(answer, (&plans, asked), &found, &mut notes)?;
        let explained = plans.into_iter().zip(found).zip(weights);
        let explained =
            explained.map(|((plan, found), weights)| plan.explanation(answer, found, weights));
        let mut targets = explained.collect::<Result<Vec<_>, _>>()?;
        occurrence::number(answer, &mut targets);
        let words = targets.split_off(asked);
        let engine =
            if options.engine == Engine::Retained { Engine::Retained } else { Engine::Streaming };
        Ok(Explanations {
            targets,
            missing,
            words,
            versus: Vec::new(),
            options: ExplainOptions { engine, ..options.clone() },
            sinks,
            notes,
            duration: started.elapsed(),
            reliance: None,
            certificate: None,
            control: None,
            counterparts: None,
        })
    }

    /// The same plans with what else could stand in the place of each token: one pass over the tokens beside pictures, whatever their
    /// number.
    fn with_alternatives(&self, run: Run<'_>, plans: Vec<Plan>) -> Result<Vec<Plan>, Error> {
        let targets = every_target(&plans);
        let found = alternatives(self.model, run.sequence, &targets, run.states)?;
        let mut foils = found.into_iter();
        let named = |plan: Plan| {
            let foils = foils.by_ref().take(plan.tokens()).collect();
            plan.with_foils(foils)
        };
        Ok(plans.into_iter().map(named).collect())
    }

    /// What the engine of the options finds out for each plan, and the attention sinks of the run, where they are asked for.
    pub(crate) fn found(
        &self,
        run: Run<'_>,
        plans: &[Plan],
        options: &ExplainOptions,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Found>, Option<Sinks>), Error> {
        check_backward(options)?;
        let has_pictures = !run.sequence.images().is_empty();
        self.check_occlusion(has_pictures, options)?;
        self.check_path(has_pictures, options)?;
        let (mut found, sinks) = match options.engine {
            Engine::Retained => self.retained(run.sequence, plans, options)?,
            Engine::Auto | Engine::Streaming => self.streaming(run, plans, options, notes)?,
        };
        if 1 < options.path_points {
            self.add_faded(run, plans, options, (&mut found, notes))?;
        }
        Ok((found, sinks))
    }

    /// Makes the relevancy the mean of that at the picture, which was found, and at the other points of the path to its mean cell. Each token
    /// is set against the same at all of them.
    fn add_faded(
        &self,
        run: Run<'_>,
        plans: &[Plan],
        options: &ExplainOptions,
        (found, notes): (&mut [Found], &mut Vec<String>),
    ) -> Result<(), Error> {
        let named = plans.iter().zip(found.iter());
        let plans: Vec<Plan> = named.map(|(plan, found)| plan.with_foils_of(found)).collect();
        let points = options.path_points;
        let options = ExplainOptions { path_points: 1, methods: Vec::new(), ..options.clone() };
        for point in 1..points {
            let sequence = run.sequence.faded(1.0 - point as f64 / points as f64);
            let planned = sequence.ids().len();
            let images = Images { shown: &[], ..run.images };
            let faded = Run { sequence: &sequence, states: None, images, planned };
            let (of_point, _) = self.found(faded, &plans, &options, notes)?;
            for (sum, found) in found.iter_mut().zip(&of_point) {
                sum.add_relevancy(found);
            }
        }
        for found in found {
            found.divide_relevancy(points);
        }
        Ok(())
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
        let blank = self.blank_scores(answer, &Blank::Mean, &every_target(plans))?;
        let mut blank = blank.into_iter().map(|score| score.log_probability);
        let mut all = Vec::new();
        for (index, (plan, found)) in plans.iter().zip(found).enumerate() {
            let with = found.scores.iter().map(|score| score.log_probability);
            let pmi: Vec<f32> =
                with.zip(blank.by_ref()).map(|(with, blank)| with - blank).collect();
            let weights = positive_parts(&pmi).filter(|_| 1 < pmi.len());
            if weights.is_none() && 1 < pmi.len() && index < asked {
                notes.push(format!(
                    "no token of {:?} gains from the picture: its tokens are weighted equally",
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
    ) -> Result<(Vec<Found>, Option<Sinks>), Error> {
        if options.by_layer {
            return Err(Cause::LayersRetained.into());
        }
        if options.by_head.is_some() {
            return Err(Cause::HeadsRetained.into());
        }
        if options.resolution != Resolution::Tokens {
            return Err(Cause::FinerRetained.into());
        }
        self.check_retained(sequence.ids().len())?;
        let engine = Retained::run(self.model, sequence)?;
        let passes = SweepOptions {
            memory_budget: self.memory_budget(),
            cancel: self.context.cancel.clone(),
        };
        let occlude = self.occlude(sequence, options.objective, passes);
        let sinks = self.sinks(options, |threshold| engine.sinks(threshold))?;
        let rules = &rules(options, sinks.as_ref());
        let how = compared::How { options, rules, occlude: &occlude };
        let parts = compared::retained(&engine, &goals(plans), &how)?;
        let parts = parts.into_iter().map(Part::new).collect();
        Ok((distribute(plans, engine.scores(&every_target(plans))?, parts), sinks))
    }

    /// The attention sinks of a run, where the options ask for them; `find` finds those above a threshold.
    pub(crate) fn sinks(
        &self,
        options: &ExplainOptions,
        find: impl FnOnce(f32) -> Result<Sinks, attention_capture::Error>,
    ) -> Result<Option<Sinks>, Error> {
        let Some(SinkOptions { threshold, .. }) = options.sinks else { return Ok(None) };
        let of_width = || SinkFinder::threshold(self.model.config().text.hidden_size);
        Ok(Some(find(threshold.unwrap_or_else(of_width))?))
    }

    /// Whether the machine has the memory for every attention of so many tokens.
    pub(crate) fn check_retained(&self, tokens: usize) -> Result<(), Error> {
        let needed = self.inspection.retained_bytes(tokens).of_model();
        let purpose = format!("keeping the attention of {tokens} tokens");
        Ok(check_memory(&purpose, needed, available_memory())?)
    }

    /// What is kept of a run, which is made for it.
    fn recorded(&self, Run { sequence, images, .. }: Run<'_>) -> Result<States, Error> {
        let keep = self.ledger().keep_states(sequence.ids().len(), images.kept_bytes())?;
        Ok(States::of(self.model, sequence, keep)?)
    }

    /// Starts from the states that were kept while the answer was generated, or makes them.
    fn streaming(
        &self,
        run: Run<'_>,
        plans: &[Plan],
        options: &ExplainOptions,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<Found>, Option<Sinks>), Error> {
        let goals = goals(plans);
        let Run { sequence, images, planned, .. } = run;
        let made;
        let states = if let Some(states) = run.states {
            states
        } else {
            made = self.recorded(run)?;
            &made
        };
        let held = Held {
            images: sequence.images().len(),
            pictures: images.kept_bytes(),
            planned,
            states: states.size(),
        };
        let room = self.ledger().room(held, demand(plans, images, options))?;
        let sinks = self.sinks(options, |threshold| find_sinks(states, threshold))?;
        let rules = &rules(options, sinks.as_ref());
        let sweep = |room: Room<'_>| {
            // What they leave at pictures waits for the end of the sweep.
            let is_finer = options.resolution != Resolution::Tokens;
            let pictures = if is_finer { images.shown.len() } else { 0 };
            let pictures = room.images_waiting(goals.len(), pictures);
            let ids = sequence.ids();
            let options_of_sweep = room.sweep(self.context.cancel.clone());
            let occlude = self.occlude(sequence, options.objective, options_of_sweep.clone());
            let engine = Streaming::new(self.model, ids, states, options_of_sweep);
            let mut progress =
                EachLayer(|swept: &LayerSwept<'_>| self.tell_progress(swept, goals.len()));
            let room = room.beside(goals.len() * pictures);
            let mut pictures = ImageRecorder::new(&engine, &(0..pictures).collect::<Vec<_>>())?;
            let mut depths = options.by_layer.then(|| DepthRecorder::new(&engine, &goals));
            let maps = options.by_head.map(|layer| self.head_layer(layer));
            let heads = maps.map(|layer| HeadRecorder::new(&engine, &goals, Some(layer)));
            let mut heads = heads.transpose()?;
            let mut observers: Vec<&mut dyn Observer> = vec![&mut progress, &mut pictures];
            observers.extend(depths.as_mut().map(|depths| depths as &mut dyn Observer));
            observers.extend(heads.as_mut().map(|heads| heads as &mut dyn Observer));
            let how = compared::How { options, rules, occlude: &occlude };
            let parts = compared::streaming(&engine, &goals, &how, &mut observers)?;
            let left = pictures.finish(parts.iter().map(|(attribution, _)| attribution));
            let mut parts: Vec<Part> = parts.into_iter().map(Part::new).collect();
            let depths = depths.into_iter().flat_map(DepthRecorder::finish);
            for (part, layers) in parts.iter_mut().zip(depths) {
                part.layers = Some(layers);
            }
            for (part, heads) in
                parts.iter_mut().zip(heads.into_iter().flat_map(HeadRecorder::finish))
            {
                part.heads = Some(heads);
            }
            let mut found = distribute(plans, engine.scores(&every_target(plans))?, parts);
            let finer = self.finer(images, (&engine, &left), plans, (options, rules, room))?;
            for (found, finer) in found.iter_mut().zip(finer) {
                found.finer = finer;
            }
            Ok(found)
        };
        let (found, ran_out) = room.within(sweep)?;
        notes.extend(ran_out.map(|error| format!("{error}; repeated with smaller blocks")));
        if options.resolution != Resolution::Tokens {
            let why = Patches::missing_kernel(self.model, options.update, options.backward);
            notes.extend(why.map(|why| {
                format!(
                    "the maps are right, but patches took longer than necessary on this GPU: {why}"
                )
            }));
        }
        Ok((found, sinks))
    }

    /// Takes cells of the pictures of a sequence away, in passes of these options, and tells how many are done.
    fn occlude<'a>(
        &'a self,
        sequence: &'a Sequence,
        objective: Objective,
        passes: SweepOptions,
    ) -> impl Fn(&[Goal], Occlusion) -> Result<Vec<MethodRow>, attention_capture::Error> + 'a {
        let occluder = Occluder::new(self.model, sequence, passes);
        move |goals, occlusion| {
            occluder.rows(goals, objective, occlusion, &mut |done, cells| {
                if let Some(observer) = &self.context.progress {
                    observer(done as u64, cells as u64);
                }
            })
        }
    }

    /// Layers of all goals, done and in all.
    fn tell_progress(&self, swept: &LayerSwept<'_>, goals: usize) {
        let Some(observer) = &self.context.progress else { return };
        let layers = self.model.config().text.num_hidden_layers;
        let (before, now) =
            (swept.goals.start * layers, swept.goals.len() * (layers - swept.layer));
        observer((before + now) as u64, (goals * layers) as u64);
    }
}

impl Explainer {
    /// The token that would begin `word` in the place of the first token that `ask` is about: what its logit is set against. A word of
    /// several tokens is known by its first one alone ([`NamedFoil::is_whole`]); a whole phrase is what
    /// [`Explainer::explain_versus`] compares with.
    ///
    /// # Errors
    /// What `ask` may fail with, and [`crate::ErrorKind::Target`] where both begin with the same token.
    pub fn foil(
        &self,
        answer: &Answer,
        ask: &Ask,
        word: &str,
        trace: bool,
    ) -> Result<NamedFoil, Error> {
        let position = self.positions(answer, ask, trace)?[0].start;
        let target = &answer.tokens[position];
        let ids = self.processor.answer_ids(&in_place_of(std::slice::from_ref(target), word))?;
        if ids[0] == target.id {
            let (word, token) = (word.to_owned(), target.text.clone());
            return Err(Cause::SameFoil { word, token }.into());
        }
        let token = self.processor.tokenizer().label(ids[0]);
        Ok(NamedFoil { foil: Foil::Token(ids[0]), token, is_whole: ids.len() == 1 })
    }
}

/// A word that a target is set against, as the one token that counts.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NamedFoil {
    /// For [`Objective::Contrast`].
    pub foil: Foil,
    /// The token's text.
    pub token: String,
    /// Whether the word is that one token; otherwise the token is its first, which other words may begin with too.
    pub is_whole: bool,
}

/// A run of the language model over a sequence, and what was kept of it.
#[derive(Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) sequence: &'a Sequence,
    /// `None`: they are made where they are needed.
    pub(crate) states: Option<&'a States>,
    pub(crate) images: Images<'a>,
    /// Tokens for which it was decided how much of the run is kept.
    pub(crate) planned: usize,
}

/// The positive parts divided by their sum; `None` where there is none.
fn positive_parts(values: &[f32]) -> Option<Vec<f32>> {
    let parts: Vec<f32> = values.iter().map(|value| value.max(0.0)).collect();
    let sum: f32 = parts.iter().sum();
    (0.0 < sum && sum.is_finite()).then(|| parts.iter().map(|part| part / sum).collect())
}

/// What is told where at least half of the tokens of a run are attention sinks: few should be.
pub(crate) fn too_many(sinks: &Sinks, tokens: usize) -> Option<String> {
    let (found, threshold) = (sinks.tokens.len(), sinks.threshold_text());
    (0 < found && tokens <= 2 * found).then(|| {
        format!(
            "{found} of {tokens} tokens are attention sinks by a threshold of {threshold}, which does not tell few tokens from many; \
             a higher one may"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use attention_relevancy::ndarray::{array, s};

    #[test]
    fn half_of_the_tokens_are_too_many_sinks() {
        let hidden = array![[9.0, 0.1, 0.1, 0.1], [0.1, 9.0, 0.1, 0.1], [1.0, 1.0, 1.0, 1.0]];
        let mut finder = SinkFinder::new(1.5);
        finder.see(1, 3, |tokens| hidden.slice(s![tokens, ..]).to_owned());
        let sinks = finder.finish();
        assert_eq!(sinks.positions(), [0, 1]);
        let told = |tokens| too_many(&sinks, tokens);
        assert!(told(4).unwrap().starts_with("2 of 4 tokens"), "{:?}", told(4));
        assert_eq!(told(5), None);
        assert_eq!(too_many(&SinkFinder::new(1.5).finish(), 0), None);
    }

    #[test]
    fn weights_are_the_positive_parts_and_sum_to_one() {
        assert_eq!(positive_parts(&[3.0, -2.0, 1.0]), Some(vec![0.75, 0.0, 0.25]));
        assert_eq!(positive_parts(&[-1.0, 0.0]), None);
        assert_eq!(positive_parts(&[f32::NAN]), None);
    }
}
