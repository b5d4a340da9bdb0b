//! How much memory the command takes, and which engine does the work.

use crate::support::{explain, record};
use integration_tests::Fixture;
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
