//! What is refused, and how that is said.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use explanation_server::{Error, Limits, ServerOptions, Token, serve};
use serde_json::json;

use crate::{Served, fake::Fake, held, question, until};

const BASE64: &str = "iVBORw0KGgo=";

#[test]
fn what_is_wrong_with_a_question_is_said_at_once() {
    let served = Served::new(Fake::default());
    let image = json!([{ "data": BASE64 }]);
    let user = |content| json!({ "messages": [{ "role": "user", "content": content }] });
    for (body, status, kind, part) in [
        (json!({}), 422, "question", "nothing is asked"),
        (json!({ "prompt": " " }), 422, "question", "blank"),
        (json!({ "prompt": 1 }), 400, "job", "string"),
        (json!({ "prompt": null }), 400, "job", "null"),
        (json!({ "promt": "P" }), 400, "job", "promt"),
        (json!({ "prompt": "P", "targets": [] }), 400, "job", "targets"),
        (json!({ "prompt": "P", "messages": [] }), 422, "question", "leave one"),
        (json!({ "messages": [] }), 422, "question", "no message"),
        (user(json!([])), 422, "question", "no content"),
        (user(json!([{ "type": "video" }])), 400, "job", "video"),
        (user(json!([{ "type": "text", "text": "a", "data": "" }])), 400, "job", "data"),
        (user(json!([{ "type": "image", "data": "%" }])), 422, "picture", "picture 1"),
        (json!({ "messages": [], "images": image }), 422, "question", "own pictures"),
        (json!({ "prompt": "P", "images": image, "phantom": 1 }), 422, "question", "phantom"),
        (
            json!({ "prompt": "P", "images": [{ "data": "no base64!" }] }),
            422,
            "picture",
            "not base64",
        ),
        (json!({ "prompt": "P", "images": [{ "data": "" }] }), 422, "picture", "empty"),
        (
            json!({ "prompt": "P", "images": [{ "data": BASE64, "name": "a\nb" }] }),
            422,
            "picture",
            "name",
        ),
        (json!({ "prompt": "P", "images": image }), 422, "picture", "no format"),
        (
            json!({ "prompt": "P", "options": { "max_new_tokens": 0 } }),
            422,
            "option",
            "max_new_tokens",
        ),
        (json!({ "prompt": "P", "options": { "words": "some" } }), 400, "job", "words"),
        (json!({ "prompt": "P", "options": { "contrast": " " } }), 422, "option", "contrast"),
        (json!({ "prompt": "MEMORY" }), 507, "memory", "TB"),
    ] {
        let detail = served.post("/v1/answers", &body).is_problem(status, kind);
        assert!(detail.contains(part) || status == 400, "{body}: {detail}");
        assert!(!detail.contains("no base64!"), "{detail}");
    }
    let long = json!({ "prompt": "a".repeat((1 << 20) + 1) });
    served.post("/v1/answers", &long).is_problem(422, "question");

    let nobody = "0".repeat(32);
    for (body, status, kind) in [
        (json!({ "answer": nobody }), 404, "job"),
        (json!({ "answer": "../x" }), 422, "question"),
        (json!({ "answer": nobody, "prompt": "P" }), 422, "question"),
        (json!({ "answer": nobody, "options": { "answer": "A" } }), 422, "question"),
        (json!({ "answer": nobody, "options": { "max_new_tokens": 5 } }), 422, "question"),
        (json!({ "answer": nobody, "options": { "window": "lung" } }), 422, "question"),
        (json!({ "phantom": 1, "prompt": "P", "targets": [{ "keyword": " " }] }), 422, "target"),
        (json!({ "phantom": 1, "prompt": "P", "targets": [{}] }), 400, "job"),
        (
            json!({ "phantom": 1, "prompt": "P", "targets": vec![json!({ "position": 1 }); 101] }),
            422,
            "target",
        ),
    ] {
        served.post("/v1/explanations", &body).is_problem(status, kind);
    }
}

