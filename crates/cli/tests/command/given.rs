//! Targets, given answers, and pictures among texts.

use crate::support::{Chest, record, run, text};
use integration_tests::Fixture;
use serde_json::{Value, json};
use std::fs;
use tempfile::tempdir;

#[test]
fn targets_have_the_order_of_the_command_line_and_repeated_words_a_number() {
    let chest = Chest::new();
    let more =
        ["--answer", "Heart: clear. Lungs: clear.", "--answer-span", "--keyword", "clear#all"];
    let more = [&more[..], &["--keyword", "heart", "--words", "none", "--no-report"]].concat();
    let done = run(chest.args(&more)).done();
    let texts: Vec<String> = record(&chest.out())["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| format!("{} {}", target["text"].as_str().unwrap(), target["occurrence"]))
        .collect();
    assert_eq!(texts, ["Heart: clear. Lungs: clear. null", "clear 1", "clear 2", "Heart null"]);
    for line in [" 1 clear (1) ", " 2 clear (2) ", " 3 Heart "] {
        assert!(done.stdout.lines().any(|found| found.starts_with(line)), "{}", done.stdout);
    }
    // Nothing that the template wrote is among the most relevant text; its sum is told once.
    let table: Vec<&str> =
        done.stdout.lines().skip_while(|line| !line.starts_with(" # ")).take(5).collect();
    assert!(
        table.iter().all(|line| !line.contains("<bos>") && !line.contains("\"model\"")),
        "{table:?}"
    );
    assert_eq!(done.stdout.matches("<bos> and the chat template").count(), 1);
}

/// What somebody wrote is explained, boxes and all, though the model would say something else.
#[test]
fn a_given_answer_is_explained_with_its_boxes() {
    let chest = Chest::new();
    let answer = "There is a nodule.\n```json\n[{\"box_2d\": [100, 100, 600, 500], \"label\": \"nodule\"}, {\"box_2d\": [5, 5, 1, 1]}]\n```";
    let more = ["--answer", answer, "--keyword", "nodule", "--words", "none"];
    let run = run(chest.args(&more)).done();
    assert!(run.stdout.starts_with("There is a nodule."), "{}", run.stdout);
    assert!(run.stdout.contains("within the model's box \"nodule\""), "{}", run.stdout);
    assert!(
        run.stderr.contains("a box in the answer is not valid: no rectangle"),
        "{}",
        run.stderr
    );
    let record = record(&chest.out());
    assert_eq!(record["answer"], answer);
    assert_eq!(
        (&record["generation"], &record["stop"]),
        (&Value::Null, &json!("given by the caller"))
    );
    assert_eq!(record["boxes"].as_array().unwrap().len(), 1);
    assert_eq!(record["boxes"][0]["pixels"], json!([22.4, 22.4, 112.0, 134.4]));
    let found = &record["targets"][0]["boxes"][0];
    let [share, iou] = ["share", "iou"].map(|name| found[name].as_f64().unwrap());
    assert!(0.0 < share && share < 1.0 && (0.0..=1.0).contains(&iou), "{found}");

    crate::support::run(chest.args(&["--answer", " "])).failed(&["the answer is empty"]);
    crate::support::run(chest.args(&["--answer", "a <end_of_turn>"]))
        .failed(&["control token `<end_of_turn>`"]);
}

#[test]
fn given_and_generated_answers_have_the_same_rows() {
    let chest = Chest::new();
    let more = ["--words", "none", "--keyword", "clear", "--json", "--dtype", "float32"];
    let generated = run(chest.args(&more)).done().json();
    let answer = generated["answer"].as_str().unwrap();
    let given = run(chest.args(&[&more[..], &["--answer", answer]].concat())).done().json();
    assert_eq!(given["tokens"], generated["tokens"]);
    for name in ["logit", "log_probability", "image_share"] {
        let [a, b] =
            [&given, &generated].map(|record| record["targets"][0][name].as_f64().unwrap());
        assert!((a - b).abs() <= 1e-4 * a.abs().max(1e-2), "{name}: {a} {b}");
    }
}

/// Pictures and texts stand in the order of the command line, or of a file of messages.
#[test]
fn pictures_stand_among_texts() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let pictures: Vec<String> = fixture.pictures().iter().map(|path| text(path)).collect();
    let model = text(&fixture.model());
    let [first, second] = &pictures[..] else { panic!("two pictures") };
    let out = text(&folder.path().join("out"));
    let prompt = |asked: &[&str]| {
        let rest =
            ["--max-new-tokens", "2", "--ignore-stop", "--no-report", "--json", "--out", &out];
        let args = [&["explain", "--model", &model][..], asked, &rest].concat();
        run(args).done().json()["rendered_prompt"].as_str().unwrap().to_owned()
    };
    let turns = prompt(&[
        "--text", "was", "--image", first, "--text", "is", "--image", second, "--prompt", "how",
    ]);
    let order = ["was", "<start_of_image>", "is", "<start_of_image>", "how"];
    let mut rest = turns.as_str();
    for part in order {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no {part} in order: {turns}")).1;
    }

    let file = folder.path().join("turns.json");
    let image = |path: &str| json!({ "type": "image", "path": path });
    let said = |text: &str| json!({ "type": "text", "text": text });
    let content = json!([said("was"), image(first), said("is"), image(second), said("how")]);
    fs::write(&file, json!([{ "role": "user", "content": content }]).to_string()).unwrap();
    assert_eq!(prompt(&["--messages", &text(&file), "--allow-outside"]), turns);

    let failed = |content: &Value, parts: &[&str]| {
        fs::write(&file, content.to_string()).unwrap();
        let args = ["explain", "--model", &model, "--messages", &text(&file), "--out", &out];
        run(args).failed(parts);
    };
    failed(&json!([{ "role": "doctor", "content": "a" }]), &["turns.json", "role \"doctor\""]);
    failed(&json!([{ "role": "assistant", "content": "a" }]), &["last message is not the user's"]);
    failed(&json!([]), &["turns.json", "no message"]);
    failed(&json!([{ "role": "user", "content": [{ "type": "sound" }] }]), &["turns.json"]);
    failed(&json!([{ "role": "user", "content": [image("none.png")] }]), &["none.png"]);
}
