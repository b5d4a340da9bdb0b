//! How much memory a piece of work takes.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Which memory is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Anonymous memory of this process, which mapped weights are no part of; Linux only.
    Process,
    /// All that is taken on a CUDA device, as `nvidia-smi` tells; weights are a part of it.
    Cuda(usize),
}

impl Place {
    /// Bytes in use now; 0 where this cannot be known.
    pub fn used(self) -> u64 {
        match self {
            Self::Process => anonymous(),
            Self::Cuda(index) => on_device(index),
        }
    }
}

/// Samples memory until [`Watch::peak`] is asked.
pub struct Watch {
    peak: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sampler: JoinHandle<()>,
}

impl Watch {
    /// Starts to look, up to a thousand times a second.
    pub fn start(place: Place) -> Self {
        let (peak, stop) =
            (Arc::new(AtomicU64::new(place.used())), Arc::new(AtomicBool::new(false)));
        let sampler = {
            let (peak, stop) = (Arc::clone(&peak), Arc::clone(&stop));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    peak.fetch_max(place.used(), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(1));
                }
                peak.fetch_max(place.used(), Ordering::Relaxed);
            })
        };
        Self { peak, stop, sampler }
    }

    /// The most bytes that were in use at a time since the start.
    pub fn peak(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let _ended = self.sampler.join();
        self.peak.load(Ordering::Relaxed)
    }
}

fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line
        .and_then(|line| line.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok());
    kibibytes.unwrap_or(0) * 1024
}

fn on_device(index: usize) -> u64 {
    let query = ["--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i"];
    let output = Command::new("nvidia-smi").args(query).arg(index.to_string()).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mebibytes: Option<u64> = text.ok().and_then(|text| text.trim().parse().ok());
    mebibytes.unwrap_or(0) << 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_peak_is_seen_and_not_the_rest() {
        const BYTES: usize = 64 << 20;
        let before = Place::Process.used();
        let watch = Watch::start(Place::Process);
        let held = std::hint::black_box(vec![1_u8; BYTES]);
        std::thread::sleep(Duration::from_millis(20));
        drop(held);
        let peak = watch.peak() - before;
        assert!((BYTES as u64..2 * BYTES as u64).contains(&peak), "{peak}");
    }
}
