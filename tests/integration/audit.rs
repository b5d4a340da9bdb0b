//! One case of an audit, against each change made by hand.

use crate::support::keyword;
use medgemma_explainer::{
    Answer, AnswerOptions, AuditCase, AuditOptions, AuditPart, Blank, Change, Choice, Context,
    DtypeSpec, ErrorKind, ExplainOptions, Explainer, LoadOptions, Mask, ModelSource, Picture,
    Question, RgbImage, Shipped, Stated,
};
use model_audit::Use;
use phantom_radiograph::{Finding, FindingKind, Level, Scene, Side, Zone};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const ASKED: &str = "Is there an opacity?";
const SIDE: u32 = 224;

fn scene(kind: FindingKind, seed: u64) -> Scene {
    let zone = Zone { side: Side::Right, level: Level::Middle };
    Scene::healthy(seed).with(Finding { kind, zone, strength: 1.0, shape: 3 })
}

fn picture(scene: &Scene) -> Picture {
    let phantom = scene.render(SIDE);
    let grey = phantom.grey8();
    let pixel = |x, y| [grey.get_pixel(x, y).0[0]; 3].into();
    Picture::from_rgb(RgbImage::from_fn(SIDE, SIDE, pixel)).unwrap()
}

fn explainer() -> Explainer {
    let options = LoadOptions::default().with_dtype(DtypeSpec::Float32);
    Explainer::load(&ModelSource::Shipped(Shipped::Phantom), &options).unwrap()
}

fn part(scene: &Scene) -> AuditPart {
    let phantom = scene.render(SIDE);
    let sides = phantom.masks()[0].tight_box().unwrap().map(f64::from);
    AuditPart { picture: 0, mask: Mask::of_boxes([SIDE; 2], &[sides]).unwrap() }
}

fn question(picture: Picture) -> Question {
    Question::new(vec![picture], ASKED)
}

