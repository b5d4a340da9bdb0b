//! Which recipe, which window, and what came of it.

use medical_pictures::{
    Channel, CheckKind, Options, Preset, Recipe, Slices, Window, WindowOrigin, WindowShape,
};

use crate::made::{Made, Tag};

const VOI_LUT_FUNCTION: Tag = (0x0028, 0x1056);

#[test]
fn the_notebooks_windows_of_ct() {
    let made = Made::grey(&[0, 889, 1024, 1064, 1239, 3000]).modality("CT").rescaled("1", "-1024");
    let picture = &made.open(&Options::default()).unwrap()[0];
    // HU: −1024, −135, 0, 40, 215 and 1976.
    let colours: Vec<[u8; 3]> = picture.rgb.pixels().map(|pixel| pixel.0).collect();
    let expected =
        [[0, 0, 0], [111, 0, 0], [128, 98, 0], [132, 128, 128], [154, 255, 255], [255, 255, 255]];
    assert_eq!(colours, expected);
    let provenance = &picture.provenance;
    assert_eq!(
        (provenance.recipe, picture.label.as_deref()),
        (Recipe::CtNotebook, Some("SLICE 1"))
    );
    assert_eq!(provenance.recipe_because, "the modality is CT");
    assert_eq!(provenance.window[1].channel, Channel::Green);
    assert_eq!((provenance.window[1].low, provenance.window[1].unit.as_str()), (-135.0, "HU"));
}

#[test]
fn the_servers_green_is_another() {
    let made = Made::grey(&[1024, 1159, 1199, 1239]).modality("CT").rescaled("1", "-1024");
    let options = Options::default().with_recipe(Some(Recipe::CtServer));
    let picture = &made.open(&options).unwrap()[0];
    // HU: 0, 135, 175 and 215.
    let green: Vec<u8> = picture.rgb.pixels().map(|pixel| pixel.0[1]).collect();
    assert_eq!(green, [0, 0, 128, 255]);
    assert_eq!(picture.provenance.recipe_because, "it was given");
}

#[test]
fn radiographs_are_windowed_where_they_say_so_and_stretched_else() {
    let made = Made::grey(&[0, 50, 100, 200]).modality("DX");
    assert_eq!(made.greys(&Options::default()), [0, 64, 128, 255]);
    // Centre ± half the width, and not the line of the standard.
    let windowed = made.clone().window("100", "100");
    // 50 · (255 / 100) is a little less than 127.5 in floating point, with NumPy as here.
    assert_eq!(windowed.greys(&Options::default()), [0, 0, 127, 255]);
    let inverse = windowed.text((0x0028, 0x0004), "CS", "MONOCHROME1");
    assert_eq!(inverse.greys(&Options::default()), [255, 255, 128, 0]);
    let bytes = Made::bytes8("MONOCHROME2", 4, &[10, 20, 30, 40]).modality("CR");
    assert_eq!(bytes.greys(&Options::default()), [10, 20, 30, 40], "bytes stay as they are");
}

#[test]
fn an_s_is_an_s_in_the_plain_recipe_and_a_line_in_the_servers() {
    let made =
        Made::grey(&[80, 100, 120]).window("100", "40").text(VOI_LUT_FUNCTION, "CS", "SIGMOID");
    let picture = &made.open(&Options::default()).unwrap()[0];
    assert_eq!(picture.rgb.as_raw().iter().copied().step_by(3).collect::<Vec<_>>(), [30, 128, 225]);
    assert_eq!(picture.provenance.window[0].shape, WindowShape::Sigmoid);
    let exact =
        Made::grey(&[80, 90, 120]).window("100", "40").text(VOI_LUT_FUNCTION, "CS", "LINEAR_EXACT");
    assert_eq!(exact.greys(&Options::default()), [0, 64, 255]);
    let radiograph = made.modality("DX").open(&Options::default()).unwrap();
    assert!(radiograph[0].provenance.notes[0].contains("takes as a line"));
}

