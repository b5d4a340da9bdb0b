//! Series of slices on the page of a report, in headless Chromium; skipped as the other tests of the report are.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

#[expect(dead_code, reason = "tests of the report steer the browser in more ways")]
mod browser;
#[path = "../examples/report/series.rs"]
mod series;

use browser::Browser;
use relevancy_visualization::ndarray::{Array3, s};
use relevancy_visualization::report::Report;
use relevancy_visualization::{Orientation, Sides, top_slices, volume_projections, volume_shares};
use serde_json::{Value, json};
use series::{SIDE, Series};

const LAPTOP: (u32, u32) = (1440, 900);
const PHONE: (u32, u32) = (390, 844);
const ANSWER: &str = "Nodule in the left lung . The heart is normal .";
const NODULE: usize = 0;
const HEART: usize = 7;
const SLICES: usize = 20;

fn series() -> Series {
    Series::new(ANSWER, [SLICES, 8], 1, 64)
}

/// A page of a report that was changed, or nothing where there is no browser.
fn changed(size: (u32, u32), change: impl FnOnce(&mut Report<'_>)) -> Option<Browser> {
    let mut browser = Browser::start()?;
    let made = series();
    let mut report = made.report();
    change(&mut report);
    browser.open(&report.to_html().unwrap(), size);
    Some(browser)
}

fn page(size: (u32, u32)) -> Option<Browser> {
    changed(size, |_| ())
}

/// The cells of the current study under a word, `[slices, rows, columns]`.
fn volume(made: &Series, word: usize) -> Array3<f32> {
    Array3::from_shape_fn((SLICES, SIDE, SIDE), |(slice, row, column)| {
        made.rows[word][made.grids[slice].start + row * SIDE + column]
    })
}

fn text(browser: &mut Browser, selector: &str) -> String {
    let found = browser.eval(&format!("document.querySelector('{selector}').textContent"));
    // Marks that keep names of others apart are not seen.
    found.as_str().unwrap().replace(['\u{2068}', '\u{2069}'], "")
}

fn is_hidden(browser: &mut Browser, selector: &str) -> bool {
    browser.eval(&format!("document.querySelector('{selector}').hidden")).as_bool().unwrap()
}

fn word(index: usize) -> String {
    format!(".word[data-target=\"{index}\"]")
}

/// The number of the slice that is shown, from 1, as slider, text and what is read aloud say it.
fn shown(browser: &mut Browser) -> usize {
    browser.settle();
    let value: usize = browser
        .eval("document.getElementById('slice').valueAsNumber")
        .as_u64()
        .unwrap()
        .try_into()
        .unwrap();
    let said = browser.eval("document.getElementById('slice').getAttribute('aria-valuetext')");
    let seen = text(browser, "#slice-value");
    assert_eq!(said.as_str().unwrap().replace(['\u{2068}', '\u{2069}'], ""), seen);
    assert!(seen.starts_with(&format!("SLICE {} of ", value + 1)), "{seen}");
    value + 1
}

/// Clicks a place within an element, in parts of its box.
fn click_within(browser: &mut Browser, selector: &str, (x, y): (f64, f64)) {
    let place = browser.eval(&format!(
        "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center' }}); \
         const b = e.getBoundingClientRect(); return [b.x + b.width * {x}, b.y + b.height * {y}]; }})()",
        json!(selector)
    ));
    let place = (place[0].as_f64().unwrap(), place[1].as_f64().unwrap());
    for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
        browser.mouse(kind, place, false);
    }
    browser.settle();
}

fn wheel(browser: &mut Browser, selector: &str, delta: f64, modifiers: u8) {
    let (x, y) = browser.middle(selector);
    browser.call(
        "Input.dispatchMouseEvent",
        &json!({ "type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": delta, "modifiers": modifiers }),
    );
    browser.settle();
}

fn set(browser: &mut Browser, id: &str, value: &str) {
    browser.eval(&format!(
        "(() => {{ const e = document.getElementById('{id}'); e.value = '{value}'; \
         e.dispatchEvent(new Event('input', {{ bubbles: true }})); \
         e.dispatchEvent(new Event('change', {{ bubbles: true }})); return 0; }})()"
    ));
    browser.settle();
}

