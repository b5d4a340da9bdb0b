//! The report as a file: size, escaping, and what is refused.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

#[path = "../examples/report/made.rs"]
mod made;
#[path = "../examples/report/series.rs"]
mod series;

use std::fs;

use made::{Made, evidence};
use relevancy_visualization::image::{Rgb, RgbImage};
use relevancy_visualization::ndarray::{Array1, Array2};
use relevancy_visualization::report::{Evidence, Report, ReportError, RowPlace, Tone, Volume};
use relevancy_visualization::{Error, Placement};
use series::Series;

fn made(n_words: usize) -> Made {
    Made::new("Is there an effusion?", &vec!["effusion"; n_words].join(" "), 1)
}

/// Why a report that was spoilt is refused.
fn refused<'a>(spoil: impl FnOnce(&mut Report<'a>)) -> ReportError {
    // Leaked: what a test puts into the report may live shorter than any value of this function.
    let made: &'a Made = Box::leak(Box::new(made(3)));
    let mut report = made.report();
    spoil(&mut report);
    match report.to_html() {
        Err(Error::Report(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Pixels that compress badly.
fn noise(width: u32, height: u32) -> RgbImage {
    let mut state = 1_u32;
    RgbImage::from_fn(width, height, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    })
}

#[test]
fn sixty_words_on_the_worst_picture_take_less_than_five_megabytes() {
    let mut made = made(60);
    made.pictures = vec![noise(3000, 2600)];
    made.grids[0].placement = Placement::whole(&made.pictures[0]);
    let html = made.report().to_html().unwrap();
    println!("{} bytes", html.len());
    assert!(html.len() < 5_000_000, "{}", html.len());
    assert!(html.contains("3000 × 2600 pixels, shown here as a copy of 1359 × 1178"));
}

/// As MedGemma has them: 34 layers, and three methods, one of them with 64 × 64 parts.
#[test]
fn layers_and_methods_of_a_large_model_fit_too() {
    let mut made = made(60);
    made.pictures = vec![noise(1024, 1024)];
    made.grids[0].placement = Placement::whole(&made.pictures[0]);
    let mut report = made.report();
    report.methods[0].layers = (0..34).map(|layer| format!("layer {layer}")).collect();
    for target in &mut report.targets {
        let first = target.attributions[0].as_mut().unwrap();
        let row = first.row;
        first.layers = vec![row; 34];
    }
    let html = report.to_html().unwrap();
    println!("{} bytes", html.len());
    assert!(html.len() < 5_000_000, "{}", html.len());
}

#[test]
fn an_answer_of_two_thousand_tokens_is_a_page() {
    let made = made(2000);
    let mut report = made.report();
    // One sweep explains some words of so long an answer, without finer maps; a word of every ten here.
    report.methods.pop();
    report.targets.iter_mut().for_each(|target| drop(target.attributions.pop()));
    let mut index = 0;
    report.targets.retain(|_| {
        index += 1;
        index % 10 == 1
    });
    let html = report.to_html().unwrap();
    assert!(html.len() < 5_000_000, "{}", html.len());
    assert_eq!(html.matches("class=\"word\"").count(), 200);
    assert_eq!(html.matches("class=\"token made\"").count(), 2000);
}

#[test]
fn text_in_any_script_stays_as_it_is() {
    let answer = "الرئة اليمنى سليمة 👩‍⚕️🫁 肺炎なし שלום";
    let html = Made::new("👍🏽؟", answer, 1).report().to_html().unwrap();
    for part in ["الرئة", "👩‍⚕️🫁", "肺炎なし", "👍🏽؟"] {
        assert!(html.contains(part), "{part}");
    }
    let html = Made::new("?", "a\u{202e}b \0", 1).report().to_html().unwrap();
    assert!(html.contains("a⟨U+202E⟩b") && !html.contains(['\u{202e}', '\0']));
}

#[test]
fn text_of_others_adds_no_markup() {
    let attack = "</script><script>x</script>{{data}}{{script}}<!--";
    let clean = Made::new("q", "a b", 1).report().to_html().unwrap();
    let html = Made::new(attack, "a b", 1).report().to_html().unwrap();
    for sign in ["<script", "</script", "<!--", "<img"] {
        assert_eq!(html.matches(sign).count(), clean.matches(sign).count(), "{sign}");
    }
}

#[test]
fn the_data_is_json() {
    let html = Made::new("\u{2028}\"\\", "a \u{1}b 'c' </script>", 2).report().to_html().unwrap();
    let data = island(&html);
    assert_eq!(data["pictures"].as_array().unwrap().len(), 2);
    assert_eq!(data["targets"].as_array().unwrap().len(), 4);
    assert!(data["textTokens"].as_array().unwrap().iter().any(|token| token == "\u{2028}\"\\"));
}

/// The block of data of a page.
fn island(html: &str) -> serde_json::Value {
    let start = html.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    serde_json::from_str(html[start..].split("</script>").next().unwrap()).unwrap()
}

#[test]
fn evidence_stands_in_the_data_and_as_text() {
    let made = made(2);
    let mut report = made.report();
    report.targets[1].evidence = Some(evidence());
    let html = report.to_html().unwrap();
    let data = island(&html);
    assert!(data["targets"][0].get("evidence").is_none());
    let found = &data["targets"][1]["evidence"];
    assert_eq!(found["badge"], "faithful by 2 of 4");
    assert_eq!(found["tone"], "good");
    assert_eq!(found["text"].as_array().unwrap().len(), 2);
    assert_eq!(found["table"]["rows"][1][0], "raw attention of the last layer");
    let (chart, expected) = (&found["charts"][0], &evidence().charts[0]);
    assert_eq!(chart["title"], "knock-out");
    let numbers = |value: &serde_json::Value| {
        value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&chart["fractions"]), expected.fractions);
    let lists = [
        ("most", &expected.most_first),
        ("least", &expected.least_first),
        ("uniform", &expected.uniform),
    ];
    for (name, expected) in lists {
        let found = numbers(&chart[name]);
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 5e-7), "{name}");
    }
    let band = chart["band"].as_array().unwrap();
    assert!((numbers(&band[4])[1] - expected.band[4][1]).abs() <= 5e-7);
    assert_eq!(found["charts"][3]["fractions"], serde_json::json!([]));
    // A reader without the script has the same as text.
    let without = html.split("<noscript><div").nth(1).unwrap().split("</noscript>").next().unwrap();
    for part in [
        "faithful by 2 of 4",
        "the most relevant first",
        "neighbours&#39; mean",
        "above all 20 controls",
        "<td><bdi>0.48</bdi></td>",
    ] {
        assert!(without.contains(part), "{part}");
    }
}

