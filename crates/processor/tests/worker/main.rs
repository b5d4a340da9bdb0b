//! Templates that nobody has read, rendered apart. This program is its own worker, so it has a `main` instead of a harness.

use std::fmt::Write as _;
use std::path::Path;

use gemma3_processor::{Error, Message, Processor, ProcessorOptions};

/// A little less than a template may have.
const SOURCE_BYTES: usize = 250_000;

const TEMPLATE: &str = include_str!("../fixtures/checkpoint/chat_template.jinja");

fn main() {
    gemma3_processor::worker::serve_if_asked();
    if cfg!(not(target_os = "linux")) {
        eprintln!("skipped: templates are rendered apart on Linux only");
        return;
    }
    let tests: [(&str, fn()); 6] = [
        ("an unknown template gives what it gives in this process", equal_to_trusted),
        ("what an unknown template raises is told, short and clean", raised),
        ("memory is bounded", memory),
        ("nesting is bounded", nesting),
        ("time is bounded", time),
        ("nothing of it happened here", untouched),
    ];
    for (name, test) in tests {
        test();
        eprintln!("{name} ... ok");
    }
}

/// The fixture checkpoint with another template, loaded and asked.
fn asked(template: &str, trust_template: bool, turns: &[Message]) -> Result<Vec<u32>, Error> {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoint");
    let dir = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(fixture).expect("the fixture") {
        let from = entry.expect("an entry").path();
        std::fs::copy(&from, dir.path().join(from.file_name().expect("a name"))).expect("copied");
    }
    std::fs::write(dir.path().join("chat_template.jinja"), template).expect("written");
    let options = ProcessorOptions::default().with_trust_template(trust_template);
    Ok(Processor::from_dir(dir.path(), options)?.prepare(turns, &[])?.ids)
}

/// The template must be refused with an error that names its file and says one of `reasons`.
fn refused(template: &str, reasons: &[&str]) {
    let error = told(template);
    let (start, text) = (start(template), error.to_string());
    assert!(matches!(error, Error::Template { .. }), "{start}: {text}");
    assert!(text.contains("chat_template.jinja"), "{start}: {text}");
    assert!(reasons.iter().any(|reason| text.contains(reason)), "{start}: {text}");
}

/// The template must end in an error, short and without control characters.
fn told(template: &str) -> Error {
    let start = start(template);
    let error = asked(template, false, &[Message::user(0, "hi")]).expect_err(&start);
    let text = error.to_string();
    assert!(text.len() < 2000 && !text.contains(char::is_control), "{start}: {text}");
    error
}

fn start(template: &str) -> String {
    template.chars().take(60).collect()
}

fn equal_to_trusted() {
    let own = format!("{{# mine #}}{TEMPLATE}");
    let turns = [Message::system("Be brief."), Message::user(0, "Is it \"large\"? 肺\n")];
    let apart = asked(&own, false, &turns).expect("rendered apart");
    assert_eq!(apart, asked(&own, true, &turns).expect("rendered here"));
    assert_eq!(apart, asked(TEMPLATE, false, &turns).expect("rendered here, being known"));
    // More than a pipe holds, both ways.
    let long = [Message::user(0, "lung ".repeat(100_000))];
    let error = asked(&own, false, &long).expect_err("longer than the context");
    assert!(matches!(error, Error::TooManyTokens { .. }), "{error}");
}

fn raised() {
    let turns = [Message::user(0, "a"), Message::user(0, "b")];
    let error =
        asked(&format!("{{# mine #}}{TEMPLATE}"), false, &turns).expect_err("two of a role");
    assert!(error.to_string().contains("must alternate"), "{error}");
    refused("{{ raise_exception('\u{1b}[2J\u{202e}no' ~ 'a' * 1000000) }}", &["more characters"]);
    refused("{% if %}", &["syntax error"]);
    refused("{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", &["without end"]);
    refused(
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        &["fuel"],
    );
}

fn memory() {
    let reasons = ["MB of memory", "5 seconds", "too large"];
    let mut doubled = "{% set x = 'a' * 1000000 %}".to_owned();
    doubled += &"{% set x = x ~ x %}".repeat(20);
    refused(&doubled, &["MB of memory"]);
    for template in [
        "{{ ''.join(['x'*1000000]*100000) }}",
        "{{ '%9999999999d'|format(1) }}",
        "{{ ('a\n' * 1000000)|indent(1000000) }}",
        "{{ [1]|batch(10000000000, 0)|list|length }}",
        "{{ [1]|slice(10000000000, 0)|list|length }}",
        "{{ ('a' * 1000000)|replace('a', 'b' * 1000000) }}",
        "{{ 'a' * 100000000000 }}",
    ] {
        refused(template, &reasons);
    }
}

fn nesting() {
    let repeated = |link: &str| link.repeat(SOURCE_BYTES / link.len());
    for link in ["+1", "~1", "**1", ".a"] {
        refused(&format!("{{{{ 1{} }}}}", repeated(link)), &["nested too deeply"]);
    }
    // Whether these are too deep, mistakes, or no prompt of this checkpoint is the engine's to say; that it is said matters.
    for link in ["|string", "[0]", "()", " and 1", " or 0", " is defined", " if 1 else 1", " in 1"]
    {
        told(&format!("{{{{ 1{} }}}}", repeated(link)));
    }
    for link in ["not ", "-", "(", "[", "{1:"] {
        told(&format!("{{{{ {}1 }}}}", repeated(link)));
    }
    told(&repeated("{% if 1 %}"));
    let mut value = "{% set x = [] %}{% set n = namespace(x=x) %}".to_owned();
    let _written = write!(
        value,
        "{{% for i in range(99999) %}}{{% set n.x = [n.x] %}}{{% endfor %}}{{{{ n.x }}}}"
    );
    refused(&value, &["nested too deeply"]);
    refused("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}", &["nested too deeply"]);
}

fn time() {
    for template in [
        "{% set l = range(99999)|list %}{% for i in range(99999) %}{% if -1 in l %}{% endif %}{% endfor %}",
        "{% for i in range(99999) %}{% set s = range(99999)|sum %}{% endfor %}",
    ] {
        refused(template, &["5 seconds of processor time"]);
    }
}

/// Everything above took place elsewhere: this process never had much memory.
fn untouched() {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the peak of memory");
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kilobytes < 400_000, "{kilobytes} kB");
}