/// Red, green and blue of a canvas at some places, in parts of its size.
fn colours(browser: &mut Browser, selector: &str, places: &[[f64; 2]]) -> Vec<[i64; 3]> {
    browser.settle();
    let found = browser.eval(&format!(
        "(() => {{ const c = document.querySelector('{selector}'); const copy = document.createElement('canvas'); \
         copy.width = c.width; copy.height = c.height; const x = copy.getContext('2d', {{ willReadFrequently: true }}); \
         x.drawImage(c, 0, 0); return {}.map(([u, v]) => \
         [...x.getImageData(Math.floor(u * c.width), Math.floor(v * c.height), 1, 1).data].slice(0, 3)); }})()",
        json!(places)
    ));
    let colour = |c: &Value| std::array::from_fn(|i| c[i].as_i64().unwrap());
    found.as_array().unwrap().iter().map(colour).collect()
}

#[track_caller]
fn assert_silent(browser: &mut Browser) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(browser.requests(), Vec::<String>::new());
}

#[test]
fn the_slider_goes_through_the_slices() {
    let Some(mut browser) = page(LAPTOP) else { return };
    let made = series();
    let hottest = top_slices(&volume_shares(volume(&made, NODULE).view()), 1)[0] + 1;
    assert_eq!(shown(&mut browser), hottest, "the page opens where the heat is");
    assert_eq!(text(&mut browser, "#slices-name"), "Current study");
    set(&mut browser, "slice", "3");
    assert_eq!(shown(&mut browser), 4);
    assert_eq!(text(&mut browser, "#slice-value"), "SLICE 4 of 20 · −97.5\u{a0}mm");
    browser.eval("document.getElementById('slice').focus(), 0");
    for (key, expected) in [
        ("ArrowRight", 5),
        ("ArrowDown", 4),
        ("PageUp", 9),
        ("PageDown", 4),
        ("PageDown", 1),
        ("End", 20),
        ("PageUp", 20),
        ("[", 19),
        ("]", 20),
    ] {
        browser.press(key);
        assert_eq!(shown(&mut browser), expected, "{key}");
    }
    // The word moves with other keys, the slice stays.
    browser.eval("document.querySelector('.word').focus(), 0");
    browser.press("ArrowRight");
    assert_eq!(shown(&mut browser), 20);
    assert_silent(&mut browser);
}

#[test]
fn a_picture_of_a_series_pages_and_keeps_its_view() {
    let Some(mut browser) = page(LAPTOP) else { return };
    set(&mut browser, "slice", "9");
    let before = shown(&mut browser);
    // Scrolling the page changes nothing; with Shift, and once the picture has the focus, the wheel goes through the slices.
    wheel(&mut browser, "canvas.view", 100.0, 0);
    assert_eq!(shown(&mut browser), before);
    wheel(&mut browser, "canvas.view", 100.0, 8);
    assert_eq!(shown(&mut browser), before + 1);
    browser.eval("document.querySelector('canvas.view').focus(), 0");
    wheel(&mut browser, "canvas.view", -100.0, 0);
    assert_eq!(shown(&mut browser), before);
    browser.press("+");
    browser.press("PageUp");
    assert_eq!(shown(&mut browser), before + 5);
    assert!(text(&mut browser, "#live").contains("SLICE 15 of 20"));
    assert!(
        browser
            .eval("document.querySelector('canvas.view').classList.contains('zoomed')")
            .as_bool()
            .unwrap(),
        "a zoomed view stays from slice to slice"
    );
    browser.press("ArrowRight");
    let cell = text(&mut browser, "#readout");
    browser.press("PageDown");
    let same = text(&mut browser, "#readout");
    assert_eq!(cell.split(" · ").next(), same.split(" · ").next(), "the same cell");
    assert_silent(&mut browser);
}

