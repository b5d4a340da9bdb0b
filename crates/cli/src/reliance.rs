//! The options of `explain` about the reliance on the pictures, and what it prints of it.

use std::path::PathBuf;

use clap::ValueEnum;
use medgemma_explainer::{
    Answer, Blank, Explainer, Explanations, PictureOptions, TargetControl, TargetExplanation,
};

use crate::asked::open;
use crate::explain::shorten;
use crate::{output, progress};

#[derive(clap::Args, Debug)]
pub(crate) struct RelianceArgs {
    /// What each explained word gains in log-probability by the pictures, against a blank in their place: mean (their mean colour),
    /// blur; several with commas. Words that gain nothing are flagged: their maps are no evidence
    #[arg(
        long,
        value_enum,
        value_name = "BLANK",
        value_delimiter = ',',
        help_heading = "Reliance"
    )]
    reliance: Vec<BlankArg>,
    /// The same against another picture, such as that of another patient, stretched to the size of each one
    #[arg(long, value_name = "FILE", help_heading = "Reliance")]
    reliance_picture: Option<PathBuf>,
    /// Explain each target on the mean picture too, same prompt and same answer: the difference is what the map owes to the picture
    /// and not to the place of its cells in the text
    #[arg(long, help_heading = "Reliance")]
    blank_control: bool,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum BlankArg {
    /// Every pixel has the mean colour of its picture
    Mean,
    /// A strong gaussian blur: σ = 10 pixels of 896
    Blur,
}

impl RelianceArgs {
    /// What is to stand in the place of the pictures; reads the other picture.
    pub(crate) fn blanks(&self, options: &PictureOptions) -> anyhow::Result<Vec<Blank>> {
        let mut blanks = Vec::new();
        for blank in &self.reliance {
            let blank = match blank {
                BlankArg::Mean => Blank::Mean,
                BlankArg::Blur => Blank::Blur,
            };
            if !blanks.contains(&blank) {
                blanks.push(blank);
            }
        }
        if let Some(path) = &self.reliance_picture {
            blanks.push(Blank::Another(Box::new(open(path, options)?)));
        }
        Ok(blanks)
    }

    /// Finds out what was asked for and puts it beside the explanations.
    pub(crate) fn add(
        &self,
        explainer: &Explainer,
        answer: &Answer,
        blanks: &[Blank],
        explanations: &mut Explanations,
    ) -> anyhow::Result<()> {
        if !blanks.is_empty() {
            let compare = || explainer.reliance(answer, explanations, blanks);
            explanations.reliance = Some(progress::step("looking without the picture", compare)?);
        }
        if self.blank_control {
            let control = || explainer.blank_control(answer, explanations);
            explanations.control = Some(progress::step("explaining without the picture", control)?);
        }
        Ok(())
    }
}

/// One line for each target: what the picture adds, and what to beware of; nothing where nobody asked.
pub(crate) fn print(explanations: &Explanations) {
    if let Some(reliance) = &explanations.reliance {
        let names = reliance.blanks.iter().map(|blank| format!("vs {blank}"));
        let names: Vec<String> = names.collect();
        output::blank_line();
        output::line("What the picture adds to the log-probability, in nats:");
        line("explained", &names, "entropy", "beware");
        for (target, found) in explanations.targets.iter().zip(&reliance.targets) {
            let gains: Vec<String> = found.blanks.iter().map(|gain| signed(gain.pmi())).collect();
            let entropy = found.map_entropy.map_or("-".to_owned(), |part| format!("{part:.2}"));
            let beware = found.beware(&reliance.blanks).join("; ");
            line(&target.label(), &gains, &entropy, &beware);
        }
        let count = reliance.words.iter().filter(|word| word.is_flagged(&reliance.blanks)).count();
        if 0 < count {
            let all = reliance.words.len();
            output::line(format_args!(
                "({count} of the {all} other words are flagged too; explanation.json says which)"
            ));
        }
    }
    if let Some(control) = &explanations.control {
        output::blank_line();
        output::line("Relevancy of the pictures, and of the mean picture in their place:");
        for (target, control) in explanations.targets.iter().zip(&control.targets) {
            print_control(target, control);
        }
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

fn line(text: &str, gains: &[String], entropy: &str, warnings: &str) {
    let gains: Vec<String> = gains.iter().map(|gain| format!("{gain:>11}")).collect();
    let gains = gains.join(" ");
    let line = format!("{:<24} {gains} {entropy:>9}  {warnings}", shorten(text, 24));
    output::line(line.trim_end());
}

/// With two decimals and a sign, which zero has not.
fn signed(nats: f32) -> String {
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
