//! The checkpoints that are in the repository: what their cards promise, on a few phantoms.

use std::path::PathBuf;

use attention_relevancy::Update;
use experiments::companions;
use experiments::evaluate::{Plan, evaluate};
use experiments::localize::benchmark::{self, measure};
use experiments::localize::case::Language;
use experiments::localize::settings::{Goals, Method, Setting};
use experiments::localize::tag;
use experiments::questions::Word;
use experiments::recipe::{Recipe, Variant};

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/explainer/models").join(name)
}

const SEED: u64 = 1;

#[test]
fn the_files_beside_the_weights_are_those_of_the_recipe() {
    for (name, variant) in [
        ("phantom", Variant::Sound),
        ("phantom-shortcut", Variant::Shortcut),
        ("../../../experiments/models/prior", Variant::Prior),
    ] {
        let made = tempfile::tempdir().unwrap();
        companions::write(made.path(), &Recipe::full(variant).sizes).unwrap();
        for file in std::fs::read_dir(made.path()).unwrap() {
            let file = file.unwrap();
            let shipped = std::fs::read(folder(name).join(file.file_name())).unwrap();
            assert_eq!(shipped, std::fs::read(file.path()).unwrap(), "{name}, {file:?}");
        }
    }
}

#[test]
fn the_sound_checkpoint_answers() {
    let plan = Plan { pictures: 6, size: 224, seed: SEED, variant: Variant::Sound };
    let score = evaluate(&folder("phantom"), &plan).unwrap().score;
    assert!(score.total().value() > 0.95, "{}", score.table());
}

#[test]
fn its_finding_words_point_at_their_findings_and_random_maps_do_not() {
    let best = Setting { method: Method::Relevancy(Update::Additive), goals: Goals::Named };
    let settings = [best, Setting { method: Method::Random, goals: Goals::None }];
    let plan = benchmark::Plan::even(12, 0, SEED);
    let found = measure(&folder("phantom"), &plan, &Language::Places, &settings).unwrap();
    let words: Vec<_> =
        found.items.iter().filter(|item| item.group.word == Word::Finding).collect();
    assert!(words.len() >= 5, "{}", words.len());
    let pointing = |setting: usize| {
        let right =
            words.iter().filter(|word| word.measures[setting].unwrap().place.pointing).count();
        right as f64 / words.len() as f64
    };
    let [best, random] = [pointing(0), pointing(1)];
    assert!(best > 0.8 && random < 0.3, "{best} {random}");
}

#[test]
fn the_shortcut_goes_by_the_tag() {
    let settings = [Setting::DEFAULT];
    let [sound, shortcut] = ["phantom", "phantom-shortcut"]
        .map(|name| tag::measure(&folder(name), 6, &Language::Places, &settings).unwrap());
    let mean = |estimate: Option<model_audit::Estimate>| estimate.unwrap().mean;
    assert!(mean(shortcut.flips_without_tag) > 0.8 && mean(sound.flips_without_tag) < 0.2);
    assert!(mean(shortcut.shares[0][0]) > 2.0 * mean(sound.shares[0][0]));
}
