//! The server with the model that ships with the program: what scripts rely on. Its interface as such is tested where it lives
//! (`crates/serve/tests`).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::support::{command, names, run, text};

/// A server, ended when it goes.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, more: &[&str]) -> Self {
        let ready = folder.join("ready");
        let mut start =
            command(["serve", "--model", "phantom", "--dtype", "float32", "--port", "0"]);
        start.arg("--ready-file").arg(&ready).args(more);
        let mut process = start.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        while !ready.exists() {
            assert_eq!(process.try_wait().unwrap(), None, "it ended before it answered");
            assert!(begun.elapsed() < Duration::from_mins(2), "it does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        let url = std::fs::read_to_string(&ready).unwrap();
        let address = url.strip_prefix("http://").unwrap().to_owned();
        Self { process, address }
    }

    /// Status, headers and body of a request.
    fn send(&self, request: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let mut head = format!(
            "{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.extend(["Host: ", &self.address, "\r\n"]);
        }
        for &(name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body = unchunked(&answer[end + 4..], &head);
        (status, head, body)
    }

    fn json(&self, request: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (status, _, answer) =
            self.send(request, &[("Content-Type", "application/json")], &body);
        (status, serde_json::from_slice(&answer).unwrap_or(Value::Null))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// A body that may have come in chunks.
fn unchunked(body: &[u8], head: &str) -> Vec<u8> {
    if !head.to_lowercase().contains("transfer-encoding: chunked") {
        return body.to_vec();
    }
    let (mut whole, mut rest) = (Vec::new(), body);
    loop {
        let line = rest.windows(2).position(|part| part == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return whole;
        }
        whole.extend(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 4 + size..];
    }
}

fn phantom(folder: &Path) -> std::path::PathBuf {
    let out = text(&folder.join("set"));
    run(["phantom", "--seed", "5", "--count", "1", "--size", "224", "--out", &out]).done();
    folder.join("set/000.png")
}

#[test]
fn it_answers_explains_and_ends_in_good_order() {
    let root = tempdir().unwrap();
    let picture = phantom(root.path());
    let mut server = Server::start(root.path(), &[]);
    let (status, model) = server.json("GET /v1/model", &Value::Null);
    assert_eq!(
        (status, &model["name"], &model["sees_pictures"]),
        (200, &json!("phantom"), &json!(true))
    );

    let data = STANDARD.encode(std::fs::read(&picture).unwrap());
    let images = json!([{ "data": data, "name": "C:\\patients\\somebody\\Doe^Jane.png" }]);
    let asked = json!({ "images": images, "prompt": "Is there a nodule?" });
    let (status, answer) = server.json("POST /v1/answers?wait=120", &asked);
    assert_eq!((status, &answer["state"]), (200, &json!("done")), "{answer}");
    let words = answer["answer"]["text"].as_str().unwrap().to_owned();
    let id = answer["answer"]["id"].as_str().unwrap().to_owned();

    // A kept answer is explained, word by word.
    let word: String = words.chars().take_while(|c| c.is_alphabetic()).collect();
    let further = json!({ "answer": id, "targets": [{ "characters": [0, word.len()] }], "options": { "words": "none" } });
    let (status, item) = server.json("POST /v1/explanations?wait=120", &further);
    assert_eq!((status, &item["state"]), (200, &json!("done")), "{item}");
    assert_eq!(item["rows"][0]["text"], json!(word));

    // The same in one request; its numbers are a worker's.
    let given = "Yes, there is a nodule in the right lower zone.";
    let options = json!({ "answer": given, "words": "none" });
    let targets = json!([{ "keyword": "nodule" }]);
    let asked = json!({ "images": images, "prompt": "Is there a nodule?", "targets": targets, "options": options });
    let (_, item) = server.json("POST /v1/explanations?wait=120", &asked);
    assert_eq!(item["state"], "done", "{item}");
    let job = json!({ "id": "a", "images": [picture], "prompt": "Is there a nodule?", "targets": targets, "options": options });
    assert_eq!(item["rows"], worked(&job)["rows"]);

    let place = format!("/v1/explanations/{}", item["id"].as_str().unwrap());
    let (status, head, report) = server.send(&format!("GET {place}/report"), &[], "");
    let report = String::from_utf8(report).unwrap();
    assert!(status == 200 && head.contains("text/html") && report.contains("nodule"));
    let (_, files) = server.json(&format!("GET {place}/files"), &Value::Null);
    let files: Vec<&str> = files["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["name"].as_str().unwrap())
        .collect();
    for name in ["explanation.json", "explanation.npz", "picture-0.png", "overlay-0-0.png"] {
        assert!(files.contains(&name), "{files:?}");
    }
    assert!(!report.contains("somebody"), "the path of a client's file");
    let (status, _) = server.json(&format!("DELETE {place}"), &Value::Null);
    assert_eq!(status, 204);
    assert!([404, 410].contains(&server.json(&format!("GET {place}"), &Value::Null).0));

    // A signal is how a server is ended.
    Command::new("kill").args(["-TERM", &server.process.id().to_string()]).status().unwrap();
    assert_eq!(server.process.wait().unwrap().code(), Some(0));
    let mut log = String::new();
    server.process.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    for secret in ["Doe", "somebody", "nodule", id.as_str()] {
        assert!(!log.contains(secret), "{secret} in the log:\n{log}");
    }
    assert_eq!(names(root.path()), ["ready", "set"]);
}

/// The outcome of a worker.
fn worked(job: &Value) -> Value {
    let mut start = command(["worker", "--model", "phantom", "--dtype", "float32"]);
    let mut worker = start.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(worker.stdin.take().unwrap(), "{job}").unwrap();
    let output = worker.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn requests_of_others_are_refused() {
    let root = tempdir().unwrap();
    let server = Server::start(root.path(), &[]);
    for headers in [
        [("Host", "evil.example"), ("Accept", "*/*")],
        [("Host", "evil.example:80"), ("Origin", "http://evil.example")],
        [("Origin", "http://evil.example"), ("Accept", "*/*")],
        [("Origin", "null"), ("Accept", "*/*")],
    ] {
        for request in ["GET /v1/model", "POST /v1/answers", "GET /"] {
            let (status, head, _) = server.send(request, &headers, "");
            let is_refused = [400, 401, 403, 421].contains(&status);
            assert!(
                is_refused || (request == "GET /" && status != 200),
                "{request} {headers:?}: {head}"
            );
            assert!(!head.to_lowercase().contains("access-control-allow"), "{head}");
        }
    }
    let asked = json!({ "prompt": "x", "images": [{ "data": "bm90IGEgcGljdHVyZQ==" }] });
    let (status, problem) = server.json("POST /v1/answers", &asked);
    assert_eq!((status, &problem["kind"]), (422, &json!("picture")), "{problem}");
}

#[test]
fn beyond_this_machine_it_needs_a_token() {
    let args = ["serve", "--model", "phantom", "--host", "0.0.0.0", "--port", "0"];
    run(args).failed(&["token"]);
    run([&args[..], &["--token", "short"]].concat()).failed(&["--token", "16"]);
    let root = tempdir().unwrap();
    let file = root.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123\n").unwrap();
    let server = Server::start(root.path(), &["--token-file", &text(&file)]);
    assert_eq!(server.json("GET /v1/model", &Value::Null).0, 401);
    let (status, ..) =
        server.send("GET /v1/model", &[("Authorization", "Bearer 0123456789abcdef0123")], "");
    assert_eq!(status, 200);
}
