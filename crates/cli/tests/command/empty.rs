//! A checkpoint whose attention carries nothing: every row holds its self term alone, and all that is shown says so.

use crate::support::{asked_of, explain_args, island, record, run};
use integration_tests::{Checkpoint, Fixture};
use std::fs;
use tempfile::tempdir;

/// Without values attention has no gradient.
fn without_values(fixture: &Fixture) -> Checkpoint {
    let checkpoint = Checkpoint::copy(fixture);
    let is_value = |name: &str| name.contains("self_attn.v_proj") && !name.contains("vision_tower");
    checkpoint.clear_weights("model.safetensors", is_value);
    checkpoint
}

#[test]
fn a_word_that_nothing_speaks_for_has_no_map_anywhere() {
    let fixture = Fixture::open("two-images");
    let checkpoint = without_values(&fixture);
    let root = tempdir().unwrap();
    let last = (fixture.number("seq_len") - 1).to_string();
    let more = [
        "--position",
        &last,
        "--figures",
        "panels,comparison,words,images,difference,layers,heads,resolutions",
        "--record",
        "layers,heads",
        "--head-layer",
        "1",
        "--resolution",
        "pixels",
        "--blank-control",
        "--method",
        "grad-cam",
        "--figure-format",
        "svg",
        "--common-scale",
    ];
    let args = explain_args(asked_of(checkpoint.path(), &fixture), root.path(), &more);
    let printed = run(args).done().stdout;
    let row = printed.lines().find(|line| line.trim_start().starts_with("0 ")).unwrap();
    assert!(row.ends_with("–  nothing speaks for it"), "{printed}");

    let record = record(root.path());
    let target = &record["targets"][0];
    assert_eq!(target["is_empty"], true, "{target}");
    let page = fs::read_to_string(root.path().join("report.html")).unwrap();
    let island = island(&page);
    assert!(island["targets"][0].to_string().contains("nothing speaks for it"));

    // Maps are pictures in an SVG, and a bar beside them is one more: without either only the radiograph is there.
    let pictures = |name: &str| {
        let svg = fs::read_to_string(root.path().join(name)).unwrap();
        assert!(svg.contains("nothing speaks for it") || svg.contains("zero everywhere"), "{name}");
        svg.matches("<image").count()
    };
    let alone = ["overlay-0-0.svg", "layers-0-0.svg", "patches-0-1.svg", "pixels-0-0.svg"];
    assert_eq!(alone.map(pictures), [1; 4]);
    assert_eq!(["images-0.svg", "panels-0-1.svg"].map(pictures), [2; 2]);
    assert_eq!(pictures("difference-0.svg"), 3);
    let control = fs::read_to_string(root.path().join("control-0-0.svg")).unwrap();
    assert!(control.contains("cell for cell"));
    let comparison = fs::read_to_string(root.path().join("comparison-0-0.svg")).unwrap();
    assert!(comparison.contains("relevancy: nothing speaks for it"));
}

#[test]
fn phrases_that_nothing_speaks_for_are_told_apart_by_their_likelihood_alone() {
    let fixture = Fixture::open("two-images");
    let checkpoint = without_values(&fixture);
    let root = tempdir().unwrap();
    let more = ["--phrase", "dates", "--against", "lobe", "--no-report", "--figure-format", "svg"];
    let args = explain_args(asked_of(checkpoint.path(), &fixture), root.path(), &more);
    let printed = run(args).done().stdout;
    assert!(printed.contains("nats"), "{printed}");
    let versus = &record(root.path())["versus"][0];
    for phrase in ["phrase", "against"] {
        assert_eq!(versus[phrase]["is_empty"], true, "{versus}");
    }
    assert!(versus["image_share"].is_null(), "{versus}");
    let svg = fs::read_to_string(root.path().join("versus-0-0.svg")).unwrap();
    assert_eq!((svg.matches("<image").count(), svg.matches("nothing speaks").count()), (4, 4));
}
