//! The page as a person has it, in headless Chromium, against a server: the one at `SERVE_URL`, or a stand-in in Python, which does on
//! demand what a real server does seldom.
//!
//! Skipped with a notice where there is no Chromium in `CHROMIUM` or `PATH`, or no `python3`; `REQUIRE_CHROMIUM=1` makes that a failure.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: clippy only excuses the tests themselves"
)]

#[path = "page/access.rs"]
mod access;
#[path = "page/asking.rs"]
mod asking;
#[expect(dead_code, reason = "tests of the report steer the browser in more ways")]
#[path = "../../visualization/tests/browser/mod.rs"]
mod browser;
#[path = "page/explaining.rs"]
mod explaining;
#[path = "page/harness.rs"]
mod harness;
#[path = "page/modules.rs"]
mod modules;
#[path = "page/trouble.rs"]
mod trouble;
