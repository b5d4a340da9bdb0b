//! What is at each address.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{
        FromRequestParts, Path, Query, Request, State,
        rejection::{PathRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use explanation_jobs::{Object, Problem, ProblemKind};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, timeout_at};
use utoipa::IntoParams;

use crate::{
    Limits, Picture,
    body::{drain, receive},
    events,
    guard::{REPORT_POLICY, guard},
    id::Id,
    item::{Item, Result as Page},
    metrics, page,
    problem::HttpProblem,
    queue::{Hub, Listening},
    request::{AnswerForm, AnswerRequest, ExplanationForm, ExplanationRequest, Wanted},
    shelf::Found,
    view::{FileView, FilesView, Health, ItemView, Kind, ModelView},
};

type Answer = Result<Response, HttpProblem>;

pub(crate) fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/assets/{*name}", get(page::asset))
        .route("/healthz", get(health))
        .route("/metrics", get(measures))
        .route("/openapi.json", get(description))
        .route("/v1/model", get(model))
        .route("/v1/answers", axum::routing::post(post_answer))
        .route("/v1/answers/{id}", get(get_answer).delete(delete_answer))
        .route("/v1/answers/{id}/events", get(answer_events))
        .route("/v1/answers/{id}/pictures/{number}", get(answer_picture))
        .route("/v1/explanations", axum::routing::post(post_explanation))
        .route("/v1/explanations/{id}", get(get_explanation).delete(delete_explanation))
        .route("/v1/explanations/{id}/events", get(explanation_events))
        .route("/v1/explanations/{id}/pictures/{number}", get(explanation_picture))
        .route("/v1/explanations/{id}/report", get(report))
        .route("/v1/explanations/{id}/files", get(files))
        .route("/v1/explanations/{id}/files/{name}", get(file))
        .fallback(async || HttpProblem::not_found())
        .method_not_allowed_fallback(async || {
            let detail = "this cannot be done at this address";
            HttpProblem::new(StatusCode::METHOD_NOT_ALLOWED, ProblemKind::Job, detail)
        })
        .layer(middleware::from_fn_with_state(Arc::clone(&hub), guard))
        .with_state(hub)
}

/// How long to wait for the end of an item.
#[derive(Deserialize, IntoParams, Clone, Copy)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wait {
    /// Seconds to wait for the end before the present state is answered.
    #[serde(default)]
    #[param(minimum = 0, maximum = 300, required = false)]
    wait: Option<u16>,
}

/// Longest wait in seconds.
const LONGEST_WAIT: u16 = 300;

impl FromRequestParts<Arc<Hub>> for Wait {
    type Rejection = HttpProblem;

    async fn from_request_parts(parts: &mut Parts, hub: &Arc<Hub>) -> Result<Self, HttpProblem> {
        let wrong = |_: QueryRejection| {
            HttpProblem::bad("behind the question mark there may be wait=SECONDS, 0 to 300")
        };
        let Query(wait) = Query::<Self>::from_request_parts(parts, hub).await.map_err(wrong)?;
        match wait.wait {
            Some(wait) if LONGEST_WAIT < wait => Err(HttpProblem::bad("wait is 0 to 300 seconds")),
            _ => Ok(wait),
        }
    }
}

/// Parts of the address. What has not their form is nowhere.
pub(crate) struct At<T>(T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Hub>> for At<T> {
    type Rejection = HttpProblem;

    async fn from_request_parts(parts: &mut Parts, hub: &Arc<Hub>) -> Result<Self, HttpProblem> {
        let nowhere = |_: PathRejection| HttpProblem::not_found();
        let Path(path) = Path::<T>::from_request_parts(parts, hub).await.map_err(nowhere)?;
        Ok(Self(path))
    }
}

/// Asks for an answer.
#[utoipa::path(
    post, path = "/v1/answers", tag = "answers", params(Wait),
    request_body(content((AnswerRequest = "application/json"), (AnswerForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "It has ended", body = ItemView, headers(("Location" = String))),
        (status = 202, description = "It waits or is worked on", body = ItemView, headers(("Location" = String))),
    )
)]
pub(crate) async fn post_answer(
    State(hub): State<Arc<Hub>>,
    wait: Wait,
    request: Request,
) -> Answer {
    post(&hub, Kind::Answer, wait, request).await
}

