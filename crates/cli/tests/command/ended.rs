//! The command ended from outside, by signals: nothing half-done stays.
#![cfg(unix)]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use integration_tests::Fixture;
use tempfile::tempdir;

use crate::support::{asked, command, explain, explain_args, names, record, run, text};

fn send(signal: &str, child: &Child) {
    let sent = Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Whether this process, and so what it starts, ignores SIGHUP.
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a file is there, while the process runs.
fn wait_for(path: &Path, child: &mut Child) {
    while !path.exists() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before {}", path.display());
        std::thread::yield_now();
    }
}

/// An answer of minutes, once its first letter was shown.
fn answering(out: &Path, mut start: Command) -> Child {
    let mut asked = asked(&Fixture::open("layout"));
    let tokens = asked.iter().position(|arg| arg == "--max-new-tokens").unwrap() + 1;
    "7000".clone_into(&mut asked[tokens]);
    start.args(explain_args(asked, out, &[]));
    let mut child = spawn(start);
    let mut first = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    child
}

/// An explanation that takes seconds to draw, once the first picture was drawn.
fn drawing(out: &Path) -> Child {
    let mut args = explain_args(asked(&Fixture::open("two-images")), out, &["--figures"]);
    args.push("panels,comparison,words,images,difference".to_owned());
    args.extend((105..115).flat_map(|at| ["--position".to_owned(), at.to_string()]));
    let mut child = spawn(command(args));
    wait_for(&out.join(".unfinished-medgemma-explainer/overlay-0-0.png"), &mut child);
    child
}

fn ended(child: Child, code: i32) -> Output {
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    output
}

#[test]
fn each_signal_ends_the_work_and_leaves_nothing() {
    let root = tempdir().unwrap();
    let out = root.path().join("deep/out");
    for (signal, code) in [("-INT", 130), ("-TERM", 143), ("-HUP", 129)] {
        if signal == "-HUP" && ignores_hang_up() {
            println!("SIGHUP skipped: these tests were started with it ignored, as nohup does");
            continue;
        }
        let child = answering(&out, command([""; 0]));
        send(signal, &child);
        let output = ended(child, code);
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "interrupted\n");
        assert_eq!(names(root.path()), [""; 0]);
    }
}

/// While pictures are drawn; the second signal does not wait for the end of a picture.
#[test]
fn drawing_is_ended_too_however_often_it_is_said() {
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    for signals in [&["-TERM"][..], &["-INT", "-INT"], &["-HUP", "-TERM", "-INT"]] {
        let child = drawing(&out);
        for signal in signals {
            send(signal, &child);
        }
        let output = child.wait_with_output().unwrap();
        assert!(matches!(output.status.code(), Some(129 | 130 | 143)), "{output:?}");
        assert_eq!(names(root.path()), [""; 0], "{signals:?}");
    }
}

/// What cannot be caught leaves a hidden folder, and the next run takes it away.
#[test]
fn what_a_killed_run_left_is_removed_by_the_next() {
    let fixture = Fixture::open("two-images");
    let root = tempdir().unwrap();
    let mut child = drawing(root.path());
    send("-KILL", &child);
    child.wait().unwrap();
    let hidden = [".unfinished-medgemma-explainer", ".unfinished-medgemma-explainer.lock"];
    assert_eq!(names(root.path()), hidden);
    explain(&fixture, root.path(), &["--no-report"]).done();
    let results = [
        "explanation.json",
        "explanation.npz",
        "overlay-0-0.png",
        "overlay-0-1.png",
        "picture-0.png",
        "picture-1.png",
    ];
    assert_eq!(names(root.path()), results);
}

/// The record is there, and only stdout keeps the process: what was asked for was done.
#[test]
fn a_signal_after_all_was_written_stops_nothing() {
    let root = tempdir().unwrap();
    let long = "a".repeat(1 << 16); // more than a pipe holds
    let more = ["--json", "--date", &long];
    let args = explain_args(asked(&Fixture::open("two-images")), root.path(), &more);
    let mut child = spawn(command(args));
    wait_for(&root.path().join("explanation.json"), &mut child);
    send("-INT", &child);
    let output = ended(child, 0);
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed, record(root.path()));
}

/// As `nohup` starts it.
#[test]
#[cfg(target_os = "linux")]
fn a_signal_that_is_to_be_ignored_is() {
    let root = tempdir().unwrap();
    let mut shell = command([""; 0]);
    let program = shell.get_program().to_owned();
    shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(program).stdin(Stdio::null());
    let child = answering(&root.path().join("out"), shell);
    send("-HUP", &child);
    send("-TERM", &child);
    ended(child, 143);
    assert_eq!(names(root.path()), [""; 0]);
}

#[test]
fn a_set_of_phantoms_ends_between_two_pictures() {
    let root = tempdir().unwrap();
    let out = text(root.path());
    let args = ["phantom", "--count", "90000", "--size", "64", "--out", &out];
    let mut child = spawn(command(args));
    wait_for(&root.path().join("000.json"), &mut child);
    send("-TERM", &child);
    send("-TERM", &child);
    ended(child, 143);
    let names = names(root.path());
    // Whoever has a picture has its record, which is written last; masks and twins have longer names.
    let stems = |ending: &str| {
        let stems = names.iter().filter_map(|name| name.strip_suffix(ending));
        stems.filter(|stem| !stem.contains('-')).collect::<Vec<_>>()
    };
    assert_eq!(stems(".png"), stems(".json"));
    assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    run(["phantom", "--out", &out]).failed(&["is not empty"]);
}
