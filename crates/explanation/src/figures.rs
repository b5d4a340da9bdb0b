//! The figures of a set of explained.

use attention_relevancy::ndarray::{Array1, Array2};
use relevancy_visualization::{
    Caption, ComparisonRow, Figure, GridMap, OverlayOptions, Panel, Scale, Section,
    comparison_figure, grid_figure, heads_figure, image::RgbImage, layers_figure, regions_figure,
    side_by_side_figure, three_panel_figure,
};

use crate::figure::{Fine, bare, share_text, subtitle, text_of, with_panel};
use crate::record::TemplateTokens;
use crate::{
    Error, Explained, ExplainedTarget, FigureKind, NOTHING_SPEAKS, Shown, Subject,
    TargetExplanation, difference,
};

/// A figure that was asked for; `None` where no figure of that kind is drawn of the subject.
pub(crate) fn figure(
    explained: &Explained<'_>,
    kind: FigureKind,
    subject: Subject,
    options: &OverlayOptions,
) -> Result<Option<Figure>, Error> {
    let of = |target: usize| &*explained.targets[target].explanation;
    let drawn = match (subject, kind) {
        (Subject::PairImage { .. }, _) => return Ok(None),
        (Subject::Image { image }, _) => words(explained, image, options),
        (Subject::Target { target }, FigureKind::Difference) => {
            difference::pictures(explained, of(target), options)
        }
        (Subject::Target { target }, _) => images(explained, of(target), options),
        (Subject::TargetImage { target, image }, kind) => {
            let draw = match kind {
                FigureKind::Panels => panels,
                FigureKind::Layers => layers,
                FigureKind::Heads => heads,
                FigureKind::Resolutions => resolutions,
                _ => comparison,
            };
            draw(explained, of(target), image, options)
        }
    };
    drawn.map(Some)
}

/// The shares of a target in the regions of an image as bars; none where no region reaches into it.
pub(crate) fn region_chart(
    explained: &Explained<'_>,
    target: &ExplainedTarget<'_>,
    image: usize,
) -> Result<Option<Figure>, Error> {
    let scores = target.region_scores(image);
    if scores.is_empty() {
        return Ok(None);
    }
    let note = explained.regions.as_ref().and_then(|regions| regions.note.clone());
    let caption = Caption::new(target.explanation.label())
        .subtitled(
            "percent: of the relevancy in this picture, without text; density: 1 for an even map",
        )
        .noted(note.unwrap_or_default());
    Ok(Some(regions_figure(&scores, &caption)?))
}

/// The scale that ends at the largest cell of all targets and images.
pub(crate) fn common_scale(explained: &Explained<'_>) -> Result<Scale, Error> {
    let mut max = 0.0_f32;
    for target in &explained.targets {
        let scale = scale_over(explained, &target.explanation, 0..explained.images())?;
        if let Scale::Shared { max: largest } = scale {
            max = max.max(largest);
        }
    }
    Ok(Scale::Shared { max })
}

/// The scale that ends at the largest cell of a target over some images.
pub(crate) fn scale_over(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    images: impl Iterator<Item = usize>,
) -> Result<Scale, Error> {
    let mut max = 0.0_f32;
    for image in images {
        let scale = with_panel(explained, target, image, &[], |panel| {
            Ok(Scale::common(std::slice::from_ref(panel))?)
        })?;
        if let Scale::Shared { max: largest } = scale {
            max = max.max(largest);
        }
    }
    Ok(Scale::Shared { max })
}

fn panels(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let text = target
        .text_relevancy(explained, explained.settings.template_tokens == TemplateTokens::Show)?;
    with_panel(explained, target, image, explained.outlines(image), |panel| {
        Ok(three_panel_figure(panel, &text, &caption(target, image), options)?)
    })
}

