"""Twenty jobs by Spark on this machine, in two partitions."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from compare import assert_equal, by_one_worker, rows
from conftest import HERE, job, missing, write_jobs

EXPLAIN = HERE.parent / "spark" / "explain.py"


@pytest.fixture(scope="module")
def spark_is_here() -> None:
    if importlib.util.find_spec("pyspark") is None or shutil.which("java") is None:
        missing("pyspark is not installed, or Java is not", "REQUIRE_SPARK")


def explain(folder: Path, out: Path, command: str, model: str = "phantom") -> subprocess.CompletedProcess[str]:
    line: list[str | Path] = [sys.executable, EXPLAIN, "--jobs", folder / "jobs.jsonl", "--out", out, "--model", model]
    line += ["--command", command, "--partitions", "2", "--batch-size", "4"]
    # Without spark-submit it runs in this machine's cores, as local[*].
    environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
    return subprocess.run(line, check=False, env=environment, capture_output=True, text=True, timeout=600)


def test_partitions_make_the_rows_of_one_worker(spark_is_here: None, phantoms: tuple[str, Path], tmp_path: Path) -> None:
    command, folder = phantoms
    jobs = [job(number) for number in range(20)]
    jobs[7]["images"] = ["none.png"]
    write_jobs(folder / "jobs.jsonl", jobs)
    run = explain(folder, tmp_path / "out", command)
    assert run.returncode == 3, run.stderr
    assert "20 jobs, 19 explained, 1 errors; 20 of them now" in run.stdout
    assert_equal(rows(tmp_path / "out"), by_one_worker(command, folder))
    again = explain(folder, tmp_path / "out", command)
    assert again.returncode == 3 and "0 of them now" in again.stdout, again.stderr


def test_a_model_that_is_not_there_stops_the_run(spark_is_here: None, phantoms: tuple[str, Path], tmp_path: Path) -> None:
    command, folder = phantoms
    write_jobs(folder / "jobs.jsonl", [job(0)])
    run = explain(folder, tmp_path / "out", command, str(tmp_path / "no"))
    assert run.returncode == 1
    assert "exited with error code 1" in run.stderr and "does not exist" in run.stderr
