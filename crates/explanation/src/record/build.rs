//! A record of an explained answer.

use attention_relevancy::ndarray::{Array2, ArrayView1};
use attention_relevancy::{Explanation, HeadShares, MethodRow};
use relevancy_visualization::{Orientation, Outline, RegionScore};

use super::reliance::{ControlRecord, RelianceRecord};
use super::versus::VersusRecord;
use super::{
    ByHeadRecord, ByLayerRecord, CounterpartRecord, Files, FoilRecord, ImageRecord,
    LocalizationRecord, MethodRecord, OtherModelRecord, OutlineRecord, PictureRecord, Record,
    RegionScoreRecord, SCHEMA, SCHEMA_VERSION, TargetRecord, TokenRecord,
};
use crate::file_name::{ARRAYS, REPORT};
use crate::volume::Series;
use crate::{
    BlankKind, ComparedMethod, DrawingKind, Explained, ExplainedImage, ExplainedPicture,
    ExplainedTarget, FileName, Subject, TargetExplanation, Token, Versus,
};

impl Record {
    /// The record of an explained answer with these files beside it. Pictures have their names whether they are written or not.
    pub fn new(explained: &Explained<'_>, names: &[FileName]) -> Self {
        let (files, blanks, methods) = (Named(names), explained.blanks(), explained.methods());
        let targets = explained.targets.iter().enumerate();
        let words = explained.words.iter();
        let versus = explained.versus.iter().enumerate();
        Self {
            schema: SCHEMA.to_owned(),
            version: SCHEMA_VERSION,
            prompt: explained.prompt.clone(),
            system: explained.system.clone(),
            rendered_prompt: explained.rendered_prompt.clone(),
            answer: explained.answer.clone(),
            trace: explained.trace.clone(),
            stop: explained.stop.clone(),
            tokens: TokenRecord::of(&explained.tokens, &explained.answer),
            pictures: picture_records(explained),
            images: image_records(explained),
            targets: targets
                .map(|(index, target)| TargetRecord {
                    overlays: files.of_target(&[DrawingKind::Overlay], index),
                    finer: files.of_target(&[DrawingKind::Patches, DrawingKind::Pixels], index),
                    certificate_figure: files.of_target(&[DrawingKind::Certificate], index).pop(),
                    control: target.control.as_ref().map(|control| {
                        ControlRecord::new(control, files.of_target(&[DrawingKind::Control], index))
                    }),
                    counterpart: target.counterpart.as_ref().map(|counterpart| {
                        let figures = files.of_target(&[DrawingKind::Compare], index);
                        CounterpartRecord::new((&target.explanation, counterpart), figures)
                    }),
                    ..target_record(explained, target, &methods, &blanks)
                })
                .collect(),
            missing: explained.missing.clone(),
            words: words.map(|word| target_record(explained, word, &methods, &blanks)).collect(),
            versus: versus.map(|(index, pair)| files.versus_record(pair, index)).collect(),
            regions: explained.regions.clone(),
            boxes: explained.boxes.clone(),
            reliance: explained.reliance.clone(),
            certificate: explained.certificate.clone(),
            other_model: explained.other_model.as_ref().map(|other| OtherModelRecord {
                model: other.model.clone(),
                dtype: other.dtype.clone(),
                seconds: other.seconds,
            }),
            sinks: explained.sinks.clone(),
            generation: explained.generation.clone(),
            settings: explained.settings.clone(),
            model: explained.model.clone(),
            timings: explained.timings.clone(),
            peak_rss_bytes: explained.peak_rss_bytes,
            notes: explained.notes.clone(),
            files: files.lists(),
            program: explained.program.clone(),
            date: explained.date.clone(),
        }
    }
}

/// The files beside a record; each knows what it shows and of what.
struct Named<'a>(&'a [FileName]);

