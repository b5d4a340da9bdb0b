//! Overlays as a Secondary Capture (PS3.3 section A.8), which every viewer shows. The caution is in the pixels.

use dicom_core::{PrimitiveValue, VR};
use dicom_dictionary_std::{tags, uids};

use super::{
    Error, Overlay, Target,
    banner::{Banner, Picture},
    common::{Batch, Kind, put_bytes, put_references, reference},
    elements::{Object, Put},
    frames::SOURCE_IMAGE,
    source::Source,
};

/// The most pixels of one object.
const MOST_PIXELS: u64 = 1 << 27;

/// Overlays of one size, with what each explains.
pub(super) struct Capture<'a> {
    pub(super) overlays: Vec<(&'a Target, &'a Overlay)>,
}

/// Overlays by size: an object's frames have one.
pub(super) fn captures(targets: &[Target]) -> Vec<Capture<'_>> {
    let mut found: Vec<Capture<'_>> = Vec::new();
    for target in targets {
        for overlay in &target.overlays {
            let size = (overlay.width, overlay.height);
            let alike = found.iter_mut().find(|capture| {
                let first = capture.overlays[0].1;
                (first.width, first.height) == size
            });
            match alike {
                Some(capture) => capture.overlays.push((target, overlay)),
                None => found.push(Capture { overlays: vec![(target, overlay)] }),
            }
        }
    }
    found
}

impl Capture<'_> {
    /// The object: one picture, or a Multi-frame True Color one (A.8.5) of several.
    pub(super) fn object(&self, batch: &Batch<'_>, number: usize) -> Result<Object, Error> {
        let first = self.overlays[0].1;
        let found = self.overlays.len() as u64 * u64::from(first.width) * u64::from(first.height);
        if found > MOST_PIXELS {
            return Err(Error::TooLarge { what: "the capture", found, most: MOST_PIXELS });
        }
        let single = self.overlays.len() == 1;
        let class = if single {
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE
        } else {
            uids::MULTI_FRAME_TRUE_COLOR_SECONDARY_CAPTURE_IMAGE_STORAGE
        };
        let kind = Kind { class, modality: "OT", series: (0, "Relevancy overlay"), number };
        let mut object = batch.object(&kind)?;
        self.put_sources(batch, &mut object);
        self.put_image(batch, &mut object);
        if !single {
            self.put_pages(&mut object);
        }
        self.put_pixels(&mut object);
        Ok(object)
    }

    /// SC Equipment (C.8.6.1) and General Image (C.7.6.1).
    fn put_image(&self, batch: &Batch<'_>, object: &mut Object) {
        object.text(tags::CONVERSION_TYPE, "WSD");
        object.texts(tags::IMAGE_TYPE, &["DERIVED", "SECONDARY"]);
        object.empty(tags::PATIENT_ORIENTATION);
        object.empty(tags::LATERALITY);
        object.text(tags::BURNED_IN_ANNOTATION, "YES");
        object.text(tags::RECOGNIZABLE_VISUAL_FEATURES, "NO");
        object.text(tags::LOSSY_IMAGE_COMPRESSION, "00");
        let words = self.overlays.iter().map(|(target, _)| format!("{:?}", target.words));
        let mut words: Vec<_> = words.collect();
        words.dedup();
        let what = batch.derivation("relevancy drawn over the picture");
        object.text(tags::DERIVATION_DESCRIPTION, &format!("{what}. Words: {}", words.join(", ")));
    }

    /// General Reference (C.12.4) and Common Instance Reference (C.12.2).
    fn put_sources(&self, batch: &Batch<'_>, object: &mut Object) {
        let mut indices: Vec<_> = self.overlays.iter().map(|(_, overlay)| overlay.source).collect();
        indices.sort_unstable();
        indices.dedup();
        let sources: Vec<&Source> = indices.iter().map(|index| &batch.sources[*index]).collect();
        let item = |source: &&Source| {
            let mut item = reference(source);
            item.code(tags::PURPOSE_OF_REFERENCE_CODE_SEQUENCE, SOURCE_IMAGE);
            item
        };
        object.items(tags::SOURCE_IMAGE_SEQUENCE, sources.iter().map(item).collect());
        put_references(&sources, &batch.sources[0].study, object);
    }

    /// Multi-frame (C.7.6.6) and SC Multi-frame Vector (C.8.6.4): pages, each with its words.
    fn put_pages(&self, object: &mut Object) {
        let count = self.overlays.len();
        object.text(tags::NUMBER_OF_FRAMES, &count.to_string());
        let pointers = [tags::PAGE_NUMBER_VECTOR, tags::FRAME_LABEL_VECTOR];
        let pointers = PrimitiveValue::Tags(pointers.to_vec().into());
        object.value(tags::FRAME_INCREMENT_POINTER, VR::AT, pointers);
        let pages: Vec<_> = (1..=count).map(|page| page.to_string()).collect();
        let pages: Vec<_> = pages.iter().map(String::as_str).collect();
        object.texts(tags::PAGE_NUMBER_VECTOR, &pages);
        let labels: Vec<_> =
            self.overlays.iter().map(|(target, _)| target.words.as_str()).collect();
        object.texts(tags::FRAME_LABEL_VECTOR, &labels);
    }

    /// Image Pixel (C.7.6.3).
    fn put_pixels(&self, object: &mut Object) {
        let draw = |(target, overlay): &(&Target, &Overlay)| {
            let Overlay { width, height, rgb, .. } = overlay;
            Banner { width: *width, height: *height, rgb, words: &target.words }.drawn()
        };
        let pictures: Vec<Picture> = self.overlays.iter().map(draw).collect();
        object.short(tags::SAMPLES_PER_PIXEL, 3);
        object.text(tags::PHOTOMETRIC_INTERPRETATION, "RGB");
        object.short(tags::PLANAR_CONFIGURATION, 0);
        object.short(tags::ROWS, pictures[0].height as u16);
        object.short(tags::COLUMNS, pictures[0].width as u16);
        object.short(tags::BITS_ALLOCATED, 8);
        object.short(tags::BITS_STORED, 8);
        object.short(tags::HIGH_BIT, 7);
        object.short(tags::PIXEL_REPRESENTATION, 0);
        let bytes = pictures.into_iter().flat_map(|picture| picture.rgb).collect();
        put_bytes(tags::PIXEL_DATA, bytes, object);
    }
}
