//! The real client of the hub against a server on loopback that serves a small checkpoint, well and badly.
#![cfg(feature = "hub")]
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use gemma3_tch::hub::{FetchStep, HubOptions, Snapshot, fetch};
use gemma3_tch::{Error, Placement, Weights};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

const ID: &str = "somebody/tiny-gemma3";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const PAGE: &[u8] = b"<!doctype html><title>Sorry</title>";

/// A repository: names and contents.
type Files = BTreeMap<&'static str, Vec<u8>>;

/// What the server does when one file is asked for.
#[derive(Clone, Copy, PartialEq)]
enum Mischief {
    /// 401 to everything.
    Unauthorized,
    /// 403 with the hub's error code and message.
    Gated,
    /// HEAD as it should be, then a web page with this status.
    Page(u16),
    /// HEAD as it should be, then half of the file, said to be all.
    Half,
    /// HEAD as it should be, then half of the file and a closed connection.
    HangUp,
    /// The right number of wrong bytes.
    Garbage,
}

/// A hub of one model.
struct Server {
    endpoint: String,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    files: Files,
    mischief: Mutex<Option<(&'static str, Mischief)>>,
    /// Files that were sent, in order, and the number of all requests.
    sent: Mutex<Vec<String>>,
    requests: AtomicUsize,
    stop: AtomicBool,
}

impl Server {
    fn start(files: Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            files,
            mischief: Mutex::new(None),
            sent: Mutex::default(),
            requests: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let _ = shared.answer(&mut stream.unwrap()); // the client may hang up
            }
        });
        Self { endpoint, state, thread: Some(thread) }
    }

    fn misbehave(&self, file: &'static str, mischief: Mischief) {
        *self.state.mischief.lock().unwrap() = Some((file, mischief));
    }

    fn behave(&self) {
        *self.state.mischief.lock().unwrap() = None;
    }

    fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        let _ = self.thread.take().unwrap().join();
    }
}

impl State {
    fn answer(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap_or_default());
        let path = path.split('?').next().unwrap();
        if let Some(name) = path.strip_prefix(&format!("/{ID}/resolve/{COMMIT}/")) {
            return self.file(stream, method, name);
        }
        let body = match path.strip_prefix(&format!("/api/models/{ID}/")) {
            Some("revision/main") => json!({"id": ID, "sha": COMMIT}),
            Some(rest) if rest == format!("tree/{COMMIT}") => self.listing(),
            _ => return respond(stream, 404, "X-Error-Code: RepoNotFound\r\n", b"", 0),
        };
        let body = body.to_string();
        respond(stream, 200, "Content-Type: application/json\r\n", body.as_bytes(), body.len())
    }

    fn listing(&self) -> Value {
        let entry = |(name, bytes): (&&str, &Vec<u8>)| {
            let mut entry =
                json!({"type": "file", "oid": oid(bytes), "size": bytes.len(), "path": name});
            if is_large(name) {
                entry["lfs"] =
                    json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
            }
            entry
        };
        let folder = json!({"type": "directory", "oid": "00", "path": "original"});
        self.files.iter().map(entry).chain([folder]).collect()
    }

    fn file(&self, stream: &mut TcpStream, method: &str, name: &str) -> std::io::Result<()> {
        let Some(bytes) = self.files.get(name) else { return respond(stream, 404, "", b"", 0) };
        let mischief = *self.mischief.lock().unwrap();
        let mischief = mischief.filter(|(file, _)| *file == name).map(|(_, mischief)| mischief);
        let linked = if is_large(name) {
            format!("X-Linked-Etag: \"{}\"\r\nX-Linked-Size: {}\r\n", sha256(bytes), bytes.len())
        } else {
            String::new()
        };
        let headers = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n{linked}", oid(bytes));
        match mischief {
            Some(Mischief::Unauthorized) => return respond(stream, 401, "", b"", 0),
            Some(Mischief::Gated) => {
                let headers = "X-Error-Code: GatedRepo\r\nX-Error-Message: Access to this model is restricted\r\n";
                return respond(stream, 403, headers, b"", 0);
            }
            _ if method == "HEAD" => return respond(stream, 200, &headers, b"", bytes.len()),
            _ => self.sent.lock().unwrap().push(name.to_owned()),
        }
        let half = &bytes[..bytes.len() / 2];
        match mischief {
            Some(Mischief::Page(status)) => {
                respond(stream, status, "Content-Type: text/html\r\n", PAGE, PAGE.len())
            }
            Some(Mischief::Half) => respond(stream, 200, &headers, half, half.len()),
            Some(Mischief::HangUp) => respond(stream, 200, &headers, half, bytes.len()),
            Some(Mischief::Garbage) => {
                respond(stream, 200, &headers, &vec![b'x'; bytes.len()], bytes.len())
            }
            _ => respond(stream, 200, &headers, bytes, bytes.len()),
        }
    }
}