#[test]
fn bars_and_the_list_of_the_largest_are_the_shares() {
    let Some(mut browser) = page(LAPTOP) else { return };
    browser.click(&word(HEART), false);
    browser.hover("h1");
    let made = series();
    let shares = volume_shares(volume(&made, HEART).view());
    let top = top_slices(&shares, 5);
    let listed = browser.eval("[...document.querySelectorAll('#top-slices button')].map((b) => [b.dataset.slice, b.querySelector('.figure').textContent])");
    let expected: Vec<_> = top
        .iter()
        .map(|slice| json!([slice.to_string(), format!("{:.1}\u{a0}%", 100.0 * shares[*slice])]))
        .collect();
    assert_eq!(listed, json!(expected));
    let heights = browser.eval("[...document.querySelectorAll('#slice-bars .share')].map((b) => Number(b.getAttribute('height')))");
    let largest = shares[top[0]];
    for (slice, share) in shares.iter().enumerate() {
        let found = heights[slice].as_f64().unwrap();
        assert!((found - (96.0 * share / largest).max(1.5)).abs() < 0.05, "{slice}: {found}");
    }
    assert_eq!(browser.eval("document.querySelectorAll('#slice-bars .top').length"), 5);
    // A click on a bar, and one in the list.
    click_within(&mut browser, "#slice-bars", (16.5 / 20.0, 0.5));
    assert_eq!(shown(&mut browser), 17);
    assert_eq!(browser.eval("document.getElementById('slice-here').getAttribute('x')"), "16");
    browser.click("#top-slices li:nth-child(2) button", false);
    assert_eq!(shown(&mut browser), top[1] + 1);
    let pressed =
        browser.eval("document.querySelector('#top-slices [aria-pressed=true]').dataset.slice");
    assert_eq!(pressed, top[1].to_string());
    let label = browser.eval("document.getElementById('slice-bars').getAttribute('aria-label')");
    assert!(label.as_str().unwrap().contains("largest"), "{label}");
    assert_silent(&mut browser);
}

#[test]
fn all_slices_have_one_scale() {
    let Some(mut browser) = page(LAPTOP) else { return };
    set(&mut browser, "smooth", "cells");
    let made = series();
    let cells = volume(&made, NODULE);
    let (hottest, _) = cells.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
    let end = ".bar bdi:last-of-type";
    let at_peak = text(&mut browser, end);
    assert!(at_peak.ends_with("(all slices)"), "{at_peak}");
    // The heat of the same cell, slice by slice: what opacity adds to the picture follows the value.
    let place = [[(hottest.2 as f64 + 0.3) / SIDE as f64, (hottest.1 as f64 + 0.3) / SIDE as f64]];
    let aspect = browser.eval("(() => { const c = document.querySelector('canvas.view'); return [c.width, c.height]; })()");
    let [width, height] = [0, 1].map(|i| aspect[i].as_f64().unwrap());
    let side = width.min(height);
    let place = place.map(|[u, v]| {
        [((width - side) / 2.0 + u * side) / width, ((height - side) / 2.0 + v * side) / height]
    });
    let mut heat = |slice: usize| {
        set(&mut browser, "slice", &slice.to_string());
        assert_eq!(text(&mut browser, end), at_peak, "slice {slice}");
        browser.hover("h1");
        let with = colours(&mut browser, "canvas.view", &place)[0];
        browser.key("keyDown", "o");
        let without = colours(&mut browser, "canvas.view", &place)[0];
        browser.key("keyUp", "o");
        (0..3).map(|i| (with[i] - without[i]).abs()).max().unwrap()
    };
    assert!(heat(hottest.0) > 60);
    assert!(heat(0) < 12, "a slice far away stays nearly without heat");
    assert_eq!(
        browser.eval("document.getElementById('scale').selectedOptions[0].textContent"),
        "per word, all slices"
    );
    assert_silent(&mut browser);
}

