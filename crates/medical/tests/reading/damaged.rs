//! Forty damaged or hostile files: each an error of its own, soon, and never a panic. What is said is in `damaged.txt`; `UPDATE_SNAPSHOTS=1` writes it.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use medical_pictures::{Options, Recipe, open};
use tempfile::TempDir;

use crate::made::{COLUMNS, EXPLICIT, Made, PIXELS, ROWS, item_of};
use crate::nifti::Volume;

/// Longer than any of them may take, on a busy machine without optimisation.
const LONGEST: Duration = Duration::from_secs(10);

fn grey() -> Made {
    Made::sized(4, 4, &[7; 16])
}

/// The bytes of an element by hand.
fn element(tag: [u8; 4], vr: [u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
    let mut bytes = tag.to_vec();
    bytes.extend(vr);
    bytes.extend([0, 0]);
    bytes.extend(length.to_le_bytes());
    bytes.extend(value);
    bytes
}

/// A file whose data set begins with these bytes.
fn begun(bytes: &[u8]) -> Vec<u8> {
    [grey().beginning(), bytes.to_vec(), grey().data_set()].concat()
}

fn cut(made: &Made, by: usize) -> Vec<u8> {
    let mut bytes = made.file();
    bytes.truncate(bytes.len() - by);
    bytes
}

fn nested(depth: usize) -> Vec<u8> {
    let open = [
        element([8, 0, 0x15, 0x11], *b"SQ", u32::MAX, &[]),
        vec![0xFE, 0xFF, 0, 0xE0, 255, 255, 255, 255],
    ]
    .concat();
    begun(&open.repeat(depth))
}

fn compressed(syntax: &str, bytes: &[u8]) -> Vec<u8> {
    grey().fragments(syntax, &[bytes]).file()
}

const BASELINE: &str = "1.2.840.10008.1.2.4.50";
const LOSSLESS: &str = "1.2.840.10008.1.2.4.70";
const RLE: &str = "1.2.840.10008.1.2.5";
const J2K: &str = "1.2.840.10008.1.2.4.90";

/// Start of a JPEG with a frame header.
fn jpeg(process: u8, precision: u8, rows: u16, columns: u16) -> Vec<u8> {
    let [r, s] = rows.to_be_bytes();
    let [c, d] = columns.to_be_bytes();
    vec![0xFF, 0xD8, 0xFF, process, 0, 11, precision, r, s, c, d, 1, 1, 0x11, 0]
}

fn rle(offset: u32, segments: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(&segments.to_le_bytes());
    for i in 0..segments.min(15) as usize {
        bytes[4 + 4 * i..8 + 4 * i].copy_from_slice(&offset.to_le_bytes());
    }
    bytes.extend(data);
    bytes
}

fn j2k(columns: u32, rows: u32) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0x4F, 0xFF, 0x51, 0, 41, 0, 0];
    for number in [columns, rows, 0, 0, columns, rows, 0, 0] {
        bytes.extend(u32::to_be_bytes(number));
    }
    bytes.extend([0, 1, 15, 1, 1]);
    bytes
}

fn deflated(data_set: &[u8]) -> Vec<u8> {
    let syntax = Made { syntax: "1.2.840.10008.1.2.1.99".into(), ..grey() };
    [syntax.beginning(), data_set.to_vec()].concat()
}

fn bomb() -> Vec<u8> {
    let mut packed = vec![];
    let mut encoder = flate2::write::DeflateEncoder::new(&mut packed, flate2::Compression::fast());
    for _ in 0..1100 {
        std::io::Write::write_all(&mut encoder, &vec![0; 1 << 20]).unwrap();
    }
    encoder.finish().unwrap();
    deflated(&packed)
}

fn volume(change: impl Fn(&mut Volume)) -> Vec<u8> {
    let mut volume = Volume::standard([4, 1, 1], &[1, 2, 3, 4]);
    change(&mut volume);
    volume.bytes
}