fn respond(
    stream: &mut TcpStream,
    status: u16,
    headers: &str,
    body: &[u8],
    length: usize,
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Stands for git's id of a small file: 40 digits.
fn oid(bytes: &[u8]) -> String {
    sha256(bytes)[..40].to_owned()
}

fn shard(name: &str, value: f32) -> Vec<u8> {
    let header =
        json!({name: {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}).to_string();
    let data: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), 64).flatten().collect();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// A checkpoint as a repository has it, with files that are not wanted.
fn checkpoint() -> Files {
    let text = |text: &str| text.as_bytes().to_vec();
    let index =
        json!({"weight_map": {"x": "model-1.safetensors", "y": "model-2.safetensors"}}).to_string();
    BTreeMap::from([
        ("README.md", text("not wanted")),
        ("pytorch_model.bin", text("not wanted either")),
        ("config.json", text(r#"{"model_type": "gemma3"}"#)),
        ("generation_config.json", text(r#"{"eos_token_id": [1, 106]}"#)),
        ("tokenizer.json", text(r#"{"model": {"type": "BPE"}}"#)),
        ("chat_template.jinja", text("{{ bos_token }} and so on, long enough")),
        ("model.safetensors.index.json", text(&index)),
        ("model-1.safetensors", shard("x", 1.0)),
        ("model-2.safetensors", shard("y", 2.0)),
    ])
}

const WANTED: usize = 7;

struct Bench {
    server: Server,
    cache: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { server: Server::start(checkpoint()), cache: tempfile::tempdir().unwrap() }
    }

    fn options(&self, offline: bool) -> HubOptions {
        HubOptions {
            token: Some("hf_test".to_owned()),
            cache: Some(self.cache.path().to_owned()),
            endpoint: Some(self.server.endpoint.clone()),
            offline: Some(offline),
            progress: None,
        }
    }

    fn fetch(&self) -> Result<Snapshot, Error> {
        fetch(ID, None, &self.options(false))
    }

    fn offline(&self, revision: Option<&str>) -> Result<Snapshot, Error> {
        fetch(ID, revision, &self.options(true))
    }

    fn repo(&self) -> PathBuf {
        self.cache.path().join("models--somebody--tiny-gemma3")
    }

    /// Fetches from the now good server, and checks that every file is the server's.
    fn check_good_run(&self) {
        self.server.behave();
        let snapshot = self.fetch().unwrap();
        for entry in fs::read_dir(&snapshot.dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            assert_eq!(fs::read(&path).unwrap(), self.server.state.files[name], "{name}");
        }
        assert_eq!(fs::read_dir(&snapshot.dir).unwrap().count(), WANTED);
        let weights = Weights::open(&snapshot.dir).unwrap();
        assert!(weights.root(Placement::AS_STORED).tensor("y", &[64]).is_ok());
    }

    /// Checks that no finished file of the cache differs from the server's.
    fn check_nothing_wrong_is_finished(&self) {
        for blob in fs::read_dir(self.repo().join("blobs")).into_iter().flatten() {
            let path = blob.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "incomplete") {
                continue; // the client writes it anew
            }
            let bytes = fs::read(&path).unwrap();
            assert!(
                self.server.state.files.values().any(|good| *good == bytes),
                "{}",
                path.display()
            );
        }
        assert!(
            !self.repo().join("refs/main").exists(),
            "the revision must not point to an incomplete snapshot"
        );
    }
}

#[test]
fn a_good_hub_gives_a_complete_verified_snapshot_once() {
    let bench = Bench::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let mut options = bench.options(false);
    options.progress =
        Some(Arc::new(move |progress| record.lock().unwrap().push(progress.clone())));
    let first = fetch(ID, None, &options).unwrap();
    assert_eq!(first.revision, COMMIT);
    assert_eq!(first.verified, WANTED);
    bench.check_good_run();

    let seen = seen.lock().unwrap();
    for step in [FetchStep::Download, FetchStep::Verify] {
        let of_shard =
            |p: &&gemma3_tch::hub::FetchProgress| p.file == "model-2.safetensors" && p.step == step;
        let last = seen.iter().rfind(of_shard).unwrap();
        assert!(last.done == last.total && last.total == shard("y", 2.0).len() as u64, "{last:?}");
    }
    let sent = bench.server.state.sent.lock().unwrap().clone();
    assert_eq!(sent.len(), WANTED, "each file once, and nothing else: {sent:?}");

    let before = bench.server.requests();
    let second = bench.fetch().unwrap();
    assert_eq!((second.dir, second.verified), (first.dir.clone(), 0));
    assert_eq!(bench.server.requests() - before, 2, "the commit and the listing");
    let pinned = fetch(ID, Some(COMMIT), &bench.options(false)).unwrap();
    assert_eq!(
        (pinned.dir, bench.server.requests() - before),
        (first.dir, 2),
        "a complete commit needs no request"
    );
}

#[test]
fn no_access_gives_the_message_that_says_what_to_do() {
    for (mischief, said) in [
        (Mischief::Unauthorized, ""),
        (Mischief::Gated, "; the hub says: Access to this model is restricted"),
    ] {
        for file in ["config.json", "model-1.safetensors"] {
            let bench = Bench::new();
            bench.server.misbehave(file, mischief);
            let error = bench.fetch().unwrap_err();
            let page = format!("{}/{ID}", bench.server.endpoint);
            assert_eq!(
                error.to_string(),
                format!(
                    "no access to {ID}: open {page}, log in and accept the licence, create a token with read access in your \
                     settings there, and set HF_TOKEN to it or log in with `hf auth login`{said}"
                )
            );
            bench.check_nothing_wrong_is_finished();
            bench.check_good_run();
        }
    }
}

#[test]
fn what_is_not_the_file_is_noticed_and_removed() {
    for (file, mischief, reason) in [
        (
            "config.json",
            Mischief::Page(200),
            "it has 35 bytes and not 24; it looks like a web page",
        ),
        ("chat_template.jinja", Mischief::Page(403), "it looks like a web page"),
        ("model.safetensors.index.json", Mischief::Page(404), "it looks like a web page"),
        ("model-1.safetensors", Mischief::Page(403), "it looks like a web page"),
        ("model-2.safetensors", Mischief::Half, "bytes and not"),
        ("tokenizer.json", Mischief::Half, "it has 13 bytes and not 26"),
        ("tokenizer.json", Mischief::Garbage, "it is not JSON"),
        ("model-2.safetensors", Mischief::Garbage, "its SHA-256 is "),
    ] {
        let bench = Bench::new();
        bench.server.misbehave(file, mischief);
        let error = bench.fetch().unwrap_err();
        assert!(matches!(&error, Error::HubDamaged { name, .. } if name == file), "{error}");
        let message = error.to_string();
        assert!(
            message.contains(reason) && message.ends_with("removed from the cache, so try again"),
            "{message}"
        );
        bench.check_nothing_wrong_is_finished();
        assert!(bench.offline(None).is_err(), "nothing is complete yet");
        bench.check_good_run();
    }
}

#[test]
fn a_connection_that_breaks_leaves_nothing_finished() {
    for file in ["tokenizer.json", "model-2.safetensors"] {
        let bench = Bench::new();
        bench.server.misbehave(file, Mischief::HangUp);
        let message = bench.fetch().unwrap_err().to_string();
        assert!(message.starts_with(&format!("cannot fetch {ID} from the hub: ")), "{message}");
        bench.check_nothing_wrong_is_finished();
        bench.check_good_run();
    }
}

#[test]
fn offline_works_from_the_cache_with_the_server_gone() {
    let Bench { server, cache } = Bench::new();
    let online = HubOptions {
        cache: Some(cache.path().to_owned()),
        endpoint: Some(server.endpoint.clone()),
        offline: Some(false),
        ..HubOptions::default()
    };
    let offline = HubOptions { offline: Some(true), ..online.clone() };
    let snapshot = fetch(ID, None, &online).unwrap();
    let before = server.requests();
    assert_eq!(fetch(ID, None, &offline).unwrap(), Snapshot { verified: 0, ..snapshot.clone() });
    assert_eq!(server.requests(), before, "offline means no request");
    drop(server);
    for revision in [None, Some("main"), Some(COMMIT)] {
        assert_eq!(fetch(ID, revision, &offline).unwrap().dir, snapshot.dir);
    }
    let message = fetch(ID, None, &online).unwrap_err().to_string();
    assert!(message.starts_with("cannot reach http://127.0.0.1:"), "{message}");
    assert!(message.contains("can be used offline"), "{message}");
}

#[test]
fn offline_with_an_incomplete_snapshot_lists_what_is_missing() {
    let bench = Bench::new();
    let message = bench.offline(None).unwrap_err().to_string();
    assert_eq!(
        message,
        format!(
            "offline, and the cache lacks files of {ID} at main: everything; fetch it once while online"
        )
    );
    let dir = bench.fetch().unwrap().dir;
    let before = bench.server.requests();
    fs::remove_file(dir.join("model-2.safetensors")).unwrap();
    fs::remove_file(dir.join("tokenizer.json")).unwrap();
    let message = bench.offline(None).unwrap_err().to_string();
    assert!(message.contains("at main: tokenizer.json, model-2.safetensors;"), "{message}");
    // The same for a snapshot that another program made, of which we have no notes.
    fs::remove_dir_all(bench.repo().join(".gemma3-tch")).unwrap();
    let message = bench.offline(None).unwrap_err().to_string();
    assert!(message.contains("at main: tokenizer.json, model-2.safetensors;"), "{message}");
    assert_eq!(bench.server.requests(), before);
    bench.check_good_run();
}

#[test]
fn a_file_that_changed_after_it_was_verified_is_noticed() {
    let bench = Bench::new();
    let dir = bench.fetch().unwrap().dir;
    let blob = fs::canonicalize(dir.join("model-1.safetensors")).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&blob, bytes).unwrap();
    let error = bench.offline(None).unwrap_err();
    assert!(
        matches!(&error, Error::HubDamaged { name, .. } if name == "model-1.safetensors"),
        "{error}"
    );
    assert!(!blob.exists() && fs::symlink_metadata(dir.join("model-1.safetensors")).is_err());
    bench.check_good_run();
}

#[cfg(unix)]
#[test]
fn a_cache_that_another_program_poisoned_is_cleaned() {
    let bench = Bench::new();
    let blobs = bench.repo().join("blobs");
    let snapshot = bench.repo().join("snapshots").join(COMMIT);
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    let name = oid(&bench.server.state.files["config.json"]);
    fs::write(blobs.join(&name), PAGE).unwrap();
    std::os::unix::fs::symlink(Path::new("../../blobs").join(&name), snapshot.join("config.json"))
        .unwrap();
    let error = bench.fetch().unwrap_err();
    assert!(matches!(&error, Error::HubDamaged { name, .. } if name == "config.json"), "{error}");
    bench.check_nothing_wrong_is_finished();
    bench.check_good_run();
}

#[test]
fn repositories_that_lack_or_hide_files_are_refused() {
    let with = |edit: &dyn Fn(&mut Files)| {
        let mut files = checkpoint();
        edit(&mut files);
        let bench = Bench { server: Server::start(files), cache: tempfile::tempdir().unwrap() };
        bench.fetch().unwrap_err().to_string()
    };
    let index = |file: &str| json!({"weight_map": {"x": file}}).to_string().into_bytes();
    for (message, reason) in [
        (with(&|files| drop(files.remove("tokenizer.json"))), "it has no tokenizer.json"),
        (with(&|files| drop(files.remove("model-2.safetensors"))), "it has no model-2.safetensors"),
        (
            with(&|files| drop(files.remove("model.safetensors.index.json"))),
            "it has no model.safetensors and model.",
        ),
        (
            with(&|files| {
                drop(files.insert("model.safetensors.index.json", index("../../x.safetensors")));
            }),
            "which is not the name of a file",
        ),
    ] {
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn what_cannot_be_an_id_or_revision_never_reaches_the_network() {
    let bench = Bench::new();
    let error = fetch("../../etc", None, &bench.options(false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#""../../etc" is neither a directory nor a model id; ids look like owner/name"#
    );
    let error = fetch(ID, Some("../main"), &bench.options(false)).unwrap_err();
    assert_eq!(
        error.to_string(),
        r#""../main" cannot be a revision; it is a branch, a tag or a commit"#
    );
    assert_eq!(bench.server.requests(), 0);
    let message = fetch("some/other", None, &bench.options(false)).unwrap_err().to_string();
    assert!(message.contains("there is no such model or revision"), "{message}");
}
