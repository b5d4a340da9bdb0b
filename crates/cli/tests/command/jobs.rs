//! Jobs for a model that is loaded once: the worker's lines, a batch's data set.

#[cfg(feature = "cloud")]
mod stores;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

use crate::support::{command, record, run, text};

/// Phantoms to ask about.
struct Pictures {
    root: TempDir,
}

impl Pictures {
    fn new(count: usize) -> Self {
        let root = tempdir().unwrap();
        let (out, count) = (text(&root.path().join("set")), count.to_string());
        run(["phantom", "--seed", "5", "--count", &count, "--size", "224", "--out", &out]).done();
        Self { root }
    }

    fn file(&self, index: usize) -> PathBuf {
        self.root.path().join(format!("set/{index:03}.png"))
    }
}

/// A worker at work.
struct Worker {
    process: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Worker {
    fn start(more: &[&str]) -> Self {
        let mut command = command(["worker", "--model", "phantom", "--dtype", "float32"]);
        command.args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let stdin = process.stdin.take();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        Self { process, stdin, stdout }
    }

    fn send(&mut self, line: &[u8]) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(line).unwrap();
        stdin.write_all(b"\n").unwrap();
        stdin.flush().unwrap();
    }

    fn receive(&mut self) -> Value {
        let mut line = String::new();
        assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the worker ended");
        serde_json::from_str(&line).unwrap()
    }

    fn ask(&mut self, job: &Value) -> Value {
        self.send(job.to_string().as_bytes());
        self.receive()
    }

    /// Its exit code after the end of its input.
    fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.process.wait().unwrap().code()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _waited = self.process.wait();
    }
}

