//! Sizes of memory on the command line.

/// Bytes, with an optional unit of powers of 1000 or, with an i, of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 6] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
    ];
    let unit = UNITS.iter().find_map(|(name, bytes)| Some((text.strip_suffix(name)?, *bytes)));
    let (number, bytes) = unit.unwrap_or((text, 1));
    let number: f64 = number
        .trim()
        .parse()
        .map_err(|_| "give bytes, or a size such as 800MB or 2GiB".to_owned())?;
    if number.is_finite() && 0.0 < number {
        Ok((number * bytes as f64) as u64)
    } else {
        Err("it must be above zero".to_owned())
    }
}

/// The same, or 0.
pub(crate) fn size_or_nothing(text: &str) -> Result<u64, String> {
    if text.trim() == "0" { Ok(0) } else { size(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_a_unit_or_is_in_bytes() {
        assert_eq!(size("800MB"), Ok(800_000_000));
        assert_eq!(size("1.5 GiB"), Ok(3 << 29));
        assert_eq!(size("4096"), Ok(4096));
        assert!(size("2GB/s").is_err() && size("-1MB").is_err() && size("").is_err());
    }
}
