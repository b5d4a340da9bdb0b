//! What `/metrics` says, in the text format of Prometheus.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::queue::Hub;

/// What is counted.
#[derive(Default)]
pub(crate) struct Metrics(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    requests: BTreeMap<(&'static str, String, u16), u64>,
    answering: Histogram,
    explaining: Histogram,
    tokens: u64,
    not_stored: u64,
}

/// Upper ends of the buckets, in seconds.
const BOUNDS: [f64; 12] =
    [0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

#[derive(Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    fn add(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        for (bucket, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
        self.count += 1;
        self.sum += seconds;
    }
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `route` is a template, so there are few.
    pub(crate) fn request(&self, method: &'static str, route: &str, status: u16) {
        *self.counts().requests.entry((method, route.to_owned(), status)).or_default() += 1;
    }

    pub(crate) fn answered(&self, took: Duration) {
        self.counts().answering.add(took);
    }

    pub(crate) fn explained(&self, took: Duration) {
        self.counts().explaining.add(took);
    }

    pub(crate) fn tokens(&self, tokens: u64) {
        self.counts().tokens += tokens;
    }

    pub(crate) fn not_stored(&self) {
        self.counts().not_stored += 1;
    }
}

/// All of it.
pub(crate) fn text(hub: &Hub) -> String {
    let (kept_bytes, items) = hub.shelf.census();
    let waiting = hub.queue_length() as u64;
    let mut text = Text(String::new());
    let counts = hub.metrics.counts();
    text.family("requests_total", "counter", "Requests that were answered.");
    for ((method, route, status), count) in &counts.requests {
        let labels = format!("{{method=\"{method}\",route=\"{route}\",status=\"{status}\"}}");
        text.line("requests_total", &labels, *count);
    }
    text.family("items", "gauge", "Answers and explanations in memory.");
    for ((kind, state), count) in items {
        let labels = format!("{{kind=\"{}\",state=\"{}\"}}", kind.name(), state.name());
        text.line("items", &labels, count);
    }
    for (name, kind, help, value) in [
        ("queue_length", "gauge", "Requests that wait for the model.", waiting),
        ("kept_bytes", "gauge", "Memory of results and kept answers.", kept_bytes),
        ("tokens_total", "counter", "Tokens that were generated.", counts.tokens),
        (
            "not_stored_total",
            "counter",
            "Explanations that could not be stored.",
            counts.not_stored,
        ),
    ] {
        text.family(name, kind, help);
        text.line(name, "", value);
    }
    text.histogram("answer_seconds", "Seconds that answers took.", &counts.answering);
    text.histogram("explanation_seconds", "Seconds that explanations took.", &counts.explaining);
    text.0
}

struct Text(String);

// Writing to a `String` cannot fail.
impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP medgemma_explainer_{name} {help}");
        _ = writeln!(self.0, "# TYPE medgemma_explainer_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: u64) {
        _ = writeln!(self.0, "medgemma_explainer_{name}{labels} {value}");
    }

    fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, "histogram", help);
        for (bound, count) in BOUNDS.iter().zip(histogram.buckets) {
            self.line(&format!("{name}_bucket"), &format!("{{le=\"{bound}\"}}"), count);
        }
        self.line(&format!("{name}_bucket"), "{le=\"+Inf\"}", histogram.count);
        _ = writeln!(self.0, "medgemma_explainer_{name}_sum {}", histogram.sum);
        self.line(&format!("{name}_count"), "", histogram.count);
    }
}
