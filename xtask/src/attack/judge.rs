//! What is wrong with how a run ended.

use super::case::{Call, Expect, Signal};
use super::run::{Ended, LONGEST, Limits, Said};
use super::sandbox::{Seen, Trace};

/// Kinds of findings: the columns of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The program panicked, was ended by a signal that is not ours, or ended with a code that it does not document.
    Crash,
    /// More time or memory than the limits.
    Resources,
    /// Control characters, bytes that are not UTF-8, or a flood.
    Output,
    /// Files changed, left behind or escaped.
    Files,
    /// It ended well-behaved, but not as it must.
    Answer,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Crash, Self::Resources, Self::Output, Self::Files, Self::Answer];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Resources => "time or memory",
            Self::Output => "output",
            Self::Files => "files",
            Self::Answer => "wrong answer",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) kind: Kind,
    pub(crate) what: String,
}

fn finding(kind: Kind, what: impl Into<String>) -> Finding {
    Finding { kind, what: what.into() }
}

/// Everything that is wrong with one run; `before` and `after`: the sandbox.
pub(crate) fn judge(
    call: &Call,
    ended: &Ended,
    limits: Limits,
    before: &Seen,
    after: &Seen,
) -> Vec<Finding> {
    let mut found: Vec<Finding> = exit(call, ended).into_iter().collect();
    if limits.resident_mib < ended.peak_mib {
        found.push(finding(Kind::Resources, format!("{} MiB of memory", ended.peak_mib)));
    }
    for (name, said) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        found.extend(output(name, said));
    }
    found.extend(files(call, ended, before, after));
    if found.is_empty() {
        found.extend(expectation(call, ended));
    }
    found
}

/// Whether its results are there: with `--strict` that is told by another code where something is not as asked.
pub(crate) fn is_done(call: &Call, ended: &Ended) -> bool {
    let is_strict = || call.args.iter().any(|arg| arg == "--strict");
    ended.code == Some(0) || ended.code == Some(3) && is_strict()
}

fn exit(call: &Call, ended: &Ended) -> Option<Finding> {
    const CPU_TIME: i32 = 24;
    const FILE_SIZE: i32 = 25;
    let ours = call.interruption.map(|it| it.signal);
    let stderr = String::from_utf8_lossy(&ended.stderr.bytes);
    if stderr.contains("panicked") {
        let line = stderr.lines().find(|line| line.contains("panicked")).unwrap_or_default();
        return Some(finding(Kind::Crash, line));
    }
    if ended.timed_out {
        let seconds = ended.took.as_secs();
        return Some(finding(Kind::Resources, format!("not at its end after {seconds} s")));
    }
    match (ended.code, ended.signal) {
        (Some(0..=2), _) => None,
        _ if is_done(call, ended) => None,
        // A signal of ours: 128 and its number, or the end by the signal itself.
        (Some(code), _) if ours.is_some_and(|signal| code == 128 + signal.number()) => None,
        (_, Some(number)) if ours.is_some_and(|signal| number == signal.number()) => None,
        (_, Some(CPU_TIME)) => Some(finding(Kind::Resources, "more processor time than allowed")),
        (_, Some(FILE_SIZE)) => Some(finding(Kind::Crash, "ended by SIGXFSZ without a word")),
        (_, Some(number)) => Some(finding(Kind::Crash, format!("ended by signal {number}"))),
        (Some(code), None) => Some(finding(Kind::Crash, format!("exit code {code}"))),
        (None, None) => Some(finding(Kind::Crash, "neither a code nor a signal")),
    }
}

fn output(name: &str, said: &Said) -> Option<Finding> {
    if LONGEST as u64 <= said.total {
        return Some(finding(Kind::Output, format!("{} bytes on {name}", said.total)));
    }
    let Ok(text) = std::str::from_utf8(&said.bytes) else {
        return Some(finding(Kind::Output, format!("{name} is not UTF-8")));
    };
    let raw = text.chars().find(|&c| acts_on_terminal(c))?;
    Some(finding(Kind::Output, format!("U+{:04X} raw on {name}", u32::from(raw))))
}

/// Controls of a terminal, and those that reorder the text around them.
fn acts_on_terminal(c: char) -> bool {
    let reorders = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() && !matches!(c, '\n' | '\t') || reorders
}

/// Where a run may write, relative to the sandbox.
const MAY_APPEAR: [&str; 5] = [
    "a/b/c/place/out",
    "a/b/c/home/.cache",
    "a/b/c/home/hub/models--attack--model/",
    "a/b/c/home/hub/.locks/models--attack--model/",
    "a/b/c/home/Library",
];
/// Folders that hold nothing of ours by themselves.
const FOLDERS: [&str; 4] = [
    "a/b/c/home/hub",
    "a/b/c/home/hub/.locks",
    "a/b/c/home/hub/models--attack--model",
    "a/b/c/home/hub/.locks/models--attack--model",
];

