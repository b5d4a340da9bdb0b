//! Outcomes, and the Python that tests compare with.

use std::path::PathBuf;
use std::process::Command;

use explanation_jobs::{Header, Outcome};
use serde_json::json;

/// Of the data sets here.
pub(crate) fn header() -> Header {
    Header {
        program: "explainer 1".to_owned(),
        model: "m".to_owned(),
        model_sha256: vec!["ab".to_owned()],
        settings: json!({"words": "none"}),
    }
}

/// The outcome of job `number`: two rows, an answer alone, or an error.
pub(crate) fn outcome(number: usize) -> Outcome {
    let id = format!("job {number}");
    let run = json!({
        "program": "explainer 1", "model": "m", "model_sha256": ["ab"], "pictures_sha256": ["cd", "ef"],
        "settings": "{}", "notes": ["a note"], "seconds": number as f64 / 7.0,
    });
    let answer = json!({"text": "An opacity.", "stop": "it is complete", "tokens": []});
    let share = 1.0 / (number + 3) as f64;
    let row = |index: usize, kind: &str| {
        json!({
            "index": index, "kind": kind, "asked": "keyword \"opacity\"", "text": "opacity",
            "positions": [300, 301], "span": [3, 10], "probability": 0.1 + 0.2, "image_share": share,
            "maps": [
                {"picture": 0, "region": [0.0, 0.0, 640.0, 480.5], "rows": 2, "columns": 2, "values": [0.1, 0.2, -0.3, share]},
                {"picture": 1, "region": [0.0, 0.0, 10.0, 10.0], "rows": 1, "columns": 1, "values": [0.0]},
            ],
            "text_positions": [0, 9], "text_relevancy": [0.5, 0.25],
            "regions": {"left": 0.25, "right": 0.75}, "gains": {"mean": -1.5}, "depends_on_picture": "yes",
            "certificate": [
                {"operator": "blur", "srg": 0.2, "p": 0.05, "ahead": true},
                {"operator": "road", "srg": null, "p": null, "ahead": null},
            ],
        })
    };
    let outcome = match number % 4 {
        0 | 1 => {
            json!({"id": id, "answer": answer, "rows": [row(0, "target"), row(1, "word")], "run": run})
        }
        2 => json!({"id": id, "answer": answer, "run": run}),
        _ => json!({"id": id, "problem": {"kind": "picture", "message": "it cannot be read"}}),
    };
    serde_json::from_value(outcome).expect("an outcome")
}

/// The Python of `MEDICAL_PYTHON` that has a module; `None`, said aloud, without.
pub(crate) fn python(module: &str) -> Option<PathBuf> {
    let why = match std::env::var_os("MEDICAL_PYTHON").map(PathBuf::from) {
        None => format!("no Python with {module}: set MEDICAL_PYTHON"),
        Some(python) => {
            let output = Command::new(&python).args(["-c", &format!("import {module}")]).output();
            match output {
                Ok(output) if output.status.success() => return Some(python),
                Ok(_) => format!("{} has no module {module}", python.display()),
                Err(error) => format!("{} does not run: {error}", python.display()),
            }
        }
    };
    assert!(std::env::var_os("REQUIRE_PYARROW").is_none(), "{why}");
    eprintln!("SKIPPED: {why}");
    None
}
