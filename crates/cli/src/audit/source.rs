//! Where the cases of an audit come from: a file of lines, or a public benchmark beside the user's own copies of its pictures.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::ValueEnum;
use medgemma_explainer::sha256;
use model_audit::medground::{self, BenchmarkRow, Item, Score};
use model_audit::{BadCase, Case, Cases, Observed, Row};
use serde_json::{Value, json};

/// The cases.
#[derive(clap::Args, Debug)]
#[expect(clippy::doc_markdown, reason = "the help of a command is no Markdown")]
pub(super) struct SourceArgs {
    /// File of cases, one JSON object a line
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "from",
        conflicts_with = "from",
        help_heading = "Cases"
    )]
    pub(super) set: Option<PathBuf>,
    /// Let the file of --set name pictures outside its own folder
    #[arg(long, requires = "set", help_heading = "Cases")]
    allow_outside: bool,
    /// Cases of a public benchmark, whose files and pictures you have; medground: MedGround-Bench
    #[arg(long, value_enum, requires = "benchmark", help_heading = "Cases")]
    from: Option<FromArg>,
    /// Folder of the benchmark's direct.json
    #[arg(long, value_name = "DIR", requires = "from", help_heading = "Cases")]
    benchmark: Option<PathBuf>,
    /// Only the benchmark's questions for this model, such as medgemma1_5_4b
    #[arg(long, value_name = "NAME", requires = "from", help_heading = "Cases")]
    benchmark_model: Option<String>,
    /// gold_object_attribute_with_coordinates.txt of Chest ImaGenome, and the folder of MIMIC-CXR-JPG's pictures
    #[arg(long, value_names = ["FILE", "DIR"], num_args = 2, requires = "from", help_heading = "Cases")]
    imagenome: Vec<PathBuf>,
    /// annotations_test.csv of VinDr-CXR, and the folder of its test pictures as PNG or JPEG
    #[arg(long, value_names = ["FILE", "DIR"], num_args = 2, requires = "from", help_heading = "Cases")]
    vindr: Vec<PathBuf>,
    /// filtered_studies.json of PadChest-GR, and the folder of its pictures
    #[arg(long, value_names = ["FILE", "DIR"], num_args = 2, requires = "from", help_heading = "Cases")]
    padchest: Vec<PathBuf>,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum FromArg {
    /// MedGround-Bench (arXiv 2605.20158)
    Medground,
}

/// What was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) cases: Cases,
    /// What the pictures are relative to.
    pub(super) folder: PathBuf,
    pub(super) allow_outside: bool,
    /// Of the files that say what the cases are.
    pub(super) sha256: String,
    /// The file, or the benchmark's folder.
    pub(super) path: PathBuf,
    /// Of the benchmark, in the order of the cases.
    items: Vec<Item>,
}

/// Bytes of a file of cases or annotations.
const LARGEST_FILE: u64 = 1 << 30;

impl SourceArgs {
    pub(super) fn read(&self) -> Result<Source> {
        match (&self.set, &self.benchmark) {
            (Some(set), _) => self.file(set),
            (None, Some(benchmark)) => self.medground(benchmark),
            (None, None) => bail!("--set or --from is missing"),
        }
    }

    fn file(&self, set: &Path) -> Result<Source> {
        let text = medgemma_explainer::read_file(set, LARGEST_FILE)?;
        let folder = set.parent().filter(|folder| !folder.as_os_str().is_empty());
        Ok(Source {
            cases: Cases::read(set)?,
            folder: folder.unwrap_or(Path::new(".")).to_owned(),
            allow_outside: self.allow_outside,
            sha256: sha256(&text),
            path: set.to_owned(),
            items: Vec::new(),
        })
    }

    fn medground(&self, benchmark: &Path) -> Result<Source> {
        let source = |paths: &[PathBuf]| match paths {
            [annotations, pictures] => Some(medground::Source {
                annotations: annotations.clone(),
                pictures: pictures.clone(),
            }),
            _ => None,
        };
        let sources = medground::Sources {
            benchmark: benchmark.to_owned(),
            imagenome: source(&self.imagenome),
            vindr: source(&self.vindr),
            padchest: source(&self.padchest),
        };
        let items = medground::read(&sources, self.benchmark_model.as_deref())?;
        let lines = items.iter().map(|item| item.case.clone()).collect();
        let named = [&self.imagenome, &self.vindr, &self.padchest];
        let annotations = named.into_iter().filter_map(|paths| paths.first().cloned());
        let files = std::iter::once(benchmark.join("direct.json")).chain(annotations);
        let mut hashes = String::new();
        for file in files {
            hashes += &sha256(&medgemma_explainer::read_file(&file, LARGEST_FILE)?);
        }
        Ok(Source {
            cases: Cases { lines },
            // Pictures are named whole, and were looked for in their own folders alone.
            folder: PathBuf::from("."),
            allow_outside: true,
            sha256: sha256(hashes.as_bytes()),
            path: benchmark.to_owned(),
            items,
        })
    }
}

/// Rows in the benchmark's own form, and their scores.
#[derive(Debug)]
pub(super) struct Benchmark {
    pub(super) rows: Vec<BenchmarkRow>,
    pub(super) scores: Vec<Score>,
    /// Cases that were asked and not answered with "Yes", which is the only right answer there is.
    pub(super) otherwise: usize,
}

impl Source {
    /// Of the relevancy of "Yes", where the cases are those of a benchmark.
    pub(super) fn benchmark(&self, model: &str, rows: &[Row]) -> Option<Benchmark> {
        if self.items.is_empty() {
            return None;
        }
        let by_id: HashMap<&str, &Observed> =
            rows.iter().filter_map(|row| Some((row.id.as_str(), row.observed.as_ref()?))).collect();
        let seen = self.items.iter().filter_map(|item| {
            let (Ok(Case { id, .. }) | Err(BadCase { id, .. })) = &item.case;
            Some((item, *by_id.get(id.as_str())?))
        });
        let seen: Vec<(&Item, &Observed)> = seen.collect();
        let says_yes = |word: &str| word.eq_ignore_ascii_case("yes");
        let yes = seen.iter().filter(|(_, observed)| says_yes(&observed.word.text));
        let rows: Vec<BenchmarkRow> = yes
            .filter_map(|(item, observed)| {
                BenchmarkRow::new("relevancy", model, item, observed.map.as_ref()).ok()
            })
            .collect();
        let otherwise = seen.len() - rows.len();
        Some(Benchmark { scores: medground::score(&rows), rows, otherwise })
    }
}

impl Benchmark {
    pub(super) fn summary(&self) -> Result<Value> {
        Ok(json!({ "scores": serde_json::to_value(&self.scores)?, "otherwise": self.otherwise }))
    }
}
