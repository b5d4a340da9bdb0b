//! The one place that writes to people: data to stdout, all else to stderr.
//!
//! Texts come from files, models and command lines of others: control characters reach nobody raw (`escape_controls` has the
//! notation), whether there is a terminal or not. Only colours of the program's own pass.
//!
//! A stdout or stderr that takes no more never ends a run, whose files are worth more than its lines: the first failure of stdout
//! is kept, nothing is written there any more, and `main` looks at it when all is done. Where stderr fails nobody can be told.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{Error, ErrorKind, IsTerminal, Write, stderr, stdout};
use std::process::exit;
use std::sync::OnceLock;

use medgemma_explainer::{escape_controls, escape_json_controls};

use crate::hint;

/// More characters of one message are cut: a file can make an error of any length.
const LONGEST_MESSAGE: usize = 4000;

/// What stdout failed with first.
static FAILURE: OnceLock<Error> = OnceLock::new();

/// A line of data.
pub(crate) fn line(text: impl Display) {
    write(&format!("{}\n", escape_controls(&text.to_string(), &[])));
}

/// An empty line between two kinds of data.
pub(crate) fn blank_line() {
    write("\n");
}

/// A part of an answer, or a table: line breaks and tabs are the text's own.
pub(crate) fn text(text: &str) {
    write(&escape_controls(text, &['\n', '\t']));
}

/// Text in colours, made by the program: its colour sequences pass, and nothing else that steers a terminal.
pub(crate) fn painted(text: &str) {
    write(&escape_all_but_colours(text));
}

/// A JSON document of the program's own. Control and direction characters in it are escaped as JSON does.
pub(crate) fn json(document: &str) {
    write(&escape_json_controls(document));
    write("\n");
}

/// A line for a program that waits for it: whole and at once, and an error where nobody takes it.
pub(crate) fn answer(line: &str) -> std::io::Result<()> {
    let mut stdout = stdout().lock();
    stdout.write_all(format!("{line}\n").as_bytes()).and_then(|()| stdout.flush())
}

/// A line of a log.
pub(crate) fn log(line: &str) {
    tell(&format!("{}\n", escape_controls(line, &[])));
}

/// Whether somebody still reads stdout.
pub(crate) fn is_read() -> bool {
    FAILURE.get().is_none()
}

/// Why stdout could not take everything. That its reader went, as `head` does, is no failure.
pub(crate) fn failure() -> Option<&'static Error> {
    FAILURE.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

pub(crate) fn note(text: impl Display) {
    message("note", &text.to_string());
}

pub(crate) fn warning(text: impl Display) {
    message("warning", &text.to_string());
}

/// What went wrong, and why.
pub(crate) fn failed(error: &anyhow::Error) {
    self::error(format_args!("{}{}", reasons(error), hint::of(error)));
}

/// What went wrong, and why: each reason once, since some messages hold that of the next.
pub(crate) fn reasons(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for reason in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
    }
    text
}

pub(crate) fn error(text: impl Display) {
    message("error", &text.to_string());
}

pub(crate) fn interrupted() {
    tell("interrupted\n");
}

/// Several lines for who looks for a mistake of the program.
pub(crate) fn trace(text: &str) {
    tell(&escape_controls(text, &['\n', '\t']));
}

/// Ends the process with what clap has to say: the help that was asked for, or what is wrong with the arguments.
pub(crate) fn end(error: &clap::Error) -> ! {
    let rendered = error.render();
    if error.use_stderr() {
        // It quotes arguments. clap takes colours out, theirs too; what else would steer a terminal is still there.
        tell(&escape_controls(&rendered.to_string(), &['\n']));
    } else if stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) {
        painted(&rendered.ansi().to_string());
    } else {
        text(&rendered.to_string());
    }
    match failure() {
        None => exit(error.exit_code()),
        Some(reason) => {
            self::error(format_args!("cannot write to stdout: {reason}"));
            exit(1)
        }
    }
}

/// Columns and rows of the terminal that stdout is.
pub(crate) fn terminal_size() -> Option<(u32, u32)> {
    let (columns, rows) = terminal_size::terminal_size_of(stdout())?;
    Some((columns.0.into(), rows.0.into()))
}

/// Whether stdout is a terminal.
pub(crate) fn is_terminal() -> bool {
    stdout().is_terminal()
}

/// Whether progress has a terminal to be shown in.
pub(crate) fn shows_progress() -> bool {
    stderr().is_terminal()
}

fn write(text: &str) {
    if !is_read() {
        return;
    }
    let mut stdout = stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        let _first = FAILURE.set(error);
    }
}

/// A message is one line.
fn message(kind: &str, text: &str) {
    let text = escape_controls(text, &[]);
    tell(&format!("{kind}: {}\n", shortened(&text)));
}

fn tell(text: &str) {
    let _nobody_can_be_told = stderr().lock().write_all(text.as_bytes());
}

fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(LONGEST_MESSAGE) {
        None => text.into(),
        Some((end, _)) => {
            let rest = text[end..].chars().count();
            format!("{}… ({rest} more characters)", &text[..end]).into()
        }
    }
}

/// Leaves `ESC [ numbers m` in the text, as painters write it.
fn escape_all_but_colours(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut out = escape_controls(parts.next().unwrap_or_default(), &['\n', '\t']).into_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ';');
        let is_colour = end.is_some_and(|end| part[end..].starts_with('m'));
        out.push_str(if is_colour { "\u{1b}[" } else { "\\u{1b}[" });
        out.push_str(&escape_controls(part, &['\n', '\t']));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_pass_and_other_sequences_do_not() {
        let text = "\u{1b}[38;2;1;2;3m\u{1b}[4mword\u{1b}[0m\n";
        assert_eq!(escape_all_but_colours(text), text);
        for (text, expected) in [
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("a\u{1b}]0;title\u{7}", "a\\u{1b}]0;title\\u{7}"),
            ("\u{1b}[", "\\u{1b}["),
            ("\u{1b}[1;2", "\\u{1b}[1;2"),
            ("\u{1b}\u{1b}[0m", "\\u{1b}\u{1b}[0m"),
            ("\u{9b}31m\u{202e}", "\\u{9b}31m\\u{202e}"),
        ] {
            assert_eq!(escape_all_but_colours(text), expected);
        }
    }

    #[test]
    fn a_message_has_an_end() {
        let long = "é".repeat(LONGEST_MESSAGE + 7);
        let shown = shortened(&long);
        assert!(shown.ends_with("é… (7 more characters)"), "{shown}");
        assert_eq!(shortened("short"), "short");
    }
}
