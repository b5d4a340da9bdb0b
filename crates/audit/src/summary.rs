//! All cases together, and each group of them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::agreement::Agreement;
use crate::observed::{Change, Observed, TraceUse, Use};
use crate::stated::is_right;
use crate::statistics::{Estimate, holm, sign_test};
use crate::verdict::{Evidence, Judgement};

/// What became of one line of the file of cases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What the case is called.
    pub id: String,
    /// The number of its patient; it says nothing of a name.
    pub patient: u64,
    /// Its label.
    pub label: Option<String>,
    /// Its group.
    pub group: Option<String>,
    /// The right answer.
    pub right_answer: Option<String>,
    /// What was seen of it; none where it failed.
    pub observed: Option<Observed>,
    /// Why it failed; none where it did not.
    pub error: Option<String>,
}

impl Row {
    /// Whether the answer is right; none where nobody says what is.
    pub fn is_right(&self) -> Option<bool> {
        Some(is_right(&self.observed.as_ref()?.answer, self.right_answer.as_ref()?))
    }

    /// What was seen, where the answer names what the relevant part shows: others have no part to be held against.
    pub fn with_part(&self) -> Option<&Observed> {
        let observed = self.observed.as_ref()?;
        let has_part = observed.constant.is_some();
        (has_part && observed.names_something() && self.is_right() != Some(false))
            .then_some(observed)
    }
}

/// What all cases say together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// All cases.
    pub all: Group,
    /// Each group of cases, by name; none where the cases have none.
    pub groups: Vec<Group>,
}

/// What some of the cases say together. Each number is a mean with its 95 % interval, of whole patients; none where no case has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// Its name; `all` for all.
    pub name: String,
    /// Cases that were asked.
    pub cases: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Patients of those that did not.
    pub patients: usize,
    /// The share of right answers.
    pub right: Option<Estimate>,
    /// By change.
    pub changes: Vec<ChangeSummary>,
    /// The share of cases that use the picture ([`Observed::used`]).
    pub uses: Option<Estimate>,
    /// The share of cases that do not.
    pub uses_not: Option<Estimate>,
    /// [`Observed::picture_use`].
    pub picture_use: Option<Estimate>,
    /// The share of cases whose word goes where the relevant part is hidden and not where another is ([`Observed::part_in_pixels`]).
    pub only_relevant: Option<Estimate>,
    /// The share of those where it is the other way round.
    pub only_other: Option<Estimate>,
    /// [`Observed::part_in_cells`].
    pub part_in_cells: Option<Estimate>,
    /// [`Observed::relevancy_outside`].
    pub relevancy_outside: Option<Estimate>,
    /// [`Observed::effect_outside`].
    pub effect_outside: Option<Estimate>,
    /// [`Observed::shortcut`].
    pub shortcut: Option<Estimate>,
    /// Cases with a relevant part whose answer does not name it, or is wrong: they are in no number about parts.
    pub without_name: usize,
    /// By method, the relevancy first.
    pub methods: Vec<MethodSummary>,
    /// The share of maps that are ahead of their controls by knock-out, of those that have curves.
    pub ahead: Option<Estimate>,
    /// What the word loses in answers with a thinking trace, in nats, by the way that is closed.
    #[serde(default)]
    pub trace: Vec<TraceSummary>,
    /// Maps without curves: the picture is worth too little to the word.
    pub without_curves: usize,
    /// What it comes to.
    pub judgement: Judgement,
}

/// What the decisive word loses where one way between picture, thinking trace and answer is closed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// Which, for people.
    pub way: String,
    /// Nats of its log-probability.
    pub loss: Estimate,
}

/// A way that is closed, for people, and what is lost with it.
type Way = (&'static str, fn(&TraceUse) -> f64);

/// What one change does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChangeSummary {
    /// What is changed.
    pub change: Change,
    /// The share of cases whose decisive word flips; none where no new answers are made.
    pub flipped: Option<Estimate>,
    /// The share of cases whose new answer has any other word.
    pub rewritten: Option<Estimate>,
    /// How far the log-odds of the decisive word fall, in nats.
    pub log_odds: Option<Estimate>,
    /// Cases in which it could not be changed.
    pub unchanged: usize,
}

/// How maps of one method agree with relevant parts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MethodSummary {
    /// The name of the method.
    pub method: String,
    /// Maps.
    pub maps: usize,
    /// By measure.
    pub measures: Vec<MeasureSummary>,
    /// How far the share of the map inside the part is above that of the relevancy; none for the relevancy.
    pub ahead_of_relevancy: Option<Estimate>,
    /// How often chance makes that difference as large, corrected for the number of methods (Holm).
    pub p: Option<f64>,
}

