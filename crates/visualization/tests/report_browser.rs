//! The report as a reader has it, in headless Chromium.
//!
//! Skipped with a notice where no Chromium is found in `CHROMIUM` or `PATH`; `REQUIRE_CHROMIUM=1` makes that a failure.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

mod browser;
#[path = "../examples/report/made.rs"]
mod made;

use browser::Browser;
use made::{Made, evidence};
use relevancy_visualization::image::{self, Rgb, RgbImage};
use relevancy_visualization::ndarray::{Array1, ArrayView2};
use relevancy_visualization::report::{Attribution, Evidence, Method, Report, Signs, Tone};
use relevancy_visualization::{
    GridMap, Interpolation, Orientation, Outline, OverlayOptions, Placement, overlay,
};

const LAPTOP: (u32, u32) = (1440, 900);
const PHONE: (u32, u32) = (390, 844);
const ANSWER: &str = "There is a small left effusion . The heart is enlarged .";
/// Indices of words in [`ANSWER`].
const EFFUSION: usize = 5;
const HEART: usize = 8;

/// A page with this answer, or nothing where there is no browser.
fn page(answer: &str, n_pictures: usize, size: (u32, u32)) -> Option<Browser> {
    let mut browser = Browser::start()?;
    let made = Made::new("Is there an effusion?", answer, n_pictures);
    browser.open(&made.report().to_html().unwrap(), size);
    Some(browser)
}

/// A page of a report that was changed, or nothing where there is no browser.
fn changed(
    n_pictures: usize,
    size: (u32, u32),
    change: impl FnOnce(&mut Report<'_>),
) -> Option<Browser> {
    let mut browser = Browser::start()?;
    let made = Made::new("Is there an effusion?", ANSWER, n_pictures);
    let mut report = made.report();
    change(&mut report);
    browser.open(&report.to_html().unwrap(), size);
    Some(browser)
}

/// Whether an element has a class.
fn has_class(browser: &mut Browser, selector: &str, class: &str) -> bool {
    let found = browser
        .eval(&format!("document.querySelector('{selector}').classList.contains('{class}')"));
    found.as_bool().unwrap()
}

fn is_hidden(browser: &mut Browser, selector: &str) -> bool {
    browser.eval(&format!("document.querySelector('{selector}').hidden")).as_bool().unwrap()
}

fn word(index: usize) -> String {
    format!(".word[data-target=\"{index}\"]")
}

/// A context to read pixels from. Not the page's own: reading would change how the browser draws, and it warns.
const COPY: &str = "const copyOf = (c) => { const copy = document.createElement('canvas'); \
    copy.width = c.width; copy.height = c.height; \
    const context = copy.getContext('2d', { willReadFrequently: true }); context.drawImage(c, 0, 0); return context; };";

/// A number that changes when any pixel of the first (or another) shown panel does.
fn pixels(browser: &mut Browser, panel: usize) -> i64 {
    browser.settle();
    let found = browser.eval(&format!(
        "(() => {{ {COPY} const c = document.querySelectorAll('.stage:not([hidden]) canvas.view')[{panel}]; \
         const d = copyOf(c).getImageData(0, 0, c.width, c.height).data; \
         let h = 0; for (const b of d) h = (Math.imul(h, 31) + b) | 0; return h; }})()"
    ));
    found.as_i64().unwrap()
}

fn text(browser: &mut Browser, selector: &str) -> String {
    let found = browser.eval(&format!("document.querySelector('{selector}').textContent"));
    found.as_str().unwrap().to_owned()
}

fn n_panels(browser: &mut Browser) -> u64 {
    browser.eval("document.querySelectorAll('.stage:not([hidden])').length").as_u64().unwrap()
}

fn set(browser: &mut Browser, id: &str, value: &str) {
    browser.eval(&format!(
        "(() => {{ const e = document.getElementById('{id}'); e.value = '{value}'; \
         e.dispatchEvent(new Event('input', {{ bubbles: true }})); \
         e.dispatchEvent(new Event('change', {{ bubbles: true }})); return 0; }})()"
    ));
    browser.settle();
}

#[track_caller]
fn assert_silent(browser: &mut Browser) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert_eq!(browser.requests(), Vec::<String>::new());
}

