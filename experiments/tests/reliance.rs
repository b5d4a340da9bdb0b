//! The study of the verdict on reliance, on one phantom.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::path::{Path, PathBuf};

use experiments::reliance::measure::{Plan, Rated, Subject, measure};
use experiments::reliance::spans::Class;
use experiments::reliance::text_only::blinded;
use medgemma_explainer::{Blank, DependsOnPicture};

const SEED: u64 = 1;

fn sound() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/explainer/models/phantom")
}

fn rated(subject: Subject, folder: &Path, file: &Path) -> Vec<Rated> {
    let plan = Plan { pictures: 0..1, seed: SEED, file: file.to_owned() };
    measure(subject, folder, &plan).unwrap()
}

/// A blind checkpoint gains nothing by any pixels or embeddings, and the sound one does, on the same words.
#[test]
fn a_blind_checkpoint_gains_nothing() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("progress.jsonl");
    let blind = blinded(&sound(), SEED).unwrap();
    let [blind, seeing] = [(Subject::Blind, blind.path().to_owned()), (Subject::Sound, sound())]
        .map(|(subject, folder)| rated(subject, &folder, &file).remove(0).items);
    assert_eq!(blind.len(), seeing.len());
    let fixed = blind.iter().filter(|item| item.class == Class::Fixed).count();
    assert_eq!(fixed, 6 * 3 + 1, "side, level and `zone` six times, and `Device`");
    for (blind, seeing) in blind.iter().zip(&seeing) {
        assert_eq!((&blind.text, blind.class), (&seeing.text, seeing.class));
        assert_eq!(blind.depends_on_picture(), DependsOnPicture::No, "{blind:?}");
        let content = [Blank::Mean, Blank::Blur, Blank::MeanEmbedding];
        assert!(content.iter().all(|blank| blind.gain(blank) == 0.0), "{blind:?}");
    }
    let clear = seeing.iter().filter(|item| item.text == "clear");
    assert!(clear.clone().count() > 0);
    for item in clear.filter(|item| item.said) {
        assert_eq!(item.depends_on_picture(), DependsOnPicture::Yes, "{item:?}");
    }
}

/// What is in the file is not rated again: a picture that was rated stays as it is there.
#[test]
fn a_run_goes_on_from_its_file() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("progress.jsonl");
    let line = r#"{"subject":"sound","picture":0,"items":[]}"#;
    std::fs::write(&file, format!("{line}\n{{\"subject\":\"sound\",\"pic")).unwrap();
    let found = rated(Subject::Sound, Path::new("nowhere"), &file);
    assert_eq!(found.len(), 1);
    assert!(found[0].items.is_empty());
}
