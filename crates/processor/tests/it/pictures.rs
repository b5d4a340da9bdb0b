//! Pictures of every format and depth, oriented, limited, broken.

use std::io::Cursor;

use gemma3_processor::image::{
    DynamicImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba,
};
use gemma3_processor::{Error, Picture, PictureOptions, Warning, Window};

use crate::checkpoint::fixtures;
use crate::formula;

const FORMATS: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Bmp];

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(vec![]);
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn read(bytes: &[u8]) -> Result<Picture, Error> {
    Picture::from_bytes(bytes, "file.img", &PictureOptions::default())
}

fn read_with(bytes: &[u8], options: &PictureOptions) -> Result<Picture, Error> {
    Picture::from_bytes(bytes, "file.img", options)
}

#[test]
fn every_format_is_read_by_its_content() {
    let original = formula::picture(30, 20, 3);
    for format in FORMATS {
        let picture = read(&encoded(original.clone(), format)).unwrap();
        assert_eq!([picture.width(), picture.height()], [30, 20], "{format:?}");
        assert!(picture.warnings().is_empty() && picture.exif_orientation() == 1, "{format:?}");
        if format != ImageFormat::Jpeg {
            assert_eq!(picture.rgb(), &original, "{format:?}");
        }
    }
}

#[test]
fn opening_a_file_names_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chest.png");
    std::fs::write(&path, encoded(formula::picture(4, 4, 0), ImageFormat::Png)).unwrap();
    let options = PictureOptions::default();
    assert!(Picture::open(&path, &options).unwrap().name().ends_with("chest.png"));
    let small = options.clone().with_max_file_bytes(20);
    let error = Picture::open(&path, &small).unwrap_err().to_string();
    assert!(error.contains("chest.png") && error.contains("20"), "{error}");
    let error = Picture::open(&dir.path().join("absent.png"), &options).unwrap_err().to_string();
    assert!(error.contains("absent.png"), "{error}");
    assert!(Picture::open(dir.path(), &options).is_err(), "a folder");
}

#[test]
fn grey_and_alpha_become_rgb_as_pillow_makes_it() {
    let grey = GrayImage::from_raw(2, 1, vec![7, 200]).unwrap();
    assert_eq!(
        read(&encoded(grey, ImageFormat::Png)).unwrap().rgb().as_raw(),
        &[7, 7, 7, 200, 200, 200]
    );
    let rgba = ImageBuffer::<Rgba<u8>, _>::from_raw(1, 1, vec![1, 2, 3, 0]).unwrap();
    let picture = read(&encoded(rgba, ImageFormat::Png)).unwrap();
    assert_eq!(picture.rgb().as_raw(), &[1, 2, 3], "the colour stays, whatever the alpha");
    assert_eq!(picture.warnings(), [Warning::AlphaDropped]);
    let grey_alpha = ImageBuffer::<LumaA<u8>, _>::from_raw(1, 1, vec![9, 255]).unwrap();
    let picture = read(&encoded(grey_alpha, ImageFormat::Png)).unwrap();
    assert_eq!((picture.rgb().as_raw().as_slice(), picture.warnings()), (&[9, 9, 9][..], &[][..]));
    let wide = ImageBuffer::<Rgb<u16>, _>::from_raw(1, 1, vec![0x00FF, 0x0100, 0xFFFF]).unwrap();
    let picture = read(&encoded(wide, ImageFormat::Png)).unwrap();
    assert_eq!(picture.rgb().as_raw(), &[0, 1, 255], "the high byte");
    assert_eq!(picture.warnings(), [Warning::HighByte]);
}

#[test]
fn files_that_pillow_wrote_have_the_pixels_that_pillow_reads() {
    let file = std::fs::read(fixtures().join("modes.json")).unwrap();
    let file: serde_json::Value = serde_json::from_slice(&file).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 15);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let numbers = |key: &str| -> Vec<u8> {
            case[key].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u8).collect()
        };
        let picture = read(&numbers("file")).unwrap();
        assert_eq!(vec![picture.width() as u8, picture.height() as u8], numbers("size"), "{name}");
        assert_eq!(picture.rgb().as_raw(), &numbers("rgb"), "{name}");
    }
}

