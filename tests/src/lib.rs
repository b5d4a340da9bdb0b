//! What the integration tests share: reading the reference data, and comparing with a stated tolerance.
#![expect(
    clippy::missing_panics_doc,
    reason = "test support: a broken fixture shall stop the test"
)]

mod checkpoint;
mod fixture;
mod tolerance;

pub use checkpoint::Checkpoint;
pub use fixture::Fixture;
pub use tolerance::{Tolerance, assert_close, assert_row_close, difference, row_difference};
/// As the fixtures' arrays use them: a range of versions could give another package another one.
pub use {ndarray, ndarray_npy};
