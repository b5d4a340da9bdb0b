//! One phrase against another, the last picture against the first.

use crate::support::{asked, names, record, run, text};
use integration_tests::Fixture;
use integration_tests::ndarray::{Array2, s};
use integration_tests::ndarray_npy::{NpzReader, ReadableElement};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// Phantoms, and where results go.
struct Chests {
    root: TempDir,
}

impl Chests {
    fn new() -> Self {
        let root = tempdir().unwrap();
        let out = text(&root.path().join("set"));
        run(["phantom", "--seed", "5", "--count", "2", "--size", "224", "--out", &out]).done();
        Self { root }
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    /// `explain` of the first pictures with an answer that is given.
    fn args(&self, pictures: usize, more: &[&str]) -> Vec<String> {
        let mut args: Vec<String> =
            ["explain", "--model", "phantom", "--image"].map(str::to_owned).into();
        args.extend((0..pictures).map(|n| text(&self.root.path().join(format!("set/00{n}.png")))));
        let rest = ["--prompt", "Describe the radiograph.", "--words", "none", "--no-report"];
        let answer = "Left upper zone: clear. Left lower zone: nodule.";
        args.extend(
            [&rest[..], &["--answer", answer, "--out", &text(&self.out())], more]
                .concat()
                .iter()
                .map(|&arg| arg.to_owned()),
        );
        args
    }
}

fn array<T: ReadableElement>(folder: &Path, name: &str) -> Array2<T> {
    let file = File::open(folder.join("explanation.npz")).unwrap();
    NpzReader::new(file).unwrap().by_name(&format!("{name}.npy")).unwrap()
}

#[test]
fn a_phrase_stands_against_another_in_its_place() {
    let chests = Chests::new();
    let more = [
        "--phrase",
        "left lower",
        "--against",
        "right upper",
        "--phrase",
        "NODULE",
        "--against",
        "opacity",
    ];
    let done = run(chests.args(1, &more)).done();
    let record = record(&chests.out());
    let versus = record["versus"].as_array().unwrap();
    let texts = |side: &str| versus.iter().map(|one| one[side]["text"].clone()).collect::<Vec<_>>();
    assert_eq!(texts("phrase"), [json!("Left lower"), json!("nodule")]);
    assert_eq!(texts("against"), [json!("right upper"), json!("opacity")]);
    assert_eq!(versus[0]["figures"], json!(["versus-0-0.png"]));
    assert_eq!(record["files"]["figures"], json!(["versus-0-0.png", "versus-1-0.png"]));
    for one in versus {
        let number = |value: &Value| value.as_f64().unwrap();
        let log_p = |side: &str| number(&one[side]["log_probability"]);
        let tokens = |side: &str| -> f64 {
            one[side]["token_log_probabilities"].as_array().unwrap().iter().map(number).sum()
        };
        for side in ["phrase", "against"] {
            assert!((log_p(side) - tokens(side)).abs() < 1e-4 && log_p(side) < 0.0, "{one}");
            let share = number(&one[side]["image_share"]);
            assert!(0.0 < share && share < 1.0, "{one}");
        }
        let ratio = number(&one["log_ratio"]);
        assert!((ratio - (log_p("phrase") - log_p("against"))).abs() < 1e-4);
        let favoured = &one[if ratio > 0.0 { "phrase" } else { "against" }]["text"];
        let line = format!("{favoured} is favoured by {:.3} nats, ", ratio.abs());
        assert!(done.stdout.contains(&line), "no {line:?} in {}", done.stdout);
    }

    // Rows over what both phrases follow, nothing from there on.
    let tokens = record["tokens"].as_array().unwrap().len();
    let bounds = array::<i64>(&chests.out(), "versus");
    for (row, one) in versus.iter().enumerate() {
        assert_eq!(json!(bounds.row(row).to_vec()), one["positions"]);
    }
    for name in ["versus_a", "versus_b", "versus_contrast"] {
        let rows = array::<f32>(&chests.out(), name);
        assert_eq!(rows.dim(), (2, tokens), "{name}");
        for (row, bounds) in rows.outer_iter().zip(bounds.outer_iter()) {
            let start = usize::try_from(bounds[0]).unwrap();
            assert!(row.slice(s![start..]).iter().all(|&value| value == 0.0), "{name}");
            assert!(row[start - 1] > 0.0 && row.iter().all(|&value| value >= 0.0), "{name}");
        }
    }
}

/// Each pair stands beside the text, and is the same when the page is made again.
#[test]
fn the_page_has_phrases_too() {
    let chests = Chests::new();
    let pairs = ["--phrase", "left lower", "--against", "right upper"];
    let more = ["--phrase", "NODULE", "--against", "opacity"];
    let all = ["--record", "layers", "--resolution", "patches", "--method", "grad-cam"];
    let with_page = |more: &[&str]| {
        let mut args = chests.args(1, more);
        args.retain(|arg| arg != "--no-report");
        run(args).done();
    };
    with_page(&[&pairs[..], &more, &all].concat());
    let page = || fs::read_to_string(chests.out().join("report.html")).unwrap();
    let first = page();
    for chip in [
        "Left lower rather than right upper",
        "Left lower (as a phrase)",
        "right upper (in its place)",
        "nodule rather than opacity",
    ] {
        assert!(first.contains(&format!(">{chip}</span>")), "{chip}");
    }
    run(["report", &text(&chests.out())]).done();
    assert_eq!(page(), first);
    // Arrays of another explanation are refused.
    let record = fs::read(chests.out().join("explanation.json")).unwrap();
    with_page(&[&["--keyword", "nodule"], &all[..]].concat());
    fs::write(chests.out().join("explanation.json"), record).unwrap();
    run(["report", &text(&chests.out())]).failed(&["explanation.npz", "versus_a"]);
}

/// What the phrase is worth is what it is worth as a target, whichever engine says so; the report is made again all the same.
#[test]
fn numbers_are_those_of_the_target_and_of_both_engines() {
    let chests = Chests::new();
    let pair = [
        "--keyword",
        "left#2",
        "--phrase",
        "left#2",
        "--against",
        "right",
        "--json",
        "--dtype",
        "float32",
    ];
    let explained = |engine: &str| {
        let record =
            run(chests.args(1, &[&pair[..], &["--engine", engine]].concat())).done().json();
        let rows = ["versus_a", "versus_b", "versus_contrast"]
            .map(|name| array::<f32>(&chests.out(), name));
        (record, rows)
    };
    let (record, streaming) = explained("streaming");
    let (again, retained) = explained("retained");
    let log_p =
        |record: &Value, side: &str| record["versus"][0][side]["log_probability"].as_f64().unwrap();
    let target = record["targets"][0]["log_probability"].as_f64().unwrap();
    assert!((log_p(&record, "phrase") - target).abs() < 1e-4);
    assert_eq!(record["versus"][0]["positions"], record["targets"][0]["positions"]);
    assert!((log_p(&record, "against") - log_p(&again, "against")).abs() < 1e-4);
    for (found, expected) in streaming.iter().zip(&retained) {
        let largest = expected.iter().copied().fold(0.0, f32::max);
        let distance = (found - expected).iter().fold(0.0, |most: f32, step| most.max(step.abs()));
        assert!(distance <= 1e-5 * largest, "{distance}");
    }
    run(["report", &text(&chests.out())]).done();
    // A record of before there were phrases has a page too.
    let mut before = again;
    before.as_object_mut().unwrap().remove("versus");
    fs::write(chests.out().join("explanation.json"), before.to_string()).unwrap();
    let page = text(&chests.root.path().join("page.html"));
    run(["report", &text(&chests.out()), "--out", &page]).done();
}

/// An answer that the model makes serves as one that is given, and the next explanation leaves nothing of this one.
#[test]
fn a_generated_answer_has_phrases_too() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let explain = |more: &[&str]| {
        let args = [asked(&fixture), vec!["--out".to_owned(), text(folder.path())]].concat();
        run(["explain".to_owned()]
            .into_iter()
            .chain(args)
            .chain(more.iter().map(|&arg| arg.to_owned())))
    };
    explain(&["--answer-span"]).done();
    let answer = record(folder.path())["answer"].as_str().unwrap().to_owned();
    let word = answer.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty()).unwrap();
    explain(&["--phrase", word, "--against", "no change", "--figure-format", "svg"]).done();
    let drawn = ["versus-0-0.svg", "versus-0-1.svg"];
    assert!(drawn.iter().all(|&name| names(folder.path()).contains(&name.to_owned())));
    let svg = fs::read_to_string(folder.path().join(drawn[0])).unwrap();
    assert!(svg.contains("no change") && svg.trim_end().ends_with("</svg>"));
    explain(&[]).done();
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("versus")));
}

