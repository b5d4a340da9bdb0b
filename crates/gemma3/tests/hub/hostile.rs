//! A hub, a mirror or a proxy that means harm, or has fallen ill.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use gemma3_tch::Error;
use gemma3_tch::hub::{HubOptions, Timeouts, fetch};
use serde_json::{Value, json};

use crate::server::{
    Asked, Bench, COMMIT, Files, ID, QUICK, Server, checkpoint, oid, respond, sha256, shard,
};

/// More than the buffers between two sockets hold, by far, and little for a test.
const FLOOD: u64 = 256 << 20;

fn is_commit(asked: &Asked) -> bool {
    asked.path.ends_with("/revision/main")
}

fn is_listing(asked: &Asked) -> bool {
    asked.path.contains(&format!("/tree/{COMMIT}"))
}

fn is_file(asked: &Asked, name: &str) -> bool {
    asked.path.ends_with(&format!("/resolve/{COMMIT}/{name}"))
}

fn json_answer(stream: &mut TcpStream, body: &str) {
    let _ = respond(stream, 200, "Content-Type: application/json\r\n", body.as_bytes(), body.len());
}

/// Writes until the client has had enough, or as much as no client should take.
fn flood(stream: &mut TcpStream, headers: &str, written: &AtomicU64) {
    let _ = write!(stream, "HTTP/1.1 200 X\r\n{headers}Connection: close\r\n\r\n");
    let block = vec![b'['; 1 << 16];
    while written.load(Ordering::SeqCst) < FLOOD && stream.write_all(&block).is_ok() {
        written.fetch_add(block.len() as u64, Ordering::SeqCst);
    }
}

/// What a server does with a request.
type Answer = fn(&Asked, &mut TcpStream);

/// The good listing, changed.
fn listing(bench: &Bench, edit: impl Fn(&mut Value)) {
    let mut entries = bench.server.state.listing();
    entries.as_array_mut().unwrap().iter_mut().for_each(edit);
    let body = entries.to_string();
    bench.server.twist(move |asked, stream| is_listing(asked).then(|| json_answer(stream, &body)));
}

/// Bytes of all files below a folder.
fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().map(Result::unwrap);
    entries
        .map(|entry| {
            let found = fs::symlink_metadata(entry.path()).unwrap();
            if found.is_dir() { bytes_below(&entry.path()) } else { found.len() }
        })
        .sum()
}

fn message(bench: &Bench) -> String {
    let message = bench.fetch().unwrap_err().to_string();
    bench.check_nothing_wrong_is_finished();
    message
}

/// Names of the files that were asked for.
fn files_asked(bench: &Bench) -> usize {
    bench.server.asked().iter().filter(|asked| asked.path.contains("/resolve/")).count()
}

#[test]
fn etags_name_no_files() {
    for etag in ["../../../escaped", "/escaped", "..", "a/b", ""] {
        let outer = tempfile::tempdir().unwrap();
        let cache = outer.path().join("a/b/cache");
        let server = Server::start(checkpoint());
        let headers =
            format!("ETag: \"{etag}\"\r\nX-Linked-Etag: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n");
        let files = checkpoint();
        server.twist(move |asked, stream| {
            let name = asked.path.rsplit('/').next().unwrap();
            let bytes = files.get(name).filter(|_| asked.path.contains("/resolve/"))?;
            let _ = respond(stream, 200, &headers, bytes, bytes.len());
            Some(())
        });
        let options = HubOptions {
            cache: Some(cache.clone()),
            endpoint: Some(server.endpoint.clone()),
            offline: Some(false),
            timeouts: QUICK,
            ..HubOptions::default()
        };
        let snapshot = fetch(ID, None, &options).unwrap();
        let repo = cache.join("models--somebody--tiny-gemma3");
        for entry in fs::read_dir(&snapshot.dir).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let name = if path.extension().unwrap() == "safetensors" {
                sha256(&bytes)
            } else {
                oid(&bytes)
            };
            assert_eq!(
                fs::canonicalize(&path).unwrap(),
                fs::canonicalize(repo.join("blobs").join(&name)).unwrap()
            );
            #[cfg(unix)]
            assert_eq!(
                fs::read_link(&path).unwrap(),
                Path::new("../../blobs").join(&name),
                "as Python writes it"
            );
        }
        let names = |folder: &Path| -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(outer.path()), ["a"]);
        assert_eq!(names(&outer.path().join("a")), ["b"]);
        assert_eq!(names(&outer.path().join("a/b")), ["cache"]);
        assert_eq!(names(&cache), [".locks", "models--somebody--tiny-gemma3"]);
        assert_eq!(names(&repo), [".gemma3-tch", "blobs", "refs", "snapshots"]);
        assert!(names(&repo.join("blobs")).iter().all(|name| [40, 64].contains(&name.len())));
    }
}

