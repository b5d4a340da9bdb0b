//! Where in an answer stands what is asked for.

use gemma3_processor::{find_every, find_keyword};
use std::ops::Range;

use crate::error::Cause;
use crate::parts::{characters, fields, sentence};
use crate::{Answer, Ask, Error, Explainer, Profile, StopReason, Token, TokenKind};

impl Explainer {
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
                return Err(Cause::NoTokens { range: range.clone() }.into());
            }
            check_position(answer, range.start)?;
            return check_position(answer, range.end - 1).map(|()| vec![range.clone()]);
        }
        let first = answer.prepared.ids.len();
        let span = if trace { first..answer.tokens.len() } else { answer.positions() };
        if span.is_empty() {
            return Err(Cause::NoAnswer { reason: why_empty(answer) }.into());
        }
        let generated = &answer.generated.tokens[span.start - first..span.end - first];
        let spelled = || self.processor.tokenizer().spans(generated);
        let within = |found: Range<usize>| span.start + found.start..span.start + found.end;
        let found = match ask {
            Ask::Position(_) | Ask::Tokens(_) | Ask::Last => {
                let last = last_of_a_word(answer, &span).unwrap_or(span.end - 1);
                return Ok(vec![last..last + 1]);
            }
            Ask::Answer => return Ok(vec![span]),
            Ask::Keyword { word, occurrence } if self.profile == Profile::PythonProgram => {
                return Ok(vec![Self::reproduced_keyword(answer, word, *occurrence)?]);
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

    /// The first token of the answer that holds a word, be it a part of another: [`Profile::PythonProgram`].
    fn reproduced_keyword(
        answer: &Answer,
        word: &str,
        occurrence: usize,
    ) -> Result<Range<usize>, Error> {
        let wanted = word.to_lowercase();
        let holds = |token: &&Token| token.text.to_lowercase().contains(&wanted);
        let found =
            answer.tokens[answer.positions()].iter().find(holds).filter(|_| occurrence == 0);
        found
            .map(|token| token.position..token.position + 1)
            .ok_or_else(|| Cause::ReproducedKeyword { word: word.to_owned() }.into())
    }
}

/// The last token that writes a letter or a digit: a full stop is rarely what somebody wants explained.
fn last_of_a_word(answer: &Answer, span: &Range<usize>) -> Option<usize> {
    let writes = |position: &usize| {
        answer.text_of(&(*position..position + 1)).contains(char::is_alphanumeric)
    };
    span.clone().rev().find(writes)
}

/// Only a token that the model made can be explained: its own choice is what the gradient is taken of.
fn check_position(answer: &Answer, position: usize) -> Result<(), Error> {
    let span = answer.prepared.ids.len()..answer.tokens.len();
    if span.is_empty() {
        return Err(Cause::NoAnswer { reason: why_empty(answer) }.into());
    }
    match answer.tokens.get(position) {
        None => Err(Cause::PositionPastEnd { position, answer: span }.into()),
        Some(_) if position == 0 => Err(Cause::PositionZero { first: span.start }.into()),
        Some(token) => match token.kind {
            TokenKind::Answer => Ok(()),
            TokenKind::Image => Err(Cause::PositionInImage { position, first: span.start }.into()),
            _ => {
                let (token, first) = (token.text.clone(), span.start);
                Err(Cause::PositionInPrompt { position, token, first }.into())
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
