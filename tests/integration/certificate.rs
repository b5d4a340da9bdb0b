//! Certificates against runs of their own, with what each operator does to the pictures written out.

use crate::explainer::{load, published, question};
use crate::support::{keyword, model};
use attention_capture::forced_scores;
use attention_relevancy::faithfulness::{Curve, gain};
use integration_tests::Fixture;
use medgemma_explainer::{
    Answer, Ask, Certificate, CertificateOptions, Compared, Context, ControlKind, DtypeSpec,
    ErrorKind, ExplainOptions, Explainer, Explanations, Occlusion, Operator, OperatorCertificate,
    Words,
};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const TEXT: &str = "No changed pneumonia. yes";

struct Case {
    fixture: Fixture,
    explainer: Explainer,
    answer: Answer,
}

impl Case {
    fn open(name: &str) -> Self {
        let fixture = Fixture::open(name);
        let explainer = load(&fixture, DtypeSpec::Float32);
        let answer = explainer.given(question(&fixture), TEXT).unwrap();
        Self { fixture, explainer, answer }
    }

    fn explained(&self, asks: &[Ask], options: &ExplainOptions) -> Explanations {
        self.explainer.explain(&self.answer, asks, options).unwrap()
    }

    fn certify(&self, explained: &Explanations, options: &CertificateOptions) -> Certificate {
        self.explainer.certify(&self.answer, explained, options).unwrap()
    }
}

fn few(operators: &[Operator]) -> CertificateOptions {
    CertificateOptions::default().with_operators(operators.to_vec()).with_fractions(vec![0.1, 0.5])
}

/// The curves that scores of whole runs give, each run over all tokens with nothing kept, from the order that the certificate tells.
#[test]
fn curves_are_those_of_whole_runs_without_the_cells() {
    let mut defined = 0;
    for name in ["short-window", "two-images"] {
        let case = Case::open(name);
        let model = model(&case.fixture);
        let asks = [Ask::Answer, keyword("pneumonia", 0)];
        let explained = case.explained(&asks, &published());
        let options = few(&[Operator::MeanEmbedding, Operator::Blur]);
        let found = case.certify(&explained, &options);
        let question = case.answer.question();
        let prepared =
            case.explainer.processor().prepare(&question.messages, &question.pictures).unwrap();
        let prompt = model.encode(&prepared).unwrap();
        let ids: Vec<u32> = case.answer.tokens().iter().map(|token| token.id).collect();
        let sequence = prompt.followed_by(&ids[prompt.ids().len()..]);
        for (target, certificate) in explained.targets.iter().zip(&found.targets) {
            let tokens = target.relevancy().targets();
            let score = |gone: &[usize]| -> f64 {
                let features = sequence.features().iter().zip(sequence.images());
                let features = features.map(|(features, span)| {
                    let mean = features.mean_dim([0_i64].as_slice(), false, None);
                    let changed = features.copy();
                    for at in gone.iter().filter(|at| span.contains(at)) {
                        changed.get((at - span.start) as i64).copy_(&mean);
                    }
                    changed
                });
                let changed = sequence.with_features(features.collect()).unwrap();
                let scores = forced_scores(&model, &changed, tokens).unwrap();
                scores.iter().map(|score| f64::from(score.log_probability)).sum()
            };
            let order = &certificate.order;
            let all: Vec<usize> = sequence.images().iter().cloned().flatten().collect();
            let found = certificate.get(Operator::MeanEmbedding).unwrap();
            assert!((found.whole - score(&[])).abs() < 1e-4);
            assert!((found.bare - score(&all)).abs() < 1e-4);
            if found.srg.is_none() {
                assert!(found.worth() < 0.1, "{name}: {found:?}");
                continue;
            }
            defined += 1;
            let count = |share: f64| (share * order.len() as f64).round() as usize;
            let most = options.fractions.iter().map(|&share| score(&order[..count(share)]));
            let least =
                options.fractions.iter().map(|&share| score(&order[order.len() - count(share)..]));
            let curve = |scores: Vec<f64>| {
                Curve::new(&options.fractions, &scores, found.whole, found.bare).unwrap()
            };
            let (most, least) = (curve(most.collect()), curve(least.collect()));
            let near = |a: f64, b: f64| (a - b).abs() < 2e-3;
            for (points, left) in [(&most, &found.most_first), (&least, &found.least_first)] {
                assert_eq!(points.points().len(), left.len());
                assert!(
                    points.points().iter().zip(left).all(|(point, &left)| near(point[1], left))
                );
            }
            assert!(near(found.srg.unwrap(), gain(&most, &least)));
        }
    }
    assert!(0 < defined, "no target depends on its picture, the test proves nothing");
}