#[test]
fn without_evidence_nothing_is_said_of_it() {
    let html = made(2).report().to_html().unwrap();
    assert!(!island(&html).to_string().contains("evidence"));
    let body = html.split("<body>").nth(1).unwrap().split("<script").next().unwrap();
    assert!(!body.contains("evidence") && !body.contains("badge"));
    assert!(body.contains("<div id=\"details\"></div>\n    </article>"));
}

#[test]
fn evidence_of_others_adds_no_markup() {
    let attack =
        "</noscript></script><script>x</script>{{data}}<!--<img src=x onerror=y>\u{202e}\"'";
    let page = |text: &str| {
        let made = made(1);
        let mut report = made.report();
        let mut hostile = evidence();
        hostile.badge = text.to_owned();
        hostile.text[0] = text.to_owned();
        for chart in &mut hostile.charts {
            (chart.title, chart.summary) = (text.to_owned(), text.to_owned());
        }
        let table = hostile.table.as_mut().unwrap();
        table.head[0] = text.to_owned();
        table.rows[0] = vec![text.to_owned(); 4];
        report.targets[0].evidence = Some(hostile);
        report.to_html().unwrap()
    };
    let (clean, html) = (page("q"), page(attack));
    for sign in ["<script", "</script", "<!--", "<img", "<noscript", "</noscript", "\u{202e}"] {
        assert_eq!(html.matches(sign).count(), clean.matches(sign).count(), "{sign}");
    }
    let shown = attack.replace('\u{202e}', "⟨U+202E⟩");
    assert_eq!(island(&html)["targets"][0]["evidence"]["badge"], shown);
}