impl Named<'_> {
    fn those(&self, is: impl Fn(DrawingKind, Subject) -> bool) -> Vec<String> {
        let drawings = self.0.iter().filter_map(|name| Some((name, name.drawing()?)));
        let those = drawings.filter(|(_, drawing)| is(drawing.kind, drawing.subject));
        those.map(|(name, _)| name.to_string()).collect()
    }

    fn of_target(&self, kinds: &[DrawingKind], target: usize) -> Vec<String> {
        self.those(|kind, subject| kinds.contains(&kind) && subject.target() == Some(target))
    }

    fn versus_record(&self, versus: &Versus, pair: usize) -> VersusRecord {
        let figures = self.those(|_, subject| subject.pair() == Some(pair));
        VersusRecord::new(versus, figures)
    }

    fn lists(&self) -> Files {
        use DrawingKind::{Overlay, Patches, Pixels};
        let has = |name: FileName| self.0.contains(&name);
        Files {
            arrays: if has(FileName::Arrays) { ARRAYS.to_owned() } else { String::new() },
            overlays: self.those(|kind, _| kind == Overlay),
            finer: self.those(|kind, _| matches!(kind, Patches | Pixels)),
            figures: self.those(|kind, _| !matches!(kind, Overlay | Patches | Pixels)),
            report: has(FileName::Report).then(|| REPORT.to_owned()),
            ..Files::default()
        }
    }
}

impl TokenRecord {
    /// The records of tokens whose spans are bytes of `answer`.
    pub fn of(tokens: &[Token], answer: &str) -> Vec<Self> {
        let characters = |byte: usize| answer[..byte].chars().count();
        let record = |token: &Token| Self {
            position: token.position,
            id: token.id,
            text: token.text.clone(),
            kind: token.kind,
            characters: token.span.as_ref().map(|span| [span.start, span.end].map(characters)),
        };
        tokens.iter().map(record).collect()
    }
}

fn picture_records(explained: &Explained<'_>) -> Vec<PictureRecord> {
    let record = |(index, picture): (usize, &ExplainedPicture<'_>)| {
        // Crops of a picture have the outlines of the whole.
        let image = explained.images.iter().find(|image| image.picture == index);
        let outlines = image.map_or(&[][..], |image| &image.outlines);
        PictureRecord {
            name: picture.name.clone(),
            file: FileName::Picture(index).to_string(),
            pixels_sha256: picture.pixels_sha256.clone(),
            width: picture.rgb.width(),
            height: picture.rgb.height(),
            exif_orientation: picture.exif_orientation,
            window: picture.window,
            warnings: picture.warnings.clone(),
            source: picture.source.clone(),
            sides: match picture.orientation {
                Orientation::Sides(it) => Some([it.left, it.right, it.top, it.bottom]),
                _ => None,
            },
            outlines: outlines.iter().map(outline_record).collect(),
        }
    };
    explained.pictures.iter().enumerate().map(record).collect()
}

/// To a tenth of a pixel.
fn outline_record(outline: &Outline) -> OutlineRecord {
    let outline = rounded(outline);
    let rings = outline.rings.iter().map(|ring| ring.iter().flatten().copied().collect());
    OutlineRecord { label: outline.label, rings: rings.collect() }
}

/// An outline as record and page have it: to a tenth of a pixel.
pub(crate) fn rounded(outline: &Outline) -> Outline {
    let tenth = |value: f64| (10.0 * value).round() / 10.0;
    let ring = |ring: &Vec<[f64; 2]>| ring.iter().map(|point| point.map(tenth)).collect();
    Outline { rings: outline.rings.iter().map(ring).collect(), label: outline.label.clone() }
}

fn image_records(explained: &Explained<'_>) -> Vec<ImageRecord> {
    let first = explained.all().next();
    let record = |(index, image): (usize, &ExplainedImage)| {
        let finer = first.and_then(|target| target.finer(index));
        ImageRecord {
            picture: image.picture,
            positions: [image.positions.start, image.positions.end],
            grid: image.grid,
            patches: finer.map(|map| map.patches.dim().into()),
            pixels: finer.and_then(|map| Some(map.pixels.as_ref()?.dim().into())),
            region: image.region,
        }
    };
    explained.images.iter().enumerate().map(record).collect()
}

