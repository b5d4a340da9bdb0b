//! Regions, figures and what a terminal shows.

use crate::support::{Chest, names, record, run, text};
use serde_json::json;
use std::fs;

#[test]
fn regions_are_told_in_terminal_record_and_chart() {
    let chest = Chest::new();
    let more = ["--keyword", "clear", "--regions", "halves", "--words", "none"];
    let run = run(chest.args(&more)).done();
    assert!(run.stdout.contains("picture left "), "{}", run.stdout);
    assert!(run.stdout.contains("(left and right are those of the picture)"), "{}", run.stdout);
    let record = record(&chest.out());
    assert_eq!(record["regions"]["names"], json!(["picture left", "picture right"]));
    let scores = record["targets"][0]["regions"].as_array().unwrap();
    let share: f64 = scores.iter().map(|score| score["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 1e-6, "{share}");
    assert_eq!(record["files"]["figures"], json!(["regions-0-0.png"]));
    assert!(names(&chest.out()).contains(&"regions-0-0.png".to_owned()));
    assert_eq!(record["settings"]["orientation"], "none");
}

/// Zones of a radiograph have the patient's sides, and turn with the orientation.
#[test]
fn sides_are_the_patients() {
    let sums = |orientation: &str| {
        let chest = Chest::new();
        let asked = ["--keyword", "clear", "--regions", "cxr", "--orientation", orientation];
        let more = [&asked[..], &["--no-report", "--json"]].concat();
        let record = run(chest.args(&more)).done().json();
        assert_eq!(record["settings"]["orientation"], orientation);
        let regions = record["targets"][0]["regions"].clone();
        let sum = |name: &str| {
            let found = regions.as_array().unwrap().iter().find(|region| region["name"] == name);
            found.unwrap_or_else(|| panic!("no {name}"))["sum"].as_f64().unwrap()
        };
        [sum("right upper zone"), sum("left upper zone")]
    };
    let ([right, left], [turned_right, turned_left]) = (sums("pa"), sums("flipped"));
    assert!((turned_right - left).abs() + (turned_left - right).abs() < 1e-9);
    assert!((right - left).abs() > 1e-6);
}

#[test]
fn figures_are_drawn_as_asked() {
    let chest = Chest::new();
    let kinds = ["panels", "comparison", "words", "images", "layers", "heads", "resolutions"];
    let more = [
        "--keyword",
        "clear",
        "--figures",
        &kinds.join(","),
        "--figure-format",
        "svg",
        "--record",
        "layers,heads",
        "--resolution",
        "pixels",
    ];
    run(chest.args(&more)).done();
    let figures = [
        "panels-0-0.svg",
        "comparison-0-0.svg",
        "words-0.svg",
        "images-0.svg",
        "layers-0-0.svg",
        "heads-0-0.svg",
        "resolutions-0-0.svg",
    ];
    assert_eq!(record(&chest.out())["files"]["figures"], json!(figures));
    for figure in figures {
        let svg = fs::read_to_string(chest.out().join(figure)).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{figure}");
    }
    // The next run leaves none of them.
    run(chest.args(&["--no-report"])).done();
    assert!(
        !names(&chest.out()).iter().any(|name| name.contains(".svg") || name.contains(".html"))
    );
}

#[test]
fn wrong_regions_and_figures_are_refused_before_the_model_is_loaded() {
    let chest = Chest::new();
    let refused = |more: &[&str], part: &str| run(chest.args(more)).refused(part);
    refused(&["--regions", "lobes"], "halves, quadrants, grid3x3, cxr");
    refused(&["--orientation", "lateral"], "pa, ap, flipped, none");
    refused(
        &["--figures", "pie"],
        "panels, comparison, words, images, difference, layers, heads, resolutions",
    );
    refused(&["--figures", "layers"], "add --record layers");
    refused(&["--figures", "heads"], "add --record heads");
    refused(&["--head-layer", "1"], "--record heads");
    refused(&["--figures", "resolutions"], "needs --resolution patches or pixels");
    refused(&["--resolution", "voxels"], "tokens, patches or pixels");
    refused(&["--resolution", "patches", "--engine", "retained"], "streaming");
    refused(&["--record", "layers", "--engine", "retained"], "streaming");
    refused(&["--alpha", "1.5"], "from 0 to 1");
    refused(&["--contours", "0.5,2"], "from 0 to 1");
    refused(&["--show", "--json"], "cannot be used with");

    let file = chest.root.path().join("regions.json");
    fs::write(&file, "not JSON").unwrap();
    run(chest.args(&["--regions", &text(&file)]))
        .failed(&["regions.json", "not a file of regions"]);
    fs::write(&file, r#"[{"name": "heart", "box": [900, 900, 950, 950]}]"#).unwrap();
    run(chest.args(&["--regions", &text(&file)])).failed(&["\"heart\"", "covers nothing"]);
    assert!(!chest.out().exists());
}

/// Nothing is drawn for a terminal where there is none.
#[test]
fn show_is_for_terminals() {
    let chest = Chest::new();
    let plain = ["--keyword", "clear", "--words", "none"];
    let shown = run(chest.args(&[&plain[..], &["--show"]].concat())).done().stdout;
    let plain = run(chest.args(&plain)).done().stdout;
    let added: Vec<&str> = shown.lines().filter(|line| !plain.contains(line)).collect();
    assert!(!shown.contains('▀') && !shown.contains('\u{1b}'));
    assert_eq!(added, [""; 0]);
}
