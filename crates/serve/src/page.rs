//! The page, as it was compiled in.

use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use include_dir::{Dir, include_dir};

use crate::problem::HttpProblem;

static ASSETS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/assets");

/// `GET /`.
pub(crate) async fn index() -> Result<Response, HttpProblem> {
    file("index.html")
}

/// `GET /assets/NAME`. Nothing is opened: the name is looked for among those that are compiled in.
pub(crate) async fn asset(
    name: Result<Path<String>, axum::extract::rejection::PathRejection>,
) -> Result<Response, HttpProblem> {
    let Path(name) = name.map_err(|_| HttpProblem::not_found())?;
    file(&name)
}

fn file(name: &str) -> Result<Response, HttpProblem> {
    let file = ASSETS.get_file(name).ok_or_else(HttpProblem::not_found)?;
    let kind = HeaderValue::from_static(media_type(name));
    Ok(([(header::CONTENT_TYPE, kind)], file.contents()).into_response())
}

/// By the end of a file's name.
pub(crate) fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("csv") => "text/csv; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("woff2") => "font/woff2",
        Some("dcm") => "application/dicom",
        _ => "application/octet-stream",
    }
}
