//! The options of `explain` about the reliance on the pictures, and what it prints of it.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use medgemma_explainer::{
    Answer, Blank, DependsOnPicture, Explanations, Reliance, Request, TargetControl,
    TargetExplanation, TargetReliance,
};
use serde::{Deserialize, Serialize};

use crate::explain::{shorten, shown};
use crate::output;
use crate::reading::Reader;
use crate::task::{Follower, Step};

#[derive(clap::Args, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RelianceArgs {
    /// Test whether each explained word depends on the picture: what the picture adds to its log-probability compared with a
    /// blank in its place. Blanks, separated by commas: mean, blur, mean-embedding, knockout; without a value all four, which
    /// only together can answer "no". Each costs one forward pass; knockout is the cheapest
    #[arg(
        long,
        value_enum,
        value_name = "BLANK",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "mean,blur,mean-embedding,knockout",
        help_heading = "Reliance"
    )]
    reliance: Vec<BlankArg>,
    /// The same test with another picture in the place of each, such as one of another patient, stretched to its size
    #[arg(long, value_name = "FILE", help_heading = "Reliance")]
    reliance_picture: Option<PathBuf>,
    /// Also explain each target on the mean picture, with the same prompt and answer: the difference is what the map owes to the
    /// picture, rather than to where its tokens stand in the sequence
    #[arg(long, help_heading = "Reliance")]
    blank_control: bool,
}

#[derive(ValueEnum, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum BlankArg {
    /// Every pixel has the mean colour of the picture
    Mean,
    /// A strong Gaussian blur: σ = 10 pixels of 896
    Blur,
    /// Every image token has the mean embedding of the picture's tokens
    MeanEmbedding,
    /// No later token can attend to the picture, in any layer
    Knockout,
}

impl RelianceArgs {
    /// What is to stand in the place of the pictures; reads the other picture.
    pub(crate) fn blanks(&self, reader: &Reader) -> anyhow::Result<Vec<Blank>> {
        let mut blanks = Vec::new();
        for blank in &self.reliance {
            let blank = match blank {
                BlankArg::Mean => Blank::Mean,
                BlankArg::Blur => Blank::Blur,
                BlankArg::MeanEmbedding => Blank::MeanEmbedding,
                BlankArg::Knockout => Blank::Knockout,
            };
            if !blanks.contains(&blank) {
                blanks.push(blank);
            }
        }
        if let Some(path) = &self.reliance_picture {
            blanks.push(Blank::Another(Box::new(reader.one(path)?)));
        }
        Ok(blanks)
    }

    /// With the mean picture in the place of the pictures, where nothing was asked for.
    pub(crate) fn or_mean(mut self) -> Self {
        if self.reliance.is_empty() && self.reliance_picture.is_none() {
            self.reliance.push(BlankArg::Mean);
        }
        self
    }

    pub(crate) fn is_asked(&self) -> bool {
        *self != Self::default()
    }

    /// The other picture's file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.reliance_picture.as_deref()
    }

    /// Finds out what was asked for and puts it beside the explanations.
    pub(crate) fn add(
        &self,
        request: &Request<'_>,
        (answer, blanks): (&Answer, &[Blank]),
        explanations: &mut Explanations,
        follower: &dyn Follower,
    ) -> anyhow::Result<()> {
        if !blanks.is_empty() {
            follower.begins(Step::Reliance);
            explanations.reliance = Some(request.reliance(answer, explanations, blanks)?);
        }
        if self.blank_control && explanations.targets.is_empty() {
            follower.note("--blank-control needs a target; add one, for instance with --keyword");
        } else if self.blank_control {
            follower.begins(Step::BlankControl);
            explanations.control = Some(request.blank_control(answer, explanations)?);
        }
        Ok(())
    }
}

/// One line for each target: what the picture adds, whether the target depends on it, and what to beware of; nothing where nobody
/// asked.
pub(crate) fn print(explanations: &Explanations) {
    if let Some(reliance) = &explanations.reliance {
        print_reliance(explanations, reliance);
    }
    if let Some(control) = &explanations.control {
        output::blank_line();
        output::line("Relevancy in the pictures, and with the mean picture in their place:");
        for (target, control) in explanations.targets.iter().zip(&control.targets) {
            print_control(target, control);
        }
    }
}

fn print_reliance(explanations: &Explanations, reliance: &Reliance) {
    let blanks = &reliance.blanks;
    output::blank_line();
    output::line("What the picture adds to the log-probability, in nats:");
    let names: Vec<String> = blanks.iter().map(|blank| format!("vs {blank}")).collect();
    let widths: Vec<usize> = names.iter().map(|name| name.len().max(8)).collect();
    let line = |text: &str, gains: &[String], [depends, beware]: [&str; 2]| {
        let gains = gains.iter().zip(&widths).map(|(gain, &width)| format!("{gain:>width$}"));
        let gains = gains.collect::<Vec<_>>().join(" ");
        let line = format!("{:<24} {gains}  {depends:<9}  {beware}", shorten(text, 24));
        output::line(line.trim_end());
    };
    line("explained", &names, ["depends", "remarks"]);
    let are_words = explanations.targets.is_empty(); // nobody named a target
    let found = if are_words { &reliance.words } else { &reliance.targets };
    for (target, found) in shown(explanations).iter().zip(found) {
        let gains: Vec<String> = found.blanks.iter().map(|gain| signed(gain.pmi())).collect();
        let depends = found.depends_on_picture(blanks);
        let beware = found.beware(blanks).join("; ");
        line(&target.label(), &gains, [depends.name(), &beware]);
    }
    let traces = shown(explanations).iter().zip(found);
    let traces: Vec<_> =
        traces.filter_map(|(it, found)| Some((it.label(), found.trace?))).collect();
    if !traces.is_empty() {
        output::blank_line();
        output::line(
            "What its log-probability gains or loses with ways through the thinking trace closed:",
        );
        for (label, trace) in traces {
            output::line(format_args!("{:<24} {}", shorten(&label, 24), trace.phrase()));
        }
    }
    if !are_words {
        print_words(reliance);
    }
}

/// How many of the other words do not depend on the picture.
fn print_words(reliance: &Reliance) {
    let is_no =
        |word: &&TargetReliance| word.depends_on_picture(&reliance.blanks) == DependsOnPicture::No;
    let count = reliance.words.iter().filter(is_no).count();
    if 0 < count {
        let all = reliance.words.len();
        output::line(format_args!(
            "({count} of the {all} other words do not depend on the picture; explanation.json says which)"
        ));
    }
}

fn print_control(target: &TargetExplanation, control: &TargetControl) {
    let ratio = control.ratio().map_or(String::new(), |ratio| format!("{ratio:.2} times as much"));
    output::line(format_args!(
        "{:<24} {:>11.4} {:>11.4}  {ratio}",
        shorten(&target.label(), 24),
        control.image_sum,
        control.image_sum_blank,
    ));
}

/// With two decimals and a sign, which zero has not.
pub(crate) fn signed(nats: f32) -> String {
    match format!("{nats:+.2}") {
        zero if zero == "-0.00" || zero == "+0.00" => "0.00".to_owned(),
        nats => nats,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_no_sign() {
        assert_eq!([-0.004, 0.004, -0.006, 2.5].map(signed), ["0.00", "0.00", "-0.01", "+2.50"]);
    }
}
