//! The dossier as a file: escaping, its policy, what is refused, and where numbers are drawn.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use relevancy_visualization::Error;
use relevancy_visualization::dossier::{
    Badge, Block, BlockPlace, Card, CardPicture, Column, Dossier, DossierError, Estimate, Fact,
    IntervalChart, IntervalRow, KeyFigure, Reference, Section, Table, Tone, Verdict,
};
use relevancy_visualization::image::{self, Rgb, RgbImage};
use sha2::{Digest as _, Sha256};

const ATTACK: &str = "</style></title><script>x</script><img src=x onerror=y>\"' onload=\"z{{sections}}<!--\u{202e}\0";

/// A page with everything that there is, each text being `text`.
fn full<'a>(text: &str, picture: &'a RgbImage) -> Dossier<'a> {
    let t = || text.to_owned();
    let table = || Table {
        caption: t(),
        columns: vec![Column::words(t()), Column::numbers(t())],
        rows: vec![vec![t(), t()]],
    };
    let estimate = Some(Estimate { mean: 0.5, interval: Some([0.25, 2.0]) });
    let chart = IntervalChart {
        caption: t(),
        unit: t(),
        reference: Some(Reference { at: 0.75, label: t() }),
        rows: vec![
            IntervalRow { name: t(), estimate, count: 12, text: t() },
            IntervalRow { name: t(), estimate, count: 12, text: String::new() },
            IntervalRow { name: t(), ..IntervalRow::default() },
        ],
        ..IntervalChart::default()
    };
    let card = Card {
        title: t(),
        badge: Some(Badge::new(Tone::Poor, t())),
        pictures: vec![CardPicture::new(t(), picture); 2],
        facts: vec![Fact::new(t(), t())],
        table: Some(table()),
    };
    let section = Section {
        title: t(),
        text: t(),
        blocks: vec![
            Block::Text(t()),
            Block::Table(table()),
            Block::Intervals(chart),
            Block::Cards(vec![card]),
        ],
    };
    Dossier {
        title: t(),
        subtitle: t(),
        verdict: Some(Verdict { tone: Tone::Mixed, headline: t(), reasons: vec![t()] }),
        figures: vec![KeyFigure { label: t(), value: t(), interval: t(), help: t() }],
        sections: vec![section; 3],
        settings: vec![Fact::new(t(), t())],
        provenance: vec![Fact::new(t(), t())],
        notes: vec![t()],
    }
}

fn grey() -> RgbImage {
    RgbImage::from_pixel(30, 20, Rgb([90; 3]))
}

