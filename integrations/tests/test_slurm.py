"""Forty jobs by an array of Slurm: by a Slurm of one node where that can be had, else with the variables that Slurm sets."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from compare import assert_equal, by_one_worker, rows
from conftest import HERE, has, job, missing, write_jobs

SLURM = HERE.parent / "slurm"
SCRIPT = SLURM / "explain.sbatch"
TASKS = 4


@pytest.fixture
def batch(phantoms: tuple[str, Path], tmp_path: Path) -> tuple[dict[str, str], list[str], Path]:
    """Variables, what follows the script, and the folder of the jobs."""
    command, folder = phantoms
    if not has(command, "batch"):
        missing(f"{command} has no batch", "REQUIRE_BATCH")
    write_jobs(folder / "jobs.jsonl", [job(number) for number in range(40)])
    arguments = ["--jobs", str(folder / "jobs.jsonl"), "--out", str(tmp_path / "out"), "--model", "phantom", "--no-index"]
    return os.environ | {"MEDGEMMA_EXPLAINER": command}, arguments, folder


def test_an_array_of_a_real_slurm(batch: tuple[dict[str, str], list[str], Path], tmp_path: Path) -> None:
    environment, arguments, folder = batch
    if os.geteuid() != 0 or not all(map(shutil.which, ["sbatch", "slurmctld", "slurmd", "munged"])):
        missing("Debian's packages slurm-wlm and munge are not installed, or this is not root", "REQUIRE_SLURM")
    line: list[str | Path] = [
        SLURM / "one-node.sh",
        "sbatch",
        "--wait",
        f"--array=0-{TASKS - 1}",
        "--cpus-per-task=1",
        "--mem=2G",
        SCRIPT,
        *arguments,
    ]
    run = subprocess.run(line, check=False, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900)
    logs = "\n".join(path.read_text() for path in sorted(tmp_path.glob("explain-*.log")))
    assert run.returncode == 0, run.stderr + logs
    assert len(list(tmp_path.glob("explain-*.log"))) == TASKS
    assert_equal(rows(tmp_path / "out"), by_one_worker(environment["MEDGEMMA_EXPLAINER"], folder))


def test_the_script_with_the_variables_of_an_array(batch: tuple[dict[str, str], list[str], Path], tmp_path: Path) -> None:
    environment, arguments, folder = batch
    for task in range(TASKS):
        array = {"TASK_ID": task, "TASK_MIN": 0, "TASK_MAX": TASKS - 1, "TASK_STEP": 1, "TASK_COUNT": TASKS, "JOB_ID": 7}
        variables = {f"SLURM_ARRAY_{name}": str(value) for name, value in array.items()}
        line: list[str | Path] = ["bash", SCRIPT, *arguments]
        subprocess.run(line, check=True, env=environment | variables | {"SLURM_PROCID": "0", "SLURM_CPUS_PER_TASK": "1"}, timeout=600)
    assert_equal(rows(tmp_path / "out"), by_one_worker(environment["MEDGEMMA_EXPLAINER"], folder))