fn answered(explainer: &Explainer, question: Question) -> Answer {
    let options = AnswerOptions::default().with_max_new_tokens(64);
    explainer.answer(question, &options, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The log-probability of "Yes" at the beginning of the first answer, behind another prompt.
fn of_yes(explainer: &Explainer, question: Question, text: &str) -> f64 {
    let answer = explainer.given(question, text).unwrap();
    let explained = explainer.explain(&answer, &[keyword("yes", 0)], &ExplainOptions::default());
    f64::from(explained.unwrap().targets[0].log_probability())
}

#[test]
fn every_change_is_what_it_says() {
    let explainer = explainer();
    let (own, other) = (scene(FindingKind::Opacity, 5), scene(FindingKind::Nodule, 6));
    let shown = picture(&own);
    let case = AuditCase::new(question(shown.clone()))
        .with_label(Some("opacity".to_owned()))
        .with_part(Some(part(&own)))
        .with_other_label(Ok(vec![picture(&other)]));
    let found = explainer.audit(&case, &AuditOptions::default().with_certificate(None)).unwrap();

    let answer = answered(&explainer, question(shown.clone()));
    assert_eq!(found.answer, answer.text());
    assert_eq!((found.word.text.as_str(), found.word.choice), ("Yes", Choice::YesOrNo));
    assert_eq!(found.word.stated, Stated::Affirmed);
    let near = |change: Change, expected: f64| {
        let changed = found.by(change).unwrap();
        let apart = (changed.log_probability - expected).abs();
        assert!(apart < 1e-4 * (1.0 + expected.abs()), "{change}: {changed:?}, {expected}");
    };
    let blank = Blank::Mean.picture(&shown).unwrap().unwrap();
    for (change, question) in [
        (Change::Blank, question(blank)),
        (Change::OtherLabel, question(picture(&other))),
        (Change::NoPicture, Question::new(Vec::new(), ASKED)),
    ] {
        near(change, of_yes(&explainer, question.clone(), answer.text()));
        let again = answered(&explainer, question);
        let changed = found.by(change).unwrap();
        assert_eq!(changed.answer.as_deref(), Some(again.text().trim()), "{change}");
        let says_yes = again.text().starts_with("Yes");
        assert_eq!(changed.flipped, Some(!says_yes), "{change}: {}", again.text());
    }
    let word = answer.positions().start..answer.positions().start + 1;
    let gains = explainer.gains(&answer, &[word], &[Blank::Knockout, Blank::MeanEmbedding]);
    for (change, gain) in
        [Change::KnockOut, Change::MeanEmbedding].into_iter().zip(&gains.unwrap()[0])
    {
        near(change, f64::from(gain.log_probabilities[0]));
    }
    assert!(found.by(Change::SameLabel).is_none());
    assert!(found.unchanged.iter().any(|it| it.change == Change::SameLabel));

    // What is known of this model: it looks at the opacity, in the pixels and in the cells.
    assert!(found.answer.starts_with("Yes"), "{}", found.answer);
    assert_eq!((found.used(), found.part_in_pixels()), (Some(Use::Yes), Some(1)));
    assert!(0.3 < found.part_in_cells().unwrap(), "{:?}", found.changes);
    assert!(found.shortcut().unwrap() < 0.5, "{:?}", found.changes);
    let map = found.maps[0].own.unwrap();
    assert!((map.pointing - 1.0).abs() < 1e-9 && 5.0 < map.mass_over_chance, "{map:?}");
}

#[test]
fn the_word_is_found_in_the_order_that_is_told() {
    let explainer = explainer();
    let of = |word: Option<&str>, label: Option<&str>, asked: &str| {
        let shown = Question::new(vec![picture(&scene(FindingKind::Opacity, 5))], asked);
        let case = AuditCase::new(shown)
            .with_word(word.map(ToOwned::to_owned))
            .with_label(label.map(ToOwned::to_owned));
        let options = AuditOptions::default().with_certificate(None);
        explainer.audit(&case, &options).unwrap().word
    };
    let described = "Describe the radiograph.";
    assert_eq!(of(Some("right"), Some("opacity"), ASKED).choice, Choice::Word);
    assert_eq!(of(Some("elephant"), Some("opacity"), ASKED).choice, Choice::YesOrNo);
    assert_eq!(of(None, Some("opacity"), described).choice, Choice::Label);
    let by_gain = of(None, None, described);
    assert_eq!((by_gain.choice, by_gain.text.as_str()), (Choice::Gain, "opacity"));
}

/// By default a model computes in the type that it is stored in. Each change moves the word by nats, or not at all, so that a change that was
/// mistaken for another would be far beyond what bfloat16 rounds.
#[test]
fn in_bfloat16_every_change_does_what_it_does_in_float32() {
    let stored =
        Explainer::load(&ModelSource::Shipped(Shipped::Phantom), &LoadOptions::default()).unwrap();
    assert_eq!(stored.inspection().dtype(), "bfloat16");
    let (own, other) = (scene(FindingKind::Opacity, 5), scene(FindingKind::Nodule, 6));
    let case = AuditCase::new(question(picture(&own)))
        .with_part(Some(part(&own)))
        .with_other_label(Ok(vec![picture(&other)]));
    let options = AuditOptions::default().with_certificate(None);
    let [exact, found] = [&explainer(), &stored].map(|it| it.audit(&case, &options).unwrap());
    assert_eq!(found.answer, exact.answer);
    let mut moved = 0;
    for (found, exact) in found.changes.iter().zip(&exact.changes) {
        assert_eq!((found.change, found.flipped), (exact.change, exact.flipped));
        let apart = (found.log_probability - exact.log_probability).abs();
        assert!(apart < 0.15, "{}: {found:?} and {exact:?}", found.change);
        moved += usize::from(exact.log_probability < -1.0);
    }
    assert!(4 <= moved && moved < found.changes.len() - 1, "{:?}", exact.changes);
    assert_eq!(found.part_in_pixels(), exact.part_in_pixels());
}

/// A word that the case sets it against makes another map; where the model says just that word it is explained as if none was named.
#[test]
fn the_word_is_set_against_what_the_case_names() {
    let explainer = explainer();
    let of = |against: Option<&str>| {
        let shown = picture(&scene(FindingKind::Opacity, 5));
        let case = AuditCase::new(question(shown)).with_against(against.map(ToOwned::to_owned));
        let options = AuditOptions::default().with_certificate(None);
        explainer.audit(&case, &options).unwrap()
    };
    let [plain, no, same] = [None, Some("No"), Some("Yes")].map(of);
    assert_eq!(no.word.against.as_deref().map(str::trim), Some("No"));
    assert_eq!((plain.word.against, same.word.against), (None, None));
    assert_eq!(plain.map, same.map);
    assert_ne!(plain.map, no.map);
}

#[test]
fn what_cannot_be_is_told() {
    let explainer = explainer();
    let own = scene(FindingKind::Opacity, 5);
    let case = || AuditCase::new(question(picture(&own)));
    let options = AuditOptions::default().with_certificate(None);
    let kind = |case: &AuditCase| explainer.audit(case, &options).unwrap_err().kind();
    let small = Mask::of_boxes([10, 10], &[[0.0, 0.0, 5.0, 5.0]]).unwrap();
    let wrong = [AuditPart { picture: 0, mask: small }, AuditPart { picture: 1, ..part(&own) }];
    for part in wrong {
        assert_eq!(kind(&case().with_part(Some(part))), ErrorKind::Argument);
    }
    let without = AuditCase::new(Question::new(Vec::new(), ASKED));
    assert_eq!(kind(&without), ErrorKind::Question);
    let context = Context::default().with_cancel(Some(Arc::new(AtomicBool::new(true))));
    let cancelled = explainer.within(&context).audit(&case(), &options).unwrap_err();
    assert_eq!(cancelled.kind(), ErrorKind::Cancelled);
}
