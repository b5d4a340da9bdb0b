//! Sources and findings that tests begin with.

use std::path::{Path, PathBuf};

use medical_pictures::{
    out::{
        Algorithm, Certificate, Findings, MapOverSources, Moment, ObjectKind, Outcome, Overlay,
        SourceFrame, Target, Wanted, write_objects,
    },
    synthetic::{CtSeries, Radiograph, Subject, write_ct_series, write_radiograph},
};
use ndarray::{Array2, Array3};
use serde_json::{Value, json};

/// A radiograph of no size that 16 divides.
pub(crate) fn radiograph(path: &Path) {
    let pixels = Array2::from_shape_fn((203, 181), |(row, column)| {
        let (y, x) = (row as f32 / 203.0 - 0.5, column as f32 / 181.0 - 0.5);
        (0.9 - 2.0 * (x * x + y * y)).clamp(0.0, 1.0)
    });
    write_radiograph(path, &Radiograph::new(pixels, Subject::number(7))).unwrap();
}

/// A series of slices, lowest first.
pub(crate) fn series(folder: &Path, slices: usize) -> Vec<PathBuf> {
    let volume = Array3::from_shape_fn((slices, 64, 48), |(slice, row, column)| {
        (slice * 100 + row * 10 + column) as i16 - 1000
    });
    let mut series = CtSeries::new(volume, [0.75, 0.5], 2.5, Subject::number(7));
    series.slice_spacing_mm = 3.0;
    write_ct_series(folder, &series).unwrap()
}

/// A map with two hills, the higher one at this cell.
pub(crate) fn map(row: usize, column: usize) -> Array2<f32> {
    Array2::from_shape_fn((16, 16), |(y, x)| {
        let near = |r: usize, c: usize| {
            (-((y.abs_diff(r).pow(2) + x.abs_diff(c).pow(2)) as f32) / 3.0).exp()
        };
        (near(row, column) + 0.6 * near(15 - row, 15 - column)) * 0.037 + 1e-7
    })
}

/// A target over the first sources, with an overlay of the first.
pub(crate) fn target(words: &str, maps: Vec<Array2<f32>>) -> Target {
    Target {
        words: words.to_owned(),
        sentence: format!("There is a {words} in the right lower zone."),
        probability: 0.731_234_567_890_123,
        contribution: Some(2.25),
        certificate: Some(Certificate {
            srg: 0.125,
            p: 0.003,
            operator: "mean of the picture".to_owned(),
        }),
        map: MapOverSources::pictures(maps),
        overlays: vec![overlay(0, 181, 203)],
    }
}

/// A picture in which every pixel differs from its neighbours.
pub(crate) fn overlay(source: usize, width: u32, height: u32) -> Overlay {
    let pixels =
        (0..height).flat_map(|y| (0..width).map(move |x| [x as u8, y as u8, (x * y) as u8]));
    Overlay { source, width, height, rgb: pixels.flatten().collect() }
}

pub(crate) fn findings(sources: Vec<PathBuf>, targets: Vec<Target>) -> Findings {
    Findings {
        sources: sources.into_iter().map(SourceFrame::first).collect(),
        question: Some("Is there an effusion?".to_owned()),
        answer: "There is a small effusion. Größe: 3 µm".to_owned(),
        targets,
        algorithm: Algorithm {
            name: "attention relevancy".to_owned(),
            version: "0.1.0".to_owned(),
            parameters: vec!["objective = contrast".to_owned(), "method = ours".to_owned()],
        },
        model: "phantom".to_owned(),
        made: Moment { date: "20260304".to_owned(), time: "050607".to_owned() },
        series_number: 9001,
    }
}

/// Writes everything and the file by which Python checks it; the outcomes.
pub(crate) fn write(folder: &Path, findings: &Findings) -> Vec<Outcome> {
    let outcomes = write_objects(folder, findings, &Wanted::default()).unwrap();
    expect(folder, findings);
    outcomes
}

/// Writes the file by which Python checks objects.
pub(crate) fn expect(folder: &Path, findings: &Findings) {
    std::fs::write(folder.join("expected.json"), expected(findings).to_string()).unwrap();
}

/// The file of the first object of a kind.
pub(crate) fn file(outcomes: &[Outcome], wanted: ObjectKind) -> Option<PathBuf> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Written(written) if written.kind == wanted => Some(written.path.clone()),
        _ => None,
    })
}

fn expected(findings: &Findings) -> Value {
    let target = |target: &Target| {
        let maps = target.map.frames.iter().map(|frame| {
            let rows: Vec<Vec<f32>> =
                frame.values.rows().into_iter().map(|row| row.to_vec()).collect();
            json!({"source": frame.source, "rows": rows})
        });
        json!({
            "words": target.words,
            "sentence": target.sentence,
            "probability": target.probability,
            "contribution": target.contribution,
            "srg": target.certificate.as_ref().map(|found| found.srg),
            "p": target.certificate.as_ref().map(|found| found.p),
            "maps": maps.collect::<Vec<_>>(),
        })
    };
    json!({
        "sources": findings.sources.iter().map(|source| &source.path).collect::<Vec<_>>(),
        "targets": findings.targets.iter().map(target).collect::<Vec<_>>(),
        "question": findings.question,
        "answer": findings.answer,
        "quantile": 0.9,
    })
}
