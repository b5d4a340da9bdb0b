//! What is measured, in which order: ours and the peer in turn.

/// Which sizes.
pub(crate) struct Plan {
    /// Short: to see that everything works.
    pub(crate) quick: bool,
    /// Long sequences of the large model, and no plain arrays.
    pub(crate) cuda: bool,
}

/// Who computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    Ours,
    Peer,
}

/// Which checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    None,
    Main,
    Growth,
}

/// One process to come.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) section: &'static str,
    pub(crate) row: String,
    pub(crate) program: Program,
    pub(crate) job: &'static str,
    pub(crate) model: Model,
    pub(crate) args: Vec<String>,
}

use Model::{Growth, Main, None};
use Program::{Ours, Peer};

impl Plan {
    pub(crate) fn measurements(&self) -> Vec<Planned> {
        let mut list = self.question();
        list.extend(self.answer());
        list.extend(self.patches());
        list.extend(self.growth());
        if !self.cuda {
            list.extend(self.relevancy());
        }
        list
    }

    /// From a picture's file to a report on disk.
    fn question(&self) -> Vec<Planned> {
        let answer = if self.quick { 8 } else { 40 };
        let plan = |row: &str, program, extra: &str| Planned {
            section: "question",
            row: row.to_owned(),
            program,
            job: "question",
            model: Main,
            args: words(&format!("--answer {answer} {extra}")),
        };
        vec![plan("ours", Ours, ""), plan("peer", Peer, ""), plan("unfrozen", Peer, "--unfrozen")]
    }

    /// One picture, a question, an answer: everything but the growth.
    fn answer(&self) -> Vec<Planned> {
        let answer = if self.quick { 8 } else { 40 };
        let usual = |rest: &str| format!("--images 1 --text 25 --answer {answer} {rest}");
        let plan = |section, row: &str, (program, job, model), rest: &str| Planned {
            section,
            row: row.to_owned(),
            program,
            job,
            model,
            args: words(&if model == None { rest.to_owned() } else { usual(rest) }),
        };
        let [three, one] = ["--runs 3", "--runs 1"];
        vec![
            plan("generation", "read", (Ours, "read", None), three),
            plan("generation", "ours", (Ours, "generate", Main), three),
            plan("generation", "peer", (Peer, "generate", Main), "--runs 3 --enough 90"),
            plan("generation", "inputs", (Ours, "generate-recording", Main), one),
            plan("generation", "everything", (Ours, "generate-keeping", Main), one),
            plan("explanation", "matmul", (Ours, "matmul", None), "--tokens 324 --runs 5"),
            plan("explanation", "rebuild", (Ours, "rebuild", Main), three),
            plan("explanation", "peer", (Peer, "explain", Main), three),
            plan("explanation", "pull-back", (Ours, "pull-back", Main), three),
            plan("explanation", "retained", (Ours, "retained", Main), one),
            plan("explanation", "unfrozen", (Peer, "explain", Main), "--unfrozen --enough 0"),
            plan("methods", "methods", (Ours, "methods", Main), three),
            plan("targets", "next", (Ours, "next-question", Main), three),
            plan("targets", "many", (Ours, "rebuild", Main), &format!("--targets {answer} {one}")),
        ]
    }

    /// One picture through the vision tower and back; on a CPU the way back is long.
    fn patches(&self) -> Vec<Planned> {
        let enough = if self.cuda { "--enough 20" } else { "--enough 0" };
        let plan = |row: &str, job, rest: &str| Planned {
            section: "patches",
            row: row.to_owned(),
            program: Ours,
            job,
            model: Main,
            args: words(&format!("{rest} {enough}")),
        };
        let budget = format!("--memory-budget {}", 2_000_000_000_u64);
        vec![
            plan("picture", "picture", "--runs 3"),
            plan("keeping", "picture-keeping", "--runs 3"),
            plan("kept", "patches-kept", &budget),
            plan("patches", "patches", &budget),
        ]
    }

    /// The conversation grows by pictures.
    fn growth(&self) -> Vec<Planned> {
        let budget = if self.cuda { 16_u64 << 30 } else { 4 << 30 };
        let ours = format!("--memory-budget {budget}");
        let mut list = Vec::new();
        for (tokens, images) in self.lengths() {
            let text = tokens - 1 - images * IMAGE_TOKENS - ANSWER;
            let rest =
                format!("--images {images} --text {text} --answer {ANSWER} --runs 3 --enough 20");
            for (who, program, job, extra) in
                [("ours", Ours, "rebuild", ours.as_str()), ("peer", Peer, "explain", "")]
            {
                list.push(Planned {
                    section: "growth",
                    row: format!("{who} {tokens}"),
                    program,
                    job,
                    model: Growth,
                    args: words(&format!("{rest} {extra}")),
                });
            }
        }
        list
    }

    /// Tokens and pictures.
    fn lengths(&self) -> Vec<(usize, usize)> {
        match self {
            Self { quick: true, .. } => vec![(700, 2), (1400, 5)],
            Self { cuda: true, .. } => vec![(2800, 10), (22_700, 85)],
            _ => vec![(2800, 10), (5600, 20), (11_000, 40), (22_700, 85)],
        }
    }

    /// Plain arrays. Three layers of the long matrix are enough: each takes as long.
    fn relevancy(&self) -> Vec<Planned> {
        let sizes: &[(&str, usize, usize)] = if self.quick {
            &[("row", 300, 34), ("matrix", 300, 3)]
        } else {
            &[("row", 1000, 34), ("matrix", 1000, 34), ("row", 3000, 34), ("matrix", 3000, 3)]
        };
        let plan = |&(job, tokens, layers): &(&'static str, usize, usize)| Planned {
            section: "relevancy",
            row: format!("{job} {tokens}"),
            program: Ours,
            job,
            model: None,
            args: words(&format!("--tokens {tokens} --layers {layers} --runs 3")),
        };
        sizes.iter().map(plan).collect()
    }
}

/// Tokens of a picture with the two around it.
const IMAGE_TOKENS: usize = 258;
/// Tokens of the answer in the growing conversation.
const ANSWER: usize = 40;

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sections;
    use super::*;

    #[test]
    fn every_section_is_measured_and_every_row_has_its_own_name() {
        for (quick, cuda) in [(false, false), (true, false), (false, true)] {
            let list = Plan { quick, cuda }.measurements();
            let mut names: Vec<_> = list.iter().map(|p| (p.section, p.row.clone())).collect();
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count);
            assert!(list.iter().all(|planned| sections::NAMES.contains(&planned.section)));
            assert!(cuda || sections::NAMES.iter().all(|s| names.iter().any(|n| n.0 == *s)));
        }
    }

    #[test]
    fn lengths_are_reached() {
        let list = Plan { quick: false, cuda: false }.measurements();
        let planned = list.iter().find(|planned| planned.row == "ours 22700").unwrap();
        let number = |name: &str| -> usize {
            let at = planned.args.iter().position(|word| word == name).unwrap();
            planned.args[at + 1].parse().unwrap()
        };
        let tokens = 1 + 258 * number("--images") + number("--text") + number("--answer");
        assert_eq!(tokens, 22_700);
    }
}
