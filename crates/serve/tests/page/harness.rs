//! What tests of the page share: a server, a browser at it, and what a person does with both.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::browser::Browser;

/// A busy machine with two cores needs seconds for what takes one; a page that hangs must still fail.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) const LAPTOP: (u32, u32) = (1440, 900);
pub(crate) const PHONE: (u32, u32) = (390, 844);

/// A server that the page comes from: the one at `SERVE_URL`, or the stand-in, which ends with the test.
pub(crate) struct Server {
    pub(crate) url: String,
    process: Option<Child>,
}

impl Server {
    /// The real server where `SERVE_URL` names one, else the stand-in. `None`, with a notice, where neither can be had.
    pub(crate) fn any() -> Option<Self> {
        match std::env::var("SERVE_URL") {
            Ok(url) => Some(Self { url: format!("{}/", url.trim_end_matches('/')), process: None }),
            Err(_) => Self::stand_in(&[]),
        }
    }

    /// The stand-in with these arguments: for what a real server does not do when it is told to. `None`, with a notice, where
    /// `SERVE_URL` names a real server, or where there is no Python.
    pub(crate) fn stand_in(arguments: &[&str]) -> Option<Self> {
        if std::env::var_os("SERVE_URL").is_some() {
            skip("this test needs the stand-in, and SERVE_URL names a server");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/page/stub.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).args(arguments).stdout(Stdio::piped());
        let Ok(mut process) = command.spawn() else {
            let required = std::env::var("REQUIRE_CHROMIUM").is_ok_and(|value| value == "1");
            assert!(!required, "REQUIRE_CHROMIUM=1, and no python3 in PATH for the stand-in");
            skip("no python3 in PATH for the stand-in of the server");
            return None;
        };
        let mut url = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Some(Self { url: url.trim().to_owned(), process: Some(process) })
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    /// The port of a stand-in, so that another can take its place.
    pub(crate) fn port(&self) -> &str {
        self.url.trim_end_matches('/').rsplit(':').next().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Straight to the terminal: what a passing test prints is not shown.
fn skip(why: &str) {
    let _best_effort = std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes());
}

/// A browser with the page of a server.
pub(crate) struct Page {
    pub(crate) browser: Browser,
    url: String,
}

impl Page {
    /// Opens the page and waits until it knows the model. `None` where there is no browser.
    pub(crate) fn open(server: &Server, size: (u32, u32)) -> Option<Self> {
        let mut page = Self::visit(server, size)?;
        page.until("document.querySelector('#model').textContent !== ''");
        Some(page)
    }

    /// Opens the page.
    pub(crate) fn visit(server: &Server, size: (u32, u32)) -> Option<Self> {
        let mut browser = Browser::start()?;
        browser.open("<!doctype html><link rel=icon href=data:,>", size);
        browser.call("Page.navigate", &json!({ "url": server.url }));
        let mut page = Self { browser, url: server.url.clone() };
        page.until("document.readyState === 'complete' && document.querySelector('#ask') !== null");
        Some(page)
    }

    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        self.browser.eval(expression)
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn until(&mut self, expression: &str) {
        let start = Instant::now();
        while self.browser.eval(&format!("Promise.resolve({expression}).then(Boolean)")) != true {
            assert!(start.elapsed() < PATIENCE, "never true: {expression}\n{}", self.status());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What the page says goes on, for messages of failed tests.
    fn status(&mut self) -> String {
        let said = "document.querySelector('#status-text')?.textContent + ' | ' + document.querySelector('#refusals')?.textContent";
        self.browser.eval(said).to_string()
    }

    pub(crate) fn text(&mut self, selector: &str) -> String {
        let found =
            self.eval(&format!("document.querySelector({})?.textContent ?? ''", json!(selector)));
        found.as_str().unwrap().to_owned()
    }

    pub(crate) fn count(&mut self, selector: &str) -> u64 {
        let n = self.eval(&format!("document.querySelectorAll({}).length", json!(selector)));
        n.as_u64().unwrap()
    }

    pub(crate) fn click(&mut self, selector: &str) {
        self.browser.click(selector, false);
    }

    /// Clicks an element wherever it is, for places that move while something comes in above.
    pub(crate) fn activate(&mut self, selector: &str) {
        self.eval(&format!("document.querySelector({}).click(), 0", json!(selector)));
        self.browser.settle();
    }

    /// Types into what has the focus.
    pub(crate) fn type_text(&mut self, text: &str) {
        self.browser.call("Input.insertText", &json!({ "text": text }));
        self.browser.settle();
    }

    /// Presses a key as a keyboard does, so that the browser acts on it as well as the page.
    pub(crate) fn press(&mut self, key: &str, shift: bool) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            " " => (32, " "),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            other => (0, other),
        };
        let mut event = json!({
            "type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "modifiers": if shift { 8 } else { 0 }
        });
        if !text.is_empty() {
            event["text"] = json!(text);
        }
        self.browser.call("Input.dispatchKeyEvent", &event);
        event["type"] = json!("keyUp");
        self.browser.call("Input.dispatchKeyEvent", &event);
        self.browser.settle();
    }

    /// Drops a picture of this name on the page, as a person drops a file.
    pub(crate) fn drop_picture(&mut self, name: &str) {
        let n = self.count(".source");
        self.eval(&format!(
            "(async () => {{ const c = new OffscreenCanvas(96, 64); const x = c.getContext('2d'); \
             x.fillStyle = '#444'; x.fillRect(0, 0, 96, 64); x.fillStyle = '#ccc'; x.fillRect(20, 20, 30, 20); \
             const file = new File([await c.convertToBlob()], {}, {{ type: 'image/png' }}); \
             const t = new DataTransfer(); t.items.add(file); \
             for (const kind of ['dragenter', 'dragover', 'drop']) document.body.dispatchEvent(new DragEvent(kind, \
             {{ dataTransfer: t, bubbles: true, cancelable: true }})); return 0; }})()",
            json!(name)
        ));
        self.until(&format!("document.querySelectorAll('.source').length === {}", n + 1));
    }

    /// Types a question and presses Enter.
    pub(crate) fn ask(&mut self, question: &str) {
        self.eval("document.querySelector('#prompt').value = ''; document.querySelector('#prompt').focus(), 0");
        self.type_text(question);
        self.press("Enter", false);
    }

    /// Waits until nothing goes on any more.
    pub(crate) fn wait_for_rest(&mut self) {
        self.until("document.querySelector('#stop').hidden && !document.querySelector('#answer-card').hidden");
    }

    /// Asks about a dropped picture, and waits until all is explained.
    pub(crate) fn asked(&mut self, question: &str) {
        self.drop_picture("chest.png");
        self.ask(question);
        self.wait_for_rest();
    }

    /// Waits until the map of what is shown is there.
    #[track_caller]
    pub(crate) fn wait_for_map(&mut self, word: &str) {
        let word = json!(word);
        self.until(&format!(
            "document.querySelector('#stage-word').textContent.includes({word}) && \
             document.querySelector('#stage-sub').textContent.includes('relevancy')"
        ));
        self.browser.settle();
    }

    /// A number that changes when any pixel of a panel does.
    pub(crate) fn pixels(&mut self, panel: usize) -> i64 {
        self.browser.settle();
        let found = self.eval(&format!(
            "(() => {{ const c = document.querySelectorAll('.stage:not([hidden]) canvas.view')[{panel}]; \
             const copy = document.createElement('canvas'); copy.width = c.width; copy.height = c.height; \
             const x = copy.getContext('2d', {{ willReadFrequently: true }}); x.drawImage(c, 0, 0); \
             let h = 0; for (const b of x.getImageData(0, 0, c.width, c.height).data) h = (Math.imul(h, 31) + b) | 0; return h; }})()"
        ));
        found.as_i64().unwrap()
    }

    /// The selector of a word of the answer.
    pub(crate) fn word(&mut self, text: &str) -> String {
        let text = json!(text);
        let start = self.eval(&format!(
            "[...document.querySelectorAll('#answer .word')].find((w) => w.textContent === {text})?.dataset.start ?? ''"
        ));
        format!("#answer .word[data-start=\"{}\"]", start.as_str().unwrap())
    }

    /// What was asked of the stand-in: the bodies of requests to a path.
    pub(crate) fn log(&mut self, path: &str) -> Vec<Value> {
        let log = self.eval("fetch('/stub/log').then((r) => r.json())");
        let of_path = |entry: &&Value| entry["method"] == "POST" && entry["path"] == path;
        log.as_array().unwrap().iter().filter(of_path).map(|entry| entry["body"].clone()).collect()
    }

    /// Nothing was reported by the browser, and no other server was asked. What a server refuses, a browser reports: `refusals` of
    /// them are expected.
    #[track_caller]
    pub(crate) fn assert_clean(&mut self, refusals: usize) {
        let complaints = self.browser.complaints();
        let refused =
            complaints.iter().filter(|text| text.contains("Failed to load resource")).count();
        let short: Vec<String> =
            complaints.iter().map(|text| text.chars().take(600).collect()).collect();
        assert_eq!((complaints.len(), refused), (refusals, refusals), "{short:#?}");
        let url = self.url.clone();
        let foreign: Vec<_> =
            self.browser.requests().into_iter().filter(|other| !other.starts_with(&url)).collect();
        assert_eq!(foreign, Vec::<String>::new());
    }
}
