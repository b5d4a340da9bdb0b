//! Small runs from beginning to end.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use std::path::Path;

use experiments::evaluate::{Plan, evaluate};
use experiments::lanes::Task;
use experiments::progress::Stepwise;
use experiments::recipe::{Recipe, Variant};
use experiments::train::Run;
use safetensors::SafeTensors;

fn finished(recipe: &Recipe, folder: &Path) -> Run {
    let mut run = Run::open(recipe, folder, false).unwrap();
    run.finish(&mut Vec::new()).unwrap();
    run
}

#[test]
fn a_few_steps_lower_the_loss_of_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let mut recipe = Recipe::tiny(Variant::Sound).with_steps(8);
    recipe.answers.warm_up = 1;
    recipe.dialogue.warm_up = 1;
    recipe.review.warm_up = 1;
    let mut run = Run::open(&recipe, folder.path(), false).unwrap();
    for task in [Task::Answers, Task::Dialogue, Task::Review].map(Some).into_iter().chain([None]) {
        let losses: Vec<f64> =
            (0..5).map(|_| run.step().unwrap().0).map(|tally| tally.loss / tally.terms).collect();
        assert!(losses[4] < 0.9 * losses[0], "{losses:?}");
        if let Some(task) = task {
            run.begin(task);
        }
    }
}

#[test]
fn a_run_that_was_interrupted_ends_the_same() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let recipe = Recipe::tiny(Variant::Shortcut).with_steps(3);
    let whole = finished(&recipe, folders[0].path());
    for _ in 0..2 {
        // Each time one step further, as if the machine had gone off after it.
        let mut run = Run::open(&recipe, folders[1].path(), true).unwrap();
        run.step().unwrap();
        run.save().unwrap();
    }
    let mut again = Run::open(&recipe, folders[1].path(), true).unwrap();
    again.finish(&mut Vec::new()).unwrap();
    assert_eq!(whole.state.parameters, again.state.parameters);
    let weights = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(weights(folders[0].path()), weights(folders[1].path()));
}

#[test]
fn what_comes_out_is_an_ordinary_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    finished(&Recipe::tiny(Variant::Sound).with_steps(2), folder.path());
    let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert!(file.tensor("language_model.model.embed_tokens.weight").is_ok());
    assert!(file.names().iter().all(|name| !name.starts_with("head")));
    let plan = Plan { pictures: 2, size: 128, seed: 1, variant: Variant::Sound };
    let evaluation = evaluate(folder.path(), &plan).unwrap();
    assert_eq!(evaluation.score.clauses["describe"].all, 2 * 7);
    assert_eq!(evaluation.tag.flips.all, 2 * 2);
}
