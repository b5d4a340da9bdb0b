//! Numbers and labels for people.

/// What is said of an explanation that [is empty](crate::TargetExplanation::is_empty), wherever a map or shares would stand.
pub const NOTHING_SPEAKS: &str = "nothing speaks for it";

/// A text, and which occurrence of it, where there are several: `clear (2)`.
pub(crate) fn label(text: &str, occurrence: Option<usize>) -> String {
    occurrence.map_or_else(|| text.to_owned(), |number| format!("{text} ({number})"))
}

/// A logarithm of a probability for people: `−11.317`, or `−5×10⁻⁴` where decimals would hide it.
pub fn log_probability_text(log_probability: f32) -> String {
    minus(number_text(log_probability))
}

/// A number with a minus sign in the place of a hyphen.
pub(crate) fn minus(number: String) -> String {
    number.replace('-', "−")
}

/// A number for people: three decimals, or one digit with a power of ten where they would hide it.
pub(crate) fn number_text(number: f32) -> String {
    let text = format!("{number:.0e}");
    let small = number != 0.0 && number.abs() < 0.001;
    match text.split_once('e').filter(|_| small) {
        None => format!("{number:.3}"),
        Some((digits, exponent)) => format!("{digits}×10{}", superscript(exponent)),
    }
}

fn superscript(exponent: &str) -> String {
    let raised = |character| match character {
        '-' => '⁻',
        '1' => '¹',
        '2' => '²',
        '3' => '³',
        // A digit: those from ⁴ on, and ⁰, stand together.
        digit => char::from_u32('⁰' as u32 + digit as u32 - '0' as u32).unwrap_or(digit),
    };
    exponent.chars().map(raised).collect()
}

/// The last part of a path, which alone may be shown to a reader of the page.
pub(crate) fn file_name(name: &str) -> String {
    let file = std::path::Path::new(name).file_name();
    file.map_or_else(|| name.to_owned(), |file| file.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_have_a_minus_sign_and_few_digits() {
        let found = [-11.3172, -5e-4, -3.2e-10, 0.0, -0.001].map(log_probability_text);
        assert_eq!(found, ["−11.317", "−5×10⁻⁴", "−3×10⁻¹⁰", "0.000", "−0.001"]);
    }
}
