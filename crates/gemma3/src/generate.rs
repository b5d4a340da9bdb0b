//! Answering: the prompt in one go, then token by token on the cache.

use crate::sampling::{draw, greedy};
use crate::{
    AttentionLayer, DecoderTrace, Error, Fast, Gemma3, Layer, Sampling, Sequence, SequenceLayout,
    Watch, guard,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tch::{Kind, Tensor};

/// How an answer is generated.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationOptions {
    /// The most tokens that are made.
    pub max_new_tokens: usize,
    /// How a token is drawn; `None`: always the most likely one.
    pub sampling: Option<Sampling>,
    /// Tokens that end the answer. They are not part of it. Empty: only the limit ends it.
    pub stop_ids: Vec<u32>,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model made this stop token.
    Token(u32),
    /// `max_new_tokens` were made.
    Limit,
    /// The model's context is full.
    Context,
    /// The caller asked to stop.
    Caller,
}

/// An answer as token ids, with the time it took.
#[derive(Clone, Debug)]
pub struct Generated {
    /// The answer, without the stop token.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub stop: StopReason,
    /// From the embeddings of what `attend` had not seen of the prompt to its last logits.
    pub prefill: Duration,
    /// From there to the end.
    pub decode: Duration,
}

impl Gemma3 {
    /// Runs the tokens of a sequence up to `end` that `attend` has not seen ([`Attend::seen`](crate::Attend::seen)), and makes none:
    /// [`Gemma3::generate`] goes on from there, and so does whatever branches off.
    ///
    /// # Errors
    /// [`Error::Part`] where the part is empty, goes beyond the sequence, or cuts a picture.
    pub fn prefill(
        &self,
        sequence: &Sequence,
        end: usize,
        attend: &mut dyn Watch<DecoderTrace>,
    ) -> Result<(), Error> {
        let _no_grad = tch::no_grad_guard();
        let part = sequence.part(attend.seen()..end)?;
        guard("running the beginning of a prompt", || {
            let embeddings = self.embed_part(sequence, part.clone());
            drop(self.text().forward(&embeddings, part.start, sequence.layout(), attend));
        })
    }

    /// Generates an answer to `prompt`; `on_token` sees each token as it is made and may end the answer after it. `attend` must
    /// remember earlier tokens: a [`Cached`](crate::Cached), or an observer around one, which is new or has seen the beginning of the
    /// prompt ([`Gemma3::prefill`]).
    ///
    /// # Errors
    /// [`Error::Part`] where `attend` has seen all of the prompt, [`Error::NonFinite`] where the numbers break.
    pub fn generate(
        &self,
        prompt: &Sequence,
        options: &GenerationOptions,
        attend: &mut dyn Watch<DecoderTrace>,
        on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
    ) -> Result<Generated, Error> {
        let _no_grad = tch::no_grad_guard();
        let mut started = Instant::now();
        let part = prompt.part(attend.seen()..prompt.ids().len())?;
        let mut decoder = Decoder::new(self, attend, options.sampling);
        // Where the numbers break is looked for only when they did: the sequence is run once more, layer by layer.
        let locate =
            |error, tokens: &[u32]| self.locate_overflow(error, &prompt.followed_by(tokens));
        let mut next = decoder
            .step(|| self.embed_part(prompt, part), prompt.layout())
            .map_err(|error| locate(error, &[]))?;
        let prefill = started.elapsed();
        started = Instant::now();
        let (context, mut tokens) = (self.config().text.max_position_embeddings, Vec::new());
        let stop = loop {
            if tokens.len() == options.max_new_tokens {
                break StopReason::Limit;
            } else if options.stop_ids.contains(&next) {
                break StopReason::Token(next);
            } else if context <= prompt.ids().len() + tokens.len() {
                break StopReason::Context;
            }
            tokens.push(next);
            if on_token(next).is_break() {
                break StopReason::Caller;
            }
            if tokens.len() < options.max_new_tokens {
                let step = decoder.step(|| self.text().embed(&[next]), prompt.layout());
                next = step.map_err(|error| locate(error, &tokens))?;
            }
        };
        Ok(Generated { tokens, stop, prefill, decode: started.elapsed() })
    }

    /// Adds to [`Error::NonFinite`] the first layer whose output is not finite.
    fn locate_overflow(&self, error: Error, sequence: &Sequence) -> Error {
        let Error::NonFinite { position, .. } = error else { return error };
        let (embeddings, layout) = (self.embed(sequence), sequence.layout());
        let run = guard("looking for the overflow", || {
            let mut x = embeddings;
            self.text().layers().iter().position(|layer| {
                x = layer.forward(&x, 0, &layer.mask(layout), &mut Fast);
                !x.sum(Kind::Double).double_value(&[]).is_finite()
            })
        });
        Error::NonFinite { position, layer: run.ok().flatten() }
    }
}

/// The state of one generation.
struct Decoder<'m> {
    model: &'m Gemma3,
    attend: &'m mut dyn Watch<DecoderTrace>,
    position: usize,
    sampling: Option<(Sampling, ChaCha8Rng)>,
}

impl<'m> Decoder<'m> {
    fn new(
        model: &'m Gemma3,
        attend: &'m mut dyn Watch<DecoderTrace>,
        sampling: Option<Sampling>,
    ) -> Self {
        let sampling =
            sampling.map(|sampling| (sampling, ChaCha8Rng::seed_from_u64(sampling.seed)));
        let position = attend.seen();
        Self { model, attend, position, sampling }
    }

    /// Takes the embeddings `[n, D]` of the next `n` tokens of a sequence that begins with that layout, and returns the token that
    /// follows them.
    fn step(
        &mut self,
        embeddings: impl FnOnce() -> Tensor,
        layout: &SequenceLayout,
    ) -> Result<u32, Error> {
        let text = self.model.text();
        let (n, logits) = guard("generating", || {
            let hidden = text.forward(&embeddings(), self.position, layout, self.attend);
            let n = hidden.size()[0];
            let logits = text.logits(&hidden.narrow(0, n - 1, 1)).to_kind(Kind::Float).view([-1]);
            (n, Vec::<f32>::try_from(logits).expect("logits are float32 [V]"))
        })?;
        self.position += n as usize;
        if logits.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::NonFinite { position: self.position - 1, layer: None });
        }
        Ok(match &mut self.sampling {
            Some((sampling, random)) => draw(&logits, sampling, random),
            None => greedy(&logits),
        })
    }
}
