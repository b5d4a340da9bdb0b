//! The page, as it was compiled in.

use axum::{
    extract::Path,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use include_dir::{Dir, include_dir};
use relevancy_visualization::report::{COMMON_STYLE, REPORT_STYLE};

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
    let contents = match name {
        // What the page shares with the reports that it shows.
        "common.css" => COMMON_STYLE.as_bytes(),
        "report.css" => REPORT_STYLE.as_bytes(),
        name => ASSETS.get_file(name).ok_or_else(HttpProblem::not_found)?.contents(),
    };
    let kind = HeaderValue::from_static(media_type(name));
    Ok(([(header::CONTENT_TYPE, kind)], contents).into_response())
}

/// By the end of a file's name.
pub(crate) const MEDIA_TYPES: [(&str, &str); 9] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("csv", "text/csv; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("woff2", "font/woff2"),
    ("dcm", "application/dicom"),
];

/// The media type of a file.
pub(crate) fn media_type(name: &str) -> &'static str {
    let end = name.rsplit_once('.').map_or("", |(_, end)| end);
    let known = MEDIA_TYPES.iter().find(|(known, _)| *known == end);
    known.map_or("application/octet-stream", |(_, kind)| kind)
}
