//! Certificates of maps of the project's checkpoints, on phantoms that no training saw: how often each map is ahead of its controls, and
//! where ways to take cells away disagree.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use medgemma_explainer::{
    Ask, CertificateOptions, Compared, DtypeSpec, ExplainOptions, Explainer, Faithfulness,
    HeadFusion, HeadWeights, Layers, LoadOptions, Method, ModelSource, Occlusion, Operator,
    OperatorCertificate, Words,
};
use serde_json::{Value, json};

use crate::examples::picture;
use crate::questions::Question;
use crate::recipe::Variant;
use crate::reliance::measure::SIZE;
use crate::reliance::spans::{Class, spans};
use crate::scenes::{Purpose, scene};
use crate::threads::share;
use model_audit::Estimate;

/// The relevancy itself, in tables.
const RELEVANCY: &str = "relevancy";

/// What is certified beside the relevancy.
fn methods() -> Vec<Compared> {
    let all = || Layers::All;
    vec![
        Compared::Occlusion(Occlusion::Knockout),
        Compared::Occlusion(Occlusion::MeanEmbedding),
        Compared::Other(Method::MeanCell),
        Compared::Other(Method::InputGradient),
        Compared::Other(Method::GradientAttention { heads: HeadFusion::default(), layers: all() }),
        Compared::Other(Method::RawAttention {
            heads: HeadWeights::Fused(HeadFusion::default()),
            layers: all(),
        }),
        Compared::Other(Method::Rollout { heads: HeadFusion::default(), layers: all() }),
    ]
}

/// One map of one word by one operator.
#[derive(Debug, Clone)]
struct Map {
    picture: u64,
    operator: Operator,
    method: String,
    srg: f64,
    is_ahead: bool,
}

/// What all operators say together of one word.
#[derive(Debug, Clone)]
struct Word {
    picture: u64,
    /// Whether it names a finding that is there; otherwise every report has it there.
    is_finding: bool,
    found: Faithfulness,
    /// By how many operators there are no curves.
    undefined: BTreeMap<&'static str, bool>,
}

/// What was found for one checkpoint.
#[derive(Debug, Default)]
pub struct Certified {
    maps: Vec<Map>,
    words: Vec<Word>,
    /// How long all certificates took, and the explanations.
    seconds: [f64; 2],
    /// Runs without other cells.
    runs: usize,
    /// Pictures.
    pictures: u64,
}

/// Certifies words of right reports about unseen phantoms: every name of a finding, and as many words that every report has.
///
/// # Errors
/// A checkpoint that cannot be loaded, and what explaining fails with.
pub fn measure(
    folder: &Path,
    (seed, variant): (u64, Variant),
    pictures: u64,
    operators: &[Operator],
) -> Result<Certified> {
    let parts = share(pictures, |numbers| {
        let source = ModelSource::Directory(folder.to_owned());
        let options = LoadOptions::default().with_dtype(DtypeSpec::Float32);
        let explainer = Explainer::load(&source, &options)?;
        let mut found = Certified::default();
        for number in numbers {
            found.look(&explainer, (seed, variant), number, operators)?;
        }
        Ok(found)
    })?;
    let mut all = Certified { pictures, ..Certified::default() };
    for part in parts {
        all.maps.extend(part.maps);
        all.words.extend(part.words);
        all.runs += part.runs;
        all.seconds = [0, 1].map(|at| all.seconds[at] + part.seconds[at]);
    }
    Ok(all)
}

impl Certified {
    fn look(
        &mut self,
        explainer: &Explainer,
        (seed, variant): (u64, Variant),
        number: u64,
        operators: &[Operator],
    ) -> Result<()> {
        let scene = scene(seed, Purpose::Evaluation, number, variant);
        let right = Question::Describe.answer(&scene);
        let shown = picture(&scene.render(SIZE))?;
        let asked = medgemma_explainer::Question::new(vec![shown], Question::Describe.text());
        let answer = explainer.given(asked, &right.text())?;
        let spans = spans(&answer, &right);
        let of_class = |class: Class| spans.iter().filter(move |span| span.class == class);
        // The shortcut looks at the tag for opacities alone.
        let findings = of_class(Class::Finding)
            .filter(|span| variant == Variant::Sound || span.text == "opacity");
        let findings: Vec<_> = findings.collect();
        let fixed =
            of_class(Class::Fixed).skip(number as usize % 3).step_by(5).take(findings.len());
        let words: Vec<_> = findings.iter().copied().chain(fixed).collect();
        if words.is_empty() {
            return Ok(());
        }
        let asks: Vec<Ask> = words.iter().map(|span| Ask::Tokens(span.positions.clone())).collect();
        let options = ExplainOptions::default().with_words(Words::None).with_methods(methods());
        let explained = explainer.explain(&answer, &asks, &options)?;
        let asked =
            CertificateOptions::default().with_operators(operators.to_vec()).with_seed(number);
        let certificate = explainer.certify(&answer, &explained, &asked)?;
        let seconds = |duration: Duration| duration.as_secs_f64();
        self.seconds[0] += seconds(certificate.duration);
        self.seconds[1] += seconds(explained.duration);
        self.runs += certificate.runs;
        for (index, found) in certificate.targets.iter().enumerate() {
            let is_finding = index < findings.len();
            self.words.push(Word {
                picture: number,
                is_finding,
                found: found.faithfulness(),
                undefined: found
                    .operators()
                    .map(|(operator, found)| (operator.name(), found.srg.is_none()))
                    .collect(),
            });
            if is_finding {
                for (operator, found) in found.operators() {
                    self.maps.extend(maps(number, operator, found));
                }
            }
        }
        Ok(())
    }

