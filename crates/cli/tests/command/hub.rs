//! GGUF files of a repository on the hub, from a hub on loopback.
#![cfg(feature = "hub")]

use integration_tests::Fixture;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use tempfile::tempdir;

use crate::support::{Run, command, sha256, text};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const FILES: [&str; 2] = ["model.gguf", "mmproj.gguf"];

/// Serves the files of the fixture as `somebody/tiny` until the test ends, and says where.
fn serve() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let files =
        FILES.map(|name| (name, std::fs::read(Fixture::folder().join("gguf").join(name)).unwrap()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = answer(&mut stream.unwrap(), &files); // the command may hang up
        }
    });
    endpoint
}

fn answer(stream: &mut TcpStream, files: &[(&str, Vec<u8>)]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = first.split([' ', '?']).nth(1).unwrap_or_default();
    let entry = |(name, bytes): &(&str, Vec<u8>)| {
        let hash = sha256(bytes);
        json!({ "type": "file", "path": name, "oid": &hash[..40], "size": bytes.len(), "lfs": { "oid": hash, "size": bytes.len() } })
    };
    let body = if path.ends_with("/revision/main") {
        json!({ "sha": COMMIT }).to_string().into_bytes()
    } else if path.ends_with(&format!("/tree/{COMMIT}")) {
        Value::Array(files.iter().map(entry).collect()).to_string().into_bytes()
    } else {
        let file = files.iter().find(|(name, _)| path.ends_with(&format!("/{COMMIT}/{name}")));
        file.map(|(_, bytes)| bytes.clone()).unwrap_or_default()
    };
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

fn run(endpoint: &str, cache: &Path, args: &[&str]) -> Run {
    let mut command = command(args);
    command.env("HF_ENDPOINT", endpoint).env("HF_HUB_CACHE", cache).env("HF_TOKEN", "hf_test");
    command.env_remove("HF_HUB_OFFLINE").env_remove("TRANSFORMERS_OFFLINE");
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Run { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_gguf_file_of_the_hub_is_named_fetched_and_found_again() {
    let (endpoint, cache) = (serve(), tempdir().unwrap());
    let inspect = ["inspect", "--model", "somebody/tiny", "--json"];
    let with = |more: &[&str]| run(&endpoint, cache.path(), &[&inspect[..], more].concat());
    with(&[]).failed(&[
        "somebody/tiny has no model.safetensors, and GGUF files; name the one that shall be used: mmproj.gguf, model.gguf",
        "(--file NAME, and --mmproj NAME for its vision tower)",
    ]);
    with(&["--file", "other.gguf"]).failed(&[
        "has no file \"other.gguf\"",
        "model.gguf",
        "(--file NAME",
    ]);
    with(&["--file", "../model.gguf"]).failed(&["cannot be a GGUF file of a repository"]);
    assert!(!cache.path().join("models--somebody--tiny/blobs").exists());

    let alone = with(&["--file", "model.gguf"]).done().json();
    assert_eq!(alone["vision_tower"], Value::Null);
    let snapshot = cache.path().join("models--somebody--tiny/snapshots").join(COMMIT);
    assert!(snapshot.join("model.gguf").exists() && !snapshot.join("mmproj.gguf").exists());
    let both = with(&["--file", "model.gguf", "--mmproj", "mmproj.gguf"]).done().json();
    let folder = text(&Fixture::folder().join("gguf"));
    let here = run(&endpoint, cache.path(), &["inspect", "--model", &folder, "--json"]).done();
    assert_eq!(both, here.json());
    // A file on the disk is taken from there, and what is in the cache needs no hub.
    let mmproj = format!("{folder}/mmproj.gguf");
    let local = with(&["--file", "model.gguf", "--mmproj", &mmproj, "--offline"]).done();
    assert_eq!(local.json(), both);
    let elsewhere = "http://127.0.0.1:9";
    let offline = [&inspect[..], &["--file", "model.gguf", "--mmproj", "mmproj.gguf", "--offline"]];
    assert_eq!(run(elsewhere, cache.path(), &offline.concat()).done().json(), both);
}