#[test]
fn a_palette_is_expanded() {
    // 2 × 1 pixels, palette of red and transparent blue; zlib with a stored block.
    let idat = [0x78, 1, 1, 2, 0, 0xFD, 0xFF, 0, 0b0100_0000, 0, 0x42, 0, 0x41];
    let chunks = [
        (b"IHDR", &[0, 0, 0, 2, 0, 0, 0, 1, 1, 3, 0, 0, 0][..]),
        (b"PLTE", &[255, 0, 0, 0, 0, 255]),
        (b"tRNS", &[255, 0]),
        (b"IDAT", &idat),
        (b"IEND", &[]),
    ];
    let picture = read(&png(&chunks)).unwrap();
    assert_eq!(picture.rgb().as_raw(), &[255, 0, 0, 0, 0, 255]);
    assert_eq!(picture.warnings(), [Warning::AlphaDropped]);
}

#[test]
fn sixteen_bit_grey_goes_through_a_window_and_says_so() {
    let values: Vec<u16> = (0..100).map(|i| 1000 + 10 * i).collect();
    let grey = ImageBuffer::<Luma<u16>, _>::from_raw(100, 1, values.clone()).unwrap();
    let with_alpha = values.iter().flat_map(|&v| [v, 65_535]).collect();
    let grey_alpha = ImageBuffer::<LumaA<u16>, _>::from_raw(100, 1, with_alpha).unwrap();
    let files = [
        encoded(grey.clone(), ImageFormat::Png),
        encoded(grey, ImageFormat::Tiff),
        encoded(grey_alpha, ImageFormat::Png),
    ];
    for bytes in files {
        let chosen = read(&bytes).unwrap();
        let window = chosen.window().unwrap();
        assert_eq!((window.window, window.chosen), (Window::DEFAULT, true));
        assert_eq!((window.low, window.high), (1000, 1990));
        assert_eq!(chosen.warnings(), [Warning::WindowChosen(window)]);
        assert_eq!(chosen.rgb().as_raw()[..3], [0, 0, 0]);
        assert_eq!(chosen.rgb().as_raw()[297..], [255, 255, 255]);

        let options =
            PictureOptions::default().with_window(Some(Window::Range { low: 0, high: 2000 }));
        let given = read_with(&bytes, &options).unwrap();
        assert!(given.warnings().is_empty() && !given.window().unwrap().chosen);
        assert_eq!(given.rgb().as_raw()[0], 128, "1000 of 2000 is half, rounded up");
    }
}

#[test]
fn a_window_that_is_not_used_or_empty_is_told() {
    let bytes = encoded(formula::picture(3, 3, 0), ImageFormat::Png);
    let options = PictureOptions::default().with_window(Some(Window::MinMax));
    assert_eq!(read_with(&bytes, &options).unwrap().warnings(), [Warning::WindowUnused]);
    let grey = ImageBuffer::<Luma<u16>, _>::from_raw(1, 1, vec![5]).unwrap();
    let options = PictureOptions::default().with_window(Some(Window::Range { low: 9, high: 3 }));
    assert!(matches!(
        read_with(&encoded(grey, ImageFormat::Png), &options),
        Err(Error::Window { .. })
    ));
}

