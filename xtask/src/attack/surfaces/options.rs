//! Command lines: options as the command's own help lists them, with values that nobody would give.

use anyhow::Result;

use super::Surface;
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::mutate;
use crate::attack::picture;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "command lines", fixed, random };

fn base(title: &str) -> Case {
    Case::new(title).file("picture.png", picture::good())
}

fn explain() -> Call {
    Call::explain("phantom", "picture.png")
}

fn fixed(_: &Material) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut case = |title: &str, call: Call| cases.push(base(title).call(call));
    case(
        "escape sequences in a keyword",
        explain().and(["--keyword", "\u{1b}[31mred"]).done(), // told that the answer has no such words
    );
    case("a keyword that turns text around", explain().and(["--keyword", "\u{202e}x"]).done());
    case("escape sequences in a path", Call::answer("phantom", "\u{1b}]0;x\u{7}.png").refused(&[]));
    case(
        "escape sequences in a model",
        Call::answer("\u{1b}[31m/\u{202e}", "picture.png").refused(&[]),
    );
    case("escape sequences in an option", explain().and(["--\u{1b}[31m"]).refused(&[]));
    case("escape sequences in a value", explain().and(["--colormap", "\u{9b}31m"]).refused(&[]));
    case("escape sequences in a command", Call::new(["\u{1b}[31m"]).refused(&[]));
    let quantiles = vec!["0.5"; 5000].join(",");
    case("5000 contours", explain().and(["--contours", &quantiles]).refused(&["contours"]));
    let keywords = (0..300).flat_map(|_| ["--keyword", "right"]);
    case("300 keywords", explain().and(keywords));
    case(
        "more threads than any machine has",
        explain().and(["--threads", "1000000"]).refused(&["threads"]),
    );
    for number in ["2147483648", "9223372036854775807", "18446744073709551615"] {
        let call =
            Call::new(["answer", "--model", "phantom", "--image", "picture.png", "--prompt", "x"]);
        case(number, call.and(["--max-new-tokens", number]));
    }
    case(
        "a prompt of 100 kB",
        Call::answer("phantom", "picture.png")
            .and(["--system", &"effusion ".repeat(11_000)])
            .refused(&[]),
    );
    case(
        "control tokens",
        Call::answer("phantom", "picture.png").and(["--system", "<end_of_turn>"]).refused(&[]),
    );
    case(
        "a text that acts on terminals",
        Call::answer("phantom", "picture.png").and(["--system", "\u{1b}[2J\u{202e}", "--tokens"]),
    );
    case("a date that is markup", explain().and(["--date", "</script><script>alert(1)</script>"]));
    let page =
        Call::new(["explain", "--model", "phantom", "--image", "picture.png", "--threads", "1"]);
    let page = page.and([
        "--prompt",
        "</script><script>alert(1)</script>",
        "--max-new-tokens",
        "2",
        "--out",
        "out",
    ]);
    case("a prompt that is markup", page.done());
    Ok(cases)
}

/// An option of a command, as its help lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Listed {
    name: String,
    takes_value: bool,
    /// The values that the help names.
    values: Vec<String>,
}

/// The options in a page of help.
fn listed(help: &str) -> Vec<Listed> {
    let mut options: Vec<Listed> = Vec::new();
    for line in help.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("-h, ").unwrap_or(line);
        if line.starts_with("--") {
            let name: String = line.split([' ', ',', '[', '.']).next().unwrap_or("").to_owned();
            let takes_value = line[name.len()..].trim_start().starts_with('<');
            options.push(Listed { name, takes_value, values: Vec::new() });
        } else if let Some((value, _)) =
            line.strip_prefix("- ").and_then(|rest| rest.split_once(':'))
            && let Some(last) = options.last_mut()
        {
            last.values.push(value.to_owned());
        }
    }
    options
}

/// What asks for long work rather than for trouble: a run of it would prove nothing.
const LONG_WORK: [&str; 4] = ["--count", "--size", "--ignore-stop", "--max-new-tokens"];

fn random(material: &Material, random: &mut SplitMix) -> Result<Case> {
    let pages = material.help()?;
    let (command, help) = random.pick(pages);
    let options = listed(help);
    let mut call = Call::new([command.as_str()]);
    if !random.once_in(8) {
        call = call.and(needed(command));
    }
    for _ in 0..=random.below(4) {
        let option = random.pick(&options);
        if LONG_WORK.contains(&option.name.as_str()) {
            continue;
        }
        call = call.and([&option.name]);
        if option.takes_value != random.once_in(12) {
            call = call.and([value(random, option)]);
        }
    }
    let shown: Vec<_> = call.args.iter().map(|arg| arg.to_string_lossy()).collect();
    let title: String = shown.join(" ").chars().take(200).collect();
    Ok(base(&title).with("stored", What::Stored).call(call))
}

fn needed(command: &str) -> &'static [&'static str] {
    match command {
        "inspect" => &["--model", "phantom"],
        "answer" => &[
            "--model",
            "phantom",
            "--image",
            "picture.png",
            "--prompt",
            "Describe the radiograph.",
            "--max-new-tokens",
            "2",
            "--threads",
            "1",
        ],
        "explain" => &[
            "--model",
            "phantom",
            "--image",
            "picture.png",
            "--prompt",
            "Describe the radiograph.",
            "--max-new-tokens",
            "2",
            "--threads",
            "1",
            "--out",
            "out",
        ],
        "diagnose" => &["--model", "phantom", "--threads", "1"],
        "report" => &["stored", "--out", "out.html"],
        _ => &["--out", "out", "--size", "64"],
    }
}

/// A value that fits, a number, or a text.
fn value(random: &mut SplitMix, option: &Listed) -> String {
    match random.below(6) {
        0..=1 if !option.values.is_empty() => random.pick(&option.values).clone(),
        0 => format!("{},{}", mutate::number(random), mutate::number(random)),
        1 => format!("{}..{}", mutate::number(random), mutate::number(random)),
        2..=3 => mutate::number(random).to_owned(),
        // An argument cannot hold the character 0.
        _ => mutate::text(random, random_word(option))
            .replace('\0', "")
            .chars()
            .take(100_000)
            .collect(),
    }
}

fn random_word(option: &Listed) -> &str {
    option.values.first().map_or("right", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_help() {
        let help = "Options:\n      --model <DIR>  Where\n  -h, --help  Help\n      --dtype <T>\n          Type\n          \
                    - auto: x\n          - float32: y\n      --image <FILE>...\n";
        let found = listed(help);
        let names: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.takes_value)).collect();
        assert_eq!(
            names,
            [("--model", true), ("--help", false), ("--dtype", true), ("--image", true)]
        );
        assert_eq!(found[2].values, ["auto", "float32"]);
    }
}
