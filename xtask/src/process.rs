//! Running other programs.

use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Runs the command with our own input and output; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", shown(command));
    }
    Ok(())
}

/// [`run`], but the command is ended, which is an error, when it takes longer than `longest`.
pub(crate) fn run_within(command: &mut Command, longest: Duration) -> Result<()> {
    let name = shown(command);
    let mut child = command.spawn().with_context(|| format!("could not start `{name}`"))?;
    let status = wait(&mut child, longest).with_context(|| format!("`{name}`"))?;
    if !status.success() {
        bail!("`{name}` failed: {status}");
    }
    Ok(())
}

/// Waits for a program; one that takes longer than `longest` is ended, which is an error.
pub(crate) fn wait(child: &mut Child, longest: Duration) -> Result<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().context("could not be waited for")? {
            return Ok(status);
        }
        if longest <= started.elapsed() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("ended after {} seconds", longest.as_secs());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the command prints on stdout; its stderr goes where ours goes.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("could not start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed no UTF-8", shown(command)))
}

/// Whether the program can be started and succeeds; says nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}

/// The command as one would type it, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_is_an_error_that_names_the_command() {
        let error = run(Command::new("false").arg("x")).unwrap_err().to_string();
        assert!(error.starts_with("`false x` failed"), "{error}");
        assert!(output(&mut Command::new("false")).is_err());
        assert!(output(&mut Command::new("a-program-that-nobody-has")).is_err());
        assert!(!succeeds(&mut Command::new("false")));
    }

    #[test]
    fn a_limit_ends_what_takes_too_long_and_nothing_else() {
        let brief = run_within(Command::new("sleep").arg("30"), Duration::from_millis(100));
        assert!(format!("{:#}", brief.unwrap_err()).contains("`sleep 30`: ended after"));
        run_within(&mut Command::new("true"), Duration::from_mins(1)).unwrap();
        let failed = run_within(&mut Command::new("false"), Duration::from_mins(1)).unwrap_err();
        assert!(failed.to_string().contains("`false` failed"), "{failed}");
    }

    #[test]
    fn output_is_what_was_printed() {
        assert_eq!(output(Command::new("echo").arg("a")).unwrap(), "a\n");
        assert!(succeeds(&mut Command::new("true")));
    }
}
