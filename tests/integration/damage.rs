//! Damaged, strange and far too large checkpoints: an error that names what is wrong, before anything is computed.

use crate::faults::assert_says;
use integration_tests::{Checkpoint, Fixture};
use medgemma_explainer::{
    DeviceSpec, Error, Explainer, LoadOptions, ModelSource, ProcessorOptions,
};
use serde_json::json;
use std::fs;
use std::path::Path;

/// One way to damage a checkpoint, and what the message must begin and end with.
struct Damage {
    name: &'static str,
    fixture: &'static str,
    apply: fn(&Checkpoint),
    message: &'static [&'static str],
}

pub(crate) const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
pub(crate) const NORM: &str = "language_model.model.norm.weight";

#[rustfmt::skip]
const DAMAGES: &[Damage] = &[
    Damage { name: "no config", fixture: "two-images",
        apply: |c| c.remove("config.json"),
        message: &["config.json is missing; every checkpoint directory has one"] },
    Damage { name: "a folder for a config", fixture: "two-images",
        apply: |c| { c.remove("config.json"); fs::create_dir(c.file("config.json")).unwrap() },
        message: &["config.json is a folder where a file belongs"] },
    Damage { name: "broken config", fixture: "two-images",
        apply: |c| c.write("config.json", "{\"model_type\": "),
        message: &["config.json is not valid JSON: "] },
    Damage { name: "another architecture", fixture: "two-images",
        apply: |c| c.edit("config.json", |config| {
            config["architectures"] = json!(["LlamaForCausalLM"]);
            config["model_type"] = json!("llama");
        }),
        message: &["config.json describes \"", "lama", "only Gemma3ForConditionalGeneration"] },
    Damage { name: "text-only Gemma3", fixture: "two-images",
        apply: |c| c.edit("config.json", |config| {
            config["architectures"] = json!(["Gemma3ForCausalLM"]);
            config["model_type"] = json!("gemma3_text");
        }),
        message: &["config.json has no num_hidden_layers"] },
    Damage { name: "no weights", fixture: "two-images",
        apply: |c| c.remove(WEIGHTS),
        message: &["has neither model.safetensors nor model.safetensors.index.json"] },
    Damage { name: "missing shard", fixture: "old-names",
        apply: |c| c.remove("model-00002-of-00003.safetensors"),
        message: &["shard ", "model-00002-of-00003.safetensors is missing, though ", "the download may be incomplete"] },
    Damage { name: "shard outside of the folder", fixture: "old-names",
        apply: |c| c.edit(INDEX, |index| {
            let shard = index["weight_map"].as_object_mut().unwrap().values_mut().next().unwrap();
            *shard = json!("../model.safetensors");
        }),
        message: &[INDEX, "\"../model.safetensors\""] },
    Damage { name: "shard by an absolute path", fixture: "old-names",
        apply: |c| c.edit(INDEX, |index| {
            let shard = index["weight_map"].as_object_mut().unwrap().values_mut().next().unwrap();
            *shard = json!("/etc/passwd");
        }),
        message: &[INDEX, "\"/etc/passwd\""] },
    Damage { name: "missing tensor", fixture: "two-images",
        apply: |c| c.edit_header(WEIGHTS, |header| {
            let tensors = header.as_object_mut().unwrap();
            let tensor = tensors.remove(NORM).unwrap();
            tensors.insert("language_model.model.nrm.weight".to_owned(), tensor);
        }),
        message: &["tensor \"language_model.norm.weight\" is missing; the most similar name is ", "nrm"] },
    Damage { name: "tensor of another shape", fixture: "two-images",
        apply: |c| c.edit_header(WEIGHTS, |header| {
            let length = header[NORM]["shape"][0].as_u64().unwrap();
            header[NORM]["shape"] = json!([2, length / 2]);
        }),
        message: &["tensor \"", "norm.weight\" has shape [2, ", "but config.json implies ["] },
    Damage { name: "tensor of another type", fixture: "two-images",
        apply: |c| c.edit_header(WEIGHTS, |header| header[NORM]["dtype"] = json!("I32")),
        message: &["tensor \"", "norm.weight\" is stored as I32; only BF16, F16, F32 and F64 weights"] },
    Damage { name: "truncated weights", fixture: "two-images",
        apply: |c| {
            let bytes = fs::read(c.file(WEIGHTS)).unwrap();
            c.write(WEIGHTS, &bytes[..bytes.len() - 5]);
        },
        message: &["model.safetensors has ", "it is truncated or damaged"] },
    Damage { name: "weights cut inside the header", fixture: "two-images",
        apply: |c| {
            let bytes = fs::read(c.file(WEIGHTS)).unwrap();
            c.write(WEIGHTS, &bytes[..100]);
        },
        message: &["model.safetensors has 100 bytes but its header describes "] },
    Damage { name: "empty weights", fixture: "two-images",
        apply: |c| c.write(WEIGHTS, ""),
        message: &["model.safetensors has 0 bytes but its header describes 8"] },
    Damage { name: "header of a lying length", fixture: "two-images",
        apply: |c| {
            let mut bytes = fs::read(c.file(WEIGHTS)).unwrap();
            bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
            c.write(WEIGHTS, bytes);
        },
        message: &["model.safetensors has a broken safetensors header: it claims 18446744073709551615 bytes"] },
    Damage { name: "tensors that overlap", fixture: "two-images",
        apply: |c| c.edit_header(WEIGHTS, |header| {
            header[NORM]["data_offsets"] = json!([0, header[NORM]["shape"][0].as_u64().unwrap() * 4]);
        }),
        message: &["model.safetensors has a broken safetensors header: "] },
    Damage { name: "shape whose size overflows", fixture: "two-images",
        apply: |c| c.edit_header(WEIGHTS, |header| header[NORM]["shape"] = json!([1u64 << 63, 1u64 << 63])),
        message: &["model.safetensors has a broken safetensors header: "] },
    Damage { name: "header that is no JSON", fixture: "two-images",
        apply: |c| {
            let mut bytes = fs::read(c.file(WEIGHTS)).unwrap();
            bytes[8] = b'x';
            c.write(WEIGHTS, bytes);
        },
        message: &["model.safetensors has a broken safetensors header: "] },
    Damage { name: "no tokenizer", fixture: "two-images",
        apply: |c| c.remove("tokenizer.json"),
        message: &["cannot read ", "tokenizer.json: "] },
    Damage { name: "broken tokenizer", fixture: "two-images",
        apply: |c| c.write("tokenizer.json", "{\"version\": \"1.0\""),
        message: &["tokenizer.json: broken or unsupported tokenizer: "] },
    Damage { name: "tokenizer whose merges name nothing", fixture: "two-images",
        apply: |c| c.edit("tokenizer.json", |tokenizer| {
            tokenizer["model"]["merges"].as_array_mut().unwrap().push(json!(["qq", "zz"]));
        }),
        message: &["tokenizer.json: field `model.merges[", "]` is qq, expected tokens of the vocabulary"] },
    Damage { name: "no template", fixture: "two-images",
        apply: |c| c.remove("chat_template.jinja"),
        message: &["no chat template in "] },
    Damage { name: "broken template", fixture: "two-images",
        apply: |c| c.write("chat_template.jinja", "{% for message in messages %}"),
        message: &["chat template ", "chat_template.jinja: "] },
    Damage { name: "broken preprocessing", fixture: "two-images",
        apply: |c| c.write("preprocessor_config.json", "[]"),
        message: &["preprocessor_config.json"] },
    Damage { name: "broken generation config", fixture: "two-images",
        apply: |c| c.write("generation_config.json", "{"),
        message: &["generation_config.json is not valid JSON"] },
];

