//! The description of the interface: made from the types, and completed with what all operations share.

use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::{problem::PROBLEM_JSON, routes, view::AnswerView};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "medgemma-explainer serve",
        description = "Asks a vision-language model about pictures, and explains which parts of them and which words its answer relied on."
    ),
    paths(
        routes::post_answer,
        routes::get_answer,
        routes::delete_answer,
        routes::answer_events,
        routes::answer_picture,
        routes::post_explanation,
        routes::get_explanation,
        routes::delete_explanation,
        routes::explanation_events,
        routes::explanation_picture,
        routes::report,
        routes::files,
        routes::file,
        routes::model,
        routes::health,
        routes::measures,
    ),
    components(schemas(
        AnswerView,
        explanation_jobs::Row,
        explanation_jobs::Run,
        crate::problem::ProblemView<'static>,
        crate::events::Queued,
        crate::events::Pictures,
        crate::events::Token<'static>,
        crate::events::Nothing,
    ))
)]
struct Description;

/// The description as JSON. `token`: whether one is needed.
pub(crate) fn description(token: bool) -> serde_json::Result<Vec<u8>> {
    let mut all = serde_json::to_value(Description::openapi())?;
    refine(&mut all);
    narrow(&mut all["components"]["schemas"]);
    if token {
        all["components"]["securitySchemes"] =
            json!({ "token": { "type": "http", "scheme": "bearer" } });
    }
    let links = links(&all["paths"]);
    if let Some(paths) = all["paths"].as_object_mut() {
        for (path, operations) in paths {
            let operations = operations.as_object_mut().into_iter().flatten();
            for (method, operation) in operations {
                complete(path, method, operation, token);
                if method == "post" {
                    operation["requestBody"]["content"]["application/json"]["examples"] =
                        examples(path);
                }
                if path.ends_with("/files/{name}") {
                    let content = &mut operation["responses"]["200"]["content"];
                    for (_, kind) in crate::page::MEDIA_TYPES {
                        content[kind] = json!({ "schema": {} });
                    }
                }
                let content = operation.pointer_mut("/responses/200/content");
                for (kind, content) in content.and_then(Value::as_object_mut).into_iter().flatten()
                {
                    if ["application/octet-stream", "image/png"].contains(&kind.as_str()) {
                        // Bytes have no schema.
                        content["schema"] = json!({});
                    }
                }
                if path.ends_with("/events") {
                    operation["responses"]["200"]["content"]["text/event-stream"]["schema"] =
                        event();
                }
                if let Some(links) =
                    links.get(path).filter(|_| method != "get" || path.ends_with("/files"))
                {
                    for status in ["200", "202"] {
                        if let Some(response) = operation["responses"].get_mut(status) {
                            response["links"] = links.clone();
                        }
                    }
                }
            }
        }
    }
    serde_json::to_vec(&all)
}

/// Adds what every operation may answer.
fn complete(path: &str, method: &str, operation: &mut Value, token: bool) {
    let mut problems = vec![
        ("400", "The request is broken"),
        ("403", "The request comes from another page"),
        ("421", "The server was called by a foreign name"),
        ("500", "A mistake of the program"),
    ];
    let data = path.starts_with("/v1") || path == "/metrics";
    if token && data {
        problems.push(("401", "A token is needed"));
        operation["security"] = json!([{ "token": [] }]);
    }
    let item = path.contains("{id}");
    if item {
        problems.push(("404", "There is nothing at this address"));
        problems.push(("410", "It has expired"));
    }
    if path.ends_with("/report") || path.contains("/files") {
        problems.push(("409", "There is no result (yet)"));
    }
    if path == "/healthz" || method == "post" {
        problems.push(("503", "The server is being stopped"));
    }
    if method == "post" {
        problems.extend([
            ("408", "The body came too slowly"),
            ("413", "The body, a picture or a form has more than is allowed"),
            ("415", "The body is neither JSON nor a form"),
            ("422", "What is asked is understood and cannot be done"),
            ("429", "The queue is full"),
            ("507", "There is too little memory for it"),
        ]);
        if path == "/v1/explanations" {
            problems.extend([
                ("404", "There is no such answer"),
                ("409", "The answer is not done"),
                ("410", "The answer is not kept any more"),
            ]);
        }
    }
    for (status, description) in problems {
        let mut response = json!({
            "description": description,
            "content": { PROBLEM_JSON: { "schema": { "$ref": "#/components/schemas/HttpProblem" } } },
        });
        let header = |kind: &str| json!({ "schema": { "type": kind }, "required": true });
        match status {
            "401" => response["headers"] = json!({ "WWW-Authenticate": header("string") }),
            "429" => response["headers"] = json!({ "Retry-After": header("integer") }),
            _ => {}
        }
        operation["responses"][status] = response;
    }
}

/// A grey picture of one pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg==";

/// Requests as one would send them.
fn examples(path: &str) -> Value {
    let prompt = "Is there an opacity?";
    let image = json!({ "type": "image", "data": PIXEL });
    let content = json!([image, { "type": "text", "text": prompt }]);
    let mut all = json!({
        "picture": { "value": { "images": [{ "data": PIXEL, "name": "chest.png" }], "prompt": prompt } },
        "phantom": { "value": { "phantom": 7, "prompt": prompt, "options": { "max_new_tokens": 50 } } },
        "messages": { "value": { "messages": [{ "role": "user", "content": content }] } },
    });
    if path == "/v1/explanations" {
        for example in all.as_object_mut().into_iter().flat_map(Map::values_mut) {
            example["value"]["targets"] =
                json!([{ "keyword": "opacity" }, { "answer_span": true }]);
        }
    }
    all
}

