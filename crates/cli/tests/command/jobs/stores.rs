//! Jobs, pictures and results in a store that speaks S3.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::{Pictures, batch, job, job_file, rows};
use crate::support::{Run, command, text};

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];

/// A server with a bucket that holds the files of a folder.
struct Store {
    process: Child,
    port: String,
}

impl Store {
    /// Needs a Python with moto and boto3: `MEDICAL_PYTHON`. `None`, aloud, without, unless `REQUIRE_MOTO` is set.
    fn start(files: &Path, end: &Path) -> Option<Self> {
        let python = std::env::var_os("MEDICAL_PYTHON").filter(|python| {
            let tried = Command::new(python).args(["-c", "import moto.server, boto3"]).output();
            tried.is_ok_and(|tried| tried.status.success())
        });
        let Some(python) = python else {
            let why = "MEDICAL_PYTHON names no Python that has moto and boto3";
            assert!(std::env::var_os("REQUIRE_MOTO").is_none(), "REQUIRE_MOTO: {why}");
            eprintln!("SKIPPED: {why}");
            return None;
        };
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../jobs/tests/dataset/s3_server.py");
        let mut start = Command::new(python);
        start.arg(script).args([files, end]).envs(KEYS);
        start.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = start.spawn().unwrap();
        let mut port = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Some(Self { process, port: port.trim().to_owned() })
    }

    /// The command, with access to the store.
    fn run(&self, args: &[String]) -> Run {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let mut command = command(args);
        command.envs(KEYS).env("AWS_REGION", "us-east-1").env("AWS_ALLOW_HTTP", "true");
        Run::of(command.env("AWS_ENDPOINT_URL", endpoint))
    }

    /// What the bucket holds is in the folder `end` then.
    fn stop(mut self) {
        drop(self.process.stdin.take());
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _waited = self.process.wait();
    }
}

/// Everything that a batch reads and writes lies in a bucket; its rows are those of a folder.
#[test]
fn a_batch_reads_from_and_writes_to_a_store() {
    let pictures = Pictures::new(2);
    let root = pictures.root.path();
    let target = json!([{ "keyword": "nodule" }]);
    let remote = |name: &str| format!("s3://bucket/{name}");
    let file = job_file(
        &pictures,
        &[
            job("a", Path::new(&remote("set/000.png")), target.clone()),
            job("b", &pictures.file(1), target.clone()),
            job("gone", Path::new(&remote("set/9.png")), target.clone()),
        ],
    );
    let (end, journal) = (root.join("end"), root.join("journal"));
    let Some(store) = Store::start(root, &end) else { return };
    let with_journal = |out: &str| {
        let args = batch(Path::new(&remote("jobs.jsonl")), Path::new(&remote(out)), &[]);
        [args, vec!["--journal".into(), text(&journal)]].concat()
    };
    // The second run finds everything done, and says the same.
    for _ in 0..2 {
        let done = store.run(&with_journal("out"));
        assert_eq!(done.code, 3, "{}", done.stderr);
        assert!(done.stdout.contains("3 rows of 3 jobs, of which 1 failed"), "{}", done.stdout);
        assert!(done.stdout.contains("s3://bucket/out/index.html"), "{}", done.stdout);
    }
    let nowhere = batch(&file, Path::new("s3://no-such-bucket/out"), &[]);
    store.run(&nowhere).failed(&["--journal DIR"]);
    let other_journal = text(&root.join("journal of nowhere"));
    let nowhere = [nowhere, vec!["--journal".into(), other_journal]].concat();
    store.run(&nowhere).failed(&["s3://no-such-bucket/out"]);
    let no_journal = batch(&file, &root.join("local"), &["--journal", "x"]);
    store.run(&no_journal).failed(&["--journal"]);

    // The same jobs into a folder, with the pictures of this machine.
    let local = root.join("local");
    let jobs = ["a", "b"].iter().zip([0, 1]);
    let jobs: Vec<_> =
        jobs.map(|(id, index)| job(id, &pictures.file(index), target.clone())).collect();
    crate::support::run(batch(&job_file(&pictures, &jobs), &local, &[])).done();
    store.stop();
    let mut found = rows(&end.join("out"));
    let (gone, _, problem) = found.pop().unwrap();
    assert_eq!((gone.as_str(), &problem["problem"]["kind"]), ("gone", &json!("file")));
    let message = problem["problem"]["message"].as_str().unwrap();
    assert!(message.contains("s3://bucket/set/9.png"), "{message}");
    assert_eq!(found, rows(&local));
    let page = std::fs::read_to_string(end.join("out/index.html")).unwrap();
    assert!(page.contains("data:image/png;base64,"));
}