#[test]
fn evidence_that_does_not_hold_together_is_refused() {
    let spoilt = |spoil: fn(&mut Evidence)| {
        refused(|report| {
            let mut evidence = evidence();
            spoil(&mut evidence);
            report.targets[1].evidence = Some(evidence);
        })
    };
    let error = spoilt(|evidence| evidence.charts[2].uniform.truncate(9));
    assert_eq!(
        error.to_string(),
        "chart 2 of cells taken away, target 1: uniform has 9 values for 10 shares"
    );
    let error = spoilt(|evidence| evidence.charts[0].band[1][0] = f64::NAN);
    assert!(matches!(error, ReportError::RemovalChart { target: 1, chart: 0, .. }), "{error}");
    let error = spoilt(|evidence| drop(evidence.table.as_mut().unwrap().rows[1].pop()));
    assert_eq!(
        error.to_string(),
        "row 1 of the table of evidence, target 1: expected 4 cells, found 3"
    );
    // The least that evidence can be.
    let made = made(1);
    let mut report = made.report();
    let evidence = Evidence { badge: "no test".to_owned(), ..Evidence::default() };
    assert_eq!(evidence.tone, Tone::Nothing);
    report.targets[0].evidence = Some(evidence);
    report.to_html().unwrap();
}

#[test]
fn sixty_words_with_evidence_fit_too() {
    let made = made(60);
    let mut report = made.report();
    let before = report.to_html().unwrap().len();
    report.targets.iter_mut().for_each(|target| target.evidence = Some(evidence()));
    let more = report.to_html().unwrap().len() - before;
    println!("{more} bytes");
    assert!(more < 60 * 8000, "{more}");
}

#[test]
fn byte_tokens_are_shown_as_the_character_that_they_make() {
    let mut made = Made::new("q", "<0xF0> <0x9F> <0xAB> <0x81> x", 1);
    let first = made.tokens.len() - 5;
    for token in &mut made.tokens[first..first + 4] {
        token.text = token.text.trim().to_owned();
    }
    let html = made.report().to_html().unwrap();
    let data = island(&html);
    let tokens = data["textTokens"].as_array().unwrap();
    let at = tokens.iter().position(|token| token == "🫁").unwrap();
    assert_eq!(data["textCharacters"], serde_json::json!([[at, at + 4]]));
    assert!(tokens[at + 1..at + 4].iter().all(|token| token == ""));
    let shown = |index: usize, text: &str| {
        html.contains(&format!("<span class=\"token made\" data-text=\"{index}\">{text}</span>"))
    };
    assert!(shown(at, "🫁") && (at + 1..at + 4).all(|index| shown(index, "")));
    assert_eq!(tokens.len(), data["textPositions"].as_array().unwrap().len(), "a row a token");
}

#[test]
fn the_same_report_is_the_same_file() {
    let (a, b) = (made(5).report().to_html().unwrap(), made(5).report().to_html().unwrap());
    assert!(a == b);
}

#[test]
fn pictures_of_any_shape_are_shown() {
    for (width, height) in [(1, 1), (20_000, 3), (3, 20_000), (20_000, 900)] {
        let mut made = made(1);
        made.pictures = vec![RgbImage::from_pixel(width, height, Rgb([7, 8, 9]))];
        made.grids[0].placement = Placement::whole(&made.pictures[0]);
        made.report().to_html().unwrap();
    }
}

#[test]
fn values_that_cannot_be_shown_are_refused() {
    let place = RowPlace { target: 1, method: 0, layer: None };
    for value in [f32::NAN, f32::INFINITY] {
        let mut row = Array1::zeros(made(3).tokens.len());
        row[4] = value;
        let error =
            refused(|report| report.targets[1].attributions[0].as_mut().unwrap().row = row.view());
        assert!(
            matches!(error, ReportError::NotFinite { place: p, position: 4, .. } if p == place)
        );
    }
    let mut row = Array1::zeros(made(3).tokens.len());
    row[9] = -0.5;
    let error = refused(|report| {
        report.targets[1].attributions[0].as_mut().unwrap().layers[2] = row.view();
    });
    assert_eq!(
        error.to_string(),
        "row of target 1, method 0, layer 2 holds -0.5 at position 9: values start at zero"
    );
    let short = Array1::zeros(9);
    let error =
        refused(|report| report.targets[1].attributions[0].as_mut().unwrap().row = short.view());
    assert!(matches!(error, ReportError::RowLength { found: 9, .. }), "{error}");
}

