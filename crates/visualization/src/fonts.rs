//! The fonts that text is drawn with: the embedded one, and the system's for what it lacks.
//!
//! The embedded font is `DejaVu Sans` 2.37 (licence beside it in `fonts/`): Latin, Greek, Cyrillic, Armenian, Georgian, Arabic,
//! Hebrew and much more, but no Chinese, Japanese, Korean or Indic scripts and few emoji. Text that it has looks the same on
//! every machine; the system's fonts are looked at when the first character comes that it lacks.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use fontdb::{Database, FaceInfo, ID, Stretch, Style, Weight};
use resvg::usvg::{FontFamily, FontResolver, Node, Options, Tree};
use skrifa::charmap::Charmap;
use skrifa::instance::{LocationRef, Size};
use skrifa::metrics::GlyphMetrics;
use skrifa::{FontRef, MetadataProvider};
use unicode_bidi::{BidiInfo, Level};
use unicode_segmentation::UnicodeSegmentation;

use crate::escape::escape;

/// The family name of the embedded font.
pub(crate) const FAMILY: &str = "DejaVu Sans";

static FONT: &[u8] = include_bytes!("../fonts/DejaVuSans.ttf");

/// Coverage and advances of the embedded font.
pub(crate) struct Embedded {
    characters: Charmap<'static>,
    metrics: GlyphMetrics<'static>,
}

impl Embedded {
    pub(crate) fn new() -> Self {
        let font = FontRef::new(FONT).expect("the embedded font is a font");
        Self {
            characters: font.charmap(),
            metrics: font.glyph_metrics(Size::new(1.0), LocationRef::default()),
        }
    }

    /// Whether it has every character.
    pub(crate) fn covers(&self, text: &str) -> bool {
        text.is_ascii() || text.chars().all(|c| self.has(c))
    }

    fn has(&self, c: char) -> bool {
        c.is_ascii() || self.characters.map(c).is_some()
    }

    /// The sum of the advances, without kerning and joining, in units of the font size.
    pub(crate) fn width(&self, text: &str) -> f64 {
        text.chars().filter_map(|c| self.advance(c)).sum()
    }

    fn advance(&self, c: char) -> Option<f64> {
        self.metrics.advance_width(self.characters.map(c)?).map(f64::from)
    }
}

/// A piece of a line that one font draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) text: String,
    /// Place among the system's fonts; `None`: the embedded one.
    face: Option<usize>,
}

impl Run {
    /// The name under which [`options`] finds the font.
    pub(crate) fn family(&self) -> String {
        self.face.map_or_else(|| FAMILY.to_owned(), |index| format!("{SYSTEM}{index}"))
    }

    /// As drawn, joined and kerned, in units of the font size.
    pub(crate) fn width(&self) -> f64 {
        const SIZE: f64 = 100.0;
        // resvg leaves out text of spaces alone.
        if self.text.trim().is_empty() {
            return Embedded::new().width(&self.text);
        }
        let svg = format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg"><text xml:space="preserve" font-size="{SIZE}" font-family="{}">{}</text></svg>"#,
            self.family(),
            escape(&self.text)
        );
        let tree = Tree::from_str(&svg, &options(true)).ok();
        let node = tree.as_ref().and_then(|tree| tree.root().children().first());
        match node {
            Some(Node::Text(text)) => f64::from(text.bounding_box().width()) / SIZE,
            _ => 0.0,
        }
    }
}

/// A line cut where the font changes, from left to right as it is drawn. A character that no font has becomes `·`: one with
/// all that joins it, as an emoji of a family; combining marks that the font of their letter lacks are not drawn.
pub(crate) fn runs(text: &str) -> Vec<Run> {
    let bidi = BidiInfo::new(text, Some(Level::ltr()));
    let Some(paragraph) = bidi.paragraphs.first() else { return Vec::new() };
    let (levels, parts) = bidi.visual_runs(paragraph, paragraph.range.clone());
    let mut runs = Vec::new();
    for part in parts {
        let is_rtl = levels[part.start].is_rtl();
        let mut in_part = by_font(&text[part]);
        if is_rtl {
            in_part.reverse();
        }
        runs.append(&mut in_part);
    }
    runs
}

