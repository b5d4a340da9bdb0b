//! The numbers of the page, as the block of JSON that its script reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::evidence;
use super::json::Json;
use super::pack::{self, Packed};
use super::volume;
use super::{Fact, Grid, Method, Picture, Region, Report, Signs, Target, TokenKind};
use crate::pages::picture::Embedded;
use crate::panel::OUTLINES;
use crate::{Colormap, Outline, PictureSide};

pub(super) fn island(report: &Report<'_>, pictures: &[Embedded]) -> String {
    let packed = Packed::new(report);
    let text = pack::text_positions(report);
    let texts = pack::shown_texts(report);
    let tokens = texts.iter().map(|text| Json::string(text));
    let characters = pack::byte_characters(report).into_iter().map(|found| found.tokens);
    let several = characters.filter(|tokens| 1 < tokens.len());
    let several = several.map(|tokens| Json::list([tokens.start, tokens.end].map(Json::count)));
    Json::object([
        ("title", Json::string(report.title())),
        ("colormap", Json::string(report.colormap.name())),
        ("colormaps", Json::list(Colormap::ALL.into_iter().map(colormap))),
        ("textPositions", Json::list(text.iter().copied().map(Json::count))),
        ("textTokens", Json::list(tokens)),
        ("textCharacters", Json::list(several)),
        ("textTemplate", Json::list(text.iter().map(|&at| is_template(report, at)))),
        ("showsTemplate", Json::bool(report.shows_template)),
        ("contours", Json::list(report.contours.iter().copied().map(Json::number))),
        ("pictures", Json::list(report.pictures.iter().zip(pictures).map(picture))),
        ("volumes", volume::json(report)),
        ("grids", Json::list(report.grids.iter().map(grid))),
        ("methods", Json::list(report.methods.iter().map(method))),
        ("targets", Json::list(report.targets.iter().map(target))),
        ("regions", Json::list(report.regions.iter().map(region))),
        ("rows", Json::list(report.targets.iter().map(rows))),
        ("cells", Json::plain(&packed.cells())),
        ("scales", Json::plain(&packed.scales())),
        ("shares", Json::plain(&packed.shares())),
        ("text", Json::plain(&packed.text())),
        ("textLengths", Json::list(packed.text_lengths.iter().copied().map(Json::count))),
        ("textScales", Json::plain(&packed.text_scales())),
        ("totals", Json::plain(&packed.totals())),
        ("selves", Json::plain(&packed.selves())),
    ])
    .to_string()
}

fn colormap(map: Colormap) -> Json {
    let table = STANDARD.encode(map.table().as_flattened());
    Json::object([
        ("name", Json::string(map.name())),
        ("diverging", Json::bool(map.is_diverging())),
        ("table", Json::plain(&table)),
    ])
}

fn is_template(report: &Report<'_>, position: usize) -> Json {
    Json::bool(report.tokens[position].kind == TokenKind::Template)
}

/// For each method how many layers a target has, or why the method has nothing to say of it.
fn rows(target: &Target<'_>) -> Json {
    Json::list(target.attributions.iter().map(|attribution| match attribution {
        Ok(attribution) => Json::count(attribution.layers.len()),
        Err(why) => Json::string(why),
    }))
}

fn picture((picture, embedded): (&Picture<'_>, &Embedded)) -> Json {
    let (width, height) = picture.image.dimensions();
    // At the left, at the right, above, below; empty where nothing is known.
    let letters = PictureSide::ALL.map(|side| picture.orientation.letter(side));
    let letters = letters.map(|letter| letter.map(String::from).unwrap_or_default());
    Json::object([
        ("name", Json::string(&picture.name)),
        ("width", Json::number(f64::from(width))),
        ("height", Json::number(f64::from(height))),
        ("source", Json::plain(&embedded.url)),
        ("letters", Json::list(letters.iter().map(|letter| Json::string(letter)))),
        ("outlines", Json::list(picture.outlines.iter().zip(OUTLINES.iter().cycle()).map(outline))),
    ])
}

fn outline((outline, colour): (&Outline, &&str)) -> Json {
    // A tenth of a pixel is finer than anybody sees.
    let rounded = |value: f64| Json::number((10.0 * value).round() / 10.0);
    let ring = |ring: &Vec<[f64; 2]>| Json::list(ring.iter().flatten().copied().map(rounded));
    Json::object([
        ("label", Json::string(&outline.label)),
        ("colour", Json::plain(colour)),
        ("rings", Json::list(outline.rings.iter().map(ring))),
    ])
}

fn grid(grid: &Grid) -> Json {
    let p = grid.placement;
    Json::object([
        ("picture", Json::count(grid.picture)),
        ("start", Json::count(grid.start)),
        ("rows", Json::count(grid.rows)),
        ("columns", Json::count(grid.columns)),
        ("placement", Json::list([p.x0, p.y0, p.x1, p.y1].map(Json::number))),
    ])
}

fn method(method: &Method) -> Json {
    Json::object([
        ("name", Json::string(&method.name)),
        ("note", Json::string(&method.note)),
        ("layers", Json::list(method.layers.iter().map(|layer| Json::string(layer)))),
        ("parts", Json::count(method.parts)),
        ("signs", method.signs.as_ref().map_or(Json::null(), signs)),
    ])
}

fn signs(signs: &Signs) -> Json {
    Json::list([Json::string(&signs.below), Json::string(&signs.above)])
}

fn target(target: &Target<'_>) -> Json {
    let positions = [target.positions.start, target.positions.end].map(Json::count);
    let fields = [
        ("text", Json::string(&target.text)),
        ("positions", Json::list(positions)),
        ("probability", target.probability.map_or(Json::null(), |p| Json::number(f64::from(p)))),
        ("facts", Json::list(target.facts.iter().map(fact))),
        ("flags", Json::list(target.flags.iter().map(|flag| Json::string(flag)))),
    ];
    let evidence = target.evidence.as_ref().map(|evidence| ("evidence", evidence::json(evidence)));
    Json::object(fields.into_iter().chain(evidence))
}

fn fact(fact: &Fact) -> Json {
    Json::list([Json::string(&fact.name), Json::string(&fact.value)])
}

fn region(region: &Region) -> Json {
    let weights = region.weights.iter().map(|weights| match weights {
        Some(weights) => Json::plain(&pack::weights(weights.iter())),
        None => Json::null(),
    });
    Json::object([("name", Json::string(&region.name)), ("weights", Json::list(weights))])
}