#[test]
fn words_show_their_maps_and_are_pinned() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    let first = pixels(&mut browser, 0);
    browser.hover(&word(EFFUSION));
    let effusion = pixels(&mut browser, 0);
    assert_ne!(effusion, first);
    assert_eq!(text(&mut browser, ".stage-word"), "effusion");
    browser.hover("h1");
    assert_eq!(pixels(&mut browser, 0), first);

    browser.click(&word(EFFUSION), false);
    browser.hover("h1");
    assert_eq!(pixels(&mut browser, 0), effusion, "a pinned map stays");
    browser.hover(&word(HEART));
    assert_ne!(pixels(&mut browser, 0), effusion, "another word is shown while pointed at");
    browser.hover("h1");
    assert_eq!(pixels(&mut browser, 0), effusion);
    assert_silent(&mut browser);
}

#[test]
fn a_method_with_finer_parts_shows_them() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    let left = |browser: &mut Browser| {
        browser.eval("document.querySelector('canvas.view').focus(), 0");
        browser.press("ArrowLeft");
        browser.settle();
        text(browser, "#readout")
    };
    browser.click(&word(EFFUSION), false);
    let regions = text(&mut browser, "#regions");
    set(&mut browser, "smooth", "cells");
    let coarse = pixels(&mut browser, 0);
    assert!(left(&mut browser).contains("of 256"));
    set(&mut browser, "method", "2");
    assert_ne!(pixels(&mut browser, 0), coarse);
    let fine = left(&mut browser);
    assert!(fine.contains("of 4096"), "{fine}");
    // Parts sum to their cell, so sums over regions stay, as far as they are rounded.
    let shares = |text: &str| {
        text.split('%')
            .filter_map(|part| {
                part.split(|c: char| !c.is_ascii_digit() && c != '.')
                    .rfind(|n| !n.is_empty())?
                    .parse()
                    .ok()
            })
            .collect::<Vec<f64>>()
    };
    let (before, after) = (shares(&regions), shares(&text(&mut browser, "#regions")));
    assert!(before.len() >= 4 && before.len() == after.len());
    assert!(before.iter().zip(&after).all(|(a, b)| (a - b).abs() <= 0.15), "{before:?} {after:?}");
    assert_silent(&mut browser);
}

#[test]
fn two_words_stand_side_by_side_and_as_a_difference() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    browser.click(&word(EFFUSION), false);
    browser.click(&word(HEART), true);
    assert_eq!(n_panels(&mut browser), 2);
    assert_ne!(pixels(&mut browser, 0), pixels(&mut browser, 1));
    browser.hover("h1");
    browser.click("[data-compare=difference]", false);
    assert_eq!(n_panels(&mut browser), 1);
    assert_eq!(text(&mut browser, ".stage-sub"), "difference");
    let difference = pixels(&mut browser, 0);
    browser.press("d");
    assert_eq!(n_panels(&mut browser), 2);
    browser.press("d");
    assert_eq!(pixels(&mut browser, 0), difference);
    browser.press("Escape");
    assert_eq!(n_panels(&mut browser), 1);
    assert_eq!(text(&mut browser, ".stage-word"), "effusion");
    assert_silent(&mut browser);
}

#[test]
fn a_second_word_needs_no_shift_key() {
    let Some(mut browser) = page(ANSWER, 1, PHONE) else { return };
    browser.click(&word(EFFUSION), false);
    browser.click("#compare", false);
    browser.click(&word(HEART), false);
    assert_eq!(n_panels(&mut browser), 2);
    browser.click("#compare", false);
    assert_eq!(n_panels(&mut browser), 1);
    assert_silent(&mut browser);
}

#[test]
fn every_control_changes_the_picture_and_comes_back() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    browser.click(&word(HEART), false);
    let before = pixels(&mut browser, 0);
    for (id, value, back) in [
        ("opacity", "30", "75"),
        ("threshold", "50", "0"),
        ("colormap", "viridis", "inferno"),
        ("smooth", "cells", "smooth"),
        ("scale", "common", "own"),
        ("layer", "2", "6"),
        ("method", "1", "0"),
    ] {
        set(&mut browser, id, value);
        assert_ne!(pixels(&mut browser, 0), before, "{id}");
        set(&mut browser, id, back);
        assert_eq!(pixels(&mut browser, 0), before, "{id}");
    }
    assert_silent(&mut browser);
}

#[test]
fn layers_and_methods_are_named_and_followed() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    assert_eq!(text(&mut browser, "#layer-value"), "result");
    let result = text(&mut browser, "#regions");
    set(&mut browser, "layer", "0");
    assert_eq!(text(&mut browser, "#layer-value"), "layer 1 to 6");
    assert_ne!(text(&mut browser, "#regions"), result);
    set(&mut browser, "method", "1");
    let hidden = browser.eval("document.getElementById('layer-field').hidden");
    assert_eq!(hidden, true, "the second method has no layers");
    assert_ne!(text(&mut browser, "#regions"), result);
    assert_silent(&mut browser);
}