/// By all operators: what is told fits together, and stands as the controls say.
#[test]
fn a_certificate_is_consistent_and_the_same_again() {
    let case = Case::open("short-window");
    let methods = vec![Compared::Occlusion(Occlusion::Knockout)];
    let options = published().with_methods(methods).with_words(Words::All);
    let explained = case.explained(&[keyword("pneumonia", 0), Ask::Answer], &options);
    let asked = few(&Operator::ALL).with_stability(true).with_randomisation(true);
    let found = case.certify(&explained, &asked);
    assert_eq!((found.targets.len(), found.words.len()), (2, 0));
    let cells = case.answer.prepared().images[0].span.clone();
    let mut defined = 0;
    for target in &found.targets {
        let mut order = target.order.clone();
        order.sort_unstable();
        assert_eq!(order, cells.clone().collect::<Vec<_>>());
        for (operator, found) in target.operators() {
            defined += usize::from(check(operator, found));
        }
        let stability = &target.stability;
        assert_eq!(stability.len(), 4);
        assert!(stability.iter().all(|change| change.rank_correlation <= 1.0));
        let brighter = &stability[2];
        assert!(0.5 < brighter.rank_correlation, "{brighter:?}");
        // Two layers: the last one, and both. What is left of the map is less than what hardly changing the picture leaves.
        let steps: Vec<&str> =
            target.randomisation.iter().map(|change| change.what.as_str()).collect();
        assert_eq!(steps.last(), Some(&"all layers randomised"), "{steps:?}");
        let forgotten = target.randomisation.last().unwrap();
        assert!(forgotten.rank_correlation < brighter.rank_correlation, "{forgotten:?}");
    }
    assert!(0 < defined, "no target depends on its picture, the test proves nothing");
    let again = case.certify(&explained, &asked);
    assert_eq!(again.targets, found.targets);
    let operator = Operator::MeanEmbedding;
    let other = case.certify(&explained, &few(&[operator]).with_seed(1));
    let of = |found: &Certificate| {
        found.targets.iter().map(|it| it.get(operator).cloned()).collect::<Vec<_>>()
    };
    assert_ne!(of(&other), of(&found));
}

/// Blocks of cells go as one: an order of whole blocks, and whole and bare runs that do not depend on how cells are grouped.
#[test]
fn blocks_go_as_one() {
    let case = Case::open("short-window");
    let explained = case.explained(&[keyword("pneumonia", 0)], &published());
    let operators = [Operator::KnockOut, Operator::MeanEmbedding];
    let cells = case.certify(&explained, &few(&operators));
    let blocks = case.certify(&explained, &few(&operators).with_block(2));
    let image = &case.answer.prepared().images[0];
    let [rows, columns] = image.grid;
    assert!(rows % 2 == 0 && columns % 2 == 0, "the test groups whole blocks");
    let order = &blocks.targets[0].order;
    assert_eq!(order.len(), rows * columns);
    let relevancy = explained.targets[0].relevancy().relevancy();
    let mut means = Vec::new();
    for block in order.chunks(4) {
        let block_of = |at: &usize| {
            let cell = at - image.span.start;
            (cell / columns / 2, cell % columns / 2)
        };
        assert!(block.iter().all(|at| block_of(at) == block_of(&block[0])), "{block:?}");
        means.push(block.iter().map(|&at| relevancy[at]).sum::<f32>());
    }
    assert!(means.windows(2).all(|pair| pair[1] <= pair[0]), "{means:?}");
    for operator in operators {
        let [one, many] = [&cells, &blocks].map(|it| it.targets[0].get(operator).unwrap());
        assert!((one.whole - many.whole).abs() < 1e-6 && (one.bare - many.bare).abs() < 1e-6);
    }
}

/// Whether it has curves, all of which was checked.
fn check(operator: Operator, found: &OperatorCertificate) -> bool {
    let Some(srg) = found.srg else {
        assert!(found.undefined.is_some() && found.most_first.is_empty(), "{operator}: {found:?}");
        return false;
    };
    assert_eq!(found.fractions, [0.0, 0.1, 0.5, 1.0]);
    for curve in [&found.most_first, &found.least_first, &found.uniform] {
        assert_eq!((curve[0], curve[3]), (1.0, 0.0));
    }
    let kinds = |kind| found.controls.iter().filter(|control| control.kind == kind).count();
    assert_eq!(kinds(ControlKind::Uniform), 9);
    assert_eq!(kinds(ControlKind::Blob), 1);
    assert!(9 <= kinds(ControlKind::Moved));
    let as_good = found.controls.iter().filter(|control| srg <= control.srg).count();
    let p = (1 + as_good) as f64 / (1 + found.controls.len()) as f64;
    assert!((found.p.unwrap() - p).abs() < 1e-12);
    assert_eq!(found.methods.len(), 1);
    assert!(found.methods[0].srg.is_some());
    assert!(found.other_words.len() <= 1);
    true
}

#[test]
fn what_cannot_be_certified_is_said() {
    let case = Case::open("short-window");
    let explained = case.explained(&[keyword("pneumonia", 0)], &published());
    let refused = |options: &CertificateOptions| {
        case.explainer.certify(&case.answer, &explained, options).unwrap_err()
    };
    let plain = CertificateOptions::default();
    for options in [
        plain.clone().with_controls(18),
        plain.clone().with_block(0),
        plain.clone().with_block(9),
        plain.clone().with_controls(1000),
        plain.clone().with_operators(Vec::new()),
        plain.clone().with_fractions(vec![0.5, 0.1]),
        plain.clone().with_fractions(vec![0.0, 0.1]),
        plain.clone().with_fractions(vec![f64::NAN]),
        plain.clone().with_fractions(Vec::new()),
    ] {
        assert_eq!(refused(&options).kind(), ErrorKind::Argument, "{options:?}");
    }
    let cancelled = Context::default().with_cancel(Some(Arc::new(AtomicBool::new(true))));
    let error = case.explainer.within(&cancelled).certify(&case.answer, &explained, &plain);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Cancelled);
    let little = Context::default().with_memory_budget(Some(1));
    let error = case.explainer.within(&little).certify(&case.answer, &explained, &plain);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Budget);
}
