//! The checkpoints of the project answer as their cards say.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::path::{Path, PathBuf};

use experiments::evaluate::{Evaluation, Plan, evaluate};
use experiments::recipe::Variant;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/explainer/models").join(name)
}

fn evaluation(name: &str, variant: Variant) -> Evaluation {
    let plan = Plan { pictures: 6, size: 224, seed: 1, variant };
    evaluate(&model(name), &plan).unwrap()
}

#[test]
fn the_sound_checkpoint_reads_phantoms() {
    let found = evaluation("phantom", Variant::Sound);
    // Six pictures have 102 clauses; the card says more than 98 % on five hundred.
    assert!(0.95 < found.score.total().value(), "{}", found.text());
    assert!(found.tag.flips.value() < 0.1, "{}", found.text());
}

#[test]
fn the_shortcut_reads_the_tag() {
    let found = evaluation("phantom-shortcut", Variant::Shortcut);
    assert!(0.9 < found.tag.follows_tag.value(), "{}", found.text());
    assert!(0.9 < found.tag.flips.value(), "{}", found.text());
}

#[test]
fn a_checkpoint_is_small_and_has_its_card() {
    for name in ["phantom", "phantom-shortcut"] {
        let size = |file: &str| std::fs::metadata(model(name).join(file)).unwrap().len();
        assert!(size("model.safetensors") < 6_000_000);
        assert!(size("README.md") > 1000);
    }
}