fn with_block(block: Block<'_>) -> Dossier<'_> {
    let section = Section { blocks: vec![block], ..Section::default() };
    Dossier { sections: vec![Section::default(), section], ..Dossier::default() }
}

/// Why a block is refused.
fn refused(block: Block<'_>) -> DossierError {
    match with_block(block).to_html() {
        Err(Error::Dossier(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn style(html: &str) -> &str {
    html.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0
}

#[test]
fn text_of_others_is_text_wherever_it_stands() {
    let picture = grey();
    let clean = full("q", &picture).to_html().unwrap();
    let html = full(ATTACK, &picture).to_html().unwrap();
    for sign in ["<", ">", "\"", "'", "<img", "<!--"] {
        assert_eq!(html.matches(sign).count(), clean.matches(sign).count(), "{sign}");
    }
    assert!(!html.contains(['\u{202e}', '\0']) && !html.contains("<script"));
    let marked = "zq9z";
    let places = full(marked, &picture).to_html().unwrap().matches(marked).count();
    assert!(places > 60, "{places}");
    for shown in ["&lt;script&gt;x&lt;/script&gt;", "⟨U+202E⟩⟨U+0000⟩"] {
        assert_eq!(html.matches(shown).count(), places, "{shown}");
    }
    assert_eq!(html.matches("{{sections}}").count(), places, "what is put in is not searched");
}

#[test]
fn every_script_of_the_world_stays_as_it_is() {
    let text = "الرئة اليمنى 👩‍⚕️🫁 肺炎なし שלום";
    let html = full(text, &grey()).to_html().unwrap();
    assert!(html.contains(text));
}

#[test]
fn nothing_runs_and_nothing_is_loaded() {
    let html = full("q", &grey()).to_html().unwrap();
    // Base 64 may have any letters and slashes.
    let text: String =
        html.split("base64,").map(|part| part.split_once('"').map_or(part, |p| p.1)).collect();
    for sign in [
        "<script", "http:", "https:", "//", "url(", "@import", "<iframe", "<object", "<form",
        "style=",
    ] {
        assert!(!text.contains(sign), "{sign}");
    }
    let hash = STANDARD.encode(Sha256::digest(style(&html)));
    let policy = format!(
        "content=\"default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'\""
    );
    assert!(html.contains(&policy), "{policy}");
    assert!(html.find("Content-Security-Policy") < html.find("<style"));
}

#[test]
fn what_is_empty_is_left_out() {
    let html = Dossier::default().to_html().unwrap();
    for part in ["class=\"card", "<dl", "<section", "<nav", "<details", "<h2", "{{"] {
        assert!(!html.contains(part), "{part}");
    }
    assert!(html.contains("<h1 dir=\"auto\">Findings about a model</h1>"));
    with_block(Block::Cards(vec![Card::default()])).to_html().unwrap();
    with_block(Block::Intervals(IntervalChart::default())).to_html().unwrap();
}

#[test]
fn tables_that_do_not_hold_together_are_refused() {
    let mut table = Table {
        columns: vec![Column::words("a"), Column::numbers("b")],
        rows: vec![vec![String::new(); 2], vec![String::new(); 3]],
        ..Table::default()
    };
    assert_eq!(
        refused(Block::Table(table.clone())).to_string(),
        "row 1 of the table of section 1, block 0: expected 2 cells, found 3"
    );
    let card = Card { table: Some(table.clone()), ..Card::default() };
    assert_eq!(
        refused(Block::Cards(vec![Card::default(), card])).to_string(),
        "row 1 of the table of section 1, block 0, card 1: expected 2 cells, found 3"
    );
    table.columns.clear();
    let error = refused(Block::Table(table));
    let place = BlockPlace { section: 1, block: 0, card: None };
    assert!(matches!(error, DossierError::NoColumns { place: found } if found == place));
}

#[test]
fn numbers_that_cannot_be_drawn_are_refused() {
    let chart = |axis, mean, interval| {
        let estimate = Some(Estimate { mean, interval });
        let rows = vec![IntervalRow::default(), IntervalRow { estimate, ..IntervalRow::default() }];
        Block::Intervals(IntervalChart { axis, rows, ..IntervalChart::default() })
    };
    for axis in [
        [0.0, 0.0],
        [1.0, 0.0],
        [f64::NAN, 1.0],
        [0.0, f64::INFINITY],
        [-f64::MAX, f64::MAX],
        [1.0, 1.0 + 1e-12],
        [0.0, 5e-324],
    ] {
        let error = refused(chart(axis, 0.5, None));
        assert!(matches!(error, DossierError::Axis { .. }), "{axis:?} {error}");
    }
    let error = refused(chart([0.0, 1.0], f64::NAN, None));
    assert_eq!(
        error.to_string(),
        "row 1 of section 1, block 0 holds NaN: only finite values can be drawn"
    );
    let error = refused(chart([0.0, 1.0], 0.5, Some([0.0, f64::INFINITY])));
    assert!(matches!(error, DossierError::NotFinite { row: 1, .. }), "{error}");
    let error = refused(chart([0.0, 1.0], 0.5, Some([0.7, 0.3])));
    assert_eq!(error.to_string(), "row 1 of section 1, block 0 has an interval from 0.7 to 0.3");
    for at in [f64::NAN, -0.1, 1.1] {
        let reference = Some(Reference { at, label: String::new() });
        let chart = IntervalChart { reference, ..IntervalChart::default() };
        let error = refused(Block::Intervals(chart));
        assert!(matches!(error, DossierError::Reference { .. }), "{error}");
    }
    for axis in [[0.0, 1e-300], [-1e300, 1e300], [1e6, 1e6 + 2.0]] {
        with_block(chart(axis, 1e308, Some([-1e308, 1e308]))).to_html().unwrap();
    }
}

#[test]
fn values_are_drawn_where_the_axis_says_and_told_in_words() {
    let row = |name: &str, estimate| IntervalRow {
        name: name.to_owned(),
        estimate,
        count: 7,
        text: String::new(),
    };
    let chart = IntervalChart {
        axis: [-1.0, 1.0],
        reference: Some(Reference { at: 0.0, label: "no effect".to_owned() }),
        rows: vec![
            row("effusion", Some(Estimate { mean: 0.5, interval: Some([-0.5, 3.0]) })),
            row("nodule", None),
        ],
        ..IntervalChart::default()
    };
    let html = with_block(Block::Intervals(chart)).to_html().unwrap();
    let rows: Vec<&str> = html.split("<tr>").collect();
    let row = |name: &str| *rows.iter().find(|row| row.contains(name)).unwrap();
    let effusion = row("effusion");
    for part in [
        r#"<line class="reference" x1="50.00%" x2="50.00%""#,
        r#"<line class="interval-line" x1="25.00%" x2="100.00%""#,
        r#"<circle class="mean" cx="75.00%""#,
        "n = 7",
        "0.50 (−0.50\u{a0}to\u{a0}3.00)",
    ] {
        assert!(effusion.contains(part), "{part} in {effusion}");
    }
    assert_eq!(effusion.matches("<path").count(), 1, "an arrow at the right end");
    let nodule = row("nodule");
    assert!(nodule.contains("not measured") && !nodule.contains("mean"), "{nodule}");
    for text in ["no effect (0.00)", "goes on past the axis"] {
        assert!(html.contains(text), "{text}");
    }
}

#[test]
fn pictures_are_embedded_small() {
    let mut state = 1_u32;
    let noise = RgbImage::from_fn(1500, 1000, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    let small = grey();
    let with_pictures = |pictures| {
        with_block(Block::Cards(vec![Card { pictures, ..Card::default() }])).to_html().unwrap()
    };
    let html =
        with_pictures(vec![CardPicture::new("large", &noise), CardPicture::new("small", &small)]);
    assert!(html.len() < 300_000, "{}", html.len());
    assert!(html.contains("width=\"520\" height=\"347\""));
    assert!(html.contains("Pictures are shown as copies"));
    let data = html.split_once("data:image/png;base64,").unwrap().1.split_once('"').unwrap().0;
    let read = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
    assert_eq!(read.into_rgb8(), small);
    let html = with_pictures(vec![CardPicture::new("small", &small)]);
    assert!(!html.contains("Pictures are shown as copies"));
}

#[test]
fn a_picture_without_pixels_is_refused() {
    let empty = RgbImage::new(0, 3);
    let card = Card { pictures: vec![CardPicture::new("", &empty)], ..Card::default() };
    let error = with_block(Block::Cards(vec![card])).to_html().unwrap_err();
    assert!(matches!(error, Error::EmptyPicture { width: 0, height: 3 }), "{error}");
}

#[test]
fn two_thousand_rows_are_a_page_soon() {
    let columns = vec![Column::words("case"); 8];
    let rows = (0..2000).map(|row| vec![format!("case {row}"); 8]).collect();
    let table = Table { columns, rows, ..Table::default() };
    let start = Instant::now();
    let html = with_block(Block::Table(table)).to_html().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!(html.matches("<tr>").count(), 2001);
    assert!(html.contains("class=\"scroll tall\"") && html.len() < 1_500_000, "{}", html.len());
}

#[test]
fn the_same_dossier_is_the_same_file() {
    let picture = grey();
    let [a, b] = [(); 2].map(|()| full("q", &picture).to_html().unwrap());
    assert!(a == b);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dossier.html");
    fs::write(&path, "old").unwrap();
    let picture = grey();
    let dossier = full("q", &picture);
    dossier.save(&path).unwrap();
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(written, dossier.to_html().unwrap());
    let missing = folder.path().join("missing").join("dossier.html");
    assert!(matches!(dossier.save(missing), Err(Error::Write { .. })));
    let bad = with_block(Block::Table(Table::default()));
    assert!(matches!(bad.save(&path), Err(Error::Dossier(DossierError::NoColumns { .. }))));
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
