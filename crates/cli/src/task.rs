//! What a model does of a task: the answer, its explanations and what was asked beside. `explain` writes it into a folder, jobs make rows
//! of it.

use medgemma_explainer::{
    Answer, Ask, Blank, ErrorKind, ExplainOptions, Explainer, Explanations, Objective, Question,
    Request, Resolution, Words,
};

use crate::job::Task;
use crate::versus::Pair;

/// Who follows a task while it is done.
pub(crate) trait Follower {
    /// A step begins, and the one before is over.
    fn begins(&self, step: Step);
    /// What the user should know at once.
    fn note(&self, text: &str);
}

/// A part of the work that takes a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Explaining,
    Reliance,
    BlankControl,
    Certificate,
    /// Page, figures and files.
    Drawing,
}

/// Parameters above which an explanation takes seconds on a CPU: 6 with four billion on two cores.
const SLOW_ON_CPU: u64 = 1_000_000_000;

/// Whether an explanation takes seconds.
pub(crate) fn is_slow(explainer: &Explainer) -> bool {
    let inspection = explainer.inspection();
    inspection.on_cpu() && SLOW_ON_CPU < inspection.parameters().total
}

impl Task {
    /// Whatever does not depend on the answer is checked before the model runs.
    pub(crate) fn check(&self, explainer: &Explainer, question: &Question) -> anyhow::Result<()> {
        let options = self.options(true).with_methods(self.how.methods(explainer));
        explainer.check(question, self.targets.asks(), &options)?;
        let against = self.versus.iter().map(|pair| pair.against.as_str());
        let mut texts = against.chain(self.how.foil());
        Ok(texts.try_for_each(|text| explainer.check_text(text))?)
    }

    /// Explains an answer, with reliance and certificate where they are asked for. `has_page`: words are explained for a page unless
    /// somebody said otherwise.
    pub(crate) fn explain(
        &self,
        request: &Request<'_>,
        answer: &Answer,
        page: Page<'_>,
        follower: &dyn Follower,
    ) -> anyhow::Result<Explanations> {
        follower.begins(Step::Explaining);
        let mut explanations = self.maps(request, answer, page.is_wanted, follower)?;
        self.reliance.add(request, (answer, page.blanks), &mut explanations, follower)?;
        self.certificate.add(request, answer, &mut explanations, follower)?;
        Ok(explanations)
    }

    /// Phrases and targets; what the answer does not have is told, and the rest is explained.
    fn maps(
        &self,
        request: &Request<'_>,
        answer: &Answer,
        has_page: bool,
        follower: &dyn Follower,
    ) -> anyhow::Result<Explanations> {
        let mut notes = Vec::new();
        let mut options = self.options_for(request, answer, has_page, (&mut notes, follower))?;
        let (mut versus, mut missing) = (Vec::new(), Vec::new());
        for Pair { phrase, against } in &self.versus {
            match request.explain_versus(answer, phrase, against, &options) {
                Ok(explained) => versus.push(explained),
                Err(error) => missing.push(error.into_missing(phrase)?),
            }
        }
        let mut asks = self.targets.asks().to_vec();
        if asks.is_empty() && versus.is_empty() {
            asks = by_default(request, answer, &mut options, follower);
        }
        let mut explanations = request.explain(answer, &asks, &options)?;
        if explanations.targets.is_empty() && explanations.words.is_empty() && versus.is_empty() {
            notes.push(
                "nothing that was requested is in the answer: its content words are explained instead"
                    .to_owned(),
            );
            missing.append(&mut explanations.missing);
            asks = by_default(request, answer, &mut options, follower);
            explanations = request.explain(answer, &asks, &options)?;
        }
        missing.append(&mut explanations.missing);
        notes.append(&mut explanations.notes);
        (explanations.versus, explanations.missing, explanations.notes) = (versus, missing, notes);
        Ok(explanations)
    }

    /// How it is explained; a word to set the targets against becomes the token that would stand in the first one's place.
    fn options_for(
        &self,
        explainer: &Explainer,
        answer: &Answer,
        has_page: bool,
        (notes, follower): (&mut Vec<String>, &dyn Follower),
    ) -> anyhow::Result<ExplainOptions> {
        let mut options = self.options(has_page);
        options.methods = self.how.methods(explainer);
        let is_slow = is_slow(explainer);
        let are_targets_named = !self.targets.asks().is_empty() || !self.versus.is_empty();
        let by_default = self.how.words_by_default() && options.words != Words::None;
        if by_default && is_slow && are_targets_named {
            follower.note(
                "report.html has only the targets; --words content also explains every content word, some seconds each",
            );
            options.words = Words::None;
        }
        if options.resolution != Resolution::Tokens && is_slow {
            follower.note(
                "patches and pixels take about a minute on two cores for each target and picture",
            );
        }
        if let Some(word) = self.how.foil() {
            for ask in self.targets.asks() {
                match explainer.foil(answer, ask, word, options.trace) {
                    Ok(found) => {
                        if !found.is_whole {
                            notes.push(format!(
                                "{word:?} is several tokens: targets are compared with {:?}, its first; --phrase and --against compare whole phrases",
                                found.token
                            ));
                        }
                        options.objective = Objective::Contrast(found.foil);
                        break;
                    }
                    Err(error) if error.kind() == ErrorKind::NotInAnswer => {} // the next target may be there
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(options)
    }
}

/// What a page asks of explanations, and what stands in the place of the pictures.
#[derive(Clone, Copy)]
pub(crate) struct Page<'a> {
    /// Whether there will be one.
    pub(crate) is_wanted: bool,
    /// What stands in the place of the pictures where reliance is asked for.
    pub(crate) blanks: &'a [Blank],
}

/// What is explained where nobody says what, or where the answer has nothing of it: its content words, or all of it where it has
/// no word.
fn by_default(
    explainer: &Explainer,
    answer: &Answer,
    options: &mut ExplainOptions,
    follower: &dyn Follower,
) -> Vec<Ask> {
    let choices = [Words::Content, Words::All].into_iter();
    let found = choices
        .filter(|&words| options.words != Words::All || words == Words::All)
        .map(|words| (words, answer.words(words).len()))
        .find(|&(_, count)| 0 < count);
    let Some((words, count)) = found else { return vec![Ask::Answer] };
    options.words = words;
    if is_slow(explainer) {
        follower.note(&format!(
            "explaining {count} words, some seconds each; --keyword WORD explains a single one"
        ));
    }
    Vec::new()
}
