//! Files of a repository by name: GGUF files, and those of an adapter.

use std::collections::BTreeMap;
use std::fs;

use gemma3_tch::Error;
use gemma3_tch::hub::{Snapshot, fetch, fetch_adapter, fetch_gguf, verified_sha256};

use crate::server::{Bench, COMMIT, Files, ID, Mischief, Server, checkpoint, sha256, shard};

const MODEL: &str = "tiny-Q4_K_M.gguf";
const TOWER: &str = "f16/mmproj-tiny.gguf";

/// The header of a file without tensors, and something to tell it from others.
fn gguf(architecture: &str) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
    let counts = [0_u64.to_le_bytes(), 1_u64.to_le_bytes()].concat();
    let start = [&b"GGUF"[..], &3_u32.to_le_bytes(), &counts].concat();
    [start, text("general.architecture"), 8_u32.to_le_bytes().to_vec(), text(architecture)].concat()
}

/// As people have them: several files, of which one is wanted, a configuration, and no weights in safetensors.
fn repository() -> Files {
    BTreeMap::from([
        ("README.md", b"not wanted".to_vec()),
        ("config.json", br#"{"model_type": "gemma3"}"#.to_vec()),
        (MODEL, gguf("gemma3")),
        ("tiny-Q8_0.gguf", gguf("not wanted")),
        (TOWER, gguf("clip")),
    ])
}

fn bench(files: Files) -> Bench {
    Bench { server: Server::start(files), cache: tempfile::tempdir().unwrap() }
}

fn both(bench: &Bench, offline: bool) -> Result<Snapshot, Error> {
    fetch_gguf(ID, None, &[MODEL, TOWER], &bench.options(offline))
}

#[test]
fn gguf_files_are_fetched_by_name_and_nothing_else() {
    let bench = bench(repository());
    let first = both(&bench, false).unwrap();
    assert_eq!((first.revision.as_str(), first.verified), (COMMIT, 2));
    for name in [MODEL, TOWER] {
        assert_eq!(fs::read(first.dir.join(name)).unwrap(), bench.server.state.files[name]);
    }
    assert_eq!(*bench.server.state.sent.lock().unwrap(), [MODEL, TOWER]);
    assert_eq!(fs::read_dir(bench.repo().join("blobs")).unwrap().count(), 2);
    for name in [MODEL, TOWER] {
        let expected = sha256(&bench.server.state.files[name]);
        assert_eq!(verified_sha256(&first.dir.join(name)), Some(expected));
    }
    // Again: the listings alone. By its commit, and offline: nothing.
    let before = bench.server.requests();
    assert_eq!(both(&bench, false).unwrap(), Snapshot { verified: 0, ..first.clone() });
    assert_eq!(bench.server.requests() - before, 3, "the commit and two folders");
    let pinned = fetch_gguf(ID, Some(COMMIT), &[MODEL], &bench.options(false)).unwrap();
    assert_eq!(pinned, Snapshot { verified: 0, ..first.clone() });
    assert_eq!(both(&bench, true).unwrap(), Snapshot { verified: 0, ..first });
    assert_eq!(bench.server.requests() - before, 3);
    let message = fetch_gguf(ID, None, &["tiny-Q8_0.gguf"], &bench.options(true)).unwrap_err();
    let message = message.to_string();
    assert!(
        message.contains("the cache lacks files of") && message.contains("tiny-Q8_0.gguf"),
        "{message}"
    );
}

#[test]
fn a_file_that_is_not_there_or_not_named_is_answered_with_those_that_are() {
    let bench = bench(repository());
    let missing = fetch_gguf(ID, None, &["tiny-Q2_K.gguf"], &bench.options(false)).unwrap_err();
    assert_eq!(
        missing.to_string(),
        format!(
            "{ID} has no file \"tiny-Q2_K.gguf\"; name one of its GGUF files: {TOWER}, {MODEL}, tiny-Q8_0.gguf"
        )
    );
    let unnamed = fetch(ID, None, &bench.options(false)).unwrap_err();
    assert_eq!(
        unnamed.to_string(),
        format!(
            "{ID} has no model.safetensors, and GGUF files; name the one that shall be used: {TOWER}, {MODEL}, tiny-Q8_0.gguf"
        )
    );
    assert_eq!(bench.server.state.sent.lock().unwrap().len(), 0);
    assert!(!bench.repo().exists());
}

#[test]
fn a_damaged_gguf_file_is_not_kept() {
    for (mischief, reason) in [
        (Mischief::Half, "bytes and not"),
        (Mischief::Garbage, "its SHA-256 is "),
        (Mischief::Page(200), "it looks like a web page"),
    ] {
        let bench = bench(repository());
        bench.server.misbehave(TOWER, mischief);
        let error = both(&bench, false).unwrap_err();
        assert!(matches!(&error, Error::HubDamaged { name, .. } if name == TOWER), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
        bench.check_nothing_wrong_is_finished();
        bench.server.behave();
        assert!(both(&bench, false).is_ok());
    }
    // What the hub itself has under such a name may be no GGUF file.
    let bench = bench(BTreeMap::from([(MODEL, b"not a GGUF file, though long enough".to_vec())]));
    let error = fetch_gguf(ID, None, &[MODEL], &bench.options(false)).unwrap_err();
    assert!(error.to_string().contains("is not a GGUF file"), "{error}");
    bench.check_nothing_wrong_is_finished();
}

#[test]
fn what_cannot_be_the_name_of_a_file_never_reaches_the_network() {
    let bench = bench(repository());
    for name in ["../x.gguf", "/x.gguf", "config.json", "a/../../x.gguf", "x.gguf?y", ""] {
        let error = fetch_gguf(ID, None, &[MODEL, name], &bench.options(false)).unwrap_err();
        assert!(matches!(&error, Error::HubFileName { found } if found == name), "{error}");
    }
    assert_eq!(bench.server.requests(), 0);
}

#[test]
fn an_adapter_is_two_files() {
    let mut files = checkpoint();
    files.insert("adapter_config.json", br#"{"peft_type": "LORA"}"#.to_vec());
    files.insert("adapter_model.safetensors", shard("x", 3.0));
    let with = bench(files);
    let snapshot = fetch_adapter(ID, None, &with.options(false)).unwrap();
    assert_eq!(snapshot.verified, 2);
    let sent = with.server.state.sent.lock().unwrap().clone();
    assert_eq!(sent, ["adapter_config.json", "adapter_model.safetensors"]);
    assert_eq!(fs::read_dir(&snapshot.dir).unwrap().count(), 2);
    let offline = fetch_adapter(ID, None, &with.options(true)).unwrap();
    assert_eq!(offline, Snapshot { verified: 0, ..snapshot });
    let without = bench(checkpoint());
    let message = fetch_adapter(ID, None, &without.options(false)).unwrap_err().to_string();
    assert!(message.ends_with("it has no adapter_config.json"), "{message}");
}

/// Asked for as a model it is told what it is, and beside a checkpoint it is fetched so far that nobody passes over it.
#[test]
fn an_adapter_is_not_taken_for_a_model_nor_passed_over() {
    let mut files = checkpoint();
    files.insert("adapter_config.json", br#"{"peft_type": "LORA"}"#.to_vec());
    let beside = bench(files.clone());
    let snapshot = fetch(ID, None, &beside.options(false)).unwrap();
    assert!(snapshot.dir.join("adapter_config.json").exists());
    files.retain(|name, _| !name.starts_with("model"));
    files.remove("config.json");
    let alone = bench(files);
    let error = fetch(ID, None, &alone.options(false)).unwrap_err();
    assert!(matches!(&error, Error::HubAdapter { id } if id == ID), "{error}");
}

/// Files that were fetched by name are no checkpoint, and do not stand in the way of one.
#[test]
fn a_checkpoint_and_named_files_of_one_repository_do_not_mix() {
    let mut files = checkpoint();
    files.insert(MODEL, gguf("gemma3"));
    let bench = bench(files);
    fetch_gguf(ID, None, &[MODEL], &bench.options(false)).unwrap();
    let message = bench.offline(None).unwrap_err().to_string();
    assert!(message.contains("lacks files") && message.contains("config.json"), "{message}");
    let whole = bench.fetch().unwrap();
    assert!(whole.dir.join("model-2.safetensors").exists() && whole.dir.join(MODEL).exists());
    assert_eq!(bench.offline(None).unwrap().dir, whole.dir);
}
