//! Methods beside the relevancy, heads and layers, and what the public Python program does.

use crate::support::{explain, island, record, run, text};
use integration_tests::Fixture;
use serde_json::json;
use std::fs;
use tempfile::tempdir;

#[test]
fn methods_are_in_terminal_record_figure_and_page() {
    let (fixture, folder) = (Fixture::open("short-window"), tempdir().unwrap());
    let out = folder.path().join("out");
    let methods = "relevancy-stochastic,rollout,raw-attention,token-attention,object-attention,\
        gradient-attention,grad-cam,grad-cam-hidden,input-gradient,tam,tam";
    let more = ["--method", methods, "--figures", "comparison"];
    let found = explain(&fixture, &out, &more).done();
    let record = record(&out);
    let names = record["settings"]["methods"].as_array().unwrap();
    assert_eq!(names.len(), 10);
    let spelled: Vec<&str> = methods.split(',').take(10).collect();
    assert_eq!(record["settings"]["method_ids"], json!(spelled), "as the command spells them");
    assert_eq!(record["targets"][0]["methods"][9]["id"], "tam");
    assert_eq!((&names[0], &names[2]), (&json!("relevancy, stochastic"), &json!("raw attention")));
    // The last token of an answer is chosen and never read; the target is that one.
    let of_target = &record["targets"][0]["methods"];
    assert!(of_target[3]["unavailable"].as_str().unwrap().contains("was never read by the model"));
    assert!(of_target[3]["image_share"].is_null() && of_target[1]["unavailable"].is_null());
    assert_eq!(of_target[1]["name"], "rollout");
    assert!(found.stdout.contains("token attention") && found.stdout.contains("not available: "));
    let page = fs::read_to_string(out.join("report.html")).unwrap();
    let in_page = island(&page);
    assert_eq!(in_page["methods"].as_array().unwrap().len(), 12, "rollout is there once");
    assert_eq!(in_page["methods"][11]["name"], "token activation map");
    assert!(out.join("comparison-0-0.png").exists());
    fs::remove_file(out.join("report.html")).unwrap();
    run(["report", &text(&out)]).done();
    assert_eq!(fs::read_to_string(out.join("report.html")).unwrap(), page);
}

#[test]
fn heads_and_layers_are_chosen_and_told() {
    let (fixture, folder) = (Fixture::open("layout"), tempdir().unwrap());
    let out = folder.path().join("out");
    let more = ["--layers", "global", "--heads", "max", "--method", "raw-attention,rollout"];
    explain(&fixture, &out, &more).done();
    let record = record(&out);
    let settings = &record["settings"];
    assert_eq!((&settings["folded_layers"], &settings["heads"]), (&json!("global"), &json!("max")));
    let methods =
        ["raw attention (heads max, layers global)", "rollout (heads max, layers global)"];
    assert_eq!(settings["methods"], json!(methods));
    let gradient = ["--heads", "gradient", "--method", "relevancy,raw-attention,rollout"];
    let json = explain(&fixture, &out, &[&gradient[..], &["--json"]].concat()).done().json();
    let methods = ["raw attention (heads weighted by gradient)", "rollout"];
    assert_eq!(json["settings"]["methods"], json!(methods));
    assert_eq!(json["settings"]["heads"], "mean");

    let failed = |more: &[&str], parts: &[&str]| {
        explain(&fixture, &folder.path().join("none"), more).failed(parts);
    };
    failed(&["--layers", "3..9"], &["3..9", "7 layers"]);
    failed(&["--heads", "9"], &["head 9"]);
    failed(&["--method", "grad-cam", "--cam-layer", "7"], &["layer 7", "7"]);
    let refused = |more: &[&str], part: &str| {
        explain(&fixture, &folder.path().join("none"), more).refused(part);
    };
    refused(&["--layers", "9..3"], "A..B with A below B");
    refused(&["--heads", "median"], "mean, max, gradient or a number");
    refused(&["--method", "lime"], "possible values: relevancy, relevancy-additive");
    assert!(!folder.path().join("none").exists());
}

#[test]
fn the_public_program_is_reproduced_and_says_so() {
    let (fixture, folder) = (Fixture::open("two-images"), tempdir().unwrap());
    let out = folder.path().join("out");
    let mut args = vec!["explain".to_owned()];
    args.extend(crate::support::asked(&fixture));
    let more = ["--out", &text(&out), "--reproduce", "seed", "--answer-span", "--layers", "global"];
    args.extend(more.map(str::to_owned));
    let run_of = run(&args).done();
    assert!(
        run_of.stderr.contains("this reproduces the public Python program"),
        "{}",
        run_of.stderr
    );
    let record = record(&out);
    let settings = &record["settings"];
    assert_eq!((&settings["reproduce"], &settings["objective"]), (&json!("seed"), &json!("logit")));
    assert_eq!(
        (&settings["folded_layers"], &record["targets"][0]["rule"]),
        (&json!("global"), &json!("sum"))
    );
    let ids: Vec<u64> =
        record["tokens"].as_array().unwrap().iter().map(|t| t["id"].as_u64().unwrap()).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(record["tokens"].as_array().unwrap().len(), fixture.number("seq_len") + 1);
    for option in [
        ["--objective", "logit"],
        ["--update", "additive"],
        ["--resolution", "patches"],
        ["--reliance", "mean"],
    ] {
        run(args.iter().map(String::as_str).chain(option)).refused("cannot be used with");
    }
}
