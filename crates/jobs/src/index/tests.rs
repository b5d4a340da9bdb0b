//! Tests of the page.

use super::*;
use crate::dataset::columns::Flat;

fn flat(id: &str, kind: DataKind, text: &str) -> (DataKind, Flat) {
    let flat = Flat {
        id: Some(id.to_owned()),
        kind: Some(kind.name().to_owned()),
        text: Some(text.to_owned()),
        ..Flat::default()
    };
    (kind, flat)
}

fn made(rows: Vec<(DataKind, Flat)>, link: &dyn Fn(&str) -> Option<String>) -> String {
    let n_rows = rows.len() as u64;
    page(&Found { n_rows, rows, ..Found::default() }, &Index { title: "<b>T</b>", link })
}

#[test]
fn style_and_script_cannot_end_their_elements() {
    for text in [STYLE, SCRIPT] {
        assert!(!text.contains("</") && !text.contains("<!--") && !text.contains('\r'));
    }
}

#[test]
fn hostile_texts_stay_texts() {
    let hostile = "\"><script>alert(1)</script><img src=x onerror=alert(2)> {{script}} \u{202e}\0";
    let mut rows = DataKind::ALL.map(|kind| flat(hostile, kind, hostile)).to_vec();
    for (_, flat) in &mut rows {
        flat.asked = flat.text.clone();
        flat.answer = flat.text.clone();
        flat.error_kind = flat.text.clone();
        flat.error_message = flat.text.clone();
        flat.certificate_operator = vec![hostile.to_owned()];
        flat.certificate_srg = vec![None];
        flat.certificate_p = vec![Some(f64::NAN)];
        flat.certificate_ahead = vec![None];
        flat.image_share = Some(f64::NAN);
        flat.thumbnail = Some(bytes::Bytes::from_static(b"GIF89a"));
    }
    let page = made(rows, &|id| Some(id.to_owned()));
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains("<img") && page.contains("&lt;img src=x") && page.contains("⟨U+202E⟩"));
    assert!(page.contains("<title>&lt;b&gt;T&lt;/b&gt;</title>"));
    assert!(page.contains("{{script}}"), "what is put in is not searched for places");
}

#[test]
fn links_lead_nowhere_else() {
    let hrefs = |link: &str| {
        let row = flat("a", DataKind::Target, "t");
        let page = made(vec![row], &|_| Some(link.to_owned()));
        let (_, rest) = page.split_once("<tbody").unwrap();
        rest.split_once("href=\"").map(|(_, rest)| rest.split('"').next().unwrap().to_owned())
    };
    assert_eq!(hrefs("jobs/a b/report.html").as_deref(), Some("./jobs/a%20b/report.html"));
    assert_eq!(hrefs("javascript:alert(1)").as_deref(), Some("./javascript%3Aalert%281%29"));
    assert_eq!(hrefs("jobs/ä?#\"").as_deref(), Some("./jobs/%C3%A4%3F%23%22"));
    assert_eq!(hrefs("//example.org"), None);
    assert_eq!(hrefs(""), None);
}

#[test]
fn a_page_of_something_else_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    fs::write(&path, "<!doctype html>mine").unwrap();
    assert!(refuse_foreign(&path).is_err());
    fs::write(&path, made(Vec::new(), &|_| None)).unwrap();
    refuse_foreign(&path).unwrap();
}

#[test]
fn pictures_have_an_end() {
    let mut rows = vec![flat("a", DataKind::Target, "t"); 3];
    let png = |length: usize| {
        let mut bytes = b"\x89PNG".to_vec();
        bytes.resize(length, 0);
        Some(bytes::Bytes::from(bytes))
    };
    rows[0].1.thumbnail = png(100);
    // As reading leaves those that are too large.
    rows[1].1.thumbnail = Some(bytes::Bytes::new());
    rows[2].1.thumbnail = png(THUMBNAILS);
    let page = made(rows, &|_| None);
    assert_eq!(page.matches("<img").count(), 1);
    assert!(page.contains("2 thumbnails are too large"));
}
