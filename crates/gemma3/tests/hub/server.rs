//! A hub of one model on loopback, which serves it well, badly or as a test wants.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use gemma3_tch::hub::{HubOptions, Snapshot, Timeouts, fetch};
use gemma3_tch::{Error, Placement, Weights};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

pub(crate) const ID: &str = "somebody/tiny-gemma3";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub(crate) const PAGE: &[u8] = b"<!doctype html><title>Sorry</title>";

/// A repository: names and contents.
pub(crate) type Files = BTreeMap<&'static str, Vec<u8>>;

/// What the server does when one file is asked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mischief {
    /// 401 to everything.
    Unauthorized,
    /// 403 with the hub's error code and message.
    Gated,
    /// A web page with this status.
    Page(u16),
    /// Half of the file, said to be all.
    Half,
    /// Half of the file and a closed connection.
    HangUp,
    /// The right number of wrong bytes.
    Garbage,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// Name in lower case and value.
    pub(crate) headers: BTreeMap<String, String>,
}

/// Answers a request, or leaves it to the good hub.
type Twist = Box<dyn Fn(&Asked, &mut TcpStream) -> Option<()> + Send>;

/// A hub of one model.
pub(crate) struct Server {
    pub(crate) endpoint: String,
    pub(crate) state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) struct State {
    pub(crate) files: Files,
    twist: Mutex<Option<Twist>>,
    /// All requests, in order.
    asked: Mutex<Vec<Asked>>,
    mischief: Mutex<Option<(&'static str, Mischief)>>,
    /// Files that were sent, in order, and the number of all requests.
    pub(crate) sent: Mutex<Vec<String>>,
    requests: AtomicUsize,
    stop: AtomicBool,
}

impl Server {
    pub(crate) fn start(files: Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(State {
            files,
            twist: Mutex::new(None),
            asked: Mutex::default(),
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

    pub(crate) fn misbehave(&self, file: &'static str, mischief: Mischief) {
        *self.state.mischief.lock().unwrap() = Some((file, mischief));
    }

    pub(crate) fn behave(&self) {
        *self.state.mischief.lock().unwrap() = None;
        *self.state.twist.lock().unwrap() = None;
    }

    /// What answers in the place of the good hub, where it wants to.
    pub(crate) fn twist(
        &self,
        twist: impl Fn(&Asked, &mut TcpStream) -> Option<()> + Send + 'static,
    ) {
        *self.state.twist.lock().unwrap() = Some(Box::new(twist));
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> usize {
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
    pub(crate) fn answer(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut headers = BTreeMap::new();
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':').unwrap();
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        let path = first.split(' ').nth(1).unwrap_or_default();
        let asked = Asked { path: path.to_owned(), headers };
        self.asked.lock().unwrap().push(asked.clone());
        let twist = self.twist.lock().unwrap();
        if twist.as_ref().is_some_and(|twist| twist(&asked, stream).is_some()) {
            return Ok(());
        }
        drop(twist);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if let Some(name) = path.strip_prefix(&format!("/{ID}/resolve/{COMMIT}/")) {
            return self.file(stream, name);
        }
        let body = match path.strip_prefix(&format!("/api/models/{ID}/")) {
            Some("revision/main") => json!({"id": ID, "sha": COMMIT}),
            Some(rest) if rest == format!("tree/{COMMIT}") && query == "recursive=true" => {
                self.listing_of(|_| true)
            }
            Some(rest) if rest == format!("tree/{COMMIT}") => self.listing(),
            Some(rest) if rest.starts_with(&format!("tree/{COMMIT}/")) => {
                let folder = &rest[format!("tree/{COMMIT}/").len()..];
                let within = |name: &str| name.rsplit_once('/').is_some_and(|(of, _)| of == folder);
                self.listing_of(within)
            }
            _ => return respond(stream, 404, "X-Error-Code: RepoNotFound\r\n", b"", 0),
        };
        let body = body.to_string();
        respond(stream, 200, "Content-Type: application/json\r\n", body.as_bytes(), body.len())
    }

    /// The files of the top folder.
    pub(crate) fn listing(&self) -> Value {
        self.listing_of(|name| !name.contains('/'))
    }

    fn listing_of(&self, is_listed: impl Fn(&str) -> bool) -> Value {
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
        let files = self.files.iter().filter(|(name, _)| is_listed(name));
        files.map(entry).chain([folder]).collect()
    }

    pub(crate) fn file(&self, stream: &mut TcpStream, name: &str) -> std::io::Result<()> {
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

pub(crate) fn respond(
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

pub(crate) fn is_large(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("safetensors" | "gguf"))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Stands for git's id of a small file: 40 digits.
pub(crate) fn oid(bytes: &[u8]) -> String {
    sha256(bytes)[..40].to_owned()
}

pub(crate) fn shard(name: &str, value: f32) -> Vec<u8> {
    let header =
        json!({name: {"dtype": "F32", "shape": [64], "data_offsets": [0, 256]}}).to_string();
    let data: Vec<u8> = std::iter::repeat_n(value.to_le_bytes(), 64).flatten().collect();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &data].concat()
}

/// A checkpoint as a repository has it, with files that are not wanted.
pub(crate) fn checkpoint() -> Files {
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

pub(crate) const WANTED: usize = 7;

/// Nobody waits long here.
pub(crate) const QUICK: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    read: Duration::from_secs(5),
    total: Duration::from_secs(20),
    slowest: 1 << 20,
    attempts: 3,
    first_pause: Duration::from_millis(2),
    longest_pause: Duration::from_secs(1),
    lock: Duration::from_millis(300),
};

pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) cache: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self { server: Server::start(checkpoint()), cache: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn options(&self, offline: bool) -> HubOptions {
        HubOptions {
            token: Some("hf_test".to_owned()),
            cache: Some(self.cache.path().to_owned()),
            endpoint: Some(self.server.endpoint.clone()),
            offline: Some(offline),
            timeouts: QUICK,
            ..HubOptions::default()
        }
    }

    pub(crate) fn fetch(&self) -> Result<Snapshot, Error> {
        fetch(ID, None, &self.options(false))
    }

    pub(crate) fn offline(&self, revision: Option<&str>) -> Result<Snapshot, Error> {
        fetch(ID, revision, &self.options(true))
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.cache.path().join("models--somebody--tiny-gemma3")
    }

    /// Fetches from the now good server, and checks that every file is the server's.
    pub(crate) fn check_good_run(&self) {
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
    pub(crate) fn check_nothing_wrong_is_finished(&self) {
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