/// How folders of unfinished results begin.
const UNFINISHED: &str = ".unfinished-";

fn files(call: &Call, ended: &Ended, before: &Seen, after: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, trace) in before {
        let is_ours = || call.replaces.iter().any(|name| path.ends_with(name.as_str()));
        match after.get(path) {
            Some(now) if now == trace => {}
            _ if is_ours() => {}
            // What a killed run left; files of somebody else are called `mine`.
            None if path.contains(UNFINISHED) && !path.contains("mine") => {}
            Some(_) => found.push(finding(Kind::Files, format!("{path} was changed"))),
            None => found.push(finding(Kind::Files, format!("{path} was removed"))),
        }
    }
    let was_killed = ended.timed_out
        || call.interruption.is_some_and(|interruption| interruption.signal == Signal::Kill);
    // Results are kept where only what is said about them reaches nobody.
    let failed = !is_done(call, ended) && !was_killed && call.redirect.is_empty();
    let unfinished = |path: &String| path.contains(UNFINISHED) && !path.contains("mine");
    // What a killed run left goes with the next run that writes to the same folder, and stays until then.
    let cleans = is_done(call, ended) && call.args.windows(2).any(|pair| pair == ["--out", "out"]);
    let is_left = |path: &&String| unfinished(path) && (cleans || !before.contains_key(*path));
    if let Some(path) = after.keys().find(|path| is_left(path) && !was_killed) {
        found.push(finding(Kind::Files, format!("{path} was left")));
    }
    for (path, trace) in after.iter().filter(|(path, _)| !before.contains_key(*path)) {
        let is_allowed = MAY_APPEAR.iter().any(|prefix| path.starts_with(prefix))
            || *trace == Trace::Folder && FOLDERS.contains(&path.as_str());
        let is_result = path.starts_with("a/b/c/place/out");
        if !is_allowed {
            found.push(finding(Kind::Files, format!("{path} appeared")));
        } else if failed && is_result {
            found.push(finding(Kind::Files, format!("{path} appeared though the run failed")));
        }
    }
    found
}

