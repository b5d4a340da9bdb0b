//! Problems as they are answered: `application/problem+json`, RFC 9457.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use explanation_jobs::{Problem, ProblemKind};
use serde::Serialize;
use utoipa::ToSchema;

/// What kept a request from being served.
#[derive(Debug)]
pub(crate) struct HttpProblem {
    status: StatusCode,
    problem: Problem,
    retry_after: Option<Duration>,
}

/// What went wrong.
#[derive(Serialize, ToSchema)]
#[schema(as = HttpProblem)]
pub(crate) struct ProblemView<'a> {
    /// `about:blank`: the status says what kind of problem it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    status: u16,
    /// What to do, for people.
    detail: &'a str,
    /// For programs.
    kind: ProblemKind,
}

pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

impl HttpProblem {
    pub(crate) fn new(status: StatusCode, kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self { status, problem: Problem::new(kind, detail), retry_after: None }
    }

    /// Of a request that is none.
    pub(crate) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ProblemKind::Job, detail)
    }

    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemKind::Job, detail)
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, ProblemKind::Job, "there is nothing at this address")
    }

    /// Of what is busy; with the seconds after which it may be tried again.
    pub(crate) fn busy(detail: impl Into<String>, after: Duration) -> Self {
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, ProblemKind::Busy, detail);
        Self { retry_after: Some(after), ..problem }
    }

    pub(crate) fn stopping() -> Self {
        let detail = "the server is being stopped";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, ProblemKind::Busy, detail)
    }

    pub(crate) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, ProblemKind::Internal, detail)
    }
}

impl From<Problem> for HttpProblem {
    fn from(problem: Problem) -> Self {
        let status = match problem.kind {
            ProblemKind::Job => StatusCode::BAD_REQUEST,
            ProblemKind::Question
            | ProblemKind::Picture
            | ProblemKind::NotInAnswer
            | ProblemKind::Target
            | ProblemKind::Option => StatusCode::UNPROCESSABLE_ENTITY,
            ProblemKind::Memory => StatusCode::INSUFFICIENT_STORAGE,
            ProblemKind::Busy => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let retry_after = (problem.kind == ProblemKind::Busy).then(|| Duration::from_secs(10));
        Self { status, problem, retry_after }
    }
}

impl IntoResponse for HttpProblem {
    fn into_response(self) -> Response {
        let view = ProblemView {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.problem.message,
            kind: self.problem.kind,
        };
        // A struct of texts and numbers is always written.
        let body = serde_json::to_vec(&view).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, after.as_secs().max(1).into());
        }
        response
    }
}
