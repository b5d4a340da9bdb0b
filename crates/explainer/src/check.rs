//! What can be known to be wrong before the model runs.

use attention_capture::{Demand, FinerDemand, Ledger, check_method};

use crate::answering::check_question;
use crate::compared::rules;
use crate::error::Cause;
use crate::{
    Ask, Compared, Engine, Error, ExplainOptions, Explainer, HAS_LRP, HeadLayer, Profile, Question,
    Request, Resolution, SinkOptions,
};

impl Explainer {
    /// Checks a text that is to stand in an answer, such as the word that a target is set against.
    ///
    /// # Errors
    /// What the tokenizer refuses: a text without a token, or one that spells a control token.
    pub fn check_text(&self, text: &str) -> Result<(), Error> {
        Ok(self.processor.answer_ids(text).map(drop)?)
    }
}

impl Request<'_> {
    /// Checks whatever does not depend on the answer, so that a mistake is told before the model has run: layers and heads, positions
    /// that lie in the prompt, and a memory budget that does not suffice for one token behind the prompt.
    ///
    /// # Errors
    /// Those that [`Explainer::explain`] would give after the answer, and [`crate::ErrorKind::Budget`].
    pub fn check(
        &self,
        question: &Question,
        asks: &[Ask],
        options: &ExplainOptions,
    ) -> Result<(), Error> {
        check_question(question)?;
        self.check_options(options)?;
        self.check_occlusion(!question.pictures.is_empty(), options)?;
        self.check_path(!question.pictures.is_empty(), options)?;
        let (mut ids, mut spans) =
            self.processor.prompt_ids(&question.messages, &question.pictures)?;
        if self.profile == Profile::PythonProgram {
            ids.insert(0, ids[0]);
            for span in &mut spans {
                *span = span.start + 1..span.end + 1;
            }
        }
        let first = ids.len();
        for ask in asks {
            let position = match ask {
                Ask::Position(position) => *position,
                Ask::Tokens(range) if range.is_empty() => {
                    return Err(Cause::NoTokens { range: range.clone() }.into());
                }
                Ask::Tokens(range) => range.start,
                _ => continue,
            };
            if position == 0 {
                return Err(Cause::PositionZero { first }.into());
            }
            if spans.iter().any(|span| span.contains(&position)) {
                return Err(Cause::PositionInImage { position, first }.into());
            }
            if let Some(&id) = ids.get(position) {
                let token = self.processor.tokenizer().label(id);
                return Err(Cause::PositionInPrompt { position, token, first }.into());
            }
        }
        self.check_budget(first, spans.len(), options)
    }

    fn check_options(&self, options: &ExplainOptions) -> Result<(), Error> {
        check_backward(options)?;
        rules(options, None).check(self.model)?;
        check_sinks(options)?;
        for method in &options.methods {
            if let Compared::Other(method) = method {
                check_method(method, self.model)?;
            }
        }
        if let Some(HeadLayer::Number(layer)) = options.by_head {
            let layers = self.model.config().text.num_hidden_layers;
            if layers <= layer {
                return Err(attention_capture::Error::Layer { layer, layers }.into());
            }
        }
        Ok(())
    }

    /// Whether there are pictures, seen by this program's own rules, where cells of them are to be taken away.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] without a picture, [`crate::ErrorKind::Argument`] in the profile of the reproduced program.
    pub(crate) fn check_occlusion(
        &self,
        has_pictures: bool,
        options: &ExplainOptions,
    ) -> Result<(), Error> {
        let asked = options.methods.iter().find(|asked| matches!(asked, Compared::Occlusion(_)));
        let Some(method) = asked.map(Compared::id) else { return Ok(()) };
        if self.profile == Profile::PythonProgram {
            return Err(Cause::OcclusionReproduced { method }.into());
        }
        if !has_pictures {
            return Err(Cause::OcclusionNoPictures { method }.into());
        }
        Ok(())
    }

    /// Whether the relevancy can be the mean of so many points on the way to the pictures, and nothing that has one point is asked
    /// beside it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] without a picture, [`crate::ErrorKind::Argument`] for everything else.
    pub(crate) fn check_path(
        &self,
        has_pictures: bool,
        options: &ExplainOptions,
    ) -> Result<(), Error> {
        let points = options.path_points;
        if !(1..=MOST_POINTS).contains(&points) {
            return Err(Cause::PathPoints { points, most: MOST_POINTS }.into());
        }
        if points == 1 {
            return Ok(());
        }
        if self.profile == Profile::PythonProgram {
            return Err(Cause::BlankReproduced.into());
        }
        if !has_pictures {
            return Err(Cause::PathNoPictures { points }.into());
        }
        let by_part = options.by_layer || options.by_head.is_some();
        if by_part || options.resolution != Resolution::Tokens {
            return Err(Cause::PathAlone { points }.into());
        }
        Ok(())
    }

    /// The least memory budget that explains a token behind so many others, in bytes: what a caller can know before a picture is decoded.
    ///
    /// # Errors
    /// None that depends on the caller.
    pub fn least_budget(&self, tokens: usize) -> Result<u64, Error> {
        let ledger = Ledger::new(self.model, 0, false);
        match ledger.check_prompt(Demand { tokens, finer: None }) {
            Ok(()) => Ok(0),
            Err(attention_capture::Error::Budget { smallest, .. }) => Ok(smallest),
            Err(error) => Err(error.into()),
        }
    }

    /// What the answer adds is not known yet: a budget that passes may still be too small for a long one.
    fn check_budget(
        &self,
        prompt: usize,
        images: usize,
        options: &ExplainOptions,
    ) -> Result<(), Error> {
        if options.engine == Engine::Retained {
            return Ok(());
        }
        let finer = options.resolution != Resolution::Tokens && images != 0;
        let finer = finer.then_some(FinerDemand {
            update: options.update,
            backward: options.backward,
            goals: 1,
        });
        let checked = self.ledger().check_prompt(Demand { tokens: prompt, finer });
        checked.map_err(|error| match error {
            attention_capture::Error::Budget { budget, smallest } => {
                Cause::BudgetForPrompt { budget, least: smallest }.into()
            }
            error => error.into(),
        })
    }
}

