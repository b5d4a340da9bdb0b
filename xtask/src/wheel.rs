//! `cargo xtask wheel`: the command and the Python package as one wheel, which needs no compiler where it is installed.

mod contents;
mod notices;
mod program;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use pico_args::Arguments;

use crate::setup::{self, wanted};
use crate::workspace::Workspace;
use crate::{disk, process};
use program::Program;
use tools::Tools;

/// What a user chooses.
pub(crate) struct Options {
    /// A built command; without it, it is built.
    binary: Option<PathBuf>,
    /// Where the wheel goes.
    out: Option<PathBuf>,
    /// Install the wheel into a fresh environment, and run its tests there.
    test: bool,
    /// A Python with torch and transformers, for tests that hold numbers against theirs.
    torch: Option<PathBuf>,
}

impl Options {
    /// To be tested, with a command that is built.
    pub(crate) fn tested(command: PathBuf) -> Self {
        Self { binary: Some(command), out: None, test: true, torch: None }
    }

    pub(crate) fn parse(args: &mut Arguments) -> Result<Self> {
        let path = |text: &std::ffi::OsStr| Ok::<_, std::convert::Infallible>(PathBuf::from(text));
        let mut place = |name| args.opt_value_from_os_str(name, path);
        let (binary, out, torch) = (place("--binary")?, place("--out")?, place("--torch")?);
        let test = args.contains("--test");
        ensure!(torch.is_none() || test, "--torch is for --test");
        Ok(Self { binary, out, test, torch })
    }
}

/// Builds the wheel, looks into it, and tests it where that is asked for.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<()> {
    ensure!(cfg!(target_os = "linux"), "wheels are made on Linux only as yet");
    let torch = wanted::version(workspace)?;
    let package = workspace.root().join("python");
    check_extra(&package, &torch)?;
    let target = workspace.target_folder()?;
    let tools = Tools::provide(&target.join("wheel-tools"))?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => build(workspace, &target)?,
    };
    let program = Program::checked(&binary)?;
    let folder = package.join("src/medgemma_explainer/_bin");
    program.put(&folder, &torch, &tools.patchelf)?;
    std::fs::write(folder.join(contents::NOTICES), notices::text(workspace)?)
        .with_context(|| format!("could not write into {}", folder.display()))?;

    let out = options.out.clone().unwrap_or_else(|| target.join("wheels"));
    let out = std::path::absolute(&out)?;
    let before = wheels(&out)?;
    let mut maturin = Command::new(&tools.maturin);
    maturin.args(["build", "--release", "--locked", "--compatibility", &program.platform()?]);
    maturin.arg("--manifest-path").arg(package.join("Cargo.toml")).arg("--out").arg(&out);
    process::run(maturin.current_dir(workspace.root()))?;
    let wheel = fresh(&before, &out)?;
    let listing = contents::check(&wheel)?;
    print!("{listing}");
    let size = wheel.metadata()?.len();
    println!("{}: {}, for libtorch {torch}", wheel.display(), disk::megabytes(size));
    if options.test { test(&package, &target, &wheel, options.torch.as_deref()) } else { Ok(()) }
}

/// The extra `torch` of the package names the version that the command is built for.
fn check_extra(package: &Path, torch: &str) -> Result<()> {
    let path = package.join("pyproject.toml");
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("could not read {}", path.display()))?;
    let extra = format!("torch = [\"torch=={torch}\"]");
    ensure!(
        text.lines().any(|line| line == extra),
        "{}: the locked torch-sys wants libtorch {torch}; write `{extra}` among the extras",
        path.display()
    );
    Ok(())
}

fn build(workspace: &Workspace, target: &Path) -> Result<PathBuf> {
    setup::run(workspace, None)?;
    process::run(&mut workspace.cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "medgemma-explainer-cli",
    ]))?;
    Ok(target.join("release/medgemma-explainer"))
}

/// The wheels of a folder with their times of change; none where there is no folder yet.
fn wheels(out: &Path) -> Result<Vec<(PathBuf, std::time::SystemTime)>> {
    if !out.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(out).with_context(|| format!("could not read {}", out.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "whl") {
            found.push((path.clone(), path.metadata()?.modified()?));
        }
    }
    Ok(found)
}

/// The wheel that was not there, or was another, before.
fn fresh(before: &[(PathBuf, std::time::SystemTime)], out: &Path) -> Result<PathBuf> {
    let mut new = wheels(out)?.into_iter().filter(|wheel| !before.contains(wheel));
    match (new.next(), new.next()) {
        (Some((wheel, _)), None) => Ok(wheel),
        (None, _) => bail!("maturin left no wheel in {}", out.display()),
        (Some(_), Some(_)) => bail!("{} got two wheels at once", out.display()),
    }
}

/// Installs the wheel with what its tests need, and runs them.
fn test(package: &Path, target: &Path, wheel: &Path, torch: Option<&Path>) -> Result<()> {
    let folder = target.join("wheel-test");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)
            .with_context(|| format!("could not remove {}", folder.display()))?;
    }
    let python = tools::environment(&folder)?;
    tools::install(&python, &[&format!("{}[test]", wheel.display())])?;
    process::run(Command::new(&python).args(["-m", "mypy", "src", "tests"]).current_dir(package))?;
    let mut pytest = Command::new(&python);
    pytest.args(["-m", "pytest"]).current_dir(package);
    // What pytest keeps belongs to the environment, not to the sources.
    pytest.args(["-p", "no:cacheprovider"]).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(torch) = torch {
        pytest.env("TORCH_PYTHON", std::path::absolute(torch)?).env("REQUIRE_TORCH", "1");
    }
    process::run(&mut pytest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Options> {
        Options::parse(&mut Arguments::from_vec(words.iter().map(Into::into).collect()))
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        let options = parse(&["--binary", "/a/b", "--test", "--torch", "/c/python"]).unwrap();
        assert_eq!(options.binary.as_deref(), Some(Path::new("/a/b")));
        assert!(options.test && options.out.is_none());
        assert!(parse(&["--torch", "/c/python"]).is_err());
    }

    #[test]
    fn the_extra_of_this_package_names_the_locked_libtorch() {
        let workspace = Workspace::find().unwrap();
        let version = wanted::version(&workspace).unwrap();
        let package = workspace.root().join("python");
        check_extra(&package, &version).unwrap();
        let error = check_extra(&package, "0.0.1").unwrap_err().to_string();
        assert!(error.contains("torch = [\"torch==0.0.1\"]"), "{error}");
    }

    #[test]
    fn only_a_wheel_that_is_new_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.whl"), "").unwrap();
        let before = wheels(folder.path()).unwrap();
        assert!(fresh(&before, folder.path()).is_err());
        std::fs::write(folder.path().join("b.whl"), "").unwrap();
        assert_eq!(fresh(&before, folder.path()).unwrap(), folder.path().join("b.whl"));
        assert!(fresh(&[], folder.path()).is_err());
        assert!(wheels(&folder.path().join("none")).unwrap().is_empty());
    }
}
