//! Checkpoints as GGUF files: what they hold is what the folder holds, whoever wrote it (`tests/fixtures/gguf/generate.py`).

use std::path::PathBuf;

use crate::support::processor_options;
use integration_tests::Fixture;
use medgemma_explainer::{
    AnswerOptions, Ask, DtypeSpec, ExplainOptions, Explainer, LoadOptions, ModelSource, Objective,
    Picture, PictureOptions, Question, Resolution,
};
use std::ops::ControlFlow;

fn folder() -> PathBuf {
    Fixture::folder().join("gguf")
}

fn load(path: PathBuf, mmproj: Option<PathBuf>) -> Result<Explainer, medgemma_explainer::Error> {
    let fixture = Fixture::open("short-window");
    let options = LoadOptions::default()
        .with_dtype(DtypeSpec::Float32)
        .with_processor(processor_options(&fixture))
        .with_mmproj(mmproj);
    Explainer::load(&ModelSource::Directory(path), &options)
}

fn question() -> Question {
    let fixture = Fixture::open("short-window");
    let open = |path: PathBuf| Picture::open(&path, &PictureOptions::default()).unwrap();
    let pictures = fixture.pictures().into_iter().map(open).collect();
    Question::new(pictures, "Describe the picture.")
}

#[test]
fn a_checkpoint_in_gguf_files_answers_and_explains_as_its_folder() {
    let explain = |explainer: &Explainer| {
        let options = AnswerOptions::default().with_max_new_tokens(6).with_stop(false);
        let mut go_on = |_: &str| ControlFlow::Continue(());
        let answer = explainer.answer(question(), &options, &mut go_on).unwrap();
        let options = ExplainOptions::default()
            .with_objective(Objective::Logit)
            .with_resolution(Resolution::Pixels);
        let explained = explainer.explain(&answer, &[Ask::Answer, Ask::Last], &options).unwrap();
        (answer, explained)
    };
    let folder_of_transformers = Fixture::open("short-window").model();
    let (answer, explained) = explain(&load(folder_of_transformers, None).unwrap());
    // Their folder, and each by its name.
    for (path, mmproj) in
        [(folder(), None), (folder().join("model.gguf"), Some(folder().join("mmproj.gguf")))]
    {
        let explainer = load(path, mmproj).unwrap();
        assert_eq!(explainer.inspection().missing(), [""; 0]);
        assert_eq!(explainer.inspection().unused(), [""; 0]);
        let (same, found) = explain(&explainer);
        assert_eq!(same.prepared(), answer.prepared());
        assert_eq!(same.generated().tokens, answer.generated().tokens);
        for (found, expected) in found.targets.iter().zip(&explained.targets) {
            assert_eq!(found.relevancy(), expected.relevancy());
            assert_eq!(found.finer(0), expected.finer(0));
        }
    }
}

#[test]
fn without_a_vision_tower_questions_have_no_pictures() {
    let explainer = load(folder().join("model.gguf"), None).unwrap();
    assert!(explainer.inspection().vision_tower().is_none());
    assert_eq!(explainer.inspection().architecture(), "Gemma3ForCausalLM");
    let error = explainer.given(question(), "clear").unwrap_err().to_string();
    assert!(error.contains("sees no pictures"), "{error}");
    let answer = explainer.given(Question::new(vec![], "Describe."), "clear lungs").unwrap();
    let options = ExplainOptions::default();
    let explained = explainer.explain(&answer, &[Ask::Answer], &options).unwrap();
    let shares = explained.targets[0].relevancy().shares().unwrap();
    assert!(shares.image().abs() < 1e-6);
}

#[test]
fn files_that_do_not_belong_together_are_told() {
    let message = |path: PathBuf, mmproj| load(path, mmproj).err().unwrap().to_string();
    let (model, mmproj) = (folder().join("model.gguf"), folder().join("mmproj.gguf"));
    let swapped = message(mmproj.clone(), None);
    assert!(swapped.contains("mmproj.gguf") && swapped.contains("\"clip\""), "{swapped}");
    let twice = message(model.clone(), Some(model.clone()));
    assert!(twice.contains("model.gguf") && twice.contains("\"gemma3\""), "{twice}");
    let dense = message(Fixture::open("short-window").model(), Some(mmproj.clone()));
    assert!(dense.contains("holds none"), "{dense}");
    let several = tempfile::tempdir().unwrap();
    for name in ["a.gguf", "b.gguf"] {
        std::fs::copy(&model, several.path().join(name)).unwrap();
    }
    let several = message(several.path().to_owned(), None);
    assert!(several.contains("a.gguf, b.gguf"), "{several}");
    let cut = tempfile::tempdir().unwrap();
    let bytes = std::fs::read(&model).unwrap();
    std::fs::write(cut.path().join("model.gguf"), &bytes[..bytes.len() - 100]).unwrap();
    let cut = message(cut.path().join("model.gguf"), None);
    assert!(cut.contains("model.gguf") && cut.contains("cut short"), "{cut}");
}