/// Width of one character with all that joins it, without kerning and joining, in units of the font size. What no font has
/// counts as a square, which Chinese characters and emoji are wherever the SVG is looked at.
pub(crate) fn advance(embedded: &Embedded, cluster: &str) -> f64 {
    if embedded.covers(cluster) {
        return embedded.width(cluster);
    }
    System::get().find(cluster).map_or(1.0, |found| found.advance)
}

/// What resvg draws with. Without the system's fonts nothing of the system is read.
pub(crate) fn options(with_system: bool) -> Options<'static> {
    static EMBEDDED: LazyLock<(Arc<Database>, ID)> = LazyLock::new(|| {
        let mut fonts = Database::new();
        let id = embed(&mut fonts);
        (Arc::new(fonts), id)
    });
    let (fontdb, embedded) = if with_system {
        (System::get().fonts.clone(), System::get().embedded)
    } else {
        EMBEDDED.clone()
    };
    let select_font = move |font: &resvg::usvg::Font, _: &mut Arc<Database>| {
        let number = font.families().iter().find_map(|family| match family {
            FontFamily::Named(name) => name.strip_prefix(SYSTEM)?.parse::<usize>().ok(),
            _ => None,
        });
        let system = number.filter(|_| with_system).and_then(|i| System::get().faces.get(i));
        Some(system.copied().unwrap_or(embedded))
    };
    let font_resolver = FontResolver {
        select_font: Box::new(select_font),
        // Runs have found their font already; resvg would give the whole line to another one.
        select_fallback: Box::new(|_, _, _| None),
    };
    Options { font_family: FAMILY.to_owned(), fontdb, font_resolver, ..Options::default() }
}

/// Before the number of a font of the system, as the name of a family.
const SYSTEM: &str = "system-";

fn embed(fonts: &mut Database) -> ID {
    let ids = fonts.load_font_source(fontdb::Source::Binary(Arc::new(FONT)));
    ids[0]
}

fn by_font(text: &str) -> Vec<Run> {
    let embedded = Embedded::new();
    let mut runs: Vec<Run> = Vec::new();
    for cluster in text.graphemes(true) {
        let (face, shown) = match cluster {
            _ if embedded.covers(cluster) => (None, cluster.to_owned()),
            _ => match System::get().find(cluster) {
                Some(found) => (Some(found.face), cluster.to_owned()),
                None => (None, dotted(&embedded, cluster)),
            },
        };
        match runs.last_mut() {
            Some(last) if last.face == face => last.text.push_str(&shown),
            _ => runs.push(Run { text: shown, face }),
        }
    }
    runs
}

fn dotted(embedded: &Embedded, cluster: &str) -> String {
    match cluster.chars().next() {
        Some(first) if embedded.has(first) => {
            cluster.chars().filter(|&c| embedded.has(c)).collect()
        }
        _ => "·".to_owned(),
    }
}

/// The system's fonts beside the embedded one.
struct System {
    fonts: Arc<Database>,
    embedded: ID,
    /// The best first.
    faces: Vec<ID>,
    found: Mutex<HashMap<String, Option<Found>>>,
}

/// The font of a character with all that joins it.
#[derive(Clone, Copy)]
struct Found {
    /// Place in [`System::faces`].
    face: usize,
    /// In units of the font size.
    advance: f64,
}