#[test]
fn exif_orientation_is_applied() {
    // 3 × 2 with a different value in every pixel.
    let original = RgbImage::from_fn(3, 2, |x, y| Rgb([(10 * y + x) as u8; 3]));
    let upright = |orientation: u8| {
        let bytes = tiff_with_orientation(&original, orientation);
        let picture = read(&bytes).unwrap();
        assert_eq!(picture.exif_orientation(), orientation);
        let reds: Vec<u8> = picture.rgb().pixels().map(|p| p[0]).collect();
        ([picture.width(), picture.height()], reds)
    };
    // As ImageOps.exif_transpose of Pillow: 3 turns by 180°, 6 by 90° clockwise, 8 counter-clockwise, 2 mirrors.
    assert_eq!(upright(1), ([3, 2], vec![0, 1, 2, 10, 11, 12]));
    assert_eq!(upright(2), ([3, 2], vec![2, 1, 0, 12, 11, 10]));
    assert_eq!(upright(3), ([3, 2], vec![12, 11, 10, 2, 1, 0]));
    assert_eq!(upright(6), ([2, 3], vec![10, 0, 11, 1, 12, 2]));
    assert_eq!(upright(8), ([2, 3], vec![2, 12, 1, 11, 0, 10]));
}

#[test]
fn exif_orientation_of_a_jpeg_is_applied() {
    let plain = encoded(formula::picture(16, 8, 0), ImageFormat::Jpeg);
    let exif = [
        &b"Exif\0\0II*\0\x08\0\0\0\x01\0"[..],       // one entry
        &[0x12, 0x01, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0], // orientation, short, 1 value: 6
        &[0, 0, 0, 0],
    ]
    .concat();
    let length = (exif.len() as u16 + 2).to_be_bytes();
    let turned = [&plain[..2], &[0xFF, 0xE1], &length, &exif, &plain[2..]].concat();
    let picture = read(&turned).unwrap();
    assert_eq!(([picture.width(), picture.height()], picture.exif_orientation()), ([8, 16], 6));
}

#[test]
fn what_is_no_picture_is_an_error() {
    for bytes in [&b""[..], b"hello", b"<svg></svg>", &[0; 64]] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, Error::NotAPicture { .. }), "{error}");
        assert!(error.to_string().contains("file.img"));
    }
    let error = read(b"GIF89a\x01\0\x01\0\0\0\0").unwrap_err();
    assert!(matches!(error, Error::ForeignFile { .. }), "{error}");
}

#[test]
fn truncated_files_are_errors_in_every_format() {
    for format in FORMATS {
        let whole = encoded(formula::picture(60, 50, 1), format);
        for length in [12, whole.len() / 4, whole.len() / 2, whole.len() * 9 / 10] {
            let result = read(&whole[..length]);
            assert!(result.is_err(), "{format:?} cut to {length} of {} bytes", whole.len());
        }
    }
}

#[test]
fn changed_bytes_never_panic() {
    for format in FORMATS {
        let whole = encoded(formula::picture(24, 16, 2), format);
        for at in (0..whole.len()).step_by(whole.len() / 150 + 1) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xFF;
            // Either is fine: some changes only alter colours.
            if let Ok(picture) =
                read_with(&bytes, &PictureOptions::default().with_max_decoded_bytes(1 << 22))
            {
                assert!(picture.width() > 0 && picture.height() > 0);
            }
        }
    }
}

#[test]
fn decompression_bombs_meet_the_limits() {
    // Headers only: what they announce must be refused before anything is decoded.
    let header = |width: u32, height: u32| {
        let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
        png(&[(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat()), (b"IDAT", &[]), (b"IEND", &[])])
    };
    let wide = read(&header(100_000, 10)).unwrap_err();
    assert!(matches!(wide, Error::PictureLimit { found: 100_000, limit: 32_768, .. }), "{wide}");
    let big = read(&header(30_000, 30_000)).unwrap_err();
    assert!(
        matches!(big, Error::PictureLimit { found: 900_000_000, limit: 67_108_864, .. }),
        "{big}"
    );
    let deep = PictureOptions::default().with_max_pixels(1 << 40);
    let deep = read_with(&header(30_000, 30_000), &deep).unwrap_err();
    assert!(matches!(deep, Error::PictureLimit { found: 2_700_000_000, .. }), "{deep}");
    let small = PictureOptions::default().with_max_decoded_bytes(100);
    let bytes = encoded(formula::picture(10, 10, 0), ImageFormat::Bmp);
    assert!(matches!(read_with(&bytes, &small), Err(Error::PictureLimit { .. })));
}

