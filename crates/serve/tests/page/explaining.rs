//! Maps of words, in the order that a person wants them, and questions about them.

use serde_json::json;

use crate::harness::{LAPTOP, Page, Server};

#[test]
fn what_is_pointed_at_while_the_answer_comes_is_explained_first() {
    let Some(server) = Server::stand_in(&["--pace", "0.3", "--explain", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.ask("Is there a nodule?");
    page.until(
        "[...document.querySelectorAll('#answer .word')].some((w) => w.textContent === 'nodule')",
    );
    let word = page.word("nodule");
    page.browser.hover(&word);
    page.until("document.querySelector('#stage-sub').textContent.includes('as soon as the answer is finished')");
    page.wait_for_map("nodule");
    let first = &page.log("/v1/explanations")[0];
    assert_eq!(first["targets"], json!([{ "characters": [16, 22] }]));
    page.wait_for_rest();
    page.assert_clean(0);
}

#[test]
fn a_word_that_waits_says_its_place() {
    let Some(server) = Server::stand_in(&["--pace", "0.01", "--explain", "0.8"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.ask("Is there a nodule?");
    page.until("document.querySelector('#status-text').textContent.includes('words explained')");
    // A function word, which no batch takes: it waits behind the batch that runs.
    let word = page.word("there");
    page.click(&word);
    page.until("document.querySelector('#stage-sub').textContent === 'Next in the queue.'");
    page.wait_for_map("there");
    page.wait_for_rest();
    assert_eq!(page.text("#status-text"), "5 of 5 words explained.");
}

#[test]
fn words_are_shaded_by_how_much_was_relied_on_them() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.asked("Is there a nodule?");
    let word = page.word("zone");
    page.click(&word);
    page.wait_for_map("zone");
    page.until("document.querySelectorAll('#question .token').length >= 5");
    let shares = "['#answer .word', '#question .token'].map((s) => Math.max(...[...document.querySelectorAll(s)]\
        .map((w) => Number(w.style.getPropertyValue('--share')))))";
    let most = page.eval(shares);
    let most: Vec<f64> = most.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
    assert!(
        (most[0].max(most[1]) - 1.0).abs() < 1e-9,
        "the darkest shade is the largest: {most:?}"
    );
    assert!(most.iter().all(|share| *share > 0.0), "question and answer: {most:?}");
    assert!(page.count(".strongest li") >= 3);
}

#[test]
fn a_word_is_held_against_another_and_a_phrase_against_a_phrase() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.asked("Is there a nodule?");
    let (left, zone) = (page.word("left"), page.word("zone"));
    page.click(&left);
    page.wait_for_map("left");
    let alone = page.pixels(0);
    page.eval("document.querySelector('#against').focus(), 0");
    page.type_text("right");
    page.press("Enter", false);
    page.wait_for_map("against");
    assert_ne!(page.pixels(0), alone, "another map");
    let body = page.log("/v1/explanations").pop().unwrap();
    assert_eq!(body["options"]["contrast"], "right");
    assert_eq!(body["targets"], json!([{ "characters": [30, 34] }]));

    page.click(&left);
    page.browser.click(&zone, true);
    page.wait_for_map("left middle zone");
    page.eval("document.querySelector('#against').focus(), 0");
    page.type_text("right lower zone");
    page.press("Enter", false);
    page.wait_for_map("against");
    let body = page.log("/v1/explanations").pop().unwrap();
    let target = json!([{ "phrase": "left middle zone", "against": "right lower zone" }]);
    assert_eq!(body["targets"], target);
    page.until("document.querySelector('#details').textContent.includes('by 3.20 nats')");
    page.until("document.querySelectorAll('#method option').length === 3");
    assert_eq!(
        page.eval("document.body.textContent.includes('U+20')"),
        false,
        "own marks stay unseen"
    );
    assert_eq!(
        page.count("#chips .chip"),
        3,
        "left against right, the phrase, and it against another"
    );
    page.assert_clean(0);
}

#[test]
fn a_contrast_that_cannot_be_says_why_and_what_else_to_do() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.asked("Is there a nodule?");
    let left = page.word("left");
    page.click(&left);
    page.wait_for_map("left");
    page.eval("document.querySelector('#against').focus(), 0");
    page.type_text("fail");
    page.press("Enter", false);
    page.until("document.querySelector('#details .problem') !== null");
    assert!(page.text("#details").contains("name another word"), "{}", page.text("#details"));
    assert!(page.text("#details").contains("Compare as phrases"), "{}", page.text("#details"));
    assert_eq!(page.text("#status-text"), "5 of 5 words explained.", "the rest stays");
}

#[test]
fn questions_about_a_map_are_answered_in_words_and_numbers() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.asked("Is there a nodule?");
    let word = page.word("nodule");
    page.click(&word);
    page.wait_for_map("nodule");
    assert!(page.text("[data-study=certificate] .cost").contains("340 runs"));
    // A pointer that rests on the answer would point at whatever moves under it.
    page.browser.hover("h1");
    for study in ["reliance", "certificate", "methods"] {
        page.activate(&format!("[data-study={study}] .ask-study"));
    }
    page.until("document.querySelectorAll('.verdict').length === 2 && document.querySelectorAll('.tile').length >= 5");
    let said = page.text("[data-study=reliance]");
    assert!(said.contains("depends on the picture") && said.contains("+2.31 nats"), "{said}");
    let said = page.text("[data-study=certificate]");
    assert!(said.contains("ahead of its controls by 1 of 1") && said.contains("0.050"), "{said}");
    assert!(page.text("[data-study=certificate] .cost").contains("here."), "it was measured");

    let own = page.pixels(0);
    page.click(".tile:nth-child(3)");
    assert_ne!(page.pixels(0), own, "the map of another method, in the large");
    assert_eq!(page.eval("document.body.textContent.toLowerCase().includes('correct')"), false);
    page.assert_clean(0);
}

