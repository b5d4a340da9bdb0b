//! What pictures add to an answer, against the same question asked without them.

use crate::explainer::{answer, load, published, question};
use crate::support::model;
use attention_capture::{
    Engine as _, Foil, Goal, Keep, Objective, Retained, Rules, States, Streaming, SweepOptions,
    alternatives, forced_scores,
};
use attention_relevancy::{Foils, Score, Target, Update};
use gemma3_tch::{Attend, Fast, Gemma3, MaskRule, Qkv, Sequence, Site, Watch};
use integration_tests::ndarray::{Array1, s};
use integration_tests::{Fixture, Tolerance, assert_close};
use medgemma_explainer::{
    Answer, Ask, Blank, Content, DependsOnPicture, DtypeSpec, Engine, ErrorKind, ExplainOptions,
    Explainer, Explanations, Message, Picture, Prepared, Question, Reliance, RgbImage, Role,
    SpanRule, TargetExplanation, Words,
};
use tch::{Kind, Tensor};

/// A checkpoint with an answer of several words, given, so that it can be given again to another picture.
struct Case {
    fixture: Fixture,
    explainer: Explainer,
    answer: Answer,
}

const TEXT: &str = "No changed pneumonia. yes";

impl Case {
    fn open(name: &str) -> Self {
        let fixture = Fixture::open(name);
        let explainer = load(&fixture, DtypeSpec::Float32);
        let answer = explainer.given(question(&fixture), TEXT).unwrap();
        Self { fixture, explainer, answer }
    }

    fn model(&self) -> Gemma3 {
        model(&self.fixture)
    }

    /// The prompt with the pixels of its pictures.
    fn prepared(&self) -> Prepared {
        let question = self.answer.question();
        self.explainer.processor().prepare(&question.messages, &question.pictures).unwrap()
    }

    /// The whole answer and a word of it as targets, every word beside them.
    fn explained(&self, options: &ExplainOptions) -> Explanations {
        let word = Ask::Keyword { word: "pneumonia".to_owned(), occurrence: 0 };
        let asks = [Ask::Answer, word];
        self.explainer.explain(&self.answer, &asks, options).unwrap()
    }

    fn reliance(&self, blanks: &[Blank]) -> (Explanations, Reliance) {
        let options = published().with_words(Words::All);
        let explained = self.explained(&options);
        let reliance = self.explainer.reliance(&self.answer, &explained, blanks).unwrap();
        (explained, reliance)
    }

    /// The same answer to the same question with other pictures.
    fn given_to(&self, pictures: Vec<Picture>) -> Answer {
        let question = question(&self.fixture).with_pictures(pictures);
        self.explainer.given(question, TEXT).unwrap()
    }

    fn pictures(&self) -> Vec<Picture> {
        question(&self.fixture).pictures
    }
}

/// Every pixel has the mean colour, by arithmetic of its own.
fn mean(picture: &Picture) -> Picture {
    let pixels = picture.rgb().as_raw();
    let colour = [0, 1, 2].map(|channel| {
        let values: Vec<f64> =
            pixels.iter().skip(channel).step_by(3).map(|&v| f64::from(v)).collect();
        (values.iter().sum::<f64>() / values.len() as f64).round() as u8
    });
    let (width, height) = picture.rgb().dimensions();
    Picture::from_rgb(RgbImage::from_pixel(width, height, colour.into())).unwrap()
}

