//! What explain says of the reliance on the pictures.

use crate::contract::array;
use crate::support::{explain, names, record, run, text};
use integration_tests::Fixture;
use integration_tests::ndarray::{Array2, Ix2};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// A phantom with an opacity and the tag PORTABLE, with its twins: without the one, without the other.
pub(crate) struct Tagged {
    root: TempDir,
}

impl Tagged {
    pub(crate) fn new() -> Self {
        Self::of_seed("121", "000-mask-0-opacity.png")
    }

    /// The first phantom of a seed; it has this mask.
    fn of_seed(seed: &str, mask: &str) -> Self {
        let root = tempdir().unwrap();
        let out = text(&root.path().join("set"));
        run(["phantom", "--seed", seed, "--count", "1", "--size", "224", "--out", &out]).done();
        assert!(root.path().join("set").join(mask).is_file(), "another phantom");
        Self { root }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.root.path().join("set").join(name)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    pub(crate) fn args(&self, model: &str, more: &[&str]) -> Vec<String> {
        let (picture, out) = (text(&self.file("000.png")), text(&self.out()));
        let start = ["explain", "--model", model, "--image", &picture, "--out", &out];
        let question = ["--prompt", "Describe the radiograph.", "--dtype", "float32"];
        let all = start.iter().chain(&question).chain(more);
        all.map(|&arg| arg.to_owned()).collect()
    }

    /// What the record says of the only target.
    pub(crate) fn target(&self, model: &str, more: &[&str]) -> Value {
        let more = [&["--words", "none", "--no-report", "--json"], more].concat();
        run(self.args(model, &more)).done().json()["targets"][0].clone()
    }
}

fn pmi(target: &Value, blank: usize) -> f64 {
    target["reliance"]["blanks"][blank]["pmi"].as_f64().unwrap()
}

fn flags(target: &Value) -> Vec<&str> {
    let flags = target["reliance"]["flags"].as_array().unwrap();
    flags.iter().map(|flag| flag["flag"].as_str().unwrap()).collect()
}

/// Both models say "opacity". The sound one says it because of the opacity, the other one because of the tag.
#[test]
fn a_sound_answer_and_a_shortcut_tell_apart() {
    let tagged = Tagged::new();
    let gain = |model: &str, twin: &str| {
        let twin = text(&tagged.file(twin));
        let target = tagged.target(model, &["--keyword", "opacity", "--reliance-picture", &twin]);
        let raised: Vec<String> = flags(&target).into_iter().map(str::to_owned).collect();
        (pmi(&target, 0), raised)
    };
    let (sound, raised) = gain("phantom", "000-twin-0.png");
    assert!(5.0 < sound && raised.is_empty(), "{sound} {raised:?}");
    let (shortcut, raised) = gain("phantom-shortcut", "000-twin-0.png");
    assert!(shortcut.abs() < 0.1, "{shortcut}");
    assert_eq!(raised, ["as-likely"], "the other picture has the tag too");
    let (sound, raised) = gain("phantom", "000-twin-portable.png");
    assert!(sound.abs() < 0.1, "{sound}");
    assert_eq!(raised, ["as-likely"]);
    let (shortcut, raised) = gain("phantom-shortcut", "000-twin-portable.png");
    assert!(5.0 < shortcut && raised.is_empty(), "{shortcut} {raised:?}");
}

/// To this model an even grey and a blurred opacity look like an opacity. That was once told as "does not depend on the picture, its
/// map is no evidence" of a right word whose map lies on its finding and which loses 9 nats without it.
#[test]
fn a_right_finding_is_not_said_to_be_independent_of_the_picture() {
    let tagged = Tagged::of_seed("7", "000-mask-1-opacity.png");
    let twin = text(&tagged.file("000-twin-1.png"));
    let keyword = ["--keyword", "opacity"];
    for more in [
        &["--reliance", "mean,blur"][..],
        &["--reliance", "mean,blur", "--reliance-picture", &twin],
        &["--reliance"],
        &["--reliance", "--reliance-picture", &twin],
    ] {
        let done =
            run(tagged.args("phantom", &[&keyword[..], &["--no-report"], more].concat())).done();
        let record = record(&tagged.out());
        let target = &record["targets"][0];
        let depends = target["reliance"]["depends_on_picture"].as_str().unwrap();
        let expected = if more == ["--reliance", "mean,blur"] { "undecided" } else { "yes" };
        assert_eq!(depends, expected, "{more:?}");
        let line = done.stdout.lines().find(|line| line.starts_with("opacity ")).unwrap();
        for verdict in ["does not depend", "no evidence"] {
            assert!(!line.contains(verdict), "{more:?}: {line}");
        }
        let pmi = |name: &str| {
            let blanks = target["reliance"]["blanks"].as_array().unwrap();
            let found = blanks.iter().find(|blank| blank["blank"] == name);
            found.map(|blank| blank["pmi"].as_f64().unwrap())
        };
        for misleading in ["mean", "blur"] {
            let nats = pmi(misleading).unwrap();
            assert!(nats.abs() < 0.1, "{misleading}: {nats}, the test proves nothing");
        }
        assert!(pmi("another").is_none_or(|nats| 5.0 < nats));
    }
}

/// The second word of a phrase follows from the first one: the text alone would have given it.
#[test]
fn a_word_that_the_text_gives_does_not_depend_on_the_picture() {
    let tagged = Tagged::new();
    let target = tagged.target("phantom", &["--keyword", "zone", "--reliance"]);
    let blanks = target["reliance"]["blanks"].as_array().unwrap().iter();
    let names: Vec<&str> = blanks.map(|blank| blank["blank"].as_str().unwrap()).collect();
    assert_eq!(names, ["mean", "blur", "mean-embedding", "knockout"]);
    assert_eq!(target["reliance"]["depends_on_picture"], "no", "{target}");
    assert_eq!(target["reliance"]["beware"], json!(["does not depend on the picture"]));
}

#[test]
fn a_wrong_answer_has_the_picture_against_it() {
    let tagged = Tagged::new();
    let more =
        ["--answer", "Right upper zone: opacity.", "--keyword", "opacity", "--words", "none"];
    let run = run(tagged.args("phantom", &[&more[..], &["--reliance", "mean"]].concat())).done();
    assert!(run.stdout.contains("the picture argues against it"), "{}", run.stdout);
    let target = &record(&tagged.out())["targets"][0];
    assert!(pmi(target, 0) < -5.0, "{target}");
    assert_eq!(flags(target), ["against"]);
}

#[test]
fn record_terminal_and_page_say_what_the_picture_adds() {
    let tagged = Tagged::new();
    let twin = text(&tagged.file("000-twin-0.png"));
    let more = [
        "--keyword",
        "opacity",
        "--keyword",
        "Right",
        "--reliance",
        "mean,blur,mean,mean-embedding,knockout",
        "--reliance-picture",
        &twin,
        "--blank-control",
    ];
    let run_done = run(tagged.args("phantom", &more)).done();
    let record = record(&tagged.out());
    let settings = &record["reliance"];
    let blanks: Vec<&str> = settings["blanks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|blank| blank["name"].as_str().unwrap())
        .collect();
    assert_eq!(blanks, ["mean", "blur", "mean-embedding", "knockout", "another"]);
    assert_eq!(settings["blanks"][0]["picture"], Value::Null);
    assert_eq!(settings["blanks"][4]["picture"], "000-twin-0.png", "its name, not its folder");
    assert_eq!(settings["blanks"][4]["pixels_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(settings["independent_nats"], 0.1);
    assert!(0.0 < settings["seconds"].as_f64().unwrap());

    let explained = [&record["targets"], &record["words"]].map(|list| list.as_array().unwrap());
    for target in explained.into_iter().flatten() {
        let with: Vec<f64> = numbers(&target["token_log_probabilities"]);
        for gain in target["reliance"]["blanks"].as_array().unwrap() {
            let (pmi, without) =
                (numbers(&gain["token_pmi"]), numbers(&gain["token_log_probabilities"]));
            for ((pmi, with), without) in pmi.iter().zip(&with).zip(&without) {
                assert!((pmi - (with - without)).abs() < 1e-5, "{target}");
            }
            let sum: f64 = pmi.iter().sum();
            assert!((gain["pmi"].as_f64().unwrap() - sum).abs() < 1e-5);
        }
        let entropy = target["reliance"]["map_entropy"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&entropy), "{entropy}");
    }
    assert!(explained[1].iter().all(|word| word["control"] == Value::Null));

    let lines: Vec<&str> = run_done.stdout.lines().collect();
    let table = lines.iter().position(|line| line.starts_with("What the picture adds")).unwrap();
    let heads = "vs mean  vs blur vs mean-embedding vs knockout vs another  depends    remarks";
    assert!(lines[table + 1].contains(heads), "{}", lines[table + 1]);
    let shown = format!("{:+.2}", pmi(&record["targets"][0], 4));
    assert!(lines[table + 2].starts_with("opacity ") && lines[table + 2].contains(&shown));
    assert!(lines[table + 3].ends_with("  no         does not depend on the picture"));
    assert!(run_done.stdout.contains("other words do not depend on the picture;"));

    let page = fs::read_to_string(tagged.out().join("report.html")).unwrap();
    for part in [
        "Picture adds, compared with another",
        "does not depend on the picture",
        "Depends on the picture",
        "Spread of the map",
        "Relevancy in the picture",
        "Within 0.1 nats of",
    ] {
        assert!(page.contains(part), "no {part:?}");
    }
    assert!(!page.contains(&text(tagged.root.path())), "the page names no folder of its maker");
    fs::remove_file(tagged.out().join("report.html")).unwrap();
    run(["report", &text(&tagged.out())]).done();
    assert_eq!(fs::read_to_string(tagged.out().join("report.html")).unwrap(), page);
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn the_control_is_in_arrays_record_and_pictures() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let more = ["--keyword", "yes", "--position", "105", "--blank-control", "--words", "none"];
    let done = explain(&fixture, folder.path(), &more).done();
    let record = record(folder.path());
    let drawn = ["control-0-0.png", "control-0-1.png", "control-1-0.png", "control-1-1.png"];
    assert_eq!(record["files"]["figures"], json!(drawn));
    assert_eq!(record["targets"][1]["control"]["overlays"], json!(&drawn[2..]));
    for name in drawn {
        assert!(folder.path().join(name).is_file(), "{name}");
    }
    let rows: Array2<f32> = array::<f32, Ix2>(folder.path(), "token_relevancy");
    let blank: Array2<f32> = array::<f32, Ix2>(folder.path(), "token_relevancy_blank");
    assert_eq!(rows.dim(), blank.dim());
    assert_ne!(rows, blank);
    for (index, target) in record["targets"].as_array().unwrap().iter().enumerate() {
        let control = &target["control"];
        let sum = |rows: &Array2<f32>| -> f64 {
            let images = record["images"].as_array().unwrap().iter();
            let cells = images.flat_map(|image| {
                let [start, end] = [0, 1].map(|n| image["positions"][n].as_u64().unwrap() as usize);
                start..end
            });
            cells.map(|cell| f64::from(rows[[index, cell]])).sum()
        };
        let number = |name: &str| control[name].as_f64().unwrap();
        assert!((number("image_sum") - sum(&rows)).abs() < 1e-4);
        assert!((number("image_sum_blank") - sum(&blank)).abs() < 1e-4);
        assert!((number("ratio") - sum(&rows) / sum(&blank)).abs() < 1e-3);
        assert_eq!(target["reliance"], Value::Null);
    }
    assert!(done.stdout.contains("times as much"), "{}", done.stdout);
    // The next run leaves none of it.
    explain(&fixture, folder.path(), &["--no-report"]).done();
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("control")));
}

#[test]
fn a_span_by_reliance_says_its_weights() {
    let tagged = Tagged::new();
    let more = ["--keyword", "pleural effusion", "--span", "reliance"];
    let weighted = tagged.target("phantom", &more);
    assert_eq!(weighted["rule"], "reliance");
    let weights = numbers(&weighted["token_weights"]);
    assert_eq!(weights.len(), weighted["token_ids"].as_array().unwrap().len());
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{weights:?}");
    assert!(weights[0] > 0.9, "the first token of the finding decides it: {weights:?}");
    let even = tagged.target("phantom", &more[..2]);
    assert_eq!((&even["rule"], &even["token_weights"]), (&json!("mean"), &Value::Null));
    assert_eq!(even["reliance"], Value::Null);
}

/// What was written before this was known makes its page as ever.
#[test]
fn a_record_without_reliance_is_read() {
    let fixture = Fixture::open("short-window");
    let folder = tempdir().unwrap();
    explain(&fixture, folder.path(), &["--keyword", "changed"]).done();
    let page = fs::read_to_string(folder.path().join("report.html")).unwrap();
    let mut old = record(folder.path());
    let new = ["reliance", "control", "token_weights"];
    old.as_object_mut().unwrap().remove("reliance");
    for list in ["targets", "words"] {
        for target in old[list].as_array_mut().unwrap() {
            for name in new {
                target.as_object_mut().unwrap().remove(name);
            }
        }
    }
    fs::write(folder.path().join("explanation.json"), old.to_string()).unwrap();
    run(["report", &text(folder.path())]).done();
    assert_eq!(fs::read_to_string(folder.path().join("report.html")).unwrap(), page);
}

#[test]
fn wrong_blanks_are_refused_before_anything_is_made() {
    let fixture = Fixture::open("two-images");
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    let refused = |more: &[&str], part: &str| explain(&fixture, &out, more).refused(part);
    refused(&["--reliance", "grey"], "mean, blur");
    refused(&["--reliance", "mean,"], "mean, blur");
    refused(&["--span", "median"], "mean, sum, reliance");

    let missing = root.path().join("nobody.png");
    let failed = |path: &Path, parts: &[&str]| {
        explain(&fixture, &out, &["--reliance-picture", &text(path)]).failed(parts);
    };
    failed(&missing, &["nobody.png"]);
    fs::write(root.path().join("notes.png"), "no picture").unwrap();
    failed(&root.path().join("notes.png"), &["notes.png"]);

    let file = root.path().join("turns.json");
    fs::write(&file, r#"[{"role": "user", "content": "lung"}]"#).unwrap();
    let model = text(&fixture.model());
    let asked = ["--messages", &text(&file), "--max-new-tokens", "2", "--ignore-stop"];
    for more in ["--reliance=mean", "--blank-control", "--span=reliance"] {
        let args = ["explain", "--model", &model, "--out", &text(&out), more, "--answer-span"];
        run([&args[..], &asked].concat()).failed(&["no picture"]);
    }
    assert!(!out.exists());
}
