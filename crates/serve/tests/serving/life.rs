//! From the question to the files, and how it ends otherwise.

use serde_json::json;

use crate::{Served, fake::ANSWER, fake::Fake, held, question, until};

fn names(events: &[crate::client::Event]) -> Vec<&str> {
    let mut names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    names.dedup();
    names
}

#[test]
fn an_explanation_from_question_to_files() {
    let served = Served::new(Fake::default());
    let mut body = question();
    body["targets"] = json!([{ "keyword": "opacity" }, { "keyword": "elephant" }]);
    let reply = served.post("/v1/explanations", &body);
    assert_eq!(reply.status, 202);
    let place = reply.headers["location"].clone();
    assert_eq!(reply.json()["kind"], "explanation");
    assert_eq!(reply.headers["cache-control"], "no-store");

    let events: Vec<_> = served.events(&place).collect();
    let text: String = events
        .iter()
        .filter(|event| event.name == "token")
        .map(|event| event.data["text"].as_str().unwrap())
        .collect();
    assert_eq!(text, ANSWER);
    assert_eq!(events.iter().filter(|event| event.name == "row").count(), 2);
    assert_eq!(events.last().unwrap().name, "done");

    let item = served.get(&place).json();
    assert_eq!(item["state"], "done");
    assert_eq!(item["answer"]["text"], ANSWER);
    assert_eq!(item["rows"][0]["kind"], "target");
    assert_eq!(item["rows"][0]["maps"][0]["values"].as_array().unwrap().len(), 256);
    assert_eq!(item["rows"][1]["kind"], "missing");
    assert_eq!(item["run"]["program"], "fake");
    assert!(item["expires"].is_string() && item["problem"].is_null() && item["position"].is_null());
    let picture = &item["pictures"][0];
    assert_eq!(picture["name"], "phantom 7");
    let png = served.get(picture["png"].as_str().unwrap());
    assert_eq!(png.headers["content-type"], "image/png");
    assert_eq!(image::load_from_memory(&png.body).unwrap().width(), 256);
    assert_eq!(served.get(&format!("{place}/pictures/1")).status, 404);

    let report = served.get(&format!("{place}/report"));
    assert!(report.text().contains("A report"));
    assert!(report.headers["content-security-policy"].starts_with("sandbox allow-scripts"));
    let files = served.get(&format!("{place}/files")).json();
    assert_eq!(files["files"][0]["name"], "explanation.json");
    assert_eq!(files["files"][0]["media_type"], "application/json");
    let file = served.get(&format!("{place}/files/explanation.json"));
    assert_eq!(file.headers["content-disposition"], "attachment; filename=\"explanation.json\"");
    assert_eq!(file.body.len(), files["files"][0]["bytes"].as_u64().unwrap() as usize);
    served.get(&format!("{place}/files/other.json")).is_problem(404, "job");

    // The answer is kept and can be explained, more than once.
    let answer = item["answer"]["id"].as_str().unwrap();
    let kept = served.get(&format!("/v1/answers/{answer}")).json();
    assert_eq!(kept["state"], "done");
    assert_eq!(kept["answer"]["id"], answer);
    for word in ["heart", "lung."] {
        let again = json!({ "answer": answer, "targets": [{ "keyword": word }] });
        let again = served.post("/v1/explanations?wait=60", &again);
        assert_eq!(again.status, 200);
        let again = again.json();
        assert_eq!(again["state"], "done");
        assert_eq!(again["rows"][0]["text"], word);
        assert_eq!(again["answer"]["text"], ANSWER);
        assert_eq!(again["pictures"][0]["sha256"], picture["sha256"]);
    }
    let model = served.get("/v1/model").json();
    assert!(
        model["seconds"]["explanation"].is_number() && model["seconds"]["answer_token"].is_number()
    );

    assert_eq!(served.delete(&place).status, 204);
    for part in ["", "/report", "/files", "/events"] {
        served.get(&format!("{place}{part}")).is_problem(404, "job");
    }
    served.delete(&place).is_problem(404, "job");
}

#[test]
fn what_waits_sees_its_place_change() {
    let (model, gate) = held();
    let served = Served::new(model);
    let first = served.ask("/v1/answers", &question());
    until("it runs", || served.get(&first).json()["state"] == "running");
    let second = served.ask("/v1/answers", &question());
    let third = served.ask("/v1/explanations", &question());
    assert_eq!(served.get(&second).json()["position"], 0);
    assert_eq!(served.get(&third).json()["position"], 1);
    let mut events = served.events(&third);
    let mut seen = vec![events.next().unwrap()];
    assert_eq!((seen[0].name.as_str(), &seen[0].data["position"]), ("queued", &json!(1)));
    assert_eq!(served.delete(&second).status, 204);
    seen.push(events.next().unwrap());
    seen.push(events.next().unwrap());
    gate.set(true);
    seen.extend(events);
    let places: Vec<_> = seen
        .iter()
        .filter(|event| event.name == "queued")
        .map(|event| event.data["position"].clone())
        .collect();
    assert_eq!(places, [1, 0]);
    let names = names(&seen);
    assert_eq!(names[..3], ["queued", "pictures", "queued"]);
    let at = |name| names.iter().position(|other| *other == name).unwrap();
    assert!(at("queued") < at("started") && at("started") < at("token"));
    assert!(at("token") < at("answered") && at("answered") < at("row"));
    assert_eq!(*names.last().unwrap(), "done");

    // The same life for one who comes late, and for one who comes back.
    let late: Vec<_> = served.events(&third).collect();
    assert_eq!(
        late.iter().map(|event| event.name.as_str()).collect::<Vec<_>>()[..3],
        ["pictures", "token", "answered"]
    );
    let last = &seen.iter().rfind(|event| event.name == "token").unwrap().id;
    let back: Vec<_> = served.events_after(&third, Some(last)).collect();
    assert!(back.iter().all(|event| event.name != "token"), "{back:?}");
    assert_eq!(back.iter().filter(|event| event.name == "row").count(), 5);
    let unknown: Vec<_> = served.events_after(&third, Some("9999.x")).collect();
    assert_eq!(unknown, late);
}