#[test]
fn unlike_grids_are_refused() {
    let error = refused(|report| report.regions[0].weights[0] = Some(Array2::zeros((8, 16))));
    assert_eq!(
        error.to_string(),
        "region \"right upper (picture left)\" does not fit the grids: 8 x 16 weights for the 16 x 16 cells of grid 0"
    );
    let error = refused(|report| report.regions[0].weights.clear());
    assert!(matches!(error, ReportError::Region { .. }), "{error}");
    let error = refused(|report| {
        report.regions[0].weights[0] = Some(Array2::from_elem((16, 16), f32::NAN));
    });
    assert!(matches!(error, ReportError::Region { .. }), "{error}");
    let error = refused(|report| report.grids[0].rows = 0);
    assert!(matches!(error, ReportError::Grid { problem: "it has no cells", .. }), "{error}");
    let error = refused(|report| report.grids[0].rows = usize::MAX);
    assert!(matches!(error, ReportError::Grid { .. }), "{error}");
    let error = refused(|report| report.grids.push(report.grids[0]));
    assert!(matches!(error, ReportError::Grid { grid: 1, .. }), "{error}");
    let error = refused(|report| report.grids[0].picture = 3);
    assert!(matches!(error, ReportError::NoPicture { picture: 3, .. }), "{error}");
    let error = refused(|report| report.grids[0].placement.x1 = f64::NAN);
    assert!(matches!(error, ReportError::Placement { .. }), "{error}");
}

