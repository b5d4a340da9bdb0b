//! Keyboard, screen readers, small and dark screens.

use crate::harness::{LAPTOP, PHONE, Page, Server};

/// Presses Tab until an element has the focus.
#[track_caller]
fn tab_to(page: &mut Page, selector: &str) {
    for _ in 0..60 {
        if page.eval(&format!("document.activeElement?.matches('{selector}') ?? false")) == true {
            return;
        }
        page.press("Tab", false);
    }
    panic!("Tab never comes to {selector}");
}

#[test]
fn the_keyboard_alone_is_enough() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    tab_to(&mut page, "#drop-zone [data-choose=phantom]");
    page.press("Enter", false);
    assert_eq!(page.text(".source .name"), "Synthetic radiograph 3");
    tab_to(&mut page, "#prompt");
    page.type_text("Is there a nodule?");
    page.press("Enter", false);
    page.wait_for_rest();
    tab_to(&mut page, "#answer .word");
    page.wait_for_map("Yes");
    for _ in 0..4 {
        page.press("ArrowRight", false);
    }
    page.wait_for_map("nodule");
    let outline = page.eval("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid", "the focus is seen");
    page.press("Enter", false);
    assert_eq!(page.eval("document.activeElement.getAttribute('aria-pressed')"), "true");
    page.press("ArrowRight", false);
    page.press("ArrowRight", false);
    page.press("Enter", true);
    page.wait_for_map("nodule in the");
    tab_to(&mut page, "[data-study=reliance] .ask-study");
    page.press("Enter", false);
    page.until("document.querySelector('[data-study=reliance] .verdict') !== null");
    page.press("Escape", false);
    page.press("Escape", false);
    assert_eq!(page.eval("document.querySelectorAll('#answer [aria-pressed=true]').length"), 0);
    // Cells of the map, by arrows.
    tab_to(&mut page, "body"); // round the end
    tab_to(&mut page, "canvas.view");
    page.press("ArrowRight", false);
    assert!(page.text("#readout").contains("rank"), "{}", page.text("#readout"));
    page.assert_clean(0);
}

#[test]
fn a_screen_reader_is_told_what_happens() {
    let Some(server) = Server::stand_in(&["--pace", "0.02"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    page.eval(
        "window.said = []; for (const id of ['live-0', 'live-1']) new MutationObserver(([{ target }]) => \
         { if (target.textContent) window.said.push(target.textContent); }).observe(document.getElementById(id), { childList: true }), 0",
    );
    page.asked("Is there a nodule?");
    let word = page.word("there");
    page.click(&word);
    page.wait_for_map("there");
    let said = page.eval("window.said.join('\\n')");
    let said = said.as_str().unwrap();
    assert!(said.contains("1 picture added.") && said.contains("Answer finished."), "{said}");
    assert!(said.contains("Map of \u{2068}there\u{2069} ready."), "{said}");
    let nameless = "[...document.querySelectorAll('button, input, select, textarea, canvas.view, [role=button]')].filter((e) => \
        !e.closest('[hidden], dialog') && e.type !== 'file' && !(e.getAttribute('aria-label') || e.labels?.length || e.textContent.trim())).length";
    assert_eq!(page.eval(nameless), 0, "every control has a name");
    let ids = "[...document.querySelectorAll('[id]')].length === new Set([...document.querySelectorAll('[id]')].map((e) => e.id)).size";
    assert_eq!(page.eval(ids), true);
}

#[test]
fn a_phone_scrolls_down_only() {
    let Some(server) = Server::stand_in(&["--pace", "0.01"]) else { return };
    let Some(mut page) = Page::open(&server, PHONE) else { return };
    let width = "document.documentElement.scrollWidth";
    assert_eq!(page.eval(width), PHONE.0);
    page.drop_picture(&format!("{}.png", "long-name-".repeat(12)));
    page.ask(&format!("Is there a long nodule {}?", "without-a-space".repeat(12)));
    page.wait_for_rest();
    let top = page.eval("document.querySelector('#answer-card').getBoundingClientRect().top");
    assert!((0.0..500.0).contains(&top.as_f64().unwrap()), "the answer is in view: {top}");
    let word = page.word("nodule");
    page.click(&word);
    page.wait_for_map("nodule");
    // A pointer that rests on the answer would point at whatever moves under it.
    page.browser.hover("h1");
    for study in ["reliance", "certificate", "methods"] {
        page.activate(&format!("[data-study={study}] .ask-study"));
    }
    page.until("document.querySelectorAll('.verdict').length === 2 && document.querySelectorAll('.tile').length >= 5");
    page.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; }), 0");
    assert_eq!(page.eval(width), PHONE.0);
    assert_eq!(
        page.eval("getComputedStyle(document.querySelector('.stage-wrap')).position"),
        "sticky"
    );
    page.assert_clean(0);
}

#[test]
fn motion_stops_where_it_is_not_wanted() {
    let Some(server) = Server::stand_in(&["--pace", "0.05"]) else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    let animation = "getComputedStyle(document.querySelector('#status-bar')).animationName";
    for (value, name) in [("no-preference", "passing"), ("reduce", "none")] {
        page.browser.call(
            "Emulation.setEmulatedMedia",
            &serde_json::json!({ "features": [{ "name": "prefers-reduced-motion", "value": value }] }),
        );
        assert_eq!(page.eval(animation), name, "{value}");
    }
}
