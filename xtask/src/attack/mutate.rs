//! Random changes to bytes and to JSON.

use serde_json::{Map, Value, json};

use checkpoint_files::random::SplitMix;

/// Texts that some reader may trip over.
pub(crate) const TEXTS: [&str; 22] = [
    "",
    " ",
    "\u{0}",
    "\u{1b}[31mred\u{1b}]0;title\u{7}",
    "\u{9b}2J",
    "\u{202e}gnp.exe\u{2066}",
    "\r\noverwritten",
    "../../../x",
    "/proc/self/mem",
    "/dev/zero",
    "C:\\x",
    "a/../b",
    "-",
    "--help",
    "</script><script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "%s%n%99999999d",
    "<bos><start_of_image><end_of_turn>",
    "\u{fffd}\u{feff}\u{200b}",
    "a\u{301}\u{301}\u{301}👩‍👩‍👧‍👦",
    "null",
];

/// Numbers at the ends of types, and what is none.
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "-1",
    "2",
    "7",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "-1e308",
    "1e-320",
    "0.5",
    "1e400",
];

pub(crate) fn number(random: &mut SplitMix) -> &'static str {
    random.pick::<&'static str>(&NUMBERS)
}

/// Another text than the given one, made of it or not.
pub(crate) fn text(random: &mut SplitMix, from: &str) -> String {
    match random.below(5) {
        0 => (*random.pick(&TEXTS)).to_owned(),
        1 => format!("{from}{}", random.pick(&TEXTS)),
        2 => format!("{}{from}", random.pick(&TEXTS)),
        3 => random.pick(&TEXTS).repeat(1 << random.below(16)),
        _ => from.chars().rev().collect(),
    }
}

/// Flips, cuts, doubles and inserts, up to eight times.
pub(crate) fn bytes(random: &mut SplitMix, from: &[u8]) -> Vec<u8> {
    let mut bytes = from.to_vec();
    for _ in 0..=random.below(8) {
        if bytes.is_empty() {
            return bytes;
        }
        let at = random.below(bytes.len());
        match random.below(8) {
            0..=2 => bytes[at] ^= 1 << random.below(8),
            3 => bytes[at] = *random.pick(&[0, 1, 0x7f, 0x80, 0xff]),
            4 => bytes.truncate(at),
            5 => {
                let end = bytes.len().min(at + 1 + random.below(64));
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            6 => {
                let value = [0, 1, u32::MAX, 1 << 31, 0x7fff_ffff][random.below(5)];
                let end = bytes.len().min(at + 4);
                let number =
                    if random.once_in(2) { value.to_be_bytes() } else { value.to_le_bytes() };
                bytes.splice(at..end, number);
            }
            _ => {
                let end = bytes.len().min(at + 1 + random.below(64));
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

/// Changes up to three places of a document, and now and then its text.
pub(crate) fn json(random: &mut SplitMix, from: &Value) -> Vec<u8> {
    let mut document = from.clone();
    for _ in 0..=random.below(3) {
        let mut places = Vec::new();
        collect(&document, &mut String::new(), &mut places);
        let place = random.pick(&places).clone();
        change(random, &mut document, &place);
    }
    let mut text = document.to_string();
    // What serde_json cannot hold: numbers outside every type, and NaN.
    if text.contains(MARK) {
        let literal = if random.once_in(4) { "NaN" } else { number(random) };
        text = text.replace(&format!("\"{MARK}\""), literal);
    }
    if random.once_in(8) { bytes(random, text.as_bytes()) } else { text.into_bytes() }
}

const MARK: &str = "a number goes here";

/// The pointers of all values, but of long lists only the ends.
fn collect(value: &Value, here: &mut String, places: &mut Vec<String>) {
    places.push(here.clone());
    let mut child = |name: &str, value: &Value, places: &mut Vec<String>| {
        let length = here.len();
        here.push('/');
        here.push_str(&name.replace('~', "~0").replace('/', "~1"));
        collect(value, here, places);
        here.truncate(length);
    };
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter().take(60) {
                child(name, value, places);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                if index < 4 || list.len() <= index + 2 {
                    child(&index.to_string(), value, places);
                }
            }
        }
        _ => {}
    }
}

fn change(random: &mut SplitMix, document: &mut Value, place: &str) {
    let Some(value) = document.pointer_mut(place) else { return };
    match (random.below(4), &mut *value) {
        (0, Value::Object(map)) if !map.is_empty() => {
            let name = random_key(random, map);
            map.shift_remove(&name);
        }
        (1, Value::Object(map)) if !map.is_empty() => {
            let name = random_key(random, map);
            let moved = map[&name].clone();
            map.insert(text(random, &name), moved);
        }
        (0, Value::Array(list)) => list.clear(),
        (1, Value::Array(list)) if !list.is_empty() => {
            let item = list[random.below(list.len())].clone();
            // A document must not grow beyond reason here: sizes are tried by themselves.
            let room = 200_000 / (1 + item.to_string().len());
            list.extend(std::iter::repeat_n(item, room.min(1 << random.below(15))));
        }
        (2, Value::Array(list)) if !list.is_empty() => {
            list.remove(random.below(list.len()));
        }
        (0..=1, Value::String(text_here)) => *text_here = text(random, text_here),
        (0..=1, Value::Number(_)) => *value = json!(MARK),
        _ => *value = hostile(random, value),
    }
}

fn random_key(random: &mut SplitMix, map: &Map<String, Value>) -> String {
    let keys: Vec<&String> = map.keys().collect();
    (*random.pick(&keys)).clone()
}

fn hostile(random: &mut SplitMix, value: &Value) -> Value {
    match random.below(9) {
        0 => Value::Null,
        1 => json!(random.once_in(2)),
        2 => json!(MARK),
        3 => json!(random.pick(&TEXTS)),
        4 => json!([]),
        5 => json!({}),
        6 => json!([value]),
        7 => json!({"type": value}),
        _ => (0..1 << random.below(8)).fold(json!(0), |inner, _| json!([inner])),
    }
}

/// A list in a list in a list …, as text: a value as deep as this could not be dropped.
pub(crate) fn nested(depth: usize) -> String {
    "[".repeat(depth) + &"]".repeat(depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_changes_and_seeds_differ() {
        let document = json!({"a": [1, 2, {"b": "c/d"}], "e~f": null});
        let changed = |seed| json(&mut SplitMix::new(seed), &document);
        assert!((0..50).all(|seed| changed(seed) == changed(seed)));
        let distinct: std::collections::BTreeSet<_> = (0..50).map(changed).collect();
        assert!(25 < distinct.len(), "{}", distinct.len());
        let bytes_of = |seed| bytes(&mut SplitMix::new(seed), b"a longer line of bytes");
        assert!((0..50).all(|seed| bytes_of(seed) == bytes_of(seed)));
    }

    #[test]
    fn every_value_has_a_pointer_that_finds_it() {
        let document = json!({"a/b": {"c~d": [7]}});
        let mut places = Vec::new();
        collect(&document, &mut String::new(), &mut places);
        assert_eq!(places, ["", "/a~1b", "/a~1b/c~0d", "/a~1b/c~0d/0"]);
        assert!(places.iter().all(|place| document.pointer(place).is_some()));
    }
}
