//! `cargo xtask gallery`: every kind of figure, made by the command from the checkpoint that comes with it, into
//! `docs/gallery.md` with the command under it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{process, setup};

/// A figure of the page.
struct Shown {
    title: &'static str,
    /// What a reader should know of it.
    text: &'static str,
    /// Arguments of `medgemma-explainer` with what follows `explain --model phantom`.
    command: &'static str,
    /// The file of the results that is shown.
    file: &'static str,
    /// Its name in `docs/images/gallery`.
    name: &'static str,
}

/// The pictures that all figures are of.
const PHANTOMS: &str = "phantom --seed 5 --count 2 --size 600 --out chests";

const FIGURES: &[Shown] = &[
    Shown {
        title: "Overlay",
        text: "Heat over the original picture; the colour bar has the raw values. What there is little of hides nothing.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword nodule --out out",
        file: "overlay-0-0.png",
        name: "overlay",
    },
    Shown {
        title: "Cells",
        text: "The resolution that the model has: 16 × 16 cells with their edges.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword nodule --interpolation cells --out out",
        file: "overlay-0-0.png",
        name: "cells",
    },
    Shown {
        title: "Bicubic, contours, orientation",
        text: "Contour lines around the hottest 5 and 1 % of the cells, only where above a tenth of the maximum; the tabs R and L are the patient's sides, the letter on the film is its own.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword opacity --interpolation bicubic --contours 0.95,0.99 --orientation pa --colormap viridis --out out",
        file: "overlay-0-0.png",
        name: "contours",
    },
    Shown {
        title: "Three panels",
        text: "The picture, the overlay, and the words of the text that contributed most, whole words merged from their tokens. The self term, and `<bos>` with the rest of the chat template, stand apart as numbers.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword pacemaker --figures panels --out out",
        file: "panels-0-0.png",
        name: "panels",
    },
    Shown {
        title: "Comparison of methods",
        text: "Relevancy, then two baselines from the same sweep, raw attention of the last layer and attention rollout, and the methods that were asked for. Each has its own scale, because their units differ; methods with signs have red for the word and blue against it.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword opacity --method grad-cam,input-gradient,tam --figures comparison --out out",
        file: "comparison-0-0.png",
        name: "comparison",
    },
    Shown {
        title: "By layer",
        text: "The relevancy at the input of every layer: what that layer and all later ones contributed. Layer 0 is the result.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword opacity --record layers --figures layers --out out",
        file: "layers-0-0.png",
        name: "layers",
    },
    Shown {
        title: "Heads of a layer",
        text: "Where each head of the last layer that sees the whole sequence looks from the row that predicts the word, and below what of it speaks for the word. Each head has its own scale.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword opacity --record heads --figures heads --out out",
        file: "heads-0-0.png",
        name: "heads",
    },
    Shown {
        title: "Finer than tokens",
        text: "Tokens, patches and pixels, each on its own scale. The relevancy of patches went on through the vision tower; pixels have gradient × input, with its sign, smoothed for display by half a patch; the raw values are in explanation.npz.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword opacity --resolution pixels --figures resolutions --out out",
        file: "resolutions-0-0.png",
        name: "resolutions",
    },
    Shown {
        title: "Contact sheet",
        text: "Every content word of the answer with its map, each on its own scale.",
        command: "--image chests/000.png --prompt 'Is there an opacity?' --keyword opacity --figures words --out out",
        file: "words-0.png",
        name: "words",
    },
    Shown {
        title: "Several pictures",
        text: "On one scale, each with its share of all relevancy. This small model was never shown two pictures at once, so its answer means nothing here; the figure is what counts.",
        command: "--image chests/000.png chests/001.png --prompt 'Describe the radiograph.' --answer 'Right upper zone: clear.' --keyword clear --figures images --out out",
        file: "images-0.png",
        name: "images",
    },
    Shown {
        title: "The last picture against the first",
        text: "The last picture's map minus the first's, with both on one scale. Cells stand for the same place of both only where the pictures are aligned alike. As above, the answer of this small model means nothing here.",
        command: "--image chests/000.png chests/001.png --prompt 'Describe the radiograph.' --answer 'Left upper zone: pneumothorax.' --keyword pneumothorax --figures difference --out out",
        file: "difference-0.png",
        name: "difference",
    },
    Shown {
        title: "A phrase against another",
        text: "The log-probability of a phrase of the answer, that of another in its place, and that of the one minus that of the other, each with a map of what speaks for it; on the right the first map minus the second. A phrase that is nearly certain has little gradient of its own, as the scale of its map shows; the third map does not have this weakness.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --phrase 'right side' --against 'left side' --out out",
        file: "versus-0-0.png",
        name: "versus",
    },
    Shown {
        title: "Regions",
        text: "The share of each zone of a chest radiograph in the relevancy of the picture, and its density: 1 is what an even map would give.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --keyword opacity --regions cxr --out out",
        file: "regions-0-0.png",
        name: "regions",
    },
    Shown {
        title: "Boxes of the answer",
        text: "Boxes that a model writes as JSON are drawn and compared with the map. Here an answer was given by hand: the small model writes none.",
        command: "--image chests/000.png --prompt 'Describe the radiograph.' --answer 'Right upper zone: clear. Right middle zone: clear. Right lower zone: clear. Left upper zone: clear. Left middle zone: nodule. {\"box_2d\": [470, 605, 545, 680], \"label\": \"nodule\"}' --keyword nodule --out out",
        file: "overlay-0-0.png",
        name: "boxes",
    },
];

