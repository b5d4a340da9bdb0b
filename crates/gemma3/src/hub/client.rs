//! The only place that touches the network: requests, with everything that a server says held against limits.
//!
//! hf-hub says where the hub and the cache are. Its own requests are not made: they read answers of any length, take redirects with the
//! token still on them, wait without end, and name files in the cache by what the server says (`download.rs` here does that).

use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::HFClient;
use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, HeaderMap,
    HeaderValue, LOCATION, RANGE,
};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::patience::{Failure, LOOK, Patience};
use super::{HubOptions, env};
use crate::Error;
use crate::shown::line;

/// Redirects of one request that are followed.
const MOST_REDIRECTS: usize = 10;
/// Bytes of an error's body that are looked at.
const ERROR_LIMIT: u64 = 16 << 10;

/// A client for one model on the hub.
pub(super) struct Client<'o> {
    runtime: Runtime,
    http: reqwest::Client,
    token: Option<HeaderValue>,
    id: &'o str,
    options: &'o HubOptions,
    endpoint: Url,
    cache: PathBuf,
}

/// What is asked for.
pub(super) struct Request<'a> {
    pub(super) address: &'a str,
    /// The first byte that is wanted.
    pub(super) start: u64,
    /// What a 404 means for this request.
    pub(super) missing: &'a str,
}

impl<'o> Client<'o> {
    /// Prepares a client. Nothing is sent.
    pub(super) fn open(id: &'o str, options: &'o HubOptions) -> Result<Self, Error> {
        let fail = |reason: String| Error::Hub { id: id.to_owned(), reason };
        let mut places = HFClient::builder();
        if let Some(cache) = &options.cache {
            places = places.cache_dir(cache);
        }
        if let Some(endpoint) = &options.endpoint {
            places = places.endpoint(endpoint);
        }
        let places = places.build().map_err(|e| fail(e.to_string()))?;
        let endpoint = Url::parse(&format!("{}/", places.endpoint()))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| fail(format!("{} is no address of a hub", line(places.endpoint()))))?;
        let token = options.token.clone().or_else(|| env::token(&hf_hub::hf_home()));
        let token = token.map(|token| bearer(&token)).transpose().map_err(fail)?;
        let http = reqwest::Client::builder()
            .user_agent(concat!("gemma3-tch/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none()) // followed here, see `follow`
            .retry(reqwest::retry::never())
            .referer(false)
            .no_gzip()
            .no_brotli()
            .no_zstd()
            .no_deflate()
            .connect_timeout(options.timeouts.connect)
            .build()
            .map_err(|e| fail(root_cause(&e)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: runtime.map_err(|e| fail(e.to_string()))?,
            http,
            token,
            id,
            options,
            endpoint,
            cache: places.cache_dir().to_owned(),
        })
    }

    /// The cache folder in use.
    pub(super) fn cache(&self) -> &Path {
        &self.cache
    }

    /// An address below the endpoint; every part is one segment of the path or several.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    /// The patience for an operation that brings so many bytes.
    pub(super) fn patience(&self, bytes: u64) -> Patience<'o> {
        Patience::new(self.id, self.options, bytes)
    }

    /// The body of an answer of the hub's API, at most `limit` bytes, with the address of the page that follows it.
    pub(super) fn text(
        &self,
        address: &str,
        limit: u64,
    ) -> Result<(Vec<u8>, Option<String>), Error> {
        let missing = "there is no such model or revision; check the spelling";
        let request = Request { address, start: 0, missing };
        // No time for the bytes: it is a few of them.
        self.patience(0).persist(|patience| {
            let mut answer = self.get(&request, patience)?;
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk(patience)? {
                if (body.len() + chunk.len()) as u64 > limit {
                    let reason =
                        format!("its answer is longer than {limit} bytes, more than any real one");
                    return Err(Failure::Final(self.failed(reason)));
                }
                body.extend_from_slice(&chunk);
            }
            Ok((body, answer.next_page()?))
        })
    }