#[test]
fn everything_can_be_done_with_keys() {
    let Some(mut browser) = page(ANSWER, 2, LAPTOP) else { return };
    browser.eval("document.querySelector('.word').focus()");
    for _ in 0..EFFUSION {
        browser.press("ArrowRight");
    }
    assert_eq!(text(&mut browser, ".stage-word"), "effusion");
    browser.press("Enter");
    let pressed = browser.eval("document.querySelector('.word[aria-pressed=true]').textContent");
    assert_eq!(pressed, "effusion");
    browser.press("End");
    assert_eq!(text(&mut browser, ".stage-word"), ".");
    browser.press("Home");
    assert_eq!(text(&mut browser, ".stage-word"), "There");

    let with_map = pixels(&mut browser, 0);
    browser.key("keyDown", "o");
    let original = pixels(&mut browser, 0);
    assert_ne!(original, with_map);
    browser.key("keyUp", "o");
    assert_eq!(pixels(&mut browser, 0), with_map);
    browser.press("]");
    assert_ne!(pixels(&mut browser, 0), with_map, "the second picture");
    browser.press("[");

    browser.eval("document.querySelector('canvas.view').focus()");
    browser.press("ArrowRight");
    let here = text(&mut browser, "#readout");
    assert!(here.contains("row 9, column 9") && here.contains("rank"), "{here}");
    browser.press("ArrowDown");
    assert!(text(&mut browser, "#readout").contains("row 10, column 9"));
    let small = pixels(&mut browser, 0);
    browser.press("+");
    assert_ne!(pixels(&mut browser, 0), small);
    browser.press("0");
    assert_eq!(pixels(&mut browser, 0), small);
    assert_silent(&mut browser);
}

#[test]
fn the_pointer_reads_cells_and_zoom_is_shared() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    browser.click(&word(EFFUSION), false);
    browser.click(&word(HEART), true);
    browser.hover(".stage canvas.view");
    let read = text(&mut browser, "#readout");
    assert_eq!(read.matches("of 256").count(), 2, "{read}");
    let before = [pixels(&mut browser, 0), pixels(&mut browser, 1)];
    browser.click("#zoom-in", false);
    let after = [pixels(&mut browser, 0), pixels(&mut browser, 1)];
    assert!(before[0] != after[0] && before[1] != after[1]);
    assert_silent(&mut browser);
}

#[test]
fn pictures_are_chosen_in_the_strip() {
    let Some(mut browser) = page(ANSWER, 3, LAPTOP) else { return };
    assert_eq!(browser.eval("document.querySelectorAll('#filmstrip button').length"), 3);
    assert!(text(&mut browser, "#filmstrip .share").ends_with('%'));
    let first = pixels(&mut browser, 0);
    browser.click("#filmstrip button:nth-child(2)", false);
    assert_ne!(pixels(&mut browser, 0), first);
    assert_silent(&mut browser);
}

#[test]
fn words_and_tokens_are_shaded() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    let share = |browser: &mut Browser, selector: &str| {
        let style =
            format!("document.querySelector('{selector}').style.getPropertyValue('--share')");
        browser.eval(&style).as_str().unwrap().parse::<f64>().unwrap()
    };
    let (effusion, there) = (share(&mut browser, &word(EFFUSION)), share(&mut browser, &word(0)));
    assert!(effusion > there && effusion <= 1.0, "{effusion} {there}");
    browser.eval("document.getElementById('sequence').open = true");
    browser.settle();
    assert!(share(&mut browser, ".token").abs() < 1e-6, "tokens of the template stand apart");
    browser.click("#template", false);
    browser.settle();
    assert!((share(&mut browser, ".token") - 1.0).abs() < 1e-6, "the strongest token");
    browser.hover(".token");
    assert!(text(&mut browser, "#token-readout").contains("<bos>"));
    assert_silent(&mut browser);
}

