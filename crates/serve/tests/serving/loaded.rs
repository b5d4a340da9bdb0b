//! Many clients at once.

use explanation_server::{Limits, ServerOptions};

use crate::{
    Served,
    fake::Fake,
    load::{load, resident},
};

/// More than what a server of this size may come to hold after it has been used for a while.
const MOST_GROWTH: u64 = 64 << 20;

#[test]
fn nothing_is_lost_and_memory_stays() {
    let limits = Limits { kept_bytes: 16 << 20, ..Limits::default() };
    let served =
        Served::with(Fake::default(), ServerOptions { limits, ..ServerOptions::default() });
    let first = load(served.address, 20, 200);
    assert_eq!(first.count(), 200);
    let before = resident("self");
    let mut second = load(served.address, 20, 2000);
    assert_eq!(second.count(), 2000);
    for line in second.lines() {
        eprintln!("{line}");
    }
    let Some((before, after)) = before.zip(resident("self")) else {
        eprintln!("SKIPPED: the system does not say how much memory is resident");
        return;
    };
    eprintln!("resident: {} MB, then {} MB", before >> 20, after >> 20);
    assert!(after < before + MOST_GROWTH, "{before} {after}");
}