impl System {
    /// Read when it is asked for first, and then kept.
    fn get() -> &'static Self {
        static FONTS: LazyLock<System> = LazyLock::new(|| System::new(installed()));
        &FONTS
    }

    fn new(mut fonts: Database) -> Self {
        let mut faces: Vec<_> = fonts.faces().filter(|face| is_usable(face)).collect();
        // Names last: the same fonts give the same pictures, in whatever order they were found.
        faces.sort_by_key(|face| {
            let is_plain = face.style == Style::Normal && face.stretch == Stretch::Normal;
            let weight = face.weight.0.abs_diff(Weight::NORMAL.0);
            (!is_plain, weight, face.monospaced, face.post_script_name.clone())
        });
        let faces = faces.into_iter().map(|face| face.id).collect();
        let embedded = embed(&mut fonts);
        Self { fonts: Arc::new(fonts), embedded, faces, found: Mutex::default() }
    }

    fn find(&self, cluster: &str) -> Option<Found> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = found.get(cluster) {
            return *found;
        }
        let search = || {
            self.faces.iter().enumerate().find_map(|(face, &id)| {
                Some(Found { face, advance: self.advance_in(id, cluster)? })
            })
        };
        *found.entry(cluster.to_owned()).or_insert_with(search)
    }

    /// The sum of the advances in a font that has all of the characters.
    fn advance_in(&self, id: ID, cluster: &str) -> Option<f64> {
        self.fonts.with_face_data(id, |data, index| {
            let font = FontRef::from_index(data, index).ok()?;
            let (characters, metrics) =
                (font.charmap(), font.glyph_metrics(Size::new(1.0), LocationRef::default()));
            cluster.chars().filter(|&c| !is_joiner(c)).try_fold(0.0, |sum, c| {
                Some(sum + f64::from(metrics.advance_width(characters.map(c)?)?))
            })
        })?
    }
}

/// Fonts that have a box for every character of Unicode are what this is meant to avoid.
fn is_usable(face: &FaceInfo) -> bool {
    let name = face.post_script_name.replace([' ', '-'], "");
    !["LastResort", "AdobeBlank"].iter().any(|boxes| name.contains(boxes))
}

/// Zero width joiner and non-joiner: shaping asks for no glyph of theirs.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

#[cfg(not(test))]
fn installed() -> Database {
    let mut fonts = Database::new();
    fonts.load_system_fonts();
    fonts
}

