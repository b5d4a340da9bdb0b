//! The tokens of prompt and answer, and which of them the chat template wrote: those draw much relevancy, whatever was asked, and say
//! little.

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// What a token of the sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(any(test, feature = "schema"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TokenKind {
    /// Text or control token of the prompt.
    Prompt,
    /// A cell of a picture.
    Image,
    /// Made by the model; its thinking trace included.
    Answer,
}

/// A token of prompt or answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Position in the sequence, from 0.
    pub position: usize,
    /// Its id.
    pub id: u32,
    /// Its text for people: a space stands for `▁`.
    pub text: String,
    /// What it is.
    pub kind: TokenKind,
    /// Where its text stands, in bytes: of the answer in an [`Explained`](crate::Explained), of all generated text in an answer of the
    /// facade. `None` for tokens that stand outside it.
    pub span: Option<Range<usize>>,
}

/// What Gemma's template marks turns and pictures with. Its vocabulary has HTML tags too, which are text.
const CONTROL: [&str; 7] = [
    "<bos>",
    "<eos>",
    "<pad>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
];

/// For each token of prompt and answer, in order, whether the chat template wrote it, and not a person or the model.
pub fn template_tokens(tokens: &[Token]) -> Vec<bool> {
    template(tokens.iter().map(|token| (token.kind, token.text.as_str())))
}

/// For each token, in order, whether the template wrote it: control tokens, the name of the role behind the start of a turn with its
/// line end, the line ends around pictures and between turns.
pub(crate) fn template<'t>(tokens: impl IntoIterator<Item = (TokenKind, &'t str)>) -> Vec<bool> {
    let tokens: Vec<_> = tokens.into_iter().collect();
    let mut found = vec![false; tokens.len()];
    let mut in_role = false;
    let mut before = "";
    for (index, &(kind, text)) in tokens.iter().enumerate() {
        let is_blank = !text.is_empty() && text.trim().is_empty();
        let next = tokens.get(index + 1).map_or("", |(_, text)| text);
        let around =
            ["<end_of_turn>", "<end_of_image>"].contains(&before) || next == "<start_of_image>";
        found[index] = match kind {
            TokenKind::Image => false,
            _ if CONTROL.contains(&text) => true,
            TokenKind::Prompt => in_role || (is_blank && around),
            TokenKind::Answer => false,
        };
        in_role = text == "<start_of_turn>" || (in_role && !text.contains('\n'));
        before = text;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(prompt: &[&str], answer: &[&str]) -> Vec<String> {
        let kind = |text: &str| {
            if text == "<image>" { TokenKind::Image } else { TokenKind::Prompt }
        };
        let prompt = prompt.iter().map(|text| (kind(text), *text));
        let tokens: Vec<_> =
            prompt.chain(answer.iter().map(|text| (TokenKind::Answer, *text))).collect();
        let found = template(tokens.clone());
        let text = tokens.into_iter().zip(found).filter(|(_, is)| !is).map(|((_, text), _)| text);
        text.map(str::to_owned).collect()
    }

    #[test]
    fn what_people_wrote_is_left() {
        let prompt = [
            "<bos>",
            "<start_of_turn>",
            "user",
            "\n",
            "Be",
            " brief",
            ".",
            "\n\n",
            "\n\n",
            "<start_of_image>",
            "<image>",
            "<image>",
            "<end_of_image>",
            "\n\n",
            "Is",
            " the",
            " user",
            " ill",
            "?",
            "\n",
            "<b>",
            "<end_of_turn>",
            "\n",
            "<start_of_turn>",
            "model",
            "\n",
        ];
        let left = of(&prompt, &["The", " model", "\n", "user", "<end_of_turn>"]);
        let expected = [
            "Be", " brief", ".", "\n\n", "<image>", "<image>", "Is", " the", " user", " ill", "?",
            "\n", "<b>", "The", " model", "\n", "user",
        ];
        assert_eq!(left, expected);
    }
}
