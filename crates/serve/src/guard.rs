//! Who may ask: `Host`, `Origin` and token; headers of every answer; a line of the log for each request.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use explanation_jobs::ProblemKind;

use crate::{Error, problem::HttpProblem, queue::Hub};

/// What a `Host` header may say.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// With the port, in lower case.
    with_port: Vec<String>,
    /// Given by name: also without a port, for proxies in front.
    alone: Vec<String>,
}

impl Names {
    /// # Errors
    /// [`Error::HostName`].
    pub(crate) fn new(bound: SocketAddr, given: &[String]) -> Result<Self, Error> {
        let port = bound.port();
        let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned()];
        let ip = bound.ip();
        if !ip.is_unspecified() {
            hosts.push(match ip {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            });
        }
        let mut alone = Vec::new();
        for name in given {
            let bracketed = match name.parse::<IpAddr>() {
                Ok(IpAddr::V6(ip)) => format!("[{ip}]"),
                _ => name.to_ascii_lowercase(),
            };
            // Whatever the library for addresses takes as a host and nothing but a host.
            let authority = bracketed.parse::<axum::http::uri::Authority>();
            if !authority.is_ok_and(|read| read.host() == bracketed) {
                return Err(Error::HostName(name.clone()));
            }
            alone.push(bracketed.clone());
            hosts.push(bracketed);
        }
        let mut with_port: Vec<_> = hosts.iter().map(|host| format!("{host}:{port}")).collect();
        if port == 80 {
            with_port.extend(hosts);
        }
        Ok(Self { with_port, alone })
    }

    fn allow(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        self.with_port.contains(&host) || self.alone.contains(&host)
    }
}

const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; frame-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Of the report of an explanation: it brings its own script and pictures, and has an origin of its own.
pub(crate) const REPORT_POLICY: &str = "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Around every route, and around what has none.
pub(crate) async fn guard(State(hub): State<Arc<Hub>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let method = known(request.method());
    let data = route.starts_with("/v1") || route == "/metrics";
    let mut response = match allowed(&hub, route, data, &request) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    let cache = if data { "no-store" } else { "no-cache" };
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static(cache));
    let status = response.status().as_u16();
    hub.metrics.request(method, route, status);
    hub.log.line(&format!("{method} {route} {status} {} ms", start.elapsed().as_millis()));
    response
}

fn allowed(hub: &Hub, route: &str, data: bool, request: &Request) -> Result<(), HttpProblem> {
    let headers = request.headers();
    let host = host(headers, request.uri())?;
    if !hub.names.allow(host) {
        let detail = "this server is not the one that was called: start it with the other names that it is called by";
        return Err(HttpProblem::new(StatusCode::MISDIRECTED_REQUEST, ProblemKind::Job, detail));
    }
    let foreign = || {
        let detail = "requests of other pages are refused";
        HttpProblem::new(StatusCode::FORBIDDEN, ProblemKind::Job, detail)
    };
    if headers.get_all(ORIGIN).iter().any(|origin| !is_own(origin, host)) {
        return Err(foreign());
    }
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if data && matches!(site, Some(b"cross-site" | b"same-site")) {
        return Err(foreign());
    }
    if data
        && let Some(token) = &hub.token
        && !bearer(headers).is_some_and(|given| token.is(given))
    {
        let detail = "a token is needed: Authorization: Bearer TOKEN";
        return Err(HttpProblem::new(StatusCode::UNAUTHORIZED, ProblemKind::Job, detail));
    }
    let takes_wait = matches!(
        route,
        "/v1/answers" | "/v1/explanations" | "/v1/answers/{id}" | "/v1/explanations/{id}"
    );
    if data && !takes_wait && request.uri().query().is_some() {
        return Err(HttpProblem::bad("nothing can be asked here behind a question mark"));
    }
    if hub.stopping.load(Ordering::SeqCst) && request.method() == Method::POST {
        return Err(HttpProblem::stopping());
    }
    Ok(())
}

/// The name by which the server was called.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Result<&'a str, HttpProblem> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(HttpProblem::bad("a request has one Host header"));
    };
    let host = host.to_str().map_err(|_| HttpProblem::bad("the Host header is broken"))?;
    match uri.authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host) => {
            Err(HttpProblem::bad("the address and the Host header name different hosts"))
        }
        _ => Ok(host),
    }
}

/// Whether an origin is that of the server, as it was called.
fn is_own(origin: &HeaderValue, host: &str) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
}

/// The name of a method; those that nobody knows could be a text of the client's.
fn known(method: &Method) -> &'static str {
    let all = ["GET", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
    all.into_iter().find(|name| method == *name).unwrap_or("OTHER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_names_are_allowed() {
        let bound = "127.0.0.1:8080".parse().unwrap();
        let names =
            Names::new(bound, &["Explainer.example".to_owned(), "fd00::1".to_owned()]).unwrap();
        for host in [
            "localhost:8080",
            "LOCALHOST:8080",
            "[::1]:8080",
            "127.0.0.1:8080",
            "explainer.example",
            "explainer.example:8080",
            "[fd00::1]:8080",
        ] {
            assert!(names.allow(host), "{host}");
        }
        for host in [
            "localhost",
            "localhost:80",
            "evil.example:8080",
            "127.0.0.1.evil.example:8080",
            "explainer.example:1",
            "",
        ] {
            assert!(!names.allow(host), "{host}");
        }
        for name in ["", "a b", "http://a", "a:80", "a/b", "u@a"] {
            assert!(Names::new(bound, &[name.to_owned()]).is_err(), "{name}");
        }
    }

    #[test]
    fn only_the_own_origin_is_allowed() {
        let own = |origin| is_own(&HeaderValue::from_static(origin), "localhost:80");
        assert!(own("http://localhost:80") && own("https://localhost:80"));
        for origin in ["null", "http://localhost", "http://evil", "ftp://localhost:80", ""] {
            assert!(!own(origin), "{origin}");
        }
    }
}