/// The gain is the difference of log-probabilities that the retained engine finds for two questions, token by token.
#[test]
fn the_gain_is_the_difference_to_the_same_answer_without_the_picture() {
    for name in ["short-window", "two-images"] {
        let case = Case::open(name);
        let (explained, reliance) = case.reliance(&[Blank::Mean, Blank::Blur]);
        let retained = published().with_engine(Engine::Retained);
        let log_probabilities = |answer: &Answer| {
            let found = case.explainer.explain(answer, &[Ask::Answer], &retained).unwrap();
            found.targets[0].scores().iter().map(|s| s.log_probability).collect::<Vec<f32>>()
        };
        let with = log_probabilities(&case.answer);
        let blurred = |picture: &Picture| Blank::Blur.picture(picture).unwrap().unwrap();
        let blanks = [
            case.pictures().iter().map(mean).collect(),
            case.pictures().iter().map(blurred).collect(),
        ];
        let mut largest = 0.0_f32;
        for (blank, pictures) in blanks.into_iter().enumerate() {
            let without = log_probabilities(&case.given_to(pictures));
            let found = &reliance.targets[0].blanks[blank];
            assert_eq!(found.token_pmi.len(), with.len());
            for (index, (with, without)) in with.iter().zip(&without).enumerate() {
                let expected = with - without;
                let distance = (found.token_pmi[index] - expected).abs();
                assert!(distance < 1e-4, "{name}, blank {blank}, token {index}: {distance}");
                largest = largest.max(expected.abs());
            }
            let sum: f32 = found.token_pmi.iter().sum();
            assert!((found.pmi() - sum).abs() < 1e-6);
        }
        assert!(0.01 < largest, "{name}: the picture changes nothing, the test proves nothing");
        // A word has what its tokens have in the whole answer.
        let start = explained.targets[0].positions().start;
        for (word, found) in explained.words.iter().zip(&reliance.words) {
            let within = word.positions().start - start..word.positions().end - start;
            assert_eq!(found.blanks[0].token_pmi, reliance.targets[0].blanks[0].token_pmi[within]);
        }
        assert_eq!(reliance.words.len(), explained.words.len());
        assert!(reliance.targets.iter().all(|t| (0.0..=1.0).contains(&t.map_entropy.unwrap())));
    }
}

#[test]
fn a_picture_adds_nothing_to_itself() {
    let case = Case::open("short-window");
    let same = Blank::Another(Box::new(case.pictures().remove(0)));
    let (_, reliance) = case.reliance(std::slice::from_ref(&same));
    let gains = reliance.targets.iter().chain(&reliance.words).flat_map(|t| &t.blanks[0].token_pmi);
    for gain in gains {
        assert!(gain.abs() < 1e-5, "{gain}");
    }
    let blanks = [same];
    for target in &reliance.targets {
        assert_eq!(target.depends_on_picture(&blanks), DependsOnPicture::Undecided);
        assert_eq!(target.beware(&blanks), ["as likely with the other picture"]);
    }
}

/// Features edited one by one, each the mean over the tokens of its picture by arithmetic of its own, and the reference engine.
#[test]
fn the_mean_embedding_is_that_of_every_picture() {
    let case = Case::open("two-images");
    let (_, reliance) = case.reliance(&[Blank::MeanEmbedding]);
    let (model, prepared) = (&case.model(), case.prepared());
    let encoded = model.encode(&prepared).unwrap();
    let even = |features: &Tensor| {
        let [tokens, width] = <[i64; 2]>::try_from(features.size()).unwrap();
        let values = Vec::<f32>::try_from(features.flatten(0, -1)).unwrap();
        let mean = |at: usize| {
            let column = values.iter().skip(at).step_by(width as usize);
            (column.map(|&x| f64::from(x)).sum::<f64>() / tokens as f64) as f32
        };
        let row: Vec<f32> = (0..width as usize).map(mean).collect();
        Tensor::from_slice(&row.repeat(tokens as usize)).view([tokens, width])
    };
    let features: Vec<Tensor> = encoded.features().iter().map(even).collect();
    assert_eq!(features.len(), 2);
    let generated = &case.answer.generated().tokens;
    let sequence = model
        .sequence(prepared.ids.clone(), encoded.images().to_vec(), features)
        .unwrap()
        .followed_by(generated);
    let targets = targets(&sequence, prepared.ids.len());
    let expected = Retained::run(model, &sequence).unwrap().scores(&targets).unwrap();
    let found = &reliance.targets[0].blanks[0];
    assert_eq!(found.log_probabilities.len(), expected.len());
    for (found, expected) in found.log_probabilities.iter().zip(&expected) {
        assert!((found - expected.log_probability).abs() < 1e-4, "{found} {expected:?}");
    }
    assert!(found.token_pmi.iter().any(|pmi| 1e-3 < pmi.abs()), "the mean changes nothing");
}

