"""A worker process that dies, falls silent, or cannot start: what becomes of its jobs."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from explanation_worker.process import Job, Limits, Outcome, Worker, WorkerError

FAKE = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]


def jobs(*ids: str) -> list[Job]:
    return [Job(id, f'{{"id": "{id}"}}'.encode()) for id in ids]


def done(outcomes: list[Outcome]) -> dict[str, str | None]:
    """The outcomes' ids, in order, with their problems' messages."""
    return {outcome["id"]: (outcome.get("problem") or {}).get("message") for outcome in outcomes}


def test_outcomes_come_in_order_and_one_process_does_all() -> None:
    worker = Worker(FAKE)
    ids = [f"a{number}" for number in range(20)]
    assert list(done(list(worker.outcomes(jobs(*ids))))) == ids
    first = worker.process_id
    assert list(done(list(worker.outcomes(jobs("b"))))) == ["b"]
    assert worker.process_id == first is not None
    worker.close()
    assert worker.process_id is None
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


@pytest.mark.parametrize("poison", ["kill", "ahead"])
@pytest.mark.parametrize("at", [0, 5, 11])
def test_a_job_that_kills_its_worker_is_the_only_error(poison: str, at: int) -> None:
    ids = [f"a{number}" for number in range(12)]
    ids[at] = poison
    worker = Worker(FAKE, Limits(tries=2))
    found = done(list(worker.outcomes(jobs(*ids))))
    worker.close()
    assert list(found) == ids
    assert {id for id, problem in found.items() if problem} == {poison}
    assert found[poison] == "its worker was killed by signal 9, 2 times"


def test_a_silent_worker_is_killed() -> None:
    worker = Worker(FAKE, Limits(tries=1, silence=2.0))
    found = done(list(worker.outcomes(jobs("a", "quiet", "b"))))
    worker.close()
    assert found == {"a": None, "quiet": "its worker was silent for too long, 1 times", "b": None}


def test_a_worker_that_is_killed_from_outside_loses_nothing() -> None:
    worker = Worker(FAKE)
    found: list[Outcome] = []
    for outcome in worker.outcomes(jobs(*(f"a{number}" for number in range(20)))):
        if len(found) == 7:
            assert worker.process_id is not None
            os.kill(worker.process_id, signal.SIGKILL)
            time.sleep(0.05)
        found.append(outcome)
    worker.close()
    assert done(found) == {f"a{number}": None for number in range(20)}


def test_a_line_that_is_no_job_keeps_its_place() -> None:
    worker = Worker(FAKE)
    lines = [*jobs("a"), Job("line 7", b"nonsense"), *jobs("b")]
    assert done(list(worker.outcomes(lines))) == {"a": None, "line 7": "it is no job", "b": None}
    worker.close()


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ([*FAKE, "--no-model"], "exit code 1"),
        ([*FAKE, "--killed-at-start"], "signal 9"),
        (["/nowhere/medgemma-explainer"], "cannot start"),
        ([sys.executable, "-c", "print('hello')"], "is it `worker`"),
    ],
)
def test_a_worker_that_cannot_start_is_no_fault_of_the_jobs(command: list[str], part: str) -> None:
    with pytest.raises(WorkerError, match=part):
        list(Worker(command).outcomes(jobs("a")))


def test_an_outcome_of_another_job_stops_everything() -> None:
    with pytest.raises(WorkerError, match="another"):
        list(Worker(FAKE).outcomes(jobs("a", "other", "b")))
