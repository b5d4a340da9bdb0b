//! What must not stand in results.

use std::fs;

use anyhow::Result;

use super::case::Call;
use super::hub::TOKEN;
use super::judge::{Finding, Kind};
use super::run::Ended;
use super::sandbox::{Sandbox, Seen, Trace};

/// Markup that the inputs hold as text: raw in a page it would act.
const MARKUP: [&str; 2] = ["<script>alert(1)", "<img src=x onerror"];

/// Private things and markup in what the run printed and wrote.
pub(crate) fn judge(
    call: &Call,
    ended: &Ended,
    sandbox: &Sandbox,
    after: &Seen,
) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let mut finding = |what: String| found.push(Finding { kind: Kind::Output, what });
    for (name, said) in [("stdout", &ended.stdout), ("stderr", &ended.stderr)] {
        if contains(&said.bytes, TOKEN) {
            finding(format!("the token on {name}"));
        }
    }
    let asks_for_paths = call.args.iter().any(|arg| arg == "--keep-paths");
    let root = sandbox.root().to_string_lossy().into_owned();
    for (name, trace) in after {
        let ending = name.rsplit('.').next().unwrap_or_default();
        let is_text = ["json", "html", "svg"].contains(&ending);
        let is_result = name.starts_with("a/b/c/place/out");
        if !is_result || !is_text || !matches!(trace, Trace::File(_)) {
            continue;
        }
        let bytes = fs::read(sandbox.root().join(name))?;
        if contains(&bytes, TOKEN) {
            finding(format!("the token in {name}"));
        }
        if !asks_for_paths && contains(&bytes, &root) {
            finding(format!("an absolute path in {name}"));
        }
        if ending == "html" {
            for markup in MARKUP.iter().filter(|markup| contains(&bytes, markup)) {
                finding(format!("{markup} in {name}"));
            }
        }
    }
    Ok(found)
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
