//! Pages of which a program writes the tables and a person the rest.

use std::path::Path;

use anyhow::{Context, Result};
use model_audit::Estimate;
use serde_json::{Value, json};

/// The page with `table` between `<!-- name -->` and `<!-- end of name -->`.
pub fn replaced(page: &str, name: &str, table: &str) -> Option<String> {
    let (before, rest) = page.split_once(&format!("<!-- {name} -->\n"))?;
    let (_, after) = rest.split_once(&format!("<!-- end of {name} -->"))?;
    let table = table.trim_end();
    Some(format!("{before}<!-- {name} -->\n{table}\n<!-- end of {name} -->{after}"))
}

/// A mean with its interval, as the data beside the pages have it.
pub fn estimate(of: Estimate) -> Value {
    json!({ "mean": of.mean, "low": of.low, "high": of.high, "items": of.items })
}

/// Writes a file; it is there as a whole or not at all.
pub fn save(path: &Path, text: &str) -> Result<()> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, text)
        .and_then(|()| std::fs::rename(&partial, path))
        .with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn what_stands_between_the_marks_is_replaced() {
        let page = "a\n<!-- t -->\nold\n<!-- end of t -->\nb\n";
        let found = replaced(page, "t", "new\n\n").unwrap();
        assert_eq!(found, "a\n<!-- t -->\nnew\n<!-- end of t -->\nb\n");
        assert_eq!(replaced(page, "u", "new"), None);
    }
}
