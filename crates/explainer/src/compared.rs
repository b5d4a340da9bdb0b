//! Methods that relevancy is compared with.

use attention_capture::{
    Attribution, Engine, Error, Goal, MethodRecorder, Observer, Retained, Rules, Streaming,
};
use attention_relevancy::ndarray::Array1;
use attention_relevancy::{
    Method, MethodRow, Occlusion, RowRule, SinkRule, Sinks, Unavailable, Update,
};
use explanation_record::MethodId;
use std::fmt;

use crate::ExplainOptions;
use crate::plan::mean;

/// A method beside the relevancy of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compared {
    /// Relevancy by this update, whatever that of the explanation is: with a sweep of its own.
    Relevancy(Update),
    /// Another method, from the sweep of the explanation.
    Other(Method),
    /// The true drop without each cell, from a forward pass for each: slow, and what the others are estimates of.
    Occlusion(Occlusion),
}

impl Compared {
    /// Whether its values have signs.
    pub fn is_signed(&self) -> bool {
        matches!(self, Self::Other(Method::InputGradient | Method::MeanCell) | Self::Occlusion(_))
    }

    /// Its stable id, as record and command spell it. [`Compared`]'s text has its choices too.
    pub fn id(&self) -> MethodId {
        match self {
            Self::Relevancy(update) => match update.rule() {
                RowRule::Fixed(_) => MethodId::RelevancyAdditive,
                RowRule::Normalized(_) => MethodId::RelevancyStochastic,
            },
            Self::Other(method) => id(method),
            Self::Occlusion(Occlusion::MeanEmbedding) => MethodId::OcclusionMeanEmbedding,
            Self::Occlusion(Occlusion::Knockout) => MethodId::OcclusionKnockout,
        }
    }
}

fn id(method: &Method) -> MethodId {
    match method {
        Method::Rollout { .. } => MethodId::Rollout,
        Method::RawAttention { .. } => MethodId::RawAttention,
        Method::ValueNorm { .. } => MethodId::ValueNorm,
        Method::TokenAttention { .. } => MethodId::TokenAttention,
        Method::ObjectAttention { .. } => MethodId::ObjectAttention,
        Method::GradientAttention { .. } => MethodId::GradientAttention,
        Method::LeGrad { .. } => MethodId::Legrad,
        Method::DexAr { .. } => MethodId::DexAr,
        Method::GradCamAttention { .. } => MethodId::GradCam,
        Method::GradCamHidden { .. } => MethodId::GradCamHidden,
        Method::InputGradient => MethodId::InputGradient,
        Method::MeanCell => MethodId::MeanCell,
        Method::Tam => MethodId::Tam,
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relevancy(update) => write!(f, "relevancy, {update}"),
            Self::Other(method) => method.fmt(f),
            Self::Occlusion(occlusion) => write!(f, "occlusion, {occlusion}"),
        }
    }
}

/// What an engine says of one goal: relevancy, and the rows of the methods that were asked for.
pub(crate) type WithRows = (Attribution, Vec<MethodRow>);

/// The rules of the relevancy itself in a run with these attention sinks.
pub(crate) fn rules(options: &ExplainOptions, sinks: Option<&Sinks>) -> Rules {
    let ExplainOptions { objective, update, backward, ref folding, .. } = *options;
    let removed = match options.sinks.map(|asked| asked.rule) {
        Some(SinkRule::Drop) => sinks.map(Sinks::positions).unwrap_or_default(),
        Some(SinkRule::Keep) | None => Vec::new(),
    };
    Rules { objective, update, folding: folding.clone(), backward, removed }
}

/// How the goals of a run are explained.
pub(crate) struct How<'a> {
    pub(crate) options: &'a ExplainOptions,
    pub(crate) rules: &'a Rules,
    pub(crate) occlude: &'a Occlude<'a>,
}

/// Makes the rows of an occlusion for goals.
pub(crate) type Occlude<'a> = dyn Fn(&[Goal], Occlusion) -> Result<Vec<MethodRow>, Error> + 'a;

/// From one sweep, which observers look at, from one more for each update that was asked for, and from the passes of occlusions.
pub(crate) fn streaming(
    engine: &Streaming<'_>,
    goals: &[Goal],
    how: &How<'_>,
    observers: &mut [&mut dyn Observer],
) -> Result<Vec<WithRows>, Error> {
    let others = others(how.options);
    let mut recorder = MethodRecorder::new(engine, goals, &others)?;
    let given = observers.iter_mut().map(|observer| &mut **observer as &mut dyn Observer);
    let mut observers: Vec<&mut dyn Observer> = given.collect();
    observers.push(&mut recorder);
    let found = engine.observe(goals, how.rules, &mut observers)?;
    let found = found.into_iter().zip(recorder.finish()?).collect();
    all(found, (engine, goals), how)
}

/// The same from every attention kept.
pub(crate) fn retained(
    engine: &Retained<'_>,
    goals: &[Goal],
    how: &How<'_>,
) -> Result<Vec<WithRows>, Error> {
    let found = engine.explain_methods(goals, how.rules, &others(how.options))?;
    all(found, (engine, goals), how)
}

/// The mean of a method's rows over goals, with weights that sum to one; the reason if it has no row for one of them.
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
        Compared::Relevancy(_) | Compared::Occlusion(_) => None,
    };
    options.methods.iter().filter_map(other).collect()
}

/// The rows of all methods in the order asked, from those of the sweep, from one more sweep for each update, and from passes without cells.
fn all(
    found: Vec<WithRows>,
    (engine, goals): (&dyn Engine, &[Goal]),
    how: &How<'_>,
) -> Result<Vec<WithRows>, Error> {
    let (mut all, mut others): (Vec<WithRows>, Vec<_>) = found
        .into_iter()
        .map(|(attribution, rows)| ((attribution, Vec::new()), rows.into_iter()))
        .unzip();
    for compared in &how.options.methods {
        match compared {
            Compared::Relevancy(update) => {
                let rules = Rules { update: *update, ..how.rules.clone() };
                let found = engine.explain(goals, &rules)?;
                for ((_, rows), found) in all.iter_mut().zip(found) {
                    rows.push(Ok(found.relevancy));
                }
            }
            Compared::Occlusion(occlusion) => {
                for ((_, rows), row) in all.iter_mut().zip((how.occlude)(goals, *occlusion)?) {
                    rows.push(row);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_update_has_its_own_id() {
        let ids = [Update::Additive, Update::Stochastic].map(|it| Compared::Relevancy(it).id());
        assert_eq!(ids, [MethodId::RelevancyAdditive, MethodId::RelevancyStochastic]);
    }
}
