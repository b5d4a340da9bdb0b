//! Object stores, reached by one client that keeps its connections.

use std::sync::OnceLock;

use explanation_jobs::Problem;
use explanation_jobs::cloud::{Cloud, PATIENCE};

/// The client; credentials come from the variables that each store's own programs read.
pub(crate) fn cloud() -> Result<&'static Cloud, Problem> {
    static CLOUD: OnceLock<Cloud> = OnceLock::new();
    if let Some(cloud) = CLOUD.get() {
        return Ok(cloud);
    }
    let made = Cloud::new(PATIENCE)?;
    Ok(CLOUD.get_or_init(|| made))
}
