//! Figures of several panels: golden files, and input that a figure must survive.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

mod common;

use common::{assert_golden, peak, picture};
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::ndarray::{Array2, array};
use relevancy_visualization::{
    Caption, Colormap, ComparisonRow, Error, Figure, Frame, GridMap, Orientation, OverlayOptions,
    Panel, RegionSpec, Scale, Section, TextRelevancy, comparison_figure, difference_figure,
    grid_figure, heads_figure, layers_figure, region_scores, regions_figure, side_by_side_figure,
    three_panel_figure,
};
use resvg::usvg;

fn text() -> TextRelevancy {
    let tokens = [
        ("Is", 0.01),
        (" there", 0.02),
        (" an", 0.0),
        (" eff", 0.3),
        ("usion", 0.2),
        (" <b>", 0.1),
        ("?", 0.15),
        ("\n", 7.5),
    ];
    TextRelevancy::from_tokens(tokens, &[7]).unwrap()
}

/// A page of right-to-left text, emoji, Chinese, and a word without end.
fn wild() -> TextRelevancy {
    let tokens = [
        "انصباب جنبي",
        " תפליט",
        " 👨\u{200d}👩\u{200d}👧",
        " 胸腔积液",
        " e\u{301}\u{301}",
        "\u{202e}",
        "\u{0}",
        "&<>\"'",
    ];
    let mut pieces: Vec<(String, f32)> =
        tokens.iter().enumerate().map(|(i, t)| ((*t).to_owned(), 1.0 + i as f32)).collect();
    pieces.push((format!(" x{}", "y".repeat(5000)), 20.0));
    TextRelevancy::from_tokens(pieces, &[]).unwrap()
}

fn figures(picture: &RgbImage, text: &TextRelevancy) -> Vec<(&'static str, Figure)> {
    let (grid, other) = (peak(0.02), peak(0.013).reversed_axes());
    let maps = [GridMap::whole(grid.view(), picture)];
    let others = [GridMap::whole(other.view(), picture)];
    let options = OverlayOptions::default().with_orientation(Orientation::Pa);
    let caption = Caption::new("effusion").subtitled("probability 0.93");
    let panel = Panel::new(picture, &maps);
    let rows = [("relevancy", &maps), ("rollout", &others)].map(|(method, maps)| ComparisonRow {
        panel: Panel::new(picture, maps).labelled(method, "own scale"),
        text,
    });
    let layers = [(0, maps[0]), (12, others[0]), (24, maps[0])];
    let signed = &grid - &other;
    let weighted = [GridMap::whole(signed.view(), picture), maps[0]];
    let diverging = OverlayOptions::cells().with_colormap(Colormap::Coolwarm);
    let words = [("effusion", &maps), ("pneumoultramicroscopicsilicovolcanoconiosis", &others)];
    let sheet = words.map(|(word, maps)| Panel::new(picture, maps).labelled(word, "p 0.9"));
    let shared = options.clone().with_scale(Scale::common(&sheet).unwrap());
    let pair = [("current", &maps), ("prior", &others)];
    let pair = pair.map(|(label, maps)| Panel::new(picture, maps).labelled(label, ""));
    let signed_panel = Panel::new(picture, &weighted[..1]).labelled("difference", "signed");
    let frame = Frame::whole(picture, Orientation::Pa);
    let regions = RegionSpec::Cxr.regions(&frame).unwrap();
    let scores = region_scores(&maps[0], frame.size, &regions).unwrap();
    let note = RegionSpec::Cxr.note(frame.orientation).unwrap();
    let sections = [Section::new("", sheet.to_vec())];
    [
        ("three-panel", three_panel_figure(&panel, text, &caption, &options)),
        ("comparison", comparison_figure(&rows, &caption, &options)),
        ("layers", layers_figure(picture, &layers, &caption, &options)),
        ("heads", heads_figure(picture, &[maps[0], others[0]], &weighted, &caption, &diverging)),
        ("contact-sheet", grid_figure(&sections, None, &caption, &shared)),
        ("side-by-side", side_by_side_figure(&pair, &caption, &options)),
        ("difference", difference_figure(&pair, &signed_panel, &caption, &options)),
        ("regions", regions_figure(&scores, &caption.clone().subtitled(note))),
    ]
    .into_iter()
    .map(|(name, figure)| (name, figure.unwrap()))
    .collect()
}

#[test]
fn figures_equal_the_golden_files() {
    let figures = figures(&picture(120, 140), &text());
    assert_golden("panels", figures.iter().map(|(name, f)| (*name, f.to_image().unwrap())));
}