fn expectation(call: &Call, ended: &Ended) -> Option<Finding> {
    let said = String::from_utf8_lossy(&ended.stderr.bytes);
    let said: String = said.chars().take(300).collect();
    match &call.expect {
        Expect::Any => None,
        Expect::Done if is_done(call, ended) => None,
        Expect::Done => Some(finding(Kind::Answer, format!("refused: {}", said.trim()))),
        Expect::Refused(_) if is_done(call, ended) => {
            Some(finding(Kind::Answer, "accepted, and must be refused"))
        }
        Expect::Refused(parts) => {
            let stderr = String::from_utf8_lossy(&ended.stderr.bytes);
            let missing = parts.iter().find(|part| !stderr.contains(**part))?;
            Some(finding(Kind::Answer, format!("no {missing:?} in: {}", said.trim())))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::attack::case::Interruption;

    fn ended(code: Option<i32>, signal: Option<i32>) -> Ended {
        Ended {
            code,
            signal,
            timed_out: false,
            stdout: Said::default(),
            stderr: Said::default(),
            peak_mib: 1,
            took: Duration::ZERO,
        }
    }

    fn said(text: &str) -> Said {
        Said { bytes: text.as_bytes().to_vec(), total: text.len() as u64 }
    }

    fn kinds(call: &Call, ended: &Ended, before: &Seen, after: &Seen) -> Vec<Kind> {
        let found = judge(call, ended, Limits::USUAL, before, after);
        found.into_iter().map(|finding| finding.kind).collect()
    }

    fn alone(call: &Call, ended: &Ended) -> Vec<Kind> {
        kinds(call, ended, &Seen::new(), &Seen::new())
    }

    #[test]
    fn documented_codes_are_fine_and_every_other_end_is_a_finding() {
        let call = Call::new(["x"]);
        for code in [0, 1, 2] {
            assert_eq!(alone(&call, &ended(Some(code), None)), []);
        }
        let strict = Call::new(["explain", "--strict"]);
        assert_eq!(alone(&strict, &ended(Some(3), None)), []);
        for code in [3, 70, 101, 130] {
            assert_eq!(alone(&call, &ended(Some(code), None)), [Kind::Crash]);
        }
        for signal in [6, 9, 11] {
            assert_eq!(alone(&call, &ended(None, Some(signal))), [Kind::Crash]);
        }
        assert_eq!(alone(&call, &ended(None, Some(24))), [Kind::Resources]);
        let slow = Ended { timed_out: true, ..ended(None, Some(9)) };
        assert_eq!(alone(&call, &slow), [Kind::Resources]);
        let panicked = Ended { stderr: said("thread panicked at x"), ..ended(Some(1), None) };
        assert_eq!(alone(&call, &panicked), [Kind::Crash]);
        let large = Ended { peak_mib: 1 << 20, ..ended(Some(0), None) };
        assert_eq!(alone(&call, &large), [Kind::Resources]);
    }

    #[test]
    fn a_signal_of_ours_may_end_the_run_and_no_other() {
        let mut call = Call::new(["x"]);
        call.interruption =
            Some(Interruption { signal: Signal::Terminate, after: Duration::ZERO, twice: false });
        assert_eq!(alone(&call, &ended(Some(143), None)), []);
        assert_eq!(alone(&call, &ended(None, Some(15))), []);
        assert_eq!(alone(&call, &ended(Some(130), None)), [Kind::Crash]);
        assert_eq!(alone(&call, &ended(None, Some(9))), [Kind::Crash]);
    }

    #[test]
    fn what_acts_on_a_terminal_is_a_finding() {
        let call = Call::new(["x"]);
        for text in ["a\u{1b}[31m", "\u{9b}1m", "\r", "\u{202e}", "\u{2066}"] {
            let ended = Ended { stderr: said(text), ..ended(Some(1), None) };
            assert_eq!(alone(&call, &ended), [Kind::Output], "{text:?}");
        }
        let fine = Ended { stdout: said("a\tb\nÄ שלום \u{200f}"), ..ended(Some(0), None) };
        assert_eq!(alone(&call, &fine), []);
        let bytes = Ended { stdout: Said { bytes: vec![0xff], total: 1 }, ..ended(Some(0), None) };
        assert_eq!(alone(&call, &bytes), [Kind::Output]);
        let flood = Said { bytes: Vec::new(), total: 1 << 20 };
        assert_eq!(alone(&call, &Ended { stdout: flood, ..ended(Some(0), None) }), [Kind::Output]);
    }

    #[test]
    fn files_may_appear_in_out_and_nowhere_else_and_none_may_change() {
        let trace = |byte: u8| Trace::File(vec![byte]);
        let place = |name: &str| format!("a/b/c/place/{name}");
        let mut call = Call::new(["x"]);
        let before = Seen::from([(place("mine.png"), trace(1))]);
        let check = |call: &Call, code, name: &str, byte| {
            let mut after = before.clone();
            after.insert(place(name), trace(byte));
            kinds(call, &ended(Some(code), None), &before, &after)
        };
        assert_eq!(check(&call, 0, "out/explanation.json", 1), []);
        assert_eq!(check(&call, 1, "out/explanation.json", 1), [Kind::Files]);
        assert_eq!(check(&call, 0, "out/.unfinished-7", 1), [Kind::Files]);
        assert_eq!(check(&call, 0, "elsewhere", 1), [Kind::Files]);
        assert_eq!(check(&call, 0, "mine.png", 2), [Kind::Files]);
        assert_eq!(
            kinds(&call, &ended(Some(0), None), &before, &Seen::new()),
            [Kind::Files],
            "removed"
        );
        call.replaces = vec!["mine.png".to_owned()];
        assert_eq!(check(&call, 0, "mine.png", 2), []);

        // A page that is made elsewhere does not tidy up; an explanation into the same folder does.
        let killed = Seen::from([(place("out/.unfinished-7"), trace(1))]);
        let after =
            |args: [&str; 3]| kinds(&Call::new(args), &ended(Some(0), None), &killed, &killed);
        assert_eq!(after(["report", "out", "--json"]), []);
        assert_eq!(after(["explain", "--out", "out"]), [Kind::Files]);
    }

    #[test]
    fn a_case_that_must_be_refused_is_refused_with_its_words() {
        let call = Call::new(["x"]).refused(&["tokenizer.json", "dropout"]);
        let with = |code, text| Ended { stderr: said(text), ..ended(Some(code), None) };
        assert_eq!(alone(&call, &with(1, "error: tokenizer.json: dropout")), []);
        assert_eq!(alone(&call, &with(1, "error: tokenizer.json")), [Kind::Answer]);
        assert_eq!(alone(&call, &with(0, "tokenizer.json: dropout")), [Kind::Answer]);
        let call = Call::new(["x"]).done();
        assert_eq!(alone(&call, &with(1, "error: no")), [Kind::Answer]);
        assert_eq!(alone(&call, &with(0, "")), []);
    }
}