#[test]
fn projections_show_the_largest_and_lead_to_their_slices() {
    let Some(mut browser) = page(LAPTOP) else { return };
    set(&mut browser, "smooth", "cells");
    browser.click("#marks", false);
    let names = browser.eval(
        "[...document.querySelectorAll('.projections figcaption')].slice(0, 3).map((f) => f.textContent)",
    );
    assert_eq!(names, json!(["Axial", "Coronal", "Sagittal"]));
    // As long as the patient: 20 slices of 7.5 mm on 64 pixels of 1.4 mm.
    let ratio = browser.eval("(() => { const b = document.querySelector('.projections figure:nth-child(2) canvas').getBoundingClientRect(); return b.height / b.width; })()");
    assert!((ratio.as_f64().unwrap() - 150.0 / 89.6).abs() < 0.02, "{ratio}");
    let found = volume_projections(volume(&series(), NODULE).view());
    let brightest = |browser: &mut Browser, nth: usize, rows: usize, columns: usize| {
        let places: Vec<_> = (0..rows * columns)
            .map(|i| {
                let [u, v] = [(i % columns) as f64 + 0.3, (i / columns) as f64 + 0.3];
                [u / columns as f64, v / rows as f64]
            })
            .collect();
        let selector = format!(".projections figure:nth-child({nth}) canvas");
        let colours = colours(browser, &selector, &places);
        let light = |i: &usize| colours[*i].iter().sum::<i64>();
        let most = (0..colours.len()).max_by_key(light).unwrap();
        (most / columns, most % columns)
    };
    set(&mut browser, "slice", "0"); // its line is out of the way
    let largest = |grid: relevancy_visualization::ndarray::ArrayView2<'_, f32>| {
        grid.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0
    };
    // The feet come first, the head stands above: the last slice is the first line.
    let coronal = found.columns.slice(s![..;-1, ..]);
    let (row, column) = largest(coronal);
    assert_eq!(brightest(&mut browser, 2, SLICES, SIDE), (row, column));
    let sagittal = found.rows.slice(s![..;-1, ..]);
    assert_eq!(brightest(&mut browser, 3, SLICES, SIDE), largest(sagittal));
    let peak = largest(found.through.view());
    let place = ((peak.1 as f64 + 0.5) / SIDE as f64, (peak.0 as f64 + 0.5) / SIDE as f64);

    let [axial, coronal] = [1, 2].map(|n| format!(".projections figure:nth-child({n}) canvas"));
    click_within(&mut browser, &coronal, (0.5, 2.5 / 20.0));
    assert_eq!(shown(&mut browser), 18);
    click_within(&mut browser, &axial, place);
    assert_eq!(shown(&mut browser), SLICES - row, "the slice with the largest value there");
    let label =
        browser.eval(&format!("document.querySelector('{coronal}').getAttribute('aria-label')"));
    assert!(label.as_str().unwrap().starts_with("Coronal: projection"), "{label}");
    assert!(text(&mut browser, "#projections-hint").contains("not of the pictures"));
    assert_silent(&mut browser);
}

#[test]
fn sagittal_slices_lie_beside_each_other() {
    let change = |report: &mut Report<'_>| {
        let sides = Sides { left: 'A', right: 'P', top: 'H', bottom: 'F' };
        let pictures = report.pictures.iter_mut();
        pictures.for_each(|picture| picture.orientation = Orientation::Sides(sides));
        report.volumes[0].ends = Some(['L', 'R']);
    };
    let Some(mut browser) = changed(LAPTOP, change) else { return };
    set(&mut browser, "smooth", "cells");
    browser.click("#marks", false);
    let names = browser.eval(
        "[...document.querySelectorAll('.projections figcaption')].slice(0, 3).map((f) => f.textContent)",
    );
    assert_eq!(names, json!(["Sagittal", "Axial", "Coronal"]));
    // The patient's right comes first, which is the last slice.
    let coronal = ".projections figure:nth-child(3) canvas";
    click_within(&mut browser, coronal, (0.5 / 20.0, 0.9));
    assert_eq!(shown(&mut browser), 20);
    let rows = volume_projections(volume(&series(), NODULE).view()).rows;
    let peak = rows.indexed_iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
    let place =
        |slice: usize, row: usize| [(19.5 - slice as f64) / 20.0, (row as f64 + 0.5) / SIDE as f64];
    let places = [place(peak.0, peak.1), place(19 - peak.0, peak.1), place(peak.0, 1)];
    let light = colours(&mut browser, coronal, &places);
    let light: Vec<i64> = light.iter().map(|c| c.iter().sum()).collect();
    assert!(light[0] > 200 && light[1] < 60 && light[2] < 60, "{light:?}");
    click_within(&mut browser, coronal, (places[0][0], places[0][1]));
    assert_eq!(shown(&mut browser), peak.0 + 1);
    assert_silent(&mut browser);
}

#[test]
fn a_series_is_one_place_of_the_strip() {
    let Some(mut browser) = page(LAPTOP) else { return };
    let names = browser
        .eval("[...document.querySelectorAll('#filmstrip .name')].map((n) => n.textContent)");
    assert_eq!(names, json!(["Current study", "Prior study", "IM0028.dcm"]));
    assert!(text(&mut browser, "#details").contains("Prior study"));
    assert!(!text(&mut browser, "#details").contains("IM0003.dcm"), "no line for each slice");
    set(&mut browser, "slice", "2");
    browser.click("#filmstrip button:nth-child(2)", false);
    assert_eq!(text(&mut browser, "#slices-name"), "Prior study");
    assert_eq!(browser.eval("document.getElementById('slice').max"), "7");
    assert!(shown(&mut browser) > 1, "where its heat is");
    browser.click("#filmstrip button:nth-child(3)", false);
    assert!(is_hidden(&mut browser, "#slices") && is_hidden(&mut browser, "#slices-card"));
    // Keys for five slices on mean nothing here.
    browser.eval("document.querySelector('canvas.view').focus(), 0");
    browser.press("PageUp");
    browser.click("#filmstrip button:nth-child(1)", false);
    assert_eq!(shown(&mut browser), 3, "where it was left");
    assert_silent(&mut browser);
}

