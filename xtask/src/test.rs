//! `cargo xtask test`: set-up and every check, in the order of how soon they fail.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::workspace::Workspace;
use crate::{attack, process, setup, tidy, wheel};

/// Stops at the first check that fails; names at the end what could not be checked here.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    let steps = steps();
    let mut skipped = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("── {}/{} {}", index + 1, steps.len(), step.name);
        let begun = Instant::now();
        let left_out = step
            .action
            .run(workspace)
            .with_context(|| format!("the check `{}` failed", step.name))?;
        println!("── {} done in {:.1} s", step.name, begun.elapsed().as_secs_f64());
        skipped.extend(left_out.map(|what| format!("{}: {what}", step.name)));
    }
    print!("{}", summary(steps.len(), &skipped));
    println!("{:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

fn summary(n_steps: usize, skipped: &[String]) -> String {
    if skipped.is_empty() {
        return format!("all {n_steps} checks passed\n");
    }
    let lines = skipped.iter().fold(String::new(), |lines, line| lines + "  " + line + "\n");
    format!(
        "{n_steps} checks, none failed; SKIPPED, because this machine lacks something:\n{lines}"
    )
}

struct Step {
    name: &'static str,
    action: Action,
}

enum Action {
    Setup,
    Tidy,
    /// Licences, advisories and sources, if the tool is installed.
    Deny,
    /// Hostile input for the command that the tests built.
    Attack,
    /// `cargo` with these arguments.
    Cargo(&'static [&'static str]),
    /// `cargo doc` with warnings as errors.
    Docs(&'static [&'static str]),
    /// All tests, those of the report in a browser and of kernels on a GPU only where there is one.
    Tests(&'static [&'static str]),
    /// The scripts for engines of many machines, with the command that the tests built.
    Integrations,
    /// The Python package as a wheel, installed and tested, with the command that the tests built.
    Wheel,
}

impl Action {
    /// What was left out of it because this machine lacks something; `None`: nothing.
    fn run(&self, workspace: &Workspace) -> Result<Option<String>> {
        match self {
            Self::Setup => setup::run(workspace, None)?,
            Self::Tidy => tidy::run(workspace)?,
            Self::Attack => attack::in_tests(workspace)?,
            Self::Deny => return deny(workspace),
            Self::Integrations => return integrations(workspace),
            Self::Wheel => {
                let command = built(workspace)?;
                wheel::run(workspace, &wheel::Options::tested(command))?;
            }
            Self::Cargo(args) => process::run(&mut workspace.cargo(args))?,
            Self::Docs(args) => {
                process::run(workspace.cargo(args).env("RUSTDOCFLAGS", "-D warnings"))?;
            }
            Self::Tests(args) => {
                let here = Found {
                    chromium: setup::chromium::find()?,
                    gpu: setup::has_gpu(workspace),
                    weights: setup::real::find(),
                    validators: setup::validators::find(workspace)
                        .filter(|_| setup::validators::missing_programs().is_empty()),
                };
                return tests(workspace.cargo(args), here);
            }
        }
        Ok(None)
    }
}

/// Object stores, which the command has when asked for.
const CLOUD: &str = "medgemma-explainer-cli/cloud";

/// The whole workspace is built at once, so its members' default features add up: the feature `hub` is on and tested
/// (tidy sees to that). `--all-features` would add features that need other machines; [`CLOUD`] needs none.
fn steps() -> Vec<Step> {
    let step = |name, action| Step { name, action };
    let clippy =
        &["clippy", "--workspace", "--all-targets", "--features", CLOUD, "--", "-D", "warnings"];
    let without_svg = &["test", "--package", "relevancy-visualization", "--no-default-features"];
    let docs =
        &["doc", "--workspace", "--no-deps", "--document-private-items", "--features", CLOUD];
    let doc_tests = &["test", "--workspace", "--doc", "--features", CLOUD];
    let tests =
        &["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--features", CLOUD];
    vec![
        step("setup", Action::Setup),
        step("format", Action::Cargo(&["fmt", "--all", "--check"])),
        step("tidy", Action::Tidy),
        step("clippy", Action::Cargo(clippy)),
        step(
            "without the hub",
            Action::Cargo(&["check", "--package", "medgemma-explainer", "--no-default-features"]),
        ),
        step(
            "without rayon",
            Action::Cargo(&["test", "--package", "attention-relevancy", "--no-default-features"]),
        ),
        step("figures without SVG", Action::Cargo(without_svg)),
        step("docs", Action::Docs(docs)),
        step("deny", Action::Deny),
        step("doc tests", Action::Cargo(doc_tests)),
        step("tests", Action::Tests(tests)),
        step("attack", Action::Attack),
        step("integrations", Action::Integrations),
        step("wheel", Action::Wheel),
    ]
}

/// The command that the tests built.
fn built(workspace: &Workspace) -> Result<PathBuf> {
    Ok(workspace.target_folder()?.join("debug/medgemma-explainer"))
}