    fn estimate<T>(items: &[T], of: impl Fn(&T) -> Option<(u64, f64)>) -> Option<Estimate> {
        Estimate::of(&items.iter().filter_map(of).collect::<Vec<_>>())
    }

    fn operators(&self) -> Vec<Operator> {
        let is_there = |it: &Operator| self.maps.iter().any(|map| map.operator == *it);
        Operator::ALL.into_iter().filter(is_there).collect()
    }

    /// Method by method: the median gain by each operator, and how often it is ahead of its controls.
    pub fn methods(&self) -> String {
        let operators = self.operators();
        let mut table = String::from("| map |");
        for operator in &operators {
            let _infallible = write!(table, " {operator}: SRG | ahead |");
        }
        table += "\n|---|";
        table += &"---:|---:|".repeat(operators.len());
        let names = std::iter::once(RELEVANCY.to_owned());
        for name in names.chain(methods().iter().map(ToString::to_string)) {
            let _infallible = write!(table, "\n| {name} |");
            for &operator in &operators {
                let of = |map: &Map| map.operator == operator && map.method == name;
                let gain = median(self.maps.iter().filter(|map| of(map)).map(|map| map.srg));
                let ahead = Self::estimate(&self.maps, |map| {
                    of(map).then_some((map.picture, f64::from(u8::from(map.is_ahead))))
                });
                let gain = gain.map_or("–".to_owned(), |gain| format!("{gain:+.2}"));
                let _infallible = write!(table, " {gain} | {} |", percent(ahead.as_ref()));
            }
        }
        table + "\n"
    }

    /// What is said of names of findings and of words that every report has.
    pub fn words(&self, name: &str) -> String {
        let mut table = String::new();
        for (is_finding, what) in
            [(true, "names of findings"), (false, "words that every report has")]
        {
            let of = |is: &dyn Fn(&Word) -> bool| {
                Self::estimate(&self.words, |word| {
                    let yes = f64::from(u8::from(is(word)));
                    (word.is_finding == is_finding).then_some((word.picture, yes))
                })
            };
            let all = of(&|word| matches!(word.found, Faithfulness::Ahead { by, of } if by == of));
            let some = of(
                &|word| matches!(word.found, Faithfulness::Ahead { by, of } if 0 < by && by < of),
            );
            let none = of(&|word| matches!(word.found, Faithfulness::Ahead { by: 0, .. }));
            let no_effect = of(&|word| word.found == Faithfulness::NoEffect);
            let undefined = of(&|word| word.found == Faithfulness::Undefined);
            let count = all.as_ref().map_or(0, |it| it.items);
            let cells = [&all, &some, &none, &no_effect, &undefined];
            let cells = cells.map(|found| percent(found.as_ref())).join(" | ");
            let _infallible = writeln!(table, "| {name}: {what} | {count} | {cells} |");
        }
        table
    }

    /// How long it took.
    pub fn cost(&self) -> String {
        let [certificates, explanations] = self.seconds;
        format!(
            "{} pictures: {} runs without other cells in {certificates:.0} s, {:.1} ms each; the explanations with all methods {explanations:.0} s.",
            self.pictures,
            self.runs,
            1e3 * certificates / self.runs.max(1) as f64,
        )
    }

    /// All of it as data.
    pub fn to_json(&self) -> Value {
        let map = |map: &Map| {
            json!({ "picture": map.picture, "operator": map.operator.name(), "method": map.method,
                    "srg": map.srg, "ahead": map.is_ahead })
        };
        let word = |word: &Word| {
            json!({ "picture": word.picture, "finding": word.is_finding,
                    "found": word.found.to_string(), "undefined": word.undefined })
        };
        json!({
            "pictures": self.pictures,
            "maps": self.maps.iter().map(map).collect::<Vec<_>>(),
            "words": self.words.iter().map(word).collect::<Vec<_>>(),
        })
    }
}

fn maps(picture: u64, operator: Operator, found: &OperatorCertificate) -> Vec<Map> {
    let map = |method: &str, srg: f64, is_ahead: bool| Map {
        picture,
        operator,
        method: method.to_owned(),
        srg,
        is_ahead,
    };
    let own = found.srg.map(|srg| map(RELEVANCY, srg, found.is_ahead()));
    let others = found
        .methods
        .iter()
        .filter_map(|method| Some(map(&method.name, method.srg?, method.is_ahead())));
    own.into_iter().chain(others).collect()
}

/// A blank that is a finding to the model makes few gains very large.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn percent(found: Option<&Estimate>) -> String {
    found.map_or("–".to_owned(), |it| {
        format!("{:.0} % ({:.0} to {:.0})", 100.0 * it.mean, 100.0 * it.low, 100.0 * it.high)
    })
}
