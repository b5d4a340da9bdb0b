//! Modules of the page by themselves, and what they have in common with the program.

use relevancy_visualization::Colormap;
use serde_json::json;

use crate::harness::{LAPTOP, Page, Server};

#[test]
fn colours_are_those_of_the_figures() {
    let Some(server) = Server::any() else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    let names = page.eval("import('/assets/app/colours.js').then((m) => m.COLOURS)");
    let names = names.as_array().unwrap();
    assert!(names.len() >= 3);
    for name in names {
        let map: Colormap = name.as_str().unwrap().parse().unwrap();
        let table = page
            .eval(&format!("import('/assets/app/colours.js').then((m) => [...m.colours({name})])"));
        let own: Vec<u8> = map.table().iter().flatten().copied().collect();
        assert_eq!(table, json!(own), "{name}");
    }
}

#[test]
fn events_are_whole_however_they_are_cut() {
    let Some(server) = Server::any() else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    let stream = ": hello\r\n\r\nid: 1\r\nevent: token\r\ndata: {\"text\":\r\ndata: \"ä\"}\r\n\r\nevent:done\ndata:{}\n\nevent: cut";
    let script = format!(
        "import('/assets/app/events.js').then(({{ EventParser }}) => [1, 2, 3, 7, 1000].map((size) => {{ const parser = new EventParser(); \
         const text = {}; const all = []; for (let i = 0; i < text.length; i += size) all.push(...parser.push(text.slice(i, i + size))); \
         return JSON.stringify(all); }}))",
        json!(stream)
    );
    let found = page.eval(&script);
    let whole = r#"[{"name":"token","data":"{\"text\":\n\"ä\"}","id":"1"},{"name":"done","data":"{}","id":null}]"#;
    for one in found.as_array().unwrap() {
        assert_eq!(one, whole);
    }
}

#[test]
fn characters_bytes_and_units_are_told_apart() {
    let Some(server) = Server::any() else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    // The picture of a lung is two UTF-16 units, four bytes, one character.
    let text = "\u{1fac1} Größe left Left";
    let found = page.eval(&format!(
        "import('/assets/app/words.js').then((m) => {{ const t = {0}; const at = t.indexOf('left'); \
         return [m.charactersBefore(t, at), m.firstBytes(t, {1}) === t.slice(0, at), m.unitsOfCharacters(t)[8] === at, \
         m.occurrenceOf(t, t.indexOf('Left'), t.indexOf('Left') + 4), m.cut(t).filter((p) => p.isWord).map((p) => p.text), \
         m.cut(t).map((p) => p.text).join('') === t, m.isContent('The'), m.isContent('no')]; }})",
        json!(text),
        text.find("left").unwrap()
    ));
    assert_eq!(found, json!([8, true, true, 2, ["Größe", "left", "Left"], true, false, true]));
}

#[test]
fn heat_lies_where_the_cells_are() {
    let Some(server) = Server::any() else { return };
    let Some(mut page) = Page::open(&server, LAPTOP) else { return };
    // The only cell with a value is the upper right one of 2 × 2; the map begins left of the picture, so that its first column is outside.
    let found = page.eval(
        "import('/assets/app/heat.js').then((m) => { const picture = { width: 40, height: 80 }; \
         const map = { picture: 0, region: [-40, 0, 80, 80], rows: 2, columns: 2, values: [9, 1, 9, 0] }; \
         const max = m.largestOf([map], [picture]); \
         const canvas = m.heat([map], picture, { max, signed: false }, { smooth: false, colormap: 'inferno', opacity: 100 }, 8); \
         const alpha = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.filter((_, i) => i % 4 === 3); \
         return [max, canvas.width, canvas.height, ...alpha]; })",
    );
    let mut expected = vec![1, 4, 8];
    expected.extend([255; 16]);
    expected.extend([0; 16]);
    assert_eq!(found, json!(expected));
}