/// Asks for an explanation, of a kept answer or of a question.
#[utoipa::path(
    post, path = "/v1/explanations", tag = "explanations", params(Wait),
    request_body(content((ExplanationRequest = "application/json"), (ExplanationForm = "multipart/form-data"))),
    responses(
        (status = 200, description = "It has ended", body = ItemView, headers(("Location" = String))),
        (status = 202, description = "It waits or is worked on", body = ItemView, headers(("Location" = String))),
    )
)]
pub(crate) async fn post_explanation(
    State(hub): State<Arc<Hub>>,
    wait: Wait,
    request: Request,
) -> Answer {
    post(&hub, Kind::Explanation, wait, request).await
}

async fn post(hub: &Arc<Hub>, kind: Kind, wait: Wait, request: Request) -> Answer {
    let place = match hub.reserve() {
        Ok(place) => place,
        Err(problem) => {
            drain(request.into_body()).await;
            return Err(problem);
        }
    };
    let received = receive(hub, request).await?;
    let permit = hub.decoding.acquire().await.map_err(|_| HttpProblem::stopping())?;
    let reader = Arc::clone(hub);
    let read = move || {
        let wanted = wanted(kind, &received.json, received.files, &reader.limits)?;
        reader.read(wanted)
    };
    let ready = tokio::task::spawn_blocking(read).await;
    drop(permit);
    let ready = ready
        .map_err(|_| HttpProblem::internal("the program made a mistake while it read this"))??;
    let item = hub.submit(place, kind, ready)?;
    let ended = ended(hub, &item, wait).await;
    let status = if ended { StatusCode::OK } else { StatusCode::ACCEPTED };
    let location = format!("{}/{}", kind.path(), item.id);
    Ok((status, [(header::LOCATION, location)], Json(item.view(hub.limits.kept))).into_response())
}

fn wanted(
    kind: Kind,
    json: &[u8],
    files: Vec<Picture>,
    limits: &Limits,
) -> Result<Wanted, Problem> {
    fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Problem> {
        serde_json::from_slice(json)
            .map_err(|error| Problem::new(ProblemKind::Job, error.to_string()))
    }

    match kind {
        Kind::Answer => parse::<Object<AnswerRequest>>(json)?.0.check(files, limits),
        Kind::Explanation => parse::<Object<ExplanationRequest>>(json)?.0.check(files, limits),
    }
}

/// Waits for the end of an item, as long as was asked for. Whether it has ended.
async fn ended(hub: &Arc<Hub>, item: &Arc<Item>, wait: Wait) -> bool {
    let is_final = || item.state().phase.is_final();
    let Some(seconds) = wait.wait else { return is_final() };
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut changes = item.changes();
    let _listening = Listening::to(hub, item);
    while !is_final() {
        if !matches!(timeout_at(end, changes.changed()).await, Ok(Ok(()))) {
            return is_final();
        }
    }
    true
}

/// An item in memory or in the store.
async fn find(hub: &Arc<Hub>, kind: Kind, id: &str) -> Result<Arc<Item>, HttpProblem> {
    let Some(id) = Id::parse(id) else { return Err(HttpProblem::not_found()) };
    let found = hub.shelf.find(id, kind);
    if let Found::Item(item) = found {
        return Ok(item);
    }
    if kind == Kind::Explanation && hub.store.is_some() {
        let reader = Arc::clone(hub);
        let read = move || reader.store.as_ref().map(|store| store.read(id)).transpose();
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.map_err(|_| HttpProblem::internal("the store cannot be read"))??;
        if let Some(item) = read.flatten() {
            return Ok(hub.shelf.put_stored(item));
        }
    }
    match found {
        Found::Expired => {
            let detail = "this has expired; ask again";
            Err(HttpProblem::new(StatusCode::GONE, ProblemKind::Job, detail))
        }
        _ => Err(HttpProblem::not_found()),
    }
}

/// An answer, however far it is.
#[utoipa::path(
    get, path = "/v1/answers/{id}", tag = "answers", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$"), Wait),
    responses((status = 200, description = "Its present state", body = ItemView))
)]
pub(crate) async fn get_answer(
    State(hub): State<Arc<Hub>>,
    At(id): At<String>,
    wait: Wait,
) -> Answer {
    show(&hub, Kind::Answer, &id, wait).await
}