/// Attention by its definition, with a mask `[S, S]` written out entry by entry.
struct Masked {
    /// Additive: 0 where seen, else −∞; for layers with a window and for others.
    masks: [Tensor; 2],
}

impl Masked {
    fn new(sequence: &Sequence, window: usize) -> Self {
        let n = sequence.ids().len();
        let image = |at: usize| sequence.images().iter().position(|span| span.contains(&at));
        let seen = |query: usize, key: usize, window: usize| {
            let together = image(query).is_some() && image(query) == image(key);
            // Behind a picture stands all that is later than it and not within it.
            let hidden = image(key).is_some() && !together && key < query;
            (key <= query || together) && query < key + window && !hidden
        };
        let mask = |window: usize| {
            let entries = (0..n * n)
                .map(|at| if seen(at / n, at % n, window) { 0.0 } else { f32::NEG_INFINITY });
            Tensor::from_slice(&entries.collect::<Vec<f32>>()).view([n as i64, n as i64])
        };
        Self { masks: [mask(window), mask(n)] }
    }
}

impl Attend for Masked {
    fn attend(&mut self, _: Site, qkv: &Qkv, rule: &MaskRule) -> Tensor {
        let of_heads = |x: &Tensor| x.repeat_interleave_self_int(qkv.group(), 0, None);
        let scores = qkv.q.matmul(&of_heads(&qkv.k).transpose(-2, -1)) * qkv.scale;
        let mask = &self.masks[usize::from(rule.window().is_none())];
        (scores + mask).softmax(-1, Kind::Float).matmul(&of_heads(&qkv.v))
    }
}

impl<Trace> Watch<Trace> for Masked {}

/// Hiding the pictures is masking their keys in every layer, and what is left does not know which pictures there were.
#[test]
fn knocked_out_pictures_are_masked_keys() {
    for name in ["short-window", "two-images"] {
        let case = Case::open(name);
        let (_, reliance) = case.reliance(&[Blank::Knockout]);
        let (model, prepared) = (&case.model(), case.prepared());
        let sequence =
            model.encode(&prepared).unwrap().followed_by(&case.answer.generated().tokens);
        let targets = targets(&sequence, prepared.ids.len());
        let window = model.config().text.sliding_window;
        let hidden = model.forward(&sequence, &mut Masked::new(&sequence, window));
        let found = &reliance.targets[0].blanks[0];
        for (target, found) in targets.iter().zip(&found.log_probabilities) {
            let row = hidden.narrow(0, target.logit_row() as i64, 1);
            let rated = model.text().logits(&row).log_softmax(-1, Kind::Float);
            let expected = rated.double_value(&[0, i64::from(target.token())]);
            assert!((f64::from(*found) - expected).abs() < 1e-4, "{name}: {found} {expected}");
        }
        assert!(found.token_pmi.iter().any(|pmi| 1e-3 < pmi.abs()), "{name}: it changes nothing");

        let others = case.pictures().iter().map(mean).collect();
        let other = case.given_to(others);
        let spans = [case.answer.positions()];
        let gains = |answer: &Answer| {
            case.explainer.gains(answer, &spans, &[Blank::Knockout]).unwrap().remove(0).remove(0)
        };
        let pairs = [gains(&case.answer), gains(&other)].map(|gain| gain.log_probabilities);
        for (one, other) in pairs[0].iter().zip(&pairs[1]) {
            assert!((one - other).abs() < 1e-5, "{name}: {one} {other}");
        }
    }
}

/// The tokens of an answer, from its first position on.
fn targets(sequence: &Sequence, first: usize) -> Vec<Target> {
    let ids = sequence.ids();
    (first..ids.len()).map(|at| Target::new(at, ids[at]).unwrap()).collect()
}

