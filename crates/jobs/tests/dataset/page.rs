//! The page of a data set in a browser: what it shows, sorts and filters, and that it asks nothing of anybody.

use std::path::Path;

use explanation_jobs::{DataSet, Index, MOST_SHOWN, Opening, Outcome, Shard, Shown, write_index};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::support;

const INDEX: Index<'static> = Index { title: "Jobs of a test", link: &|id| link(id) };

fn link(id: &str) -> Option<String> {
    (!id.contains('3')).then(|| format!("jobs/{id}/report.html"))
}

/// A PNG of 1 × 1 pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9bU\0\0\0\nIDATx\x9cc\xf8\x0f\0\x01\x01\x01\0\x1b\xb6\xeeV\0\0\0\0IEND\xaeB`\x82";

const HOSTILE: &str =
    "<img src=x onerror=\"document.title='hacked'\"></td><script>document.title='hacked'</script>";

fn data_set(folder: &Path, outcomes: impl Iterator<Item = Outcome>) {
    let opening = Opening { retry_errors: false, rows_of_a_part: 1000 };
    let mut set = DataSet::open(folder, &support::header(), Shard::WHOLE, opening).unwrap();
    for outcome in outcomes {
        set.add(&outcome, &[Some(PNG.to_vec())]).unwrap();
    }
    set.finish().unwrap();
}

/// Jobs 0 to 11, and one with hostile texts.
fn outcomes() -> impl Iterator<Item = Outcome> {
    let mut hostile = support::outcome(0);
    HOSTILE.clone_into(&mut hostile.id);
    let words = ["effusion", HOSTILE];
    for (row, text) in hostile.rows.iter_mut().zip(words) {
        row.text = text.to_owned();
        row.certificate[0].ahead = Some(false);
        row.image_share = Some(0.9);
    }
    (0..12).map(support::outcome).chain([hostile])
}

/// The ids of the rows that are shown, in their order.
const IDS: &str = "[...document.querySelectorAll('tbody tr:not([hidden])')].map(row => row.querySelector('.id').textContent)";

fn set(browser: &mut Browser, control: &str, value: &str) -> Vec<String> {
    browser.value(&format!(
        "{{ const it = document.getElementById({control:?}); it.value = {value:?}; it.dispatchEvent(new Event('input', {{bubbles: true}})); }}"
    ));
    ids(browser)
}

fn ids(browser: &mut Browser) -> Vec<String> {
    serde_json::from_value(browser.value(IDS)).unwrap()
}

fn click(browser: &mut Browser, key: &str) -> Value {
    browser.value(&format!("document.querySelector('[data-key={key}] button').click()"));
    browser.value("[...document.querySelectorAll('[aria-sort]')].map(it => [it.dataset.key, it.getAttribute('aria-sort')])")
}