    /// Asks; the answer is of success.
    pub(super) fn get(
        &self,
        request: &Request<'_>,
        patience: &Patience<'_>,
    ) -> Result<Answer<'_>, Failure> {
        let url = Url::parse(request.address).map_err(|_| {
            self.failed(format!("it names the address {}, which is none", line(request.address)))
        })?;
        let response = self.runtime.block_on(self.follow(url, request.start, patience))?;
        let answer = Answer { client: self, response };
        if answer.response.status().is_success() {
            answer.check_encoding()?;
            return Ok(answer);
        }
        Err(answer.failure(request, patience))
    }

    /// Sends a request and follows redirects. The token goes to the endpoint alone, and never again after a step elsewhere.
    async fn follow(
        &self,
        mut url: Url,
        start: u64,
        patience: &Patience<'_>,
    ) -> Result<reqwest::Response, Failure> {
        let mut trusted = true;
        for _ in 0..=MOST_REDIRECTS {
            trusted &= is_same_or_safer(&self.endpoint, &url);
            let mut headers =
                HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
            if start > 0 {
                let range = HeaderValue::from_str(&format!("bytes={start}-"));
                headers.insert(RANGE, range.expect("digits are legal in a header"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| trusted) {
                headers.insert(AUTHORIZATION, token.clone());
            }
            let sent = self.http.get(url.clone()).headers(headers).send();
            let response = self.within(patience, &url, sent).await?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let next = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let next = next
                .and_then(|to| url.join(to).ok())
                .filter(|to| matches!(to.scheme(), "http" | "https"));
            let next = next.ok_or_else(|| {
                self.failed("it sends us on without an address to go to".to_owned())
            })?;
            if url.scheme() == "https" && next.scheme() == "http" {
                let host = line(next.host_str().unwrap_or_default());
                return Err(self.failed(format!("it sends us from https to http at {host}, where anybody could change the files")).into());
            }
            url = next;
        }
        Err(self.failed(format!("it sent us on more than {MOST_REDIRECTS} times")).into())
    }

    /// Waits for the network: not longer than a read may take, and not beyond the end of the operation.
    async fn within<T>(
        &self,
        patience: &Patience<'_>,
        url: &Url,
        work: impl Future<Output = Result<T, reqwest::Error>>,
    ) -> Result<T, Failure> {
        patience.check_cancelled()?;
        let (left, read) = (patience.left(), self.options.timeouts.read);
        let (most, last) = if left < read { (left, true) } else { (read, false) };
        let unreachable = |reason: String| Error::HubUnreachable { endpoint: origin(url), reason };
        let mut work = std::pin::pin!(tokio::time::timeout(most, work));
        loop {
            let Ok(done) = tokio::time::timeout(LOOK, &mut work).await else {
                patience.check_cancelled()?;
                continue;
            };
            return match done {
                Ok(Ok(done)) => Ok(done),
                Ok(Err(error)) if error.is_connect() || error.is_timeout() => {
                    Err(Failure::Passing(unreachable(line(&root_cause(&error))), None))
                }
                Ok(Err(error)) => {
                    Err(Failure::Passing(self.failed(line(&root_cause(&error))), None))
                }
                Err(_) if last => Err(unreachable("it takes too long".to_owned()).into()),
                Err(_) => {
                    let reason = format!("it said nothing for {read:.0?}");
                    Err(Failure::Passing(unreachable(reason), None))
                }
            };
        }
    }

    /// The hub does not have a file that is needed.
    pub(super) fn lacks(&self, name: &str) -> Error {
        self.failed(format!("it has no {name}"))
    }

    /// Something else is wrong with the hub's answer.
    pub(super) fn failed(&self, reason: String) -> Error {
        Error::Hub { id: self.id.to_owned(), reason }
    }

    /// A licence to accept, a private model, or a token that does not count: the hub often does not tell which.
    fn refused(&self, said: &str) -> Error {
        let (id, page) = (self.id.to_owned(), self.address(self.id));
        Error::HubAccess { id, page, said: said.to_owned() }
    }
}

/// An answer whose body is still to come.
pub(super) struct Answer<'c> {
    client: &'c Client<'c>,
    response: reqwest::Response,
}