#[test]
fn text_of_others_is_inert() {
    let Some(mut browser) = Browser::start() else { return };
    let attack = "</script><script>window.ran=1</script><img src=x onerror=window.ran=1> {{data}} \u{2028} & ' \"";
    let made = Made::new(attack, attack, 1);
    let mut report = made.report();
    report.title = attack.to_owned();
    report.notes.push(attack.to_owned());
    report.methods[0].name = attack.to_owned();
    report.methods[0].note = attack.to_owned();
    report.pictures[0].name = attack.to_owned();
    report.regions[0].name = attack.to_owned();
    report.settings[0].value = attack.to_owned();
    report.targets[0].facts[0].value = attack.to_owned();
    report.targets[0].flags.push(attack.to_owned());
    report.targets[1].attributions[1] = Err(attack.to_owned());
    report.pictures[0].outlines = vec![Outline::rectangle([9.0, 9.0, 99.0, 99.0], attack)];
    browser.open(&report.to_html().unwrap(), LAPTOP);
    browser.click(&word(1), false);
    browser.click(&word(2), true);
    browser.hover(".stage canvas.view");
    assert_eq!(browser.eval("String(window.ran)"), "undefined");
    assert_eq!(text(&mut browser, "#answer"), attack);
    assert_eq!(text(&mut browser, ".question"), attack);
    assert_eq!(browser.eval("document.querySelectorAll('img, script').length"), 2);
    assert_silent(&mut browser);
}

#[test]
fn the_policy_lets_nothing_in_or_out() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    browser.eval(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s); \
         const i = new Image(); i.src = 'https://example.org/a.png'; return 0; })()",
    );
    let sent = browser.eval("fetch('https://example.org/').then(() => 'sent', () => 'refused')");
    assert_eq!(sent, "refused");
    assert_eq!(browser.eval("String(window.ran)"), "undefined");
}

#[test]
fn a_phone_scrolls_down_only() {
    let long = format!("{ANSWER} {} 👩‍⚕️ ذات الرئة", "pneumono".repeat(40));
    for n_pictures in [1, 3] {
        let Some(mut browser) = Browser::start() else { return };
        let made = Made::new("Is there an effusion?", &long, n_pictures);
        let mut report = made.report();
        report.targets[EFFUSION].evidence = Some(evidence());
        browser.open(&report.to_html().unwrap(), PHONE);
        browser.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
        browser.click(&word(EFFUSION), false);
        browser.click(&word(HEART), true);
        browser.click(".badge", false);
        let width = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
        assert_eq!(width, u64::from(PHONE.0));
        assert_silent(&mut browser);
    }
}

#[test]
fn a_page_without_pictures_shows_the_text() {
    let Some(mut browser) = page(ANSWER, 0, LAPTOP) else { return };
    browser.click(&word(EFFUSION), false);
    assert_eq!(text(&mut browser, ".word-name"), "effusion");
    let widths =
        "['.side', '.answer-card', 'main'].map((s) => document.querySelector(s).clientWidth)";
    let widths: Vec<u64> =
        browser.eval(widths).as_array().unwrap().iter().map(|w| w.as_u64().unwrap()).collect();
    assert!(
        widths[0] + 60 > widths[2] && widths[1] + 60 > widths[2],
        "the whole width: {widths:?}"
    );
    // What is chosen of the text stands beside it; what is about pictures is not there.
    let mut is_seen = |id: &str| {
        let width = browser.eval(&format!("document.getElementById('{id}').offsetWidth"));
        width.as_u64().unwrap() > 0
    };
    assert!(is_seen("method") && is_seen("layer") && !is_seen("colormap"));
    set(&mut browser, "method", "1");
    assert!(is_hidden(&mut browser, "#layer-field"), "the second method has no layers");
    assert!(!text(&mut browser, "#strongest-hint").contains("picture"));
    assert_silent(&mut browser);
}

#[test]
fn tokens_of_the_template_are_told_once_and_apart() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    browser.click(&word(EFFUSION), false);
    browser.settle();
    let strongest = text(&mut browser, "#strongest");
    assert!(!strongest.contains("<bos>") && strongest.contains('%'), "{strongest}");
    let apart = text(&mut browser, "#template-share");
    assert!(apart.contains("<bos>") && apart.contains("% of all relevancy"), "{apart}");
    browser.click("#template", false);
    browser.settle();
    assert!(text(&mut browser, "#strongest").contains("<bos>"));
    assert_eq!(text(&mut browser, "#template-share"), "");
    assert_silent(&mut browser);
}

