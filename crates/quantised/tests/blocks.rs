//! What blocks stand for, held against the Python package gguf, and four-bit normal floats against their definition.

use quantised_weights::{BlockType, Nf4, Nf4Scales, RoundTo};
use serde_json::Value;
use std::fs;
use std::path::Path;

#[test]
fn every_type_is_equal_to_the_python_package_to_the_last_bit() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/quantised");
    let table: Value = serde_json::from_slice(&fs::read(dir.join("blocks.json")).unwrap()).unwrap();
    let data = fs::read(dir.join("blocks.bin")).unwrap();
    let mut rest = data.as_slice();
    let mut seen = Vec::new();
    for row in table.as_array().unwrap() {
        let number = |name: &str| row[name].as_u64().unwrap() as usize;
        let (id, count) = (number("id") as u32, number("blocks"));
        let kind = BlockType::from_id(id).unwrap();
        assert_eq!(kind.name(), row["name"].as_str().unwrap());
        assert_eq!((kind.bytes(), kind.weights()), (number("bytes"), number("weights")));
        let (blocks, after) = rest.split_at(count * kind.bytes());
        let (numbers, after) = after.split_at(4 * count * kind.weights());
        rest = after;
        let mut found = vec![0.0; count * kind.weights()];
        kind.dequantise(blocks, &mut found);
        let expected = numbers.chunks_exact(4).map(|n| f32::from_le_bytes(n.try_into().unwrap()));
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert_eq!(found.to_bits(), expected.to_bits(), "{} {index}", kind.name());
        }
        seen.push(kind);
    }
    assert!(rest.is_empty());
    seen.sort();
    let mut all: Vec<_> = BlockType::all().collect();
    all.sort();
    assert_eq!(seen, all);
}

#[test]
fn rows_are_whole_blocks() {
    assert_eq!(BlockType::Q4K.row_bytes(512), Some(288));
    assert_eq!(BlockType::Q4K.row_bytes(300), None);
    assert_eq!(BlockType::F32.row_bytes(usize::MAX), None);
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

/// By the definition in bitsandbytes: `code[q]·absmax`, absmax itself `code[q]·scale + offset` where it is nested.
#[test]
fn normal_floats_are_a_table_times_a_scale() {
    let code = std::array::from_fn(|index| index as f32 / 8.0 - 1.0);
    let scales = Nf4Scales::Plain(vec![1.0, 2.0, 4.0]);
    let plain = Nf4 { code, block: 4, scales, rounds_to: RoundTo::Float32 };
    let quants = [0x0f, 0x88, 0xf0, 0x12, 0x00, 0xff];
    let mut found = [0.0; 12];
    plain.dequantise(0, &quants, &mut found);
    let expected: [f32; 12] =
        [-1.0, 0.875, 0.0, 0.0, 1.75, -2.0, -1.75, -1.5, -4.0, -4.0, 3.5, 3.5];
    assert_eq!(bits(&found), bits(&expected));
    // From the middle on.
    let mut part = [0.0; 6];
    plain.dequantise(6, &quants[3..], &mut part);
    assert_eq!(bits(&part), bits(&expected[6..]));

    let nested = Nf4Scales::Nested {
        quants: vec![1, 0, 2],
        code: vec![0.0, 0.25, 0.5],
        scales: vec![2.0, 8.0],
        block: 2,
        offset: 0.5,
    };
    let nested = Nf4 { scales: nested, ..plain };
    nested.dequantise(0, &quants, &mut found);
    // Scales: 0.25·2 + 0.5, 0·2 + 0.5, 0.5·8 + 0.5.
    let expected: Vec<f32> = expected
        .iter()
        .enumerate()
        .map(|(i, x)| x / [1.0, 2.0, 4.0][i / 4] * [1.0, 0.5, 4.5][i / 4])
        .collect();
    assert_eq!(bits(&found), bits(&expected));
}
