//! Files, names and answers of others, and streams that take nothing: nothing gets through, no run is lost.

use std::fs::{self, OpenOptions};
use std::process::{Output, Stdio};

use image::{ImageBuffer, Luma};
use integration_tests::Fixture;
use tempfile::tempdir;

use crate::support::{asked, command, explain_args, names, record, run, text};

/// What no terminal may get of anybody: it would set a title, clear the screen, turn text round, begin another line.
const HOSTILE: &str = "\u{1b}]0;a\u{7}\u{1b}[2J\u{9b}31m\u{202e}b\u{2066}\u{2028}\u{85}\u{7f}\rc";

/// Nothing of [`HOSTILE`] is in the text as it is.
fn is_harmless(text: &str) -> bool {
    !HOSTILE.chars().any(|c| !c.is_ascii_graphic() && text.contains(c))
}

#[test]
fn control_characters_of_arguments_are_escaped() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let keyword = run(explain_args(asked(&fixture), folder.path(), &["--keyword", HOSTILE]));
    assert!(is_harmless(&keyword.stderr), "{:?}", keyword.stderr);
    keyword.failed(&[
        "`\\u{1b}]0;a\\u{7}\\u{1b}[2J\\u{9b}31m\\u{202e}b\\u{2066}\\u{2028}\\u{85}\\u{7f}\\rc`",
    ]);
    for args in [
        vec![HOSTILE],
        vec!["inspect", "--model", "phantom", "--threads", HOSTILE],
        vec!["inspect", "--model", "phantom", HOSTILE],
        vec!["inspect", "--model", "phantom", "--device", HOSTILE],
        vec!["inspect", &format!("--{HOSTILE}")],
    ] {
        let refused = run(&args);
        assert!(is_harmless(&refused.stderr), "{:?}", refused.stderr);
        refused.refused("\\u{202e}b\\u{2066}");
    }
}

#[test]
fn control_characters_of_names_are_escaped() {
    let fixture = Fixture::open("short-window");
    let root = tempdir().unwrap();
    let name = HOSTILE.replace('/', "");
    let broken = root.path().join(format!("{name}.png"));
    fs::write(&broken, "no picture").unwrap();
    let out = root.path().join("out");
    let mut args = asked(&fixture);
    let at = args.iter().position(|arg| arg == "--image").unwrap() + 1;
    let picture = args[at].clone();
    args[at] = text(&broken);
    let failed = run(explain_args(args.clone(), &out, &[]));
    assert!(is_harmless(&failed.stderr), "{:?}", failed.stderr);
    failed.failed(&["\\u{1b}]0;a", ".png is not a picture"]);

    args[at] = picture;
    let out = root.path().join(&name);
    let done = run(explain_args(args, &out, &[])).done();
    assert!(is_harmless(&done.stdout), "{:?}", done.stdout);
    assert!(done.stdout.contains("\\u{202e}b\\u{2066}"), "{:?}", done.stdout);
}

#[test]
fn control_characters_of_an_answer_are_escaped_and_its_lines_stay() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let answer = format!("one\ttwo{HOSTILE}\nthree");
    let more = ["--answer", &answer, "--keyword", "three"];
    let asked = without_generation(asked(&fixture));
    let shown = run(explain_args(asked.clone(), folder.path(), &more)).done();
    assert!(is_harmless(&shown.stdout), "{:?}", shown.stdout);
    assert!(shown.stdout.starts_with("one\ttwo\\u{1b}]0;a\\u{7}"), "{:?}", shown.stdout);
    assert!(shown.stdout.contains("\\rc\nthree\n"), "{:?}", shown.stdout);

    let more = [&more[..], &["--json"]].concat();
    let json = run(explain_args(asked, folder.path(), &more)).done();
    assert!(is_harmless(&json.stdout), "JSON is escaped as JSON");
    assert_eq!(json.json(), record(folder.path()));
}

