//! Pictures in, a question, the answer as it comes.

use serde_json::json;

use crate::harness::{LAPTOP, Page, Server};

/// The movement of anything on the page that no key or click caused, summed up.
const WATCH_SHIFTS: &str = "window.shifted = 0; new PerformanceObserver((list) => { \
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value; \
    }).observe({ type: 'layout-shift' }), 0";

#[test]
fn a_dropped_picture_is_asked_about_and_a_word_shows_its_map() {
    let Some(server) = Server::any() else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.until("document.querySelector('#export').disabled === false");
    let bare = page.pixels(0);
    page.ask("Is there a nodule?");
    page.until("document.querySelectorAll('#answer .word').length >= 2");
    page.wait_for_rest();
    assert!(page.text("#answer").trim().len() > 2);
    assert_eq!(page.text("#question"), "Is there a nodule?");

    let word = page.eval("document.querySelector('#answer .word.explained').textContent");
    let word = word.as_str().unwrap().to_owned();
    let selector = page.word(&word);
    page.click(&selector);
    page.wait_for_map(&word);
    let with_map = page.pixels(0);
    assert_ne!(with_map, bare, "a map lies over the picture");
    page.eval("document.querySelector('#original').click(), 0");
    assert_ne!(page.pixels(0), with_map, "the original is shown without it");
    page.eval("document.querySelector('#original').click(), 0");
    assert_eq!(page.pixels(0), with_map);
    page.eval("document.querySelector('#cells').click(), 0");
    assert_ne!(page.pixels(0), with_map, "cells have sharp edges");
    assert!(page.text("#legend").contains(&word), "{}", page.text("#legend"));
    page.assert_clean(0);
}

#[test]
fn nothing_moves_while_the_answer_comes() {
    let Some(server) = Server::stand_in(&["--pace", "0.03"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.ask("Is there a long nodule?");
    page.until("document.querySelectorAll('#answer .word').length >= 1");
    page.eval(WATCH_SHIFTS);
    page.until("document.querySelectorAll('#answer .word').length > 130");
    assert_eq!(page.eval("window.shifted"), 0, "layout shifts while tokens come");
}

#[test]
fn files_are_chosen_moved_removed_and_refused() {
    let Some(server) = Server::any() else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("first.png");
    page.drop_picture("second.png");
    let names = "[...document.querySelectorAll('.source .name')].map((n) => n.textContent).join()";
    assert_eq!(page.eval(names), "first.png,second.png");
    page.click(".source:first-child .tool:nth-child(2)");
    assert_eq!(page.eval(names), "second.png,first.png");
    assert_eq!(page.eval("document.querySelectorAll('.stage:not([hidden])').length"), 2);
    page.click(".source:first-child .tool:last-child");
    assert_eq!(page.eval(names), "first.png");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    std::fs::write(&file, "no picture").unwrap();
    let input = page.browser.call(
        "Runtime.evaluate",
        &json!({ "expression": "document.querySelector('#file-input')" }),
    );
    let arguments = json!({ "files": [file], "objectId": input["result"]["objectId"] });
    page.browser.call("DOM.setFileInputFiles", &arguments);
    page.until("document.querySelector('#refusals').textContent.includes('notes.txt')");
    assert!(page.text("#refusals").contains("not a picture"), "{}", page.text("#refusals"));
    assert_eq!(page.count(".source"), 1);
    page.assert_clean(0);
}

#[test]
fn slices_of_a_series_go_to_the_server_together_and_have_a_slider() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.eval(
        "(() => { const t = new DataTransfer(); const head = new Uint8Array(132); head.set([68, 73, 67, 77], 128); \
         for (let i = 0; i < 5; i += 1) t.items.add(new File([head, String(i)], `slice${i}.dcm`)); \
         document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: t, bubbles: true, cancelable: true })); return 0; })()",
    );
    page.until("document.querySelectorAll('.source').length === 1");
    page.ask("Is there a nodule?");
    page.wait_for_rest();
    page.wait_for_map("Yes");
    assert_eq!(page.count(".stage:not([hidden])"), 1);
    assert_eq!(page.eval("document.querySelector('#slice').max"), "4");
    let first = page.pixels(0);
    page.click("#slice-bars [data-slice=\"3\"].hit");
    assert!(page.text("#slice-value").contains("Slice 4 of 5"), "{}", page.text("#slice-value"));
    page.until("document.querySelector('.stage-note').textContent === ''");
    assert_ne!(page.pixels(0), first);
    page.eval("document.activeElement.blur(), 0");
    page.press("[", false);
    assert!(page.text("#slice-value").contains("Slice 3 of 5"), "{}", page.text("#slice-value"));
    page.assert_clean(0);
}

#[test]
fn questions_of_the_session_are_gone_back_to() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.asked("Is there a nodule?");
    page.ask("Is there a long nodule?");
    page.wait_for_rest();
    assert_eq!(page.count(".past"), 3, "two questions, and a new one");
    assert!(page.text("#answer").starts_with("The heart"), "{}", page.text("#answer"));
    page.click(".past:last-child");
    assert!(page.text("#answer").starts_with("Yes"), "{}", page.text("#answer"));
    assert_eq!(page.eval("document.querySelector('#prompt').value"), "Is there a nodule?");
    assert!(page.count("#answer .word.explained") > 3, "what was explained is there");
    page.click(".past.new");
    assert_eq!(page.eval("document.querySelector('#answer-card').hidden"), true);
    assert_eq!(page.count(".source"), 0);
    page.assert_clean(0);
}

#[test]
fn options_are_sent_and_what_is_not_valid_is_not() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.eval("document.querySelector('#options').open = true, 0");
    let set = |page: &mut Page, id: &str, value: &str| {
        page.eval(&format!(
            "(() => {{ const e = document.querySelector('#option-{id}'); e.value = '{value}'; \
             e.dispatchEvent(new Event('input', {{ bubbles: true }})); return 0; }})()"
        ));
    };
    set(&mut page, "max_new_tokens", "0");
    page.ask("Is there a nodule?");
    assert_eq!(page.eval("document.querySelector('#answer-card').hidden"), true, "0 tokens");
    set(&mut page, "max_new_tokens", "4");
    set(&mut page, "regions", "halves");
    set(&mut page, "words", "all");
    page.ask("Is there a nodule?");
    page.wait_for_rest();
    assert_eq!(page.text("#answer"), "Yes, there is");
    let explained = page.log("/v1/explanations");
    assert!(!explained.is_empty());
    for body in &explained {
        assert_eq!(body["options"], json!({ "regions": "halves", "words": "none" }));
        assert_eq!(body["cancel_when_left"], true);
    }
    assert_eq!(page.count("#answer .word.explained"), 3, "function words, too");
    assert!(page.text("#details").contains("left middle zone"), "the regions of the shown word");
}
