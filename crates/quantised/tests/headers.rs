//! Headers of GGUF files: what is read, and forty ways to damage one, each with a message that names file and field.
#![expect(clippy::unwrap_used, reason = "a failure in a helper fails the test")]

use quantised_weights::{BlockType, Error, Gguf, Value};
use std::fs::File;
use std::path::Path;

/// A header in the making.
#[derive(Clone)]
struct Header {
    bytes: Vec<u8>,
}

impl Header {
    fn new(version: u32, tensors: u64, fields: u64) -> Self {
        let mut header = Self { bytes: b"GGUF".to_vec() };
        header.u32(version);
        header.u64(tensors);
        header.u64(fields);
        header
    }

    fn u32(&mut self, number: u32) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.bytes.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes.extend(text.as_bytes());
    }

    fn field(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.text(key);
        self.u32(kind);
        self.bytes.extend(value);
        self
    }

    fn tensor(mut self, name: &str, sides: &[u64], kind: u32, start: u64) -> Self {
        self.text(name);
        self.u32(sides.len() as u32);
        for &side in sides {
            self.u64(side);
        }
        self.u32(kind);
        self.u64(start);
        self
    }

    fn data(mut self, bytes: usize) -> Vec<u8> {
        let aligned = self.bytes.len().next_multiple_of(32);
        self.bytes.resize(aligned + bytes, 0);
        self.bytes
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

fn list(kind: u32, count: u64, entries: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &count.to_le_bytes()[..], entries].concat()
}

fn read(bytes: &[u8]) -> Result<Gguf, Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, bytes).unwrap();
    Gguf::read(Path::new("model.gguf"), File::open(path).unwrap())
}

fn sound() -> Header {
    Header::new(3, 2, 4)
        .field("general.architecture", 8, &text("gemma3"))
        .field("gemma3.block_count", 4, &18_u32.to_le_bytes())
        .field("eps", 6, &0.5_f32.to_le_bytes())
        .field("words", 9, &list(8, 2, &[text("a"), text("b")].concat()))
        .tensor("token_embd.weight", &[64, 3], 8, 0)
        .tensor("output_norm.weight", &[16], 0, 224)
}

#[test]
fn a_header_is_read_and_shapes_are_slowest_first() {
    let file = read(&sound().data(288)).unwrap();
    assert_eq!(file.text("general.architecture").unwrap(), "gemma3");
    assert_eq!(file.size("gemma3.block_count", 100).unwrap(), 18);
    assert_eq!(file.optional_positive("eps").unwrap(), Some(0.5));
    assert_eq!(file.texts("words").unwrap(), ["a", "b"]);
    assert_eq!(file.metadata()["eps"], Value::Float(0.5));
    let embedding = &file.tensors()["token_embd.weight"];
    assert_eq!((embedding.shape.as_slice(), embedding.blocks), (&[3, 64][..], BlockType::Q8_0));
    assert_eq!(embedding.bytes, 3 * 2 * 34);
    let norm = &file.tensors()["output_norm.weight"];
    assert_eq!((norm.start - embedding.start, norm.bytes), (224, 64));
    assert_eq!(norm.start % 32, 0);
    assert_eq!(norm.start + norm.bytes, file.length());
}

