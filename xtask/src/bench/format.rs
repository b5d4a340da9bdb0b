//! Numbers and tables as text.

use std::fmt::{self, Write};

/// What stands where nothing was measured.
pub(crate) const NOTHING: &str = "–";

/// Three digits: `0.0123`, `1.23`, `12.3`, `123`.
pub(crate) fn number(value: f64) -> String {
    // Its power of ten after rounding: 0.9996 is 1.00 and not 1.000.
    let rounded = format!("{value:.2e}");
    let power = rounded.split_once('e').and_then(|(_, power)| power.parse::<i32>().ok());
    let decimals = if value == 0.0 { 0 } else { (2 - power.unwrap_or(0)).clamp(0, 6) as usize };
    format!("{value:.decimals$}")
}

/// `8.6 GB`, powers of ten.
pub(crate) fn bytes(value: f64) -> String {
    let (divisor, unit) = match value {
        ..1e6 => (1e3, "kB"),
        1e6..1e9 => (1e6, "MB"),
        _ => (1e9, "GB"),
    };
    format!("{} {unit}", number(value / divisor))
}

/// `22 700`.
pub(crate) fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// `6.5 times`.
pub(crate) fn times(value: f64) -> String {
    format!("{} times", number(value))
}

/// `83 %`.
pub(crate) fn percent(value: f64) -> String {
    format!("{:.0} %", 100.0 * value)
}

/// A cell: the number in its form, or that there is none.
pub(crate) fn cell(value: Option<f64>, form: fn(f64) -> String) -> String {
    value.map_or_else(|| NOTHING.to_owned(), form)
}

/// A table in Markdown; the first column is text, the others are numbers.
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Self {
        Self { header: header.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<String>) {
        debug_assert_eq!(row.len(), self.header.len());
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let mut line = String::from("|");
            for cell in cells {
                let _ = write!(line, " {} |", cell.replace('|', "\\|").replace('\n', " "));
            }
            line
        };
        writeln!(f, "{}", line(&mut self.header.iter().copied()))?;
        writeln!(f, "|---|{}", "---:|".repeat(self.header.len().saturating_sub(1)))?;
        for row in &self.rows {
            writeln!(f, "{}", line(&mut row.iter().map(String::as_str)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let expected = ["0.0123", "1.00", "1.23", "12.3", "123", "1234", "0"];
        let found = [0.0123, 0.9996, 1.2345, 12.345, 123.4, 1234.0, 0.0].map(number);
        assert_eq!(found, expected);
    }

    #[test]
    fn units_are_chosen() {
        assert_eq!([4.2e4, 1.5e6, 8.6e9].map(bytes), ["42.0 kB", "1.50 MB", "8.60 GB"]);
        assert_eq!(
            [7.0, 123.0, 2800.0, 1_234_567.0].map(count),
            ["7", "123", "2 800", "1 234 567"]
        );
        assert_eq!((times(6.54), percent(0.826)), ("6.54 times".to_owned(), "83 %".to_owned()));
        assert_eq!(cell(None, number), NOTHING);
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["", "s"]);
        table.push(vec!["a|b".to_owned(), "1".to_owned()]);
        assert_eq!(table.to_string(), "|  | s |\n|---|---:|\n| a\\|b | 1 |\n");
    }
}
