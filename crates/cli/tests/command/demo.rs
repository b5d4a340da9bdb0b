//! The checkpoints that come with the program: the demonstration, and the whole path on them.

use crate::support::{command, names, run, text};
use image::DynamicImage;
use phantom_radiograph::{Finding, FindingKind, Level, Scene, Side, Zone};
use serde_json::Value;
use std::fs;
use tempfile::tempdir;

#[test]
fn the_demonstration_writes_what_it_says() {
    let root = tempdir().unwrap();
    let out = root.path().join("demo");
    let done = run(["demo", "--out", &text(&out)]).done();
    assert!(done.stdout.contains("an opacity in the right middle zone"), "{}", done.stdout);
    assert!(done.stdout.contains("no longer says \"opacity\""), "{}", done.stdout);
    let files = [
        "explanation.json",
        "explanation.npz",
        "overlay-0-0.png",
        "overlay-1-0.png",
        "picture-0.png",
        "report.html",
        "sound-and-shortcut.png",
    ];
    assert_eq!(names(&out), files);
    let record: Value =
        serde_json::from_slice(&fs::read(out.join("explanation.json")).unwrap()).unwrap();
    assert_eq!(record["model"]["source"], "phantom");
    assert_eq!(record["settings"]["objective"], "contrast with the alternatives");
}

/// A word of two tokens, the whole answer, pictures: by the name of the checkpoint alone.
#[test]
fn a_shipped_checkpoint_takes_the_whole_path() {
    let root = tempdir().unwrap();
    let (picture, out) = (root.path().join("chest.png"), root.path().join("out"));
    let zone = Zone { side: Side::Left, level: Level::Upper };
    let kind = FindingKind::Pneumothorax;
    let scene = Scene::healthy(3).with(Finding { kind, zone, strength: 0.9, shape: 1 });
    DynamicImage::ImageLuma8(scene.render(512).grey8()).save(&picture).unwrap();
    let args = [
        "explain",
        "--model",
        "phantom",
        "--image",
        &text(&picture),
        "--prompt",
        "Is there a pneumothorax?",
        "--keyword",
        "pneumothorax",
        "--answer-span",
        "--json",
        "--out",
        &text(&out),
    ];
    let record = run(args).done().json();
    assert_eq!(
        record["answer"], "Yes, there is a pneumothorax in the left upper zone.",
        "{}",
        record["answer"]
    );
    assert_eq!(record["targets"][0]["token_ids"].as_array().unwrap().len(), 2);
    assert_eq!(record["targets"].as_array().unwrap().len(), 2);
    let words: Vec<&Value> =
        record["words"].as_array().unwrap().iter().map(|word| &word["text"]).collect();
    assert_eq!(words, ["Yes", "left", "upper", "zone"], "the target is not explained twice");
    let files = [
        "explanation.json",
        "explanation.npz",
        "overlay-0-0.png",
        "overlay-1-0.png",
        "picture-0.png",
        "report.html",
    ];
    assert_eq!(names(&out), files);
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let root = tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "x").unwrap();
    let output = command(["inspect", "--model", "phantom"])
        .env("XDG_CACHE_HOME", &file)
        .env("HOME", &file)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write ") && stderr.contains("phantom"), "{stderr}");
}