/// Words that nobody explained are rated like explained ones.
#[test]
fn gains_need_no_explanation() {
    let case = Case::open("two-images");
    let (explained, reliance) = case.reliance(&Blank::ALL);
    let spans: Vec<_> = explained.words.iter().map(TargetExplanation::positions).collect();
    let gains = case.explainer.gains(&case.answer, &spans, &Blank::ALL).unwrap();
    assert_eq!(gains.len(), reliance.words.len());
    for (gains, word) in gains.iter().zip(&reliance.words) {
        assert_eq!(gains.len(), Blank::ALL.len());
        for (found, expected) in gains.iter().zip(&word.blanks) {
            let pairs = found.log_probabilities.iter().zip(&expected.log_probabilities);
            for (found, expected) in pairs {
                assert!((found - expected).abs() < 1e-5, "{found} {expected}");
            }
            assert!((found.pmi() - expected.pmi()).abs() < 1e-4);
        }
    }
    let outside = [case.answer.tokens().len()..case.answer.tokens().len() + 1];
    assert!(case.explainer.gains(&case.answer, &outside, &[Blank::Mean]).is_err());
}

/// What was recorded while the answer was generated serves as well.
#[test]
fn a_generated_answer_is_compared_too() {
    let fixture = Fixture::open("two-images");
    let explainer = load(&fixture, DtypeSpec::Float32);
    let answer = answer(&fixture, &explainer);
    let explained = explainer.explain(&answer, &[Ask::Answer], &published()).unwrap();
    let gain = |pictures: Vec<Picture>| {
        let other = Blank::Another(Box::new(pictures.into_iter().next().unwrap()));
        explainer
            .reliance(&answer, &explained, &[other])
            .unwrap()
            .targets
            .remove(0)
            .blanks
            .remove(0)
    };
    // Two pictures are replaced by the first: only the second one's part is gained.
    let found = gain(question(&fixture).pictures);
    assert!(found.token_pmi.iter().any(|gain| 1e-4 < gain.abs()), "{found:?}");
    assert!(found.log_probabilities.iter().all(|p| p.is_finite() && *p <= 0.0));
}

#[test]
fn a_span_by_reliance_weighs_its_tokens_by_their_gain() {
    let case = Case::open("short-window");
    let options = published().with_span(SpanRule::Reliance);
    let explained = case.explained(&options);
    let (_, reliance) = case.reliance(&[Blank::Mean]);
    let target = &explained.targets[0];
    let positive: Vec<f32> =
        reliance.targets[0].blanks[0].token_pmi.iter().map(|pmi| pmi.max(0.0)).collect();
    let sum: f32 = positive.iter().sum();
    assert!(0.0 < sum, "no token gains: the test proves nothing");
    let weights = target.token_weights().unwrap();
    for (found, part) in weights.iter().zip(&positive) {
        assert!((found - part / sum).abs() < 1e-4, "{weights:?} {positive:?}");
    }
    let asks: Vec<Ask> = target.positions().map(Ask::Position).collect();
    let tokens = case.explainer.explain(&case.answer, &asks, &published()).unwrap().targets;
    let mut expected = Array1::<f64>::zeros(target.relevancy().relevancy().len());
    for (token, weight) in tokens.iter().zip(weights) {
        expected += &token.relevancy().relevancy().mapv(|r| f64::from(r) * f64::from(*weight));
    }
    assert_close("weighted", &target.relevancy().relevancy(), &expected, Tolerance::Rounding);
    assert_eq!(target.rule(), SpanRule::Reliance);
    // With nothing to see at all no token gains, all count alike, and a note says so.
    let blank = case.given_to(case.pictures().iter().map(mean).collect());
    let rows = |span| {
        let options = published().with_span(span);
        case.explainer.explain(&blank, &[Ask::Answer], &options).unwrap()
    };
    let (even, mean) = (rows(SpanRule::Reliance), rows(SpanRule::Mean));
    if even.targets[0].token_weights().is_none() {
        assert_eq!(
            even.targets[0].relevancy().relevancy(),
            mean.targets[0].relevancy().relevancy()
        );
        assert!(
            even.notes.iter().any(|note| note.contains("weighted equally")),
            "{:?}",
            even.notes
        );
    } else {
        panic!("rounding is no gain: {:?}", even.targets[0].token_weights());
    }
}