#[test]
fn letters_outlines_and_contours_are_drawn() {
    let change = |report: &mut Report<'_>| {
        report.pictures[0].orientation = Orientation::Pa;
        report.contours = vec![0.95];
        report.pictures[0].outlines =
            vec![Outline::rectangle([100.0, 100.0, 300.0, 400.0], "nodule")];
    };
    let Some(mut browser) = changed(1, LAPTOP, change) else { return };
    browser.click(&word(EFFUSION), false);
    browser.hover("h1");
    let all = pixels(&mut browser, 0);
    assert!(text(&mut browser, ".stage-note").contains("the hottest 5 %"));
    browser.click("#marks", false);
    let unmarked = pixels(&mut browser, 0);
    assert_ne!(unmarked, all);
    set(&mut browser, "contours", "");
    assert_ne!(pixels(&mut browser, 0), unmarked);
    assert_eq!(text(&mut browser, ".stage-note"), "");
    set(&mut browser, "contours", "0.95");
    browser.click("#marks", false);
    browser.hover("h1");
    assert_eq!(pixels(&mut browser, 0), all);
    // Nine tenths of the cells of a peak are nearly zero: no line is drawn there, and the page says so.
    set(&mut browser, "contours", "0.9,0.99");
    assert!(text(&mut browser, ".stage-note").contains("Contour lines: around the hottest"));
    assert_silent(&mut browser);
}

#[test]
fn the_page_opens_on_the_picture_with_the_heat() {
    let change = |report: &mut Report<'_>| {
        // The first grid is the hottest: now it is that of the second picture.
        let [first, second] = [report.grids[0], report.grids[1]];
        (report.grids[0].picture, report.grids[0].placement) = (1, second.placement);
        (report.grids[1].picture, report.grids[1].placement) = (0, first.placement);
    };
    for (swapped, expected) in [(false, 1), (true, 2)] {
        let change = |report: &mut Report<'_>| {
            if swapped {
                change(report);
            }
        };
        let Some(mut browser) = changed(2, LAPTOP, change) else { return };
        browser.settle();
        let pressed = format!("#filmstrip button:nth-child({expected})");
        let found = browser
            .eval(&format!("document.querySelector('{pressed}').getAttribute('aria-pressed')"));
        assert_eq!(found, "true");
    }
}

#[test]
fn what_a_word_has_not_is_greyed_and_explained() {
    let change = |report: &mut Report<'_>| {
        report.targets[HEART].attributions[0].as_mut().unwrap().layers.clear();
        report.targets[HEART].attributions[1] = Err("it was never read".to_owned());
    };
    let Some(mut browser) = changed(1, LAPTOP, change) else { return };
    browser.click(&word(HEART), false);
    browser.hover("h1");
    let map = pixels(&mut browser, 0);
    assert!(!has_class(&mut browser, &word(HEART), "absent"));
    set(&mut browser, "layer", "2");
    let without = pixels(&mut browser, 0);
    assert_ne!(without, map);
    assert!(has_class(&mut browser, &word(HEART), "absent"));
    assert!(!has_class(&mut browser, &word(EFFUSION), "absent"));
    assert!(is_hidden(&mut browser, ".bar"), "no scale without a map");
    assert!(text(&mut browser, ".stage-note").contains("not recorded layer by layer"));
    let details = text(&mut browser, "#details");
    assert!(details.contains('–') && !details.contains("0.00"), "{details}");
    set(&mut browser, "method", "1");
    assert!(text(&mut browser, ".stage-note").contains("it was never read"));
    assert!(text(&mut browser, "#strongest").contains("it was never read"));
    assert_eq!(pixels(&mut browser, 0), without);
    browser.hover(".stage canvas.view");
    assert_eq!(text(&mut browser, "#readout").split(" · ").last().unwrap(), "no value");
    assert_silent(&mut browser);
}

#[test]
fn a_word_that_nothing_speaks_for_has_no_map() {
    let Some(mut browser) = Browser::start() else { return };
    let made = Made::new("Is there an effusion?", ANSWER, 1);
    let mut report = made.report();
    let mut row = Array1::zeros(made.tokens.len());
    row[report.targets[HEART].self_positions[0]] = 1.0;
    report.targets[HEART].attributions[0] = Ok(Attribution::new(row.view()));
    browser.open(&report.to_html().unwrap(), LAPTOP);
    browser.click(&word(HEART), false);
    browser.settle();
    assert!(text(&mut browser, ".stage-note").contains("Nothing in pictures or text speaks for"));
    assert!(is_hidden(&mut browser, ".bar"));
    assert!(!text(&mut browser, ".stage-sub").contains('%'), "a share of nothing is none");
    assert_silent(&mut browser);
}

/// A page with evidence for two words, the second of which has no chart.
fn with_evidence(size: (u32, u32)) -> Option<Browser> {
    changed(1, size, |report| {
        report.targets[EFFUSION].evidence = Some(evidence());
        let (badge, tone) = ("no better than chance".to_owned(), Tone::Poor);
        let text = vec!["Nothing fell.".to_owned()];
        report.targets[HEART].evidence =
            Some(Evidence { badge, tone, text, ..Evidence::default() });
    })
}

