//! Models with adapters, models compared, models that see no pictures.

use crate::support::{island, names, record, run, text};
use integration_tests::Fixture;
use integration_tests::ndarray::Array2;
use integration_tests::ndarray_npy::NpzReader;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use tempfile::tempdir;

fn adapter(kind: &str) -> PathBuf {
    Fixture::folder().join("adapters").join(kind)
}

/// `explain` of an answer that is given, for the base of the adapters.
fn args(out: &Path, more: &[&str]) -> Vec<String> {
    let fixture = Fixture::open("short-window");
    let picture = text(&fixture.pictures()[0]);
    let model = text(&fixture.model());
    let out = text(out);
    let own = [
        "explain", "--model", &model, "--image", &picture, "--prompt", "Where?", "--resize",
        "pillow",
    ];
    let rest = ["--answer", "clear lungs", "--words", "none", "--out", &out];
    [&own[..], &rest, more].concat().into_iter().map(str::to_owned).collect()
}

fn array(folder: &Path, name: &str) -> Array2<f32> {
    let file = File::open(folder.join("explanation.npz")).unwrap();
    NpzReader::new(file).unwrap().by_name(&format!("{name}.npy")).unwrap()
}

/// What an adapter changes is what two runs of their own would show, in the record, the arrays, the figure and the page.
#[test]
fn a_comparison_with_the_base_is_the_run_without_the_adapter() {
    let root = tempdir().unwrap();
    let [with, without] = ["with", "without"].map(|name| root.path().join(name));
    let (recipe, target) =
        (text(&adapter("recipe")), ["--keyword", "clear", "--objective", "logit"]);
    let asked = [&target[..], &["--adapter", &recipe, "--compare", "base"]].concat();
    let done = run(args(&with, &asked)).done();
    assert!(done.stdout.contains("Compared with"), "{}", done.stdout);
    // It is told once.
    assert_eq!(
        done.stderr.matches("was trained on tests/short-window").count(),
        1,
        "{}",
        done.stderr
    );
    run(args(&without, &target)).done();
    assert_eq!(array(&with, "token_relevancy_other"), array(&without, "token_relevancy"));
    let [found, expected] = [&with, &without].map(|folder| record(folder));
    let counterpart = &found["targets"][0]["counterpart"];
    assert_eq!(counterpart["log_probability"], expected["targets"][0]["log_probability"]);
    assert_eq!(counterpart["figures"][0], "compare-0-0.png");
    assert!(with.join("compare-0-0.png").exists());
    let applied = &found["model"]["adapters"][0];
    assert_eq!((&applied["kind"], &applied["weight"]), (&"LoRA".into(), &1.0.into()));
    assert_eq!(applied["source"], "recipe");
    assert_eq!(applied["files"][1]["name"], "adapter_model.safetensors");
    assert_eq!(applied["files"][1]["sha256"].as_str().unwrap().len(), 64);
    assert!(found["other_model"]["model"]["adapters"].as_array().unwrap().is_empty());
    let page = fs::read_to_string(with.join("report.html")).unwrap();
    let methods = island(&page)["methods"].as_array().unwrap().len();
    assert_eq!(methods, 5, "relevancy, that of the other model, the difference, and two baselines");
    // From the folder alone the same page.
    let again = text(&with.join("again.html"));
    run(["report", &text(&with), "--out", &again]).done();
    assert_eq!(fs::read_to_string(again).unwrap(), page);
}

#[test]
fn what_cannot_be_compared_or_applied_is_said() {
    let root = tempdir().unwrap();
    let out = root.path().join("out");
    run(args(&out, &["--compare", "base", "--keyword", "clear"]))
        .failed(&["--compare base", "add --adapter"]);
    run(args(&out, &["--compare", "phantom"])).refused("--compare is for targets: add --keyword");
    run(args(&out, &["--keyword", "clear", "--compare", "phantom"]))
        .failed(&["only models of one tokenizer"]);
    let (lists, nothing) = (text(&adapter("lists")), text(root.path()));
    run(args(&out, &["--adapter", &nothing])).failed(&["adapter_config.json"]);
    run(args(&out, &["--adapter", &format!("{lists}=1e9")])).failed(&["weight 1000000000"]);
    run(args(&out, &["--adapter", "phantom"])).failed(&["phantom is a model, not an adapter"]);
    assert_eq!(names(root.path()), [""; 0]);
    // Beside a checkpoint it is not passed over.
    let both = root.path().join("both");
    fs::create_dir(&both).unwrap();
    for folder in [Fixture::open("short-window").model(), adapter("lists")] {
        for name in names(&folder) {
            fs::copy(folder.join(&name), both.join(&name)).unwrap();
        }
    }
    let both = text(&both);
    run(["inspect", "--model", &both])
        .failed(&["adapter_config.json", "name its folder as an adapter as well"]);
    let told = run(["inspect", "--model", &both, "--adapter", &both, "--json"]).done().json();
    assert_eq!(told["adapters"][0]["low_rank_parts"], 16);
    let alone = run(["inspect", "--model", &lists]);
    assert!(alone.code == 1 && alone.stderr.contains("tests/short-window"), "{alone:?}");
}

/// `--image` and whatever is about pictures is refused before the model runs; targets have no share in them.
#[test]
fn a_model_that_sees_no_pictures_is_asked_about_none() {
    let root = tempdir().unwrap();
    let (out, model) = (root.path().join("out"), text(&adapter("text/model")));
    let lora = text(&adapter("text/adapter"));
    let ask = |more: &[&str]| {
        let out = text(&out);
        let own = [
            "explain",
            "--model",
            &model,
            "--prompt",
            "the heart",
            "--out",
            &out,
            "--position",
            "6",
        ];
        run([
            &own[..],
            &["--dtype", "float32", "--objective", "logit", "--answer", " clear lungs"],
            more,
        ]
        .concat())
    };
    let done = ask(&["--adapter", &lora, "--compare", "base"]).done();
    assert!(done.stdout.contains("–") && !done.stdout.contains("0.0 %"), "{}", done.stdout);
    let found = record(&out);
    assert!(found["images"].as_array().unwrap().is_empty());
    assert!(found["targets"][0]["counterpart"]["agreement"].as_array().unwrap().is_empty());
    assert_eq!(array(&out, "token_relevancy").dim(), array(&out, "token_relevancy_other").dim());
    for about in [
        ["--resolution", "patches"],
        ["--regions", "halves"],
        ["--figures", "words"],
        ["--reliance", "mean"],
    ] {
        ask(&about).failed(&["the question has no picture", about[0]]);
    }
    let picture = text(&Fixture::open("short-window").pictures()[0]);
    ask(&["--image", &picture]).failed(&["sees no pictures"]);
}