/// The control is the explanation of the same answer given to the mean picture, by both engines.
#[test]
fn the_control_is_the_explanation_on_the_mean_picture() {
    let case = Case::open("two-images");
    let blank = case.given_to(case.pictures().iter().map(mean).collect());
    for engine in [Engine::Streaming, Engine::Retained] {
        for span in [SpanRule::Mean, SpanRule::Sum] {
            let options = published().with_engine(engine).with_span(span);
            let explained = case.explained(&options);
            let control = case.explainer.blank_control(&case.answer, &explained).unwrap();
            let expected = case.explainer.explain(&blank, &[Ask::Answer], &options).unwrap();
            let expected = &expected.targets[0];
            let found = &control.targets[0];
            let row = expected.relevancy().relevancy().mapv(f64::from);
            assert_close("control", &found.relevancy.view(), &row, Tolerance::Rounding);
            let sum: f32 = explained.targets[0].relevancy().image_values().sum();
            assert!((found.image_sum - sum).abs() < 1e-5);
            assert!((found.ratio().unwrap() - sum / found.image_sum_blank).abs() < 1e-5);
            let difference = found.difference(&explained.targets[0]);
            assert!(difference.iter().any(|&d| d < 0.0) && difference.iter().any(|&d| 0.0 < d));
        }
    }
}

/// The control of a contrast is that with the token that was the runner-up on the picture.
#[test]
fn foils_are_those_of_the_picture() {
    let case = Case::open("short-window");
    let blank = case.given_to(case.pictures().iter().map(mean).collect());
    for position in case.answer.positions() {
        let ask = [Ask::Position(position)];
        let options = ExplainOptions::default().with_objective(Objective::Contrast(Foil::RunnerUp));
        let explained = case.explainer.explain(&case.answer, &ask, &options).unwrap();
        let foil = Foil::Token(explained.targets[0].scores()[0].runner_up);
        let control = case.explainer.blank_control(&case.answer, &explained).unwrap();
        let named = options.with_objective(Objective::Contrast(foil));
        let expected = case.explainer.explain(&blank, &ask, &named).unwrap();
        let row = expected.targets[0].relevancy().relevancy().mapv(f64::from);
        assert_close("foil", &control.targets[0].relevancy.view(), &row, Tolerance::Rounding);
    }
}

