//! Many clients at once.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::client::Client;

/// What came of a load: how long each request took from being sent to its result, by kind, and how often the queue was full.
#[derive(Default)]
pub struct Load {
    pub took: BTreeMap<&'static str, Vec<Duration>>,
    pub full: usize,
}

/// Sends `requests` from `clients` threads and waits for all results. What is lost or wrong is a panic.
pub fn load(address: SocketAddr, clients: usize, requests: usize) -> Load {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Load::default()));
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let client = Client::new(address);
                let mut answer = None;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if requests <= number {
                        return;
                    }
                    let start = Instant::now();
                    let (kind, full) = one(&client, number, &mut answer);
                    let mut all = all.lock().unwrap();
                    all.took.entry(kind).or_default().push(start.elapsed());
                    all.full += full;
                }
            });
        }
    });
    all.into_inner().unwrap()
}

/// One request of a kind that its number says.
fn one(client: &Client, number: usize, answer: &mut Option<String>) -> (&'static str, usize) {
    let question = json!({ "phantom": number, "prompt": "Is there an opacity?", "options": { "max_new_tokens": 20 } });
    let mut explanation = question.clone();
    explanation["targets"] = json!([{ "answer_span": true }]);
    match (number % 4, answer.as_ref()) {
        (0, _) => {
            let (place, full) = done(client, "/v1/answers", &question);
            *answer = place.rsplit('/').next().map(str::to_owned);
            ("answer", full)
        }
        (1, Some(id)) => {
            let kept = json!({ "answer": id, "targets": [{ "answer_span": true }] });
            ("kept answer explained", done(client, "/v1/explanations", &kept).1)
        }
        (2, _) => {
            assert_eq!(client.get("/v1/model").status, 200);
            ("model", 0)
        }
        _ => {
            let (place, full) = done(client, "/v1/explanations", &explanation);
            assert_eq!(client.get(&format!("{place}/report")).status, 200);
            assert_eq!(client.delete(&place).status, 204);
            ("explanation with report", full)
        }
    }
}

/// Asks until there is room, and follows it to its end. Where it is, and how often there was no room.
fn done(client: &Client, path: &str, body: &serde_json::Value) -> (String, usize) {
    let mut full = 0;
    loop {
        let reply = client.post(path, body);
        match reply.status {
            202 | 200 => {
                let place = reply.headers["location"].clone();
                let end = client.events(&place).last().expect("a stream has an end");
                assert_eq!(end.name, "done", "{end:?}");
                return (place, full);
            }
            429 => {
                assert!(reply.headers.contains_key("retry-after"));
                full += 1;
                thread::sleep(Duration::from_millis(50));
            }
            410 if path == "/v1/explanations" => {
                // The kept answer went to make room: also a way to be answered.
                return (String::new(), full);
            }
            status => panic!("{path}: {status}: {}", reply.text()),
        }
    }
}

impl Load {
    pub fn count(&self) -> usize {
        self.took.values().map(Vec::len).sum()
    }

    /// A line for each kind: how many, and what half and 99 of 100 took at most.
    pub fn lines(&mut self) -> Vec<String> {
        let lines = self.took.iter_mut().map(|(kind, took)| {
            took.sort();
            let at =
                |share: f64| took[((took.len() - 1) as f64 * share).round() as usize].as_millis();
            format!("{kind}: {} requests, p50 {} ms, p99 {} ms", took.len(), at(0.5), at(0.99))
        });
        let mut lines: Vec<_> = lines.collect();
        lines.push(format!("the queue was full {} times", self.full));
        lines
    }
}

/// Resident memory of a process in bytes; `None` where the system does not say.
pub fn resident(process: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}
