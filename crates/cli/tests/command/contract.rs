//! What the command promises to scripts.

use crate::support::{asked, explain, explain_args, names, record, run, sha256, text};
use integration_tests::ndarray::{
    Array, Array1, Array2, Array4, Dimension, Ix1, Ix2, Ix4, arr2, s,
};
use integration_tests::ndarray_npy::{NpzReader, ReadableElement};
use integration_tests::{Fixture, Tolerance, assert_close, assert_row_close};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::Path;
use tempfile::tempdir;

/// An array of `explanation.npz`; the element type is checked by reading it.
pub(crate) fn array<T: ReadableElement, D: Dimension>(folder: &Path, name: &str) -> Array<T, D> {
    let file = File::open(folder.join("explanation.npz")).unwrap();
    NpzReader::new(file).unwrap().by_name(&format!("{name}.npy")).unwrap()
}

/// `--position` for each reference target.
fn positions(fixture: &Fixture) -> Vec<String> {
    let numbers = fixture.numbers("targets");
    numbers.iter().flat_map(|number| ["--position".to_owned(), number.to_string()]).collect()
}

#[test]
fn arrays_have_the_promised_shapes_types_and_numbers() {
    for fixture in Fixture::all() {
        let folder = tempdir().unwrap();
        let targets = positions(&fixture);
        let targets = targets.iter().map(String::as_str).chain(["--words", "none"]);
        explain(&fixture, folder.path(), &targets.collect::<Vec<_>>()).done();

        let file = File::open(folder.path().join("explanation.npz")).unwrap();
        let mut names = NpzReader::new(file).unwrap().names().unwrap();
        names.sort();
        let expected = ["full_ids", "image_relevancy", "raw_attention", "targets"];
        let expected = [&expected[..], &["token_relevancy", "token_relevancy_rollout"]].concat();
        assert_eq!(names, expected);

        let ids: Array1<i64> = array(folder.path(), "full_ids");
        assert_eq!(ids.mapv(|id| id as u32).to_vec(), fixture.ids("full_ids"));
        let bounds: Array2<i64> = array(folder.path(), "targets");
        let positions = fixture.numbers("targets");
        let expected: Vec<[i64; 2]> = positions.iter().map(|&p| [p as i64, p as i64 + 1]).collect();
        assert_eq!(bounds, arr2(&expected));

        for (name, reference) in [
            ("token_relevancy", "relevancy"),
            ("raw_attention", "raw_attention"),
            ("token_relevancy_rollout", "rollout"),
        ] {
            let found: Array2<f32> = array(folder.path(), name);
            let expected = fixture.array::<Ix2>(reference);
            assert_eq!(found.dim(), (positions.len(), ids.len()));
            for ((row, expected), &p) in
                found.outer_iter().zip(expected.outer_iter()).zip(&positions)
            {
                assert_row_close(&format!("{name} of {p}"), row, expected, p - 1);
                assert!(
                    row.slice(s![p..]).iter().all(|&x| x == 0.0),
                    "{name} of {p}: behind its row"
                );
            }
        }
        let relevancy: Array2<f32> = array(folder.path(), "token_relevancy");
        assert!(positions.iter().enumerate().all(|(row, &p)| 1.0 <= relevancy[[row, p - 1]]));

        let grids: Array4<f32> = array(folder.path(), "image_relevancy");
        let expected = fixture.array::<Ix4>("image_relevancy");
        for (found, expected) in grids.outer_iter().zip(expected.outer_iter()) {
            assert_close("image_relevancy", &found, &expected, Tolerance::Rounding);
        }
        assert_eq!(grids.shape(), expected.shape());
    }
}

#[test]
fn the_row_of_a_span_is_the_mean_of_its_tokens() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let more = ["--answer-span", "--keyword", "neuremopneumonia", "--keyword", "changed#2"];
    explain(&fixture, folder.path(), &more).done();
    let bounds: Array2<i64> = array(folder.path(), "targets");
    assert_eq!(bounds, arr2(&[[87, 97], [91, 94], [90, 91]]), "as on the command line");
    let rows: Array2<f32> = array(folder.path(), "token_relevancy");
    let mut found = rows.row(0).to_owned();
    let mut expected = fixture.array::<Ix1>("span_relevancy_mean");
    found.slice_mut(s![86..96]).fill(0.0);
    expected.slice_mut(s![86..96]).fill(0.0);
    assert_close("span", &found, &expected, Tolerance::Rounding);
    assert!(rows.slice(s![0, 96..]).iter().all(|&x| x == 0.0));

    let record = record(folder.path());
    let texts: Vec<&Value> = (0..3).map(|n| &record["targets"][n]["text"]).collect();
    assert_eq!(texts, [fixture.text("generated_text").trim(), "neuremopneumonia", "changed"]);

    explain(&fixture, folder.path(), &["--answer-span", "--span", "sum"]).done();
    let rows: Array2<f32> = array(folder.path(), "token_relevancy");
    let mut found = rows.row(0).to_owned();
    let mut expected = fixture.array::<Ix1>("span_relevancy");
    found.slice_mut(s![86..96]).fill(0.0);
    expected.slice_mut(s![86..96]).fill(0.0);
    assert_close("sum", &found, &expected, Tolerance::Rounding);
    assert_eq!(self::record(folder.path())["targets"][0]["rule"], "sum");
}