/// The alternatives are the likeliest other tokens by the logits of the run and those where the keys of the pictures are masked, together,
/// in explanation and control.
#[test]
fn alternatives_are_likely_with_and_without_the_keys_of_the_pictures() {
    for name in ["short-window", "two-images"] {
        let case = Case::open(name);
        let options = ExplainOptions::default();
        assert_eq!(options.objective, Objective::Contrast(Foil::Alternatives));
        let asks = [Ask::Answer];
        let explained = case.explainer.explain(&case.answer, &asks, &options).unwrap();
        let foils = explained.targets[0].foils().unwrap();
        let (model, prepared) = (&case.model(), case.prepared());
        let sequence =
            model.encode(&prepared).unwrap().followed_by(&case.answer.generated().tokens);
        let window = model.config().text.sliding_window;
        let hidden = model.forward(&sequence, &mut Masked::new(&sequence, window));
        let seen = model.forward(&sequence, &mut Fast);
        let targets = targets(&sequence, prepared.ids.len());
        assert_eq!(foils.len(), targets.len());
        for (target, foil) in targets.iter().zip(foils) {
            let row =
                |run: &Tensor| model.text().logits(&run.narrow(0, target.logit_row() as i64, 1));
            let logits = row(&hidden) + row(&seen);
            let _ = logits.get(0).get(i64::from(target.token())).fill_(f64::NEG_INFINITY);
            let (best, ids) = logits.get(0).topk(8, -1, true, true);
            let weights = best.softmax(-1, Kind::Double);
            for (at, (id, weight)) in foil.iter().enumerate() {
                let at = [at as i64];
                assert_eq!(i64::from(id), ids.int64_value(&at), "{name}");
                assert!((f64::from(weight) - weights.double_value(&at)).abs() < 1e-6, "{name}");
            }
            assert_eq!(foil.iter().count(), 8);
        }
        let scores = explained.targets[0].scores();
        let other = |(foils, score): (&Foils, &Score)| foils.most() != score.runner_up;
        assert!(foils.iter().zip(scores).any(other), "{name}");

        // On the mean picture the tokens that were found with the pictures hidden stay what they are.
        let ask = [Ask::Position(targets[0].position())];
        let one = case.explainer.explain(&case.answer, &ask, &options).unwrap();
        let mean = case.explainer.blank_control(&case.answer, &one).unwrap();
        let goal = Goal::token(targets[0]).with_foils(foils[..1].to_vec());
        let rules = Rules::new(Objective::Contrast(Foil::Alternatives), Update::Additive);
        let pictures: Vec<Picture> = case.pictures().iter().map(self::mean).collect();
        let messages = &case.answer.question().messages;
        let blank = case.explainer.processor().prepare(messages, &pictures).unwrap();
        let blank = model.encode(&blank).unwrap().followed_by(&case.answer.generated().tokens);
        let engine = Retained::run(model, &blank).unwrap();
        let expected = engine.explain_one(&goal, &rules).unwrap().relevancy;
        let row = expected.mapv(f64::from);
        assert_close("control", &mean.targets[0].relevancy.view(), &row, Tolerance::Rounding);
    }
}

/// Without pictures a token counts by its probability twice; whether the run is at hand or made changes nothing.
#[test]
fn alternatives_of_a_text_are_its_likeliest_other_tokens() {
    let fixture = Fixture::open("short-window");
    let model = model(&fixture);
    let ids = crate::support::answered(&fixture, &model).ids()[..20].to_vec();
    let sequence = model.sequence(ids, Vec::new(), Vec::new()).unwrap();
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let target = |position: usize| Target::new(position, sequence.ids()[position]).unwrap();
    let targets = [target(7), target(19)];
    let found = alternatives(&model, &sequence, &targets, Some(&states)).unwrap();
    assert_eq!(found, alternatives(&model, &sequence, &targets, None).unwrap());
    let run = model.forward(&sequence, &mut Fast);
    for (target, found) in targets.iter().zip(&found) {
        let logits = model.text().logits(&run.narrow(0, target.logit_row() as i64, 1)).get(0);
        let logit = |token: u32| logits.double_value(&[i64::from(token)]);
        let tokens: Vec<(u32, f32)> = found.iter().collect();
        assert!(tokens.iter().all(|(token, _)| *token != target.token()));
        let [(first, weight), (second, other)] = [tokens[0], tokens[1]];
        let ratio = (2.0 * (logit(second) - logit(first))).exp();
        assert!((f64::from(other / weight) - ratio).abs() < 1e-4, "{other} {weight} {ratio}");
    }
    assert!(alternatives(&model, &sequence, &[], None).unwrap().is_empty());
    assert!(alternatives(&model, &sequence, &[Target::new(25, 3).unwrap()], None).is_err());
}

