//! Answering a question, and how much is kept of the run that answers.

use crate::answer::longest_run;
use crate::error::Cause;
use crate::picture_cache;
use crate::{
    Answer, AnswerOptions, Error, Generated, Profile, Question, Request, Sampling, StopReason,
    Token, TokenKind,
};
use attention_capture::{Ledger, PatchStates, States};
use gemma3_processor::Prepared;
use gemma3_tch::{Features, GenerationOptions, Sequence};
use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

impl Request<'_> {
    /// Answers a question. `on_text` sees the text as it is made and may end the answer.
    pub fn answer(
        &self,
        question: Question,
        options: &AnswerOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, Error> {
        let prompted = self.prompted(&question)?;
        let (n_prompt, prompt) = (prompted.prepared.ids.len(), &prompted.prompt);
        let stop_ids =
            if options.stop { self.generation.eos_token_ids.clone() } else { Vec::new() };
        let generation = GenerationOptions {
            max_new_tokens: options.max_new_tokens,
            sampling: options.sampling.map(Sampling::of_model),
            stop_ids,
        };
        let mut stream = self.processor.tokenizer().stream();
        let mut on_token = |token| match stream.push(token) {
            _ if self.cancelled() => ControlFlow::Break(()),
            Some(text) => on_text(&text),
            None => ControlFlow::Continue(()),
        };
        // What is kept is of the run that made the answer, and a profile may explain another.
        let keep = if options.record && self.profile == Profile::Sound {
            let context = self.model.config().text.max_position_embeddings;
            let planned = longest_run(n_prompt, options.max_new_tokens, context);
            let pictures = prompted.patches.iter().map(PatchStates::bytes).sum();
            Some(self.ledger().keep_states(planned, pictures)?)
        } else {
            None
        };
        let started = Instant::now();
        let mut running = self.begun(prompt, &prompted.pictures, keep)?;
        let beginning = started.elapsed();
        let mut generated =
            self.model.generate(prompt, &generation, running.attend(), &mut on_token)?;
        generated.prefill += beginning;
        if let Some(text) = stream.finish() {
            let _ended = on_text(&text);
        }

        let sequence = prompt.followed_by(&generated.tokens);
        let recorder = running.recorder();
        let states = recorder.map(|recorder| States::recorded(recorder, &sequence)).transpose()?;
        Ok(self.answered(
            question,
            Some(*options),
            prompted,
            (Generated::new(generated), sequence, states),
        ))
    }

    /// Takes `text` for the answer, whatever the model would say: to explain what somebody wrote, or what the model did not say.
    /// The states of the layers are made when it is explained.
    ///
    /// # Errors
    /// As [`Request::answer`]; [`crate::ErrorKind::Question`] for a text that is none, or too long for the model.
    pub fn given(&self, question: Question, text: &str) -> Result<Answer, Error> {
        let tokens = self.processor.answer_ids(text)?;
        let prompted = self.prompted(&question)?;
        let (length, context) = (
            prompted.prepared.ids.len() + tokens.len(),
            self.model.config().text.max_position_embeddings,
        );
        if context < length {
            return Err(Cause::AnswerTooLong { tokens: length, context }.into());
        }
        let sequence = prompted.prompt.followed_by(&tokens);
        let [prefill, decode] = [Duration::ZERO; 2];
        let generated = Generated { tokens, stop: StopReason::Given, prefill, decode };
        Ok(self.answered(question, None, prompted, (generated, sequence, None)))
    }

    /// Runs the model over an answer once and keeps what its layers compute, so that explanations need no forward pass of their own: for
    /// an answer that was [given](Request::given) and will be explained more than once. Nothing is done for one that was recorded, and
    /// none of the answers of [`Profile::PythonProgram`] are.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Budget`] where the budget has no room for it, and what the model fails with.
    pub fn keep_states(&self, answer: &mut Answer) -> Result<(), Error> {
        if answer.states.is_some() || self.profile == Profile::PythonProgram {
            return Ok(());
        }
        let pictures = answer.patches.iter().map(PatchStates::bytes).sum();
        let keep = self.ledger().keep_states(answer.sequence.ids().len(), pictures)?;
        answer.states = Some(States::of(self.model, &answer.sequence, keep)?);
        Ok(())
    }

    /// Shares out the memory of the call.
    pub(crate) fn ledger(&self) -> Ledger<'_> {
        let keeps_pictures = self.keep_patches && self.profile == Profile::Sound;
        Ledger::new(self.model, self.memory_budget(), keeps_pictures)
    }

    /// What the model is given before the first token of an answer.
    pub(crate) fn prompted(&self, question: &Question) -> Result<Prompted, Error> {
        check_question(question)?;
        let started = Instant::now();
        let mut prepared = self.processor.prepare(&question.messages, &question.pictures)?;
        if self.profile == Profile::PythonProgram {
            repeat_bos(&mut prepared);
        }
        let preprocess = started.elapsed();
        let started = Instant::now();
        let pictures = match self.picture_cache() {
            Some(_) => prepared.pixels.iter().map(picture_cache::key).collect(),
            None => Vec::new(),
        };
        let (prompt, patches) = self.encode(&prepared, &pictures)?;
        prepared.pixels = Vec::new();
        Ok(Prompted { prepared, prompt, pictures, patches, preprocess, vision: started.elapsed() })
    }

    /// Prompt and pictures as the language model gets them, and what is kept of the pictures: of all of them or of none. `keys` name the
    /// pictures in the cache, where there is one.
    fn encode(
        &self,
        prepared: &Prepared,
        keys: &[String],
    ) -> Result<(Sequence, Vec<PatchStates>), Error> {
        let (mut features, mut patches) = (Vec::new(), Vec::new());
        let keep = self.ledger().keep_pictures(prepared.images.len())?;
        for (index, pixels) in prepared.pixels.iter().enumerate() {
            let look = || Ok::<_, Error>(Features::of(&self.model.encode_image(pixels)?));
            if let Some(keep) = keep {
                let states = PatchStates::of(self.model, &self.model.picture(pixels)?, keep)?;
                features.push(states.tokens(self.model)?);
                patches.push(states);
            } else if let Some(cache) = self.picture_cache() {
                features.push(cache.features(&keys[index], look)?.tokens());
            } else {
                features.push(look()?.tokens());
            }
        }
        let spans = prepared.images.iter().map(|image| image.span.clone()).collect();
        Ok((self.model.sequence(prepared.ids.clone(), spans, features)?, patches))
    }

    /// An answer with every token named.
    fn answered(
        &self,
        question: Question,
        options: Option<AnswerOptions>,
        Prompted { prepared, patches, preprocess, vision, .. }: Prompted,
        (generated, sequence, states): (Generated, Sequence, Option<States>),
    ) -> Answer {
        let (sequence, states) = match self.profile {
            Profile::Sound => (sequence, states),
            Profile::PythonProgram => (sequence.with_causal_images(), None),
        };
        let n_prompt = prepared.ids.len();
        let split = self.processor.tokenizer().split_trace(&generated.tokens);
        let proper = n_prompt + split.answer.start..n_prompt + split.answer.end;
        let (tokens, text) = self.tokens(&prepared, &generated);
        Answer {
            question,
            options,
            prepared,
            sequence,
            states,
            patches,
            generated,
            tokens,
            text,
            proper,
            preprocess,
            vision,
            mean: OnceCell::new(),
        }
    }

    /// Every token of prompt and answer, and the generated text.
    fn tokens(&self, prepared: &Prepared, generated: &Generated) -> (Vec<Token>, String) {
        let tokenizer = self.processor.tokenizer();
        let spelled = tokenizer.spans(&generated.tokens);
        let image =
            |position: &usize| prepared.images.iter().any(|image| image.span.contains(position));
        let prompt = prepared.ids.iter().enumerate().map(|(position, &id)| {
            let kind = if image(&position) { TokenKind::Image } else { TokenKind::Prompt };
            Token { position, id, text: tokenizer.label(id), kind, span: None }
        });
        let answer =
            generated.tokens.iter().zip(spelled.spans).enumerate().map(|(index, (&id, span))| {
                let (position, text) = (prepared.ids.len() + index, tokenizer.label(id));
                Token { position, id, text, kind: TokenKind::Answer, span: Some(span) }
            });
        (prompt.chain(answer).collect(), spelled.text)
    }
}

/// A question as the model gets it, and the time that took.
pub(crate) struct Prompted {
    prepared: Prepared,
    pub(crate) prompt: Sequence,
    /// What names the pictures in the cache of the call; empty where it has none.
    pictures: Vec<String>,
    patches: Vec<PatchStates>,
    preprocess: Duration,
    vision: Duration,
}

/// Puts a second `<bos>` before the first one.
fn repeat_bos(prepared: &mut Prepared) {
    prepared.ids.insert(0, prepared.ids[0]);
    for image in &mut prepared.images {
        image.span = image.span.start + 1..image.span.end + 1;
    }
}

pub(crate) fn check_question(question: &Question) -> Result<(), Error> {
    let blank = |text: &str| text.trim().is_empty();
    if blank(&question.prompt()) {
        return Err(Cause::EmptyPrompt.into());
    }
    if question.system().is_some_and(blank) {
        return Err(Cause::EmptySystem.into());
    }
    Ok(())
}
