//! How work ends otherwise: cancelled, left, failed, with a panic, with the server.

use std::time::Duration;

use explanation_server::{Limits, ServerOptions, Stopped};
use serde_json::json;

use crate::{Served, fake::Fake, held, question, until};

#[test]
fn deleted_work_is_cancelled() {
    let (model, gate) = held();
    let served = Served::new(model);
    let running = served.ask("/v1/explanations", &question());
    let waiting = served.ask("/v1/answers", &question());
    let streams = [served.events(&running), served.events(&waiting)];
    until("it runs", || served.get(&running).json()["state"] == "running");
    for place in [&running, &waiting] {
        assert_eq!(served.delete(place).status, 204);
        served.get(place).is_problem(404, "job");
    }
    for events in streams {
        assert_eq!(events.last().unwrap().name, "cancelled");
    }
    // The queue goes on, although the gate was never opened for what ran.
    let next = served.ask("/v1/answers", &question());
    until("the next one runs", || served.get(&next).json()["state"] == "running");
    gate.set(true);
    until("the next one is done", || served.get(&next).json()["state"] == "done");
}

#[test]
fn what_was_left_is_cancelled_where_that_was_asked_for() {
    let (model, _gate) = held();
    let limits = Limits { left: Duration::from_millis(200), ..Limits::default() };
    let served = Served::with(model, ServerOptions { limits, ..ServerOptions::default() });
    let mut body = question();
    let stays = served.ask("/v1/answers", &body);
    body["cancel_when_left"] = json!(true);
    let goes = served.ask("/v1/explanations", &body);
    let also = served.ask("/v1/answers", &body);
    // Nobody has listened yet, so nobody has left.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(served.get(&also).json()["state"], "queued");
    for place in [&stays, &goes, &also] {
        let mut two = [served.events(place), served.events(place)];
        assert!(two.iter_mut().all(|events| events.next().is_some()));
    }
    until("it is cancelled", || served.get(&goes).json()["state"] == "cancelled");
    until("it is cancelled", || served.get(&also).json()["state"] == "cancelled");
    assert_eq!(served.get(&stays).json()["state"], "running");
}

#[test]
fn one_who_comes_back_in_time_is_no_one_who_left() {
    let (model, gate) = held();
    let limits = Limits { left: Duration::from_millis(500), ..Limits::default() };
    let served = Served::with(model, ServerOptions { limits, ..ServerOptions::default() });
    let mut body = question();
    body["cancel_when_left"] = json!(true);
    let place = served.ask("/v1/answers", &body);
    let mut first = served.events(&place);
    first.next().unwrap();
    drop(first);
    let second = served.events(&place);
    std::thread::sleep(Duration::from_millis(800));
    gate.set(true);
    assert_eq!(second.last().unwrap().name, "done");
}

#[test]
fn a_panic_costs_its_own_item_and_says_nothing_of_it() {
    let served = Served::new(Fake::default());
    let panics = json!({ "phantom": 1, "prompt": "PANIC secret" });
    let item = served.post("/v1/answers?wait=60", &panics);
    assert_eq!(item.status, 200);
    let item = item.json();
    assert_eq!((&item["state"], &item["problem"]["kind"]), (&json!("failed"), &json!("internal")));
    assert!(!item["problem"].to_string().contains("secret"));

    let while_read = json!({ "phantom": 1, "prompt": "PANIC IN READ secret" });
    let detail = served.post("/v1/answers", &while_read).is_problem(500, "internal");
    assert!(!detail.contains("secret"));

    // What a panic left of an answer is not used again.
    let answer = served.post("/v1/answers?wait=60", &question()).json()["id"].clone();
    let explain = |word| json!({ "answer": answer, "targets": [{ "keyword": word }] });
    assert_eq!(
        served.post("/v1/explanations?wait=60", &explain("opacity")).json()["state"],
        "done"
    );
    assert_eq!(
        served.post("/v1/explanations?wait=60", &explain("PANIC")).json()["state"],
        "failed"
    );
    served.post("/v1/explanations", &explain("opacity")).is_problem(410, "not-in-answer");
    assert_eq!(served.post("/v1/answers?wait=60", &question()).json()["state"], "done");
}

#[test]
fn a_server_that_is_stopped_finishes_what_runs() {
    let (model, gate) = held();
    let mut served = Served::new(model);
    let running = served.ask("/v1/explanations", &question());
    until("it runs", || served.get(&running).json()["state"] == "running");
    let waiting = served.ask("/v1/answers", &question());
    let streams = [served.events(&running), served.events(&waiting)];
    let server = served.running.take().unwrap();
    let stopping = std::thread::spawn(move || server.stop(Duration::from_mins(1)));
    until("it is said", || served.get("/healthz").status == 503);
    served.post("/v1/answers", &question()).is_problem(503, "busy");
    gate.set(true);
    let [running, waiting] = streams;
    assert_eq!(waiting.last().unwrap().name, "cancelled");
    assert_eq!(running.last().unwrap().name, "done");
    assert_eq!(stopping.join().unwrap(), Stopped::Finished);
}

#[test]
fn a_server_that_is_stopped_does_not_wait_for_ever() {
    let (model, _gate) = held();
    let mut served = Served::new(model);
    let place = served.ask("/v1/explanations", &question());
    until("it runs", || served.get(&place).json()["state"] == "running");
    let events = served.events(&place);
    let server = served.running.take().unwrap();
    assert_eq!(server.stop(Duration::from_millis(50)), Stopped::Cancelled);
    assert_eq!(events.last().unwrap().name, "cancelled");

    // Told twice, it does not wait at all.
    let (model, _gate) = held();
    let mut served = Served::new(model);
    let place = served.ask("/v1/explanations", &question());
    until("it runs", || served.get(&place).json()["state"] == "running");
    let server = served.running.take().unwrap();
    server.stopper().stop();
    assert_eq!(server.stop(Duration::from_hours(1)), Stopped::Cancelled);
}
