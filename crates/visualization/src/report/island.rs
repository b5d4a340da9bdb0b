//! The numbers of the page, as the block of JSON that its script reads.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json::Json;
use super::pack::{self, Packed};
use super::picture::Embedded;
use super::{Fact, Grid, Method, Picture, Region, Report, Target};
use crate::Colormap;

pub(super) fn island(report: &Report<'_>, pictures: &[Embedded]) -> String {
    let packed = Packed::new(report);
    let text = pack::text_positions(report);
    let tokens = text.iter().map(|&position| Json::string(&report.tokens[position].text));
    Json::object([
        ("title", Json::string(report.title())),
        ("colormap", Json::string(report.colormap.name())),
        ("colormaps", Json::list(Colormap::ALL.into_iter().map(colormap))),
        ("textPositions", Json::list(text.iter().copied().map(Json::count))),
        ("textTokens", Json::list(tokens)),
        ("pictures", Json::list(report.pictures.iter().zip(pictures).map(picture))),
        ("grids", Json::list(report.grids.iter().map(grid))),
        ("methods", Json::list(report.methods.iter().map(method))),
        ("targets", Json::list(report.targets.iter().map(target))),
        ("regions", Json::list(report.regions.iter().map(region))),
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
    Json::object([("name", Json::string(map.name())), ("table", Json::plain(&table))])
}

fn picture((picture, embedded): (&Picture<'_>, &Embedded)) -> Json {
    let (width, height) = picture.image.dimensions();
    Json::object([
        ("name", Json::string(&picture.name)),
        ("width", Json::number(f64::from(width))),
        ("height", Json::number(f64::from(height))),
        ("source", Json::plain(&embedded.url)),
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
    ])
}

fn target(target: &Target<'_>) -> Json {
    let positions = [target.positions.start, target.positions.end].map(Json::count);
    Json::object([
        ("text", Json::string(&target.text)),
        ("positions", Json::list(positions)),
        ("probability", target.probability.map_or(Json::null(), |p| Json::number(f64::from(p)))),
        ("facts", Json::list(target.facts.iter().map(fact))),
    ])
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