#[test]
fn phrases_that_cannot_be_set_against_each_other_are_told() {
    let chests = Chests::new();
    let failed = |more: &[&str], parts: &[&str]| {
        run(chests.args(1, more)).failed(parts);
    };
    failed(&["--phrase", "nodule", "--against", "<end_of_turn>"], &["control token"]);
    assert!(!chests.out().exists(), "nothing was written");
    let refused = |more: &[&str], part: &str| run(chests.args(1, more)).refused(part);
    refused(&["--phrase", "nodule", "--against", " Nodule "], "are both \" Nodule \"");
    refused(&["--phrase", "nodule"], "--against");
    refused(&["--against", "nodule"], "--phrase");
    refused(&["--phrase", "nodule", "--against", " "], "blank");
    refused(&["--phrase", "left#all", "--against", "right"], "#all is for --keyword");
    let three = ["--phrase", "nodule", "--against", "clear", "--against", "opacity"];
    refused(&three, "--phrase is given 1 times and --against 2 times");
}

/// A phrase that the answer does not have is told, and the rest is explained.
#[test]
fn a_phrase_that_is_missing_spoils_nothing() {
    let chests = Chests::new();
    let phrases =
        ["--phrase", "effusion", "--against", "clear", "--phrase", "nodule", "--against", "clear"];
    let done = run(chests.args(1, &phrases)).done();
    assert!(done.stderr.contains("warning: `effusion` does not occur"), "{}", done.stderr);
    let written = record(&chests.out());
    assert_eq!(written["versus"].as_array().unwrap().len(), 1);
    assert_eq!(written["targets"], json!([]), "nobody asked for a target");
    assert_eq!(written["missing"][0]["asked"], "\"effusion\"");
    let strict = run(chests.args(1, &[&phrases[..], &["--strict"]].concat()));
    assert_eq!(strict.code, 3, "{}", strict.stderr);
    assert!(strict.stderr.ends_with("everything else was written\n"), "{}", strict.stderr);
}

#[test]
fn the_last_picture_is_drawn_against_the_first() {
    let chests = Chests::new();
    let more = ["--keyword", "nodule", "--figures", "difference,images", "--common-scale"];
    run(chests.args(2, &more)).done();
    assert_eq!(
        record(&chests.out())["files"]["figures"],
        json!(["difference-0.png", "images-0.png"])
    );
    let figure = image::open(chests.out().join("difference-0.png")).unwrap();
    assert!(figure.width() > 3 * 300 && figure.height() > 300);
    run(chests.args(2, &["--answer-span"])).done();
    assert!(!names(&chests.out()).contains(&"difference-0.png".to_owned()));
}

/// A pair is missed before any model is looked for.
#[test]
fn one_picture_has_no_difference() {
    let chests = Chests::new();
    let mut args = chests.args(1, &["--keyword", "nodule", "--figures", "difference"]);
    args[2] = text(&chests.root.path().join("no-model"));
    run(args).failed(&["the figure `difference`", "two pictures or more", "has 1"]);
    assert!(!chests.out().exists());
}
