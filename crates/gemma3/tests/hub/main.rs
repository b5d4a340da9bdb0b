//! The real client of the hub against a server on loopback that serves a small checkpoint, well and badly.
#![cfg(feature = "hub")]
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

mod hostile;
mod named;
mod server;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gemma3_tch::Error;
use gemma3_tch::hub::{FetchStep, HubOptions, Snapshot, fetch};
use serde_json::json;

use server::{Bench, COMMIT, Files, ID, Mischief, PAGE, Server, WANTED, checkpoint, oid, shard};

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
        ("chat_template.jinja", Mischief::Page(200), "it looks like a web page"),
        ("model.safetensors.index.json", Mischief::Page(200), "it looks like a web page"),
        ("model-1.safetensors", Mischief::Page(200), "it looks like a web page"),
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
            message.contains(reason) && message.ends_with("not kept in the cache, so try again"),
            "{message}"
        );
        bench.check_nothing_wrong_is_finished();
        assert!(bench.offline(None).is_err(), "nothing is complete yet");
        bench.check_good_run();
    }
}

#[test]
fn an_error_in_the_form_of_a_page_is_an_error() {
    for (file, status, reason) in [
        ("config.json", 403, "no access to somebody/tiny-gemma3: open "),
        ("model-1.safetensors", 404, "it lists model-1.safetensors and does not have it"),
        ("tokenizer.json", 502, "it answers 502"),
    ] {
        let bench = Bench::new();
        bench.server.misbehave(file, Mischief::Page(status));
        let message = bench.fetch().unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
        assert!(message.contains("the answer is a web page, perhaps of a proxy"), "{message}");
        bench.check_nothing_wrong_is_finished();
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
        timeouts: server::QUICK,
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
