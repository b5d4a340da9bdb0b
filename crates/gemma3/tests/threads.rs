//! How many threads compute.

use gemma3_tch::{set_threads, threads};

#[test]
fn more_threads_than_make_sense_are_refused_before_libtorch_hears_of_them() {
    let before = threads();
    for asked in [0, 1 << 20, i32::MAX as usize, usize::MAX] {
        let message = set_threads(asked).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("{asked} threads cannot be used: from 1 to ")),
            "{message}"
        );
        assert_eq!(threads(), before);
    }
    set_threads(2).unwrap();
    assert_eq!(threads(), 2);
}