#[test]
fn finer_parts_that_do_not_fit_are_refused() {
    let error = refused(|report| report.targets[1].attributions[2].as_mut().unwrap().parts.clear());
    assert_eq!(
        error.to_string(),
        "finer cells of the row of target 1, method 2: there are 0 arrays, not 1"
    );
    let short = Array2::zeros((64, 16));
    let error = refused(|report| {
        report.targets[1].attributions[2].as_mut().unwrap().parts = vec![short.view()];
    });
    assert!(error.to_string().ends_with("array 0 is [64, 16], not [64, 64]"), "{error}");
    let negative = Array2::from_elem((64, 64), -1.0);
    let error = refused(|report| {
        report.targets[0].attributions[2].as_mut().unwrap().parts = vec![negative.view()];
    });
    assert!(error.to_string().ends_with("array 0 has the value -1"), "{error}");
    let error = refused(|report| report.methods[2].parts = 0);
    assert!(matches!(error, ReportError::Parts { .. }), "{error}");
    let error = refused(|report| report.methods[2].parts = 1);
    assert!(error.to_string().ends_with("array 0 is [64, 64], not [16, 16]"), "{error}");
    let error = refused(|report| {
        report.methods[0].parts = 4;
        let parts = report.targets[0].attributions[2].as_mut().unwrap().parts.clone();
        report.targets[0].attributions[0].as_mut().unwrap().parts = parts;
    });
    assert!(error.to_string().ends_with("its method has 4 parts a side and 6 layers"), "{error}");
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    assert!(matches!(refused(|report| report.targets.clear()), ReportError::NoTargets));
    assert!(matches!(refused(|report| report.methods.clear()), ReportError::NoMethods));
    let error = refused(|report| report.targets[0].span = Some(0..10_000));
    assert!(matches!(error, ReportError::Span { target: 0, .. }), "{error}");
    let error = refused(|report| report.targets[0].span = Some(3..3));
    assert!(matches!(error, ReportError::Span { .. }), "{error}");
    let error = refused(|report| report.targets[0].positions = 5..9999);
    assert!(matches!(error, ReportError::Positions { .. }), "{error}");
    let error = refused(|report| report.targets[0].self_positions = vec![9999]);
    assert!(matches!(error, ReportError::Positions { .. }), "{error}");
    let error = refused(|report| report.targets[0].probability = Some(f32::NAN));
    assert!(matches!(error, ReportError::Probability { .. }), "{error}");
    let error = refused(|report| report.targets[2].attributions.truncate(1));
    assert_eq!(error.to_string(), "attributions of target 2: expected 3, found 1");
    let empty = Array1::zeros(0);
    let error = refused(|report| {
        report.targets[2].attributions[1].as_mut().unwrap().layers.push(empty.view());
    });
    assert!(matches!(error, ReportError::Count { what: "layers", .. }), "{error}");
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    fs::write(&path, "old").unwrap();
    let made = made(2);
    made.report().save(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), made.report().to_html().unwrap());
    let missing = folder.path().join("missing").join("report.html");
    assert!(matches!(made.report().save(missing), Err(Error::Write { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Why a report with series is refused once they are spoilt.
fn refused_series(spoil: fn(&mut [Volume])) -> String {
    let made = Series::new("a nodule", [4, 3], 1, 32);
    let mut report = made.report();
    spoil(&mut report.volumes);
    match report.to_html() {
        Err(Error::Report(error @ ReportError::Volume { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn series_that_do_not_hold_together_are_refused() {
    let error = refused_series(|volumes| volumes[1].slices.clear());
    assert_eq!(error, "volume 1: it has no slices");
    let error = refused_series(|volumes| volumes[0].slices[2].picture = 9);
    assert_eq!(error, "volume 0: slice 2 shows picture 9, but there are 8");
    let error = refused_series(|volumes| volumes[1].slices[0].picture = 1);
    assert_eq!(error, "volume 1: slice 0 shows picture 1, which an earlier slice shows");
    let error = refused_series(|volumes| volumes[0].slices[3].position_mm = Some(f64::NAN));
    assert_eq!(error, "volume 0: slice 3 lies at NaN mm");
    let error = refused_series(|volumes| volumes[0].spacing_mm = Some([1.0, f64::INFINITY]));
    assert_eq!(error, "volume 0: its pixels are 1 x inf mm");
    let error = refused_series(|volumes| volumes[0].spacing_mm = Some([0.0, 1.0]));
    assert_eq!(error, "volume 0: its pixels are 0 x 1 mm");
    let other = RgbImage::new(32, 31);
    let made = Series::new("a nodule", [4, 3], 1, 32);
    let mut report = made.report();
    report.pictures[5].image = &other;
    let error = report.to_html().unwrap_err().to_string();
    assert_eq!(error, "volume 1: slice 1 has 32 x 31 pixels, the first one 32 x 32");
}

#[test]
fn series_stand_in_the_data_with_their_layout() {
    let made = Series::new("a nodule", [4, 3], 1, 32);
    let html = made.report().to_html().unwrap();
    let volumes = &island(&html)["volumes"];
    assert_eq!(volumes.as_array().unwrap().len(), 2);
    let slice = &volumes[1]["slices"][2];
    assert_eq!((&slice["picture"], &slice["label"]), (&6.into(), &"SLICE 3".into()));
    assert_eq!(slice["position"], -105.0);
    assert_eq!(volumes[0]["edges"], serde_json::json!([0, 0.25, 0.5, 0.75, 1]));
    assert_eq!(volumes[0]["sides"][0]["letters"], serde_json::json!(["R", "L", "H", "F"]));
    assert_eq!(volumes[0]["plane"], "Axial");
    assert_eq!(volumes[0]["toScale"], true);
}

/// The most slices that are looked at at once, of the worst pictures, and sixty words.
#[test]
fn eighty_five_slices_fit_into_a_page() {
    let noise = noise(512, 512);
    let made = Series::new(&vec!["word"; 60].join(" "), [85, 0], 0, 8);
    let mut report = made.report();
    report.pictures.iter_mut().for_each(|picture| picture.image = &noise);
    for grid in &mut report.grids {
        grid.placement = Placement::whole(&noise);
    }
    let html = report.to_html().unwrap();
    println!("{} bytes", html.len());
    assert!(html.len() < 12_000_000, "{}", html.len());
    // One note for all of them.
    assert_eq!(
        html.matches("85 slices of 512 × 512 pixels, shown here as copies of 346 × 346").count(),
        1
    );
    assert!(!html.contains("IM0001.dcm: 512"));
}
