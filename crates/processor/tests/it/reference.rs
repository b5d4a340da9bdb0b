//! `prompts.json`: what transformers' own processor gave for the same conversations and pictures.

use gemma3_processor::{
    Content, Message, Picture, PictureOptions, ProcessorOptions, Resize, Role, TextTokenizer,
};
use serde_json::Value;

use crate::checkpoint::{fixtures, processor};
use crate::formula::{picture, sha256_of_floats};

fn reference() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures().join("prompts.json")).unwrap()).unwrap()
}

fn messages(case: &Value) -> Vec<Message> {
    let role = |name: &str| match name {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => panic!("{other}"),
    };
    let item = |item: &Value| match item["text"].as_str() {
        Some(text) => Content::Text(text.into()),
        None => Content::Image,
    };
    let content = |list: &Value| list.as_array().unwrap().iter().map(item).collect();
    let message = |m: &Value| Message {
        role: role(m["role"].as_str().unwrap()),
        content: content(&m["content"]),
    };
    case["messages"].as_array().unwrap().iter().map(message).collect()
}

fn pictures(case: &Value) -> Vec<Picture> {
    let side = |value: &Value| value.as_u64().unwrap() as u32;
    let sizes = case["pictures"].as_array().unwrap().iter().zip(0..);
    sizes
        .map(|(s, seed)| Picture::from_rgb(picture(side(&s[0]), side(&s[1]), seed)).unwrap())
        .collect()
}

fn ids(case: &Value) -> Vec<u32> {
    let run =
        |run: &Value| vec![run[0].as_u64().unwrap() as u32; run[1].as_u64().unwrap() as usize];
    case["ids"].as_array().unwrap().iter().flat_map(run).collect()
}

#[test]
fn ids_and_pixels_equal_those_of_transformers() {
    let reference = reference();
    let cases = reference["cases"].as_array().unwrap();
    assert!(cases.len() >= 11);
    for case in cases {
        for (resize, backend) in [(Resize::TorchVision, "torchvision"), (Resize::Pillow, "pillow")]
        {
            let name = format!("{} ({backend})", case["name"]);
            let pan_and_scan = case["pan_and_scan"].as_bool().unwrap();
            let options =
                ProcessorOptions::default().with_resize(resize).with_pan_and_scan(pan_and_scan);
            let (processor, pictures) = (processor(options), pictures(case));
            let inputs = processor.prepare(&messages(case), &pictures).unwrap();
            assert_eq!(inputs.prompt, case["prompt"].as_str().unwrap(), "{name}");
            assert_eq!(inputs.ids, ids(case), "{name}");
            let alone = pictures.iter().flat_map(|picture| processor.pixels(picture).unwrap());
            assert_eq!(alone.collect::<Vec<_>>(), inputs.pixels, "{name}");
            let expected = case[backend].as_array().unwrap();
            assert_eq!(inputs.images.len(), expected.len(), "{name}");
            assert_eq!(inputs.pixels.len(), expected.len(), "{name}");
            let pixels = inputs.images.iter().zip(&inputs.pixels);
            for ((image, pixels), hash) in pixels.zip(expected) {
                assert_eq!(sha256_of_floats(&pixels.values), hash.as_str().unwrap(), "{name}");
                assert!(inputs.ids[image.span.clone()].iter().all(|&id| id == 12), "{name}");
                assert_eq!(image.span.len(), image.grid[0] * image.grid[1], "{name}");
            }
        }
    }
}

#[test]
fn the_golden_picture_gives_exactly_the_golden_pixels() {
    let reference = &reference()["picture.png"];
    let file = fixtures().join("picture.png");
    let picture = Picture::open(&file, &PictureOptions::default()).unwrap();
    for (resize, backend) in [(Resize::TorchVision, "torchvision"), (Resize::Pillow, "pillow")] {
        let inputs = processor(ProcessorOptions::default().with_resize(resize))
            .prepare(
                &[Message::user(1, "Where is the opacity in this X-ray?")],
                std::slice::from_ref(&picture),
            )
            .unwrap();
        assert_eq!(
            sha256_of_floats(&inputs.pixels[0].values),
            reference[backend].as_str().unwrap()
        );
        assert_eq!(inputs.images[0].span, 6..262);
        assert_eq!(inputs.ids.len(), 281);
    }
}

#[test]
fn spans_belong_to_their_pictures() {
    let pictures =
        [picture(900, 300, 0), picture(60, 60, 1)].map(|p| Picture::from_rgb(p).unwrap());
    let options = ProcessorOptions::default().with_pan_and_scan(true);
    let inputs = processor(options).prepare(&[Message::user(2, "a")], &pictures).unwrap();
    let of: Vec<usize> = inputs.images.iter().map(|image| image.picture).collect();
    assert_eq!(of, [0, 0, 0, 0, 1]);
    let n_image = inputs.ids.iter().filter(|&&id| id == 12).count();
    assert_eq!(n_image, 5 * 256);
    assert!(inputs.images.windows(2).all(|pair| pair[0].span.end < pair[1].span.start));
}

#[test]
fn labels_are_those_of_the_golden_case() {
    let processor = processor(ProcessorOptions::default());
    let picture = Picture::from_rgb(picture(8, 8, 0)).unwrap();
    let question = Message::user(1, "Where is the opacity in this X-ray?");
    let inputs = processor.prepare(&[question], &[picture]).unwrap();
    let label = |id: &u32| TextTokenizer::label(processor.tokenizer(), *id);
    let first: Vec<String> = inputs.ids[..7].iter().map(label).collect();
    let begin = [
        "<bos>",
        "<start_of_turn>",
        "us",
        "er",
        "\n\n\n",
        "<start_of_image>",
        "<image_soft_token>",
    ];
    assert_eq!(first, begin);
    let last: Vec<String> = inputs.ids[262..].iter().map(label).collect();
    let end = [
        "<end_of_image>",
        "\n\n",
        "W",
        "h",
        "ere ",
        "is ",
        "the ",
        "opacity ",
        "in ",
        "this ",
        "X-ra",
        "y",
        "?",
        "<end_of_turn>",
        "\n",
        "<start_of_turn>",
        "mode",
        "l",
        "\n",
    ];
    assert_eq!(last, end);
}
