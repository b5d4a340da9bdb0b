//! What goes wrong: stops, refusals, hostile text, a server that goes away.

use serde_json::{Value, json};

use crate::harness::{LAPTOP, Page, Server};

/// States of the items of the stand-in, in the order that they were asked for.
fn states(page: &mut Page) -> Vec<String> {
    let items = page.eval("fetch('/stub/items').then((r) => r.json())");
    let state = |item: &Value| item["state"].as_str().unwrap().to_owned();
    items.as_array().unwrap().iter().map(state).collect()
}

#[test]
fn stop_ends_the_answer() {
    let Some(server) = Server::stand_in(&["--pace", "0.2"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.ask("Is there a long nodule?");
    page.until("document.querySelectorAll('#answer .word').length >= 2");
    page.click("#stop");
    assert!(page.text("#status-text").contains("Stopped"), "{}", page.text("#status-text"));
    let words = page.count("#answer .word");
    page.until("fetch('/stub/items').then((r) => r.json()).then((all) => all.every(({ state }) => state === 'cancelled'))");
    assert_eq!(states(&mut page), ["cancelled"]);
    assert_eq!(page.count("#answer .word"), words, "what came stays");
    page.click("#retry");
    page.until("document.querySelectorAll('#answer .word').length >= 1 && !document.querySelector('#stop').hidden");
    page.assert_clean(0);
}

#[test]
fn stop_ends_explaining_and_the_rest_can_be_had_later() {
    let Some(server) = Server::stand_in(&["--pace", "0.001", "--explain", "0.3"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.ask("Is there a long nodule?");
    page.until("document.querySelectorAll('#answer .word.explained').length >= 1");
    page.click("#stop");
    page.until("!document.querySelector('#resume').hidden");
    assert!(page.text("#status-text").contains("words are explained"));
    let explained = page.count("#answer .word.explained");
    page.click("#resume");
    page.until(&format!(
        "document.querySelectorAll('#answer .word.explained').length > {explained}"
    ));
}

#[test]
fn leaving_the_page_cancels_what_it_asked_for() {
    let Some(server) = Server::stand_in(&["--pace", "0.3"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    let Some(mut other) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture("chest.png");
    page.ask("Is there a long nodule?");
    page.until("document.querySelectorAll('#answer .word').length >= 1");
    drop(page);
    other.until(
        "fetch('/stub/items').then((r) => r.json()).then(([one]) => one.state === 'cancelled')",
    );
}

#[test]
fn two_tabs_wait_for_each_other_and_both_get_their_answer() {
    let Some(server) = Server::stand_in(&["--pace", "0.4", "--explain", "0.01"]) else { return };
    let Some(mut first) = Page::open(&server, LAPTOP) else { return };
    let Some(mut second) = Page::open(&server, LAPTOP) else { return };
    first.drop_picture("one.png");
    second.drop_picture("two.png");
    first.ask("Is there a nodule?");
    first.until("document.querySelectorAll('#answer .word').length >= 1");
    second.ask("Is there a nodule, too?");
    second.until("document.querySelector('#status-text').textContent.includes('in the queue')");
    for page in [&mut first, &mut second] {
        page.wait_for_rest();
        assert_eq!(page.text("#status-text"), "5 of 5 words explained.");
        page.assert_clean(0);
    }
    assert_eq!(second.text("#question"), "Is there a nodule, too?");
}

#[test]
fn hostile_text_stays_text() {
    let attack = "<img src=x onerror=window.ran=1>.png";
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.drop_picture(attack);
    page.ask("hostile <script>window.ran = 1</script> \u{202e}question");
    page.wait_for_rest();
    let answer = page.text("#answer");
    assert!(answer.starts_with("</script><img src=x"), "{answer}");
    assert!(answer.contains("⟨U+202E⟩") && answer.contains("⟨U+0007⟩"), "{answer}");
    assert!(
        page.text("#question").contains("<script>") && page.text("#question").contains("⟨U+202E⟩")
    );
    assert_eq!(page.text(".source .name"), attack);
    page.ask("fail <b>");
    page.wait_for_rest();
    page.ask("busy <b>");
    page.wait_for_rest();
    assert_eq!(page.eval("String(window.ran)"), "undefined");
    assert_eq!(page.count("body script, #answer img, #answer script, b"), 0);
    page.assert_clean(1);
}

#[test]
fn problems_are_said_with_what_to_do() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.ask("Is there a nodule?");
    assert!(page.text("#refusals").contains("add a picture first"), "{}", page.text("#refusals"));
    page.drop_picture("chest.png");
    for (question, part) in [
        ("blank", "export it again with its pixels"),
        ("fail", "smaller memory budget"),
        ("busy", "Try again in 5"),
    ] {
        page.ask(question);
        page.wait_for_rest();
        let said = page.text("#status-text");
        assert!(said.contains(part), "{question}: {said}");
        assert_eq!(page.eval("document.querySelector('#retry').hidden"), false);
    }
    page.assert_clean(1);
}

#[test]
fn a_server_that_goes_and_comes_back_is_noticed() {
    let Some(mut server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let port = server.port().to_owned();
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.asked("Is there a nodule?");
    server.stop();
    page.ask("Is there a nodule?");
    page.until("!document.querySelector('#banner').hidden");
    assert!(page.text("#banner").contains("does not answer"), "{}", page.text("#banner"));
    assert!(page.text("#status-text").contains("still running?"), "{}", page.text("#status-text"));
    let Some(_again) = Server::stand_in(&["--pace", "0.01", "--port", &port]) else { return };
    page.until("document.querySelector('#banner').hidden");
    page.click("#retry");
    page.wait_for_rest();
    assert_eq!(page.text("#status-text"), "5 of 5 words explained.");
    // What the old server knew is gone, and the page says so where it is asked for it.
    page.click(".past:last-child");
    let word = page.word("there");
    page.click(&word);
    page.until("document.querySelector('#details .problem') !== null");
    assert!(page.text("#details").contains("ask again"), "{}", page.text("#details"));
}

#[test]
fn a_token_is_asked_for_and_sent_with_every_request() {
    let Some(server) = Server::stand_in(&["--pace", "0.01", "--token", "0123456789abcdef"]) else {
        return;
    };
    let Some(mut page) = Page::visit(&server, LAPTOP) else { return };
    page.until("document.querySelector('#token-dialog').open");
    page.type_text("wrong");
    page.press("Enter", false);
    page.until("document.querySelector('#token-text').textContent.includes('not the token')");
    page.type_text("0123456789abcdef");
    page.press("Enter", false);
    page.until("document.querySelector('#model').textContent !== ''");
    page.asked("Is there a nodule?");
    page.wait_for_map("Yes");
    assert_eq!(page.eval("document.cookie + localStorage.length + sessionStorage.length"), "00");
    let refused = page.browser.complaints().len();
    assert_eq!(refused, 2, "the requests without the token alone were refused");
    let made = json!(page.text("#results button"));
    assert_eq!(made, "Make the full report");
}
