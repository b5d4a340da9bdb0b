//! One input of the attack: what lies in its folder, what is called there, and how it must end.

use std::ffi::OsString;
use std::time::Duration;

use super::hub::Mischief;

/// Calls of the command, one after the other, in a folder of their own.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Case {
    /// What is hostile about it, in a few words.
    pub(crate) title: String,
    /// What lies in the folder beforehand; later entries replace earlier ones.
    pub(crate) entries: Vec<(String, What)>,
    pub(crate) calls: Vec<Call>,
    /// A server on loopback that the calls get as the hub.
    pub(crate) hub: Option<Mischief>,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    File(Vec<u8>),
    /// A file of this many zeros, which takes no room on the disk.
    Zeros(u64),
    /// A symbolic link to this path.
    Link(String),
    Pipe,
    Folder,
    /// All files of the checkpoint `phantom`.
    Checkpoint,
    /// A folder as `explain` writes it.
    Stored,
}

/// One call of the command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) args: Vec<OsString>,
    pub(crate) expect: Expect,
    /// A shell's redirections of stdout and stderr.
    pub(crate) redirect: &'static str,
    pub(crate) interruption: Option<Interruption>,
    /// The largest file that the call may write, in blocks of 512 bytes.
    pub(crate) file_blocks: u64,
    /// Paths of files that were there before and that the call may replace.
    pub(crate) replaces: Vec<String>,
}

/// A signal of ours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Interruption {
    pub(crate) signal: Signal,
    pub(crate) after: Duration,
    /// Sent a second time after as long again.
    pub(crate) twice: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Interrupt,
    Terminate,
    HangUp,
    Kill,
}

impl Signal {
    /// As `kill -s` takes it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
            Self::HangUp => "HUP",
            Self::Kill => "KILL",
        }
    }

    pub(crate) fn number(self) -> i32 {
        match self {
            Self::HangUp => 1,
            Self::Interrupt => 2,
            Self::Kill => 9,
            Self::Terminate => 15,
        }
    }
}

/// How a call must end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expect {
    /// Done or refused; what holds for every call is enough.
    Any,
    Done,
    /// Exit code 1 or 2 and a message with all of these.
    Refused(Vec<&'static str>),
}

impl Case {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), entries: Vec::new(), calls: Vec::new(), hub: None }
    }

    pub(crate) fn with(mut self, path: impl Into<String>, what: What) -> Self {
        self.entries.push((path.into(), what));
        self
    }

    pub(crate) fn file(self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.with(path, What::File(bytes.into()))
    }

    pub(crate) fn call(mut self, call: Call) -> Self {
        self.calls.push(call);
        self
    }
}

impl Call {
    pub(crate) fn new(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            expect: Expect::Any,
            redirect: "",
            interruption: None,
            file_blocks: 1 << 21,
            replaces: Vec::new(),
        }
    }

    /// `answer` of one token about a picture, with this model.
    pub(crate) fn answer(model: &str, picture: &str) -> Self {
        Self::new(["answer", "--model", model, "--image", picture]).and(QUESTION)
    }

    /// `explain` of an answer of one token into `out`, without its page.
    pub(crate) fn explain(model: &str, picture: &str) -> Self {
        let call = Self::new(["explain", "--model", model, "--image", picture]).and(QUESTION);
        call.and(["--out", "out", "--answer-span", "--words", "none", "--no-report"])
    }

    pub(crate) fn and(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub(crate) fn done(self) -> Self {
        Self { expect: Expect::Done, ..self }
    }

    pub(crate) fn refused(self, parts: &[&'static str]) -> Self {
        Self { expect: Expect::Refused(parts.to_vec()), ..self }
    }
}

const QUESTION: [&str; 6] =
    ["--prompt", "Describe the radiograph.", "--max-new-tokens", "1", "--threads", "1"];