/// The keys of an object, in order.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// Checkpoints of tests are small.
#[test]
fn a_small_model_is_computed_by_one_thread_unless_more_are_asked_for() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    for (more, threads) in [(&[][..], 1), (&["--threads", "2"][..], 2)] {
        explain(&fixture, folder.path(), &[&["--position", "114"], more].concat()).done();
        assert_eq!(record(folder.path())["settings"]["threads"], threads);
    }
}

#[test]
fn the_record_says_what_was_asked_answered_and_explained() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let settings = ["--update", "stochastic", "--objective", "log-probability"];
    let more = [&settings[..], &["--position", "114", "--keyword", "consolidation"]].concat();
    explain(&fixture, folder.path(), &more).done();
    let record = record(folder.path());

    assert_eq!(record["schema"], "medgemma-explainer/explanation");
    assert_eq!(record["version"], 1);
    assert_eq!(record["prompt"], fixture.text("prompt"));
    assert_eq!(record["answer"], fixture.text("generated_text"));
    let tokens = record["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), fixture.number("seq_len"));
    assert_eq!(keys(&tokens[0]), ["position", "id", "text", "kind", "characters"]);
    assert_eq!(tokens[5]["kind"], "prompt");
    assert_eq!(tokens[6]["kind"], "image");
    assert_eq!(tokens[6]["characters"], Value::Null);
    let answer: Vec<char> = fixture.text("generated_text").chars().collect();
    for token in &tokens[fixture.number("input_len")..] {
        assert_eq!(token["kind"], "answer");
        let [from, to] = [0, 1].map(|end| token["characters"][end].as_u64().unwrap() as usize);
        assert_eq!(answer[from..to].iter().collect::<String>(), token["text"]);
    }

    let targets = record["targets"].as_array().unwrap();
    assert_eq!(targets.len(), 2);
    assert_eq!(targets[0]["positions"], json!([114, 115]));
    assert_eq!(targets[1]["text"], "consolidation");
    assert_eq!(targets[1]["positions"], json!([108, 109]));
    assert_eq!(targets[1]["token_ids"], json!([505]));
    let logits = fixture.array::<Ix1>("target_logit");
    let distance = (targets[0]["logit"].as_f64().unwrap() - logits[3]).abs();
    assert!(distance < 2e-5 * logits[3].abs(), "{distance}");
    assert!(targets[0]["log_probability"].as_f64().unwrap() < 0.0);

    let settings = &record["settings"];
    for (field, expected) in [
        ("update", "stochastic"),
        ("objective", "log-probability"),
        ("dtype", "float32"),
        ("resize", "torchvision"),
    ] {
        assert_eq!(settings[field], expected, "{field}");
    }
    assert!(
        settings["engine"].is_string() && settings["engine"] != "auto",
        "the one that was used"
    );
    assert!(settings["device"].is_string());
    let generation = json!({ "max_new_tokens": 10, "stop": false, "sampling": null });
    assert_eq!(record["generation"], generation);

    let model = &record["model"];
    assert_eq!(model["source"], fixture.model().file_name().unwrap().to_str().unwrap());
    assert_eq!(model["revision"], Value::Null);
    assert_eq!(model["architecture"], "Gemma3ForConditionalGeneration");
    let hash = model["config_sha256"].as_str().unwrap();
    assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    let weights = fixture.model().join("model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let hash = sha256(&bytes);
    let file = json!({
        "name": "model.safetensors", "bytes": bytes.len(), "sha256": hash,
    });
    assert_eq!(model["files"], json!([file]));
    let times = ["load", "preprocess", "vision", "prefill", "decode", "explain"];
    assert_eq!(keys(&record["timings"]), times);
    for time in times {
        let seconds = record["timings"][time].as_f64().unwrap();
        assert!(0.0 < seconds && seconds < 600.0, "{time}: {seconds}");
    }
    if cfg!(target_os = "linux") {
        assert!(1_000_000 < record["peak_rss_bytes"].as_u64().unwrap());
    }
    let overlays =
        json!(["overlay-0-0.png", "overlay-0-1.png", "overlay-1-0.png", "overlay-1-1.png"]);
    let files = json!({
        "arrays": "explanation.npz", "overlays": overlays, "finer": [], "figures": [], "report": "report.html",
    });
    let mut found = record["files"].clone();
    found
        .as_object_mut()
        .unwrap()
        .retain(|key, _| !["written", "record_sha256"].contains(&key.as_str()));
    assert_eq!(found, files);
    assert_eq!(record["program"], concat!("medgemma-explainer ", env!("CARGO_PKG_VERSION")));
    assert_eq!(record["date"], Value::Null);
    assert_eq!(targets[1]["overlays"], json!(["overlay-1-0.png", "overlay-1-1.png"]));
}

#[test]
fn json_on_stdout_is_the_record() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let run = explain(&fixture, folder.path(), &["--json", "--keyword", "yes"]).done();
    assert_eq!(run.stdout, fs::read_to_string(folder.path().join("explanation.json")).unwrap());
    assert_eq!(run.json()["targets"][0]["text"], "yes");
    assert_eq!(run.stderr, "");
}

