#!/usr/bin/env python3
"""How many jobs a second several workers on this machine do, as a table.

    python integrations/scaling.py --command target/release/medgemma-explainer --workers 1 2

Each worker is a process of one thread with the small model that ships with the program; the jobs are different synthetic radiographs of 224 × 224
pixels, an answer of the model's own and one map each. Time is taken from when all models are loaded to the last outcome. Run it with nothing
else running. Needs pyarrow.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from explanation_worker import results
from explanation_worker.places import place_of
from explanation_worker.process import Job, Outcome, Worker


@dataclass
class Measured:
    workers: int
    load: float
    seconds: float
    outcomes: list[Outcome]


def main() -> int:
    args = _arguments()
    command = os.path.abspath(args.command) if os.sep in args.command else args.command
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        draw = [command, "phantom", "--count", str(args.jobs), "--size", "224", "--out", str(pictures)]
        subprocess.run(draw, check=True, stdout=subprocess.DEVNULL)
        print(f"Load of the machine before the start: {os.getloadavg()[0]:.2f}; cores: {len(os.sched_getaffinity(0))}; jobs: {args.jobs}.\n")
        print("| workers | models loaded, s | jobs, s | jobs per second | of the first row's | seconds of a job | processor, s |")
        print("|---:|---:|---:|---:|---:|---:|---:|")
        first: Measured | None = None
        for workers in args.workers:
            before = _processor_seconds()
            found = _measure([command, "worker", "--model", "phantom", "--threads", "1", "--folder", str(pictures)], workers, args.jobs)
            if len(found.outcomes) != args.jobs:
                print(f"error: {len(found.outcomes)} outcomes of {args.jobs} jobs", file=sys.stderr)
                return 1
            if any(outcome.get("problem") for outcome in found.outcomes):
                print(f"error: {next(o['problem'] for o in found.outcomes if o.get('problem'))['message']}", file=sys.stderr)
                return 1
            first = first or found
            of_a_job = sum(outcome["run"]["seconds"] for outcome in found.outcomes) / len(found.outcomes)
            ratio = first.seconds / found.seconds
            print(
                f"| {workers} | {found.load:.1f} | {found.seconds:.1f} | {args.jobs / found.seconds:.2f} | {ratio:.2f} times | "
                f"{of_a_job:.3f} | {_processor_seconds() - before:.1f} |",
                flush=True,
            )
        assert first is not None
        name = results.write(first.outcomes, place_of(folder))
        size = (Path(folder) / results.RESULTS / name).stat().st_size
        print(f"\nParquet: {size / args.jobs:.0f} bytes a row, of a map of 256 cells each.")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how many jobs a second several workers on this machine do.")
    parser.add_argument("--command", default="medgemma-explainer", help="the program; by default the one in PATH")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], metavar="N", help="numbers of workers, the first is compared with")
    parser.add_argument("--jobs", type=int, default=100, metavar="N", help="jobs of each measurement")
    return parser.parse_args()


def _measure(command: Sequence[str], n_workers: int, n_jobs: int) -> Measured:
    started = time.monotonic()
    workers = [Worker(command) for _ in range(n_workers)]
    _together([worker.start for worker in workers])
    load = time.monotonic() - started
    waiting = iter(_jobs(n_jobs))
    lock = threading.Lock()
    outcomes: list[Outcome] = []

    def some() -> list[Job]:
        """The next few jobs: a worker that is faster takes more."""
        with lock:
            return list(islice(waiting, 4))

    def work(worker: Worker) -> None:
        while jobs := some():
            outcomes.extend(worker.outcomes(jobs))

    started = time.monotonic()
    _together([lambda worker=worker: work(worker) for worker in workers])
    seconds = time.monotonic() - started
    for worker in workers:
        worker.close()
    return Measured(n_workers, load, seconds, outcomes)


def _jobs(count: int) -> Iterator[Job]:
    for number in range(count):
        job: dict[str, object] = {"id": f"{number}", "images": [f"{number:03}.png"], "prompt": "Is there an opacity?"}
        job |= {"targets": [{"answer_span": True}], "options": {"words": "none"}}
        yield Job(f"{number}", json.dumps(job).encode())


def _together(all: Sequence[object]) -> None:
    threads = [threading.Thread(target=one) for one in all]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _processor_seconds() -> float:
    """Of the workers that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
