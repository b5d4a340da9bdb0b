//! Jobs for a model that is loaded once: the worker's lines, a batch's data set.

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