#[test]
fn a_field_that_is_not_what_it_should_be_is_named() {
    let file = read(&sound().data(288)).unwrap();
    let message = |error: Error| error.to_string();
    for (found, expected) in [
        (message(file.text("nothing").unwrap_err()), "model.gguf: the field nothing is missing"),
        (message(file.text("eps").unwrap_err()), "model.gguf: the field eps is not a text"),
        (
            message(file.size("gemma3.block_count", 9).unwrap_err()),
            "model.gguf: the field gemma3.block_count is outside of 1 to 9",
        ),
        (
            message(file.floats("words").unwrap_err()),
            "model.gguf: the field words is not a list of numbers",
        ),
        (
            message(file.optional_flag("eps").unwrap_err()),
            "model.gguf: the field eps is not true or false",
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn damage_is_an_error_that_names_file_and_place() {
    let tensor = |sides: &[u64], kind, start| {
        Header::new(3, 1, 0).tensor("blk.0.attn_q.weight", sides, kind, start).data(64)
    };
    let field = |kind, value: &[u8]| Header::new(3, 0, 1).field("key", kind, value).data(0);
    let huge = u64::MAX.to_le_bytes();
    let sound = sound().data(288);
    let changed = |at: usize, to: &[u8]| {
        let mut bytes = sound.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (vec![], "is not a GGUF file: it has 0 bytes"),
        (b"GGUF".to_vec(), "it has 4 bytes"),
        (changed(0, b"PK\x03\x04"), "begins with \"PK"),
        (changed(4, &1_u32.to_le_bytes()), "it has version 1; versions 2 and 3"),
        (changed(4, &9_u32.to_le_bytes()), "it has version 9"),
        (changed(4, &3_u32.to_be_bytes()), "big-endian"),
        (changed(8, &huge), "the number of tensors is 18446744073709551615, more than 100000"),
        (changed(16, &huge), "the number of fields is 18446744073709551615, more than 10000"),
        (changed(8, &50_000_u64.to_le_bytes()), "the tensor \"\" has 0 sides"),
        (changed(16, &9000_u64.to_le_bytes()), "field"),
        (changed(24, &huge), "the name of field 0 goes beyond the end of the file"),
        (sound[..40].to_vec(), "the name of field 0 goes beyond the end"),
        (sound[..60].to_vec(), "\"general.architecture\" goes beyond the end"),
        (sound[..200].to_vec(), "goes beyond the end"),
        (sound[..sound.len() - 1].to_vec(), "\"output_norm.weight\" takes 1 bytes beyond the end"),
        (sound[..sound.len() - 288].to_vec(), "beyond the end of the file"),
        (field(8, &huge), "the field \"key\" goes beyond the end of the file"),
        (
            field(8, &[&2_u64.to_le_bytes()[..], b"\xff\xfe"].concat()),
            "the field \"key\" is not UTF-8",
        ),
        (field(13, &[]), "the field \"key\" has the unknown type 13"),
        (field(7, &[2]), "the field \"key\" is 2, not true or false"),
        (
            Header::new(3, 0, 1).field("key", 4, &[1, 2]).bytes,
            "the field \"key\" goes beyond the end",
        ),
        (field(9, &list(4, u64::MAX, &[])), "the field \"key\" is 18446744073709551615, more than"),
        (field(9, &list(4, 1 << 20, &[])), "the field \"key\" goes beyond the end"),
        (field(9, &list(8, 1000, &[])), "the field \"key\" goes beyond the end"),
        (field(9, &list(8, 1, &huge)), "the field \"key\" goes beyond the end"),
        (field(9, &list(9, 1, &list(4, 0, &[]))), "the field \"key\" is a list of lists"),
        (field(9, &list(77, 1, &[0; 8])), "is a list of the unknown type 77"),
        (field(9, &list(10, 1, &huge)), "has a number beyond"),
        (
            Header::new(3, 0, 2).field("key", 4, &[0; 4]).field("key", 4, &[0; 4]).data(0),
            "the field \"key\" stands there twice",
        ),
        (
            Header::new(3, 0, 1).field("general.alignment", 4, &33_u32.to_le_bytes()).data(0),
            "general.alignment is Unsigned(33), not a power of two",
        ),
        (
            Header::new(3, 0, 1).field("general.alignment", 8, &text("32")).data(0),
            "general.alignment is Text(\"32\"), not a power of two",
        ),
        (
            Header::new(3, 0, 1)
                .field("general.alignment", 4, &(1_u32 << 30).to_le_bytes())
                .data(0),
            "not a power of two up to 65536",
        ),
        (tensor(&[], 0, 0), "the tensor \"blk.0.attn_q.weight\" has 0 sides"),
        (tensor(&[1; 5], 0, 0), "the tensor \"blk.0.attn_q.weight\" has 5 sides"),
        (tensor(&[0, 4], 0, 0), "the tensor \"blk.0.attn_q.weight\" has a side of 0"),
        (tensor(&[u64::MAX, 2], 0, 0), "the tensor \"blk.0.attn_q.weight\" has rows of"),
        (tensor(&[1 << 40, 1 << 40], 0, 0), "has more weights than can be"),
        (tensor(&[4, u64::MAX], 1, 0), "has more weights than can be"),
        (
            tensor(&[16], 23, 0),
            "is stored as IQ4_XS, which is not read; take a file of the model in another type",
        ),
        (tensor(&[16], 999, 0), "is stored as ggml type 999"),
        (
            tensor(&[100], 12, 0),
            "has rows of 100 weights, no multiple of the 256 of a block of Q4_K",
        ),
        (tensor(&[16], 0, 8), "begins at 8, no multiple of 32"),
        (tensor(&[16], 0, u64::MAX - 31), "beyond the end of the file"),
        (tensor(&[32], 0, 0), "takes 64 bytes beyond the end of the file"),
        (
            Header::new(3, 2, 0).tensor("a", &[4], 0, 0).tensor("a", &[4], 0, 32).data(64),
            "the tensor \"a\" stands there twice",
        ),
        (
            Header::new(3, 1, 0).tensor(&"n".repeat(65), &[4], 0, 0).data(64),
            "the name of tensor 0 has 65 bytes, more than 64",
        ),
    ];
    assert!(40 <= cases.len());
    for (index, (bytes, expected)) in cases.iter().enumerate() {
        let message = read(bytes).err().map(|error| error.to_string());
        let message = message.unwrap_or_else(|| panic!("{index}: {expected}: it was read"));
        assert!(message.contains(expected), "{index}: {message}\n{expected}");
        assert!(message.starts_with("model.gguf"), "{message}");
        assert!(message.len() < 500, "{message}");
    }
}

/// No byte of a header can be changed so that reading panics or takes memory that the file does not have.
#[test]
fn every_changed_byte_is_read_or_refused() {
    let sound = sound().data(288);
    for at in 0..sound.len() - 288 {
        for to in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = sound.clone();
            bytes[at] = to;
            let _ = read(&bytes);
        }
        let _ = read(&sound[..at]);
    }
}
