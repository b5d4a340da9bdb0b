//! The server with a model that answers a fixed text, as a client sees it.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "modules of tests")]

#[path = "../support/client.rs"]
mod client;
#[path = "../support/fake.rs"]
mod fake;

#[path = "../support/load.rs"]
mod load;

mod ending;
mod keeping;
mod life;
mod loaded;
mod refused;
mod schemathesis;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use client::Client;
use explanation_server::{Log, Running, ServerOptions, serve};
use fake::Fake;
use serde_json::{Value, json};

/// A server for a test.
struct Served {
    client: Client,
    running: Option<Running>,
    log: Arc<Mutex<Vec<String>>>,
}

impl std::ops::Deref for Served {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Served {
    fn with(model: Fake, mut options: ServerOptions) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&log);
        options.log = Log::new(move |line| lines.lock().unwrap().push(line.to_owned()));
        let running = serve(model, options).unwrap();
        Self { client: Client::new(running.address()), running: Some(running), log }
    }

    fn new(model: Fake) -> Self {
        Self::with(model, ServerOptions::default())
    }
}

/// A model that is held up, and what holds it.
fn held() -> (Fake, fake::Gate) {
    let model = Fake::default();
    model.gate.set(false);
    let gate = model.gate.clone();
    (model, gate)
}

fn question() -> Value {
    json!({ "phantom": 7, "prompt": "Is there an opacity?" })
}

/// Looks again until it is so; a test that would wait for ever fails.
#[track_caller]
fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}