#[test]
fn pictures_without_pixels_are_errors() {
    let size = [0; 8];
    let empty =
        png(&[(b"IHDR", &[&size[..], &[8, 2, 0, 0, 0]].concat()), (b"IDAT", &[]), (b"IEND", &[])]);
    assert!(read(&empty).is_err());
    assert!(matches!(Picture::from_rgb(RgbImage::new(0, 5)), Err(Error::ZeroSize { .. })));
}

/// A PNG of the given chunks.
fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, data) in chunks {
        let body = [&kind[..], data].concat();
        bytes.extend((data.len() as u32).to_be_bytes());
        bytes.extend(&body);
        bytes.extend(crc32(&body).to_be_bytes());
    }
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), step))
}

/// An uncompressed little-endian TIFF.
fn tiff_with_orientation(picture: &RgbImage, orientation: u8) -> Vec<u8> {
    let data = picture.as_raw();
    let entries: [(u16, u16, u32, u32); 10] = [
        (256, 4, 1, picture.width()),
        (257, 4, 1, picture.height()),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (274, 3, 1, orientation.into()),
        (277, 3, 1, 3),
        (278, 4, 1, picture.height()),
        (279, 4, 1, data.len() as u32),
    ];
    let mut bytes = [&b"II*\0"[..], &(8 + data.len() as u32).to_le_bytes(), data].concat();
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([0; 4]);
    bytes
}

/// `pages` one-pixel grey pages, uncompressed, little-endian.
fn tiff_of_pages(pages: u32) -> Vec<u8> {
    const DIRECTORY: u32 = 2 + 8 * 12 + 4;
    let mut bytes = b"II*\0".to_vec();
    bytes.extend(8_u32.to_le_bytes());
    for page in 0..pages {
        let start = 8 + page * (DIRECTORY + 2);
        let pixel = start + DIRECTORY;
        bytes.extend(8_u16.to_le_bytes());
        for (tag, value) in
            [(256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, pixel), (278, 1), (279, 1)]
        {
            bytes.extend(u16::to_le_bytes(tag));
            bytes.extend(4_u16.to_le_bytes()); // LONG
            bytes.extend(1_u32.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
        let next = if page + 1 == pages { 0 } else { pixel + 2 };
        bytes.extend(next.to_le_bytes());
        bytes.extend([40 * page as u8, 0]);
    }
    bytes
}

#[test]
fn pages_that_are_not_used_are_told() {
    let options = PictureOptions::default();
    let picture =
        |pages| Picture::from_bytes(&tiff_of_pages(pages), "stack.tif", &options).unwrap();
    assert_eq!(picture(1).warnings(), []);
    let stack = picture(5);
    assert_eq!(stack.warnings(), [Warning::FirstPage { pages: 5 }]);
    assert_eq!(stack.rgb().get_pixel(0, 0).0, [0; 3], "the first page");
    assert!(stack.warnings()[0].to_string().contains("the first of 5 pages"));
}

#[test]
fn files_of_other_kinds_are_named_with_what_to_do() {
    let mut dicom = vec![0; 128];
    dicom[..4].copy_from_slice(b"II*\0"); // some scanners write the magic of a TIFF into the preamble
    dicom.extend(b"DICM");
    for (bytes, kind, advice) in [
        (&dicom[..], "is a DICOM file", "dcmj2pnm"),
        (b"\x93NUMPY\x01\0", "is a NumPy array", "Pillow"),
        (b"GGUF\x03\0\0\0", "is a GGUF file of weights", "not a picture"),
        (b"\x1f\x8b\x08\0", "is a gzip file, as .nii.gz is", "unpack it"),
    ] {
        let error = Picture::from_bytes(bytes, "file", &PictureOptions::default()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(kind) && message.contains(advice), "{message}");
    }
}