/// A goal that names its foils is the contrast with them, in both engines.
#[test]
fn goals_may_name_their_foils() {
    let fixture = Fixture::open("short-window");
    let model = model(&fixture);
    let sequence = crate::support::answered(&fixture, &model);
    let last = sequence.ids().len() - 1;
    let goal = || Goal::token(Target::new(last, sequence.ids()[last]).unwrap());
    let states = States::of(&model, &sequence, Keep::Inputs).unwrap();
    let streaming = Streaming::new(&model, sequence.ids(), &states, SweepOptions::default());
    let retained = Retained::run(&model, &sequence).unwrap();
    let foil = sequence.ids()[0];
    let rows = |goal: &Goal, foil| {
        let objective = Objective::Contrast(foil);
        [
            streaming
                .explain_one(goal, &Rules::new(objective, Update::Additive))
                .unwrap()
                .relevancy,
            retained.explain_one(goal, &Rules::new(objective, Update::Additive)).unwrap().relevancy,
        ]
    };
    let named = rows(&goal().with_foils(vec![foil.into()]), Foil::RunnerUp);
    let expected = rows(&goal(), Foil::Token(foil));
    let own = rows(&goal(), Foil::RunnerUp);
    for ((named, expected), own) in named.iter().zip(&expected).zip(&own) {
        assert_eq!(named, expected);
        assert_ne!(named.slice(s![..last - 1]), own.slice(s![..last - 1]));
    }
    // Several, each with its weight: a token twice is the token, and both engines say the same of two.
    let other = sequence.ids()[1];
    let weighted =
        |tokens: [(u32, f32); 2]| goal().with_foils(vec![Foils::weighted(tokens).unwrap()]);
    let twice = rows(&weighted([(foil, 1.0), (foil, 3.0)]), Foil::Alternatives);
    let two = rows(&weighted([(foil, 1.0), (other, 3.0)]), Foil::Alternatives);
    for (twice, expected) in twice.iter().zip(&expected) {
        assert_close("twice", &twice.view(), &expected.mapv(f64::from), Tolerance::Rounding);
    }
    assert_close("two", &two[0].view(), &two[1].mapv(f64::from), Tolerance::Rounding);
    let apart = |a: &Array1<f32>, b: &Array1<f32>| (a - b).mapv(f32::abs).sum() / b.sum();
    assert!(apart(&two[0], &expected[0]) > 1e-2, "{}", apart(&two[0], &expected[0]));
    let none = goal().with_foils(vec![u32::MAX.into()]);
    let explain = |engine: &dyn attention_capture::Engine| {
        engine
            .explain_one(&none, &Rules::new(Objective::default(), Update::Additive))
            .unwrap_err()
            .to_string()
    };
    for error in [explain(&streaming), explain(&retained)] {
        assert!(error.contains("is not one of the"), "{error}");
    }
}

/// One pass that keeps nothing rates tokens as the reference engine does.
#[test]
fn forced_scores_are_those_of_the_engines() {
    let fixture = Fixture::open("two-images");
    let model = model(&fixture);
    let sequence = crate::support::answered(&fixture, &model);
    let target = |position: usize| Target::new(position, sequence.ids()[position]).unwrap();
    let targets: Vec<Target> = fixture.numbers("targets").into_iter().map(target).collect();
    let found = forced_scores(&model, &sequence, &targets).unwrap();
    let expected = Retained::run(&model, &sequence).unwrap().scores(&targets).unwrap();
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.runner_up, expected.runner_up);
        assert!((found.logit - expected.logit).abs() < 1e-4);
        assert!((found.log_probability - expected.log_probability).abs() < 1e-4);
    }
    let stranger = Target::new(sequence.ids().len(), 5).unwrap();
    assert!(forced_scores(&model, &sequence, &[stranger]).is_err());
}

#[test]
fn without_pictures_there_is_nothing_to_compare() {
    let case = Case::open("short-window");
    let messages =
        vec![Message { role: Role::User, content: vec![Content::Text("lung".to_owned())] }];
    let question = Question::from_messages(Vec::new(), messages);
    let answer = case.explainer.given(question, TEXT).unwrap();
    let explained = case.explainer.explain(&answer, &[Ask::Answer], &published()).unwrap();
    let error = case.explainer.reliance(&answer, &explained, &[Blank::Mean]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Question, "{error}");
    let error = case.explainer.blank_control(&answer, &explained).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Question, "{error}");
}