#[test]
fn finer_maps_and_methods_of_every_map_come_from_the_arrays() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.eval(
        "(() => { const e = document.querySelector('#option-resolution'); e.value = 'patches'; \
         e.dispatchEvent(new Event('input', { bubbles: true })); return 0; })()",
    );
    page.asked("Is there a nodule?");
    let word = page.word("nodule");
    page.click(&word);
    page.wait_for_map("nodule");
    page.until("document.querySelector('#method').value === 'patches'");
    let fine = page.pixels(0);
    page.eval("(() => { const e = document.querySelector('#method'); e.value = 'tokens'; e.dispatchEvent(new Event('change')); return 0; })()");
    assert_ne!(page.pixels(0), fine);
    page.assert_clean(0);
}

#[test]
fn the_report_is_framed_and_files_are_saved() {
    let Some(server) = Server::any() else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    let folder = page.browser.downloads();
    page.asked("Is there a nodule?");
    let press = |page: &mut Page, text: &str| {
        let button = format!(
            "[...document.querySelectorAll('#results button')].find((b) => b.textContent === '{text}')"
        );
        page.until(&button);
        page.eval(&format!("{button}.click(), 0"));
    };
    press(&mut page, "Make the full report");
    press(&mut page, "Open the report");
    page.until("document.querySelector('#report-dialog[open] iframe') !== null");
    let frame = page.eval(
        "(() => { const f = document.querySelector('#report-dialog iframe'); return [f.getAttribute('sandbox'), f.src]; })()",
    );
    assert_eq!(frame[0], "allow-scripts allow-downloads");
    let shown =
        format!("fetch({}).then((r) => r.text()).then((t) => t.includes('<title>'))", frame[1]);
    assert_eq!(page.eval(&shown), true);
    page.eval("document.querySelector('#report-close').click(), 0");
    press(&mut page, "explanation.json");
    page.eval("document.querySelector('#export').click(), 0");
    let is_there = |ending: &str| {
        let start = std::time::Instant::now();
        loop {
            let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let mut names = files.map(|file| file.file_name().to_string_lossy().into_owned());
            if names.any(|name| name.ends_with(ending)) {
                return true;
            }
            if start.elapsed().as_secs() > 30 {
                return false;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    for ending in [".json", "_chest.png"] {
        assert!(is_there(ending), "{ending} in {}", folder.display());
    }
    page.assert_clean(0);
}
