//! Stored values to pixels, step by step, with numbers computed by hand.

use std::path::Path;

use medical_pictures::{Options, Recipe, read_stored};
use tempfile::TempDir;

use crate::made::Made;

fn plain() -> Options {
    Options::default().with_recipe(Some(Recipe::Plain))
}

fn rgb(made: &Made) -> Vec<u8> {
    made.open(&Options::default()).unwrap()[0].rgb.as_raw().clone()
}

#[test]
fn monochrome1_is_the_inverse_of_monochrome2() {
    let two = Made::grey(&[0, 25, 50, 100]).window("50.5", "101");
    assert_eq!(two.greys(&plain()), [0, 64, 128, 255]);
    let one = two.text((0x0028, 0x0004), "CS", "MONOCHROME1");
    assert_eq!(one.greys(&plain()), [255, 191, 127, 0]);
    let provenance = &one.open(&plain()).unwrap()[0].provenance;
    assert!(provenance.inverted && provenance.photometric.as_deref() == Some("MONOCHROME1"));
}

#[test]
fn twelve_bits_with_a_sign_and_garbage_above_them() {
    // −2048, −1 and 2047, the four bits above set at random.
    let made = Made::grey(&[0xA800, 0x5FFF, 0x97FF]).stored(12, true);
    assert_eq!(made.greys(&plain()), [0, 127, 255]);
    let folder = TempDir::new().unwrap();
    let stored = read_stored(&made.write(folder.path(), "a"), 0).unwrap();
    assert_eq!(stored.values.iter().copied().collect::<Vec<_>>(), [-2048, -1, 2047]);
    assert_eq!(stored.values.dim(), (1, 3, 1));
}

#[test]
fn the_high_bit_may_lie_higher() {
    let made = Made::grey(&[0x0FF0, 0x0010, 0xFFFF]).stored(12, false).us((0x0028, 0x0102), 15);
    let folder = TempDir::new().unwrap();
    let stored = read_stored(&made.write(folder.path(), "a"), 0).unwrap();
    assert_eq!(stored.values.iter().copied().collect::<Vec<_>>(), [0xFF, 1, 0xFFF]);
}

#[test]
fn padding_is_black_and_counts_for_nothing() {
    let made = Made::grey(&[-2000, 100, 150, 200]).stored(16, true).with(
        (0x0028, 0x0120),
        "SS",
        (-2000_i16).to_le_bytes().to_vec(),
    );
    assert_eq!(made.greys(&plain()), [0, 0, 128, 255]);
    let inverse = made.text((0x0028, 0x0004), "CS", "MONOCHROME1");
    assert_eq!(inverse.greys(&plain()), [0, 255, 127, 0]);
    let to = Made::grey(&[7, 9, 100, 200]).us((0x0028, 0x0120), 5).us((0x0028, 0x0121), 9);
    assert_eq!(to.greys(&plain()), [0, 0, 0, 255]);
}

#[test]
fn colours_pixel_by_pixel_and_plane_by_plane() {
    let pixels = Made::bytes8("RGB", 2, &[1, 2, 3, 4, 5, 6]).us((0x0028, 0x0006), 0);
    let planes = Made::bytes8("RGB", 2, &[1, 4, 2, 5, 3, 6]).us((0x0028, 0x0006), 1);
    assert_eq!(rgb(&pixels), [1, 2, 3, 4, 5, 6]);
    assert_eq!(rgb(&planes), rgb(&pixels));
}

#[test]
fn ybr_is_converted_and_shared_colours_are_spread() {
    let full = Made::bytes8("YBR_FULL", 2, &[76, 85, 255, 128, 128, 128]);
    assert_eq!(rgb(&full), [254, 0, 0, 128, 128, 128]);
    let shared = Made::bytes8("YBR_FULL_422", 2, &[76, 100, 85, 255]);
    assert_eq!(rgb(&shared), [254, 0, 0, 255, 24, 24]);
}

/// Descriptor and data of the three tables.
fn with_palette(mut made: Made, bits: u16, tables: [&[u16]; 3]) -> Made {
    for (i, table) in tables.into_iter().enumerate() {
        let i = i as u16;
        made = made.words((0x0028, 0x1101 + i), "US", &[table.len() as u16, 10, bits]).words(
            (0x0028, 0x1201 + i),
            "OW",
            table,
        );
    }
    made
}