/// Relevancy, the two baselines and the methods that were asked for, each on its own scale: they differ in their units.
fn comparison(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let mut methods = vec![
        ("relevancy".to_owned(), target.relevancy().relevancy().to_owned()),
        ("raw attention, last layer".to_owned(), target.raw_attention().clone()),
        ("attention rollout".to_owned(), target.rollout().clone()),
    ];
    let compared = explained.methods().into_iter().zip(target.methods());
    let compared = compared.filter(|(method, _)| !method.is_always_there());
    methods.extend(
        compared.filter_map(|(method, row)| Some((method.name, row.as_ref().ok()?.clone()))),
    );
    let (placement, outlines) = (explained.placement(image), explained.outlines(image));
    let grids: Vec<_> = methods.iter().map(|(_, row)| explained.cells(image, row.view())).collect();
    let shows_template = explained.settings.template_tokens == TemplateTokens::Show;
    let texts =
        methods.iter().map(|(_, row)| text_of(target, explained, row.view(), shows_template));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let maps: Vec<_> =
        grids.iter().map(|grid| [GridMap { grid: grid.view(), placement }]).collect();
    // A row of zeros has no map. That of the relevancy still has its self term.
    let is_empty = |which: usize, row: &Array1<f32>| {
        if which == 0 { target.is_empty() } else { row.iter().all(|&value| value == 0.0) }
    };
    let rows = methods.iter().zip(&maps).zip(&texts).enumerate();
    let rows = rows.map(|(which, (((name, row), maps), text))| {
        let (maps, label): (&[GridMap<'_>], _) = if is_empty(which, row) {
            (&[], format!("{name}: {NOTHING_SPEAKS}"))
        } else {
            (maps, name.clone())
        };
        let panel = Panel::new(explained.picture(image), maps).outlined(outlines);
        ComparisonRow { panel: panel.labelled(label, ""), text }
    });
    let options = options.clone().with_scale(Scale::Own);
    let rows: Vec<_> = rows.collect();
    let note = "each method on its own scale; blue: against the word (methods with signs)";
    let signed = grids.iter().any(|grid| grid.iter().any(|&value| value < 0.0));
    let note = if signed { note } else { "each method on its own scale" };
    let caption = caption(target, image).noted(note);
    Ok(comparison_figure(&rows, &caption, &options)?)
}

fn layers(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let rows = target.layers().ok_or(Error::NoLayers)?;
    if target.is_empty() {
        return bare(explained.picture(image), &[], &caption(target, image), options);
    }
    let grids: Vec<Array2<f32>> =
        rows.outer_iter().map(|row| explained.cells(image, row)).collect();
    let placement = explained.placement(image);
    let maps = grids.iter().map(|grid| GridMap { grid: grid.view(), placement });
    let maps: Vec<_> = maps.enumerate().collect();
    let caption = Caption::new(target.label()).subtitled(subtitle(target, image)).noted(
        "relevancy at the input of each layer: what that layer and all later ones contributed",
    );
    Ok(layers_figure(explained.picture(image), &maps, &caption, options)?)
}

/// Where each head of one layer looks from the row that predicts the target, and what of it speaks for the target; each on its own
/// scale.
fn heads(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let maps = target.heads().and_then(|heads| heads.maps.as_ref()).ok_or(Error::NoHeads)?;
    let placement = explained.placement(image);
    let grids = [&maps.attention, &maps.gradient_attention]
        .map(|rows| rows.outer_iter().map(|row| explained.cells(image, row)).collect::<Vec<_>>());
    let [attention, weighted] = grids.each_ref().map(|grids| {
        grids.iter().map(|grid| GridMap { grid: grid.view(), placement }).collect::<Vec<_>>()
    });
    let caption = Caption::new(target.label())
        .subtitled(format!("heads of layer {}, each on its own scale", maps.layer));
    // Attention is there even where its gradient is zero.
    let silent = target.is_empty();
    let caption = if silent { caption.noted(NOTHING_SPEAKS) } else { caption };
    let weighted = if silent { &[] } else { weighted.as_slice() };
    let options = options.clone().with_scale(Scale::Own);
    Ok(heads_figure(explained.picture(image), &attention, weighted, &caption, &options)?)
}

/// Tokens, patches and pixels beside each other, each on its own scale: they differ in their units.
fn resolutions(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    target.finer(image).ok_or(Error::NoFiner)?;
    let tokens = explained.cells(image, target.relevancy().relevancy());
    let own = options.clone().with_scale(Scale::Own);
    let mut drawn = vec![heated(explained, image, ("tokens", &tokens), &own)?];
    for fine in Fine::ALL {
        if let Some(grid) = fine.grid(target, image) {
            drawn.push(heated(explained, image, (fine.caption(), &grid), &fine.options(options))?);
        }
    }
    let panels = drawn.iter().map(|(picture, label, detail)| {
        Panel::new(picture, &[]).labelled(label.as_str(), detail.as_str())
    });
    let section = Section::new("", panels.collect());
    let pixels = Fine::Pixels.grid(target, image).map_or("", |_| Fine::Pixels.note());
    let caption = caption(target, image).noted(pixels);
    // Heat and lines are in the pictures already, each with its own colours.
    Ok(grid_figure(&[section], None, &caption, &OverlayOptions::default())?)
}

/// A picture with a map over it, what the map is, and its grid with the end of its scale.
fn heated(
    explained: &Explained<'_>,
    image: usize,
    (what, grid): (&str, &Array2<f32>),
    options: &OverlayOptions,
) -> Result<(RgbImage, String, String), Error> {
    if grid.iter().all(|&value| value == 0.0) {
        let picture = explained.picture(image).clone();
        return Ok((picture, what.to_owned(), "zero everywhere".to_owned()));
    }
    let maps = [GridMap { grid: grid.view(), placement: explained.placement(image) }];
    let outlines = explained.outlines(image);
    let panel = Panel::new(explained.picture(image), &maps).outlined(outlines);
    let end = match options.scale {
        Scale::Shared { max } => max,
        Scale::Own => grid.iter().fold(0.0, |max: f32, value| max.max(value.abs())),
    };
    let sign = if grid.iter().any(|&value| value < 0.0) { "±" } else { "0 to " };
    let (rows, columns) = grid.dim();
    let end = if end < 0.001 { format!("{end:.1e}") } else { format!("{end:.3}") };
    let detail = format!("{rows} × {columns} · {sign}{end}");
    Ok((panel.draw(options)?, what.to_owned(), detail))
}

/// Every explained word once, in reading order, each on its own scale.
fn words(
    explained: &Explained<'_>,
    image: usize,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let mut words: Vec<_> = explained.all().collect();
    words.sort_by_key(|word| (word.positions().start, word.positions().end));
    let (placement, outlines) = (explained.placement(image), explained.outlines(image));
    let grids: Vec<Array2<f32>> =
        words.iter().map(|word| explained.cells(image, word.relevancy().relevancy())).collect();
    let maps: Vec<[GridMap<'_>; 1]> =
        grids.iter().map(|grid| [GridMap { grid: grid.view(), placement }]).collect();
    let panels = words.iter().zip(&maps).map(|(word, maps)| {
        let (detail, maps): (String, &[GridMap<'_>]) = match word.relevancy().shares() {
            Some(shares) => (format!("{:.1} % of all", 100.0 * shares.grids[image]), maps),
            None => (NOTHING_SPEAKS.to_owned(), &[]),
        };
        Panel::new(explained.picture(image), maps).outlined(outlines).labelled(word.label(), detail)
    });
    let caption = Caption::new(explained.prompt.clone())
        .subtitled("the explained words of the answer, each on its own scale")
        .noted(
            "percent: share of all relevancy of the word, text included, that is in this picture",
        );
    let options = options.clone().with_scale(Scale::Own);
    Ok(grid_figure(&[Section::new("", panels.collect())], None, &caption, &options)?)
}

fn images(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let n_images = explained.images();
    let grids: Vec<Array2<f32>> =
        (0..n_images).map(|image| explained.cells(image, target.relevancy().relevancy())).collect();
    let maps: Vec<Vec<GridMap<'_>>> = grids
        .iter()
        .enumerate()
        .filter(|_| !target.is_empty())
        .map(|(image, grid)| {
            vec![GridMap { grid: grid.view(), placement: explained.placement(image) }]
        })
        .collect();
    let outlines: Vec<_> = (0..n_images).map(|image| explained.outlines(image)).collect();
    let panels: Vec<_> = (0..n_images)
        .map(|image| {
            let name = explained.picture_name(image);
            let maps = maps.get(image).map_or(&[][..], Vec::as_slice);
            let panel = Panel::new(explained.picture(image), maps);
            panel.outlined(outlines[image]).labelled(name, share_text(target, image))
        })
        .collect();
    let caption = Caption::new(target.label())
        .subtitled(format!("probability {}", target.probability_text()));
    Ok(side_by_side_figure(&panels, &caption, options)?)
}

fn caption(target: &TargetExplanation, image: usize) -> Caption {
    Caption::new(target.label()).subtitled(subtitle(target, image))
}