/// What only some machines have (a Java for Spark, a Slurm) is skipped, and the tests say so.
fn integrations(workspace: &Workspace) -> Result<Option<String>> {
    let Some(python) = setup::validators::find(workspace) else {
        return Ok(Some(setup::validators::advice().to_owned()));
    };
    let mut pytest = Command::new(python);
    pytest.args(["-m", "pytest", "-q", "-rs", "integrations/tests"]);
    pytest.current_dir(workspace.root()).env("MEDGEMMA_EXPLAINER", built(workspace)?);
    for required in ["REQUIRE_RAY", "REQUIRE_KUBERNETES", "REQUIRE_BATCH"] {
        pytest.env(required, "1");
    }
    process::run(&mut pytest)?;
    Ok(None)
}

fn deny(workspace: &Workspace) -> Result<Option<String>> {
    let mut probe: Command = workspace.cargo(&["deny", "--version"]);
    if !process::succeeds(&mut probe) {
        let why = "cargo-deny is not installed (cargo install --locked cargo-deny)";
        return Ok(Some(why.to_owned()));
    }
    process::run(&mut workspace.cargo(&["deny", "--all-features", "check"]))?;
    Ok(None)
}

/// What some tests need and not every machine has.
#[derive(Default)]
struct Found {
    chromium: Option<PathBuf>,
    gpu: bool,
    /// The real weights.
    weights: Option<PathBuf>,
    /// A Python with others' readers of DICOM.
    validators: Option<PathBuf>,
}

/// Where tests find the folder of the real model; they skip themselves where it is not set.
const REAL_WEIGHTS: &str = "REAL_WEIGHTS";

/// What is found is required: no test that needs it may skip itself.
fn tests(mut command: Command, found: Found) -> Result<Option<String>> {
    let mut left_out = Vec::new();
    match found.chromium {
        Some(program) => _ = command.env("CHROMIUM", program).env("REQUIRE_CHROMIUM", "1"),
        None => left_out.push(format!("the report in a browser: {}", setup::chromium::advice())),
    }
    if found.gpu {
        command.env("REQUIRE_CUDA", "1");
    } else {
        left_out.push(
            "the kernel on a GPU: no NVIDIA GPU, or not libtorch for it (cargo xtask setup --cuda)"
                .to_owned(),
        );
    }
    match found.weights {
        Some(folder) => _ = command.env(REAL_WEIGHTS, folder),
        None => left_out.push(format!("a real model: {}", setup::real::advice())),
    }
    match found.validators {
        Some(python) => {
            command.env("MEDICAL_PYTHON", python);
            for required in
                ["REQUIRE_VALIDATORS", "REQUIRE_PYARROW", "REQUIRE_SCHEMATHESIS", "REQUIRE_MOTO"]
            {
                command.env(required, "1");
            }
        }
        None => {
            left_out.push(format!(
                "files and interfaces against others' programs: {}",
                setup::validators::advice()
            ));
        }
    }
    process::run(&mut command)?;
    Ok((!left_out.is_empty()).then(|| left_out.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_an_error() {
        let workspace = Workspace::find().unwrap();
        let error = Action::Cargo(&["no-such-command"]).run(&workspace).unwrap_err().to_string();
        assert!(error.contains("no-such-command"), "{error}");
    }

    #[test]
    fn warnings_are_errors() {
        let denies = |step: &Step| match step.action {
            Action::Cargo(args) => args.contains(&"-D"),
            Action::Docs(_) => true,
            _ => false,
        };
        assert_eq!(steps().iter().filter(|step| denies(step)).count(), 2);
    }

    #[test]
    fn what_was_found_is_required_and_what_is_missing_is_told() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            for name in [
                "CHROMIUM",
                "REQUIRE_CHROMIUM",
                "REQUIRE_CUDA",
                REAL_WEIGHTS,
                "MEDICAL_PYTHON",
                "REQUIRE_VALIDATORS",
                "REQUIRE_MOTO",
            ] {
                command.env_remove(name);
            }
            command
        };
        let all = Found {
            chromium: Some("/opt/browser".into()),
            gpu: true,
            weights: Some("/real".into()),
            validators: Some("/python".into()),
        };
        let required = "test \"$CHROMIUM $REQUIRE_CHROMIUM $REQUIRE_CUDA $REAL_WEIGHTS $MEDICAL_PYTHON $REQUIRE_VALIDATORS\" = '/opt/browser 1 1 /real /python 1'";
        assert_eq!(tests(shell(required), all).unwrap(), None);
        let nothing = "test -z \"$REQUIRE_CHROMIUM$REQUIRE_CUDA$REAL_WEIGHTS$REQUIRE_VALIDATORS\"";
        let left_out = tests(shell(nothing), Found::default()).unwrap().unwrap();
        assert!(left_out.contains("cargo xtask setup --chromium"), "{left_out}");
        assert!(left_out.contains("cargo xtask setup --cuda"), "{left_out}");
        assert!(left_out.contains("cargo xtask setup --real-weights"), "{left_out}");
        assert!(left_out.contains("cargo xtask setup --validators"), "{left_out}");
        assert!(tests(shell("false"), Found::default()).is_err());
    }

    #[test]
    fn what_was_skipped_is_in_the_summary() {
        assert_eq!(summary(9, &[]), "all 9 checks passed\n");
        let told = summary(9, &["deny: cargo-deny is not installed".to_owned()]);
        assert!(!told.contains("all 9 checks passed"), "{told}");
        assert!(told.contains("SKIPPED") && told.contains("deny: cargo-deny is"), "{told}");
    }
}
