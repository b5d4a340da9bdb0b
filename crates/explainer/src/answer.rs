//! A question, and the model's answer to it with every token named.

use attention_capture::{PatchStates, States};
use explanation_record::image::RgbImage;
use explanation_record::{Shown, Token, template_tokens};
use gemma3_processor::{Message, Picture, Prepared, Role};
use gemma3_tch::Sequence;
use relevancy_visualization::Placement;
use std::cell::OnceCell;
use std::ops::Range;
use std::time::Duration;

use crate::setters::setters;
use crate::{Generated, Sampling};

/// Pictures and messages for the model.
///
/// ```
/// use medgemma_explainer::{Content, Message, Picture, Question, RgbImage, Role};
///
/// let picture = || Picture::from_rgb(RgbImage::new(64, 64));
/// let question = Question::new(vec![picture()?], "Is there an effusion?").with_system("Be brief.");
/// assert_eq!(question.prompt(), "Is there an effusion?");
///
/// // Pictures and texts in turn: what stands before which.
/// let text = |text: &str| Content::Text(text.to_owned());
/// let content = vec![text("Prior:"), Content::Image, text("Current:"), Content::Image, text("Compare them.")];
/// let pair = Question::from_messages(vec![picture()?, picture()?], vec![Message { role: Role::User, content }]);
/// assert_eq!(pair.prompt(), "Prior: Current: Compare them.");
/// # Ok::<(), medgemma_explainer::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Question {
    /// The pictures, in the order in which the messages show them.
    pub pictures: Vec<Picture>,
    /// The conversation; the model is to speak next.
    pub messages: Vec<Message>,
}

setters!(Question {
    with_pictures = pictures: Vec<Picture>,
});

impl Question {
    /// One text about some pictures, which stand before it.
    pub fn new(pictures: Vec<Picture>, prompt: impl Into<String>) -> Self {
        let messages = vec![Message::user(pictures.len(), prompt)];
        Self { pictures, messages }
    }

    /// A conversation that shows some pictures, in the order in which the messages do.
    pub fn from_messages(pictures: Vec<Picture>, messages: Vec<Message>) -> Self {
        Self { pictures, messages }
    }

    /// The question with a system prompt; Gemma3's template puts it before the first text of the user.
    #[must_use]
    pub fn with_system(mut self, system: impl Into<String>) -> Self {
        self.messages.insert(0, Message::system(system));
        self
    }

    /// The texts of the last turn, joined by spaces, without those that number slices.
    pub fn prompt(&self) -> String {
        let slices = self.pictures.iter().filter_map(|picture| picture.provenance().slice);
        let labels: Vec<String> = slices.map(|slice| slice.label()).collect();
        let texts = self.messages.last().into_iter().flat_map(Message::texts);
        let is_asked = |text: &&str| !labels.iter().any(|label| label == text);
        texts.filter(is_asked).collect::<Vec<_>>().join(" ")
    }

    /// The system prompt.
    pub fn system(&self) -> Option<&str> {
        let first = self.messages.first().filter(|message| message.role == Role::System);
        first.and_then(|message| message.texts().next())
    }
}

/// How an answer is generated.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AnswerOptions {
    /// The most tokens that are made.
    pub max_new_tokens: usize,
    /// How tokens are drawn; `None`: always the most likely one.
    pub sampling: Option<Sampling>,
    /// Whether the checkpoint's stop tokens end the answer; otherwise only the limit does.
    pub stop: bool,
    /// Whether what the layers compute is kept, so that an explanation needs no forward pass of its own.
    pub record: bool,
}

setters!(AnswerOptions {
    with_max_new_tokens = max_new_tokens: usize,
    with_sampling = sampling: Option<Sampling>,
    with_stop = stop: bool,
    with_record = record: bool,
});

impl Default for AnswerOptions {
    fn default() -> Self {
        Self { max_new_tokens: 300, sampling: None, stop: true, record: true }
    }
}

