//! Running the command on the reference checkpoints.

use integration_tests::Fixture;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use tempfile::{TempDir, tempdir};

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// A panic is a failure of the test whatever else happens.
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().expect("the command starts");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(!stderr.contains("panicked") && output.status.code() != Some(70), "{stderr}");
        assert!(
            !stderr.contains('\u{1b}'),
            "control sequences though stderr is no terminal: {stderr:?}"
        );
        Self { code: output.status.code().expect("an exit code"), stdout, stderr }
    }

    /// Stops the test unless the run succeeded.
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// Stops the test unless the run failed with one line that has these parts, one after the other.
    pub(crate) fn failed(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, 1, "{self:?}");
        let errors: Vec<&str> =
            self.stderr.lines().filter(|line| !line.starts_with("warning: ")).collect();
        assert_eq!(errors.len(), 1, "{}", self.stderr);
        assert!(errors[0].starts_with("error: "), "{}", self.stderr);
        let mut rest = errors[0];
        for part in parts {
            let found = rest.split_once(part);
            rest = found.unwrap_or_else(|| panic!("no {part:?} in: {}", self.stderr)).1;
        }
        self
    }

    /// Stops the test unless the arguments were refused before anything was done.
    pub(crate) fn refused(self, part: &str) {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{self:?}");
        assert!(self.stderr.contains(part), "no {part:?} in: {}", self.stderr);
    }

    /// What stands on stdout, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("JSON on stdout")
    }
}

/// The command with these arguments, in a quiet environment.
pub(crate) fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_medgemma-explainer"));
    command.args(args).stdin(Stdio::null()).env("RUST_BACKTRACE", "0");
    // Several run at once: threads that wait for each other actively would take the cores from one another.
    command.env("OMP_NUM_THREADS", "1");
    command
}

/// Runs the command.
pub(crate) fn run(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
    Run::of(&mut command(args))
}
/// Model, pictures, prompt and settings of a fixture, as arguments.
pub(crate) fn asked(fixture: &Fixture) -> Vec<String> {
    asked_of(&fixture.model(), fixture)
}

/// The same with another checkpoint.
pub(crate) fn asked_of(model: &Path, fixture: &Fixture) -> Vec<String> {
    let mut args = vec!["--model".to_owned(), text(model), "--image".to_owned()];
    args.extend(fixture.pictures().iter().map(|path| text(path)));
    let tokens = fixture.number("max_new_tokens").to_string();
    let rest = ["--prompt", fixture.text("prompt"), "--resize", fixture.text("resize")];
    args.extend(rest.map(str::to_owned));
    args.extend(
        ["--max-new-tokens", &tokens, "--ignore-stop", "--dtype", "float32"].map(str::to_owned),
    );
    args.extend(
        fixture.system().into_iter().flat_map(|system| ["--system".to_owned(), system.to_owned()]),
    );
    args
}

/// `explain` on a fixture with further arguments; the last token of the answer is the target where they name none.
pub(crate) fn explain(fixture: &Fixture, out: &Path, more: &[&str]) -> Run {
    const TARGETS: [&str; 8] = [
        "--position",
        "--keyword",
        "--substring",
        "--sentence",
        "--characters",
        "--field",
        "--answer-span",
        "--phrase",
    ];
    let mut args = explain_args(asked(fixture), out, more);
    if !more.iter().any(|arg| TARGETS.contains(arg)) {
        let last = fixture.number("seq_len") - 1;
        args.extend(["--position".to_owned(), last.to_string()]);
    }
    run(args)
}

/// The arguments of `explain`, by the published rule that the reference follows unless `more` names another.
pub(crate) fn explain_args(asked: Vec<String>, out: &Path, more: &[&str]) -> Vec<String> {
    let mut args = vec!["explain".to_owned()];
    if !more.iter().any(|arg| ["--objective", "--contrast"].contains(arg)) {
        args.extend(["--objective", "logit"].map(str::to_owned));
    }
    args.extend(asked);
    args.extend(["--out".to_owned(), text(out)]);
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    args
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// Every name in a folder, hidden ones included, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// The record of a folder, which must keep the schema of the repository.
pub(crate) fn record(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("explanation.json")).expect("record");
    let record = serde_json::from_str(&text).expect("JSON");
    let errors: Vec<_> = schema().iter_errors(&record).map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0]);
    record
}

fn schema() -> &'static jsonschema::Validator {
    static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
        let text = include_str!("../../../../docs/schema/explanation-1.json");
        let schema = serde_json::from_str(text).expect("JSON");
        jsonschema::validator_for(&schema).expect("a schema")
    });
    &SCHEMA
}

/// The island of numbers in a page.
pub(crate) fn island(page: &str) -> Value {
    let start = page.find("type=\"application/json\"").expect("numbers in the page");
    let json = &page[start..];
    let json = &json[json.find('>').expect("a tag") + 1..];
    serde_json::from_str(&json[..json.find("</script>").expect("its end")]).expect("JSON")
}

/// A phantom with its picture, and where results go.
pub(crate) struct Chest {
    pub(crate) root: TempDir,
}

impl Chest {
    pub(crate) fn new() -> Self {
        let root = tempdir().unwrap();
        let out = text(&root.path().join("set"));
        run(["phantom", "--seed", "5", "--count", "1", "--size", "224", "--out", &out]).done();
        Self { root }
    }

    pub(crate) fn picture(&self) -> PathBuf {
        self.root.path().join("set/000.png")
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.root.path().join("out")
    }

    pub(crate) fn args(&self, more: &[&str]) -> Vec<String> {
        let (picture, out) = (text(&self.picture()), text(&self.out()));
        let start = ["explain", "--model", "phantom", "--image", &picture, "--out", &out];
        let question = ["--prompt", "Describe the radiograph."];
        let all = start.iter().chain(&question).chain(more);
        all.map(|&arg| arg.to_owned()).collect()
    }
}
