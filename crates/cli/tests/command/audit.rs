//! Audits of a set of cases, as people and scripts see them.

use crate::support::{names, run, text};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, tempdir};

/// A few phantoms with their cases, half of which show an opacity.
struct Set {
    root: TempDir,
}

impl Set {
    fn new() -> Self {
        let root = tempdir().unwrap();
        let args = [
            "phantom", "--seed", "500", "--count", "8", "--size", "224", "--cases", "opacity",
            "--out",
        ];
        run(args.map(str::to_owned).into_iter().chain([text(&root.path().join("set"))])).done();
        let set = Self { root };
        // Of eight two show an opacity or so; with few others the set is asked in less time.
        let cases = set.cases();
        let label = |case: &Value| case["label"].as_str().unwrap().to_owned();
        let with: Vec<Value> =
            cases.iter().filter(|case| label(case) == "opacity").cloned().collect();
        let without = cases.into_iter().filter(|case| label(case) != "opacity").take(2);
        assert!(!with.is_empty());
        set.write(&with.into_iter().take(1).chain(without).collect::<Vec<_>>());
        set
    }

    fn file(&self) -> PathBuf {
        self.root.path().join("set/cases.jsonl")
    }

    fn out(&self) -> PathBuf {
        self.root.path().join("audit")
    }

    fn cases(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.file()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn write(&self, cases: &[Value]) {
        let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
        fs::write(self.file(), lines.join("\n")).unwrap();
    }

    fn audit(&self, more: &[&str]) -> crate::support::Run {
        let [file, out] = [self.file(), self.out()].map(|path| text(&path));
        let args =
            ["audit", "--model", "phantom", "--set", &file, "--out", &out, "--dtype", "float32"];
        run(args.iter().chain(more))
    }
}

fn document(out: &Path) -> Value {
    serde_json::from_slice(&fs::read(out.join("audit.json")).unwrap()).unwrap()
}

/// A picture that is not there is a row with its reason; when it is there the same command asks about it alone.
#[test]
fn an_audit_is_told_written_and_gone_on_with() {
    let set = Set::new();
    let mut cases = set.cases();
    cases.push(json!({ "id": "<b>late</b>", "image": "late.png", "question": "Is there an opacity?", "label": "no opacity", "group": "late" }));
    set.write(&cases);
    let done = set.audit(&["--no-certificate", "--method", "rollout"]).done();
    assert!(
        done.stderr.contains("<b>late</b>: cannot read") && done.stderr.contains("late.png"),
        "{}",
        done.stderr
    );
    assert!(done.stdout.contains("1 more failed"), "{}", done.stdout);
    assert!(done.stdout.contains("3 patients are too few"), "{}", done.stdout);
    assert_eq!(names(&set.out()), ["audit.html", "audit.json", "audit.jsonl", "audit.parquet"]);
    let found = document(&set.out());
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows[3]["error"].as_str().unwrap().contains("late.png"));
    let folder = text(set.root.path());
    for file in ["audit.html", "audit.json", "audit.jsonl"] {
        let written = fs::read_to_string(set.out().join(file)).unwrap();
        assert!(!written.contains(&folder), "{file} names a folder");
        assert!(!(file == "audit.html" && written.contains("<b>late")));
    }

    // The contract for scripts.
    let with = &rows[0]["observed"];
    assert_eq!(with["word"]["text"], "Yes");
    let of = |change: &str| {
        let changes = with["changes"].as_array().unwrap();
        changes.iter().find(|it| it["change"] == change).unwrap_or(&Value::Null).clone()
    };
    assert_eq!(of("other-label")["flipped"], true);
    assert_eq!(of("irrelevant-hidden")["flipped"], false);
    assert!(of("relevant-knock-out")["log_probability"].as_f64().unwrap() < -1.0);
    assert_eq!(with["maps"][0]["method"], "relevancy");
    assert_eq!(with["maps"][0]["own"]["pointing"], 1.0);
    assert_eq!(with["maps"][1]["method"], "rollout");
    assert_eq!(found["summary"]["all"]["failed"], 1);
    assert_eq!(found["summary"]["all"]["right"]["mean"], 1.0);
    assert_eq!(found["summary"]["all"]["judgement"]["verdict"], "unclear");

    fs::copy(
        set.root.path().join("set").join(cases[1]["image"].as_str().unwrap()),
        set.root.path().join("set/late.png"),
    )
    .unwrap();
    let again = set.audit(&["--no-certificate", "--method", "rollout", "--json"]).done();
    assert!(again.stderr.contains("3 of 4 cases are done already"), "{}", again.stderr);
    assert_eq!(again.json()["all"]["failed"], 0);
    let later = document(&set.out());
    assert_eq!(later["rows"].as_array().unwrap()[..3], rows[..3], "they were not asked again");