#[test]
fn two_words_share_the_bars() {
    let Some(mut browser) = page(LAPTOP) else { return };
    browser.click(&word(NODULE), false);
    browser.click(&word(HEART), true);
    let n = |browser: &mut Browser, selector: &str| {
        browser.eval(&format!("document.querySelectorAll('{selector}').length")).as_u64().unwrap()
    };
    assert_eq!(n(&mut browser, "#slice-bars .share"), 40);
    assert_eq!(n(&mut browser, "#slice-bars .two"), 20);
    assert_eq!(n(&mut browser, "#top-slices ol"), 2);
    assert_eq!(n(&mut browser, "#projections > div:not([hidden])"), 2);
    browser.click("[data-compare=difference]", false);
    assert_eq!(n(&mut browser, "#projections > div:not([hidden])"), 1);
    browser.press("Escape");
    assert_eq!(n(&mut browser, "#top-slices ol"), 1);
    assert_silent(&mut browser);
}

#[test]
fn without_a_series_there_are_no_slices() {
    let Some(mut browser) = changed(LAPTOP, |report| report.volumes.clear()) else { return };
    assert!(is_hidden(&mut browser, "#slices") && is_hidden(&mut browser, "#slices-card"));
    assert_eq!(
        browser.eval("document.querySelectorAll('#filmstrip button').length"),
        SLICES + 8 + 1
    );
    assert!(!text(&mut browser, ".bar bdi:last-of-type").contains("slices"));
    assert_silent(&mut browser);
}

#[test]
fn one_slice_and_a_word_without_relevancy_are_shown() {
    let change = |report: &mut Report<'_>| {
        report.volumes.truncate(1);
        report.volumes[0].slices.truncate(1);
        report.volumes[0].slices[0].label = "only".to_owned();
        report.volumes[0].slices[0].position_mm = None;
        report.targets[HEART].attributions[0] = Err("it was never read".to_owned());
    };
    let Some(mut browser) = changed(LAPTOP, change) else { return };
    browser.click("#filmstrip button:nth-child(1)", false);
    assert_eq!(text(&mut browser, "#slice-value"), "only · 1 of 1");
    browser.click(&word(HEART), false);
    browser.hover("h1");
    assert!(text(&mut browser, "#top-slices").contains("no relevancy in these slices"));
    assert!(text(&mut browser, "#projections-hint").contains("Not to scale"));
    assert_silent(&mut browser);
}

#[test]
fn text_of_slices_is_inert() {
    let attack = "</script><script>window.ran=1</script><img src=x onerror=window.ran=1> {{data}} \u{2028} & ' \"";
    let change = |report: &mut Report<'_>| {
        report.volumes[0].name = attack.to_owned();
        report.volumes[0].slices.iter_mut().for_each(|slice| slice.label = attack.to_owned());
        report.volumes[0].ends = Some(['<', '"']);
    };
    let Some(mut browser) = changed(LAPTOP, change) else { return };
    browser.click(&word(HEART), false);
    assert_eq!(text(&mut browser, "#slices-name"), attack);
    assert!(text(&mut browser, "#slice-value").starts_with(attack));
    assert_eq!(text(&mut browser, "#top-slices bdi"), attack);
    assert_eq!(browser.eval("String(window.ran)"), "undefined");
    assert_eq!(browser.eval("document.querySelectorAll('img, script').length"), 2);
    assert_silent(&mut browser);
}

#[test]
fn a_phone_scrolls_down_only_and_can_touch_slices() {
    let Some(mut browser) = changed(PHONE, |report| {
        report.volumes[0].name = "pneumono".repeat(20);
        report.volumes[0].slices.iter_mut().for_each(|slice| slice.label = "longlabel".repeat(12));
    }) else {
        return;
    };
    browser.click(&word(NODULE), false);
    browser.click(&word(HEART), true);
    let width = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
    assert_eq!(width, u64::from(PHONE.0));
    click_within(&mut browser, "#slice-bars", (0.5 / 20.0, 0.5));
    let value = browser.eval("document.getElementById('slice').value");
    assert_eq!(value, "0");
    assert_silent(&mut browser);
}
