//! The same words of the same answer, explained with another model: what fine-tuning changed, what quantising changed.

use std::ops::Range;
use std::time::{Duration, Instant};

use explanation_record::{Counterpart, OtherModel, Presentation, TokenKind};
use gemma3_tch::Sequence;

use crate::error::Cause;
use crate::identity::Identity;
use crate::{Answer, Error, Explainer, Explanations, Profile, Request, TargetExplanation};

/// The targets of an answer explained with another model than the one that gave it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Counterparts {
    /// One for each of [`Explanations::targets`].
    pub targets: Vec<Counterpart>,
    /// How long it took, the pictures included.
    pub duration: Duration,
    identity: Identity,
    dtype: String,
}

impl Counterparts {
    /// The other model for people, with its adapters.
    pub fn name(&self) -> String {
        self.identity.name()
    }

    pub(crate) fn document(&self, presentation: &Presentation) -> OtherModel {
        OtherModel {
            model: self.identity.record(presentation),
            dtype: self.dtype.clone(),
            seconds: self.duration.as_secs_f64(),
        }
    }
}

impl Request<'_> {
    /// Explains the targets once more with the model `other`: same tokens of prompt and answer, same options, its own look at the pictures.
    /// A token that was set against its runner-up is set against the same token here, whichever the other model would choose.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Argument`] where the other model has other tokens or no place for the pictures, and what explaining may fail with.
    pub fn counterparts(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        other: &Explainer,
    ) -> Result<Counterparts, Error> {
        let started = Instant::now();
        if self.profile == Profile::PythonProgram {
            return Err(Cause::CompareReproduced.into());
        }
        self.check_tokens(answer, other)?;
        let other = other.within(self.context);
        let found = other.explained_on(
            &other.seen(answer)?,
            answer,
            (&explanations.targets, &explanations.options),
        )?;
        let counterpart = |found: TargetExplanation| Counterpart {
            relevancy: found.relevancy().relevancy().to_owned(),
            is_empty: found.is_empty(),
            image_share: found.relevancy().shares().map(|shares| shares.image()),
            token_log_probabilities: found
                .scores()
                .iter()
                .map(|score| score.log_probability)
                .collect(),
        };
        Ok(Counterparts {
            targets: found.into_iter().map(counterpart).collect(),
            duration: started.elapsed(),
            identity: other.identity()?,
            dtype: other.inspection().dtype(),
        })
    }

    /// Checks that every token of prompt and answer is the same token of the other model.
    fn check_tokens(&self, answer: &Answer, other: &Explainer) -> Result<(), Error> {
        let [own, its] = [self.processor.tokenizer(), other.processor.tokenizer()];
        let vocabulary = other.model.config().text.vocab_size;
        let words = answer.tokens().iter().filter(|token| token.kind != TokenKind::Image);
        let different = |&id: &u32| vocabulary <= id as usize || own.label(id) != its.label(id);
        match words.map(|token| token.id).find(different) {
            None => Ok(()),
            Some(id) => Err(Cause::OtherTokens { id, label: own.label(id) }.into()),
        }
    }

    /// Prompt and answer as this model sees them, with its own features of the pictures in the places of `answer`.
    fn seen(&self, answer: &Answer) -> Result<Sequence, Error> {
        let mut features = Vec::new();
        for picture in &answer.question.pictures {
            for pixels in self.processor.pixels(picture)? {
                features.push(self.model.encode_image(&pixels)?);
            }
        }
        let spans: Vec<Range<usize>> = answer.sequence.images().to_vec();
        let wanted: Vec<usize> = spans.iter().map(Range::len).collect();
        let found: Vec<usize> = features.iter().map(|rows| rows.size()[0] as usize).collect();
        if found != wanted {
            return Err(Cause::OtherImages { wanted, found }.into());
        }
        Ok(self.model.sequence(answer.sequence.ids().to_vec(), spans, features)?)
    }
}