#[test]
fn what_is_no_request_is_a_problem_as_well() {
    let served = Served::new(Fake::default());
    served.get("/nowhere").is_problem(404, "job");
    served.get("/assets/../Cargo.toml").is_problem(404, "job");
    served.get("/assets/%2e%2e/Cargo.toml").is_problem(404, "job");
    served.get("/v1/answers/%ff").is_problem(404, "job");
    served.get("/v1/answers/..%2f..%2fetc%2fpasswd").is_problem(404, "job");
    let put = served.send("PUT", "/v1/answers", &[], b"x");
    put.is_problem(405, "job");
    assert_eq!(put.headers["allow"], "POST");
    served
        .send("OPTIONS", "/v1/answers", &[("origin", &served.url(""))], &[])
        .is_problem(405, "job");
    let json = [("content-type", "application/json")];
    served.send("POST", "/v1/answers", &json, b"{").is_problem(400, "job");
    served.send("POST", "/v1/answers", &json, b"\xff").is_problem(400, "job");
    served
        .send("POST", "/v1/answers", &json, "[".repeat(100_000).as_bytes())
        .is_problem(400, "job");
    served.send("POST", "/v1/answers", &[], b"{}").is_problem(415, "job");
    served
        .send("POST", "/v1/answers", &[("content-type", "text/plain")], b"{}")
        .is_problem(415, "job");
    let zipped = [json[0], ("content-encoding", "gzip")];
    served.send("POST", "/v1/answers", &zipped, b"{}").is_problem(415, "job");
    for query in ["wait=301", "wait=-1", "wait=x", "wait=1&wait=2", "weight=1"] {
        served.post(&format!("/v1/answers?{query}"), &question()).is_problem(400, "job");
    }
    served.get("/v1/model?x=1").is_problem(400, "job");
}

#[test]
fn forms_are_read_and_checked() {
    let served = Served::new(Fake { strict: false, ..Fake::default() });
    let job = json!({ "prompt": "P" }).to_string();
    let good = [
        ("image", Some("a.dcm"), &b"one"[..]),
        ("image", Some(""), b"two!"),
        ("job", None, job.as_bytes()),
    ];
    let item = served.form("/v1/answers?wait=60", &good);
    assert_eq!(item.status, 200, "{}", item.text());
    let item = item.json();
    assert_eq!(item["state"], "done");
    assert_eq!(item["pictures"].as_array().unwrap().len(), 2);
    assert_eq!(item["pictures"][0]["name"], "a.dcm");
    assert!(item["pictures"][1]["name"].is_null());

    let form = |parts: &[(&str, Option<&str>, &[u8])]| served.form("/v1/answers", parts);
    form(&[("image", None, b"x")]).is_problem(400, "job");
    form(&[good[2], good[2]]).is_problem(400, "job");
    form(&[good[2], ("other", None, b"x")]).is_problem(400, "job");
    form(&[good[2], ("image", Some("x"), b"")]).is_problem(422, "picture");
    form(&[("job", None, b"{\"prompt\":\"P\",\"phantom\":1}"), good[0]])
        .is_problem(422, "question");
    let multipart = |kind: &str, body: &[u8]| {
        served.send("POST", "/v1/answers", &[("content-type", kind)], body)
    };
    multipart("multipart/form-data", b"x").is_problem(400, "job");
    multipart("multipart/form-data; boundary=limit", b"--limit\r\nContent-").is_problem(400, "job");
}

#[test]
fn what_is_too_large_is_refused() {
    let limits =
        Limits { body_bytes: 100_000, picture_bytes: 1000, images: 3, ..Limits::default() };
    let served = Served::with(
        Fake { strict: false, ..Fake::default() },
        ServerOptions { limits, ..ServerOptions::default() },
    );
    let large = json!({ "prompt": "a".repeat(200_000) });
    served.post("/v1/answers", &large).is_problem(413, "job");
    // Without its length being announced.
    let chunk = format!("8000\r\n{}\r\n", "a".repeat(0x8000));
    let head = format!(
        "POST /v1/answers HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        served.address
    );
    let answer = served.raw(&[head.as_bytes(), chunk.repeat(5).as_bytes(), b"0\r\n\r\n"].concat());
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");

    let job = ("job", None, &b"{\"prompt\":\"P\"}"[..]);
    let image = ("image", Some("x"), &b"x"[..]);
    served.form("/v1/answers", &[image, image, image, image, job]).is_problem(413, "job");
    let heavy = vec![0; 1001];
    served.form("/v1/answers", &[("image", Some("x"), &heavy), job]).is_problem(413, "job");
    let encoded = json!({ "prompt": "P", "images": [{ "data": "A".repeat(1400) }] });
    served.post("/v1/answers", &encoded).is_problem(422, "picture");
    let four = json!({ "prompt": "P", "images": vec![json!({ "data": "AAAA" }); 4] });
    served.post("/v1/answers", &four).is_problem(422, "question");
}

