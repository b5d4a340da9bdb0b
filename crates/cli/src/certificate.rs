//! The options of `explain` about certificates, and what it prints of them.

use clap::ValueEnum;
use medgemma_explainer::{
    Answer, CertificateOptions, Explanations, Faithfulness, MapChange, NO_EFFECT, Operator,
    OperatorCertificate, Request, TargetCertificate,
};
use serde::{Deserialize, Serialize};

use crate::explain::{shorten, shown};
use crate::output;
use crate::reliance::signed;
use crate::task::{Follower, Step, is_slow};

#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CertificateArgs {
    /// Certify each map: how much the explained text loses without the cells that its map puts first and last, compared with controls
    /// (random orders, moved copies of the map, a blob). Ways to take cells away, separated by commas: knock-out, mean-embedding, blur,
    /// road; without a value all four; full: all four, the map of the picture moved by a pixel and a little brighter or darker, and the map
    /// of the model with its layers randomised, from the last one down.
    /// knock-out is the cheapest; blur and road run the vision tower once for each of some hundred pictures
    #[arg(
        long,
        value_enum,
        value_name = "OPERATOR",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "knock-out,mean-embedding,blur,road",
        help_heading = "Certificate"
    )]
    certificate: Vec<OperatorArg>,
    /// Controls to compare with, 19 to 999 [default: 19]: the least p is 1 / (N + 1)
    #[arg(long, value_name = "N", requires = "certificate", help_heading = "Certificate")]
    certificate_controls: Option<usize>,
    /// Percent of the cells that are taken away, ascending [default: 1,2,4,8,16,32,50,75]. Fewer are faster
    #[arg(
        long,
        value_name = "PERCENT",
        value_delimiter = ',',
        requires = "certificate",
        help_heading = "Certificate"
    )]
    certificate_percent: Vec<f64>,
    /// Take squares of N × N cells away at a time [default: 1]: an effect that one cell is too small for
    #[arg(long, value_name = "N", requires = "certificate", help_heading = "Certificate")]
    certificate_block: Option<usize>,
    /// Seed of random orders, copies and noise [default: 0]
    #[arg(long, value_name = "N", requires = "certificate", help_heading = "Certificate")]
    certificate_seed: Option<u64>,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum OperatorArg {
    /// Hidden from the words behind the picture, in every layer
    KnockOut,
    /// Replaced by the mean embedding of the picture
    MeanEmbedding,
    /// Blurred in the picture: σ = 10 pixels of 896
    Blur,
    /// Filled in from the pixels around (ROAD)
    Road,
    /// All of these, and how the map changes with the picture moved or a little brighter, and with the layers of the model randomised
    Full,
}

impl CertificateArgs {
    pub(crate) fn is_asked(&self) -> bool {
        *self != Self::default()
    }

    fn options(&self) -> CertificateOptions {
        let asked = |operator: &Operator| {
            let one = match operator {
                Operator::KnockOut => OperatorArg::KnockOut,
                Operator::MeanEmbedding => OperatorArg::MeanEmbedding,
                Operator::Blur => OperatorArg::Blur,
                _ => OperatorArg::Road,
            };
            self.certificate.contains(&one) || self.is_full()
        };
        let mut options = CertificateOptions::default()
            .with_operators(Operator::ALL.into_iter().filter(asked).collect())
            .with_stability(self.is_full())
            .with_randomisation(self.is_full());
        if let Some(controls) = self.certificate_controls {
            options.controls = controls;
        }
        if !self.certificate_percent.is_empty() {
            options.fractions = self.certificate_percent.iter().map(|it| it / 100.0).collect();
        }
        options.block = self.certificate_block.unwrap_or(options.block);
        options.seed = self.certificate_seed.unwrap_or(options.seed);
        options
    }

    fn is_full(&self) -> bool {
        self.certificate.contains(&OperatorArg::Full)
    }

    /// What is wrong with them is known before the model runs.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.is_asked() { Ok(self.options().check()?) } else { Ok(()) }
    }

    /// Certifies what was asked for and puts it beside the explanations.
    pub(crate) fn add(
        &self,
        request: &Request<'_>,
        answer: &Answer,
        explanations: &mut Explanations,
        follower: &dyn Follower,
    ) -> anyhow::Result<()> {
        if !self.is_asked() {
            return Ok(());
        }
        let options = self.options();
        let looks =
            [Operator::Blur, Operator::Road].iter().any(|it| options.operators.contains(it));
        if looks && is_slow(request) {
            follower.note(
                "blur and road run the vision tower for each of some hundred pictures, some seconds each; \
                 --certificate knock-out,mean-embedding leaves them out",
            );
        }
        follower.begins(Step::Certificate);
        explanations.certificate = Some(request.certify(answer, explanations, &options)?);
        Ok(())
    }
}

