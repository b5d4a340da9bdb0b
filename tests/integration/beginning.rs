//! The beginning of a prompt, up to its last picture, kept for further questions: the same numbers as without, and fewer tokens to run.

use crate::explainer::{load, options, published, question};
use crate::support::{model, pictures, prepare};
use attention_capture::{
    Engine as _, Goal, Keep, Prefix, Recorder, Rules, States, Streaming, SweepOptions, key_bytes,
};
use attention_relevancy::Target;
use gemma3_tch::{
    Attend, Cached, DecoderTrace, Error as ModelError, Gemma3, GenerationOptions, MaskRule, Qkv,
    Sequence, Site, Tower, Watch,
};
use integration_tests::{Fixture, difference};
use medgemma_explainer::{
    Answer, AnswerOptions, Ask, Context, DtypeSpec, ExplainOptions, Explainer, Picture,
    PictureCache, Question, RgbImage, TargetExplanation,
};
use ndarray::Array1;
use std::ops::ControlFlow;
use tch::Tensor;

/// Both compute in float32, in another order.
const TOLERANCE: f64 = 1e-5;
const FIXTURES: [&str; 4] = ["two-images", "short-window", "old-names", "layout"];

/// Counts the tokens that every layer sees.
struct Counting<A> {
    inner: A,
    tokens: Vec<usize>,
}

impl<A> Counting<A> {
    fn new(inner: A, layers: usize) -> Self {
        Self { inner, tokens: vec![0; layers] }
    }
}

impl<A: Attend> Attend for Counting<A> {
    fn attend(&mut self, site: Site, qkv: &Qkv, mask: &MaskRule) -> Tensor {
        self.tokens[site.layer] += qkv.tokens();
        self.inner.attend(site, qkv, mask)
    }

    fn seen(&self) -> usize {
        self.inner.seen()
    }

    fn check(&self, tower: Tower) -> Result<(), ModelError> {
        self.inner.check(tower)
    }
}

impl<A: Watch<DecoderTrace>> Watch<DecoderTrace> for Counting<A> {
    fn layer_done(&mut self, site: Site, trace: DecoderTrace) {
        self.inner.layer_done(site, trace);
    }
}

const MADE: usize = 6;

fn generate(model: &Gemma3, prompt: &Sequence, attend: &mut dyn Watch<DecoderTrace>) -> Vec<u32> {
    let options = GenerationOptions { max_new_tokens: MADE, sampling: None, stop_ids: vec![] };
    let go_on = &mut |_| ControlFlow::Continue(());
    model.generate(prompt, &options, attend, go_on).unwrap().tokens
}

/// Relevancy of the last token and its log-probability, from states of a run over prompt and answer.
fn told(model: &Gemma3, sequence: &Sequence, states: &States) -> Told {
    let streaming = Streaming::new(model, sequence.ids(), states, SweepOptions::default());
    let last = sequence.ids().len() - 1;
    let target = Target::new(last, sequence.ids()[last]).unwrap();
    let mut row = streaming.explain_one(&Goal::token(target), &Rules::default()).unwrap().relevancy;
    row[last - 1] = 0.0;
    Told { row, log_probability: streaming.scores(&[target]).unwrap()[0].log_probability }
}

/// What goes on from a prefix runs what stands behind it and no more, makes the same tokens, and is recorded as a whole run is.
#[test]
fn only_what_stands_behind_the_pictures_is_run_again() {
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let model = model(&fixture);
        let layers = model.text().layers().len();
        let prompt = model.encode(&prepare(&fixture)).unwrap();
        let (end, all) = (prompt.images_end(), prompt.ids().len());
        let expected = generate(&model, &prompt, &mut Cached::default());
        for keep in [Keep::Inputs, Keep::Everything] {
            let mut first = Counting::new(Recorder::generating(&model, keep), layers);
            model.prefill(&prompt, end, &mut first).unwrap();
            assert_eq!(first.tokens, vec![end; layers], "{name}");
            let prefix: Prefix = first.inner.prefix().unwrap();
            assert_eq!((prefix.tokens(), prefix.bytes()), (end, keep.prefix_bytes(&model, end)));
            assert_eq!(generate(&model, &prompt, &mut first), expected, "{name}, {keep:?}");
            // The last token is not fed to the model.
            assert_eq!(first.tokens, vec![all + MADE - 1; layers]);

            let sequence = prompt.followed_by(&expected);
            let states = States::recorded(first.inner, &sequence).unwrap();
            let in_one_piece = States::of(&model, &sequence, keep).unwrap();
            let expected_told = told(&model, &sequence, &in_one_piece);
            for _ in 0..2 {
                let recorder = Recorder::continuing(&model, &prefix).unwrap();
                let mut second = Counting::new(recorder, layers);
                assert_eq!(generate(&model, &prompt, &mut second), expected, "{name}, {keep:?}");
                assert_eq!(second.tokens, vec![all - end + MADE - 1; layers], "{name}");
                let again = States::recorded(second.inner, &sequence).unwrap();
                assert_eq!(again.size(), states.size());
                for states in [&again, &states] {
                    let distance = told(&model, &sequence, states).distance(&expected_told);
                    assert!(distance <= TOLERANCE, "{name}, {keep:?}: differs by {distance:.2e}");
                }
            }
            assert_eq!(prefix.bytes(), keep.prefix_bytes(&model, end), "{name}: it stays");
        }
        let mut cached = Cached::default();
        model.prefill(&prompt, end, &mut cached).unwrap();
        assert_eq!(cached.branch().unwrap().bytes(), key_bytes(&model, end));
        assert!(model.prefill(&prompt, end, &mut cached).is_err(), "there is nothing left to run");
        let inside = prompt.images()[0].start + 1;
        let cut = model.prefill(&prompt, inside, &mut Cached::default()).unwrap_err();
        assert!(cut.to_string().contains("cuts a picture"), "{cut}");
    }
}