#[test]
fn hashes_and_sizes_of_the_listing_are_checked_before_anything_is_asked_for() {
    let hash = |value: &'static str| {
        move |entry: &mut Value| {
            if entry["lfs"].is_object() {
                entry["lfs"]["oid"] = json!(value);
            }
        }
    };
    let short = "ab".repeat(31);
    let short: &'static str = short.leak();
    let capital = "AB".repeat(32);
    let capital: &'static str = capital.leak();
    for value in ["../../../x", "/abs/x", "", ".", short, capital, "\u{1b}[2J"] {
        let bench = Bench::new();
        listing(&bench, hash(value));
        let message = message(&bench);
        assert!(message.contains("which is not one"), "{message}");
        assert!(!message.contains('\u{1b}'), "{message:?}");
        assert_eq!(files_asked(&bench), 0);
    }
    for (name, size, reason) in [
        (
            "config.json",
            json!(17 << 20),
            "it lists \"config.json\" with 17825792 bytes, more than the 8388608",
        ),
        ("tokenizer.json", json!(1u64 << 40), "more than the 134217728 that a real one can have"),
        ("config.json", json!(u64::MAX), "more than the 8388608"),
        ("config.json", json!(-1), "its answer is not what it should be"),
        ("config.json", json!(null), "it gives no size for \"config.json\""),
        ("config.json", json!(1e300), "its answer is not what it should be"),
    ] {
        let bench = Bench::new();
        listing(&bench, move |entry| {
            if entry["path"] == name {
                entry["size"] = size.clone();
            }
        });
        let message = message(&bench);
        assert!(message.contains(reason), "{message}");
        assert_eq!(files_asked(&bench), 0);
    }
}

#[test]
fn weights_that_the_disk_has_no_room_for_are_not_begun() {
    let mut files: Files = checkpoint();
    let names: Vec<String> = (0..64).map(|index| format!("model-{index}.safetensors")).collect();
    let map: serde_json::Map<String, Value> =
        names.iter().map(|name| (name.clone(), json!(name))).collect();
    files.insert(
        "model.safetensors.index.json",
        json!({"weight_map": map}).to_string().into_bytes(),
    );
    let bench = Bench { server: Server::start(files), cache: tempfile::tempdir().unwrap() };
    let mut entries = bench.server.state.listing();
    for name in names {
        let lfs = json!({"oid": "ab".repeat(32), "size": 1u64 << 40});
        entries
            .as_array_mut()
            .unwrap()
            .push(json!({"type": "file", "path": name, "size": 1u64 << 40, "oid": "", "lfs": lfs}));
    }
    let body = entries.to_string();
    bench.server.twist(move |asked, stream| is_listing(asked).then(|| json_answer(stream, &body)));
    let message = message(&bench);
    if cfg!(unix) {
        assert!(message.contains("its weights take 70368.7 GB more and the disk of "), "{message}");
    }
    assert!(bench.server.asked().iter().all(|asked| !asked.path.ends_with(".safetensors")));
}