/// One line for each target: what each operator says; and below it the other methods, where there are any.
pub(crate) fn print(explanations: &Explanations) {
    let Some(certificate) = &explanations.certificate else { return };
    let found =
        if certificate.targets.is_empty() { &certificate.words } else { &certificate.targets };
    let operators: Vec<Operator> =
        Operator::ALL.into_iter().filter(|it| certificate.options.operators.contains(it)).collect();
    output::blank_line();
    output::line(format_args!(
        "Certificate: area between \"least relevant cells gone first\" and \"most relevant first\" (SRG; p against the controls)"
    ));
    let line = |text: &str, cells: &[String], verdict: &str| {
        let cells = cells.iter().map(|cell| format!("{cell:>16}")).collect::<Vec<_>>().join(" ");
        output::line(format!("{:<24} {cells}  {verdict}", shorten(text, 24)).trim_end());
    };
    let names: Vec<String> = operators.iter().map(|operator| operator.name().to_owned()).collect();
    line("explained", &names, "the map is");
    for (target, found) in shown(explanations).iter().zip(found) {
        let own = |operator: &Operator| found.get(*operator).map_or_else(String::new, cell);
        let cells: Vec<String> = operators.iter().map(own).collect();
        line(&target.label(), &cells, &found.faithfulness().to_string());
        print_methods(found, &operators, &line);
        print_undefined(found);
        print_changes("the same picture, hardly changed", &found.stability);
        print_changes("the model randomised", &found.randomisation);
    }
    output::line(
        "(ahead of its controls: no random order, moved copy or blob does as well. It says that the map is faithful to the model, never \
         that the answer is right)",
    );
}

fn cell(found: &OperatorCertificate) -> String {
    score(found.srg, found.p)
}

fn score(srg: Option<f64>, p: Option<f64>) -> String {
    match (srg, p) {
        (Some(srg), Some(p)) => format!("{} (p {p:.3})", signed(srg as f32)),
        (Some(srg), None) => signed(srg as f32),
        (None, _) => "–".to_owned(),
    }
}

fn print_methods(
    found: &TargetCertificate,
    operators: &[Operator],
    line: &dyn Fn(&str, &[String], &str),
) {
    let of = |operator: &Operator| found.get(*operator);
    let count = operators.iter().filter_map(of).map(|found| found.methods.len()).max().unwrap_or(0);
    for method in 0..count {
        let gain = |operator: &Operator| of(operator)?.methods.get(method);
        let Some(name) = operators.iter().find_map(gain).map(|gain| gain.name.clone()) else {
            continue;
        };
        let cells = operators.iter().map(|operator| {
            gain(operator).map_or_else(|| "–".to_owned(), |gain| score(gain.srg, gain.p))
        });
        line(&format!("  {name}"), &cells.collect::<Vec<_>>(), "");
    }
}

/// The rank correlations of the map with those after each change.
fn print_changes(of: &str, changes: &[MapChange]) {
    if changes.is_empty() {
        return;
    }
    output::line(format_args!("  map correlates with that of {of} (rank correlation):"));
    for change in changes {
        output::line(format_args!(
            "    {} {}",
            signed(change.rank_correlation as f32),
            change.what
        ));
    }
}

/// Why there are no curves.
fn print_undefined(found: &TargetCertificate) {
    if found.faithfulness() == Faithfulness::NoEffect {
        let nats = |(operator, found): (Operator, &OperatorCertificate)| {
            format!("{operator} {}", signed(found.worth() as f32))
        };
        let nats: Vec<String> = found.operators().map(nats).collect();
        output::line(format_args!("  {NO_EFFECT}: in nats it adds {}", nats.join(", ")));
        return;
    }
    for (operator, found) in found.operators() {
        if let Some(why) = found.undefined.clone().or_else(|| found.remark()) {
            output::line(format_args!("  {operator}: {why}"));
        }
    }
}
