"""Two hundred jobs by two actors on this machine. A worker process and an actor are killed, and one job kills every worker that gets it."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from compare import assert_equal, by_one_worker, rows
from conftest import ANSWER, has, job, missing, write_jobs
from pyarrow import parquet

from explanation_worker import results
from explanation_worker.places import place_of

HERE = Path(__file__).resolve().parent
EXPLAIN = HERE.parent / "ray" / "explain.py"
COUNT = 200
POISON = "poison-77"
#: Stands in the command lines of the workers of the first test and of nothing else.
POISONED_WORKER = HERE / "poisoned_worker.py"


@pytest.fixture(scope="module")
def ray_is_here() -> None:
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("ray.data") is None:
        missing("ray[data] is not installed", "REQUIRE_RAY")


def explain(folder: Path, out: Path, command: str, *arguments: str) -> subprocess.Popen[str]:
    line: list[str | Path] = [
        sys.executable,
        EXPLAIN,
        "--jobs",
        folder / "jobs.jsonl",
        "--out",
        out,
        "--model",
        "phantom",
        "--command",
        command,
        *arguments,
    ]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_workers_lose_nothing(ray_is_here: None, phantoms: tuple[str, Path], tmp_path: Path) -> None:
    command, folder = phantoms
    jobs = [job(number, POISON if number == 77 else None) for number in range(COUNT)]
    write_jobs(folder / "jobs.jsonl", jobs)
    poisoned = tmp_path / "poisoned"
    poisoned.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{POISONED_WORKER}" "{command}" "$@"\n')
    poisoned.chmod(0o755)
    out = tmp_path / "out"

    started = time.monotonic()
    run = explain(folder, out, str(poisoned), "--workers", "2", "--batch-size", "10", "--tries", "2")
    killed = Killer(run, out, str(POISONED_WORKER))
    stdout, stderr = run.communicate(timeout=900)
    killed.join()
    print(f"two actors, {COUNT} jobs: {time.monotonic() - started:.0f} s; killed: {killed.what}")
    assert run.returncode == 3, stderr
    assert killed.what == ["a worker", "an actor"], stderr
    assert f"{COUNT} jobs, {COUNT - 1} explained, 1 errors" in stdout

    found = rows(out)
    assert sorted(row["id"] for row in found) == sorted(str(job["id"]) for job in jobs), "each job once"
    errors = [row for row in found if row["kind"] == "error"]
    assert [(row["id"], row["error_kind"], row["error_message"]) for row in errors] == [
        (POISON, "internal", "its worker was killed by signal 9, 2 times"),
    ]
    started = time.monotonic()
    assert_equal([row for row in found if row["id"] != POISON], by_one_worker(command, folder, without=POISON))
    print(f"one worker, {COUNT - 1} jobs: {time.monotonic() - started:.0f} s")

    again = explain(folder, out, str(poisoned))
    stdout, stderr = again.communicate(timeout=300)
    assert again.returncode == 3, "what failed is still an error"
    assert f"{COUNT} jobs are done already" in stderr and "0 of them now" in stdout
    other = explain(folder, out, command, "--", "--dtype", "bfloat16")
    _, stderr = other.communicate(timeout=300)
    assert other.returncode == 2 and "choose another --out" in stderr


def test_rows_are_those_of_batch(ray_is_here: None, phantoms: tuple[str, Path], tmp_path: Path) -> None:
    command, folder = phantoms
    if not has(command, "batch"):
        missing(f"{command} has no batch", "REQUIRE_BATCH")
    jobs = [job(number) for number in range(8)]
    jobs += [{"id": "nothing", "prompt": "Is there an opacity?", "images": ["none.png"]}]
    jobs += [job(9) | {"id": "words", "targets": [{"keyword": "nodule"}], "options": {"answer": ANSWER}}]
    jobs += [job(10) | {"id": "phrase", "targets": [{"phrase": "opacity", "against": "nodule"}]}]
    write_jobs(folder / "jobs.jsonl", jobs)
    run = explain(folder, tmp_path / "ray", command, "--batch-size", "4")
    _, stderr = run.communicate(timeout=300)
    assert run.returncode == 3, stderr
    batch: list[str | Path] = [command, "batch", "--jobs", folder / "jobs.jsonl", "--out", tmp_path / "batch", "--model", "phantom", "--threads", "1"]
    assert subprocess.run(batch, check=False).returncode == 3
    assert_equal(rows(tmp_path / "ray"), rows(tmp_path / "batch"))
    schemas = [parquet.read_schema(next(iter(results.parts(place_of(str(tmp_path / of))))).path) for of in ("ray", "batch")]
    assert [(field.name, field.type) for field in schemas[0]] == [(field.name, field.type) for field in schemas[1]]
    assert schemas[0].metadata[b"explanation-jobs.format"] == schemas[1].metadata[b"explanation-jobs.format"]


def test_a_model_that_is_not_there_stops_the_run(ray_is_here: None, phantoms: tuple[str, Path], tmp_path: Path) -> None:
    command, folder = phantoms
    write_jobs(folder / "jobs.jsonl", [job(0)])
    line: list[str | Path] = [
        sys.executable,
        EXPLAIN,
        "--jobs",
        folder / "jobs.jsonl",
        "--out",
        tmp_path / "out",
        "--model",
        tmp_path / "no",
        "--command",
        command,
    ]
    run = subprocess.run(line, check=False, capture_output=True, text=True, timeout=300)
    assert run.returncode == 1
    assert "error: the worker ended with exit code 1 before it was ready" in run.stderr
    assert "does not exist" in run.stderr
    assert not (tmp_path / "out" / "results").exists()


class Killer(threading.Thread):
    """Kills a worker process once two parts are there, and an actor once six are."""

    def __init__(self, run: subprocess.Popen[str], out: Path, marker: str) -> None:
        super().__init__(daemon=True)
        self._run, self._out, self._marker = run, out, marker
        self.what: list[str] = []
        self.start()

    def run(self) -> None:
        for what, parts in (("a worker", 2), ("an actor", 6)):
            while len(list((self._out / "results").glob("*.parquet"))) < parts:
                if self._run.poll() is not None:
                    return
                time.sleep(0.05)
            if (worker := self._worker()) is not None:
                os.kill(worker if what == "a worker" else parent(worker), signal.SIGKILL)
                self.what.append(what)

    def _worker(self) -> int | None:
        """One of the processes that actors of this run have started."""
        for path in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (path / "cmdline").read_bytes()
            except OSError:
                continue
            if self._marker.encode() in arguments and b"--model" in arguments and os.fsencode(EXPLAIN) not in arguments:
                return int(path.name)
        return None


def parent(process: int) -> int:
    # After the name, which is in parentheses: the state, then the parent.
    return int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1])
