//! Every figure of the crate from hand-made arrays, without a model:
//! `cargo run -p relevancy-visualization --example gallery [FOLDER]`.
//!
//! Writes each figure as PNG and as SVG into FOLDER, by default the current one, and shows text and map in the terminal.

#![expect(clippy::print_stdout, reason = "an example shows what it made")]

mod chest;
mod peak;
mod removals;
mod thorax;

use std::path::PathBuf;

use chest::chest;
use peak::peak;
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::ndarray::Array2;
use relevancy_visualization::{
    Caption, ColorDepth, Colormap, ComparisonRow, Error, Figure, Frame, GridMap, HOT_QUANTILE,
    Interpolation, Orientation, OverlayOptions, Panel, RegionSpec, Scale, Section, Sides, Stack,
    TextRelevancy, answer_boxes, comparison_figure, grid_figure, heads_figure, layers_figure,
    localization, region_scores, region_table, regions_figure, removal_figure, side_by_side_figure,
    single_figure, terminal_view, three_panel_figure, volume_figure,
};
use removals::removals;
use thorax::chest_slice;

const ANSWER: &str = "There is a pleural effusion.
```json
[{\"box_2d\": [600, 560, 830, 860], \"label\": \"pleural effusion\"}]
```";

fn main() -> Result<(), Error> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| ".".to_owned()));
    let picture = chest(760, 896, 0.0);
    for (name, figure) in figures(&picture)? {
        figure.save(folder.join(format!("{name}.png")))?;
        figure.save(folder.join(format!("{name}.svg")))?;
    }

    let relevancy = peak(11.0, 11.2, 0.021);
    let map = GridMap::whole(relevancy.view(), &picture);
    let frame = Frame::whole(&picture, Orientation::Pa);
    let regions = RegionSpec::Cxr.regions(&frame)?;
    println!("{}", region_table(&region_scores(&map, frame.size, &regions)?));
    for found in answer_boxes(ANSWER).boxes {
        let score = localization(&map, frame.size, &found.region(&frame.seen), HOT_QUANTILE)?;
        println!("{}: {score:?}", found.label);
    }
    let options = OverlayOptions::default();
    let view = terminal_view(&Panel::new(&picture, &[map]), &options, (44, 26), depth())?;
    println!("\n{view}");
    println!("{}", question()?.words().ansi(options.colormap, None, depth()));
    Ok(())
}

fn depth() -> ColorDepth {
    let variable = |name| std::env::var(name).ok();
    let (colorterm, term, no_color) =
        (variable("COLORTERM"), variable("TERM"), variable("NO_COLOR"));
    ColorDepth::from_environment(colorterm.as_deref(), term.as_deref(), no_color.as_deref())
}

/// A question by token; the last one, from which the answer was predicted, holds the self term.
fn question() -> Result<TextRelevancy, Error> {
    let tokens = [
        ("<start_of_turn>", 0.002),
        ("user", 0.001),
        ("\n", 0.0),
        ("Is", 0.003),
        (" there", 0.004),
        (" a", 0.001),
        (" ple", 0.011),
        ("ural", 0.009),
        (" eff", 0.014),
        ("usion", 0.012),
        (" or", 0.002),
        (" cardio", 0.006),
        ("mega", 0.003),
        ("ly", 0.002),
        ("?", 0.007),
        ("\n", 1.02),
    ];
    TextRelevancy::from_tokens(tokens, &[15])
}

