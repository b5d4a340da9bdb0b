//! Phantoms on disk.

use crate::support::{names, run, text};
use serde_json::Value;
use std::fs;
use tempfile::tempdir;

#[test]
fn a_set_is_written_and_told() {
    let root = tempdir().unwrap();
    let out = root.path().join("deep/set");
    let args = ["phantom", "--seed", "5", "--count", "2", "--size", "64", "--bits", "16", "--out"];
    let done = run(args.map(str::to_owned).into_iter().chain([text(&out)])).done();
    assert_eq!((done.stdout.lines().count(), done.stderr.as_str()), (2, ""));
    for (index, line) in done.stdout.lines().enumerate() {
        let record = fs::read(out.join(format!("{index:03}.json"))).unwrap();
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!((&record["seed"], &record["size"]), (&(5 + index).into(), &64.into()));
        assert!(line.contains(&format!("{index:03}.png")), "{line}");
        for finding in record["findings"].as_array().unwrap() {
            assert!(line.contains(finding["zone"].as_str().unwrap()), "{line}");
            assert!(out.join(finding["mask"].as_str().unwrap()).is_file());
            assert!(out.join(finding["twin"].as_str().unwrap()).is_file());
        }
    }
    let picture = image::open(out.join("000.png")).unwrap();
    assert_eq!((picture.width(), picture.color()), (64, image::ColorType::L16));

    // What is there stays.
    let before = names(&out);
    run(["phantom", "--out", &text(&out)]).failed(&["is not empty", "new or an empty folder"]);
    assert_eq!(names(&out), before);
}

#[test]
fn wrong_numbers_are_refused() {
    let root = tempdir().unwrap();
    let out = text(&root.path().join("set"));
    run(["phantom"]).refused("--out <DIR>");
    for (option, value, part) in [
        ("--size", "63", "63 is not in 64..=4096"),
        ("--count", "0", "0 is not in 1..=100000"),
        ("--bits", "12", "[possible values: 8, 16]"),
        ("--seed", "-1", "-1"),
    ] {
        run(["phantom", "--out", &out, option, value]).refused(part);
    }
    let last = u64::MAX.to_string();
    run(["phantom", "--out", &out, "--seed", &last, "--count", "2"]).failed(&["seed", "too large"]);
    assert_eq!(names(root.path()), [""; 0]);
}
