//! The names that results have.

use super::{ARRAYS, RECORD};

/// Whether a file of this name would be in the way of results: of some run, since what is drawn may depend on the answer. On some
/// systems capitals do not make another name.
pub(crate) fn is_ours(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [RECORD, ARRAYS].contains(&name.as_str()) || is_made(&name)
}

/// `report.html`, `picture-<number>.png`, and the names of overlays, figures and charts.
fn is_made(name: &str) -> bool {
    let Some((stem, extension)) = name.rsplit_once('.') else { return false };
    let mut parts = stem.split('-');
    let kind = parts.next().unwrap_or_default();
    let numbers: Vec<&str> = parts.collect();
    let number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (count, extensions): (usize, &[&str]) = match kind {
        "report" => (0, &["html"]),
        "picture" => (1, &["png"]),
        "words" | "images" | "difference" => (1, &["png", "svg"]),
        "overlay" | "control" | "patches" | "pixels" | "regions" | "versus" | "panels"
        | "comparison" | "layers" | "heads" | "resolutions" => (2, &["png", "svg"]),
        _ => return false,
    };
    numbers.len() == count && numbers.iter().all(number) && extensions.contains(&extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_results_are_known() {
        for name in [
            "overlay-0-0.png",
            "overlay-12-3.png",
            "control-0-1.png",
            "picture-0.png",
            "report.html",
            "words-1.svg",
            "layers-0-1.png",
            "pixels-0-1.png",
            "versus-0-0.svg",
            "difference-2.png",
            "explanation.json",
            "explanation.npz",
            "Picture-0.PNG",
        ] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            "overlay-0.png",
            "control-0-1.webp",
            "overlay-a-0.png",
            "overlay-0-.png",
            "my-overlay-0-0.png",
            "overlay-0-0.jpg",
            "picture.png",
            "report-1.html",
            "report",
        ] {
            assert!(!is_ours(name), "{name}");
        }
        for kind in crate::FigureKind::ALL {
            assert!(["0", "0-0"].iter().any(|n| is_ours(&format!("{kind}-{n}.png"))), "{kind}");
        }
    }
}