#[test]
fn without_json_stdout_has_the_answer_the_targets_and_the_files() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let run = explain(&fixture, folder.path(), &["--keyword", "changed", "--answer-span"]).done();
    assert_eq!(run.stderr, "");
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines[0], fixture.text("generated_text"));
    assert!(lines[2].starts_with(" # explained "), "{}", lines[2]);
    assert!(lines[3].starts_with(" 0 changed ") && lines[3].contains(" 89 "), "{}", lines[3]);
    assert!(lines[4].contains(" 87 to 96 "), "{}", lines[4]);
    assert!(lines[5].starts_with("(not listed: <bos> and the chat template, "), "{}", lines[5]);
    let files = &lines[7..];
    assert_eq!(files.len(), names(folder.path()).len());
    for file in files {
        assert!(Path::new(file).is_file(), "{file}");
    }
}

#[test]
fn an_answer_goes_to_stdout_with_its_tokens_on_request() {
    let fixture = Fixture::open("two-images");
    let args = [vec!["answer".to_owned()], asked(&fixture)].concat();
    let answer = format!("{}\n", fixture.text("generated_text"));
    let plain = run(&args).done();
    assert_eq!((plain.stdout.as_str(), plain.stderr.as_str()), (answer.as_str(), ""));

    let listed = run([args, vec!["--tokens".to_owned()]].concat()).done();
    let tokens = listed.stdout.strip_prefix(&answer).unwrap();
    let start = fixture.number("input_len");
    let ids = &fixture.ids("full_ids")[start..];
    assert_eq!(tokens.lines().count(), ids.len());
    for ((line, id), position) in tokens.lines().zip(ids).zip(start..) {
        let mut words = line.split_whitespace();
        assert_eq!(words.next(), Some(position.to_string().as_str()));
        assert_eq!(words.next(), Some(id.to_string().as_str()));
        assert!(words.next().unwrap().starts_with('"'));
    }
}

#[test]
fn a_seed_draws_the_same_answer_again() {
    let fixture = Fixture::open("two-images");
    let draw = |seed: &str| {
        let drawn = ["--sample", "--seed", seed].map(str::to_owned).to_vec();
        run([vec!["answer".to_owned()], asked(&fixture), drawn].concat()).done().stdout
    };
    assert_eq!(draw("7"), draw("7"));
    assert!(["1", "2", "3"].map(draw).iter().any(|answer| *answer != draw("7")));
}

#[test]
fn inspect_says_what_a_checkpoint_is() {
    let model = Fixture::open("old-names").model();
    let run = run(["inspect", "--model", &text(&model)]).done();
    assert_eq!(run.stderr, "");
    let value = |name: &str| {
        let line = run.stdout.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("no {name} in: {}", run.stdout))[30..].trim()
    };
    assert_eq!(value("architecture"), "Gemma3ForConditionalGeneration");
    assert!(value("parameters").ends_with(" thousand"));
    assert!(value("files").contains(" tensors, ") && value("files").ends_with("F32"));
    assert!(value("language model").contains(" of width "), "{}", value("language model"));
    assert_eq!(value("  sliding window"), "72 tokens");
    assert!(value("memory").starts_with("with float32 on "));
    assert!(value("  explaining, 324 tokens").ends_with("MB"));
}

