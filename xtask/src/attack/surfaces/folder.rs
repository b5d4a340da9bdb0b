//! `--out` into a folder that holds files of the user's.

use anyhow::Result;

use super::Surface;
use crate::attack::case::{Call, Case, What};
use crate::attack::material::Material;
use crate::attack::picture;
use checkpoint_files::random::SplitMix;

pub(super) const SURFACE: Surface = Surface { name: "output folders", fixed, random };

/// Files that `explain` writes, and all that a run over an earlier one may replace.
pub(super) const OURS: [&str; 6] = [
    "out/explanation.json",
    "out/explanation.npz",
    "out/overlay-0-0.png",
    "out/picture-0.png",
    "out/report.html",
    "out/words-0.png",
];

/// Names that a user may have given, too.
const NAMES: [&str; 14] = [
    "picture-0.png",
    "picture-9.png",
    "overlay-0-0.png",
    "overlay-7-3.png",
    "images-0.png",
    "words-0.png",
    "words-0.svg",
    "report.html",
    "explanation.json",
    "explanation.npz",
    "patches-0-0.png",
    "regions-0-0.png",
    "versus-0-0.png",
    "control-0-0.png",
];

/// Those of them that the call below writes.
const WRITTEN: [&str; 5] =
    ["picture-0.png", "overlay-0-0.png", "report.html", "explanation.json", "explanation.npz"];

fn explain(picture: &str) -> Call {
    Call::new(["explain", "--model", "phantom", "--image", picture, "--threads", "1"]).and([
        "--prompt",
        "Describe the radiograph.",
        "--max-new-tokens",
        "2",
        "--out",
        "out",
    ])
}

/// The same over an earlier explanation, whose files it may replace.
pub(super) fn again(picture: &str) -> Call {
    let replaces = OURS.map(str::to_owned).to_vec();
    Call { replaces, ..explain(picture) }
}

fn fixed(material: &Material) -> Result<Vec<Case>> {
    let base = |title: &str| Case::new(title).file("picture.png", picture::good());
    let mut cases = vec![
        base("a new folder").call(explain("picture.png").done()),
        base("an empty folder").with("out", What::Folder).call(explain("picture.png").done()),
        base("a file that is not of our names")
            .file("out/notes.txt", "mine")
            .call(explain("picture.png").done()),
        base("an earlier explanation")
            .call(explain("picture.png").done())
            .call(again("picture.png").done()),
        base("the input lies in the folder, under a name of ours")
            .file("out/picture-0.png", picture::good())
            .call(explain("out/picture-0.png").refused(&["picture-0.png"])),
        base("the folder is a file")
            .file("out", "mine")
            .call(explain("picture.png").refused(&["out"])),
        base("the folder is a link")
            .with("elsewhere", What::Folder)
            .file("elsewhere/picture-0.png", "mine")
            .with("out", What::Link("elsewhere".to_owned()))
            .call(explain("picture.png").refused(&["picture-0.png"])),
        base("a folder of a name of ours")
            .with("out/picture-9.png", What::Folder)
            .call(explain("picture.png")),
        base("unfinished work of somebody else")
            .file("out/.unfinished-mine/x.txt", "mine")
            .call(explain("picture.png")),
    ];
    for name in NAMES {
        let case = base(&format!("{name} of the user's")).file(format!("out/{name}"), "mine");
        let call = explain("picture.png");
        // What this run does not write may stay, and the run may go on beside it.
        cases.push(case.call(if WRITTEN.contains(&name) { call.refused(&[name]) } else { call }));
    }
    cases.extend(edited(material)?);
    Ok(cases)
}

/// Earlier explanations that somebody changed since, or whose record lies.
fn edited(material: &Material) -> Result<Vec<Case>> {
    let stored = material.stored()?;
    let base = |title: &str| {
        Case::new(title).file("picture.png", picture::good()).with("out", What::Stored)
    };
    let overlay = std::fs::read(stored.join("overlay-0-0.png"))?;
    let record = std::fs::read_to_string(stored.join("explanation.json"))?;
    let lie = record.replace("overlay-0-0.png", "../mine.png");
    let refused = || explain("picture.png").refused(&[]);
    let rest = OURS.into_iter().filter(|name| *name != "out/overlay-0-0.png");
    let rest: Vec<String> = rest.map(str::to_owned).collect();
    Ok(vec![
        base("the page was edited since").file("out/report.html", "mine").call(refused()),
        base("the overlay is another file now").file("out/overlay-0-0.png", "mine").call(refused()),
        base("the record claims a file elsewhere")
            .file("mine.png", overlay.clone())
            .file("out/explanation.json", lie)
            .call(Call { replaces: rest, ..explain("picture.png") }),
        base("the overlay is a link to the same bytes elsewhere")
            .file("mine.png", overlay)
            .with("out/overlay-0-0.png", What::Link("../mine.png".to_owned()))
            .call(again("picture.png")),
        base("the record is not JSON").file("out/explanation.json", "{").call(refused()),
    ])
}

fn random(_: &Material, random: &mut SplitMix) -> Result<Case> {
    let mut case = Case::new("files of our names").file("picture.png", picture::good());
    let has_results = random.once_in(3);
    if has_results {
        case = case.with("out", What::Stored);
    }
    for _ in 0..=random.below(4) {
        let name = format!("out/{}", random.pick(&NAMES));
        case = match random.below(5) {
            0 => case.with(format!("{name}.d/{}", random.pick(&NAMES)), What::File(b"mine".into())),
            1 => case.with(name, What::Link("../picture.png".to_owned())),
            _ => case.file(name, "mine"),
        };
    }
    // Only what the case did not put there by hand may be replaced.
    let by_hand: Vec<String> = case.entries.iter().map(|(path, _)| path.clone()).collect();
    let replaces = OURS.into_iter().filter(|name| !by_hand.iter().any(|path| path == name));
    let replaces: Vec<String> = replaces.filter(|_| has_results).map(str::to_owned).collect();
    Ok(case.call(Call { replaces, ..explain("picture.png") }))
}
