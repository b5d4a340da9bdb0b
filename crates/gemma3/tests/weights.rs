//! Weights: every naming, zero-copy, conversion, and every kind of damaged or hostile checkpoint with its message.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::fs;
use std::path::Path;

use gemma3_tch::{Error, Placement, Weights};
use serde_json::{Value, json};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

/// A safetensors file: header text, then data.
fn file(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn dir_with(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// A checkpoint of one file.
fn single(header: &Value, data: &[u8]) -> TempDir {
    dir_with(&[("model.safetensors", file(header, data))])
}

fn message(dir: &Path) -> String {
    match Weights::open(dir) {
        Ok(_) => panic!("this should not open"),
        Err(error) => error.to_string(),
    }
}

/// One f32 tensor `a.weight` = [1, 2] with a header of aligned length.
fn pair() -> TempDir {
    single(
        &json!({"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "__metadata__": {"pad": ""}}),
        &bytes(&[1.0, 2.0]),
    )
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    Vec::try_from(tensor.to_kind(Kind::Float)).unwrap()
}

#[test]
fn every_naming_is_found_under_one_name() {
    let f32_at = |at: usize| json!({"dtype": "F32", "shape": [1], "data_offsets": [at, at + 4]});
    for names in [
        [
            "language_model.model.norm.weight",
            "vision_tower.vision_model.post_layernorm.bias",
            "multi_modal_projector.x",
            "language_model.lm_head.weight",
        ],
        [
            "model.language_model.norm.weight",
            "model.vision_tower.vision_model.post_layernorm.bias",
            "model.multi_modal_projector.x",
            "lm_head.weight",
        ],
        [
            "language_model.model.norm.weight",
            "vision_tower.post_layernorm.bias",
            "multi_modal_projector.x",
            "lm_head.weight",
        ],
    ] {
        let header: serde_json::Map<_, _> =
            (0..4).map(|i| (names[i].to_owned(), f32_at(4 * i))).collect();
        let dir = single(&Value::Object(header), &bytes(&[1.0, 2.0, 3.0, 4.0]));
        let weights = Weights::open(dir.path()).unwrap();
        let root = weights.root(Placement::AS_STORED);
        let canonical = [
            "language_model.norm.weight",
            "vision_tower.post_layernorm.bias",
            "multi_modal_projector.x",
            "lm_head.weight",
        ];
        for (name, value) in canonical.iter().zip([1.0, 2.0, 3.0, 4.0]) {
            assert_eq!(values(&root.tensor(name, &[1]).unwrap()), [value]);
        }
        assert!(root.at("vision_tower").at("post_layernorm").contains("bias"));
        assert!(!root.at("vision_tower").contains("bias"));
        let mut sorted = canonical;
        sorted.sort_unstable();
        assert_eq!(weights.names().collect::<Vec<_>>(), sorted);
    }
}

#[test]
fn cpu_as_stored_is_not_copied_and_outlives_the_weights() {
    let mut header =
        json!({"a.weight": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let all =
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes(&[1.0, 2.0])].concat();
    let dir = dir_with(&[("model.safetensors", all.clone())]);
    let weights = Weights::open(dir.path()).unwrap();
    let path = weights.root(Placement::AS_STORED).at("a");
    let mut first = path.tensor("weight", &[2]).unwrap();
    let second = path.tensor("weight", &[2]).unwrap();
    assert_eq!(first.data_ptr(), second.data_ptr(), "both are views of the one map");
    drop(second);
    drop(weights);
    assert_eq!(values(&first), [1.0, 2.0]);
    let _ = first.fill_(5.0); // the map is private
    assert_eq!(values(&first), [5.0, 5.0]);
    assert_eq!(fs::read(dir.path().join("model.safetensors")).unwrap(), all);
}

#[test]
fn unaligned_data_is_read_all_the_same() {
    for pad in 0..8 {
        let mut header =
            json!({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).to_string();
        header.push_str(&" ".repeat(pad));
        let all =
            [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes(&[1.5, -2.0, 3.25])]
                .concat();
        let dir = dir_with(&[("model.safetensors", all)]);
        let weights = Weights::open(dir.path()).unwrap();
        let tensor = weights.root(Placement::AS_STORED).tensor("a", &[3]).unwrap();
        assert_eq!(values(&tensor), [1.5, -2.0, 3.25]);
    }
}

#[test]
fn stored_types_convert() {
    // 1.5 and −2 in each type.
    let bf16 = [0xc0, 0x3f, 0x00, 0xc0];
    let f16 = [0x00, 0x3e, 0x00, 0xc0];
    let f64_bytes: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    for (dtype, data, stored) in [
        ("BF16", bf16.to_vec(), Kind::BFloat16),
        ("F16", f16.to_vec(), Kind::Half),
        ("F32", bytes(&[1.5, -2.0]), Kind::Float),
        ("F64", f64_bytes, Kind::Double),
    ] {
        let dir = single(
            &json!({"a": {"dtype": dtype, "shape": [2, 1], "data_offsets": [0, data.len()]}}),
            &data,
        );
        let weights = Weights::open(dir.path()).unwrap();
        for kind in [None, Some(Kind::Float), Some(Kind::BFloat16)] {
            let tensor =
                weights.root(Placement { device: Device::Cpu, kind }).tensor("a", &[2, 1]).unwrap();
            assert_eq!((tensor.kind(), tensor.size()), (kind.unwrap_or(stored), vec![2, 1]));
            assert_eq!(values(&tensor.view([2])), [1.5, -2.0]);
        }
    }
}

#[test]
fn shards_are_joined_by_their_index() {
    let one = |name: &str, value: f32| {
        file(
            &json!({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}),
            &bytes(&[value]),
        )
    };
    let index = json!({"metadata": {"total_size": 8}, "weight_map": {"x": "s1.safetensors", "y": "s2.safetensors"}});
    let dir = dir_with(&[
        ("s1.safetensors", one("x", 1.0)),
        ("s2.safetensors", one("y", 2.0)),
        ("model.safetensors.index.json", index.to_string().into_bytes()),
    ]);
    let weights = Weights::open(dir.path()).unwrap();
    let root = weights.root(Placement::AS_STORED);
    assert_eq!(values(&root.tensor("x", &[1]).unwrap()), [1.0]);
    assert_eq!(values(&root.tensor("y", &[1]).unwrap()), [2.0]);
    let size = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
    assert_eq!(weights.bytes(), size("s1.safetensors") + size("s2.safetensors"));
}

#[cfg(unix)]
#[test]
fn shards_may_be_links_to_elsewhere_as_in_the_hubs_cache() {
    let blobs = pair();
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(
        blobs.path().join("model.safetensors"),
        dir.path().join("model.safetensors"),
    )
    .unwrap();
    assert!(Weights::open(dir.path()).is_ok());
}

#[test]
fn asking_for_what_is_not_there_names_the_nearest() {
    let dir = pair();
    let weights = Weights::open(dir.path()).unwrap();
    let root = weights.root(Placement::AS_STORED);
    let message = root.at("a").tensor("weights", &[2]).unwrap_err().to_string();
    assert_eq!(message, r#"tensor "a.weights" is missing; the most similar name is "a.weight""#);
    let message = root.tensor("something.entirely.different", &[2]).unwrap_err().to_string();
    assert_eq!(message, r#"tensor "something.entirely.different" is missing"#);
    let message = root.tensor("a.weight", &[1, 2]).unwrap_err().to_string();
    assert_eq!(message, r#"tensor "a.weight" has shape [2], but config.json implies [1, 2]"#);
}

#[test]
fn quantised_weights_are_refused_when_asked_for() {
    let dir = single(&json!({"a": {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}), &[0; 4]);
    let weights = Weights::open(dir.path()).unwrap();
    let message = weights.root(Placement::AS_STORED).tensor("a", &[4]).unwrap_err().to_string();
    assert!(
        message.starts_with(r#"tensor "a" is stored as I8; only BF16, F16, F32 and F64"#),
        "{message}"
    );
}

#[test]
fn directories_without_weights() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        message(dir.path())
            .ends_with("has neither model.safetensors nor model.safetensors.index.json")
    );
    assert!(message(&dir.path().join("no")).ends_with("does not exist"));
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(message(&file).contains("is not a directory"));
}

#[test]
fn two_names_of_one_tensor_are_an_error() {
    let entry = |at: usize| json!({"dtype": "F32", "shape": [1], "data_offsets": [at, at + 4]});
    let header = json!({"language_model.model.norm.weight": entry(0), "model.language_model.norm.weight": entry(4)});
    let found = message(single(&header, &[0; 8]).path());
    assert!(
        found.starts_with("tensors \"")
            && found.ends_with(r#" both mean "language_model.norm.weight""#),
        "{found}"
    );
}

#[test]
fn truncated_and_padded_files_say_so() {
    let dir = pair();
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let found = message(dir.path());
        assert!(found.contains("it is truncated or damaged"), "{length}: {found}");
    }
    fs::write(&path, [whole.as_slice(), b"x"].concat()).unwrap();
    let found = message(dir.path());
    let (has, expects) = (whole.len() + 1, whole.len());
    assert!(
        found.contains(&format!("has {has} bytes but its header describes {expects}")),
        "{found}"
    );
}

#[test]
fn headers_that_lie_are_refused() {
    let f32_2 = |a: usize, b: usize| json!({"dtype": "F32", "shape": [2], "data_offsets": [a, b]});
    let huge = json!({"dtype": "F32", "shape": [1u64 << 62, 1u64 << 62], "data_offsets": [0, 8]});
    for (header, what) in [
        (json!({"a": f32_2(0, 8), "b": f32_2(4, 12)}), "overlap"),
        (json!({"a": f32_2(0, 8), "b": f32_2(12, 20)}), "gap"),
        (json!({"a": f32_2(8, 0)}), "backwards"),
        (json!({"a": f32_2(0, 4)}), "shorter than its shape"),
        (json!({"a": huge}), "product of sizes overflows"),
        (json!({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}}), "negative size"),
        (json!({"a": {"dtype": "Q4", "shape": [2], "data_offsets": [0, 8]}}), "unknown type"),
        (json!({"a": "b"}), "no tensor"),
        (json!([1, 2]), "no object"),
    ] {
        let found = message(single(&header, &[0; 20]).path());
        assert!(
            found.contains("model.safetensors has a broken safetensors header: "),
            "{what}: {found}"
        );
    }
    let beyond =
        json!({"a": {"dtype": "U8", "shape": [u64::MAX / 64], "data_offsets": [0, u64::MAX / 64]}});
    assert!(message(single(&beyond, &[0; 20]).path()).contains("it is truncated or damaged"));
}

#[test]
fn header_lengths_are_not_believed() {
    let claims = |size: u64, rest: &[u8]| {
        let dir = dir_with(&[("model.safetensors", [&size.to_le_bytes(), rest].concat())]);
        message(dir.path())
    };
    for size in [u64::MAX, 1 << 40, 17 << 20] {
        let found = claims(size, b"{}");
        assert!(
            found.contains(&format!("it claims {size} bytes, more than the 16777216")),
            "{found}"
        );
    }
    assert!(claims(1000, b"{}").contains("it is truncated or damaged"));
    assert!(claims(2, &[0xff, 0xfe]).contains("broken safetensors header"), "not UTF-8");
    assert!(claims(0, b"").contains("broken safetensors header"));
    let deep = vec![b'['; 100_000];
    assert!(claims(100_000, &deep).contains("broken safetensors header"), "nesting is bounded");
}

#[test]
fn hostile_indices_are_refused() {
    let shard =
        || file(&json!({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}), &[0; 4]);
    let with = |index: &[u8]| {
        let dir = dir_with(&[
            ("model.safetensors.index.json", index.to_vec()),
            ("s.safetensors", shard()),
        ]);
        message(dir.path())
    };
    for name in [
        "../s.safetensors",
        "/etc/passwd",
        "a/s.safetensors",
        "./s.safetensors",
        "..",
        "",
        "s.bin",
        "a\\s.safetensors",
        "s.safetensors/",
    ] {
        let found = with(json!({"weight_map": {"x": name}}).to_string().as_bytes());
        assert!(
            found.contains(&format!(
                "it places tensor \"x\" in {}, which is not the name of a file",
                json!(name)
            )),
            "{found}"
        );
    }
    let found = with(json!({"weight_map": {"x": 5}}).to_string().as_bytes());
    assert!(found.contains("it places tensor \"x\" in 5"), "{found}");
    let found = with(json!({"weight_map": {"x": "t.safetensors"}}).to_string().as_bytes());
    assert!(
        found.contains("t.safetensors is missing, though model.safetensors.index.json names it"),
        "{found}"
    );
    let found = with(
        json!({"weight_map": {"x": "s.safetensors", "y": "s.safetensors"}}).to_string().as_bytes(),
    );
    assert_eq!(
        found,
        r#"model.safetensors.index.json places tensor "y" in "s.safetensors", which does not have it"#
    );
    assert!(with(br#"{"weight_map": {}}"#).ends_with("its weight_map is empty"));
    assert!(with(b"{}").ends_with("it has no object weight_map"));
    assert!(with(b"[").contains("model.safetensors.index.json is not valid JSON"));
    assert!(with(&[0xff]).contains("is not valid JSON"));
    let dir = dir_with(&[("model.safetensors.index.json", Vec::new())]);
    fs::File::create(dir.path().join("model.safetensors.index.json"))
        .unwrap()
        .set_len(17 << 20)
        .unwrap();
    assert!(matches!(Weights::open(dir.path()), Err(Error::TooLarge { .. })));
}

#[test]
fn long_names_and_endless_shapes_are_refused_in_few_words() {
    let one = |name: &str, shape: Value| {
        let entry = json!({"dtype": "F32", "shape": shape, "data_offsets": [0, 4]});
        message(single(&json!({name: entry}), &[0; 4]).path())
    };
    for name in ["n".repeat(1_000_000), "\u{1b}[2J".repeat(1000)] {
        let found = one(&name, json!([1]));
        assert!(found.contains("a tensor's name has "), "{found}");
        assert!(found.len() < 1500 && !found.contains('\u{1b}'), "{found}");
    }
    let found = one("a", json!(vec![1; 100_000]));
    assert!(found.contains("tensor a has 100000 sides"), "{found}");
    let long = "n".repeat(1000); // below the limit: shown in part where it is named
    let dir =
        single(&json!({&long: {"dtype": "I8", "shape": [4], "data_offsets": [0, 4]}}), &[0; 4]);
    let weights = Weights::open(dir.path()).unwrap();
    let found = weights.root(Placement::AS_STORED).tensor(&long, &[4]).unwrap_err().to_string();
    assert!(found.contains("n… and 800 characters more\" is stored as I8"), "{found}");
    let unknown =
        json!({"a": {"dtype": "Q".repeat(1_000_000), "shape": [1], "data_offsets": [0, 4]}});
    let found = message(single(&unknown, &[0; 4]).path());
    assert!(found.contains("unknown variant") && found.len() < 1500, "{}", found.len());
}

#[test]
fn a_nesting_bomb_is_an_error_in_every_file() {
    for bomb in [b"[".repeat(4_000_000), br#"{"a":"#.repeat(800_000)] {
        let dir =
            dir_with(&[("config.json", bomb.clone()), ("model.safetensors.index.json", bomb)]);
        let found = gemma3_tch::Config::from_dir(dir.path()).unwrap_err().to_string();
        assert!(found.contains("config.json is not valid JSON: recursion limit"), "{found}");
        let found = message(dir.path());
        assert!(found.contains("index.json is not valid JSON: recursion limit"), "{found}");
    }
    // In the header: where a tensor's entry belongs, in its shape, and in what is passed over.
    for (front, back) in
        [(r#"{"a":"#, "}"), (r#"{"a":{"shape":"#, "}}"), (r#"{"__metadata__":"#, "}")]
    {
        let nested = format!("{front}{}{}{back}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        let bytes = [&(nested.len() as u64).to_le_bytes(), nested.as_bytes()].concat();
        let found = message(dir_with(&[("model.safetensors", bytes)]).path());
        assert!(found.contains("broken safetensors header"), "{found}");
    }
}

/// Puts something else than a file in the place of `path`.
#[cfg(unix)]
fn replace_by(what: &str, path: &Path) {
    let _ = fs::remove_file(path);
    let _ = fs::remove_dir(path);
    match what {
        "a folder" => fs::create_dir(path).unwrap(),
        "a device" => std::os::unix::fs::symlink("/dev/zero", path).unwrap(),
        "a socket" => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        _ => {
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success(), "mkfifo");
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_at_once_and_the_mend_told() {
    for name in [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "model.safetensors.index.json",
        "s.safetensors",
    ] {
        for what in ["a folder", "a device", "a socket", "a named pipe"] {
            let index = json!({"weight_map": {"x": "s.safetensors"}}).to_string().into_bytes();
            let dir = dir_with(&[
                ("model.safetensors.index.json", index),
                ("config.json", b"{}".to_vec()),
            ]);
            let path = dir.path().join(name);
            replace_by(what, &path);
            let found = match name {
                "config.json" => gemma3_tch::Config::from_dir(dir.path()).unwrap_err().to_string(),
                "generation_config.json" => {
                    let config = gemma3_tch::Config::from_json(CONFIG).unwrap();
                    let read = gemma3_tch::GenerationConfig::from_dir(dir.path(), &config);
                    read.unwrap_err().to_string()
                }
                _ => message(dir.path()),
            };
            let expected = format!("{} is {what} where a file belongs; remove it", path.display());
            assert!(found.starts_with(&expected), "{name}: {found}");
        }
    }
}

#[cfg(unix)]
const CONFIG: &str = r#"{
    "model_type": "gemma3", "mm_tokens_per_image": 1,
    "text_config": {
        "vocab_size": 10, "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 6, "sliding_window": 16, "sliding_window_pattern": 2
    },
    "vision_config": {
        "hidden_size": 4, "intermediate_size": 5, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 4, "patch_size": 2
    }
}"#;
