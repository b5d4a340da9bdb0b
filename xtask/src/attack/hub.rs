//! A hub on loopback that means harm.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::picture;

/// What the command sends to a hub that it trusts.
pub(crate) const TOKEN: &str = "hf_a_secret_of_the_attack";
/// The model that it serves.
pub(crate) const MODEL: &str = "attack/model";
/// Where nobody listens.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9";

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// More than this of an endless body, and the client did not look at the size.
const ENOUGH: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// None: everything is as it should be.
    Good,
    /// This entity tag for every file, in the header of this name; `{root}` is the sandbox.
    Tag(&'static str, &'static str),
    /// Files come from another host, after a second redirect there.
    RedirectTwice,
    /// To itself, for ever.
    RedirectLoop,
    /// Where the pages of the listing go on never ends.
    EndlessPages,
    /// A listing without an end.
    EndlessListing,
    /// A file without an end, whatever size was listed.
    EndlessFile,
    /// A listing of a gigabyte of zeros in a megabyte.
    GzipBomb,
    /// Takes the connection and says nothing.
    Silent,
    /// This status and body for everything.
    Status(u16, &'static str),
    /// This status, and a megabyte of text.
    LongError(u16),
    /// A listing that is this.
    Listing(String),
    /// A commit that is this.
    Commit(&'static str),
    /// Bytes of the right number, but others.
    OtherBytes,
    /// Half of each file, then the end of the connection.
    HalfFiles,
}

/// Serves until it is dropped.
pub(crate) struct Hub {
    endpoint: String,
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
    ports: [u16; 2],
}

struct State {
    mischief: Mischief,
    files: BTreeMap<String, Vec<u8>>,
    root: String,
    /// The second server, under another name.
    foreign: String,
    endpoint: String,
    wrong: Mutex<Vec<String>>,
    requests: AtomicU64,
    stop: AtomicBool,
}

impl Hub {
    /// Serves these files; `root` is the sandbox of the case.
    pub(crate) fn start(
        mischief: Mischief,
        files: BTreeMap<String, Vec<u8>>,
        root: String,
    ) -> Result<Self> {
        let listen = || TcpListener::bind("127.0.0.1:0").context("no port on loopback");
        let (own, foreign) = (listen()?, listen()?);
        let ports = [own.local_addr()?.port(), foreign.local_addr()?.port()];
        let endpoint = format!("http://127.0.0.1:{}", ports[0]);
        let state = Arc::new(State {
            mischief,
            files,
            root,
            endpoint: endpoint.clone(),
            foreign: format!("http://localhost:{}", ports[1]),
            wrong: Mutex::default(),
            requests: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let threads = [(own, false), (foreign, true)].map(|(listener, is_foreign)| {
            let state = Arc::clone(&state);
            std::thread::spawn(move || state.serve(&listener, is_foreign))
        });
        Ok(Self { endpoint, state, threads: threads.into(), ports })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What the client did that it must not.
    pub(crate) fn wrong(&self) -> Vec<String> {
        let mut wrong = self.state.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let requests = self.state.requests.load(Ordering::SeqCst);
        if 200 < requests {
            wrong.push(format!("{requests} requests"));
        }
        wrong.dedup();
        wrong
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        for port in self.ports {
            let _ = TcpStream::connect(("127.0.0.1", port)); // wakes the server up
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl State {
    fn serve(self: &Arc<Self>, listener: &TcpListener, is_foreign: bool) {
        for stream in listener.incoming() {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            let Ok(mut stream) = stream else { continue };
            let state = Arc::clone(self);
            // The client may hang up at any time.
            std::thread::spawn(move || state.answer(&mut stream, is_foreign));
        }
    }

    fn is_wrong(&self, what: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    fn answer(&self, stream: &mut TcpStream, is_foreign: bool) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
        let mut has_token = false;
        while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
            has_token |= line.contains(TOKEN);
        }
        self.requests.fetch_add(1, Ordering::SeqCst);
        if is_foreign && has_token {
            self.is_wrong("the token was sent to another host".to_owned());
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let (path, is_second) = path.strip_prefix(AGAIN).map_or((path, false), |rest| (rest, true));
        match &self.mischief {
            Mischief::Silent => {
                while !self.stop.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_millis(50));
                }
                return Ok(());
            }
            Mischief::Status(status, body) => {
                return respond(stream, *status, "", body.as_bytes());
            }
            Mischief::LongError(status) => {
                return respond(stream, *status, "", "sorry ".repeat(200_000).as_bytes());
            }
            _ => {}
        }
        let commit = self.commit();
        if let Some(name) = path.strip_prefix(&format!("/{MODEL}/resolve/{COMMIT}/")) {
            let is_head = method == "HEAD";
            return self.file(stream, Asked { name, is_head, is_foreign, is_second });
        }
        match path.strip_prefix(&format!("/api/models/{MODEL}/")) {
            Some("revision/main") => {
                let body = json!({"id": MODEL, "sha": commit}).to_string();
                respond(stream, 200, JSON, body.as_bytes())
            }
            Some(rest) if rest.starts_with("tree/") => self.listing(stream, query),
            _ => respond(stream, 404, "X-Error-Code: RepoNotFound\r\n", b""),
        }
    }

    fn commit(&self) -> &str {
        if let Mischief::Commit(commit) = self.mischief { commit } else { COMMIT }
    }

    fn listing(&self, stream: &mut TcpStream, query: &str) -> std::io::Result<()> {
        let entries: Vec<Value> =
            self.files.iter().map(|(name, bytes)| entry(name, bytes)).collect();
        let body = Value::Array(entries).to_string();
        match &self.mischief {
            Mischief::Listing(listing) => respond(stream, 200, JSON, listing.as_bytes()),
            Mischief::EndlessListing => {
                write!(stream, "HTTP/1.1 200 OK\r\n{JSON}Connection: close\r\n\r\n[")?;
                let entry = entry("x.txt", b"x").to_string() + ",";
                self.endless(stream, entry.repeat(1000).as_bytes())
            }
            Mischief::EndlessPages => {
                let page: u64 = query.rsplit('=').next().and_then(|n| n.parse().ok()).unwrap_or(0);
                let next = format!(
                    "{}/api/models/{MODEL}/tree/{COMMIT}?cursor={}",
                    self.endpoint,
                    page + 1
                );
                respond(
                    stream,
                    200,
                    &format!("{JSON}Link: <{next}>; rel=\"next\"\r\n"),
                    body.as_bytes(),
                )
            }
            Mischief::GzipBomb => {
                let body = picture::gzip_zeros(1 << 30);
                respond(stream, 200, &format!("{JSON}Content-Encoding: gzip\r\n"), &body)
            }
            _ => respond(stream, 200, JSON, body.as_bytes()),
        }
    }

    fn file(&self, stream: &mut TcpStream, asked: Asked<'_>) -> std::io::Result<()> {
        let name = asked.name;
        let Some(bytes) = self.files.get(name) else { return respond(stream, 404, "", b"") };
        let here = format!("/{MODEL}/resolve/{COMMIT}/{name}");
        let mut headers = format!("X-Repo-Commit: {COMMIT}\r\nETag: \"{}\"\r\n", tag(bytes));
        if is_large(name) {
            let (sum, size) = (sha256(bytes), bytes.len());
            let _ = write!(headers, "X-Linked-Etag: \"{sum}\"\r\nX-Linked-Size: {size}\r\n");
        }
        match &self.mischief {
            Mischief::Tag(header, value) => {
                let value = value.replace("{root}", &self.root);
                headers = format!("X-Repo-Commit: {COMMIT}\r\n{header}: \"{value}\"\r\n");
            }
            Mischief::RedirectLoop => {
                return respond(stream, 302, &format!("Location: {here}\r\n"), b"");
            }
            // From the hub to the other host, and there once more from one place to the next.
            Mischief::RedirectTwice if !asked.is_foreign => {
                let headers = format!("{headers}Location: {}{here}\r\n", self.foreign);
                return respond(stream, 302, &headers, b"");
            }
            Mischief::RedirectTwice if !asked.is_second => {
                let headers = format!("{headers}Location: {}{AGAIN}{here}\r\n", self.foreign);
                return respond(stream, 302, &headers, b"");
            }
            _ => {}
        }
        if asked.is_head {
            return head(stream, &headers, bytes.len());
        }
        match &self.mischief {
            Mischief::EndlessFile => {
                write!(stream, "HTTP/1.1 200 OK\r\n{headers}Connection: close\r\n\r\n")?;
                self.endless(stream, &vec![b' '; 1 << 20])
            }
            Mischief::OtherBytes => respond(stream, 200, &headers, &vec![b'x'; bytes.len()]),
            Mischief::HalfFiles => {
                head(stream, &headers, bytes.len())?;
                stream.write_all(&bytes[..bytes.len() / 2])
            }
            _ => respond(stream, 200, &headers, bytes),
        }
    }

    /// Sends until the client hangs up, or took far too much.
    fn endless(&self, stream: &mut TcpStream, piece: &[u8]) -> std::io::Result<()> {
        let mut sent = 0;
        while sent < ENOUGH && !self.stop.load(Ordering::SeqCst) {
            stream.write_all(piece)?;
            sent += piece.len() as u64;
        }
        if ENOUGH <= sent {
            self.is_wrong(format!("{sent} bytes of an endless body were taken"));
        }
        Ok(())
    }
}

/// One request for a file.
#[derive(Clone, Copy)]
struct Asked<'a> {
    name: &'a str,
    is_head: bool,
    /// At the second server.
    is_foreign: bool,
    /// After a redirect there.
    is_second: bool,
}

/// Stands before a path that was redirected to at the second server.
const AGAIN: &str = "/again";

const JSON: &str = "Content-Type: application/json\r\n";

fn head(stream: &mut TcpStream, headers: &str, length: usize) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )
}

fn respond(stream: &mut TcpStream, status: u16, headers: &str, body: &[u8]) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}

fn entry(name: &str, bytes: &[u8]) -> Value {
    let mut entry = json!({"type": "file", "oid": tag(bytes), "size": bytes.len(), "path": name});
    if is_large(name) {
        entry["lfs"] = json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
    }
    entry
}

fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Stands for git's id of a small file: 40 digits.
fn tag(bytes: &[u8]) -> String {
    sha256(bytes)[..40].to_owned()
}