#[test]
fn a_second_run_replaces_the_first() {
    let (fixture, folder) = (Fixture::open("two-images"), tempdir().unwrap());
    let mine = folder.path().join("notes.txt");
    fs::write(&mine, "mine").unwrap();
    let more = ["--position", "105", "--position", "106", "--position", "107"];
    explain(&fixture, folder.path(), &more).done();
    assert_eq!(names(folder.path()).len(), 3 * 2 + 2 + 2 + 1 + 1, "overlays, pictures, report");
    explain(&fixture, folder.path(), &["--position", "105", "--no-report"]).done();
    let expected = [
        "explanation.json",
        "explanation.npz",
        "notes.txt",
        "overlay-0-0.png",
        "overlay-0-1.png",
        "picture-0.png",
        "picture-1.png",
    ];
    assert_eq!(names(folder.path()), expected);
    assert_eq!(fs::read_to_string(mine).unwrap(), "mine");
    assert_eq!(record(folder.path())["targets"].as_array().unwrap().len(), 1);
}

#[test]
fn answers_and_inspections_come_as_json() {
    let fixture = Fixture::open("two-images");
    let args = [vec!["answer".to_owned()], asked(&fixture), vec!["--json".to_owned()]].concat();
    let answer = run(args).done().json();
    assert_eq!(answer["answer"], fixture.text("generated_text"));
    let ids: Vec<u64> =
        answer["tokens"].as_array().unwrap().iter().map(|t| t["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, fixture.ids("full_ids").into_iter().map(u64::from).collect::<Vec<_>>());

    let model = text(&fixture.model());
    let found = run(["inspect", "--model", &model, "--json"]).done().json();
    assert_eq!(found["architecture"], "Gemma3ForConditionalGeneration");
    assert_eq!((&found["missing"], &found["unused"]), (&json!([]), &json!([])));
    assert!(0 < found["memory"]["load"].as_u64().unwrap());
    assert!(found["language_model"]["layers_without_window"].is_array());
}

/// An answer that was cut off is told in terminal, record and page.
#[test]
fn an_answer_that_was_cut_off_is_told() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let mut args = asked(&fixture);
    args.retain(|arg| arg != "--ignore-stop");
    let tokens = args.iter().position(|arg| arg == "--max-new-tokens").unwrap() + 1;
    args[tokens] = "3".to_owned();
    let done = run(explain_args(args, folder.path(), &["--answer-span"])).done();
    let note = "the answer was cut off after 3 tokens";
    assert!(done.stderr.contains(note), "{}", done.stderr);
    assert!(record(folder.path())["notes"][0].as_str().unwrap().contains(note));
    assert!(fs::read_to_string(folder.path().join("report.html")).unwrap().contains(note));
}

/// A word of several tokens is set against by its first alone, and that is said.
#[test]
fn a_foil_is_named_by_its_token() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    let more = ["--keyword", "changed", "--contrast", "left lung collapse"];
    let done = explain(&fixture, folder.path(), &more).done();
    assert!(done.stderr.contains(" is several tokens: "), "{}", done.stderr);
    let objective = record(folder.path())["settings"]["objective"].as_str().unwrap().to_owned();
    assert!(
        objective.starts_with("contrast with \"") && objective.contains("(token "),
        "{objective}"
    );
}

/// What else could stand there is told for every token.
#[test]
fn alternatives_are_told() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    explain(&fixture, folder.path(), &["--answer-span", "--contrast", "alternatives"]).done();
    let record = record(folder.path());
    let objective = record["settings"]["objective"].as_str().unwrap();
    assert_eq!(objective, "contrast with the alternatives");
    let target = &record["targets"][0];
    let [foils, tokens] = ["foils", "token_ids"].map(|field| target[field].as_array().unwrap());
    assert_eq!(foils.len(), tokens.len());
    for (foils, token) in foils.iter().zip(tokens) {
        let foils = foils.as_array().unwrap();
        assert!(foils.iter().all(|foil| foil["id"] != *token));
        assert!(foils.iter().all(|foil| !foil["token"].as_str().unwrap().is_empty()));
        let sum: f64 = foils.iter().map(|foil| foil["weight"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
}

#[test]
fn help_and_version_are_data() {
    for args in
        [vec!["--help"], vec!["explain", "--help"], vec!["answer", "-h"], vec!["inspect", "--help"]]
    {
        let run = run(args).done();
        assert!(run.stdout.contains("Usage: medgemma-explainer") && run.stderr.is_empty());
        assert!(!run.stdout.contains('`') || run.stdout.contains("`answer`"), "{}", run.stdout);
    }
    let version = run(["--version"]).done().stdout;
    assert_eq!(version, format!("medgemma-explainer {}\n", env!("CARGO_PKG_VERSION")));
}
