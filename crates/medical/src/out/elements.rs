//! Short spellings for the elements of a data set. The representation of a value (PS3.5 section 6.2) is the dictionary's.

use dicom_core::{
    DataElement, PrimitiveValue, Tag, VR,
    dictionary::{DataDictionary, DataDictionaryEntry},
    value::DataSetSequence,
};
use dicom_dictionary_std::{StandardDataDictionary, tags};
use dicom_object::{InMemDicomObject, mem::InMemElement};

pub(crate) type Object = InMemDicomObject;

/// A concept as DICOM spells it (PS3.3 section 8.8): value, scheme, meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Code(pub(crate) &'static str, pub(crate) &'static str, pub(crate) &'static str);

impl Code {
    /// The item of a code sequence.
    pub(crate) fn item(self) -> Object {
        let mut item = Object::new_empty();
        item.text(tags::CODE_VALUE, self.0);
        item.text(tags::CODING_SCHEME_DESIGNATOR, self.1);
        item.text(tags::CODE_MEANING, self.2);
        item
    }
}

/// Puts values into a data set.
pub(crate) trait Put {
    /// An element without a value: Type 2 (PS3.5 section 7.4).
    fn empty(&mut self, tag: Tag);
    /// One text, cut to what its representation may hold.
    fn text(&mut self, tag: Tag, value: &str);
    /// Several texts.
    fn texts(&mut self, tag: Tag, values: &[&str]);
    /// One number of 16 bits.
    fn short(&mut self, tag: Tag, value: u16);
    /// Numbers written in decimal digits.
    fn decimals(&mut self, tag: Tag, values: &[f64]);
    /// One number of 64 bits.
    fn double(&mut self, tag: Tag, value: f64);
    /// A sequence.
    fn items(&mut self, tag: Tag, items: Vec<Object>);
    /// A code sequence with one item.
    fn code(&mut self, tag: Tag, code: Code);
    /// A value of any other kind.
    fn value(&mut self, tag: Tag, vr: VR, value: PrimitiveValue);
}

impl Put for Object {
    fn empty(&mut self, tag: Tag) {
        self.value(tag, vr(tag), PrimitiveValue::Empty);
    }

    fn text(&mut self, tag: Tag, value: &str) {
        let vr = vr(tag);
        self.value(tag, vr, PrimitiveValue::from(clean(vr, value)));
    }

    fn texts(&mut self, tag: Tag, values: &[&str]) {
        let vr = vr(tag);
        let values: Vec<_> = values.iter().map(|value| clean(vr, value)).collect();
        self.value(tag, vr, PrimitiveValue::Strs(values.into()));
    }

    fn short(&mut self, tag: Tag, value: u16) {
        self.value(tag, VR::US, PrimitiveValue::from(value));
    }

    fn decimals(&mut self, tag: Tag, values: &[f64]) {
        let values: Vec<_> = values.iter().map(|value| decimal(*value)).collect();
        self.value(tag, VR::DS, PrimitiveValue::Strs(values.into()));
    }

    fn double(&mut self, tag: Tag, value: f64) {
        self.value(tag, VR::FD, PrimitiveValue::from(value));
    }

    fn items(&mut self, tag: Tag, items: Vec<Object>) {
        self.put(InMemElement::new(tag, VR::SQ, DataSetSequence::from(items)));
    }

    fn code(&mut self, tag: Tag, code: Code) {
        self.items(tag, vec![code.item()]);
    }

    fn value(&mut self, tag: Tag, vr: VR, value: PrimitiveValue) {
        self.put(DataElement::new(tag, vr, value));
    }
}

/// The representation that the dictionary (PS3.6) states for this tag.
fn vr(tag: Tag) -> VR {
    StandardDataDictionary.by_tag(tag).map_or(VR::UN, |entry| entry.vr().relaxed())
}

/// A text without what its representation may not hold (PS3.5 table 6.2-1): control characters, the backslash where it would
/// divide values, and more characters than fit.
pub(crate) fn clean(vr: VR, text: &str) -> String {
    let long = matches!(vr, VR::ST | VR::LT | VR::UT);
    let kept = text.chars().map(|letter| match letter {
        '\n' | '\r' if long => letter,
        letter if letter.is_control() => ' ',
        '\\' if !long => '/',
        letter => letter,
    });
    let most = match vr {
        VR::SH | VR::CS | VR::AE | VR::DS => 16,
        // Three groups of 64 characters and two signs between them.
        VR::PN => 194,
        VR::ST => 1024,
        VR::LT => 10_240,
        VR::UT | VR::UC => usize::MAX,
        _ => 64,
    };
    kept.take(most).collect()
}

/// A number in at most 16 characters (DS), as exactly as they allow.
pub(crate) fn decimal(value: f64) -> String {
    let plain = format!("{value}");
    if plain.len() <= 16 {
        return plain;
    }
    let size = value.abs();
    let fixed = (1e-4..1e10).contains(&size);
    let digits = (0..16).rev();
    let mut spelled =
        digits.map(
            |digits| if fixed { format!("{value:.digits$}") } else { format!("{value:.digits$e}") },
        );
    let text = spelled.find(|text| text.len() <= 16).unwrap_or_else(|| "0".to_owned());
    if fixed && text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_fits_and_keeps_its_value() {
        for value in [0.1, -158.135_803, 1.0 / 3.0, -1e-9 / 3.0, 6.02e23 / 7.0, 0.0, 12.5] {
            let text = decimal(value);
            assert!(text.len() <= 16, "{text}");
            let back: f64 = text.parse().unwrap();
            assert!((back - value).abs() <= value.abs() * 1e-8, "{value} {text}");
        }
    }

    #[test]
    fn a_decimal_shows_no_digits_of_the_machine() {
        assert_eq!(decimal(-10.149_999_999_999_999), "-10.15");
        assert_eq!(decimal(0.1 + 0.2), "0.3");
        assert_eq!(decimal(1e300).parse(), Ok(1e300));
    }

    #[test]
    fn a_text_holds_no_second_value() {
        assert_eq!(clean(VR::LO, "a\\b\u{7}c"), "a/b c");
        assert_eq!(clean(VR::UT, "a\\b\nc"), "a\\b\nc");
        assert_eq!(clean(VR::SH, &"ü".repeat(40)).chars().count(), 16);
    }
}
