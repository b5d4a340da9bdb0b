//! The diagnosis of a checkpoint: sound ones pass, spoilt ones do not.

use crate::explainer::{answer, load, question};
use integration_tests::{Checkpoint, Fixture};
use medgemma_explainer::{
    Check, Context, DeviceSpec, Diagnosis, DtypeSpec, Explainer, LoadOptions, ModelSource, Outcome,
};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

fn check<'a>(diagnosis: &'a Diagnosis, name: &str) -> &'a Check {
    let found = diagnosis.checks.iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("no check {name}: {diagnosis:?}"))
}

fn assert_all_ok(what: &str, diagnosis: &Diagnosis) {
    for check in &diagnosis.checks {
        assert_eq!(check.outcome, Outcome::Ok, "{what}: {check:?}");
    }
    assert_eq!(diagnosis.checks.len(), 12);
    assert!(diagnosis.is_sound());
}

#[test]
fn reference_checkpoints_are_sound() {
    for fixture in Fixture::all() {
        for dtype in [DtypeSpec::Float32, DtypeSpec::BFloat16] {
            let explainer = load(&fixture, dtype);
            let diagnosis = explainer.diagnose(&answer(&fixture, &explainer)).unwrap();
            assert_all_ok(&format!("{}, {dtype}", fixture.name()), &diagnosis);
        }
    }
}

/// What was given was not generated: nothing can be compared, and that is said.
#[test]
fn a_check_that_cannot_be_made_says_why() {
    let fixture = Fixture::open("short-window");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = explainer.given(question(&fixture), "No changed pneumonia.").unwrap();
    let diagnosis = explainer.diagnose(&answer).unwrap();
    let generation = check(&diagnosis, "generation");
    assert_eq!(generation.outcome, Outcome::Skipped);
    assert!(generation.detail.contains("was given"), "{generation:?}");
    assert_eq!(check(&diagnosis, "engines: log-probability").outcome, Outcome::Ok);
    assert!(diagnosis.is_sound());
    assert!(diagnosis.to_json().contains("\"outcome\": \"skipped\""));
}

/// NaN in a norm of the first layer: whatever rests on it fails, and nothing panics.
#[test]
fn a_weight_that_is_not_finite_fails() {
    let checkpoint = Checkpoint::copy(&Fixture::open("short-window"));
    checkpoint.spoil_weight("model.safetensors", "layers.0.input_layernorm.weight");
    let fixture = Fixture::open("short-window");
    let options = LoadOptions::default().with_device(DeviceSpec::Cpu);
    let source = ModelSource::Directory(checkpoint.path().to_owned());
    let explainer = Explainer::load(&source, &options).unwrap();
    let answer = explainer.given(question(&fixture), "No changed pneumonia.").unwrap();
    let diagnosis = explainer.diagnose(&answer).unwrap();
    let weights = check(&diagnosis, "weights");
    assert_eq!(weights.outcome, Outcome::Failed, "{weights:?}");
    assert!(weights.detail.contains("layers.0.input_layernorm.weight first"), "{weights:?}");
    for rest in ["attention rows", "engines: logit", "engines: contrast"] {
        assert_eq!(check(&diagnosis, rest).outcome, Outcome::Failed, "{diagnosis:?}");
    }
    assert!(!diagnosis.is_sound() && 3 <= diagnosis.failed());
    for sound in ["one <bos>", "image spans"] {
        assert_eq!(check(&diagnosis, sound).outcome, Outcome::Ok);
    }
}

#[test]
fn a_diagnosis_can_be_cancelled() {
    let fixture = Fixture::open("short-window");
    let cancel = Arc::new(AtomicBool::new(false));
    let options = LoadOptions::default()
        .with_device(DeviceSpec::Cpu)
        .with_context(Context::default().with_cancel(Some(Arc::clone(&cancel))));
    let explainer = Explainer::load(&ModelSource::Directory(fixture.model()), &options).unwrap();
    let answer = explainer.given(question(&fixture), "No.").unwrap();
    cancel.store(true, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(explainer.diagnose(&answer).unwrap_err().to_string(), "cancelled");
}
