//! Folders that anybody may have made.

use attention_relevancy::ndarray::{Array2, Array3};
use ndarray_npy::NpzWriter;
use serde_json::{Value, json};

use super::*;

fn target(end: usize) -> Value {
    json!({
        "text": "a", "positions": [end - 1, end], "token_ids": [1], "rule": "mean", "logit": 0.5,
        "log_probability": -0.1, "token_logits": [0.5], "token_log_probabilities": [-0.1],
        "runner_up_ids": [2], "image_share": null, "methods": [], "by_layer": null, "by_head": null,
        "overlays": [], "finer": [], "regions": [], "boxes": []
    })
}

/// A record of one target and some words over a text, without pictures.
fn record(tokens: usize, words: usize, methods: &[&str]) -> Value {
    let token = |position: usize| json!({"position": position, "id": 1, "text": "a", "kind": "answer", "characters": null});
    json!({
        "schema": SCHEMA, "version": SCHEMA_VERSION, "prompt": "?", "system": null, "rendered_prompt": "?",
        "answer": "a", "trace": "", "stop": "", "tokens": (0..tokens).map(token).collect::<Vec<_>>(),
        "pictures": [], "images": [], "targets": [target(tokens)],
        "words": (0..words).map(|_| target(tokens)).collect::<Vec<_>>(), "regions": null, "boxes": [], "generation": null,
        "settings": {
            "reproduce": null, "engine": "", "update": "", "objective": "", "heads": "", "folded_layers": "",
            "methods": methods, "dtype": "", "device": "", "threads": 1, "resize": "", "pan_and_scan": false,
            "pad_to_square": false, "orientation": "none", "resolution": "tokens", "layers": false, "colormap": ""
        },
        "model": {"source": "", "revision": null, "architecture": "", "config_sha256": ""},
        "timings": {"load": 0.0, "preprocess": 0.0, "vision": 0.0, "prefill": 0.0, "decode": 0.0, "explain": 0.0},
        "peak_rss_bytes": null, "notes": [],
        "files": {"arrays": ARRAYS, "overlays": [], "finer": [], "figures": [], "report": null},
        "program": "", "date": null
    })
}

/// The folder of a record, with arrays that fit it: all zero, and `first` at the first place of the first one of each kind.
fn folder(record: &Value, first: f32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(RECORD), record.to_string()).unwrap();
    let count = |field: &Value| field.as_array().unwrap().len();
    let (tokens, words) = (count(&record["tokens"]), count(&record["words"]));
    let methods = count(&record["settings"]["methods"]);
    let mut npz = NpzWriter::new_compressed(File::create(folder.path().join(ARRAYS)).unwrap());
    for (count, names, of_methods) in [
        (1, ["token_relevancy", "raw_attention", "token_relevancy_rollout"], "method_rows"),
        (
            words,
            ["word_relevancy", "word_raw_attention", "word_relevancy_rollout"],
            "word_method_rows",
        ),
    ] {
        let rows = Array2::<f32>::zeros((count, tokens));
        for name in names {
            npz.add_array(name, &rows).unwrap();
        }
        let mut rows = Array3::<f32>::zeros((methods, count, tokens));
        rows.iter_mut().take(1).for_each(|value| *value = first);
        npz.add_array(of_methods, &rows).unwrap();
    }
    npz.finish().unwrap();
    folder
}

fn error(folder: &Path) -> String {
    Stored::open(folder).unwrap_err().to_string()
}

#[test]
fn a_value_that_is_no_number_is_refused_and_not_shown_as_zero() {
    let record = record(4, 1, &["lime"]);
    let sound = folder(&record, 1.0);
    assert!(Stored::open(sound.path()).unwrap().report().unwrap().contains("lime"));
    for value in [f32::NAN, f32::INFINITY] {
        let error = error(folder(&record, value).path());
        assert!(error.contains("array method_rows: it holds the value "), "{error}");
    }
}

/// 80 MB of zeros in a file of a tenth of a megabyte. The value that is not a number proves that sizes are checked first: it is never reached.
#[test]
fn arrays_larger_than_their_file_lets_expect_are_not_read() {
    let error = error(folder(&record(2700, 2700, &["lime"]), f32::NAN).path());
    assert!(error.contains("its arrays take ") && error.contains("can hold"), "{error}");
}

