//! How long work takes, by what similar work took.

use std::{collections::BTreeMap, time::Duration};

use explanation_jobs::Options;

use crate::view::SecondsView;

/// Work that takes about as long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effort {
    /// An answer is generated.
    Answer,
    /// An answer is given.
    GivenAnswer,
    /// Maps.
    Explanation,
    /// Maps, and whether words depend on the picture.
    Reliance,
    /// Maps with certificates.
    Certificate,
}

impl Effort {
    pub(crate) fn of_answer(options: &Options) -> Self {
        if options.answer.is_some() { Self::GivenAnswer } else { Self::Answer }
    }

    pub(crate) fn of_explanation(options: &Options) -> Self {
        if !options.certificate.is_empty() {
            Self::Certificate
        } else if !options.reliance.is_empty() {
            Self::Reliance
        } else {
            Self::Explanation
        }
    }
}

/// Moving means of seconds.
#[derive(Debug, Default)]
pub(crate) struct Estimates {
    means: BTreeMap<Effort, f64>,
    token: Option<f64>,
}

/// The part of the newest in a mean.
const NEWEST: f64 = 0.3;

impl Estimates {
    pub(crate) fn took(&mut self, effort: Effort, took: Duration) {
        let seconds = took.as_secs_f64();
        let mean = self.means.entry(effort).or_insert(seconds);
        *mean += NEWEST * (seconds - *mean);
    }

    pub(crate) fn tokens_took(&mut self, tokens: u64, took: Duration) {
        if 0 < tokens {
            let seconds = took.as_secs_f64() / tokens as f64;
            let mean = self.token.get_or_insert(seconds);
            *mean += NEWEST * (seconds - *mean);
        }
    }

    /// How long all of it takes; `None` where some of it was never done.
    pub(crate) fn seconds(&self, efforts: &[Effort]) -> Option<f64> {
        efforts.iter().map(|effort| self.means.get(effort).copied()).sum()
    }

    pub(crate) fn view(&self) -> SecondsView {
        let explanation = self.means.get(&Effort::Explanation).copied();
        SecondsView { answer_token: self.token, explanation }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_follows_what_work_took() {
        let mut estimates = Estimates::default();
        let work = [Effort::Answer, Effort::Explanation];
        estimates.took(Effort::Answer, Duration::from_secs(10));
        assert_eq!(estimates.seconds(&work), None);
        estimates.took(Effort::Explanation, Duration::from_secs(2));
        assert_eq!(estimates.seconds(&work), Some(12.0));
        for _ in 0..50 {
            estimates.took(Effort::Answer, Duration::from_secs(20));
        }
        let seconds = estimates.seconds(&work).unwrap();
        assert!((seconds - 22.0).abs() < 1e-3, "{seconds}");
        estimates.tokens_took(0, Duration::from_secs(1));
        estimates.tokens_took(4, Duration::from_secs(1));
        assert_eq!(estimates.view().answer_token, Some(0.25));
    }
}
