//! Maps that know nothing, certified on a network.

use std::path::Path;

use gemma3_processor::{Picture, PictureOptions};
use rand::RngExt;

use super::*;
use crate::{
    Ask, DeviceSpec, DtypeSpec, ExplainOptions, Explainer, LoadOptions, ModelSource, Question,
};

/// How often p is at most as large as it is: for a map that knows nothing its own share of the time, but for the steps that it comes in.
///
/// 200 random maps, each with controls of its own. With a fixture of random weights a cell's effect is what it is, and p must be
/// uniform all the same.
#[test]
fn p_of_random_maps_is_uniform() {
    const MAPS: usize = 200;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/short-window");
    let options =
        LoadOptions::default().with_dtype(DtypeSpec::Float32).with_device(DeviceSpec::Cpu);
    let explainer = Explainer::load(&ModelSource::Directory(dir.join("model")), &options).unwrap();
    let picture = Picture::open(&dir.join("image-0.png"), &PictureOptions::default()).unwrap();
    let question = Question::new(vec![picture], "Is there pneumonia?");
    let answer = explainer.given(question, "opacity").unwrap();
    let explained = explainer.explain(&answer, &[Ask::Answer], &ExplainOptions::default()).unwrap();
    let context = crate::Context::default();
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