pub(crate) fn try_load(dir: &Path) -> Result<Explainer, Error> {
    // This program cannot render templates apart.
    let processor = ProcessorOptions::default().with_trust_template(true);
    let options = LoadOptions::default().with_device(DeviceSpec::Cpu).with_processor(processor);
    Explainer::load(&ModelSource::Directory(dir.to_owned()), &options)
}

fn load_error(dir: &Path) -> String {
    match try_load(dir) {
        Ok(_) => panic!("this should not load"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_damaged_checkpoint_is_an_error_that_names_the_damage() {
    for Damage { name, fixture, apply, message } in DAMAGES {
        let checkpoint = Checkpoint::copy(&Fixture::open(fixture));
        assert!(try_load(checkpoint.path()).is_ok(), "{name}");
        apply(&checkpoint);
        assert_says(name, &load_error(checkpoint.path()), message);
    }
}

#[test]
fn a_model_directory_that_cannot_be_read_is_an_error() {
    let checkpoint = Checkpoint::copy(&Fixture::open("two-images"));
    let file = checkpoint.file("config.json");
    assert_says(
        "a file",
        &load_error(&file),
        &["config.json is a file; give the folder of a checkpoint"],
    );
    let nowhere = checkpoint.file("nowhere");
    assert_says("nothing", &load_error(&nowhere), &["model directory ", "nowhere does not exist"]);
    assert_says("under a file", &load_error(&file.join("x")), &["cannot read ", "config.json/x: "]);
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_are_an_error() {
    let checkpoint = Checkpoint::copy(&Fixture::open("two-images"));
    let circle = checkpoint.file("circle");
    std::os::unix::fs::symlink(&circle, &circle).unwrap();
    assert_says("a directory", &load_error(&circle), &["cannot read ", "circle: "]);
    checkpoint.remove(WEIGHTS);
    std::os::unix::fs::symlink(&circle, checkpoint.file(WEIGHTS)).unwrap();
    assert!(try_load(checkpoint.path()).is_err());
}

#[test]
fn a_model_that_memory_cannot_hold_is_refused_before_it_is_loaded() {
    let huge = Checkpoint::huge();
    let source = ModelSource::Directory(huge.path().to_owned());
    let inspection = source.inspect(&LoadOptions::default()).unwrap();
    assert!(
        inspection.missing().is_empty() && inspection.misshapen().len() == 0,
        "it must be consistent"
    );
    let needed = inspection.load_bytes();
    let needed = format!("the model needs about {needed} of memory and ");
    assert_says("memory", &load_error(huge.path()), &[&needed, "is available"]);
    assert!(4_000_000_000_000 < inspection.bytes_on_disk().0);
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let options = LoadOptions::default().with_device(DeviceSpec::Cuda(4096));
    let source = ModelSource::Directory(Fixture::open("two-images").model());
    let error = Explainer::load(&source, &options).err().unwrap().to_string();
    assert_says("device", &error, &["device cuda:4096 was asked for, but ", "use cpu or auto"]);
}

#[test]
fn without_the_hub_an_id_is_an_error() {
    // Where another package of the same build turns the feature on, the empty cache is the error.
    let source = ModelSource::parse("nobody/no-such-model", None, true);
    let error = Explainer::load(&source, &LoadOptions::default()).err().unwrap().to_string();
    let known =
        ["feature `hub` is off", "offline, and the cache lacks files of nobody/no-such-model"];
    assert!(known.iter().any(|part| error.contains(part)), "{error}");
}
