//! Work on numbered pictures, shared by threads that each have a model of their own: a `Tensor` is not `Sync`.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, anyhow};

/// Threads.
const THREADS: u64 = 2;

/// Does the same work in each thread on the numbers below `count` that fall to it, the next one to whichever is free, and gathers what they
/// found.
pub fn share<T: Send>(
    count: u64,
    work: impl Fn(&mut dyn Iterator<Item = u64>) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicU64::new(0);
    let free = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let work = &work;
                scope.spawn(move || work(&mut std::iter::from_fn(free)))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow!("a thread failed"))?)
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_falls_to_one_thread() {
        let parts = share(5, |numbers| Ok(numbers.collect::<Vec<_>>())).unwrap();
        let mut all = parts.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        assert!(share(3, |_| -> Result<()> { Err(anyhow!("no")) }).is_err());
    }
}
