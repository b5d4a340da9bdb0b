//! How much memory a piece of work takes beside the mapped weights.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Samples the anonymous memory of this process, which mapped files are no part of, until [`Watch::peak`] is asked; Linux only.
pub struct Watch {
    before: u64,
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sampler: JoinHandle<()>,
}

impl Watch {
    /// Starts to look, a thousand times a second.
    pub fn start() -> Self {
        let (peak, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let sampler = {
            let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(anonymous(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
            })
        };
        Self { before: anonymous(), peak, stop, sampler }
    }

    /// The most bytes that were in use at a time, less those in use at the start; 0 where this cannot be known.
    pub fn peak(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ended = self.sampler.join();
        self.peak.load(Ordering::Relaxed).saturating_sub(self.before)
    }
}

/// Bytes of anonymous memory that are resident.
pub fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok());
    kibibytes.unwrap_or(0) * 1024
}