fn palette(entries: u16, data: &[u16]) -> Vec<u8> {
    let mut made = Made::bytes8("PALETTE COLOR", 2, &[0, 1]);
    for i in 0..3 {
        made = made.words((0x0028, 0x1101 + i), "US", &[entries, 0, 16]).words(
            (0x0028, 0x1201 + i),
            "OW",
            data,
        );
    }
    made.file()
}

fn structure() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("an empty file", vec![]),
        ("text", b"this is a report and no picture, and it goes on for a while".repeat(4)),
        ("only the preamble and the mark", grey().beginning()[..132].to_vec()),
        ("meta information cut in its element", grey().beginning()[..140].to_vec()),
        ("nothing behind the meta information", grey().beginning()),
        ("an element without a type", begun(&[8, 0, 5, 0, 1, 2, 3, 4, 5, 6, 7, 8])),
        (
            "cut in an element's header",
            [grey().beginning(), grey().data_set()[..30].to_vec(), vec![8, 0, 0x70]].concat(),
        ),
        ("a length beyond the file", begun(&element([9, 0, 0x10, 0x10], *b"OB", 0x7FFF_FFFF, &[]))),
        ("text of undefined length", begun(&element([8, 0, 0x16, 0x01], *b"UC", u32::MAX, &[]))),
        (
            "a sequence that never ends",
            [grey().beginning(), element([8, 0, 0x15, 0x11], *b"SQ", u32::MAX, &[])].concat(),
        ),
        ("sequences a thousand deep", nested(1000)),
        ("an end without a beginning", begun(&[0xFE, 0xFF, 0xDD, 0xE0, 0, 0, 0, 0])),
        ("an item outside of a sequence", begun(&item_of(&[1, 2, 3, 4]))),
        (
            "an element between items",
            begun(&element(
                [8, 0, 0x15, 0x11],
                *b"SQ",
                12,
                &[8, 0, 5, 0, b'C', b'S', 4, 0, 1, 2, 3, 4],
            )),
        ),
        ("a deflated data set that is none", deflated(&[0xFF; 64])),
        ("a deflate bomb", bomb()),
    ]
}

fn fields() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("no rows", grey().without(ROWS).file()),
        ("zero columns", grey().us(COLUMNS, 0).file()),
        ("rows that are text", grey().text(ROWS, "LO", "many").file()),
        ("huge rows and columns", grey().us(ROWS, 65_535).us(COLUMNS, 65_535).file()),
        ("2^31 frames", grey().text((0x0028, 0x0008), "IS", "2147483648").file()),
        ("-1 frames", grey().text((0x0028, 0x0008), "IS", "-1").file()),
        ("90000 frames in 32 bytes", grey().text((0x0028, 0x0008), "IS", "90000").file()),
        ("two samples", grey().us((0x0028, 0x0002), 2).file()),
        ("grey with three samples", grey().us((0x0028, 0x0002), 3).file()),
        ("no colour space", grey().without((0x0028, 0x0004)).file()),
        ("more bits stored than allocated", grey().us((0x0028, 0x0101), 17).file()),
        ("a high bit below the stored ones", grey().us((0x0028, 0x0102), 3).file()),
        ("no pixels", grey().without(PIXELS).file()),
        ("pixels cut short", cut(&grey(), 6)),
        ("fewer pixels than rows and columns", grey().us(ROWS, 9).file()),
        ("a window without width", grey().window("40", "0").file()),
        ("a window that is no number", grey().window("40", "NaN").file()),
        ("a slope that is no number", grey().rescaled("NaN", "0").file()),
        ("a slope of zero", grey().rescaled("0", "0").file()),
        ("a palette shorter than it says", palette(200, &[1, 2])),
        ("a palette without tables", Made::bytes8("PALETTE COLOR", 2, &[0, 1]).file()),
    ]
}