/// An explainer with what is asked of it, and its cache.
struct Case {
    explainer: Explainer,
    options: AnswerOptions,
    explain: ExplainOptions,
    context: Context,
}

impl Case {
    fn new(fixture: &Fixture, bytes: u64) -> Self {
        Self::of(fixture, DtypeSpec::Float32, bytes)
    }

    fn of(fixture: &Fixture, dtype: DtypeSpec, bytes: u64) -> Self {
        let explainer = load(fixture, dtype);
        let context = Context::default().with_pictures(Some(explainer.picture_cache(bytes)));
        Self { explainer, options: options(fixture), explain: published(), context }
    }

    fn cache(&self) -> &PictureCache {
        self.context.pictures.as_ref().unwrap()
    }

    fn answer(&self, context: &Context, question: &Question) -> Answer {
        let go_on = &mut |_: &str| ControlFlow::Continue(());
        self.explainer.within(context).answer(question.clone(), &self.options, go_on).unwrap()
    }

    /// What is said of the first and the last token of the answer.
    fn told(&self, context: &Context, answer: &Answer) -> Vec<Told> {
        let positions = answer.positions();
        let asks = [Ask::Position(positions.start), Ask::Position(positions.end - 1)];
        let found = self.explainer.within(context).explain(answer, &asks, &self.explain).unwrap();
        let told = |target: &TargetExplanation| {
            let mut row = target.relevancy().relevancy().to_owned();
            row[target.positions().start - 1] = 0.0; // the token's own row begins with 1 there
            Told { row, log_probability: target.log_probability() }
        };
        found.targets.iter().map(told).collect()
    }

    /// An answer with the cache is the one without, and so is what is said about it, bit for bit.
    fn check(&self, what: &str, question: &Question) -> Answer {
        let without = self.context.clone().with_pictures(None);
        let alone = self.answer(&without, question);
        let found = self.answer(&self.context, question);
        assert_eq!(found.generated().tokens, alone.generated().tokens, "{what}");
        let expected = self.told(&without, &alone);
        assert_eq!(self.told(&self.context, &found), expected, "{what}");
        found
    }
}

#[derive(Debug, PartialEq)]
struct Told {
    row: Array1<f32>,
    log_probability: f32,
}

impl Told {
    fn distance(&self, expected: &Self) -> f64 {
        let rows = difference(&self.row, &expected.row.mapv(f64::from));
        rows.max(f64::from(self.log_probability - expected.log_probability).abs())
    }
}

/// The fixture's pictures with other colours.
fn other_pictures(fixture: &Fixture) -> Vec<Picture> {
    let changed = |picture: &Picture| {
        let mut rgb: RgbImage = picture.rgb().clone();
        rgb.enumerate_pixels_mut().for_each(|(x, _, pixel)| pixel.0[(x % 3) as usize] ^= 0x7f);
        Picture::from_rgb(rgb).unwrap()
    };
    pictures(fixture).iter().map(changed).collect()
}

const ROOM: u64 = 1 << 30;

