//! Pictures in, pictures out.

use crate::contract::array;
use crate::support::{asked, explain, names, record, run, text};
use integration_tests::Fixture;
use integration_tests::ndarray::{Array4, Axis};
use serde_json::json;
use std::path::Path;
use tempfile::tempdir;

/// Width and height of a picture.
fn size(path: &Path) -> (u32, u32) {
    image::image_dimensions(path).unwrap()
}

#[test]
fn overlays_have_the_geometry_of_their_pictures() {
    for name in ["two-images", "old-names", "layout"] {
        let fixture = Fixture::open(name);
        let folder = tempdir().unwrap();
        explain(&fixture, folder.path(), &["--no-report"]).done();
        let pictures = fixture.pictures();
        let numbered = |kind: &str| -> Vec<String> {
            (0..pictures.len()).map(|n| format!("{kind}-{n}.png")).collect()
        };
        let overlays = numbered("overlay-0");
        let data = ["explanation.json", "explanation.npz"].map(str::to_owned);
        assert_eq!(names(folder.path()), [&data[..], &overlays, &numbered("picture")].concat());
        for (picture, overlay) in pictures.iter().zip(&overlays) {
            let (width, height) = size(picture);
            // Small pictures are enlarged by a whole factor, to 600 pixels or more on the longer side.
            let factor = 600u32.div_ceil(width.max(height));
            let (drawn_width, drawn_height) = size(&folder.path().join(overlay));
            assert!(
                width * factor < drawn_width,
                "{overlay}: a colour bar beside {width}×{height}"
            );
            assert!(height * factor < drawn_height, "{overlay}: a caption above {width}×{height}");
            assert!(drawn_width <= width * factor + 400, "{overlay}: {drawn_width}");
            assert!(drawn_height <= height * factor + 200, "{overlay}: {drawn_height}");
        }
    }
}

#[test]
fn colours_are_perceptually_uniform_and_jet_on_request() {
    let fixture = Fixture::open("two-images");
    let folder = tempdir().unwrap();
    let colours = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        explain(&fixture, &out, more).done();
        image::open(out.join("overlay-0-0.png")).unwrap().into_rgb8()
    };
    let (plain, named, jet) = (
        colours("plain", &[]),
        colours("inferno", &["--colormap", "inferno"]),
        colours("jet", &["--colormap", "jet"]),
    );
    assert_eq!(plain, named);
    assert_eq!(plain.dimensions(), jet.dimensions());
    // The low end of jet's colour bar is dark blue, that of inferno black.
    let has = |picture: &image::RgbImage, colour: [u8; 3]| {
        picture.pixels().any(|pixel| pixel.0 == colour)
    };
    assert!(has(&jet, [0, 0, 128]) || has(&jet, [0, 0, 127]), "no dark blue");
    assert!(!has(&plain, [0, 0, 128]) && !has(&plain, [0, 0, 127]));
}

#[test]
fn a_picture_of_16_bits_asks_for_a_window() {
    let (fixture, folder) = (Fixture::open("two-images"), tempdir().unwrap());
    let grey = text(&Fixture::folder().join("pictures/grey16.png"));
    let model = text(&fixture.model());
    let explain = |more: &[&str]| {
        let args =
            ["explain", "--model", &model, "--image", &grey, "--prompt", "Where?", "--ignore-stop"];
        let out = ["--max-new-tokens", "2", "--out", &text(folder.path())].map(str::to_owned);
        run([
            &args.map(str::to_owned)[..],
            &out,
            &more.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>(),
        ]
        .concat())
        .done()
    };
    let chosen = explain(&[]);
    let warning = format!(
        "warning: {grey}: 16-bit grey without a window: 299..3560 (percentiles 0.5 and 99.5) was chosen\n"
    );
    assert_eq!(chosen.stderr, warning);
    let picture = record(folder.path())["pictures"][0].clone();
    assert_eq!(
        (&picture["window"], picture["warnings"].as_array().unwrap().len()),
        (&json!([299, 3560]), 1)
    );

    for (window, recorded) in [("200,3800", json!([200, 3800])), ("min-max", json!([200, 3800]))] {
        let given = explain(&["--window", window]);
        assert_eq!(given.stderr, "", "{window}");
        let picture = record(folder.path())["pictures"][0].clone();
        assert_eq!((&picture["window"], &picture["warnings"]), (&recorded, &json!([])), "{window}");
    }
}

#[test]
fn a_window_for_a_picture_of_8_bits_is_said_to_be_unused() {
    let fixture = Fixture::open("two-images");
    let window = ["--window", "1,2"].map(str::to_owned).to_vec();
    let run = run([vec!["answer".to_owned()], asked(&fixture), window].concat()).done();
    assert_eq!(run.stderr.lines().count(), 2);
    assert!(run.stderr.contains("the window is not used"), "{}", run.stderr);
}

#[test]
fn a_turned_picture_is_explained_upright() {
    let (fixture, folder) = (Fixture::open("two-images"), tempdir().unwrap());
    let turned = text(&Fixture::folder().join("pictures/orientation6.jpg"));
    let (model, out) = (text(&fixture.model()), text(folder.path()));
    let args =
        ["explain", "--model", &model, "--image", &turned, "--prompt", "Where?", "--ignore-stop"];
    run([&args[..], &["--max-new-tokens", "2", "--answer-span", "--out", &out]].concat()).done();
    let record = record(folder.path());
    let picture = &record["pictures"][0];
    assert_eq!([&picture["width"], &picture["height"], &picture["exif_orientation"]], [32, 48, 6]);
    assert_eq!(record["images"][0]["region"], json!([0.0, 0.0, 32.0, 48.0]));
    let (width, height) = size(&folder.path().join("overlay-0-0.png"));
    assert!(32 * 13 < width && 48 * 13 < height, "{width}×{height} for 32×48, enlarged 13 times");
}

#[test]
fn crops_are_images_of_the_same_picture() {
    let (fixture, folder) = (Fixture::open("two-images"), tempdir().unwrap());
    let long = folder.path().join("long.png");
    image::RgbImage::from_fn(900, 300, |x, y| image::Rgb([(x / 4) as u8, y as u8, 90]))
        .save(&long)
        .unwrap();
    let (model, long, out) = (text(&fixture.model()), text(&long), folder.path().join("out"));
    let args =
        ["explain", "--model", &model, "--image", &long, "--prompt", "Where?", "--pan-and-scan"];
    let rest = ["--ignore-stop", "--max-new-tokens", "1", "--answer-span", "--out", &text(&out)];
    run([&args[..], &rest].concat()).done();
    let record = record(&out);
    let images = record["images"].as_array().unwrap();
    assert_eq!(images.len(), 4, "the picture and three crops");
    assert!(images.iter().all(|image| image["picture"] == 0));
    assert_eq!(images[1]["region"], json!([0.0, 0.0, 300.0, 300.0]));
    assert_eq!(record["files"]["overlays"].as_array().unwrap().len(), 4);
    let grids: Array4<f32> = array(&out, "image_relevancy");
    assert_eq!(grids.len_of(Axis(1)), 4);
}
