//! The area of a map above a quantile as a Segmentation (PS3.3 section A.51): one bit for each pixel of the source.

use dicom_dictionary_std::{tags, uids};

use super::{
    Error, FrameMap, Target,
    common::{ATTENTION, Batch, Kind, put_bytes, put_references},
    elements::{Code, Object, Put},
    frames::{BY_PLACE, Dimension, frame, put_content, put_dimensions, put_plane, put_size},
    grid::{Cover, quantile},
    groups::{Group, check_size},
    source::{Source, string},
};

/// How the area comes from pictures (PS3.16 CID 7203).
const SEGMENTED: Code = Code("113076", "DCM", "Segmentation");

/// What kind of thing the area is (PS3.16 CID 7150): a place, no part of the body and no finding.
const CATEGORY: Code = Code("309825002", "SCT", "Spatial and Relational Concept");

const BY_SEGMENT: Dimension = Dimension(
    tags::REFERENCED_SEGMENT_NUMBER,
    tags::SEGMENT_IDENTIFICATION_SEQUENCE,
    "Referenced Segment Number",
);

/// The areas of all targets over one group of pictures.
pub(super) struct Segmentation<'a> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) group: &'a Group,
    /// The group's index, from zero on.
    pub(super) index: usize,
}

/// A target's area in an object.
struct Segment<'a> {
    target: usize,
    words: &'a Target,
    /// The value that the area lies above.
    threshold: f32,
    /// Places in the group and maps of the frames that hold any of it.
    frames: Vec<(usize, &'a FrameMap)>,
}

/// Where the report finds a target's area.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) target: usize,
    pub(super) group: usize,
    pub(super) instance: String,
    /// Its number in the object, from one on.
    pub(super) segment: u16,
    /// Sources that hold any of it.
    pub(super) sources: Vec<usize>,
}

/// An object, with the areas in it.
pub(super) type Segmented = (Object, Vec<Placed>);

