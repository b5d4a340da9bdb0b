//! A headless Chromium, steered over its debugging pipe: messages of JSON, each ended by a zero byte.

mod program;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A busy machine with two cores needs seconds to start a browser; a hanging one must still fail.
const PATIENCE: Duration = Duration::from_secs(90);

/// A browser with one open page.
pub(crate) struct Browser {
    process: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    events: Vec<Value>,
    n_calls: u64,
    session: Option<String>,
    /// Profile and downloads; goes with the browser.
    folder: TempDir,
}

impl Browser {
    /// Starts Chromium with an empty profile. `None`, with a notice, where there is none, unless `REQUIRE_CHROMIUM=1`.
    pub(crate) fn start() -> Option<Self> {
        let [chosen, path] = ["CHROMIUM", "PATH"].map(std::env::var_os);
        let Some(program) = program::find(chosen.as_deref(), path.as_deref()) else {
            let required = std::env::var("REQUIRE_CHROMIUM").is_ok_and(|value| value == "1");
            assert!(!required, "REQUIRE_CHROMIUM=1, and no Chromium in CHROMIUM or PATH");
            // Straight to the terminal: what a passing test prints is not shown.
            let notice = b"skipped: no Chromium in CHROMIUM or PATH\n";
            let _best_effort = std::io::stderr().write_all(notice);
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut process = command(&program, folder.path()).spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let messages = receive(process.stdout.take().unwrap());
        let events = Vec::new();
        Some(Self { process, input, messages, events, n_calls: 0, session: None, folder })
    }

    /// Opens a page of this size and waits until it is loaded.
    pub(crate) fn open(&mut self, html: &str, (width, height): (u32, u32)) {
        let file = self.folder.path().join("report.html");
        std::fs::write(&file, html).unwrap();
        let target = self.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", &attach)["sessionId"].clone();
        self.session = Some(session.as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", &size);
        self.call("Page.navigate", &json!({ "url": format!("file://{}", file.display()) }));
        self.wait_for("Page.loadEventFired");
        self.settle();
    }

    /// The value of a JavaScript expression; promises are waited for.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let arguments =
            json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let found = self.call("Runtime.evaluate", &arguments);
        assert!(found["exceptionDetails"].is_null(), "{expression}: {found}");
        found["result"]["value"].clone()
    }

    /// Waits until what was changed is drawn.
    pub(crate) fn settle(&mut self) {
        self.eval("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)))).then(() => 0)");
    }

    /// The middle of the first element that a selector finds, scrolled into view.
    pub(crate) fn middle(&mut self, selector: &str) -> (f64, f64) {
        let point = self.eval(&format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{ block: 'center' }}); \
             const b = e.getClientRects()[0]; return [b.x + b.width / 2, b.y + b.height / 2]; }})()",
            json!(selector)
        ));
        (point[0].as_f64().unwrap(), point[1].as_f64().unwrap())
    }

    /// Moves the pointer over an element.
    pub(crate) fn hover(&mut self, selector: &str) {
        let (x, y) = self.middle(selector);
        self.mouse("mouseMoved", (x, y), false);
        self.settle();
    }

    /// Clicks an element, with the shift key held or not.
    pub(crate) fn click(&mut self, selector: &str, shift: bool) {
        let point = self.middle(selector);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            self.mouse(kind, point, shift);
        }
        self.settle();
    }

    /// One event of the mouse.
    pub(crate) fn mouse(&mut self, kind: &str, (x, y): (f64, f64), shift: bool) {
        let button = if kind == "mouseMoved" { "none" } else { "left" };
        let event = json!({
            "type": kind, "x": x, "y": y, "button": button, "clickCount": 1, "modifiers": if shift { 8 } else { 0 }
        });
        self.call("Input.dispatchMouseEvent", &event);
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str) {
        self.key("keyDown", key);
        self.key("keyUp", key);
        self.settle();
    }

    /// One event of the keyboard.
    pub(crate) fn key(&mut self, kind: &str, key: &str) {
        self.call("Input.dispatchKeyEvent", &json!({ "type": kind, "key": key, "code": key }));
    }

    /// Where downloads go from now on.
    pub(crate) fn downloads(&mut self) -> PathBuf {
        let folder = self.folder.path().join("downloads");
        let behaviour = json!({ "behavior": "allow", "downloadPath": folder });
        self.call("Browser.setDownloadBehavior", &behaviour);
        folder
    }

    /// Errors, warnings and exceptions that the page reported so far.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.settle();
        let complaint = |event: &Value| {
            let (method, params) = (event["method"].as_str()?, &event["params"]);
            match method {
                "Runtime.exceptionThrown" | "Log.entryAdded" => Some(params.to_string()),
                "Runtime.consoleAPICalled" => Some(params["args"].to_string()),
                _ => None,
            }
        };
        self.events.iter().filter_map(complaint).collect()
    }

    /// What the page asked for, itself and the pictures inside it left out.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.settle();
        let sent =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        let urls = sent.filter_map(|event| event["params"]["request"]["url"].as_str());
        let foreign = |url: &&str| {
            !(url.starts_with("data:") || url.starts_with("blob:") || url.ends_with("/report.html"))
        };
        urls.filter(foreign).map(str::to_owned).collect()
    }

    fn wait_for(&mut self, method: &str) {
        while !self.events.iter().any(|event| event["method"] == method) {
            let event = self.receive();
            self.events.push(event);
        }
    }

    /// Sends a command and gives its result.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        self.n_calls += 1;
        let mut message = json!({ "id": self.n_calls, "method": method, "params": params });
        if let Some(session) = self.session.as_ref().filter(|_| !method.starts_with("Browser.")) {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let message = self.receive();
            if message["id"] == self.n_calls {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.events.push(message);
        }
    }

    fn receive(&self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("the browser answers")
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A kill would leave the helpers of the browser behind; a closed pipe ends them all.
        let close = json!({ "id": 0, "method": "Browser.close" });
        let _gone = self.input.write_all(format!("{close}\0").as_bytes());
        let start = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if Duration::from_secs(10) < start.elapsed() {
                let _gone = self.process.kill();
                let _gone = self.process.wait();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Chromium reads commands from descriptor 3 and writes to 4; the shell puts our pipes there.
fn command(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$@\" 3<&0 4>&1 0</dev/null 1>&2", "sh"]).arg(program).args([
        "--headless",
        "--remote-debugging-pipe",
        "--no-sandbox", // the page is ours, and containers run as root
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage", // containers have 64 MB of it
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// A thread reads, so that waiting can end.
fn receive(output: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for message in BufReader::new(output).split(0).map_while(Result::ok) {
            let message = serde_json::from_slice(&message).unwrap_or(Value::Null);
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}