/// The record of a target or word without its files.
fn target_record(
    explained: &Explained<'_>,
    target: &ExplainedTarget<'_>,
    methods: &[ComparedMethod],
    blanks: &[BlankKind],
) -> TargetRecord {
    let (explanation, scores) = (&*target.explanation, target.explanation.scores());
    TargetRecord {
        text: explanation.text().to_owned(),
        occurrence: explanation.occurrence(),
        positions: [explanation.positions().start, explanation.positions().end],
        token_ids: explanation.token_ids().to_vec(),
        rule: explanation.rule(),
        logit: explanation.logit(),
        log_probability: explanation.log_probability(),
        token_logits: scores.iter().map(|score| score.logit).collect(),
        token_log_probabilities: scores.iter().map(|score| score.log_probability).collect(),
        runner_up_ids: scores.iter().map(|score| score.runner_up).collect(),
        foils: explanation.foils().map(|foils| {
            let record = |foils| FoilRecord::of(foils, &explained.foil_texts);
            foils.iter().map(record).collect()
        }),
        is_empty: explanation.is_empty(),
        image_share: explanation.relevancy().shares().map(|shares| shares.image()),
        methods: method_records(explanation, methods),
        by_layer: explanation.layers().map(|rows| by_layer(explanation, rows)),
        by_head: explanation.heads().map(by_head),
        overlays: Vec::new(),
        finer: Vec::new(),
        slices: Series::all(explained)
            .iter()
            .flat_map(|series| series.shares(explained, explanation))
            .collect(),
        regions: target.regions.iter().map(region_record).collect(),
        boxes: target
            .boxes
            .iter()
            .map(|found| LocalizationRecord { share: found.share, iou: found.iou })
            .collect(),
        token_weights: explanation.token_weights().map(<[f32]>::to_vec),
        reliance: target.reliance.as_ref().map(|found| RelianceRecord::new(found, blanks)),
        certificate: target.certificate.as_deref().cloned(),
        certificate_figure: None,
        control: None,
        counterpart: None,
    }
}

fn method_records(target: &TargetExplanation, methods: &[ComparedMethod]) -> Vec<MethodRecord> {
    let record = |(method, row): (&ComparedMethod, &MethodRow)| {
        let (image_share, unavailable) = match row {
            Ok(row) => (target.image_share_of(row), None),
            Err(why) => (None, Some(why.to_string())),
        };
        MethodRecord { id: method.id, name: method.name.clone(), image_share, unavailable }
    };
    methods.iter().zip(target.methods()).map(record).collect()
}

fn region_record((image, score): &(usize, RegionScore)) -> RegionScoreRecord {
    RegionScoreRecord {
        image: *image,
        name: score.name.clone(),
        mean: score.mean,
        sum: score.sum,
        share: score.share,
        density: score.density,
        area: Some(score.area),
    }
}

fn by_layer(target: &TargetExplanation, rows: &Array2<f32>) -> ByLayerRecord {
    let (targets, layout) = (target.relevancy().targets(), target.relevancy().layout());
    let of_layer = |row: ArrayView1<'_, f32>| {
        let row = Explanation::new(targets.to_vec(), row.to_owned(), layout.clone());
        let row = row.expect("a row of the same sequence");
        (row.shares().map(|shares| shares.image()), row.image_entropy())
    };
    let (image_share, image_entropy) = rows.outer_iter().map(of_layer).unzip();
    ByLayerRecord { image_share, image_entropy }
}

fn by_head(heads: &HeadShares) -> ByHeadRecord {
    let lists = |array: &Array2<f32>| array.outer_iter().map(|row| row.to_vec()).collect();
    ByHeadRecord {
        carried: lists(&heads.carried),
        entropy: lists(&heads.entropy),
        image_share: lists(&heads.image),
        map_layer: heads.maps.as_ref().map(|maps| maps.layer),
    }
}
