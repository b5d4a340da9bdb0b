//! The values of a map as a Parametric Map (PS3.3 section A.75): 32-bit floats in the source's grid, as they are.

use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};

use super::{
    Error, FrameMap, Target,
    common::{ATTENTION, Batch, Kind, put_references},
    elements::{Code, Object, Put},
    frames::{BY_PLACE, frame, put_content, put_dimensions, put_plane, put_size},
    grid::Cover,
    groups::{Group, check_size},
    source::Source,
};

/// How maps come from pictures (PS3.16 CID 7203).
const CALCULATED: Code = Code("112187", "DCM", "Unspecified method of calculation");

/// What image and frames are (C.8.32.2). The fourth value's terms name physical contrasts alone; none of them is relevancy.
const IMAGE_TYPE: [&str; 4] = ["DERIVED", "PRIMARY", "VOLUME", "NONE"];

/// A target's map over the slices of a volume.
pub(super) struct ParametricMap<'a> {
    pub(super) batch: &'a Batch<'a>,
    pub(super) target: &'a Target,
    pub(super) group: &'a Group,
    /// The object's number in its series, from one on.
    pub(super) number: usize,
}

impl ParametricMap<'_> {
    /// The object; or why there is none.
    pub(super) fn object(&self) -> Result<Result<Object, String>, Error> {
        if let Some(reason) = &self.group.flat {
            return Ok(Err(format!("a parametric map needs to lie in the patient, and {reason}")));
        }
        let maps = self.group.maps(&self.target.map.frames);
        let sources = &self.batch.sources;
        let first = &sources[self.group.members[0]];
        let Ok(plane) = &first.plane else { return Ok(Err("it has no plane".to_owned())) };
        check_size("the parametric map", maps.len(), first)?;
        let mut object = self.batch.object(&Kind {
            class: uids::PARAMETRIC_MAP_STORAGE,
            modality: "OT",
            series: (1, "Relevancy map"),
            number: self.number,
        })?;
        let pixels: Vec<f32> =
            maps.iter().flat_map(|(_, map)| pixels(map, &sources[map.source])).collect();
        let mut shared = self.shared(&pixels);
        put_plane(plane, &mut object, &mut shared);
        put_dimensions(&self.batch.uids.named("map dimensions"), &[BY_PLACE], &mut object);
        put_size(first, maps.len(), &mut object);
        self.put_image(&mut object);
        let used: Vec<_> = maps.iter().map(|(_, map)| &sources[map.source]).collect();
        put_references(&used, &sources[0].study, &mut object);
        object.items(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, vec![shared]);
        let places = 1u32..;
        let frames =
            used.iter().zip(places).map(|(source, place)| frame(source, CALCULATED, &[place]));
        object.items(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frames.collect());
        object.value(tags::FLOAT_PIXEL_DATA, VR::OF, PrimitiveValue::F32(pixels.into()));
        Ok(Ok(object))
    }

    /// Parametric Map Image (C.8.32.2), Acquisition Context (C.7.6.14).
    fn put_image(&self, object: &mut Object) {
        object.texts(tags::IMAGE_TYPE, &IMAGE_TYPE);
        object.short(tags::BITS_ALLOCATED, 32);
        object.text(tags::RECOGNIZABLE_VISUAL_FEATURES, "NO");
        object.text(tags::PIXEL_PRESENTATION, "MONOCHROME");
        object.items(tags::ACQUISITION_CONTEXT_SEQUENCE, Vec::new());
        let what = format!("Relevancy of {:?}", self.target.words);
        put_content(self.batch, "RELEVANCY", &what, object);
    }

    /// What all frames share.
    fn shared(&self, pixels: &[f32]) -> Object {
        let mut shared = Object::new_empty();
        let mut kind = Object::new_empty();
        kind.texts(tags::FRAME_TYPE, &IMAGE_TYPE);
        shared.items(tags::PARAMETRIC_MAP_FRAME_TYPE_SEQUENCE, vec![kind]);
        shared.items(tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE, vec![identity()]);
        let range = range(pixels);
        shared.items(tags::FRAME_VOILUT_SEQUENCE, vec![window(range)]);
        shared.items(tags::REAL_WORLD_VALUE_MAPPING_SEQUENCE, vec![self.mapping(range)]);
        shared.items(tags::FRAME_ANATOMY_SEQUENCE, vec![anatomy()]);
        shared
    }

    /// Real World Value Mapping (C.7.6.16.2.11): the values are relevancy, a number without unit.
    fn mapping(&self, [least, most]: [f32; 2]) -> Object {
        let mut quantity = Object::new_empty();
        quantity.text(tags::VALUE_TYPE, "CODE");
        quantity.code(tags::CONCEPT_NAME_CODE_SEQUENCE, Code("246205007", "SCT", "Quantity"));
        quantity.code(tags::CONCEPT_CODE_SEQUENCE, ATTENTION);
        let mut mapping = Object::new_empty();
        mapping.text(tags::LUT_LABEL, "RELEVANCY");
        mapping.text(tags::LUT_EXPLANATION, &format!("Relevancy of {:?}", self.target.words));
        mapping.code(tags::MEASUREMENT_UNITS_CODE_SEQUENCE, Code("1", "UCUM", "no units"));
        mapping.double(tags::DOUBLE_FLOAT_REAL_WORLD_VALUE_FIRST_VALUE_MAPPED, least.into());
        mapping.double(tags::DOUBLE_FLOAT_REAL_WORLD_VALUE_LAST_VALUE_MAPPED, most.into());
        mapping.double(tags::REAL_WORLD_VALUE_INTERCEPT, 0.0);
        mapping.double(tags::REAL_WORLD_VALUE_SLOPE, 1.0);
        mapping.items(tags::QUANTITY_DEFINITION_SEQUENCE, vec![quantity]);
        mapping
    }
}

/// Where there is no map, nothing is relevant.
fn pixels(map: &FrameMap, source: &Source) -> Vec<f32> {
    Cover::new(map, source).pixels().map(|value| value.unwrap_or(0.0)).collect()
}

fn range(pixels: &[f32]) -> [f32; 2] {
    let least = pixels.iter().copied().fold(f32::INFINITY, f32::min);
    [least, pixels.iter().copied().fold(f32::NEG_INFINITY, f32::max)]
}

/// Identity Pixel Value Transformation (C.7.6.16.2.9b).
fn identity() -> Object {
    let mut item = Object::new_empty();
    item.decimals(tags::RESCALE_INTERCEPT, &[0.0]);
    item.decimals(tags::RESCALE_SLOPE, &[1.0]);
    item.text(tags::RESCALE_TYPE, "US");
    item
}

/// Frame VOI LUT With LUT (C.7.6.16.2.10b): from the least value to the largest, whatever their size.
fn window([least, most]: [f32; 2]) -> Object {
    let [least, most] = [least, most].map(f64::from);
    let width = if most > least { most - least } else { 1.0 };
    let mut item = Object::new_empty();
    item.decimals(tags::WINDOW_CENTER, &[f64::midpoint(least, most)]);
    item.decimals(tags::WINDOW_WIDTH, &[width]);
    // The plain window function takes a width below one (C.11.2.1.3.2).
    item.text(tags::VOILUT_FUNCTION, "LINEAR_EXACT");
    item
}

/// Frame Anatomy (C.7.6.16.2.8): which part of the body is not ours to say.
fn anatomy() -> Object {
    let mut item = Object::new_empty();
    item.text(tags::FRAME_LATERALITY, "U");
    let body = Code("38266002", "SCT", "Entire body");
    item.code(tags::ANATOMIC_REGION_SEQUENCE, body);
    item
}