#[test]
fn palettes_of_16_and_of_8_bits() {
    let made = Made::bytes8("PALETTE COLOR", 4, &[0, 10, 11, 200]);
    let wide = with_palette(made.clone(), 16, [&[0x0100, 0xFF00], &[0x2000, 0x3000], &[0, 0x7FFF]]);
    assert_eq!(rgb(&wide), [1, 32, 0, 1, 32, 0, 255, 48, 127, 255, 48, 127]);
    let narrow = with_palette(made.clone(), 8, [&[1, 255], &[2, 3], &[4, 5]]);
    assert_eq!(rgb(&narrow), [1, 2, 4, 1, 2, 4, 255, 3, 5, 255, 3, 5]);
    // Two entries of a byte in one word.
    let packed = [0xFF01_u16, 0x0302, 0x0504];
    let mut shared = made;
    for (i, word) in packed.into_iter().enumerate() {
        let i = i as u16;
        shared = shared.words((0x0028, 0x1101 + i), "US", &[2, 10, 8]).words(
            (0x0028, 0x1201 + i),
            "OW",
            &[word],
        );
    }
    assert_eq!(rgb(&shared), rgb(&narrow));
}

#[test]
fn pixels_that_are_no_squares_become_squares() {
    let made = Made::sized(4, 3, &[100; 12]).text((0x0028, 0x0034), "IS", "2\\1");
    let picture = &made.open(&plain()).unwrap()[0];
    assert_eq!(picture.rgb.dimensions(), (4, 6));
    assert_eq!((picture.provenance.size, picture.provenance.resampled), ([4, 3], Some([4, 6])));
    let spaced = Made::sized(4, 3, &[100; 12]).text((0x0028, 0x0030), "DS", "0.5\\1.0");
    let picture = &spaced.open(&plain()).unwrap()[0];
    assert_eq!(picture.rgb.dimensions(), (8, 3));
    assert_eq!(picture.provenance.spacing_mm, Some([0.5, 1.0]));
}

#[test]
fn rle_and_deflated_pixels_are_the_same_as_plain_ones() {
    let plain_made = Made::grey(&[0x0102, 0x0102, 0x0304]);
    let mut packed = vec![0; 64];
    packed[0] = 2;
    packed[4] = 64;
    packed[8] = 68;
    packed.extend([0xFF, 1, 0, 3]);
    packed.extend([2, 2, 2, 4]);
    let packed = plain_made.clone().fragments("1.2.840.10008.1.2.5", &[&packed]);
    let folder = TempDir::new().unwrap();
    let values = |path: &Path| read_stored(path, 0).unwrap().values;
    let expected = values(&plain_made.write(folder.path(), "plain"));
    assert_eq!(values(&packed.write(folder.path(), "rle")), expected);

    let mut deflated =
        Made { syntax: "1.2.840.10008.1.2.1.99".into(), ..plain_made.clone() }.beginning();
    let mut encoder =
        flate2::write::DeflateEncoder::new(&mut deflated, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &plain_made.data_set()).unwrap();
    encoder.finish().unwrap();
    let path = folder.path().join("deflated");
    std::fs::write(&path, deflated).unwrap();
    assert_eq!(values(&path), expected);

    let bare = folder.path().join("bare");
    std::fs::write(&bare, plain_made.data_set()).unwrap();
    assert_eq!(values(&bare), expected, "without preamble and meta information");
    assert!(
        medical_pictures::is_medical(&bare) && !medical_pictures::is_medical(Path::new("absent"))
    );
}

#[test]
fn what_is_not_read_is_named() {
    let said = |made: Made| made.open(&Options::default()).unwrap_err().to_string();
    assert!(said(Made::grey(&[1]).us((0x0028, 0x0100), 32)).contains("32 bits allocated"));
    assert!(said(Made::grey(&[1]).us((0x0028, 0x0100), 1)).contains("1 bits allocated"));
    assert!(
        said(Made::grey(&[1]).text((0x0028, 0x0004), "CS", "YBR_PARTIAL_420"))
            .contains("YBR_PARTIAL_420")
    );
    let movie = Made::grey(&[1]).fragments("1.2.840.10008.1.2.4.102", &[&[0, 0]]);
    let text = said(movie);
    assert!(
        text.contains("MPEG-4")
            && text.contains("1.2.840.10008.1.2.4.102")
            && text.contains("dcmtk"),
        "{text}"
    );
}