#[test]
fn a_full_queue_says_when_to_come_again() {
    let (model, _gate) = held();
    let limits = Limits { queue: 2, ..Limits::default() };
    let served = Served::with(model, ServerOptions { limits, ..ServerOptions::default() });
    let running = served.ask("/v1/answers", &question());
    until("it runs", || served.get(&running).json()["state"] == "running");
    let waiting = [0, 1].map(|_| served.ask("/v1/answers", &question()));
    let reply = served.post("/v1/answers", &question());
    reply.is_problem(429, "busy");
    assert!(1 <= reply.headers["retry-after"].parse::<u64>().unwrap());
    // What waits can be looked at, but not explained yet; the rest of the server goes on.
    let id = waiting[0].rsplit('/').next().unwrap();
    assert_eq!(served.delete(&waiting[1]).status, 204);
    served.post("/v1/explanations", &json!({ "answer": id })).is_problem(409, "job");
    let explanation = served.ask("/v1/explanations", &question());
    for part in ["report", "files", "files/x"] {
        served.get(&format!("{explanation}/{part}")).is_problem(409, "job");
    }
    assert_eq!(served.get("/healthz").json()["status"], "ok");
}

#[test]
fn foreign_names_and_pages_are_refused() {
    let served = Served::new(Fake::default());
    let port = served.address.port();
    let raw = |head: &str| served.raw(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes());
    for (head, status) in [
        (format!("GET /v1/model HTTP/1.1\r\nHost: localhost:{port}"), 200),
        (format!("GET /v1/model HTTP/1.1\r\nHost: [::1]:{port}"), 200),
        (format!("GET /v1/model HTTP/1.1\r\nHost: evil.example:{port}"), 421),
        ("GET / HTTP/1.1\r\nHost: localhost".to_owned(), 421),
        (format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nHost: evil"), 400),
        ("GET / HTTP/1.1\r\nX: y".to_owned(), 400),
        (format!("GET http://evil/ HTTP/1.1\r\nHost: localhost:{port}"), 400),
        (format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\nX: {}", "a".repeat(70_000)), 431),
        ("nonsense".to_owned(), 400),
    ] {
        let answer = raw(&head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head:.60}: {answer:.200}");
    }
    let own = served.url("");
    for (header, value, status) in [
        ("origin", own.as_str(), 202),
        ("origin", "null", 403),
        ("origin", "http://evil.example", 403),
        ("origin", &format!("http://localhost:{port}"), 403), // another name than it was called by
        ("sec-fetch-site", "cross-site", 403),
        ("sec-fetch-site", "same-origin", 202),
    ] {
        let json = ("content-type", "application/json");
        let reply = served.send(
            "POST",
            "/v1/answers",
            &[json, (header, value)],
            question().to_string().as_bytes(),
        );
        assert_eq!(reply.status, status, "{header}: {value}");
        assert!(!reply.headers.contains_key("access-control-allow-origin"));
    }
    let page = served.get("/");
    assert_eq!(page.status, 200);
    for (name, part) in [
        ("content-type", "text/html"),
        ("content-security-policy", "default-src 'none'; script-src 'self'"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert!(page.headers[name].starts_with(part), "{name}: {}", page.headers[name]);
    }
}

#[test]
fn a_token_is_needed_where_there_is_one() {
    let secret = "0123456789abcdef";
    let options =
        ServerOptions { token: Some(Token::new(secret).unwrap()), ..ServerOptions::default() };
    let mut served = Served::with(Fake::default(), options);
    let without = served.get("/v1/model");
    without.is_problem(401, "job");
    assert_eq!(without.headers["www-authenticate"], "Bearer");
    served.get("/metrics").is_problem(401, "job");
    served.post("/v1/answers", &question()).is_problem(401, "job");
    for wrong in
        ["Bearer", "Bearer x", "Basic 0123456789abcdef", "Bearer 0123456789abcdef0", secret]
    {
        served.send("GET", "/v1/model", &[("authorization", wrong)], &[]).is_problem(401, "job");
    }
    // The page asks for it, so it comes without; so does what watches the server.
    for open in ["/", "/healthz", "/openapi.json"] {
        assert_eq!(served.get(open).status, 200, "{open}");
    }
    served.client.token = Some(secret.to_owned());
    assert_eq!(served.get("/v1/model").status, 200);
    assert_eq!(served.get("/metrics").status, 200);
    let place = served.ask("/v1/answers", &question());
    assert_eq!(served.events(&place).last().unwrap().name, "done");
}

#[test]
fn nobody_listens_to_a_network_without_a_token() {
    let open = |token| ServerOptions {
        address: (Ipv4Addr::UNSPECIFIED, 0).into(),
        token,
        ..ServerOptions::default()
    };
    let error = serve(Fake::default(), open(None)).unwrap_err();
    assert!(
        matches!(error, Error::Open(_)) && error.to_string().contains("token is needed"),
        "{error}"
    );
    let token = Token::new("0123456789abcdef").ok();
    assert!(serve(Fake::default(), open(token)).is_ok());
    let taken = Served::new(Fake::default());
    let address = ServerOptions { address: taken.address, ..ServerOptions::default() };
    assert!(matches!(serve(Fake::default(), address), Err(Error::Bind { .. })));
    let named = ServerOptions { host_names: vec!["a b".to_owned()], ..ServerOptions::default() };
    assert!(matches!(serve(Fake::default(), named), Err(Error::HostName(_))));
    let limits = Limits { queue: 0, ..Limits::default() };
    let none = ServerOptions { limits, ..ServerOptions::default() };
    assert!(matches!(serve(Fake::default(), none), Err(Error::Limit("queue"))));
}

#[test]
fn slow_clients_are_cut() {
    let limits =
        Limits { patience: Duration::from_millis(700), connections: 3, ..Limits::default() };
    let served =
        Served::with(Fake::default(), ServerOptions { limits, ..ServerOptions::default() });
    let head = format!(
        "POST /v1/answers HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n",
        served.address
    );
    // As many as there are connections: one that says nothing, one that is slow with its head, one that is slow with its body.
    let slow = [(String::new(), None), (String::new(), Some("408")), (head, Some("408"))];
    let threads = slow.map(|(start, status)| {
        let mut stream = TcpStream::connect(served.address).unwrap();
        std::thread::spawn(move || {
            stream.write_all(start.as_bytes()).unwrap();
            // A byte at a time, until it is cut: many times the patience in all.
            let sends = start.is_empty() && status.is_some() || !start.is_empty();
            let mut reader = stream.try_clone().unwrap();
            let sender = std::thread::spawn(move || {
                for sent in 0..300 {
                    if sends && stream.write_all(b"a").is_err() {
                        return sent;
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
                300
            });
            let mut answer = String::new();
            _ = reader.read_to_string(&mut answer);
            drop(reader);
            (answer, sends, sender)
        })
    });
    let mut answers = Vec::new();
    for thread in threads {
        let (answer, sends, sender) = thread.join().unwrap();
        answers.push(answer);
        // The others sleep to their end; this one noticed.
        if sends {
            assert!(sender.join().unwrap() < 300);
        }
    }
    assert!(answers[2].starts_with("HTTP/1.1 408 "), "{answers:?}");
    assert_eq!(served.get("/healthz").status, 200);
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    let limits =
        Limits { patience: Duration::from_millis(700), connections: 1, ..Limits::default() };
    let served =
        Served::with(Fake::default(), ServerOptions { limits, ..ServerOptions::default() });
    let place = served.ask("/v1/explanations?wait=60", &question());
    // It asks for much more than fits on the way, reads none of it, and has the only connection.
    let request = format!("GET {place} HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    let mut stuck = TcpStream::connect(served.address).unwrap();
    let writer = stuck.try_clone().unwrap();
    writer.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
    let thread = std::thread::spawn(move || (&writer).write_all(request.repeat(3000).as_bytes()));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(crate::client::Client::new(served.address).get("/healthz").status, 200);
    _ = thread.join().unwrap();
    // What was on the way is still there, and then there is an end.
    let mut got = Vec::new();
    _ = stuck.read_to_end(&mut got);
    let one = served.get(&place).body.len();
    assert!(got.len() < 3000 * one, "all {} bytes came", got.len());
}
