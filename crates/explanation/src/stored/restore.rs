//! An explained answer made of record, arrays and pictures of a folder.

use std::borrow::Cow;

use attention_relevancy::ndarray::{Array2, Array3, Array4, ArrayView1, ArrayView2, Axis, s};
use attention_relevancy::{
    Explanation, HeadMaps, HeadShares, ImageGrid, MethodRow, PatchMap, Score, Target, TokenLayout,
    Unavailable,
};
use relevancy_visualization::image::RgbImage;
use relevancy_visualization::{Localization, Orientation, Outline, RegionScore, Sides};

use crate::arrays::{Arrays, Rows};
use crate::record::{
    ByHeadRecord, ControlRecord, CounterpartRecord, FoilRecord, ImageRecord, LocalizationRecord,
    OutlineRecord, PhraseRecord, PictureRecord, Record, RegionScoreRecord, RelianceRecord,
    TargetRecord, TokenRecord, VersusRecord,
};
use crate::target::TargetParts;
use crate::{
    Counterpart, Error, Explained, ExplainedImage, ExplainedPicture, ExplainedTarget, OtherModel,
    Phrase, TargetControl, TargetExplanation, Token, Versus,
};

/// What a folder holds: `record` was checked, `arrays` and `pictures` fit it.
///
/// # Errors
/// A row that does not fit the sequence.
pub(super) fn explained(
    record: &Record,
    arrays: &Arrays,
    pictures: Vec<RgbImage>,
) -> Result<Explained<'static>, Error> {
    let layout = layout(record)?;
    let all = |records: &[TargetRecord], rows: &Rows| {
        let of_one = |(index, record)| {
            let maps = arrays.head_maps.as_ref();
            Source { record, rows, index, layout: &layout, maps }.target()
        };
        records.iter().enumerate().map(of_one).collect::<Result<Vec<_>, Error>>()
    };
    let images = record.images.iter().enumerate();
    Ok(Explained {
        prompt: record.prompt.clone(),
        system: record.system.clone(),
        rendered_prompt: record.rendered_prompt.clone(),
        answer: record.answer.clone(),
        trace: record.trace.clone(),
        stop: record.stop.clone(),
        tokens: tokens(&record.tokens, &record.answer),
        pictures: {
            let asked = record.settings.orientation;
            record.pictures.iter().zip(pictures).map(|it| picture(it, asked)).collect()
        },
        images: images.map(|(index, of_one)| image(record, arrays, (index, of_one))).collect(),
        foil_texts: record.targets.iter().chain(&record.words).flat_map(foil_texts).collect(),
        targets: all(&record.targets, &arrays.targets)?,
        words: all(&record.words, &arrays.words)?,
        versus: record.versus.iter().enumerate().map(|pair| versus(arrays, pair)).collect(),
        missing: record.missing.clone(),
        regions: record.regions.clone(),
        boxes: record.boxes.clone(),
        reliance: record.reliance.clone(),
        certificate: record.certificate.clone(),
        other_model: record.other_model.as_ref().map(|other| OtherModel {
            model: other.model.clone(),
            dtype: other.dtype.clone(),
            seconds: other.seconds,
        }),
        sinks: record.sinks.clone(),
        generation: record.generation.clone(),
        settings: record.settings.clone(),
        model: record.model.clone(),
        timings: record.timings.clone(),
        peak_rss_bytes: record.peak_rss_bytes,
        notes: record.notes.clone(),
        program: record.program.clone(),
        date: record.date.clone(),
    })
}

fn foil_texts(target: &TargetRecord) -> impl Iterator<Item = (u32, String)> {
    let foils = target.foils.iter().flatten().flatten();
    foils.map(|foil| (foil.id, foil.token.clone()))
}

fn layout(record: &Record) -> Result<TokenLayout, Error> {
    let grids = record.images.iter().map(|image| {
        let ([start, end], [rows, columns]) = (image.positions, image.grid);
        (start..end, ImageGrid { image: image.picture, rows, columns })
    });
    Ok(TokenLayout::from_images(record.tokens.len(), grids)?)
}