#[test]
fn a_badge_opens_what_taking_cells_away_says() {
    let Some(mut browser) = with_evidence(LAPTOP) else { return };
    browser.click(&word(0), false);
    assert_eq!(browser.eval("document.querySelectorAll('.badge').length"), 0);
    browser.click(&word(EFFUSION), false);
    assert_eq!(text(&mut browser, ".badge bdi"), "faithful by 2 of 4");
    assert!(has_class(&mut browser, ".badge", "good"));
    assert!(is_hidden(&mut browser, ".evidence"));
    let is_open = |browser: &mut Browser| {
        let expanded =
            browser.eval("document.querySelector('.badge').getAttribute('aria-expanded')");
        let hidden = is_hidden(browser, ".evidence");
        assert_eq!(expanded == "true", !hidden);
        !hidden
    };
    browser.click(".badge", false);
    assert!(is_open(&mut browser));
    let shown = text(&mut browser, ".evidence");
    for part in [
        "the most relevant first",
        "above all 20 controls",
        "No curves",
        "0.48",
        "range of the controls",
        "whichever method",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(browser.eval("document.querySelectorAll('.removals figure').length"), 4);
    assert_eq!(browser.eval("document.querySelectorAll('.removals svg.removal').length"), 3);

    // It stays open while other words are shown, of which one has none.
    browser.click(&word(0), false);
    assert_eq!(browser.eval("document.querySelectorAll('.evidence').length"), 0);
    browser.click(&word(HEART), false);
    assert!(is_open(&mut browser));
    assert!(text(&mut browser, ".evidence").starts_with("Nothing fell."));
    assert!(has_class(&mut browser, ".badge", "poor"));
    browser.click(&word(EFFUSION), true);
    assert_eq!(browser.eval("document.querySelectorAll('.evidence:not([hidden])').length"), 2);

    // Closed and opened with the keyboard, which stays on the badge.
    browser.press("Escape");
    browser.eval("document.querySelector('.badge').focus()");
    for open in [false, true] {
        browser.eval("document.activeElement.click()");
        browser.settle();
        assert_eq!(is_open(&mut browser), open);
        assert_eq!(browser.eval("document.activeElement.className"), "badge poor");
    }
    set(&mut browser, "method", "1");
    assert!(is_open(&mut browser), "the test is of the first method, whatever is shown");
    assert_silent(&mut browser);
}

#[test]
fn curves_of_the_page_lie_where_their_numbers_say() {
    let Some(mut browser) = with_evidence(LAPTOP) else { return };
    browser.click(&word(EFFUSION), false);
    browser.click(".badge", false);
    let mut numbers = |selector: &str, name: &str| -> Vec<Vec<f64>> {
        let found = browser.eval(&format!(
            "[...document.querySelectorAll('.removals figure:nth-child(2) {selector}')].map((e) => e.getAttribute('{name}').split(/[ ,]/).map(Number))"
        ));
        serde_json::from_value(found).unwrap()
    };
    let chart = &evidence().charts[1];
    // Ticks: the shares 0 to 100 % come first.
    let ticks = numbers("line", "x1");
    let (left, right) = (ticks[0][0], ticks[7][0]);
    let marks = numbers("line.mark", "y1");
    let (zero, one) = (marks[0][0], marks[1][0]);
    assert!(one < zero && marks.len() == 2);
    let expected = |values: &[f64]| -> Vec<f64> {
        let places = chart.fractions.iter().zip(values);
        let place = |(share, value): (&f64, &f64)| {
            [left + (right - left) * share.sqrt(), zero + (one - zero) * value]
        };
        places.flat_map(place).collect()
    };
    let highest: Vec<f64> = chart.band.iter().map(|ends| ends[1]).collect();
    let outline = numbers("polygon", "points").remove(0);
    let half = outline.len() / 2;
    let found = [
        (numbers("polyline.most", "points").remove(0), &chart.most_first),
        (numbers("polyline.least", "points").remove(0), &chart.least_first),
        (numbers("polyline.random", "points").remove(0), &chart.uniform),
        (outline[..half].to_vec(), &highest),
    ];
    for (found, values) in found {
        let expected = expected(values);
        assert_eq!(found.len(), expected.len());
        let furthest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(furthest < 0.02, "{found:?} {expected:?}");
    }
    let read = text(&mut browser, ".removals figure:nth-child(2) .hit:nth-last-child(5) title");
    let [low, high] = chart.band[5];
    let expected = format!(
        "Gone: 16\u{a0}%\nMost relevant first: {:.2}\nLeast relevant first: {:.2}\nRandom: {:.2}\nControls: {low:.2} to {high:.2}",
        chart.most_first[5], chart.least_first[5], chart.uniform[5]
    );
    assert_eq!(read, expected);
    // The same numbers as a table, which stays open as the badge does.
    browser.click(".evidence details summary", false);
    let row = "(n) => [...document.querySelectorAll('.evidence details table:first-child tbody tr')[n].children].map((c) => c.textContent).join(' ')";
    let row = browser.eval(&format!("({row})(9)"));
    assert_eq!(row, "100\u{a0}% 0.00 0.00 0.00 0.00 to 0.00");
    browser.click(&word(0), false);
    browser.click(&word(EFFUSION), false);
    browser.settle();
    assert_eq!(browser.eval("document.querySelector('.evidence details').open"), true);
    assert_silent(&mut browser);
}

#[test]
fn evidence_of_others_is_inert() {
    let attack = "</script><script>window.ran=1</script><img src=x onerror=window.ran=1> & ' \"";
    let change = |report: &mut Report<'_>| {
        let mut hostile = evidence();
        hostile.badge = attack.to_owned();
        hostile.text[0] = attack.to_owned();
        for chart in &mut hostile.charts {
            (chart.title, chart.summary) = (attack.to_owned(), attack.to_owned());
        }
        // Far outside of any scale.
        hostile.charts[1].most_first[3] = -1e300;
        hostile.charts[1].least_first[3] = 1e300;
        let table = hostile.table.as_mut().unwrap();
        (table.head[0], table.rows[0][0]) = (attack.to_owned(), attack.to_owned());
        table.rows[0][1] = attack.to_owned();
        report.targets[EFFUSION].evidence = Some(hostile);
    };
    let Some(mut browser) = changed(1, LAPTOP, change) else { return };
    browser.click(&word(EFFUSION), false);
    browser.click(".badge", false);
    assert_eq!(text(&mut browser, ".badge bdi"), attack);
    assert_eq!(text(&mut browser, ".evidence p"), attack);
    assert_eq!(text(&mut browser, ".removals figcaption b"), attack);
    assert_eq!(text(&mut browser, ".evidence tbody th"), attack);
    assert_eq!(browser.eval("String(window.ran)"), "undefined");
    assert_eq!(browser.eval("document.querySelectorAll('img, script').length"), 2);
    assert_silent(&mut browser);
}

