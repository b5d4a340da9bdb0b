//! One measurement: a program that prints a line of JSON.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::process;

/// What the program measured, or why there is nothing: it could not start, failed, took too long or printed something else.
pub(crate) fn measured(
    command: &mut Command,
    longest: Duration,
) -> Result<Map<String, Value>, String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("could not start: {error}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = process::wait(&mut child, longest).map_err(|error| error.to_string())?;
    let (stdout, stderr) = (text(stdout), text(stderr));
    if !status.success() {
        return Err(match last_line(&stderr) {
            Some(line) => format!("{status}: {line}"),
            None => status.to_string(),
        });
    }
    parse(&stdout)
}

/// The last line that the program printed, as an object.
fn parse(stdout: &str) -> Result<Map<String, Value>, String> {
    let line = last_line(stdout).ok_or("printed nothing")?;
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(format!("printed something else than a measurement: {line}")),
    }
}

fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// Reads all of a pipe beside the program, which would stand still at a full one.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes); // what came before a fault is kept
        }
        bytes
    })
}

fn text(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn shell(script: &str, longest: Duration) -> Result<Map<String, Value>, String> {
        measured(Command::new("sh").args(["-c", script]), longest)
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn the_last_line_counts() {
        let line = shell("echo warming up; echo '{\"median_s\": 1.5}'", LONG).unwrap();
        assert_eq!(line["median_s"], 1.5);
    }

    #[test]
    fn every_fault_says_what_it_is() {
        let fault = |script: &str| shell(script, LONG).unwrap_err();
        assert!(fault("echo a >&2; echo out of memory >&2; exit 3").ends_with("3: out of memory"));
        assert_eq!(fault("true"), "printed nothing");
        assert!(fault("echo 7").contains("something else"));
        assert!(fault("kill -9 $$").contains("signal"));
        let missing = measured(&mut Command::new("a-program-that-nobody-has"), LONG).unwrap_err();
        assert!(missing.starts_with("could not start"), "{missing}");
    }

    #[test]
    fn what_takes_too_long_is_ended() {
        let started = Instant::now();
        let error = shell("exec sleep 30", Duration::from_millis(100)).unwrap_err();
        assert!(error.starts_with("ended after"), "{error}");
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
