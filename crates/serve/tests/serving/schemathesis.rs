//! The server is held to its own description by a tool that makes requests from it.

use std::{env, fs, path::Path, process::Command};

use explanation_server::{Limits, ServerOptions};

use crate::{Served, fake::Fake};

/// Needs a Python with schemathesis: `MEDICAL_PYTHON`. Skipped aloud without, unless `REQUIRE_SCHEMATHESIS` is set. `SERVE_URL` names another
/// server to hold to it, such as the command's.
#[test]
fn the_server_does_what_its_description_says() {
    let required = env::var_os("REQUIRE_SCHEMATHESIS").is_some();
    let has_it = |python: &String| {
        let tried = Command::new(python).args(["-c", "import schemathesis"]).output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let Some(python) = env::var("MEDICAL_PYTHON").ok().filter(has_it) else {
        assert!(
            !required,
            "REQUIRE_SCHEMATHESIS: MEDICAL_PYTHON names no Python that has schemathesis"
        );
        eprintln!("SKIPPED: MEDICAL_PYTHON names no Python that has schemathesis");
        return;
    };
    // Whatever it sends is taken as a picture, so that it gets as far as the results.
    let model = Fake { strict: false, ..Fake::default() };
    let limits = Limits { queue: 1000, ..Limits::default() };
    let served = Served::with(model, ServerOptions { limits, ..ServerOptions::default() });
    let address = env::var("SERVE_URL")
        .map_or_else(|_| served.url("/openapi.json"), |url| url + "/openapi.json");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis.toml");
    // It leaves notes where it is run.
    let folder = tempfile::tempdir().unwrap();
    let config = fs::canonicalize(config).unwrap();
    let run = Command::new(python)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(config)
        .args(["run", &address, "--max-examples", "10", "--no-color", "--seed", "1"])
        // Longer than any `?wait=`: a real model takes its time.
        .args(["--request-timeout", "400"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    let said_wrong = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}\n{said_wrong}");
    assert!(said.contains("16 selected"), "{said}");
    eprint!("{said}");
}