#[test]
fn flags_stand_in_the_answer_and_beside_the_word() {
    let flag = "as likely with an even grey in its place";
    let change = |report: &mut Report<'_>| report.targets[HEART].flags = vec![flag.to_owned()];
    let Some(mut browser) = changed(1, LAPTOP, change) else { return };
    assert!(has_class(&mut browser, &word(HEART), "flagged"));
    assert!(!has_class(&mut browser, &word(EFFUSION), "flagged"));
    browser.click(&word(HEART), false);
    browser.settle();
    assert_eq!(text(&mut browser, ".flag"), flag);
    let title = browser.eval(&format!("document.querySelector('{}').title", word(HEART)));
    assert!(title.as_str().unwrap().contains(flag));
    assert_eq!(text(&mut browser, "#answer"), ANSWER, "the mark is no text of the answer");
}

#[test]
fn signs_have_a_scale_with_two_ends() {
    let made = Made::new("Is there an effusion?", ANSWER, 1);
    let rows: Vec<Array1<f32>> = made.rows.iter().map(|rows| &rows[0] - 0.002).collect();
    let Some(mut browser) = Browser::start() else { return };
    let mut report = made.report();
    let signs = Signs { below: "speaks against".to_owned(), above: "speaks for".to_owned() };
    report.methods.push(Method { signs: Some(signs), ..Method::new("gradient × input") });
    for (target, row) in report.targets.iter_mut().zip(&rows) {
        target.attributions.push(Ok(Attribution::new(row.view())));
    }
    browser.open(&report.to_html().unwrap(), LAPTOP);
    browser.click(&word(EFFUSION), false);
    let unsigned = pixels(&mut browser, 0);
    set(&mut browser, "method", "3");
    assert_ne!(pixels(&mut browser, 0), unsigned);
    let [low, high] = [1, 2].map(|n| format!(".bar bdi:nth-of-type({n})"));
    assert!(
        text(&mut browser, &low).starts_with('−')
            && text(&mut browser, &low).ends_with("speaks against")
    );
    assert!(
        text(&mut browser, &high).starts_with('+')
            && text(&mut browser, &high).ends_with("speaks for")
    );
    assert!(!is_hidden(&mut browser, "#regions-signed"), "no shares of what has signs");
    browser.hover(".stage canvas.view");
    assert!(text(&mut browser, "#readout").contains("of the magnitude"));
    assert_silent(&mut browser);
}

