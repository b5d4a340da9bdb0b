//! Certificates of maps: what targets lose without the cells that their maps put first, beside controls that know nothing.
//!
//! What is taken away, and in which order, is [`plan`]'s; what a run without it says is [`runs`]'s; curves and how they stand among those
//! of controls are mathematics of `attention_relevancy::faithfulness`, and put together here.

mod plan;
mod randomisation;
mod runs;
mod stability;

use std::time::{Duration, Instant};

use attention_relevancy::faithfulness::{
    Curve, FRACTIONS, LEAST_WORTH, Order, Standing, gain, mean_loss, standing,
};
use attention_relevancy::ndarray::ArrayView1;
use explanation_record::{
    CertificateSettings, ControlGain, MethodGain, Operator, OperatorCertificate, RandomParts,
    TargetCertificate, WordGain,
};

use crate::error::Cause;
use crate::setters::setters;
use crate::{Answer, Error, Explanations, Request, TargetExplanation};
use plan::{Cells, Draw, Maps, Of, Plan, Sweep, random};
use runs::Runs;

/// What a certificate is made of.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CertificateOptions {
    /// How cells are taken away; all four by default. [`Operator::Blur`] and [`Operator::Road`] run the vision tower once for each picture
    /// without other cells, which takes long with a large tower and no GPU.
    pub operators: Vec<Operator>,
    /// Shares of the cells that are taken away, ascending, above 0 and below 1: [`FRACTIONS`] by default. Fewer are faster and coarser.
    pub fractions: Vec<f64>,
    /// Controls that a map is held against, 19 or more; 19 by default, with which the least p is 0.05.
    pub controls: usize,
    /// What is taken away at a time: squares of so many image tokens a side, 1 to 8; 1 by default. Maps are averaged over them.
    pub block: usize,
    /// Whether the maps are also made of the picture moved by a pixel, and a little brighter and darker.
    pub stability: bool,
    /// Whether the maps are also made of the model without what its layers learnt, from the last layer down.
    pub randomisation: bool,
    /// Decides everything that is random: the same seed, the same certificate.
    pub seed: u64,
}

impl Default for CertificateOptions {
    fn default() -> Self {
        Self {
            operators: Operator::ALL.to_vec(),
            fractions: FRACTIONS.to_vec(),
            controls: 19,
            block: 1,
            stability: false,
            randomisation: false,
            seed: 0,
        }
    }
}

setters!(CertificateOptions {
    with_operators = operators: Vec<Operator>,
    with_fractions = fractions: Vec<f64>,
    with_controls = controls: usize,
    with_block = block: usize,
    with_stability = stability: bool,
    with_randomisation = randomisation: bool,
    with_seed = seed: u64,
});

/// With fewer no map could be ahead of them (p ≤ 0.05).
const LEAST_CONTROLS: usize = 19;
/// More would take days.
const MOST_CONTROLS: usize = 999;
/// More points of a curve than cells along a side of a picture say nothing new.
const MOST_FRACTIONS: usize = 64;
/// Larger blocks of a picture of 16 × 16 tokens would leave one.
const MOST_BLOCK: usize = 8;

impl CertificateOptions {
    /// # Errors
    /// [`crate::ErrorKind::Argument`] for what cannot be certified by.
    pub fn check(&self) -> Result<(), Error> {
        let ascend = self.fractions.windows(2).all(|pair| pair[0] < pair[1]);
        let inside = self.fractions.iter().all(|&share| 0.0 < share && share < 1.0);
        let few = (1..=MOST_FRACTIONS).contains(&self.fractions.len());
        if !(ascend && inside && few) {
            return Err(Cause::Fractions { most: MOST_FRACTIONS }.into());
        }
        if !(LEAST_CONTROLS..=MOST_CONTROLS).contains(&self.controls) {
            let (least, most) = (LEAST_CONTROLS, MOST_CONTROLS);
            return Err(Cause::Controls { asked: self.controls, least, most }.into());
        }
        if !(1..=MOST_BLOCK).contains(&self.block) {
            return Err(Cause::Block { asked: self.block, most: MOST_BLOCK }.into());
        }
        if self.operators.is_empty() {
            return Err(Cause::NoOperator.into());
        }
        Ok(())
    }
}

/// The certificates of explained targets.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Certificate {
    /// How they were made.
    pub options: CertificateOptions,
    /// One for each of [`Explanations::targets`].
    pub targets: Vec<TargetCertificate>,
    /// One for each of [`Explanations::words`] where there are no targets; otherwise none.
    pub words: Vec<TargetCertificate>,
    /// Runs of the model, each without other cells.
    pub runs: usize,
    /// How long it took.
    pub duration: Duration,
}