#[test]
fn a_commit_is_a_hash() {
    for sha in [json!("../../../x"), json!("/abs"), json!(""), json!(null), json!(5)] {
        let bench = Bench::new();
        let body = json!({ "sha": sha }).to_string();
        bench
            .server
            .twist(move |asked, stream| is_commit(asked).then(|| json_answer(stream, &body)));
        let message = message(&bench);
        assert!(
            message.starts_with("cannot fetch somebody/tiny-gemma3 from the hub: it"),
            "{message}"
        );
        assert_eq!((bench.server.requests(), bytes_below(bench.cache.path())), (1, 0));
    }
}

#[test]
fn an_answer_without_end_is_left() {
    for what in [is_commit as fn(&Asked) -> bool, is_listing] {
        let (bench, written) = (Bench::new(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&written);
        bench.server.twist(move |asked, stream| what(asked).then(|| flood(stream, "", &count)));
        let message = message(&bench);
        assert!(message.contains("its answer is longer than 8388608 bytes"), "{message}");
        assert!(written.load(Ordering::SeqCst) < FLOOD, "the client hung up");
    }
    // Pages that name themselves as the next.
    let bench = Bench::new();
    bench.server.twist(|asked, stream| {
        is_listing(asked).then(|| {
            let headers = format!("Link: <{}>; rel=\"next\"\r\n", asked.path);
            let _ = respond(stream, 200, &headers, b"[]", 2);
        })
    });
    let message_of_pages = message(&bench);
    assert!(message_of_pages.contains("its listing has more than 100 pages"), "{message_of_pages}");
    assert_eq!(bench.server.requests(), 101);
    // A page that sends us to another host for the next one.
    let (bench, other) = (Bench::new(), Server::start(checkpoint()));
    let headers = format!("Link: <{}/next>; rel=\"next\"\r\n", other.endpoint);
    bench.server.twist(move |asked, stream| {
        is_listing(asked).then(|| {
            let _ = respond(stream, 200, &headers, b"[]", 2);
        })
    });
    let message_of_host = message(&bench);
    assert!(message_of_host.contains("its listing goes on at another host"), "{message_of_host}");
    assert_eq!(other.requests(), 0);
    // Many files in few pages.
    let bench = Bench::new();
    let folder = json!({"type": "directory", "path": "x"});
    let body = Value::Array(vec![folder; 30_000]).to_string();
    bench.server.twist(move |asked, stream| is_listing(asked).then(|| json_answer(stream, &body)));
    let message_of_files = message(&bench);
    assert!(message_of_files.contains("it lists more than 20000 files"), "{message_of_files}");
}

#[test]
fn a_file_without_end_is_left_at_its_listed_size() {
    for name in ["config.json", "model-1.safetensors"] {
        for headers in ["", "Content-Length: 99999999999\r\n"] {
            let (bench, written) = (Bench::new(), Arc::new(AtomicU64::new(0)));
            let count = Arc::clone(&written);
            bench.server.twist(move |asked, stream| {
                is_file(asked, name).then(|| flood(stream, headers, &count))
            });
            let error = bench.fetch().unwrap_err();
            let reason = if headers.is_empty() {
                "it has more than "
            } else {
                "it has 99999999999 bytes and not "
            };
            assert!(
                matches!(&error, Error::HubDamaged { name: file, .. } if file == name),
                "{error}"
            );
            assert!(error.to_string().contains(reason), "{error}");
            assert!(written.load(Ordering::SeqCst) < FLOOD, "the client hung up");
            assert!(bytes_below(bench.cache.path()) < 10_000, "nothing of it is kept");
            bench.check_nothing_wrong_is_finished();
            bench.check_good_run();
        }
    }
}

#[test]
fn what_is_compressed_was_not_asked_for() {
    for name in ["config.json", "model-2.safetensors"] {
        let bench = Bench::new();
        bench.server.twist(move |asked, stream| {
            is_file(asked, name).then(|| {
                let _ = respond(stream, 200, "Content-Encoding: gzip\r\n", b"\x1f\x8b", 2);
            })
        });
        let message = message(&bench);
        assert!(message.contains("it answers compressed"), "{message}");
        assert!(
            bench.server.asked().iter().all(|asked| asked.headers["accept-encoding"] == "identity")
        );
        bench.check_good_run();
    }
}

#[test]
fn silence_and_trickles_end() {
    let quick = |read: u64, total: u64| Timeouts {
        read: Duration::from_millis(read),
        total: Duration::from_millis(total),
        slowest: 1 << 30,
        attempts: 2,
        ..QUICK
    };
    let waits = |asked: &Asked, stream: &mut TcpStream| {
        let _ = (asked, stream.read(&mut [0])); // until the client hangs up
    };
    let trickles = |asked: &Asked, stream: &mut TcpStream| {
        let _ = (asked, write!(stream, "HTTP/1.1 200 X\r\nContent-Length: 24\r\nX-Slow: "));
        while stream.write_all(b"x").and_then(|()| stream.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let trickles_body = |asked: &Asked, stream: &mut TcpStream| {
        let _ = (asked, write!(stream, "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"));
        while stream.write_all(b"1\r\n \r\n").and_then(|()| stream.flush()).is_ok() {
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    for (answer, timeouts, reason) in [
        (waits as Answer, quick(150, 5000), "it said nothing for 150ms"),
        (waits, quick(5000, 300), "it takes too long"),
        (trickles, quick(5000, 300), "it takes too long"),
        (trickles_body, quick(5000, 300), "it takes too long"),
    ] {
        for what in [is_commit as fn(&Asked) -> bool, |asked| is_file(asked, "config.json")] {
            let bench = Bench::new();
            bench.server.twist(move |asked, stream| what(asked).then(|| answer(asked, stream)));
            let options = HubOptions { timeouts, ..bench.options(false) };
            let error = fetch(ID, None, &options).unwrap_err();
            assert!(
                matches!(error, Error::HubUnreachable { .. }) && error.to_string().contains(reason),
                "{error}"
            );
            bench.check_nothing_wrong_is_finished();
        }
    }
}

#[test]
fn a_passing_error_is_tried_again_and_a_lasting_one_reported_in_few_words() {
    // Twice ill, then well.
    for (status, header) in [(500, ""), (503, "Retry-After: 0\r\n"), (429, "Retry-After: 0\r\n")] {
        let (bench, ill) = (Bench::new(), AtomicUsize::new(0));
        bench.server.twist(move |asked, stream| {
            let is_ill = is_file(asked, "tokenizer.json") && ill.fetch_add(1, Ordering::SeqCst) < 1;
            is_ill.then(|| {
                let _ = respond(stream, status, header, b"", 0);
            })
        });
        assert!(bench.fetch().is_ok(), "{status}");
    }
    // Ill for good, with a megabyte to say about it.
    let bench = Bench::new();
    let body = json!({"error": format!("\u{1b}[31m{}", "sorry ".repeat(200_000))}).to_string();
    bench.server.twist(move |asked, stream| {
        is_listing(asked).then(|| {
            let _ = respond(stream, 500, "X-Error-Code: Ill\r\n", body.as_bytes(), body.len());
        })
    });
    let found = message(&bench);
    assert!(found.contains("it answers 500") && found.len() < 500, "{found}");
    assert!(!found.contains('\u{1b}'), "{found:?}");
    assert_eq!(
        bench.server.requests(),
        1 + QUICK.attempts as usize,
        "the commit, and so many attempts"
    );
    let bench = Bench::new();
    let body = json!({"error": format!("\u{1b}[31m{}", "s".repeat(10_000))}).to_string();
    bench.server.twist(move |asked, stream| {
        is_listing(asked).then(|| {
            let _ = respond(stream, 400, "", body.as_bytes(), body.len());
        })
    });
    let found = message(&bench);
    assert!(found.contains(r"it answers 400; the hub says: \u{1b}[31msss"), "{found}");
    assert!(found.len() < 500, "{found}");
    assert_eq!(bench.server.requests(), 2, "400 does not pass");
    // One that asks for a longer wait than anybody wants.
    let bench = Bench::new();
    bench.server.twist(|asked, stream| {
        is_listing(asked).then(|| {
            let _ = respond(stream, 429, "Retry-After: 86400\r\n", b"", 0);
        })
    });
    let found = message(&bench);
    assert!(
        found.contains("it answers 429; it asks to wait for 86400 s, so try again then"),
        "{found}"
    );
    assert_eq!(bench.server.requests(), 2);
}

#[test]
fn the_token_goes_to_the_hub_alone_and_never_again_after_a_step_elsewhere() {
    let (bench, other) = (Bench::new(), Server::start(checkpoint()));
    let (hub, elsewhere) = (bench.server.endpoint.clone(), other.endpoint.clone());
    // hub → other → other again → back to the hub → the file.
    let to = |stream: &mut TcpStream, address: &str| {
        let _ = respond(stream, 302, &format!("Location: {address}\r\n"), b"", 0);
    };
    let address = format!("{elsewhere}/first");
    bench
        .server
        .twist(move |asked, stream| is_file(asked, "config.json").then(|| to(stream, &address)));
    other.twist(move |asked, stream| {
        let back = format!("{hub}/{ID}/resolve/{COMMIT}/generation_config.json?third");
        let next = match asked.path.as_str() {
            "/first" => "/second",
            "/second" => &back,
            _ => return None,
        };
        to(stream, next);
        Some(())
    });
    let error = bench.fetch().unwrap_err(); // it is another file, and refused for its size
    assert!(matches!(&error, Error::HubDamaged { name, .. } if name == "config.json"), "{error}");
    let foreign = other.asked();
    assert_eq!(
        foreign.iter().map(|asked| asked.path.as_str()).collect::<Vec<_>>(),
        ["/first", "/second"]
    );
    assert!(
        foreign.iter().all(|asked| !asked.headers.contains_key("authorization")),
        "{foreign:?}"
    );
    for asked in bench.server.asked() {
        let sent = asked.headers.get("authorization").map(String::as_str);
        let expected = if asked.path.ends_with("?third") { None } else { Some("Bearer hf_test") };
        assert_eq!(sent, expected, "{asked:?}");
    }
    // A file from elsewhere is taken: large files of the hub come from another host.
    let address = format!("{elsewhere}/{ID}/resolve/{COMMIT}/model-1.safetensors");
    bench.server.twist(move |asked, stream| {
        is_file(asked, "model-1.safetensors").then(|| to(stream, &address))
    });
    assert!(bench.fetch().is_ok());
    assert!(other.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
}

#[test]
fn redirects_are_bounded_and_go_to_web_addresses() {
    for (location, reason) in [
        ("", "it sends us on without an address to go to"),
        ("Location: file:///etc/passwd\r\n", "it sends us on without an address to go to"),
        ("Location: /again\r\n", "it sent us on more than 10 times"),
    ] {
        let bench = Bench::new();
        bench.server.twist(move |asked, stream| {
            (!is_commit(asked)).then(|| {
                let _ = respond(stream, 307, location, b"", 0);
            })
        });
        let message = message(&bench);
        assert!(message.contains(reason), "{message}");
        assert!(bench.server.requests() <= 12);
    }
}

/// Sends `bytes` from where it was asked to; the first `breaks` times it breaks off after half of what is left.
fn in_parts(asked: &Asked, stream: &mut TcpStream, bytes: &[u8], breaks: &AtomicUsize) {
    let start = asked.headers.get("range").map_or(0, |range| {
        range
            .strip_prefix("bytes=")
            .and_then(|range| range.strip_suffix('-'))
            .unwrap()
            .parse()
            .unwrap()
    });
    let rest = &bytes[start..];
    let is_broken =
        breaks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
    let sent = if is_broken { &rest[..rest.len() / 2] } else { rest };
    let range = format!("Content-Range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
    let (status, headers) = if start == 0 { (200, "") } else { (206, range.as_str()) };
    let _ = respond(stream, status, headers, sent, rest.len());
}

#[test]
fn a_large_file_that_breaks_off_goes_on_where_it_was() {
    let bytes = shard("x", 1.0);
    let half = bytes.len() / 2;
    let starts = |bench: &Bench| -> Vec<Option<String>> {
        let of_file = |asked: &Asked| is_file(asked, "model-1.safetensors");
        bench
            .server
            .asked()
            .iter()
            .filter(|asked| of_file(asked))
            .map(|asked| asked.headers.get("range").cloned())
            .collect()
    };
    // Within one call.
    let (bench, breaks, file) = (Bench::new(), AtomicUsize::new(1), bytes.clone());
    bench.server.twist(move |asked, stream| {
        is_file(asked, "model-1.safetensors").then(|| in_parts(asked, stream, &file, &breaks))
    });
    bench.fetch().unwrap();
    assert_eq!(starts(&bench), [None, Some(format!("bytes={half}-"))]);
    bench.check_good_run();
    // From one call to the next.
    let (bench, breaks, file) = (Bench::new(), AtomicUsize::new(1), bytes.clone());
    bench.server.twist(move |asked, stream| {
        is_file(asked, "model-1.safetensors").then(|| in_parts(asked, stream, &file, &breaks))
    });
    let once = Timeouts { attempts: 1, ..QUICK };
    let error =
        fetch(ID, None, &HubOptions { timeouts: once, ..bench.options(false) }).unwrap_err();
    assert!(matches!(error, Error::Hub { .. }), "{error}");
    let incomplete = bench.repo().join("blobs").join(format!("{}.incomplete", sha256(&bytes)));
    assert_eq!(fs::read(&incomplete).unwrap(), bytes[..half]);
    bench.fetch().unwrap();
    assert_eq!(starts(&bench), [None, Some(format!("bytes={half}-"))]);
    assert!(!incomplete.exists());
    bench.check_good_run();
}

#[test]
fn a_beginning_that_is_not_the_files_is_noticed_and_begun_anew() {
    let bytes = shard("x", 1.0);
    for there in [vec![b'x'; 100], vec![b'x'; bytes.len()], vec![b'x'; bytes.len() + 1]] {
        let (bench, file) = (Bench::new(), bytes.clone());
        let blobs = bench.repo().join("blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.incomplete", sha256(&bytes))), &there).unwrap();
        bench.server.twist(move |asked, stream| {
            let breaks = AtomicUsize::new(0);
            is_file(asked, "model-1.safetensors").then(|| in_parts(asked, stream, &file, &breaks))
        });
        bench.fetch().unwrap();
        bench.check_good_run();
    }
    // A server that sends another part than the one that was asked for.
    let bench = Bench::new();
    let blobs = bench.repo().join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", sha256(&bytes))), &bytes[..100]).unwrap();
    bench.server.twist(move |asked, stream| {
        is_file(asked, "model-1.safetensors").then(|| {
            let _ = respond(stream, 206, "Content-Range: bytes 0-9/10\r\n", b"0123456789", 10);
        })
    });
    let message = message(&bench);
    assert!(
        message.contains("it sent another part of model-1.safetensors than was asked for"),
        "{message}"
    );
    bench.check_good_run();
}

#[test]
fn a_caller_who_has_had_enough_is_heard() {
    // While a file comes.
    let (bench, cancel) = (Bench::new(), Arc::new(AtomicBool::new(false)));
    let set = Arc::clone(&cancel);
    let mut options = bench.options(false);
    options.progress = Some(Arc::new(move |progress| {
        if progress.file == "model-1.safetensors" {
            set.store(true, Ordering::SeqCst);
        }
    }));
    options.cancel = Some(cancel);
    let error = fetch(ID, None, &options).unwrap_err();
    assert!(matches!(error, Error::HubCancelled { .. }), "{error}");
    bench.check_nothing_wrong_is_finished();
    bench.check_good_run();
    // While a server says nothing.
    let (bench, cancel) = (Bench::new(), Arc::new(AtomicBool::new(false)));
    let set = Arc::clone(&cancel);
    bench.server.twist(move |_, stream| {
        set.store(true, Ordering::SeqCst);
        let _ = stream.read(&mut [0]);
        Some(())
    });
    let options = HubOptions { cancel: Some(cancel), ..bench.options(false) };
    let error = fetch(ID, None, &options).unwrap_err();
    assert!(matches!(error, Error::HubCancelled { .. }), "{error}");
}

#[test]
fn two_processes_do_not_write_one_blob() {
    let bench = Bench::new();
    let hash = sha256(&shard("x", 1.0));
    let locks = bench.cache.path().join(".locks/models--somebody--tiny-gemma3");
    fs::create_dir_all(&locks).unwrap();
    let held = fs::File::create(locks.join(format!("{hash}.lock"))).unwrap();
    held.lock().unwrap();
    let found = message(&bench);
    assert!(found.contains("another process is downloading it (lock "), "{found}");
    drop(held);
    bench.check_good_run();
}

#[test]
fn a_nested_answer_overflows_nothing() {
    for body in [
        "[".repeat(1_000_000),
        r#"{"sha":"#.repeat(100_000),
        format!(r#"{{"x":{}"#, "[".repeat(1_000_000)),
    ] {
        let bench = Bench::new();
        bench.server.twist(move |_, stream| {
            json_answer(stream, &body);
            Some(())
        });
        let found = message(&bench);
        assert!(found.contains("its answer is not what it should be"), "{found}");
    }
    // A file that nests deeply comes as it is listed; it is refused when it is read.
    let mut files = checkpoint();
    files.insert(
        "config.json",
        ["[".repeat(1_000_000), "]".repeat(1_000_000)].concat().into_bytes(),
    );
    let bench = Bench { server: Server::start(files), cache: tempfile::tempdir().unwrap() };
    let dir = bench.fetch().unwrap().dir;
    let found = gemma3_tch::Config::from_dir(&dir).unwrap_err().to_string();
    assert!(found.contains("config.json is not valid JSON: recursion limit"), "{found}");
}

#[cfg(unix)]
#[test]
fn what_is_no_file_in_the_cache_is_named_at_once() {
    let pipe = |path: &Path| {
        let _ = fs::remove_file(path);
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let folder = |path: &Path| {
        let _ = fs::remove_file(path);
        fs::create_dir_all(path).unwrap();
    };
    let refused = |bench: &Bench, path: &Path, what: &str| {
        let found = bench.fetch().unwrap_err().to_string();
        let start = format!("{} is {what} where a file belongs; remove it", path.display());
        assert!(found.starts_with(&start), "{found}");
    };
    for name in ["config.json", "model-1.safetensors", "model.safetensors.index.json"] {
        let bench = Bench::new();
        let path = bench.fetch().unwrap().dir.join(name);
        pipe(&path);
        refused(&bench, &path, "a named pipe");
        assert!(bench.offline(None).is_err());
        fs::remove_file(&path).unwrap();
        folder(&path);
        refused(&bench, &path, "a folder");
        assert!(bench.offline(None).is_err());
        fs::remove_dir(&path).unwrap();
        bench.check_good_run();
    }
    // What only the client looks at: a reference, a list of names, a note, a lock and a beginning.
    let bench = Bench::new();
    bench.fetch().unwrap();
    pipe(&bench.repo().join("refs/main"));
    assert!(matches!(bench.offline(None).unwrap_err(), Error::Offline { .. }));
    pipe(&bench.repo().join(".gemma3-tch/complete").join(COMMIT));
    bench.check_good_run();
    let hash = sha256(&shard("x", 1.0));
    let lock = format!(".locks/models--somebody--tiny-gemma3/{hash}.lock");
    for place in [lock, format!("models--somebody--tiny-gemma3/blobs/{hash}.incomplete")] {
        let bench = Bench::new();
        let path = bench.cache.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        pipe(&path);
        refused(&bench, &path, "a named pipe");
        fs::remove_file(&path).unwrap();
        bench.check_good_run();
    }
}
