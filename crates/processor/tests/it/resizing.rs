//! `resize.json`: hashes of what torchvision 0.28 and Pillow 13 gave, and four of the results in full.

use gemma3_processor::{Resize, resize};
use serde_json::Value;

use crate::checkpoint::fixtures;
use crate::formula::{picture, sha256};

const HOW: [(Resize, &str); 2] = [(Resize::TorchVision, "torchvision"), (Resize::Pillow, "pillow")];

#[test]
fn full_results_are_equal_byte_by_byte() {
    for (how, name) in HOW {
        for (seed, from, to) in [(7, [50, 41], [113, 97]), (8, [113, 97], [50, 41])] {
            let file = fixtures().join(format!("resize-{name}-{}x{}.png", to[0], to[1]));
            let expected = image::open(file).unwrap().into_rgb8();
            let found = resize(&picture(from[0], from[1], seed), to, how).unwrap();
            let differing = expected.iter().zip(found.iter()).filter(|(a, b)| a != b).count();
            assert_eq!(
                (found.dimensions(), differing),
                (expected.dimensions(), 0),
                "{name} {to:?}"
            );
        }
    }
}

#[test]
fn every_shape_is_equal_by_hash() {
    let file: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("resize.json")).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 20);
    let mut wrong = vec![];
    for case in cases {
        let side = |key: &str, n: usize| case[key][n].as_u64().unwrap() as u32;
        let input = picture(side("from", 0), side("from", 1), case["seed"].as_u64().unwrap());
        assert_eq!(sha256(input.as_raw()), case["input"].as_str().unwrap(), "formula {case}");
        for (how, name) in HOW {
            let out = resize(&input, [side("to", 0), side("to", 1)], how).unwrap();
            if sha256(out.as_raw()) != case[name].as_str().unwrap() {
                wrong.push(format!("{name} {} to {}", case["from"], case["to"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
