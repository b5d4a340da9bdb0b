//! Figures of several panels: golden files, and input that a figure must survive.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

mod common;

use common::{assert_golden, peak, picture};
use relevancy_visualization::image::{Rgb, RgbImage};
use relevancy_visualization::ndarray::{Array2, array};
use relevancy_visualization::{
    Caption, Colormap, ComparisonRow, Error, Figure, Frame, GridMap, Orientation, OverlayOptions,
    Panel, RegionSpec, RemovalChart, Scale, Section, Sides, Stack, TextRelevancy,
    comparison_figure, difference_figure, grid_figure, heads_figure, layers_figure, region_scores,
    regions_figure, removal_figure, side_by_side_figure, three_panel_figure, volume_figure,
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

/// Three charts of all kinds: with everything, past both ends of the scale, without curves.
fn removals(word: &str) -> Vec<RemovalChart> {
    let whole = RemovalChart {
        title: "knock-out".to_owned(),
        summary: "SRG 0.62, above all 20 controls (p 0.048)".to_owned(),
        fractions: vec![0.0, 0.04, 0.16, 0.5, 1.0],
        most_first: vec![1.0, 0.25, 0.0, -0.1, 0.0],
        least_first: vec![1.0, 1.05, 1.0, 0.75, 0.0],
        uniform: vec![1.0, 0.9, 0.75, 0.4, 0.0],
        band: vec![[1.0, 1.0], [0.8, 1.0], [0.5, 0.9], [0.2, 0.6], [0.0, 0.0]],
    };
    let wild = RemovalChart {
        title: word.to_owned(),
        most_first: vec![1.0, -0.7, -3.0, 0.2, 0.0],
        least_first: vec![1.0, 2.5, 1e300, 0.9, 0.0],
        uniform: Vec::new(),
        band: Vec::new(),
        ..whole.clone()
    };
    let summary = format!("{word} no curves: the score is the same without any cell ").repeat(3);
    let without = RemovalChart { title: "grey".to_owned(), summary, ..RemovalChart::default() };
    vec![whole, wild, without]
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
    // A peak that grows and fades from slice to slice.
    let heights = [0.002, 0.006, 0.02, 0.014, 0.003, 0.0].map(peak);
    let slice_maps: Vec<_> =
        heights.iter().map(|grid| [GridMap::whole(grid.view(), picture)]).collect();
    let slices: Vec<_> = slice_maps
        .iter()
        .enumerate()
        .map(|(index, maps)| {
            let label = format!("SLICE {} {}", index + 1, text.words().plain());
            Panel::new(picture, maps).labelled(label, "")
        })
        .collect();
    let stack = Stack {
        positions_mm: (0..6).map(|slice| Some(15.0 * f64::from(slice))).collect(),
        spacing_mm: Some([1.0, 1.0]),
        ends: Some(['F', 'H']),
    };
    let sides = Sides { left: 'R', right: 'L', top: 'A', bottom: 'P' };
    let axial = options.clone().with_orientation(Orientation::Sides(sides));
    [
        ("three-panel", three_panel_figure(&panel, text, &caption, &options)),
        ("comparison", comparison_figure(&rows, &caption, &options)),
        ("layers", layers_figure(picture, &layers, &caption, &options)),
        ("heads", heads_figure(picture, &[maps[0], others[0]], &weighted, &caption, &diverging)),
        ("contact-sheet", grid_figure(&sections, None, &caption, &shared)),
        ("side-by-side", side_by_side_figure(&pair, &caption, &options)),
        ("difference", difference_figure(&pair, &signed_panel, &caption, &options)),
        ("regions", regions_figure(&scores, &caption.clone().subtitled(note))),
        ("removal", removal_figure(&removals(&text.words().plain()), &caption)),
        ("volume", volume_figure(&slices, &stack, &caption, &axial)),
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

/// Numbers of all elements of this kind, in order: `points` of lines, or what stands in other attributes.
fn attributes(svg: &str, element: &str, name: &str) -> Vec<Vec<f64>> {
    let numbers = |text: &str| {
        text.split([' ', ',']).map(|number| number.parse().unwrap()).collect::<Vec<f64>>()
    };
    let attribute = |part: &str| {
        let tag = part.split('>').next().unwrap();
        let value = tag.split(&format!(" {name}=\"")).nth(1)?;
        Some(numbers(value.split('"').next().unwrap()))
    };
    svg.split(&format!("<{element}")).skip(1).filter_map(attribute).collect()
}

#[test]
fn curves_lie_where_their_numbers_say() {
    let chart = removals("x").remove(0);
    let figure = removal_figure(std::slice::from_ref(&chart), &Caption::new("effusion")).unwrap();
    let svg = figure.to_svg().unwrap();
    // Ticks: the shares 0 to 100 %, then 0, 0.5 and 1.
    let ticks = attributes(&svg, "line", "x1");
    let (left, right) = (ticks[0][0], ticks[7][0]);
    let levels = attributes(&svg, "line", "y1");
    let (zero, one) = (levels[8][0], levels[10][0]);
    assert_eq!((ticks.len(), levels.len()), (11, 11), "no tick below 0 and above 1");
    let place = |share: f64, value: f64| {
        [left + (right - left) * share.sqrt(), zero + (one - zero) * value]
    };
    let expect = |values: Vec<(f64, f64)>, found: &[f64]| {
        let expected: Vec<_> =
            values.iter().flat_map(|&(share, value)| place(share, value)).collect();
        assert_eq!(found.len(), expected.len());
        let furthest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(furthest < 0.03, "{found:?} {expected:?}");
    };
    // Three signs of the legend, then the curves from the back to the front.
    let lines = attributes(&svg, "polyline", "points");
    let curves = [&chart.uniform, &chart.least_first, &chart.most_first];
    assert_eq!(lines.len(), 6);
    for (values, line) in curves.into_iter().zip(&lines[3..]) {
        expect(chart.fractions.iter().copied().zip(values.iter().copied()).collect(), line);
    }
    let highest = chart.fractions.iter().zip(&chart.band).map(|(share, ends)| (*share, ends[1]));
    let lowest = chart.fractions.iter().zip(&chart.band).rev();
    let outline = highest.chain(lowest.map(|(share, ends)| (*share, ends[0]))).collect();
    expect(outline, &attributes(&svg, "polygon", "points")[0]);
}

#[test]
fn curves_past_the_scale_are_cut_off() {
    let removals = removals("wild");
    let draw = |charts: &[RemovalChart]| removal_figure(charts, &Caption::new("")).unwrap();
    let tame = draw(&[RemovalChart {
        most_first: vec![-0.5; 5],
        least_first: vec![1.5; 5],
        ..removals[1].clone()
    }]);
    let wild = draw(&removals[1..2]);
    assert_eq!(wild.size(), tame.size());
    // The axes are those of −0.5 to 1.5, and nothing coloured is drawn above or below them.
    let svg = wild.to_svg().unwrap();
    let ticks = |svg: &str| attributes(svg, "line", "y1");
    assert_eq!(ticks(&svg), ticks(&tame.to_svg().unwrap()));
    let [top, bottom] = ["y1", "y2"].map(|name| attributes(&svg, "line", name)[0][0]);
    let (below, image) = (attributes(&svg, "svg", "y"), wild.to_image().unwrap());
    assert_eq!(below, [[top]], "the part that cuts begins where the axes do");
    let is_coloured = |p: &Rgb<u8>| p.0.iter().max().unwrap() - p.0.iter().min().unwrap() > 40;
    let plot = image
        .enumerate_pixels()
        .filter(|(_, _, pixel)| is_coloured(pixel))
        .map(|(_, y, _)| f64::from(y));
    let legend = top - 30.0;
    assert!(plot.filter(|y| *y > legend).all(|y| (top - 1.0..bottom + 1.0).contains(&y)));
}

#[test]
fn charts_are_side_by_side_or_in_two_columns() {
    let chart = removals("x").remove(0);
    let caption = Caption::new("effusion");
    let size = |n: usize| removal_figure(&vec![chart.clone(); n], &caption).unwrap().size();
    let [one, two, three, four, five] = [1, 2, 3, 4, 5].map(size);
    assert!(one.1 == two.1 && two.1 == three.1 && one.0 < two.0 && two.0 < three.0);
    assert!(four.0 == two.0 && four.1 > two.1);
    assert!(five.0 == two.0 && five.1 > four.1);
}

#[test]
fn charts_that_do_not_hold_together_are_refused() {
    let refused = |spoil: fn(&mut RemovalChart)| {
        let mut charts = removals("x");
        spoil(&mut charts[1]);
        removal_figure(&charts, &Caption::new("")).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|chart| chart.least_first.truncate(4)),
        "chart 1 of cells taken away: least_first has 4 values for 5 shares"
    );
    assert_eq!(
        refused(|chart| chart.most_first[2] = f64::NAN),
        "chart 1 of cells taken away: most_first holds NaN"
    );
    assert!(matches!(removal_figure(&[], &Caption::new("")), Err(Error::NoPanels)));
}

#[test]
fn charts_without_curves_have_neither_axes_nor_legend() {
    let charts = removals("why").split_off(2);
    let svg = removal_figure(&charts, &Caption::new("word")).unwrap().to_svg().unwrap();
    assert!(svg.contains("why no curves") && svg.contains(">grey<"), "{svg}");
    assert!(!svg.contains("<line") && !svg.contains("<polyline") && !svg.contains("random"));
}

#[test]
fn the_bars_of_a_volume_are_the_shares_of_its_slices() {
    let picture = picture(32, 32);
    let grids = [1.0, 3.0, 4.0, 0.0].map(|value| Array2::from_elem((2, 2), value));
    let maps = grids.each_ref().map(|grid| [GridMap::whole(grid.view(), &picture)]);
    let names = ["first", "second", "third", "fourth"];
    let slices: Vec<_> = maps
        .iter()
        .zip(names)
        .map(|(maps, name)| Panel::new(&picture, maps).labelled(name, ""))
        .collect();
    let (caption, options) = (Caption::new("word"), OverlayOptions::default());
    let figure = volume_figure(&slices, &Stack::default(), &caption, &options).unwrap();
    let svg = figure.to_svg().unwrap();
    let heights = attributes(&svg, "rect", "height");
    // Behind the ground of the figure and the frame of the colour bar.
    let ratios: Vec<f64> = heights[2..5].iter().map(|h| h[0] / heights[4][0]).collect();
    let expected = [0.25, 0.75, 1.0];
    assert!(ratios.iter().zip(expected).all(|(a, b)| (a - b).abs() < 0.01), "{ratios:?}");
    // The largest first, and none without a share.
    let at = |name: &str| svg.rfind(&format!(">{name}<")).unwrap();
    assert!(at("third") < at("second") && at("second") < at("first"));
    assert!(svg.contains(">50.0 %<") && svg.contains("not to scale"));
    assert_eq!(svg.matches(">fourth<").count(), 1, "only below the bars");
}

#[test]
fn slices_that_do_not_belong_together_are_refused() {
    let (caption, options) = (Caption::new(""), OverlayOptions::default());
    let stack = Stack::default();
    let (small, large) = (picture(8, 8), picture(9, 8));
    let grid = array![[1.0]];
    let maps = [GridMap::whole(grid.view(), &small)];
    let slices = [Panel::new(&small, &maps), Panel::new(&large, &maps)];
    let error = volume_figure(&slices, &stack, &caption, &options).unwrap_err();
    assert_eq!(error.to_string(), "slice 1 has 9 x 8 pixels, the first one 8 x 8");
    assert!(matches!(volume_figure(&[], &stack, &caption, &options), Err(Error::NoPanels)));
    let plain = [Panel::new(&small, &[])];
    assert!(matches!(volume_figure(&plain, &stack, &caption, &options), Err(Error::NoMaps)));
    // A slice without a map beside one with a map is drawn.
    let slices = [Panel::new(&small, &[]), Panel::new(&small, &maps)];
    volume_figure(&slices, &stack, &caption, &options).unwrap().to_image().unwrap();
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