impl Certificate {
    pub(crate) fn settings(&self) -> CertificateSettings {
        let CertificateOptions { operators, fractions, controls, seed, block, .. } = &self.options;
        CertificateSettings {
            operators: Operator::ALL.into_iter().filter(|it| operators.contains(it)).collect(),
            fractions: fractions.clone(),
            controls: *controls,
            block: *block,
            seed: *seed,
            least_worth: LEAST_WORTH,
            runs: self.runs,
            seconds: self.duration.as_secs_f64(),
        }
    }
}

impl Request<'_> {
    /// What every target loses without the cells that its map puts first and last, beside controls: of the relevancy and of every other
    /// method of the explanations, in the same runs. Where there is no target the words are certified. Answers stand as they are (teacher
    /// forcing); a score is the log-probability of all tokens of a target.
    ///
    /// [`Context::progress`](crate::Context::progress) hears of the runs of one operator after the other.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Question`] for a question without pictures, [`crate::ErrorKind::Argument`] for options that cannot be
    /// ([`CertificateOptions::check`]) and in the profile of the reproduced program, [`crate::ErrorKind::Cancelled`], and what the model
    /// fails with.
    pub fn certify(
        &self,
        answer: &Answer,
        explanations: &Explanations,
        options: &CertificateOptions,
    ) -> Result<Certificate, Error> {
        let started = Instant::now();
        options.check()?;
        self.check_blank(answer)?;
        let are_words = explanations.targets.is_empty();
        let explained = if are_words { &explanations.words } else { &explanations.targets };
        let cells = Cells::of(answer, options.block);
        let maps = explained.iter().enumerate();
        let maps: Vec<Maps> = maps
            .map(|(index, target)| cells.maps(target, &mut random(options.seed, Draw::Ties, index)))
            .collect();
        let certificate = |maps: &Maps| {
            let order = maps.order().map_or(&[][..], Order::cells);
            TargetCertificate::of(cells.positions(order))
        };
        let mut found: Vec<TargetCertificate> = maps.iter().map(certificate).collect();
        let mut count = 0;
        for operator in Operator::ALL.into_iter().filter(|it| options.operators.contains(it)) {
            let mut runs = Runs::new(self, answer, (operator, &cells), explained, options.seed)?;
            let certificates = certified(explanations, (explained, &maps), &mut runs, options)?;
            for (target, certificate) in found.iter_mut().zip(certificates) {
                target.set(operator, certificate);
            }
            count += runs.count();
        }
        if options.stability {
            let changes = self.stability(answer, explained, explanations, &cells)?;
            for (target, stability) in found.iter_mut().zip(changes) {
                target.stability = stability;
            }
        }
        if options.randomisation {
            let explained = (explained.as_slice(), explanations);
            let changes = self.randomisation(answer, explained, &cells, options.seed)?;
            for (target, randomisation) in found.iter_mut().zip(changes) {
                target.randomisation = randomisation;
            }
        }
        let (targets, words) = if are_words { (Vec::new(), found) } else { (found, Vec::new()) };
        let duration = started.elapsed();
        Ok(Certificate { options: options.clone(), targets, words, runs: count, duration })
    }
}

/// What one operator says of each target.
fn certified(
    explanations: &Explanations,
    (explained, maps): (&[TargetExplanation], &[Maps]),
    runs: &mut Runs<'_>,
    options: &CertificateOptions,
) -> Result<Vec<OperatorCertificate>, Error> {
    let worth = runs.worth()?;
    let start = |(maps, &[whole, bare]): (&Maps, &[f64; 2])| {
        let mut found = OperatorCertificate::new(whole, bare);
        found.undefined = undefined(maps, whole - bare);
        found
    };
    let mut found: Vec<OperatorCertificate> = maps.iter().zip(&worth).map(start).collect();
    let defined: Vec<usize> =
        (0..found.len()).filter(|&at| found[at].undefined.is_none()).collect();
    if defined.is_empty() {
        return Ok(found);
    }
    let plan = Plan::new(maps, &defined, runs.cells(), options);
    let table = runs.scores(plan.sets())?; // [sets, targets]
    for of in plan.targets() {
        let certificate = &mut found[of.target];
        let scores = Scores {
            column: table.column(of.target),
            fractions: &options.fractions,
            worth: [certificate.whole, certificate.bare],
        };
        if let Err(why) = scores.fill(certificate, (&plan, of), (explanations, explained)) {
            certificate.undefined = Some(why);
        }
    }
    Ok(found)
}

/// Why there are no curves for a target that all cells are worth so much to, if there are none.
fn undefined(maps: &Maps, worth: f64) -> Option<String> {
    if maps.order().is_none() {
        return Some("nothing speaks for it, so there is no map".to_owned());
    }
    if !worth.is_finite() {
        return Some("its probability without the picture is no number".to_owned());
    }
    (worth < LEAST_WORTH).then(|| {
        let what = if worth <= -LEAST_WORTH {
            "the picture argues against it"
        } else {
            "the picture adds next to nothing to it"
        };
        format!("{what}: {worth:+.3} nats, and curves need {LEAST_WORTH}").replace('-', "−")
    })
}

