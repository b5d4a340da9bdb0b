//! From rendered prompt to token ids: guards against forged control tokens, image expansion, image spans.

use std::ops::Range;
use std::path::Path;

use crate::Error;
use crate::config::ImageFacts;
use crate::message::{Message, Role};
use crate::template::ChatTemplate;
use crate::tokenizer::TextTokenizer;

/// The words of the tokenizer that make an image.
#[derive(Debug)]
pub(crate) struct ImageWords {
    /// What the template writes for a picture.
    pub(crate) placeholder: String,
    /// What the processor writes in its place, once per view.
    sequence: String,
}

impl ImageWords {
    /// `\n\n<start_of_image><image_soft_token>…<end_of_image>\n\n` (`processing_gemma3.py`, transformers 5.23).
    pub(crate) fn new(facts: &ImageFacts, [begin, soft, end]: [String; 3]) -> Self {
        let soft = soft.repeat(facts.tokens_per_image);
        Self { sequence: format!("\n\n{begin}{soft}{end}\n\n"), placeholder: begin }
    }

    /// Replaces the n-th placeholder by the n-th picture and its crops.
    pub(crate) fn expand(&self, prompt: &str, crops: &[usize]) -> String {
        let mut parts = prompt.split(&self.placeholder);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for (part, &n_crops) in parts.zip(crops) {
            out += &self.picture(n_crops);
            out += part;
        }
        out
    }

    fn picture(&self, n_crops: usize) -> String {
        let sequence = &self.sequence;
        if n_crops == 0 {
            return sequence.clone();
        }
        let crops = vec![sequence.as_str(); n_crops].join(" ");
        format!(
            "Here is the original image {sequence} and here are some crops to help you see better {crops}"
        )
    }
}

/// Messages must say something, and show as many pictures as there are.
pub(crate) fn check_messages(messages: &[Message], pictures: usize) -> Result<(), Error> {
    if messages.is_empty() {
        return Err(Error::EmptyPrompt { message: 0 });
    }
    let empty = |message: &Message| {
        message.content.is_empty() || message.texts().any(|text| text.trim().is_empty())
    };
    if let Some(message) = messages.iter().position(empty) {
        return Err(Error::EmptyPrompt { message });
    }
    let expected: usize = messages.iter().map(Message::images).sum();
    if expected != pictures {
        return Err(Error::PictureCount { expected, found: pictures });
    }
    Ok(())
}

/// Tokens that structure a prompt: the special ones, and those the template writes other than white space.
///
/// transformers 5.23 draws the line in the same place (`_get_control_tokens`); it lets such text act as control
/// tokens unless asked otherwise, this crate refuses it.
pub(crate) fn control_tokens(
    tokenizer: &TextTokenizer,
    template: Option<&ChatTemplate>,
) -> Vec<String> {
    let source = template.map_or("", ChatTemplate::source);
    let structural = |token: &str| !token.trim().is_empty() && source.contains(token);
    let added = tokenizer.added_tokens();
    let mut tokens: Vec<String> = added
        .filter(|(token, special)| *special || structural(token))
        .map(|(token, _)| token)
        .collect();
    tokens.sort();
    tokens
}

/// Renders `messages` and makes sure that no text of theirs wrote a control token. Without a template the texts of a single message of
/// the user are what the model continues, behind the token `begin`.
pub(crate) fn render(
    template: Option<&ChatTemplate>,
    messages: &[Message],
    control: &[String],
    begin: &str,
) -> Result<String, Error> {
    for (message, text) in
        messages.iter().enumerate().flat_map(|(n, m)| m.texts().map(move |t| (n, t)))
    {
        if let Some(token) = control.iter().find(|token| text.contains(token.as_str())) {
            return Err(Error::ControlToken { message, token: token.clone() });
        }
    }
    let Some(template) = template else { return plain(messages, control, begin) };
    // Two texts side by side can still join to a token; then there are more than with harmless texts.
    let [prompt, harmless] = template.render(messages, "x")?;
    let count = |text: &str, token: &str| text.matches(token).count();
    match control.iter().find(|token| count(&prompt, token) > count(&harmless, token)) {
        Some(token) => Err(Error::JoinedControlToken { token: token.clone() }),
        None => Ok(prompt),
    }
}