#[test]
fn the_svg_says_the_same() {
    for (name, figure) in figures(&picture(120, 140), &text()) {
        let svg = figure.to_svg().unwrap();
        let tree = usvg::Tree::from_str(&svg, &usvg::Options::default()).unwrap();
        let (width, height) = figure.size();
        assert_eq!(tree.size().to_int_size().dimensions(), (width, height), "{name}");
        assert!(!svg.contains("<b>") && !svg.contains("<script"), "{name}");
        assert!(
            !svg.replace("http://www.w3.org/2000/svg", "").contains("http"),
            "{name}: no request"
        );
    }
}

#[test]
fn wild_text_and_extreme_pictures_give_bounded_figures() {
    let long = (0..2000).map(|i| (format!(" w{i}"), i as f32));
    let long = TextRelevancy::from_tokens(long, &[1999]).unwrap();
    assert!(figures(&picture(50, 50), &long)[0].1.size().1 < 1000);
    for size in [(1, 1), (20_000, 40), (40, 20_000), (3, 700)] {
        let picture = RgbImage::new(size.0, size.1);
        for (name, figure) in figures(&picture, &wild()) {
            let (width, height) = figure.size();
            assert!(width.max(height) < 2500, "{name} of {size:?}: {width} x {height}");
            figure.to_image().unwrap();
            usvg::Tree::from_str(&figure.to_svg().unwrap(), &usvg::Options::default()).unwrap();
        }
    }
}

#[test]
fn a_map_of_zeros_and_a_text_of_nothing_are_drawn() {
    let picture = picture(60, 40);
    let zero = Array2::zeros((3, 3));
    let maps = [GridMap::whole(zero.view(), &picture)];
    let empty = TextRelevancy::from_tokens::<&str>([], &[]).unwrap();
    let caption = Caption::new("").measuring("");
    let panel = Panel::new(&picture, &maps);
    let options = OverlayOptions::cells().with_contours(vec![0.0, 1.0]);
    three_panel_figure(&panel, &empty, &caption, &options).unwrap().to_image().unwrap();
    side_by_side_figure(&[panel], &caption, &options).unwrap().to_image().unwrap();
}

/// As many tokens as the longest answers have.
#[test]
fn an_answer_of_two_thousand_tokens_is_a_figure() {
    let picture = picture(300, 360);
    let grid = peak(0.02);
    let maps = [GridMap::whole(grid.view(), &picture)];
    let words: Vec<_> = (0..2000).map(|i| format!(" word{i}")).collect();
    let panels: Vec<_> = words
        .iter()
        .map(|word| Panel::new(&picture, &maps).labelled(word.trim(), "p 0.9"))
        .collect();
    let tokens = words.iter().enumerate().map(|(i, word)| (word, 1.0 + i as f32));
    let text = TextRelevancy::from_tokens(tokens, &[]).unwrap();
    let (caption, options) = (Caption::new("whole answer"), OverlayOptions::default());
    let sheet = grid_figure(&[Section::new("", panels)], None, &caption, &options).unwrap();
    let page = three_panel_figure(&Panel::new(&picture, &maps), &text, &caption, &options).unwrap();
    for figure in [sheet, page] {
        let (width, height) = figure.size();
        assert_eq!(figure.to_image().unwrap().dimensions(), (width, height));
    }
}

#[test]
fn nothing_to_draw_and_unlike_maps_are_told() {
    let (caption, options) = (Caption::new(""), OverlayOptions::default());
    assert!(matches!(grid_figure(&[], None, &caption, &options), Err(Error::NoPanels)));
    assert!(matches!(comparison_figure(&[], &caption, &options), Err(Error::NoPanels)));
    assert!(matches!(regions_figure(&[], &caption), Err(Error::NoPanels)));
    let picture = picture(8, 8);
    let panel = Panel::new(&picture, &[]);
    assert!(matches!(panel.draw(&options), Err(Error::NoMaps)));
    let nan = array![[f32::NAN]];
    let maps = [GridMap::whole(nan.view(), &picture)];
    let panels = [Panel::new(&picture, &maps)];
    assert!(matches!(Scale::common(&panels), Err(Error::NotFinite { .. })));
    let sections = [Section::new("", panels.to_vec())];
    assert!(matches!(
        grid_figure(&sections, Some(0), &caption, &options),
        Err(Error::NotFinite { .. })
    ));
}
