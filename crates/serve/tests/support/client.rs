//! A client for tests.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value;
use ureq::{Agent, http::Request};

pub struct Client {
    agent: Agent,
    pub address: SocketAddr,
    pub token: Option<String>,
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// That it is a problem of this status and kind, in the agreed form.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str) -> String {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "{text}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        let json = self.json();
        assert_eq!(json["status"], status, "{json}");
        assert_eq!(json["kind"], kind, "{json}");
        assert_eq!(json["type"], "about:blank");
        assert!(json["title"].is_string());
        json["detail"].as_str().unwrap().to_owned()
    }
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_mins(1)));
        Self { agent: config.build().into(), address, token: None }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut request = Request::builder().method(method).uri(self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = if body.is_empty() && method != "POST" {
            self.agent.run(request.body(()).unwrap())
        } else {
            self.agent.run(request.body(body).unwrap())
        };
        let mut response = response.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let headers = response.headers().iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        Reply { status: response.status().as_u16(), headers, body }
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], &[])
    }

    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, &[], &[])
    }

    pub fn post(&self, path: &str, json: &Value) -> Reply {
        self.send(
            "POST",
            path,
            &[("content-type", "application/json")],
            json.to_string().as_bytes(),
        )
    }

    /// Posts, and returns where the item is.
    #[track_caller]
    pub fn ask(&self, path: &str, json: &Value) -> String {
        let reply = self.post(path, json);
        assert!(matches!(reply.status, 200 | 202), "{}", reply.text());
        reply.headers["location"].clone()
    }

    /// A form: name, name of the file, content.
    pub fn form(&self, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Reply {
        let mut body = Vec::new();
        for (name, file, content) in parts {
            let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
            write!(
                body,
                "--limit\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n"
            )
            .unwrap();
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--limit--\r\n");
        self.send("POST", path, &[("content-type", "multipart/form-data; boundary=limit")], &body)
    }

    pub fn events(&self, path: &str) -> Events {
        self.events_after(path, None)
    }

    pub fn events_after(&self, path: &str, last: Option<&str>) -> Events {
        let mut request = Request::builder().method("GET").uri(self.url(&format!("{path}/events")));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = self.agent.run(request.body(()).unwrap()).unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { lines: BufReader::new(response.into_body().into_reader()) }
    }

    /// Sends bytes as they are, and returns what comes until the server closes.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// Events of a stream.
pub struct Events {
    lines: BufReader<ureq::BodyReader<'static>>,
}

#[derive(Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut event = Event { name: String::new(), id: String::new(), data: Value::Null };
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ if line == "\n" && !event.name.is_empty() => return Some(event),
                _ => {}
            }
        }
    }
}
