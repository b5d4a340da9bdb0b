//! Pictures: cut, damaged, of odd kinds, and small files that claim to be large.

use anyhow::Result;

use super::{Surface, no_files};
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::{mutate, picture};
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "pictures", fixed, random };

/// The name holds no kind: what is inside decides.
const NAME: &str = "picture";

fn ask() -> Call {
    Call::answer("phantom", NAME)
}

fn good() -> [(&'static str, Vec<u8>); 5] {
    [
        ("PNG", picture::good()),
        ("JPEG", picture::jpeg(40, 56)),
        ("BMP", picture::bmp(40, 8, 40 * 8 * 3)),
        ("TIFF", picture::tiff(40, 8, 40 * 8)),
        ("WebP", picture::webp(40, 56)),
    ]
}

fn fixed(_: &Material) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for (name, bytes) in good() {
        cases.push(Case::new(name).file(NAME, bytes.clone()).call(ask().done()));
        let half = bytes[..bytes.len() / 2].to_vec();
        // A decoder may take the end of a JPEG for grey, as others do.
        cases.push(Case::new(format!("half a {name}")).file(NAME, half).call(ask()));
    }
    let mut refused = |title: &str, what| {
        cases.push(Case::new(title).with(NAME, what).call(ask().refused(&[NAME])));
    };
    for (name, what) in no_files() {
        refused(name, what);
    }
    refused("only zeros, many", What::Zeros(1 << 36));
    refused("nothing", What::File(Vec::new()));
    for (name, magic) in kinds() {
        refused(name, What::File(magic));
    }
    for (name, bytes) in [
        ("PNG of 2³¹ × 2³¹", picture::black_png((1 << 31) - 1, 1, 0)),
        ("PNG of 65535 × 65535", picture::black_png(65_535, 65_535, 1)),
        ("JPEG of 65500 × 65500, its end missing", picture::jpeg(65_500, 65_500)[..4096].to_vec()),
        ("BMP of 30000 × 30000", picture::bmp(30_000, 30_000, 0)),
        ("BMP of no width", picture::bmp(0, 30_000, 0)),
        ("BMP of a negative width", picture::bmp(i32::MIN, i32::MIN, 0)),
        ("TIFF of 2³² × 2³²", picture::tiff(u32::MAX, u32::MAX, 0)),
        ("WebP of 16384 × 16384", picture::webp(16_384, 16_384)),
    ] {
        refused(name, What::File(bytes));
    }
    // Within what a decoder may take: the answer comes, or the size is refused before the model runs.
    for (name, bytes) in [
        ("PNG of 32768 × 16384", picture::black_png(32_768, 16_384, 16_384)),
        ("PNG of 16384 × 10900", picture::black_png(16_384, 10_900, 10_900)),
        ("JPEG of 12287 × 12287", picture::jpeg(12_287, 12_287)),
        ("PNG of 100000 × 1", picture::black_png(100_000, 1, 1)),
    ] {
        let explain = Call::explain("phantom", NAME);
        cases.push(Case::new(name).file(NAME, bytes).call(explain));
    }
    cases.push(
        Case::new("colour profile of 100 MB")
            .file(NAME, picture::png_with(&picture::good(), &icc_bomb()))
            .call(ask()),
    );
    Ok(cases)
}

/// First bytes of files that are no pictures, or of kinds that are not read.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    let padded = |magic: &[u8]| [magic, &[0; 600]].concat();
    vec![
        ("DICOM", [&[0; 128][..], b"DICM", &[0; 600]].concat()),
        ("NIfTI", padded(&348_u32.to_le_bytes())),
        ("GGUF", padded(b"GGUF\x03\0\0\0")),
        ("npy", padded(b"\x93NUMPY\x01\0")),
        ("GIF", padded(b"GIF89a")),
        ("SVG", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec()),
        ("PDF", padded(b"%PDF-1.7\n")),
        ("zip", padded(b"PK\x03\x04")),
        ("text", b"hello \x1b[31m".to_vec()),
    ]
}

/// A chunk with a compressed profile that unpacks to 100 MB of zeros.
fn icc_bomb() -> Vec<u8> {
    let packed = picture::zeros(100 << 20);
    picture::chunk(*b"iCCP", &[&b"x\0\0"[..], &packed].concat())
}

fn random(_: &Material, random: &mut SplitMix) -> Result<Case> {
    let good = good();
    let (name, bytes) = random.pick(&good);
    let bytes = mutate::bytes(random, bytes);
    let case = Case::new(format!("changed {name}")).file(NAME, bytes);
    let call = if random.once_in(3) { Call::explain("phantom", NAME) } else { ask() };
    let extra: &[&str] = match random.below(4) {
        0 => &["--pan-and-scan"],
        1 => &["--pad-to-square"],
        2 => &["--resize", "pillow"],
        _ => &[],
    };
    Ok(case.call(call.and(extra)))
}