/// The log-probabilities of one target in every run.
struct Scores<'a> {
    /// By set.
    column: ArrayView1<'a, f64>,
    fractions: &'a [f64],
    /// With all cells and without any.
    worth: [f64; 2],
}

/// Both curves of an order.
struct Both {
    most: Curve,
    least: Curve,
}

impl Both {
    fn gain(&self) -> f64 {
        gain(&self.most, &self.least)
    }
}

impl Scores<'_> {
    fn of(&self, sets: &[usize]) -> Vec<f64> {
        sets.iter().map(|&set| self.column[set]).collect()
    }

    /// Both curves of an order; the reason where a score is no number.
    fn both(&self, sweep: &Sweep) -> Result<Both, String> {
        let [whole, bare] = self.worth;
        let curve = |sets: &[usize]| {
            let found = Curve::new(self.fractions, &self.of(sets), whole, bare);
            found.ok_or_else(|| "a probability without some of the cells is no number".to_owned())
        };
        Ok(Both { most: curve(&sweep.most)?, least: curve(&sweep.least)? })
    }

    fn fill(
        &self,
        certificate: &mut OperatorCertificate,
        (plan, of): (&Plan, &Of),
        (explanations, explained): (&Explanations, &[TargetExplanation]),
    ) -> Result<(), String> {
        let whole = self.worth[0];
        let own = self.both(&of.map)?;
        let controls = plan.controls().map(|(kind, sweep)| Ok((kind, self.both(sweep)?)));
        let controls = controls.collect::<Result<Vec<_>, String>>()?;
        let gains: Vec<f64> = controls.iter().map(|(_, both)| both.gain()).collect();
        let stands = |srg: f64| {
            let found = standing(srg, &gains);
            (found.and_then(|it: Standing| it.z), found.map(|it| it.p))
        };
        let others = plan.targets().iter().filter(|other| other.target != of.target);
        let other_words = others.map(|other| {
            let text = explained[other.target].label();
            Ok(WordGain { text, srg: self.both(&other.map)?.gain() })
        });
        let other_words = other_words.collect::<Result<_, String>>()?;
        let methods = explanations.options.methods.iter().zip(&of.methods);
        let methods = methods.map(|(method, sweep)| {
            let srg = sweep.as_ref().map(|sweep| Ok::<_, String>(self.both(sweep)?.gain()));
            let srg = srg.transpose()?;
            let (z, p) = srg.map_or((None, None), stands);
            Ok(MethodGain { id: Some(method.id()), name: method.to_string(), srg, z, p })
        });
        let methods = methods.collect::<Result<_, String>>()?;
        let points = |curve: &Curve, axis: usize| {
            curve.points().iter().map(|point| point[axis]).collect::<Vec<f64>>()
        };
        let all = || controls.iter().flat_map(|(_, both)| [&both.most, &both.least]);
        let band = (0..self.fractions.len() + 2).map(|at| {
            let left = all().map(|curve| curve.points()[at][1]);
            left.fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], x| {
                [low.min(x), high.max(x)]
            })
        });
        let uniform: Vec<&Curve> = controls
            .iter()
            .filter(|(kind, _)| *kind == explanation_record::ControlKind::Uniform)
            .flat_map(|(_, both)| [&both.most, &both.least])
            .collect();
        let mean = |at: usize| {
            uniform.iter().map(|curve| curve.points()[at][1]).sum::<f64>() / uniform.len() as f64
        };
        let srg = own.gain();
        certificate.srg = Some(srg);
        certificate.srg_nats = Some(srg * (whole - self.worth[1]));
        (certificate.z, certificate.p) = stands(srg);
        certificate.controls = controls
            .iter()
            .map(|(kind, both)| ControlGain { kind: *kind, srg: both.gain() })
            .collect();
        certificate.other_words = other_words;
        certificate.fractions = points(&own.most, 0);
        certificate.most_first = points(&own.most, 1);
        certificate.least_first = points(&own.least, 1);
        certificate.uniform = (0..self.fractions.len() + 2).map(mean).collect();
        certificate.band = band.collect();
        certificate.comprehensiveness = Some(mean_loss(whole, &self.of(&of.without_first)));
        certificate.sufficiency = Some(mean_loss(whole, &self.of(&of.first_alone)));
        certificate.random_parts = Some(RandomParts {
            first: mean_loss(whole, &self.of(&of.parts_of_first)),
            rest: mean_loss(whole, &self.of(&of.parts_of_rest)),
        });
        certificate.methods = methods;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