impl<'a> Segmentation<'a> {
    fn kind(&self) -> Kind<'static> {
        Kind {
            class: uids::SEGMENTATION_STORAGE,
            modality: "SEG",
            series: (2, "Relevancy area"),
            number: self.index + 1,
        }
    }

    /// The object; or why there is none.
    pub(super) fn object(&self) -> Result<Result<Segmented, String>, Error> {
        let segments = self.segments();
        let count = segments.iter().map(|segment| segment.frames.len()).sum();
        if count == 0 {
            let reason = "no map over these pictures rises above its quantile: it is even, or lies over other pictures";
            return Ok(Err(reason.to_owned()));
        }
        let sources = &self.batch.sources;
        let first = &sources[self.group.members[0]];
        check_size("the segmentation", count, first)?;
        let mut object = self.batch.object(&self.kind())?;
        let mut shared = Object::new_empty();
        self.put_geometry(first, &mut object, &mut shared);
        put_size(first, count, &mut object);
        self.put_image(&segments, &mut object);
        let used: Vec<_> = self.group.members.iter().map(|member| &sources[*member]).collect();
        put_references(&used, &sources[0].study, &mut object);
        object.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
        let frames = self.frames(&segments);
        object.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames);
        put_bytes(tags::PIXEL_DATA, bits(&segments, sources), &mut object);
        Ok(Ok((object, self.placed(&segments))))
    }

    /// Targets that have an area here, in order: their numbers are 1, 2, ….
    fn segments(&self) -> Vec<Segment<'a>> {
        let targets = self.batch.findings.targets.iter().enumerate();
        let segment = |(target, words): (usize, &'a Target)| {
            let threshold = threshold(words, self.batch.wanted.quantile)?;
            let mut frames = self.group.maps(&words.map.frames);
            frames.retain(|(_, map)| {
                Cover::new(map, &self.batch.sources[map.source]).reaches_above(threshold)
            });
            (!frames.is_empty()).then_some(Segment { target, words, threshold, frames })
        };
        targets.filter_map(segment).collect()
    }

    /// A picture that does not say where it lies has no frame of reference and no planes: the source that its frames were
    /// derived from stands in their place (A.51.3, A.51.5).
    fn put_geometry(&self, first: &Source, object: &mut Object, shared: &mut Object) {
        let uid = self.batch.uids.named("segment dimensions");
        if let Ok(plane) = &first.plane {
            put_plane(plane, object, shared);
            put_dimensions(&uid, &[BY_SEGMENT, BY_PLACE], object);
            return;
        }
        put_dimensions(&uid, &[BY_SEGMENT], object);
        let orientation = string(&first.header, tags::PATIENT_ORIENTATION).unwrap_or_default();
        let values: Vec<_> = orientation.split('\\').take(2).collect();
        object.texts(tags::PATIENT_ORIENTATION, &values);
    }

    /// Segmentation Image (C.8.20.2).
    fn put_image(&self, segments: &[Segment<'_>], object: &mut Object) {
        object.texts(tags::IMAGE_TYPE, &["DERIVED", "PRIMARY"]);
        object.short(tags::BITS_ALLOCATED, 1);
        object.short(tags::BITS_STORED, 1);
        object.short(tags::HIGH_BIT, 0);
        object.short(tags::PIXEL_REPRESENTATION, 0);
        object.text(tags::SEGMENTATION_TYPE, "BINARY");
        // Areas of different words may share pixels.
        object.text(tags::SEGMENTS_OVERLAP, if segments.len() > 1 { "UNDEFINED" } else { "NO" });
        let items = segments.iter().zip(1..).map(|(segment, number)| self.segment(segment, number));
        object.items(tags::SEGMENT_SEQUENCE, items.collect());
        let what = format!(
            "Relevancy above its quantile {} and a tenth of its largest value",
            self.batch.wanted.quantile
        );
        put_content(self.batch, "RELEVANCY_AREA", &what, object);
    }

    fn segment(&self, segment: &Segment<'_>, number: u16) -> Object {
        let algorithm = &self.batch.findings.algorithm;
        let Segment { words: Target { words, .. }, threshold, target, .. } = segment;
        let mut item = Object::new_empty();
        item.short(tags::SEGMENT_NUMBER, number);
        item.text(tags::SEGMENT_LABEL, &format!("Model attention: {words}"));
        let about = format!(
            "where the model looked for {words:?}: relevancy above {threshold:e}, the quantile {} of its map and a tenth of its largest value; no outline of a finding",
            self.batch.wanted.quantile
        );
        item.text(tags::SEGMENT_DESCRIPTION, &about);
        item.text(tags::SEGMENT_ALGORITHM_TYPE, "AUTOMATIC");
        item.text(tags::SEGMENT_ALGORITHM_NAME, &algorithm.name);
        item.items(tags::SEGMENTATION_ALGORITHM_IDENTIFICATION_SEQUENCE, vec![self.algorithm()]);
        item.code(tags::SEGMENTED_PROPERTY_CATEGORY_CODE_SEQUENCE, CATEGORY);
        item.code(tags::SEGMENTED_PROPERTY_TYPE_CODE_SEQUENCE, ATTENTION);
        item.text(tags::TRACKING_ID, words);
        item.text(tags::TRACKING_UID, &self.batch.tracking(*target, self.index));
        item
    }

    /// Algorithm Identification (PS3.3 table 10-19).
    fn algorithm(&self) -> Object {
        let algorithm = &self.batch.findings.algorithm;
        let mut item = Object::new_empty();
        let family = Code("123110", "DCM", "Artificial Intelligence");
        item.code(tags::ALGORITHM_FAMILY_CODE_SEQUENCE, family);
        item.text(tags::ALGORITHM_NAME, &algorithm.name);
        item.text(tags::ALGORITHM_VERSION, &algorithm.version);
        let model = format!("model = {}", self.batch.findings.model);
        let parameters: Vec<_> = [model].into_iter().chain(algorithm.parameters.clone()).collect();
        item.text(tags::ALGORITHM_PARAMETERS, &parameters.join("\n"));
        item
    }

    fn frames(&self, segments: &[Segment<'_>]) -> Vec<Object> {
        let mut frames = Vec::new();
        for (segment, number) in segments.iter().zip(1u16..) {
            for (place, map) in &segment.frames {
                let source = &self.batch.sources[map.source];
                let indices = [u32::from(number), *place as u32 + 1];
                let dimensions = if source.plane.is_ok() { 2 } else { 1 };
                let mut item = frame(source, SEGMENTED, &indices[..dimensions]);
                let mut identified = Object::new_empty();
                identified.short(tags::REFERENCED_SEGMENT_NUMBER, number);
                item.items(tags::SEGMENT_IDENTIFICATION_SEQUENCE, vec![identified]);
                frames.push(item);
            }
        }
        frames
    }

    fn placed(&self, segments: &[Segment<'_>]) -> Vec<Placed> {
        let instance = self.batch.instance(&self.kind());
        let placed = |(segment, number): (&Segment<'_>, u16)| Placed {
            target: segment.target,
            group: self.index,
            instance: instance.clone(),
            segment: number,
            sources: segment.frames.iter().map(|(_, map)| map.source).collect(),
        };
        segments.iter().zip(1u16..).map(placed).collect()
    }
}

/// The part of the largest value that an area must reach at least: where nearly all lies in a few cells, a quantile alone would take in what
/// is next to nothing.
const LEAST: f32 = 0.1;

/// The value that a target's area lies above: a quantile of all its cells, and at least a tenth of the largest.
pub(super) fn threshold(target: &Target, share: f64) -> Option<f32> {
    let cells = || target.map.frames.iter().flat_map(|frame| frame.values.iter().copied());
    let largest = cells().reduce(f32::max)?;
    Some(quantile(cells(), share).max(LEAST * largest))
}

/// One bit for each pixel, the first pixel in the lowest bit, frames without a gap (PS3.5 section 8.1.1 and annex D).
fn bits(segments: &[Segment<'_>], sources: &[Source]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0usize;
    for segment in segments {
        for (_, map) in &segment.frames {
            for value in Cover::new(map, &sources[map.source]).pixels() {
                if at.is_multiple_of(8) {
                    bytes.push(0);
                }
                let inside = value.is_some_and(|value| value > segment.threshold);
                bytes[at / 8] |= u8::from(inside) << (at % 8);
                at += 1;
            }
        }
    }
    bytes
}