/// One black picture that says it has half a gigabyte of pixels, and many that are one.
#[test]
fn pictures_larger_than_their_files_let_expect_are_not_read() {
    let picture = |file: &str, side: u32| {
        json!({
            "name": "a", "width": side, "height": side, "file": file, "pixels_sha256": "",
            "exif_orientation": 1, "window": null, "warnings": []
        })
    };
    let of = |pictures: Value| {
        let mut record = record(4, 0, &[]);
        record["pictures"] = pictures;
        let folder = folder(&record, 0.0);
        std::fs::write(folder.path().join("picture-0.png"), "no picture").unwrap();
        error(folder.path())
    };
    let error = of(json!([picture("picture-0.png", 13_000)]));
    assert!(error.contains("its pictures take 507000000 bytes"), "{error}");
    let error = of(json!([picture("picture-0.png", 10), picture("picture-0.png", 10)]));
    assert!(error.contains("picture-0.png: its pixels cannot be those of two"), "{error}");
    let error = of(json!([picture("../picture-0.png", 10)]));
    assert!(error.contains("not in the folder"), "{error}");
}

/// A record of before there were backward rules was made by the gradient.
#[test]
fn a_record_without_a_backward_rule_is_one_of_the_gradient() {
    let plain = record(4, 0, &[]);
    let of = |record: &Value| {
        let folder = folder(record, 0.0);
        Stored::open(folder.path()).unwrap().report().unwrap()
    };
    assert!(plain["settings"].get("backward").is_none());
    let older = of(&plain);
    let mut changed = plain.clone();
    changed["settings"]["backward"] = json!("gradient");
    assert_eq!(of(&changed), older);
    changed["settings"]["backward"] = json!("cp-lrp");
    assert!(of(&changed).contains("cp-lrp") && !older.contains("cp-lrp"));
}

/// What a record says of sizes is compared with the file before it is believed.
#[test]
fn absurd_sizes_are_refused() {
    let plain = record(4, 0, &[]);
    let of = |change: &dyn Fn(&mut Value)| {
        let folder = folder(&plain, 0.0);
        let mut changed = plain.clone();
        change(&mut changed);
        std::fs::write(folder.path().join(RECORD), changed.to_string()).unwrap();
        error(folder.path())
    };
    let error = of(&|record| record["targets"] = json!(vec![target(4); 1000]));
    assert!(error.contains("array token_relevancy: it has ") && error.contains("16000"), "{error}");
    let error = of(&|record| record["settings"]["layers"] = json!(true));
    assert!(error.contains("token_relevancy_by_layer"), "{error}");
    for (positions, grid) in [
        ([0, u64::MAX], [1, 2]),
        ([0, 2], [1_u64 << 32, 1 << 32]),
        ([2, 1], [1, 1]),
        ([3, 5], [1, 2]),
    ] {
        let error = of(&|record| {
            let stated = json!({"name": "a", "width": 2, "height": 1, "file": "a.png", "pixels_sha256": "", "exif_orientation": 1,
                                "window": null, "warnings": [], "outlines": []});
            record["pictures"] = json!([stated]);
            let region = [0.0, 0.0, 2.0, 1.0];
            record["images"] = json!([{"picture": 0, "positions": positions, "grid": grid, "patches": null, "pixels": null,
                                       "region": region}]);
        });
        assert!(error.contains(RECORD) && error.contains("image 0 at positions"), "{error}");
    }
}

#[test]
#[cfg(unix)]
fn the_page_goes_to_a_file_and_to_nothing_else() {
    let folder = folder(&record(4, 0, &[]), 0.0);
    let stored = Stored::open(folder.path()).unwrap();
    let page = folder.path().join("page.html");
    stored.write_report_to(&page).unwrap();
    stored.write_report_to(&page).unwrap();
    let html = std::fs::read_to_string(&page).unwrap();
    assert_eq!(html, stored.report().unwrap());
    let notes = folder.path().join("notes.html");
    std::fs::write(&notes, "<!doctype html>\nmine").unwrap();
    for (path, part) in [
        (Path::new("/dev/full"), "not a regular file"),
        (folder.path(), "not a regular file"),
        (&notes, "is not a page"),
        (&folder.path().join(RECORD), "is not a page"),
    ] {
        let error = stored.write_report_to(path).unwrap_err().to_string();
        assert!(error.contains(part), "{}: {error}", path.display());
    }
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "<!doctype html>\nmine");

    // In the folder: one that the record does not list is the user's, unless it is this page.
    let page = folder.path().join("report.html");
    std::fs::write(&page, "mine").unwrap();
    let error = stored.write_report().unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
    std::fs::write(&page, &html).unwrap();
    assert_eq!(stored.write_report().unwrap(), page);
    let hidden = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
    assert_eq!(hidden.count(), 0);
}