#[test]
fn numbers_do_not_break_on_a_phone() {
    let Some(mut browser) = page(ANSWER, 1, PHONE) else { return };
    browser.click(&word(EFFUSION), false);
    browser.settle();
    // A cell of the table of regions with more than one line of text is higher than one.
    let broken = browser.eval(
        "[...document.querySelectorAll('#regions td, #regions thead th')].filter((cell) => { \
         const range = document.createRange(); range.selectNodeContents(cell); \
         const ends = [...range.getClientRects()].filter((r) => r.width > 0).map((r) => r.bottom); \
         return Math.max(...ends) - Math.min(...ends) > 10; }).map((cell) => cell.textContent)",
    );
    assert_eq!(broken, serde_json::json!([]));
    let width = browser.eval("document.documentElement.scrollWidth").as_u64().unwrap();
    assert_eq!(width, u64::from(PHONE.0));
}

#[test]
fn the_view_is_saved_as_a_picture() {
    let Some(mut browser) = page(ANSWER, 1, LAPTOP) else { return };
    let name = "effusion_gradient-weighted-attention-relevancy_radiograph-1.png";
    let file = browser.downloads().join(name);
    browser.click(&word(EFFUSION), false);
    browser.click("#export", false);
    let saved = (0..200).find_map(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        image::open(&file).ok()
    });
    let saved = saved.expect("a picture in the folder of downloads").into_rgb8();
    let coloured = saved.pixels().filter(|p| p.0[0].abs_diff(p.0[2]) > 60).count();
    assert!(coloured > 1000, "{coloured} pixels of heat");
    assert!(saved.width().max(saved.height()) >= 1400, "{:?}", saved.dimensions());
    assert_silent(&mut browser);
}

/// The page's own arithmetic against the crate's: the colour at the centre of every cell on a plain picture.
#[test]
fn heat_is_what_the_crate_draws() {
    let Some(mut browser) = Browser::start() else { return };
    let plain = RgbImage::from_pixel(320, 320, Rgb([90; 3]));
    let mut made = Made::new("?", ANSWER, 1);
    made.grids[0].placement = Placement::whole(&plain);
    made.pictures = vec![plain.clone()];
    browser.open(&made.report().to_html().unwrap(), LAPTOP);
    browser.click(&word(EFFUSION), false);
    let row = made.rows[EFFUSION][0].as_slice().unwrap();
    let cells = &row[made.grids[0].start..][..made::SIDE * made::SIDE];
    let grid = ArrayView2::from_shape((made::SIDE, made::SIDE), cells).unwrap();
    for (name, interpolation) in
        [("cells", Interpolation::Cells), ("smooth", Interpolation::Bilinear)]
    {
        set(&mut browser, "smooth", name);
        browser.hover("h1");
        let options = OverlayOptions::default().with_interpolation(interpolation);
        let map = GridMap { grid, placement: Placement::whole(&plain) };
        let expected = overlay(&plain, &[map], &options).unwrap();
        let found = browser.eval(&format!(
            "(() => {{ {COPY} const c = document.querySelector('canvas.view'); const side = Math.min(c.width, c.height); \
             const at = (i, n) => Math.round((n - side) / 2 + (i + 0.5) * side / 16); const x = copyOf(c); \
             return Array.from({{ length: 256 }}, (_, i) => \
             [...x.getImageData(at(i % 16, c.width), at(Math.floor(i / 16), c.height), 1, 1).data]); }})()",
        ));
        for cell in 0..256_u32 {
            let expected = expected.get_pixel(cell % 16 * 20 + 10, cell / 16 * 20 + 10).0;
            for (channel, expected) in expected.into_iter().enumerate() {
                let found = found[cell as usize][channel].as_u64().unwrap() as u8;
                // The canvas has another lattice than the picture: near a steep edge a level or two of 255 differ, and the
                // browser rounds opacity to 1/255.
                assert!(
                    found.abs_diff(expected) <= 6,
                    "{name}, cell {cell}: {found}, not {expected}"
                );
            }
        }
    }
}