/// Characters of the answer become bytes.
fn tokens(records: &[TokenRecord], answer: &str) -> Vec<Token> {
    let starts: Vec<usize> = answer.char_indices().map(|(byte, _)| byte).collect();
    let byte = |character: usize| starts.get(character).copied().unwrap_or(answer.len());
    let token = |record: &TokenRecord| Token {
        position: record.position,
        id: record.id,
        text: record.text.clone(),
        kind: record.kind,
        span: record.characters.map(|[start, end]| byte(start)..byte(end)),
    };
    records.iter().map(token).collect()
}

fn picture(
    (record, rgb): (&PictureRecord, RgbImage),
    asked: Orientation,
) -> ExplainedPicture<'static> {
    let sides = |[left, right, top, bottom]: [char; 4]| {
        Orientation::Sides(Sides { left, right, top, bottom })
    };
    ExplainedPicture {
        name: record.name.clone(),
        rgb: Cow::Owned(rgb),
        pixels_sha256: record.pixels_sha256.clone(),
        exif_orientation: record.exif_orientation,
        window: record.window,
        warnings: record.warnings.clone(),
        source: record.source.clone(),
        orientation: record.sides.map_or(asked, sides),
    }
}

fn image(
    record: &Record,
    arrays: &Arrays,
    (index, of_one): (usize, &ImageRecord),
) -> ExplainedImage {
    let outlines = record.pictures[of_one.picture].outlines.iter();
    let weights = arrays.region_weights.as_ref().map(|weights| {
        weights.outer_iter().map(|region| region.index_axis(Axis(0), index).to_owned()).collect()
    });
    ExplainedImage {
        picture: of_one.picture,
        positions: of_one.positions[0]..of_one.positions[1],
        grid: of_one.grid,
        region: of_one.region,
        outlines: outlines.map(outline).collect(),
        region_weights: weights.unwrap_or_default(),
    }
}

fn outline(record: &OutlineRecord) -> Outline {
    let ring = |ring: &Vec<f64>| ring.chunks_exact(2).map(|point| [point[0], point[1]]).collect();
    Outline { rings: record.rings.iter().map(ring).collect(), label: record.label.clone() }
}

/// A target or word in a folder.
struct Source<'a> {
    record: &'a TargetRecord,
    /// Those of all targets, or of all words.
    rows: &'a Rows,
    index: usize,
    layout: &'a TokenLayout,
    /// Attention and gradient-weighted attention of the heads of one layer.
    maps: Option<&'a [Array3<f32>; 2]>,
}

