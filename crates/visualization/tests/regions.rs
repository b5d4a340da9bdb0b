//! Regions from files, as one asks for them on a command line.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

use std::fs;
use std::path::Path;

use relevancy_visualization::image::{Rgb, RgbImage};
use relevancy_visualization::ndarray::Array2;
use relevancy_visualization::{
    Error, Frame, GridMap, Orientation, Placement, Region, RegionSpec, Shape, region_scores,
};

const SIZE: (u32, u32) = (40, 20);

fn frame() -> Frame {
    // The model saw the picture padded to 40 × 40.
    let seen = Placement { x0: 0.0, y0: -10.0, x1: 40.0, y1: 30.0 };
    Frame { size: SIZE, seen, orientation: Orientation::Pa }
}

fn read(path: &Path) -> Result<Vec<Region>, Error> {
    path.to_str().unwrap().parse::<RegionSpec>().unwrap().regions(&frame())
}

/// The regions of a JSON text beside a mask whose left half is red and right half green, with one black row.
fn parse(text: &str) -> Result<Vec<Region>, Error> {
    let folder = tempfile::tempdir().unwrap();
    mask().save(folder.path().join("mask.png")).unwrap();
    let path = folder.path().join("regions.json");
    fs::write(&path, text).unwrap();
    read(&path)
}

fn mask() -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| match (x, y) {
        (_, 0) => Rgb([0; 3]),
        (0..20, _) => Rgb([255, 0, 0]),
        _ => Rgb([0, 255, 0]),
    })
}

#[test]
fn every_kind_of_shape_is_read() {
    let regions = parse(
        r##"{"mask": "mask.png", "regions": [
            {"name": "triangle", "polygon": [[0, 0], [10, 0], [0, 10]]},
            {"name": "box", "box": [1, 2, 3, 4.5]},
            {"label": "as the model writes", "box_2d": [500, 250, 750, 500]},
            {"name": "half", "colour": "#ff0000"}
        ]}"##,
    )
    .unwrap();
    assert_eq!(regions[1].shape, Shape::Rectangle([1.0, 2.0, 3.0, 4.5]));
    assert_eq!(regions[2].shape, Shape::Rectangle([10.0, 10.0, 20.0, 20.0]));
    let grid = Array2::ones((2, 4));
    let placement = Placement { x0: 0.0, y0: 0.0, x1: 40.0, y1: 20.0 };
    let map = GridMap { grid: grid.view(), placement };
    let scores = region_scores(&map, SIZE, &regions).unwrap();
    let parts = [50.0, 5.0, 100.0, 380.0];
    for (score, part) in scores.iter().zip(parts) {
        assert!((score.area - part / 800.0).abs() < 1e-12, "{score:?}");
        assert!((score.density.unwrap() - 1.0).abs() < 1e-12, "{score:?}");
    }
    let outline = regions[3].outline();
    let right = outline.rings.iter().flatten().map(|p| p[0]).fold(0.0, f64::max);
    assert!((right - 20.0).abs() < 0.51, "{outline:?}");
}

#[test]
fn what_the_model_wrote_is_a_file_of_regions() {
    let regions = parse(r#"[{"box_2d": [250, 0, 750, 1000], "label": "all"}]"#).unwrap();
    assert_eq!(regions, [Region::rectangle("all", [0.0, 0.0, 40.0, 20.0])]);
}

#[test]
fn colours_of_a_mask_are_regions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("Lungs.PNG");
    mask().save(&path).unwrap();
    let names: Vec<_> = read(&path).unwrap().into_iter().map(|r| r.name).collect();
    assert_eq!(names, ["#00ff00", "#ff0000"]);

    let single = RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| Rgb([if x < 5 { 255 } else { 0 }; 3]));
    single.save(&path).unwrap();
    assert_eq!(read(&path).unwrap()[0].name, "Lungs");

    let photograph = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([x as u8, y as u8, 7]));
    photograph.save(&path).unwrap();
    assert!(matches!(read(&path), Err(Error::MaskColours { .. })));

    RgbImage::new(4, 4).save(&path).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(error.ends_with("is 4 x 4 pixels, its picture 40 x 20"), "{error}");
}

#[test]
fn bad_files_are_told() {
    let told = |text: &str| {
        let error = parse(text).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", source.unwrap_or_default())
    };
    assert!(told("no json").contains("regions.json is not a file of regions: expected"));
    assert!(told(r#"[{"name": "a", "circle": [1, 2, 3]}]"#).contains("unknown field `circle`"));
    assert!(told(r#"[{"name": "a"}]"#).contains("region \"a\" has not exactly one"));
    assert!(told(r#"[{"name": "a", "box": [3, 0, 1, 1]}]"#).contains("x0 < x1"));
    assert!(told(r##"[{"name": "a", "colour": "#ff0000"}]"##).contains("names no mask"));
    assert!(told(r#"{"mask": "none.png", "regions": []}"#).contains("cannot read the mask"));
    assert!(told("[]").contains("names no region"));
    let mask = |colour: &str| {
        told(&format!(
            r#"{{"mask": "mask.png", "regions": [{{"name": "a", "colour": "{colour}"}}]}}"#
        ))
    };
    assert!(mask("red").contains("#rrggbb") && mask("#0000ff").contains("no pixel"));
    assert!(matches!(read(Path::new("none.json")), Err(Error::ReadRegions { .. })));
    assert!(matches!(read(Path::new("none.png")), Err(Error::ReadMask { .. })));
}

#[test]
fn what_is_more_than_can_be_drawn_is_told() {
    let told = |text: &str| parse(text).unwrap_err().to_string();
    let polygon = |name: &str, corners: usize| {
        let corners: Vec<_> = (0..corners).map(|i| format!("[{}, {}]", i % 7, i % 5)).collect();
        format!(r#"{{"name": "{name}", "polygon": [{}]}}"#, corners.join(","))
    };
    let many = |count: usize| format!("[{}]", vec![polygon("a", 3); count].join(","));
    assert_eq!(parse(&many(200)).unwrap().len(), 200);
    assert!(told(&many(201)).ends_with("has 201 regions; the most is 200"));
    let corners = format!("[{}, {}]", polygon("a", 10_000), polygon("b", 10_001));
    assert!(told(&corners).ends_with("has 20001 corners; the most is 20000"));
    let name = told(&format!("[{}]", polygon(&"n".repeat(1 << 20), 3)));
    assert!(name.ends_with("has a name of 1048576 characters; the most is 100"));
    assert!(name.len() < 300);
    assert!(told(&format!("[{}]", polygon("\\u202e", 3))).contains("control characters"));
}

#[test]
fn a_mask_of_noise_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("noise.png");
    let noise = RgbImage::from_fn(600, 600, |x, y| Rgb([255 * ((x ^ y) & 1) as u8; 3]));
    noise.save(&path).unwrap();
    let spec = RegionSpec::File(path);
    let error = spec.regions(&Frame::whole(&noise, Orientation::None)).unwrap_err().to_string();
    assert!(error.contains("noise.png has more than 400000 edges"), "{error}");
}

#[test]
fn names_are_read_and_others_refused() {
    assert_eq!("CXR".parse::<RegionSpec>().unwrap(), RegionSpec::Cxr);
    let error = "lobes".parse::<RegionSpec>().unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown regions \"lobes\": expected one of halves, quadrants, grid3x3, cxr, FILE.json, MASK.png"
    );
    let note = RegionSpec::Cxr.note(Orientation::Ap).unwrap();
    assert!(note.contains("the picture's left is the patient's right"), "{note}");
    assert_eq!(RegionSpec::File("a.json".into()).note(Orientation::Pa), None);
}
