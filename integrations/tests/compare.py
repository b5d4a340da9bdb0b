"""The rows of a folder of results, and whether they are the same as others."""

from __future__ import annotations

import math
from pathlib import Path

from pyarrow import parquet

from explanation_worker import results
from explanation_worker.jobs import jobs_of, unique
from explanation_worker.places import place_of
from explanation_worker.process import Job, Worker
from explanation_worker.results import DataRow


def rows(out: Path) -> list[DataRow]:
    found = [row for part in results.parts(place_of(str(out))) for row in parquet.read_table(part.path).to_pylist()]
    return sorted(found, key=lambda row: (row["id"], row["index"]))


def by_one_worker(command: str, folder: Path, without: str = "") -> list[DataRow]:
    """The rows of the jobs of a folder, but for one, by one worker that lives on."""
    jobs = jobs_of(str(folder / "jobs.jsonl"))
    worker = Worker([command, "worker", "--model", "phantom", "--threads", "1", "--folder", str(folder)])
    todo = [Job(id, jobs.at(place)) for id, place in unique(jobs) if id != without]
    found = [row for outcome in worker.outcomes(todo) for row in results.rows_of(outcome)]
    worker.close()
    return sorted(found, key=lambda row: (row["id"], row["index"]))


def assert_equal(found: list[DataRow], expected: list[DataRow]) -> None:
    """The same rows, but for times and thumbnails, which only a batch makes; numbers to 1e-6."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for column in one.keys() - {"seconds", "thumbnail"}:
            assert close(one[column], other[column]), (one["id"], column, one[column], other[column])


def close(one: object, other: object) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=1e-6)
    return one == other