fn pixels() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("fragments in an uncompressed syntax", grey().fragments(EXPLICIT, &[&[1, 2]]).file()),
        ("no fragments", grey().fragments(RLE, &[]).file()),
        ("fragments that never end", cut(&grey().fragments(RLE, &[&[0; 64]]), 8)),
        ("RLE without a header", compressed(RLE, &[1, 0])),
        ("RLE with other segments", compressed(RLE, &rle(64, 1, &[0; 8]))),
        ("RLE with an offset outside", compressed(RLE, &rle(9999, 2, &[0; 8]))),
        ("RLE that is short", compressed(RLE, &rle(64, 2, &[1, 2, 3, 4]))),
        ("JPEG that is none", compressed(BASELINE, b"no picture")),
        ("JPEG cut in its header", compressed(BASELINE, &jpeg(0xC0, 8, 4, 4)[..10])),
        ("JPEG of another size", compressed(BASELINE, &jpeg(0xC0, 8, 60_000, 60_000))),
        ("JPEG without an end", compressed(LOSSLESS, &jpeg(0xC3, 16, 4, 4))),
        ("JPEG of 12 bits", compressed(BASELINE, &jpeg(0xC1, 12, 4, 4))),
        ("JPEG 2000 that is none", compressed(J2K, b"no picture")),
        ("JPEG 2000 of another size", compressed(J2K, &j2k(1 << 30, 1 << 30))),
        (
            "JPEG 2000 of 16384 components",
            compressed(J2K, &[&j2k(4, 4)[..40], &[0x40, 0, 15, 1, 1]].concat()),
        ),
        ("more compressed than not", compressed(J2K, &vec![0; 2 << 20])),
        ("JPEG 2000 without a picture", compressed(J2K, &j2k(4, 4))),
    ]
}

fn volumes() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("a volume with a negative side", volume(|v| v.i16(42, -4))),
        ("a volume of nine dimensions", volume(|v| v.i16(40, 9))),
        ("a volume with huge sides", volume(|v| (1..4).for_each(|i| v.i16(40 + 2 * i, 8000)))),
        ("a volume that begins beyond the file", volume(|v| v.f32(108, 5000.0))),
        ("a volume that is cut short", volume(|v| v.bytes.truncate(355))),
        (
            "a compressed volume that is none",
            [vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3], vec![0xFF; 40]].concat(),
        ),
    ]
}

fn said(folder: &Path, bytes: &[u8]) -> String {
    let path = folder.join("a");
    std::fs::write(&path, bytes).unwrap();
    let begun = Instant::now();
    let options = Options::default().with_recipe(Some(Recipe::Plain));
    let error = open(&path, &options).expect_err("it is damaged");
    assert!(begun.elapsed() < LONGEST, "{error} took {:?}", begun.elapsed());
    error.to_string().replace(&path.display().to_string(), "…")
}

#[test]
fn each_damaged_file_has_a_message_of_its_own() {
    let folder = TempDir::new().unwrap();
    let mut text = String::new();
    let mut seen = HashMap::new();
    let mut same = vec![];
    let files = [structure(), fields(), pixels(), volumes()].concat();
    assert!(40 <= files.len());
    for (name, bytes) in &files {
        let message = said(folder.path(), bytes);
        if let Some(other) = seen.insert(message.clone(), name) {
            same.push(format!("{name} and {other}: {message}"));
        }
        text.extend([name, ": ", &message, "\n"]);
    }
    assert!(same.is_empty(), "{}", same.join("\n"));
    let snapshot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reading/damaged.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&snapshot, &text).unwrap();
    }
    if cfg!(feature = "jpeg2000") {
        assert_eq!(text, std::fs::read_to_string(&snapshot).unwrap());
    }
}

#[test]
fn bytes_changed_and_files_cut_anywhere_are_no_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("a");
    let whole = grey().modality("CT").rescaled("1", "-1024").window("40", "400").file();
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0xFF;
        for bytes in [&whole[..at], &changed] {
            std::fs::write(&path, bytes).unwrap();
            if let Err(error) = open(&path, &Options::default()) {
                assert!(!error.to_string().contains("the decoder of"), "byte {at}: {error}");
            }
        }
    }
}