fn job(id: &str, picture: &Path, targets: Value) -> Value {
    json!({
        "id": id, "images": [picture], "prompt": "Is there a nodule?", "targets": targets,
        "options": { "answer": "Yes, there is a nodule in the right lower zone.", "words": "none" },
    })
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn a_worker_answers_every_line_in_order_and_at_once() {
    let pictures = Pictures::new(1);
    let picture = pictures.file(0);
    let mut worker = Worker::start(&[]);
    let keyword = json!([{ "keyword": "nodule" }, { "answer_span": true }]);
    // Each line is waited for before the next is sent.
    let first = worker.ask(&job("a", &picture, keyword.clone()));
    assert_eq!((&first["id"], &first["problem"]), (&json!("a"), &Value::Null));
    let rows = first["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["text"], &rows[0]["kind"]), (&json!("nodule"), &json!("target")));
    assert_eq!(rows[0]["span"], json!([16, 22]));
    let map = &rows[0]["maps"][0];
    assert_eq!((&map["rows"], &map["columns"]), (&json!(16), &json!(16)));
    assert_eq!(numbers(&map["values"]).len(), 256);

    let missing = picture.with_file_name("nowhere.png");
    for (line, id, kind) in [
        (b"nonsense".to_vec(), "line 2", "job"),
        (br#"{"id": "b", "promt": "x"}"#.to_vec(), "b", "job"),
        (b"\xff\xfe".to_vec(), "line 4", "job"),
        (job("c", &missing, keyword.clone()).to_string().into(), "c", "file"),
        (br#"{"id": "d", "prompt": "x", "images": [{"data": "?"}]}"#.to_vec(), "d", "picture"),
        (br#"{"id": "e", "prompt": "x"}"#.to_vec(), "e", "question"),
        (job("f", &picture, json!([{ "position": 3 }])).to_string().into(), "f", "target"),
    ] {
        worker.send(&line);
        let found = worker.receive();
        assert_eq!((&found["id"], &found["problem"]["kind"]), (&json!(id), &json!(kind)));
        assert_ne!(found["problem"]["message"], json!(""));
    }
    for (name, value) in [
        ("words", json!("none")),
        ("seed", json!(1)),
        ("max_new_tokens", json!(5)),
        ("regions", json!("/etc/hostname")),
        ("layers", json!("9..99")),
    ] {
        let targets = if name == "words" { json!([]) } else { keyword.clone() };
        let mut refused = job("g", &picture, targets);
        refused["options"][name] = value;
        assert_eq!(worker.ask(&refused)["problem"]["kind"], "option", "{name}");
    }
    // What an answer does not have is a row; and the worker lives.
    let absent =
        worker.ask(&job("h", &picture, json!([{ "keyword": "zebra" }, { "keyword": "zone" }])));
    let kinds: Vec<&Value> =
        absent["rows"].as_array().unwrap().iter().map(|row| &row["kind"]).collect();
    assert_eq!(kinds, ["target", "missing"]);
    assert_eq!(worker.end(), Some(0));
}

/// The numbers of a worker are those of `explain`.
#[test]
fn a_worker_explains_as_explain_does() {
    let pictures = Pictures::new(1);
    let picture = pictures.file(0);
    let out = pictures.root.path().join("out");
    let answer = "Yes, there is a nodule in the right lower zone.";
    let args = [
        "explain",
        "--model",
        "phantom",
        "--dtype",
        "float32",
        "--image",
        &text(&picture),
        "--prompt",
        "Is there a nodule?",
        "--answer",
        answer,
        "--keyword",
        "nodule",
        "--phrase",
        "nodule",
        "--against",
        "opacity",
        "--words",
        "none",
        "--no-report",
        "--regions",
        "cxr",
        "--reliance",
        "mean,knockout",
        "--out",
        &text(&out),
    ];
    run(args).done();
    let record = record(&out);

    let targets = json!([{ "keyword": "nodule" }, { "phrase": "nodule", "against": "opacity" }]);
    let mut asked = job("a", &picture, targets);
    asked["options"]["regions"] = json!("cxr");
    asked["options"]["reliance"] = json!(["mean", "knockout"]);
    let mut worker = Worker::start(&[]);
    let by_path = worker.ask(&asked);
    asked["id"] = json!("b");
    let bytes = STANDARD.encode(std::fs::read(&picture).unwrap());
    asked["images"] = json!([{ "data": bytes, "name": "../../secret/x.png" }]);
    let by_bytes = worker.ask(&asked);
    assert_eq!(worker.end(), Some(0));

    assert_eq!(by_path["rows"], by_bytes["rows"], "equal pictures, looked at once");
    let [row, phrase] = by_path["rows"].as_array().unwrap().as_slice() else { panic!("{by_path}") };
    let target = &record["targets"][0];
    let close = |a: &Value, b: &Value| {
        let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
        assert!((a - b).abs() <= 1e-6 * a.abs().max(1e-3), "{a} {b}");
    };
    close(&row["image_share"], &target["image_share"]);
    let log_probability = row["probability"].as_f64().unwrap().ln();
    assert!((log_probability - target["log_probability"].as_f64().unwrap()).abs() < 1e-5);
    close(&row["gains"]["mean"], &target["reliance"]["blanks"][0]["pmi"]);
    close(&row["gains"]["knockout"], &target["reliance"]["blanks"][1]["pmi"]);
    assert_eq!(row["depends_on_picture"], target["reliance"]["depends_on_picture"]);
    assert_eq!(phrase["kind"], "phrase");
    close(&phrase["log_ratio"], &record["versus"][0]["log_ratio"]);
    for region in target["regions"].as_array().unwrap() {
        close(&row["regions"][region["name"].as_str().unwrap()], &region["share"]);
    }
    assert_eq!(by_bytes["run"]["pictures_sha256"], by_path["run"]["pictures_sha256"]);
    assert!(!by_bytes.to_string().contains("secret"), "a path of the client's");
}

/// The same with every default: the type that the weights are stored in.
#[test]
fn by_default_a_worker_explains_as_explain_does() {
    let pictures = Pictures::new(1);
    let picture = text(&pictures.file(0));
    let out = pictures.root.path().join("out");
    let asked = ["--prompt", "Is there a nodule?", "--keyword", "nodule", "--words", "none"];
    let start = ["explain", "--model", "phantom", "--image", &picture, "--out", &text(&out)];
    run(start.iter().chain(&asked)).done();
    let target = &record(&out)["targets"][0];
    let job = json!({
        "id": "a", "images": [picture], "prompt": "Is there a nodule?",
        "targets": [{ "keyword": "nodule" }], "options": { "words": "none" },
    });
    let mut start = command(["worker", "--model", "phantom"]);
    let mut worker = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(worker.stdin.take().unwrap(), "{job}").unwrap();
    let output = worker.wait_with_output().unwrap();
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    let row = &outcome["rows"][0];
    let share = |value: &Value| value["image_share"].as_f64().unwrap();
    assert!((share(row) - share(target)).abs() < 1e-5, "{} {}", share(row), share(target));
    let log_probability = row["probability"].as_f64().unwrap().ln();
    assert!((log_probability - target["log_probability"].as_f64().unwrap()).abs() < 1e-4);
}

/// A file of jobs about phantoms, in a folder of its own.
fn job_file(pictures: &Pictures, jobs: &[Value]) -> PathBuf {
    let lines: Vec<String> = jobs.iter().map(Value::to_string).collect();
    let path = pictures.root.path().join("jobs.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn batch(jobs: &Path, out: &Path, more: &[&str]) -> Vec<String> {
    let start = [
        "batch",
        "--model",
        "phantom",
        "--dtype",
        "float32",
        "--jobs",
        &text(jobs),
        "--out",
        &text(out),
    ];
    start.iter().chain(more).map(|arg| (*arg).to_owned()).collect()
}

/// All rows of a data set but what differs from run to run, by job and number.
fn rows(out: &Path) -> Vec<(String, usize, Value)> {
    let rows = explanation_jobs::dataset::read(out).unwrap();
    let plain = |row: explanation_jobs::DataRow| {
        let kind = json!({ "kind": row.kind.name(), "row": row.row, "problem": row.problem });
        (row.id, row.index, kind)
    };
    let mut rows: Vec<_> = rows.map(|row| plain(row.unwrap())).collect();
    rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
    rows
}

#[test]
fn a_batch_is_one_data_set_with_a_row_for_every_job() {
    let pictures = Pictures::new(2);
    let target = json!([{ "keyword": "nodule" }]);
    // Relative to the folder of the file.
    let place = |index: usize| PathBuf::from(format!("set/{index:03}.png"));
    let jobs = [
        job("a", &place(0), target.clone()),
        job("b", &place(1), json!([{ "keyword": "nodule" }, { "keyword": "zebra" }])),
        job("../c d", &place(0), json!([{ "answer_span": true }])),
    ];
    let file = job_file(&pictures, &jobs);
    let out = pictures.root.path().join("out");
    let done = run(batch(&file, &out, &["--pages", "--folders"])).done();
    assert!(done.stdout.contains("4 rows of 3 jobs, of which 0 failed"), "{}", done.stdout);
    let found = rows(&out);
    let kinds: Vec<_> =
        found.iter().map(|(id, _, row)| (id.as_str(), row["kind"].as_str().unwrap())).collect();
    assert_eq!(kinds, [("../c d", "target"), ("a", "target"), ("b", "target"), ("b", "missing")]);

    // The same numbers as a worker's.
    let mut worker = Worker::start(&["--folder", &text(pictures.root.path())]);
    let outcome = worker.ask(&jobs[0]);
    let of_batch: explanation_jobs::Row =
        serde_json::from_value(found[1].2["row"].clone()).unwrap();
    let of_worker: explanation_jobs::Row =
        serde_json::from_value(outcome["rows"][0].clone()).unwrap();
    assert_eq!(of_batch, of_worker);

    // Pages and folders under names that nobody's id can lead out of.
    let pages = crate::support::names(&out.join("pages"));
    assert_eq!(pages.len(), 3);
    assert!(
        pages[0].starts_with("_c_d-")
            || pages[0].starts_with("_.._c_d")
            || pages[0].contains("c_d-"),
        "{pages:?}"
    );
    assert!(out.join("folders/a/explanation.npz").is_file());
    let index = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(index.contains("pages/a.html") && index.contains("data:image/png;base64,"));

    // Nothing is left to do, and nothing is done twice.
    let again = run(batch(&file, &out, &[])).done();
    assert!(again.stdout.contains("4 rows of 3 jobs"), "{}", again.stdout);
    // Another model does not go into it.
    let other = batch(&file, &out, &[])
        .iter()
        .map(|arg| arg.replace("phantom", "phantom-shortcut"))
        .collect::<Vec<_>>();
    run(other.iter().map(|arg| arg.replace("phantom-shortcut-shortcut", "phantom-shortcut")))
        .failed(&["model"]);
}

#[test]
fn failed_jobs_are_rows_and_exit_code_3() {
    let pictures = Pictures::new(1);
    let good = job("a", &pictures.file(0), json!([{ "keyword": "nodule" }]));
    let bad = job("b", Path::new("nowhere.png"), json!([{ "keyword": "nodule" }]));
    let file = pictures.root.path().join("jobs.jsonl");
    std::fs::write(&file, format!("{good}\nnonsense\n\n{bad}\n")).unwrap();
    let out = pictures.root.path().join("out");
    for _ in 0..2 {
        // Also when nothing was left to do.
        let run = run(batch(&file, &out, &[]));
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.stdout.contains("3 rows of 3 jobs, of which 2 failed"), "{}", run.stdout);
        assert!(run.stderr.contains("2 of 3 jobs failed"), "{}", run.stderr);
    }
    let found: Vec<_> =
        rows(&out).into_iter().map(|(id, _, row)| (id, row["problem"]["kind"].clone())).collect();
    let expected = [("a", Value::Null), ("b", json!("file")), ("line 2", json!("job"))];
    assert_eq!(found, expected.map(|(id, kind)| (id.to_owned(), kind)));
    // What was wrong is put right, and only that is done again.
    std::fs::copy(pictures.file(0), pictures.root.path().join("nowhere.png")).unwrap();
    let run_again = run(batch(&file, &out, &["--retry-errors"]));
    assert_eq!(run_again.code, 3);
    assert!(run_again.stdout.contains("of which 1 failed"), "{}", run_again.stdout);
    // An id that stands twice is refused before anything is done.
    std::fs::write(&file, format!("{good}\n{good}\n")).unwrap();
    run(batch(&file, &pictures.root.path().join("other"), &[]))
        .failed(&["lines 1 and 2", "same id"]);
    assert!(!pictures.root.path().join("other").exists());
}

/// Killed at any moment, it goes on: nothing is lost, nothing is twice.
#[cfg(unix)]
#[test]
fn a_batch_that_is_killed_goes_on() {
    let pictures = Pictures::new(2);
    let jobs: Vec<Value> = (0..12)
        .map(|n| job(&format!("j{n}"), &pictures.file(n % 2), json!([{ "keyword": "nodule" }])))
        .collect();
    let file = job_file(&pictures, &jobs);
    let [whole, killed] = ["whole", "killed"].map(|name| pictures.root.path().join(name));
    run(batch(&file, &whole, &["--no-index"])).done();
    let journal = killed.join("results");
    let mut kills = 0;
    for lines in [1, 4, 9] {
        let mut child = command(batch(&file, &killed, &["--no-index"]))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Until so many jobs are in the journal, or it has ended.
        while child.try_wait().unwrap().is_none() {
            let text = std::fs::read_dir(&journal).into_iter().flatten().flatten();
            let journals =
                text.filter(|entry| entry.file_name().to_string_lossy().starts_with(".journal"));
            let done: usize = journals
                .map(|entry| std::fs::read(entry.path()).unwrap_or_default())
                .map(|text| text.split(|byte| *byte == b'\n').count() - 1)
                .sum();
            if lines <= done {
                child.kill().unwrap();
                kills += 1;
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
    }
    assert!(0 < kills, "it was never killed");
    run(batch(&file, &killed, &["--no-index"])).done();
    assert_eq!(rows(&killed), rows(&whole));
}

/// Shards are what schedulers say, and together they are everything.
#[test]
fn shards_come_from_the_variables_of_schedulers() {
    let pictures = Pictures::new(1);
    let jobs: Vec<Value> = (0..6)
        .map(|n| job(&format!("j{n}"), &pictures.file(0), json!([{ "keyword": "nodule" }])))
        .collect();
    let file = job_file(&pictures, &jobs);
    let [whole, parts] = ["whole", "parts"].map(|name| pictures.root.path().join(name));
    run(batch(&file, &whole, &["--no-index"])).done();
    let slurm = [
        ("SLURM_ARRAY_TASK_ID", "1"),
        ("SLURM_ARRAY_TASK_MIN", "1"),
        ("SLURM_ARRAY_TASK_MAX", "2"),
    ];
    let kubernetes = [("JOB_COMPLETION_INDEX", "1"), ("JOB_COMPLETIONS", "2")];
    for variables in [&slurm[..], &kubernetes[..]] {
        let mut start = command(batch(&file, &parts, &["--no-index"]));
        let output = start.envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(variables[0].0), "{told}");
    }
    assert_eq!(rows(&parts), rows(&whole));
    let mut start = command(batch(&file, &parts, &[]));
    let output = start.env("JOB_COMPLETION_INDEX", "1").output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("JOB_COMPLETIONS"));
}
