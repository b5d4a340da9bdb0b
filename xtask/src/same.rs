//! `cargo xtask same`: whether two builds of the command find the same numbers, bit for bit.
//!
//! A change of the structure must change no number. Both builds explain every fixture and radiographs of the project with all that
//! has arrays, and each array of `explanation.npz` is compared byte by byte.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use pico_args::Arguments;
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// What the command line asks for.
pub(crate) struct Options {
    /// The command as it was.
    old: PathBuf,
    /// As it is.
    new: PathBuf,
}

impl Options {
    pub(crate) fn parse(args: &mut Arguments) -> Result<Self> {
        Ok(Self { old: args.value_from_str("--old")?, new: args.value_from_str("--new")? })
    }
}

/// Every target that a fixture has is explained so.
const OF_FIXTURES: [(&str, &str); 3] = [
    ("published rule", "--objective logit --dtype float32 --engine retained"),
    (
        "streaming, float32",
        "--objective log-probability --dtype float32 --update stochastic --heads max --layers global",
    ),
    (
        "everything",
        "--record layers,heads --resolution pixels --blank-control --method rollout,raw-attention,token-attention,object-attention,gradient-attention,grad-cam,grad-cam-hidden,input-gradient,tam,relevancy-stochastic",
    ),
];

/// Radiographs are explained so, by both models that come with the program.
const OF_PHANTOMS: [(&str, &str); 4] = [
    ("words", ""),
    (
        "everything",
        "--keyword zone#all --answer-span --span reliance --regions cxr --record layers,heads --resolution pixels --blank-control --method rollout,raw-attention,grad-cam,input-gradient,tam",
    ),
    ("phrases", "--phrase clear --against opacity --dtype float32"),
    ("retained", "--keyword zone --engine retained --objective log-probability"),
];

/// Explains everything with both builds; an error where a number differs.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    let root = workspace.target_folder()?.join("same");
    if root.exists() {
        std::fs::remove_dir_all(&root)
            .with_context(|| format!("could not remove {}", root.display()))?;
    }
    std::fs::create_dir_all(&root).with_context(|| format!("could not make {}", root.display()))?;
    let pictures = root.join("pictures");
    let drawn = ["phantom", "--seed", "7", "--count", "2", "--size", "400", "--out"];
    let mut command = Command::new(&options.old);
    process::output(command.args(drawn).arg(&pictures))?;

    let (mut arrays, mut bytes, mut different) = (0, 0, 0);
    for (name, arguments) in cases(workspace, &pictures)? {
        let [old, new] = [(&options.old, "old"), (&options.new, "new")].map(|(program, side)| {
            let out = root.join(side);
            let mut command = Command::new(program);
            command.arg("explain").args(&arguments).arg("--no-report").arg("--out").arg(&out);
            process::output(&mut command)?;
            read(&out.join("explanation.npz"))
        });
        let (old, new) = (old?, new?);
        let found = differences(&old, &new);
        println!("{name}: {} arrays, {}", old.len(), verdict(&found));
        arrays += old.len();
        bytes += old.values().map(Vec::len).sum::<usize>();
        different += found.len();
    }
    println!("{arrays} arrays, {bytes} bytes: {different} differ");
    if different != 0 {
        bail!("{different} arrays differ");
    }
    Ok(())
}

/// Each run by its name, with its arguments.
fn cases(workspace: &Workspace, pictures: &Path) -> Result<Vec<(String, Vec<String>)>> {
    let mut cases = Vec::new();
    for fixture in ["bfloat16", "layout", "old-names", "short-window", "two-images"] {
        let folder = workspace.root().join("tests/fixtures").join(fixture);
        let asked = asked(&folder).with_context(|| format!("the fixture {fixture}"))?;
        for (name, more) in OF_FIXTURES {
            let more = more.split_whitespace().map(str::to_owned);
            cases.push((format!("{fixture}, {name}"), asked.iter().cloned().chain(more).collect()));
        }
    }
    for model in ["phantom", "phantom-shortcut"] {
        for file in ["000.png", "001.png"] {
            let picture = pictures.join(file).display().to_string();
            for (name, more) in OF_PHANTOMS {
                let asked = ["--model", model, "--image", &picture, "--prompt"];
                let words = asked.into_iter().chain(["Describe the radiograph."]);
                let words = words.chain(more.split_whitespace()).map(str::to_owned);
                cases.push((format!("{model}, {file}, {name}"), words.collect()));
            }
        }
    }
    Ok(cases)
}

/// Model, pictures, prompt and targets of a fixture.
fn asked(folder: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(folder.join("expected.json"))?;
    let case: Value = serde_json::from_str(&text)?;
    let text = |field: &str| {
        case[field].as_str().map(str::to_owned).with_context(|| format!("no text {field}"))
    };
    let mut args = vec!["--model".to_owned(), folder.join("model").display().to_string()];
    for image in case["images"].as_array().context("no images")? {
        let image = folder.join(image.as_str().context("an image is not a name")?);
        args.extend(["--image".to_owned(), image.display().to_string()]);
    }
    let resize = case["resize"].as_str().unwrap_or("torchvision").to_owned();
    args.extend(["--prompt".to_owned(), text("prompt")?, "--resize".to_owned(), resize]);
    args.extend(["--max-new-tokens".to_owned(), case["max_new_tokens"].to_string()]);
    args.push("--ignore-stop".to_owned());
    if let Some(system) = case["system"].as_str() {
        args.extend(["--system".to_owned(), system.to_owned()]);
    }
    for target in case["targets"].as_array().context("no targets")? {
        args.extend(["--position".to_owned(), target.to_string()]);
    }
    Ok(args)
}

/// The arrays of a file by name, as they are stored, header included.
fn read(path: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let file = File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let mut archive = zip::ZipArchive::new(file)?;
    let mut arrays = BTreeMap::new();
    for index in 0..archive.len() {
        let mut member = archive.by_index(index)?;
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes)?;
        arrays.insert(member.name().to_owned(), bytes);
    }
    Ok(arrays)
}

/// Names of the arrays that differ or that only one has.
fn differences(old: &BTreeMap<String, Vec<u8>>, new: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect()
}

fn verdict(different: &[String]) -> String {
    if different.is_empty() {
        return "all the same".to_owned();
    }
    format!("DIFFERENT: {}", different.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_or_is_missing_is_named() {
        let arrays = |pairs: &[(&str, u8)]| -> BTreeMap<String, Vec<u8>> {
            pairs.iter().map(|(name, byte)| ((*name).to_owned(), vec![*byte])).collect()
        };
        let old = arrays(&[("a", 1), ("b", 2), ("c", 3)]);
        assert_eq!(differences(&old, &old), [""; 0]);
        let new = arrays(&[("a", 1), ("b", 9), ("d", 4)]);
        assert_eq!(differences(&old, &new), ["b", "c", "d"]);
    }

    #[test]
    fn every_fixture_can_be_asked() {
        let workspace = Workspace::find().unwrap();
        let cases = cases(&workspace, Path::new("pictures")).unwrap();
        assert_eq!(cases.len(), 5 * OF_FIXTURES.len() + 4 * OF_PHANTOMS.len());
        assert!(cases.iter().all(|(_, args)| args.iter().any(|arg| arg == "--prompt")));
    }
}