/// The first question, another one, the first again; then other pictures under the first question.
#[test]
fn a_second_question_is_answered_and_explained_as_without_the_cache() {
    for name in FIXTURES {
        let fixture = Fixture::open(name);
        let case = Case::new(&fixture, ROOM);
        let first = question(&fixture);
        let other = |question: &Question, text: &str| {
            let asked = Question::new(question.pictures.clone(), text);
            match question.system() {
                Some(system) => asked.with_system(system),
                None => asked,
            }
        };
        let second = other(&first, "changed? Is there a nodule, or not?");
        let kept = case.check(&format!("{name}, first"), &first);
        let before = case.told(&case.context, &kept);
        let size = kept.kept_bytes();
        assert_eq!(case.cache().beginnings(), (0, 1), "{name}");
        let bytes = case.cache().bytes();
        case.check(&format!("{name}, second"), &second);
        case.check(&format!("{name}, first again"), &first);
        assert_eq!(case.cache().beginnings(), (2, 1), "{name}");
        assert_eq!(case.cache().bytes(), bytes, "{name}: one beginning");

        // A system prompt stands before the pictures: another beginning.
        let longer = Question::new(first.pictures.clone(), "changed?").with_system("pneumonia");
        case.check(&format!("{name}, another beginning"), &longer);
        assert_eq!(case.cache().beginnings(), (2, 2), "{name}");

        // What was made of other pictures would be told by the numbers.
        let mut turned = first.clone();
        turned.pictures = other_pictures(&fixture);
        let found = case.check(&format!("{name}, other pictures"), &turned);
        assert_eq!(case.cache().beginnings(), (2, 3), "{name}");
        let plain = Context::default();
        let of_first = case.told(&plain, &case.answer(&plain, &first));
        let far = |(a, b): (&Told, &Told)| a.distance(b) > 100.0 * TOLERANCE;
        assert!(case.told(&plain, &found).iter().zip(&of_first).any(far), "{name}");

        // The first answer is what it was, bit for bit.
        assert_eq!(case.told(&case.context, &kept), before, "{name}");
        assert_eq!(kept.kept_bytes(), size, "{name}");
    }
}

/// In bfloat16 the number of tokens that are run at once shows in the numbers: they are cut alike with a cache and without.
#[test]
fn in_bfloat16_a_cache_changes_no_bit() {
    for name in ["bfloat16", "two-images"] {
        let fixture = Fixture::open(name);
        let case = Case::of(&fixture, DtypeSpec::BFloat16, ROOM);
        let asked = ["changed?", "Is there a nodule, or not?"];
        for text in asked {
            case.check(&format!("{name}, {text}"), &Question::new(pictures(&fixture), text));
        }
        assert_eq!(case.cache().beginnings(), (1, 1));
    }
}

/// Whatever an answer keeps of its run, and where it keeps nothing.
#[test]
fn what_an_answer_keeps_decides_what_is_kept_of_its_beginning() {
    let fixture = Fixture::open("short-window");
    let mut case = Case::new(&fixture, ROOM);
    let [first, second] =
        ["changed?", "nodule?"].map(|text| Question::new(pictures(&fixture), text));
    case.check("everything", &first);
    let everything = case.cache().bytes();
    // A budget that has no room for all that the layers compute.
    let shown: usize = first.pictures.iter().map(|picture| picture.rgb().len()).sum();
    let layers = |answer: &Answer| answer.kept_bytes() - shown as u64;
    let whole = layers(&case.answer(&case.context, &first));
    case.context.memory_budget = Some(2 * whole - 1);
    let inputs = case.answer(&case.context, &first);
    assert!(layers(&inputs) < whole / 2);
    assert_eq!(case.cache().beginnings(), (1, 2));
    assert!(case.cache().bytes() < 2 * everything);
    case.check("inputs, again", &second);
    assert_eq!(case.cache().beginnings(), (2, 2));

    // Not recorded: keys and values alone.
    case.context.memory_budget = None;
    case.options.record = false;
    case.check("not recorded", &first);
    assert_eq!(case.cache().beginnings(), (2, 3));
    case.check("not recorded, again", &second);
    assert_eq!(case.cache().beginnings(), (3, 3));

    // An answer that is given is explained by a run in one piece.
    let given = |context: &Context| {
        let request = case.explainer.within(context);
        case.told(context, &request.given(first.clone(), "nodule changed").unwrap())
    };
    assert_eq!(given(&case.context), given(&Context::default()));
    assert_eq!(case.cache().beginnings(), (3, 3));
}

/// The bound is that of features and beginnings together, and what was not used for the longest goes.
#[test]
fn the_cache_keeps_within_its_bytes() {
    let fixture = Fixture::open("short-window");
    let roomy = Case::new(&fixture, ROOM);
    let ask = |case: &Case, pictures: Vec<Picture>, text: &str| {
        let question = Question::new(pictures, text);
        case.check(text, &question);
    };
    let (one, other) = (pictures(&fixture), other_pictures(&fixture));
    ask(&roomy, one.clone(), "changed?");
    let both = roomy.cache().bytes();

    // Room for one picture with its beginning: the second drives the first out.
    let case = Case::new(&fixture, both + both / 2);
    for (pictures, counts) in
        [(&one, (0, 1)), (&one, (1, 1)), (&other, (1, 2)), (&other, (2, 2)), (&one, (2, 3))]
    {
        ask(&case, pictures.clone(), "changed?");
        assert_eq!(case.cache().beginnings(), counts);
        assert!(case.cache().bytes() <= both + both / 2);
    }

    // Room for the image tokens alone: beginnings pass it by, and the tower does not run again.
    let case = Case::new(&fixture, both / 4);
    ask(&case, one.clone(), "changed?");
    ask(&case, one, "nodule?");
    assert_eq!((case.cache().beginnings(), case.cache().counts()), ((0, 0), (1, 1)));

    // A text alone has no beginning to keep.
    ask(&case, Vec::new(), "changed?");
    assert_eq!(case.cache().beginnings(), (0, 0));
}