const HEAD: &str = "\
# Gallery

Every figure below was made by the command under it, from the checkpoint `phantom` that comes with the program, on synthetic
radiographs:

```sh
medgemma-explainer ";

const TAIL: &str = "

## The page

Each of these commands also writes `report.html`: point at a word of the answer and its map appears. `cargo xtask demo` makes one to
try. Here it is in a browser:

![The page](images/report.png)

```sh
medgemma-explainer explain --model phantom --image chests/000.png --prompt 'Describe the radiograph.' --keyword opacity --regions cxr --record layers --out out
chromium --headless --hide-scrollbars --force-prefers-reduced-motion --window-size=1300,900 --screenshot=report.png out/report.html
```

`cargo xtask gallery` regenerates this page and its pictures.
";

/// Sets up, builds, draws all figures and writes the page.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::run(workspace, None)?;
    let build = ["build", "--release", "--package", "medgemma-explainer-cli"];
    process::run(&mut workspace.cargo(&build))?;
    let program = workspace.target_folder()?.join("release/medgemma-explainer");
    let scratch = workspace.target_folder()?.join("gallery");
    if scratch.exists() {
        std::fs::remove_dir_all(&scratch)
            .with_context(|| format!("could not remove {}", scratch.display()))?;
    }
    std::fs::create_dir_all(&scratch)
        .with_context(|| format!("could not make {}", scratch.display()))?;
    let pictures = workspace.root().join("docs/images/gallery");
    std::fs::create_dir_all(&pictures)
        .with_context(|| format!("could not make {}", pictures.display()))?;
    call(&program, &scratch, PHANTOMS)?;
    for shown in FIGURES {
        call(&program, &scratch, &format!("explain --model phantom {}", shown.command))?;
        let (from, to) = (scratch.join("out").join(shown.file), pictures.join(png(shown)));
        std::fs::copy(&from, &to)
            .with_context(|| format!("could not copy {} to {}", from.display(), to.display()))?;
    }
    let page = workspace.root().join("docs/gallery.md");
    std::fs::write(&page, text()).with_context(|| format!("could not write {}", page.display()))
}

fn png(shown: &Shown) -> String {
    format!("{}.png", shown.name)
}

/// Runs the program as a shell would, in a folder.
fn call(program: &Path, folder: &Path, arguments: &str) -> Result<()> {
    process::run(Command::new(program).args(words(arguments)).current_dir(folder))
}

/// The words of a command line; single quotes hold white space together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for character in line.chars() {
        match character {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(character),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

fn text() -> String {
    let mut page = format!("{HEAD}{PHANTOMS}\n```\n");
    for shown in FIGURES {
        let Shown { title, text, command, .. } = shown;
        let _infallible = write!(
            page,
            "\n## {title}\n\n{text}\n\n![{title}](images/gallery/{})\n\n```sh\nmedgemma-explainer explain --model phantom {command}\n```\n",
            png(shown)
        );
    }
    page + TAIL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(words("a 'b c'  --d \"e\""), ["a", "b c", "--d", "\"e\""]);
    }

    #[test]
    fn names_are_unique_and_the_page_has_all() {
        let page = text();
        for (index, shown) in FIGURES.iter().enumerate() {
            assert!(FIGURES[..index].iter().all(|other| other.name != shown.name));
            assert!(page.contains(&format!("images/gallery/{}.png", shown.name)));
        }
    }
}
