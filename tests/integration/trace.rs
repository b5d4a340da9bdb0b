//! Ways from the picture to the answer through a thinking trace, closed one by one.

use crate::explainer::{published, question, thinking};
use crate::support::{keyword, model};
use gemma3_tch::{Attend, DecoderTrace, MaskRule, Qkv, Site, Watch};
use integration_tests::Fixture;
use medgemma_explainer::{
    AnswerOptions, Ask, Blank, DtypeSpec, Explainer, LoadOptions, ModelSource, Presentation,
};
use serde_json::Value;
use std::ops::{ControlFlow, Range};
use tch::{Kind, Tensor};

/// Attention by its definition, with a mask that is written out pair by pair and some pairs taken out of it.
struct Plain {
    /// Keys, and the queries that do not see them.
    barred: Vec<(Range<usize>, Range<usize>)>,
}

impl Attend for Plain {
    fn attend(&mut self, _: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        let tokens = qkv.tokens();
        let is_seen = |query: usize, key: usize| {
            let barred =
                self.barred.iter().any(|(keys, by)| by.contains(&query) && keys.contains(&key));
            mask.visible(query, key) && !barred
        };
        let seen: Vec<f32> = (0..tokens * tokens)
            .map(|at| if is_seen(at / tokens, at % tokens) { 0.0 } else { f32::NEG_INFINITY })
            .collect();
        let seen = Tensor::from_slice(&seen).view([tokens as i64, tokens as i64]);
        let [k, v] = [&qkv.k, &qkv.v].map(|x| x.repeat_interleave_self_int(qkv.group(), 0, None));
        let scores = qkv.q.matmul(&k.transpose(1, 2)) * qkv.scale + seen;
        scores.softmax(-1, Kind::Float).matmul(&v)
    }
}

impl Watch<DecoderTrace> for Plain {}

#[test]
fn what_is_lost_is_what_whole_runs_with_their_masks_written_out_lose() {
    let fixture = Fixture::open("old-names");
    let checkpoint = thinking(&fixture);
    let options = LoadOptions::default().with_dtype(DtypeSpec::Float32);
    let source = ModelSource::Directory(checkpoint.path().to_owned());
    let explainer = Explainer::load(&source, &options).unwrap();
    let count = fixture.number("seq_len") - fixture.number("input_len");
    let asked = AnswerOptions::default().with_max_new_tokens(count).with_stop(false);
    let keep_on = &mut |_: &str| ControlFlow::Continue(());
    let answer = explainer.answer(question(&fixture), &asked, keep_on).unwrap();
    assert_eq!(answer.trace(), "<unused94>ifi<unused95>");

    let (first, proper) = (fixture.number("input_len"), answer.positions().start);
    let inside = Ask::Position(first + 1);
    let asks = [keyword("lung", 0), Ask::Answer, inside];
    let mut explained = explainer.explain(&answer, &asks, &published()).unwrap();
    let reliance = explainer.reliance(&answer, &explained, &[Blank::Knockout]).unwrap();
    let found: Vec<_> = reliance.targets.iter().map(|target| target.trace).collect();
    assert!(found[2].is_none(), "a token of the trace");

    let model = model(&fixture);
    let prepared =
        explainer.processor().prepare(&answer.question().messages, &answer.question().pictures);
    let prompt = model.encode(&prepared.unwrap()).unwrap();
    let ids: Vec<u32> = answer.tokens()[first..].iter().map(|token| token.id).collect();
    let sequence = prompt.followed_by(&ids);
    let images = sequence.images().to_vec();
    let end = sequence.ids().len();
    let _no_grad = tch::no_grad_guard();
    let run = |barred: Vec<(Range<usize>, Range<usize>)>| {
        let states = model.forward(&sequence, &mut Plain { barred });
        let logits = model.text().logits(&states).to_kind(Kind::Float);
        logits.log_softmax(-1, Kind::Float)
    };
    let of_images = |queries: &dyn Fn(&Range<usize>) -> Range<usize>| {
        images.iter().map(|keys| (keys.clone(), queries(keys))).collect::<Vec<_>>()
    };
    let ways = [
        of_images(&|keys| keys.end..end),
        of_images(&|_| first..proper - 1),
        of_images(&|_| proper - 1..end),
        vec![(first..proper - 1, proper - 1..end)],
    ];
    let whole = run(Vec::new());
    for (target, found) in explained.targets.iter().zip(&found).take(2) {
        let found = found.unwrap();
        let score = |table: &Tensor| -> f64 {
            let tokens = target.positions().map(|position| {
                table.double_value(&[position as i64 - 1, i64::from(sequence.ids()[position])])
            });
            tokens.sum()
        };
        let losses = [found.picture, found.picture_in_trace, found.picture_in_answer, found.trace];
        for (way, (barred, loss)) in ways.iter().zip(losses).enumerate() {
            let expected = score(&whole) - score(&run(barred.clone()));
            assert!((loss - expected).abs() < 2e-4, "way {way}: {loss} and {expected}");
            // A way that closes nothing would pass unnoticed.
            assert!(1e-3 < expected.abs(), "way {way}: {expected}");
        }
        let shares = [found.relevancy_in_trace, found.relevancy_in_pictures].map(Option::unwrap);
        assert!(shares.iter().all(|share| 0.0 < *share) && shares.iter().sum::<f32>() < 1.0);
    }
    let knockout = reliance.targets[0].blanks[0].pmi();
    assert!((f64::from(knockout) - found[0].unwrap().picture).abs() < 2e-4);

    explained.reliance = Some(reliance);
    let record = explainer.record(&answer, &explained, &Presentation::default()).unwrap();
    let record: Value = serde_json::from_str(&record.to_json()).unwrap();
    let written = &record["targets"][0]["reliance"]["trace"];
    let loss = written["picture_in_trace"].as_f64().unwrap();
    assert!((loss - found[0].unwrap().picture_in_trace).abs() < 1e-9, "{written}");
    assert_eq!(record["targets"][2]["reliance"]["trace"], Value::Null);
}
