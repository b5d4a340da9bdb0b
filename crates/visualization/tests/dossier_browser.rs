//! The dossier as a reader has it, in headless Chromium; skipped as the tests of the report are.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

#[expect(dead_code, reason = "tests of the report steer the browser in more ways")]
mod browser;

use browser::Browser;
use relevancy_visualization::dossier::{
    Block, Card, CardPicture, Column, Dossier, Estimate, Fact, IntervalChart, IntervalRow, Section,
    Table, Verdict,
};
use relevancy_visualization::image::{Rgb, RgbImage};

const PHONE: (u32, u32) = (390, 844);
const AXIS: [f64; 2] = [-1.0, 1.0];

/// Everything wide that there is: long words, many columns, a long axis, pictures.
fn dossier<'a>(picture: &'a RgbImage, attack: &str) -> Dossier<'a> {
    let long = "pneumono".repeat(20);
    let columns = (0..9).map(|n| Column::numbers(format!("column {n}"))).collect();
    let table = Table {
        caption: attack.to_owned(),
        columns,
        rows: vec![vec!["−40.4 to −33.9".to_owned(); 9]; 60],
    };
    let estimate = Some(Estimate { mean: 0.5, interval: Some([-0.5, 3.0]) });
    let row = IntervalRow { name: long.clone(), estimate, count: 5, text: String::new() };
    let card = Card {
        title: long.clone(),
        pictures: vec![CardPicture::new(attack, picture); 4],
        facts: vec![Fact::new(attack, long.clone())],
        ..Card::default()
    };
    let chart = IntervalChart { axis: AXIS, rows: vec![row; 2], ..IntervalChart::default() };
    let blocks = vec![Block::Table(table), Block::Intervals(chart), Block::Cards(vec![card])];
    Dossier {
        title: attack.to_owned(),
        verdict: Some(Verdict { headline: long.clone(), ..Verdict::default() }),
        sections: vec![Section { title: long.clone(), text: attack.to_owned(), blocks }],
        settings: vec![Fact::new(long.clone(), attack)],
        notes: vec![long],
        ..Dossier::default()
    }
}

#[test]
fn a_phone_scrolls_down_only_and_nothing_runs() {
    let attack = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>";
    let picture = RgbImage::from_pixel(900, 700, Rgb([90; 3]));
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&dossier(&picture, attack).to_html().unwrap(), PHONE);
    browser.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
    assert_eq!(browser.eval("document.documentElement.scrollWidth"), PHONE.0);
    assert_eq!(browser.eval("document.querySelectorAll('script').length"), 0);
    assert_eq!(browser.eval("String(window.ran)"), "undefined");
    let loaded = "Promise.all([...document.images].map((i) => { i.loading = 'eager'; return i.decode(); })).then(() => document.images.length)";
    assert_eq!(browser.eval(loaded), 4);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(browser.requests(), Vec::<String>::new());
}

#[test]
fn dots_lie_where_their_numbers_say() {
    let picture = RgbImage::from_pixel(9, 7, Rgb([90; 3]));
    let Some(mut browser) = Browser::start() else { return };
    browser.open(&dossier(&picture, "q").to_html().unwrap(), (1200, 900));
    // The drawing's box is the axis, from its lowest to its highest value.
    let part = browser.eval(
        "(() => { const dot = document.querySelector('svg.row circle.mean').getBoundingClientRect(); \
         const box = document.querySelector('svg.row').getBoundingClientRect(); \
         return (dot.x + dot.width / 2 - box.x) / box.width; })()",
    );
    assert!((part.as_f64().unwrap() - 0.75).abs() < 0.002, "{part}");
    let ticks = browser.eval(
        "(() => { const [row, foot] = ['tbody svg.row', 'tfoot svg'].map((s) => [...document.querySelectorAll(s + ' .tick')] \
         .slice(0, 5).map((l) => l.getBoundingClientRect().x)); \
         return row.length === 5 && row.every((x, n) => Math.abs(x - foot[n]) < 0.6); })()",
    );
    assert_eq!(ticks, true, "lines behind rows and ticks of the axis are the same places");
}
