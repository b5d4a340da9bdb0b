//! Methods that relevancy is compared with.

use attention_capture::{
    Attribution, Engine as _, Goal, Method, MethodRow, Retained, Streaming, Unavailable,
};
use attention_relevancy::Update;
use attention_relevancy::ndarray::Array1;
use std::fmt;

use crate::ExplainOptions;
use crate::explain::mean;

/// A method beside the relevancy of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Relevancy by this update, whatever that of the explanation is: with a sweep of its own.
    Relevancy(Update),
    /// Another method, from the sweep of the explanation.
    Other(Method),
}

impl Compared {
    /// Whether its values have signs.
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Other(Method::InputGradient))
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relevancy(update) => write!(f, "relevancy, {update}"),
            Self::Other(method) => method.fmt(f),
        }
    }
}

/// An engine that knows the methods too.
pub(crate) trait Compare {
    fn compare(
        &self,
        goals: &[Goal],
        options: &ExplainOptions,
    ) -> Result<Vec<(Attribution, Vec<MethodRow>)>, attention_capture::Error>;
}

impl Compare for Streaming<'_> {
    fn compare(
        &self,
        goals: &[Goal],
        options: &ExplainOptions,
    ) -> Result<Vec<(Attribution, Vec<MethodRow>)>, attention_capture::Error> {
        let how = (options.objective, options.update);
        let others = others(options);
        let found = self.explain_methods(goals, how, &others)?;
        all(found, options, |update| self.explain(goals, options.objective, update))
    }
}

impl Compare for Retained<'_> {
    fn compare(
        &self,
        goals: &[Goal],
        options: &ExplainOptions,
    ) -> Result<Vec<(Attribution, Vec<MethodRow>)>, attention_capture::Error> {
        let how = (options.objective, options.update);
        let others = others(options);
        let found = self.explain_methods(goals, how, &others)?;
        all(found, options, |update| self.explain(goals, options.objective, update))
    }
}

/// The mean of a method's rows over goals, with weights that sum to one; why there is none where one goal has none.
pub(crate) fn mean_row<'a>(
    weights: &[f64],
    rows: impl Iterator<Item = &'a MethodRow>,
) -> Result<Array1<f32>, Unavailable> {
    let rows = rows.map(|row| row.as_ref().map_err(Clone::clone)).collect::<Result<Vec<_>, _>>()?;
    Ok(mean(weights, rows.into_iter()))
}

/// The methods that the sweep itself knows.
fn others(options: &ExplainOptions) -> Vec<Method> {
    let other = |compared: &Compared| match compared {
        Compared::Other(method) => Some(method.clone()),
        Compared::Relevancy(_) => None,
    };
    options.methods.iter().filter_map(other).collect()
}

/// The rows of all methods in the order asked, from those of the sweep and from one more sweep for each update.
fn all(
    found: Vec<(Attribution, Vec<MethodRow>)>,
    options: &ExplainOptions,
    explain: impl Fn(Update) -> Result<Vec<Attribution>, attention_capture::Error>,
) -> Result<Vec<(Attribution, Vec<MethodRow>)>, attention_capture::Error> {
    let mut all: Vec<(Attribution, Vec<MethodRow>)> = Vec::new();
    let mut others = Vec::new();
    for (attribution, rows) in found {
        all.push((attribution, Vec::new()));
        others.push(rows.into_iter());
    }
    for compared in &options.methods {
        match compared {
            Compared::Relevancy(update) => {
                for ((_, rows), found) in all.iter_mut().zip(explain(*update)?) {
                    rows.push(Ok(found.relevancy));
                }
            }
            Compared::Other(_) => {
                for ((_, rows), others) in all.iter_mut().zip(&mut others) {
                    rows.push(others.next().expect("one row for each method"));
                }
            }
        }
    }
    Ok(all)
}
