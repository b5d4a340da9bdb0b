//! How far maps made in bfloat16 are from those made in float32, on the real Gemma 3 270M: a language model alone, whose maps lie over the
//! tokens of the text.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};
use attention_relevancy::{rank_correlation, top_overlap};
use medgemma_explainer::{
    Answer, Ask, DeviceSpec, DtypeSpec, ExplainOptions, Explainer, Foil, LoadOptions, ModelSource,
    Objective, Question,
};
use serde_json::{Value, json};

/// The part of a row whose tokens count as its largest.
const LARGEST: f64 = 0.1;

/// Texts and how they go on; every token of that is explained.
const TEXTS: [(&str, &str); 3] = [
    ("The capital of France is", " Paris, and the capital of Germany is Berlin."),
    (
        "Chest radiograph. Findings: the heart is enlarged, and there is a small left pleural effusion. Impression:",
        " Cardiomegaly and a small left pleural effusion. No pneumothorax.",
    ),
    (
        "Two weeks ago the lungs were clear. Today there is a consolidation in the right lower lobe, the heart is of normal size, and the \
         costophrenic angles are sharp. Compared with the earlier radiograph,",
        " the consolidation is new, and there is no pleural effusion.",
    ),
];

/// What a target can be explained by, as the command calls it.
const OBJECTIVES: [(&str, Objective); 3] = [
    ("contrast with the runner-up", Objective::Contrast(Foil::RunnerUp)),
    ("logit", Objective::Logit),
    ("log-probability", Objective::LogProbability),
];

/// One objective over all tokens.
pub struct Line {
    objective: &'static str,
    /// Of each token: the largest difference over the largest entry, rank correlation, largest tenth in common.
    tokens: Vec<[f64; 3]>,
}

/// Explains every token of the continuations with both types.
pub fn measure(file: &Path) -> Result<Vec<Line>> {
    let load = |dtype| {
        let options = LoadOptions::default().with_device(DeviceSpec::Cpu).with_dtype(dtype);
        Explainer::load(&ModelSource::Directory(file.to_owned()), &options)
    };
    let [wide, narrow] = [load(DtypeSpec::Float32)?, load(DtypeSpec::BFloat16)?];
    let mut lines: Vec<Line> =
        OBJECTIVES.iter().map(|(name, _)| Line { objective: name, tokens: Vec::new() }).collect();
    for (prompt, continuation) in TEXTS {
        let given = |explainer: &Explainer| -> Result<Answer> {
            Ok(explainer.given(Question::new(vec![], prompt), continuation)?)
        };
        let [own, other] = [given(&wide)?, given(&narrow)?];
        let first = own.prepared().ids.len();
        let asks: Vec<Ask> = (first..own.tokens().len()).map(Ask::Position).collect();
        for ((_, objective), line) in OBJECTIVES.iter().zip(&mut lines) {
            let options = ExplainOptions::default().with_objective(*objective);
            let exact = wide.explain(&own, &asks, &options)?;
            // The runner-up in float32, whichever is it in bfloat16.
            let found = if matches!(objective, Objective::Contrast(_)) {
                wide.counterparts(&own, &exact, &narrow)?
                    .targets
                    .into_iter()
                    .map(|found| found.relevancy)
                    .collect()
            } else {
                let found = narrow.explain(&other, &asks, &options)?;
                let rows =
                    found.targets.iter().map(|target| target.relevancy().relevancy().to_owned());
                rows.collect::<Vec<_>>()
            };
            ensure!(found.len() == exact.targets.len(), "a token has no explanation");
            for (exact, found) in exact.targets.iter().zip(&found) {
                // Its own row is not about the text before it.
                let end = exact.positions().start - 1;
                let row = exact.relevancy().relevancy().to_vec();
                let (exact, found) = (&row[..end], &found.to_vec()[..end]);
                let largest = exact.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
                let pairs = exact.iter().zip(found);
                let distance =
                    pairs.fold(0.0_f32, |most, (a, b)| most.max((a - b).abs())) / largest;
                let distance = f64::from(distance);
                line.tokens.push([
                    distance,
                    rank_correlation(exact, found),
                    top_overlap(exact, found, LARGEST),
                ]);
            }
        }
    }
    Ok(lines)
}

impl Line {
    fn mean(&self, which: usize) -> f64 {
        self.tokens.iter().map(|token| token[which]).sum::<f64>() / self.tokens.len() as f64
    }

    /// The least for agreements, the largest for the distance.
    fn worst(&self, which: usize) -> f64 {
        let all = self.tokens.iter().map(|token| token[which]);
        if which == 0 { all.fold(0.0, f64::max) } else { all.fold(1.0, f64::min) }
    }

    fn values(&self, which: usize) -> [f64; 2] {
        [self.mean(which), self.worst(which)]
    }
}

/// One line for each objective.
pub fn table(lines: &[Line]) -> String {
    let tokens = lines.first().map_or(0, |line| line.tokens.len());
    let mut text = format!(
        "{tokens} tokens of {} texts.\n\n| objective | largest difference | rank correlation | top tenth in common |\n|---|---:|---:|---:|\n",
        TEXTS.len()
    );
    for line in lines {
        let cell = |which: usize| {
            let [mean, worst] = line.values(which);
            format!("{mean:.3} ({worst:.3})")
        };
        let [distance, rank, top] = [0, 1, 2].map(cell);
        // A String takes everything.
        let _ = writeln!(text, "| {} | {distance} | {rank} | {top} |", line.objective);
    }
    text
}

/// The same as data.
pub fn to_json(lines: &[Line]) -> Value {
    let line = |line: &Line| {
        let [distance, rank, top] = [0, 1, 2].map(|which| {
            let [mean, worst] = line.values(which);
            json!({ "mean": mean, "worst": worst })
        });
        json!({ "objective": line.objective, "largest_difference": distance, "rank_correlation": rank, "top_overlap": top })
    };
    lines.iter().map(line).collect()
}
