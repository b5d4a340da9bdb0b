//! How much memory the command takes, which engine does the work, and how it is stopped.

use crate::support::{asked, command, explain, explain_args, names, record};
use integration_tests::Fixture;
use std::io::Read;
use std::process::{Command, Stdio};
use tempfile::tempdir;

#[test]
fn both_engines_say_who_they_are_and_agree() {
    let fixture = Fixture::open("two-images");
    let root = tempdir().unwrap();
    let share = |engine: &str, name: &str| {
        let out = root.path().join(engine);
        explain(&fixture, &out, &["--engine", engine]).done();
        let record = record(&out);
        assert_eq!(record["settings"]["engine"], name);
        assert_eq!(record["notes"], serde_json::json!([]));
        record["targets"][0]["image_share"].as_f64().unwrap()
    };
    let (auto, retained) = (share("auto", "streaming"), share("retained", "retained"));
    assert!((auto - retained).abs() < 1e-5, "{auto} {retained}");
    assert!((auto - share("streaming", "streaming")).abs() < 1e-6);
}

/// Whatever is kept within it, and whichever sweep needs the most.
#[test]
fn a_budget_that_is_too_small_names_the_smallest_that_works() {
    let fixture = Fixture::open("two-images");
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    let ways: [&[&str]; 4] = [
        &[],
        &["--resolution", "patches"],
        &["--resolution", "pixels", "--words", "all"],
        &["--update", "stochastic", "--resolution", "patches", "--record", "layers"],
    ];
    for way in ways {
        let within =
            |budget: &str| explain(&fixture, &out, &[way, &["--memory-budget", budget]].concat());
        let smallest_of = |budget: &str| -> u64 {
            let failed = within(budget);
            let last = failed
                .stderr
                .lines()
                .last()
                .unwrap_or_else(|| panic!("{way:?} {budget}"))
                .to_owned();
            failed.failed(&[
                "a memory budget of ",
                " is too small; the smallest that works here is ",
            ]);
            last.rsplit(' ').next().unwrap().parse().unwrap()
        };
        // What one token behind the prompt takes is known before there is an answer, all of it only then.
        let early = within("10kB");
        assert_eq!(early.stdout, "", "{way:?}");
        let least: u64 = {
            let (_, behind) = early.stderr.split_once("behind this prompt takes ").unwrap();
            behind.split_once(',').unwrap().0.parse().unwrap()
        };
        assert!(within(&(least - 1).to_string()).stderr.contains("is too small: one token"));
        let smallest = smallest_of(&least.to_string());
        within(&smallest.to_string()).done();
        assert_eq!(smallest_of(&(smallest - 1).to_string()), smallest, "{way:?}");
    }
}

#[test]
#[cfg(unix)]
fn ctrl_c_ends_the_work_and_leaves_nothing() {
    let fixture = Fixture::open("layout");
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    let mut asked = asked(&fixture);
    let tokens = asked.iter().position(|arg| arg == "--max-new-tokens").unwrap() + 1;
    asked[tokens] = "7000".to_owned(); // minutes, if nobody stops it
    let mut child = command(explain_args(asked, &out, &[]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 1];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap(); // the answer has begun
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "interrupted\n");
    assert_eq!(names(root.path()), [""; 0]);
}