#[test]
fn rows_are_sorted_and_filtered() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path(), outcomes());
    assert_eq!(write_index(folder.path(), &INDEX).unwrap(), Shown { shown: 20, rows: 20 });
    browser.open(&folder.path().join("index.html"), 1280, 900);
    let all = ids(&mut browser);
    assert_eq!((all.len(), all[0].as_str(), all[19].as_str()), (20, "job 0", HOSTILE));
    assert_eq!(browser.value("document.title"), "Jobs of a test");
    let link = browser.value("document.querySelector('tbody a').getAttribute('href')");
    assert_eq!(link, "./jobs/job%200/report.html");
    let counts = browser.value("document.querySelector('.counts').textContent");
    assert!(counts.as_str().unwrap().starts_with("3 jobs failed (picture: 3)"), "{counts}");

    assert_eq!(click(&mut browser, "id"), json!([["id", "ascending"]]));
    let sorted = ids(&mut browser);
    assert_eq!(sorted[19], "job 11", "numbers within ids count as numbers");
    assert_eq!(click(&mut browser, "id"), json!([["id", "descending"]]));
    assert_eq!(ids(&mut browser)[0], "job 11");
    assert_eq!(click(&mut browser, "share"), json!([["share", "descending"]]));
    let by_share = ids(&mut browser);
    assert_eq!([&by_share[0], &by_share[2]], [HOSTILE, "job 0"]);
    assert!(by_share[14..].iter().all(|id| !all[..2].contains(id)), "no share: at the end");
    click(&mut browser, "share");
    assert_eq!(ids(&mut browser)[0], "job 9");

    // With the keyboard alone.
    browser.value("document.querySelector('[data-key=text] button').focus()");
    browser.press("Enter", 13, "\r");
    let sorted =
        browser.value("document.querySelector('[data-key=text]').getAttribute('aria-sort')");
    assert_eq!(sorted, "ascending");

    assert_eq!(set(&mut browser, "words", "EFFUSION"), [HOSTILE]);
    assert_eq!(browser.value("document.getElementById('status').textContent"), "1 of 20 rows");
    assert_eq!(set(&mut browser, "words", "no such word").len(), 0);
    assert_eq!(browser.value("document.getElementById('none').hidden"), false);
    set(&mut browser, "words", "");
    assert_eq!(set(&mut browser, "certificate", "ahead").len(), 12);
    assert_eq!(set(&mut browser, "certificate", "not"), [HOSTILE, HOSTILE]);
    assert_eq!(set(&mut browser, "certificate", "none").len(), 6);
    set(&mut browser, "certificate", "");
    assert_eq!(set(&mut browser, "least", "50"), [HOSTILE, HOSTILE]);
    set(&mut browser, "least", "0");
    // Shares are 1/(number + 3).
    assert_eq!(set(&mut browser, "most", "10"), ["job 8", "job 8", "job 9", "job 9"]);
    browser.value("document.querySelector('[type=reset]').click()");
    browser.value("new Promise(done => setTimeout(done, 50))");
    assert_eq!(ids(&mut browser).len(), 20);
    browser.value("document.getElementById('errors').click()");
    browser.value("new Promise(done => setTimeout(done, 50))");
    assert_eq!(ids(&mut browser), ["job 3", "job 7", "job 11"]);

    assert_eq!(browser.value("document.title"), "Jobs of a test", "no text became a script");
    quiet(&browser);
}

/// No error, no refusal by the policy, no request but for the page itself.
fn quiet(browser: &Browser) {
    for event in &browser.events {
        let method = event["method"].as_str().unwrap_or_default();
        assert!(
            !["Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"]
                .contains(&method),
            "{event}"
        );
        if method == "Network.requestWillBeSent" {
            let url = event["params"]["request"]["url"].as_str().unwrap();
            assert!(url.starts_with("data:") || url.ends_with("/index.html"), "{url}");
        }
    }
}

#[test]
fn it_fits_a_phone_and_keeps_its_layout() {
    let Some(mut browser) = Browser::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    data_set(folder.path(), outcomes());
    write_index(folder.path(), &INDEX).unwrap();
    for width in [320, 390, 720, 1280] {
        browser.open(&folder.path().join("index.html"), width, 800);
        let wide = "(it => [it.scrollWidth, it.clientWidth])(document.documentElement)";
        let wide = browser.value(wide);
        assert_eq!(wide[0], wide[1], "nothing stands out");
        let height = "(it => [it.top, it.left, it.width])(document.querySelector('thead').getBoundingClientRect())";
        let before = browser.value(height);
        set(&mut browser, "words", "effusion");
        assert_eq!(browser.value(height), before);
        quiet(&browser);
    }
}

#[test]
fn a_large_data_set_is_shown_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let many = (0..).step_by(4).map(support::outcome).take(1500);
    data_set(folder.path(), many.chain([support::outcome(3)]));
    let shown = write_index(folder.path(), &INDEX).unwrap();
    assert_eq!(shown, Shown { shown: MOST_SHOWN, rows: 3001 });
    let page = std::fs::read_to_string(folder.path().join("index.html")).unwrap();
    assert_eq!(page.matches("data-kind=\"target\"").count(), 1500);
    assert_eq!(page.matches("data-kind=\"error\"").count(), 1);
    assert!(page.contains("2\u{202f}000 of 3\u{202f}001 rows"));
}