#[test]
fn tables_of_the_modality_and_of_grey() {
    let item = Made::item().words((0x0028, 0x3002), "US", &[3, 1, 16]).words(
        (0x0028, 0x3006),
        "OW",
        &[100, 300, 500],
    );
    let modality = Made::grey(&[0, 1, 2, 3, 9]).sequence((0x0028, 0x3000), &item);
    assert_eq!(modality.greys(&Options::default()), [0, 0, 128, 255, 255]);
    // The descriptor says 16 bits, the entries have 12.
    let item = Made::item().words((0x0028, 0x3002), "US", &[3, 1, 16]).words(
        (0x0028, 0x3006),
        "OW",
        &[0, 2048, 4095],
    );
    let grey = Made::grey(&[0, 1, 2, 3, 9]).sequence((0x0028, 0x3010), &item);
    assert_eq!(grey.greys(&Options::default()), [0, 0, 128, 255, 255]);
    let window = grey.open(&Options::default()).unwrap()[0].provenance.window[0].clone();
    assert_eq!((window.origin, window.low, window.high), (WindowOrigin::Lut, 1.0, 3.0));
}

#[test]
fn windows_may_be_given() {
    let made = Made::grey(&[0, 1024, 1064, 2000])
        .modality("CT")
        .rescaled("1", "-1024")
        .window("40\\500", "400\\2000");
    let greys = |window| made.greys(&Options::default().with_window(Some(window)));
    assert_eq!(greys(Window::Range { low: 0.0, high: 80.0 }), [0, 0, 128, 255]);
    assert_eq!(greys(Window::Preset(Preset::Brain)), greys(Window::Range { low: 0.0, high: 80.0 }));
    assert_eq!(greys(Window::Centre { centre: 40.5, width: 81.0 }), [0, 0, 128, 255]);
    // Window 1: 500.5 − … = −499.5 + … to 1498.5 by the standard's line.
    assert_eq!(greys(Window::OfFile(1)), [0, 64, 69, 188]);
    let said =
        |window| made.open(&Options::default().with_window(Some(window))).unwrap_err().to_string();
    assert!(said(Window::OfFile(2)).contains("window 2 of the file"));
    assert!(
        said(Window::Range { low: 5.0, high: 5.0 }).contains("the first must be the smaller one")
    );
    assert!(said(Window::Range { low: f64::NAN, high: 5.0 }).contains("window"));
    assert!(said(Window::Centre { centre: 5.0, width: 0.0 }).contains("at least 1"));
}

#[test]
fn mr_is_stretched_over_all_frames() {
    let made =
        Made::sized(2, 1, &[0, 100, 50, 200]).modality("MR").text((0x0028, 0x0008), "IS", "2");
    let pictures = made.open(&Options::default()).unwrap();
    assert_eq!(pictures[0].rgb.as_raw()[3], 128, "of 200, which is in the other frame");
    assert_eq!((pictures[1].rgb.as_raw()[0], pictures[1].label.as_deref()), (64, Some("SLICE 2")));
    let second = made.open(&Options::default().with_frame(Some(1))).unwrap();
    assert_eq!(second[0].rgb, pictures[1].rgb, "alone it is the same");
    assert_eq!(second[0].source().frame(), 1);
    let list = Options::default().with_slices(Slices::List(vec![1..=1, 0..=0]));
    assert_eq!(made.open(&list).unwrap()[0].rgb, pictures[1].rgb);
    let wrong = Options::default().with_slices(Slices::List(vec![1..=2]));
    assert!(made.open(&wrong).unwrap_err().to_string().contains("1-2"));
}

#[test]
fn colours_are_shown_as_they_are_and_another_recipe_is_refused() {
    let made = Made::bytes8("RGB", 1, &[1, 2, 3]).modality("CT");
    let picture = &made.open(&Options::default()).unwrap()[0];
    assert_eq!(
        (picture.provenance.recipe, picture.rgb.as_raw().as_slice()),
        (Recipe::Plain, &[1, 2, 3][..])
    );
    let given = Options::default().with_recipe(Some(Recipe::CtNotebook));
    assert!(made.open(&given).unwrap_err().to_string().contains("colours of its own"));
}

#[test]
fn a_lateral_view_and_text_are_said() {
    let made = Made::sized(2, 2, &[0, 1, 2, 3])
        .modality("DX")
        .text((0x0018, 0x5101), "CS", "LL")
        .text((0x0028, 0x0301), "CS", "YES");
    let checks = made.open(&Options::default()).unwrap().remove(0).provenance.checks;
    let kinds: Vec<CheckKind> = checks.iter().map(|check| check.kind).collect();
    assert!(
        kinds.contains(&CheckKind::Lateral) && kinds.contains(&CheckKind::BurntInText),
        "{checks:?}"
    );
}
