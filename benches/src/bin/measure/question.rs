//! What a person waits for: from a picture's file to a report on disk, then a second word, a second question, a second picture.
//!
//! Each is done once, in a process that has just loaded the weights: that is how people meet it.

use crate::{Args, object, place};
use anyhow::Context as _;
use benchmarks::memory::Watch;
use medgemma_explainer::{
    Answer, AnswerOptions, Ask, Context, ExplainOptions, Explainer, LoadOptions, ModelSource,
    OutputFolder, Picture, PictureOptions, Presentation, Question, RgbImage,
};
use serde_json::{Map, Value, json};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

/// Pixels of a picture's side.
const SIDE: u32 = 1024;

/// A question about the picture at the path.
struct Asked<'a> {
    picture: &'a Path,
    prompt: &'a str,
}

pub(crate) fn of_question(args: &Args) -> anyhow::Result<Map<String, Value>> {
    let folder = args.model.as_deref().context("--model is missing")?;
    let scratch = tempfile::tempdir()?;
    let pictures = [0, 1].map(|index| scratch.path().join(format!("{index}.png")));
    for (index, picture) in pictures.iter().enumerate() {
        draw(index as u32).save(picture)?;
    }
    let place = place(args.device.resolve()?);
    let started = Instant::now();
    let options = LoadOptions::default().with_device(args.device.to_string().parse()?);
    let explainer =
        Explainer::load(&ModelSource::parse(&folder.to_string_lossy(), None, false), &options)?;
    let load = started.elapsed().as_secs_f64();
    let baseline = place.used();
    let watch = Watch::start(place);

    let session = Session { explainer: &explainer, args, scratch: scratch.path() };
    let room = explainer.request().memory_budget() / 2; // as `serve` and `batch` have it
    let context = Context::default().with_pictures(Some(explainer.picture_cache(room)));
    let first = Asked { picture: &pictures[0], prompt: "Describe the picture." };
    let started = Instant::now();
    let (answer, mut parts) = session.asked(&context, &first)?;
    parts.extend(session.explained(&context, &answer, 0, "first")?);
    let whole = started.elapsed().as_secs_f64();

    let started = Instant::now();
    session.explained(&context, &answer, 1, "second")?;
    let second_word = started.elapsed().as_secs_f64();

    let again = |asked: &Asked<'_>, name: &str| -> anyhow::Result<f64> {
        let started = Instant::now();
        let (answer, _) = session.asked(&context, asked)?;
        session.explained(&context, &answer, 0, name)?;
        Ok(started.elapsed().as_secs_f64())
    };
    let second_question =
        again(&Asked { prompt: "Is there anything on the left side?", ..first }, "question")?;
    let second_picture = again(&Asked { picture: &pictures[1], ..first }, "picture")?;
    parts.extend(object(json!({
        "load_s": load,
        "median_s": whole,
        "second_word_s": second_word,
        "second_question_s": second_question,
        "second_picture_s": second_picture,
        "tokens": answer.tokens().len(),
        "peak_bytes": watch.peak().saturating_sub(baseline),
        "runs": 1,
    })));
    Ok(parts)
}

struct Session<'a> {
    explainer: &'a Explainer,
    args: &'a Args,
    scratch: &'a Path,
}

impl Session<'_> {
    /// The answer, and seconds by part.
    fn asked(
        &self,
        context: &Context,
        asked: &Asked<'_>,
    ) -> anyhow::Result<(Answer, Map<String, Value>)> {
        let started = Instant::now();
        let picture = Picture::open(asked.picture, &PictureOptions::default())?;
        let decoding = started.elapsed().as_secs_f64();
        let options = AnswerOptions::default().with_max_new_tokens(self.args.answer);
        let question = Question::new(vec![picture], asked.prompt);
        let answer = self
            .explainer
            .within(context)
            .answer(question, &options, &mut |_| ControlFlow::Continue(()))?;
        let made = answer.positions().len();
        anyhow::ensure!(made == self.args.answer, "the answer has {made} tokens");
        Ok((answer, object(json!({ "decode_picture_s": decoding }))))
    }

    /// The word so many tokens from the end explained, and everything about it on disk; seconds by part.
    fn explained(
        &self,
        context: &Context,
        answer: &Answer,
        from_end: usize,
        name: &str,
    ) -> anyhow::Result<Map<String, Value>> {
        let ask = Ask::Position(answer.positions().end - 1 - from_end);
        let request = self.explainer.within(context);
        let found = request.explain(answer, &[ask], &ExplainOptions::default())?;
        let started = Instant::now();
        let out = self.scratch.join(name);
        let folder = OutputFolder::create(&out, &[])?;
        request.write(folder, answer, &found, &Presentation::default())?;
        let export = started.elapsed().as_secs_f64();
        let record: Value = serde_json::from_slice(&std::fs::read(out.join("explanation.json"))?)?;
        let seconds = |part: &str| record["timings"][part].as_f64();
        Ok(object(json!({
            "preprocess_s": seconds("preprocess"),
            "vision_s": seconds("vision"),
            "prefill_s": seconds("prefill"),
            "decode_s": seconds("decode"),
            "explain_s": seconds("explain"),
            "export_s": export,
        })))
    }
}

/// A picture that compresses as photographs do, no two alike.
fn draw(seed: u32) -> RgbImage {
    RgbImage::from_fn(SIDE, SIDE, |x, y| {
        let wave = ((x + 37 * seed) as f32 / 61.0).sin() + (y as f32 / 47.0).cos();
        let grain = (x * 7919 + y * 104_729 + seed) % 7;
        let grey = (127.0 + 50.0 * wave) as u8 + grain as u8;
        [grey, grey, grey].into()
    })
}
