//! What the tests share beside reading fixtures: running a fixture's checkpoint.

use attention_capture::{Attribution, Goal, Method, MethodRecorder, MethodRow, Rules, Streaming};
use gemma3_processor::{
    Message, Picture, PictureOptions, Pixels, Prepared, Processor, ProcessorOptions, Resize,
};
use gemma3_tch::{Gemma3, Placement, Sequence};
use integration_tests::Fixture;
use medgemma_explainer::{Answer, Ask, ExplainOptions, Explainer, TargetExplanation};
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

/// A reference checkpoint in float32, whatever it is stored in.
pub(crate) fn model(fixture: &Fixture) -> Gemma3 {
    let placement = Placement { kind: Some(Kind::Float), ..Placement::AS_STORED };
    Gemma3::load(&fixture.model(), placement).unwrap()
}

/// How the reference prepared its pictures.
pub(crate) fn processor_options(fixture: &Fixture) -> ProcessorOptions {
    let resize = match fixture.text("resize") {
        "pillow" => Resize::Pillow,
        "torchvision" => Resize::TorchVision,
        other => panic!("unknown resize {other}"),
    };
    ProcessorOptions::default().with_resize(resize)
}

pub(crate) fn pictures(fixture: &Fixture) -> Vec<Picture> {
    let open = |path: &std::path::PathBuf| Picture::open(path, &PictureOptions::default()).unwrap();
    fixture.pictures().iter().map(open).collect()
}

/// The fixture's prompt and pictures, prepared by this project.
pub(crate) fn prepare(fixture: &Fixture) -> Prepared {
    let processor = Processor::from_dir(&fixture.model(), processor_options(fixture)).unwrap();
    let pictures = pictures(fixture);
    let system = fixture.system().map(Message::system);
    let messages: Vec<_> =
        system.into_iter().chain([Message::user(pictures.len(), fixture.text("prompt"))]).collect();
    processor.prepare(&messages, &pictures).unwrap()
}

/// Prompt and answer of the reference, teacher-forced, with this project's image features.
pub(crate) fn answered(fixture: &Fixture, model: &Gemma3) -> Sequence {
    let prompt = model.encode(&prepare(fixture)).unwrap();
    prompt.followed_by(&fixture.ids("full_ids")[prompt.ids().len()..])
}

/// The same with image features that are rounded otherwise: each is moved at random by up to half a unit of the last place of bfloat16.
pub(crate) fn answered_rounded(fixture: &Fixture, model: &Gemma3, seed: i64) -> Sequence {
    let prepared = prepare(fixture);
    tch::manual_seed(seed);
    let rounded = |pixels: &Pixels| {
        let x = model.encode_image(pixels).unwrap();
        let moved = Tensor::rand(x.size(), (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        (x.to_kind(Kind::Float) * (moved / 256.0 + 1.0)).to_kind(x.kind())
    };
    let features = prepared.pixels.iter().map(rounded).collect();
    let images = prepared.images.iter().map(|image| image.span.clone()).collect();
    let prompt = model.sequence(prepared.ids.clone(), images, features).unwrap();
    prompt.followed_by(&fixture.ids("full_ids")[prompt.ids().len()..])
}

pub(crate) fn matrix(tensor: &Tensor) -> Array2<f32> {
    let shape = <[i64; 2]>::try_from(tensor.size()).unwrap().map(|n| n as usize);
    let values = Vec::try_from(tensor.detach().reshape([-1])).unwrap();
    Array2::from_shape_vec(shape, values).unwrap()
}

/// What goals owe and the rows of methods, from one sweep.
pub(crate) fn with_methods(
    engine: &Streaming<'_>,
    goals: &[Goal],
    rules: &Rules,
    methods: &[Method],
) -> Result<Vec<(Attribution, Vec<MethodRow>)>, attention_capture::Error> {
    let mut recorder = MethodRecorder::new(engine, goals, methods)?;
    let found = engine.observe(goals, rules, &mut [&mut recorder])?;
    Ok(found.into_iter().zip(recorder.finish()?).collect())
}

/// The explanation of one thing; an error's text, also where the answer does not have it.
pub(crate) fn one(
    explainer: &Explainer,
    answer: &Answer,
    ask: Ask,
    options: &ExplainOptions,
) -> Result<TargetExplanation, String> {
    let mut found =
        explainer.explain(answer, &[ask], options).map_err(|error| error.to_string())?;
    found.missing.pop().map_or_else(|| Ok(found.targets.remove(0)), |missing| Err(missing.reason))
}

/// Occurrence `occurrence`, from 0, of a word.
pub(crate) fn keyword(word: &str, occurrence: usize) -> Ask {
    Ask::Keyword { word: word.to_owned(), occurrence }
}
