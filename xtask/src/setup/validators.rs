//! Other people's programs that tests hold this one against: readers of DICOM, `NIfTI` and Parquet, a tester of HTTP interfaces, a local
//! store of objects, an engine for many machines.
//!
//! Only these tests use them: nothing else fails without. Python's packages go into a folder of the workspace; the programs of the system's
//! packages are installed as Chromium is ([`super::chromium`]).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::chromium;
use crate::process;
use crate::workspace::Workspace;

/// Versions that the numbers in `docs/dicom.md` are of, and those that the tests of `integrations` were run with.
const PACKAGES: [&str; 17] = [
    "pydicom==3.0.2",
    "pydicom-data==1.0.0",
    "highdicom==0.28.2",
    "nibabel==5.4.2",
    "pylibjpeg==2.1.0",
    "pylibjpeg-libjpeg==2.5.0",
    "pylibjpeg-openjpeg==2.6.0",
    "pylibjpeg-rle==2.2.0",
    "pyarrow==26.0.1",
    "schemathesis==4.32.5",
    "pytest==9.2.0",
    "PyYAML==6.0.4",
    "kubernetes-validate==1.37.0",
    "ray[data]==2.60.0",
    // Its server needs flask; the rest of what moto[server] names is for other services than S3.
    "moto==5.2.5",
    "boto3==1.44.8",
    "flask-cors==6.0.1",
];

/// Programs, and the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 2] = [("dciodvfy", "dicom3tools"), ("dsr2html", "dcmtk")];

/// The Python of the workspace with these packages; `None` where it is not there or lacks one.
pub(crate) fn find(workspace: &Workspace) -> Option<PathBuf> {
    let python = workspace.root().join(".validators/bin/python");
    has_packages(&python).then_some(python)
}

/// Programs that are not there.
pub(crate) fn missing_programs() -> Vec<&'static str> {
    let is_missing = |program: &&(&str, &str)| {
        !process::succeeds(Command::new("sh").args(["-c", &format!("command -v {}", program.0)]))
    };
    PROGRAMS.iter().filter(is_missing).map(|program| program.1).collect()
}

/// What to do where something is missing.
pub(crate) fn advice() -> &'static str {
    "pydicom, highdicom, nibabel, pyarrow, schemathesis, ray, moto, dciodvfy or dcmtk is missing (cargo xtask setup --validators)"
}

/// Makes sure that they are there.
pub(crate) fn provide(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root().join(".validators");
    let python = folder.join("bin/python");
    if !has_packages(&python) {
        let base = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        process::run(Command::new(&base).args(["-m", "venv"]).arg(&folder)).context(
            "no folder for Python's packages (Debian: apt install python3-venv), or name a Python in PYTHON",
        )?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(PACKAGES);
        process::run_within(&mut pip, Duration::from_mins(10))?;
    }
    let missing = missing_programs();
    if !missing.is_empty() {
        if !chromium::can_install() {
            bail!("not installed: {0}; run: sudo apt-get install {0}", missing.join(" "));
        }
        chromium::install(&missing)?;
    }
    println!("other people's programs for tests: {}", folder.display());
    Ok(())
}

fn has_packages(python: &Path) -> bool {
    let names = "import pydicom, highdicom, nibabel, data_store, pyarrow, schemathesis, pytest, kubernetes_validate, ray, moto.server, boto3";
    process::succeeds(Command::new(python).args(["-c", names]))
}