impl Source<'_> {
    fn target(&self) -> Result<ExplainedTarget<'static>, Error> {
        let record = self.record;
        let explanation = TargetExplanation::new(self.parts()?);
        Ok(ExplainedTarget {
            regions: record.regions.iter().map(region).collect(),
            boxes: record.boxes.iter().map(localization).collect(),
            reliance: record.reliance.as_ref().map(RelianceRecord::found),
            certificate: record.certificate.clone().map(Cow::Owned),
            control: record.control.as_ref().and_then(|control| self.control(control)),
            counterpart: record.counterpart.as_ref().and_then(|record| self.counterpart(record)),
            ..ExplainedTarget::new(Cow::Owned(explanation))
        })
    }

    fn parts(&self) -> Result<TargetParts, Error> {
        let (record, rows, index) = (self.record, self.rows, self.index);
        let row = |of: &Array2<f32>| of.row(index).to_owned();
        let [start, end] = record.positions;
        let ids = record.token_ids.iter().copied();
        let targets = (start..end).zip(ids).map(|(position, id)| Target::new(position, id));
        let targets = targets.collect::<Result<Vec<_>, _>>()?;
        let relevancy = Explanation::new(targets, row(&rows.relevancy), self.layout.clone())?;
        Ok(TargetParts {
            text: record.text.clone(),
            occurrence: record.occurrence,
            rule: record.rule,
            positions: start..end,
            token_ids: record.token_ids.clone(),
            scores: scores(record),
            foils: record.foils.as_ref().and_then(|foils| {
                foils.iter().map(|foils| FoilRecord::found(foils)).collect() // checked
            }),
            relevancy,
            raw_attention: row(&rows.raw_attention),
            rollout: row(&rows.rollout),
            layers: rows.layers.as_ref().map(|rows| rows.index_axis(Axis(0), index).to_owned()),
            methods: self.methods(),
            heads: record.by_head.as_ref().and_then(|heads| self.heads(heads)),
            finer: self.finer(),
            weights: record.token_weights.clone(),
        })
    }

    fn methods(&self) -> Vec<MethodRow> {
        let rows = self.rows.methods.outer_iter().enumerate();
        let row = |(method, rows): (usize, ArrayView2<'_, f32>)| {
            let stated = self.record.methods.get(method);
            match stated.and_then(|method| method.unavailable.clone()) {
                Some(reason) => Err(Unavailable::Stated { reason }),
                None => Ok(rows.row(self.index).to_owned()),
            }
        };
        rows.map(row).collect()
    }

    /// `None` for lists that are no tables.
    fn heads(&self, record: &ByHeadRecord) -> Option<HeadShares> {
        let maps = self.maps.zip(record.map_layer).map(|([attention, weighted], layer)| {
            let of = |maps: &Array3<f32>| maps.index_axis(Axis(0), self.index).to_owned();
            HeadMaps::new(layer, of(attention), of(weighted))
        });
        Some(
            HeadShares::new(
                table(&record.carried)?,
                table(&record.entropy)?,
                table(&record.image_share)?,
            )
            .with_maps(maps),
        )
    }

    fn finer(&self) -> Vec<PatchMap> {
        let Rows { patches, unpooled, pixels, .. } = self.rows;
        let images = [patches, pixels].into_iter().flatten().map(|maps| maps.len_of(Axis(1)));
        let map = |image: usize| {
            let of = |maps: &Array4<f32>| maps.slice(s![self.index, image, .., ..]).to_owned();
            PatchMap::new(
                unpooled.as_ref().map(of).unwrap_or_default(),
                patches.as_ref().map(of).unwrap_or_default(),
            )
            .with_pixels(pixels.as_ref().map(of))
        };
        (0..images.max().unwrap_or(0)).map(map).collect()
    }

    fn control(&self, record: &ControlRecord) -> Option<Cow<'static, TargetControl>> {
        let relevancy = self.rows.blank.as_ref()?.row(self.index).to_owned();
        let ControlRecord { image_sum, image_sum_blank, .. } = *record;
        Some(Cow::Owned(TargetControl { relevancy, image_sum, image_sum_blank }))
    }

    fn counterpart(&self, record: &CounterpartRecord) -> Option<Cow<'static, Counterpart>> {
        Some(Cow::Owned(Counterpart {
            relevancy: self.rows.other.as_ref()?.row(self.index).to_owned(),
            is_empty: record.is_empty,
            image_share: record.image_share,
            token_log_probabilities: record.token_log_probabilities.clone(),
        }))
    }
}

fn scores(record: &TargetRecord) -> Vec<Score> {
    let TargetRecord { token_logits, token_log_probabilities, runner_up_ids, .. } = record;
    let zipped = token_logits.iter().zip(token_log_probabilities).zip(runner_up_ids);
    let score = |((&logit, &log_probability), &runner_up): ((&f32, &f32), &u32)| {
        Score::new(logit, log_probability, runner_up)
    };
    zipped.map(score).collect()
}

fn table(lists: &[Vec<f32>]) -> Option<Array2<f32>> {
    let columns = lists.first().map_or(0, Vec::len);
    Array2::from_shape_vec((lists.len(), columns), lists.concat()).ok()
}

fn region(record: &RegionScoreRecord) -> (usize, RegionScore) {
    let RegionScoreRecord { image, name, mean, sum, share, density, area } = record.clone();
    (image, RegionScore { name, mean, sum, share, density, area: area.unwrap_or(f64::NAN) })
}

fn localization(record: &LocalizationRecord) -> Localization {
    Localization { share: record.share, iou: record.iou }
}

fn versus(arrays: &Arrays, (index, record): (usize, &VersusRecord)) -> Versus {
    let [one, other, contrast] = arrays.versus.each_ref().map(|rows| rows.row(index));
    Versus {
        positions: record.positions[0]..record.positions[1],
        phrase: phrase(&record.phrase, one),
        against: phrase(&record.against, other),
        contrast: contrast.to_owned(),
        image_share: record.image_share,
    }
}

fn phrase(record: &PhraseRecord, row: ArrayView1<'_, f32>) -> Phrase {
    Phrase {
        text: record.text.clone(),
        token_ids: record.token_ids.clone(),
        token_log_probabilities: record.token_log_probabilities.clone(),
        relevancy: row.to_owned(),
        is_empty: record.is_empty,
        image_share: record.image_share,
    }
}
