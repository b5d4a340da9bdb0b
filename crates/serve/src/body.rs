//! Bytes of a request, within limits of size and time.

use std::time::Duration;

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use explanation_jobs::ProblemKind;
use http_body_util::BodyExt as _;
use multer::{Field, Multipart};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

use crate::{Limits, Picture, problem::HttpProblem, queue::Hub};

/// Bytes that a permit of [`Hub::receiving`] stands for.
pub(crate) const UNIT: usize = 4096;

/// What a body may come at least at, in bytes a second, after the first of the client's patience.
const SLOWEST: u64 = 16 << 10;

/// Bytes of the part `job` of a form: a prompt of the longest kind, with escapes.
const LONGEST_JOB: usize = 8 << 20;

/// A body that was received.
pub(crate) struct Received {
    /// The question as JSON.
    pub(crate) json: Bytes,
    /// Files of a form.
    pub(crate) files: Vec<Picture>,
    /// Held until it is read.
    pub(crate) _permits: Vec<OwnedSemaphorePermit>,
}

enum Form {
    Json,
    Multipart(String),
}

pub(crate) async fn receive(hub: &Hub, request: Request) -> Result<Received, HttpProblem> {
    let (head, body) = request.into_parts();
    let form = match form(&head.headers) {
        Ok(form) => form,
        Err(problem) => {
            drain(body).await;
            return Err(problem);
        }
    };
    let (body, permits) = all(hub, &head.headers, body).await?;
    let (json, files) = match form {
        Form::Json => (body, Vec::new()),
        Form::Multipart(boundary) => parts(&hub.limits, body, boundary).await?,
    };
    Ok(Received { json, files, _permits: permits })
}

fn form(headers: &HeaderMap) -> Result<Form, HttpProblem> {
    let wrong = || {
        let detail = "the body has to be application/json or multipart/form-data";
        HttpProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemKind::Job, detail)
    };
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "the body has to be sent without a Content-Encoding";
        return Err(HttpProblem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemKind::Job, detail));
    }
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.ok_or_else(wrong)?;
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(Form::Json);
    }
    if essence.eq_ignore_ascii_case("multipart/form-data") {
        let boundary = multer::parse_boundary(kind);
        return boundary
            .map(Form::Multipart)
            .map_err(|_| HttpProblem::bad("the form has no boundary"));
    }
    Err(wrong())
}

/// The whole body.
async fn all(
    hub: &Hub,
    headers: &HeaderMap,
    mut body: Body,
) -> Result<(Bytes, Vec<OwnedSemaphorePermit>), HttpProblem> {
    let Limits { body_bytes, patience, .. } = hub.limits;
    let too_large = || {
        HttpProblem::too_large(format!(
            "the body has more than {body_bytes} bytes (GET /v1/model: limits.body_bytes)"
        ))
    };
    let announced = headers.get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > body_bytes as u64) {
        drain(body).await;
        return Err(too_large());
    }
    let start = Instant::now();
    let (mut held, mut permits) = (0, Vec::new());
    let mut received = BytesMut::new();
    loop {
        let allowance = Duration::from_secs(received.len() as u64 / SLOWEST);
        let frame = timeout_at(start + patience + allowance, body.frame()).await.map_err(|_| {
            let detail = "the body came too slowly";
            HttpProblem::new(StatusCode::REQUEST_TIMEOUT, ProblemKind::Job, detail)
        })?;
        let Some(frame) = frame else { return Ok((received.freeze(), permits)) };
        let frame = frame.map_err(|_| HttpProblem::bad("the body ended before its end"))?;
        let Ok(data) = frame.into_data() else { continue };
        if body_bytes < received.len() + data.len() {
            drop(received);
            drain(body).await;
            return Err(too_large());
        }
        let units = (received.len() + data.len()).div_ceil(UNIT);
        if held < units {
            let more = u32::try_from(units - held).unwrap_or(u32::MAX);
            let Ok(permit) = hub.receiving.clone().try_acquire_many_owned(more) else {
                let detail = "too much is being received at this time";
                return Err(HttpProblem::busy(detail, Duration::from_secs(5)));
            };
            held = units;
            permits.push(permit);
        }
        received.extend_from_slice(&data);
    }
}

/// Reads some more of a body that is refused, so that the client gets to read why.
pub(crate) async fn drain(mut body: Body) {
    let end = Instant::now() + Duration::from_secs(2);
    let mut left: usize = 64 << 20;
    while let Ok(Some(Ok(frame))) = timeout_at(end, body.frame()).await {
        let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = rest;
    }
}

/// The parts of a form: `job`, and `image` any number of times.
async fn parts(
    limits: &Limits,
    body: Bytes,
    boundary: String,
) -> Result<(Bytes, Vec<Picture>), HttpProblem> {
    let once = futures_util::stream::iter([Ok::<_, std::io::Error>(body)]);
    let mut form = Multipart::new(once, boundary);
    let (mut job, mut files) = (None, Vec::new());
    loop {
        // Errors of the reader repeat parts of the form.
        let broken = |_| HttpProblem::bad("the form is broken");
        let Some(field) = form.next_field().await.map_err(broken)? else { break };
        match field.name() {
            Some("job") if job.is_some() => {
                return Err(HttpProblem::bad("the form has two parts job"));
            }
            Some("job") => job = Some(bounded(field, LONGEST_JOB, "the part job").await?),
            Some("image") => {
                if limits.images <= files.len() {
                    let detail = format!("the form has more than {} parts image", limits.images);
                    return Err(HttpProblem::too_large(detail));
                }
                let name = field.file_name().filter(|name| !name.is_empty()).map(str::to_owned);
                let data = bounded(field, limits.picture_bytes, "a part image").await?;
                files.push(Picture { data, name });
            }
            _ => {
                return Err(HttpProblem::bad(
                    "the parts of the form are job and image; there is another",
                ));
            }
        }
    }
    let job = job.ok_or_else(|| HttpProblem::bad("the form has no part job"))?;
    Ok((job, files))
}

async fn bounded(mut field: Field<'_>, most: usize, which: &str) -> Result<Bytes, HttpProblem> {
    let mut data = BytesMut::new();
    loop {
        let chunk = field.chunk().await.map_err(|_| HttpProblem::bad("the form is broken"))?;
        let Some(chunk) = chunk else { return Ok(data.freeze()) };
        if most < data.len() + chunk.len() {
            return Err(HttpProblem::too_large(format!("{which} has more than {most} bytes")));
        }
        data.extend_from_slice(&chunk);
    }
}
