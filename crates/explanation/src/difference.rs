//! Figures of two maps and how they differ: one phrase against another, the last picture against the first.

use attention_relevancy::ndarray::Array2;
use relevancy_visualization::{
    Caption, Figure, GridMap, OverlayOptions, Panel, Scale, difference_figure,
};

use crate::figure::share_text;
use crate::{Error, Explained, NOTHING_SPEAKS, Phrase, Shown, TargetExplanation, Versus};

/// What speaks for a phrase, what for the other, what for the one rather than the other, and the first minus the second, over image
/// `image`. Each has a scale of its own unless all have one: the log-probability of a phrase that is nearly certain has little
/// gradient, and its map would not be seen beside the other.
pub(crate) fn phrases(
    explained: &Explained<'_>,
    versus: &Versus,
    image: usize,
    (options, common_scale): (&OverlayOptions, bool),
) -> Result<Figure, Error> {
    let (phrase, against) = (&versus.phrase, &versus.against);
    let rows = [&phrase.relevancy, &against.relevancy, &versus.contrast, &versus.difference()];
    let grids: [Array2<f32>; 4] = rows.map(|row| explained.cells(image, row.view()));
    let placement = explained.placement(image);
    let maps = grids.each_ref().map(|grid| [GridMap { grid: grid.view(), placement }]);
    let outlines = explained.outlines(image);
    let panel = |which: usize, label: &str, detail: String| {
        let (detail, maps): (String, &[GridMap<'_>]) = match which {
            0 if phrase.is_empty => (NOTHING_SPEAKS.to_owned(), &[]),
            1 if against.is_empty => (NOTHING_SPEAKS.to_owned(), &[]),
            2 if versus.image_share.is_none() => (NOTHING_SPEAKS.to_owned(), &[]),
            3 if phrase.is_empty && against.is_empty => (NOTHING_SPEAKS.to_owned(), &[]),
            _ => (detail, &maps[which]),
        };
        let panel = Panel::new(explained.picture(image), maps).outlined(outlines);
        panel.labelled(label, detail)
    };
    let log_p = |phrase: &Phrase| {
        let silent = phrase.image_share.is_none();
        let nothing = if silent { " · nothing speaks for it" } else { "" };
        format!("log p = {}{nothing}", phrase.log_probability_text())
    };
    let maps = [
        panel(0, &phrase.text, log_p(phrase)),
        panel(1, &against.text, log_p(against)),
        panel(2, "first rather than second", "gradient of log p₁ − log p₂".to_owned()),
    ];
    let difference = panel(
        3,
        "first map − second map",
        "red: more in the first, blue: in the second".to_owned(),
    );
    let caption = Caption::new(format!("{} against {}", &phrase.text, &against.text))
        .subtitled(difference_text(versus.log_ratio()));
    let own = !common_scale;
    let scale = if own { Scale::Own } else { Scale::common(&maps)? };
    let options = options.clone().with_scale(scale);
    Ok(difference_figure(&maps, &difference, &caption, &options)?)
}

/// How far one phrase is more likely than the other.
fn difference_text(log_ratio: f32) -> String {
    format!("log p₁ − log p₂ = {log_ratio:+.3} nats").replace('-', "−")
}

/// The maps of the first and of the last picture on one scale, and the last minus the first over the last. Cells stand for the same
/// place of both only where the pictures are aligned alike.
pub(crate) fn pictures(
    explained: &Explained<'_>,
    target: &TargetExplanation,
    options: &OverlayOptions,
) -> Result<Figure, Error> {
    let images = &explained.images;
    let last = explained.pictures.len().saturating_sub(1);
    // Crops follow the whole of their picture, so the first image of each is the whole.
    let whole = |picture: usize| images.iter().position(|image| image.picture == picture);
    let (Some(first), Some(last)) = (whole(0), whole(last).filter(|_| 0 < last)) else {
        return Err(Error::OnePicture { pictures: last + 1 });
    };
    let row = target.relevancy().relevancy();
    let grids = [explained.cells(first, row), explained.cells(last, row)];
    let difference = &grids[1] - &grids[0];
    let map = |grid, image| [GridMap { grid, placement: explained.placement(image) }];
    let maps =
        [map(grids[0].view(), first), map(grids[1].view(), last), map(difference.view(), last)];
    let outlines = [first, last].map(|image| explained.outlines(image));
    let panel = |which: usize, image: usize| {
        let outlines = &outlines[usize::from(image == last)];
        let maps = if target.is_empty() { &maps[which][..0] } else { &maps[which] };
        Panel::new(explained.picture(image), maps).outlined(outlines)
    };
    let name = |image| explained.picture_name(image);
    let pair = [
        panel(0, first).labelled(name(first), share_text(target, first)),
        panel(1, last).labelled(name(last), share_text(target, last)),
    ];
    let difference =
        panel(2, last).labelled("last map − first map", "red: more in the last, blue: less");
    let caption = Caption::new(target.label())
        .subtitled(format!("probability {}", target.probability_text()));
    let options = options.clone().with_scale(Scale::common(&pair)?);
    Ok(difference_figure(&pair, &difference, &caption, &options)?)
}