/// Points of a path from the mean cell to the picture, at most: more change nothing that anybody would see.
const MOST_POINTS: usize = 64;

/// Whether this build and the engine asked for know the backward rule.
///
/// # Errors
/// [`crate::ErrorKind::Argument`].
pub(crate) fn check_backward(options: &ExplainOptions) -> Result<(), Error> {
    let (backward, engine) = (options.backward, options.engine);
    if backward.is_lrp() && !HAS_LRP {
        return Err(Cause::NoLrp { backward }.into());
    }
    if backward.is_lrp() && engine == Engine::Retained {
        return Err(Cause::BackwardRetained { backward }.into());
    }
    Ok(())
}

/// Whether attention sinks can be told by the threshold of the options.
///
/// # Errors
/// [`crate::ErrorKind::Argument`].
pub(crate) fn check_sinks(options: &ExplainOptions) -> Result<(), Error> {
    match options.sinks {
        Some(SinkOptions { threshold: Some(threshold), .. })
            if !(threshold.is_finite() && 0.0 < threshold) =>
        {
            Err(Cause::SinkThreshold { threshold }.into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backward, ErrorKind};

    #[test]
    fn a_rule_that_is_not_there_is_refused() {
        for backward in Backward::ALL {
            let of = |engine| {
                let options = ExplainOptions::default().with_backward(backward).with_engine(engine);
                check_backward(&options).map_err(|error| (error.kind(), error.to_string()))
            };
            if !backward.is_lrp() {
                assert_eq!([Engine::Auto, Engine::Retained].map(of), [Ok(()), Ok(())]);
                continue;
            }
            let (kind, message) = of(Engine::Retained).unwrap_err();
            assert_eq!(kind, ErrorKind::Argument);
            assert!(message.contains(backward.name()), "{message}");
            assert_eq!(of(Engine::Streaming).is_ok(), HAS_LRP);
            assert_eq!(message.contains("the feature `lrp`"), !HAS_LRP, "{message}");
        }
    }
}