/// An answer, generated or given. It serves any number of explanations.
#[derive(Debug)]
pub struct Answer {
    pub(crate) question: Question,
    /// How it was generated; `None` if it was given.
    pub(crate) options: Option<AnswerOptions>,
    pub(crate) prepared: Prepared,
    /// Prompt and answer with the image features.
    pub(crate) sequence: Sequence,
    /// What the layers computed, where it was recorded.
    pub(crate) states: Option<States>,
    /// What is kept of the pictures ([`crate::LoadOptions::keep_patches`]): of all images or of none.
    pub(crate) patches: Vec<PatchStates>,
    pub(crate) generated: Generated,
    pub(crate) tokens: Vec<Token>,
    /// Everything that was generated, as text.
    pub(crate) text: String,
    /// The tokens of the answer proper, without the thinking trace: positions in the sequence.
    pub(crate) proper: Range<usize>,
    pub(crate) preprocess: Duration,
    pub(crate) vision: Duration,
    /// The same with the mean picture instead of the pictures; made when it is first needed.
    pub(crate) mean: OnceCell<Sequence>,
}

/// Tokens that a run can have, prompt and answer: no answer goes beyond the model's context.
pub(crate) fn longest_run(prompt: usize, max_new_tokens: usize, context: usize) -> usize {
    prompt.saturating_add(max_new_tokens).min(context.max(prompt))
}

impl Answer {
    /// Bytes that it holds: states of layers and of the vision tower, and the pixels of its pictures.
    pub fn kept_bytes(&self) -> u64 {
        let patches: u64 = self.patches.iter().map(PatchStates::bytes).sum();
        let pictures = self.question.pictures.iter().map(|picture| picture.rgb().len() as u64);
        self.states.as_ref().map_or(0, States::bytes) + patches + pictures.sum::<u64>()
    }

    /// What was asked.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// How it was generated; `None` for an answer that was given.
    pub fn options(&self) -> Option<&AnswerOptions> {
        self.options.as_ref()
    }

    /// Prompt and pictures as the model got them.
    pub fn prepared(&self) -> &Prepared {
        &self.prepared
    }

    /// Bytes that are kept of its images, crops included: of all of them or of none ([`crate::LoadOptions::keep_patches`]).
    pub fn patch_bytes(&self) -> u64 {
        self.patches.iter().map(PatchStates::bytes).sum()
    }

    /// Tokens that its run was planned for in a model of this context, prompt and answer.
    pub(crate) fn planned(&self, context: usize) -> usize {
        let generated = self.options.as_ref().filter(|_| self.states.is_some());
        generated.map_or(self.sequence.ids().len(), |options| {
            longest_run(self.prepared.ids.len(), options.max_new_tokens, context)
        })
    }

    /// All tokens, prompt first.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The generated tokens as they came, with the reason why they ended and the time they took.
    pub fn generated(&self) -> &Generated {
        &self.generated
    }

    /// All generated text: a thinking trace, if there is one, and the answer.
    pub fn generated_text(&self) -> &str {
        &self.text
    }

    /// Positions of the answer's tokens, without the thinking trace.
    pub fn positions(&self) -> Range<usize> {
        self.proper.clone()
    }

    /// The answer's text, without the thinking trace.
    pub fn text(&self) -> &str {
        self.text_of(&self.proper)
    }

    /// The thinking trace's text; empty when the model did not think aloud.
    pub fn trace(&self) -> &str {
        self.text_of(&(self.prepared.ids.len()..self.proper.start))
    }

    /// The generated text that the tokens at `positions` spell.
    pub fn text_of(&self, positions: &Range<usize>) -> &str {
        let spans = self.tokens[positions.clone()].iter().filter_map(|token| token.span.clone());
        let whole = spans
            .filter(|span| !span.is_empty())
            .reduce(|whole, span| whole.start..whole.end.max(span.end));
        &self.text[whole.unwrap_or(0..0)]
    }

    /// For each token of the sequence whether the chat template wrote it, and not a person or the model.
    pub fn by_template(&self) -> Vec<bool> {
        template_tokens(&self.tokens)
    }
}

impl Shown for Answer {
    fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    fn images(&self) -> usize {
        self.prepared.images.len()
    }

    fn picture(&self, image: usize) -> &RgbImage {
        self.question.pictures[self.prepared.images[image].picture].rgb()
    }

    fn placement(&self, image: usize) -> Placement {
        let region = self.prepared.images[image].geometry.region;
        Placement {
            x0: region.x,
            y0: region.y,
            x1: region.x + region.width,
            y1: region.y + region.height,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_is_planned_beyond_the_context() {
        for (prompt, new, context, expected) in [
            (280, 300, 2048, 580),
            (280, 1 << 31, 2048, 2048),
            (280, usize::MAX, 2048, 2048),
            (3000, 1, 2048, 3000),
        ] {
            assert_eq!(longest_run(prompt, new, context), expected);
        }
    }
}