    set.audit(&["--no-certificate"]).failed(&["audit.jsonl", "other options", "another --out"]);
    let mut other = set.cases();
    other.pop();
    set.write(&other);
    set.audit(&["--no-certificate", "--method", "rollout"]).failed(&["another file of cases"]);
}

#[test]
fn what_is_no_set_of_cases_is_refused() {
    let set = Set::new();
    let refused = |text: &str, parts: &[&str]| {
        fs::write(set.file(), text).unwrap();
        set.audit(&["--no-certificate"]).failed(parts);
        assert!(!set.out().exists());
    };
    refused("\n", &["cases.jsonl", "has no case"]);
    refused("{\"id\": \"a\"}\n", &["no line that is a case"]);
    let outside = json!({ "id": "a", "image": "../../x.png", "question": "q" });
    fs::write(set.file(), format!("{outside}\n")).unwrap();
    set.audit(&["--no-certificate"]).failed(&["no case could be asked", "--allow-outside"]);
    run(["audit", "--model", "phantom", "--out", "x"]).refused("--set");
    fs::remove_dir_all(set.out()).unwrap();
    fs::create_dir(set.out()).unwrap();
    fs::write(set.out().join("audit.html"), "mine").unwrap();
    set.audit(&["--no-certificate"]).failed(&["audit.html", "no audit beside it"]);
    assert_eq!(names(&set.out()), ["audit.html"]);
    run(["audit", "--model", "phantom", "--set", "x", "--out", "y", "--limit", "0"])
        .refused("--limit");
}

#[test]
fn a_certificate_is_part_of_it_unless_left_out() {
    let set = Set::new();
    set.audit(&["--limit", "1"]).done();
    let found = &document(&set.out())["rows"][0]["observed"]["certificate"];
    assert!(0.2 < found["srg"].as_f64().unwrap() && found["ahead"] == true, "{found}");
}

/// The benchmark's files as VinDr-CXR has them, with phantoms in the place of its pictures. The model that ships with the program was never
/// asked for evidence; what it answers is no "Yes", which is told, and its rows are left out of the scores.
#[test]
fn a_public_benchmark_is_read_beside_the_users_pictures() {
    let set = Set::new();
    let folder = set.root.path().join("benchmark");
    fs::create_dir_all(folder.join("pictures")).unwrap();
    let case = &set.cases()[0];
    let picture = set.root.path().join("set").join(case["image"].as_str().unwrap());
    fs::copy(picture, folder.join("pictures/one.png")).unwrap();
    let [x0, y0, x1, y1] = [0, 1, 2, 3].map(|side| case["boxes"][0][side].as_f64().unwrap());
    let rows = format!(
        "image_id,class_name,x_min,y_min,x_max,y_max\none,opacity,{x0},{y0},{x1},{y1}\ntwo,No finding,,,,\nzero,nodule,1,1,9,9\n"
    );
    fs::write(folder.join("annotations_test.csv"), rows).unwrap();
    let record = |index: usize| json!({ "model": "m", "dataset": "vindr_cxr", "index": index, "answer": "Yes" });
    fs::write(folder.join("direct.json"), json!([record(0), record(1)]).to_string()).unwrap();
    let [benchmark, annotations, pictures, out] =
        [folder.clone(), folder.join("annotations_test.csv"), folder.join("pictures"), set.out()]
            .map(|path| text(&path));
    let args = ["audit", "--model", "phantom", "--from", "medground", "--benchmark", &benchmark];
    let more = ["--vindr", &annotations, &pictures, "--out", &out, "--no-certificate"];
    let done = run(args.iter().chain(&more)).done();
    assert!(done.stderr.contains("zero"), "the picture that is not there: {}", done.stderr);
    assert!(done.stdout.contains("(not answered with “Yes”, and left out: 1)"), "{}", done.stdout);
    let found = document(&set.out());
    assert_eq!(found["benchmark"]["otherwise"], 1);
    let asked = found["rows"][0]["observed"].clone();
    assert_eq!(
        (&found["rows"][0]["group"], &asked["constant"].is_object()),
        (&json!("vindr_cxr"), &true)
    );
    let written = fs::read_to_string(set.out().join("medground.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), json!([]));
    run(["audit", "--model", "phantom", "--from", "medground", "--out", "x"])
        .refused("--benchmark");
    run(["audit", "--model", "phantom", "--set", "x", "--vindr", "a", "b", "--out", "x"])
        .refused("--from");
}
