//! Numbers of a model in bfloat16: both engines, and the same weights in float32.

use crate::support::{record, run, text};
use integration_tests::ndarray::{Array1, Array2, ArrayView1, s};
use integration_tests::ndarray_npy::{NpzReader, ReadableElement};
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use tempfile::tempdir;

fn array<T: ReadableElement>(folder: &Path, name: &str) -> Array2<T> {
    let file = File::open(folder.join("explanation.npz")).unwrap();
    NpzReader::new(file).unwrap().by_name(&format!("{name}.npy")).unwrap()
}

/// A row without its self terms, as parts of its sum.
fn parts(row: ArrayView1<'_, f32>, bounds: ArrayView1<'_, i64>) -> Array1<f32> {
    let mut row = row.to_owned();
    row.slice_mut(s![bounds[0] as usize - 1..bounds[1] as usize - 1]).fill(0.0);
    let sum = row.sum();
    assert!(0.0 < sum, "nothing but the self terms");
    row / sum
}

/// How much of the relevancy lies elsewhere.
fn moved(one: &Array1<f32>, other: &Array1<f32>) -> f32 {
    (one - other).mapv(f32::abs).sum() / 2.0
}

/// What bfloat16 changed of a map, and what the engines differ by: up to 1.4 % and 0.7 % when this was written.
const LEAST_AGREEMENT: f32 = 0.03;

/// Of most words of this answer the model is sure, so that one-hot − p is all but zero.
#[test]
fn the_log_probability_of_a_sure_word_has_the_map_of_float32() {
    let root = tempdir().unwrap();
    let set = text(&root.path().join("set"));
    run(["phantom", "--seed", "5", "--count", "1", "--size", "224", "--out", &set]).done();
    let picture = text(&root.path().join("set/000.png"));
    let explain = |name: &str, more: &[&str]| {
        let out = root.path().join(name);
        let asked = ["explain", "--model", "phantom", "--image", &picture, "--no-report"];
        let words = ["--prompt", "Describe the radiograph.", "--words", "all"];
        let how = ["--objective", "log-probability", "--keyword", "left"];
        let phrase = ["--phrase", "left lower", "--against", "right lower", "--out"];
        run([&asked[..], &words, &how, &phrase, &[&text(&out)], more].concat()).done();
        out
    };
    let streaming = explain("streaming", &[]);
    let found = record(&streaming);
    let given = ["--answer", found["answer"].as_str().unwrap()];
    let retained = explain("retained", &[&given[..], &["--engine", "retained"]].concat());
    let float32 = explain("float32", &[&given[..], &["--dtype", "float32"]].concat());

    let words = found["words"].as_array().unwrap();
    let of_sure = |word: &&Value| -1e-4 < word["log_probability"].as_f64().unwrap();
    assert!(15 < words.iter().filter(of_sure).count(), "the model is not sure of its words");
    let folders = [&streaming, &retained, &float32];
    let same = |what: &str, name: &str, row: usize, bounds: ArrayView1<'_, i64>| {
        let [streaming, retained, float32] = folders.map(|folder| {
            let rows: Array2<f32> = array(folder, name);
            parts(rows.row(row), bounds)
        });
        let (engines, dtypes) = (moved(&streaming, &retained), moved(&streaming, &float32));
        assert!(engines <= LEAST_AGREEMENT, "{what}: engines differ in {engines}");
        assert!(dtypes <= LEAST_AGREEMENT, "{what}: bfloat16 moved {dtypes}");
    };
    let bounds: Array2<i64> = array(&streaming, "words");
    for (index, (word, bounds)) in words.iter().zip(bounds.outer_iter()).enumerate() {
        same(word["text"].as_str().unwrap(), "word_relevancy", index, bounds);
    }
    // The panels of a figure of phrases.
    let bounds: Array2<i64> = array(&streaming, "versus");
    for panel in ["versus_a", "versus_b", "versus_contrast"] {
        same(panel, panel, 0, bounds.row(0));
    }
}