/// Without the options that only a generated answer takes.
fn without_generation(mut args: Vec<String>) -> Vec<String> {
    args.retain(|arg| arg != "--ignore-stop");
    args
}

/// A stream to nobody.
#[derive(Clone, Copy, Debug)]
enum Stream {
    /// A pipe whose reader has gone.
    Closed,
    /// A disk that has no room.
    Full,
}

impl Stream {
    fn open(self) -> Option<Stdio> {
        match self {
            Self::Closed => {
                let (reader, writer) = std::io::pipe().unwrap();
                drop(reader);
                Some(writer.into())
            }
            Self::Full => Some(OpenOptions::new().write(true).open("/dev/full").ok()?.into()),
        }
    }
}

fn output_with(args: &[String], stdout: Option<Stdio>, stderr: Option<Stdio>) -> Output {
    let mut command = command(args);
    command.stdout(stdout.unwrap_or_else(Stdio::piped));
    command.stderr(stderr.unwrap_or_else(Stdio::piped)).spawn().unwrap().wait_with_output().unwrap()
}

#[cfg(unix)]
#[test]
fn a_stderr_that_takes_nothing_loses_no_run() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let broken = ["inspect".to_owned(), "--model".to_owned(), "nowhere".to_owned()];
    // Whose default window is a warning.
    let deep = folder.path().join("deep.png");
    ImageBuffer::from_fn(8, 8, |x, y| Luma([(x * 4000 + y) as u16])).save(&deep).unwrap();
    for (number, stream) in [Stream::Closed, Stream::Full].into_iter().enumerate() {
        let Some(stderr) = stream.open() else { continue };
        let out = folder.path().join(number.to_string());
        let mut args = asked(&fixture);
        let at = args.iter().position(|arg| arg == "--image").unwrap() + 1;
        args[at] = text(&deep);
        let ended = output_with(&explain_args(args, &out, &[]), None, Some(stderr));
        assert_eq!(ended.status.code(), Some(0), "{stream:?}: {ended:?}");
        assert!(out.join("explanation.json").is_file(), "{stream:?}");
        for args in [&broken[..], &["--wrong".to_owned()]] {
            let ended = output_with(args, None, stream.open());
            let expected = if args.len() == 1 { 2 } else { 1 };
            assert_eq!(ended.status.code(), Some(expected), "{stream:?}: {ended:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_ends_no_work_and_is_no_error() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let model = text(&fixture.model());
    let inspect = ["inspect".to_owned(), "--model".to_owned(), model];
    let answer = [vec!["answer".to_owned()], asked(&fixture)].concat();
    for args in [&explain_args(asked(&fixture), &out, &[]), &inspect[..], &answer] {
        let ended = output_with(args, Stream::Closed.open(), None);
        assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), &b""[..]), "{ended:?}");
    }
    assert!(names(&out).contains(&"report.html".to_owned()));
    for args in [&["--help".to_owned()][..], &["--version".to_owned()]] {
        let ended = output_with(args, Stream::Closed.open(), None);
        assert_eq!((ended.status.code(), &ended.stderr[..]), (Some(0), &b""[..]), "{ended:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_full_stdout_is_an_error_that_loses_no_results() {
    if Stream::Full.open().is_none() {
        return;
    }
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let out = folder.path().join("out");
    let model = text(&fixture.model());
    let inspect = ["inspect".to_owned(), "--model".to_owned(), model];
    let explain = explain_args(asked(&fixture), &out, &["--json"]);
    for args in [&explain, &inspect[..], &["--help".to_owned()]] {
        let ended = output_with(args, Stream::Full.open(), None);
        let stderr = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("error: cannot write to stdout: "), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    assert!(names(&out).contains(&"report.html".to_owned()));
}

#[test]
fn the_exit_codes_are_in_the_help() {
    let help = run(["--help"]).done().stdout;
    assert!(help.contains("Exit codes: 0 done, 1 failure, 2 wrong use, 70 "), "{help}");
}