/// The texts as they are, behind `begin`.
fn plain(messages: &[Message], control: &[String], begin: &str) -> Result<String, Error> {
    let [message] = messages else { return Err(Error::OneMessage) };
    if message.role != Role::User {
        return Err(Error::OneMessage);
    }
    let text: String = message.texts().collect();
    match control.iter().find(|token| text.contains(token.as_str())) {
        Some(token) => Err(Error::JoinedControlToken { token: token.clone() }),
        None => Ok(format!("{begin}{text}")),
    }
}

/// The template of this file must have written one placeholder per picture.
pub(crate) fn check_placeholders(
    prompt: &str,
    placeholder: &str,
    pictures: usize,
    template: &Path,
) -> Result<(), Error> {
    let path = template.to_path_buf();
    match prompt.matches(placeholder).count() {
        found if found == pictures => Ok(()),
        0 => Err(Error::NoPlaceholder { path, placeholder: placeholder.into() }),
        found => Err(Error::PlaceholderCount { path, expected: pictures, found }),
    }
}

/// Token ids of the expanded prompt, with exactly one beginning-of-sequence token.
pub(crate) fn encode(
    tokenizer: &TextTokenizer,
    text: &str,
    begin: (&str, u32),
) -> Result<Vec<u32>, Error> {
    // A template that writes the token itself must not get a second one from the tokenizer.
    let ids = if text.starts_with(begin.0) {
        tokenizer.encode(text)?
    } else {
        tokenizer.encode_sequence(text)?
    };
    let found = ids.iter().filter(|&&id| id == begin.1).count();
    if found != 1 || ids.first() != Some(&begin.1) {
        return Err(Error::BeginToken { token: begin.0.into(), found });
    }
    Ok(ids)
}

/// Positions of the image tokens, one span per image, found by id.
///
/// Each span must be as long as the model's images and stand between a begin and an end token.
pub(crate) fn image_spans(ids: &[u32], facts: &ImageFacts) -> Result<Vec<Range<usize>>, Error> {
    let mut spans = Vec::new();
    let mut start = 0;
    for run in ids.chunk_by(|&a, &b| (a == facts.image) == (b == facts.image)) {
        let end = start + run.len();
        if run[0] == facts.image {
            let wrapped = start > 0
                && ids[start - 1] == facts.boi
                && ids.get(end).is_some_and(|&id| id == facts.eoi);
            if !wrapped || run.len() != facts.tokens_per_image {
                return Err(Error::ImageSpan { start, end, expected: facts.tokens_per_image });
            }
            spans.push(start..end);
        }
        start = end;
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ImageFacts {
        ImageFacts { boi: 10, eoi: 11, image: 12, tokens_per_image: 4, grid: 2, image_size: 28 }
    }

    #[test]
    fn spans_are_found_by_id() {
        let ids = [2, 10, 12, 12, 12, 12, 11, 10, 12, 12, 12, 12, 11, 5];
        assert_eq!(image_spans(&ids, &facts()).unwrap(), [2..6, 8..12]);
        assert!(image_spans(&[], &facts()).unwrap().is_empty());
    }

    #[test]
    fn short_and_unwrapped_runs_are_errors() {
        for ids in [
            &[10, 12, 12, 12, 11][..],
            &[10, 12, 12, 12, 12],
            &[12, 12, 12, 12, 11],
            &[2, 12, 12, 12, 12, 11],
            &[10, 12, 12, 12, 12, 12, 12, 12, 12, 11],
        ] {
            let error = image_spans(ids, &facts()).unwrap_err();
            assert!(matches!(error, Error::ImageSpan { expected: 4, .. }), "{ids:?}");
        }
    }

    #[test]
    fn crops_are_announced_in_words() {
        let words = ImageWords::new(&facts(), ["<b>", "<i>", "<e>"].map(String::from));
        let seq = "\n\n<b><i><i><i><i><e>\n\n";
        assert_eq!(words.expand("x<b>y<b>z", &[0, 0]), format!("x{seq}y{seq}z"));
        let expected = format!(
            "Here is the original image {seq} and here are some crops to help you see better {seq} {seq}!"
        );
        assert_eq!(words.expand("<b>!", &[2]), expected);
    }
}