/// An explanation, however far it is.
#[utoipa::path(
    get, path = "/v1/explanations/{id}", tag = "explanations", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$"), Wait),
    responses((status = 200, description = "Its present state", body = ItemView))
)]
pub(crate) async fn get_explanation(
    State(hub): State<Arc<Hub>>,
    At(id): At<String>,
    wait: Wait,
) -> Answer {
    show(&hub, Kind::Explanation, &id, wait).await
}

async fn show(hub: &Arc<Hub>, kind: Kind, id: &str, wait: Wait) -> Answer {
    let item = find(hub, kind, id).await?;
    ended(hub, &item, wait).await;
    Ok(Json(item.view(hub.limits.kept)).into_response())
}

/// Cancels an answer, or forgets it.
#[utoipa::path(
    delete, path = "/v1/answers/{id}", tag = "answers", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$")),
    responses((status = 204, description = "It is gone"))
)]
pub(crate) async fn delete_answer(State(hub): State<Arc<Hub>>, At(id): At<String>) -> Answer {
    delete(&hub, Kind::Answer, &id).await
}

/// Cancels an explanation, or forgets its result.
#[utoipa::path(
    delete, path = "/v1/explanations/{id}", tag = "explanations", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$")),
    responses((status = 204, description = "It is gone"))
)]
pub(crate) async fn delete_explanation(State(hub): State<Arc<Hub>>, At(id): At<String>) -> Answer {
    delete(&hub, Kind::Explanation, &id).await
}

async fn delete(hub: &Arc<Hub>, kind: Kind, id: &str) -> Answer {
    let item = find(hub, kind, id).await?;
    hub.forget(&item);
    if kind == Kind::Explanation && hub.store.is_some() {
        let remover = Arc::clone(hub);
        let remove = move || remover.store.as_ref().map(|store| store.remove(item.id));
        let removed = tokio::task::spawn_blocking(remove).await;
        removed.map_err(|_| HttpProblem::internal("the store cannot be changed"))?;
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The life of an answer: queued, started, pictures, token, answered, progress, then done, failed or cancelled.
#[utoipa::path(
    get, path = "/v1/answers/{id}/events", tag = "answers", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, description = "Events until its end", body = String, content_type = "text/event-stream"))
)]
pub(crate) async fn answer_events(
    State(hub): State<Arc<Hub>>,
    At(id): At<String>,
    headers: HeaderMap,
) -> Answer {
    let item = find(&hub, Kind::Answer, &id).await?;
    Ok(events::stream(&hub, &item, &headers).into_response())
}

/// The life of an explanation: queued, started, pictures, token, answered, progress, row, then done, failed or cancelled.
#[utoipa::path(
    get, path = "/v1/explanations/{id}/events", tag = "explanations", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, description = "Events until its end", body = String, content_type = "text/event-stream"))
)]
pub(crate) async fn explanation_events(
    State(hub): State<Arc<Hub>>,
    At(id): At<String>,
    headers: HeaderMap,
) -> Answer {
    let item = find(&hub, Kind::Explanation, &id).await?;
    Ok(events::stream(&hub, &item, &headers).into_response())
}

/// A picture as the model sees it.
#[utoipa::path(
    get, path = "/v1/answers/{id}/pictures/{number}", tag = "answers",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$"), ("number" = usize, Path, description = "From 0")),
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/png"))
)]
pub(crate) async fn answer_picture(
    State(hub): State<Arc<Hub>>,
    At((id, number)): At<(String, usize)>,
) -> Answer {
    picture(&hub, Kind::Answer, &id, number).await
}

/// A picture as the model sees it.
#[utoipa::path(
    get, path = "/v1/explanations/{id}/pictures/{number}", tag = "explanations",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$"), ("number" = usize, Path, description = "From 0")),
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/png"))
)]
pub(crate) async fn explanation_picture(
    State(hub): State<Arc<Hub>>,
    At((id, number)): At<(String, usize)>,
) -> Answer {
    picture(&hub, Kind::Explanation, &id, number).await
}

