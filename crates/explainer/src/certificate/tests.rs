//! Operators against PyTorch, and maps that know nothing, on a network of random weights.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use attention_relevancy::ndarray::{Array1, Array2, Array3};
use gemma3_processor::{Picture, PictureOptions, ProcessorOptions, Resize};
use ndarray_npy::NpzReader;
use rand::RngExt;

use super::*;
use crate::filled::{Filler, Seen};
use crate::{
    AnswerOptions, Ask, Context, DeviceSpec, DtypeSpec, ExplainOptions, Explainer, LoadOptions,
    ModelSource, Question,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/short-window")
}

fn explainer() -> Explainer {
    let options = LoadOptions::default()
        .with_dtype(DtypeSpec::Float32)
        .with_device(DeviceSpec::Cpu)
        .with_processor(ProcessorOptions::default().with_resize(Resize::Pillow)); // as the reference was made
    Explainer::load(&ModelSource::Directory(folder().join("model")), &options).unwrap()
}

fn question(text: &str) -> Question {
    let picture = folder().join("image-0.png");
    Question::new(vec![Picture::open(&picture, &PictureOptions::default()).unwrap()], text)
}

/// Log-probabilities of the answer's tokens without some cells, by each operator, are those of transformers with masks, embeddings and
/// pixels of its own (`tests/fixtures/operators.py`). Noise aside, so are the pixels.
#[test]
fn operators_are_those_of_the_reference() {
    let expected: serde_json::Value =
        serde_json::from_reader(File::open(folder().join("expected.json")).unwrap()).unwrap();
    let mut stored = NpzReader::new(File::open(folder().join("operators.npz")).unwrap()).unwrap();
    let explainer = explainer();
    let options =
        AnswerOptions::default().with_max_new_tokens(10).with_sampling(None).with_stop(false);
    let question = question(expected["prompt"].as_str().unwrap());
    let answer = explainer.answer(question, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    let explained = explainer.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    let context = Context::default();
    let request = explainer.within(&context);
    let cells = Cells::of(&answer, 1);
    let gone: Array1<i64> = stored.by_name("cells").unwrap();
    let gone: Vec<usize> = gone.iter().map(|&cell| cell as usize).collect();
    let near = |found: &[f64], expected: &Array1<f64>| {
        assert_eq!(found.len(), expected.len());
        let apart = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
        apart.fold(0.0, f64::max)
    };
    for operator in Operator::ALL {
        let how = (operator, &cells);
        let mut runs = Runs::new(&request, &answer, how, &explained.targets, 0).unwrap();
        runs.still();
        let found: Array2<f64> = runs.by_token(&[Vec::new(), gone.clone()]).unwrap();
        let whole: Array1<f64> = stored.by_name("whole").unwrap();
        let without: Array1<f64> = stored.by_name(&operator.name().replace('-', "_")).unwrap();
        let [whole, without] =
            [near(&found.row(0).to_vec(), &whole), near(&found.row(1).to_vec(), &without)];
        println!("{operator}: {whole:.1e} and {without:.1e} nats");
        assert!(whole < 1e-5 && without < 1e-5, "{operator}: {whole:e} and {without:e}");
    }
    let pixels = explainer.processor.pixels(&answer.question.pictures[0]).unwrap().remove(0);
    for (filler, name) in [(Filler::Blur, "pixels_blur"), (Filler::Road { seed: 0 }, "pixels_road")]
    {
        let expected: Array3<f32> = stored.by_name(name).unwrap();
        let mut seen = Seen::new(pixels.clone(), (0..64, [8, 8]), filler);
        seen.still();
        let found = seen.without(&gone);
        let apart = found.values.iter().zip(&expected).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        println!("{name}: {apart:.1e}");
        assert!(apart < 1e-5, "{name}: {apart:e}");
    }
}

/// How often p is at most as large as it is: for a map that knows nothing its own share of the time, but for the steps that it comes in.
///
/// 200 random maps, each with controls of its own. With a fixture of random weights a cell's effect is what it is, and p must be
/// uniform all the same.
#[test]
fn p_of_random_maps_is_uniform() {
    const MAPS: usize = 200;
    // Products are tiny: several threads would wait for each other, without end where the machine is busy.
    crate::set_threads(1).unwrap();
    let explainer = explainer();
    let question = question("Is there pneumonia?");
    let answer = explainer.given(question, "opacity").unwrap();
    let explained = explainer.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    let context = Context::default();
    let request = explainer.within(&context);
    let cells = Cells::of(&answer, 1);
    let plain = CertificateOptions::default().with_fractions(vec![0.25]);
    let how = (Operator::MeanEmbedding, &cells);
    let mut runs = Runs::new(&request, &answer, how, &explained.targets, 0).unwrap();
    let [whole, bare] = runs.worth().unwrap()[0];
    assert!(0.1 < whole - bare, "the picture adds nothing: {whole} and {bare}");
    let mut found = Vec::new();
    for seed in 0..MAPS as u64 {
        let mut random = random(1_000 + seed, Draw::Ties, 0);
        let map = (0..cells.count()).map(|_| random.random::<f32>()).collect();
        let maps = [Maps::of(Some(map), [].into_iter(), &mut random)];
        let options = plain.clone().with_seed(seed);
        let plan = Plan::new(&maps, &[0], &cells, &options);
        let table = runs.scores(plan.sets()).unwrap();
        let mut certificate = OperatorCertificate::new(whole, bare);
        let scores =
            Scores { column: table.column(0), fractions: &options.fractions, worth: [whole, bare] };
        let of = &plan.targets()[0];
        scores.fill(&mut certificate, (&plan, of), (&explained, &explained.targets)).unwrap();
        found.push(certificate.p.unwrap());
    }
    // p takes the values 1/20 … 20/20. Kolmogorov and Smirnov: the largest gap is above 1.63/√200 in one series of a hundred.
    for step in 1..=20 {
        let p = f64::from(step) / 20.0;
        let share = found.iter().filter(|&&it| it < p + 1e-9).count() as f64 / MAPS as f64;
        assert!((share - p).abs() < 1.63 / (MAPS as f64).sqrt(), "p ≤ {p} in {share} of the maps");
    }
}