/// An event of a stream, as its fields.
fn event() -> Value {
    let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let data =
        ["Queued", "Pictures", "Token", "AnswerView", "ProgressView", "Row", "Problem", "Nothing"];
    let names = [
        "queued",
        "started",
        "pictures",
        "token",
        "answered",
        "progress",
        "row",
        "done",
        "failed",
        "cancelled",
    ];
    json!({
        "type": "object",
        "description": "queued: Queued; started, done, cancelled: Nothing; pictures: Pictures; token: Token; answered: AnswerView; progress: ProgressView; row: Row; failed: Problem",
        "required": ["event", "data", "id"],
        "properties": {
            "event": { "type": "string", "enum": names },
            "id": { "type": "string", "pattern": r"^[0-9]+\.[0-9]+$", "description": "For Last-Event-ID" },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": { "anyOf": data.map(named) },
            },
        },
    })
}

/// By path: which operations take what it answers.
fn links(paths: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    for path in ["/v1/answers", "/v1/explanations"] {
        let mut links = Map::new();
        let below = paths.as_object().into_iter().flatten();
        let below = below.filter(|(other, _)| other.starts_with(&format!("{path}/{{id}}")));
        for operation in below.filter_map(|(_, operations)| operations.as_object()).flatten() {
            let Some(name) = operation.1["operationId"].as_str() else { continue };
            // Of a file the name is to be known; of a picture, that there is one.
            if name == "file" || name.ends_with("_picture") {
                continue;
            }
            let parameters = json!({ "id": "$response.body#/id" });
            links.insert(name.to_owned(), json!({ "operationId": name, "parameters": parameters }));
        }
        all.insert(path.to_owned(), links.into());
    }
    let parameters = json!({ "id": "$request.path.id", "name": "$response.body#/files/0/name" });
    let link = json!({ "file": { "operationId": "file", "parameters": parameters } });
    all.insert("/v1/explanations/{id}/files".to_owned(), link);
    all
}

/// What a request may be is a choice of forms, and what stands in none of them is refused.
fn narrow(schemas: &mut Value) {
    let asking: [(&[&str], &[&str]); 3] =
        [(&["prompt"], &["images"]), (&["phantom", "prompt"], &[]), (&["messages"], &[])];
    let kept: (&[&str], &[&str]) = (&["answer"], &[]);
    choose(&mut schemas["AnswerRequest"], &asking, &["options", "cancel_when_left"]);
    let all = [kept, asking[0], asking[1], asking[2]];
    choose(&mut schemas["ExplanationRequest"], &all, &["targets", "options", "cancel_when_left"]);
    for name in ["Target", "ContentData"] {
        for variant in schemas[name]["oneOf"].as_array_mut().into_iter().flatten() {
            variant["additionalProperties"] = json!(false);
            if name == "Target" {
                let properties = variant["properties"].as_object_mut();
                properties.into_iter().flat_map(Map::values_mut).for_each(not_blank);
            }
        }
    }
    for name in ["AnswerForm", "ExplanationForm"] {
        schemas[name]["additionalProperties"] = json!(false);
    }
    not_blank(&mut schemas["ContentData"]["oneOf"][1]["properties"]["text"]);
    for place in ["/ContentData/oneOf/0/properties/name", "/ImageData/properties/name"] {
        if let Some(name) = schemas.pointer_mut(place) {
            not_null(name);
            name["pattern"] = json!(r"^[^\u0000-\u001f\u007f-\u009f]*$");
        }
    }
    schemas["Occurrence"]["oneOf"][0]["minimum"] = json!(1);
}

/// Makes an object with optional fields a choice of objects: what each needs, what else it may have, what all may have.
fn choose(schema: &mut Value, forms: &[(&[&str], &[&str])], common: &[&str]) {
    let properties = schema["properties"].take();
    let forms = forms.iter().map(|(required, optional)| {
        let mut own = Map::new();
        for name in required.iter().chain(*optional).chain(common) {
            let mut property = properties[*name].clone();
            not_null(&mut property);
            if *name == "prompt" {
                not_blank(&mut property);
            }
            own.insert((*name).to_owned(), property);
        }
        json!({ "type": "object", "required": required, "properties": own, "additionalProperties": false })
    });
    let description = schema["description"].take();
    *schema =
        json!({ "type": "object", "description": description, "anyOf": forms.collect::<Vec<_>>() });
}

fn not_null(schema: &mut Value) {
    if let Some([kind, _]) = schema["type"].as_array().map(Vec::as_slice) {
        schema["type"] = kind.clone();
    }
}

fn not_blank(schema: &mut Value) {
    if schema["type"] == "string" {
        schema["pattern"] = json!(r"\S");
    }
}

/// Says in schemas what serde does and utoipa does not say.
fn refine(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(refine),
        Value::Object(object) => {
            object.values_mut().for_each(refine);
            bound(object);
        }
        _ => {}
    }
}

/// Whole numbers have the range of their type. Its name is no format of JSON Schema for unsigned numbers.
fn bound(schema: &mut Map<String, Value>) {
    let is_integer = match schema.get("type") {
        Some(Value::String(kind)) => kind == "integer",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "integer"),
        _ => false,
    };
    if !is_integer {
        return;
    }
    let narrow = schema.remove("format").is_some_and(|format| format == "int32");
    let most = if narrow { u64::from(u32::MAX) } else { u64::MAX };
    schema.entry("minimum").or_insert(json!(0));
    schema.entry("maximum").or_insert(json!(most));
}