/// Tests have a system of their own, with one font, so that they see the same on every machine.
#[cfg(test)]
fn installed() -> Database {
    let mut fonts = Database::new();
    fonts.load_font_data(tests::remapped(&tests::SUBSTITUTES));
    fonts
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Characters that the embedded font lacks and the one of [`installed`] draws as others: Chinese, Devanagari, and a family
    /// of emoji.
    pub(crate) const SUBSTITUTES: [(char, char); 6] = [
        ('\u{92b}', 'f'),
        ('\u{947}', 'e'),
        ('炎', 'W'),
        ('肺', 'm'),
        ('\u{1f468}', 'i'),
        ('\u{1f469}', 'o'),
    ];

    /// The embedded font with another table of characters, sorted by the first of each pair.
    pub(crate) fn remapped(characters: &[(char, char)]) -> Vec<u8> {
        let glyphs = FontRef::new(FONT).unwrap().charmap();
        let mut table = Vec::new();
        // Version 0, one subtable of Unicode's full range, 12 bytes further on: format 12.
        table.extend([0_u16, 1, 3, 10].iter().flat_map(|word| word.to_be_bytes()));
        table.extend(12_u32.to_be_bytes());
        table.extend([12_u16, 0].iter().flat_map(|word| word.to_be_bytes()));
        let n_groups = characters.len() as u32;
        table.extend([16 + 12 * n_groups, 0, n_groups].iter().flat_map(|n| n.to_be_bytes()));
        for &(character, as_other) in characters {
            let glyph = glyphs.map(as_other).unwrap().to_u32();
            let group = [u32::from(character), u32::from(character), glyph];
            table.extend(group.iter().flat_map(|n| n.to_be_bytes()));
        }
        let mut font = FONT.to_vec();
        font.resize(font.len().next_multiple_of(4), 0);
        let start = font.len() as u32;
        let entry = (12..).step_by(16).find(|&at| &font[at..at + 4] == b"cmap").unwrap();
        font[entry + 8..entry + 12].copy_from_slice(&start.to_be_bytes());
        font[entry + 12..entry + 16].copy_from_slice(&(table.len() as u32).to_be_bytes());
        font.extend(table);
        font
    }

    fn shown(text: &str) -> Vec<(String, bool)> {
        runs(text).into_iter().map(|run| (run.text, run.face.is_some())).collect()
    }

    fn one(text: &str, is_system: bool) -> (String, bool) {
        (text.to_owned(), is_system)
    }

    #[test]
    fn what_the_embedded_font_has_is_one_run_of_its_own() {
        for known in ["Épanchement", "Πνευμονία", "πλεύρα x"] {
            assert_eq!(shown(known), [one(known, false)]);
        }
        assert_eq!(shown(""), []);
    }

    #[test]
    fn what_it_lacks_is_drawn_by_the_system() {
        assert_eq!(
            shown("left 肺炎 x"),
            [one("left ", false), one("肺炎", true), one(" x", false)]
        );
        assert_eq!(shown("फे"), [one("फे", true)], "a letter with its mark");
    }

    #[test]
    fn what_no_font_has_is_a_dot_and_no_box() {
        assert_eq!(shown("胸腔 x"), [one("·· x", false)]);
        assert_eq!(shown("\u{378}"), [one("·", false)]);
        assert_eq!(shown("e\u{947}"), [one("e", false)], "a mark of another script");
    }

    #[test]
    fn an_emoji_of_a_family_is_one_character() {
        assert_eq!(shown("👨\u{200d}👩"), [one("👨\u{200d}👩", true)]);
        assert_eq!(shown("a👨\u{200d}👩\u{200d}👧b"), [one("a·b", false)], "no child in the font");
    }

    #[test]
    fn runs_stand_from_left_to_right_as_they_are_drawn() {
        // Within Hebrew an emoji is no barrier: what follows it stands to its left.
        assert_eq!(
            shown("ריאות👨תפליט"),
            [one("תפליט", false), one("👨", true), one("ריאות", false)]
        );
        assert_eq!(
            shown("ריאות肺תפליט"),
            [one("ריאות", false), one("肺", true), one("תפליט", false)]
        );
    }

    #[test]
    fn a_run_is_as_wide_as_its_glyphs() {
        let embedded = Embedded::new();
        for (text, same) in [("肺肺", "mm"), ("炎", "W"), ("फ", "f"), ("x ", "x ")] {
            let width = runs(text)[0].width();
            assert!((width - embedded.width(same)).abs() < 1e-3, "{text}: {width}");
        }
        let widths: Vec<_> = runs("肺 肺").iter().map(Run::width).collect();
        assert!((widths.iter().sum::<f64>() - embedded.width("m m")).abs() < 1e-3, "{widths:?}");
        assert!((advance(&embedded, "肺") - embedded.width("m")).abs() < 1e-6);
        assert!((advance(&embedded, "胸") - 1.0).abs() < 1e-6);
    }

    #[test]
    fn plain_fonts_come_first_and_fonts_of_boxes_never() {
        let mut fonts = Database::new();
        let plain = fonts.load_font_source(fontdb::Source::Binary(Arc::new(FONT)))[0];
        let face = fonts.face(plain).unwrap().clone();
        let mut add = |name: &str, style, weight| {
            let post_script_name = name.to_owned();
            fonts.push_face_info(FaceInfo { post_script_name, style, weight, ..face.clone() })
        };
        let italic = add("A", Style::Italic, Weight::NORMAL);
        let bold = add("B", Style::Normal, Weight::BOLD);
        add(".LastResort", Style::Normal, Weight::NORMAL);
        assert_eq!(System::new(fonts).faces, [plain, bold, italic]);
    }
}