impl Answer<'_> {
    /// The next bytes of the body; `None` at its end.
    pub(super) fn chunk(&mut self, patience: &Patience<'_>) -> Result<Option<Vec<u8>>, Failure> {
        let (client, url) = (self.client, self.response.url().clone());
        let chunk = client.within(patience, &url, self.response.chunk());
        Ok(client.runtime.block_on(chunk)?.map(Vec::from))
    }

    /// Bytes of the body, where the server says.
    pub(super) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Whether it is a part of a file of `total` bytes that begins at `start`.
    pub(super) fn continues(&self, start: u64, total: u64) -> bool {
        let range =
            self.response.headers().get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        self.response.status() == StatusCode::PARTIAL_CONTENT
            && range.is_some_and(|range| {
                range.trim() == format!("bytes {start}-{}/{total}", total.saturating_sub(1))
            })
    }

    /// Whether it is the whole file.
    pub(super) fn is_whole(&self) -> bool {
        self.response.status() == StatusCode::OK
    }

    /// The commit that the server says it answers for.
    pub(super) fn commit(&self) -> Option<&str> {
        self.header("x-repo-commit")
    }

    /// The address of the next page of a listing, which is on the same host: a listing is not handed on to another.
    fn next_page(&self) -> Result<Option<String>, Error> {
        let links = self.header("link").unwrap_or_default();
        let Some(next) = links.split(',').find(|link| link.contains("rel=\"next\"")) else {
            return Ok(None);
        };
        let here = self.response.url();
        let address = next.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let next = address.and_then(|(address, _)| here.join(address).ok());
        match next.filter(|next| next.origin() == here.origin()) {
            Some(next) => Ok(Some(next.into())),
            None => Err(self.client.failed("its listing goes on at another host".to_owned())),
        }
    }

    /// A body that has to be unpacked could be of any size then. None was asked for.
    fn check_encoding(&self) -> Result<(), Error> {
        match self.response.headers().get(CONTENT_ENCODING) {
            Some(encoding) if encoding != "identity" => Err(self
                .client
                .failed("it answers compressed, which it was not asked for".to_owned())),
            _ => Ok(()),
        }
    }

    /// What an answer without success means.
    fn failure(mut self, request: &Request<'_>, patience: &Patience<'_>) -> Failure {
        let status = self.response.status();
        let said = self.said(&patience.at_most(Duration::from_secs(5)));
        let client = self.client;
        match status.as_u16() {
            401 | 403 => Failure::Final(client.refused(&said)),
            404 => Failure::Final(client.failed(format!("{}{said}", request.missing))),
            408 | 429 | 500 | 502 | 503 | 504 => {
                let asked = self
                    .header("retry-after")
                    .and_then(|text| text.parse().ok())
                    .map(Duration::from_secs);
                let wait = asked.filter(|&asked| asked > client.options.timeouts.longest_pause);
                let wait = wait.map(|asked| {
                    format!("; it asks to wait for {} s, so try again then", asked.as_secs())
                });
                let reason =
                    format!("it answers {}{said}{}", status.as_u16(), wait.unwrap_or_default());
                Failure::Passing(client.failed(reason), asked)
            }
            code => Failure::Final(client.failed(format!("it answers {code}{said}"))),
        }
    }

    /// What the server says about an error, in a few words.
    fn said(&mut self, patience: &Patience<'_>) -> String {
        if let Some(said) = self.header("x-error-message") {
            return format!("; the hub says: {}", line(said));
        }
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = self.chunk(patience) {
            body.extend_from_slice(&chunk);
            if body.len() as u64 > ERROR_LIMIT {
                break;
            }
        }
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        if let Some(said) = json.as_ref().and_then(|json| json.get("error")?.as_str()) {
            return format!("; the hub says: {}", line(said));
        }
        let is_html = self
            .response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
        if is_html || body.trim_ascii_start().starts_with(b"<") {
            return "; the answer is a web page, perhaps of a proxy or a firewall on the way"
                .to_owned();
        }
        String::new()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }
}

/// The header that carries a token.
fn bearer(token: &str) -> Result<HeaderValue, String> {
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let mut header =
        header.map_err(|_| "the access token has characters that no token has".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}

/// Whether an address is of the endpoint's host: the same scheme, name and port, or https on its usual port for http on its own.
fn is_same_or_safer(endpoint: &Url, url: &Url) -> bool {
    let upgraded = endpoint.scheme() == "http"
        && url.scheme() == "https"
        && endpoint.port().is_none()
        && url.port().is_none()
        && endpoint.host() == url.host();
    upgraded || endpoint.origin() == url.origin()
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Scheme, host and port, for messages.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The innermost message of a chain of errors, which is the one that says what happened.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.last().map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_for_the_endpoints_own_origin_or_its_safer_form() {
        for (endpoint, url, is_trusted) in [
            ("https://hub.example/", "https://hub.example/a/b", true),
            ("https://hub.example/", "https://hub.example:443/a", true),
            ("https://hub.example/", "http://hub.example/a", false),
            ("https://hub.example/", "https://hub.example:8443/a", false),
            ("https://hub.example/", "https://cdn.hub.example/a", false),
            ("https://hub.example/", "https://hub.example.evil/a", false),
            ("https://hub.example/", "https://hub.example@evil.example/a", false),
            ("http://hub.example/", "https://hub.example/a", true),
            ("http://hub.example:8080/", "https://hub.example/a", false),
            ("http://hub.example/", "https://other.example/a", false),
        ] {
            let [endpoint, to] = [endpoint, url].map(|text| Url::parse(text).unwrap());
            assert_eq!(is_same_or_safer(&endpoint, &to), is_trusted, "{endpoint} {url}");
        }
    }
}
