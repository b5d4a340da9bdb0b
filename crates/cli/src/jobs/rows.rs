//! An explained answer as rows.

use std::collections::BTreeMap;
use std::ops::Range;

use explanation_jobs::{AnswerText, AnswerToken, CertificateRow, ImageMap, Row, RowKind, Run};
use medgemma_explainer::ndarray::ArrayView1;
use medgemma_explainer::{
    Answer, AnswerRecord, BlankKind, DependsOnPicture, Explained, ExplainedTarget, Operator,
    OperatorCertificate, TargetCertificate, TargetReliance, TokenKind, TokenRecord, Versus,
};
use serde_json::Value;

/// The answer.
pub(crate) fn answer_text(answer: &Answer) -> AnswerText {
    let AnswerRecord { answer: text, trace, stop, tokens, .. } = answer.record();
    let tokens = tokens.into_iter().filter(|token| token.kind == TokenKind::Answer);
    let token = |token: TokenRecord| AnswerToken {
        position: token.position,
        span: token.characters,
        text: token.text,
    };
    AnswerText { text, trace, stop, tokens: tokens.map(token).collect() }
}

/// With what it was explained.
pub(super) fn run(explained: &Explained<'_>, seconds: f64) -> Run {
    let hashes = explained.model.files.iter().filter_map(|file| file.sha256.clone());
    Run {
        program: explained.program.clone(),
        model: explained.model.source.clone(),
        model_sha256: hashes.collect(),
        pictures_sha256: explained.pictures.iter().map(|it| it.pixels_sha256.clone()).collect(),
        settings: serde_json::to_value(&explained.settings).unwrap_or(Value::Null).to_string(),
        notes: explained.notes.clone(),
        seconds,
    }
}

/// Targets, phrases, words and what is missing.
pub(super) fn rows(explained: &Explained<'_>) -> Vec<Row> {
    let targets = explained.targets.iter().map(|target| of_target(explained, target));
    let phrases = explained.versus.iter().map(|versus| of_versus(explained, versus));
    let words = explained
        .words
        .iter()
        .map(|word| Row { kind: RowKind::Word, ..of_target(explained, word) });
    let missing = explained.missing.iter().map(|missing| Row {
        kind: RowKind::Missing,
        asked: missing.asked.clone(),
        text: missing.reason.clone(),
        ..empty()
    });
    let all = targets.chain(phrases).chain(words).chain(missing).enumerate();
    all.map(|(index, row)| Row { index, ..row }).collect()
}

/// The image with the largest part of a row's relevancy, if the row has a map.
pub(super) fn main_image(row: &Row) -> Option<usize> {
    let sums = row.maps.iter().map(|map| map.values.iter().sum::<f32>());
    let largest = sums.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
    largest.map(|(image, _)| image)
}

fn empty() -> Row {
    Row {
        index: 0,
        kind: RowKind::Target,
        asked: String::new(),
        text: String::new(),
        positions: Vec::new(),
        span: None,
        probability: None,
        log_ratio: None,
        image_share: None,
        maps: Vec::new(),
        text_positions: Vec::new(),
        text_relevancy: Vec::new(),
        regions: BTreeMap::new(),
        gains: BTreeMap::new(),
        depends_on_picture: None,
        certificate: Vec::new(),
    }
}

fn of_target(explained: &Explained<'_>, target: &ExplainedTarget<'_>) -> Row {
    let explanation = &*target.explanation;
    let row = explanation.relevancy().relevancy();
    let regions = target.regions.iter().filter(|(image, _)| *image == 0);
    let shares = regions.filter_map(|(_, score)| Some((score.name.clone(), score.share?)));
    let blanks = explained.blanks();
    let (text_positions, text_relevancy) = text(explained, row);
    Row {
        asked: explanation.label(),
        text: explanation.text().to_owned(),
        positions: explanation.positions().collect(),
        span: span(explained, explanation.positions()),
        probability: Some(f64::from(explanation.probability())),
        image_share: explanation.relevancy().shares().map(|shares| f64::from(shares.image())),
        maps: maps(explained, row),
        text_positions,
        text_relevancy,
        regions: shares.collect(),
        gains: target.reliance.as_ref().map(|found| gains(found, &blanks)).unwrap_or_default(),
        depends_on_picture: target.reliance.as_ref().map(|found| verdict(found, &blanks)),
        certificate: target.certificate.as_deref().map(certificate).unwrap_or_default(),
        ..empty()
    }
}

