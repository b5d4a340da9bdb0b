//! What is kept, for how long, and what is told of it.

use std::{collections::BTreeMap, fs, time::Duration};

use explanation_server::{Limits, ServerOptions, Stopped};
use serde_json::json;

use crate::{Served, fake::Fake, held, question, until};

fn explained(served: &Served) -> String {
    let reply = served.post("/v1/explanations?wait=60", &question());
    assert_eq!(reply.json()["state"], "done", "{}", reply.text());
    reply.headers["location"].clone()
}

#[test]
fn what_nobody_asks_for_expires() {
    let limits = Limits { kept: Duration::from_millis(400), ..Limits::default() };
    let (model, gate) = held();
    let served = Served::with(model, ServerOptions { limits, ..ServerOptions::default() });
    gate.set(true);
    let place = explained(&served);
    let answer = served.get(&place).json()["answer"]["id"].as_str().unwrap().to_owned();
    // Longer than it is kept; but asked for, listened to or worked on it stays.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(40));
        assert_eq!(served.get(&place).status, 200);
    }
    gate.set(false);
    let long = served.ask("/v1/answers", &question());
    std::thread::sleep(Duration::from_millis(900));
    assert_eq!(served.get(&long).json()["state"], "running");
    served.get(&place).is_problem(410, "job");
    served.get(&format!("{place}/report")).is_problem(410, "job");
    served.post("/v1/explanations", &json!({ "answer": answer })).is_problem(410, "not-in-answer");
}

#[test]
fn the_oldest_goes_first_when_memory_is_full() {
    let limits = Limits { kept_bytes: 10 << 20, ..Limits::default() };
    let model = Fake { kept_bytes: 3 << 20, ..Fake::default() };
    let served = Served::with(model, ServerOptions { limits, ..ServerOptions::default() });
    let places: Vec<_> = (0..6)
        .map(|_| served.post("/v1/answers?wait=60", &question()).headers["location"].clone())
        .collect();
    let there = || places.iter().map(|place| served.get(place).status).collect::<Vec<_>>();
    until("three are left", || there() == [410, 410, 410, 200, 200, 200]);
    let kept =
        served.get("/metrics").text().lines().find_map(|line| {
            line.strip_prefix("medgemma_explainer_kept_bytes ")?.parse::<u64>().ok()
        });
    assert!(kept.unwrap() <= 10 << 20);
}

#[test]
fn stored_explanations_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        || ServerOptions { store: Some(folder.path().join("store")), ..ServerOptions::default() };
    let mut served = Served::with(Fake::default(), options());
    let (place, other) = (explained(&served), explained(&served));
    let before = served.get(&place).json();
    assert!(before["expires"].is_null() && before["problem"].is_null());
    let parts = ["/report", "/files", "/files/explanation.json", "/pictures/0"];
    let pages = parts.map(|part| served.get(&format!("{place}{part}")).body);
    assert_eq!(served.running.take().unwrap().stop(Duration::ZERO), Stopped::Finished);

    // As if the server had ended while it wrote, and while it deleted.
    let store = folder.path().join("store");
    fs::create_dir(store.join(".unfinished-x")).unwrap();
    let served = Served::with(Fake::default(), options());
    let mut names: Vec<_> = fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let mut ids = [&place, &other].map(|place| place.rsplit('/').next().unwrap().to_owned());
    ids.sort();
    assert_eq!(names, ids);
    assert_eq!(served.get(&place).json(), before);
    assert_eq!(parts.map(|part| served.get(&format!("{place}{part}")).body), pages);
    let events: Vec<_> = served.events(&place).map(|event| event.name).collect();
    assert_eq!((events[0].as_str(), events.last().unwrap().as_str()), ("pictures", "done"));
    // The answer is not stored: what is needed to explain it is the model's memory.
    let answer = json!({ "answer": before["answer"]["id"] });
    served.post("/v1/explanations", &answer).is_problem(404, "job");

    assert_eq!(served.delete(&place).status, 204);
    served.get(&place).is_problem(404, "job");
    assert_eq!(fs::read_dir(&store).unwrap().count(), 1);
    // Damaged by somebody: said, not guessed.
    fs::write(store.join(other.rsplit('/').next().unwrap()).join("item.json"), "{").unwrap();
    served.get(&other).is_problem(500, "file");
}

#[test]
fn what_cannot_be_stored_is_said_and_stays_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let options = ServerOptions { store: Some(store.clone()), ..ServerOptions::default() };
    let served = Served::with(Fake::default(), options);
    fs::remove_dir(&store).unwrap();
    let place = explained(&served);
    let item = served.get(&place).json();
    assert_eq!((&item["state"], &item["problem"]["kind"]), (&json!("done"), &json!("file")));
    assert!(item["expires"].is_string());
    assert_eq!(served.get(&format!("{place}/report")).status, 200);
    assert!(served.get("/metrics").text().contains("medgemma_explainer_not_stored_total 1"));
}

#[test]
fn the_log_says_nothing_of_what_was_asked() {
    let served = Served::new(Fake { strict: false, ..Fake::default() });
    let body = json!({
        "images": [{ "data": "AAAA", "name": "Doe-John.dcm" }], "prompt": "secret words",
        "targets": [{ "keyword": "opacity" }],
    });
    let place = served.ask("/v1/explanations", &body);
    served.events(&place).count();
    served.get(&format!("{place}/files/Doe-John"));
    served.get("/secret/Doe");
    let odd =
        format!("SECRETDOE / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", served.address);
    assert!(served.raw(odd.as_bytes()).starts_with("HTTP/1.1 405 "));
    served.post("/v1/answers", &json!({ "secret": "Doe" }));
    let log = served.log.lock().unwrap().join("\n");
    let metrics = served.get("/metrics");
    let id = place.rsplit('/').next().unwrap();
    for private in ["Doe", "DOE", "secret", "SECRET", "opacity", id] {
        assert!(!log.contains(private), "{private}: {log}");
        assert!(!metrics.text().contains(private), "{private}");
    }
    assert!(log.contains("POST /v1/explanations 202 "), "{log}");
    assert!(log.contains("GET /v1/explanations/{id}/events 200 "), "{log}");
    assert!(log.contains("GET other 404 ") && log.contains("OTHER / 405 "), "{log}");
}

#[test]
fn measures_are_counted() {
    let served = Served::new(Fake::default());
    explained(&served);
    let metrics = served.get("/metrics");
    assert!(metrics.headers["content-type"].starts_with("text/plain; version=0.0.4"));
    let mut values = BTreeMap::new();
    for line in metrics.text().lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        values.insert(
            name.strip_prefix("medgemma_explainer_").unwrap(),
            value.parse::<f64>().unwrap(),
        );
    }
    let value = |name: &str| values[name];
    assert!(
        (value("requests_total{method=\"POST\",route=\"/v1/explanations\",status=\"200\"}") - 1.0)
            .abs()
            < 1e-9
    );
    assert!((value("answer_seconds_count") - 1.0).abs() < 1e-9);
    assert!((value("explanation_seconds_bucket{le=\"+Inf\"}") - 1.0).abs() < 1e-9);
    assert!((value("tokens_total") - 16.0).abs() < 1e-9);
    assert!(value("items{kind=\"explanation\",state=\"done\"}") > 0.5 && value("kept_bytes") > 1e6);
    assert!(value("queue_length").abs() < 1e-9);
}