/// One measure of agreement, beside what maps come to that know nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasureSummary {
    /// Its name: `pointing`, `mass`, `mass-over-chance`, `rank-accuracy`, `iou`.
    pub measure: String,
    /// Of the maps.
    pub own: Option<Estimate>,
    /// Of a constant map.
    pub constant: Option<Estimate>,
    /// Of the same maps moved to other places.
    pub shifted: Option<Estimate>,
}

/// A measure of agreement, by name.
type Measure = (&'static str, fn(&Agreement) -> f64);

const MEASURES: [Measure; 5] = [
    ("pointing", |it| it.pointing),
    ("mass", |it| it.mass),
    ("mass-over-chance", |it| it.mass_over_chance),
    ("rank-accuracy", |it| it.rank_accuracy),
    ("iou", |it| it.iou),
];

impl Summary {
    /// Of all rows.
    pub fn of(rows: &[Row]) -> Self {
        let names: BTreeSet<&str> = rows.iter().filter_map(|row| row.group.as_deref()).collect();
        let group = |name: &&str| {
            let of: Vec<&Row> =
                rows.iter().filter(|row| row.group.as_deref() == Some(*name)).collect();
            Group::of(name, &of)
        };
        Self {
            all: Group::of("all", &rows.iter().collect::<Vec<_>>()),
            groups: names.iter().map(group).collect(),
        }
    }
}

impl Group {
    fn of(name: &str, rows: &[&Row]) -> Self {
        let seen: Vec<(&Row, &Observed)> =
            rows.iter().filter_map(|row| Some((*row, row.observed.as_ref()?))).collect();
        let values = |of: &dyn Fn(&Row, &Observed) -> Option<f64>| -> Vec<(u64, f64)> {
            seen.iter().filter_map(|(row, it)| Some((row.patient, of(row, it)?))).collect()
        };
        let parts = |of: &dyn Fn(&Observed) -> Option<f64>| -> Vec<(u64, f64)> {
            values(&|row, _| of(row.with_part()?))
        };
        let yes = |is: bool| f64::from(u8::from(is));
        let used = |what: Use| Estimate::of_shares(&values(&|_, it| Some(yes(it.used()? == what))));
        let (uses, uses_not) = (used(Use::Yes), used(Use::No));
        let in_pixels = |sign: i8| {
            Estimate::of_shares(&parts(&|it| it.part_in_pixels().map(|it| yes(it == sign))))
        };
        let (only_relevant, only_other) = (in_pixels(1), in_pixels(-1));
        let part_in_cells = Estimate::of(&parts(&Observed::part_in_cells));
        let certified = |of: &dyn Fn(&crate::Certified) -> Option<f64>| {
            values(&|_, it| of(it.certificate.as_ref()?))
        };
        let ahead = certified(&|it| it.srg.map(|_| yes(it.ahead)));
        let evidence =
            Evidence { uses, uses_not, only_relevant, only_other, in_cells: part_in_cells };
        let patients: BTreeSet<u64> = seen.iter().map(|(row, _)| row.patient).collect();
        let has_part = |it: &Observed| it.constant.is_some();
        Self {
            name: name.to_owned(),
            cases: rows.len(),
            failed: rows.len() - seen.len(),
            patients: patients.len(),
            right: Estimate::of_shares(&values(&|row, _| row.is_right().map(yes))),
            changes: changes(&seen),
            uses,
            uses_not,
            picture_use: Estimate::of(&values(&|_, it| it.picture_use())),
            only_relevant,
            only_other,
            part_in_cells,
            relevancy_outside: Estimate::of(&parts(&Observed::relevancy_outside)),
            effect_outside: Estimate::of(&parts(&Observed::effect_outside)),
            shortcut: Estimate::of(&parts(&Observed::shortcut)),
            without_name: seen
                .iter()
                .filter(|(row, it)| has_part(it) && row.with_part().is_none())
                .count(),
            methods: methods(&seen),
            trace: through_trace(&seen),
            without_curves: certified(&|it| it.srg.is_none().then_some(1.0)).len(),
            ahead: Estimate::of_shares(&ahead),
            judgement: evidence.judge(),
        }
    }
}

fn through_trace(seen: &[(&Row, &Observed)]) -> Vec<TraceSummary> {
    let ways: [Way; 4] = [
        ("the picture hidden from all behind it", |it| it.picture),
        ("the picture hidden from the trace", |it| it.picture_in_trace),
        ("the picture hidden from the answer", |it| it.picture_in_answer),
        ("the trace hidden from the answer", |it| it.trace),
    ];
    let summary = |(way, loss): Way| {
        let items = seen.iter().filter_map(|(row, it)| Some((row.patient, loss(&it.trace?))));
        let found = Estimate::of(&items.collect::<Vec<_>>())?;
        Some(TraceSummary { way: way.to_owned(), loss: found })
    };
    ways.into_iter().filter_map(summary).collect()
}

fn changes(seen: &[(&Row, &Observed)]) -> Vec<ChangeSummary> {
    let summary = |change: Change| {
        let values = |of: &dyn Fn(&Row, &Observed) -> Option<f64>| -> Vec<(u64, f64)> {
            seen.iter().filter_map(|(row, it)| Some((row.patient, of(row, it)?))).collect()
        };
        let yes = |is: bool| f64::from(u8::from(is));
        // What was done to a part is counted where there is one that the answer names.
        let counts = |row: &Row| {
            use Change::{
                IrrelevantHidden, IrrelevantKnockOut, OutsideKnockOut, RelevantHidden,
                RelevantKnockOut,
            };
            let is_of_part = matches!(
                change,
                RelevantHidden
                    | IrrelevantHidden
                    | RelevantKnockOut
                    | IrrelevantKnockOut
                    | OutsideKnockOut
            );
            !is_of_part || row.with_part().is_some()
        };
        let flag = |of: fn(&crate::Changed) -> Option<bool>| {
            Estimate::of_shares(&values(&|row, it| {
                counts(row).then_some(())?;
                of(it.by(change)?).map(yes)
            }))
        };
        let found = ChangeSummary {
            change,
            flipped: flag(|it| it.flipped),
            rewritten: flag(|it| it.rewritten),
            log_odds: Estimate::of(&values(&|row, it| {
                counts(row).then_some(())?;
                it.log_odds_moved(change)
            })),
            unchanged: seen
                .iter()
                .filter(|(row, it)| {
                    counts(row) && it.unchanged.iter().any(|it| it.change == change)
                })
                .count(),
        };
        (found.log_odds.is_some() || 0 < found.unchanged).then_some(found)
    };
    Change::ALL.into_iter().filter_map(summary).collect()
}

fn methods(seen: &[(&Row, &Observed)]) -> Vec<MethodSummary> {
    let with_part: Vec<(u64, &Observed)> =
        seen.iter().filter_map(|(row, _)| Some((row.patient, row.with_part()?))).collect();
    let mut names: Vec<&str> = Vec::new();
    for (_, it) in &with_part {
        for map in &it.maps {
            if !names.contains(&map.method.as_str()) {
                names.push(&map.method);
            }
        }
    }
    let of_method =
        |it: &Observed, name: &str| it.maps.iter().find(|map| map.method == name).cloned();
    let differences = |name: &str| -> Vec<(u64, f64)> {
        let of = |(patient, it): &(u64, &Observed)| {
            let [own, relevancy] = [name, names[0]].map(|name| of_method(it, name)?.own);
            Some((*patient, own?.mass - relevancy?.mass))
        };
        with_part.iter().filter_map(of).collect()
    };
    let others: Vec<&str> = names.iter().skip(1).copied().collect();
    let tests: Vec<Option<f64>> = others.iter().map(|name| sign_test(&differences(name))).collect();
    let corrected = holm(&tests.iter().flatten().copied().collect::<Vec<_>>());
    let mut corrected = corrected.into_iter();
    let p: Vec<Option<f64>> =
        tests.iter().map(|test| test.and_then(|_| corrected.next())).collect();
    let summary = |(at, name): (usize, &&str)| {
        let measures = MEASURES.map(|(measure, value)| {
            let estimate = |of: &dyn Fn(&Observed) -> Option<Agreement>| {
                let items: Vec<(u64, f64)> = with_part
                    .iter()
                    .filter_map(|(patient, it)| {
                        // A map that has nothing to say is left out of what it is held against, too.
                        of_method(it, name)?.own?;
                        Some((*patient, value(&of(it)?)))
                    })
                    .collect();
                // The only one that a case has or has not.
                if measure == "pointing" {
                    Estimate::of_shares(&items)
                } else {
                    Estimate::of(&items)
                }
            };
            MeasureSummary {
                measure: measure.to_owned(),
                own: estimate(&|it| of_method(it, name)?.own),
                constant: estimate(&|it| it.constant),
                shifted: estimate(&|it| of_method(it, name)?.shifted),
            }
        });
        let before = at.checked_sub(1);
        MethodSummary {
            method: (*name).to_owned(),
            maps: with_part
                .iter()
                .filter(|(_, it)| of_method(it, name).is_some_and(|map| map.own.is_some()))
                .count(),
            measures: measures.to_vec(),
            ahead_of_relevancy: before.and_then(|_| Estimate::of(&differences(name))),
            p: before.and_then(|at| p[at]),
        }
    };
    names.iter().enumerate().map(summary).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::agreement::MethodAgreement;
    use crate::observed::tests::observed;
    use crate::verdict::Verdict;

    pub(crate) fn row(patient: u64, observed: Observed) -> Row {
        Row {
            id: format!("case {patient}"),
            patient,
            label: Some("opacity".to_owned()),
            group: Some(if patient.is_multiple_of(2) { "even" } else { "odd" }.to_owned()),
            right_answer: None,
            observed: Some(observed),
            error: None,
        }
    }

    /// A case that a sound model has: the word goes with the relevant part.
    pub(crate) fn sound() -> Observed {
        let mut found = observed(&[
            (Change::Blank, Some(true), 4.0),
            (Change::OtherLabel, Some(true), 6.0),
            (Change::RelevantHidden, Some(true), 4.0),
            (Change::IrrelevantHidden, Some(false), 0.0),
            (Change::KnockOut, None, 4.0),
            (Change::RelevantKnockOut, None, 3.0),
            (Change::IrrelevantKnockOut, None, 0.0),
            (Change::OutsideKnockOut, None, 0.3),
        ]);
        found.constant = Some(Agreement { mass: 0.1, ..Agreement::default() });
        found
    }

    /// A case of a model that looks elsewhere.
    fn elsewhere() -> Observed {
        let mut found = sound();
        for changed in &mut found.changes {
            match changed.change {
                Change::RelevantHidden => {
                    (changed.flipped, changed.log_probability) = (Some(false), -0.01);
                }
                Change::RelevantKnockOut => changed.log_probability = -0.02,
                Change::OutsideKnockOut => changed.log_probability = -4.0,
                _ => {}
            }
        }
        found.maps[0].own = Some(Agreement { mass: 0.05, ..Agreement::default() });
        found
    }

    /// A case of a model that answers from the question alone.
    fn prior() -> Observed {
        let mut found = sound();
        for changed in &mut found.changes {
            (changed.flipped, changed.log_probability) = (changed.flipped.map(|_| false), -0.05);
        }
        found
    }

    #[test]
    fn three_models_have_three_verdicts() {
        let of = |observed: fn() -> Observed| {
            let rows: Vec<Row> = (0..20).map(|patient| row(patient, observed())).collect();
            Summary::of(&rows)
        };
        let found = of(sound);
        assert_eq!(found.all.judgement.verdict, Verdict::UsesThePart);
        assert!(found.all.shortcut.unwrap().mean < 0.3);
        assert_eq!(found.groups.iter().map(|group| group.cases).collect::<Vec<_>>(), [10, 10]);
        let found = of(elsewhere).all;
        assert_eq!(found.judgement.verdict, Verdict::UsesAnotherPart);
        assert!(0.9 < found.shortcut.unwrap().mean);
        let found = of(prior).all;
        assert_eq!(found.judgement.verdict, Verdict::DoesNotNeedThePicture);
        assert!(found.picture_use.unwrap().mean < 0.1);
    }

    #[test]
    fn failed_and_wrong_cases_are_counted_and_left_out() {
        let mut rows: Vec<Row> = (0..6).map(|patient| row(patient, sound())).collect();
        rows[0].right_answer = Some("nodule".to_owned());
        rows[1].right_answer = Some("opacity".to_owned());
        rows.push(Row {
            error: Some("no such file".to_owned()),
            observed: None,
            ..row(6, sound())
        });
        let found = Summary::of(&rows).all;
        assert_eq!((found.cases, found.failed, found.patients, found.without_name), (7, 1, 6, 1));
        assert_eq!(found.right.map(|it| (it.mean, it.items)), Some((0.5, 2)));
        assert_eq!(found.only_relevant.unwrap().items, 5);
        let of = |change| found.changes.iter().find(|it| it.change == change).unwrap();
        assert_eq!(of(Change::RelevantHidden).flipped.unwrap().items, 5);
        assert_eq!(of(Change::Blank).flipped.unwrap().items, 6);
        assert!(found.changes.iter().all(|it| it.change != Change::NoPicture));
    }

    #[test]
    fn methods_are_compared_with_the_relevancy() {
        let with = |mass: f64| {
            let mut found = sound();
            found.maps.push(MethodAgreement {
                method: "rollout".to_owned(),
                own: Some(Agreement { mass, ..Agreement::default() }),
                shifted: None,
            });
            found
        };
        let rows: Vec<Row> = (0..10).map(|patient| row(patient, with(0.25))).collect();
        let found = Summary::of(&rows).all.methods;
        assert_eq!((found[0].p, found[0].ahead_of_relevancy), (None, None));
        assert!((found[1].ahead_of_relevancy.unwrap().mean + 0.5).abs() < 1e-9);
        assert_eq!(found[1].p, Some(2.0 / 1024.0));
        assert!((found[1].measures[1].own.unwrap().mean - 0.25).abs() < 1e-9);
    }
}