fn of_versus(explained: &Explained<'_>, versus: &Versus) -> Row {
    let row = versus.contrast.view();
    let (text_positions, text_relevancy) = text(explained, row);
    Row {
        kind: RowKind::Phrase,
        asked: format!("{} against {}", versus.phrase.text, versus.against.text),
        text: versus.phrase.text.clone(),
        positions: versus.positions.clone().collect(),
        span: span(explained, versus.positions.clone()),
        probability: Some(f64::from(versus.phrase.log_probability()).exp()),
        log_ratio: Some(f64::from(versus.log_ratio())),
        image_share: versus.image_share.map(f64::from),
        maps: maps(explained, row),
        text_positions,
        text_relevancy,
        ..empty()
    }
}

/// Where tokens of the answer stand in its text, in characters, without the space before them that the first one writes.
fn span(explained: &Explained<'_>, positions: Range<usize>) -> Option<[usize; 2]> {
    let tokens = explained.tokens.get(positions)?;
    let spans = || tokens.iter().filter_map(|token| token.span.as_ref());
    let start = spans().map(|span| span.start).min()?;
    let end = spans().map(|span| span.end).max()?;
    let text = explained.answer.get(start..end)?;
    let start = start + (text.len() - text.trim_start().len());
    let characters = |bytes: usize| Some(explained.answer.get(..bytes)?.chars().count());
    Some([characters(start)?, characters(end)?])
}

fn maps(explained: &Explained<'_>, row: ArrayView1<'_, f32>) -> Vec<ImageMap> {
    let map = |image: &medgemma_explainer::ExplainedImage| ImageMap {
        picture: image.picture,
        region: image.region,
        rows: image.grid[0],
        columns: image.grid[1],
        values: image.positions.clone().map(|position| row[position]).collect(),
    };
    explained.images.iter().map(map).collect()
}

/// The relevancy of tokens that are no part of a picture, without zeros.
fn text(explained: &Explained<'_>, row: ArrayView1<'_, f32>) -> (Vec<usize>, Vec<f32>) {
    let is_text = |position: &usize| explained.tokens[*position].kind != TokenKind::Image;
    let values = row.iter().enumerate().filter(|(position, _)| is_text(position));
    values.filter(|(_, value)| **value != 0.0).map(|(position, value)| (position, *value)).unzip()
}

fn gains(found: &TargetReliance, blanks: &[BlankKind]) -> BTreeMap<String, f64> {
    let gains = found.blanks.iter().map(|gain| f64::from(gain.pmi()));
    blanks.iter().map(|blank| blank.name().to_owned()).zip(gains).collect()
}

fn verdict(found: &TargetReliance, blanks: &[BlankKind]) -> String {
    match found.depends_on_picture(blanks) {
        DependsOnPicture::Yes => "yes",
        DependsOnPicture::No => "no",
        _ => "unknown",
    }
    .to_owned()
}

fn certificate(found: &TargetCertificate) -> Vec<CertificateRow> {
    let of = |(operator, found): (Operator, &Option<OperatorCertificate>)| {
        let found = found.as_ref()?;
        Some(CertificateRow {
            operator: operator.name().to_owned(),
            srg: found.srg,
            p: found.p,
            ahead: found.srg.map(|_| found.is_ahead()),
        })
    };
    let all = [
        (Operator::KnockOut, &found.knock_out),
        (Operator::MeanEmbedding, &found.mean_embedding),
        (Operator::Blur, &found.blur),
        (Operator::Road, &found.road),
    ];
    all.into_iter().filter_map(of).collect()
}
