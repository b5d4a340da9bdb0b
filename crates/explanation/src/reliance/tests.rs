//! Flags and the verdict, as tables.

use super::{BlankKind as Blank, *};

fn found(pmi: &[f32]) -> TargetReliance {
    let gain = |&pmi: &f32| Gain { log_probabilities: vec![-1.0], token_pmi: vec![pmi] };
    TargetReliance { blanks: pmi.iter().map(gain).collect(), map_entropy: None, trace: None }
}

#[test]
fn a_flag_is_about_the_blanks_that_raise_it() {
    let blanks = [Blank::Mean, Blank::Blur];
    let words = |pmi: &[f32]| found(pmi).beware(&blanks);
    assert_eq!(words(&[1.0, 1.0]), [""; 0]);
    assert_eq!(words(&[-1.0, -2.0]), ["the picture argues against it"]);
    assert_eq!(words(&[0.0, 0.0]), ["as likely with an even picture or a blurred picture"]);
    let mixed = [
        "the picture argues against it (compared with a blurred picture)",
        "as likely with an even picture",
    ];
    assert_eq!(words(&[0.0, -1.0]), mixed);
    let named = |pmi: &[f32]| {
        let flags = found(pmi).flags(&blanks);
        flags.into_iter().map(|f| (f.flag.name(), f.blanks)).collect::<Vec<_>>()
    };
    assert_eq!(named(&[NATS_OF_A_CHANGE, 0.0]), [("as-likely", vec![1])]);
    assert_eq!(named(&[-NATS_OF_A_CHANGE, 2.0]), [("against", vec![0])]);
}

#[test]
fn only_the_verdict_says_that_nothing_depends_on_the_picture() {
    let all = [Blank::Mean, Blank::Blur, Blank::MeanEmbedding, Blank::Knockout];
    let verdict = "does not depend on the picture";
    assert_eq!(found(&[0.0; 4]).beware(&all), [verdict, "the text alone gives it"]);
    assert_eq!(found(&[0.0, 0.0, 0.0, 5.0]).beware(&all), [verdict]);
    let one_tells = found(&[0.0, 0.0, 5.0, 0.0]).beware(&all);
    let flag = "as likely with an even picture, a blurred picture or the picture hidden";
    assert_eq!(one_tells, [flag]);
}

#[test]
fn blanks_must_agree_before_the_verdict_is_no() {
    use DependsOnPicture::{No, Undecided, Yes};
    let (mean, blur, embedding) = (Blank::Mean, Blank::Blur, Blank::MeanEmbedding);
    let (hidden, other) = (Blank::Knockout, Blank::Another);
    let below = NATS_OF_A_CHANGE - 1e-4;
    let table: [(&[(&Blank, f32)], DependsOnPicture); 14] = [
        (&[], Undecided),
        (&[(&mean, 0.0)], Undecided),
        (&[(&hidden, 0.0)], Undecided),
        (&[(&hidden, 9.0)], Undecided),
        (&[(&mean, 0.0), (&blur, 0.0)], Undecided),
        (&[(&mean, 0.0), (&blur, 0.0), (&other, 0.0)], Undecided),
        (&[(&mean, 0.0), (&blur, 0.0), (&hidden, 0.0)], Undecided),
        (&[(&mean, 0.0), (&blur, 0.0), (&embedding, 0.0)], No),
        (&[(&embedding, -below), (&blur, below), (&mean, 0.0), (&hidden, 9.0)], No),
        (&[(&mean, 0.0), (&blur, 0.0), (&embedding, NATS_OF_A_CHANGE)], Yes),
        (&[(&mean, 0.0), (&blur, 0.0), (&embedding, -NATS_OF_A_CHANGE)], Yes),
        (&[(&mean, 0.0), (&blur, 0.0), (&embedding, 0.0), (&other, 9.4)], Yes),
        (&[(&mean, 3.0)], Yes),
        (&[(&mean, 0.0), (&blur, f32::NAN), (&embedding, 0.0)], Yes),
    ];
    for (gains, expected) in table {
        assert_eq!(DependsOnPicture::of(gains.iter().copied()), expected, "{gains:?}");
    }
}
