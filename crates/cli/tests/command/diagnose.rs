//! The diagnosis of a checkpoint, as people and scripts see it.

use crate::support::{asked, run, text};
use integration_tests::{Checkpoint, Fixture};
use std::fs;
use tempfile::tempdir;

const CHECKS: [&str; 12] = [
    "weights",
    "one <bos>",
    "image spans",
    "pictures",
    "attention rows",
    "masks",
    "fast attention",
    "generation",
    "engines: logit",
    "engines: log-probability",
    "engines: contrast",
    "patches",
];

#[test]
fn the_models_of_the_program_pass_on_a_made_up_radiograph() {
    for model in ["phantom", "phantom-shortcut"] {
        let done = run(["diagnose", "--model", model]).done();
        assert_eq!(done.stderr, "");
        let lines: Vec<&str> = done.stdout.lines().collect();
        assert!(lines[0].contains("zone: "), "the answer comes first: {}", done.stdout);
        assert_eq!(lines.len(), 2 + CHECKS.len());
        for (line, name) in lines[2..].iter().zip(CHECKS) {
            assert!(line.starts_with(&format!("{name:<24} ok ")), "{line}");
        }
    }
}

#[test]
fn a_question_of_ones_own_is_looked_at() {
    let fixture = Fixture::open("two-images");
    let json = ["diagnose".to_owned(), "--json".to_owned()];
    let done = run([&json[..], &asked(&fixture)].concat()).done();
    let found = done.json();
    assert_eq!(found["sound"], true);
    let names: Vec<&str> = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, CHECKS);
    let images = found["checks"][2]["detail"].as_str().unwrap();
    assert!(images.starts_with("2 images of "), "{images}");

    // A picture without a question, a question without a picture, a conversation without either.
    let model = text(&fixture.model());
    let picture = text(&fixture.pictures()[0]);
    let ask = |more: &[&str]| {
        run([&["diagnose", "--model", &model, "--max-new-tokens", "3"], more].concat())
            .done()
            .stdout
    };
    assert!(ask(&["--image", &picture]).contains("1 image of "));
    assert!(ask(&["--prompt", "lung"]).contains("1 image of "));
    let folder = tempdir().unwrap();
    let file = folder.path().join("turns.json");
    fs::write(&file, r#"[{"role": "user", "content": "lung"}]"#).unwrap();
    assert!(ask(&["--messages", &text(&file)]).contains("the question has no image"));
}

#[test]
fn a_spoilt_checkpoint_fails_with_exit_code_1() {
    let fixture = Fixture::open("short-window");
    let checkpoint = Checkpoint::copy(&fixture);
    checkpoint.spoil_weight("model.safetensors", "vision_tower.post_layernorm.weight");
    let model = text(checkpoint.path());
    // Without a picture the vision tower is not run: only its weights are wrong.
    let file = checkpoint.file("turns.json");
    fs::write(&file, r#"[{"role": "user", "content": "lung"}]"#).unwrap();
    let more = ["--messages", &text(&file), "--max-new-tokens", "3", "--ignore-stop"];
    let spoilt = run([&["diagnose", "--model", &model][..], &more].concat());
    let error = "error: one check failed: do not trust explanations of this checkpoint\n";
    assert_eq!((spoilt.code, spoilt.stderr.as_str()), (1, error));
    let failed: Vec<&str> = spoilt.stdout.lines().filter(|line| line.contains("FAILED")).collect();
    assert_eq!(failed.len(), 1, "{}", spoilt.stdout);
    assert!(failed[0].starts_with("weights ") && failed[0].contains("post_layernorm"));

    // A model that cannot answer is looked at all the same.
    checkpoint.spoil_weight("model.safetensors", "layers.0.input_layernorm.weight");
    let spoilt = run(["diagnose", "--model", &model, "--json"]);
    assert_eq!(spoilt.code, 1, "{spoilt:?}");
    let found = spoilt.json();
    let outcome = |index: usize| {
        let check = &found["checks"][index];
        [check["name"].as_str().unwrap(), check["outcome"].as_str().unwrap()]
    };
    assert_eq!(found["sound"], false);
    assert_eq!([outcome(0), outcome(1)], [["answer", "failed"], ["weights", "failed"]]);
    assert_eq!(outcome(2), ["one <bos>", "ok"]);
    assert_eq!(outcome(8), ["generation", "skipped"]);
    assert_eq!(outcome(9), ["engines: logit", "failed"]);

    run(["diagnose", "--model", "./nowhere"]).failed(&["nowhere"]);
    run(["diagnose"]).refused("--model");
}