fn figures(picture: &RgbImage) -> Result<Vec<(&'static str, Figure)>, Error> {
    let [effusion, heart] = [peak(11.0, 11.2, 0.021), peak(9.0, 8.5, 0.013)];
    let maps = [GridMap::whole(effusion.view(), picture)];
    let heart_maps = [GridMap::whole(heart.view(), picture)];
    let options = OverlayOptions::default();
    let text = question()?;
    let caption = Caption::new("effusion")
        .subtitled("probability 0.93 · 61 % of the relevancy in the picture");

    let frame = Frame::whole(picture, Orientation::Pa);
    let boxes: Vec<_> =
        answer_boxes(ANSWER).boxes.iter().map(|b| b.region(&frame.seen).outline()).collect();
    let marked = Panel::new(picture, &maps).outlined(&boxes);
    let smooth = options
        .clone()
        .with_interpolation(Interpolation::Bicubic)
        .with_contours(vec![0.9, 0.97])
        .with_orientation(Orientation::Pa);

    let rows = ["gradient-weighted relevancy", "rollout"].into_iter().zip([&maps, &heart_maps]);
    let rows: Vec<_> = rows
        .map(|(method, maps)| ComparisonRow {
            panel: Panel::new(picture, maps).labelled(method, ""),
            text: &text,
        })
        .collect();

    let depths: Vec<Array2<f32>> =
        (0..8).map(|l| peak(11.0, 4.0 + l as f32, 0.002 * (l + 1) as f32)).collect();
    let layers: Vec<_> = depths
        .iter()
        .enumerate()
        .map(|(l, grid)| (4 * l, GridMap::whole(grid.view(), picture)))
        .collect();
    let heads: Vec<_> =
        depths[..4].iter().map(|grid| GridMap::whole(grid.view(), picture)).collect();
    let signed: Vec<Array2<f32>> = depths[..4].iter().map(|grid| grid - &heart * 0.4).collect();
    let weighted: Vec<_> = signed.iter().map(|grid| GridMap::whole(grid.view(), picture)).collect();
    let diverging = OverlayOptions::cells().with_colormap(Colormap::Coolwarm);

    let words =
        ["pleural", "effusion", "left", "pneumoultramicroscopicsilicovolcanoconiosis", "heart"];
    let sheet: Vec<_> = words
        .iter()
        .zip([&maps, &maps, &heart_maps, &maps, &heart_maps])
        .map(|(word, maps)| Panel::new(picture, maps).labelled(*word, "p 0.93"))
        .collect();
    let shared = options.clone().with_scale(Scale::common(&sheet)?);
    let pair = [
        Panel::new(picture, &maps).labelled("2024-03-01", "current"),
        Panel::new(picture, &heart_maps).labelled("2023-11-17", "prior"),
    ];
    let regions = RegionSpec::Cxr;
    let scores = region_scores(&maps[0], frame.size, &regions.regions(&frame)?)?;
    let note = Caption::new("effusion by region")
        .subtitled(regions.note(frame.orientation).unwrap_or_default());
    let sections = [Section::new("", sheet)];
    Ok(vec![
        ("single", single_figure(&marked, &caption, &smooth)?),
        ("three-panel", three_panel_figure(&marked, &text, &caption, &smooth)?),
        ("comparison", comparison_figure(&rows, &caption, &options)?),
        ("layers", layers_figure(picture, &layers, &caption, &options)?),
        ("heads", heads_figure(picture, &heads, &weighted, &caption, &diverging)?),
        ("contact-sheet", grid_figure(&sections, None, &Caption::new("every word"), &shared)?),
        ("side-by-side", side_by_side_figure(&pair, &caption, &options)?),
        ("regions", regions_figure(&scores, &note)?),
        ("removal", removal_figure(&removals(), &caption)?),
        ("volume", volume()?),
    ])
}

/// A series of forty axial slices with heat in a few of them.
fn volume() -> Result<Figure, Error> {
    let n_slices = 40_u8;
    let depth = |slice: u8| (f32::from(slice) + 0.5) / f32::from(n_slices);
    let pictures: Vec<_> =
        (0..n_slices).map(|slice| chest_slice(256, depth(slice), true)).collect();
    let height = |slice: u8| 0.02 * (-((depth(slice) - 0.62) / 0.06).powi(2) / 2.0).exp();
    let grids: Vec<_> = (0..n_slices).map(|slice| peak(6.5, 10.5, height(slice))).collect();
    let maps: Vec<_> = grids
        .iter()
        .zip(&pictures)
        .map(|(grid, picture)| [GridMap::whole(grid.view(), picture)])
        .collect();
    let slices: Vec<_> = pictures
        .iter()
        .zip(&maps)
        .enumerate()
        .map(|(slice, (picture, maps))| {
            Panel::new(picture, maps).labelled(format!("SLICE {}", slice + 1), "")
        })
        .collect();
    let stack = Stack {
        positions_mm: (0..n_slices).map(|slice| Some(7.5 * f64::from(slice))).collect(),
        spacing_mm: Some([1.4, 1.4]),
        ends: Some(['F', 'H']),
    };
    let sides = Sides { left: 'R', right: 'L', top: 'A', bottom: 'P' };
    let options = OverlayOptions::default().with_orientation(Orientation::Sides(sides));
    let caption = Caption::new("nodule").subtitled("probability 0.93 · current study, 40 slices");
    volume_figure(&slices, &stack, &caption, &options)
}
