//! What transformers adds to Jinja for chat templates: functions, a filter, a tag.

use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter, Serializer};

/// Adds `raise_exception`, `strftime_now` and Python's way of `tojson`.
pub(super) fn add(env: &mut Environment<'_>) {
    env.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(invalid(message))
    });
    env.add_function("strftime_now", |format: String| strftime(&format, seconds_now()));
    env.add_filter("tojson", to_json);
}

/// transformers marks the model's words with `{% generation %}`; for a prompt the tags do nothing.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let Some(end) = rest[start..].find("%}").map(|length| start + length + 2) else { break };
        out.push_str(&rest[..start]);
        let tag = &rest[start..end];
        match tag[2..tag.len() - 2].trim_matches(['-', '+', ' ']) {
            "generation" => out.push_str(&tag.replace("generation", "if true")),
            "endgeneration" => out.push_str(&tag.replace("endgeneration", "endif")),
            _ => out.push_str(tag),
        }
        rest = &rest[end..];
    }
    out + rest
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// `json.dumps(value, ensure_ascii=False, indent=indent)`.
fn to_json(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    options.assert_all_used()?;
    let mut bytes = Vec::new();
    let done = match indent.map(|n| " ".repeat(n.min(16))) {
        Some(spaces) => {
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut bytes, Spaced)),
    };
    done.map_err(|error| invalid(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| invalid(error.to_string()))?;
    Ok(Value::from_safe_string(text))
}

/// Python's separators: `, ` and `: `.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        CompactFormatter.begin_object_value(writer)?;
        writer.write_all(b" ")
    }
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The usual directives of `strftime`, in UTC (Python uses local time); others are an error.
fn strftime(format: &str, seconds: u64) -> Result<String, Error> {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let name = letters.next().unwrap_or(' ');
        let unknown = || invalid(format!("strftime_now: unknown directive %{name}"));
        out += &directive(name, seconds).ok_or_else(unknown)?;
    }
    Ok(out)
}

fn directive(name: char, seconds: u64) -> Option<String> {
    let days = seconds / 86_400;
    let (year, month, day) = civil_date(days);
    let hour = seconds / 3600 % 24;
    let (month_name, day_name) = (MONTHS[month as usize - 1], DAYS[(days as usize + 3) % 7]);
    Some(match name {
        'Y' => format!("{year}"),
        'y' => format!("{:02}", year % 100),
        'm' => format!("{month:02}"),
        'd' => format!("{day:02}"),
        'H' => format!("{hour:02}"),
        'I' => format!("{:02}", (hour + 11) % 12 + 1),
        'M' => format!("{:02}", seconds / 60 % 60),
        'S' => format!("{:02}", seconds % 60),
        'p' => if hour < 12 { "AM" } else { "PM" }.into(),
        'B' => month_name.into(),
        'b' => month_name[..3].into(),
        'A' => day_name.into(),
        'a' => day_name[..3].into(),
        '%' => "%".into(),
        _ => return None,
    })
}

/// Year, month (1–12) and day of a count of days since 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March, so a leap day ends its year; 1970-01-01 is day 719 468 of that count.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097); // 400 years each
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100); // of the year that starts in March
    let month = (5 * day + 2) / 153; // 0 = March
    let month_day = day - (153 * month + 2) / 5 + 1;
    let civil_month = if month < 10 { month + 3 } else { month - 9 };
    (400 * era + year + u64::from(civil_month <= 2), civil_month, month_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let format = "%Y-%m-%d %H:%M:%S %a %b %I%p %y %A %B %%";
        // `date -u -d @1709210096`: the 29th of February of a leap year.
        let expected = "2024-02-29 12:34:56 Thu Feb 12PM 24 Thursday February %";
        assert_eq!(strftime(format, 1_709_210_096).unwrap(), expected);
        assert_eq!(strftime("%d %b %Y", 0).unwrap(), "01 Jan 1970");
        assert!(strftime("%q", 0).is_err());
    }
}