async fn picture(hub: &Arc<Hub>, kind: Kind, id: &str, number: usize) -> Answer {
    let item = find(hub, kind, id).await?;
    let png = item.state().pictures.get(number).map(|picture| picture.png.clone());
    let png = png.ok_or_else(HttpProblem::not_found)?;
    Ok(([(header::CONTENT_TYPE, "image/png")], png).into_response())
}

/// The report of an explanation: a page that needs nothing beside it.
#[utoipa::path(
    get, path = "/v1/explanations/{id}/report", tag = "explanations", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, description = "The page", body = String, content_type = "text/html; charset=utf-8"))
)]
pub(crate) async fn report(State(hub): State<Arc<Hub>>, At(id): At<String>) -> Answer {
    let page = result(&hub, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, REPORT_POLICY),
    ];
    Ok((headers, page.report.clone()).into_response())
}

/// The files of an explanation.
#[utoipa::path(
    get, path = "/v1/explanations/{id}/files", tag = "explanations", params(("id" = String, Path, pattern = "^[0-9a-f]{32}$")),
    responses((status = 200, description = "Their names", body = FilesView))
)]
pub(crate) async fn files(State(hub): State<Arc<Hub>>, At(id): At<String>) -> Answer {
    let page = result(&hub, &id).await?;
    let files = page.files.iter().map(|(name, data)| FileView {
        name: name.clone(),
        bytes: data.len(),
        media_type: page::media_type(name),
    });
    Ok(Json(FilesView { files: files.collect() }).into_response())
}

/// A file of an explanation.
#[utoipa::path(
    get, path = "/v1/explanations/{id}/files/{name}", tag = "explanations",
    params(("id" = String, Path, pattern = "^[0-9a-f]{32}$"), ("name" = String, Path, description = "As in the list of files")),
    responses((status = 200, description = "The file", body = Vec<u8>, content_type = "application/octet-stream"))
)]
pub(crate) async fn file(
    State(hub): State<Arc<Hub>>,
    At((id, name)): At<(String, String)>,
) -> Answer {
    let page = result(&hub, &id).await?;
    let data = page.files.get(&name).cloned().ok_or_else(HttpProblem::not_found)?;
    let kind = HeaderValue::from_static(page::media_type(&name));
    // Names of files are plain: letters, digits, dots and dashes.
    let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let disposition = disposition.map_err(|_| HttpProblem::internal("a file has a broken name"))?;
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, data).into_response())
}

/// The result of an explanation that is done.
async fn result(hub: &Arc<Hub>, id: &str) -> Result<Arc<Page>, HttpProblem> {
    let item = find(hub, Kind::Explanation, id).await?;
    item.result().ok_or_else(|| {
        let state = item.state().phase.name().name();
        let detail = format!("the explanation is {state}: it has no result");
        HttpProblem::new(StatusCode::CONFLICT, ProblemKind::Job, detail)
    })
}

/// The model, and what the server takes.
#[utoipa::path(
    get, path = "/v1/model", tag = "server",
    responses((status = 200, description = "The model", body = ModelView))
)]
pub(crate) async fn model(State(hub): State<Arc<Hub>>) -> Json<ModelView> {
    Json(ModelView::new(hub.engine.card(), &hub.limits, hub.seconds()))
}

/// Whether the server takes work.
#[utoipa::path(
    get, path = "/healthz", tag = "server",
    responses((status = 200, description = "It does", body = Health))
)]
pub(crate) async fn health(State(hub): State<Arc<Hub>>) -> Answer {
    if hub.stopping.load(Ordering::SeqCst) {
        return Err(HttpProblem::stopping());
    }
    Ok(Json(Health { status: "ok" }).into_response())
}

/// Counts, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "server",
    responses((status = 200, description = "Counts", body = String, content_type = "text/plain; version=0.0.4"))
)]
pub(crate) async fn measures(State(hub): State<Arc<Hub>>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
    (kind, metrics::text(&hub)).into_response()
}

/// This description.
async fn description(
    State(hub): State<Arc<Hub>>,
) -> ([(header::HeaderName, &'static str); 1], Bytes) {
    ([(header::CONTENT_TYPE, "application/json")], hub.openapi.clone())
}
